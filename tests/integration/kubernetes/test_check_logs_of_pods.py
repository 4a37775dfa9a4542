"""The role check_logs over the pods of a cluster: its README's play, beside what reads one pod."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes import client, config
from lab.kubernetes import KubernetesApi
from lab.paths import REPOSITORY
from lab.play import run_role

pytestmark = pytest.mark.xdist_group("kubernetes")

SHOP = "shop"
ANSWER = "ERROR payment of kim@example.com refused"
PODS = {
    # What kubectl logs deployment/api reads: the first one, which is well.
    ("api", "api-a"): "INFO ready\n",
    ("api", "api-b"): f"INFO ready\n{ANSWER}\n{ANSWER}\n",
    ("api", "api-c"): f"{ANSWER}\n",
    ("worker", "worker-a"): "INFO idle\n",
    ("imports", "imports-a"): "INFO done, 0 errors\n",
}


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[KubernetesApi, Path]]:
    with KubernetesApi(controllers=()) as api:
        for name in ("api", "worker"):
            spec = {"selector": {"matchLabels": {"app": name}}, "template": {"metadata": {"labels": {"app": name}}}}
            metadata = {"name": name, "namespace": SHOP}
            api.create({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": spec})
        for (app, pod), text in PODS.items():
            status = {
                "name": app,
                "restartCount": 0,
                "state": {"running": {}},
                "imageID": "",
                "image": "",
                "ready": True,
            }
            api.create(
                {
                    "apiVersion": "v1",
                    "kind": "Pod",
                    "metadata": {"name": pod, "namespace": SHOP, "labels": {"app": app}},
                    "spec": {"containers": [{"name": app}]},
                    "status": {"phase": "Running", "containerStatuses": [status]},
                }
            )
            api.log(SHOP, pod, app, text)
        yield api, api.kubeconfig(tmp_path_factory.mktemp("kubernetes") / "kubeconfig")


def example() -> dict[str, Any]:
    """The variables of the README's play for clusters."""
    readme = (REPOSITORY / "roles" / "check_logs" / "README.md").read_text(encoding="utf-8")
    plays = [yaml.safe_load(block.split("```", 1)[0])[0] for block in readme.split("```yaml\n")[1:]]
    [play] = [each for each in plays if each["hosts"] == "kubernetes"]
    return dict(play["roles"][0]["vars"])


def test_errors_of_all_pods_are_counted(cluster: tuple[KubernetesApi, Path], tmp_path: Path) -> None:
    api, kubeconfig = cluster
    core = client.CoreV1Api(config.new_client_from_config(str(kubeconfig)))
    first = core.list_namespaced_pod(SHOP, label_selector="app=api").items[0].metadata.name
    assert "ERROR" not in core.read_namespaced_pod_log(first, SHOP), "the old command says that all is well"
    texts = [core.read_namespaced_pod_log(pod, SHOP) for (app, pod) in PODS if app == "api"]

    given = {**example(), "kubernetes_kubeconfig": str(kubeconfig)}
    run = run_role(tmp_path, "check_logs", given)
    assert run.of("warning", "critical") == [("logs.workload_errors", "shop/api")]
    found = run.finding("logs.workload_errors", "shop/api")
    assert found["value"] == sum(text.count("ERROR") for text in texts) == 3
    assert found["summary"] == (
        "3 errors in the logs of 2 of 3 pods, most of them like: ERROR payment of <hidden> refused"
    )
    assert run.of("unknown") == []
    assert "kim@example.com" not in str(run.findings) + str(run.facts) + run.output

    # A log that nobody may read, a workload that is not there, and a ladder of one's own.
    api.fail("GET", "*/pods/worker-a/log", 403, None)
    gone = [*given["check_logs_workloads"], {"name": "gone"}]
    ladder = {"logs.workload_errors": {"warning": "> 5", "critical": "> 9"}}
    again = run_role(
        tmp_path, "check_logs", {**given, "check_logs_workloads": gone, "check_logs_rule_overrides": ladder}
    )
    api.heal()
    assert again.of("warning", "critical") == [
        ("logs.workload_readable", "shop/gone"),
        ("logs.workload_unread", "shop/worker"),
    ]
    assert again.finding("logs.workload_unread", "shop/worker")["summary"] == (
        "1 of 1 logs of worker could not be read as a whole"
    )
    assert again.of("unknown") == []
