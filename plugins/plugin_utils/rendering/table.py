# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Findings as a table for a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption
from ansible_collections.runbook.ops.plugins.plugin_utils.findings import sorted_findings
from ansible_collections.runbook.ops.plugins.plugin_utils.judging.humanise import plain_line
from ansible_collections.runbook.ops.plugins.plugin_utils.rendering.texts import (
    LONGEST,
    NOTHING,
    threshold_text,
    totals_text,
    value_text,
    where_text,
)
from ansible_collections.runbook.ops.plugins.plugin_utils.rendering.widths import pad, width, wrap

NARROWEST = 60
GAP = 2

_TITLES = ("SEVERITY", "WHAT", "VALUE", "THRESHOLD", "REMEDY")
# The escape sequences every terminal of the last decades knows (ECMA-48): bold red, yellow, magenta, green.
_COLOURS = {"critical": "\033[1;31m", "warning": "\033[33m", "unknown": "\033[35m", "ok": "\033[32m"}
_BOLD, _RESET = "\033[1m", "\033[0m"


def findings_table(
    findings: Iterable[Mapping[str, Any]], *, columns: int = 100, color: bool = False, show_ok: bool = False
) -> str:
    """The table, worst first, at most C(columns) wide; nothing is cut, long cells take several lines.

    Findings that are ok are counted in the last line, and listed only with C(show_ok).
    """
    if isinstance(columns, bool) or not isinstance(columns, int) or columns < NARROWEST:
        raise InvalidOption("width", columns, f"a whole number of columns, at least {NARROWEST}")
    ordered = sorted_findings(findings)
    if not ordered:
        return NOTHING
    listed = [each for each in ordered if show_ok or each["severity"] != "ok"]
    lines = _lines(listed, columns, color) if listed else []
    return "\n".join([*lines, *([""] if lines else []), totals_text(ordered)])


def _lines(listed: list[dict[str, Any]], columns: int, color: bool) -> list[str]:
    cells = [_cells(each) for each in listed]
    widths = _widths(cells, columns)
    head = "".join(pad(title, size + GAP) for title, size in zip(_TITLES, widths)).rstrip()
    lines = [f"{_BOLD}{head}{_RESET}" if color else head, "-" * min(columns, sum(widths) + GAP * (len(widths) - 1))]
    for each, row in zip(listed, cells):
        lines += _row(row, widths, each["severity"] if color else None)
    return lines


def _cells(each: Mapping[str, Any]) -> tuple[str, list[str], str, str, str]:
    priority = f"{each['priority']} " if each.get("priority") else ""
    return (
        str(each["severity"]).upper(),
        # The name and the sentence each begin a line of their own.
        [f"{priority}{where_text(each)}", plain_line(str(each.get("summary") or each["id"]), LONGEST)],
        value_text(each),
        threshold_text(each),
        plain_line(str(each.get("remedy") or ""), LONGEST),
    )


def _widths(cells: list[tuple[str, list[str], str, str, str]], columns: int) -> list[int]:
    """What the contents ask for, within a share of the line; WHAT gets the rest."""
    severity = len("SEVERITY")
    value = _asked((row[2] for row in cells), len("VALUE"), max(10, columns * 12 // 100))
    threshold = _asked((row[3] for row in cells), len("THRESHOLD"), max(10, columns * 12 // 100))
    remedy = _asked((row[4] for row in cells), len("REMEDY"), columns * 30 // 100)
    return [severity, columns - severity - value - threshold - remedy - 4 * GAP, value, threshold, remedy]


def _asked(texts: Iterable[str], least: int, most: int) -> int:
    return max(least, min(most, max((width(text) for text in texts), default=0)))


def _row(row: tuple[str, list[str], str, str, str], widths: list[int], colour: str | None) -> list[str]:
    severity, what, value, threshold, remedy = row
    columns = [
        [severity],
        [line for text in what if text for line in wrap(text, widths[1])],
        *(wrap(text, size) for text, size in zip((value, threshold, remedy), widths[2:])),
    ]
    lines = []
    for number in range(max(len(column) for column in columns)):
        shown = [pad(column[number] if number < len(column) else "", size) for column, size in zip(columns, widths)]
        if colour is not None and number == 0:
            shown[0] = f"{_COLOURS[colour]}{shown[0]}{_RESET}"
        lines.append((" " * GAP).join(shown).rstrip())
    return lines
