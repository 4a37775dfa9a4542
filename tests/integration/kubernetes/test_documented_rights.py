"""The roles in docs/kubernetes.md are enough for what they are for, and no more than that."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from lab.kubernetes import KubernetesApi
from lab.kubernetes.access import REVIEWS, Action, action_of
from lab.kubernetes.request import address_of
from lab.kubernetes.systems import autoclip, storebridge
from lab.paths import REPOSITORY

pytestmark = pytest.mark.xdist_group("kubernetes-rights")

RunModule = Callable[..., dict[str, Any]]
Right = tuple[str, str]
DIGEST = "sha256:4bf5122f344554c53bde2ebb8cd2b7e3d1600ad631c385a5d7cce23c7785459a"
IMAGE = f"{autoclip.REGISTRY}/autoclip-worker@{DIGEST}"
MONITOR = ("runbook-monitor",)
OPERATE = ("runbook-operate", "runbook-grow")
CLOSED = {"hosts": ["api.autoclip.io"], "paths": ["/x"], "service": "n8n", "port": 5678, "ingress_class": "nginx"}
GREEN = {"name": "autoclip-api", "copy": "autoclip-api-green"}
LABELS = {"labels": {"version": "green"}}
# Used where this cluster has no occasion: KEDA, DaemonSets, StatefulSets that go back, pods that do not come up,
# namespaces without a pod, and a barrier that changes while it is there.
RARE = {
    *((verb, "scaledobjects.keda.sh") for verb in ("list", "patch")),
    *((verb, f"{kind}.apps") for verb in ("get", "patch") for kind in ("statefulsets", "daemonsets")),
    *(("list", f"{kind}.apps") for kind in ("statefulsets", "daemonsets")),
    ("get", "namespaces"),
    *((verb, "cronjobs.batch") for verb in ("get", "list", "patch")),
    ("list", "controllerrevisions.apps"),
    ("list", "events"),
    ("patch", "ingresses.networking.k8s.io"),
}


def documented() -> dict[str, set[Right]]:
    """Verb and resource of each role in the page."""
    page = (REPOSITORY / "docs" / "kubernetes.md").read_text(encoding="utf-8")
    [manifest] = [part.split("```", 1)[0] for part in page.split("```yaml\n")[1:] if "kind: ClusterRole" in part]
    return {
        each["metadata"]["name"]: {
            (verb, f"{resource}.{group}" if group else resource)
            for rule in each["rules"]
            for verb in rule["verbs"]
            for group in rule["apiGroups"]
            for resource in rule["resources"]
        }
        for each in yaml.safe_load_all(manifest)
        if each["kind"] in ("ClusterRole", "Role")
    }


def right(action: Action) -> Right:
    return action.verb, f"{action.part}.{action.group}" if action.group else action.part


@pytest.fixture(scope="module")
def api() -> Iterator[KubernetesApi]:
    with KubernetesApi() as api:
        autoclip.build(api, "healthy")
        storebridge.build(api, "healthy")
        yield api


@pytest.fixture
def only(api: KubernetesApi, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Callable[[], set[Right]]]:
    """Grant the rights of these roles and nothing else; what was asked for afterwards."""

    def grant(*roles: str) -> Callable[[], set[Right]]:
        granted = set().union(*(documented()[role] for role in roles))
        monkeypatch.setattr(api._access, "allows", lambda action: right(action) in granted)
        api.requests.clear()

        def used() -> set[Right]:
            found = set()
            for request in list(api.requests):
                address = address_of(request.path, api.kinds)
                if address is not None and address.kind.plural not in REVIEWS:
                    found.add(right(action_of(request, address)))
                elif request.path.endswith("/proxy/stats/summary"):
                    found.add(("get", "nodes/proxy"))
            return found

        return used

    return grant


def test_who_monitors_reads(
    api: KubernetesApi, only: Callable[..., Any], run_module: RunModule, tmp_path: Path
) -> None:
    defaults = yaml.safe_load((REPOSITORY / "roles/check_kubernetes/defaults/main.yml").read_text(encoding="utf-8"))
    used = only(*MONITOR)
    login = {"kubeconfig": str(api.kubeconfig(tmp_path / "kubeconfig"))}
    namespaces = [storebridge.NAMESPACE, autoclip.NAMESPACE]
    sections = defaults["check_kubernetes_sections"]
    health = run_module("k8s_health_info", {**login, "namespaces": namespaces, "sections": sections})
    assert (health["available"], health["skipped_sections"]) == (True, [])
    api_pods = {**login, "namespace": autoclip.NAMESPACE, "kind": "deployment", "name": autoclip.API.name}
    logs = run_module("k8s_log_info", api_pods)
    assert (logs["available"], logs["skipped_sections"]) == (True, [])
    history = run_module("k8s_rollout_info", api_pods)
    assert (history["available"], history.get("skipped_sections", [])) == (True, [])
    assert used() - documented()["runbook-monitor"] == set()
    assert documented()["runbook-monitor"] - used() <= RARE
    # It changes nothing, and reads no Secret.
    assert {verb for verb, _resource in documented()["runbook-monitor"]} == {"get", "list"}
    assert not [resource for _verb, resource in documented()["runbook-monitor"] if resource == "secrets"]
    refused = run_module("k8s_rollout", {**api_pods, "state": "restarted"})
    assert refused["failed"] is True
    assert "patch" in refused["msg"]


def test_who_operates_changes(
    api: KubernetesApi, only: Callable[..., Any], run_module: RunModule, tmp_path: Path
) -> None:
    used = only(*MONITOR, *OPERATE)
    login = {"kubeconfig": str(api.kubeconfig(tmp_path / "kubeconfig")), "namespace": autoclip.NAMESPACE}
    ended = {"terminated": {"exitCode": 137, "finishedAt": "2026-01-01T00:00:00Z"}}
    api.create(
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "left", "namespace": autoclip.NAMESPACE},
            "spec": {"containers": [{"name": "app"}], "nodeName": "a"},
            "status": {"phase": "Failed", "containerStatuses": [{"name": "app", "state": ended}]},
        }
    )
    for module, arguments in (
        ("k8s_image", {"image": IMAGE, "workloads": [{"name": "worker", "containers": ["worker"]}]}),
        ("k8s_rollout", {"name": "n8n", "state": "restarted"}),
        ("k8s_park", {"workloads": ["n8n-worker", "worker"], "state": "parked"}),
        ("k8s_park", {"state": "running"}),
        ("k8s_scale", {"name": "worker", "replicas": 3, "max_replicas_limit": 5}),
        ("k8s_deployment_copy", {**GREEN, **LABELS}),
        ("k8s_switch", {"service": "autoclip-api", "to": "green"}),
        ("k8s_switch", {"service": "autoclip-api", "to": "blue"}),
        ("k8s_deployment_copy", {**GREEN, **LABELS, "replicas": 2, "must_not_serve": True}),
        ("k8s_deployment_copy", {**GREEN, "state": "absent"}),
        ("k8s_maintenance", {"state": "closed", "flag": {"config_map": "autoclip-config", "key": "MAINTENANCE_MODE"}}),
        ("k8s_maintenance", {"state": "closed", "ingress": CLOSED}),
        ("k8s_maintenance", {"state": "open", "ingress": CLOSED}),
        ("k8s_pod_cleanup", {"namespaces": [autoclip.NAMESPACE], "older_than": "1h"}),
    ):
        given = arguments if "namespaces" in arguments else {**login, **arguments}
        result = run_module(module, {"kubeconfig": login["kubeconfig"], **given}, diff=True)
        assert not result.get("failed"), (module, result.get("msg"))
        assert result["changed"] is True, module
        assert result.get("skipped_sections", []) == [], module
    claim = {**login, "namespace": storebridge.NAMESPACE, "name": storebridge.CLAIM, "size": "120Gi"}
    grown = run_module("k8s_volume_claim", claim)
    assert grown["changed"] is True, grown
    granted = set().union(*(documented()[role] for role in (*MONITOR, *OPERATE)))
    assert used() - granted == set()
    mine = set().union(*(documented()[role] for role in OPERATE))
    assert mine - used() <= RARE
