"""Which pods may go, which stay and why, and what is known about them before they do."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.left_over import (
    Limits,
    ended_at,
    evidence_of,
    in_words,
    why_kept,
)

NOW = dt.datetime(2026, 11, 30, 12, tzinfo=dt.timezone.utc)
AGO, HOURS_AGO_2 = "2026-11-27T12:00:00Z", "2026-11-30T10:00:00.123456Z"
EVICTED = {"phase": "Failed", "reason": "Evicted", "message": "The node was low on resource: memory. "}
LIMITS = Limits(failed_age=86400)


def pod(phase: str = "Failed", ended: str | None = AGO, owner: str | None = "ReplicaSet", **metadata: Any) -> Any:
    state = {"terminated": {"exitCode": 137, "finishedAt": ended}} if ended else {}
    owners = [{"kind": owner, "name": "web-7d4", "controller": True}] if owner else []
    return {
        "metadata": {"name": "web-1", "namespace": "shop", "uid": "u", "ownerReferences": owners, **metadata},
        "spec": {"nodeName": "node-a", "containers": [{"name": "app"}]},
        "status": {"phase": phase, "containerStatuses": [{"name": "app", "state": state}]},
    }


@pytest.mark.parametrize(
    ("given", "limits", "kept"),
    [
        (pod(), LIMITS, None),
        (pod(owner=None), LIMITS, None),
        (pod(owner="StatefulSet"), LIMITS, None),
        # What runs or waits, whatever else is said about it.
        (pod("Running"), LIMITS, "active"),
        (pod("Pending"), LIMITS, "active"),
        (pod("Unknown"), LIMITS, "active"),
        (pod(deletionTimestamp=AGO), LIMITS, "terminating"),
        # A Job's history counts on its attempts; nobody knows what other controllers count on.
        (pod(owner="Job"), LIMITS, "of_job"),
        (pod(owner="Job"), Limits(86400, also_of=frozenset({"job"})), None),
        (pod(owner="Workflow"), LIMITS, "of_other"),
        (pod(owner="Node"), LIMITS, "of_other"),
        (pod(owner=None, annotations={"kubernetes.io/config.mirror": "x"}), LIMITS, "of_other"),
        (pod(ownerReferences=[{"kind": "Workflow", "name": "x"}]), LIMITS, "of_other"),
        # By when it ended, never by when it was made.
        (pod(ended=HOURS_AGO_2, creationTimestamp="2026-01-01T00:00:00Z"), LIMITS, "young"),
        (pod(ended="2026-12-01T00:00:00Z"), LIMITS, "young"),
        (pod(ended=None, creationTimestamp="2026-01-01T00:00:00Z"), LIMITS, "undated"),
        # Pods that did their work only where that is asked for, and no owner has them.
        (pod("Succeeded", owner=None), LIMITS, "completed"),
        (pod("Succeeded", owner=None), Limits(86400, completed_age=86400), None),
        (pod("Succeeded", owner=None), Limits(86400, completed_age=7 * 86400), "young"),
        (pod("Succeeded", owner="ReplicaSet"), Limits(86400, completed_age=86400), "completed"),
        (pod("Succeeded", owner="Job"), Limits(86400, completed_age=86400), "of_job"),
        (pod("Succeeded", owner="Job"), Limits(86400, 86400, frozenset({"job"})), None),
    ],
)
def test_who_goes_and_who_stays(given: Any, limits: Limits, kept: str | None) -> None:
    assert why_kept(given, limits, NOW) == kept


def test_an_evicted_pod_is_dated_by_who_wrote_its_status() -> None:
    """It names neither containers nor conditions, and its start is no end."""
    fields = [
        {"time": "2026-11-29T00:00:00Z", "fieldsV1": {"f:metadata": {}}},
        {"time": AGO, "fieldsV1": {"f:status": {}}, "subresource": "status"},
    ]
    given = {
        "metadata": {"name": "a", "managedFields": fields},
        "status": {**EVICTED, "startTime": "2026-01-01T00:00:00Z"},
    }
    assert ended_at(given) == NOW - dt.timedelta(days=3)
    given["status"]["conditions"] = [{"type": "DisruptionTarget", "lastTransitionTime": HOURS_AGO_2}]
    assert ended_at(given) == NOW - dt.timedelta(hours=2)


def test_what_is_known_is_said_in_one_sentence() -> None:
    given = pod()
    given["metadata"]["labels"] = {"pod-template-hash": "7d4"}
    given["status"] |= EVICTED
    logs = [
        {"container": "app", "previous": False, "available": True, "reason": None, "lines": ["INFO a", "FATAL b"]},
        {"container": "proxy", "previous": False, "available": False, "reason": "gone", "lines": []},
    ]
    evidence = evidence_of(given, logs, NOW)
    assert (evidence["reason"], evidence["owner"], evidence["node"]) == ("Evicted", "deployment web", "node-a")
    assert [(each["exit_code"], each["signal"]) for each in evidence["containers"]] == [(137, "SIGKILL")]
    assert in_words(evidence) == (
        "Evicted on node-a 3 d ago: The node was low on resource: memory; app ended with exit code 137;"
        " last words of app: FATAL b"
    )
    done = evidence_of(pod("Succeeded", owner=None), [], NOW)
    assert (done["reason"], done["message"], done["owner"]) == ("Completed", "it did its work", None)
