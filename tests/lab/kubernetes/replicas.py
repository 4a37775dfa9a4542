"""ReplicaSets: as many pods of one template as they are told."""

from __future__ import annotations

from lab.kubernetes.controllers import Controller
from lab.kubernetes.kinds import Key, Object
from lab.kubernetes.store import Store, now
from lab.kubernetes.workloads import (
    DELAY,
    RETRY,
    Count,
    active,
    adopt,
    at_rest,
    key_of,
    letters,
    make_pods,
    owners_of,
    put_status,
    surplus,
)


def reconcile(store: Store, key: Key) -> float | None:
    """Make what is missing, delete what is too much, and count."""
    found = store.peek(key)
    if found is None or at_rest(store, found):
        return None
    spec = found["spec"]
    pods = active(adopt(store, found, "pods"))
    wanted = int(spec.get("replicas", 1))
    failure = None
    if len(pods) < wanted:
        names = (f"{key.name}-{letters(5)}" for _ in range(wanted - len(pods)))
        failure = make_pods(store, found, spec.get("template") or {}, names)
    for pod in surplus(store, pods, len(pods) - wanted) if len(pods) > wanted else []:
        store.delete(key_of(store, pod), grace=None)
    pods = active(store.owned(found, "pods"))
    count = Count.of(store, pods, float(spec.get("minReadySeconds") or 0))
    put_status(store, key, _status(found, count, failure))
    waits = [count.wait, RETRY if failure else None]
    return min((each for each in waits if each is not None), default=None)


def _status(found: Object, count: Count, failure: str | None) -> Object:
    status: Object = {"replicas": count.total, "observedGeneration": found["metadata"]["generation"]}
    if count.total:
        status["fullyLabeledReplicas"] = count.total
    if count.ready:
        status["readyReplicas"] = count.ready
    if count.available:
        status["availableReplicas"] = count.available
    if failure:
        before = (found.get("status") or {}).get("conditions") or [{}]
        since = before[0].get("lastTransitionTime") or now()
        failed = {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": failure}
        status["conditions"] = [{**failed, "lastTransitionTime": since}]
    return status


REPLICASETS = Controller("replicasets", reconcile, {"pods": owners_of("replicasets")}, DELAY)
