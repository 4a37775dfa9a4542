# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Autoscalers as facts: at their ceiling and still short, blind, or without room to move. Pure."""

from __future__ import annotations

import datetime as dt
import json
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
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.moments import age_seconds
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.pod_words import shortened
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.quantity import parse_quantity

# At its start, and at that of pods, an autoscaler has no figures for a while.
_BLIND_AFTER_SECONDS = 300
_CANNOT_SCALE = ("FailedGetScale", "FailedUpdateScale")
# An autoscaler does nothing within this share of its target (--horizontal-pod-autoscaler-tolerance).
_TOLERANCE_PERCENT = 110


def autoscaler_facts(autoscaler: Document, now: dt.datetime) -> Facts:
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
    hindrance = _hindrance(autoscaler)
    since = age_seconds((hindrance or {}).get("lastTransitionTime"), now)
    is_blind = _is_blind(autoscaler, hindrance, since, now)
    lacking = [each["name"] for each in metrics if each["target"] is not None and each["current"] is None]
    if active.get("status") != "True" or len(lacking) == len(metrics):
        lacking = []
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
        # More are needed, and its own behavior says never (scaleUp.selectPolicy).
        "is_held": is_above and not is_at_ceiling and _may_not_grow(spec),
        "is_fixed": least == most,
        # Its workload was scaled to nothing, which switches it off.
        "is_disabled": is_disabled,
        "is_blind": is_blind,
        "blind_reason": _words(hindrance or {}) if is_blind else None,
        "blind_seconds": since if is_blind else None,
        # It scales by the others, and never down.
        "blind_metrics": lacking,
        "blind_metrics_count": len(lacking),
        "highest_target_percent": max(shares, default=None),
        "metrics": metrics,
    }


def _may_not_grow(spec: Mapping[str, Any]) -> bool:
    return ((spec.get("behavior") or {}).get("scaleUp") or {}).get("selectPolicy") == "Disabled"


def _hindrance(autoscaler: Document) -> Optional[Mapping[str, Any]]:
    """The condition that says why it does not scale: no figures, or no such workload."""
    able, active = condition(autoscaler, "AbleToScale"), condition(autoscaler, "ScalingActive")
    if able.get("status") == "False" and able.get("reason") in _CANNOT_SCALE:
        return able
    return active if active.get("status") == "False" and active.get("reason") != "ScalingDisabled" else None


def _is_blind(
    autoscaler: Document, hindrance: Optional[Mapping[str, Any]], since: Optional[int], now: dt.datetime
) -> Optional[bool]:
    if hindrance is not None:
        return since is None or since >= _BLIND_AFTER_SECONDS
    if (autoscaler.get("status") or {}).get("conditions"):
        return False
    # Nobody has looked at it yet, or nobody looks at all, of which nothing is known.
    age = age_seconds(autoscaler["metadata"].get("creationTimestamp"), now)
    return False if age is not None and age < _BLIND_AFTER_SECONDS else None


def _words(hindrance: Mapping[str, Any]) -> str:
    text = shortened(hindrance.get("message")) or "no reason is given"
    return f"{hindrance.get('reason')}: {text}" if hindrance.get("reason") else text


def _metrics(wanted: Sequence[Mapping[str, Any]], current: Sequence[Mapping[str, Any]]) -> Iterator[Facts]:
    known = {_key(each): each for each in current}
    for each in wanted:
        name, target = _name(each), (_part(each).get("target") or {})
        now = _part(known.get(_key(each)) or {}).get("current") or {}
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


def _key(metric: Mapping[str, Any]) -> str:
    """What tells two figures of one name apart: the container, the object, the selector."""
    part = _part(metric)
    return json.dumps(
        [metric.get("type"), *(part.get(field) for field in ("name", "container", "metric", "describedObject"))],
        sort_keys=True,
    )


def _name(metric: Mapping[str, Any]) -> str:
    part = _part(metric)
    return str(part.get("name") or (part.get("metric") or {}).get("name") or metric.get("type") or "")
