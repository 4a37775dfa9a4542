"""Every way in which a pod is unwell, and those in which it only looks so."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.pod_state import Times, state_of

NOW = dt.datetime(2026, 1, 31, 8, 0, tzinfo=dt.timezone.utc)
IMAGE = "registry.example/web:v2"


def ago(seconds: int) -> str:
    return (NOW - dt.timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")


def ended(code: int, reason: str = "Error", seconds: int = 120, **more: Any) -> dict[str, Any]:
    return {"terminated": {"exitCode": code, "reason": reason, "finishedAt": ago(seconds), **more}}


def waits(reason: str, message: str = "") -> dict[str, Any]:
    return {"waiting": {"reason": reason, "message": message}}


RUNS = {"running": {"startedAt": ago(7200)}}
PROBE = {"readinessProbe": {"httpGet": {"path": "/health", "port": 3000}}}


def pod(state: dict[str, Any] | None = None, phase: str = "Running", ready: bool = True, **more: Any) -> dict[str, Any]:
    """One container, C(app), in a state; C(init) is the state of an init container."""
    spec: dict[str, Any] = {
        "nodeName": "node-1",
        "restartPolicy": more.get("policy", "Always"),
        "containers": [{"name": "app", "image": IMAGE, **more.get("container", {})}],
    }
    status: dict[str, Any] = {
        "phase": phase,
        "startTime": ago(more.get("age", 7200)),
        "conditions": [
            {"type": "Ready", "status": str(ready), "lastTransitionTime": ago(600), **more.get("condition", {})}
        ],
        "containerStatuses": [
            {
                "name": "app",
                "ready": ready,
                "started": more.get("started", True),
                "restartCount": more.get("restarts", 0),
                "state": RUNS if state is None else state,
                "lastState": more.get("last", {}),
            }
        ],
        **more.get("status", {}),
    }
    if "init" in more:
        sidecar: dict[str, Any] = {"restartPolicy": "Always"} if more.get("sidecar") else {}
        if more.get("startup"):
            # Fields that a server leaves out may also be null.
            sidecar["startupProbe"] = {"tcpSocket": None, "httpGet": {"path": None, "port": 80}}
        spec["initContainers"] = [{"name": "migrate", "image": IMAGE, **sidecar}]
        status["initContainerStatuses"] = [
            {
                "name": "migrate",
                "restartCount": 0,
                "ready": False,
                "started": not more.get("startup"),
                "state": more["init"],
            }
        ]
    metadata = {"name": "web-1", "namespace": "shop", "creationTimestamp": ago(more.get("age", 7200))}
    return {"metadata": {**metadata, **more.get("metadata", {})}, "spec": spec, "status": status}


SCHEDULED = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "lastTransitionTime": ago(30)}
OLD = {"conditions": []}
FRACTION = "2026-01-31T06:00:00.123456789Z"
NO_ROOM = "0/3 nodes are available: 3 Insufficient memory"


@pytest.mark.parametrize(
    ("document", "reason", "detail", "container"),
    [
        (
            pod(waits("CrashLoopBackOff", "back-off 5m0s"), ready=False, restarts=7, last=ended(1)),
            "CrashLoopBackOff",
            "container app ended with exit code 1, restarted 7 times",
            "app",
        ),
        (
            pod(waits("CrashLoopBackOff"), ready=False, restarts=2, last=ended(139)),
            "CrashLoopBackOff",
            "container app ended with exit code 139, SIGSEGV, restarted 2 times",
            "app",
        ),
        (
            pod(waits("CrashLoopBackOff"), ready=False, restarts=2, last=ended(0, "Completed")),
            "CrashLoopBackOff",
            "container app ended by itself (exit code 0), restarted 2 times",
            "app",
        ),
        # The loop follows from the memory.
        (
            pod(
                waits("CrashLoopBackOff"),
                ready=False,
                restarts=4,
                last=ended(137, "OOMKilled"),
                container={"resources": {"limits": {"memory": "256Mi"}}},
            ),
            "OOMKilled",
            "container app was ended for want of memory (exit code 137) (limit 256Mi), restarted 4 times",
            "app",
        ),
        (
            pod(ended(137, "OOMKilled"), ready=False),
            "OOMKilled",
            "container app was ended for want of memory (exit code 137) (it has no limit of its own)",
            "app",
        ),
        (
            pod(RUNS, restarts=1, last=ended(137, "OOMKilled", 600)),
            "OOMKilled",
            "container app was ended for want of memory 10 min ago (it has no limit of its own) and runs again",
            "app",
        ),
        (pod(ended(2), ready=False), "Error", "container app ended with exit code 2", "app"),
        (
            pod(ended(127, "ContainerCannotRun", message='exec: "serve": not found'), ready=False),
            "ContainerCannotRun",
            'container app ended with exit code 127, the command is not there: exec: "serve": not found',
            "app",
        ),
        (
            pod(waits("ImagePullBackOff", "Back-off pulling image"), "Pending", False),
            "ImagePullBackOff",
            f"container app: the image {IMAGE} cannot be pulled: Back-off pulling image",
            "app",
        ),
        (
            pod(waits("ErrImagePull", "not found"), "Pending", False),
            "ErrImagePull",
            f"container app: the image {IMAGE} cannot be pulled: not found",
            "app",
        ),
        (
            pod(waits("InvalidImageName"), "Pending", False),
            "InvalidImageName",
            f"container app: the image {IMAGE} cannot be pulled",
            "app",
        ),
        (
            pod(
                waits("CreateContainerConfigError", "couldn't find key DB_URL in Secret shop/web-env"), "Pending", False
            ),
            "CreateContainerConfigError",
            "container app: the key DB_URL is missing in Secret web-env",
            "app",
        ),
        (
            pod(waits("CreateContainerConfigError", 'configmap "web" not found'), "Pending", False),
            "CreateContainerConfigError",
            "container app: ConfigMap web is missing",
            "app",
        ),
        (
            pod(waits("CreateContainerError", "the name is taken"), "Pending", False),
            "CreateContainerError",
            "container app: the name is taken",
            "app",
        ),
        (
            pod(waits("RunContainerError"), "Pending", False),
            "RunContainerError",
            "container app: it waits (RunContainerError)",
            "app",
        ),
        (
            pod(waits("ContainerCreating"), "Pending", False, age=900, condition={"lastTransitionTime": ago(900)}),
            "ContainerCreating",
            "container app has waited for 15 min: its events say what it waits for",
            "app",
        ),
        # The init container that runs, not the one that waits for it.
        (
            pod(waits("PodInitializing"), "Pending", False, init={"running": {"startedAt": ago(900)}}),
            "PodInitializing",
            "init container migrate has run for 15 min",
            "migrate",
        ),
        (
            pod(waits("PodInitializing"), "Pending", False, init=ended(3)),
            "Error",
            "init container migrate ended with exit code 3",
            "migrate",
        ),
        # A sidecar that ends is not done.
        (
            pod(RUNS, ready=False, init=ended(0, "Completed"), sidecar=True),
            "Completed",
            "container migrate ended by itself (exit code 0)",
            "migrate",
        ),
        (
            pod(
                None,
                "Pending",
                False,
                status={"conditions": [{**SCHEDULED, "message": NO_ROOM}], "containerStatuses": []},
            ),
            "Unschedulable",
            NO_ROOM,
            None,
        ),
        (
            pod(ready=False, container=PROBE),
            "NotReady",
            "container app is not ready: its readiness probe (GET /health on port 3000) fails",
            "app",
        ),
        (
            pod(
                ready=False, started=False, container={"startupProbe": {"exec": {"command": ["check", "--password=x"]}}}
            ),
            "NotReady",
            "container app has not started: its startup probe (the command check) has not succeeded",
            "app",
        ),
        (
            pod(
                ready=False,
                condition={
                    "reason": "ReadinessGatesNotReady",
                    "message": 'the condition "target-health" does not exist',
                },
            ),
            "NotReady",
            'the condition "target-health" does not exist',
            None,
        ),
        (
            pod(
                None, "Failed", False, status={"reason": "Evicted", "message": "The node was low on resource: memory. "}
            ),
            "Evicted",
            "The node was low on resource: memory",
            None,
        ),
        (
            pod(
                ended(143), "Failed", False, status={"reason": "DeadlineExceeded", "message": "Pod was active too long"}
            ),
            "DeadlineExceeded",
            "Pod was active too long",
            "app",
        ),
        (pod(ended(4), "Failed", False, policy="Never"), "Error", "container app ended with exit code 4", "app"),
        # Not that of the sidecar, which was ended afterwards.
        (
            pod(ended(4), "Failed", False, policy="Never", init=ended(137), sidecar=True),
            "Error",
            "container app ended with exit code 4",
            "app",
        ),
        # The sidecar that does not start, not the container that waits for it.
        (
            pod(waits("PodInitializing"), "Pending", False, init=RUNS, sidecar=True, status=OLD, startup=True),
            "PodInitializing",
            "container migrate has not started: its startup probe (GET / on port 80) has not succeeded",
            "migrate",
        ),
        # Neither a scheduler nor a kubelet says anything.
        (
            {"metadata": {"name": "lost", "creationTimestamp": ago(900)}, "spec": {}, "status": {"phase": "Pending"}},
            "Pending",
            "scheduler has not taken it; look whether it runs",
            None,
        ),
        (
            pod(None, "Pending", False, status={"conditions": None, "containerStatuses": None}),
            "Pending",
            "the kubelet of node node-1 has not taken it; look whether it runs",
            None,
        ),
        (
            pod(None, "Running", False, status={"reason": "NodeLost", "message": "Node node-1 is unresponsive"}),
            "NodeLost",
            "Node node-1 is unresponsive",
            None,
        ),
        (pod(None, "Unknown", False), "Unknown", "its node node-1 does not report", None),
        (
            pod(metadata={"deletionTimestamp": ago(7200), "finalizers": ["example.com/hold"]}),
            "Terminating",
            "it is being deleted and should have been gone 2 h ago; the finalizers example.com/hold hold it. "
            "Its node node-1 does not confirm it.",
            None,
        ),
    ],
)
def test_one_problem(document: dict[str, Any], reason: str, detail: str, container: str | None) -> None:
    problem = state_of(document, now=NOW).problem
    assert problem is not None
    assert (problem.reason, problem.detail, problem.container) == (reason, detail, container)


@pytest.mark.parametrize(
    ("document", "completed"),
    [
        (pod(), False),
        (pod(ended(0, "Completed"), "Succeeded", False, policy="Never"), True),
        # One of two has done its work.
        (pod(ended(0, "Completed"), policy="OnFailure"), False),
        (pod(waits("ContainerCreating"), "Pending", False, age=20), False),
        (pod(waits("PodInitializing"), "Pending", False, age=20, init=RUNS), False),
        (pod(RUNS, init=ended(0, "Completed")), False),
        # Long ago.
        (pod(restarts=3, last=ended(137, "OOMKilled", 90_000)), False),
        (pod(restarts=3, last=ended(1, seconds=60)), False),
        (pod(metadata={"deletionTimestamp": ago(10)}, ready=False), False),
        # Its node was started again, and it with it.
        (pod(waits("ContainerCreating"), ready=False, age=900_000, condition={"lastTransitionTime": ago(30)}), False),
        # What a fraction of nine digits says is a moment as well.
        (pod(restarts=1, last={"terminated": {"exitCode": 137, "reason": "OOMKilled", "finishedAt": FRACTION}}), False),
        # All work is done, and the sidecar is ended.
        (pod(ended(0, "Completed"), policy="Never", init=ended(143), sidecar=True), False),
        # A container that is not started again, in a pod whose others are.
        (pod(ended(0, "Completed"), container={"restartPolicy": "Never"}), False),
        # Nobody has said anything yet.
        (
            {
                "metadata": {"name": "new", "creationTimestamp": ago(1)},
                "spec": {"containers": []},
                "status": {"phase": "Pending"},
            },
            False,
        ),
    ],
)
def test_no_problem(document: dict[str, Any], completed: bool) -> None:
    state = state_of(document, now=NOW)
    assert (state.problem, state.completed) == (None, completed)


def test_what_passes_by_itself_is_given_time() -> None:
    times = Times(unschedulable_after=60, not_ready_after=900, restart_window=10, starting_after=1000)
    waiting = pod(None, "Pending", False, status={"conditions": [SCHEDULED], "containerStatuses": []})
    slow = pod(waits("ContainerCreating"), "Pending", False, age=900)
    oom = pod(restarts=1, last=ended(137, "OOMKilled", 20))
    for document in (waiting, slow, oom, pod(ready=False, container=PROBE)):
        assert state_of(document, now=NOW).problem is not None
        assert state_of(document, now=NOW, times=times).problem is None


def test_figures() -> None:
    state = state_of(pod(waits("CrashLoopBackOff"), ready=False, restarts=7, last=ended(137, "Error", 90)), now=NOW)
    assert (state.phase, state.ready, state.restarts, state.restarted_seconds) == ("Running", False, 7, 90)
    assert state.problem is not None
    assert (state.problem.exit_code, state.problem.signal, state.problem.since_seconds) == (137, "SIGKILL", 90)
    assert state.last_ending is not None
    assert state.last_ending.exit_code == 137


def test_messages_carry_no_secrets() -> None:
    message = "pull https://ci:hunter2@registry.example/v2 failed"
    problem = state_of(pod(waits("ErrImagePull", message), "Pending", False), now=NOW).problem
    assert problem is not None
    assert "hunter2" not in problem.detail
