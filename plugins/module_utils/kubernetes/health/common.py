# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What every kind's facts are made with: names, conditions, and who made an object. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.kubernetes import workload

Document = Mapping[str, Any]
Facts = dict[str, Any]
# Kind in lower case, namespace, name.
Reference = tuple[str, str, str]
_TEMPLATE_HASH = "pod-template-hash"


def name_of(document: Document) -> str:
    """The name of an object."""
    return str(document["metadata"]["name"])


def namespace_of(document: Document) -> str:
    """The namespace of an object; empty for one of the whole cluster."""
    return str(document["metadata"].get("namespace") or "")


def condition(document: Document, kind: str) -> Mapping[str, Any]:
    """A condition of the status; empty where it has none of that type."""
    return workload.condition(document.get("status") or {}, kind) or {}


def holds(document: Document, kind: str) -> Optional[bool]:
    """Whether a condition is true; None where nobody says."""
    status = condition(document, kind).get("status")
    return {"True": True, "False": False}.get(str(status))


def controller_of(document: Document) -> Optional[tuple[str, str]]:
    """Kind in lower case and name of the object that made this one; None where a person did."""
    metadata = document["metadata"]
    owner = next((each for each in metadata.get("ownerReferences") or () if each.get("controller")), None)
    if owner is None:
        return None
    kind, name = str(owner["kind"]).lower(), str(owner["name"])
    hashed = (metadata.get("labels") or {}).get(_TEMPLATE_HASH)
    if kind == "replicaset" and hashed and name.endswith(f"-{hashed}"):
        # A Deployment's; its name saves the listing of all ReplicaSets.
        return "deployment", name[: -len(hashed) - 1]
    return kind, name


def workload_of(pod: Document) -> Reference:
    """The workload that a pod belongs to; the pod itself where nothing made it."""
    kind, name = controller_of(pod) or ("pod", name_of(pod))
    # A node's own pods, such as that of the API server, have nothing in common but the node.
    return ("pod", namespace_of(pod), name_of(pod)) if kind == "node" else (kind, namespace_of(pod), name)


def percent(part: float, whole: float) -> Optional[float]:
    """A share with one decimal; None of nothing."""
    return round(100.0 * part / whole, 1) if whole else None
