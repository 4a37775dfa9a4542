# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The words in which changes are shown, the same in every rendering, and their Markdown."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ansible_collections.runbook.ops.plugins.module_utils.common.clock import parse_moment
from ansible_collections.runbook.ops.plugins.module_utils.common.errors import RunbookError
from ansible_collections.runbook.ops.plugins.plugin_utils.changes import STATUSES, counts_by_status, sorted_changes
from ansible_collections.runbook.ops.plugins.plugin_utils.judging.humanise import humanise, plain_line
from ansible_collections.runbook.ops.plugins.plugin_utils.rendering.markdown import code, escape
from ansible_collections.runbook.ops.plugins.plugin_utils.rendering.texts import LONGEST, where_text

ARROW = "→"
UNKNOWN = "unknown"


def heading(changes: Sequence[Mapping[str, Any]]) -> str:
    """C(Planned) where nothing but plans is told of, as in check mode, else C(Changed)."""
    told = {str(each["status"]) for each in changes}
    return "Planned" if "planned" in told and told <= {"planned", "refused"} else "Changed"


def sides(figure: Mapping[str, Any], status: str, zone: dt.tzinfo) -> tuple[str, str]:
    """A figure before and after, as people read it.

    What is not known is said to be unknown. Only of something planned or refused nothing is said about the time after,
    because that has not come. Moments are shown in the timezone people read.
    """
    values = [figure.get(side) for side in ("before", "after")]
    moments = [_moment(value, zone) for value in values]
    unit = str(figure.get("unit") or "") or None
    # Minutes are enough, unless nothing would seem to have moved.
    format_ = "%Y-%m-%d %H:%M"
    if all(moments) and values[0] != values[1] and len({f"{moment:{format_}}" for moment in moments}) == 1:
        format_ += ":%S"
    before, after = (
        f"{moment:{format_}}" if moment else humanise(value, unit)
        for value, moment in zip(values, moments, strict=True)
    )
    return before, "" if values[1] is None and status in ("planned", "refused") else after


def _moment(value: Any, zone: dt.tzinfo) -> dt.datetime | None:
    # A date alone is as people read it already.
    if not isinstance(value, str) or len(value) <= len("2026-01-31"):
        return None
    try:
        return parse_moment(value).astimezone(zone)
    except RunbookError:
        return None


def moved_percent(figure: Mapping[str, Any]) -> float | None:
    """By how many percent a figure moved; None where that is no sensible number."""
    before, after = number(figure.get("before")), number(figure.get("after"))
    if before is None or after is None or before <= 0 or figure.get("unit") in ("percent", "ratio"):
        return None
    return (after - before) / before * 100


def number(value: object) -> float | None:
    """A number as such; a flag is none."""
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def told_figures(change: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The figures worth a line: beside others, those of which nothing is known, or that were and are 0, say nothing."""
    figures = [figure for figure in change.get("figures") or () if isinstance(figure, Mapping)]
    telling = [
        figure
        for figure in figures
        if (sides := (figure.get("before"), figure.get("after"))) != (None, None) and sides not in ((0, 0), (0, None))
    ]
    return telling or figures


def figure_texts(change: Mapping[str, Any], zone: dt.tzinfo) -> list[tuple[str, str]]:
    """Each figure in two pieces that belong on one line: C(dead rows 1,204,331) and C(→ 0), or nothing."""
    texts = []
    for figure in told_figures(change):
        before, after = sides(figure, str(change["status"]), zone)
        name = plain_line(str(figure.get("name") or ""))
        texts.append((f"{name} {before}".strip(), f"{ARROW} {after}" if after else ""))
    return texts


def took_text(change: Mapping[str, Any]) -> str:
    """How long it took; nothing where that is unknown."""
    seconds = number(change.get("duration_seconds"))
    return "" if seconds is None else humanise(seconds, "duration")


def action_text(change: Mapping[str, Any]) -> str:
    """What was done, the module's name where no verb is given."""
    return plain_line(str(change.get("action") or "")) or plain_line(str(change.get("source") or "")).rsplit(".", 1)[-1]


def said_of(change: Mapping[str, Any]) -> str:
    """Why something failed, was refused, or did not help, in one line; nothing for what went well."""
    if change["status"] not in ("failed", "refused", "ineffective"):
        return ""
    summary, reason = str(change.get("summary") or ""), str(change.get("reason") or "")
    if change["status"] == "ineffective":
        return plain_line(reason, LONGEST)
    # Of a failure the message is the summary, and how far it came the reason.
    parts = [reason] if reason == summary or not summary else [summary, reason]
    return plain_line(". ".join(part.rstrip(". ") for part in parts if part), LONGEST)


def statement_of(change: Mapping[str, Any]) -> str:
    """The statement behind a change; nothing where its summary is something else."""
    summary = str(change.get("summary") or "")
    plain = f"{change.get('action') or ''} {change.get('object') or ''}".strip()
    if change["status"] in ("failed", "refused") or summary in ("", str(change.get("reason") or ""), plain):
        return ""
    return summary


def counts_text(changes: Iterable[Mapping[str, Any]]) -> str:
    """C(1 refused, 3 done): what there is, the gravest first."""
    counts = counts_by_status(changes)
    return ", ".join(f"{counts[status]:,} {status}" for status in STATUSES if counts[status])


def changes_markdown(changes: Iterable[Mapping[str, Any]], zone: dt.tzinfo) -> str:
    """A heading, the counts and one table; nothing at all where there are no changes."""
    ordered = sorted_changes(changes)
    if not ordered:
        return ""
    lines = [
        f"## {heading(ordered)}",
        "",
        counts_text(ordered) + ".",
        "",
        f"| Status | What | Object | Before {ARROW} after | Took | Why, and the next step |",
        "| --- | --- | --- | --- | --- | --- |",
        *(_markdown_row(each, zone) for each in ordered),
        "",
    ]
    return "\n".join(lines)


def _markdown_row(each: Mapping[str, Any], zone: dt.tzinfo) -> str:
    status = str(each["status"])
    said = [
        escape(said_of(each) or plain_line(str(each.get("reason") or ""), LONGEST)),
        code(str(each.get("remedy") or "")),
    ]
    cells = (
        f"**{status}**" if status in ("failed", "refused") else status,
        escape(action_text(each)),
        f"**{escape(where_text(each))}**",
        "<br>".join(escape(" ".join(pieces).strip()) for pieces in figure_texts(each, zone)),
        took_text(each),
        " ".join(part for part in said if part),
    )
    return f"| {' | '.join(cells)} |"
