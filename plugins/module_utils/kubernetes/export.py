# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads everything of namespaces that a manifest can bring back, and what of the whole cluster belongs to them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.client import Cluster
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.errors import ClusterError
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.kinds import KINDS, Kind
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.labels import labels_of, matches

Document = dict[str, Any]

# C(kubectl get all) has only four of them. Jobs are not among them: applying one runs it again.
DEFAULT_KINDS = (
    "resourcequota",
    "limitrange",
    "serviceaccount",
    "role",
    "rolebinding",
    "networkpolicy",
    "configmap",
    "secret",
    "persistentvolumeclaim",
    "service",
    "deployment",
    "statefulset",
    "daemonset",
    "horizontalpodautoscaler",
    "poddisruptionbudget",
    "ingress",
    "cronjob",
)
_PAGE = 500


@dataclass
class Export:
    """What was read, and what could not be."""

    documents: list[Document] = field(default_factory=list)
    skipped_sections: list[dict[str, str]] = field(default_factory=list)


def check_kinds(kinds: Sequence[str]) -> None:
    """Refuse kinds that are not known or not of a namespace; raises InvalidOption."""
    possible = sorted(name for name, kind in KINDS.items() if kind.namespaced)
    for each in kinds:
        if each not in possible:
            raise InvalidOption("kinds", each, f"kinds of a namespace in lower case: {', '.join(possible)}")


def export_of(
    cluster: Cluster, namespaces: Sequence[str], kinds: Iterable[str], custom_resources: Sequence[str]
) -> Export:
    """Read it all.

    Args:
        cluster: Where.
        namespaces: Of which namespaces; each has to be there.
        kinds: Keys of C(KINDS).
        custom_resources: Further kinds as C(plural.group); those of the whole cluster with all their objects.

    Raises:
        InvalidOption: a namespace or a custom resource is not there.
        ClusterError: a request failed; a backup without a part of what it should have is none.

    """
    export = Export()
    for namespace in namespaces:
        found = cluster.find("namespace", None, namespace)
        if found is None:
            raise InvalidOption("namespaces", namespace, "namespaces that are there")
        export.documents.append(_whole(KINDS["namespace"], found))
    for name in kinds:
        export.documents += _listed(cluster, name, namespaces, export.skipped_sections)
    for each in custom_resources:
        kind = _custom_kind(cluster, each)
        paths = [kind.path(namespace) for namespace in namespaces] if kind.namespaced else [kind.path()]
        export.documents += [_whole(kind, item) for path in paths for item in _pages(cluster, path)]
    _of_the_cluster(cluster, namespaces, export)
    return export


def _listed(
    cluster: Cluster, name: str, namespaces: Sequence[str], skipped: list[dict[str, str]]
) -> Iterator[Document]:
    kind = KINDS[name]
    for namespace in namespaces:
        try:
            for item in cluster.list(name, namespace):
                yield _whole(kind, item)
        except ClusterError as error:
            if error.kind != "missing":
                raise
            # A server that does not know the kind has no objects of it.
            remedy = f"Nothing, unless the cluster should have {kind.resource} of {kind.api_version}."
            skipped.append({"section": name, "reason": error.message, "remedy": remedy})
            return


def _of_the_cluster(cluster: Cluster, namespaces: Sequence[str], export: Export) -> None:
    """The bindings of the whole cluster that are about these namespaces' accounts, and the roles they give."""
    try:
        bindings = [
            _whole(KINDS["clusterrolebinding"], each)
            for each in cluster.list("clusterrolebinding")
            if any(_is_of(subject, namespaces) for subject in each.get("subjects") or ())
        ]
        local = [each for each in export.documents if each["kind"] == "RoleBinding"]
        wanted = {each["roleRef"]["name"] for each in [*bindings, *local] if each["roleRef"]["kind"] == "ClusterRole"}
        roles = _with_parts(list(cluster.list("clusterrole")), wanted) if wanted else []
    except ClusterError as error:
        if error.kind != "forbidden":
            raise
        remedy = "Grant the verb list on clusterroles and clusterrolebindings, or keep them elsewhere."
        export.skipped_sections.append({"section": "clusterrolebinding", "reason": error.message, "remedy": remedy})
        return
    export.documents += [_whole(KINDS["clusterrole"], each) for each in roles] + bindings


def _is_of(subject: Mapping[str, Any], namespaces: Sequence[str]) -> bool:
    """Whether it is an account of these namespaces, by its name, as the user it logs in as, or all of them."""
    name = str(subject.get("name"))
    if subject.get("kind") == "ServiceAccount":
        return subject.get("namespace") in namespaces
    return any(
        name == f"system:serviceaccounts:{each}" or name.startswith(f"system:serviceaccount:{each}:")
        for each in namespaces
    )


def _with_parts(roles: Sequence[Document], wanted: set[str]) -> list[Document]:
    """These roles, and those that the cluster puts together for an aggregated one, without which it would be empty."""
    found: dict[str, Document] = {}
    left = [each for each in roles if each["metadata"]["name"] in wanted]
    while left:
        role = left.pop()
        if role["metadata"]["name"] in found:
            continue
        found[role["metadata"]["name"]] = role
        # What Kubernetes has of its own is left out later, but not what somebody adds to it.
        selectors = (role.get("aggregationRule") or {}).get("clusterRoleSelectors") or ()
        left += [each for each in roles if any(matches(selector, labels_of(each)) for selector in selectors)]
    return list(found.values())


def _custom_kind(cluster: Cluster, name: str) -> Kind:
    plural, _dot, group = name.partition(".")
    accepted = "plural and group of a resource that the cluster has, such as scaledobjects.keda.sh"
    if not plural or not group:
        raise InvalidOption("custom_resources", name, accepted)
    try:
        version = cluster.get(f"/apis/{group}")["preferredVersion"]["version"]
        resources = cluster.get(f"/apis/{group}/{version}").get("resources") or ()
    except ClusterError as error:
        if error.kind != "missing":
            raise
        raise InvalidOption("custom_resources", name, accepted) from None
    for each in resources:
        if each["name"] == plural:
            return Kind(group, version, plural, each["kind"], bool(each["namespaced"]))
    raise InvalidOption("custom_resources", name, accepted)


def _pages(cluster: Cluster, path: str) -> Iterator[Document]:
    token = ""
    while True:
        page = cluster.get(path, limit=_PAGE, **{"continue": token})
        yield from page.get("items") or ()
        token = (page.get("metadata") or {}).get("continue") or ""
        if not token:
            return


def _whole(kind: Kind, item: Mapping[str, Any]) -> Document:
    # The items of a list do not say what they are.
    return {**item, "apiVersion": kind.api_version, "kind": kind.name}
