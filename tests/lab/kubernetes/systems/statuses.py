"""Statuses of pods as kubelets, the scheduler and the eviction manager write them. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from lab.kubernetes.kinds import Object

ORDINARY = ("PodScheduled", "Initialized", "ContainersReady", "Ready")


def stamp(moment: datetime) -> str:
    """RFC 3339 to the second, as the API server writes moments."""
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


@dataclass(frozen=True)
class PodPlan:
    """One planted pod of a workload: how its only container is, and what the pod's conditions say."""

    name: str
    state: Mapping[str, Any]
    ready: bool = False
    restarts: int = 0
    last_state: Mapping[str, Any] = field(default_factory=dict)
    phase: str = "Running"
    node: str | None = "storebridge-node-1"
    conditions: Mapping[str, tuple[str, str]] = field(default_factory=dict)  # those that are False: reason, message
    reason: str = ""
    message: str = ""
    started: bool = True
    events: Sequence[tuple[str, str]] = ()  # reason and message of each warning


def status_of(plan: PodPlan, container: str, image: str, since: datetime, address: str) -> Object:
    """The pod's whole status."""
    conditions = []
    for kind in ORDINARY:
        reason, message = plan.conditions.get(kind, ("", ""))
        unready = kind in ("ContainersReady", "Ready") and not plan.ready
        condition = {
            "type": kind,
            "status": "False" if reason or unready else "True",
            "lastProbeTime": None,
            "lastTransitionTime": stamp(since),
        }
        if unready and not reason:
            reason, message = "ContainersNotReady", f"containers with unready status: [{container}]"
        conditions.append({**condition, **({"reason": reason, "message": message} if reason else {})})
    status: Object = {"phase": plan.phase, "qosClass": "Burstable", "conditions": conditions}
    if plan.reason:
        status |= {"reason": plan.reason, "message": plan.message}
    if plan.node is None:
        return {**status, "conditions": [each for each in conditions if each["type"] == "PodScheduled"]}
    status |= {"startTime": stamp(since), "hostIP": "10.0.1.11"}
    if plan.reason == "Evicted":
        ended = {"type": "DisruptionTarget", "status": "True", "lastTransitionTime": stamp(since)}
        return {**status, "conditions": [{**ended, "reason": "TerminationByKubelet", "message": plan.message}]}
    unpulled = "waiting" in plan.state and not plan.restarts
    status |= {
        "podIP": address,
        "podIPs": [{"ip": address}],
        "containerStatuses": [
            {
                "name": container,
                "image": image,
                "imageID": "" if unpulled else f"{image.rpartition(':')[0]}@sha256:1ab",
                "ready": plan.ready,
                "started": plan.started and "running" in plan.state,
                "restartCount": plan.restarts,
                "state": dict(plan.state),
                "lastState": dict(plan.last_state),
            }
        ],
    }
    return status


def running(at: datetime) -> Object:
    return {"running": {"startedAt": stamp(at)}}


def terminated(reason: str, code: int, end: datetime, *, ran: timedelta = timedelta(seconds=9)) -> Object:
    state = {"exitCode": code, "reason": reason, "startedAt": stamp(end - ran), "finishedAt": stamp(end)}
    return {"terminated": state}


def waiting(reason: str, message: str) -> Object:
    return {"waiting": {"reason": reason, "message": message}}


def well(name: str, at: datetime, node: str) -> PodPlan:
    """A pod without anything to say about it."""
    return PodPlan(name, running(at), ready=True, node=node)


def crashing(name: str, now: datetime, node: str, *, code: int = 1, restarts: int = 17) -> PodPlan:
    back_off = f"back-off 5m0s restarting failed container of pod {name}"
    return PodPlan(
        name,
        waiting("CrashLoopBackOff", back_off),
        restarts=restarts,
        last_state=terminated("Error", code, now - timedelta(minutes=2)),
        node=node,
        started=False,
        events=[("BackOff", f"Back-off restarting failed container in pod {name}")],
    )


def out_of_memory(name: str, now: datetime, node: str, *, restarts: int = 6) -> PodPlan:
    """Killed by the kernel for want of memory, and waiting for its next start."""
    return PodPlan(
        name,
        waiting("CrashLoopBackOff", f"back-off 2m40s restarting failed container of pod {name}"),
        restarts=restarts,
        last_state=terminated("OOMKilled", 137, now - timedelta(minutes=1), ran=timedelta(minutes=4)),
        node=node,
        started=False,
        events=[("BackOff", f"Back-off restarting failed container in pod {name}")],
    )


def unready(name: str, at: datetime, node: str, message: str) -> PodPlan:
    """Running for ``kubectl get pods``, and serving nothing."""
    return PodPlan(name, running(at), node=node, events=[("Unhealthy", message)])


def unschedulable(name: str, message: str) -> PodPlan:
    return PodPlan(
        name,
        {},
        phase="Pending",
        node=None,
        conditions={"PodScheduled": ("Unschedulable", message)},
        events=[("FailedScheduling", message)],
    )


def without_image(name: str, node: str, image: str) -> PodPlan:
    return PodPlan(
        name,
        waiting("ImagePullBackOff", f'Back-off pulling image "{image}"'),
        phase="Pending",
        node=node,
        started=False,
        events=[("Failed", f'Failed to pull image "{image}": not found'), ("Failed", "Error: ImagePullBackOff")],
    )


def without_key(name: str, node: str, message: str) -> PodPlan:
    return PodPlan(
        name,
        waiting("CreateContainerConfigError", message),
        phase="Pending",
        node=node,
        started=False,
        events=[("Failed", f"Error: {message}")],
    )


def evicted(name: str, node: str, message: str) -> PodPlan:
    return PodPlan(name, {}, phase="Failed", node=node, reason="Evicted", message=message)


def failed(name: str, now: datetime, node: str, code: int) -> PodPlan:
    """A pod whose node went away with it."""
    return PodPlan(name, terminated("Error", code, now - timedelta(hours=5)), phase="Failed", node=node, started=False)


def completed(name: str, end: datetime, node: str) -> PodPlan:
    """The pod of a Job that has done its work. For ``grep -v Running`` it is a problem."""
    finished = ("PodCompleted", "")
    return PodPlan(
        name,
        terminated("Completed", 0, end, ran=timedelta(minutes=4)),
        phase="Succeeded",
        node=node,
        started=False,
        conditions=dict.fromkeys(("ContainersReady", "Ready"), finished),
    )
