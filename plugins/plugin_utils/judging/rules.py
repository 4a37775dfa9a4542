# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rules are data: the model, the linter that reports every mistake at once, and overrides."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from jinja2 import Undefined

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption, RunbookError
from ansible_collections.runbook.ops.plugins.plugin_utils.findings import counted
from ansible_collections.runbook.ops.plugins.plugin_utils.judging.paths import (
    WANTED,
    PathError,
    Segments,
    is_list,
    parse_path,
)
from ansible_collections.runbook.ops.plugins.plugin_utils.judging.templates import (
    Template,
    TemplateError,
    parse_template,
)
from ansible_collections.runbook.ops.plugins.plugin_utils.judging.thresholds import (
    Threshold,
    ThresholdError,
    ladder_problem,
    parse_threshold,
)
from ansible_collections.runbook.ops.plugins.plugin_utils.judging.units import UNITS, unit_of_name

KEYS = (
    "id",
    "value",
    "each",
    "name",
    "where",
    "warning",
    "critical",
    "unit",
    "summary",
    "remedy",
    "priority",
    "limit",
    "gate",
    "description",
)
DEFAULT_LIMIT = 20

_ID = re.compile(r"[a-z][a-z0-9_]*(\.[a-z0-9_]+)+")
_PRIORITY = re.compile(r"P[0-9]")
_CONDITION = re.compile(r"(.+?)\s*(>=|<=|==|!=|>|<)\s*(.+)", re.DOTALL)

_ID_WANTED = "domain.metric in lower case, such as postgresql.connections_used"
_PRIORITY_WANTED = "P0 to P9, or a mapping such as {warning: P2, critical: P0}"
_WHERE_WANTED = "a condition such as 'size_bytes > 10 MB', or a list of them"


@dataclass(frozen=True)
class Condition:
    """One C(where) condition, taken apart."""

    path: Segments
    threshold: Threshold
    text: str


@dataclass(frozen=True)
class Rule:
    """A rule that passed the linter: everything parsed once."""

    id: str
    value: Segments
    value_text: str
    each: Segments | None
    each_text: str
    name: Template | None
    where: tuple[Condition, ...]
    warning: Threshold | None
    critical: Threshold | None
    unit: str | None
    summary: Template | None
    remedy: str
    priorities: Mapping[str, str]
    limit: int
    gate: bool
    description: str

    @property
    def domain(self) -> str:
        """What stands before the first dot of the id."""
        return self.id.split(".", 1)[0]

    @property
    def kind(self) -> str:
        """What a value must be: number, bool, text, or any of them for a rule without thresholds and unit."""
        for threshold in (self.critical, self.warning):
            if threshold is not None:
                return threshold.kind
        return {None: "any", "bool": "bool", "text": "text"}.get(self.unit, "number")

    @property
    def ladder(self) -> dict[str, str | None]:
        """Both expressions, or null where there is none."""
        return {
            "warning": self.warning.text if self.warning else None,
            "critical": self.critical.text if self.critical else None,
        }


def compile_rules(rules: object, overrides: object = None) -> list[Rule]:
    """Apply C(overrides) to C(rules), lint the outcome and parse it.

    Raises RunbookError whose message lists every problem, each naming the rule, the key, the value and
    what is accepted.
    """
    if rules is None or isinstance(rules, Undefined) or not is_list(rules):
        raise InvalidOption("rules", _kind(rules), "a list of rules, each a mapping with at least id and value")
    problems: list[str] = []
    mappings = _identified(rules, problems)
    removed = _apply_overrides(mappings, overrides, problems)
    compiled = [_Linter(mapping, problems).compile() for mapping in mappings if mapping["id"] not in removed]
    if problems:
        lines = "".join(f"\n- {problem}" for problem in problems)
        raise RunbookError(f"{counted(len(problems), 'problem')} in the rules:{lines}")
    return [rule for rule in compiled if rule is not None]


def _kind(value: object) -> str:
    if isinstance(value, Undefined):
        return "undefined"
    if isinstance(value, Mapping):
        return "a mapping"
    if is_list(value):
        return "a list"
    return repr(value) if value is None or isinstance(value, (str, int, float)) else type(value).__name__


def _near(word: object, words: Any) -> str:
    match = get_close_matches(str(word), [str(each) for each in words], 1, 0.6)
    return f" Did you mean {match[0]!r}?" if match else ""


