"""The lock tree: exactly one root in a chain, whatever its shape."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from ansible_collections.runbook.ops.plugins.module_utils.postgresql.health import locks
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.health.capabilities import Capabilities
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.health.section import Answers, Limits

NOW = dt.datetime(2026, 1, 31, tzinfo=dt.timezone.utc)


class Row(dict[str, Any]):
    """A row of the driver; columns a test does not name are NULL."""

    def __missing__(self, _column: str) -> None:
        return None


def ago(seconds: float) -> dt.datetime:
    return NOW - dt.timedelta(seconds=seconds)


def process(pid: int, blocked_by: list[int] | None = None, waited: float | None = None, **more: Any) -> dict[str, Any]:
    waitstart = None if waited is None else ago(waited)
    return Row(pid=pid, blocked_by=blocked_by, waitstart=waitstart, now=NOW, **more)


def facts(*rows: dict[str, Any], top: int = 20) -> dict[str, Any]:
    answers = Answers({"tree": list(rows), "table": [{"used": 64, "size": 6400}]})
    return locks.SECTION.facts(answers, Capabilities(150000, reads_stats=True), Limits(top=top))


@pytest.mark.parametrize(
    ("edges", "roots"),
    [
        ({}, []),
        ({2: [1]}, [1]),
        ({2: [1], 3: [2]}, [1]),
        ({2: [1], 3: [1, 2]}, [1]),
        ({2: [1], 3: [1], 4: [5]}, [1, 5]),
        ({3: [1, 2]}, [1, 2]),
        ({1: [2], 2: [1]}, []),
        ({2: [0]}, [0]),
    ],
)
def test_roots(edges: dict[int, list[int]], roots: list[int]) -> None:
    assert locks.find_roots(edges) == roots


@pytest.mark.parametrize(
    ("edges", "expected"),
    [
        ({2: [1], 3: [2]}, [(1, 2), (2, 3)]),
        ({2: [1], 3: [1, 2]}, [(1, 2), (1, 3)]),
        ({2: [1], 3: [1], 4: [2], 5: [3]}, [(1, 2), (2, 4), (1, 3), (2, 5)]),
        ({2: [1], 3: [2], 4: [3], 2000: [1]}, [(1, 2), (2, 3), (3, 4), (1, 2000)]),
        # A cycle below the root is walked once.
        ({2: [1, 3], 3: [2]}, [(1, 2), (2, 3)]),
    ],
)
def test_tree_below_a_root(edges: dict[int, list[int]], expected: list[tuple[int, int]]) -> None:
    assert locks.below(1, edges) == expected


def test_a_chain_of_thousands() -> None:
    edges = {pid: [pid - 1] for pid in range(2, 5002)}
    assert locks.below(1, edges)[-1] == (5000, 5001)


def test_three_sessions_have_one_root() -> None:
    found = facts(
        process(
            11, state="idle in transaction", xact_start=ago(1300), state_change=ago(1200), query="UPDATE t SET a = 1"
        ),
        process(12, [11], 30, lock_type="transactionid", mode="ShareLock", schema="public", name="t"),
        process(13, [12, 11, 12], 20, lock_type="tuple", mode="ExclusiveLock", schema="public", name="t"),
    )
    assert (found["root_count"], found["waiting_count"], found["longest_wait_seconds"]) == (1, 2, 30.0)
    (root,) = found["roots"]
    assert (root["pid"], root["kind"], root["blocked_count"]) == (11, "session", 2)
    assert (root["longest_wait_seconds"], root["total_wait_seconds"]) == (30.0, 50.0)
    assert (root["state_age_seconds"], root["transaction_age_seconds"]) == (1200.0, 1300.0)
    assert root["query"] == "UPDATE t SET a = ?"
    assert root["blocked"] == [
        {"depth": 1, "pid": 12, "blocked_by": [11], "wait_seconds": 30.0},
        {"depth": 1, "pid": 13, "blocked_by": [11, 12], "wait_seconds": 20.0},
    ]
    assert [each["pid"] for each in found["waiting"]] == [12, 13]
    assert found["lock_table_percent"] == 1.0


def test_roots_are_ranked_by_number_times_wait() -> None:
    found = facts(
        process(1), process(2, [1], 100),
        process(5), process(6, [5], 40), process(7, [5], 41), process(8, [5], 42),
        process(9), process(10, [9], 1),
    )  # fmt: skip
    assert [root["pid"] for root in found["roots"]] == [5, 1, 9]


def test_before_14_the_wait_is_counted_from_the_statement() -> None:
    found = facts(process(1), process(2, [1], None, query_start=ago(77)))
    assert found["longest_wait_seconds"] == 77.0


def test_a_wait_nobody_knows_is_unknown_not_zero() -> None:
    found = facts(process(1), process(2, [1], None))
    assert found["longest_wait_seconds"] is None
    assert found["roots"][0]["longest_wait_seconds"] is None
    assert found["roots"][0]["blocked_count"] == 1


def test_a_prepared_transaction_is_named() -> None:
    found = facts(process(0), process(2, [0], 5, gids=["order 1"]))
    (root,) = found["roots"]
    assert (root["pid"], root["kind"], root["gids"]) == (None, "prepared_transaction", ["order 1"])


def test_cuts_are_told() -> None:
    rows = [process(1), *(process(pid, [1], pid) for pid in range(2, 8))]
    found = facts(*rows, top=3)
    assert (found["waiting_count"], len(found["waiting"]), found["truncated"]) == (6, 3, True)
    assert (found["roots"][0]["blocked_count"], len(found["roots"][0]["blocked"])) == (6, 3)
    assert facts(*rows, top=6)["truncated"] is False


def test_nobody_waits() -> None:
    found = facts()
    assert (found["waiting_count"], found["root_count"], found["longest_wait_seconds"]) == (0, 0, 0.0)


def test_not_measured_is_not_zero() -> None:
    found = locks.SECTION.facts(Answers({"tree": None}), Capabilities(150000), Limits())
    assert {found[key] for key in ("waiting_count", "root_count", "longest_wait_seconds", "lock_table_used")} == {None}
