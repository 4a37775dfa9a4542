"""Thresholds at their edges, units and everything that is no threshold."""

from __future__ import annotations

import math

import pytest

from ansible_collections.runbook.ops.plugins.plugin_utils.judging.thresholds import (
    ThresholdError,
    Unjudgeable,
    comparable,
    ladder_problem,
    parse_threshold,
)

EPSILON = 1e-9


@pytest.mark.parametrize(
    ("expression", "below", "exact", "above"),
    [
        ("> 90", False, False, True),
        (">= 90", False, True, True),
        ("< 90", True, False, False),
        ("<= 90", True, True, False),
        ("== 90", False, True, False),
        ("!= 90", True, False, True),
    ],
)
def test_each_operator_just_below_at_and_just_above(expression, below, exact, above):
    threshold = parse_threshold(expression, None)
    assert [threshold.crossed_by(value) for value in (90 - EPSILON, 90, 90 + EPSILON)] == [below, exact, above]
    assert threshold.crossed_by(90.0) is exact


@pytest.mark.parametrize(
    ("expression", "unit", "literal"),
    [
        ("> 80", "percent", 80),
        ("> 80%", "percent", 80),
        ("> 80 %", "percent", 80),
        ("> 80 percent", "percent", 80),
        ("> 80 %", "ratio", 0.8),
        ("> 0.8", "ratio", 0.8),
        ("> 80 GB", "bytes", 80e9),
        ("> 80GB", "bytes", 80e9),
        ("> 80 gb", "bytes", 80e9),
        ("> 1 GiB", "bytes", 1024**3),
        ("> 1.5 TB", "bytes", 1.5e12),
        ("> 512 kB", "bytes", 512_000),
        ("> 512 B", "bytes", 512),
        ("> 100", "bytes", 100),
        ("> 2s", "seconds", 2),
        ("> 5 m", "seconds", 300),
        ("> 250 ms", "seconds", 0.25),
        ("> 2 hours", "seconds", 7200),
        ("> 1 d", "seconds", 86400),
        ("> 2s", "milliseconds", 2000),
        ("> 36 h", "days", 1.5),
        ("> 1 w", "days", 7),
        ("> 500", "per_second", 500),
        ("> 500 /s", "per_second", 500),
        ("> 1e3", "count", 1000),
        ("> -5", "count", -5),
        ("> +5", "count", 5),
        ("> .5", "ratio", 0.5),
        ("== true", "bool", True),
        ("== False", "bool", False),
        ("== false", None, False),
        ("!= noeviction", None, "noeviction"),
        ("!= noeviction", "text", "noeviction"),
        ("== 'a b'", None, "a b"),
        ('== "80 GB"', None, "80 GB"),
        ("== 15", "text", "15"),
        ("== ''", "text", ""),
        ("== true", "text", "true"),
        ("== 5 apples", None, "5 apples"),
    ],
)
def test_literals_arrive_in_the_rules_unit(expression, unit, literal):
    found = parse_threshold(expression, unit).literal
    assert found == literal
    assert isinstance(found, bool) is isinstance(literal, bool)


def test_the_expression_is_kept_as_written_but_for_spaces():
    assert parse_threshold("  >80 GB ", "bytes").text == "> 80 GB"


SHAPE = (
    "accepted: an operator (>, >=, <, <=, ==, !=) and a literal, such as '> 80', '<= 2s', '== false' or '!= noeviction'"
)