def _identified(rules: Any, problems: list[str]) -> list[dict[str, Any]]:
    """The rules that are mappings with a usable, unique id; the others become problems."""
    found: dict[str, int] = {}
    mappings = []
    for number, rule in enumerate(rules, start=1):
        if not isinstance(rule, Mapping):
            problems.append(
                f"rule number {number}: {_kind(rule)} is not accepted. Accepted: a mapping with at least id and value."
            )
            continue
        rule_id = rule.get("id")
        if not isinstance(rule_id, str) or not rule_id:
            shown = "id is missing" if rule_id is None else f"id: {_kind(rule_id)} is not accepted"
            value = rule.get("value")
            where = f"rule number {number}" + (f" (value {value!r})" if isinstance(value, str) else "")
            problems.append(f"{where}: {shown}. Accepted: {_ID_WANTED}.")
            continue
        if rule_id in found:
            problems.append(
                f"rule '{rule_id}': the id is used by rule number {found[rule_id]} and rule number {number}. "
                "Accepted: every id once; change a rule with overrides."
            )
            continue
        found[rule_id] = number
        mappings.append(dict(rule))
    return mappings


def _apply_overrides(mappings: list[dict[str, Any]], overrides: object, problems: list[str]) -> set[str]:
    """Merge the overrides into the rules; returns the ids of the rules that are switched off."""
    removed: set[str] = set()
    if overrides is None or (isinstance(overrides, str) and not overrides):
        return removed
    if isinstance(overrides, Undefined) or not isinstance(overrides, Mapping):
        problems.append(
            f"overrides: {_kind(overrides)} is not accepted. Accepted: a mapping from rule id to the keys to change."
        )
        return removed
    known = {mapping["id"]: mapping for mapping in mappings}
    for rule_id in overrides:
        change = overrides[rule_id]
        start = f"overrides, rule '{rule_id}'"
        if rule_id not in known:
            accepted = ", ".join(known) or "nothing"
            problems.append(f"{start}: there is no such rule.{_near(rule_id, known)} Accepted: {accepted}.")
        elif isinstance(change, Undefined) or not isinstance(change, Mapping):
            accepted = "a mapping of the keys to change, such as {warning: '> 70'} or {enabled: false}"
            problems.append(f"{start}: {_kind(change)} is not accepted. Accepted: {accepted}.")
        else:
            _merge(known[rule_id], change, removed, problems)
    return removed


def _merge(rule: dict[str, Any], change: Mapping[str, Any], removed: set[str], problems: list[str]) -> None:
    start = f"overrides, rule '{rule['id']}'"
    for key in change:
        value = change[key]
        if key == "enabled":
            if not isinstance(value, bool):
                problems.append(f"{start}, key 'enabled': {_kind(value)} is not accepted. Accepted: true or false.")
            elif not value:
                removed.add(rule["id"])
        elif key == "id" and (isinstance(value, Undefined) or value != rule["id"]):
            problems.append(f"{start}, key 'id': {_kind(value)} is not accepted. Accepted: an id cannot be changed.")
        else:
            rule[key] = value


def _reason(error: ThresholdError | PathError) -> str:
    """Why, in the words that follow "is not accepted"."""
    text = str(error)
    if isinstance(error, PathError):
        return f". Accepted: {text}"
    shape = text.removeprefix("accepted: ")
    return f". Accepted: {shape}" if shape != text else f": {text}"


