# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Facts held against rules give findings. A missing value is unknown, and unknown is never ok."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jinja2 import Undefined

from ansible_collections.runbook.ops.plugins.module_utils.common.clock import iso, utc_now
from ansible_collections.runbook.ops.plugins.plugin_utils.findings import RANK, Finding, counted, finding
from ansible_collections.runbook.ops.plugins.plugin_utils.judging.humanise import humanise, plain_line
from ansible_collections.runbook.ops.plugins.plugin_utils.judging.paths import (
    MISSING,
    Gap,
    Scope,
    Segments,
    expand,
    is_list,
    step,
)
from ansible_collections.runbook.ops.plugins.plugin_utils.judging.rules import Rule, compile_rules
from ansible_collections.runbook.ops.plugins.plugin_utils.judging.thresholds import (
    Threshold,
    Unjudgeable,
    comparable,
    kind_of,
)

OTHERS = "(others)"


@dataclass(frozen=True)
class Origin:
    """Where findings come from: the same for every finding of one call."""

    system: str
    host: str
    source: str
    measured_at: str | None


@dataclass(frozen=True)
class _Verdict:
    """What one value amounts to, before it becomes a finding."""

    severity: str
    value: Any
    crossed: Threshold | None
    # Why it is unknown, what would help, or why the rule does not apply.
    note: str = ""
    remedy: str = ""


def judge(
    facts: Any,
    rules: object,
    *,
    system: str = "",
    host: str = "",
    source: str = "",
    overrides: object = None,
    measured_at: str | None = None,
) -> list[Finding]:
    """Judge the result of an C(_info) module (or a mapping of several) by rules.

    Facts that are no mapping at all (undefined, null) make everything unknown. Raises RunbookError for
    rules that do not pass the linter. Findings come in the order of the rules; of an C(each) rule, worst first.
    """
    compiled = compile_rules(rules, overrides)
    court = _Court(facts, Origin(system, host, source, measured_at or None))
    findings: list[Finding] = []
    for position, rule in enumerate(compiled):
        judged = court.judge_rule(rule)
        findings += judged
        rest = len(compiled) - position - 1
        if rule.gate and rest and any(each["severity"] != "ok" for each in judged):
            findings.append(court.not_judged(rule, rest, judged[0]["summary"]))
            break
    return findings


