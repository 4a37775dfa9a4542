"""Renderings, totals, collecting and trends of findings."""

from __future__ import annotations

import json
from collections.abc import Mapping
from xml.etree import ElementTree

import pytest
from ansible.errors import AnsibleFilterError
from jinja2 import StrictUndefined

from ansible_collections.runbook.ops.plugins.filter.collect_findings import collect_findings
from ansible_collections.runbook.ops.plugins.filter.findings_junit import findings_junit
from ansible_collections.runbook.ops.plugins.filter.findings_markdown import findings_markdown
from ansible_collections.runbook.ops.plugins.filter.findings_table import findings_table
from ansible_collections.runbook.ops.plugins.filter.findings_totals import findings_totals
from ansible_collections.runbook.ops.plugins.filter.findings_trend import findings_trend
from ansible_collections.runbook.ops.plugins.filter.worst_severity import worst_severity
from ansible_collections.runbook.ops.plugins.plugin_utils.findings import finding, sorted_findings
from ansible_collections.runbook.ops.plugins.plugin_utils.rendering.widths import pad, width, wrap

AT = "2026-01-31T00:15:00Z"


def make(severity="ok", rule="a.b", summary="fine", **more):
    return finding(rule, severity, summary, **{"host": "h1", "system": "shop", "measured_at": AT, **more})


CRITICAL = make(
    "critical", "postgresql.used", "92 % of the connections are in use", value=92, unit="percent", threshold="> 90",
    remedy="ansible-playbook runbook.ops.respond_incident -e incident=db_connections", priority="P0",
)  # fmt: skip
WARNING = make(
    "warning",
    "redis.memory",
    "much memory",
    value=8_000_000_000,
    unit="bytes",
    threshold="> 5 GB",
    priority="P2",
    object="db0",
)
UNKNOWN = make("unknown", "kubernetes.not_configured", "kubernetes: not configured", host="")
OK = make()
ALL = [OK, WARNING, UNKNOWN, CRITICAL]


@pytest.mark.parametrize(
    ("findings", "worst"),
    [(ALL, "critical"), ([OK, UNKNOWN], "unknown"), ([WARNING, UNKNOWN], "warning"), ([OK], "ok"), ([], "unknown")],
)
def test_worst_severity(findings, worst):
    assert worst_severity(findings) == worst


def test_totals():
    assert findings_totals(ALL) == {"ok": 1, "warning": 1, "critical": 1, "unknown": 1, "total": 4, "worst": "critical"}
    assert findings_totals([]) == {"ok": 0, "warning": 0, "critical": 0, "unknown": 0, "total": 0, "worst": "unknown"}


def test_the_order_is_worst_first_then_priority_system_host_and_id():
    mixed = [
        make("warning", "z.z"),
        make("warning", "a.a", priority="P2"),
        make("warning", "a.b", priority="P1"),
        make("critical", "z.z", host="h2"),
        make("critical", "z.z", host="h1"),
        make("ok", "a.a"),
        make("unknown", "a.a"),
    ]
    shown = [(each["severity"], each["priority"], each["host"], each["id"]) for each in sorted_findings(mixed)]
    assert shown == [
        ("critical", None, "h1", "z.z"),
        ("critical", None, "h2", "z.z"),
        ("warning", "P1", "h1", "a.b"),
        ("warning", "P2", "h1", "a.a"),
        ("warning", None, "h1", "z.z"),
        ("unknown", None, "h1", "a.a"),
        ("ok", None, "h1", "a.a"),
    ]


@pytest.mark.parametrize(
    "function", [worst_severity, findings_totals, findings_table, findings_markdown, findings_junit]
)
@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (None, "findings: 'NoneType' is not accepted"),
        ("text", "findings: 'str' is not accepted"),
        ({}, "findings: 'dict' is not accepted"),
        (StrictUndefined(name="f"), "findings: 'StrictUndefined' is not accepted"),
        ([OK, 5], "findings[1]: 'int' is not accepted"),
        ([{"id": "a", "severity": "bad"}], "findings[0]: \"a mapping with id 'a' and severity 'bad'\" is not accepted"),
        ([{"severity": "ok"}], "findings[0]: \"a mapping with id None and severity 'ok'\" is not accepted"),
    ],
)
def test_what_are_no_findings(function, bad, message):
    with pytest.raises(AnsibleFilterError) as error:
        function(bad)
    assert (
        str(error.value)
        == f"{function.__name__}: {message}. Accepted: a list of findings, as the judge filter returns them."
    )


