"""How long a rollout is waited for, and what is said meanwhile."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

import pytest

from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.errors import ClusterError
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.rollout_hopeless import Patience, trouble_of
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.rollout_wait import _Wait

LATE = {"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"}


def web(updated: int, *, late: bool = False, paused: bool = False) -> dict[str, Any]:
    status = {"observedGeneration": 1, "replicas": 2, "availableReplicas": 2, "updatedReplicas": updated}
    return {
        "metadata": {"name": "web", "namespace": "shop", "generation": 1},
        "spec": {"replicas": 2, "paused": paused, "selector": {"matchLabels": {"app": "web"}}},
        "status": {**status, "conditions": [LATE] if late else []},
    }


def failure(kind: str) -> ClusterError:
    return ClusterError(f"the server is {kind}.", kind)


class Script:
    """A cluster whose answers are given; the last one stays."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.now = 0.0
        self.bounds = list[float]()
        self.restarts = [0]
        # A probe, so that nothing has to settle.
        self.spec: dict[str, Any] = {}

    def within(self, seconds: float) -> Script:
        self.bounds.append(seconds)
        return self

    def read(self, *_: Any) -> dict[str, Any]:
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, ClusterError):
            raise answer
        return {**answer, "spec": {**answer["spec"], **self.spec}}

    def list(self, *_: Any, **__: Any) -> list[dict[str, Any]]:
        return [
            {
                "metadata": {"name": "web-1", "uid": "u1"},
                "status": {
                    "phase": "Running",
                    "containerStatuses": [
                        {
                            "name": "app",
                            "ready": True,
                            "restartCount": self.restarts.pop(0) if len(self.restarts) > 1 else self.restarts[0],
                            "state": {"running": {}},
                        }
                    ],
                },
            }
        ]

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.mark.parametrize(
    ("answers", "done", "reason", "lines", "seconds"),
    [
        ([web(0), web(1), web(1), web(2)], True, None, ["0 of 2", "1 of 2", "2 of 2"], 3),
        # What passes is waited for, and said.
        (
            [web(1), failure("busy"), failure("busy"), failure("timeout"), web(2)],
            True,
            None,
            ["1 of 2", "1 of 2 updated, 2 available, 1 old (the server is busy)", "1 of 2", "2 of 2"],
            4,
        ),
        ([failure("busy")], False, "the server is busy", ["not known yet (the server is busy)"], 10),
        # What does not pass ends it at once.
        ([web(1), failure("forbidden")], False, "the server is forbidden", ["1 of 2", "1 of 2"], 1),
        ([web(1), failure("missing")], False, "the server is missing", ["1 of 2", "1 of 2"], 1),
        ([web(1, paused=True)], False, "it is paused", ["1 of 2 updated, 2 available, 1 old, paused"], 0),
        # Left from the rollout before, and then not.
        ([web(0, late=True), web(1), web(2)], True, None, ["0 of 2", "1 of 2", "2 of 2"], 2),
        ([web(1, late=True)], False, "it made no progress for 600 seconds", ["1 of 2"], 3),
    ],
)
def test_waits(answers: list[Any], done: bool, reason: str | None, lines: list[str], seconds: float) -> None:
    script, said = Script(*answers), list[str]()
    wait = _Wait(
        script,  # type: ignore[arg-type]
        "deployment",
        "shop",
        "web",
        said.append,
        script.sleep,
        lambda: script.now,
    )
    found = wait.run(10, 1)
    assert found.done is done
    assert (found.reason is None) if reason is None else str(found.reason).startswith(reason)
    assert len(said) == len(lines), said
    assert all(line.startswith(start) for line, start in zip(said, lines, strict=True)), said
    assert script.now == seconds
    # No request may outlast the wait.
    assert script.bounds[0] == 10
    assert max(script.bounds) == 10


PROBED = {"containers": [{"name": "app", "readinessProbe": {"tcpSocket": {"port": 80}}}]}