class _Linter:
    """Turns one rule into its parsed form and collects what is wrong with it on the way."""

    def __init__(self, rule: Mapping[str, Any], problems: list[str]) -> None:
        self.rule = rule
        self.id = str(rule["id"])
        self.problems = problems

    def problem(self, key: str, accepted: str, extra: str = "") -> None:
        shown = _kind(self.rule.get(key))
        self.problems.append(f"rule '{self.id}', key '{key}': {shown} is not accepted.{extra} Accepted: {accepted}.")

    def compile(self) -> Rule | None:
        before = len(self.problems)
        self._keys()
        if not _ID.fullmatch(self.id):
            self.problem("id", _ID_WANTED)
        unit = self._unit()
        each_text = self._text("each", check=False)
        value, value_text = self._path("value", required=True), self._text("value", check=False)
        each, name, where = self._path("each"), self._template("name"), self._where()
        # A ladder in a unit that does not exist would only repeat that mistake.
        warning, critical = self._ladder(unit) if unit or self.rule.get("unit") is None else (None, None)
        summary, remedy, description = self._template("summary"), self._text("remedy"), self._text("description")
        priorities, limit, gate = self._priorities(), self._limit(), self._gate()
        if len(self.problems) > before or value is None:
            return None
        return Rule(
            id=self.id,
            value=value,
            value_text=value_text,
            each=each,
            each_text=each_text,
            name=name,
            where=where,
            warning=warning,
            critical=critical,
            unit=unit,
            summary=summary,
            remedy=remedy,
            priorities=priorities,
            limit=limit,
            gate=gate,
            description=description,
        )

    def _keys(self) -> None:
        for key in self.rule:
            if key == "enabled":
                self.problem("enabled", "enabled only in overrides; leave the rule out instead")
            elif key not in KEYS:
                self.problems.append(
                    f"rule '{self.id}': there is no key {key!r}.{_near(key, KEYS)} Accepted: {', '.join(KEYS)}."
                )

    def _text(self, key: str, *, check: bool = True) -> str:
        value = self.rule.get(key)
        if value is None or isinstance(value, Undefined) or not isinstance(value, str):
            if check and value is not None:
                self.problem(key, "text")
            return ""
        return value

    def _path(self, key: str, *, required: bool = False) -> Segments | None:
        value = self.rule.get(key)
        if value is None and not required:
            return None
        if value is None or (isinstance(value, str) and not value):
            self.problems.append(f"rule '{self.id}', key '{key}': it is missing. Accepted: {WANTED}.")
            return ()
        try:
            return parse_path(value)
        except PathError as error:
            self.problem(key, str(error))
            return ()

    def _template(self, key: str) -> Template | None:
        text = self._text(key)
        if not text:
            return None
        try:
            return parse_template(text)
        except (TemplateError, PathError) as error:
            self.problems.append(f"rule '{self.id}', key '{key}': {error}.")
            return None

    def _unit(self) -> str | None:
        value = self.rule.get("unit")
        if value is None:
            return None
        if not isinstance(value, str) or value not in UNITS:
            self.problem("unit", ", ".join(UNITS), _near(value, UNITS))
            return None
        return str(value)

    def _threshold(self, key: str, unit: str | None) -> Threshold | None:
        value = self.rule.get(key)
        if value is None:
            return None
        try:
            return parse_threshold(value, unit)
        except ThresholdError as error:
            self.problems.append(f"rule '{self.id}', key '{key}': {_kind(value)} is not accepted{_reason(error)}.")
            return None

    def _ladder(self, unit: str | None) -> tuple[Threshold | None, Threshold | None]:
        warning, critical = self._threshold("warning", unit), self._threshold("critical", unit)
        if warning is not None and critical is not None:
            problem = ladder_problem(warning, critical)
            if problem is not None:
                self.problems.append(f"rule '{self.id}', key 'warning': {problem}.")
        return warning, critical

    def _where(self) -> tuple[Condition, ...]:
        value = self.rule.get("where")
        if value is None:
            return ()
        if isinstance(value, Undefined) or not (isinstance(value, str) or is_list(value)):
            self.problem("where", _WHERE_WANTED)
            return ()
        texts = [value] if isinstance(value, str) else list(value)
        return tuple(condition for text in texts if (condition := self._condition(text)) is not None)

    def _condition(self, text: object) -> Condition | None:
        match = _CONDITION.fullmatch(text.strip()) if isinstance(text, str) else None
        if match is None:
            return self._bad_condition(text, f". Accepted: {_WHERE_WANTED}")
        try:
            path = parse_path(match[1])
            threshold = parse_threshold(f"{match[2]} {match[3]}", _unit_of_condition(path[-1], match[3]))
        except (PathError, ThresholdError) as error:
            return self._bad_condition(text, _reason(error))
        return Condition(path, threshold, " ".join(match[0].split()))

    def _bad_condition(self, text: object, reason: str) -> Condition | None:
        self.problems.append(f"rule '{self.id}', key 'where': {_kind(text)} is not accepted{reason}.")
        return None

    def _priorities(self) -> dict[str, str]:
        value = self.rule.get("priority")
        if value is None:
            return {}
        given = value if isinstance(value, Mapping) else {"warning": value, "critical": value}
        good = bool(given) and all(
            level in ("warning", "critical") and isinstance(given[level], str) and _PRIORITY.fullmatch(given[level])
            for level in given
        )
        if not good:
            self.problem("priority", _PRIORITY_WANTED)
            return {}
        # What cannot be judged is as urgent as the mildest thing it could be.
        mildest = given["warning"] if "warning" in given else given["critical"]
        return {**{level: str(given[level]) for level in given}, "unknown": str(mildest)}

    def _limit(self) -> int:
        value = self.rule.get("limit", DEFAULT_LIMIT)
        if value is None:
            return DEFAULT_LIMIT
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            self.problem("limit", "a whole number from 1")
        elif self.rule.get("each") is None and "limit" in self.rule:
            self.problem("limit", "limit only together with each")
        else:
            return value
        return DEFAULT_LIMIT

    def _gate(self) -> bool:
        value = self.rule.get("gate", False)
        if not isinstance(value, bool):
            self.problem("gate", "true or false")
        elif value and self.rule.get("each") is not None:
            self.problem("gate", "gate only without each: one item must not silence the rules for the others")
        else:
            return value
        return False


def _unit_of_condition(name: str, literal: str) -> str | None:
    """The unit of the fact a condition reads, by its name; only needed when the literal carries one."""
    unit = unit_of_name(name)
    has_measure: Callable[[str], Any] = re.compile(r"[+-]?[\d.]+(e[+-]?\d+)?\s*(%|/s|[a-z]+)", re.IGNORECASE).fullmatch
    return unit if unit is not None and has_measure(literal.strip()) else None
