# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Autoscalers as facts: at their ceiling and still short, blind, or without room to move. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.health.common import (
    Document,
    Facts,
    condition,
    name_of,
    namespace_of,
    percent,
)
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.pod_words import shortened
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.quantity import parse_quantity

# An autoscaler does nothing within this share of its target (--horizontal-pod-autoscaler-tolerance).
_TOLERANCE_PERCENT = 110


def autoscaler_facts(autoscaler: Document) -> Facts:
    """One HorizontalPodAutoscaler of autoscaling/v2."""
    spec, status = autoscaler.get("spec") or {}, autoscaler.get("status") or {}
    target = spec.get("scaleTargetRef") or {}
    least, most = spec.get("minReplicas"), int(spec.get("maxReplicas") or 0)
    least = 1 if least is None else int(least)
    current = int(status.get("currentReplicas") or 0)
    metrics = list(_metrics(spec.get("metrics") or (), status.get("currentMetrics") or ()))
    shares = [each["target_percent"] for each in metrics if each["target_percent"] is not None]
    active, limited = condition(autoscaler, "ScalingActive"), condition(autoscaler, "ScalingLimited")
    is_disabled = active.get("reason") == "ScalingDisabled"
    is_blind = active.get("status") == "False" and not is_disabled
    is_at_ceiling = current >= most > 0
    wants_more = limited.get("status") == "True" and limited.get("reason") == "TooManyReplicas"
    is_above = bool(shares) and max(shares) > _TOLERANCE_PERCENT
    namespace, name = namespace_of(autoscaler), name_of(autoscaler)
    return {
        "name": f"{namespace}/{name}",
        "namespace": namespace,
        "autoscaler": name,
        "target_kind": str(target.get("kind") or "").lower(),
        "target_name": target.get("name"),
        "min_count": least,
        "max_count": most,
        "current_count": current,
        "desired_count": int(status.get("desiredReplicas") or 0),
        "is_at_ceiling": is_at_ceiling,
        "is_saturated": is_at_ceiling and (wants_more or is_above),
        "is_fixed": least == most,
        # Its workload was scaled to nothing, which switches it off.
        "is_disabled": is_disabled,
        "is_blind": is_blind,
        "blind_reason": _blind(autoscaler, active) if is_blind else None,
        "highest_target_percent": max(shares, default=None),
        "metrics": metrics,
    }


def _blind(autoscaler: Document, active: Mapping[str, Any]) -> str:
    able = condition(autoscaler, "AbleToScale")
    text = shortened(active.get("message")) or shortened(able.get("message")) or "no reason is given"
    return f"{active.get('reason')}: {text}" if active.get("reason") else text


def _metrics(wanted: Sequence[Mapping[str, Any]], current: Sequence[Mapping[str, Any]]) -> Iterator[Facts]:
    known = {_name(each): each for each in current}
    for each in wanted:
        name, target = _name(each), (_part(each).get("target") or {})
        now = _part(known.get(name) or {}).get("current") or {}
        goal, found = _goal(target, now)
        yield {
            "name": name,
            "target": goal,
            "current": found,
            "target_percent": None if goal is None or found is None else percent(_number(found), _number(goal)),
        }


def _goal(target: Mapping[str, Any], now: Mapping[str, Any]) -> tuple[Optional[str], Optional[str]]:
    for field in ("averageUtilization", "averageValue", "value"):
        if target.get(field) is not None:
            found = now.get(field)
            return str(target[field]), None if found is None else str(found)
    return None, None


def _number(text: str) -> float:
    try:
        return float(parse_quantity(text))
    except ValueError:
        return 0.0


def _part(metric: Mapping[str, Any]) -> Mapping[str, Any]:
    """What a metric of any type says: C(resource), C(pods), C(external) and so on."""
    kind = str(metric.get("type") or "")
    found = metric.get(kind[:1].lower() + kind[1:])
    return found if isinstance(found, Mapping) else {}


def _name(metric: Mapping[str, Any]) -> str:
    part = _part(metric)
    return str(part.get("name") or (part.get("metric") or {}).get("name") or metric.get("type") or "")
