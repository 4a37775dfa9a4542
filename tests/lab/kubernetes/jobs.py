"""Jobs: pods that run to their end, again when they fail, until enough have succeeded or too many have failed."""

from __future__ import annotations

from lab.kubernetes.controllers import Controller
from lab.kubernetes.errors import ApiError
from lab.kubernetes.events import record_event
from lab.kubernetes.kinds import Key, Object
from lab.kubernetes.pods import is_ready
from lab.kubernetes.store import Store, now
from lab.kubernetes.workloads import DELAY, RETRY, active, at_rest, key_of, letters, new_pod, owners_of, put_status


def reconcile(store: Store, key: Key) -> float | None:
    """Start the pods that are missing, and say how far it is."""
    found = store.peek(key)
    if found is None or at_rest(store, found):
        return None
    spec, status = found["spec"], dict(found.get("status") or {})
    if any(each["type"] in ("Complete", "Failed") for each in status.get("conditions") or []):
        return None
    pods = store.owned(found, "pods")
    phases = [(each.get("status") or {}).get("phase") for each in pods]
    succeeded, failed = phases.count("Succeeded"), phases.count("Failed")
    restarts = sum(_restarts(each) for each in active(pods))
    status |= {"succeeded": succeeded, "failed": failed} if failed else {"succeeded": succeeded}
    status.setdefault("startTime", now())
    wait = None
    if succeeded >= int(spec.get("completions") or 1):
        _finish(
            store,
            key,
            status,
            ("SuccessCriteriaMet", "Complete"),
            "CompletionsReached",
            "Reached expected number of succeeded pods",
        )
        record_event(store, found, "Normal", "Completed", "Job completed")
        return None
    if failed + restarts > int(spec.get("backoffLimit", 6)):
        for pod in active(pods):
            store.delete(key_of(store, pod), grace=None)
        message = "Job has reached the specified backoff limit"
        record_event(store, found, "Warning", "BackoffLimitExceeded", message)
        _finish(store, key, status, ("FailureTarget", "Failed"), "BackoffLimitExceeded", message)
        return None
    if spec.get("suspend"):
        for pod in active(pods):
            store.delete(key_of(store, pod), grace=None)
        suspended = {"type": "Suspended", "status": "True", "reason": "JobSuspended", "message": "Job suspended"}
        status |= {"conditions": [suspended], "active": 0}
    else:
        status.pop("conditions", None)
        wait = _start(store, found, len(active(pods)), succeeded)
        running = active(store.owned(found, "pods"))
        status |= {"active": len(running), "ready": sum(is_ready(each) for each in running)}
    put_status(store, key, status)
    return wait


def _restarts(pod: Object) -> int:
    statuses = (pod.get("status") or {}).get("containerStatuses") or []
    return sum(int(each.get("restartCount") or 0) for each in statuses)


def _start(store: Store, found: Object, running: int, succeeded: int) -> float | None:
    spec, name = found["spec"], found["metadata"]["name"]
    left = int(spec.get("completions") or 1) - succeeded
    template = {**spec["template"]}
    marks = {"job-name": name, "batch.kubernetes.io/job-name": name}
    marks["batch.kubernetes.io/controller-uid"] = marks["controller-uid"] = found["metadata"]["uid"]
    metadata = template.get("metadata") or {}
    template["metadata"] = {**metadata, "labels": {**(metadata.get("labels") or {}), **marks}}
    for _ in range(min(int(spec.get("parallelism", 1)), left) - running):
        try:
            new_pod(store, found, template, f"{name}-{letters(5)}")
        except ApiError as error:
            record_event(store, found, "Warning", "FailedCreate", f"Error creating: {error.message}")
            return RETRY
    return None


def _finish(store: Store, key: Key, status: Object, kinds: tuple[str, ...], reason: str, message: str) -> None:
    moment = now()
    shared = {"status": "True", "reason": reason, "message": message}
    times = {"lastProbeTime": moment, "lastTransitionTime": moment}
    status = {name: value for name, value in status.items() if name not in ("active", "ready")}
    status |= {"conditions": [{"type": kind, **shared, **times} for kind in kinds], "ready": 0}
    if "Complete" in kinds:
        status["completionTime"] = moment
    put_status(store, key, status)


JOBS = Controller("jobs", reconcile, {"pods": owners_of("jobs")}, DELAY)
