# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Autoscalers that are kept at a number of replicas while their workload comes back, and released afterwards. Pure."""

from __future__ import annotations

from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.memory import PARKED, memory_of, remembered
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.scaling import (
    HPA,
    KEDA_PAUSED,
    Autoscaler,
    Step,
    merge_patch,
)

LIMIT = "limit_autoscaler"
RELEASE = "release_autoscaler"


def limited(scaler: Autoscaler, replicas: int, now: str) -> list[Step]:
    """The autoscaler does not go beyond a number of replicas; what it was is remembered the first time."""
    known = _memory_of(scaler)
    if scaler.kind == HPA:
        memory = _former(scaler, now)
        low = max(1, min(memory["minReplicas"], replicas))
        high = max(1, replicas) if replicas else scaler.high
        if (low, high) == (scaler.low, scaler.high):
            return []
        memory["set"] = {"maxReplicas": high, "minReplicas": low}
        changes: dict[str, Any] = {"spec": {"minReplicas": low, "maxReplicas": high}}
        was, becomes = f"{scaler.low} to {scaler.high}", f"{low} to {high}"
        figures: dict[str, Any] = {"min_replicas": low, "max_replicas": high}
        annotations: dict[str, Any] = {}
    else:
        former = scaler.annotations.get(KEDA_PAUSED)
        memory = {**_former(scaler, now), "set": {"paused-replicas": str(replicas)}}
        if former == str(replicas) and known is not None:
            return []
        was, becomes = "not paused" if former is None else f"paused at {former}", f"paused at {replicas}"
        changes = {}
        figures = {**scaler.figures(), "paused_replicas": str(replicas)}
        annotations = {KEDA_PAUSED: str(replicas)}
    if memory != known:
        annotations.update(remembered(PARKED, memory))
    patch = merge_patch(scaler.document, spec=changes.get("spec"), annotations=annotations)
    return [Step(LIMIT, scaler.kind, scaler.name, patch, was, becomes, figures)]


def _memory_of(scaler: Autoscaler) -> Optional[dict[str, Any]]:
    return memory_of(scaler.document, PARKED, numbers=("minReplicas", "maxReplicas") if scaler.kind == HPA else ())


def _former(scaler: Autoscaler, now: str) -> dict[str, Any]:
    """What it is to be again: what it was at first, or what somebody, such as a deployment, has made of it since."""
    if scaler.kind == HPA:
        bounds: dict[str, Any] = {"maxReplicas": scaler.high, "minReplicas": scaler.low}
    else:
        bounds = {"paused-replicas": scaler.annotations.get(KEDA_PAUSED)}
    known = _memory_of(scaler)
    if known is None or known.get("set", bounds) != bounds:
        return {"at": now, **bounds}
    return {key: value for key, value in known.items() if key != "set"}


def released(scaler: Autoscaler) -> list[Step]:
    """The autoscaler is as it was."""
    if _memory_of(scaler) is None:
        return []
    memory = _former(scaler, "")
    annotations: dict[str, Any] = remembered(PARKED, None)
    spec = None
    if scaler.kind == HPA:
        low, high = memory["minReplicas"], memory["maxReplicas"]
        spec = {"minReplicas": low, "maxReplicas": high}
        was, becomes = f"{scaler.low} to {scaler.high}", f"{low} to {high}"
        figures: dict[str, Any] = {"min_replicas": low, "max_replicas": high}
    else:
        former, now = memory.get("paused-replicas"), scaler.annotations.get(KEDA_PAUSED)
        annotations[KEDA_PAUSED] = former
        was = "not paused" if now is None else f"paused at {now}"
        becomes = "not paused" if former is None else f"paused at {former}"
        figures = {**scaler.figures(), "paused_replicas": former}
    patch = merge_patch(scaler.document, spec=spec, annotations=annotations)
    return [Step(RELEASE, scaler.kind, scaler.name, patch, was, becomes, figures)]
