"""The terminal: 100 columns, worst first, commands that can be copied, and no colour in plain text."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from typing import Any

import pytest

from ansible_collections.runbook.ops.plugins.plugin_utils.findings import sorted_findings
from ansible_collections.runbook.ops.plugins.plugin_utils.rendering.widths import width
from ansible_collections.runbook.ops.plugins.plugin_utils.report.terminal import terminal_lines

Make = Callable[..., dict[str, Any]]


def lines(
    findings: list[dict[str, Any]],
    columns: int = 100,
    paint: Callable[[str, str], str] = lambda text, _colour: text,
    **paths: str,
) -> list[str]:
    return terminal_lines(
        sorted_findings(findings),
        title="StoreBridge",
        moment="Fri 17 Oct 2025, 09:00 KST",
        paths=paths,
        columns=columns,
        paint=paint,
    )


def test_a_whole_table(make_finding: Make) -> None:
    findings = [
        make_finding(severity="ok"),
        make_finding(),
        make_finding(
            severity="critical",
            priority="P0",
            object="",
            value=6000,
            threshold="> 5000",
            remedy="Look: ansible-playbook x",
        ),
    ]
    assert lines(findings, columns=80, html="/srv/report.html", json="/srv/findings.json") == [
        "",
        "StoreBridge, Fri 17 Oct 2025, 09:00 KST",
        "SEVERITY     WHAT                                               VALUE  THRESHOLD",
        "-" * 80,
        "CRITICAL P0  storebridge-redis                                  6,000  > 5000",
        "             1,340 tasks wait in queue batch",
        "             Look:",
        "             ansible-playbook x",
        "WARNING P2   storebridge-redis batch                            1,340  > 1000",
        "             1,340 tasks wait in queue batch",
        "             ansible-playbook runbook.ops.inspect_queues -e queue=batch",
        "-" * 80,
        "1 critical, 1 warning, 0 unknown, 1 ok",
        "html  /srv/report.html",
        "json  /srv/findings.json",
        "",
    ]


def test_fine_findings_are_counted_not_listed(make_finding: Make) -> None:
    assert lines([make_finding(severity="ok")] * 43) == [
        "",
        "StoreBridge, Fri 17 Oct 2025, 09:00 KST",
        "0 critical, 0 warning, 0 unknown, 43 ok",
        "",
    ]


def test_nothing_checked() -> None:
    assert lines([])[2] == "No findings: nothing was checked."


@pytest.mark.parametrize("columns", [80, 100, 120])
def test_the_sample_fits(sample_findings: list[dict[str, Any]], columns: int) -> None:
    for line in lines(sample_findings, columns):
        assert width(line) <= columns, line
        assert line == line.rstrip()


def test_a_long_command_can_be_pasted_into_a_shell(make_finding: Make) -> None:
    command = "ansible-playbook runbook.ops.maintain_monthly --tags vacuum -e tables=public.jobs -e 'note=a b' --check"
    shown = lines([make_finding(remedy=command)], columns=80)
    start = next(at for at, line in enumerate(shown) if "ansible-playbook" in line)
    end = next(at for at, line in enumerate(shown[start:], start) if not line.endswith("\\"))
    assert end > start
    assert shlex.split("\n".join(shown[start : end + 1]).replace("\\\n", "")) == shlex.split(command)


def test_terminal_escapes_from_a_server_do_not_reach_the_terminal(make_finding: Make) -> None:
    evil = "\x1b]0;title\x07\x1b[2Jgone\r\nnext"
    text = "\n".join(
        lines(
            [make_finding(host=evil, object=evil, summary=evil, remedy=evil, threshold=evil, priority=evil, value=evil)]
        )
    )
    assert "\x1b" not in text
    assert "\r" not in text
    assert "\x07" not in text


def test_colours_frame_the_severity_and_the_command_only(make_finding: Make) -> None:
    seen: list[tuple[str, str]] = []

    def paint(text: str, colour: str) -> str:
        seen.append((text, colour))
        return f"<{text}>"

    shown = lines([make_finding()], paint=paint)
    assert seen == [
        ("WARNING P2", "yellow"),
        ("ansible-playbook runbook.ops.inspect_queues -e queue=batch", "cyan"),
        ("1 warning", "yellow"),
    ]
    assert shown[4].startswith("<WARNING P2>   storebridge-redis batch")


def test_thousands_are_counted_not_printed(make_finding: Make) -> None:
    findings = [make_finding(severity=("critical", "warning")[n % 2], object=str(n)) for n in range(5000)]
    shown = lines(findings)
    assert len(shown) < 320
    assert "and 2,400 critical, 2,500 warning more, which only the files list" in shown


def test_korean_keeps_the_columns(make_finding: Make) -> None:
    plain, korean = (lines([make_finding(object=name)])[4] for name in ("batch", "수동 검토 큐"))
    assert width(plain.split("1,340")[0]) == width(korean.split("1,340")[0])
