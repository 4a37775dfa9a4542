# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pods that are left over: which of them may go, and what is known about them before they do. Pure."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.common.clock import iso
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.health.common import (
    controller_of,
    name_of,
    namespace_of,
)
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.moments import moment_of
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.pod_state import state_of
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.pod_words import Ending, duration, shortened
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.workload import has_ended

FAILED, SUCCEEDED = "Failed", "Succeeded"
# These have put another pod in its place, and count on no old one.
_REPLACING = frozenset({"replicaset", "replicationcontroller", "statefulset", "daemonset"})
_MIRROR = "kubernetes.io/config.mirror"
_STATUSES = ("initContainerStatuses", "containerStatuses", "ephemeralContainerStatuses")
_LAST_WORDS = 3


@dataclass(frozen=True)
class Limits:
    """From which age on pods go, in seconds; C(completed_age) None keeps all that did their work."""

    failed_age: int
    completed_age: Optional[int] = None
    # Kinds of owners in lower case whose pods go, too.
    also_of: frozenset[str] = frozenset()


def why_kept(pod: Mapping[str, Any], limits: Limits, now: dt.datetime) -> Optional[str]:
    """Why a pod stays, as one word; None for one that may go.

    Args:
        pod: The server's document.
        limits: What may go.
        now: The moment from which ages count, aware.

    """
    if not has_ended(pod):
        return "active"
    if pod["metadata"].get("deletionTimestamp"):
        return "terminating"
    kinds = {str(each["kind"]).lower() for each in pod["metadata"].get("ownerReferences") or ()}
    strangers = kinds - _REPLACING - limits.also_of
    if "job" in strangers:
        return "of_job"
    if strangers or _MIRROR in (pod["metadata"].get("annotations") or {}):
        return "of_other"
    limit: Optional[int] = limits.failed_age
    if pod["status"]["phase"] == SUCCEEDED:
        limit = limits.completed_age if kinds <= limits.also_of else None
    if limit is None:
        return "completed"
    ended = ended_at(pod)
    if ended is None:
        return "undated"
    return "young" if (now - ended).total_seconds() < limit else None


def ended_at(pod: Mapping[str, Any]) -> Optional[dt.datetime]:
    """When a pod ended, or later: the last that anybody said about it. None where nobody says.

    A pod that was evicted may name neither a container nor a condition. When it began does not say when it ended; who
    wrote its status last does.
    """
    status = pod.get("status") or {}
    texts = [((each.get("state") or {}).get("terminated") or {}).get("finishedAt") for each in _statuses(pod)]
    texts += [each.get("lastTransitionTime") for each in status.get("conditions") or ()]
    texts += [
        each.get("time")
        for each in pod["metadata"].get("managedFields") or ()
        if each.get("subresource") == "status" or "f:status" in (each.get("fieldsV1") or {})
    ]
    return max((found for found in map(moment_of, texts) if found is not None), default=None)


def evidence_of(pod: Mapping[str, Any], logs: Sequence[Mapping[str, Any]], now: dt.datetime) -> dict[str, Any]:
    """What is known about a pod, without what looks like a secret.

    Args:
        pod: The server's document.
        logs: The last lines of its containers.
        now: The moment from which ages count, aware.

    """
    state, ended = state_of(pod, now=now), ended_at(pod)
    problem, owner = state.problem, controller_of(pod)
    return {
        "object": shown(pod),
        "namespace": namespace_of(pod),
        "name": state.name,
        "uid": pod["metadata"]["uid"],
        "phase": state.phase,
        "reason": problem.reason if problem else "Completed",
        "message": problem.detail if problem else "it did its work",
        "node": (pod.get("spec") or {}).get("nodeName"),
        "owner": " ".join(owner) if owner else None,
        "created_at": pod["metadata"].get("creationTimestamp"),
        "ended_at": iso(ended) if ended else None,
        "age_seconds": max(0, int((now - ended).total_seconds())) if ended else None,
        "restarts": state.restarts,
        "containers": list(_endings(pod)),
        "logs": [dict(each) for each in logs],
    }


def shown(pod: Mapping[str, Any]) -> str:
    """Its name in lists."""
    return f"{namespace_of(pod)}/{name_of(pod)}"


def in_words(evidence: Mapping[str, Any]) -> str:
    """The evidence as one sentence, for reports that have no room for all of it."""
    node = f" on {evidence['node']}" if evidence["node"] else ""
    ago = f" {duration(evidence['age_seconds'])} ago" if evidence["age_seconds"] is not None else ""
    parts = [f"{evidence['reason']}{node}{ago}: {evidence['message']}"]
    for each in evidence["containers"]:
        if each["exit_code"] and f"exit code {each['exit_code']}" not in evidence["message"]:
            parts.append(f"{each['name']} ended with exit code {each['exit_code']}")
    said = [each for each in evidence["logs"] if each["lines"]]
    parts += [f"last words of {each['container']}: {each['lines'][-1]}" for each in said[:_LAST_WORDS]]
    return "; ".join(parts)


def _statuses(pod: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for name in _STATUSES:
        yield from (pod.get("status") or {}).get(name) or ()


def _endings(pod: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for each in _statuses(pod):
        for name in ("state", "lastState"):
            ending = Ending.of((each.get(name) or {}).get("terminated"))
            if ending is None:
                continue
            yield {
                "name": str(each["name"]),
                "previous": name == "lastState",
                "reason": ending.reason,
                "exit_code": ending.exit_code,
                "signal": ending.signal,
                "finished_at": ending.finished_at,
                "message": shortened(ending.message) or None,
            }
