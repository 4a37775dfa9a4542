"""Every mistake in a rule has one clear message, and all mistakes are reported at once."""

from __future__ import annotations

import pytest
from jinja2 import StrictUndefined

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import RunbookError
from ansible_collections.runbook.ops.plugins.plugin_utils.judging.rules import KEYS, compile_rules

GOOD = {"id": "a.b", "value": "x.y"}
ALL_KEYS = ", ".join(KEYS)
PATH = "a dotted path such as health.connections.used_percent; a segment with a dot in it goes in double quotes"
ID = "domain.metric in lower case, such as postgresql.connections_used"
UNITS = "percent, ratio, bytes, seconds, milliseconds, days, count, per_second, bool, text"
BEFORE = "accepted: a warning that comes before critical"


def problems(rules, overrides=None):
    with pytest.raises(RunbookError) as error:
        compile_rules(rules, overrides)
    head, *lines = error.value.message.split("\n- ")
    assert head == f"{len(lines)} {'problem' if len(lines) == 1 else 'problems'} in the rules:"
    return lines


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"warnign": "> 1"}, f"rule 'a.b': there is no key 'warnign'. Did you mean 'warning'? Accepted: {ALL_KEYS}."),
        ({"zzz": 1}, f"rule 'a.b': there is no key 'zzz'. Accepted: {ALL_KEYS}."),
        (
            {"enabled": False},
            "rule 'a.b', key 'enabled': False is not accepted. "
            "Accepted: enabled only in overrides; leave the rule out instead.",
        ),
        ({"value": None}, f"rule 'a.b', key 'value': it is missing. Accepted: {PATH}."),
        ({"value": ""}, f"rule 'a.b', key 'value': it is missing. Accepted: {PATH}."),
        ({"value": "a..b"}, f"rule 'a.b', key 'value': 'a..b' is not accepted. Accepted: {PATH}."),
        ({"value": "a b"}, f"rule 'a.b', key 'value': 'a b' is not accepted. Accepted: {PATH}."),
        ({"value": ".a"}, f"rule 'a.b', key 'value': '.a' is not accepted. Accepted: {PATH}."),
        ({"value": "a."}, f"rule 'a.b', key 'value': 'a.' is not accepted. Accepted: {PATH}."),
        ({"value": "{{ a }}"}, f"rule 'a.b', key 'value': '{{{{ a }}}}' is not accepted. Accepted: {PATH}."),
        ({"value": 5}, f"rule 'a.b', key 'value': 5 is not accepted. Accepted: {PATH}."),
        ({"each": ["a"]}, f"rule 'a.b', key 'each': a list is not accepted. Accepted: {PATH}."),
        ({"unit": "byte"}, f"rule 'a.b', key 'unit': 'byte' is not accepted. Did you mean 'bytes'? Accepted: {UNITS}."),
        ({"unit": 5, "warning": "> 5"}, f"rule 'a.b', key 'unit': 5 is not accepted. Accepted: {UNITS}."),
        (
            {"warning": "80"},
            "rule 'a.b', key 'warning': '80' is not accepted. "
            "Accepted: an operator (>, >=, <, <=, ==, !=) and a literal, "
            "such as '> 80', '<= 2s', '== false' or '!= noeviction'.",
        ),
        (
            {"critical": 80},
            "rule 'a.b', key 'critical': 80 is not accepted. "
            "Accepted: an operator (>, >=, <, <=, ==, !=) and a literal, "
            "such as '> 80', '<= 2s', '== false' or '!= noeviction'.",
        ),
        (
            {"unit": "count", "warning": "> 80 GB"},
            "rule 'a.b', key 'warning': '> 80 GB' is not accepted: it is in 'GB' but the rule's unit is count; "
            "accepted: a number in count.",
        ),
        (
            {"warning": "> 90", "critical": "> 80"},
            f"rule 'a.b', key 'warning': warning '> 90' lies beyond critical '> 80'; {BEFORE}.",
        ),
        (
            {"warning": "> 80", "critical": "> 80"},
            f"rule 'a.b', key 'warning': warning '> 80' equals critical '> 80'; {BEFORE}.",
        ),
        (
            {"warning": "> 80", "critical": "< 90"},
            "rule 'a.b', key 'warning': warning '> 80' and critical '< 90' point in different directions; "
            "accepted: both above (> or >=), both below (< or <=), or both == / !=.",
        ),
        (
            {"priority": "high"},
            "rule 'a.b', key 'priority': 'high' is not accepted. "
            "Accepted: P0 to P9, or a mapping such as {warning: P2, critical: P0}.",
        ),
        (
            {"priority": {"ok": "P1"}},
            "rule 'a.b', key 'priority': a mapping is not accepted. "
            "Accepted: P0 to P9, or a mapping such as {warning: P2, critical: P0}.",
        ),
        (
            {"priority": {}},
            "rule 'a.b', key 'priority': a mapping is not accepted. "
            "Accepted: P0 to P9, or a mapping such as {warning: P2, critical: P0}.",
        ),
        (
            {"where": "size big"},
            "rule 'a.b', key 'where': 'size big' is not accepted. "
            "Accepted: a condition such as 'size_bytes > 10 MB', or a list of them.",
        ),
        (
            {"where": {"a": 1}},
            "rule 'a.b', key 'where': a mapping is not accepted. "
            "Accepted: a condition such as 'size_bytes > 10 MB', or a list of them.",
        ),
        (
            {"where": ["a > 1", 7]},
            "rule 'a.b', key 'where': 7 is not accepted. "
            "Accepted: a condition such as 'size_bytes > 10 MB', or a list of them.",
        ),
        (
            {"where": "size_bytes > 5 m"},
            "rule 'a.b', key 'where': 'size_bytes > 5 m' is not accepted: "
            "it is in 'm' but the rule's unit is bytes; "
            "accepted: a number in bytes, or a number with one of B, kB, MB, GB, TB, KiB, MiB, GiB, TiB.",
        ),
        ({"where": "a b > 1"}, f"rule 'a.b', key 'where': 'a b > 1' is not accepted. Accepted: {PATH}."),
        (
            {"summary": "{x|gigabytes}"},
            "rule 'a.b', key 'summary': {x|gigabytes}: 'gigabytes' is not accepted after the bar; "
            f"accepted: {UNITS}, duration.",
        ),
        ({"summary": 5}, "rule 'a.b', key 'summary': 5 is not accepted. Accepted: text."),
        ({"remedy": ["x"]}, "rule 'a.b', key 'remedy': a list is not accepted. Accepted: text."),
        ({"gate": "yes"}, "rule 'a.b', key 'gate': 'yes' is not accepted. Accepted: true or false."),
        (
            {"gate": True, "each": "x"},
            "rule 'a.b', key 'gate': True is not accepted. "
            "Accepted: gate only without each: one item must not silence the rules for the others.",
        ),
        ({"limit": 0, "each": "x"}, "rule 'a.b', key 'limit': 0 is not accepted. Accepted: a whole number from 1."),
        (
            {"limit": True, "each": "x"},
            "rule 'a.b', key 'limit': True is not accepted. Accepted: a whole number from 1.",
        ),
        ({"limit": 5}, "rule 'a.b', key 'limit': 5 is not accepted. Accepted: limit only together with each."),
        ({"id": "A.b"}, f"rule 'A.b', key 'id': 'A.b' is not accepted. Accepted: {ID}."),
        ({"id": "nodot"}, f"rule 'nodot', key 'id': 'nodot' is not accepted. Accepted: {ID}."),
        (
            {"value": StrictUndefined(name="v")},
            f"rule 'a.b', key 'value': undefined is not accepted. Accepted: {PATH}.",
        ),
    ],
)
def test_one_mistake_one_message(change, message):
    assert problems([{**GOOD, **change}]) == [message]


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        ([{"value": "x"}], f"rule number 1 (value 'x'): id is missing. Accepted: {ID}."),
        ([{}], f"rule number 1: id is missing. Accepted: {ID}."),
        ([{"id": 7, "value": "x"}], f"rule number 1 (value 'x'): id: 7 is not accepted. Accepted: {ID}."),
        (["a.b"], "rule number 1: 'a.b' is not accepted. Accepted: a mapping with at least id and value."),
        (
            [GOOD, GOOD],
            "rule 'a.b': the id is used by rule number 1 and rule number 2. "
            "Accepted: every id once; change a rule with overrides.",
        ),
    ],
)
def test_rules_that_are_none(rules, message):
    assert problems(rules) == [message]


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"a.c": {}}, "overrides, rule 'a.c': there is no such rule. Did you mean 'a.b'? Accepted: a.b."),
        ({"queue.depth": {}}, "overrides, rule 'queue.depth': there is no such rule. Accepted: a.b."),
        (
            {"a.b": "> 5"},
            "overrides, rule 'a.b': '> 5' is not accepted. "
            "Accepted: a mapping of the keys to change, such as {warning: '> 70'} or {enabled: false}.",
        ),
        (
            {"a.b": {"enabled": "no"}},
            "overrides, rule 'a.b', key 'enabled': 'no' is not accepted. Accepted: true or false.",
        ),
        (
            {"a.b": {"id": "a.x"}},
            "overrides, rule 'a.b', key 'id': 'a.x' is not accepted. Accepted: an id cannot be changed.",
        ),
        (["a.b"], "overrides: a list is not accepted. Accepted: a mapping from rule id to the keys to change."),
        (
            {"a.b": {"warning": "> 95"}},
            f"rule 'a.b', key 'warning': warning '> 95' lies beyond critical '> 90'; {BEFORE}.",
        ),
        (
            {"a.b": {"warn": "> 5"}},
            f"rule 'a.b': there is no key 'warn'. Did you mean 'warning'? Accepted: {ALL_KEYS}.",
        ),
    ],
)
def test_overrides(overrides, message):
    assert problems([{**GOOD, "critical": "> 90"}], overrides) == [message]


