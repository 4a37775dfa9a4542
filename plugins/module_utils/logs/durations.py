# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How long requests took, read as numbers from log lines, and their percentiles. Pure.

A pattern such as C([5-9][0-9][0-9]ms) finds 600 ms of rendering in a request of 12 ms and misses one of 1200 ms.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Optional

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption

UNITS = {"ns": 1e-6, "us": 1e-3, "ms": 1.0, "s": 1000.0, "m": 60000.0}
_DIGITS = 3
_WORD_UNITS = {b"ns": 1e-6, b"us": 1e-3, b"\xc2\xb5s": 1e-3, b"ms": 1.0, b"s": 1000.0, b"m": 60000.0}


class Reader:
    """One way to write a duration: a pattern with the number in its first group, the unit given or in its second."""

    def __init__(self, pattern: bytes, needles: tuple[bytes, ...], unit: str | None = None) -> None:
        self.needles = needles
        self.unit = unit
        self._source = pattern
        self._search: Callable[[bytes], Optional[re.Match[bytes]]] = self._first_search

    def _first_search(self, line: bytes) -> re.Match[bytes] | None:
        # Compiled when it is needed: most runs need none of them, or one.
        self._search = re.compile(self._source).search
        return self._search(line)

    def milliseconds(self, line: bytes) -> float | None:
        """The duration in milliseconds; None for a line without one."""
        match = self._search(line)
        if match is None:
            return None
        try:
            value = float(match[1])
        except (TypeError, ValueError):
            return None
        return value * (UNITS[self.unit] if self.unit else _WORD_UNITS[match[2]])


# What requests log, by the name that the option takes.
READERS: dict[str, tuple[Reader, ...]] = {
    # Completed 200 OK in 12ms (Views: 600.0ms | …): what stands in brackets is not the request.
    "rails": (Reader(rb"\bCompleted \d{3}\b[^(\n]*? in (\d+(?:\.\d+)?)(ms|s)\b", (b"Completed ",)),),
    # $request_time, in seconds, under a name, or as the line's last field after a format of one's own.
    "nginx": (
        Reader(rb"\b(?:request_time|rt)\\?\"?[=:]\s*\\?\"?(\d+\.\d{3})\b", (b"request_time", b"rt="), "s"),
        Reader(rb"^[^\n]*\" \d{3} [^\n]* (\d+\.\d{3})\"?\s*$", (b'" ',), "s"),
    ),
    "json": (
        Reader(
            rb"\"(?:duration|elapsed|latency|response_time|took|request_duration)(?:_ms|Ms|_millis)\"\s*:\s*\"?"
            rb"(\d+(?:\.\d+)?)",
            (b"_ms", b"Ms", b"_millis"),
            "ms",
        ),
        Reader(rb"\"responseTime\"\s*:\s*(\d+(?:\.\d+)?)", (b"responseTime",), "ms"),
        Reader(
            rb"\"(?:request_time|(?:duration|elapsed|latency|response_time)_(?:s|sec|seconds))\"\s*:\s*\"?"
            rb"(\d+(?:\.\d+)?)",
            (b"request_time", b"_s"),
            "s",
        ),
        Reader(
            rb"\"(?:duration|elapsed|latency|took)\"\s*:\s*\"(\d+(?:\.\d+)?)\s?(ns|us|\xc2\xb5s|ms|s|m)\"",
            (b"duration", b"elapsed", b"latency", b"took"),
        ),
    ),
}


def own_reader(pattern: str, unit: str, needles: tuple[bytes, ...]) -> Reader:
    """A user's pattern; its first group is the number."""
    try:
        compiled = re.compile(pattern.encode())
    except re.error as error:
        raise InvalidOption("durations", pattern, f"a regular expression ({error})") from None
    if compiled.groups < 1:
        raise InvalidOption("durations", pattern, "a regular expression whose first group is the number")
    return Reader(pattern.encode(), needles, unit)


@dataclass
class Histogram:
    """Durations to three significant digits, which keeps the memory flat whatever their number."""

    count: int = 0
    highest: float = 0.0
    _values: Counter[float] = field(default_factory=Counter)

    def add(self, milliseconds: float) -> None:
        """One more."""
        self.count += 1
        self.highest = max(self.highest, milliseconds)
        self._values[milliseconds if milliseconds in self._values else _rounded(milliseconds)] += 1

    def percentiles(self, wanted: tuple[int, ...] = (50, 90, 95, 99)) -> dict[str, float | None]:
        """C(p50_ms) and so on: the smallest value that so many percent do not exceed (nearest rank)."""
        ordered = sorted(self._values.items())
        result: dict[str, float | None] = {}
        for percent in wanted:
            rank, seen, value = math.ceil(self.count * percent / 100), 0, None
            for each, count in ordered:
                seen += count
                if seen >= rank:
                    value = each
                    break
            result[f"p{percent}_ms"] = value
        return result


def _rounded(value: float) -> float:
    if value < 10**_DIGITS and value == int(value):
        return float(value)
    return float(f"{value:.{_DIGITS}g}")
