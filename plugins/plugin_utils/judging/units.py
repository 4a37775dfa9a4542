# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Units that facts and thresholds are written in, and how one becomes the other."""

from __future__ import annotations

from dataclasses import dataclass

from ansible_collections.runbook.ops.plugins.plugin_utils.duration import SECONDS, UNIT_OF_SPELLING

# What a rule's C(unit) may be, and the dimension behind it. Text and bool are not numbers.
DIMENSIONS = {
    "percent": "share",
    "ratio": "share",
    "bytes": "bytes",
    "seconds": "time",
    "milliseconds": "time",
    "days": "time",
    "count": "count",
    "per_second": "rate",
    "bool": "bool",
    "text": "text",
}
UNITS = tuple(DIMENSIONS)

# The size of one such unit in the base of its dimension (share: 1 = all; time: seconds).
_BASE = {"percent": 0.01, "ratio": 1.0, "bytes": 1.0, "seconds": 1.0, "milliseconds": 0.001, "days": 86400.0}


@dataclass(frozen=True)
class Measure:
    """A unit as people write it behind a number: its dimension and its size in the dimension's base."""

    dimension: str
    size: float


def _byte_measures() -> dict[str, Measure]:
    # IEC 80000-13: kB, MB, GB are powers of 1000; KiB, MiB, GiB are powers of 1024.
    measures = {spelling: Measure("bytes", 1.0) for spelling in ("b", "byte", "bytes")}
    for power, letter in enumerate("kmgtp", start=1):
        measures[f"{letter}b"] = Measure("bytes", 1000.0**power)
        measures[f"{letter}ib"] = Measure("bytes", 1024.0**power)
    return measures


MEASURES: dict[str, Measure] = {
    "%": Measure("share", 0.01),
    "percent": Measure("share", 0.01),
    "/s": Measure("rate", 1.0),
    **_byte_measures(),
    **{spelling: Measure("time", SECONDS[unit]) for spelling, unit in UNIT_OF_SPELLING.items()},
}

_EXAMPLES = {
    "share": "%",
    "bytes": "B, kB, MB, GB, TB, KiB, MiB, GiB, TiB",
    "time": "ms, s, m, h, d, w",
    "rate": "/s",
}

_SUFFIXES = {
    "bytes": "bytes",
    "seconds": "seconds",
    "percent": "percent",
    "milliseconds": "milliseconds",
    "ms": "milliseconds",
    "days": "days",
    "ratio": "ratio",
    "total": "count",
    "count": "count",
}


def accepted_measures(unit: str | None) -> str:
    """The measures a literal may carry in a rule of that unit, for error messages; empty when none."""
    return _EXAMPLES.get(DIMENSIONS.get(unit or "", ""), "")


def find_measure(text: str) -> Measure | None:
    """The measure written behind a number, whatever its case; None when there is no such unit."""
    return MEASURES.get(text.lower())


def convert(number: float, measure: Measure, unit: str) -> float:
    """C(number) of C(measure) expressed in a rule's C(unit); the dimensions must agree."""
    if measure.size == _BASE.get(unit, 1.0):
        return number
    # Rounding takes away the dust of the division, so that "90 %" is exactly 0.9.
    return round(number * measure.size / _BASE.get(unit, 1.0), 9)


def unit_of_name(name: str) -> str | None:
    """The unit a fact's name ends in (C(age_seconds), C(size_bytes)), as the modules name their facts."""
    return _SUFFIXES.get(name.rsplit("_", 1)[-1])