# --- table
def test_the_table():
    assert findings_table(ALL).splitlines() == [
        "SEVERITY  WHAT                                      VALUE  THRESHOLD  REMEDY",
        "-" * 100,
        "CRITICAL  P0 h1                                     92 %   > 90       ansible-playbook",
        "          92 % of the connections are in use                          runbook.ops.respond_incident",
        "                                                                      -e incident=db_connections",
        "WARNING   P2 h1 db0                                 8 GB   > 5 GB",
        "          much memory",
        "UNKNOWN   shop",
        "          kubernetes: not configured",
        "",
        "1 critical, 1 warning, 1 unknown, 1 ok",
    ]


@pytest.mark.parametrize("columns", [60, 80, 100, 120, 200])
def test_no_line_is_wider_than_asked(columns):
    long = make(
        "critical",
        summary="긴 요약 " * 40 + "x" * 300,
        value="v" * 50,
        remedy="대응 " * 50 + "y" * 90,
        object="o" * 150,
        threshold="> 1" * 9,
    )
    table = findings_table([long, *ALL], width=columns, show_ok=True)
    assert max(width(line) for line in table.splitlines()) <= columns
    assert sum(line.count("x") for line in table.splitlines()) == 300


def test_ok_findings_are_counted_and_listed_only_when_asked():
    assert "fine" not in findings_table(ALL)
    assert "fine" in findings_table(ALL, show_ok=True)
    assert findings_table([OK, OK]) == "0 critical, 0 warning, 0 unknown, 2 ok"


def test_no_findings_do_not_look_ok():
    assert findings_table([]) == "No findings: nothing was checked."


def test_colours_only_when_asked_and_they_change_no_widths():
    plain, coloured = findings_table(ALL), findings_table(ALL, color=True)
    assert "\033" not in plain
    assert "\033[1;31mCRITICAL" in coloured
    import re

    assert re.sub(r"\033\[[0-9;]*m", "", coloured).splitlines() == plain.splitlines()


def test_control_characters_of_a_server_never_reach_the_terminal():
    assert "\033" not in findings_table([make("critical", summary="\033[2Jx", object="\033]0;t\007")])


@pytest.mark.parametrize("columns", [59, 0, -1, "100", True, None])
def test_a_table_needs_room(columns):
    with pytest.raises(
        AnsibleFilterError, match=r"width: .* is not accepted. Accepted: a whole number of columns, at least 60."
    ):
        findings_table(ALL, width=columns)


@pytest.mark.parametrize(
    ("text", "columns"),
    [("abc", 3), ("가나", 4), ("e\u0301", 1), ("ｱ", 1), ("Ａ", 2), ("🚀", 2), ("\u200b", 0), ("", 0)],
)
def test_widths(text, columns):
    assert width(text) == columns
    assert width(pad(text, 10)) == 10


@pytest.mark.parametrize(
    ("text", "columns", "lines"),
    [
        ("a b c", 3, ["a b", "c"]),
        ("abcdef", 4, ["abcd", "ef"]),
        ("가나다라", 5, ["가나", "다라"]),
        ("x abcdefgh y", 4, ["x", "abcd", "efgh", "y"]),
        ("", 5, [""]),
        ("  ", 5, [""]),
    ],
)
def test_wrap(text, columns, lines):
    assert wrap(text, columns) == lines


