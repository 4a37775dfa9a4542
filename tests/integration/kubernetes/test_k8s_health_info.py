"""k8s_health_info over StoreBridge's and AutoClip's bad nights, beside what the manuals look at."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from kubernetes import client, config
from lab.kubernetes import KubernetesApi
from lab.kubernetes.module_runs import defaults_of
from lab.kubernetes.systems import autoclip, storebridge
from lab.ports import free_port
from lab.process import eventually

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.health import ask
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.health.collect import SECTIONS, read_health
from ansible_collections.runbook.ops.plugins.modules import k8s_health_info

pytestmark = pytest.mark.xdist_group("kubernetes")

RunModule = Callable[..., dict[str, Any]]
DEFAULTS = defaults_of(k8s_health_info)
WORKLOAD = {
    option: spec.get("default") for option, spec in k8s_health_info.argument_spec()["workloads"]["options"].items()
}


_CLAIM = {"containers": [], "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}]}


class Look:
    """A cluster, and the module's way to it."""

    def __init__(self, api: KubernetesApi, kubeconfig: Path) -> None:
        self.api = api
        self.kubeconfig = kubeconfig
        self.core = client.CoreV1Api(config.new_client_from_config(str(kubeconfig)))

    def health(self, *namespaces: str, **options: Any) -> dict[str, Any]:
        """The module's result, and nothing else among the cluster's requests."""
        self.api.requests.clear()
        given = {**DEFAULTS, "kubeconfig": str(self.kubeconfig), "namespaces": list(namespaces), **options}
        return read_health(given)

    @property
    def asked(self) -> list[str]:
        return [request.path for request in self.api.requests]


@pytest.fixture(scope="module")
def make_look(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[KubernetesApi], Look]]:
    def make(api: KubernetesApi) -> Look:
        return Look(api, api.kubeconfig(tmp_path_factory.mktemp("cluster") / "kubeconfig"))

    yield make


@pytest.fixture(scope="module")
def bridge(make_look: Callable[[KubernetesApi], Look]) -> Iterator[Look]:
    with KubernetesApi() as api:
        storebridge.build(api, "degraded")
        yield make_look(api)


@pytest.fixture(scope="module")
def clip(make_look: Callable[[KubernetesApi], Look]) -> Iterator[Look]:
    with KubernetesApi() as api:
        autoclip.build(api, "degraded")
        eventually(lambda: _endpoints(api) == 10, "the API's endpoints")
        yield make_look(api)


def _endpoints(api: KubernetesApi) -> int:
    label = "kubernetes.io/service-name"
    slices = [
        each for each in api.list("endpointslices", "autoclip") if each["metadata"]["labels"][label] == "autoclip-api"
    ]
    return sum(len(each["endpoints"]) for each in slices)


@pytest.fixture
def small(make_look: Callable[[KubernetesApi], Look]) -> Iterator[Look]:
    """A cluster of which nothing happens by itself."""
    with KubernetesApi(controllers=()) as api:
        yield make_look(api)


def pod(name: str, namespace: str = "shop", **status: Any) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"containers": [{"name": "app", "image": "web:1"}]},
        "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}], **status},
    }


def status_column(found: Any) -> str:
    """What C(kubectl get pods) prints as STATUS, as far as these pods need it."""
    if found.status.reason:
        return str(found.status.reason)
    for each in found.status.container_statuses or ():
        if each.state.waiting:
            return str(each.state.waiting.reason)
        if each.state.terminated:
            return str(each.state.terminated.reason)
    return str(found.status.phase)


def is_ready(found: Any) -> bool:
    return any(each.type == "Ready" and each.status == "True" for each in found.status.conditions or ())


