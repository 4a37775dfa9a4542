# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What Prometheus' answers mean: numbers, or the reason why there is none. Pure."""

from __future__ import annotations

import datetime as dt
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, Union

from ansible_collections.runbook.ops.plugins.module_utils.common.clock import iso
from ansible_collections.runbook.ops.plugins.module_utils.common.redaction import redact_text
from ansible_collections.runbook.ops.plugins.module_utils.http.urls import display_url
from ansible_collections.runbook.ops.plugins.module_utils.prometheus.plan import Query

Number = Union[int, float]
_SHOWN_SERIES = 3
_NOT_A_NUMBER = {
    "NaN": "NaN: nothing to divide by, or no observation in the window",
    "+Inf": "+Inf: a division by zero, or a histogram whose largest bucket is too small",
    "-Inf": "-Inf: a division by zero",
}


def number(text: str) -> tuple[Number | None, str | None]:
    """A sample value: C((number, None)) or C((None, why it is none)). Whole numbers are int."""
    try:
        value = float(text)
    except (TypeError, ValueError):
        return None, f"the value is {text!r}, not a number"
    if math.isnan(value):
        return None, _NOT_A_NUMBER["NaN"]
    if math.isinf(value):
        return None, _NOT_A_NUMBER["+Inf" if value > 0 else "-Inf"]
    # Beyond 2^53 a float is not exact anyway.
    return (int(value) if value.is_integer() and abs(value) < 2**53 else value), None


def labels_text(labels: Mapping[str, str]) -> str:
    """A label set as PromQL writes it."""
    name = labels.get("__name__", "")
    inner = ", ".join(f'{key}="{value}"' for key, value in sorted(labels.items()) if key != "__name__")
    return f"{name}{{{inner}}}"


def shown_labels(labels: Mapping[str, str], wanted: Sequence[str] | None) -> dict[str, str]:
    """The labels to return: those asked for (missing ones empty, as Prometheus has it), else all but the name."""
    if wanted is not None:
        return {key: labels.get(key, "") for key in wanted}
    return {key: value for key, value in sorted(labels.items()) if key != "__name__"}


def read_answer(query: Query, data: Mapping[str, Any], top: int) -> dict[str, Any]:
    """The facts of one query from the C(data) of its answer; C(top) limits the series of C(many)."""
    kind, result = data.get("resultType"), data.get("result")
    if kind == "scalar" and isinstance(result, list):
        result, kind = [{"metric": {}, "value": result}], "vector"
    wanted = "matrix" if query.window else "vector"
    if kind != wanted or not isinstance(result, list):
        return failed(query, _wrong_type(str(kind)))
    if any("value" not in each and "values" not in each for each in result):
        return failed(query, "the series are native histograms: take histogram_quantile() or histogram_sum() of them")
    series = [_series(each, query) for each in result]
    facts = _facts(query, len(series))
    if query.many:
        # The known ones with the largest values first: what is cut is the least interesting.
        series.sort(key=lambda each: (each["value"] is not None, each["value"] or 0), reverse=True)
        # No list at all, unless an empty one is fine: an empty list would be judged "all of them ok".
        if series or query.allow_empty:
            facts.update(series=series[:top], truncated=len(series) > top)
        else:
            facts["reason"] = _nothing(query)
        return facts
    if len(series) != 1:
        facts["reason"] = _too_many(result) if series else _nothing(query)
        return facts
    only = series[0]
    facts.update({key: value for key, value in only.items() if key != "name"})
    return facts


def failed(query: Query, reason: str) -> dict[str, Any]:
    """The facts of a query without a usable answer."""
    facts = _facts(query, None)
    facts["reason"] = reason
    return facts


def _facts(query: Query, count: int | None) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "name": query.name,
        "query": query.expression,
        "kind": query.kind,
        "value": None,
        "reason": None,
        "labels": {},
        "series_count": count,
        "truncated": False,
    }
    if query.window:
        facts["statistics"] = None
    return facts


