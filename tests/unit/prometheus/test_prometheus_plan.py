"""Queries are checked before anything is sent."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption
from ansible_collections.runbook.ops.plugins.module_utils.prometheus.plan import plan_queries, usual_step

NOW = dt.datetime(2026, 1, 31, 0, 0, tzinfo=dt.timezone.utc)


def options(**given: Any) -> dict[str, Any]:
    defaults = {"name": "q", "query": "up", "series": "one", "allow_empty": False}
    return {**defaults, **given}


def test_instant() -> None:
    [query] = plan_queries({"queries": [options(query=" sum(up) ", labels=[])]}, NOW)
    assert (query.expression, query.kind, query.many, query.labels) == ("sum(up)", "instant", False, ())


@pytest.mark.parametrize(
    ("given", "hours", "end", "step"),
    [
        ({"start": "7d"}, 168, NOW, 2420),
        ({"start": "1h"}, 1, NOW, 15),
        ({"start": "1h", "step": "5m"}, 1, NOW, 300),
        ({"start": "2h", "end": "1h"}, 1, NOW - dt.timedelta(hours=1), 15),
        ({"start": "2026-01-30T09:00:00+09:00", "end": "2026-01-30T01:00:00Z"}, 1, NOW - dt.timedelta(hours=23), 15),
    ],
)
def test_range(given: dict[str, Any], hours: float, end: dt.datetime, step: int) -> None:
    [query] = plan_queries({"queries": [options(**given)]}, NOW)
    assert query.window is not None
    assert (query.kind, query.window.end, query.window.step_seconds) == ("range", end, step)
    assert query.window.end - query.window.start == dt.timedelta(hours=hours)


def test_step_is_no_finer_than_scrapes() -> None:
    assert (usual_step(60), usual_step(86400)) == (15, 346)


ACCEPTED_DURATION = "a whole number of seconds, or amounts with w, d, h, m, s, largest first, such as 1h30m or 7d"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"name": "a.b"}, "queries.name: 'a.b' is not accepted. Accepted: letters, digits, underscores and dashes."),
        ({"query": " "}, "queries[q].query: ' ' is not accepted. Accepted: a PromQL expression."),
        (
            {"end": "1h"},
            "queries[q]: 'end or step without start' is not accepted. Accepted: start as well, for a range query.",
        ),
        (
            {"start": "yesterday"},
            f"queries[q].start: 'yesterday' is not accepted. Accepted: {ACCEPTED_DURATION}.",
        ),
        (
            {"start": "2026-01-30T09:00:00"},
            "queries[q].start: '2026-01-30T09:00:00' is not accepted. Accepted: an ISO 8601 moment with timezone, such "
            "as 2026-01-31T09:00:00+09:00.",
        ),
        (
            {"start": "1h", "end": "2h"},
            "queries[q].start: '1h' is not accepted. Accepted: a moment before end.",
        ),
        (
            {"start": "7d", "step": "1s"},
            "queries[q].step: '1s' is not accepted. Accepted: a step that gives at most 11000 points.",
        ),
        ({"start": "1h", "step": "0"}, f"queries[q].step: '0' is not accepted. Accepted: {ACCEPTED_DURATION}."),
        (
            {"allow_empty": True},
            "queries[q].allow_empty: True is not accepted. Accepted: allow_empty only with series many.",
        ),
    ],
)
def test_refusals(given: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidOption) as caught:
        plan_queries({"queries": [options(**given)]}, NOW)
    assert caught.value.message == message


def test_names_are_unique() -> None:
    with pytest.raises(InvalidOption, match="a name that no other query has"):
        plan_queries({"queries": [options(), options()]}, NOW)
