"""Queues of every system in one shape: totals, growth, rates; what is unknown stays unknown."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.runbook.ops.plugins.filter.queue_growth import queue_growth
from ansible_collections.runbook.ops.plugins.module_utils.queues.model import Failures, QueueFacts, SystemFacts
from ansible_collections.runbook.ops.plugins.module_utils.queues.rate import Sample, rate
from ansible_collections.runbook.ops.plugins.module_utils.queues.summary import figures


def counts(**given: int | None) -> dict[str, int | None]:
    return {"waiting": 0, "active": 0, "failed": 0, **given}


@pytest.mark.parametrize(
    ("earlier", "later", "seconds", "backlog", "expected"),
    [
        # 20 came, 10 more are unfinished: 10 went.
        (Sample(100, arrived=1000), Sample(110, arrived=1020), 10, 110, (2.0, 1.0, 1.0, None)),
        # Twice as many go as come: 50 jobs at one a second.
        (Sample(60, arrived=10), Sample(50, arrived=20), 10, 50, (1.0, 2.0, -1.0, 50.0)),
        (Sample(60, departed=5), Sample(50, departed=25), 10, 0, (1.0, 2.0, -1.0, 0.0)),
        (Sample(5), Sample(5), 10, 5, (None, None, 0.0, None)),
        (Sample(None, arrived=1), Sample(None, arrived=3), 2, None, (1.0, None, None, None)),
        # The counter was reset in between.
        (Sample(5, arrived=100), Sample(5, arrived=1), 10, 5, (None, None, None, None)),
    ],
)
def test_rates(earlier: Sample, later: Sample, seconds: float, backlog: int | None, expected: tuple[Any, ...]) -> None:
    found = rate(earlier, later, seconds, backlog)
    names = ("arrivals_per_second", "departures_per_second", "growth_per_second", "drain_seconds")
    assert tuple(found[name] for name in names) == expected
    assert found["sample_seconds"] == seconds


def test_figures_of_nothing_are_unknown() -> None:
    found = figures([SystemFacts()])
    unknown = ("found", "queue_count", "consumers", "unconsumed", "failed_count", "failed_seen")
    assert {found[name] for name in unknown} == {None}
    assert found["failed_jobs"] == [
        {"name": "", "system": "", "failed_count": None, "most_frequent_failure": "none", "reasons_count": 0}
    ]


def test_systems_are_added_up_and_absent_ones_do_not_matter() -> None:
    failures = Failures()
    failures.add("boom", "boom 1", "7", 1769817600.0)
    bullmq = SystemFacts(
        queues=[QueueFacts("mail", "bullmq", counts=counts(waiting=3, failed=1), consumers=0, failures=failures)],
        failures=failures,
        failed_seen=1,
        failed_count=1,
        keys_seen=10,
    )
    rq = SystemFacts(
        queues=[QueueFacts("low", "rq", counts=counts(failed=2), consumers=1)], failed_count=2, failed_seen=2
    )
    found = figures([SystemFacts(failures_by_queue=False), bullmq, rq])
    assert (found["queue_count"], found["systems"], found["failed_count"]) == (2, ["bullmq", "rq"], 3)
    assert (found["unconsumed"], found["unconsumed_queues"]) == (True, ["mail"])
    assert [(each["name"], each["failed_count"], each["most_frequent_failure"]) for each in found["failed_jobs"]] == [
        ("mail", 1, "boom (1)"),
        ("low", 2, "none"),
    ]
    assert found["failures"][0] == {
        "reason": "boom",
        "count": 1,
        "example": "boom 1",
        "example_ids": ["7"],
        "first_at": "2026-01-31T00:00:00Z",
        "last_at": "2026-01-31T00:00:00Z",
    }


def test_failures_that_do_not_name_their_queue_are_one_entry_of_their_system() -> None:
    celery = SystemFacts(
        queues=[QueueFacts("normal", "celery", counts=counts(failed=None), consumers=1)],
        failures_by_queue=False,
        failed_count=14,
        failed_seen=14,
    )
    found = figures([celery])
    assert [(each["name"], each["failed_count"]) for each in found["failed_jobs"]] == [("celery", 14)]


@pytest.mark.parametrize(
    ("queue", "expected"),
    [
        (QueueFacts("q", "bullmq", counts=counts(waiting=1), consumers=0), True),
        (QueueFacts("q", "bullmq", counts=counts(waiting=1), consumers=0, paused=True), False),
        (QueueFacts("q", "bullmq", counts=counts(waiting=0), consumers=0), False),
        (QueueFacts("q", "bullmq", counts=counts(waiting=1), consumers=None), None),
        (QueueFacts("q", "bullmq", counts={}, consumers=0), None),
        (QueueFacts("q", "bullmq", exists=False, counts=counts(waiting=1), consumers=0), None),
    ],
)
def test_unconsumed(queue: QueueFacts, expected: bool | None) -> None:
    assert queue.unconsumed is expected


def test_what_cannot_happen_is_zero_and_what_is_not_known_is_not() -> None:
    celery = QueueFacts("q", "celery").facts()
    assert (celery["ghosts"], celery["overdue"], celery["stalled"], celery["orphans"]) == (0, 0, None, None)
    bull = QueueFacts("q", "bull").facts()
    assert (bull["ghosts"], bull["overdue"], bull["malformed"], bull["redelivery_risk"]) == (None, None, 0, 0)
    missing = QueueFacts("q", "celery", exists=False).facts()
    assert (missing["ghosts"], missing["overdue"]) == (None, None)


def result(failed: int | None, backlog: int | None = 5, name: str = "batch") -> dict[str, Any]:
    return {
        "queues": [{"name": name, "backlog": backlog}],
        "failed_jobs": [{"name": name, "failed_count": failed}],
    }


@pytest.mark.parametrize(
    ("earlier", "later", "new"),
    [
        (result(3), result(5), 2),
        (result(5), result(3), -2),
        (result(None), result(3), None),
        (result(3), result(None), None),
        (result(3, name="other"), result(5), None),
    ],
)
def test_growth(earlier: dict[str, Any], later: dict[str, Any], new: int | None) -> None:
    (entry,) = queue_growth(later, earlier)
    assert (entry["name"], entry["failed_new"], entry["backlog_after"]) == ("batch", new, 5)


@pytest.mark.parametrize(
    ("retried", "new"),
    [
        ([], 0),
        ([{"queue": "batch", "system": "bullmq", "retried": 10}], 10),
        ([{"queue": "other", "system": "bullmq", "retried": 10}], 0),
        # Failures of a system that does not name their queue stand under the system's name.
        ([{"queue": "normal", "system": "batch", "retried": 10}, {"queue": "batch", "retried": 2}], 12),
        ([{"queue": "batch", "retried": None}], 0),
    ],
)
def test_what_was_put_back_and_failed_again_is_new(retried: list[dict[str, Any]], new: int) -> None:
    (entry,) = queue_growth(result(360), result(360), retried)
    assert entry["failed_new"] == new


def test_growth_of_something_else() -> None:
    from ansible.errors import AnsibleFilterError

    with pytest.raises(AnsibleFilterError, match="earlier: 'str' is not accepted"):
        queue_growth(result(1), "nothing")
