# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Changes as the page shows them: bounded, in words, with bars where two numbers can be compared."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.runbook.ops.plugins.plugin_utils.changes import counts_by_status, sorted_changes
from ansible_collections.runbook.ops.plugins.plugin_utils.judging.humanise import plain_line
from ansible_collections.runbook.ops.plugins.plugin_utils.rendering.changes import (
    action_text,
    heading,
    moved_percent,
    number,
    said_of,
    sides,
    statement_of,
    told_figures,
    took_text,
)
from ansible_collections.runbook.ops.plugins.plugin_utils.report.model import ChangeRow, Changes, FigureLine
from ansible_collections.runbook.ops.plugins.plugin_utils.report.wording import (
    moment_or_none,
    show_moment,
    split_remedy,
)

# The findings below must stay in sight; nobody reads thousands of rows, and the file has them all.
MOST_OPEN = 8
MOST_ROWS = 300
MOST_FIGURES = 8
_LONGEST_STATEMENT = 2000
# Above this a percentage says less than the two numbers.
_MOST_PERCENT = 1000


def show_changes(changes: Sequence[Mapping[str, Any]], moment: dt.datetime, zone: dt.tzinfo) -> Changes | None:
    """The section of the page, None where there are no changes. They must be free of secrets.

    C(moment) is the report's: of changes of the same day only the time is shown.
    """
    if not changes:
        return None
    ordered = sorted_changes(changes)
    rows = tuple(_row(each, moment, zone) for each in ordered[:MOST_ROWS])
    # A fold that hides one or two rows costs more than it saves.
    opened = MOST_OPEN if len(rows) > MOST_OPEN + 2 else len(rows)
    return Changes(
        heading=heading(ordered),
        counts=counts_by_status(ordered),
        total=len(ordered),
        rows=rows[:opened],
        folded=rows[opened:],
        left_out=len(ordered) - len(rows),
    )


def _row(each: Mapping[str, Any], reported: dt.datetime, zone: dt.tzinfo) -> ChangeRow:
    status = str(each["status"])
    figures = told_figures(each)
    moment = moment_or_none(each.get("at"))
    return ChangeRow(
        status=status,
        action=action_text(each),
        host=str(each.get("host") or ""),
        object=str(each.get("object") or ""),
        said=said_of(each) or plain_line(str(each.get("reason") or "")),
        statement=plain_line(statement_of(each), _LONGEST_STATEMENT),
        remedy=split_remedy(str(each.get("remedy") or "")),
        figures=tuple(_figure(figure, status, zone) for figure in figures[:MOST_FIGURES]),
        figures_left_out=max(0, len(figures) - MOST_FIGURES),
        took=took_text(each),
        source=str(each.get("source") or ""),
        at=_at(moment, reported, zone) if moment else "",
    )


def _at(moment: dt.datetime, reported: dt.datetime, zone: dt.tzinfo) -> str:
    local = moment.astimezone(zone)
    same_day = local.date() == reported.astimezone(zone).date()
    return f"{local:%H:%M}" if same_day else show_moment(moment, zone).local


def _figure(figure: Mapping[str, Any], status: str, zone: dt.tzinfo) -> FigureLine:
    before, after = sides(figure, status, zone)
    return FigureLine(
        name=plain_line(str(figure.get("name") or "")),
        before=before,
        after=after,
        moved=_moved(moved_percent(figure)),
        bars=_bars(number(figure.get("before")), number(figure.get("after"))),
    )


def _moved(percent: float | None) -> str:
    """C(−65 %), with a decimal where less would be none: a table that shrank by 0.3 % has not stayed as it is."""
    if percent is None or abs(percent) > _MOST_PERCENT:
        return ""
    if percent == 0:
        return "unchanged"
    size = abs(percent)
    # 99.97 % is not all of it.
    almost = 99.5 <= size < 100
    shown = f"{math.floor(size * 10) / 10:.1f}" if almost else f"{size:.0f}" if size >= 10 else f"{size:.1f}"
    if shown == "0.0":
        shown = "<0.1"
    return f"{'+' if percent > 0 else '−'}{shown} %"


def _bars(before: float | None, after: float | None) -> tuple[float, float] | None:
    if before is None or after is None or min(before, after) < 0 or max(before, after) == 0:
        return None
    longest = max(before, after)
    return round(before / longest * 100, 1), round(after / longest * 100, 1)