@pytest.mark.parametrize(
    ("template", "more", "answers", "restarts", "done", "reason", "seconds"),
    [
        (PROBED, {}, [web(2)], [0], True, None, 0),
        ({"containers": [{"name": "app"}]}, {"minReadySeconds": 5}, [web(2)], [0], True, None, 0),
        ({"containers": [{"name": "app"}]}, {"replicas": 0}, [web(2)], [0], True, None, 0),
        ({"containers": [{"name": "app"}]}, {}, [web(2)], [3], True, None, 5),
        # Ready at once, and crashed a moment later.
        ({"containers": [{"name": "app"}]}, {}, [web(2)], [0, 1], False, "containers of 1 pods ended within 5 sec", 5),
        # The time starts anew.
        ({"containers": [{"name": "app"}]}, {}, [web(2), web(2), web(1), web(2)], [0, 0, 0], True, None, 8),
        # Nobody knows whether it stayed so.
        ({"containers": [{"name": "app"}]}, {}, [web(2), failure("busy")], [0], False, "the server is busy", 10),
    ],
)
def test_what_is_ready_at_once_has_to_stay_so(
    template: dict[str, Any],
    more: dict[str, Any],
    answers: list[Any],
    restarts: list[int],
    done: bool,
    reason: str | None,
    seconds: float,
) -> None:
    script = Script(*answers)
    script.restarts = restarts
    script.spec = {"template": {"spec": template}, **more}
    wait = _Wait(
        script,  # type: ignore[arg-type]
        "deployment",
        "shop",
        "web",
        None,
        script.sleep,
        lambda: script.now,
        settle=5,
    )
    found = wait.run(10, 1)
    assert (found.done, script.now) == (done, seconds)
    assert (found.reason is None) if reason is None else str(found.reason).startswith(reason)


def new_pod(reason: str, hash: str = "new", ready: str = "False") -> dict[str, Any]:
    """One whose container waits for a reason, or runs when there is none."""
    state = {"waiting": {"reason": reason}} if reason else {"running": {}}
    return {
        "metadata": {"name": "web-1", "labels": {"pod-template-hash": hash}},
        "spec": {"containers": [{"name": "app"}]},
        "status": {
            "phase": "Running",
            "conditions": [{"type": "Ready", "status": ready}],
            "containerStatuses": [{"name": "app", "ready": ready == "True", "restartCount": 1, "state": state}],
        },
    }


class Pods(Script):
    """A rollout that does not move, and what its one pod is, look by look."""

    def __init__(self, *pods: dict[str, Any]) -> None:
        super().__init__({**web(1), "metadata": {**web(1)["metadata"], "annotations": REVISION_2}})
        self.pods = list(pods)

    def list(self, kind: str, *_: Any, **__: Any) -> list[dict[str, Any]]:
        if kind == "replicaset":
            return [{"metadata": {"annotations": REVISION_2, "labels": {"pod-template-hash": "new"}}}]
        return [] if kind == "event" else [self.pods.pop(0) if len(self.pods) > 1 else self.pods[0]]


REVISION_2 = {"deployment.kubernetes.io/revision": "2"}


@pytest.mark.parametrize(
    ("pods", "give_up_after", "seconds"),
    [
        # The first look at pods comes after five seconds, and every five then.
        ([new_pod("ImagePullBackOff")], 20, 25),
        ([new_pod("ErrImagePull"), new_pod("ImagePullBackOff")], 20, 25),
        ([new_pod("CreateContainerConfigError")], 20, 25),
        # It runs for a moment between two crashes.
        ([new_pod("CrashLoopBackOff"), new_pod(""), new_pod("CrashLoopBackOff")], 20, 25),
        # Ready in between, another trouble, one of an old revision, one that passes, or nobody wants it: to the end.
        ([new_pod("CrashLoopBackOff"), new_pod("", ready="True"), new_pod("CrashLoopBackOff")], 20, 35),
        ([new_pod("ImagePullBackOff"), new_pod("CrashLoopBackOff")], 20, 30),
        ([new_pod("CrashLoopBackOff", hash="old")], 20, 60),
        ([new_pod("ContainerCreating")], 20, 60),
        ([new_pod("")], 20, 60),
        ([new_pod("ImagePullBackOff")], 0, 60),
    ],
)
def test_giving_up_on_a_new_pod(pods: list[dict[str, Any]], give_up_after: float, seconds: float) -> None:
    script = Pods(*pods)
    wait = _Wait(
        script,  # type: ignore[arg-type]
        "deployment",
        "shop",
        "web",
        None,
        script.sleep,
        lambda: script.now,
        patience=Patience(give_up_after),
    )
    found = wait.run(60, 1)
    assert (found.done, script.now) == (False, seconds)
    assert ("(give_up_after)" in str(found.reason)) is (seconds < 60), found.reason


def test_a_pod_that_is_going_has_no_trouble() -> None:
    going = new_pod("CrashLoopBackOff")
    going["metadata"]["deletionTimestamp"] = "2026-01-31T00:00:00Z"
    now = datetime(2026, 1, 31, tzinfo=timezone.utc)
    assert trouble_of([going], "new", now) == {} == trouble_of([new_pod("CrashLoopBackOff")], None, now)
