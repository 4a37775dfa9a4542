# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Nodes as facts: ready, under pressure, closed, and how much of them is asked for. Pure."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from fractions import Fraction
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.health.common import (
    Document,
    Facts,
    condition,
    name_of,
    percent,
)
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.health.pods import Pods, Seen
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.moments import age_seconds
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.pod_words import shortened
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.quantity import parse_quantity
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.workload import ENDED

_PRESSURES = ("MemoryPressure", "DiskPressure", "PIDPressure", "NetworkUnavailable")
_CLOSED = "node.kubernetes.io/unschedulable"
_JOIN_SECONDS = 300


def nodes_facts(nodes: Iterable[Document], pods: Optional[Pods], now: dt.datetime) -> list[Facts]:
    """The section C(nodes).

    Args:
        nodes: Their documents.
        pods: The pods of the whole cluster; None when not all of them are known, and then neither is what they ask for.
        now: The moment that counts as now.

    """
    by_node: dict[str, list[Seen]] = {}
    for each in pods.seen if pods else ():
        node = (each.document.get("spec") or {}).get("nodeName")
        if node and each.state.phase not in ENDED:
            by_node.setdefault(node, []).append(each)
    found = sorted(nodes, key=name_of)
    return [_node(each, None if pods is None else by_node.get(name_of(each), []), now) for each in found]


def _node(node: Document, pods: Optional[list[Seen]], now: dt.datetime) -> Facts:
    ready = condition(node, "Ready")
    spec, status = node.get("spec") or {}, node.get("status") or {}
    allocatable, told = status.get("allocatable") or {}, status.get("nodeInfo") or {}
    pressures = [kind for kind in _PRESSURES if condition(node, kind).get("status") == "True"]
    reason = None
    if ready.get("status") != "True":
        text = shortened(ready.get("message")) or "its kubelet says nothing"
        reason = f"{ready.get('reason') or 'NotReady'}: {text}"
    age = age_seconds(node["metadata"].get("creationTimestamp"), now)
    taints = spec.get("taints") or ()
    closed = next((each.get("timeAdded") for each in taints if each.get("key") == _CLOSED), None)
    return {
        "name": name_of(node),
        # None where nobody says, which is no yes.
        "is_ready": {"True": True, "False": False, "Unknown": False}.get(str(ready.get("status"))),
        "reason": reason,
        "not_ready_seconds": None if reason is None else age_seconds(ready.get("lastTransitionTime"), now),
        # It has just come, and its network is being set up.
        "is_joining": reason is not None and age is not None and age < _JOIN_SECONDS,
        "pressures": pressures,
        "pressures_count": len(pressures),
        "is_schedulable": not spec.get("unschedulable", False),
        "closed_seconds": age_seconds(closed, now) if spec.get("unschedulable") else None,
        "age_seconds": age,
        "kubelet_version": told.get("kubeletVersion"),
        "platform": f"{told['operatingSystem']}/{told['architecture']}" if _tells_platform(told) else None,
        "allocatable_cpu_cores": _amount(allocatable.get("cpu")),
        "allocatable_memory_bytes": _amount(allocatable.get("memory")),
        "allocatable_pods_count": _amount(allocatable.get("pods")),
        "pods_count": None if pods is None else len(pods),
        **_requested(allocatable, pods),
    }


def _tells_platform(told: Document) -> bool:
    return bool(told.get("operatingSystem") and told.get("architecture"))


def _requested(allocatable: Mapping[str, Any], pods: Optional[list[Seen]]) -> Facts:
    facts: Facts = {"is_load_known": pods is not None}
    for resource in ("cpu", "memory"):
        room = _amount(allocatable.get(resource))
        asked = None if pods is None else float(sum(requested(each.document, resource) for each in pods))
        facts[f"requested_{resource}_percent"] = None if asked is None or not room else percent(asked, room)
    room = _amount(allocatable.get("pods"))
    facts["pods_percent"] = percent(len(pods), room) if pods is not None and room else None
    return facts


def requested(pod: Document, resource: str, part: str = "requests") -> Fraction:
    """What a pod's containers ask for, or are limited to, in cores or bytes, as the scheduler counts it.

    Sidecars among the init containers run along; the others run one after the other, before the containers do.
    https://kubernetes.io/docs/concepts/workloads/pods/init-containers/#resource-sharing-within-containers
    """
    spec = pod.get("spec") or {}

    def of(each: Document) -> Fraction:
        return quantity(((each.get("resources") or {}).get(part) or {}).get(resource))

    along = most = Fraction(0)
    for each in spec.get("initContainers") or ():
        if each.get("restartPolicy") == "Always":
            along += of(each)
            most = max(most, along)
        else:
            most = max(most, along + of(each))
    total = max(most, along + sum((of(each) for each in spec.get("containers") or ()), Fraction(0)))
    # What is said for the pod as a whole counts instead.
    whole = ((spec.get("resources") or {}).get(part) or {}).get(resource)
    total = total if whole is None else quantity(whole)
    return total + quantity((spec.get("overhead") or {}).get(resource))


def quantity(text: Any) -> Fraction:
    """A quantity as a number; 0 for none."""
    try:
        return parse_quantity(str(text)) if text is not None else Fraction(0)
    except ValueError:
        return Fraction(0)


def _amount(text: Any) -> Optional[float]:
    if text is None:
        return None
    number = float(quantity(text))
    return int(number) if number == int(number) else round(number, 3)
