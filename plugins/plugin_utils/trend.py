# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How findings developed over past runs."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.runbook.ops.plugins.module_utils.common.clock import iso
from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption
from ansible_collections.runbook.ops.plugins.module_utils.common.timezones import moment
from ansible_collections.runbook.ops.plugins.plugin_utils.findings import checked_findings, identity, sorted_findings
from ansible_collections.runbook.ops.plugins.plugin_utils.judging.paths import is_list

_HISTORY_WANTED = "a list of earlier runs, each a list of findings or a mapping with measured_at and findings"

# A century: nobody means more, and a moment before the year 1 cannot be counted.
_MOST_DAYS = 36500

Point = tuple[dt.datetime, float | None, str]


def trend(findings: object, history: object, reference_time: object, window_days: object = 7) -> list[dict[str, Any]]:
    """One entry for each finding of this run, worst first.

    C(previous) is the newest earlier value in the window, C(baseline) the oldest: the change since last week
    when the window is seven days. Changes are null where a value is missing or the earlier one is 0 (percent).
    C(series) is C([{at, value}]), oldest first, this run last.
    """
    days = _number(window_days)
    if days is None or not 0 < days <= _MOST_DAYS:
        raise InvalidOption("days", window_days, f"a number of days above 0, at most {_MOST_DAYS}")
    now = moment(reference_time)
    earliest = now - dt.timedelta(days=days)
    past: dict[tuple[str, str, str], list[Point]] = {}
    for at, run in _runs(history):
        for each in run:
            seen = moment(each["measured_at"], "measured_at") if each.get("measured_at") else at
            if seen is not None and earliest <= seen < now:
                past.setdefault(identity(each), []).append((seen, _number(each.get("value")), str(each["severity"])))
    current = sorted_findings(checked_findings(findings))
    return [_entry(each, sorted(past.get(identity(each), []), key=_when), now) for each in current]


def _when(point: Point) -> dt.datetime:
    return point[0]


def _runs(history: object) -> list[tuple[dt.datetime | None, list[dict[str, Any]]]]:
    if history is None:
        return []
    if not isinstance(history, Sequence) or isinstance(history, (str, bytes)):
        raise InvalidOption("history", type(history).__name__, _HISTORY_WANTED)
    runs: list[tuple[dt.datetime | None, list[dict[str, Any]]]] = []
    for position, run in enumerate(history):
        name = f"history[{position}]"
        if isinstance(run, Mapping) and is_list(run.get("findings")):
            at = run.get("measured_at")
            runs.append((moment(at, f"{name}.measured_at") if at else None, checked_findings(run["findings"], name)))
        elif is_list(run):
            runs.append((None, checked_findings(run, name)))
        else:
            raise InvalidOption(name, type(run).__name__, _HISTORY_WANTED)
    return runs


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        return None
    return value


def _entry(each: Mapping[str, Any], points: list[Point], now: dt.datetime) -> dict[str, Any]:
    value = _number(each.get("value"))
    at = moment(each["measured_at"], "measured_at") if each.get("measured_at") else now
    numbers = [(point[0], point[1]) for point in points if point[1] is not None and point[0] < at]
    previous, baseline = (numbers[-1], numbers[0]) if numbers else ((None, None), (None, None))
    return {
        "id": each["id"],
        "host": each.get("host") or "",
        "object": each.get("object") or "",
        "severity": each["severity"],
        "previous_severity": points[-1][2] if points else None,
        "value": value,
        "unit": each.get("unit"),
        "previous": previous[1],
        "previous_at": iso(previous[0]) if previous[0] else None,
        "change": _change(value, previous[1]),
        "change_percent": _percent(value, previous[1]),
        "baseline": baseline[1],
        "baseline_at": iso(baseline[0]) if baseline[0] else None,
        "baseline_change": _change(value, baseline[1]),
        "baseline_change_percent": _percent(value, baseline[1]),
        "series": [{"at": iso(seen), "value": number} for seen, number in [*numbers, (at, value)]],
    }


def _change(value: float | None, earlier: float | None) -> float | None:
    return None if value is None or earlier is None else round(value - earlier, 9)


def _percent(value: float | None, earlier: float | None) -> float | None:
    return None if value is None or not earlier else round((value - earlier) / abs(earlier) * 100, 2)
