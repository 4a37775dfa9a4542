"""Pods as scheduler and kubelet treat them: placed on a node, started, probed, started again, and ended.

What their containers do is told by their images (``images.py``). A pod that was given a status keeps it.
"""

from __future__ import annotations

import time
import uuid
from typing import Any

from lab.kubernetes.containers import RECHECK, Container
from lab.kubernetes.controllers import Controller
from lab.kubernetes.environment import Missing, environment_of, missing_volume
from lab.kubernetes.events import record_event
from lab.kubernetes.images import behaviour_of
from lab.kubernetes.kinds import Key, Object
from lab.kubernetes.scheduling import place
from lab.kubernetes.store import Store, now

NODE = "lab-node-1"
NEW_POD: Object = {"phase": "Pending", "qosClass": "BestEffort"}
ENDS_AFTER = 0.3  # seconds a pod with nothing to finish takes to end
STARTS_AFTER = 0.05


def reconcile(store: Store, key: Key) -> float | None:
    """One look at one pod."""
    pod = store.peek(key)
    if pod is None:
        return None
    if "deletionTimestamp" in pod["metadata"]:
        return _end(store, key, pod)
    pod = {**pod, "spec": {**(pod.get("spec") or {})}, "status": pod.get("status") or {}}
    if not pod["spec"].get("containers"):
        return None
    if store.planted(pod) or pod["status"].get("phase") in ("Succeeded", "Failed"):
        return None
    note = store.note(pod)
    if "containers" not in note:
        if not _scheduled(store, key, pod):
            return RECHECK
        _prepare(pod, note)
    problem = missing_volume(store, pod) if not note.get("mounted") else None
    if problem:
        if note.get("said") != problem:
            note["said"] = problem
            record_event(store, pod, "Warning", "FailedMount", problem)
        _write(store, key, pod, note)
        return RECHECK
    note["mounted"] = True
    turn: list[Container] = []
    waits: list[float] = []
    while _turn(note) != turn:
        turn = _turn(note)
        waits = [wait for each in turn if (wait := _step(store, pod, each)) is not None]
    _write(store, key, pod, note)
    return min(waits, default=None)


def _turn(note: dict[str, Any]) -> list[Container]:
    """The containers whose turn it is: the first of the initial ones that has not ended, or all the others."""
    waiting = next((each for each in note["initial"] if not each.over), None)
    if waiting is not None:
        return [waiting]
    if any(not each.succeeded for each in note["initial"]):
        return []
    found: list[Container] = note["containers"]
    return found


def _scheduled(store: Store, key: Key, pod: Object) -> bool:
    if pod["spec"].get("nodeName"):
        return True
    images = [each.get("image", "") for each in pod["spec"].get("containers") or []]
    node, why = place(store, pod, all(behaviour_of(image).schedulable for image in images))
    if node is None:
        record = pod["status"].get("conditions") or []
        if not any(each.get("message") == why for each in record):
            record_event(store, pod, "Warning", "FailedScheduling", why)
            condition = _condition(pod, "PodScheduled", False, "Unschedulable", why)
            store.replace(key, {**pod, "status": {**pod["status"], "conditions": [condition]}})
        return False
    pod["spec"]["nodeName"] = node
    return True


def _prepare(pod: Object, note: dict[str, Any]) -> None:
    metadata, spec = pod["metadata"], pod["spec"]
    identity = f"{metadata['name']}_{metadata['namespace']}({metadata['uid']})"
    owners = [each.get("kind") for each in metadata.get("ownerReferences") or []]
    policy = spec.get("restartPolicy", "Always")
    for word, names in (("initial", "initContainers"), ("containers", "containers")):
        note[word] = [
            Container(
                each["name"],
                each.get("image", ""),
                identity,
                "OnFailure" if word == "initial" and policy == "Always" else policy,
                "Job" in owners or word == "initial",
                word == "initial",
                due=time.monotonic() + STARTS_AFTER,
            )
            for each in spec.get(names) or []
        ]
    note["address"] = ".".join(["10", *(str(byte) for byte in uuid.UUID(metadata["uid"]).bytes[:3])])
    note["started"] = now()
    note["env"] = {}


