"""When a rollout is done, and why it is not."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.rollout_state import explained, rollout_of

NOW = dt.datetime(2026, 1, 31, 9, tzinfo=dt.timezone.utc)
SEEN = {"observedGeneration": 2}


def workload(spec: dict[str, Any], status: dict[str, Any]) -> dict[str, Any]:
    metadata = {"name": "web", "namespace": "shop", "generation": 2}
    return {"metadata": metadata, "spec": spec, "status": status}


def counts(updated: int, replicas: int, available: int, **more: Any) -> dict[str, Any]:
    return {
        **SEEN,
        "updatedReplicas": updated,
        "replicas": replicas,
        "readyReplicas": available,
        "availableReplicas": available,
        **more,
    }


LATE = {"conditions": [{"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"}]}
ON_DELETE = {"updateStrategy": {"type": "OnDelete"}}
REVISIONS = {"currentRevision": "web-1", "updateRevision": "web-2"}


@pytest.mark.parametrize(
    ("kind", "spec", "status", "done", "stuck", "line"),
    [
        ("deployment", {"replicas": 3}, counts(3, 3, 3), True, False, "3 of 3 updated, 3 available"),
        ("deployment", {"replicas": 3}, counts(2, 3, 3), False, False, "2 of 3 updated, 3 available, 1 old"),
        # Old pods that have not ended.
        ("deployment", {"replicas": 3}, counts(3, 4, 3), False, False, "3 of 3 updated, 3 available, 1 old"),
        ("deployment", {"replicas": 3}, counts(3, 3, 2), False, False, "3 of 3 updated, 2 available"),
        ("deployment", {"replicas": 0}, SEEN, True, False, "0 of 0 updated, 0 available"),
        # The default of replicas.
        ("deployment", {}, SEEN, False, False, "0 of 1 updated, 0 available"),
        # The counts are those of the change before.
        (
            "deployment",
            {"replicas": 3},
            {**counts(3, 3, 3), "observedGeneration": 1},
            False,
            False,
            "waiting for the controller to see the change",
        ),
        ("deployment", {"replicas": 3}, {}, False, False, "waiting for the controller to see the change"),
        ("deployment", {"replicas": 2}, counts(1, 3, 2, **LATE), False, True, "1 of 2 updated, 2 available, 2 old"),
        # It came through all the same.
        ("deployment", {"replicas": 2}, counts(2, 2, 2, **LATE), True, False, "2 of 2 updated, 2 available"),
        (
            "deployment",
            {"replicas": 2, "paused": True},
            counts(0, 2, 2),
            False,
            True,
            "0 of 2 updated, 2 available, 2 old, paused",
        ),
        ("statefulset", {"replicas": 3}, counts(3, 3, 3), True, False, "3 of 3 updated, 3 available"),
        (
            "statefulset",
            {"replicas": 3},
            counts(1, 3, 3, **REVISIONS),
            False,
            False,
            "1 of 3 updated, 3 available, 2 old",
        ),
        (
            "statefulset",
            {"replicas": 3, "updateStrategy": {"rollingUpdate": {"partition": 2}}},
            counts(1, 3, 3, **REVISIONS),
            True,
            False,
            "1 of 3 updated, 3 available, 2 old",
        ),
        (
            "statefulset",
            {"replicas": 3, "updateStrategy": {"rollingUpdate": {"partition": 1}}},
            counts(1, 3, 3, **REVISIONS),
            False,
            False,
            "1 of 3 updated, 3 available, 2 old",
        ),
        (
            "statefulset",
            {"replicas": 3, **ON_DELETE},
            counts(0, 3, 3, **REVISIONS),
            False,
            True,
            "0 of 3 updated, 3 available, 3 old",
        ),
        # All were deleted by hand; its controller does not make the new revision the current one.
        (
            "statefulset",
            {"replicas": 3, **ON_DELETE},
            counts(3, 3, 3, **REVISIONS),
            True,
            False,
            "3 of 3 updated, 3 available",
        ),
        (
            "statefulset",
            {"replicas": 3, **ON_DELETE},
            counts(3, 3, 2, **REVISIONS),
            False,
            False,
            "3 of 3 updated, 2 available",
        ),
        ("statefulset", {"replicas": 3, **ON_DELETE}, counts(3, 3, 3), True, False, "3 of 3 updated, 3 available"),
        (
            "daemonset",
            {},
            {
                **SEEN,
                "desiredNumberScheduled": 4,
                "currentNumberScheduled": 4,
                "updatedNumberScheduled": 1,
                "numberAvailable": 3,
                "numberReady": 3,
            },
            False,
            False,
            "1 of 4 updated, 3 available, 3 old",
        ),
        # No node takes it.
        ("daemonset", {}, SEEN, True, False, "0 of 0 updated, 0 available"),
    ],
)
def test_states(kind: str, spec: dict[str, Any], status: dict[str, Any], done: bool, stuck: bool, line: str) -> None:
    found = rollout_of(kind, workload(spec, status))
    assert (found.done, found.stuck, found.line) == (done, stuck, line)
    assert (found.reason is not None) is stuck


def pod(
    name: str, template: str, waiting: dict[str, Any] | None = None, exit_code: int | None = None
) -> dict[str, Any]:
    status: dict[str, Any] = {"name": "app", "restartCount": 4 if exit_code else 0, "ready": False}
    status["state"] = {"waiting": waiting} if waiting else {"running": {}}
    if exit_code:
        status["lastState"] = {"terminated": {"exitCode": exit_code, "reason": "Error"}}
    return {
        "metadata": {"name": name, "labels": {"pod-template-hash": template}},
        "spec": {"containers": [{"name": "app"}]},
        "status": {
            "phase": "Pending" if waiting and not exit_code else "Running",
            "conditions": [{"type": "Ready", "status": "False" if waiting else "True"}],
            "containerStatuses": [status],
        },
    }


PULL = {"reason": "ImagePullBackOff", "message": 'Back-off pulling image "shop:3"'}
QUOTA = {
    "type": "ReplicaFailure",
    "status": "True",
    "reason": "FailedCreate",
    "message": 'pods "web-c" is forbidden: exceeded quota: pods.',
}


def reason(status: dict[str, Any], pods: list[dict[str, Any]], **more: Any) -> str:
    document = workload({"replicas": 2, **more.pop("spec", {})}, status)
    found = explained(rollout_of("deployment", document), document, pods, now=NOW, **more)
    assert (found.done, found.facts()["reason"]) == (False, found.reason)
    return str(found.reason)


def test_reasons() -> None:
    stuck = counts(1, 3, 2)
    old, new = pod("web-a-1", "a", {"reason": "CrashLoopBackOff"}, 1), [pod(f"web-b-{n}", "b", PULL) for n in (1, 2)]
    # Equal troubles once, and those of the old pods not at all.
    text = reason(stuck, [old, *new], newest="b")
    assert text.startswith("2 pods, such as web-b-1, container app: ImagePullBackOff (")
    assert "CrashLoopBackOff" not in text
    assert "pod web-a-1, container app: CrashLoopBackOff" in reason(stuck, [old], newest="b")
    # Still on its way when the time is over.
    assert "ContainerCreating" in reason(stuck, [pod("web-b-1", "b", {"reason": "ContainerCreating"})], newest="b")
    assert reason({**stuck, "conditions": [QUOTA]}, []) == (
        'pods cannot be created: pods "web-c" is forbidden: exceeded quota: pods'
    )
    event = {"reason": "FailedCreate", "message": "admission webhook says no"}
    assert reason(stuck, [], events=[event]) == "pods cannot be created: admission webhook says no"
    assert reason({**stuck, **LATE}, new[:1]).startswith(
        "it made no progress for 600 seconds (progressDeadlineSeconds); pod web-b-1, container app: ImagePullBackOff"
    )
    assert reason(counts(0, 2, 2), [], spec={"paused": True}).startswith("it is paused")
    healthy = [pod("web-b-1", "b")]
    assert reason(stuck, healthy) == "not all pods have been replaced yet, and none of them has a problem"
    assert reason(counts(2, 3, 2), healthy) == "1 old pods have not ended yet"
    assert reason(counts(2, 2, 1), healthy) == "pods are not available yet, and none of them has a problem"
    assert reason({}, healthy).startswith("the controller has not looked at the change")
