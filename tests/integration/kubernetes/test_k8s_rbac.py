"""k8s_rbac_info and the role security_audit on a cluster, beside the manual's grep for a name."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kubernetes import client, config
from lab.kubernetes import KubernetesApi
from lab.kubernetes.module_runs import defaults_of
from lab.play import run_role

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.rbac_info import read_rbac
from ansible_collections.runbook.ops.plugins.modules import k8s_rbac_info

pytestmark = pytest.mark.xdist_group("kubernetes")

GROUP = "rbac.authorization.k8s.io"


def role(kind: str, name: str, verbs: list[str], resources: list[str], namespace: str | None = None) -> dict[str, Any]:
    groups = ["*"] if "*" in resources else [""]
    rules = [{"apiGroups": groups, "resources": resources, "verbs": verbs}]
    metadata = {"name": name, **({"namespace": namespace} if namespace else {})}
    return {"apiVersion": f"{GROUP}/v1", "kind": kind, "metadata": metadata, "rules": rules}


def binding(
    kind: str, name: str, to: str, subject: tuple[str, str], namespace: str | None = None, **labels: str
) -> dict[str, Any]:
    who = {"kind": subject[0], "name": subject[1]}
    if subject[0] == "ServiceAccount":
        who["namespace"] = "autoclip"
    metadata = {"name": name, "labels": labels, **({"namespace": namespace} if namespace else {})}
    reference = {"apiGroup": GROUP, "kind": "ClusterRole", "name": to}
    return {"apiVersion": f"{GROUP}/v1", "kind": kind, "metadata": metadata, "roleRef": reference, "subjects": [who]}


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[KubernetesApi, Path]]:
    """Somebody is an administrator by a binding that is called after something else, of a role that is, too."""
    with KubernetesApi() as api:
        for each in (
            role("ClusterRole", "cluster-admin", ["*"], ["*"]),
            role("ClusterRole", "metrics-helper", ["*"], ["*"]),
            role("ClusterRole", "reader", ["get", "list"], ["secrets"]),
            role("ClusterRole", "viewer", ["get"], ["configmaps"]),
            binding("ClusterRoleBinding", "monitoring-extra", "metrics-helper", ("ServiceAccount", "n8n")),
            binding("ClusterRoleBinding", "platform", "cluster-admin", ("Group", "platform-admins")),
            binding("ClusterRoleBinding", "autoclip-viewer", "viewer", ("ServiceAccount", "api")),
            binding("RoleBinding", "ci", "reader", ("ServiceAccount", "default"), "autoclip"),
            binding("RoleBinding", "ops", "reader", ("Group", "ops"), "autoclip"),
            binding("ClusterRoleBinding", "open", "viewer", ("Group", "system:unauthenticated")),
            binding("ClusterRoleBinding", "old", "gone", ("User", "kim")),
        ):
            api.create(each)
        yield api, api.kubeconfig(tmp_path_factory.mktemp("rbac") / "kubeconfig")


def read(kubeconfig: Path, **options: Any) -> dict[str, Any]:
    defaults = defaults_of(k8s_rbac_info)
    return read_rbac({**defaults, "kubeconfig": str(kubeconfig), **options})


def test_a_name_says_nothing(cluster: tuple[KubernetesApi, Path], tmp_path: Path) -> None:
    """``kubectl get clusterrolebindings | grep autoclip`` shows the harmless one and not the administrator."""
    _api, kubeconfig = cluster
    api = client.RbacAuthorizationV1Api(config.new_client_from_config(str(kubeconfig)))
    listed = [
        f"{each.metadata.name}  {each.role_ref.kind}/{each.role_ref.name}"
        for each in api.list_cluster_role_binding().items
    ]
    assert [line for line in listed if "autoclip" in line] == ["autoclip-viewer  ClusterRole/viewer"]

    done = run_role(
        tmp_path, "security_audit",
        {
            "runbook_system": "autoclip", "security_audit_machine": False, "security_audit_kubernetes": True,
            "kubernetes_kubeconfig": str(kubeconfig), "security_audit_kubernetes_expected": ["Group platform-admins"],
        },
    )  # fmt: skip
    assert sorted(done.of("critical", "unknown")) == [
        ("kubernetes.rbac_anonymous", "Group system:unauthenticated by ClusterRoleBinding open"),
        ("kubernetes.rbac_cluster_admin", "ServiceAccount autoclip/n8n by ClusterRoleBinding monitoring-extra"),
    ]
    assert sorted(done.of("warning")) == [
        ("kubernetes.rbac_dangling", "ClusterRoleBinding old"),
        ("kubernetes.rbac_default_account", "ServiceAccount autoclip/default by RoleBinding autoclip/ci"),
        ("kubernetes.rbac_secret_reader", "Group ops by RoleBinding autoclip/ops"),
        ("kubernetes.rbac_secret_reader", "ServiceAccount autoclip/default by RoleBinding autoclip/ci"),
    ]
    worst = done.finding("kubernetes.rbac_cluster_admin")
    assert worst["summary"] == (
        "ServiceAccount autoclip/n8n may do every verb on everything in the whole cluster, by ClusterRoleBinding"
        " monitoring-extra (ClusterRole metrics-helper)"
    )


def test_what_cannot_be_read_is_said(cluster: tuple[KubernetesApi, Path]) -> None:
    api, kubeconfig = cluster
    with pytest.raises(InvalidOption, match="expected: 'platform-admins' is not accepted"):
        read(kubeconfig, expected=["platform-admins"])
    api.requests.clear()
    found = read(kubeconfig)
    assert [each["subject"] for each in found["rbac"]["cluster_admins"]] == [
        "Group platform-admins", "ServiceAccount autoclip/n8n",
    ]  # fmt: skip
    assert (len(api.requests), {each.method for each in api.requests}) == (4, {"GET"})
    api.fail("GET", "*/rolebindings", 403)
    partly = read(kubeconfig)
    assert (partly["available"], partly["rbac"]["is_complete"]) == (True, False)
    assert [each["section"] for each in partly["skipped_sections"]] == ["rolebindings"]
    api.fail("GET", "*/clusterroles", "hang", None)
    try:
        silent = read(kubeconfig, read_timeout=0.5)
    finally:
        api.heal()
    assert (silent["available"], silent["rbac"]) == (False, {})
    assert "clusterroles" in silent["reason"] or "answer" in silent["reason"]
