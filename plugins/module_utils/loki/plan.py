# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What to ask Loki, checked before anything is sent. Pure."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ansible_collections.runbook.ops.plugins.module_utils.common.clock import parse_moment
from ansible_collections.runbook.ops.plugins.module_utils.common.durations import parse_seconds
from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption

_NAME = re.compile(r"[A-Za-z0-9_-]+")
_LABEL = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_LOG_QUERY = 'a LogQL log query that begins with a selector, such as {job="web"} |~ "(?i)error"'
# The server's own limit on lines per query (limits_config.max_entries_limit_per_query) is 5000 unless configured.
MAX_LINES = 5000


@dataclass(frozen=True)
class Window:
    """A span of time, aware moments, whole seconds."""

    start: dt.datetime
    end: dt.datetime

    @property
    def seconds(self) -> int:
        """Its length."""
        return int((self.end - self.start).total_seconds())


@dataclass(frozen=True)
class Query:
    """One named log query. C(by) is the label to count by, C(samples) how many lines to show."""

    name: str
    expression: str
    selector: str
    window: Window
    by: str | None
    samples: int
    allow_silence: bool

    @property
    def count_expression(self) -> str:
        """The metric query that counts every matching line, whatever the limit on lines."""
        return counting(self.expression, self.window, self.by)

    @property
    def lines_expression(self) -> str:
        """The same for every line of the selected streams."""
        return counting(self.selector, self.window, None)


@dataclass(frozen=True)
class Source:
    """A selector whose streams are expected to have lines."""

    name: str
    selector: str
    window: Window

    @property
    def lines_expression(self) -> str:
        """The metric query that counts its lines."""
        return counting(self.selector, self.window, None)


def counting(expression: str, window: Window, by: str | None) -> str:
    """The number of lines in the window that ends at the evaluation time."""
    grouped = f" by ({by})" if by else ""
    return f"sum{grouped} (count_over_time({expression} [{window.seconds}s]))"


def plan_queries(params: Mapping[str, Any], moment: dt.datetime) -> list[Query]:
    """The queries in a module's options, or InvalidOption."""
    queries = [_query(item, params, moment) for item in params["queries"] or ()]
    _unique([query.name for query in queries], "queries.name")
    return queries


def plan_sources(params: Mapping[str, Any], moment: dt.datetime) -> list[Source]:
    """The sources in a module's options, or InvalidOption."""
    sources = []
    for item in params["sources"] or ():
        name = _checked_name(item["name"], "sources.name")
        text = item["selector"].strip()
        selector = selector_of(text)
        if selector is None or selector != text:
            raise InvalidOption(f"sources[{name}].selector", text, 'a selector alone, such as {job="web"}')
        window = _window({"since": item.get("since")}, params, moment, f"sources[{name}]")
        sources.append(Source(name, selector, window))
    _unique([source.name for source in sources], "sources.name")
    return sources


def _query(item: Mapping[str, Any], params: Mapping[str, Any], moment: dt.datetime) -> Query:
    name = _checked_name(item["name"], "queries.name")
    own = f"queries[{name}]"
    expression = item["query"].strip()
    selector = selector_of(expression)
    if selector is None:
        raise InvalidOption(f"{own}.query", item["query"], _LOG_QUERY)
    by = item.get("by") or None
    if by and not _LABEL.fullmatch(by):
        raise InvalidOption(f"{own}.by", by, "the name of a label")
    samples = item["samples"]
    if not 0 <= samples <= 100:
        raise InvalidOption(f"{own}.samples", samples, "0 to 100")
    window = _window(item, params, moment, own)
    return Query(name, expression, selector, window, by, samples, item["allow_silence"])


def _window(item: Mapping[str, Any], params: Mapping[str, Any], moment: dt.datetime, own: str) -> Window:
    since, start, end = (item.get(key) or None for key in ("since", "start", "end"))
    until = (parse_moment(end, f"{own}.end") if end else moment).replace(microsecond=0)
    if start and since:
        raise InvalidOption(own, "both since and start", "one of them")
    if start:
        begin = parse_moment(start, f"{own}.start").replace(microsecond=0)
    else:
        option = f"{own}.since" if since else "since"
        begin = until - dt.timedelta(seconds=parse_seconds(since or params["since"], option))
    if begin >= until:
        raise InvalidOption(f"{own}.start", start, "a moment before end")
    return Window(begin, until)


def _checked_name(name: str, option: str) -> str:
    if not _NAME.fullmatch(name):
        raise InvalidOption(option, name, "letters, digits, underscores and dashes")
    return name


def _unique(names: list[str], option: str) -> None:
    for name in names:
        if names.count(name) > 1:
            raise InvalidOption(option, name, "a name that no other has")


def selector_of(expression: str) -> str | None:
    """The stream selector that a log query begins with, braces included; None if it does not.

    Braces inside quoted label values do not end it.
    """
    if not expression.startswith("{"):
        return None
    quote = ""
    position = 1
    while position < len(expression):
        letter = expression[position]
        if quote:
            if letter == "\\" and quote == '"':
                position += 1
            elif letter == quote:
                quote = ""
        elif letter in '"`':
            quote = letter
        elif letter == "}":
            selector = expression[: position + 1]
            return selector if selector.strip("{} ") else None
        position += 1
    return None
