"""Facts against rules: severities, unknown, each, where, gate, skipped, overrides, limit."""

from __future__ import annotations

import copy
import math

import pytest

from ansible_collections.runbook.ops.plugins.plugin_utils.judging.judge import judge

MEASURED = "2026-01-31T00:15:00Z"


def rule(**keys):
    return {"id": "domain.metric", "value": "health.used_percent", "unit": "percent", **keys}


def facts(value=50, **more):
    return {"available": True, "measured_at": MEASURED, "health": {"used_percent": value}, **more}


def only(found):
    assert len(found) == 1, found
    return found[0]


def shown(found):
    return [(each["severity"], each["object"], each["value"]) for each in found]


def test_a_finding_has_every_key_of_the_shape():
    one = rule(
        warning="> 80",
        critical="> 90",
        summary="{value} used",
        remedy="do it",
        priority={"warning": "P2", "critical": "P0"},
    )
    assert judge(facts(92.5), [one], system="shop", host="pg1", source="x_info") == [
        {
            "id": "domain.metric",
            "system": "shop",
            "host": "pg1",
            "object": "",
            "severity": "critical",
            "value": 92.5,
            "unit": "percent",
            "threshold": "> 90",
            "summary": "92.5 % used",
            "remedy": "do it",
            "priority": "P0",
            "source": "x_info",
            "measured_at": MEASURED,
            "ladder": {"warning": "> 80", "critical": "> 90"},
        }
    ]


@pytest.mark.parametrize(
    ("value", "severity", "threshold", "priority"),
    [
        (80 - 1e-9, "ok", "> 80", None),
        (80, "ok", "> 80", None),
        (80 + 1e-9, "warning", "> 80", "P2"),
        (90 - 1e-9, "warning", "> 80", "P2"),
        (90, "warning", "> 80", "P2"),
        (90 + 1e-9, "critical", "> 90", "P0"),
        (0, "ok", "> 80", None),
        (-1, "ok", "> 80", None),
        (None, "unknown", "> 80", "P2"),
        (math.nan, "unknown", "> 80", "P2"),
        (math.inf, "unknown", "> 80", "P2"),
        ("95", "unknown", "> 80", "P2"),
        (True, "unknown", "> 80", "P2"),
        ([95], "unknown", "> 80", "P2"),
        ({}, "unknown", "> 80", "P2"),
    ],
)
def test_every_edge_of_a_ladder(value, severity, threshold, priority):
    one = rule(warning="> 80", critical="> 90", priority={"warning": "P2", "critical": "P0"})
    found = only(judge(facts(value), [one]))
    assert (found["severity"], found["threshold"], found["priority"]) == (severity, threshold, priority)
    assert found["value"] == (None if severity == "unknown" else value)


@pytest.mark.parametrize(
    ("value", "severity"),
    [(85 + 1e-9, "ok"), (85, "warning"), (70, "critical"), (70 + 1e-9, "warning"), (0, "critical")],
)
def test_a_ladder_downwards(value, severity):
    assert only(judge(facts(value), [rule(warning="<= 85", critical="<= 70")]))["severity"] == severity


@pytest.mark.parametrize(
    ("unit", "warning", "value", "severity", "text"),
    [
        ("bytes", "> 80 GB", 80_000_000_000, "ok", "80 GB"),
        ("bytes", "> 80 GB", 80_000_000_001, "warning", "80 GB"),
        ("bytes", "> 1 GiB", 1_073_741_825, "warning", "1.07 GB"),
        ("seconds", "> 5 m", 301, "warning", "5m1s"),
        ("seconds", "> 250 ms", 0.3, "warning", "300ms"),
        ("milliseconds", "> 2 s", 2001, "warning", "2s"),
        ("days", "> 36 h", 1.6, "warning", "1.6 days"),
        ("ratio", "< 90 %", 0.89, "warning", "0.89"),
        ("count", "> 1000", 14_200, "warning", "14,200"),
        ("per_second", "> 500 /s", 500.5, "warning", "500.5/s"),
        ("bool", "== false", False, "warning", "no"),
        ("text", "!= noeviction", "allkeys-lru", "warning", "allkeys-lru"),
        ("text", "!= noeviction", "noeviction", "ok", "noeviction"),
        (None, "!= noeviction", "allkeys-lru", "warning", "allkeys-lru"),
        (None, "> 2", 3, "warning", "3"),
    ],
)
def test_units(unit, warning, value, severity, text):
    found = only(judge(facts(value), [rule(unit=unit, warning=warning, summary="{value}")]))
    assert (found["severity"], found["summary"]) == (severity, text)


