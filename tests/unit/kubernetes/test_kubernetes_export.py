"""What of the whole cluster belongs to the namespaces that are kept."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar, cast

from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.client import Cluster
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.export import export_of

ROLE = {"kind": "ClusterRole"}


def _binding(binding: str, role: str, /, **subject: str) -> dict[str, Any]:
    return {"metadata": {"name": binding}, "roleRef": {**ROLE, "name": role}, "subjects": [subject]}


def _role(name: str, **more: Any) -> dict[str, Any]:
    return {"metadata": {"name": name, "labels": more.pop("labels", {})}, **more}


class _Server:
    """Answers as a cluster does, from documents."""

    objects: ClassVar[dict[str, list[dict[str, Any]]]] = {
        "clusterrolebinding": [
            _binding("by-account", "all", kind="ServiceAccount", name="api", namespace="shop"),
            _binding("by-user", "plain", kind="User", name="system:serviceaccount:shop:api"),
            _binding("by-group", "plain", kind="Group", name="system:serviceaccounts:shop"),
            _binding("theirs", "theirs", kind="Group", name="system:serviceaccounts:shop2"),
        ],
        "clusterrole": [
            _role("all", aggregationRule={"clusterRoleSelectors": [{"matchLabels": {"to-all": "true"}}]}, rules=[]),
            _role("part", labels={"to-all": "true"}),
            _role("plain"),
            _role("theirs"),
        ],
    }

    def find(self, _kind: str, _namespace: str | None, name: str) -> dict[str, Any]:
        return {"metadata": {"name": name}}

    def list(self, kind: str, _namespace: str | None = None) -> Iterator[dict[str, Any]]:
        yield from self.objects[kind]


def test_bindings_of_its_accounts_and_the_parts_of_their_roles() -> None:
    export = export_of(cast(Cluster, _Server()), ["shop"], [], [])
    names = [f"{each['kind']} {each['metadata']['name']}" for each in export.documents]
    assert sorted(names) == [
        "ClusterRole all", "ClusterRole part", "ClusterRole plain", "ClusterRoleBinding by-account",
        "ClusterRoleBinding by-group", "ClusterRoleBinding by-user", "Namespace shop",
    ]  # fmt: skip
