# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pods as facts: each that is unwell once, and grouped, so that forty of one workload are one thing. Pure."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.health.common import (
    Document,
    Facts,
    Reference,
    namespace_of,
    workload_of,
)
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.pod_state import (
    UNTOLD,
    PodState,
    Problem,
    Times,
    state_of,
)
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.workload import ENDED

# What a problem means for who uses the pod: it does not serve, it serves again, or it is a remnant that another pod
# has taken the place of.
BROKEN, RECOVERED, LEFT_OVER = "broken", "recovered", "left_over"
_SHOWN_NAMES = 5


@dataclass(frozen=True)
class Seen:
    """A pod with its state and its workload."""

    document: Document
    state: PodState
    workload: Reference

    @property
    def is_live(self) -> bool:
        """Whether it counts as one of its workload's pods."""
        return self.state.phase not in ENDED and not self.is_deleted

    @property
    def is_deleted(self) -> bool:
        """Whether it is on its way out."""
        return bool(self.document["metadata"].get("deletionTimestamp"))

    @property
    def effect(self) -> Optional[str]:
        """What its problem means; None where it has none."""
        problem = self.state.problem
        if problem is None:
            return None
        if self.state.phase == "Failed" or problem.reason == "Terminating":
            return LEFT_OVER
        return RECOVERED if problem.reason == "OOMKilled" and self.state.ready else BROKEN


