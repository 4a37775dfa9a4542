# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Findings: one shape everywhere, worst first, and their totals."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from jinja2 import Undefined

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption

Finding = dict[str, Any]

# Worst first. Unknown comes before ok, because unknown is never ok, and after what is known to be wrong.
SEVERITIES = ("critical", "warning", "unknown", "ok")
RANK = {severity: rank for rank, severity in enumerate(SEVERITIES)}

_NO_PRIORITY = "P~"  # after P0 … P9


def finding(
    id: str,
    severity: str,
    summary: str,
    *,
    system: str = "",
    host: str = "",
    object: str = "",
    value: Any = None,
    unit: str | None = None,
    threshold: str | None = None,
    remedy: str = "",
    priority: str | None = None,
    source: str = "",
    measured_at: str = "",
    ladder: Mapping[str, str | None] | None = None,
) -> Finding:
    """One finding with every key of the shape."""
    return {
        "id": id,
        "system": system,
        "host": host,
        "object": object,
        "severity": severity,
        "value": value,
        "unit": unit,
        "threshold": threshold,
        "summary": summary,
        "remedy": remedy,
        "priority": None if severity == "ok" else priority,
        "source": source,
        "measured_at": measured_at,
        "ladder": {"warning": None, "critical": None, **(ladder or {})},
    }


def checked_findings(value: object, option: str = "findings") -> list[Finding]:
    """The findings of a filter's input; raises InvalidOption when it is not a list of findings."""
    accepted = "a list of findings, as the judge filter returns them"
    if not isinstance(value, Sequence) or isinstance(value, (str, bytes, Undefined)):
        raise InvalidOption(option, type(value).__name__, accepted)
    checked: list[Finding] = []
    for position, each in enumerate(value):
        if not isinstance(each, Mapping) or each.get("severity") not in RANK or "id" not in each:
            raise InvalidOption(f"{option}[{position}]", _shown(each), accepted)
        checked.append(dict(each))
    return checked


def _shown(value: object) -> str:
    if isinstance(value, Mapping):
        return f"a mapping with id {value.get('id')!r} and severity {value.get('severity')!r}"
    return type(value).__name__


def sort_key(each: Mapping[str, Any]) -> tuple[int, str, str, str, str]:
    """Worst first, then by priority, system, host and id.

    What is equal keeps its order, because judge puts the worst item first.
    """
    return (
        RANK[each["severity"]],
        str(each.get("priority") or _NO_PRIORITY),
        str(each.get("system") or ""),
        str(each.get("host") or ""),
        str(each.get("id") or ""),
    )


def sorted_findings(findings: Iterable[Mapping[str, Any]]) -> list[Finding]:
    """The findings, worst first."""
    return sorted((dict(each) for each in findings), key=sort_key)


def worst_severity(findings: Iterable[Mapping[str, Any]]) -> str:
    """The worst severity; C(unknown) when there is no finding, because nothing was judged then."""
    return min((str(each["severity"]) for each in findings), key=RANK.__getitem__, default="unknown")


def totals(findings: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """C({ok, warning, critical, unknown, total, worst}): counts, and the worst severity."""
    counts: dict[str, Any] = {"ok": 0, "warning": 0, "critical": 0, "unknown": 0}
    for each in findings:
        counts[each["severity"]] += 1
    return {**counts, "total": len(findings), "worst": worst_severity(findings)}


def identity(each: Mapping[str, Any]) -> tuple[str, str, str]:
    """What makes two findings of different runs the same one: id, host, object."""
    return (str(each.get("id") or ""), str(each.get("host") or ""), str(each.get("object") or ""))


def counted(number: int, singular: str, plural: str | None = None) -> str:
    """C(1 check), C(2 checks)."""
    return f"{number:,} {singular if number == 1 else plural or singular + 's'}"
