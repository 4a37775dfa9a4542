"""What Solid Queue's rows mean, without a server."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ansible_collections.runbook.ops.plugins.module_utils.postgresql.solid_queue import statements
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.solid_queue.failures import (
    ERROR_CHARACTERS,
    UNREADABLE,
    failure_text,
)
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.solid_queue.model import (
    Answers,
    known_names,
    recurring_tasks,
    system_facts,
)
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.solid_queue.processes import (
    QueueProcess,
    covers,
    process_from,
    without_prefix,
)
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.solid_queue.request import SolidQueueRequest

NOW = 1_700_000_000.0


def worker(queues: str | None = "*", **more: Any) -> QueueProcess:
    metadata = json.dumps({} if queues is None else {"queues": queues, "thread_pool_size": 3})
    row = {"id": 1, "kind": "Worker", "hostname": "app-1", "pid": 7, "metadata": metadata, "heartbeat": NOW, **more}
    return process_from(row, NOW, 300)


# --- workers' lists
@pytest.mark.parametrize(
    ("listed", "queue", "expected"),
    [
        (["*"], "any", True),
        (["default"], "default", True),
        (["default"], "shop_default", False),
        (["shop_*"], "shop_default", True),
        (["shop_*"], "shop", False),
        (["other", "shop_*"], "shop_default", True),
        # The library selects such a name by LIKE only where it ends in a star.
        (["*_default"], "shop_default", False),
        (["sh*_default"], "sh*_default", False),
        ([], "default", False),
    ],
)
def test_which_queues_a_list_covers(listed: list[str], queue: str, expected: bool) -> None:
    assert covers(listed, queue) is expected


@pytest.mark.parametrize(
    ("listed", "queue", "expected"),
    [
        (["default", "mailers"], "shop_production_default", ["default"]),
        (["production_default", "default"], "shop_production_default", ["production_default", "default"]),
        (["shop_production_default"], "shop_production_default", []),
        (["fault"], "shop_default", []),
        (["*"], "shop_default", []),
    ],
)
def test_names_without_the_prefix(listed: list[str], queue: str, expected: list[str]) -> None:
    assert without_prefix(listed, queue) == expected


@pytest.mark.parametrize(
    ("metadata", "queues", "threads"),
    [
        ('{"queues":"a, b*","thread_pool_size":5}', ("a", "b*"), 5),
        ('{"queues":["a","b"]}', ("a", "b"), None),
        # Worker#initialize: without any name a worker works on all.
        ('{"queues":""}', ("*",), None),
        ('"{\\"queues\\":\\"a\\"}"', ("a",), None),
        ('{"polling_interval":0.1}', None, None),
        ("{not json", None, None),
        ("[1]", None, None),
        (None, None, None),
    ],
)
def test_metadata(metadata: str | None, queues: tuple[str, ...] | None, threads: int | None) -> None:
    read = worker(metadata=metadata)
    assert (read.queues, read.threads) == (queues, threads)


@pytest.mark.parametrize(("silent", "alive"), [(0, True), (299.9, True), (300, False), (-50, True)])
def test_who_is_alive(silent: float, alive: bool) -> None:
    read = worker(heartbeat=NOW - silent)
    assert read.alive is alive
    assert read.facts(NOW)["heartbeat_age_seconds"] == max(0, silent)


def test_a_process_without_a_host() -> None:
    read = worker(hostname=None, kind="Dispatcher", metadata="{}")
    assert (read.label, read.queues, read.is_worker) == ("dispatcher 7 on an unnamed host", (), False)


# --- errors
def stored(message: str, kind: str = "RuntimeError") -> str:
    return json.dumps({"exception_class": kind, "message": message, "backtrace": ["a.rb:1"] * 500})


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (stored("no"), "RuntimeError: no"),
        (stored('say "no"\n토큰'), 'RuntimeError: say "no"\n토큰'),
        # Cut: within the backtrace, within the message, within an escape of it.
        (stored("no")[:200], "RuntimeError: no"),
        (stored("x" * 5000)[:ERROR_CHARACTERS], "RuntimeError: " + "x" * (ERROR_CHARACTERS - 48)),
        ('{"exception_class":"A","message":"b\\u0', "A: b"),
        ('{"exception_class":"A","message":"b\\', "A: b"),
        ('{"exception_class":"A"}', "A"),
        ('"plain"', "plain"),
        ("plain", UNREADABLE),
        ("[1]", UNREADABLE),
        ("", UNREADABLE),
        (None, UNREADABLE),
    ],
)
def test_why_a_job_failed(error: str | None, text: str) -> None:
    assert failure_text(error) == text


# --- queues
def answers(**rows: list[dict[str, Any]] | None) -> Answers:
    """Rows by the names of the statements; those not named were read and are empty."""
    everything = (
        "WAITING", "HELD", "LATER", "LIMITED", "FAILURE_COUNTS", "FAILURES", "FINISHED", "LOST", "NEXT_TASKS", "PAUSED",
    )  # fmt: skip
    return Answers(NOW, {getattr(statements, name).what: rows.get(name, []) for name in everything}, [])


def test_what_could_not_be_read_is_unknown_and_not_0() -> None:
    (queue,) = system_facts(["a"], Answers(NOW), SolidQueueRequest()).queues
    assert queue.facts()["counts"] == dict.fromkeys(queue.facts()["counts"])
    assert (queue.paused, queue.consumers, queue.stalled, queue.orphans, queue.unconsumed) == (None,) * 5
    system = system_facts(["a"], Answers(NOW), SolidQueueRequest())
    assert (system.failed_count, system.failed_seen, system.consumers) == (None, None, None)


def test_an_empty_queue_is_0_and_not_unknown() -> None:
    (queue,) = system_facts(["a"], answers(), SolidQueueRequest()).queues
    counts = queue.facts()["counts"]
    assert {state for state, count in counts.items() if count is None} == {"retrying"}
    assert sum(count or 0 for count in counts.values()) == 0
    assert (queue.oldest_age_seconds, queue.unconsumed, queue.notes) == (None, False, [])


def test_the_oldest_over_all_priorities() -> None:
    rows = [
        {"name": "a", "priority": 0, "count": 2, "oldest": NOW - 10},
        {"name": "a", "priority": 9, "count": 1, "oldest": NOW - 500},
        {"name": "b", "priority": 0, "count": 1, "oldest": NOW - 9000},
    ]
    queue, other = system_facts(["a", "b"], answers(WAITING=rows), SolidQueueRequest()).queues
    assert (queue.counts["waiting"], queue.oldest_age_seconds, queue.oldest_age_exact) == (3, 500, True)
    assert other.oldest_age_seconds == 9000


def test_held_by_the_living_the_dead_and_nobody() -> None:
    read = answers(
        HELD=[
            {"name": "a", "process_id": 1, "count": 2, "oldest": NOW - 5},
            {"name": "a", "process_id": 2, "count": 3, "oldest": NOW - 700},
            {"name": "a", "process_id": None, "count": 1, "oldest": NOW - 60},
        ]
    )
    read.processes = [worker(id=1), worker(id=2, heartbeat=NOW - 900)]
    (queue,) = system_facts(["a"], read, SolidQueueRequest()).queues
    assert (queue.counts["active"], queue.stalled, queue.oldest_unacked_seconds) == (6, 4, 700)
    read.processes = [worker(id=1)]
    (queue,) = system_facts(["a"], read, SolidQueueRequest()).queues
    assert "4 claimed jobs whose worker is no longer registered" in queue.notes[0]


@pytest.mark.parametrize(
    ("kind", "note"),
    [
        ("Dispatcher", "2 scheduled jobs overdue, the longest for 300 s"),
        ("Worker", "2 scheduled jobs overdue, the longest for 300 s: no dispatcher is alive"),
    ],
)
def test_overdue(kind: str, note: str) -> None:
    read = answers(LATER=[{"name": "a", "count": 5, "overdue": 2, "earliest": NOW - 300}])
    read.processes = [worker(kind=kind)]
    (queue,) = system_facts(["a"], read, SolidQueueRequest()).queues
    assert (queue.counts["delayed"], queue.overdue, queue.notes) == (5, 2, [note])


def test_dead_processes_are_told_of_once() -> None:
    read = answers()
    read.processes = [worker(), worker(id=2, pid=8, heartbeat=NOW - 400)]
    facts = system_facts(["a"], read, SolidQueueRequest())
    assert facts.consumers == 1
    assert facts.notes == ["1 of 2 processes were not heard of for 300 s: worker 8 on app-1"]


def test_where_a_queues_name_may_be() -> None:
    dead = worker("old", heartbeat=NOW - 400)
    found = known_names(["jobs"], ["paused"], ["nightly", None], [worker("served,pre*,*"), dead])
    assert found == ["jobs", "nightly", "paused", "served"]


def test_recurring_tasks() -> None:
    tasks = [
        {"key": "a", "schedule": "every hour", "class_name": "A", "queue_name": None},
        {"key": "b", "schedule": "every hour", "class_name": None, "queue_name": "q"},
    ]
    first, second = recurring_tasks(tasks, [{"key": "a", "run_at": NOW - 60}, {"key": "b", "run_at": None}], NOW, 100)
    assert (first["last_run_at"], first["last_run_age_seconds"]) == ("2023-11-14T22:12:20Z", 60)
    assert (second["task"], second["queue"], second["last_run_at"]) == (None, "q", None)
    assert len(recurring_tasks(tasks, None, NOW, 1)) == 1
