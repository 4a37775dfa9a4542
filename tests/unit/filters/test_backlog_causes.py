"""Why jobs pile up, case by case."""

from __future__ import annotations

from typing import Any

import pytest
from ansible.errors import AnsibleFilterError

from ansible_collections.runbook.ops.plugins.filter.backlog_causes import backlog_causes

WORKER = {"name": "worker", "queues": ["mail"]}


def queue(growth: float | None = 0.0, departures: float | None = None, **more: Any) -> dict[str, Any]:
    rate = {"growth_per_second": growth, "departures_per_second": departures, "drain_seconds": 60}
    return {"name": "mail", "exists": True, "backlog": 9, "paused": False, "unconsumed": False, "rate": rate, **more}


def cluster(ready: int | None, desired: int = 2, **more: Any) -> dict[str, Any]:
    workload = {"kind": "deployment", "workload": "worker", "ready_count": ready, "desired_count": desired, **more}
    groups = [{"kind": "deployment", "workload": "worker", "reason": "CrashLoopBackOff", "detail": "exit code 1"}]
    scaler = {"target_kind": "deployment", "target_name": "worker", "autoscaler": "worker", "is_at_ceiling": True}
    return {"workloads": [workload], "pods": {"groups": groups if not ready else []}, "autoscalers": [scaler]}


CRASHES = "no pod of its workers is ready (worker: CrashLoopBackOff: exit code 1)"


@pytest.mark.parametrize(
    ("found", "state", "cause", "detail"),
    [
        (queue(paused=True, unconsumed=True), cluster(0), "paused", "it is paused"),
        (queue(), cluster(0), "dead", CRASHES),
        (queue(), cluster(0, 0, is_parked=True), "dead", "no pod of its workers is ready (worker is parked)"),
        (queue(), cluster(0, 1, is_parked=True), "dead", CRASHES),
        (queue(), cluster(0, 0), "dead", "no pod of its workers is ready (worker has no replicas)"),
        (queue(unconsumed=True), {}, "dead", "no worker fetches from it"),
        # Redis is the wrong one, or the queue has another name: pods that run do not prove that somebody fetches.
        (
            queue(unconsumed=True),
            cluster(2),
            "dead",
            "no worker fetches from it, although 2 pods of its workers are ready",
        ),
        (queue(1.0, 0.0), cluster(2), "stalled", "workers fetch from it, and no job ended while it was watched"),
        (queue(0.0, None), {}, "stalled", "workers fetch from it, and no job ended while it was watched"),
        (
            queue(2.0, 4.0),
            cluster(2),
            "saturated",
            "4 jobs a second end, and as many or more come; the autoscaler of worker is at its ceiling",
        ),
        (queue(2.0, None), {}, "saturated", "it fills"),
        (queue(-1.0, 4.0), cluster(2), "burst", "it empties by itself"),
        (queue(None, None), cluster(2), "unknown", "how fast it fills and empties is not known"),
        (queue(rate=None), cluster(None), "unknown", "how fast it fills and empties is not known"),
    ],
)
def test_causes(found: dict[str, Any], state: dict[str, Any], cause: str, detail: str) -> None:
    [told] = backlog_causes([found], [WORKER], state)["causes"]
    assert (told["cause"], told["detail"], told["workers"]) == (cause, detail, ["worker"])


def test_what_is_no_backlog() -> None:
    gone, empty = queue(exists=False), queue(backlog=0)
    assert backlog_causes([gone, empty, queue(backlog=None)], [WORKER])["causes"] == []


def test_workers_of_other_queues_do_not_count() -> None:
    other = {"name": "other", "queues": ["batch"]}
    [told] = backlog_causes([queue(1.0, 1.0)], [other], cluster(0))["causes"]
    assert (told["cause"], told["workers"], told["ready_count"]) == ("saturated", [], None)


def test_what_cannot_be_meant() -> None:
    with pytest.raises(AnsibleFilterError, match="input: 'dict' is not accepted"):
        backlog_causes({})
    with pytest.raises(AnsibleFilterError, match="input: 'mail' is not accepted"):
        backlog_causes(["mail"])
    for workers, said in (
        ([{"kind": "deployment"}], "a name, and maybe kind and queues"),
        ([{"name": "worker", "queues": "mail"}], "queues as a list of names"),
        ([{"name": "worker", "scale_to": "six"}], "scale_to as a whole number above 0"),
        ({"name": "worker"}, "a list of workers"),
        (None, "a list of workers"),
    ):
        with pytest.raises(AnsibleFilterError, match=f"workers: .* {said}"):
            backlog_causes([], workers)
    with pytest.raises(AnsibleFilterError, match="cluster: 'list' is not accepted"):
        backlog_causes([], [], ["shop"])


@pytest.mark.parametrize(("desired", "lacks"), [(5, True), (6, False), (8, False), (None, False)])
def test_nobody_loses_pods_to_a_backlog(desired: int | None, lacks: bool) -> None:
    """Eight by hand or by an autoscaler stay eight, and what is not known is no reason to act."""
    workload = {"kind": "deployment", "workload": "worker", "desired_count": desired}
    [found] = backlog_causes([], [{"name": "worker", "scale_to": 6}], {"workloads": [workload]})["workers"]
    assert found["lacks_pods"] is lacks