@pytest.mark.parametrize(
    ("expression", "unit", "message"),
    [
        ("80", "percent", SHAPE),
        ("", "percent", SHAPE),
        (">", "percent", SHAPE),
        ("=> 80", "percent", SHAPE),
        ("= 80", "percent", SHAPE),
        (80, "percent", SHAPE),
        (None, "percent", SHAPE),
        (True, "bool", SHAPE),
        ([">", 80], "percent", SHAPE),
        (
            "> eighty",
            "percent",
            "the rule's unit is percent; accepted: a number in percent, or a number with one of %",
        ),
        (
            "> 80 GB",
            "percent",
            "it is in 'GB' but the rule's unit is percent; accepted: a number in percent, or a number with one of %",
        ),
        (
            "> 5 m",
            "bytes",
            "it is in 'm' but the rule's unit is bytes; accepted: a number in bytes, "
            "or a number with one of B, kB, MB, GB, TB, KiB, MiB, GiB, TiB",
        ),
        ("> 80 %", "count", "it is in '%' but the rule's unit is count; accepted: a number in count"),
        (
            "> 80 Giga",
            "bytes",
            "'GiGa' is no unit known here; accepted: a number in bytes, "
            "or a number with one of B, kB, MB, GB, TB, KiB, MiB, GiB, TiB".replace("GiGa", "Giga"),
        ),
        ("> 80 %", None, "it is in '%' but the rule has no unit; accepted: a bare number, or set the rule's unit"),
        ("> true", None, "> needs a number; accepted for text and true/false: == and !="),
        ("< noeviction", None, "< needs a number; accepted for text and true/false: == and !="),
        ("> 1", "bool", "the rule's unit is bool; accepted: == true, == false, != true, != false"),
        (">= a", "text", ">= needs a number; accepted for text and true/false: == and !="),
        ("> 1e999", "count", "the number is too large; accepted: a finite number"),
        ("> nan", "count", "the rule's unit is count; accepted: a number in count"),
    ],
)
def test_what_is_no_threshold(expression, unit, message):
    with pytest.raises(ThresholdError) as error:
        parse_threshold(expression, unit)
    assert str(error.value) == message


@pytest.mark.parametrize(
    ("value", "kind", "message"),
    [
        (None, "number", "was not measured (null)"),
        (math.nan, "number", "is NaN, not a number"),
        (math.inf, "number", "is infinite"),
        (-math.inf, "number", "is infinite"),
        ("5", "number", "is text '5', but a number is needed"),
        (True, "number", "is true, but a number is needed"),
        (False, "number", "is false, but a number is needed"),
        ([], "number", "is a list, but a number is needed"),
        ({}, "number", "is a dict, but a number is needed"),
        (1, "bool", "is a number, but true or false is needed"),
        ("true", "bool", "is text 'true', but true or false is needed"),
        (5, "text", "is a number, but text is needed"),
        (None, "any", "was not measured (null)"),
        ([], "any", "is a list, but a number is needed"),
        (math.nan, "any", "is NaN, not a number"),
    ],
)
def test_what_cannot_be_compared(value, kind, message):
    with pytest.raises(Unjudgeable) as error:
        comparable(value, kind)
    assert str(error.value) == message


@pytest.mark.parametrize(
    ("value", "kind"), [(0, "number"), (0.0, "number"), (False, "bool"), ("", "text"), (3, "any"), ("x", "any")]
)
def test_what_can_be_compared(value, kind):
    assert comparable(value, kind) is value


@pytest.mark.parametrize(
    ("warning", "critical", "unit", "problem"),
    [
        ("> 80", "> 90", "percent", None),
        (">= 80", "> 90", "percent", None),
        ("< 85", "< 70", "percent", None),
        ("> 900 ms", "> 2 s", "seconds", None),
        ("== degraded", "== down", "text", None),
        ("!= ok", "== down", "text", None),
        ("> 90", "> 80", "percent", "warning '> 90' lies beyond critical '> 80'; {before}"),
        ("< 70", "< 85", "percent", "warning '< 70' lies beyond critical '< 85'; {before}"),
        ("> 3 s", "> 2000 ms", "seconds", "warning '> 3 s' lies beyond critical '> 2000 ms'; {before}"),
        ("> 90", "> 90", "percent", "warning '> 90' equals critical '> 90'; {before}"),
        (">= 90", "> 90 %", "percent", "warning '>= 90' equals critical '> 90 %'; {before}"),
        ("> 60 s", "> 1 m", "seconds", "warning '> 60 s' equals critical '> 1 m'; {before}"),
        ("== true", "== true", "bool", "warning '== true' equals critical '== true'; {before}"),
        ("== a", "!= b", "text", "warning '== a' is covered by critical '!= b'; {before}"),
        (
            "> 5",
            "< 3",
            "count",
            "warning '> 5' and critical '< 3' point in different directions; "
            "accepted: both above (> or >=), both below (< or <=), or both == / !=",
        ),
        (
            "== 5",
            "== five",
            None,
            "warning '== 5' holds a number and critical '== five' a text; accepted: the same kind in both",
        ),
    ],
)
def test_ladders(warning, critical, unit, problem):
    found = ladder_problem(parse_threshold(warning, unit), parse_threshold(critical, unit))
    assert found == (problem and problem.format(before="accepted: a warning that comes before critical"))
