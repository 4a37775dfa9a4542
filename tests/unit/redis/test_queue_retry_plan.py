"""Which failed jobs are meant, how they are counted, and the pace, without a server."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption
from ansible_collections.runbook.ops.plugins.module_utils.common.outcome import Refused
from ansible_collections.runbook.ops.plugins.module_utils.redis.errors import Refusal
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.retry.plan import (
    MOST_REASONS,
    OTHER_REASONS,
    Pace,
    Tally,
)
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.retry.request import request_from
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.retry.system import FailedJob
from ansible_collections.runbook.ops.plugins.module_utils.redis.writing import no_writes, script_stopped
from ansible_collections.runbook.ops.plugins.modules import redis_queue_retry

NOW = 1_000_000.0
LETTERS = str.maketrans("0123456789", "ghijklmnop")


def options(**given: Any) -> dict[str, Any]:
    return {
        **{name: each.get("default") for name, each in redis_queue_retry.argument_spec().items()},
        "queue": "orders",
        **given,
    }


def job(identifier: str = "1", reason: str = "Timeout after 3000 ms", **more: Any) -> FailedJob:
    return FailedJob(identifier.encode(), reason, **{"name": "charge", "failed_at": NOW - 600, **more})


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"queue": ""}, "queue: '' is not accepted. Accepted: the name of a queue."),
        (
            {"library_version": "five"},
            "library_version: 'five' is not accepted. Accepted: a version such as 5 or 4.12.0.",
        ),
        ({"limit": 0}, "limit: 0 is not accepted. Accepted: a number from 1 upwards."),
        ({"max_jobs": 0}, "max_jobs: 0 is not accepted. Accepted: a number from 1 upwards."),
        ({"batch_size": 0}, "batch_size: 0 is not accepted. Accepted: a number from 1 to 100."),
        ({"max_per_second": 0.0}, "max_per_second: 0.0 is not accepted. Accepted: a number greater than 0."),
        (
            {"max_per_second": float("inf")},
            "max_per_second: inf is not accepted. Accepted: a number greater than 0.",
        ),
        (
            {"min_age": "1h", "max_age": "30m"},
            "max_age: '30m' is not accepted. Accepted: a duration not shorter than min_age (1h).",
        ),
        ({"separator": ""}, "separator: '' is not accepted. Accepted: at least one character."),
        ({"result_db": -1}, "result_db: -1 is not accepted. Accepted: 0 or a positive number."),
        (
            {"priority_steps": [3, 0]},
            "priority_steps: [3, 0] is not accepted. Accepted: numbers from 0 upwards, each larger than the one "
            "before.",
        ),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_options_that_cannot_work(given: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidOption) as refused:
        request_from(options(**given))
    assert refused.value.message == message


@pytest.mark.parametrize(
    ("given", "failed", "meant"),
    [
        ({}, job(), True),
        ({"reason": [""]}, job(), True),
        ({"reason": ["timeout*"]}, job(), True),
        ({"reason": ["Timeout after <N> ms"]}, job(), True),
        ({"reason": ["Timeout"]}, job(), False),
        ({"reason": ["*second*"]}, job(reason="first\nSECOND line"), True),
        ({"reason": ["[[]cold] *"]}, job(reason="[cold] start"), True),
        ({"job_name": ["CHAR?E"]}, job(), True),
        ({"job_name": ["*"]}, job(name=None), False),
        ({"min_age": "10m"}, job(), True),
        ({"min_age": "11m"}, job(), False),
        ({"max_age": "9m"}, job(), False),
        ({"max_age": "1h"}, job(failed_at=None), False),
        ({"min_age": "1s"}, job(failed_at=None), False),
        ({"max_age": "1h"}, job(failed_at=NOW + 3600), True),
    ],
)
def test_who_is_meant(given: dict[str, Any], failed: FailedJob, meant: bool) -> None:
    assert request_from(options(**given)).matches(failed, NOW) is meant


@pytest.mark.parametrize(
    ("rate", "batch", "step"), [(None, 100, 100), (1000.0, 100, 100), (30.0, 100, 30), (30.0, 10, 10), (0.2, 100, 1)]
)
def test_a_step_is_no_more_than_a_second_allows(rate: float | None, batch: int, step: int) -> None:
    assert request_from(options(max_per_second=rate, batch_size=batch)).step == step


def test_names_are_read_only_when_somebody_asks() -> None:
    assert request_from(options(job_name=["x"])).target.options["names"] is True
    assert request_from(options(job_name=[""])).target.options["names"] is False


def test_a_plan_takes_the_first_ones_and_counts_the_others() -> None:
    tally = Tally(limit=2)
    tally.plan(job("1", refusal="gone wild", remedy="Tame it."))
    for number in (2, 3, 4):
        tally.plan(job(str(number)))
    tally.plan(job("5", refusal="gone wild", remedy="Tame it."))

    assert (tally.matched, tally.due, tally.left, tally.refused) == (5, 2, 1, 2)
    assert tally.ids == ["2", "3"]
    assert tally.remembered == {b"1", b"5"}
    assert tally.actions("orders") == [
        {
            "action": "retry",
            "queue": "orders",
            "reason": "Timeout after <n> ms",
            "count": 2,
            "example_ids": ["2", "3"],
        }
    ]
    assert [each.as_dict() for each in tally.refusals("orders")] == [
        {"object": "2 failed jobs of orders (1, 5)", "reason": "gone wild", "remedy": "Tame it."}
    ]


def test_memory_stays_small_with_a_reason_for_every_job() -> None:
    tally = Tally()
    for number in range(20_000):
        tally.plan(job(str(number), reason=str(number % 5000).translate(LETTERS)))
        tally.refuse(job(str(number)), "no", "yes")

    actions = tally.actions("orders")
    assert len(actions) == MOST_REASONS + 1
    assert actions[0]["reason"] == OTHER_REASONS
    assert sum(each["count"] for each in actions) == 20_000
    assert (len(tally.ids), len(tally.remembered)) == (100, 10_000)
    assert tally.refusals("orders")[0].object == "20000 failed jobs of orders (0, 1, 2, 3, 4 and 19995 more)"


def test_a_message_without_an_end_is_grouped_by_its_beginning() -> None:
    tally = Tally()
    tally.plan(job(reason="\n\n" + "a.b+c://" * 8000))

    assert tally.actions("orders")[0]["reason"] == ("a.b+c://" * 20)[:159] + "…"


def test_the_pace_is_kept_over_the_whole_run() -> None:
    moments = iter([100.0, 100.0, 100.5, 103.0])
    pace = Pace(20.0, lambda: next(moments))

    assert [pace.pause(0), pace.pause(20), pace.pause(40)] == [0.0, 0.5, 0.0]
    assert Pace(None, lambda: 0.0).pause(10**9) == 0.0


@pytest.mark.parametrize(
    "said",
    [
        b"OOM command not allowed when used memory > 'maxmemory'.",
        b"@user_script: 126: -OOM command not allowed when used memory > 'maxmemory'.",
    ],
    ids=["redis-7", "redis-6"],
)
def test_what_stopped_a_script_is_read_on_every_version(said: bytes) -> None:
    assert script_stopped("cache:6379", said).message == (
        "Redis at cache:6379 has reached maxmemory and evicts nothing, so it takes no writes. Free memory or raise "
        "maxmemory, then run the task again."
    )


def test_an_unknown_answer_is_shown() -> None:
    refused = no_writes("cache:6379", Refusal("EVAL", "ERR", "something odd"))
    assert isinstance(refused, Refused)
    assert refused.message == "Redis at cache:6379 refuses to write: ERR something odd. Look at the server's log."
