"""The option C(queries): refused as a whole, naming the query, before anything is touched."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.query.plan import (
    check_limits,
    check_timezone,
    plan_queries,
)


def test_a_plan_asks_for_one_row_more_than_allowed() -> None:
    one, many = plan_queries(
        [
            {"name": "one", "sql": "SELECT 1 -- note", "single_row": True},
            {"name": "many", "sql": "SELECT %(a)s, %(reference_time)s;", "parameters": {"a": [1, None]}},
        ],
        max_rows=10,
    )
    assert one.text == "SELECT * FROM (\nSELECT 1\n) AS runbook_query LIMIT 2"
    assert (one.max_rows, one.single_row) == (1, True)
    assert many.text == "SELECT * FROM (\nSELECT %(a)s, %(reference_time)s\n) AS runbook_query LIMIT 11"
    assert many.parameters == {"a": [1, None]}


@pytest.mark.parametrize(
    ("queries", "message"),
    [
        pytest.param([], "queries: [] is not accepted. Accepted: at least one query.", id="none"),
        pytest.param(
            [{"name": "a.b", "sql": "SELECT 1"}],
            "queries[1].name: 'a.b' is not accepted. Accepted: letters, digits and underscores, because rules address "
            "results by name.",
            id="name with a dot",
        ),
        pytest.param(
            [{"name": "a", "sql": "SELECT 1"}, {"name": "a", "sql": "SELECT 2"}],
            "queries[2].name: 'a' is not accepted. Accepted: a name that no other query has.",
            id="name twice",
        ),
        pytest.param(
            [{"name": "a", "sql": "SELECT 1; SELECT 2"}],
            "queries.a.sql: 'SELECT 1; SELECT 2' is not accepted. Accepted: one query; the statement consists of "
            "several statements. Make each of them a query of its own.",
            id="several statements",
        ),
        pytest.param(
            [{"name": "a", "sql": "SELECT %(x)s, %(y)s", "parameters": {"y": 1}}],
            "queries.a.parameters: ['y'] is not accepted. Accepted: a value for %(x)s as well.",
            id="missing parameter",
        ),
        pytest.param(
            [{"name": "a", "sql": "SELECT 1", "parameters": {"x": 1}}],
            "queries.a.parameters: 'x' is not accepted. Accepted: parameters that occur in the statement as %(name)s.",
            id="unused parameter",
        ),
        pytest.param(
            [{"name": "a", "sql": "SELECT %(x)s", "parameters": {"x": {"b": 1}}}],
            "queries.a.parameters.x: {'b': 1} is not accepted. Accepted: text, a number, true, false, null or a list "
            "of these.",
            id="dict as parameter",
        ),
        pytest.param(
            [{"name": "a", "sql": "SELECT 1", "parameters": {"reference_time": 1}}],
            "queries.a.parameters: 'reference_time' is not accepted. Accepted: other names; this one is bound already.",
            id="bound parameter",
        ),
    ],
)
def test_refused(queries: list[dict[str, Any]], message: str) -> None:
    with pytest.raises(InvalidOption) as caught:
        plan_queries(queries, max_rows=10)
    assert caught.value.message == message


@pytest.mark.parametrize("name", ["UTC", "Asia/Seoul", "America/Argentina/Buenos_Aires", "Etc/GMT-9"])
def test_timezone_accepted(name: str) -> None:
    assert check_timezone(name) == name


@pytest.mark.parametrize("name", ["", "+09:00", "KST-9", "FOO9", "Asia/Seoul; x", "Asia / Seoul"])
def test_timezone_refused(name: str) -> None:
    with pytest.raises(InvalidOption, match="the name of a time zone, such as Asia/Seoul or UTC"):
        check_timezone(name)


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        ({"statement_timeout": 0, "max_rows": 1}, "statement_timeout: 0 is not accepted"),
        ({"statement_timeout": 3601, "max_rows": 1}, "statement_timeout: 3601 is not accepted"),
        ({"statement_timeout": float("nan"), "max_rows": 1}, "statement_timeout: nan is not accepted"),
        ({"statement_timeout": 1, "max_rows": 0}, "max_rows: 0 is not accepted"),
        ({"statement_timeout": 1, "max_rows": 10001}, "max_rows: 10001 is not accepted"),
    ],
)
def test_limits_refused(limits: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidOption, match=message):
        check_limits(**limits)
