"""Incidents of workers in Kubernetes, answered by the playbook: a backlog, and a success rate that falls."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes import client, config
from lab.celery import Shop
from lab.kubernetes import KubernetesApi
from lab.paths import REPOSITORY
from lab.play import ansible_playbook
from lab.postgresql import PostgresServer
from lab.process import eventually
from lab.redis import RedisServer

# One API server for all of them.
pytestmark = pytest.mark.xdist_group("kubernetes")

Respond = Callable[..., dict[str, Any]]
# StoreBridge's tables, and what its inventory asks them.
SCHEMA = REPOSITORY / "tests" / "lab" / "storebridge" / "schema.sql"
INVENTORY = REPOSITORY / "inventories" / "storebridge" / "group_vars" / "postgresql" / "incident_response.yml"


@pytest.fixture
def workload(api: KubernetesApi, namespace: str) -> Iterator[Callable[..., None]]:
    def make(name: str, replicas: int, image: str = "shop/worker:1") -> None:
        labels = {"app": name}
        template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "app", "image": image}]}}
        spec = {"replicas": replicas, "selector": {"matchLabels": labels}, "template": template}
        metadata = {"name": name, "namespace": namespace}
        api.create({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": spec})

    yield make
    api.heal()
    # What crashes would go on doing so while other tests run.
    api.delete("Namespace", "", namespace)


@pytest.fixture
def apps(kubeconfig: Path) -> client.AppsV1Api:
    """The cluster by the official client."""
    return client.AppsV1Api(config.new_client_from_config(str(kubeconfig)))


@pytest.fixture
def respond(
    kubeconfig: Path, namespace: str, postgresql_server: PostgresServer, postgresql_database: str, tmp_path: Path
) -> Respond:
    """Answer an incident and carry the remedy out: the record that it left."""

    def run(incident: str, group: str, failing: Sequence[str] = (), **variables: Any) -> dict[str, Any]:
        common = {
            "ansible_connection": "local",
            "ansible_python_interpreter": sys.executable,
            "kubernetes_kubeconfig": str(kubeconfig),
            "kubernetes_namespace": namespace,
            "runbook_system": "shop",
            "incident_response_apply": True,
            "incident_response_confirm": "shop",
            **variables,
        }
        login = postgresql_server.login(postgresql_database)
        database = {**common, **{f"postgresql_{name}": value for name, value in login.items()}}
        inventory = {"postgresql": {"hosts": {"db": database}}, "redis": {"hosts": {"queue": common}}}
        (tmp_path / "inventory.yml").write_text(json.dumps(inventory), encoding="utf-8")
        done = ansible_playbook(
            tmp_path, "-i", "inventory.yml", "runbook.ops.respond_incident", "-e", f"incident={incident}"
        )
        print(done.stdout)
        [folder] = (tmp_path / "runbook-incidents").iterdir()
        host = {"postgresql": "db", "redis": "queue"}[group]
        assert (folder / f"evidence-{host}.json").stat().st_size > 100
        record: dict[str, Any] = json.loads((folder / f"timeline-{host}.json").read_text(encoding="utf-8"))
        assert [each["phase"] for each in record["failures"]] == list(failing)
        return record

    return run


@contextmanager
def filling(shop: Shop, queue: str) -> Iterator[None]:
    """More jobs come all the time."""
    stopping = threading.Event()

    def send() -> None:
        while not stopping.wait(0.05):
            shop.send("crawl", 0.3, queue=queue)

    thread = threading.Thread(target=send, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stopping.set()
        thread.join(timeout=300)


def test_a_backlog_has_a_cause_and_only_busy_workers_get_help(
    api: KubernetesApi, namespace: str, workload: Callable[..., None], apps: client.AppsV1Api, respond: Respond
) -> None:
    """The manual restarts the worker, or sets replicas that the autoscaler takes back."""
    workload("worker-normal", 2)
    workload("worker-heavy", 1)
    workload("worker-more", 3)
    workload("worker-closed", 1)
    api.fail("PATCH", f"*/{namespace}/deployments/worker-closed", 403, None)
    workload("worker-batch", 1, "shop/crash:1")
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "worker-normal"}
    api.create(
        {
            "apiVersion": "autoscaling/v2",
            "kind": "HorizontalPodAutoscaler",
            "metadata": {"name": "worker-normal", "namespace": namespace},
            "spec": {"scaleTargetRef": target, "minReplicas": 1, "maxReplicas": 2},
        }
    )

    def crashes() -> bool:
        pods = api.list("pods", namespace)
        return any("CrashLoopBackOff" in json.dumps(each.get("status", {})) for each in pods)

    eventually(crashes, "the batch worker to crash")
    with RedisServer() as redis:
        shop = Shop(redis)
        for queue in ("normal", "batch"):
            shop.send("register", 1, queue=queue)
        with shop.worker("-Q", "normal", "-c", "1"), filling(shop, "normal"):
            eventually(lambda: shop.app.control.ping(timeout=0.5) != [], "a worker to fetch")
            record = respond(
                "queue_backlog",
                "redis",
                ["remedy"],
                **{f"redis_{name}": value for name, value in redis.login().items()},
                incident_response_library=["celery"],
                incident_response_queues=["normal", "batch"],
                incident_response_sample_seconds=2,
                incident_response_database="db",
                incident_response_workers=[
                    {"name": "worker-normal", "queues": ["normal"], "scale_to": 4, "connections_per_replica": 4},
                    {"name": "worker-heavy", "queues": ["normal"], "scale_to": 5, "connections_per_replica": 500},
                    {"name": "worker-more", "queues": ["normal"], "scale_to": 2},
                    {"name": "worker-closed", "queues": ["normal"], "scale_to": 2},
                    {"name": "worker-batch", "queues": ["batch"], "scale_to": 9},
                ],
            )
    found = {(each["id"], each["object"]): each for each in record["found"]}
    assert (
        "its workers are busy: it fills; the autoscaler of worker-normal is at its ceiling"
        in (found["incident.saturated", "normal"]["summary"])
    )
    dead = found["incident.consumers_dead", "batch"]
    assert dead["severity"] == "critical"
    assert "no pod of its workers is ready (worker-batch: CrashLoopBackOff" in dead["summary"]
    assert ("incident.ceiling", "worker-normal") in found
    [action] = record["remedy"]["actions"]
    assert (action["object"], action["from"], action["to"]) == (
        f"HorizontalPodAutoscaler {namespace}/worker-normal",
        "1 to 2 replicas",
        "4 to 4 replicas",
    )
    [refused] = record["remedy"]["refused"]
    assert refused["object"] == f"Deployment {namespace}/worker-heavy"
    assert "database connections each need 2000, and " in refused["reason"]
    replicas = {each.metadata.name: each.spec.replicas for each in apps.list_namespaced_deployment(namespace).items}
    # What has more pods already keeps them; and what failed is told, with all that was done beside it.
    left = {"worker-heavy": 1, "worker-more": 3, "worker-closed": 1, "worker-batch": 1}
    assert replicas == {"worker-normal": 4, **left}
    [failure] = record["failures"]
    assert "Grant the user the verb patch on deployments.apps" in failure["message"]


def test_a_rate_that_falls_names_its_code_and_parks_what_is_declared(
    api: KubernetesApi,
    namespace: str,
    workload: Callable[..., None],
    apps: client.AppsV1Api,
    respond: Respond,
    postgresql_server: PostgresServer,
    postgresql_database: str,
) -> None:
    """The manual groups by the whole message, leaves out FAILED, and its command to suspend is a comment."""
    workload("worker", 3)
    workload("web", 1)
    registrations = (
        "INSERT INTO product_registrations (product_id, state, error_code, error_message, created_at, updated_at)"
        " SELECT gen_random_uuid(), {}, now() - {}::interval, now() FROM generate_series(1, {}) n; "
    )
    postgresql_server.execute(
        SCHEMA.read_text(encoding="utf-8")
        + registrations.format("'COMPLETED', NULL, NULL", "'1 day'", 94)
        + registrations.format("'FAILED', 'TIMEOUT', 'no answer'", "'1 day'", 6)
        + registrations.format("'COMPLETED', NULL, NULL", "'1 minute'", 60)
        + registrations.format("'PROCESSING', NULL, NULL", "'1 minute'", 500)
        + registrations.format(
            "'MANUAL_REVIEW', 'CATEGORY_MISMATCH', 'product ' || n || ' has no category'", "'1 minute'", 36
        )
        + registrations.format("'FAILED', NULL, 'no answer'", "'1 minute'", 4),
        db=postgresql_database,
    )
    eventually(
        lambda: apps.read_namespaced_deployment("worker", namespace).status.ready_replicas == 3,
        "the workers to be ready",
    )
    [first, *_others] = [each for each in api.list("pods", namespace) if each["metadata"]["name"].startswith("worker")]
    api.log(namespace, first["metadata"]["name"], "app", "ERROR product 7: CATEGORY_MISMATCH\n")
    record = respond(
        "success_drop",
        "postgresql",
        incident_response_success=yaml.safe_load(INVENTORY.read_text(encoding="utf-8"))["incident_response_success"],
        runbook_timezone="Asia/Seoul",
        incident_response_workers=[{"name": "worker"}],
        incident_response_remedy_options={"success_drop": {"park": ["worker"]}},
    )
    found = {(each["id"], each["object"]): each for each in record["found"]}
    success = found["incident.success", ""]
    assert (success["severity"], success["summary"]) == ("critical", "60 % of 100 succeeded; 94 % is usual")
    assert found["incident.success_fall", ""]["value"] == 34
    # One group of 36, not 36 of one.
    assert found["incident.failure", "CATEGORY_MISMATCH"]["value"] == 36
    assert found["incident.one_cause", ""]["value"] == 90
    assert found["incident.worker_errors", first["metadata"]["name"]]["value"] == 1
    [action] = record["remedy"]["actions"]
    assert (action["action"], action["object"], action["from"]) == (
        "park",
        f"Deployment {namespace}/worker",
        "3 replicas",
    )
    replicas = {each.metadata.name: each.spec.replicas for each in apps.list_namespaced_deployment(namespace).items}
    assert replicas == {"worker": 0, "web": 1}
