# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The figures over all queues of all systems. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ansible_collections.runbook.ops.plugins.module_utils.queues.model import (
    TOP_REASONS,
    Failures,
    QueueFacts,
    SystemFacts,
    listed,
)


def figures(systems: Sequence[SystemFacts]) -> dict[str, Any]:
    """The result's figures; what is unknown for one queue is unknown for all of them together."""
    queues = [queue for system in systems for queue in system.queues]
    existing = [queue for queue in queues if queue.exists]
    failures = Failures()
    for system in systems:
        failures.merge(system.failures)
    used = [system for system in systems if system.relevant]
    return {
        "skipped_sections": _unique(entry for system in systems for entry in system.skipped),
        "notes": _unique(note for system in systems for note in system.notes),
        "queues": [queue.facts() for queue in queues],
        "systems": sorted({queue.system for queue in existing}),
        # Nothing found is no proof that there is nothing: it may be the wrong place.
        "found": True if existing else None,
        "queue_count": len(existing) if existing else None,
        "consumers": _known_sum(system.consumers for system in used),
        **_unconsumed(existing),
        # Not "failed": Ansible would take the task for failed.
        "failed_jobs": _failed(used),
        "failed_count": _known_sum(system.failed_count for system in used),
        "failed_seen": _known_sum(system.failed_seen for system in used),
        "results": _added(system.results for system in systems),
        "failures": failures.top(),
        "most_frequent_failure": failures.most_frequent(),
        "failure_reasons_count": failures.reasons,
        "failures_truncated": failures.reasons > TOP_REASONS,
        "unattributed": _merged(system.unattributed for system in systems),
        "complete": all(system.complete for system in systems),
        "keys_seen": sum(system.keys_seen for system in systems),
    }


def _failed(systems: Sequence[SystemFacts]) -> list[dict[str, Any]]:
    """Failures by queue; of a system that does not tell in which queue a job failed, all of them in one entry."""
    entries = []
    for system in systems:
        if system.failures_by_queue:
            entries += [
                _failed_entry(queue.name, queue.system, queue.counts.get("failed"), queue.failures)
                for queue in system.queues
                if queue.exists
            ]
        else:
            name = next((queue.system for queue in system.queues), "")
            entries.append(_failed_entry(name, name, system.failed_count, system.failures))
    # Where nothing was found, nothing is known.
    return entries or [_failed_entry("", "", None, Failures())]


def _failed_entry(name: str, system: str, count: int | None, failures: Failures) -> dict[str, Any]:
    return {
        "name": name,
        "system": system,
        "failed_count": count,
        "most_frequent_failure": failures.most_frequent(),
        "reasons_count": failures.reasons,
    }


def _unconsumed(queues: Sequence[QueueFacts]) -> dict[str, Any]:
    states = [queue.unconsumed for queue in queues]
    names = [queue.name for queue in queues if queue.unconsumed]
    unknown = not states or None in states
    return {
        "unconsumed": True if names else (None if unknown else False),
        "unconsumed_queues": names,
        # For a sentence.
        "unconsumed_names": listed(names) or "none",
    }


def _known_sum(values: Any) -> int | None:
    known = list(values)
    return None if not known or None in known else sum(known)


def _added(counts: Any) -> dict[str, int]:
    total: dict[str, int] = {}
    for each in counts:
        for name, count in each.items():
            total[name] = total.get(name, 0) + count
    return total


def _merged(entries: Any) -> dict[str, Any]:
    # A system without such leftovers has none of them.
    merged: dict[str, Any] = dict.fromkeys(
        ("unacked", "malformed", "too_large", "other_queues", "without_index", "failures"), 0
    )
    for each in entries:
        merged.update(each)
    return merged


def _unique(entries: Any) -> list[Any]:
    found: list[Any] = []
    for entry in entries:
        if entry not in found:
            found.append(entry)
    return found