def test_all_problems_come_at_once():
    rules = [
        {"id": "a.a", "valeu": "x"},
        {"id": "a.b", "value": "x", "warning": "> 5", "critical": "> 4", "priority": 1},
        "nonsense",
    ]
    assert len(problems(rules, {"b.b": {}})) == 6


@pytest.mark.parametrize("rules", [None, "a.b", {"id": "a.b"}, 5, StrictUndefined(name="rules")])
def test_rules_must_be_a_list(rules):
    with pytest.raises(RunbookError, match="Accepted: a list of rules, each a mapping with at least id and value"):
        compile_rules(rules)


@pytest.mark.parametrize("overrides", [None, {}, ""])
def test_a_complete_rule_is_parsed(overrides):
    (rule,) = compile_rules(
        [
            {
                "id": "postgresql.dead_tuples",
                "value": "dead_percent",
                "each": "health.tables",
                "name": "{schema}.{name}",
                "where": ["size_bytes > 10 MB"],
                "warning": "> 20",
                "critical": "> 50",
                "unit": "percent",
                "summary": "{value} of {size_bytes|bytes}",
                "remedy": "vacuum",
                "priority": {"critical": "P1"},
                "limit": 5,
                "gate": False,
                "description": "dead rows",
            }
        ],
        overrides,
    )
    assert rule.domain == "postgresql"
    assert rule.ladder == {"warning": "> 20", "critical": "> 50"}
    assert rule.priorities == {"critical": "P1", "unknown": "P1"}
    assert rule.where[0].threshold.literal == 10_000_000


def test_a_rule_switched_off_is_not_linted():
    assert compile_rules([{"id": "a.b", "value": "x", "warning": "broken"}], {"a.b": {"enabled": False}}) == []