def test_a_rule_without_thresholds_reports_and_is_never_ok_without_a_value():
    assert only(judge(facts(12), [rule()]))["severity"] == "ok"
    assert only(judge(facts(None), [rule()]))["severity"] == "unknown"


@pytest.mark.parametrize(
    ("measured", "summary"),
    [
        ({}, "could not be judged: health.used_percent is not among the facts"),
        ({"health": None}, "could not be judged: health.used_percent is not among the facts"),
        ({"health": {"used_percent": None}}, "could not be judged: health.used_percent was not measured (null)"),
        ({"health": {"used_percent": math.nan}}, "could not be judged: health.used_percent is NaN, not a number"),
        (
            {"health": {"used_percent": "x"}},
            "could not be judged: health.used_percent is text 'x', but a number is needed",
        ),
        (None, "not measured: the facts are null, a mapping was expected"),
        ([], "not measured: the facts are list, a mapping was expected"),
        ({"available": False, "reason": "refused"}, "not measured: refused"),
        ({"health": {"available": False, "reason": "refused"}}, "not measured: refused"),
        (
            {"skipped_sections": [{"section": "health", "reason": "no right", "remedy": "GRANT pg_monitor"}]},
            "not measured: no right; GRANT pg_monitor",
        ),
        ({"skipped_sections": [{"section": "used_percent", "reason": "no right"}]}, "not measured: no right"),
        ({"health": {"skipped_sections": [{"section": "used_percent", "reason": "inner"}]}}, "not measured: inner"),
        ({"skipped_sections": [{"section": "health.used_percent", "reason": "both"}]}, "not measured: both"),
        (
            {"skipped_sections": [{"section": "used", "reason": "no"}]},
            "could not be judged: health.used_percent is not among the facts",
        ),
        (
            {"skipped_sections": [{"section": "", "reason": "no"}]},
            "could not be judged: health.used_percent is not among the facts",
        ),
        ({"skipped_sections": "nonsense"}, "could not be judged: health.used_percent is not among the facts"),
    ],
)
def test_why_something_is_unknown(measured, summary):
    found = only(judge(measured, [rule(warning="> 1", summary="never shown", remedy="not for this")]))
    assert (found["severity"], found["summary"], found["value"]) == ("unknown", summary, None)


def test_the_remedy_of_what_was_skipped_is_the_remedy_of_the_finding():
    measured = {"skipped_sections": [{"section": "health", "reason": "r", "remedy": "GRANT x"}]}
    assert only(judge(measured, [rule(warning="> 1", remedy="vacuum")]))["remedy"] == "GRANT x"
    assert only(judge({}, [rule(warning="> 1", remedy="vacuum")]))["remedy"] == ""


# --- each
TABLES = [
    {"schema": "s", "name": "a", "dead": 5, "size_bytes": 10},
    {"schema": "s", "name": "b", "dead": 95, "size_bytes": 20_000_000},
    {"schema": "s", "name": "c", "dead": 60, "size_bytes": 30_000_000},
    {"schema": "s", "name": "d", "dead": 99, "size_bytes": 40_000_000},
]
EACH = rule(each="health.tables", value="dead", name="{schema}.{name}", warning="> 50", critical="> 90")


def tables(items):
    return {"health": {"tables": items}, "measured_at": MEASURED}


def test_each_gives_one_finding_for_every_item_that_is_not_ok_worst_first():
    assert shown(judge(tables(TABLES), [EACH])) == [
        ("critical", "s.d", 99),
        ("critical", "s.b", 95),
        ("warning", "s.c", 60),
    ]


