"""How long rows are kept, and the moment before which they are due."""

from __future__ import annotations

import datetime as dt

import pytest

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.retention.keep import (
    Keep,
    cutoff_literal,
    parse_keep,
)


@pytest.mark.parametrize(
    ("text", "keep"),
    [
        ("90d", Keep(days=90)),
        ("90 days", Keep(days=90)),
        (90, Keep(days=90)),
        ("90", Keep(days=90)),
        ("2w", Keep(days=14)),
        ("6 months", Keep(months=6)),
        ("6mo", Keep(months=6)),
        ("1 year, 9 hours", Keep(months=12, seconds=32400)),
        ("1y 2 mon 3d", Keep(months=14, days=3)),
        ("36 Hours", Keep(seconds=129600)),
        ("45 min", Keep(seconds=2700)),
        ("P6M", Keep(months=6)),
        ("P1Y2M10DT2H30M", Keep(months=14, days=10, seconds=9000)),
        ("P2W", Keep(days=14)),
    ],
)
def test_durations(text: object, keep: Keep) -> None:
    assert parse_keep(text) == keep


@pytest.mark.parametrize("text", ["", "6m", "-3 days", "1.5 years", "P", "0 days", "0", "soon", "90 days old", "3 d x"])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(InvalidOption) as refused:
        parse_keep(text, "policies[jobs].keep")
    assert refused.value.message.startswith(f"policies[jobs].keep: {text!r} is not accepted.")


@pytest.mark.parametrize(
    ("now", "keep", "zone", "cutoff"),
    [
        # Not 365 days: a leap year lies between.
        ("2024-06-01T00:00:00+00:00", "12 months", "UTC", "2023-06-01T00:00:00+00:00"),
        ("2024-06-01T00:00:00+00:00", "365 days", "UTC", "2023-06-02T00:00:00+00:00"),
        # The last day of a shorter month.
        ("2026-03-31T12:00:00+00:00", "1 month", "UTC", "2026-02-28T12:00:00+00:00"),
        ("2024-02-29T12:00:00+00:00", "1 year", "UTC", "2023-02-28T12:00:00+00:00"),
        ("2026-01-15T12:00:00+00:00", "13 months", "UTC", "2024-12-15T12:00:00+00:00"),
        # The clock of Berlin: noon summer time, then noon winter time, an hour apart in UTC.
        ("2026-04-15T10:00:00+00:00", "30 days", "Europe/Berlin", "2026-03-16T11:00:00+00:00"),
        # Hours are hours, whatever clocks do.
        ("2026-03-29T10:00:00+00:00", "24 hours", "Europe/Berlin", "2026-03-28T10:00:00+00:00"),
        # It is the first of the month in Seoul and the last in UTC.
        ("2026-02-28T15:30:00+00:00", "1 month", "Asia/Seoul", "2026-01-31T15:30:00+00:00"),
    ],
)
def test_cutoff(now: str, keep: str, zone: str, cutoff: str) -> None:
    found = parse_keep(keep).before(dt.datetime.fromisoformat(now), zone)
    assert found == dt.datetime.fromisoformat(cutoff)


def test_before_the_year_one() -> None:
    now = dt.datetime(2026, 1, 1, tzinfo=dt.timezone.utc)
    for text in ("3000 years", "999999 days"):
        with pytest.raises(InvalidOption):
            parse_keep(text).before(now, "UTC")


@pytest.mark.parametrize(
    ("column_type", "literal"),
    [("timestamptz", "2026-03-02 20:30:00+00"), ("timestamp", "2026-03-03 05:30:00"), ("date", "2026-03-03")],
)
def test_literals(column_type: str, literal: str) -> None:
    cutoff = dt.datetime(2026, 3, 2, 20, 30, tzinfo=dt.timezone.utc)
    assert cutoff_literal(cutoff, column_type, "Asia/Seoul") == literal
