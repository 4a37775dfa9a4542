"""Humanised values and templates."""

from __future__ import annotations

import math

import pytest

from ansible_collections.runbook.ops.plugins.plugin_utils.judging.humanise import humanise, plain_line
from ansible_collections.runbook.ops.plugins.plugin_utils.judging.paths import Scope
from ansible_collections.runbook.ops.plugins.plugin_utils.judging.templates import TemplateError, parse_template


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (92.5, "percent", "92.5 %"),
        (90.0, "percent", "90 %"),
        (33.333333, "percent", "33.33 %"),
        (0.001, "percent", "0.001 %"),
        (0, "percent", "0 %"),
        (-2.4e-06, "percent", "0 %"),
        (-0.0, "percent", "0 %"),
        (0.0001, "percent", "0.0001 %"),
        (0, "bytes", "0 B"),
        (999, "bytes", "999 B"),
        (1000, "bytes", "1 kB"),
        (999_999, "bytes", "1 MB"),
        (81_300_000_000, "bytes", "81.3 GB"),
        (1_073_741_824, "bytes", "1.07 GB"),
        (512_000_000_000, "bytes", "512 GB"),
        (5e18, "bytes", "5,000 PB"),
        (-2_000_000, "bytes", "-2 MB"),
        (5400, "seconds", "1h30m"),
        (12.345, "seconds", "12.35s"),
        (0.25, "seconds", "250ms"),
        (0, "seconds", "0s"),
        (93784, "seconds", "1d2h"),
        (90061.9, "duration", "1d1h"),
        (350, "milliseconds", "350 ms"),
        (12.34, "milliseconds", "12.3 ms"),
        (61_000, "milliseconds", "1m1s"),
        (1, "days", "1 day"),
        (7.5, "days", "7.5 days"),
        (12.5, "per_second", "12.5/s"),
        (14_200, "count", "14,200"),
        (0.8531, "ratio", "0.8531"),
        (True, "bool", "yes"),
        (False, None, "no"),
        (None, "percent", "unknown"),
        (math.nan, "percent", "nan"),
        ("allkeys-lru", "text", "allkeys-lru"),
        (1234567.891, None, "1,234,567.891"),
        (2**70, "count", "1,180,591,620,717,411,303,424"),
        ([1], None, "[1]"),
    ],
)
def test_humanise(value, unit, text):
    assert humanise(value, unit) == text


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a\n b\t c", "a b c"),
        ("\x1b[31mred\x1b[0m", "[31mred [0m"),
        ("a\x00b\x07\x9bc", "a b c"),
        ("등록 성공률", "등록 성공률"),
        ("x" * 301, "x" * 299 + "…"),
        ("x" * 300, "x" * 300),
        ("rtl\u202eevil", "rtl evil"),
    ],
)
def test_plain_line(text, line):
    assert plain_line(text) == line


FACTS = {"reason": "refused", "n": 5, "size_bytes": 2_000_000, "age_seconds": 90, "x": {"y": None, "z": True}, "a.b": 1}


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("plain", "plain"),
        ("{value} of {object} over {threshold}", "5 % of o over > 3"),
        ("{reason}", "refused"),
        ("{size_bytes} {age_seconds} {n}", "2 MB 1m30s 5"),
        ("{n|percent} {n|duration} {size_bytes|count}", "5 % 5s 2,000,000"),
        ("{missing} {x.y} {x.z} {x.q.r}", "? ? yes ?"),
        ('{"a.b"}', '{"a.b"}'),
        ('rate({job="web"}[5m])', 'rate({job="web"}[5m])'),
        ("{}", "{}"),
        ("{{n}}", "{5}"),
        ("{n", "{n"),
    ],
)
def test_templates(template, text):
    known = {"value": "5 %", "object": "o", "threshold": "> 3"}
    assert parse_template(template).render(Scope(FACTS), known) == text


def test_braces_in_values_are_not_placeholders():
    assert parse_template("{a} {b}").render(Scope({"a": "{b}", "b": "{a}"}), {}) == "{b} {a}"


def test_names_show_values_as_they_are():
    assert parse_template("{size_bytes}-{n|percent}").render(Scope(FACTS), {}, raw=True) == "2000000-5 %"


def test_an_unknown_humaniser_is_refused():
    with pytest.raises(
        TemplateError, match=r"\{n\|foo\}: 'foo' is not accepted after the bar; accepted: percent, .*duration"
    ):
        parse_template("{n|foo}")
