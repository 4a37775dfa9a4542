# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Recoveries and drills on a terminal: promises beside measurements, then where the time went."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ansible_collections.runbook.ops.plugins.plugin_utils.rendering.widths import width, wrap
from ansible_collections.runbook.ops.plugins.plugin_utils.report.recovery_view import PhaseLine, Recovery
from ansible_collections.runbook.ops.plugins.plugin_utils.report.terminal_changes import GAP, Paint

COLOURS = {"critical": "bright red", "unknown": "magenta", "ok": "green"}
_BAR = 24
_FULL, _EMPTY = "#", "."


def recovery_lines(recoveries: Sequence[Recovery], *, columns: int, paint: Paint) -> list[str]:
    """The lines, none wider than C(columns)."""
    lines: list[str] = []
    for each in recoveries:
        lines += ["", *wrap(f"{each.title} ({each.host})", columns)]
        if each.summary:
            lines += wrap(each.summary, columns)
        lines.append("-" * columns)
        for goal in each.goals:
            said = f"{goal.name}: {goal.meaning} {goal.measured}; promised: {goal.promised}"
            lines += [paint(line, COLOURS[goal.severity]) if goal.severity else line for line in wrap(said, columns)]
        if each.phases:
            lines += ["-" * columns, *_phases(each.phases, columns, paint)]
        lines.append("-" * columns)
        for note in each.notes:
            lines += wrap(note, columns)
    return lines


def _phases(phases: Sequence[PhaseLine], columns: int, paint: Paint) -> Iterator[str]:
    names = max(width(each.name) for each in phases)
    took = max(width(each.took) for each in phases)
    room = columns - names - took - _BAR - 3 * GAP
    gap = " " * GAP
    for each in phases:
        first, *more = wrap(each.detail, max(room, 10)) if each.detail else [""]
        head = each.name.ljust(names)
        if each.severity:
            head = paint(head, COLOURS[each.severity])
        yield f"{head}{gap}{each.took.rjust(took)}{gap}{_bar(each)}{gap}{first}".rstrip()
        yield from (" " * (names + took + _BAR + 3 * GAP) + line for line in more)


def _bar(each: PhaseLine) -> str:
    """Where the phase lies in the whole, and how much of it it is."""
    begin = min(round(each.start * _BAR / 100), _BAR - 1)
    size = max(1, min(round(each.width * _BAR / 100), _BAR - begin))
    return _EMPTY * begin + _FULL * size + _EMPTY * (_BAR - begin - size)
