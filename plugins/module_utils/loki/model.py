# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What Loki's answers mean. Pure."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.runbook.ops.plugins.module_utils.common.clock import iso
from ansible_collections.runbook.ops.plugins.module_utils.common.redaction import redact_text
from ansible_collections.runbook.ops.plugins.module_utils.logs.messages import top_messages
from ansible_collections.runbook.ops.plugins.module_utils.loki.plan import Query, Source

_LONGEST_LINE = 500
# A line is cut before it is searched for secrets: patterns need time, and lines can be megabytes.
_LONGEST_READ = 4000


class WrongAnswer(ValueError):
    """An answer of another kind than the question."""


@dataclass(frozen=True)
class Line:
    """A log line with its moment in nanoseconds since 1970 and the labels of its stream."""

    nanoseconds: int
    labels: Mapping[str, str]
    text: str


def read_counts(data: Mapping[str, Any]) -> list[tuple[dict[str, str], int]]:
    """The C((labels, count)) pairs of a counting query; empty when no line matched."""
    result = data.get("result")
    if data.get("resultType") != "vector" or not isinstance(result, list):
        raise WrongAnswer(f"the answer to a count is a {data.get('resultType')}")
    try:
        return [(dict(each.get("metric") or {}), int(float(each["value"][1]))) for each in result]
    except (KeyError, IndexError, TypeError, ValueError, OverflowError):
        raise WrongAnswer("the answer to a count has no numbers") from None


def total_of(counts: Iterable[tuple[Mapping[str, str], int]]) -> int:
    """The lines of all labels together."""
    return sum(pair[1] for pair in counts)


def read_lines(data: Mapping[str, Any]) -> list[Line]:
    """The lines of all streams in an answer, newest first; cut and without what looks like a secret."""
    result = data.get("result")
    if data.get("resultType") != "streams" or not isinstance(result, list):
        raise WrongAnswer(f"the answer to a log query is a {data.get('resultType')}")
    lines = []
    for stream in result:
        labels = {str(key): str(value) for key, value in (stream.get("stream") or {}).items()}
        for entry in stream.get("values") or ():
            # A third element, structured metadata, may follow.
            lines.append(Line(int(entry[0]), labels, redact_text(str(entry[1])[:_LONGEST_READ])))
    lines.sort(key=lambda line: line.nanoseconds, reverse=True)
    return lines


def query_facts(
    query: Query,
    counts: Sequence[tuple[Mapping[str, str], int]] | None,
    *,
    stream_lines: int | None = None,
    lines: Sequence[Line] = (),
    top: int = 5,
    reason: str | None = None,
) -> dict[str, Any]:
    """The facts of one query.

    Args:
        query: What was asked.
        counts: Its counts by label; None when counting failed.
        stream_lines: Lines of the selected streams altogether, looked up when nothing matched.
        lines: The newest matching lines, at most as many as were asked for.
        top: How many groups of messages, and of labels.
        reason: Why counting failed.

    """
    total = None if counts is None else total_of(counts)
    if total == 0 and stream_lines == 0 and not query.allow_silence:
        total = None
        reason = (
            f"no line at all from {query.selector} in {span_text(query.window.seconds)}: "
            "the selector is wrong, or its logs do not arrive"
        )
    groups = sorted(counts or (), key=lambda pair: -pair[1]) if query.by else []
    return {
        "name": query.name,
        "query": query.expression,
        "count": total,
        "known": total is not None,
        "reason": reason,
        "window_start": iso(query.window.start),
        "window_end": iso(query.window.end),
        "window_seconds": query.window.seconds,
        "groups": [{"value": labels.get(str(query.by), ""), "count": count} for labels, count in groups[:top]],
        "groups_count": len(groups),
        "top": top_messages((line.text for line in lines), top),
        "samples": [_sample(line) for line in lines[: query.samples]],
        "read_count": len(lines),
        "truncated": (total or 0) > len(lines) or len(groups) > top,
    }


def span_text(seconds: int) -> str:
    """A span in its largest whole unit, such as C(1 h)."""
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds % size == 0:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"


def _sample(line: Line) -> dict[str, Any]:
    moment = dt.datetime.fromtimestamp(line.nanoseconds // 10**9, tz=dt.timezone.utc)
    text = line.text.rstrip("\n")
    return {
        "at": iso(moment),
        "labels": dict(line.labels),
        "line": text if len(text) <= _LONGEST_LINE else f"{text[: _LONGEST_LINE - 1]}…",
    }


def source_facts(source: Source, count: int | None, reason: str | None = None) -> dict[str, Any]:
    """The facts of one source; C(lines_count) None when it could not be counted."""
    return {
        "name": source.name,
        "selector": source.selector,
        "lines_count": count,
        "window_seconds": source.window.seconds,
        "reason": reason,
    }
