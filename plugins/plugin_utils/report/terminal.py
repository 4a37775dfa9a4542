# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the round says at the end of a run on a terminal.

Unlike the findings_table filter, the remedy stands on lines of its own, so that its command can be copied whole.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ansible_collections.runbook.ops.plugins.plugin_utils.findings import SEVERITIES
from ansible_collections.runbook.ops.plugins.plugin_utils.judging.humanise import plain_line
from ansible_collections.runbook.ops.plugins.plugin_utils.rendering.texts import (
    NOTHING,
    threshold_text,
    value_text,
    where_text,
)
from ansible_collections.runbook.ops.plugins.plugin_utils.rendering.widths import width, wrap
from ansible_collections.runbook.ops.plugins.plugin_utils.report.queue_view import QueueView
from ansible_collections.runbook.ops.plugins.plugin_utils.report.recovery_view import Recovery
from ansible_collections.runbook.ops.plugins.plugin_utils.report.terminal_changes import (
    GAP,
    Paint,
    change_lines,
    joined,
)
from ansible_collections.runbook.ops.plugins.plugin_utils.report.terminal_queues import queue_lines
from ansible_collections.runbook.ops.plugins.plugin_utils.report.terminal_recovery import recovery_lines
from ansible_collections.runbook.ops.plugins.plugin_utils.report.wording import command_pieces, split_remedy

# Names that Ansible's own colouring knows.
COLOURS = {"critical": "bright red", "warning": "yellow", "unknown": "bright purple", "ok": "green"}
COMMAND_COLOUR = "cyan"
# A terminal is for the worst; everything is in the files.
MOST_LISTED = 100
_SEVERITY = len("CRITICAL P0")
_INDENT = " " * (_SEVERITY + GAP)
# A longer text is no figure for a narrow column.
_LONGEST_WORD = 32


def terminal_lines(
    findings: Sequence[Mapping[str, Any]],
    *,
    title: str,
    moment: str,
    paths: Mapping[str, object],
    columns: int,
    paint: Paint,
    changes: Sequence[Mapping[str, Any]] = (),
    zone: dt.tzinfo = dt.timezone.utc,
    queues: QueueView | None = None,
    recoveries: Sequence[Recovery] = (),
) -> list[str]:
    """The lines to print, none wider than C(columns) except for paths and for words of a command that are wider.

    Args:
        findings: Worst first.
        title: Heading.
        moment: When it was measured, as people read it.
        paths: The written files by name of format.
        columns: The width to keep to.
        paint: Gets a text and a colour name and returns the text, coloured or not.
        changes: What was changed, planned or refused; what somebody has to look at first.
        zone: The timezone people read.
        queues: Job queues, shown above the findings.
        recoveries: Recoveries and drills, shown above the findings.
    """
    listed = [each for each in findings if each["severity"] != "ok"]
    shown = listed[:MOST_LISTED]
    lines = ["", *wrap(plain_line(f"{title}, {moment}"), columns)]
    if recoveries:
        lines += [*recovery_lines(recoveries, columns=columns, paint=paint), ""]
    if queues is not None:
        lines += queue_lines(
            queues,
            columns=columns,
            paint=paint,
            command_lines=lambda command, room: (paint(line, COMMAND_COLOUR) for line in _command(command, room)),
        )
        lines.append("")
    if shown:
        value = min(max([len("VALUE"), *(width(_value(each)) for each in shown)]), columns * 15 // 100)
        threshold = min(max([len("THRESHOLD"), *(width(_threshold(each)) for each in shown)]), columns * 18 // 100)
        what = columns - _SEVERITY - value - threshold - 3 * GAP
        widths = (_SEVERITY, what, value, threshold)
        lines.append(joined(("SEVERITY", "WHAT", "VALUE", "THRESHOLD"), widths))
        lines.append("-" * columns)
        for each in shown:
            lines += _rows(each, widths, columns, paint)
        lines.append("-" * columns)
    if len(listed) > len(shown):
        rest = Counter(str(each["severity"]) for each in listed[len(shown) :])
        said = ", ".join(f"{rest[severity]:,} {severity}" for severity in SEVERITIES if rest[severity])
        lines.append(f"and {said} more, which only the files list")
    lines.append(_totals(findings, paint) if findings else NOTHING)
    if changes:
        lines += change_lines(
            changes,
            status_width=_SEVERITY,
            columns=columns,
            zone=zone,
            paint=paint,
            remedy_lines=lambda remedy, room: _remedy(remedy, room, paint),
        )
    if paths:
        if changes:
            lines.append("")
        size = max(len(name) for name in paths) + GAP
        lines += [f"{name.ljust(size)}{path}" for name, path in paths.items()]
    lines.append("")
    return lines


def _value(each: Mapping[str, Any]) -> str:
    """The value, unless it is a sentence that the summary repeats."""
    text = value_text(each)
    return "" if _is_sentence(each, text) else text


def _threshold(each: Mapping[str, Any]) -> str:
    return "" if _is_sentence(each, value_text(each)) else threshold_text(each)


def _is_sentence(each: Mapping[str, Any], text: str) -> bool:
    return len(text) > _LONGEST_WORD and plain_line(text) in plain_line(str(each.get("summary") or ""))


def _rows(each: Mapping[str, Any], widths: tuple[int, ...], columns: int, paint: Paint) -> Iterator[str]:
    severity = str(each["severity"])
    label = " ".join((severity.upper(), plain_line(str(each.get("priority") or ""), 12))).strip()
    cells = [
        [label],
        wrap(where_text(each) or "-", widths[1]),
        wrap(_value(each), widths[2]),
        wrap(_threshold(each), widths[3]),
    ]
    for number in range(max(len(cell) for cell in cells)):
        row = joined([cell[number] if number < len(cell) else "" for cell in cells], widths)
        yield paint(row[: len(label)], COLOURS[severity]) + row[len(label) :] if number == 0 else row
    room = columns - len(_INDENT)
    for line in wrap(plain_line(str(each.get("summary") or each["id"])), room):
        yield _INDENT + line
    for line in _remedy(str(each.get("remedy") or ""), room, paint):
        yield _INDENT + line


def _remedy(remedy: str, room: int, paint: Paint) -> Iterator[str]:
    for kind, said in split_remedy(remedy).parts:
        if kind == "command":
            for line in _command(plain_line(said, 2000), room):
                yield paint(line, COMMAND_COLOUR)
        else:
            yield from wrap(plain_line(said, 2000), room)


def _command(command: str, room: int) -> list[str]:
    """A command over several lines as a shell reads it: all but the last end in a backslash."""
    if width(command) <= room:
        return [command]
    lines: list[str] = []
    line = ""
    for piece in command_pieces(command):
        # Two columns for the backslash, two for the indentation of what follows.
        if line and width(line) + 1 + width(piece) > room - 4:
            lines.append(line)
            line = f"  {piece}"
        else:
            line = f"{line} {piece}" if line else piece
    return [*(f"{line} \\" for line in lines), line]


def _totals(findings: Sequence[Mapping[str, Any]], paint: Paint) -> str:
    counts = Counter(str(each["severity"]) for each in findings)
    said = []
    for severity in SEVERITIES:
        text = f"{counts[severity]:,} {severity}"
        said.append(paint(text, COLOURS[severity]) if counts[severity] else text)
    return ", ".join(said)