def test_every_planted_pod_once_with_its_reason(bridge: Look) -> None:
    result = bridge.health(
        storebridge.NAMESPACE,
        workloads=[
            {**WORKLOAD, "name": "storebridge-beat", "exactly": 1},
            {**WORKLOAD, "name": "storebridge-web-admin"},
        ],
    )
    assert len(bridge.asked) <= 10, bridge.asked
    assert (result["available"], result["skipped_sections"], result["is_truncated"]) == (True, [], False)
    groups = {
        (each["workload"], each["reason"], each["pods_count"], each["last_exit_code"], each["last_signal"])
        for each in result["pods"]["groups"]
    }
    assert groups == {
        ("storebridge-web", "CrashLoopBackOff", 1, 1, None),
        ("storebridge-web", "NotReady", 1, None, None),
        ("storebridge-worker-normal", "OOMKilled", 1, 137, "SIGKILL"),
        ("storebridge-worker-batch", "Unschedulable", 1, None, None),
        ("storebridge-worker-batch", "CreateContainerConfigError", 1, None, None),
        ("grafana", "ImagePullBackOff", 1, None, None),
    }
    details = {each["reason"]: each["detail"] for each in result["pods"]["groups"]}
    assert details["CreateContainerConfigError"].endswith(
        f"the key {storebridge.MISSING_KEY} is missing in Secret {storebridge.SECRET}"
    )
    assert details["NotReady"].endswith("its readiness probe (GET /health on port 8000) fails")
    assert details["Unschedulable"].startswith("0/3 nodes are available: 3 Insufficient memory")
    assert "grafana/grafana:12.1.1O" in details["ImagePullBackOff"]

    # Each once, and exactly those that the official client finds not ready and not done.
    unwell = [each["name"] for each in result["pods"]["unhealthy"]]
    listed = bridge.core.list_namespaced_pod(storebridge.NAMESPACE).items
    assert sorted(unwell) == sorted(
        each.metadata.name for each in listed if not is_ready(each) and each.status.phase != "Succeeded"
    )
    # The manual's "grep -v Running" shows the backups of three nights, which are well, and hides a pod that serves
    # nobody.
    shown = {each.metadata.name for each in listed if status_column(each) != "Running"}
    assert {name for name in shown if name not in unwell} == {
        each.metadata.name for each in listed if each.status.phase == "Succeeded"
    }
    assert result["pods"]["completed_count"] == 3
    hidden = set(unwell) - shown
    assert [each["reason"] for each in result["pods"]["unhealthy"] if each["name"] in hidden] == ["NotReady"]

    # What no pod can say: one that is missing, and one scheduler too many.
    workloads = {each["workload"]: each for each in result["workloads"]}
    assert workloads["storebridge-web-admin"]["is_missing"] is True
    assert [workloads["storebridge-beat"][key] for key in ("is_exact", "live_pods_count", "is_down")] == [
        False,
        2,
        False,
    ]
    assert [workloads["grafana"][key] for key in ("is_down", "unavailable_count", "unexplained_count")] == [True, 1, 0]
    assert workloads["postgres"]["kind"] == "statefulset"
    [claim] = result["claims"]
    assert (claim["is_growing"], claim["requested_bytes"] > claim["capacity_bytes"]) == (True, True)
    [backup] = result["cron_jobs"]
    # Planted up to five minutes after it was due.
    assert (backup["late_seconds"] < 600, backup["interval_seconds"], backup["is_last_failed"]) == (True, 86400, False)
    assert {each["is_failed"] for each in result["jobs"]} == {False}


