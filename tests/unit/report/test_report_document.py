"""The page's view model: order, groups, bounds, what is new, what has gone, and which words."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption
from ansible_collections.runbook.ops.plugins.plugin_utils.report.document import build_document
from ansible_collections.runbook.ops.plugins.plugin_utils.report.model import Document
from ansible_collections.runbook.ops.plugins.plugin_utils.report.wording import (
    command_pieces,
    measured_moment,
    show_moment,
    split_remedy,
    verdict,
    with_inventories,
)

Make = Callable[..., dict[str, Any]]
MOMENT = dt.datetime(2025, 10, 17, 0, 0, 4, tzinfo=dt.timezone.utc)
SEOUL = ZoneInfo("Asia/Seoul")


def build(
    findings: Sequence[dict[str, Any]], history: Sequence[dict[str, Any]] = (), facts: dict[str, Any] | None = None
) -> Document:
    return build_document(findings, facts or {}, history, lambda data: data, title="Check", moment=MOMENT, zone=SEOUL)


def run(moment: str, *findings: dict[str, Any]) -> dict[str, Any]:
    keys = ("id", "host", "object", "value", "unit", "severity")
    return {"measured_at": moment, "findings": [{key: finding[key] for key in keys} for finding in findings]}


def test_the_sample(
    sample_findings: list[dict[str, Any]], sample_facts: dict[str, Any], sample_history: list[dict[str, Any]]
) -> None:
    document = build(sample_findings, sample_history, sample_facts)
    assert document.headline == "3 critical findings need action now"
    assert document.detail == "Besides: 10 warnings, 4 checks that could not be made and 43 checks fine."
    assert [(tile.severity, tile.count, tile.change) for tile in document.tiles] == [
        ("critical", 3, 2),
        ("warning", 10, -1),
        ("unknown", 4, 2),
        ("ok", 43, -3),
    ]
    assert (document.systems, document.hosts_total, document.total) == (1, 8, 60)
    assert document.previous == "Thu 16 Oct 2025, 09:00"
    assert document.fresh_total == 6
    assert [(gone.rule, gone.host) for gone in document.gone] == [
        ("http.latency", "storebridge-api"),
        ("redis.hit_ratio", "storebridge-redis"),
    ]
    (section,) = document.sections
    assert [(group.severity, group.total) for group in section.groups] == [
        ("critical", 3),
        ("warning", 10),
        ("unknown", 4),
    ]
    first = section.groups[0].cards[0]
    assert (first.rule, first.priority, first.fresh, first.value) == ("backup.age", "P0", False, "8d")
    assert first.steps == (("warning", "> 26 h"), ("critical", "> 50 h"))
    assert first.trend is not None
    assert first.trend.text == "+7d since 4 Oct"
    assert len(document.runs) == 14


@pytest.mark.parametrize(
    ("counts", "headline", "detail"),
    [
        ((1, 0, 0, 0), "1 critical finding needs action now", ""),
        ((2, 1, 1, 9), "2 critical findings need action now",
         "Besides: 1 warning, 1 check that could not be made and 9 checks fine."),
        ((0, 1, 0, 0), "1 warning to look at, nothing critical", ""),
        ((0, 2, 0, 1), "2 warnings to look at, nothing critical", "Besides: 1 check fine."),
        ((0, 0, 1, 5), "No problem found, but 1 check could not be made", "Besides: 5 checks fine."),
        ((0, 0, 0, 1), "The one check is fine", "Every value was measured and lies within its limits."),
        ((0, 0, 0, 1200), "All 1,200 checks are fine", "Every value was measured and lies within its limits."),
        ((0, 0, 0, 0), "Nothing was checked",
         "No host delivered a finding, so nothing is known. Was the round limited to no host?"),
    ],
)  # fmt: skip
def test_verdict(counts: tuple[int, int, int, int], headline: str, detail: str) -> None:
    severities = dict(zip(("critical", "warning", "unknown", "ok"), counts))
    ordered = [{"severity": severity} for severity, count in severities.items() for _number in range(count)]
    assert verdict(ordered, severities) == (headline, detail)


def test_nothing_checked_is_not_ok() -> None:
    document = build([])
    assert document.severity == "unknown"
    assert document.sections == ()


def test_systems_with_the_worst_finding_come_first(make_finding: Make) -> None:
    document = build(
        [
            make_finding(system="a", severity="ok"),
            make_finding(system="b", severity="critical"),
            make_finding(system="", severity="unknown", value=None),
        ]
    )
    assert [section.name for section in document.sections] == ["b", "", "a"]
    assert document.sections[2].groups == ()
    assert document.sections[2].ok_total == 1


def test_unknown_says_so_and_has_no_marker(make_finding: Make) -> None:
    document = build([make_finding(severity="unknown", value=None)])
    card = document.sections[0].groups[0].cards[0]
    assert (card.value, card.missing) == ("Not measured", True)
    assert card.ladder is not None
    assert card.ladder.marker is None


@pytest.mark.parametrize(
    ("changes", "value", "steps", "drawn"),
    [
        pytest.param({"value": 12.5, "unit": "percent", "ladder": {"warning": "> 80 %", "critical": None}},
                     "12.5 %", (("warning", "> 80 %"),), True, id="number"),
        pytest.param({"value": 900, "unit": "milliseconds", "ladder": {"warning": "> 500", "critical": "> 2s"}},
                     "900 ms", (("warning", "> 500 ms"), ("critical", "> 2s")), True, id="unit added to a bare number"),
        pytest.param({"value": 81e9, "unit": "bytes", "ladder": {"warning": "> 80 GB", "critical": None}},
                     "81 GB", (("warning", "> 80 GB"),), True, id="bytes"),
        pytest.param({"value": False, "unit": "bool", "ladder": {"warning": None, "critical": "== false"}},
                     "no", (("critical", "if no"),), False, id="flag"),
        pytest.param({"value": "noeviction", "unit": "text", "ladder": {"warning": "!= noeviction", "critical": None}},
                     "noeviction", (("warning", "!= noeviction"),), False, id="text"),
        pytest.param({"value": 3, "unit": "count", "ladder": {"warning": "!= 1", "critical": None}},
                     "3", (("warning", "!= 1"),), False, id="equality has no axis"),
        pytest.param({"value": 3, "unit": "count", "ladder": {"warning": "rubbish", "critical": None}},
                     "3", (("warning", "rubbish"),), False, id="unreadable threshold"),
        pytest.param({"value": None, "ladder": None}, "No value", (), False, id="no value, no ladder"),
        pytest.param({"value": ["a"], "unit": None, "ladder": {}}, "['a']", (), False, id="a list"),
    ],
)  # fmt: skip
def test_value_and_ladder(make_finding: Make, changes: dict[str, Any], value: str, steps: Any, drawn: bool) -> None:
    card = build([make_finding(**changes)]).sections[0].groups[0].cards[0]
    assert card.value == value
    assert card.steps == steps
    assert (card.ladder is not None) is drawn


@pytest.mark.parametrize(
    ("before", "now", "fresh"),
    [
        pytest.param(None, "warning", True, id="not there before"),
        pytest.param("ok", "warning", True, id="was ok"),
        pytest.param("warning", "critical", True, id="became worse"),
        pytest.param("warning", "warning", False, id="as before"),
        pytest.param("critical", "ok", False, id="ok is never new"),
    ],
)
def test_new(make_finding: Make, before: str | None, now: str, fresh: bool) -> None:
    other = make_finding(id="redis.memory", severity="ok")
    past = run("2025-10-16T00:00:00Z", other, *([make_finding(severity=before)] if before else []))
    document = build([make_finding(severity=now), other], [past])
    assert document.fresh_total == int(fresh)


def test_a_smaller_round_in_between_is_no_gap(make_finding: Make) -> None:
    other = make_finding(id="redis.memory", object="", severity="ok")
    rounds = [
        run("2025-10-15T00:00:00Z", make_finding(value=10), make_finding(id="a.b", severity="critical"), other),
        run("2025-10-15T13:00:00Z", other),
        run("2025-10-16T00:00:00Z", make_finding(value=12), make_finding(id="a.b", severity="critical"), other),
        run("2025-10-16T13:00:00Z", other),
    ]
    document = build([make_finding(value=15), make_finding(id="a.b", severity="ok", object=""), other], rounds)
    (group,) = document.sections[0].groups
    assert document.fresh_total == 0
    assert [gone.rule for gone in document.gone] == ["a.b"]
    assert group.cards[0].trend is not None
    assert group.cards[0].trend.values == (10, 12, 15)
    assert [(tile.severity, tile.change) for tile in document.tiles] == [
        ("critical", -1),
        ("warning", 0),
        ("unknown", 0),
        ("ok", 1),
    ]
    # The chart shows the rounds of this size and this one.
    assert len(document.runs) == 3
    assert document.previous == "Thu 16 Oct 2025, 22:00"


def test_nothing_is_new_without_history(make_finding: Make) -> None:
    document = build([make_finding()])
    assert document.fresh_total == 0
    assert document.previous == ""
    assert all(tile.change is None for tile in document.tiles)


@pytest.mark.parametrize(
    ("now", "gone"),
    [
        pytest.param([{"severity": "ok", "object": ""}], 1, id="the rule found everything fine"),
        pytest.param([{"severity": "warning", "object": "other"}], 1, id="judged, and this item is not among the bad"),
        pytest.param([{"severity": "warning"}], 0, id="still there"),
        pytest.param(
            [{"severity": "unknown", "object": "", "value": None}], 0, id="could not be measured: nothing is solved"
        ),
        pytest.param([{"severity": "ok", "host": "elsewhere"}], 0, id="another host says nothing"),
        pytest.param([], 0, id="not judged"),
    ],
)
def test_gone(make_finding: Make, now: list[dict[str, Any]], gone: int) -> None:
    document = build([make_finding(**changes) for changes in now], [run("2025-10-16T00:00:00Z", make_finding())])
    assert document.gone_total == gone


@pytest.mark.parametrize(
    ("values", "unit", "text"),
    [
        ([10, 12, 15], "count", "+5 since 14 Oct"),
        ([15, 10], "count", "−5 since 15 Oct"),
        ([80, 90], "percent", "+10 points since 15 Oct"),
        ([7, 7, 7], "count", "unchanged over 3 runs"),
        ([7, 8, None], "count", "3 runs since 14 Oct"),
        ([7, None, 9], "count", "+2 since 14 Oct"),
        ([7, None], "count", None),
        ([None, 7, 9], "count", "+2 since 15 Oct"),
        ([None, 7], "count", None),
        ([7], "count", None),
        (["a", "b"], "text", None),
        ([True, False], "bool", None),
    ],
)
def test_trend(make_finding: Make, values: list[Any], unit: str, text: str | None) -> None:
    past = [
        run(f"2025-10-{17 - len(values) + at}T00:00:00Z", make_finding(value=value, unit=unit))
        for at, value in enumerate(values[:-1])
    ]
    card = build([make_finding(value=values[-1], unit=unit)], past).sections[0].groups[0].cards[0]
    assert (card.trend.text if card.trend else None) == text


def test_twenty_thousand_findings_stay_bounded_and_counted(make_finding: Make) -> None:
    findings = [make_finding(id=f"rule.{number % 400}", object=str(number)) for number in range(12_000)]
    findings += [make_finding(severity="ok", object=str(number), host=f"h{number}") for number in range(8_000)]
    document = build(findings)
    (section,) = document.sections
    (group,) = section.groups
    assert group.total == 12_000
    assert len(group.cards) == 200
    assert sum(count for _rule, count in group.left_out) == 11_800
    assert (len(section.ok), section.ok_total) == (500, 8_000)
    assert (len(document.hosts), document.hosts_total) == (60, 8_001)


def test_one_rule_does_not_crowd_out_the_others(make_finding: Make) -> None:
    findings = [make_finding(id="a.many", object=str(number)) for number in range(1000)] + [make_finding(id="z.one")]
    (group,) = build(findings).sections[0].groups
    assert [card.rule for card in group.cards].count("a.many") == 25
    assert group.cards[-1].rule == "z.one"
    assert group.left_out == (("a.many", 975),)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("", []),
        ("Ask the vendor.", [("text", "Ask the vendor.")]),
        ("ansible-playbook runbook.ops.x -e a=b", [("command", "ansible-playbook runbook.ops.x -e a=b")]),
        (
            "Look first: ansible-playbook runbook.ops.x.",
            [("text", "Look first:"), ("command", "ansible-playbook runbook.ops.x")],
        ),
        (
            "Run `make x` and `make y`.",
            [("text", "Run"), ("command", "make x"), ("text", "and"), ("command", "make y")],
        ),
        ("First this\nredis-cli info", [("text", "First this"), ("command", "redis-cli info")]),
        ("Use psql to look", [("text", "Use psql to look")]),
        ("Is it up: curl -fsS http://x", [("text", "Is it up:"), ("command", "curl -fsS http://x")]),
        ("Read https://docs/ansible-playbook now", [("text", "Read https://docs/ansible-playbook now")]),
    ],
)
def test_split_remedy(text: str, parts: list[tuple[str, str]]) -> None:
    assert list(split_remedy(text).parts) == parts


@pytest.mark.parametrize(
    ("remedy", "inventories", "shown"),
    [
        ("Look: ansible-playbook runbook.ops.inspect_queues --check", ["a", "b/c"],
         "Look: ansible-playbook runbook.ops.inspect_queues -i a -i b/c --check"),
        ("Run `ansible-playbook runbook.ops.clean_up`.", ["a"], "Run `ansible-playbook runbook.ops.clean_up -i a`."),
        ("ansible-playbook runbook.ops.clean_up -i b", ["a"], "ansible-playbook runbook.ops.clean_up -i b"),
        ("ansible-playbook runbook.ops.clean_up", [], "ansible-playbook runbook.ops.clean_up"),
        ("ansible-playbook runbook.ops.clean_up", ["a", "b; reboot"], "ansible-playbook runbook.ops.clean_up"),
        ("the playbook runbook.ops.clean_up", ["a"], "the playbook runbook.ops.clean_up"),
        ("", ["a"], ""),
    ],
)  # fmt: skip
def test_commands_get_the_inventories_of_the_run(remedy: str, inventories: list[str], shown: str) -> None:
    assert with_inventories(remedy, inventories) == shown


@pytest.mark.parametrize(
    ("command", "pieces"),
    [
        ("ansible-playbook x -e a=1 --check", ["ansible-playbook", "x", "-e a=1", "--check"]),
        ("curl -fsS http://x", ["curl", "-fsS http://x"]),
        ("x --tags=a -v", ["x", "--tags=a", "-v"]),
        ("", []),
    ],
)
def test_command_pieces(command: str, pieces: list[str]) -> None:
    assert command_pieces(command) == pieces


@pytest.mark.parametrize(
    ("zone", "local", "name", "utc"),
    [
        ("Asia/Seoul", "Fri 17 Oct 2025, 09:00", "KST", "00:00 UTC"),
        ("America/Los_Angeles", "Thu 16 Oct 2025, 17:00", "PDT", "2025-10-17 00:00 UTC"),
        ("UTC", "Fri 17 Oct 2025, 00:00", "UTC", ""),
    ],
)
def test_show_moment(zone: str, local: str, name: str, utc: str) -> None:
    shown = show_moment(MOMENT, ZoneInfo(zone))
    assert (shown.local, shown.zone, shown.utc, shown.iso) == (local, name, utc, "2025-10-17T00:00:04Z")


def test_measured_moment(make_finding: Make) -> None:
    now = dt.datetime(2026, 1, 1, tzinfo=dt.timezone.utc)
    findings = [make_finding(), make_finding(measured_at="2025-10-17T00:00:09Z"), make_finding(measured_at="rubbish")]
    assert measured_moment(findings, None, now) == MOMENT.replace(second=9)
    assert measured_moment([], None, now) == now
    assert measured_moment(findings, "2025-10-17T09:00:00+09:00", now) == MOMENT.replace(second=0)
    with pytest.raises(InvalidOption, match="reference_time"):
        measured_moment(findings, "2025-10-17 09:00", now)
