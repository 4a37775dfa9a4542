"""Cron's grammar, and what it is for systemd."""

from __future__ import annotations

import datetime as dt

import pytest

from ansible_collections.runbook.ops.plugins.module_utils.schedule.expression import (
    BadExpression,
    calendars,
    parse_expression,
)

# A Sunday, the first of a month.
BEGIN = dt.datetime(2026, 11, 1, 0, 0)


def starts(text: str, days: int = 7, most: int = 3) -> list[str]:
    found = parse_expression(text).starts(BEGIN, days)
    return [f"{moment:%a %d %H:%M}" for moment, _number in zip(found, range(most))]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("30 9 * * mon-fri", ["Mon 02 09:30", "Tue 03 09:30", "Wed 04 09:30"]),
        ("0 2 * * 7", ["Sun 01 02:00", "Sun 08 02:00"]),
        ("0 2 * * 0", ["Sun 01 02:00", "Sun 08 02:00"]),
        ("*/20 0 * * *", ["Sun 01 00:00", "Sun 01 00:20", "Sun 01 00:40"]),
        ("5-59/25 23 1 nov *", ["Sun 01 23:05", "Sun 01 23:30", "Sun 01 23:55"]),
        ("0 0 31 2 *", []),
        # Either day when both are limited, both days when one begins with a star.
        ("0 6 3 * fri", ["Tue 03 06:00", "Fri 06 06:00"]),
        ("0 6 */2 * sun", ["Sun 01 06:00"]),
        ("@daily", ["Sun 01 00:00", "Mon 02 00:00", "Tue 03 00:00"]),
        ("@Weekly", ["Sun 01 00:00", "Sun 08 00:00"]),
    ],
)
def test_when_a_line_is_due(text: str, expected: list[str]) -> None:
    assert starts(text) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0 25 * * *", "the hour '25' is not from 0 to 23"),
        ("60 * * * *", "the minute '60' is not from 0 to 59"),
        ("0 0 0 * *", "the day of the month '0' is not from 1 to 31"),
        ("0 0 * * monday", "the day of the week 'monday' is not from 0 to 7"),
        ("0 0 * 13 *", "the month '13' is not from 1 to 12"),
        ("* * * *", "it has 4 fields instead of five"),
        ("0 0 * * fri-mon", "the day of the week 'fri-mon' ends before it begins: write it as two ranges"),
        ("5/10 * * * *", "the minute '5/10' has a step without a range: write 5-59/10"),
        ("*/0 * * * *", "the step of the minute, '*/0', is no number above 0"),
        ("~ * * * *", "the minute '~' is not from 0 to 59"),
        (
            "@fortnightly",
            "@fortnightly is none of @annually, @daily, @hourly, @midnight, @monthly, @weekly, @yearly",
        ),
    ],
)
def test_what_is_no_time_is_said_to_be_none(text: str, message: str) -> None:
    with pytest.raises(BadExpression) as raised:
        parse_expression(text)
    assert str(raised.value) == message


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("30 9 * * mon-fri", ["Mon,Tue,Wed,Thu,Fri *-*-* 09:30:00"]),
        ("0 0 1 1 *", ["*-01-01 00:00:00"]),
        ("*/30 * * * *", ["*-*-* *:00,30:00"]),
        ("* * * * *", ["*-*-* *:*:00"]),
        ("0 6 3 * fri", ["*-*-03 06:00:00", "Fri *-*-* 06:00:00"]),
        ("0 6 */10 * sun", ["Sun *-*-01,11,21,31 06:00:00"]),
        ("0 6 1 * 0-6", ["*-*-* 06:00:00"]),
        ("0 6 1-31 * fri", ["*-*-* 06:00:00"]),
    ],
)
def test_the_same_times_for_systemd(text: str, expected: list[str]) -> None:
    assert calendars(parse_expression(text)) == expected