def test_all_sections_and_no_secret(bridge: Look) -> None:
    bridge.api.no_metrics()
    before = bridge.health(storebridge.NAMESPACE, sections=["usage", "nodes"])
    assert [each["section"] for each in before["skipped_sections"]] == ["usage"]
    absent = before["skipped_sections"][0]
    assert [absent[key] for key in ("reason", "is_absent", "is_partial")] == [
        "the cluster has no metrics server",
        True,
        False,
    ]
    assert (before["usage"], before["pods"], before["claims"]) == (None, None, None)
    name = next(
        each["metadata"]["name"]
        for each in bridge.api.list("pods", storebridge.NAMESPACE)
        if "web-6d4f9c8b57-4kq8z" in each["metadata"]["name"]
    )
    bridge.api.metrics(storebridge.NAMESPACE, name, "200m", "480Mi")
    bridge.api.node_metrics(storebridge.NODES[0], "2", "8Gi")
    try:
        result = bridge.health(sections=list(SECTIONS))
    finally:
        bridge.api.no_metrics()
    assert [each["section"] for each in result["skipped_sections"]] == []
    # The metrics server tells of others, too; this one is near its limit of 512Mi.
    [usage] = [each for each in result["usage"] if each["workload"] == "storebridge-web" and each["pods_count"]]
    assert usage["memory_limit_percent"] == 93.8
    first = next(each for each in result["nodes"] if each["name"] == storebridge.NODES[0])
    assert (first["used_cpu_percent"], first["used_memory_percent"], first["is_load_known"]) == (50.0, 50.0, True)
    assert first["requested_memory_percent"] > 0
    missing = {(each["workload"], each["missing"]) for each in result["references"]}
    key = f"key {storebridge.MISSING_KEY} of Secret {storebridge.SECRET}"
    assert missing == {("storebridge-worker-batch", key), ("storebridge-worker-normal", key)}
    assert [value for value in storebridge.SECRET_VALUES.values() if value in json.dumps(result)] == []
    [volume] = result["volumes"]
    assert [volume[key] for key in ("claim", "used_percent", "inodes_used_percent")] == [storebridge.CLAIM, 93.0, 1.2]
    assert result["version"].startswith("v1.")
    # Without namespaces the whole cluster is looked at.
    assert {each["namespace"] for each in result["workloads"]} == {storebridge.NAMESPACE}


def test_certificates_that_are_ready_and_end(clip: Look) -> None:
    result = clip.health(*autoclip.NAMESPACES, sections=[*SECTIONS[:8], "services", "ingresses"])
    # All four namespaces by one listing of each kind.
    assert len(clip.asked) == len(set(clip.asked)) == 14, clip.asked
    assert {each["exists"] for each in result["namespaces"]} == {True}
    days = {each["certificate"]: (int(each["days_left"]), each["is_ready"]) for each in result["certificates"]}
    assert days == {"autoclip-api": (5, True), "n8n": (20, True), "www": (60, True)}
    # The manual's "kubectl get certificates" shows READY, which is True for the one that ends in five days.
    objects = client.CustomObjectsApi(clip.core.api_client)
    listed = objects.list_cluster_custom_object("cert-manager.io", "v1", "certificates")["items"]
    ready = [
        each["status"]["conditions"][0]["status"] for each in listed if each["metadata"]["namespace"] == "autoclip"
    ]
    assert ready == ["True", "True", "True"]

    scaled = {each["autoscaler"]: each for each in result["autoscalers"]}
    assert [scaled["autoclip-api"][key] for key in ("is_saturated", "is_blind", "max_count")] == [True, False, 10]
    assert scaled["autoclip-api"]["highest_target_percent"] == 137.1
    assert [scaled["worker"][key] for key in ("is_saturated", "is_blind")] == [False, True]
    assert scaled["worker"]["blind_reason"].startswith("FailedGetResourceMetric: ")
    # Two evicted and one that failed: remnants, while all ten are well.
    groups = {(each["reason"], each["effect"], each["pods_count"]) for each in result["pods"]["groups"]}
    assert groups == {("Evicted", "left_over", 2), ("Error", "left_over", 1)}
    [api] = [each for each in result["workloads"] if each["workload"] == "autoclip-api"]
    assert (api["unavailable_count"], api["gitops_owner"]) == (0, "Argo CD application autoclip-api")
    [snippet] = result["snippets"]
    assert snippet["annotations"] == ["nginx.ingress.kubernetes.io/server-snippet"]
    services = {each["service"]: (each["ready_count"], each["is_idle"]) for each in result["services"]}
    assert (services["autoclip-api"], services["autoclip-api-green"]) == ((10, False), (0, True))

    # Where the whole cluster must not be listed, the namespaces are, one by one.
    clip.api.deny("list", "pods")
    for namespace in autoclip.NAMESPACES:
        clip.api.allow("list", "pods", namespace)
    try:
        refused = clip.health("autoclip", "monitoring", sections=["pods"])
    finally:
        clip.api.allow()
    [skipped] = refused["skipped_sections"]
    assert (skipped["section"], refused["available"]) == ("pods", True)
    assert skipped["remedy"].startswith("Grant the user the verb list on pods")