@dataclass
class Pods:
    """All pods, looked at once."""

    seen: list[Seen]
    by_workload: dict[Reference, list[Seen]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for each in self.seen:
            self.by_workload.setdefault(each.workload, []).append(each)

    def of(self, workload: Reference) -> list[Seen]:
        """Those of one workload."""
        return self.by_workload.get(workload, [])


def look_at(documents: Iterable[Document], now: dt.datetime, times: Times) -> Pods:
    """Every pod's state."""
    return Pods([Seen(each, state_of(each, now=now, times=times), workload_of(each)) for each in documents])


def with_events(pods: Pods, said: Mapping[tuple[str, str], str]) -> Pods:
    """The same; those of which nobody says what they wait for have the text of their newest warning.

    Args:
        pods: All of them.
        said: Text by namespace and name of a pod.

    """
    return Pods([_with_event(each, said.get((each.workload[1], each.state.name))) for each in pods.seen])


def _with_event(seen: Seen, text: Optional[str]) -> Seen:
    problem = seen.state.problem
    if problem is None or not text or UNTOLD not in problem.detail:
        return seen
    told = replace(problem, detail=problem.detail.replace(UNTOLD, text))
    return replace(seen, state=replace(seen.state, problem=told))


def pods_facts(pods: Pods, *, settled_jobs: frozenset[Reference], restart_window: float, limit: int) -> Facts:
    """The section C(pods).

    Args:
        pods: All of them.
        settled_jobs: Jobs that have ended; why their attempts failed is told with the job.
        restart_window: Seconds within which a restart is a recent one.
        limit: How many unhealthy pods to list; all are counted in the groups.

    """
    unwell = [each for each in pods.seen if each.effect is not None and each.workload not in settled_jobs]
    unwell.sort(key=lambda each: (namespace_of(each.document), each.state.name))
    return {
        "total_count": len(pods.seen),
        "ready_count": sum(1 for each in pods.seen if each.state.ready and each.is_live),
        "completed_count": sum(1 for each in pods.seen if each.state.completed),
        "by_phase": dict(sorted(Counter(each.state.phase for each in pods.seen).items())),
        "unhealthy_count": len(unwell),
        "unhealthy": [_facts(each, each.state.problem) for each in unwell[:limit] if each.state.problem],
        "groups": _groups(unwell, pods),
        "restarted": _restarted(pods, unwell, restart_window),
    }


def _facts(seen: Seen, problem: Problem) -> Facts:
    kind, namespace, name = seen.workload
    return {
        "name": seen.state.name,
        "namespace": namespace,
        "kind": kind,
        "workload": name,
        "phase": seen.state.phase,
        "ready": seen.state.ready,
        "reason": problem.reason,
        "detail": problem.detail,
        "effect": seen.effect,
        "container": problem.container,
        "restarts": seen.state.restarts,
        "last_exit_code": problem.exit_code,
        "last_signal": problem.signal,
        "since_seconds": problem.since_seconds,
        "node": (seen.document.get("spec") or {}).get("nodeName"),
    }


def _groups(unwell: Sequence[Seen], pods: Pods) -> list[Facts]:
    groups: dict[tuple[Reference, str, str], list[Facts]] = {}
    for each in unwell:
        if each.state.problem is None:
            continue
        facts = _facts(each, each.state.problem)
        groups.setdefault((each.workload, facts["reason"], facts["effect"]), []).append(facts)
    return [_group(workload, members, pods) for (workload, _reason, _effect), members in sorted(groups.items())]


def _group(workload: Reference, members: Sequence[Facts], pods: Pods) -> Facts:
    first, live = members[0], [each for each in pods.of(workload) if each.is_live]
    ages = [each["since_seconds"] for each in members if each["since_seconds"] is not None]
    names = [each["name"] for each in members]
    return {
        "name": f"{first['namespace']}/{first['workload']}",
        "namespace": first["namespace"],
        "kind": first["kind"],
        "workload": first["workload"],
        "reason": first["reason"],
        "detail": first["detail"],
        "effect": first["effect"],
        "container": first["container"],
        "pods_count": len(members),
        "workload_pods_count": len(live),
        "workload_ready_count": sum(1 for each in live if each.state.ready),
        "restarts": sum(each["restarts"] for each in members),
        "last_exit_code": first["last_exit_code"],
        "last_signal": first["last_signal"],
        "since_seconds": max(ages, default=None),
        "pods": names[:_SHOWN_NAMES],
        "nodes": sorted({each["node"] for each in members if each["node"]})[:_SHOWN_NAMES],
    }


def _restarted(pods: Pods, unwell: Sequence[Seen], window: float) -> list[Facts]:
    """Workloads of which pods were restarted lately that are well now: a count alone does not say when."""
    known = {id(each) for each in unwell}
    found: dict[Reference, list[Seen]] = {}
    for each in pods.seen:
        age = each.state.restarted_seconds
        if id(each) not in known and each.is_live and age is not None and age <= window:
            found.setdefault(each.workload, []).append(each)
    return [_restart(workload, members) for workload, members in sorted(found.items())]


def _restart(workload: Reference, members: Sequence[Seen]) -> Facts:
    kind, namespace, name = workload
    last = min(members, key=lambda each: each.state.restarted_seconds or 0)
    ending = last.state.last_ending
    return {
        "name": f"{namespace}/{name}",
        "namespace": namespace,
        "kind": kind,
        "workload": name,
        "pods_count": len(members),
        "restarts": sum(each.state.restarts for each in members),
        "last_seconds": last.state.restarted_seconds,
        "last_exit_code": ending.exit_code if ending else None,
        "last_ending": ending.words if ending else None,
        "pods": [each.state.name for each in members[:_SHOWN_NAMES]],
    }


def images_of(template: Mapping[str, Any], pods: Sequence[Seen]) -> list[Facts]:
    """A workload's images as they are declared, with the digests that its pods run."""
    digests: dict[str, set[str]] = {}
    for each in pods:
        for status in (each.document.get("status") or {}).get("containerStatuses") or ():
            digest = str(status.get("imageID") or "")
            if digest and each.is_live:
                digests.setdefault(status["name"], set()).add(digest.rpartition("://")[2])
    return [
        {
            "container": each["name"],
            "image": each.get("image"),
            "digests": sorted(digests.get(each["name"], ())),
        }
        for each in (template.get("spec") or {}).get("containers") or ()
    ]