# --- Markdown
def test_markdown():
    assert findings_markdown(ALL, title="Daily check") == (
        "# Daily check\n\n"
        "1 critical, 1 warning, 1 unknown, 1 ok.\n\n"
        "| Severity | What | Value | Threshold | Remedy |\n"
        "| --- | --- | --- | --- | --- |\n"
        "| **critical** P0 | **h1**: 92 % of the connections are in use | 92 % | `> 90` | "
        "`ansible-playbook runbook.ops.respond_incident -e incident=db_connections` |\n"
        "| warning P2 | **h1 db0**: much memory | 8 GB | `> 5 GB` |  |\n"
        "| unknown | **shop**: kubernetes: not configured |  |  |  |\n"
    )


@pytest.mark.parametrize(
    ("text", "source"),
    [
        ("a|b", "a\\|b"),
        ("<script>alert(1)</script>", "\\<script\\>alert(1)\\</script\\>"),
        ("`x` *y* _z_", "\\`x\\` \\*y\\* \\_z\\_"),
        ("# head\n- item", "\\# head - item"),
        ("[a](javascript:x)", "\\[a\\](javascript:x)"),
        ("a\\b", "a\\\\b"),
    ],
)
def test_markdown_shows_text_as_it_is(text, source):
    assert f": {source} |" in findings_markdown([make("critical", summary=text)])


def test_markdown_code_survives_backticks_and_bars():
    assert "| `` a`b\\|c `` |" in findings_markdown([make("critical", threshold="a`b|c")])


@pytest.mark.parametrize(
    ("remedy", "source"),
    [
        ("Make a backup now.", "Make a backup now."),
        (
            "See why: ansible-playbook runbook.ops.inspect_queues",
            "See why: `ansible-playbook runbook.ops.inspect_queues`",
        ),
        ("Run `psql -l | cat`, and *look*.", "Run `psql -l \\| cat` , and \\*look\\*."),
    ],
)
def test_markdown_sets_only_commands_as_code(remedy, source):
    assert f" | {source} |\n" in findings_markdown([make("critical", remedy=remedy)])


def test_a_flag_and_its_threshold_speak_the_same_words():
    flag = make("critical", "backup.whole", "cut off", value=False, unit="bool", threshold="== false")
    assert "| no | `if no` |" in findings_markdown([flag])
    assert "  no     if no" in findings_table([flag])
    assert "value: no\nthreshold: if no\n" in findings_junit([flag])


def test_markdown_without_findings():
    assert findings_markdown([]) == "# Findings\n\nNo findings: nothing was checked.\n"
    assert findings_markdown([OK]) == "# Findings\n\n0 critical, 0 warning, 0 unknown, 1 ok.\n"


# --- JUnit
@pytest.mark.parametrize(("fail_on", "failures"), [("critical", 1), ("warning", 2), ("never", 0)])
def test_junit(fail_on, failures):
    root = ElementTree.fromstring(findings_junit(ALL, fail_on=fail_on))
    assert (root.tag, root.get("tests"), root.get("failures"), root.get("errors")) == (
        "testsuites",
        "4",
        str(failures),
        "1",
    )
    assert [suite.get("name") for suite in root] == ["shop", "shop.h1"]
    cases = {case.get("name"): [child.tag for child in case] for case in root.iter("testcase")}
    assert cases["kubernetes.not_configured"] == ["error"]
    assert cases["a.b"] == []
    assert cases["postgresql.used"] == (["system-out"] if fail_on == "never" else ["failure"])
    assert cases["redis.memory [db0]"] == (["failure"] if fail_on == "warning" else ["system-out"])


def test_junit_says_what_to_do():
    failure = ElementTree.fromstring(findings_junit([CRITICAL])).find(".//failure")
    assert failure.get("message") == "92 % of the connections are in use"
    assert failure.get("type") == "critical"
    assert "threshold: > 90" in failure.text
    assert "remedy: ansible-playbook runbook.ops.respond_incident" in failure.text


def test_junit_is_valid_whatever_a_server_says():
    nasty = make("critical", summary="\x00\x1b<&>\"'\ufffe ]]> 가", object="\x07", remedy="\ud800")
    root = ElementTree.fromstring(findings_junit([nasty]).encode())
    assert "가" in root.find(".//failure").get("message")


