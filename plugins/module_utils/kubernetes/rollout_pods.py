# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What replacing pods meets: those that stand in its way, and a time in which nobody serves. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.history import digest_of, template_of
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.memory import memory_of
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.pod_state import state_of
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.rollout_plan import (
    CHANGE,
    RESTARTED,
    RETURNED,
    UNDO,
    UNDONE,
    Plan,
    Wish,
    named,
)
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.workload import replicas_of


@dataclass(frozen=True)
class StuckPod:
    """A pod that a StatefulSet waits for in vain."""

    name: str
    uid: str
    reason: str

    def action(self) -> dict[str, Any]:
        """As it is reported."""
        return {"action": "delete_pod", "object": self.name, "reason": self.reason}


def stuck_pods(pods: Iterable[Mapping[str, Any]], revision: Optional[str], now: datetime) -> list[StuckPod]:
    """The pods of a revision that is left which do not become ready.

    A StatefulSet does not replace them by itself when another revision is asked for:
    https://kubernetes.io/docs/concepts/workloads/controllers/statefulset/#forced-rollback
    """
    found = []
    for pod in pods:
        metadata, state = pod["metadata"], state_of(pod, now=now)
        if (metadata.get("labels") or {}).get("controller-revision-hash") != revision or state.problem is None:
            continue
        if not state.ready and not metadata.get("deletionTimestamp"):
            found.append(StuckPod(metadata["name"], str(metadata.get("uid") or ""), state.problem.reason))
    return found


def gap_warning(wish: Wish, workload: Mapping[str, Any]) -> Optional[str]:
    """That nobody serves for a while, because the workload's own strategy wants it so."""
    spec, who = workload.get("spec") or {}, named(wish, workload)
    replicas = replicas_of(workload)
    strategy = spec.get("strategy") or {}
    if wish.state not in (RESTARTED, UNDONE, RETURNED) or wish.kind == "daemonset" or not replicas:
        return None
    if strategy.get("type") == "Recreate":
        return f"{who} has the strategy Recreate: nobody serves until its new pods are ready."
    least = (strategy.get("rollingUpdate") or {}).get("maxUnavailable")
    if wish.kind == "statefulset" and replicas == 1:
        return f"{who} has one pod: nobody serves while that is replaced."
    if least == "100%" or (isinstance(least, int) and least >= replicas):
        return f"{who} may have all of its pods replaced at once (maxUnavailable {least}): nobody may serve meanwhile."
    return None


def left_revision(workload: Mapping[str, Any], plan: Plan) -> Optional[str]:
    """The revision that a StatefulSet leaves by the plan, or has left by an earlier run; None if none."""
    if plan.step == CHANGE:
        found: Optional[str] = (workload.get("status") or {}).get("updateRevision")
        return found
    memory = memory_of(workload, UNDO) or {}
    return memory.get("from") if memory.get("template") == digest_of(template_of(workload)) else None
