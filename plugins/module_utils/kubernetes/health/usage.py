# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What pods and nodes take, held against what they asked for and may take. Pure; figures of metrics.k8s.io."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Optional

from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.health.common import (
    Document,
    Facts,
    Reference,
    name_of,
    namespace_of,
    percent,
)
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.health.nodes import quantity
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.health.pods import Pods


def usage_facts(metrics: Iterable[Document], pods: Pods) -> list[Facts]:
    """The section C(usage), by workload: sums, and the container that is nearest to its limit."""
    known = {(each.workload[1], each.state.name): each for each in pods.seen}
    found: dict[Reference, Facts] = {}
    for each in metrics:
        seen = known.get((namespace_of(each), name_of(each)))
        if seen is None:
            continue
        kind, namespace, name = seen.workload
        facts = found.setdefault(seen.workload, _empty(kind, namespace, name))
        facts["pods_count"] += 1
        specs = {
            spec["name"]: spec.get("resources") or {}
            for part in ("initContainers", "containers")
            for spec in (seen.document.get("spec") or {}).get(part) or ()
        }
        for container in each.get("containers") or ():
            _add(
                facts, str(container.get("name")), container.get("usage") or {}, specs.get(container.get("name")) or {}
            )
    return [_shares(facts) for _workload, facts in sorted(found.items())]


def _empty(kind: str, namespace: str, name: str) -> Facts:
    facts: Facts = {"name": f"{namespace}/{name}", "kind": kind, "namespace": namespace, "workload": name}
    numbers = ("pods_count", "cpu_cores", "cpu_requested_cores", "memory_bytes", "memory_requested_bytes")
    shares = ("memory_limit_percent", "cpu_limit_percent", "memory_limit_container")
    return {**facts, **dict.fromkeys(numbers, 0), **dict.fromkeys(shares)}


def _add(facts: Facts, container: str, usage: Document, resources: Document) -> None:
    requests, limits = resources.get("requests") or {}, resources.get("limits") or {}
    for resource, taken, asked in (
        ("cpu", "cpu_cores", "cpu_requested_cores"),
        ("memory", "memory_bytes", "memory_requested_bytes"),
    ):
        used = float(quantity(usage.get(resource)))
        facts[taken] += used
        facts[asked] += float(quantity(requests.get(resource)))
        share = percent(used, float(quantity(limits.get(resource))))
        most: Optional[float] = facts[f"{resource}_limit_percent"]
        if share is not None and (most is None or share > most):
            facts[f"{resource}_limit_percent"] = share
            if resource == "memory":
                facts["memory_limit_container"] = container


def _shares(facts: Facts) -> Facts:
    return {
        **facts,
        "cpu_cores": round(facts["cpu_cores"], 3),
        "cpu_requested_cores": round(facts["cpu_requested_cores"], 3),
        "memory_bytes": int(facts["memory_bytes"]),
        "memory_requested_bytes": int(facts["memory_requested_bytes"]),
        "cpu_request_percent": percent(facts["cpu_cores"], facts["cpu_requested_cores"]),
        "memory_request_percent": percent(facts["memory_bytes"], facts["memory_requested_bytes"]),
        "has_memory_limit": facts["memory_limit_percent"] is not None,
    }


def node_usage(metrics: Iterable[Document], nodes: list[Facts]) -> None:
    """Put what a node takes into its facts."""
    known = {name_of(each): each.get("usage") or {} for each in metrics}
    for node in nodes:
        usage = known.get(node["name"])
        for resource, room in (("cpu", "allocatable_cpu_cores"), ("memory", "allocatable_memory_bytes")):
            taken = None if usage is None else float(quantity(usage.get(resource)))
            node[f"used_{resource}_percent"] = None if taken is None or not node[room] else percent(taken, node[room])