@pytest.mark.parametrize(
    ("items", "summary", "value"),
    [
        (TABLES[:1] * 12, "12 of 12 tables ok", 12),
        (TABLES[:1], "1 of 1 tables ok", 1),
        ([], "no tables to judge", 0),
        ({}, "no tables to judge", 0),
    ],
)
def test_each_gives_one_ok_when_all_are_fine(items, summary, value):
    found = only(judge(tables(items), [EACH]))
    assert (found["severity"], found["summary"], found["value"], found["unit"]) == ("ok", summary, value, "count")
    assert (found["object"], found["ladder"]) == ("", {"warning": None, "critical": None})


@pytest.mark.parametrize(
    ("items", "summary"), [([], "nothing to judge: dead rows"), (TABLES[:1] * 3, "3 of 3 ok: dead rows")]
)
def test_the_description_explains_an_ok(items, summary):
    assert only(judge(tables(items), [{**EACH, "description": "dead rows"}]))["summary"] == summary


@pytest.mark.parametrize(("value", "summary"), [(0, "warnings: 0"), (3, "3 warnings: ?"), (0, "warnings: 0")])
def test_a_summary_that_tells_of_a_fault_is_not_used_when_there_is_none(value, summary):
    one = rule(unit="count", warning="> 0", description="warnings", summary="{value} warnings: {api_warnings.0}")
    assert only(judge(facts(value), [one]))["summary"] == summary


@pytest.mark.parametrize("items", [None, "text", 5, True])
def test_each_without_a_list_is_unknown(items):
    found = only(judge(tables(items), [EACH]))
    assert (found["severity"], found["summary"]) == (
        "unknown",
        "could not be judged: health.tables is not a list in the facts",
    )


def test_each_over_what_was_skipped_says_why():
    measured = {"health": {}, "skipped_sections": [{"section": "tables", "reason": "timeout", "remedy": "raise it"}]}
    assert only(judge(measured, [EACH]))["summary"] == "not measured: timeout; raise it"


def test_an_item_without_its_value_is_unknown_and_the_facts_do_not_stand_in():
    measured = {**tables([{"schema": "s", "name": "x"}]), "name": "wrong"}
    found = only(judge(measured, [EACH]))
    assert (found["severity"], found["object"]) == ("unknown", "s.x")
    nested = rule(each="health.tables", value="stats.dead", warning="> 50")
    measured = {**tables([{"name": "x", "stats": {}}]), "stats": {"dead": 1}}
    assert only(judge(measured, [nested]))["severity"] == "unknown"


def test_paths_go_to_the_facts_when_the_item_has_no_such_key():
    one = {**EACH, "summary": "{object} on {server.version}: {value} dead of {size_bytes|bytes}"}
    found = only(judge({**tables(TABLES[1:2]), "server": {"version": 15}}, [one]))
    assert found["summary"] == "s.b on 15: 95 % dead of 20 MB"


@pytest.mark.parametrize(
    ("item", "name", "expected"),
    [
        ({"name": "n", "dead": 99}, None, "n"),
        ({"dead": 99}, None, "#1"),
        ({"dead": 99, "a": 5}, "{a}/{missing}", "5/?"),
        ({"dead": 99, "name": "x\x1b[31my\n"}, None, "x [31my"),
    ],
)
def test_object_names(item, name, expected):
    one = rule(each="health.tables", value="dead", warning="> 50", **({"name": name} if name else {}))
    assert only(judge(tables([item]), [one]))["object"] == expected


def test_each_over_plain_values_and_over_mappings():
    numbers = rule(each="health.tables", value="item", warning="> 50")
    assert shown(judge(tables([10, 99]), [numbers])) == [("warning", "99", 99)]
    assert shown(judge(tables({"q1": {"dead": 99}, "q2": {"dead": 1}}), [{**numbers, "value": "dead"}])) == [
        ("warning", "q1", 99)
    ]
    assert shown(judge(tables({"q1": 99}), [{**numbers, "value": "value"}])) == [("warning", "q1", 99)]


def test_nested_each_sees_the_items_around_it():
    measured = {
        "databases": [
            {"datname": "one", "tables": [{"rel": "a", "dead": 99}, {"rel": "b", "dead": 1}]},
            {"datname": "two", "tables": [{"rel": "c", "dead": 60}]},
            {"datname": "three", "tables": []},
        ]
    }
    one = rule(each="databases.*.tables", value="dead", name="{datname}.{rel}", warning="> 50", critical="> 90")
    assert shown(judge(measured, [one])) == [("critical", "one.a", 99), ("warning", "two.c", 60)]
    del measured["databases"][1]["tables"]
    found = judge(measured, [one])
    assert [each["severity"] for each in found] == ["critical", "unknown"]
    assert found[1]["summary"] == "could not be judged: databases.1.tables is not a list in the facts"