def test_junit_knows_what_can_fail():
    with pytest.raises(AnsibleFilterError) as error:
        findings_junit([], fail_on="error")
    assert str(error.value) == "findings_junit: fail_on: 'error' is not accepted. Accepted: critical, warning, never."


def test_an_empty_junit_is_valid():
    assert ElementTree.fromstring(findings_junit([])).get("tests") == "0"


# --- collect
class LazyVariables(Mapping):
    """Host variables that break when one is touched that need not be."""

    def __init__(self, values):
        self._values = values

    def __getitem__(self, key):
        assert key.startswith("check_"), f"{key} was rendered"
        return self._values[key]

    def __iter__(self):
        return iter(self._values)

    def __len__(self):
        return len(self._values)


def hosts(**variables):
    return {name: LazyVariables({"secret": 1, "ansible_facts": {}, **values}) for name, values in variables.items()}


def ids(found):
    return [(each["id"], each["host"], each["severity"]) for each in found]


def test_collecting_touches_only_findings():
    given = hosts(h1={"check_a_findings": [CRITICAL], "check_b_findings": [OK], "check_c_facts": {}}, h2={})
    expected = [("postgresql.used", "h1", "critical"), ("host.not_measured", "h2", "unknown"), ("a.b", "h1", "ok")]
    assert ids(collect_findings(given, ["h1", "h2"])) == expected
    assert ids(collect_findings(list(given.values()), ["h1", "h2"])) == expected


def test_collecting_names_domains_nobody_was_checked_for():
    found = collect_findings(
        hosts(h1={"check_a_findings": [OK]}), ["h1"], domains=["kubernetes", "a"], system="shop", measured_at=AT
    )
    assert found[0] == {
        "id": "kubernetes.not_configured",
        "system": "shop",
        "host": "",
        "object": "",
        "severity": "unknown",
        "value": None,
        "unit": None,
        "threshold": None,
        "summary": "kubernetes: not configured",
        "remedy": "No check of this kind ran. See whether targets, --limit or --tags left it out; then put a host into "
        "its group, or correct the name where it is expected (runbook_capabilities). Checked: a.",
        "priority": None,
        "source": "runbook.ops.collect_findings",
        "measured_at": AT,
        "ladder": {"warning": None, "critical": None},
    }
    assert len(found) == 2


@pytest.mark.parametrize(
    ("value", "summary"),
    [
        (StrictUndefined(name="x"), "not measured: check_a_findings is undefined, a list of findings was expected"),
        ("text", "not measured: check_a_findings is str, a list of findings was expected"),
        (None, "not measured: check_a_findings is NoneType, a list of findings was expected"),
        ([{"id": "x"}], "not measured: check_a_findings[0] is no finding"),
        ([], "not measured: no check ran for this host"),
    ],
)
def test_what_is_wrong_with_one_host_is_a_finding(value, summary):
    (found,) = collect_findings(hosts(h1={"check_a_findings": value}), ["h1"])
    assert (found["severity"], found["summary"], found["host"]) == ("unknown", summary, "h1")


def test_a_host_that_does_not_exist_was_not_measured():
    assert ids(collect_findings({}, ["gone"])) == [("host.not_measured", "gone", "unknown")]
    assert ids(collect_findings({"gone": StrictUndefined()}, ["gone"])) == [("host.not_measured", "gone", "unknown")]


def test_collecting_says_when_nothing_was_configured():
    def of(**more):
        given = hosts(h1={"x_changes": [], "ansible_x_changes": [1], "_x_findings": []}, h2={"ansible_facts": {}})
        return collect_findings(given, ["h2", "h3"], measured_at="2026-05-04T00:00:00Z", **more)

    assert "playbook.not_configured" not in ids(of())
    assert "playbook.not_configured" not in ids(
        collect_findings(hosts(h1={"schedule_changes": []}), ["h1"], purpose="to be done")
    )
    found = next(each for each in of(purpose="to be backed up", needs="Name x") if each["host"] == "")
    assert (found["id"], found["severity"], found["priority"]) == ("playbook.not_configured", "unknown", "P1")
    assert found["summary"] == "Nothing was configured to be backed up"
    assert found["remedy"] == "Name x. Where a host failed before, its message says why."


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([{}], ["a", "b"]), "input: '1 mappings for 2 names' is not accepted"),
        ((5, ["a"]), "input: 'int' is not accepted"),
        (({}, "a"), "names: 'str' is not accepted"),
        (({}, None), "names: 'NoneType' is not accepted"),
        (({}, ["a"], "kubernetes"), "domains: 'kubernetes' is not accepted"),
        (({}, ["a"], [], "("), "pattern: '(' is not accepted"),
    ],
)
def test_bad_arguments_of_collect(arguments, message):
    with pytest.raises(AnsibleFilterError) as error:
        collect_findings(*arguments)
    assert str(error.value).startswith(f"collect_findings: {message}. Accepted: ")


