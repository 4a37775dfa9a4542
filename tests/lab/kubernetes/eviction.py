"""Evictions: a pod is asked to go, and goes only when its disruption budget has room."""

from __future__ import annotations

import math
from typing import Any

from lab.kubernetes.errors import ApiError
from lab.kubernetes.kinds import Key, Object
from lab.kubernetes.selectors import selected
from lab.kubernetes.store import Store

_ENDED = ("Succeeded", "Failed", "Pending")


def check_budget(store: Store, pod: Object, *, dry_run: bool) -> None:
    """Refuse what would leave a budget with too few healthy pods; take one disruption from it otherwise."""
    if (pod.get("status") or {}).get("phase") in _ENDED or pod["metadata"].get("deletionTimestamp"):
        return
    namespace = pod["metadata"]["namespace"]
    budgets = [
        each
        for each in store.all("poddisruptionbudgets", namespace)
        if selected((each.get("spec") or {}).get("selector"), pod)
    ]
    if not budgets:
        return
    if len(budgets) > 1:
        raise ApiError(
            500, "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support."
        )
    budget = budgets[0]
    status = {**_counted(store, budget), **(budget.get("status") or {})}
    if not healthy(pod) and _unhealthy_may_go(budget, status):
        return
    if status["disruptionsAllowed"] <= 0:
        raise _refused(budget, status)
    if "disruptionsAllowed" in (budget.get("status") or {}) and not dry_run:
        budget["status"]["disruptionsAllowed"] -= 1
        store.replace(store.key("poddisruptionbudgets", namespace, budget["metadata"]["name"]), budget)


def healthy(pod: Object) -> bool:
    """Whether a budget counts this pod."""
    conditions = (pod.get("status") or {}).get("conditions") or []
    ready = any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)
    return ready and not pod["metadata"].get("deletionTimestamp")


def _unhealthy_may_go(budget: Object, status: Object) -> bool:
    if budget["spec"].get("unhealthyPodEvictionPolicy") == "AlwaysAllow":
        return True
    return bool(status["desiredHealthy"] > 0 and status["currentHealthy"] >= status["desiredHealthy"])


def _counted(store: Store, budget: Object) -> Object:
    """The status that the budget's controller would write."""
    spec = budget["spec"]
    pods = [each for each in store.all("pods", budget["metadata"]["namespace"]) if selected(spec.get("selector"), each)]
    expected, current = len(pods), sum(healthy(each) for each in pods)
    if spec.get("maxUnavailable") is not None:
        desired = max(0, expected - _share(spec["maxUnavailable"], expected))
    else:
        desired = _share(spec.get("minAvailable", 0), expected)
    allowed = max(0, current - desired)
    return {
        "expectedPods": expected,
        "currentHealthy": current,
        "desiredHealthy": desired,
        "disruptionsAllowed": allowed,
    }


def _share(value: Any, whole: int) -> int:
    """A number, or a percentage rounded up."""
    return math.ceil(int(value[:-1]) * whole / 100) if isinstance(value, str) and value.endswith("%") else int(value)


def _refused(budget: Object, status: Object) -> ApiError:
    why = (
        f"The disruption budget {budget['metadata']['name']} needs {status['desiredHealthy']} healthy pods and has "
        f"{status['currentHealthy']} currently"
    )
    causes = [{"reason": "DisruptionBudget", "message": why}]
    return ApiError(
        429, "Cannot evict pod as it would violate the pod's disruption budget.", details={"causes": causes}
    )


def evict(store: Store, key: Key, eviction: Any, *, dry_run: bool) -> Object:
    """POST to pods/eviction."""
    options = (eviction.get("deleteOptions") or {}) if isinstance(eviction, dict) else {}
    dry_run = dry_run or options.get("dryRun") == ["All"]
    with store.lock:
        check_budget(store, store.get(key), dry_run=dry_run)
        store.delete(key, dry_run=dry_run, grace=options.get("gracePeriodSeconds"))
    return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}