def test_namespaces_one_by_one(small: Look) -> None:
    for namespace in ("shop", "blog"):
        small.api.create(pod("web", namespace))
    small.api.fail("GET", "/api/v1/pods", 403, None)
    result = small.health("shop", "blog", "gone", sections=["pods"])
    assert (result["pods"]["total_count"], result["skipped_sections"]) == (2, [])
    assert [(each["name"], each["exists"]) for each in result["namespaces"]] == [
        ("shop", True),
        ("blog", True),
        ("gone", False),
    ]


def test_a_namespace_that_goes_and_a_kind_that_is_not_shown(small: Look) -> None:
    """What still runs looks well, and nothing can be made any more."""
    goes = {"metadata": {"name": "shop"}, "status": {"phase": "Terminating"}}
    small.api.create({"apiVersion": "v1", "kind": "Namespace", **goes})
    held = pod("web")
    held["metadata"] |= {"finalizers": ["example.com/hold"], "deletionTimestamp": "2026-01-31T08:00:00Z"}
    small.api.create(held)
    small.api.deny("list", "statefulsets.apps")
    result = small.health("shop", workloads=[{**WORKLOAD, "kind": "statefulset", "name": "db"}])
    small.api.allow()
    assert [(each["exists"], each["is_terminating"]) for each in result["namespaces"]] == [(True, True)]
    # Nobody knows whether it is there; that is no yes, and no no.
    assert [(each["workload"], each["is_missing"]) for each in result["workloads"]] == [("db", None)]
    assert [(each["section"], each["is_partial"]) for each in result["skipped_sections"]] == [("workloads", True)]


