"""Progress as people read it."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.runbook.ops.plugins.plugin_utils.progress_lines import Meter, reading


def state(done: object, seconds: float, **more: Any) -> dict[str, Any]:
    """What a module has written after so many seconds of its phase."""
    return {
        "phase": "archive",
        "what": "public.jobs",
        "unit": "rows",
        "note": "",
        "done": done,
        "seconds": seconds,
        "at": seconds,
        **more,
    }


def line(*states: dict[str, Any], later: float = 0.0) -> str:
    """The line after these were read, each when it was written, and C(later) seconds after the last."""
    meter = Meter()
    for each in states:
        meter.take(each, 500.0 + each.get("at", 0))
    return meter.line(500.0 + states[-1].get("at", 0) + later)


ROWS = {"total": 1_000_000}
BYTES = {"total": 10_000_000_000, "unit": "bytes"}


@pytest.mark.parametrize(
    ("states", "text"),
    [
        ([{}], ""),
        ([{"pid": 7, "at": 1.0}], ""),
        (
            [state(0, 0, **ROWS), state(450_000, 1.4423, **ROWS)],
            "archive public.jobs: 45 % (450,000 of 1,000,000 rows), 312,000 rows/s, 2s left",
        ),
        # Too soon for a rate.
        ([state(0, 0, **ROWS), state(4, 0.5, **ROWS)], "archive public.jobs: 0.0 % (4 of 1,000,000 rows)"),
        ([state(0, 0), state(1234, 10)], "archive public.jobs: 1,234 rows, 123 rows/s"),
        (
            [state(0, 0, **BYTES), state(4_500_000_000, 30, **BYTES)],
            "archive public.jobs: 45 % (4.5 GB of 10 GB), 150 MB/s, 37s left",
        ),
        ([state(0, 0, unit="bytes"), state(81_300, 100, unit="bytes")], "archive public.jobs: 81.3 kB, 813 B/s"),
        # Cut, not rounded: the end alone is 100 %.
        (
            [state(0, 0, total=1000), state(999, 10, total=1000)],
            "archive public.jobs: 99 % (999 of 1,000 rows), 99.9 rows/s, 1s left",
        ),
        (
            [state(0, 0, total=1000), state(1000, 10, total=1000)],
            "archive public.jobs: 100 % (1,000 of 1,000 rows), 10s so far",
        ),
        (
            [state(0, 0, total=1000), state(58, 100, total=1000)],
            "archive public.jobs: 5.8 % (58 of 1,000 rows), 34.8 rows/min, 27m4s left",
        ),
        # An estimate that was too low.
        (
            [state(0, 0, total=1000), state(1200, 10, total=1000)],
            "archive public.jobs: 1,200 rows (1,000 expected), 120 rows/s",
        ),
        # Slow work, in a unit of time in which something happens.
        (
            [state(0, 0, unit="tables", total=40), state(2, 600, unit="tables", total=40)],
            "archive public.jobs: 5.0 % (2 of 40 tables), 12 tables/h, 3h10m left",
        ),
        ([state(0, 0, total=4, unit=""), state(3, 3, total=4, unit="")],
         "archive public.jobs: 75 % (3 of 4), 1/s, 1s left"),
        ([state(0, 0), state(2.5, 5, unit="rows")], "archive public.jobs: 2.5 rows, 30 rows/min"),
        (
            [state(5, 0, total=10, note="waits for the standby")],
            "archive public.jobs: 50 % (5 of 10 rows); waits for the standby",
        ),
        # Nothing to count yet.
        ([state(0, 75)], "archive public.jobs: 1m15s so far"),
        ([state(0, 75, total=10)], "archive public.jobs: 0 % (0 of 10 rows), 1m15s so far"),
        ([state(0, 3, phase="connect", what="")], "connect: 3s so far"),
        # What is no number is none.
        ([state("many", 3, total="all")], "archive public.jobs: 3s so far"),
        ([state(float("nan"), 3, total=float("inf"))], "archive public.jobs: 3s so far"),
        ([state(0, 2, unit="indexes", total=1)], "archive public.jobs: 0 % (0 of 1 index), 2s so far"),
        ([state(1, 3, total=0)], "archive public.jobs: 1 row"),
    ],
)  # fmt: skip
def test_lines(states: list[dict[str, Any]], text: str) -> None:
    assert line(*states) == text


def test_the_rate_is_that_of_the_last_half_minute() -> None:
    fast = [state(second * 1000, second, total=1_000_000) for second in range(101)]
    slow = [state(100_000 + second * 10, 100 + second, total=1_000_000) for second in range(1, 41)]
    assert line(*fast) == "archive public.jobs: 10 % (100,000 of 1,000,000 rows), 1,000 rows/s, 15m left"
    assert line(*fast, *slow) == "archive public.jobs: 10 % (100,400 of 1,000,000 rows), 10 rows/s, 1d left"


def test_a_module_that_writes_nothing_is_seen_to_stand_still() -> None:
    states = [state(second * 10, second, total=1000) for second in range(31)]
    assert line(*states, later=10) == "archive public.jobs: 30 % (300 of 1,000 rows), 6.67 rows/s, 1m45s left"
    assert line(*states, later=40) == "archive public.jobs: 30 % (300 of 1,000 rows), no progress for 40s"


def test_a_note_says_why_it_stands_still() -> None:
    states = [state(10, 0, total=20), state(10, 60, total=20, note="waits for the standby (12s behind)")]
    assert line(*states) == (
        "archive public.jobs: 50 % (10 of 20 rows), no progress for 1m; waits for the standby (12s behind)"
    )


@pytest.mark.parametrize("change", [{"what": "public.events"}, {"phase": "delete"}, {"unit": "bytes"}])
def test_another_phase_begins_anew(change: dict[str, str]) -> None:
    other = line(state(1_000_000, 10), state(0, 1, **change, at=11.0), state(50, 2, **change, at=12.0))
    assert other.endswith((": 50 rows, 50 rows/s", ": 50 B, 50 B/s"))


def test_another_round_of_a_phase_begins_anew() -> None:
    assert (
        line(state(900, 10), state(0, 0, at=11.0), state(20, 2, at=13.0)) == "archive public.jobs: 20 rows, 10 rows/s"
    )


def test_what_a_server_says_is_one_harmless_line() -> None:
    shown = line(state(1, 0, what="a\x1b[2J\nb", unit="ro\nws", note="x" * 500))
    assert shown.startswith("archive a [2J b: 1 ro w; xxx")
    assert shown.isprintable()
    assert len(shown) < 250


@pytest.mark.parametrize(
    ("last", "text"),
    [
        (state(45, 5, total=100), "archive public.jobs: 45 % (45 of 100 rows)"),
        (state(45, 5), "archive public.jobs: 45 rows"),
        (state(0, 5), "archive public.jobs"),
        ({}, ""),
    ],
)
def test_positions(last: dict[str, Any], text: str) -> None:
    meter = Meter()
    meter.take(last, 1.0)
    assert meter.position() == text


def test_what_is_no_progress_is_none() -> None:
    assert reading(None) is None
    assert reading({"phase": ""}) is None
    Meter().take(None, 1.0)
    assert Meter().line(1.0) == ""