class _Court:
    def __init__(self, facts: Any, origin: Origin) -> None:
        self.facts = facts if isinstance(facts, Mapping) else {}
        self.absent = "" if isinstance(facts, Mapping) else _why_absent(facts)
        self.origin = origin
        self.now = iso(utc_now())

    # --- rules
    def judge_rule(self, rule: Rule) -> list[Finding]:
        if rule.each is not None:
            return list(self._judge_each(rule, rule.each))
        scope = Scope(self.facts)
        name = rule.name.render(scope, {}, raw=True) if rule.name else ""
        verdict = self._verdict(rule, scope)
        if verdict is None:
            failed = next(condition.text for condition in rule.where if self._holds(condition, scope) is False)
            verdict = _Verdict("ok", None, None, f"does not apply: it is for {failed}")
        return [self._finding(rule, scope, name, verdict)]

    def not_judged(self, gate: Rule, rest: int, why: str) -> Finding:
        """The one finding that stands for every rule behind a closed gate."""
        return finding(
            f"{gate.domain}.not_judged",
            "unknown",
            f"{counted(rest, 'more check')} could not be made: {why}",
            value=rest,
            unit="count",
            remedy=gate.remedy,
            priority=gate.priorities.get("unknown"),
            **self._origin(gate.value),
        )

    def _judge_each(self, rule: Rule, each: Segments) -> Iterator[Finding]:
        bad: list[tuple[_Verdict, Scope, str]] = []
        judged = 0
        for number, chain in enumerate(expand(self.facts, each)):
            if isinstance(chain, Gap):
                bad.append((self._unknown(chain, "is not a list in the facts", rule), Scope(self.facts), ""))
                continue
            scope = Scope(self.facts, chain)
            verdict = self._verdict(rule, scope)
            if verdict is None:
                continue
            judged += 1
            if verdict.severity != "ok":
                bad.append((verdict, scope, _object_name(rule, scope, chain[-1], number)))
        if not bad:
            yield self._all_fine(rule, judged)
            return
        bad.sort(key=_worst_first)
        for verdict, scope, name in bad[: rule.limit]:
            yield self._finding(rule, scope, name, verdict)
        if len(bad) > rule.limit:
            yield self._the_rest(rule, [entry[0] for entry in bad[rule.limit :]])

    # --- one value
    def _verdict(self, rule: Rule, scope: Scope) -> _Verdict | None:
        """None when a condition of C(where) says that the rule does not apply."""
        unknown: _Verdict | None = None
        for condition in rule.where:
            holds = self._holds(condition, scope)
            if holds is False:
                return None
            if isinstance(holds, str) and unknown is None:
                unknown = self._unknown(condition.path, holds, rule)
        if unknown is not None:
            return unknown
        found = scope.resolve(rule.value)
        if found is MISSING:
            return self._unknown(rule.value, "is not among the facts", rule)
        try:
            value = comparable(found, rule.kind)
        except Unjudgeable as reason:
            return self._unknown(rule.value, str(reason), rule)
        for severity, threshold in (("critical", rule.critical), ("warning", rule.warning)):
            if threshold is not None and threshold.crossed_by(value):
                return _Verdict(severity, value, threshold)
        return _Verdict("ok", value, rule.warning or rule.critical)

    @staticmethod
    def _holds(condition: Any, scope: Scope) -> bool | str:
        """Whether a condition holds, or why that cannot be said."""
        found = scope.resolve(condition.path)
        if found is MISSING:
            return "is not among the facts"
        try:
            return bool(condition.threshold.crossed_by(comparable(found, condition.threshold.kind)))
        except Unjudgeable as reason:
            return str(reason)

    def _unknown(self, path: Segments, reason: str, rule: Rule) -> _Verdict:
        """Unknown, with the reason the module gave for what it could not read, if it gave one."""
        if self.absent:
            return _Verdict("unknown", None, None, self.absent)
        # Paths inside an item are judged by the list they are in as well.
        for trail in (rule.each or (), path):
            for holder in self._holders(trail):
                for skipped in _skipped(holder):
                    if _names(str(skipped.get("section", "")), trail):
                        why, remedy = (plain_line(str(skipped.get(key) or "")) for key in ("reason", "remedy"))
                        note = f"not measured: {why or skipped.get('section')}"
                        return _Verdict(
                            "unknown", None, None, f"{note.rstrip('.')}; {remedy}" if remedy else note, remedy
                        )
        for holder in self._holders(rule.each or path):
            if holder.get("available") is False and path[-1] != "available":
                return _Verdict(
                    "unknown", None, None, f"not measured: {plain_line(str(holder.get('reason') or 'not available'))}"
                )
        return _Verdict("unknown", None, None, f"could not be judged: {'.'.join(path)} {reason}")

    def _holders(self, path: Segments) -> Iterator[Mapping[str, Any]]:
        """The mappings on the way down a path, innermost first."""
        found = [self.facts]
        current: Any = self.facts
        for segment in path:
            current = step(current, segment)
            if not isinstance(current, Mapping):
                break
            found.append(current)
        return reversed(found)

    # --- findings
    def _finding(self, rule: Rule, scope: Scope, name: str, verdict: _Verdict) -> Finding:
        threshold = verdict.crossed or rule.warning or rule.critical
        unit = rule.unit or (None if kind_of(verdict.value) == "number" else _kind_unit(verdict.value))
        if verdict.note:
            summary = verdict.note
        else:
            known = {
                "value": humanise(verdict.value, unit),
                "object": name,
                "threshold": threshold.text if threshold else "",
            }
            # What a summary says about a fault ("{reason}") is often not there when all is well.
            if rule.summary is None or (verdict.severity == "ok" and not rule.summary.is_filled(scope, known)):
                summary = _default_summary(rule, known)
            else:
                summary = rule.summary.render(scope, known)
        return finding(
            rule.id,
            verdict.severity,
            summary,
            object=name,
            value=verdict.value,
            unit=unit,
            threshold=threshold.text if threshold else None,
            remedy=verdict.remedy if verdict.severity == "unknown" else rule.remedy,
            priority=rule.priorities.get(verdict.severity),
            ladder=rule.ladder,
            **self._origin(rule.each or rule.value),
        )

    def _all_fine(self, rule: Rule, judged: int) -> Finding:
        if rule.description:
            summary = f"{judged:,} of {judged:,} ok" if judged else "nothing to judge"
            return self._aggregate(rule, "ok", judged, "", f"{summary}: {rule.description}")
        what = rule.each_text.rsplit(".", 1)[-1].replace("_", " ").replace("*", "items").strip('"')
        summary = f"{judged:,} of {judged:,} {what} ok" if judged else f"no {what} to judge"
        return self._aggregate(rule, "ok", judged, "", summary)

    def _the_rest(self, rule: Rule, rest: Sequence[_Verdict]) -> Finding:
        counts = Counter(verdict.severity for verdict in rest)
        worst = min(counts, key=RANK.__getitem__)
        shown = ", ".join(f"{counts[severity]:,} {severity}" for severity in RANK if counts[severity])
        return self._aggregate(rule, worst, len(rest), OTHERS, f"and {len(rest):,} more: {shown}")

    def _aggregate(self, rule: Rule, severity: str, count: int, name: str, summary: str) -> Finding:
        threshold = rule.warning or rule.critical
        return finding(
            rule.id,
            severity,
            summary,
            object=name,
            value=count,
            unit="count",
            threshold=threshold.text if threshold else None,
            remedy=rule.remedy,
            priority=rule.priorities.get(severity),
            # No ladder: the value counts items, the thresholds are about each one's value.
            **self._origin(rule.each or rule.value),
        )

    def _origin(self, path: Segments) -> dict[str, Any]:
        measured_at = self.origin.measured_at or next(
            (str(moment) for holder in self._holders(path) if (moment := holder.get("measured_at"))), self.now
        )
        return {
            "system": self.origin.system,
            "host": self.origin.host,
            "source": self.origin.source,
            "measured_at": measured_at,
        }


