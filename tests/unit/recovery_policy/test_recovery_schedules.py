"""Cron expressions and intervals: when a job runs, how long it pauses, what the clocks do to it."""

from __future__ import annotations

import datetime as dt
from zoneinfo import ZoneInfo

import pytest

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption
from ansible_collections.runbook.ops.plugins.plugin_utils.recovery_policy.schedule import parse_schedule

HOUR, DAY = 3600.0, 86400.0
# A Thursday.
START = dt.date(2026, 1, 1)


@pytest.mark.parametrize(
    ("text", "pause", "is_timed"),
    [
        ("0 2 * * *", DAY, True),
        ("0 */4 * * *", 4 * HOUR, True),
        # The last run of a day is at 20:00, and the next at midnight; of */7 the last is at 21:00.
        ("0 */7 * * *", 7 * HOUR, True),
        ("30 1,13 * * *", 12 * HOUR, True),
        ("0 2 * * 1-5", 3 * DAY, True),
        ("0 3 * * 0", 7 * DAY, True),
        ("0 3 * * sun", 7 * DAY, True),
        ("0 3 * * 7", 7 * DAY, True),
        ("0 3 1 * *", 31 * DAY, True),
        ("0 3 1 jan,jul *", 184 * DAY, True),
        # Either the day of the month or that of the week: cron runs it on both.
        ("0 3 1 * 0", 7 * DAY, True),
        ("*/15 * * * *", 900.0, False),
        ("0 * * * *", HOUR, False),
        ("@daily", DAY, True),
        ("0 3 29 2 *", 4 * 365.25 * DAY, True),
        ("4h", 4 * HOUR, False),
        ("every 15m", 900.0, False),
        ("daily", DAY, False),
        ("weekly", 7 * DAY, False),
        ("monthly", 31 * DAY, False),
        ("continuous", 0.0, False),
        ("1d 12h", 36 * HOUR, False),
    ],
)
def test_pauses(text: str, pause: float, is_timed: bool) -> None:
    schedule = parse_schedule(text, "schedule")
    assert schedule.longest_pause_seconds(START) == pause
    assert schedule.is_timed is is_timed


@pytest.mark.parametrize(
    "text",
    ["", "2 o'clock", "0 2 * *", "0 2 * * * root", "60 2 * * *", "0 24 * * *", "0 2 0 * *", "0 2 * 13 *", "0 2 * * 8",
     "0 2 * * xyz", "5-1 2 * * *", "*/0 * * * *", "0", "-4h", "@reboot"],
)  # fmt: skip
def test_what_is_no_schedule(text: str) -> None:
    with pytest.raises(InvalidOption) as caught:
        parse_schedule(text, "policy.components[0].backups[0].schedule")
    assert caught.value.message == (
        f"policy.components[0].backups[0].schedule: {text!r} is not accepted. Accepted: a cron expression of five "
        "fields such as '0 2 * * *', an interval such as 4h, daily, weekly, monthly, or continuous."
    )


@pytest.mark.parametrize(
    ("text", "zone", "odd"),
    [
        ("30 2 * * *", "Europe/Berlin", ["2026-03-29 02:30", "2026-10-25 02:30"]),
        ("30 3 * * *", "Europe/Berlin", []),
        ("30 2 * * *", "Asia/Seoul", []),
        ("30 2 * * *", "UTC", []),
        # Sundays at night: the very day.
        ("0 2 * * 0", "America/New_York", ["2026-03-08 02:00"]),
    ],
)
def test_hours_that_the_clocks_leave_out_or_repeat(text: str, zone: str, odd: list[str]) -> None:
    found = parse_schedule(text, "schedule").jumps(START, ZoneInfo(zone))
    assert [f"{at:%Y-%m-%d %H:%M}" for at in found] == odd


def test_moments_are_on_one_clock() -> None:
    [first, *_rest] = parse_schedule("0 2 * * *", "schedule").moments(START, 2, ZoneInfo("Asia/Seoul"))
    assert first == dt.datetime(2025, 12, 31, 17, tzinfo=dt.timezone.utc)
