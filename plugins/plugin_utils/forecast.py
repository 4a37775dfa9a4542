# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""When something will be full, by a line that single jumps do not bend, and an honest "unknown". Pure."""

from __future__ import annotations

import datetime as dt
import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption
from ansible_collections.runbook.ops.plugins.module_utils.common.timezones import moment
from ansible_collections.runbook.ops.plugins.plugin_utils.judging.paths import is_list

_WANTED = "a list of series, each with name and points, as figures_history returns them"
# So many points describe a line as well as more do; all pairs of them are looked at.
_MOST_POINTS = 200
_DAY = 86400.0
# Two sides of 95 percent of a normal distribution.
_Z = 1.96
# A movement that is smaller than this share of the limit, over all that is known, is none.
_STILL = 0.005

Line = tuple[float, float, float]


def forecast(
    series: object, reference_time: object = "", *, days: float = 30, min_points: int = 5, min_days: float = 2
) -> list[dict[str, Any]]:
    """One entry for each series, with the days until its limit is reached; null when that cannot be said.

    The slope is the median of the slopes between all pairs of points (Theil and Sen), and its bounds are those of Sen
    (1968) for 95 percent. A trend that these bounds do not tell from none at all is unknown, unless hardly anything
    moved.
    """
    now = moment(reference_time)
    for option, value, least in (("days", days, 1), ("min_points", min_points, 2), ("min_days", min_days, 0)):
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not value >= least:
            raise InvalidOption(option, value, f"a number of at least {least}")
    if not is_list(series):
        raise InvalidOption("input", type(series).__name__, _WANTED)
    return [_entry(each, now, days, int(min_points), min_days) for each in series]  # type: ignore[attr-defined]


def _entry(each: object, now: dt.datetime, days: float, min_points: int, min_days: float) -> dict[str, Any]:
    if not isinstance(each, Mapping) or not is_list(each.get("points")) or not each.get("name"):
        raise InvalidOption("input", each if not isinstance(each, Mapping) else sorted(map(str, each)), _WANTED)
    points = _points(each["points"], now, days)
    limit = each.get("limit")
    limit = float(limit) if isinstance(limit, (int, float)) and not isinstance(limit, bool) else None
    span = (points[-1][0] - points[0][0]) / _DAY if points else 0.0
    told: dict[str, Any] = {
        "name": str(each["name"]),
        "value": points[-1][1] if points else None,
        "limit": limit,
        "state": "unknown",
        "per_day": None,
        "days_until_full": None,
        "days_until_full_least": None,
        "days_until_full_most": None,
        "points_count": len(points),
        "span_days": round(span, 2),
        "reason": None,
    }
    if limit is not None and points and points[-1][1] >= limit:
        return {**told, "state": "full", "days_until_full": 0.0, "days_until_full_least": 0.0}
    if len(points) < max(min_points, 3):
        return {**told, "reason": f"{len(points)} of at least {max(min_points, 3)} points are known"}
    if span < min_days:
        return {**told, "reason": f"the points cover {span:.1f} of at least {min_days:g} days"}
    return {**told, **_judged(points, limit, span)}


def _judged(points: list[tuple[float, float]], limit: float | None, span: float) -> dict[str, Any]:
    least, slope, most = _slopes(points)
    per_day = slope * _DAY
    scale = limit if limit else max(abs(value) for _at, value in points)
    if max(abs(least), abs(most)) * span * _DAY <= _STILL * scale or scale == 0:
        return {"state": "steady", "per_day": _rounded(per_day)}
    if least <= 0 <= most:
        still = abs(slope) * span * _DAY <= _STILL * scale and _is_calm(points, scale)
        if still:
            return {"state": "steady", "per_day": _rounded(per_day)}
        return {"reason": "the figures go up and down too much to tell a trend"}
    if slope < 0:
        return {"state": "shrinking", "per_day": _rounded(per_day)}
    found: dict[str, Any] = {"state": "growing", "per_day": _rounded(per_day)}
    if limit is None:
        return {**found, "reason": "the limit is not known"}
    room = limit - points[-1][1]
    return {
        **found,
        "days_until_full": round(room / per_day, 1),
        "days_until_full_least": round(room / (most * _DAY), 1),
        "days_until_full_most": round(room / (least * _DAY), 1),
    }


def _is_calm(points: Sequence[tuple[float, float]], scale: float) -> bool:
    values = [value for _at, value in points]
    return max(values) - min(values) <= 4 * _STILL * scale


def _slopes(points: Sequence[tuple[float, float]]) -> Line:
    """The lower bound, the median and the upper bound of the slope, for a second."""
    step = math.ceil(len(points) / _MOST_POINTS)
    # The newest one is always among them.
    chosen = points[::-1][::step][::-1]
    slopes = sorted(
        (two[1] - one[1]) / (two[0] - one[0]) for place, one in enumerate(chosen) for two in chosen[place + 1 :]
    )
    number, pairs = len(chosen), len(slopes)
    reach = _Z * math.sqrt(number * (number - 1) * (2 * number + 5) / 18)
    low = max(math.floor((pairs - reach) / 2), 0)
    high = min(math.ceil((pairs + reach) / 2), pairs - 1)
    return slopes[low], statistics.median(slopes), slopes[high]


def _points(given: Sequence[object], now: dt.datetime, days: float) -> list[tuple[float, float]]:
    """Seconds and values in the window, in order, one for each moment."""
    earliest = now - dt.timedelta(days=min(days, 36500))
    found: dict[float, float] = {}
    for point in given:
        value = point.get("value") if isinstance(point, Mapping) else None
        if not isinstance(point, Mapping) or "at" not in point:
            raise InvalidOption("points", point, "mappings with at and value")
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
            continue
        at = moment(point["at"], "points.at")
        if earliest <= at <= now:
            found[at.timestamp()] = float(value)
    return sorted(found.items())


def _rounded(value: float) -> float:
    return round(value, 3)
