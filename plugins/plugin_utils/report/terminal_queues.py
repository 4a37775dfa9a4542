# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The tables of queues on a terminal: why jobs fail, with the command that puts them back, then every queue."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import groupby

from ansible_collections.runbook.ops.plugins.plugin_utils.rendering.widths import width, wrap
from ansible_collections.runbook.ops.plugins.plugin_utils.report.queue_view import FailureLine, QueueLine, QueueView
from ansible_collections.runbook.ops.plugins.plugin_utils.report.terminal_changes import GAP, Paint, joined

COLOURS = {"critical": "bright red", "warning": "yellow"}
_INDENT = "  "
_HEADS = ("QUEUE", "WAITING", "ACTIVE", "LATER", "FAILED", "OLDEST", "IN/OUT A MIN", "DRAINED IN")


def queue_lines(
    view: QueueView, *, columns: int, paint: Paint, command_lines: Callable[[str, int], Iterator[str]]
) -> list[str]:
    """The lines, none wider than C(columns) except for words of a command that are wider.

    C(command_lines) gives a command as lines of at most so many columns.
    """
    lines: list[str] = []
    if view.failures:
        lines += ["", "WHY JOBS FAIL", "-" * columns]
        size = max(width(each.count) for each in view.failures)
        for failure in view.failures:
            lines += _failure(failure, size, columns, paint, command_lines)
        lines.append("-" * columns)
        if view.failures_left_out:
            lines.append(f"and {view.failures_left_out:,} more reasons, which only the files list")
    lines += ["", *_queues(view.queues, columns, paint)]
    if view.queues_left_out:
        lines.append(f"and {view.queues_left_out:,} more queues, which only the files list")
    return lines


def _failure(
    each: FailureLine, size: int, columns: int, paint: Paint, command_lines: Callable[[str, int], Iterator[str]]
) -> Iterator[str]:
    indent = " " * (size + GAP)
    room = columns - len(indent)
    first, *more = wrap(f"{each.queue}: {each.reason}", room)
    yield paint(each.count.rjust(size), COLOURS["critical"]) + " " * GAP + first
    yield from (indent + line for line in more)
    about = "; ".join(part for part in (each.host, each.when, f"such as {each.ids}" if each.ids else "") if part)
    yield from (indent + line for line in wrap(about, room))
    if each.command:
        yield from (indent + line for line in command_lines(each.command, room))


def _queues(queues: Sequence[QueueLine], columns: int, paint: Paint) -> Iterator[str]:
    rated = any(each.rate or each.drained for each in queues)
    cells = [_cells(each, rated) for each in queues]
    heads = _HEADS if rated else _HEADS[:-2]
    widths = [max(width(row[at]) for row in (heads, *cells)) for at in range(len(heads))]
    rest = sum(widths[1:]) + GAP * (len(widths) - 1)
    widths[0] = max(len(heads[0]), min(widths[0], columns - rest))
    yield joined([head if at == 0 else head.rjust(widths[at]) for at, head in enumerate(heads)], widths)
    yield "-" * columns
    for host, ours in groupby(zip(queues, cells), key=lambda pair: pair[0].host):
        yield host
        for each, row in ours:
            names = wrap(row[0].strip(), widths[0] - len(_INDENT))
            figures = [figure.rjust(size) for figure, size in zip(row[1:], widths[1:])]
            yield joined([_INDENT + names[0], *figures], widths)
            yield from (f"{_INDENT}{line}" for line in names[1:])
            for severity, words in each.marks:
                indent = _INDENT * 2
                for line in wrap(words, columns - len(indent)):
                    yield indent + paint(line, COLOURS[severity])
    yield "-" * columns


def _cells(each: QueueLine, rated: bool) -> tuple[str, ...]:
    # The version is on the page; here the width is dear.
    name = f"{_INDENT}{each.name} ({each.system.split(' ', 1)[0]})"
    figures = (each.waiting, each.active, each.later, each.failed, each.oldest)
    return (name, *figures, *((each.rate or "-", each.drained or "-") if rated else ()))
