# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Thresholds: C(> 90 %), C(<= 2s), C(== false), C(!= noeviction)."""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ansible_collections.runbook.ops.plugins.plugin_utils.judging.units import (
    DIMENSIONS,
    accepted_measures,
    convert,
    find_measure,
)

OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
    "==": operator.eq,
    "!=": operator.ne,
}
DIRECTIONS = {">": "above", ">=": "above", "<": "below", "<=": "below", "==": "equality", "!=": "equality"}
SHAPE = "an operator (>, >=, <, <=, ==, !=) and a literal, such as '> 80', '<= 2s', '== false' or '!= noeviction'"

_EXPRESSION = re.compile(r"(>=|<=|==|!=|>|<)\s*(.*)", re.DOTALL)
_NUMBER = re.compile(r"([+-]?(?:\d+(?:\.\d+)?|\.\d+)(?:e[+-]?\d+)?)\s*(%|/s|[a-z]*)", re.IGNORECASE)
_QUOTED = re.compile(r"'([^']*)'|\"([^\"]*)\"")
_BOOLEANS = {"true": True, "false": False}

Literal = float | bool | str


class ThresholdError(ValueError):
    """Why an expression cannot be a threshold; the text says what is accepted."""


class Unjudgeable(ValueError):
    """Why a value cannot be compared with a threshold."""


@dataclass(frozen=True)
class Threshold:
    """A parsed expression; C(literal) is already in the rule's unit."""

    operator: str
    literal: Literal
    text: str

    @property
    def direction(self) -> str:
        """C(above), C(below) or C(equality): which values cross it."""
        return DIRECTIONS[self.operator]

    @property
    def kind(self) -> str:
        """What a value must be: C(number), C(bool) or C(text)."""
        return kind_of(self.literal)

    def crossed_by(self, value: Literal) -> bool:
        """Whether a value of the right kind crosses it."""
        return OPERATORS[self.operator](value, self.literal)


def kind_of(value: object) -> str:
    """C(number), C(bool), C(text), or what else a value is."""
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, (int, float)):
        return "number"
    return "text" if isinstance(value, str) else type(value).__name__


def parse_threshold(expression: object, unit: str | None) -> Threshold:
    """Read an expression for a rule of C(unit) (None: bare numbers, true/false or text).

    Raises ThresholdError. Numbers are converted to C(unit): C("> 80 GB") of a rule in bytes is 80e9.
    """
    match = _EXPRESSION.fullmatch(expression.strip()) if isinstance(expression, str) else None
    if match is None or not match[2].strip():
        raise ThresholdError(f"accepted: {SHAPE}")
    name, raw = match[1], match[2].strip()
    literal = _literal(raw, unit)
    if kind_of(literal) != "number" and DIRECTIONS[name] != "equality":
        raise ThresholdError(f"{name} needs a number; accepted for text and true/false: == and !=")
    return Threshold(name, literal, f"{name} {raw}")


def _literal(raw: str, unit: str | None) -> Literal:
    quoted = _QUOTED.fullmatch(raw)
    if unit == "text":
        return quoted[1] or quoted[2] or "" if quoted else raw
    if unit is None and quoted:
        return quoted[1] or quoted[2] or ""
    lowered = raw.lower()
    if unit in (None, "bool") and lowered in _BOOLEANS:
        return _BOOLEANS[lowered]
    if unit == "bool":
        raise ThresholdError("the rule's unit is bool; accepted: == true, == false, != true, != false")
    match = _NUMBER.fullmatch(raw)
    if match is None:
        if unit is None:
            return raw
        raise ThresholdError(f"the rule's unit is {unit}; {_accepted(unit)}")
    return _number(float(match[1]), match[2], raw, unit)


def _number(number: float, suffix: str, raw: str, unit: str | None) -> Literal:
    if not suffix:
        return _finite(number)
    measure = find_measure(suffix)
    if measure is None:
        if unit is None:
            return raw
        raise ThresholdError(f"{suffix!r} is no unit known here; {_accepted(unit)}")
    if unit is None:
        raise ThresholdError(
            f"it is in {suffix!r} but the rule has no unit; accepted: a bare number, or set the rule's unit"
        )
    if measure.dimension != DIMENSIONS[unit]:
        raise ThresholdError(f"it is in {suffix!r} but the rule's unit is {unit}; {_accepted(unit)}")
    return _finite(convert(number, measure, unit))


def _finite(number: float) -> float:
    if not math.isfinite(number):
        raise ThresholdError("the number is too large; accepted: a finite number")
    return number


def _accepted(unit: str) -> str:
    measures = accepted_measures(unit)
    return f"accepted: a number in {unit}" + (f", or a number with one of {measures}" if measures else "")


def comparable(value: object, kind: str) -> Literal:
    """The value, when it can be held against thresholds of that kind; raises Unjudgeable with the reason.

    NaN, infinities, null, and values of another type are not comparable: what cannot be compared is
    unknown, never ok. A bool is not a number here, although Python thinks so.
    """
    if value is None:
        raise Unjudgeable("was not measured (null)")
    found = kind_of(value)
    if kind == "any":
        kind = found if found in ("number", "bool", "text") else "number"
    if found != kind:
        shown = f"text {value!r}" if isinstance(value, str) else str(value).lower() if found == "bool" else f"a {found}"
        raise Unjudgeable(f"is {shown[:120]}, but {_WANTED[kind]} is needed")
    if isinstance(value, (int, float)) and not isinstance(value, bool) and not math.isfinite(value):
        raise Unjudgeable("is NaN, not a number" if math.isnan(value) else "is infinite")
    return value  # type: ignore[return-value]


_WANTED = {"number": "a number", "bool": "true or false", "text": "text"}


_BEFORE = "accepted: a warning that comes before critical"


def ladder_problem(warning: Threshold, critical: Threshold) -> str | None:
    """What is wrong with a warning and a critical threshold together; None when the ladder is sound."""
    if warning.direction != critical.direction:
        return (
            f"warning '{warning.text}' and critical '{critical.text}' point in different directions; "
            "accepted: both above (> or >=), both below (< or <=), or both == / !="
        )
    if warning.kind != critical.kind:
        return (
            f"warning '{warning.text}' holds a {warning.kind} and critical '{critical.text}' a {critical.kind}; "
            "accepted: the same kind in both"
        )
    if warning.literal == critical.literal:
        return f"warning '{warning.text}' equals critical '{critical.text}'; {_BEFORE}"
    if warning.direction == "equality":
        if warning.operator == "==" and critical.operator == "!=":
            return f"warning '{warning.text}' is covered by critical '{critical.text}'; {_BEFORE}"
        return None
    if OPERATORS[">" if warning.direction == "above" else "<"](warning.literal, critical.literal):
        return f"warning '{warning.text}' lies beyond critical '{critical.text}'; {_BEFORE}"
    return None
