"""What a Deployment says of its rollout: counts, conditions, and when its time is up."""

from __future__ import annotations

import time

from lab.kubernetes.deployment_sets import Rollout, counted, limits, specified
from lab.kubernetes.kinds import Object
from lab.kubernetes.workloads import condition, put_status


def report(rollout: Rollout) -> float | None:
    """Write the status; the seconds until the deadline passes."""
    store, new = rollout.store, rollout.new
    deployment = store.peek(rollout.key) or rollout.deployment
    before = deployment.get("status") or {}
    status: Object = {"observedGeneration": deployment["metadata"]["generation"]}
    total = sum(specified(each) for each in rollout.sets)
    counts = {
        "replicas": sum(counted(each, "replicas") for each in rollout.sets),
        "updatedReplicas": counted(new, "replicas") if new else 0,
        "readyReplicas": sum(counted(each, "readyReplicas") for each in rollout.sets),
        "availableReplicas": sum(counted(each) for each in rollout.sets),
    }
    counts["unavailableReplicas"] = max(0, total - counts["availableReplicas"])
    status |= {name: count for name, count in counts.items() if count}
    conditions = before.get("conditions") or []
    _, unavailable = limits(rollout.spec)
    if counts["availableReplicas"] >= rollout.wanted - unavailable:
        available = ("True", "MinimumReplicasAvailable", "Deployment has minimum availability.")
    else:
        available = ("False", "MinimumReplicasUnavailable", "Deployment does not have minimum availability.")
    found = [condition(conditions, "Available", *available)]
    progress, wait = _progress(rollout, before, counts)
    found += [progress] if progress else []
    failed = [each for every in rollout.sets for each in (every.get("status") or {}).get("conditions") or []]
    found += [condition(conditions, "ReplicaFailure", "True", each["reason"], each["message"]) for each in failed[-1:]]
    status["conditions"] = found
    put_status(store, rollout.key, status)
    return wait


def _progress(rollout: Rollout, before: Object, counts: dict[str, int]) -> tuple[Object | None, float | None]:
    """The condition Progressing, and the time it has left."""
    conditions = before.get("conditions") or []
    old: Object = next((each for each in conditions if each["type"] == "Progressing"), {})
    note = rollout.store.note(rollout.deployment)
    if rollout.spec.get("paused"):
        note.pop("deadline", None)
        return condition(conditions, "Progressing", "Unknown", "DeploymentPaused", "Deployment is paused"), None
    deadline = rollout.spec.get("progressDeadlineSeconds", 600)
    name = rollout.new["metadata"]["name"] if rollout.new else rollout.key.name
    if old.get("reason") == "NewReplicaSetAvailable" and counts["replicas"] == counts["updatedReplicas"]:
        return (old, None) if rollout.news is None else _moved(rollout, conditions, rollout.news, deadline)
    if counts["updatedReplicas"] == counts["replicas"] == counts["availableReplicas"] == rollout.wanted:
        note.pop("deadline", None)
        text = f'ReplicaSet "{name}" has successfully progressed.'
        return condition(conditions, "Progressing", "True", "NewReplicaSetAvailable", text), None
    if rollout.news is not None:
        return _moved(rollout, conditions, rollout.news, deadline)
    if _has_moved(before, counts) or not old or "deadline" not in note:
        reason = ("ReplicaSetUpdated", f'ReplicaSet "{name}" is progressing.')
        return _moved(rollout, conditions, reason, deadline)
    left = note["deadline"] - time.monotonic()
    if left > 0:
        return old, left + 0.01
    text = f'ReplicaSet "{name}" has timed out progressing.'
    return condition(conditions, "Progressing", "False", "ProgressDeadlineExceeded", text), None


def _has_moved(before: Object, counts: dict[str, int]) -> bool:
    names = ("updatedReplicas", "readyReplicas", "availableReplicas")
    gained = any(counts[name] > before.get(name, 0) for name in names)
    old_before = before.get("replicas", 0) - before.get("updatedReplicas", 0)
    return gained or counts["replicas"] - counts["updatedReplicas"] < old_before


def _moved(
    rollout: Rollout, conditions: list[Object], reason: tuple[str, str], deadline: float
) -> tuple[Object, float]:
    note = rollout.store.note(rollout.deployment)
    note["deadline"] = time.monotonic() + deadline
    return condition(conditions, "Progressing", "True", *reason, renew=True), deadline + 0.01
