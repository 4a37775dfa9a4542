"""Forecasts: trends, jumps, noise, and what cannot be known."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from ansible.errors import AnsibleFilterError

from ansible_collections.runbook.ops.plugins.filter.forecast import forecast

NOW = dt.datetime(2026, 1, 31, tzinfo=dt.timezone.utc)


def series(values: list[float | None], limit: float | None = 100.0, hours: float = 24) -> list[dict[str, Any]]:
    """Values up to now, one every so many hours."""
    points = [
        {"at": (NOW - dt.timedelta(hours=hours * (len(values) - 1 - place))).isoformat(), "value": value}
        for place, value in enumerate(values)
    ]
    return [{"name": "disk /", "limit": limit, "points": points}]


def one(values: list[float | None], limit: float | None = 100.0, hours: float = 24, **more: Any) -> dict[str, Any]:
    (entry,) = forecast(series(values, limit, hours), NOW.isoformat(), **more)
    return entry


# A week's logs go away each Sunday: the level stays, whatever happens in between.
SAWTOOTH: list[float | None] = [50.0 + 5 * (day % 7) for day in range(28)]


@pytest.mark.parametrize(
    ("values", "state", "days"),
    [
        ([50, 52, 54, 56, 58], "growing", 21.0),
        # One large file came and went: the line does not bend.
        ([50, 52, 54, 90, 58, 60, 62], "growing", 19.0),
        ([60, 58, 56, 54, 52], "shrinking", None),
        ([50, 50, 50, 50, 50], "steady", None),
        ([50, 50.1, 50, 50.1, 50.05], "steady", None),
        (SAWTOOTH, "unknown", None),
        ([50, 80, 30, 70, 40, 60], "unknown", None),
        ([90, 95, 100], "full", 0.0),
        ([50, 52, 54, 56], "unknown", None),
        ([None, None], "unknown", None),
        ([], "unknown", None),
    ],
)
def test_states(values: list[float | None], state: str, days: float | None) -> None:
    entry = one(values)
    assert (entry["state"], entry["days_until_full"]) == (state, days)
    assert bool(entry["reason"]) == (state == "unknown")


@pytest.mark.parametrize(
    ("given", "more", "reason"),
    [
        ([50, 52, 54, 56], {}, "4 of at least 5 points are known"),
        ([50, 52, 54, 56, 58], {"hours": 1}, "the points cover 0.2 of at least 2 days"),
        (SAWTOOTH, {}, "the figures go up and down too much to tell a trend"),
        ([50, 52, 54, 56, 58], {"limit": None}, "the limit is not known"),
        # Older than the window.
        ([50, 52, 54, 56, 58], {"days": 2}, "3 of at least 5 points are known"),
    ],
)
def test_reasons(given: list[float | None], more: dict[str, Any], reason: str) -> None:
    assert one(given, **more)["reason"] == reason


def test_bounds_hold_the_forecast() -> None:
    entry = one([50, 51.1, 54.3, 55, 58.2, 60.9, 61, 65.4, 66.6])
    assert entry["days_until_full_least"] <= entry["days_until_full"] < entry["days_until_full_most"]
    assert entry["per_day"] == pytest.approx(2, abs=0.3)
    long = one([float(n) for n in range(1000)], limit=2000.0, hours=0.5)
    assert long["days_until_full"] == pytest.approx(1001 / 48, abs=0.1)


@pytest.mark.parametrize(
    ("given", "more", "message"),
    [
        ("text", {}, "forecast: input: 'str' is not accepted."),
        ([{"name": "x"}], {}, "forecast: input: ['name'] is not accepted."),
        ([{"name": "x", "points": [1, 2]}], {}, "forecast: points: 1 is not accepted."),
        ([], {"days": 0}, "forecast: days: 0 is not accepted. Accepted: a number of at least 1."),
    ],
)
def test_bad_input(given: Any, more: dict[str, Any], message: str) -> None:
    with pytest.raises(AnsibleFilterError) as caught:
        forecast(given, NOW.isoformat(), **more)
    assert str(caught.value).startswith(message)