def test_numbers_in_paths_index_lists():
    assert (
        only(judge({"queues": [{"depth": 7}]}, [rule(value="queues.0.depth", unit="count", warning="> 5")]))["value"]
        == 7
    )
    assert only(judge({"queues": []}, [rule(value="queues.0.depth", warning="> 5")]))["severity"] == "unknown"
    assert only(judge({"a.b": {"c": 7}}, [rule(value='"a.b".c', warning="> 5")]))["value"] == 7


# --- limit
@pytest.mark.parametrize(
    ("bad", "limit", "single", "rest"), [(20, None, 20, 0), (21, None, 20, 1), (5, 2, 2, 3), (2, 2, 2, 0)]
)
def test_what_is_beyond_the_limit_is_counted_not_dropped(bad, limit, single, rest):
    items = [{"name": f"t{number}", "dead": 51 + number} for number in range(bad)]
    found = judge(tables(items), [{**EACH, "critical": None, **({"limit": limit} if limit else {})}])
    assert len(found) == single + bool(rest)
    if rest:
        assert (found[-1]["object"], found[-1]["value"], found[-1]["severity"]) == ("(others)", rest, "warning")
        assert found[-1]["summary"] == f"and {rest} more: {rest} warning"


def test_the_rest_has_the_worst_severity_of_the_rest():
    items = [{"name": str(number), "dead": 99} for number in range(3)] + [{"name": "u"}, {"name": "w", "dead": 60}]
    rest = judge(tables(items), [{**EACH, "limit": 2}])[-1]
    assert (rest["severity"], rest["summary"]) == ("critical", "and 3 more: 1 critical, 1 warning, 1 unknown")


# --- where
@pytest.mark.parametrize(
    ("where", "objects"),
    [
        ("size_bytes > 25 MB", ["s.d", "s.c"]),
        ("size_bytes > 25000000", ["s.d", "s.c"]),
        (["size_bytes > 15 MB", "name != d"], ["s.b", "s.c"]),
        ("name == b", ["s.b"]),
        ("name == 'b'", ["s.b"]),
        ("least_bytes < 5", ["s.d", "s.b", "s.c"]),
        ([], ["s.d", "s.b", "s.c"]),
    ],
)
def test_where(where, objects):
    measured = {**tables(TABLES), "least_bytes": 1}
    assert [each["object"] for each in judge(measured, [{**EACH, "where": where}])] == objects


def test_items_outside_where_do_not_count():
    assert only(judge(tables(TABLES), [{**EACH, "where": "name == a"}]))["summary"] == "1 of 1 tables ok"
    assert only(judge(tables(TABLES), [{**EACH, "where": "name == z"}]))["summary"] == "no tables to judge"


@pytest.mark.parametrize(
    ("item", "severity"),
    [
        ({"name": "x", "dead": 1, "live": None}, "unknown"),
        ({"name": "x", "dead": 1}, "unknown"),
        ({"name": "x", "dead": 1, "live": "many"}, "unknown"),
        ({"name": "x", "dead": 1, "live": math.nan}, "unknown"),
        ({"name": "x", "dead": 1, "live": 11}, "ok"),
        ({"name": "x", "dead": 99, "live": 9}, "ok"),
        ({"name": "y", "dead": 99, "live": None}, "ok"),
    ],
)
def test_a_condition_without_a_value_is_unknown_unless_another_one_fails(item, severity):
    one = {**EACH, "where": ["live > 10", "name == x"]}
    assert judge(tables([item]), [one])[0]["severity"] == severity


def test_where_without_each():
    one = rule(where="health.reads > 1000", warning="> 10")
    assert only(judge({"health": {"reads": 2000, "used_percent": 20}}, [one]))["severity"] == "warning"
    found = only(judge({"health": {"reads": 5, "used_percent": 20}}, [one]))
    assert (found["severity"], found["summary"]) == ("ok", "does not apply: it is for health.reads > 1000")
    assert only(judge({"health": {"used_percent": 20}}, [one]))["severity"] == "unknown"