def _series(each: Mapping[str, Any], query: Query) -> dict[str, Any]:
    labels = shown_labels(each.get("metric") or {}, query.labels)
    found: dict[str, Any] = {"name": ", ".join(f"{key}={value}" for key, value in labels.items()), "labels": labels}
    if query.window is None:
        found["value"], found["reason"] = number(each["value"][1])
        return found
    points = [number(point[1]) for point in each["values"]]
    statistics = _statistics([point[0] for point in points if point[0] is not None], len(points))
    found["value"], found["reason"] = points[-1] if points else (None, "no point in the window")
    found["statistics"] = statistics
    return found


def _statistics(known: Sequence[Number], points: int) -> dict[str, Any]:
    """Over the points that are numbers; how many are not is told."""
    return {
        "first": known[0] if known else None,
        "last": known[-1] if known else None,
        "minimum": min(known, default=None),
        "maximum": max(known, default=None),
        "average": math.fsum(known) / len(known) if known else None,
        "points_count": points,
        "unknown_count": points - len(known),
    }


def _nothing(query: Query) -> str:
    span = " in the window" if query.window else ""
    return f"no series matches{span}: the metric is not collected, its target is down, or a label is wrong"


def _too_many(result: Sequence[Mapping[str, Any]]) -> str:
    shown = ", ".join(labels_text(each.get("metric") or {}) for each in result[:_SHOWN_SERIES])
    rest = len(result) - _SHOWN_SERIES
    more = f" and {rest} more" if rest > 0 else ""
    return f"{len(result)} series where one is expected ({shown}{more}): aggregate them, or set series to many"


def _wrong_type(kind: str) -> str:
    if kind == "matrix":
        return "the expression gives a range of points: wrap it, as in rate(…[5m]), or set start for a range query"
    return f"the expression gives a {kind}, not numbers"


# --- targets


def read_targets(data: Mapping[str, Any], moment: dt.datetime, top: int) -> dict[str, Any]:
    """Target health: counts, jobs and targets, those that are not up first. C(top) limits both lists."""
    targets = [_target(each, moment) for each in data.get("activeTargets") or ()]
    targets.sort(key=lambda each: (each["up"], each["health"] != "down", each["job"], each["instance"]))
    jobs: dict[str, dict[str, Any]] = {}
    for each in targets:
        job = jobs.setdefault(each["job"], {"job": each["job"], "up_count": 0, "down_count": 0, "total_count": 0})
        job["total_count"] += 1
        job["up_count"] += each["up"]
        job["down_count"] += each["health"] == "down"
    by_trouble = sorted(jobs.values(), key=lambda each: (-each["down_count"], each["job"]))
    return {
        "total_count": len(targets),
        "up_count": sum(1 for each in targets if each["health"] == "up"),
        "down_count": sum(1 for each in targets if each["health"] == "down"),
        "unknown_count": sum(1 for each in targets if each["health"] not in ("up", "down")),
        "jobs_count": len(jobs),
        "jobs": by_trouble[:top],
        "instances": targets[:top],
        "truncated": len(targets) > top or len(jobs) > top,
    }


def _target(each: Mapping[str, Any], moment: dt.datetime) -> dict[str, Any]:
    labels = each.get("labels") or {}
    scraped = parse_scrape_moment(str(each.get("lastScrape") or ""))
    health = str(each.get("health") or "unknown")
    error = redact_text(" ".join(str(each.get("lastError") or "").split()))
    return {
        "job": str(labels.get("job") or each.get("scrapePool") or ""),
        "instance": str(labels.get("instance") or ""),
        "health": health,
        "up": health == "up",
        "last_error": error[:300] or None,
        "scrape_url": display_url(str(each.get("scrapeUrl") or "")),
        "last_scrape": iso(scraped) if scraped else None,
        "last_scrape_age_seconds": max(0.0, round((moment - scraped).total_seconds(), 1)) if scraped else None,
        "scrape_seconds": each.get("lastScrapeDuration") if scraped else None,
    }


def parse_scrape_moment(text: str) -> dt.datetime | None:
    """A Go timestamp (nanoseconds, any zone); None for Go's zero time, which means never."""
    match = re.fullmatch(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.\d+)?(Z|[+-]\d\d:\d\d)", text)
    if match is None or text.startswith("0001-"):
        return None
    zone = "+00:00" if match[2] == "Z" else match[2]
    return dt.datetime.fromisoformat(f"{match[1]}{zone}").astimezone(dt.timezone.utc)
