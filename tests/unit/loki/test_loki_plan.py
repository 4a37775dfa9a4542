"""Log queries are checked before anything is sent."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption
from ansible_collections.runbook.ops.plugins.module_utils.loki.plan import plan_queries, plan_sources, selector_of

NOW = dt.datetime(2026, 1, 31, 0, 0, 0, 999, tzinfo=dt.timezone.utc)
LOG_QUERY = 'a LogQL log query that begins with a selector, such as {job="web"} |~ "(?i)error"'


def options(**given: Any) -> dict[str, Any]:
    return {"name": "q", "query": '{job="a"} |= "x"', "samples": 3, "allow_silence": False, **given}


def plan(**given: Any) -> Any:
    [query] = plan_queries({"queries": [options(**given)], "since": "1h"}, NOW)
    return query


def test_counted_over_the_whole_window() -> None:
    query = plan(since="90m", by="job")
    assert query.count_expression == 'sum by (job) (count_over_time({job="a"} |= "x" [5400s]))'
    assert query.lines_expression == 'sum (count_over_time({job="a"} [5400s]))'
    assert query.window.end == NOW.replace(microsecond=0)
    explicit = plan(start="2026-01-30T00:00:00+09:00", end="2026-01-30T01:00:00+09:00")
    assert explicit.window.seconds == 3600


@pytest.mark.parametrize(
    ("expression", "selector"),
    [
        ('{job="a"}', '{job="a"}'),
        ('{job="a", x=~"b}c"} |= "}"', '{job="a", x=~"b}c"}'),
        ('{job="a\\"}"} |= "x"', '{job="a\\"}"}'),
        ("{job=`a}\\`} | json", "{job=`a}\\`}"),
        ("{}", None),
        ('{job="a"', None),
        ('sum(rate({job="a"}[5m]))', None),
        ("", None),
    ],
)
def test_selector(expression: str, selector: str | None) -> None:
    assert selector_of(expression) == selector


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"name": "a b"}, "queries.name: 'a b' is not accepted. Accepted: letters, digits, underscores and dashes."),
        (
            {"query": 'rate({job="a"}[5m])'},
            f"""queries[q].query: 'rate({{job="a"}}[5m])' is not accepted. Accepted: {LOG_QUERY}.""",
        ),
        ({"by": "a-b"}, "queries[q].by: 'a-b' is not accepted. Accepted: the name of a label."),
        ({"samples": 101}, "queries[q].samples: 101 is not accepted. Accepted: 0 to 100."),
        (
            {"since": "1h", "start": "2026-01-01T00:00:00Z"},
            "queries[q]: 'both since and start' is not accepted. Accepted: one of them.",
        ),
        (
            {"since": "an hour"},
            "queries[q].since: 'an hour' is not accepted. Accepted: a whole number of seconds, or amounts with "
            "w, d, h, m, s, largest first, such as 1h30m or 7d.",
        ),
        (
            {"start": "2026-02-01T00:00:00Z"},
            "queries[q].start: '2026-02-01T00:00:00Z' is not accepted. Accepted: a moment before end.",
        ),
    ],
)
def test_refusals(given: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidOption) as caught:
        plan(**given)
    assert caught.value.message == message


def test_sources() -> None:
    [source] = plan_sources(
        {"sources": [{"name": "web", "selector": ' {job="web"} ', "since": None}], "since": "10m"}, NOW
    )
    assert source.lines_expression == 'sum (count_over_time({job="web"} [600s]))'
    with pytest.raises(InvalidOption, match="a selector alone"):
        plan_sources({"sources": [{"name": "web", "selector": '{job="web"} |= "x"'}], "since": "1h"}, NOW)
