"""Recoveries and drills on the page and on a terminal."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from ansible_collections.runbook.ops.plugins.plugin_utils.report.document import build_document
from ansible_collections.runbook.ops.plugins.plugin_utils.report.html import render_html
from ansible_collections.runbook.ops.plugins.plugin_utils.report.recovery_view import SOURCE, GoalLine, recovery_view
from ansible_collections.runbook.ops.plugins.plugin_utils.report.terminal_recovery import recovery_lines

NOW = dt.datetime(2026, 3, 1, 18, 0, tzinfo=dt.timezone.utc)
DRILL: dict[str, Any] = {
    "scenario": "database_gone",
    "summary": "The newest dump into an empty server",
    "is_drill": True,
    "rto": {"promised_seconds": 14400, "measured_seconds": 900},
    "rpo": {"promised_seconds": 3600, "measured_seconds": 50400},
    "phases": [
        {"name": "detect", "seconds": 300, "detail": "declared", "status": "assumed"},
        {"name": "copy", "seconds": 500, "detail": "127 MB"},
        {"name": "check", "seconds": 100, "detail": "", "status": "failed"},
    ],
    "notes": ["Declared phases are not measured."],
}


def facts(*recoveries: Any) -> dict[str, dict[str, Any]]:
    return {"storebridge-postgres": {SOURCE: {"recoveries": list(recoveries)}}}


@pytest.mark.parametrize(
    ("given", "line"),
    [
        (
            {"promised_seconds": 14400, "measured_seconds": 900},
            GoalLine("RTO", "back in service after", "4h", "15m", "ok"),
        ),
        (
            {"promised_seconds": 600, "measured_seconds": 900},
            GoalLine("RTO", "back in service after", "10m", "15m", "critical"),
        ),
        ({"measured_seconds": 900}, GoalLine("RTO", "back in service after", "not promised", "15m", "")),
        ({"promised_seconds": 600}, GoalLine("RTO", "back in service after", "10m", "not measured", "unknown")),
        (None, GoalLine("RTO", "back in service after", "not promised", "not measured", "unknown")),
    ],
    ids=["kept", "broken", "not promised", "not measured", "nothing"],
)
def test_promises(given: Any, line: GoalLine) -> None:
    [recovery] = recovery_view(facts({**DRILL, "rto": given}))
    assert recovery.goals[0] == line


def test_phases_lie_behind_each_other() -> None:
    [recovery] = recovery_view(facts(DRILL))
    assert [(each.name, each.took, each.start, each.width, each.severity) for each in recovery.phases] == [
        ("detect", "5m", 0.0, 33.33, "unknown"),
        ("copy", "8m20s", 33.33, 55.56, ""),
        ("check", "1m40s", 88.89, 11.11, "critical"),
    ]


@pytest.mark.parametrize("odd", [{}, {"recoveries": None}, {"recoveries": "x"}, {"recoveries": [1]}, None])
def test_without_recoveries_there_is_nothing(odd: Any) -> None:
    assert recovery_view({"host": {SOURCE: odd}}) == ()


def test_on_a_terminal() -> None:
    lines = recovery_lines(recovery_view(facts(DRILL)), columns=80, paint=lambda text, _colour: text)
    assert lines == [
        "",
        "Drill: database_gone (storebridge-postgres)",
        "The newest dump into an empty server",
        "-" * 80,
        "RTO: back in service after 15m; promised: 4h",
        "RPO: data lost of the last 14h; promised: 1h",
        "-" * 80,
        "detect     5m  ########................  declared",
        "copy    8m20s  ........#############...  127 MB",
        "check   1m40s  .....................###",
        "-" * 80,
        "Declared phases are not measured.",
    ]


def test_on_the_page() -> None:
    document = build_document(
        [],
        {},
        [],
        lambda data: data,
        title="Drill",
        moment=NOW,
        zone=dt.timezone.utc,
        recoveries=recovery_view(facts(DRILL)),
    )
    page = render_html(document)
    assert '<section class="recoveries"' in page
    assert "back in service after; promised: 4h" in page
    assert 'style="margin-left:33.33%;width:55.56%"' in page