def _step(store: Store, pod: Object, container: Container) -> float | None:
    names = "initContainers" if container.initial else "containers"
    spec = next(each for each in pod["spec"][names] if each["name"] == container.name)

    def missing() -> str | None:
        try:
            store.note(pod)["env"][container.name] = environment_of(store, pod, spec)
        except Missing as error:
            return str(error.args[0])
        return None

    return container.step(missing, lambda reason, message: _warn(store, pod, reason, message))


def _warn(store: Store, pod: Object, reason: str, message: str) -> None:
    record_event(store, pod, "Warning", reason, message)


def _write(store: Store, key: Key, pod: Object, note: dict[str, Any]) -> None:
    """Store the status that follows from the containers, where it has changed."""
    initial, containers = note["initial"], note["containers"]
    ready = bool(containers) and all(each.ready for each in containers)
    if ready:
        note.setdefault("ready", time.monotonic())
    else:
        note.pop("ready", None)
    status: Object = {
        "phase": _phase(initial, containers),
        "conditions": _conditions(pod, initial, containers),
        "hostIP": "192.0.2.1",
        "podIP": note["address"],
        "podIPs": [{"ip": note["address"]}],
        "startTime": note["started"],
        "qosClass": pod["status"].get("qosClass", "BestEffort"),
        "containerStatuses": [each.status() for each in containers],
    }
    if initial:
        status["initContainerStatuses"] = [each.status() for each in initial]
    if status != pod["status"]:
        store.replace(key, {**pod, "status": status})


def _phase(initial: list[Container], containers: list[Container]) -> str:
    if any(each.over and not each.succeeded for each in initial):
        return "Failed"
    if containers and all(each.over for each in containers):
        return "Succeeded" if all(each.succeeded for each in containers) else "Failed"
    return "Running" if any(each.runs for each in containers) else "Pending"


def _conditions(pod: Object, initial: list[Container], containers: list[Container]) -> list[Object]:
    unready = [each.name for each in containers if not each.ready]
    started = all(each.succeeded for each in initial)
    done = bool(containers) and all(each.succeeded for each in containers)
    names = " ".join(unready)
    why = ("PodCompleted", "") if done else ("ContainersNotReady", f"containers with unready status: [{names}]")
    left = " ".join(each.name for each in initial if not each.succeeded)
    incomplete = f"containers with incomplete status: [{left}]"
    return [
        _condition(pod, "PodReadyToStartContainers", True),
        _condition(
            pod,
            "Initialized",
            started,
            "ContainersNotInitialized",
            incomplete,
        ),
        _condition(pod, "Ready", not unready, *why),
        _condition(pod, "ContainersReady", not unready, *why),
        _condition(pod, "PodScheduled", True),
    ]


def _condition(pod: Object, kind: str, holds: bool, reason: str = "", message: str = "") -> Object:
    """The condition, with the moment since which it has held."""
    status = str(holds)
    before: Object = next((each for each in pod["status"].get("conditions") or [] if each["type"] == kind), {})
    since = before.get("lastTransitionTime") if before.get("status") == status else None
    found = {"type": kind, "status": status, "lastProbeTime": None, "lastTransitionTime": since or now()}
    return found if holds else {**found, "reason": reason, **({"message": message} if message else {})}


def _end(store: Store, key: Key, pod: Object) -> float | None:
    """A pod that was asked to end finishes what it has begun, as long as its grace lasts."""
    note = store.note(pod)
    if not note.get("asked") or note.get("ended"):
        return None
    began = note.setdefault("ending", time.monotonic())
    passed: float = time.monotonic() - began
    grace: int = pod["metadata"].get("deletionGracePeriodSeconds", 0)
    if passed < min(ENDS_AFTER, grace) or (note.get("serving") and passed < grace):
        return max(min(ENDS_AFTER, grace) - passed, 0.05)
    note["ended"] = True
    store.delete(key)
    return None


def is_ready(pod: Object) -> bool:
    """Whether a pod is to get requests."""
    conditions = (pod.get("status") or {}).get("conditions") or []
    return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)


PODS = Controller("pods", reconcile)