# --- gate
GATE = {
    "id": "redis.available",
    "value": "available",
    "critical": "== false",
    "unit": "bool",
    "gate": True,
    "summary": "{reason}",
    "priority": "P0",
    "remedy": "start it",
}
AFTER = [rule(id="redis.memory", warning="> 1"), rule(id="redis.clients", warning="> 1")]


def test_a_closed_gate_gives_one_finding_for_all_the_rest():
    found = judge(
        {"available": False, "reason": "connection refused", "measured_at": MEASURED}, [GATE, *AFTER], host="r1"
    )
    assert [(each["id"], each["severity"], each["summary"]) for each in found] == [
        ("redis.available", "critical", "connection refused"),
        ("redis.not_judged", "unknown", "2 more checks could not be made: connection refused"),
    ]
    assert (found[1]["value"], found[1]["unit"], found[1]["priority"], found[1]["host"]) == (2, "count", "P0", "r1")


@pytest.mark.parametrize("measured", [{}, {"available": None}, {"available": "yes"}, None])
def test_an_unknown_gate_is_closed(measured):
    assert [each["severity"] for each in judge(measured, [GATE, *AFTER])] == ["unknown", "unknown"]


def test_an_open_gate_and_a_gate_without_followers():
    found = judge(facts(0.5), [GATE, *AFTER])
    assert [each["id"] for each in found] == ["redis.available", "redis.memory", "redis.clients"]
    assert found[0]["summary"] == "available: yes"
    assert [each["id"] for each in judge({"available": False}, [GATE])] == ["redis.available"]


# --- overrides
@pytest.mark.parametrize(
    ("override", "severity"),
    [
        (None, "warning"),
        ({}, "warning"),
        ({"warning": "> 90", "critical": "> 95"}, "ok"),
        ({"critical": "> 82"}, "critical"),
        ({"warning": None}, "ok"),
        ({"value": "health.other"}, "unknown"),
        ({"enabled": True}, "warning"),
    ],
)
def test_overrides(override, severity):
    rules = [rule(warning="> 80", critical="> 90")]
    before = copy.deepcopy(rules)
    found = only(judge(facts(85), rules, overrides=override if override is None else {"domain.metric": override}))
    assert found["severity"] == severity
    assert rules == before


def test_a_rule_can_be_switched_off():
    assert judge(facts(99), [rule(warning="> 80")], overrides={"domain.metric": {"enabled": False}}) == []


# --- where and when it was measured
@pytest.mark.parametrize(
    ("measured", "given", "moment"),
    [
        ({"measured_at": "a", "health": {"used_percent": 1}}, None, "a"),
        ({"measured_at": "a", "health": {"used_percent": 1, "measured_at": "b"}}, None, "b"),
        ({"health": {"used_percent": 1, "measured_at": "b"}}, None, "b"),
        ({"measured_at": "a", "health": {"used_percent": 1}}, "c", "c"),
    ],
)
def test_the_moment_of_measurement(measured, given, moment):
    assert only(judge(measured, [rule()], measured_at=given))["measured_at"] == moment


# --- size
def test_twenty_thousand_items_are_judged_with_thresholds_parsed_once(monkeypatch):
    from ansible_collections.runbook.ops.plugins.plugin_utils.judging import rules as module

    calls = []
    parse = module.parse_threshold
    monkeypatch.setattr(module, "parse_threshold", lambda *arguments: calls.append(arguments) or parse(*arguments))
    items = [{"schema": "s", "name": f"t{number}", "dead": number % 100, "bytes": number} for number in range(20_000)]
    found = judge(tables(items), [{**EACH, "where": "bytes >= 0"}])
    assert len(found) == 21
    assert len(calls) == 3


def test_what_a_server_says_stays_one_harmless_line():
    measured = facts(99, reason="a\x1b[2Jb\r\nc {value} " + "x" * 1000)
    summary = only(judge(measured, [rule(warning="> 1", summary="{reason}")]))["summary"]
    assert summary.startswith("a [2Jb c {value} xxx")
    assert summary.endswith("…")
    assert len(summary) == 300