def _why_absent(facts: Any) -> str:
    if isinstance(facts, Undefined):
        return "not measured: the facts are undefined"
    return f"not measured: the facts are {'null' if facts is None else type(facts).__name__}, a mapping was expected"


def _kind_unit(value: Any) -> str | None:
    return {"bool": "bool", "text": "text"}.get(kind_of(value))


def _default_summary(rule: Rule, known: Mapping[str, str]) -> str:
    what = rule.description or rule.id.split(".", 1)[1].replace(".", " ").replace("_", " ")
    return f"{what}: {known['value']}"


def _object_name(rule: Rule, scope: Scope, item: Any, number: int) -> str:
    if rule.name is not None:
        return rule.name.render(scope, {}, raw=True)
    if isinstance(item, Mapping):
        for key in ("name", "key"):
            if isinstance(item.get(key), (str, int)):
                return plain_line(str(item[key]))
        return f"#{number + 1}"
    return plain_line(str(item))


def _worst_first(entry: tuple[_Verdict, Scope, str]) -> tuple[int, float]:
    """Severity, then how far the value lies beyond the threshold; equal ones keep their order."""
    verdict = entry[0]
    distance = 0.0
    if (
        verdict.crossed is not None
        and isinstance(verdict.value, (int, float))
        and verdict.crossed.direction != "equality"
    ):
        distance = abs(float(verdict.value) - float(verdict.crossed.literal))
    return (RANK[verdict.severity], -distance)


def _skipped(holder: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    entries = holder.get("skipped_sections")
    if is_list(entries):
        yield from (entry for entry in entries if isinstance(entry, Mapping))  # type: ignore[union-attr]


def _names(section: str, path: Segments) -> bool:
    """Whether a section (C(statements), C(memory.keys)) is part of a path."""
    parts = tuple(section.split("."))
    return bool(section) and any(path[start : start + len(parts)] == parts for start in range(len(path)))
