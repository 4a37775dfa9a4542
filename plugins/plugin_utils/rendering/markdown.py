# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Findings as Markdown (GitHub flavour), for tickets and chats."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

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
from ansible_collections.runbook.ops.plugins.plugin_utils.report.wording import split_remedy

_SPECIAL = re.compile(r"([\\`*_{}\[\]<>()#+!|~&-])")
# Escaping a dash or a bracket inside a word only makes the source ugly; these mean something there.
_INSIDE = re.compile(r"([\\`*_\[\]<>|~&])")


def escape(text: str) -> str:
    """Text that Markdown shows as it is, also inside a table."""
    text = plain_line(text, LONGEST)
    return _SPECIAL.sub(r"\\\1", text[:1]) + _INSIDE.sub(r"\\\1", text[1:])


def code(text: str) -> str:
    """Text as inline code, also when it holds backticks or bars."""
    text = plain_line(text, LONGEST).replace("|", "\\|")
    if not text:
        return ""
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * (longest + 1)
    space = " " if longest else ""
    return f"{fence}{space}{text}{space}{fence}"


def findings_markdown(findings: Iterable[Mapping[str, Any]], title: str = "Findings", *, show_ok: bool = False) -> str:
    """A heading, the totals and one table, worst first; ok findings only with C(show_ok)."""
    ordered = sorted_findings(findings)
    lines = [f"# {escape(title)}", ""]
    if not ordered:
        return "\n".join([*lines, NOTHING, ""])
    lines += [totals_text(ordered) + ".", ""]
    listed = [each for each in ordered if show_ok or each["severity"] != "ok"]
    if listed:
        lines += ["| Severity | What | Value | Threshold | Remedy |", "| --- | --- | --- | --- | --- |"]
        lines += [_row(each) for each in listed]
        lines.append("")
    return "\n".join(lines)


def _row(each: Mapping[str, Any]) -> str:
    severity = f"**{each['severity']}**" if each["severity"] == "critical" else str(each["severity"])
    priority = f" {each['priority']}" if each.get("priority") else ""
    where = where_text(each)
    what = ": ".join(
        part
        for part in (f"**{escape(where)}**" if where else "", escape(str(each.get("summary") or each["id"])))
        if part
    )
    cells = (
        severity + priority,
        what,
        escape(value_text(each)),
        code(threshold_text(each)),
        _remedy(str(each.get("remedy") or "")),
    )
    return f"| {' | '.join(cells)} |"


def _remedy(text: str) -> str:
    """Sentences as text, and what is to be copied as code."""
    return " ".join(code(said) if kind == "command" else escape(said) for kind, said in split_remedy(text).parts)
