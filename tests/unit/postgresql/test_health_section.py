"""The arithmetic every section uses: unknown stays unknown and is never 0."""

from __future__ import annotations

import datetime as dt

import pytest

from ansible_collections.runbook.ops.plugins.module_utils.postgresql.health.section import (
    Answers,
    Limits,
    age_seconds,
    compose,
    is_cut,
    moment,
    percent,
    rate,
    ratio,
    rounded,
)

NOW = dt.datetime(2026, 1, 31, 0, 15, tzinfo=dt.timezone.utc)
SEOUL = dt.timezone(dt.timedelta(hours=9))


@pytest.mark.parametrize(
    ("part", "whole", "expected"),
    [(1, 3, 33.33), (0, 5, 0.0), (5, 4, 125.0), (None, 5, None), (5, None, None), (5, 0, None), (0, 0, None)],
)
def test_percent(part: float | None, whole: float | None, expected: float | None) -> None:
    assert percent(part, whole) == expected


@pytest.mark.parametrize(("part", "whole", "expected"), [(10, 4, 2.5), (1, 0, None), (None, 1, None), (1, None, None)])
def test_ratio(part: float | None, whole: float | None, expected: float | None) -> None:
    assert ratio(part, whole) == expected


@pytest.mark.parametrize(
    ("then", "expected"),
    [
        (NOW - dt.timedelta(minutes=20), 1200.0),
        (dt.datetime(2026, 1, 31, 9, 14, tzinfo=SEOUL), 60.0),
        (NOW + dt.timedelta(seconds=1), 0.0),
        (None, None),
    ],
)
def test_age_is_null_safe_and_never_negative(then: dt.datetime | None, expected: float | None) -> None:
    assert age_seconds(NOW, then) == expected
    assert age_seconds(None, then) is None


def test_moment_is_utc() -> None:
    assert moment(dt.datetime(2026, 1, 31, 9, 15, tzinfo=SEOUL)) == "2026-01-31T00:15:00Z"
    assert moment(None) is None


@pytest.mark.parametrize(
    ("total", "age", "expected"),
    [(10, 7200.0, 5.0), (10, 60.0, 10.0), (10, 0.0, 10.0), (0, 60.0, 0.0), (None, 60.0, None), (1, None, None)],
)
def test_young_counters_are_not_extrapolated(total: float | None, age: float | None, expected: float | None) -> None:
    assert rate(total, age, 3600.0) == expected


def test_rounded() -> None:
    assert (rounded(1.26), rounded(None), rounded(1.23456, 3)) == (1.3, None, 1.235)


def test_is_cut() -> None:
    assert is_cut(3, [1, 2])
    assert not is_cut(2, [1, 2])
    assert not is_cut(None, [])


def test_compose_fills_every_hole() -> None:
    assert compose("SELECT $a FROM t WHERE x = %(top)s", a="b.c") == "SELECT b.c FROM t WHERE x = %(top)s"
    with pytest.raises(KeyError):
        compose("SELECT $forgotten")


def test_answers_tell_unanswered_from_empty() -> None:
    answers = Answers({"empty": [], "failed": None, "one": [{"n": 1}]})
    assert (answers.rows("empty"), answers.rows("failed"), answers.rows("never asked")) == ([], None, None)
    assert (answers.row("one"), answers.row("empty"), answers.row("failed")) == ({"n": 1}, {}, {})
    assert [answers.know(name) for name in ("one", "empty", "failed", "never asked")] == [True, True, False, False]


def test_bindings_are_lists_for_the_driver() -> None:
    limits = Limits(top=5, exclude_schemas=("a",), exposed_schemas=("public", "api"))
    assert limits.bindings() == {"top": 5, "excluded": ["a"], "exposed": ["public", "api"]}
