"""HorizontalPodAutoscalers: replicas within their bounds, and by the load that a test has given."""

from __future__ import annotations

import math
from collections.abc import Iterable

from lab.kubernetes.controllers import Controller
from lab.kubernetes.events import record_event
from lab.kubernetes.kinds import Key, Object
from lab.kubernetes.store import Store, now
from lab.kubernetes.workloads import condition, key_of, put_status

TOLERANCE = 0.1
PERIOD = 0.1  # seconds a change lets pass
_BLIND = (
    "the HPA was unable to compute the replica count: failed to get cpu utilization: unable to get metrics for "
    "resource cpu: no metrics returned from resource metrics API"
)


def set_load(store: Store, namespace: str, name: str, percent: int | None) -> Key:
    """From now on there is as much to do as uses this share of what the pods request; None: nobody can measure it.

    More pods then use a smaller share each, so that the autoscaler comes to rest.
    """
    key = store.key("horizontalpodautoscalers", namespace, name)
    with store.lock:
        found = store.get(key)
        store.unplant(found)
        target = _target(store, found)
        store.note(found)["work"] = None if percent is None else percent * max(1, _replicas(target))
    return key


def _target(store: Store, found: Object) -> Object | None:
    reference = found["spec"]["scaleTargetRef"]
    return store.peek(store.key(reference["kind"], found["metadata"]["namespace"], reference["name"]))


def _replicas(target: Object | None) -> int:
    return int(target["spec"].get("replicas", 1)) if target else 0


def _resource(found: Object) -> tuple[str, int]:
    """The name of the metric and the utilisation it is to have."""
    for each in found["spec"].get("metrics") or []:
        resource = each.get("resource") or each.get("containerResource") or {}
        wanted = (resource.get("target") or {}).get("averageUtilization")
        if wanted:
            return str(resource["name"]), int(wanted)
    return "cpu", 80


def _work(store: Store, found: Object, current: int) -> float | None:
    """Percent times pods; what a planted status measures counts until a test says otherwise. -1: never measured."""
    note = store.note(found)
    if "work" not in note:
        note["work"] = -1.0
        for each in (found.get("status") or {}).get("currentMetrics") or []:
            percent = ((each.get("resource") or {}).get("current") or {}).get("averageUtilization")
            if percent is not None:
                note["work"] = float(percent * current)
    work: float | None = note["work"]
    return work


def reconcile(store: Store, key: Key) -> float | None:
    """One look at one autoscaler."""
    found = store.peek(key)
    if found is None or store.planted(found) or not (found.get("spec") or {}).get("scaleTargetRef"):
        return None
    target, before = _target(store, found), found.get("status") or {}
    conditions = before.get("conditions") or []
    if target is None:
        reference = found["spec"]["scaleTargetRef"]
        kind, name = reference["kind"].lower(), reference["name"]
        why = f'the HPA controller was unable to get the target\'s current scale: {kind}s.apps "{name}" not found'
        unable = condition(conditions, "AbleToScale", "False", "FailedGetScale", why)
        put_status(store, key, {"currentReplicas": 0, "desiredReplicas": 0, "conditions": [_plain(unable)]})
        return None
    current = _replicas(target)
    status: Object = {"currentReplicas": int((target.get("status") or {}).get("replicas") or 0)}
    if current == 0:
        why = "scaling is disabled since the replica count of the target is zero"
        said = [condition(conditions, "ScalingActive", "False", "ScalingDisabled", why)]
        desired = 0
    else:
        desired, said, status["currentMetrics"] = _measured(store, found, current, conditions)
    if desired != current:
        store.replace(key_of(store, target), {**target, "spec": {**target["spec"], "replicas": desired}})
        name = _resource(found)[0]
        reason = (
            f"{name} resource utilization (percentage of request) {'above' if desired > current else 'below'} target"
        )
        record_event(store, found, "Normal", "SuccessfulRescale", f"New size: {desired}; reason: {reason}")
        status["lastScaleTime"] = now()
    elif "lastScaleTime" in before:
        status["lastScaleTime"] = before["lastScaleTime"]
    text = "recommended size matches current size"
    able = condition(conditions, "AbleToScale", "True", "ReadyForNewScale", text)
    status |= {"desiredReplicas": desired, "conditions": [_plain(each) for each in (able, *said)]}
    put_status(store, key, status)
    return None


def _measured(
    store: Store, found: Object, current: int, conditions: list[Object]
) -> tuple[int, list[Object], list[Object]]:
    """ceil(current * utilisation / target) within the bounds, what is said about it, and what was measured."""
    least, most = int(found["spec"].get("minReplicas") or 1), int(found["spec"]["maxReplicas"])
    work, (name, target) = _work(store, found, current), _resource(found)
    wanted, metrics = current, []
    if work is None:
        record_event(store, found, "Warning", "FailedGetResourceMetric", _BLIND)
        active = condition(conditions, "ScalingActive", "False", "FailedGetResourceMetric", _BLIND)
    else:
        why = f"the HPA was able to successfully calculate a replica count from {name} resource utilization"
        why += " (percentage of request)"
        active = condition(conditions, "ScalingActive", "True", "ValidMetricFound", why)
        if work >= 0:
            measured = {"averageUtilization": round(work / current)}
            metrics = [{"type": "Resource", "resource": {"name": name, "current": measured}}]
            if abs(work / current / target - 1) > TOLERANCE:
                wanted = math.ceil(work / target)
    desired = min(max(wanted, least), most)
    if desired < wanted:
        limited = ("True", "TooManyReplicas", "the desired replica count is more than the maximum replica count")
    elif desired > wanted:
        limited = ("True", "TooFewReplicas", "the desired replica count is less than the minimum replica count")
    else:
        limited = ("False", "DesiredWithinRange", "the desired count is within the acceptable range")
    return desired, [active, condition(conditions, "ScalingLimited", *limited)], metrics


def _plain(found: Object) -> Object:
    return {name: value for name, value in found.items() if name != "lastUpdateTime"}


def autoscalers_of(store: Store, target: Object) -> Iterable[Key]:
    """What a write of a workload concerns."""
    for each in store.look("horizontalpodautoscalers", target["metadata"]["namespace"]):
        reference = (each.get("spec") or {}).get("scaleTargetRef") or {}
        if (reference.get("kind"), reference.get("name")) == (target["kind"], target["metadata"]["name"]):
            yield key_of(store, each)


AUTOSCALERS = Controller(
    "horizontalpodautoscalers", reconcile, {"deployments": autoscalers_of, "statefulsets": autoscalers_of}, PERIOD
)
