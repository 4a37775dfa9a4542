"""k8s_pod_cleanup: pods that are left over go, and what is known about them does not; beside the manual's delete."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes import client, config
from lab.kubernetes import KubernetesApi
from lab.kubernetes.failures import HANG
from lab.kubernetes.module_runs import defaults_of, kill_module
from lab.paths import REPOSITORY
from lab.play import ansible_playbook

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption, RunbookError
from ansible_collections.runbook.ops.plugins.module_utils.common.outcome import Refused
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.client import Cluster
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.pod_cleanup import clean_up
from ansible_collections.runbook.ops.plugins.modules import k8s_pod_cleanup

pytestmark = pytest.mark.xdist_group("kubernetes")

RunModule = Callable[..., dict[str, Any]]
LONG_AGO = "2026-01-01T00:00:00Z"
NOW = "2026-01-03T00:00:00Z"
MESSAGE = "The node was low on resource: memory."
CONTAINER = {"name": "app", "image": "web:1", "imageID": "web@sha256:1", "ready": False, "restartCount": 0}
Plant = Callable[..., dict[str, Any]]


@pytest.fixture
def plant(api: KubernetesApi, namespace: str) -> Plant:
    def make(
        name: str, *, phase: str = "Failed", owner: str | None = "ReplicaSet", ended: str = LONG_AGO
    ) -> dict[str, Any]:
        state = {"terminated": {"exitCode": 137, "reason": "Error", "finishedAt": ended}}
        if phase == "Running":
            state = {"running": {"startedAt": ended}}
        owners = [{"apiVersion": "apps/v1", "kind": owner, "name": "web-7d4", "uid": "o", "controller": True}]
        evicted = {"reason": "Evicted", "message": MESSAGE} if phase == "Failed" else {}
        return api.create(
            {
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {"name": name, "namespace": namespace, "ownerReferences": owners if owner else []},
                "spec": {"containers": [{"name": "app", "image": "web:1"}], "nodeName": "node-a"},
                "status": {"phase": phase, **evicted, "containerStatuses": [{**CONTAINER, "state": state}]},
            }
        )

    return make


@pytest.fixture
def options(kubeconfig: Path, namespace: str) -> dict[str, Any]:
    return {
        **defaults_of(k8s_pod_cleanup),
        "kubeconfig": str(kubeconfig),
        "namespaces": [namespace],
        "reference_time": NOW,
    }


def names(api: KubernetesApi, namespace: str) -> list[str]:
    return sorted(each["metadata"]["name"] for each in api.list("Pod", namespace))


def test_the_evidence_outlives_the_pods(
    api: KubernetesApi,
    kubeconfig: Path,
    namespace: str,
    plant: Plant,
    options: dict[str, Any],
    run_module: RunModule,
    tmp_path: Path,
) -> None:
    core = client.CoreV1Api(config.new_client_from_config(str(kubeconfig)))
    for name in ("by-hand", "left-a", "left-b"):
        plant(name)
        api.log(namespace, name, "app", f"INFO ready\nFATAL out of room in {name}, password=hunter2\n")
    plant("attempt", owner="Job")
    plant("young", ended="2026-01-02T23:00:00Z")
    plant("lives", phase="Running")
    plant("tool", phase="Succeeded", owner=None)

    # The manual: list, delete what failed. Nothing is there to be read afterwards, and the Job's attempt and what
    # failed an hour ago would go as well; only one of them is let go here.
    core.delete_namespaced_pod("by-hand", namespace)
    with pytest.raises(client.ApiException) as gone:
        core.read_namespaced_pod_log("by-hand", namespace)
    assert gone.value.status == 404
    listed = core.list_namespaced_pod(namespace, field_selector="status.phase=Failed").items
    assert {"attempt", "young"} < {each.metadata.name for each in listed}

    given = {key: value for key, value in options.items() if value is not None}
    given["evidence_directory"] = str(tmp_path / "pods")
    before = names(api, namespace)
    plan = run_module("k8s_pod_cleanup", given, check_mode=True, diff=True)
    assert names(api, namespace) == before and not (tmp_path / "pods").exists()
    assert (plan["changed"], plan["after"], plan["refused"]) == (True, None, [])
    assert plan["diff"]["before"] == f"{namespace}/left-a\n{namespace}/left-b\n"
    done = run_module("k8s_pod_cleanup", given)
    assert [each["object"] for each in done["actions"]] == [each["object"] for each in plan["actions"]]
    assert names(api, namespace) == ["attempt", "lives", "tool", "young"]
    assert done["kept"] == {"of_job": 1, "young": 1}
    assert (done["before"], done["after"]) == ({namespace: {"failed_count": 4}}, {namespace: {"failed_count": 2}})

    first = done["evidence"][0]
    known = {"reason": "Evicted", "node": "node-a", "owner": "replicaset web-7d4", "ended_at": LONG_AGO}
    assert {key: first[key] for key in known} == known
    assert first["message"] == MESSAGE.rstrip(".")
    assert (first["containers"][0]["exit_code"], first["containers"][0]["signal"]) == (137, "SIGKILL")
    assert first["logs"][0]["lines"][-1].endswith("FATAL out of room in left-a, password=<hidden>")
    assert done["actions"][0]["reason"].startswith(
        f"Evicted on node-a 2 d ago: {MESSAGE[:-1]}; app ended with exit code"
    )
    kept = sorted((tmp_path / "pods").iterdir())
    assert [json.loads(path.read_text(encoding="utf-8")) for path in kept] == done["evidence"]
    assert {path.stat().st_mode & 0o777 for path in [*kept, tmp_path / "pods"]} == {0o600, 0o700}
    assert "hunter2" not in json.dumps([plan, done]) + "".join(path.read_text(encoding="utf-8") for path in kept)

    again = run_module("k8s_pod_cleanup", given)
    assert (again["changed"], again["actions"], again["after"]) == (False, [], done["after"])
    # What a Job had and a person left goes when that is asked for.
    more = clean_up({**options, "also_of": ["Job"], "completed_older_than": "1d"}, check_mode=False)
    assert [each["object"].rpartition("/")[2] for each in more["actions"]] == ["attempt", "tool"]
    assert names(api, namespace) == ["lives", "young"]


def test_what_is_refused_is_told_by_pod_and_stays(
    api: KubernetesApi,
    namespace: str,
    plant: Plant,
    options: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    pods = ["a", "b", "c", "d", "e"]
    for name in pods:
        plant(name)
    path = f"*/{namespace}/pods"
    # Too many are no plan, cut to size or not; and nothing at a bad time.
    report = {**options, "on_refusal": "report"}
    for extra, said in (
        ({"max_pods": 4}, "5 pods would be removed, which is more than max_pods (4)"),
        ({"blocked_window": ["Sat 00:00-01:00"]}, "kept free of changes"),
    ):
        refused = clean_up({**report, **extra}, check_mode=False)
        assert (refused["changed"], refused["actions"], names(api, namespace)) == (False, [], pods)
        assert said in refused["refused"][0]["reason"]
    # A log that may be there and cannot be read keeps its pod; one that the kubelet has no more does not.
    api.fail("GET", f"{path}/a/log", 403, None)
    api.fail("GET", f"{path}/b/log", 404, None)
    api.fail("DELETE", f"{path}/c", 403, None)
    api.fail("DELETE", f"{path}/d", 409, None)
    try:
        plan = clean_up(report, check_mode=True)
        with pytest.raises(Refused) as raised:
            clean_up(options, check_mode=False)
    finally:
        api.heal()
    result: Any = raised.value.details
    by_pod = {each["object"].rpartition("/")[2]: each["reason"] for each in result["refused"]}
    assert sorted(by_pod) == ["a", "c", "d"]
    assert "the log of its container app could not be read" in by_pod["a"] and "verb get on pods/log" in by_pod["a"]
    assert "verb delete on pods" in by_pod["c"] and "changed by somebody else" in by_pod["d"]
    assert {each["object"] for each in plan["refused"]} == {each["object"] for each in result["refused"]}
    assert names(api, namespace) == ["a", "c", "d"]
    assert [each["logs"][0]["available"] for each in result["evidence"]] == [False, False, True, True, True]

    # Another pod of that name, or one that lives again, is not the one that was looked at.
    read = pod_reads(monkeypatch, lambda: api.change("Pod", namespace, "a", {"status": {"phase": "Running"}}))
    changed = clean_up(report, check_mode=False)
    assert read == ["a", "c", "d"]
    assert changed["refused"][0]["reason"] == "it changed while it was looked at (active)"
    assert names(api, namespace) == ["a"]

    # A cluster that says nothing, or is busy, and a disk that takes no evidence: in time, and with nothing gone.
    api.change("Pod", namespace, "a", {"status": {"phase": "Failed"}})
    plant("z")
    (tmp_path / "file").write_text("", encoding="utf-8")
    quick = {**report, "read_timeout": 0.5, "log_lines": 0}
    for failure, extra, word in (
        (HANG, {}, "does not answer in time"),
        (500, {}, "HTTP status 500"),
        (429, {}, "HTTP status 429"),
        (None, {"evidence_directory": str(tmp_path / "file")}, "Cannot create"),
    ):
        if failure is not None:
            api.fail("DELETE", f"{path}/*", failure, None)
        stopped = clean_up({**quick, **extra}, check_mode=False)
        api.heal()
        assert [each["object"].rpartition("/")[2] for each in stopped["refused"]] == ["a", "z"]
        assert all(word in each["reason"] for each in stopped["refused"]), stopped["refused"]
        assert (stopped["changed"], names(api, namespace)) == (False, ["a", "z"])

    api.change("Pod", namespace, "z", {"status": {"containerStatuses": [{"name": "app", "state": None}]}})
    undated = clean_up(report, check_mode=False)
    assert [each["reason"] for each in undated["refused"]] == ["nobody says when it ended"]
    assert (undated["kept"], names(api, namespace)) == ({"undated": 1}, ["z"])

    missing = clean_up({**report, "namespaces": [f"{namespace}-x"]}, check_mode=False)
    assert missing["refused"][0]["reason"] == "this namespace does not exist"
    for option, value in (("older_than", "soon"), ("max_pods", 0), ("namespaces", []), ("log_timeout", 0)):
        with pytest.raises(InvalidOption, match=option):
            clean_up({**options, option: value}, check_mode=False)
    with pytest.raises(RunbookError, match="cannot be reached"):
        clean_up({**options, "kubeconfig": None, "host": "http://127.0.0.1:1"}, check_mode=False)


def pod_reads(monkeypatch: pytest.MonkeyPatch, first: Callable[[], object]) -> list[str]:
    """The pods that are read alone; before the first of them is, something happens."""
    found: list[str] = []
    whole = Cluster.find

    def find(self: Cluster, kind: str, namespace: str | None, name: str) -> Any:
        if not found:
            first()
        found.append(name)
        return whole(self, kind, namespace, name)

    monkeypatch.setattr(Cluster, "find", find)
    return found


def test_a_run_that_is_killed_has_lost_nothing(
    api: KubernetesApi, namespace: str, plant: Plant, options: dict[str, Any], tmp_path: Path
) -> None:
    for name in ("a", "b"):
        plant(name)
    given = {key: value for key, value in options.items() if value is not None}
    given["evidence_directory"] = str(tmp_path)
    api.fail("DELETE", f"*/{namespace}/pods/b", HANG, None)
    try:
        kill_module("k8s_pod_cleanup", {**given, "read_timeout": 300}, lambda: len(names(api, namespace)) == 1)
    finally:
        api.heal()
    # Nobody has its result, and what it knew of the pod that is gone is there.
    [kept] = tmp_path.glob("*_a_*.json")
    assert json.loads(kept.read_text(encoding="utf-8"))["reason"] == "Evicted"
    done = clean_up({**options, "evidence_directory": str(tmp_path)}, check_mode=False)
    assert [each["object"] for each in done["actions"]] == [f"{namespace}/b"]
    assert names(api, namespace) == []


def test_the_playbook_keeps_why_in_its_report(
    api: KubernetesApi, kubeconfig: Path, namespace: str, plant: Plant, tmp_path: Path
) -> None:
    """With what the role's README declares."""
    readme = (REPOSITORY / "roles" / "disk_cleanup" / "README.md").read_text(encoding="utf-8")
    declared = yaml.safe_load(readme.split("```yaml\n")[1].split("```", 1)[0])
    declared["disk_cleanup_kubernetes"].update(namespaces=[namespace], evidence_directory=str(tmp_path / "pods"))
    plant("left")
    api.log(namespace, "left", "app", "FATAL out of room\n")
    host = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
    given = {
        **declared,
        "kubernetes_kubeconfig": str(kubeconfig),
        "runbook_system": "shop",
        "clean_up_destination": str(tmp_path / "report"),
    }
    inventory = {"all": {"vars": given, "children": {"kubernetes": {"hosts": {"cluster": host}}}}}
    (tmp_path / "inventory.yml").write_text(json.dumps(inventory), encoding="utf-8")
    command = ["-i", "inventory.yml", "runbook.ops.clean_up", "-e", "confirm=shop"]
    done = ansible_playbook(tmp_path, *command)
    assert done.returncode == 0, done.stdout
    [change] = json.loads((tmp_path / "report" / "changes.json").read_text(encoding="utf-8"))
    assert (change["status"], change["object"], change["host"]) == ("done", f"{namespace}/left", "cluster")
    assert change["summary"].startswith("Evicted on node-a ") and "FATAL out of room" in change["summary"]
    assert names(api, namespace) == [] and len(list((tmp_path / "pods").iterdir())) == 1
