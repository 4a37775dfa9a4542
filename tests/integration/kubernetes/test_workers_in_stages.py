"""Role queue_operations with workers in Kubernetes: parked, and brought back behind a gate that Prometheus opens."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes import client, config
from lab.http_stub import HttpStub
from lab.kubernetes import KubernetesApi
from lab.paths import REPOSITORY
from lab.play import RoleRun, run_role
from lab.redis import RedisServer

# One API server for all of them.
pytestmark = pytest.mark.xdist_group("kubernetes")


@pytest.fixture
def replicas(api: KubernetesApi, kubeconfig: Path, namespace: str) -> Iterator[Callable[[], dict[str, int]]]:
    """Two workers as the role's README names them, and how many replicas each has, by the official client."""
    for name, count in (("worker-normal", 4), ("worker-batch", 2)):
        labels = {"app": name}
        template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "app", "image": "shop/worker:1"}]}}
        api.create(
            {
                "apiVersion": "apps/v1",
                "kind": "Deployment",
                "metadata": {"name": name, "namespace": namespace},
                "spec": {"replicas": count, "selector": {"matchLabels": labels}, "template": template},
            }
        )
    apps = client.AppsV1Api(config.new_client_from_config(str(kubeconfig)))

    def read() -> dict[str, int]:
        found = apps.list_namespaced_deployment(namespace).items
        return {each.metadata.name: each.spec.replicas for each in found}

    yield read
    api.delete("Namespace", "", namespace)


def plans() -> dict[str, Any]:
    """Those of the role's README, with a shorter watch and without what needs a queue with jobs."""
    text = (REPOSITORY / "roles" / "queue_operations" / "README.md").read_text(encoding="utf-8")
    found: dict[str, Any] = yaml.safe_load(text.partition("```yaml\n")[2].partition("```")[0])
    plans: dict[str, Any] = found["queue_operations_plans"]
    del plans["throttle"][0]["park"]["workloads"][0]
    plans["resume"] = [{**each, "watch": "1s"} for each in plans["resume"] if "unpark" in each]
    assert [each["name"] for each in plans["resume"]] == ["one worker of each", "everything as it was"]
    return plans


def test_the_gate_holds_and_opens(
    kubeconfig: Path, namespace: str, replicas: Callable[[], dict[str, int]], tmp_path: Path
) -> None:
    """The manual looks at "normal" for ten minutes. Here a figure says it, and what it does not say closes the gate."""
    left = ["5"]

    def query(_request: Any) -> Any:
        vector = [{"metric": {}, "value": [0, left[0]]}]
        return {"status": "success", "data": {"resultType": "vector", "result": vector}}

    with RedisServer() as redis, HttpStub({"/api/v1/query": query}) as prometheus:
        variables = {
            **{f"redis_{name}": value for name, value in redis.login().items()},
            "kubernetes_kubeconfig": str(kubeconfig),
            "kubernetes_namespace": namespace,
            "ansible_python_interpreter": sys.executable,
            "queue_operations_plans": plans(),
            "queue_operations_watch_interval": 1,
            "queue_operations_library": ["bullmq"],
            "queue_operations_prometheus": {
                "url": prometheus.url,
                "targets": False,
                "queries": [{"name": "limit_percent", "query": "min(limit_remaining_percent)"}],
            },
            "queue_operations_gate_rules": [
                {
                    "id": "queue_gate.limiter",
                    "description": "calls that are left",
                    "value": "metrics.values.limit_percent",
                    "critical": "< 20",
                    "unit": "percent",
                    "summary": "{value} of the calls are left",
                    "remedy": "Wait.",
                }
            ],
        }

        def run(**chosen: Any) -> RoleRun:
            return run_role(tmp_path, "queue_operations", {**variables, **chosen})

        known = variables["queue_operations_plans"]
        held = run(queue_operations_stages=known["throttle"] + known["resume"])
        assert held.of("critical") == [("queue_operations.gate", "one worker of each")]
        assert "5 % of the calls are left" in held.finding("queue_operations.gate")["summary"]
        # One of each was started, and is parked again; nothing went on, and nothing is forgotten.
        names = ["no worker", "one worker of each", "one worker of each, undone"]
        assert [each["name"] for each in held.facts["stages"]] == names
        numbers = [each["after"]["deployment/worker-normal"]["replicas"] for each in held.facts["stages"]]
        assert (numbers, replicas()) == ([0, 1, 0], {"worker-normal": 0, "worker-batch": 0})

        # What cannot be asked is not known: the stage is undone as well.
        unasked = run(plan="resume", queue_operations_prometheus={"url": "nowhere", "queries": []})
        assert unasked.of("critical") == [("queue_operations.gate", "one worker of each")]
        assert (
            "the gate cannot be read: url: 'nowhere' is not accepted"
            in unasked.finding("queue_operations.gate")["summary"]
        )
        assert replicas() == {"worker-normal": 0, "worker-batch": 0}

        left[0] = "80"
        opened = run(plan="resume")
        assert opened.of("critical", "unknown", "warning") == []
        assert [each["name"] for each in opened.facts["stages"]] == ["one worker of each", "everything as it was"]
        assert replicas() == {"worker-normal": 4, "worker-batch": 2}
