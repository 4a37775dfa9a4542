# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Objects that are written with versions of the API that are gone, and Ingresses with snippets. Pure.

The server gives every object in the version that it is asked for; which one its author uses is in what C(kubectl apply)
keeps, and in C(managedFields). https://kubernetes.io/docs/reference/using-api/deprecation-guide/ has the list.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.health.common import (
    Document,
    Facts,
    name_of,
    namespace_of,
)

_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
_SNIPPETS = ("nginx.ingress.kubernetes.io/", "nginx.org/")
# Version -> kinds in lower case (all, where empty), what replaces it, and the release that does without.
_GONE: dict[str, tuple[tuple[str, ...], str, str]] = {
    "extensions/v1beta1": ((), "apps/v1 or networking.k8s.io/v1", "1.22"),
    "apps/v1beta1": ((), "apps/v1", "1.16"),
    "apps/v1beta2": ((), "apps/v1", "1.16"),
    "networking.k8s.io/v1beta1": (("ingress", "ingressclass"), "networking.k8s.io/v1", "1.22"),
    "batch/v1beta1": ((), "batch/v1", "1.25"),
    "policy/v1beta1": ((), "policy/v1", "1.25"),
    "discovery.k8s.io/v1beta1": ((), "discovery.k8s.io/v1", "1.25"),
    "autoscaling/v2beta1": ((), "autoscaling/v2", "1.25"),
    "autoscaling/v2beta2": ((), "autoscaling/v2", "1.26"),
    "rbac.authorization.k8s.io/v1beta1": ((), "rbac.authorization.k8s.io/v1", "1.22"),
    "storage.k8s.io/v1beta1": (("storageclass",), "storage.k8s.io/v1", "1.22"),
    "cert-manager.io/v1alpha2": ((), "cert-manager.io/v1", "cert-manager 1.6"),
    "cert-manager.io/v1beta1": ((), "cert-manager.io/v1", "cert-manager 1.6"),
}


def deprecated_facts(documents: Iterable[tuple[str, Document]]) -> list[Facts]:
    """The section C(deprecated): each object once, from pairs of kind and document."""
    found = [facts for kind, document in documents for facts in _one(kind, document)]
    return sorted(found, key=lambda facts: (facts["kind"], facts["name"]))


def _one(kind: str, document: Document) -> Iterator[Facts]:
    for version, author in _versions(document):
        gone = _GONE.get(version)
        if gone is None or (gone[0] and kind not in gone[0]):
            continue
        yield {
            "name": f"{namespace_of(document)}/{name_of(document)}",
            "kind": kind,
            "namespace": namespace_of(document),
            "object": name_of(document),
            "api_version": version,
            "author": author,
            "replaced_by": gone[1],
            "removed_in": gone[2],
        }
        return


def _versions(document: Document) -> Iterator[tuple[str, str]]:
    metadata = document["metadata"]
    applied = _applied((metadata.get("annotations") or {}).get(_APPLIED))
    if applied:
        yield applied, "kubectl apply"
    for each in metadata.get("managedFields") or ():
        # What applied it has been asked already; it may be on a newer version by now.
        if not (applied and str(each.get("manager") or "").startswith("kubectl")):
            yield str(each.get("apiVersion") or ""), str(each.get("manager") or "unknown")


def _applied(text: Optional[str]) -> Optional[str]:
    try:
        found: Any = json.loads(text) if text else None
    except ValueError:
        return None
    version = found.get("apiVersion") if isinstance(found, dict) else None
    return str(version) if version else None


def snippet_facts(ingresses: Iterable[Document]) -> list[Facts]:
    """The section C(snippets): Ingresses that put text of theirs into the controller's configuration."""
    found = []
    for each in ingresses:
        names = [
            name
            for name in each["metadata"].get("annotations") or {}
            if name.startswith(_SNIPPETS) and name.endswith(("-snippet", "-snippets"))
        ]
        if names:
            namespace, name = namespace_of(each), name_of(each)
            facts = {"name": f"{namespace}/{name}", "namespace": namespace, "ingress": name}
            found.append({**facts, "annotations": sorted(names)})
    return sorted(found, key=lambda facts: str(facts["name"]))