def test_two_namespaces_of_a_crowded_cluster(small: Look, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(9):
        small.api.create(pod(f"other-{number}", "another"))
    for namespace in ("shop", "blog"):
        small.api.create(pod("web", namespace))
    monkeypatch.setattr(ask, "PAGE", 2)
    monkeypatch.setattr(ask, "MOST_OTHERS", 3)
    result = small.health("shop", "blog", sections=["pods"])
    assert sorted(each["name"] for each in result["namespaces"] if each["exists"]) == ["blog", "shop"]
    assert result["pods"]["total_count"] == 2
    # The rest of the others is not read, and of the next kind nothing of them.
    assert small.asked.count("/api/v1/pods") == 2
    assert [path for path in small.asked if "jobs" in path] == [
        f"/apis/batch/v1/namespaces/{namespace}/jobs" for namespace in ("shop", "blog")
    ]


def test_refusals_failures_and_silence_cost_a_section_each(small: Look) -> None:
    small.api.create(pod("web"))
    small.api.deny("list", "horizontalpodautoscalers.autoscaling")
    small.api.fail("GET", "*/events", 500, None)
    small.api.fail("GET", "*/certificates", 429, None)
    result = small.health("shop")
    skipped = {each["section"]: each for each in result["skipped_sections"]}
    assert set(skipped) == {"autoscalers", "events", "certificates"}
    assert skipped["autoscalers"]["remedy"].startswith(
        "Grant the user the verb list on horizontalpodautoscalers.autoscaling in namespace shop"
    )
    assert "HTTP status 500" in skipped["events"]["reason"]
    assert (result["autoscalers"], result["events"], result["pods"]["ready_count"]) == (None, None, 1)
    # A cluster without cert-manager has no certificates, and says that it has none.
    small.api.heal()
    small.api.fail("GET", "*/certificates", 404, None)
    without = small.health("shop", sections=["certificates"])
    assert (without["certificates"], without["skipped_sections"][0]["reason"]) == (
        [],
        "the cluster has no cert-manager",
    )
    # One that says nothing more: what was read stays, and nobody waits for each section again.
    small.api.heal()
    small.api.fail("GET", "*/cronjobs", "hang", None)
    silent = small.health("shop", read_timeout=0.5)
    assert (silent["available"], silent["pods"]["ready_count"], silent["cron_jobs"]) == (True, 1, None)
    unread = {each["section"] for each in silent["skipped_sections"]}
    # The nodes are nobody's namespace, and are looked at by name or with the whole cluster.
    assert {"cron_jobs", "workloads", "claims"} <= unread and not {"pods", "nodes"} & unread
    assert all("does not answer in time" in each["reason"] for each in silent["skipped_sections"])
    assert len([path for path in small.asked if "cronjobs" not in path]) == 3, small.asked
    # A kubelet that may not be asked: the figures of its claims are unknown, by name.
    small.api.heal()
    small.api.create({**pod("db"), "spec": {"nodeName": "a", **_CLAIM}})
    small.api.fail("GET", "*/proxy/stats/summary", 403, None)
    kubelet = small.health("shop", sections=["volumes"])
    assert [(each["claim"], each["node"], each["used_percent"]) for each in kubelet["volumes"]] == [("data", "a", None)]
    assert kubelet["skipped_sections"][0]["remedy"] == "Grant the user the verb get on nodes/proxy with a ClusterRole."


def test_nothing_at_all_is_data(small: Look, run_module: RunModule) -> None:
    small.api.fail("GET", "*", 500, None)
    broken = small.health("shop")
    assert (broken["available"], broken["pods"], "HTTP status 500" in broken["reason"]) == (False, None, True)
    small.api.heal()
    small.api.fail("GET", "*", "hang", None)
    silent = small.health("shop", read_timeout=0.5)
    assert (silent["available"], "does not answer in time" in silent["reason"]) == (False, True)
    down = run_module("k8s_health_info", {"host": f"http://127.0.0.1:{free_port()}", "namespaces": ["shop"]})
    assert (down["available"], down["changed"], down["workloads"]) == (False, False, None)
    assert "cannot be reached" in down["reason"]
    small.api.heal()
    with pytest.raises(InvalidOption, match=r"^workloads: 'web' is not accepted"):
        small.health(workloads=[{**WORKLOAD, "name": "web"}])
    with pytest.raises(InvalidOption, match=r"^max_pods: 0 is not accepted"):
        small.health(max_pods=0)
    assert small.asked == []


def test_two_thousand_pods_in_ten_requests(small: Look, monkeypatch: pytest.MonkeyPatch) -> None:
    waiting = {"state": {"waiting": {"reason": "CrashLoopBackOff"}}, "restartCount": 3}
    crash = {"conditions": [], "containerStatuses": [{"name": "app", **waiting}]}
    owner = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web-5c6d7f8b9", "uid": "x", "controller": True}
    for number in range(2000):
        document = pod(f"web-{number:04}", **(crash if number % 50 == 0 else {}))
        document["metadata"] |= {"ownerReferences": [owner], "labels": {"pod-template-hash": "5c6d7f8b9"}}
        small.api.create(document)
    # However its pods are run, and whether they keep anything.
    for kind, version in (("StatefulSet", "apps/v1"), ("DaemonSet", "apps/v1"), ("PersistentVolumeClaim", "v1")):
        metadata = {"name": "db", "namespace": "shop"}
        spec = {"resources": {"requests": {"storage": "1Gi"}}} if version == "v1" else {}
        small.api.create({"apiVersion": version, "kind": kind, "metadata": metadata, "spec": spec, "status": {}})
    result = small.health("shop")
    assert len(small.asked) == 10, small.asked
    assert ([each["kind"] for each in result["workloads"]], len(result["claims"])) == (["daemonset", "statefulset"], 1)
    assert (result["pods"]["total_count"], result["pods"]["unhealthy_count"]) == (2000, 40)
    # Forty pods of one workload are one thing to look at.
    [group] = result["pods"]["groups"]
    assert [group[key] for key in ("kind", "workload", "pods_count", "restarts")] == ["deployment", "web", 40, 120]
    # In pages, and no more than is wanted.
    monkeypatch.setattr(ask, "PAGE", 500)
    paged = small.health("shop", sections=["pods"])
    assert paged["pods"]["total_count"] == 2000
    assert small.asked.count("/api/v1/namespaces/shop/pods") == 4
    cut = small.health("shop", sections=["pods"], max_pods=700)
    assert (cut["pods"]["total_count"], cut["truncated"], cut["is_truncated"]) == (700, ["pod"], True)
