# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Durations between people and machines: C(1h30m) and 5400 seconds."""

from __future__ import annotations

import math
import re

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption

ACCEPTED = (
    "a number of seconds (90, 0.5), or amounts with the units w, d, h, m, s, ms, largest first (1h30m, 2d 6h, 250ms)"
)

# A year or a month has no fixed length, so neither is a unit here.
SECONDS = {"w": 604800.0, "d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
_SPELLINGS = {
    "w": ("w", "week", "weeks"),
    "d": ("d", "day", "days"),
    "h": ("h", "hr", "hour", "hours"),
    "m": ("m", "min", "minute", "minutes"),
    "s": ("s", "sec", "second", "seconds"),
    "ms": ("ms", "msec", "millisecond", "milliseconds"),
}
UNIT_OF_SPELLING = {spelling: unit for unit, spellings in _SPELLINGS.items() for spelling in spellings}
_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)")
_AMOUNT = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([a-z]+)", re.IGNORECASE)


def parse_duration(value: object, option: str = "duration") -> float:
    """Seconds from a number of seconds or from text such as C(1h30m).

    Raises InvalidOption naming what is accepted. Units must go from large to small, each at most once,
    because C(30m1h) is more often a slip than a duration.
    """
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        if math.isfinite(value):
            return float(value)
        raise InvalidOption(option, value, ACCEPTED)
    if not isinstance(value, str):
        raise InvalidOption(option, value, ACCEPTED)
    text = value.strip()
    if _NUMBER.fullmatch(text):
        return float(text)
    sign = -1.0 if text.startswith("-") else 1.0
    return sign * _amounts(text[1:] if text[:1] in ("+", "-") else text, value, option)


def _amounts(text: str, value: str, option: str) -> float:
    total, position, last = 0.0, 0, math.inf
    while position < len(text):
        match = _AMOUNT.match(text, position)
        unit = UNIT_OF_SPELLING.get(match[2].lower()) if match else None
        if match is None or unit is None or SECONDS[unit] >= last:
            raise InvalidOption(option, value, ACCEPTED)
        last = SECONDS[unit]
        total += float(match[1]) * last
        position = match.end()
    if position == 0:
        raise InvalidOption(option, value, ACCEPTED)
    return total


def format_duration(seconds: float, parts: int | None = None) -> str:
    """Text such as C(1h30m) for a number of seconds; C(parts) keeps only that many of the largest units.

    Whole milliseconds are the finest step. What C(parts) leaves out is cut, not rounded up: an age never
    looks older than it is.
    """
    if not math.isfinite(seconds):
        raise InvalidOption("duration", seconds, ACCEPTED)
    rest = round(abs(seconds) * 1000)
    pieces: list[str] = []
    for unit, size in (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)):
        amount, rest = divmod(rest, size)
        if amount:
            pieces.append(f"{amount}{unit}")
        elif pieces and parts is not None:
            # "2d" is better than "2d5s" when two parts were asked for: the next unit is zero.
            parts -= 1
        if parts is not None and len(pieces) >= parts:
            break
    text = "".join(pieces) or "0s"
    return f"-{text}" if seconds < 0 and pieces else text
