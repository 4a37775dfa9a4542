# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What to ask Prometheus, checked before anything is sent. Pure."""

from __future__ import annotations

import datetime as dt
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ansible_collections.runbook.ops.plugins.module_utils.common.clock import parse_moment
from ansible_collections.runbook.ops.plugins.module_utils.common.durations import parse_seconds
from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption

_NAME = re.compile(r"[A-Za-z0-9_-]+")
# The server refuses more points per series (web/api/v1: 11,000).
MAX_POINTS = 11000
_USUAL_POINTS = 250
_SMALLEST_STEP = 15


@dataclass(frozen=True)
class Window:
    """The span of a range query: aware moments, and seconds between two points."""

    start: dt.datetime
    end: dt.datetime
    step_seconds: int


@dataclass(frozen=True)
class Query:
    """One named expression. C(many) series make a list, else exactly one is expected.

    C(allow_empty) is for expressions that filter (C(… > 5)): there no series is good news.
    """

    name: str
    expression: str
    many: bool
    labels: tuple[str, ...] | None
    window: Window | None
    allow_empty: bool = False

    @property
    def kind(self) -> str:
        """C(range) or C(instant)."""
        return "range" if self.window else "instant"


def plan_queries(params: Mapping[str, Any], moment: dt.datetime) -> list[Query]:
    """The queries in a module's options; InvalidOption for what Prometheus would only half understand."""
    queries = [_query(item, moment) for item in params["queries"] or ()]
    names = [query.name for query in queries]
    for name in names:
        if names.count(name) > 1:
            raise InvalidOption("queries.name", name, "a name that no other query has")
    return queries


def _query(item: Mapping[str, Any], moment: dt.datetime) -> Query:
    name = item["name"]
    if not _NAME.fullmatch(name):
        raise InvalidOption("queries.name", name, "letters, digits, underscores and dashes")
    expression = item["query"].strip()
    if not expression:
        raise InvalidOption(f"queries[{name}].query", item["query"], "a PromQL expression")
    if item["allow_empty"] and item["series"] != "many":
        raise InvalidOption(f"queries[{name}].allow_empty", True, "allow_empty only with series many")
    labels = item.get("labels")
    return Query(
        name=name,
        expression=expression,
        many=item["series"] == "many",
        labels=None if labels is None else tuple(labels),
        window=_window(item, name, moment),
        allow_empty=item["allow_empty"],
    )


def _window(item: Mapping[str, Any], name: str, moment: dt.datetime) -> Window | None:
    start, end, step = (item.get(key) or None for key in ("start", "end", "step"))
    if start is None:
        if end or step:
            raise InvalidOption(f"queries[{name}]", "end or step without start", "start as well, for a range query")
        return None
    until = moment_or_ago(end, moment, f"queries[{name}].end") if end else moment
    since = moment_or_ago(start, moment, f"queries[{name}].start")
    span = (until - since).total_seconds()
    if span <= 0:
        raise InvalidOption(f"queries[{name}].start", start, "a moment before end")
    seconds = parse_seconds(step, f"queries[{name}].step") if step else usual_step(span)
    if span / seconds > MAX_POINTS:
        raise InvalidOption(f"queries[{name}].step", step, f"a step that gives at most {MAX_POINTS} points")
    return Window(since, until, seconds)


def usual_step(span_seconds: float) -> int:
    """A step for about 250 points, but no finer than most servers scrape."""
    return max(_SMALLEST_STEP, math.ceil(span_seconds / _USUAL_POINTS))


def moment_or_ago(text: str, moment: dt.datetime, option: str) -> dt.datetime:
    """An ISO 8601 moment, or a duration such as C(7d) that long before C(moment)."""
    if "T" in text or "-" in text.strip():
        return parse_moment(text, option)
    return moment - dt.timedelta(seconds=parse_seconds(text, option))
