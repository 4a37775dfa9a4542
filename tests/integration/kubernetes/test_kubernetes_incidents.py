"""crashloop and slow_api as the engineer on call answers them: evidence first, and nothing that is not proven."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from lab.http_stub import HttpStub
from lab.kubernetes import KubernetesApi
from lab.kubernetes.hammer import Hammer
from lab.play import ansible_playbook
from lab.postgresql import PostgresServer
from lab.process import eventually

# One API server for all of them.
pytestmark = pytest.mark.xdist_group("kubernetes")

Respond = Callable[..., tuple[dict[str, Any], dict[str, Any]]]
WEB = "registry.example.com/shop/web"
APPLY = ("-e", "incident_response_apply=true", "-e", "confirm=shop")


@pytest.fixture
def respond(kubeconfig: Path, namespace: str, tmp_path: Path) -> Respond:
    """Run the playbook; its evidence and its timeline."""

    def run(
        incident: str, *arguments: str, expect: int, databases: Any = (), unknown: Any = (), **variables: Any
    ) -> Any:
        local = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable, "runbook_system": "shop"}
        cluster = {"kubernetes_kubeconfig": str(kubeconfig), "kubernetes_namespace": namespace}
        inventory = {
            "kubernetes": {"hosts": {"cluster": {**local, **cluster, **variables}}},
            "postgresql": {"hosts": dict(databases)},
        }
        (tmp_path / "inventory.yml").write_text(json.dumps(inventory), encoding="utf-8")
        completed = ansible_playbook(
            tmp_path, "-i", "inventory.yml", "runbook.ops.respond_incident", "-e", f"incident={incident}", *arguments
        )
        print(completed.stdout)
        assert completed.returncode == expect
        assert "Traceback" not in completed.stdout
        findings = json.loads((tmp_path / "runbook-report-incident" / "findings.json").read_text(encoding="utf-8"))
        assert [each["id"] for each in findings if each["severity"] == "unknown"] == list(unknown)
        (folder,) = (tmp_path / "runbook-incidents").iterdir()
        names = ("evidence", "timeline")
        return [json.loads((folder / f"{name}-cluster.json").read_text(encoding="utf-8")) for name in names]

    return run


def deployment(api: KubernetesApi, namespace: str, name: str, image: str, **container: Any) -> None:
    labels = {"app": name}
    spec = {"containers": [{"name": "app", "image": image, **container}]}
    api.create(
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": name, "namespace": namespace},
            "spec": {
                "replicas": 2,
                "selector": {"matchLabels": labels},
                "template": {"metadata": {"labels": labels}, "spec": spec},
            },
        }
    )


def ready(api: KubernetesApi, namespace: str, name: str) -> bool:
    status = api.get("Deployment", namespace, name).get("status") or {}
    return bool(status.get("availableReplicas") == status.get("updatedReplicas") == 2)


def waiting(api: KubernetesApi, namespace: str, name: str) -> list[str]:
    """The pods of a Deployment of which a container waits after it has failed."""
    return [
        pod["metadata"]["name"]
        for pod in api.list("Pod", namespace)
        if (pod["metadata"].get("labels") or {}).get("app") == name
        for each in (pod.get("status") or {}).get("containerStatuses") or ()
        if (each.get("state") or {}).get("waiting", {}).get("reason")
        in ("CrashLoopBackOff", "CreateContainerConfigError")
    ]


def image(api: KubernetesApi, namespace: str, name: str) -> str:
    return str(api.get("Deployment", namespace, name)["spec"]["template"]["spec"]["containers"][0]["image"])


@contextlib.contextmanager
def prometheus(value: str) -> Iterator[dict[str, Any]]:
    """A Prometheus that has one answer, and how it is declared."""
    answer = {"resultType": "vector", "result": [{"metric": {}, "value": [1769817600, value]}]}
    query = "histogram_quantile(0.95, sum by (le) (rate(http_request_duration_seconds_bucket[5m])))"
    with HttpStub({"/api/v1/query": {"status": "success", "data": answer}}) as stub:
        yield {"url": stub.url, "targets": False, "queries": [{"name": "latency_p95", "query": query}]}


def found(told: dict[str, Any]) -> dict[str, str]:
    return {f"{each['id']} {each['object']}".strip(): each["severity"] for each in told["found"]}


def test_crashloop(api: KubernetesApi, namespace: str, respond: Respond) -> None:
    """The manual scales to 0 and back to 3: an outage, and the last words are gone."""
    deployment(api, namespace, "web", f"{WEB}:1")
    key = {"name": "KEY", "valueFrom": {"secretKeyRef": {"name": "shop-keys", "key": "API_KEY"}}}
    deployment(api, namespace, "beat", f"{WEB}/beat:1", env=[key])
    service = {"selector": {"app": "web"}, "ports": [{"port": 80}]}
    api.create(
        {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web", "namespace": namespace}, "spec": service}
    )
    eventually(lambda: ready(api, namespace, "web"), "the first revision")
    change = {"spec": {"template": {"spec": {"containers": [{"name": "app", "image": f"{WEB}/crash:2"}]}}}}
    api.change("Deployment", namespace, "web", change)
    eventually(lambda: bool(waiting(api, namespace, "web") and waiting(api, namespace, "beat")), "the crash")
    (crashed, *_) = waiting(api, namespace, "web")
    api.log(namespace, crashed, "app", "ERROR cannot read settings; DB_PASSWORD=hunter2hunter2\n", previous=True)

    remedies = json.dumps({"incident_response_remedy_options": {"crashloop": {"schema_compatible": True}}})
    with Hammer(api.serve(namespace, "web")) as hammer:
        evidence, told = respond("crashloop", *APPLY, "-e", remedies, expect=2)
    assert (hammer.errors, set(hammer.images)) == (0, {f"{WEB}:1"})

    # What was there before anything was touched.
    severities = found(told)
    assert severities[f"incident.pod {namespace}/web CrashLoopBackOff"] == "critical"
    assert severities[f"incident.pod {namespace}/beat CreateContainerConfigError"] == "critical"
    assert severities[f"incident.deployed {namespace}/web"] == "warning"
    assert any(each.startswith(f"incident.reference {namespace}/beat Secret shop-keys") for each in severities), (
        severities
    )
    logs = [log for each in evidence["logs"] for log in each["logs"] if log["pod"] == crashed and log["previous"]]
    assert "cannot read settings" in str(logs)
    assert "hunter2" not in json.dumps([evidence, told])
    # One is gone back from, and proven; the other one a restart would not help.
    assert [(each["action"], each["from_images"]) for each in told["remedy"]["actions"]] == [
        ("undo", {"app": f"{WEB}/crash:2"})
    ]
    assert (told["failures"], told["remedy"]["refused"]) == ([], [])
    assert (image(api, namespace, "web"), ready(api, namespace, "web")) == (f"{WEB}:1", True)
    assert image(api, namespace, "beat") == f"{WEB}/beat:1"
    left = {each["object"] for each in told["left"] if each["id"] == "incident.pod" and each["severity"] != "ok"}
    assert left == {f"{namespace}/beat CreateContainerConfigError"}


def autoscaled(api: KubernetesApi, namespace: str) -> None:
    """An API with a full autoscaler, and two revisions."""
    deployment(api, namespace, "api", f"{WEB}:1")
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "api"}
    cpu = {"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 70}}}
    spec = {"scaleTargetRef": target, "minReplicas": 1, "maxReplicas": 2, "metrics": [cpu]}
    api.create(
        {
            "apiVersion": "autoscaling/v2",
            "kind": "HorizontalPodAutoscaler",
            "metadata": {"name": "api", "namespace": namespace},
            "spec": spec,
        }
    )
    api.load(namespace, "api", 150)
    change = {"spec": {"template": {"spec": {"containers": [{"name": "app", "image": f"{WEB}:2"}]}}}}
    eventually(lambda: ready(api, namespace, "api"), "the first revision")
    api.change("Deployment", namespace, "api", change)
    eventually(lambda: image(api, namespace, "api") == f"{WEB}:2" and ready(api, namespace, "api"), "the second one")


def bounds(api: KubernetesApi, namespace: str) -> tuple[int, int]:
    spec = api.get("HorizontalPodAutoscaler", namespace, "api")["spec"]
    return spec["minReplicas"], spec["maxReplicas"]


def test_slow_api_after_a_rollout(api: KubernetesApi, namespace: str, respond: Respond) -> None:
    """The plan goes back, not out: the manual scales to a ceiling that is reached already."""
    autoscaled(api, namespace)
    service = {"selector": {"app": "api"}, "ports": [{"port": 80}]}
    api.create(
        {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "api", "namespace": namespace}, "spec": service}
    )
    with prometheus("2.5") as declared:
        evidence, told = respond(
            "slow_api", "-e", "workload=api", expect=0, kubernetes_api_url=api.serve(namespace, "api"),
            incident_response_prometheus=declared,
        )  # fmt: skip
    severities = found(told)
    assert severities[f"incident.deployed {namespace}/api"] == "warning"
    assert severities[f"incident.ceiling {namespace}/api"] == "warning"
    assert severities["incident.measured_latency Prometheus"] == "warning"
    assert (evidence["answers"][0]["answered_count"], evidence["metrics"][0]["values"]) == (10, {"latency_p95": 2.5})
    assert [each["number"] for each in evidence["suspects"][0]["revisions"]] == [1, 2]
    (refused,) = told["remedy"]["refused"]
    assert "nobody has said that revision 1" in refused["reason"]
    assert (image(api, namespace, "api"), bounds(api, namespace)) == (f"{WEB}:2", (1, 2))


@pytest.mark.parametrize("pool_size", [10, 40], ids=["fits", "does not fit"])
def test_slow_api_at_the_ceiling(
    api: KubernetesApi, namespace: str, respond: Respond, postgresql_server: PostgresServer, pool_size: int
) -> None:
    """F71: more pods only as far as the database has connections for the pools of all of them."""
    autoscaled(api, namespace)
    login = {f"postgresql_{name}": value for name, value in postgresql_server.login().items()}
    pools = [{"application": "api", "instances": 2, "instances_max": 2, "pool_size": pool_size}]
    remedies = json.dumps({"incident_response_remedy_options": {"slow_api": {"deployed_within": 0}}})
    # Without requests there is no latency, which is not a good one.
    with prometheus("NaN" if pool_size == 40 else "0.2") as declared:
        _, told = respond(
            "slow_api", *APPLY, "-e", "workload=api", "-e", remedies, expect=0, kubernetes_database="db1",
            databases={"db1": {**login, "postgresql_pools": pools}}, incident_response_prometheus=declared,
            unknown=["incident.measured_latency"] if pool_size == 40 else [],
        )  # fmt: skip
    assert told["failures"] == []
    if pool_size == 10:
        assert (told["remedy"]["changed"], bounds(api, namespace)) == (True, (1, 4))
    else:
        (refused,) = told["remedy"]["refused"]
        assert refused["reason"].startswith("2 more with 40 database connections each need 80, and ")
        assert bounds(api, namespace) == (1, 2)
    assert image(api, namespace, "api") == f"{WEB}:2"
