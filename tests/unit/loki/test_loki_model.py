"""What Loki's answers mean."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from ansible_collections.runbook.ops.plugins.module_utils.loki.model import (
    Line,
    WrongAnswer,
    query_facts,
    read_counts,
    read_lines,
    span_text,
)
from ansible_collections.runbook.ops.plugins.module_utils.loki.plan import Query, Window

NOW = dt.datetime(2026, 1, 31, tzinfo=dt.timezone.utc)
WINDOW = Window(NOW - dt.timedelta(hours=1), NOW)
QUERY = Query("q", '{job="a"} |= "x"', '{job="a"}', WINDOW, None, 2, allow_silence=False)
BY_JOB = Query("q", '{job="a"} |= "x"', '{job="a"}', WINDOW, "job", 2, allow_silence=False)
QUIET = Query("q", '{job="a"} |= "x"', '{job="a"}', WINDOW, None, 2, allow_silence=True)


def vector(*pairs: tuple[dict[str, str], str]) -> dict[str, Any]:
    return {"resultType": "vector", "result": [{"metric": labels, "value": [1, text]} for labels, text in pairs]}


def test_counts() -> None:
    assert read_counts(vector()) == []
    assert read_counts(vector(({}, "1204"))) == [({}, 1204)]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"resultType": "streams", "result": []}, "the answer to a count is a streams"),
        ({}, "the answer to a count is a None"),
        (vector(({}, "many")), "the answer to a count has no numbers"),
        (vector(({}, "NaN")), "the answer to a count has no numbers"),
        ({"resultType": "vector", "result": [{}]}, "the answer to a count has no numbers"),
    ],
)
def test_wrong_counts(data: dict[str, Any], message: str) -> None:
    with pytest.raises(WrongAnswer, match=f"^{message}$"):
        read_counts(data)


def test_lines_of_all_streams_newest_first_and_redacted() -> None:
    data = {
        "resultType": "streams",
        "result": [
            {
                "stream": {"job": "a"},
                "values": [["2000000000", "token=hunter2 gone"], ["1000000000", "old", {"trace": "1"}]],
            },
            {"stream": {"job": "b"}, "values": [["1500000000", "x" * 9000]]},
        ],
    }
    lines = read_lines(data)
    assert [line.text[:20] for line in lines] == ["token=<hidden> gone", "x" * 20, "old"]
    assert len(lines[1].text) == 4000
    with pytest.raises(WrongAnswer, match=r"^the answer to a log query is a matrix$"):
        read_lines({"resultType": "matrix", "result": []})


def lines(count: int) -> list[Line]:
    return [Line(10**9 * each, {"job": "a"}, f"ERROR request {each} failed") for each in range(count)]


@pytest.mark.parametrize(
    ("counts", "read", "count", "truncated"),
    [
        ([({}, 3)], 3, 3, False),
        # The limit of 100 lines that a plain query stops at without a word.
        ([({}, 1204)], 100, 1204, True),
        ([], 0, 0, False),
        (None, 0, None, False),
    ],
)
def test_truncation_is_told(counts: Any, read: int, count: int | None, truncated: bool) -> None:
    facts = query_facts(QUERY, counts, stream_lines=5, lines=lines(read), reason=None if counts is not None else "x")
    assert (facts["count"], facts["read_count"], facts["truncated"]) == (count, read, truncated)
    assert facts["known"] is (count is not None)
    assert len(facts["samples"]) == min(2, read)


@pytest.mark.parametrize(
    ("query", "stream_lines", "count", "reason"),
    [
        (QUERY, 12, 0, None),
        (QUERY, 0, None, 'no line at all from {job="a"} in 1 h: the selector is wrong, or its logs do not arrive'),
        (QUIET, 0, 0, None),
    ],
)
def test_nothing_found_where_nothing_is_logged_is_unknown(
    query: Query, stream_lines: int, count: int | None, reason: str | None
) -> None:
    facts = query_facts(query, [], stream_lines=stream_lines)
    assert (facts["count"], facts["reason"]) == (count, reason)


def test_groups_and_messages() -> None:
    counts = [({"job": "a"}, 2), ({"job": "b"}, 9), ({}, 1)]
    facts = query_facts(BY_JOB, counts, lines=lines(12), top=2)
    assert facts["groups"] == [{"value": "b", "count": 9}, {"value": "a", "count": 2}]
    assert (facts["count"], facts["groups_count"], facts["truncated"]) == (12, 3, True)
    assert facts["top"] == [{"message": "ERROR request <n> failed", "count": 12, "example": "ERROR request 0 failed"}]


def test_samples_are_short() -> None:
    facts = query_facts(QUERY, [({}, 1)], lines=[Line(1769817600_123456789, {"job": "a"}, "x" * 900 + "\n")])
    [sample] = facts["samples"]
    assert (sample["at"], len(sample["line"]), sample["line"][-1]) == ("2026-01-31T00:00:00Z", 500, "…")


@pytest.mark.parametrize(("seconds", "text"), [(3600, "1 h"), (90, "90 s"), (5400, "90 min"), (604800, "7 d")])
def test_span(seconds: int, text: str) -> None:
    assert span_text(seconds) == text
