"""From findings to files: exactly the shape, no secret, honest about change."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption, RunbookError
from ansible_collections.runbook.ops.plugins.plugin_utils.report.publish import (
    FILE_NAMES,
    KEYS,
    Request,
    changes,
    diffs,
    message,
    prepare,
    write,
)

Make = Callable[..., dict[str, Any]]


@pytest.fixture
def request_for(tmp_path: Path) -> Callable[..., Request]:
    def make(findings: list[dict[str, Any]], **different: Any) -> Request:
        plain = Request(
            findings=findings,
            facts={},
            title="StoreBridge daily check",
            system="storebridge",
            destination=tmp_path / "report",
            formats=list(FILE_NAMES),
            history_directory=None,
            history_keep=400,
            reference_time=None,
            timezone="Asia/Seoul",
            secrets=[],
            mode=0o640,
        )
        return replace(plain, **different)

    return make


def publish(request: Request) -> list[str]:
    report = prepare(request)
    names = changes(report, request.mode)
    write(report, names, request.mode)
    return names


def test_the_agreed_keys() -> None:
    assert KEYS == (
        "id", "system", "host", "object", "severity", "value", "unit", "threshold", "summary", "remedy", "priority",
        "source", "measured_at", "ladder",
    )  # fmt: skip


def test_all_files_of_the_sample(
    sample_findings: list[dict[str, Any]],
    sample_facts: dict[str, Any],
    request_for: Callable[..., Request],
    tmp_path: Path,
) -> None:
    request = request_for(sample_findings, facts=sample_facts, history_directory=tmp_path / "history")
    assert sorted(publish(request)) == ["history", "html", "json", "junit", "markdown"]
    written = json.loads((tmp_path / "report" / "findings.json").read_text(encoding="utf-8"))
    assert len(written) == 60
    assert all(tuple(finding) == KEYS for finding in written)
    assert [finding["severity"] for finding in written[:4]] == ["critical", "critical", "critical", "warning"]
    suites = ET.parse(tmp_path / "report" / "findings.xml").getroot()
    assert suites.attrib["tests"] == "60"
    assert (
        (tmp_path / "report" / "report.md")
        .read_text(encoding="utf-8")
        .startswith("# StoreBridge daily check, Fri 17 Oct 2025, 09:00 KST\n")
    )
    assert [path.name for path in (tmp_path / "history").iterdir()] == ["findings-20251017T000004Z.json"]
    # The same again changes nothing, not even with history: it stands for the same moment.
    assert publish(request) == []


def test_what_is_odd_about_a_finding_is_put_right(make_finding: Make, request_for: Callable[..., Request]) -> None:
    odd = make_finding(value={"a": [1, float("nan")]}, system="", extra="x")
    del odd["ladder"]
    (finding,) = json.loads(prepare(request_for([odd])).texts["json"])
    assert finding["value"] == {"a": [1, None]}
    assert finding["system"] == "storebridge"
    assert finding["ladder"] is None
    assert "extra" not in finding


def test_what_json_cannot_write_is_no_value(make_finding: Make, request_for: Callable[..., Request]) -> None:
    report = prepare(request_for([make_finding(value=value) for value in (float("nan"), float("inf"))]))
    assert [finding["value"] for finding in json.loads(report.texts["json"])] == [None, None]


SECRET = "p@ss:w/rd%ä"


def test_no_secret_in_any_file(make_finding: Make, request_for: Callable[..., Request], tmp_path: Path) -> None:
    findings = [
        make_finding(
            **dict.fromkeys(
                ("object", "summary", "remedy", "host", "value"), f"{SECRET} postgresql://app:{SECRET}@db/x"
            )
        ),
        make_finding(summary="login with password=hunter2hunter2 failed", ladder={"warning": SECRET, "critical": None}),
    ]
    facts = {
        "storebridge-redis": {
            "runbook.ops.redis_queue_info": {
                "login_password": SECRET,
                "queues": [{"name": "batch", "dsn": f"redis://:{SECRET}@h"}],
                SECRET: 1,
            }
        }
    }
    request = request_for(findings, facts=facts, secrets=[SECRET], history_directory=tmp_path / "history")
    publish(request)
    for path in tmp_path.rglob("*"):
        if path.is_file():
            text = path.read_text(encoding="utf-8")
            assert SECRET not in text, path
            assert "p%40ss" not in text, path
            assert "hunter2hunter2" not in text, path


def test_history_feeds_the_page_and_is_pruned(
    make_finding: Make, request_for: Callable[..., Request], tmp_path: Path
) -> None:
    kept = tmp_path / "history"
    for day in range(10, 17):
        request = request_for(
            [make_finding(value=day * 100, measured_at=f"2025-10-{day}T00:00:00Z")],
            history_directory=kept,
            history_keep=3,
        )
        publish(request)
    assert sorted(path.name for path in kept.iterdir()) == [
        f"findings-202510{day}T000000Z.json" for day in (14, 15, 16)
    ]
    assert "+300 since 13 Oct" in (tmp_path / "report" / "report.html").read_text(encoding="utf-8")


def test_a_broken_history_file_is_said_on_the_page(
    make_finding: Make, request_for: Callable[..., Request], tmp_path: Path
) -> None:
    kept = tmp_path / "history"
    kept.mkdir()
    (kept / "findings-20251010T000000Z.json").write_text("{")
    report = prepare(request_for([make_finding()], history_directory=kept))
    assert len(report.problems) == 1
    assert "was left out" in report.texts["html"]


@pytest.mark.parametrize(
    ("severities", "said"),
    [
        (["critical", "warning", "warning", "unknown", "ok"],
         "StoreBridge daily check: 1 critical, 2 warning, 1 unknown. "
         "Worst: storebridge-redis batch: 1,340 tasks wait in queue batch. Report: {folder}/report.html."),
        (["unknown"], "StoreBridge daily check: 1 unknown. "
         "Worst: storebridge-redis batch: 1,340 tasks wait in queue batch. Report: {folder}/report.html."),
        (["ok", "ok"], "StoreBridge daily check: 2 ok. Report: {folder}/report.html."),
        ([], "StoreBridge daily check: nothing was checked. Report: {folder}/report.html."),
    ],
)  # fmt: skip
def test_message(
    make_finding: Make, request_for: Callable[..., Request], tmp_path: Path, severities: list[str], said: str
) -> None:
    report = prepare(request_for([make_finding(severity=severity) for severity in severities]))
    assert message(report, "StoreBridge daily check") == said.format(folder=tmp_path / "report")


def test_the_message_is_one_line_without_files_too(make_finding: Make, request_for: Callable[..., Request]) -> None:
    report = prepare(request_for([make_finding(summary="two\nlines \x1b[31m")], formats=[], destination=None))
    assert message(report, "Check") == "Check: 1 warning. Worst: storebridge-redis batch: two lines [31m."


def test_diffs_show_text_and_only_the_size_of_the_page(make_finding: Make, request_for: Callable[..., Request]) -> None:
    report = prepare(request_for([make_finding()]))
    shown = {Path(diff["after_header"]).name: diff for diff in diffs(report, list(report.texts))}
    assert set(shown) == set(FILE_NAMES.values())
    assert shown["report.html"]["after"].startswith("(a page of ")
    assert '"queue.depth"' in shown["findings.json"]["after"]
    assert shown["findings.json"]["before"] == ""


@pytest.mark.parametrize(
    ("different", "said"),
    [
        ({"timezone": "Asia/Soul"}, "did you mean Asia/Seoul"),
        ({"reference_time": "yesterday"}, "reference_time: 'yesterday' is not accepted"),
        (
            {"destination": None},
            "destination: '' is not accepted. Accepted: a directory for the files, or an empty list of formats.",
        ),
        ({"findings": [{"id": "x"}]}, "findings[0]"),
    ],
)
def test_bad_input_is_one_sentence(
    make_finding: Make, request_for: Callable[..., Request], different: dict[str, Any], said: str
) -> None:
    with pytest.raises(InvalidOption) as caught:
        prepare(request_for(**{"findings": [make_finding()], **different}))
    assert said in caught.value.message


def test_a_directory_that_is_a_file_is_one_sentence(
    make_finding: Make, request_for: Callable[..., Request], tmp_path: Path
) -> None:
    (tmp_path / "report").write_text("x")
    with pytest.raises(RunbookError, match="Choose a directory that the user running Ansible may write to"):
        publish(request_for([make_finding()]))
