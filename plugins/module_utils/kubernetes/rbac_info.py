# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads roles and bindings, four lists in all, and tells who has dangerous powers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.runbook.ops.plugins.module_utils.common.clock import iso, utc_now
from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption, Unavailable
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.client import Cluster, connect
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.errors import ClusterError
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.rbac import audit, grants_of

Document = dict[str, Any]
_KINDS = ("User", "Group", "ServiceAccount")


def read_rbac(params: Mapping[str, Any]) -> dict[str, Any]:
    """The whole result of the module; raises InvalidOption before anything is asked."""
    for each in params["expected"]:
        kind, _space, name = each.partition(" ")
        if kind not in _KINDS or not name or (kind == "ServiceAccount" and "/" not in name):
            accepted = "subjects such as Group platform-admins or ServiceAccount argocd/argocd-controller"
            raise InvalidOption("expected", each, accepted)
    cluster = connect(params)
    told: Document = {"changed": False, "measured_at": iso(utc_now()), "skipped_sections": [], "rbac": {}}
    try:
        cluster_roles = list(cluster.list("clusterrole"))
        cluster_bindings = list(cluster.list("clusterrolebinding"))
    except Unavailable as error:
        return {**told, "available": False, "reason": error.message}
    namespaces = params["namespaces"]
    roles: list[Document] = []
    bindings: list[Document] = []
    for kind, found in (("role", roles), ("rolebinding", bindings)):
        try:
            found.extend(_listed(cluster, kind, namespaces))
        except ClusterError as error:
            remedy = f"Grant the verb list on {kind}s."
            told["skipped_sections"].append({"section": f"{kind}s", "reason": error.message, "remedy": remedy})
    if told["skipped_sections"]:
        # A binding whose role could not be read would look as if the role were missing.
        bindings = [each for each in bindings if each["roleRef"]["kind"] == "ClusterRole"]
    grants, dangling = grants_of(roles, cluster_roles, bindings, cluster_bindings)
    return {
        **told,
        "available": True,
        "reason": None,
        "rbac": {**audit(grants, dangling, params["expected"]), "is_complete": not told["skipped_sections"]},
    }


def _listed(cluster: Cluster, kind: str, namespaces: list[str]) -> list[Document]:
    if not namespaces:
        return list(cluster.list(kind))
    return [each for namespace in namespaces for each in cluster.list(kind, namespace)]
