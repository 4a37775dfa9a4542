# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Values as people read them."""

from __future__ import annotations

import math
from typing import Any

from ansible_collections.runbook.ops.plugins.plugin_utils.duration import format_duration
from ansible_collections.runbook.ops.plugins.plugin_utils.judging.units import UNITS

# What may stand behind the bar of a placeholder, C({path|bytes}).
HUMANISERS = (*UNITS, "duration")

_BYTES = ("B", "kB", "MB", "GB", "TB", "PB")
_LONGEST = 300
# What is smaller is the dust of floating point.
_TINY = 0.0001


def humanise(value: Any, unit: str | None) -> str:
    """A value with its unit, e.g. C(81.3 GB), C(92.5 %), C(1h30m), C(14,200).

    Bytes are powers of 1000 (kB, MB, GB), as thresholds are. What is no number of that unit is shown as it is.
    """
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None:
        return "unknown"
    if isinstance(value, (int, float)):
        return _number(value, unit) if math.isfinite(value) else str(value)
    return plain_line(value if isinstance(value, str) else str(value))


def _number(value: float, unit: str | None) -> str:
    if unit == "percent":
        return f"{_decimals(value, 2)} %"
    if unit == "bytes":
        return _bytes(value)
    if unit in ("seconds", "duration"):
        return _duration(value)
    if unit == "milliseconds":
        return f"{_decimals(value, 1)} ms" if abs(value) < 1000 else _duration(value / 1000)
    if unit == "days":
        return f"{_decimals(value, 1)} {'day' if value == 1 else 'days'}"
    if unit == "per_second":
        return f"{_decimals(value, 2)}/s"
    return _decimals(value, 4 if unit == "ratio" else 3)


def _bytes(value: float) -> str:
    magnitude, unit = abs(value), 0
    while magnitude >= 999.5 and unit < len(_BYTES) - 1:
        magnitude /= 1000
        unit += 1
    digits = 0 if unit == 0 else 2 if magnitude < 10 else 1 if magnitude < 100 else 0
    return f"{'-' if value < 0 else ''}{_decimals(magnitude, digits)} {_BYTES[unit]}"


def _duration(seconds: float) -> str:
    if 0 < abs(seconds) < 0.001:
        return f"{seconds * 1000:.2g}ms"
    if abs(seconds) < 1:
        return format_duration(seconds)
    if abs(seconds) < 60:
        return f"{_decimals(seconds, 2)}s"
    return format_duration(math.trunc(seconds), parts=2)


def _decimals(value: float, digits: int) -> str:
    """At most so many decimals, thousands separated, no trailing zeros; small values are not shown as 0."""
    text = f"{value:,.{digits}f}"
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    if text not in ("0", "-0"):
        return text
    return f"{value:.2g}" if abs(value) >= _TINY else "0"


def plain_line(text: str, longest: int = _LONGEST) -> str:
    """Text from a server as one harmless line: no control characters, no terminal escapes, bounded.

    A cut is marked with an ellipsis.
    """
    kept = "".join(character if character.isprintable() else " " for character in text)
    line = " ".join(kept.split())
    return line if len(line) <= longest else f"{line[: longest - 1]}…"
