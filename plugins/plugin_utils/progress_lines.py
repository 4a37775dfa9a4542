# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Progress as one line for people: C(archive public.jobs: 45 % (450,000 of 1,000,000 rows), 312,000 rows/s, 2s left).

Pure: what a module wrote into its progress file, and when it was seen, become text.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ansible_collections.runbook.ops.plugins.plugin_utils.duration import format_duration
from ansible_collections.runbook.ops.plugins.plugin_utils.judging.humanise import humanise, plain_line

# The rate is that of the last half minute: what counts is how fast it is now, not how fast it was at first.
WINDOW_SECONDS = 30.0
# A rate over less than this says more about the moment of reading than about the work.
_SHORTEST_SECONDS = 1.0
_STILL_SECONDS = 15.0
# Names of tables and notes are a server's text: one harmless line, and a short one.
_LONGEST_NAME = 100
_LONGEST_NOTE = 160
_PER = (("s", 1), ("min", 60), ("h", 3600))


@dataclass(frozen=True)
class Reading:
    """One state of a module, as its progress file holds it. C(written) tells two writes apart."""

    phase: str
    what: str
    unit: str
    note: str
    done: float
    total: float | None
    seconds: float
    written: float


def reading(state: Mapping[str, Any] | None) -> Reading | None:
    """The file's content made safe to show; None before the module has told anything."""
    if not state or not state.get("phase"):
        return None
    total = _number(state.get("total"))
    return Reading(
        phase=plain_line(str(state["phase"]), _LONGEST_NAME),
        what=plain_line(str(state.get("what") or ""), _LONGEST_NAME),
        unit=plain_line(str(state.get("unit") or ""), _LONGEST_NAME),
        note=plain_line(str(state.get("note") or ""), _LONGEST_NOTE),
        done=_number(state.get("done")) or 0.0,
        total=total if total is not None and total > 0 else None,
        seconds=_number(state.get("seconds")) or 0.0,
        written=_number(state.get("at")) or 0.0,
    )


class Meter:
    """Takes what is read, now and then, and says where the work is and how fast it goes."""

    def __init__(self, window: float = WINDOW_SECONDS) -> None:
        self._window = window
        self._last: Reading | None = None
        self._seen = 0.0
        self._moved = 0.0
        # Seconds since the phase began, by the module's own clock, and how much was done then.
        self._samples: deque[tuple[float, float]] = deque()

    def take(self, state: Mapping[str, Any] | None, now: float) -> None:
        """Keep what was read at C(now), in seconds of any monotonic clock."""
        latest = reading(state)
        if latest is None or (self._last is not None and latest.written == self._last.written):
            return
        before, self._last, self._seen = self._last, latest, now
        if before is None or (before.phase, before.what, before.unit) != (latest.phase, latest.what, latest.unit):
            self._samples.clear()
        elif latest.done < before.done or latest.seconds < before.seconds:
            # Another round of the same phase.
            self._samples.clear()
        if not self._samples or before is None or latest.done != before.done:
            self._moved = latest.seconds
        self._samples.append((latest.seconds, latest.done))
        # The one before the window stays: it is where the window begins.
        while len(self._samples) > 2 and self._samples[1][0] <= latest.seconds - self._window:
            self._samples.popleft()

    def line(self, now: float) -> str:
        """Where the work is at C(now); empty when nothing is known yet."""
        last = self._last
        if last is None:
            return ""
        # A module that waits for its server writes nothing; the time passes all the same.
        elapsed = last.seconds + max(0.0, now - self._seen)
        rate = self._rate(elapsed)
        parts = [_position(last)] if last.total is not None or last.done else []
        still = elapsed - self._moved
        if last.done == last.total:
            # All is counted, and something that is not counted may still go on.
            parts.append(f"{_left(elapsed)} so far")
        elif rate:
            parts.append(_rate(rate, last.unit))
            if last.total is not None and last.done < last.total:
                parts.append(f"{_left((last.total - last.done) / rate)} left")
        elif not last.done:
            parts.append(f"{_left(elapsed)} so far")
        elif still >= _STILL_SECONDS:
            parts.append(f"no progress for {_left(still)}")
        line = f"{last.phase} {last.what}".strip() + f": {', '.join(parts)}"
        return f"{line}; {last.note}" if last.note else line

    def position(self) -> str:
        """How far the work came, without speed: what to say at its end. Empty when nothing is known."""
        if self._last is None:
            return ""
        title = f"{self._last.phase} {self._last.what}".strip()
        return f"{title}: {_position(self._last)}" if self._last.total is not None or self._last.done else title

    def _rate(self, elapsed: float) -> float:
        begin = next(
            (each for each in reversed(self._samples) if each[0] <= elapsed - self._window),
            self._samples[0],
        )
        took = elapsed - begin[0]
        return (self._samples[-1][1] - begin[1]) / took if took >= _SHORTEST_SECONDS else 0.0


def _position(last: Reading) -> str:
    done = _amount(last.done, last.unit)
    if last.total is None:
        return f"{done}{_suffix(last.unit, last.done)}"
    total = _amount(last.total, last.unit)
    if last.done > last.total:
        # The total was an estimate.
        return f"{done}{_suffix(last.unit, last.done)} ({total} expected)"
    unit = _suffix(last.unit, last.total)
    return f"{_percent(100.0 * last.done / last.total)} % ({done} of {total}{unit})"


def _percent(value: float) -> str:
    """Cut, not rounded: 100 % is the end and nothing before it."""
    digits = 1 if 0 < value < 10 else 0
    scale = 10**digits
    return f"{math.floor(value * scale + 1e-9) / scale:.{digits}f}"


def _amount(value: float, unit: str) -> str:
    return humanise(value, "bytes") if unit == "bytes" else humanise(round(value, 1 if value < 100 else 0), None)


def _suffix(unit: str, count: float) -> str:
    if unit in ("", "bytes"):
        return ""
    if count == 1:
        unit = unit[:-2] if unit.endswith("xes") else unit.removesuffix("s")
    return f" {unit}"


def _rate(per_second: float, unit: str) -> str:
    if unit == "bytes" and per_second >= 1:
        return f"{humanise(per_second, 'bytes')}/s"
    # Slow work is counted by the minute or the hour, so that there is something before the point.
    name, seconds = next((each for each in _PER if per_second * each[1] >= 1), _PER[-1])
    amount = _three_digits(per_second * seconds)
    return f"{humanise(amount, None)}{_suffix(unit, amount)}/{name}"


def _three_digits(value: float) -> float:
    """More digits would only flicker."""
    return round(value, 2 - math.floor(math.log10(value))) if value > 0 else 0.0


def _left(seconds: float) -> str:
    return format_duration(max(1, round(seconds)), parts=2)


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        return None
    return float(value)
