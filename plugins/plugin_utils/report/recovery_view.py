# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Recoveries and drills as people read them: what was promised, what it took, and where the time went. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.runbook.ops.plugins.plugin_utils.judging.humanise import humanise, plain_line

SOURCE = "runbook.ops.disaster_recovery"
MOST_PHASES = 40
# A phase that took a moment must be seen, too.
_THINNEST_PERCENT = 0.6


@dataclass(frozen=True)
class GoalLine:
    """One promise, RTO or RPO, beside what was measured. C(severity) is empty where nothing can be said."""

    name: str
    meaning: str
    promised: str
    measured: str
    severity: str


@dataclass(frozen=True)
class PhaseLine:
    """One phase: C(start) and C(width) are percent of the whole."""

    name: str
    detail: str
    took: str
    share: str
    start: float
    width: float
    severity: str


@dataclass(frozen=True)
class Recovery:
    """One recovery, or the drill of one."""

    host: str
    title: str
    summary: str
    goals: tuple[GoalLine, ...]
    phases: tuple[PhaseLine, ...]
    notes: tuple[str, ...]


def recovery_view(facts: Mapping[str, Mapping[str, Any]]) -> tuple[Recovery, ...]:
    """The recoveries among the facts of all hosts (C({host: {source: facts}}))."""
    found = []
    for host, sources in facts.items():
        measured = sources.get(SOURCE)
        for each in _mappings((measured or {}).get("recoveries")) if isinstance(measured, Mapping) else ():
            found.append(_recovery(host, each))
    return tuple(found)


def _recovery(host: str, each: Mapping[str, Any]) -> Recovery:
    what = "Drill" if each.get("is_drill") else "Recovery"
    return Recovery(
        host=host,
        title=plain_line(f"{what}: {each.get('scenario', '')}"),
        summary=plain_line(str(each.get("summary") or "")),
        goals=(
            _goal("RTO", "back in service after", each.get("rto")),
            _goal("RPO", "data lost of the last", each.get("rpo")),
        ),
        phases=tuple(_phases(list(_mappings(each.get("phases")))[:MOST_PHASES])),
        notes=tuple(plain_line(str(note)) for note in each.get("notes") or ()),
    )


def _goal(name: str, meaning: str, given: Any) -> GoalLine:
    values = given if isinstance(given, Mapping) else {}
    promised, measured = _number(values.get("promised_seconds")), _number(values.get("measured_seconds"))
    severity = ""
    if measured is None:
        severity = "unknown"
    elif promised is not None:
        severity = "critical" if measured > promised else "ok"
    return GoalLine(
        name,
        meaning,
        "not promised" if promised is None else humanise(promised, "seconds"),
        "not measured" if measured is None else humanise(measured, "seconds"),
        severity,
    )


def _phases(phases: Sequence[Mapping[str, Any]]) -> Iterator[PhaseLine]:
    total = sum(_number(each.get("seconds")) or 0.0 for each in phases)
    begun = 0.0
    for each in phases:
        seconds = _number(each.get("seconds"))
        share = 100.0 * (seconds or 0.0) / total if total else 0.0
        yield PhaseLine(
            name=plain_line(str(each.get("name") or "")),
            detail=plain_line(str(each.get("detail") or "")),
            took="-" if seconds is None else humanise(seconds, "seconds"),
            share="" if seconds is None else f"{share:.0f} %",
            start=round(min(begun, 100.0 - _THINNEST_PERCENT), 2),
            width=round(max(share, _THINNEST_PERCENT), 2),
            severity={"failed": "critical", "assumed": "unknown"}.get(str(each.get("status") or ""), ""),
        )
        begun += share


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def _mappings(value: Any) -> Iterator[Mapping[str, Any]]:
    if isinstance(value, Sequence) and not isinstance(value, (str, bytes)):
        yield from (each for each in value if isinstance(each, Mapping))
