# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The table of changes that the report prints to the terminal, below the findings."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from ansible_collections.runbook.ops.plugins.plugin_utils.changes import STATUSES, counts_by_status
from ansible_collections.runbook.ops.plugins.plugin_utils.judging.humanise import plain_line
from ansible_collections.runbook.ops.plugins.plugin_utils.rendering.changes import (
    ARROW,
    action_text,
    counts_text,
    figure_texts,
    heading,
    said_of,
    took_text,
)
from ansible_collections.runbook.ops.plugins.plugin_utils.rendering.widths import pad, width, wrap

# Names that Ansible's own colouring knows.
STATUS_COLOURS = {
    "failed": "bright red",
    "refused": "yellow",
    "ineffective": "yellow",
    "done": "green",
    "planned": "cyan",
}
# What somebody has to look at comes first, so that the rest can be left to the files.
MOST_CHANGES = 40
GAP = 2
_FIGURES = f"BEFORE {ARROW} AFTER"

Paint = Callable[[str, str], str]


def change_lines(
    changes: Sequence[Mapping[str, Any]],
    *,
    status_width: int,
    columns: int,
    zone: dt.tzinfo,
    paint: Paint,
    remedy_lines: Callable[[str, int], Iterator[str]],
) -> list[str]:
    """The lines of the table, none wider than C(columns) except for words of a command that are wider.

    Args:
        changes: What somebody has to look at first.
        status_width: The width of the first column, that of the findings above.
        columns: The width to keep to.
        zone: The timezone people read.
        paint: Gets a text and a colour name and returns the text, coloured or not.
        remedy_lines: Gives a remedy as lines of at most so many columns.

    """
    if not changes:
        return []
    shown = changes[:MOST_CHANGES]
    figures = min(max(width(_FIGURES), *(_longest(each, zone) for each in shown)), columns * 40 // 100)
    took = max(len("TOOK"), *(width(took_text(each)) for each in shown))
    widths = (status_width, columns - status_width - figures - took - 3 * GAP, figures, took)
    lines = ["", joined((heading(changes).upper(), "WHAT", _FIGURES, "TOOK"), widths), "-" * columns]
    indent = " " * (status_width + GAP)
    room = columns - len(indent)
    for each in shown:
        lines += _rows(each, widths, room, zone, paint)
        said = said_of(each)
        lines += [indent + line for line in wrap(said, room)] if said else []
        if each["status"] not in ("done", "planned"):
            lines += [indent + line for line in remedy_lines(str(each.get("remedy") or ""), room)]
    lines.append("-" * columns)
    if len(changes) > len(shown):
        lines.append(f"and {counts_text(changes[len(shown) :])} more, which only the files list")
    lines.append(_totals(changes, paint))
    return lines


def _longest(each: Mapping[str, Any], zone: dt.tzinfo) -> int:
    return max((width(" ".join(pieces).strip()) for pieces in figure_texts(each, zone)), default=0)


def _rows(each: Mapping[str, Any], widths: Sequence[int], room: int, zone: dt.tzinfo, paint: Paint) -> Iterator[str]:
    status = str(each["status"])
    what = " ".join(part for part in (action_text(each), plain_line(str(each.get("object") or ""))) if part) or "-"
    where = plain_line(str(each.get("host") or each.get("system") or ""))
    figures = [line for pieces in figure_texts(each, zone) for line in _figure(pieces, widths[2])]
    # A name that does not fit beside the figures stands above them: it would be torn apart.
    above = wrap(what, room) if width(what) > widths[1] else []
    cells = (
        [status.upper()] if not above else [],
        [*([what] if not above else []), *(wrap(where, widths[1]) if where else [])],
        figures,
        wrap(took_text(each), widths[3]),
    )
    lines = [joined((status.upper() if at == 0 else "", line), widths[:2]) for at, line in enumerate(above)]
    lines += [
        joined([cell[at] if at < len(cell) else "" for cell in cells], widths)
        for at in range(max(len(cell) for cell in cells))
    ]
    yield paint(lines[0][: len(status)], STATUS_COLOURS[status]) + lines[0][len(status) :]
    yield from (line for line in lines[1:] if line)


def _figure(pieces: tuple[str, str], columns: int) -> Iterator[str]:
    """A figure on one line, or its two sides on one each."""
    whole = " ".join(pieces).strip()
    if width(whole) <= columns:
        yield whole
        return
    before, after = pieces
    yield from wrap(before, columns)
    yield from (f"  {line}" for line in (wrap(after, columns - 2) if after else ()))


def joined(cells: Sequence[str], widths: Sequence[int]) -> str:
    """Cells of a table as one line."""
    return (" " * GAP).join(pad(cell, size) for cell, size in zip(cells, widths, strict=True)).rstrip()


def _totals(changes: Sequence[Mapping[str, Any]], paint: Paint) -> str:
    counts = counts_by_status(changes)
    return ", ".join(
        paint(f"{counts[status]:,} {status}", STATUS_COLOURS[status]) for status in STATUSES if counts[status]
    )