# --- trend
def run(day, value, **more):
    return [make("warning", value=value, measured_at=f"2026-01-{day:02}T00:15:00Z", **more)]


NOW = "2026-01-31T00:15:01Z"


def test_trend():
    (entry,) = findings_trend(run(31, 120), [run(29, 100), run(25, 80), run(20, 1)], NOW)
    assert entry == {
        "id": "a.b",
        "host": "h1",
        "object": "",
        "severity": "warning",
        "previous_severity": "warning",
        "value": 120,
        "unit": None,
        "previous": 100,
        "previous_at": "2026-01-29T00:15:00Z",
        "change": 20,
        "change_percent": 20.0,
        "baseline": 80,
        "baseline_at": "2026-01-25T00:15:00Z",
        "baseline_change": 40,
        "baseline_change_percent": 50.0,
        "series": [
            {"at": "2026-01-25T00:15:00Z", "value": 80},
            {"at": "2026-01-29T00:15:00Z", "value": 100},
            {"at": "2026-01-31T00:15:00Z", "value": 120},
        ],
    }


@pytest.mark.parametrize(
    ("history", "previous", "change", "percent"),
    [
        ([], None, None, None),
        (None, None, None, None),
        ([run(29, 0)], 0, 120, None),
        ([run(29, -60)], -60, 180, 300.0),
        ([run(29, None)], None, None, None),
        ([run(29, True)], None, None, None),
        ([run(29, float("nan"))], None, None, None),
        ([run(29, "text")], None, None, None),
        ([run(29, 100, host="other")], None, None, None),
        ([run(29, 100, object="other")], None, None, None),
        ([{"measured_at": "2026-01-29T00:15:00Z", "findings": [{**run(1, 100)[0], "measured_at": ""}]}], 100, 20, 20.0),
        ([{"findings": run(29, 100)}], 100, 20, 20.0),
        ([{"findings": [{**run(1, 100)[0], "measured_at": ""}]}], None, None, None),
        ([run(31, 120)], None, None, None),
    ],
)
def test_the_change_since_the_previous_run(history, previous, change, percent):
    (entry,) = findings_trend(run(31, 120), history, NOW)
    assert (entry["previous"], entry["change"], entry["change_percent"]) == (previous, change, percent)


def test_an_unknown_value_has_no_change_but_keeps_its_history():
    (entry,) = findings_trend(run(31, None), [run(29, 100)], NOW)
    assert (entry["change"], entry["previous"]) == (None, 100)
    assert [point["value"] for point in entry["series"]] == [100, None]


def test_the_window():
    history = [run(day, day) for day in range(1, 31)]
    (entry,) = findings_trend(run(31, 31), history, NOW, days=2)
    assert [point["value"] for point in entry["series"]] == [30, 31]
    assert json.dumps(entry)


@pytest.mark.parametrize(
    ("history", "reference", "days"),
    [
        (5, NOW, 7),
        ([5], NOW, 7),
        ([[{}]], NOW, 7),
        ([], "now", 7),
        ([], NOW, 0),
        ([], NOW, "7"),
        ([], NOW, float("nan")),
        ([], NOW, 10**9),
    ],
)
def test_bad_arguments_of_trend(history, reference, days):
    with pytest.raises(AnsibleFilterError, match=r"is not accepted\. Accepted: "):
        findings_trend(run(31, 1), history, reference, days)
