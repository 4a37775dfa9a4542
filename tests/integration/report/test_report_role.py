"""The report role as a user runs it: ansible-playbook and ansible-runner over findings that hosts carry."""

from __future__ import annotations

import json
import os
import re
import shlex
import stat
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Callable
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import yaml

REPOSITORY = Path(__file__).resolve().parents[3]
COLLECTIONS = REPOSITORY / "build" / "collections"
SAMPLE = REPOSITORY / "tests" / "unit" / "report" / "data"
SECRET = "p@ss/w:rd%ä-planted"
SHAPE = [
    "id", "system", "host", "object", "severity", "value", "unit", "threshold", "summary", "remedy", "priority",
    "source", "measured_at", "ladder",
]  # fmt: skip
FILES = {"report.html", "findings.json", "findings.xml", "report.md"}


@dataclass(frozen=True)
class Run:
    returncode: int
    output: str


Player = Callable[..., Run]


def sample_by_host() -> dict[str, list[dict[str, Any]]]:
    hosts: dict[str, list[dict[str, Any]]] = {}
    for finding in json.loads((SAMPLE / "findings.json").read_text(encoding="utf-8")):
        hosts.setdefault(finding["host"], []).append(finding)
    return hosts


def write_project(folder: Path, findings: dict[str, list[dict[str, Any]]], **variables: Any) -> Path:
    """An inventory whose hosts already carry findings, as the check roles leave them, and a playbook with the role."""
    facts = json.loads((SAMPLE / "facts.json").read_text(encoding="utf-8"))
    hosts: dict[str, Any] = {"never-visited": {}}
    for host, members in findings.items():
        hosts[host] = {"check_sample_findings": members, "postgresql_login_password": SECRET}
        for source, measured in facts.get(host, {}).items():
            hosts[host][f"check_{source.rsplit('.', 1)[-1]}_facts"] = measured
    (folder / "inventory").mkdir()
    # JSON is YAML; the values hold nothing that looks like a template.
    (folder / "inventory" / "hosts.yml").write_text(json.dumps({"all": {"hosts": hosts}}), encoding="utf-8")
    play = {
        "name": "Report",
        "hosts": "localhost",
        "connection": "local",
        "gather_facts": False,
        "vars": {
            "report_title": "StoreBridge daily check",
            "report_destination": str(folder / "report"),
            "report_fail_on": "never",
            "runbook_timezone": "Asia/Seoul",
            **variables,
        },
        "roles": [{"role": "runbook.ops.report"}],
    }
    playbook = folder / "project" / "report.yml"
    playbook.parent.mkdir()
    playbook.write_text(yaml.safe_dump([play]), encoding="utf-8")
    return playbook


@pytest.fixture
def play(tmp_path: Path) -> Player:
    def run(playbook: Path, *arguments: str, **environment: str) -> Run:
        completed = subprocess.run(
            [
                str(Path(sys.executable).with_name("ansible-playbook")),
                str(playbook),
                "-i",
                str(playbook.parents[1] / "inventory"),
                *arguments,
            ],
            env={
                **os.environ,
                "ANSIBLE_COLLECTIONS_PATH": str(COLLECTIONS),
                "ANSIBLE_HOME": str(tmp_path / "ansible"),
                "ANSIBLE_NOCOLOR": "1",
                "ANSIBLE_LOCALHOST_WARNING": "0",
                **environment,
            },
            cwd=tmp_path,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=300,
            check=False,
        )
        assert "Traceback" not in completed.stdout, completed.stdout
        return Run(completed.returncode, completed.stdout)

    return run


class WellFormed(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.severities: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.severities += [str(value) for name, value in attrs if name == "data-severity"]
        if tag not in {"meta", "input"}:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_files_table_and_history(tmp_path: Path, play: Player) -> None:
    playbook = write_project(tmp_path, sample_by_host(), report_history_directory=str(tmp_path / "history"))
    run = play(playbook, "--diff")
    assert run.returncode == 0, run.output
    report = tmp_path / "report"
    assert {path.name for path in report.iterdir()} == FILES
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o640 for path in report.iterdir())

    findings = json.loads((report / "findings.json").read_text(encoding="utf-8"))
    assert len(findings) == 60
    assert all(list(finding) == SHAPE for finding in findings)
    assert "never-visited" not in {finding["host"] for finding in findings}

    suites = ET.parse(report / "findings.xml").getroot()
    assert (suites.attrib["tests"], suites.attrib["failures"], suites.attrib["errors"]) == ("60", "3", "4")

    page = (report / "report.html").read_text(encoding="utf-8")
    assert WellFormed(page).severities.count("critical") == 3
    # The facts were found under the module that the findings name.
    assert "health.connections" in page

    assert (
        (report / "report.md")
        .read_text(encoding="utf-8")
        .startswith("# StoreBridge daily check, Fri 17 Oct 2025, 09:00 KST\n")
    )
    (kept,) = (tmp_path / "history").iterdir()
    assert kept.name == "findings-20251017T000004Z.json"
    assert set(json.loads(kept.read_text(encoding="utf-8"))[0]) == {"id", "host", "object", "value", "unit", "severity"}

    table = run.output[run.output.index("StoreBridge daily check, Fri 17 Oct 2025, 09:00 KST") :]
    labels = re.findall(r"^(CRITICAL|WARNING|UNKNOWN|OK)\b", table, re.MULTILINE)
    assert labels == ["CRITICAL"] * 3 + ["WARNING"] * 10 + ["UNKNOWN"] * 4
    assert "3 critical, 10 warning, 4 unknown, 43 ok" in table
    assert f"html      {report}/report.html" in table
    assert "\x1b" not in run.output


def test_the_table_fits_a_terminal_of_eighty_columns(tmp_path: Path) -> None:
    """Ansible leaves one column free, and says 79 where there is no terminal, too."""
    playbook = write_project(tmp_path, sample_by_host(), report_formats=[])
    program = str(Path(sys.executable).with_name("ansible-playbook"))
    command = shlex.join([program, str(playbook), "-i", str(tmp_path / "inventory")])
    completed = subprocess.run(
        ["script", "-qec", f"stty cols 80; {command}", "/dev/null"],
        env={
            **os.environ,
            "ANSIBLE_COLLECTIONS_PATH": str(COLLECTIONS),
            "ANSIBLE_HOME": str(tmp_path / "ansible"),
            "NO_COLOR": "1",
        },
        cwd=tmp_path,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
        timeout=300,
        check=True,
    )
    assert "\x1b[" not in completed.stdout
    lines = completed.stdout.splitlines()
    start = lines.index("-" * 79)
    assert lines[start - 1].startswith("SEVERITY")
    end = next(at for at, line in enumerate(lines) if line.startswith("3 critical, "))
    assert max(len(line) for line in lines[start:end]) <= 79


def test_again_changes_nothing(tmp_path: Path, play: Player) -> None:
    playbook = write_project(tmp_path, sample_by_host())
    assert "changed=1" in play(playbook).output
    before = {path: (path.stat().st_mtime_ns, path.stat().st_ino) for path in (tmp_path / "report").iterdir()}
    again = play(playbook)
    assert "changed=0" in again.output
    assert {path: (path.stat().st_mtime_ns, path.stat().st_ino) for path in (tmp_path / "report").iterdir()} == before


def test_check_mode_prints_and_writes_nothing(tmp_path: Path, play: Player) -> None:
    playbook = write_project(tmp_path, sample_by_host(), report_history_directory=str(tmp_path / "history"))
    run = play(playbook, "--check", "--diff")
    assert run.returncode == 0, run.output
    assert "changed=1" in run.output
    assert "3 critical, 10 warning, 4 unknown, 43 ok" in run.output
    assert '+  "id": "backup.age"' in run.output.replace("+    ", "+  ")
    assert not (tmp_path / "report").exists()
    assert not (tmp_path / "history").exists()


@pytest.mark.parametrize(
    ("fail_on", "worst", "returncode"),
    [
        ("never", "critical", 0),
        ("critical", "critical", 2),
        ("critical", "warning", 0),
        ("warning", "warning", 2),
        ("warning", "unknown", 0),
        ("unknown", "unknown", 2),
        ("unknown", "warning", 2),
        ("unknown", "ok", 0),
    ],
)
def test_fail_on(tmp_path: Path, play: Player, fail_on: str, worst: str, returncode: int) -> None:
    order = ["ok", "unknown", "warning", "critical"]
    wanted = order[: order.index(worst) + 1]
    findings = {
        host: kept
        for host, members in sample_by_host().items()
        if (kept := [finding for finding in members if finding["severity"] in wanted])
    }
    playbook = write_project(tmp_path, findings, report_fail_on=fail_on, report_formats=["json"])
    run = play(playbook)
    assert run.returncode == returncode, run.output


def test_the_failure_is_one_sentence(tmp_path: Path, play: Player) -> None:
    run = play(write_project(tmp_path, sample_by_host(), report_fail_on="critical"))
    assert run.returncode == 2
    sentence = (
        "StoreBridge daily check: 3 critical, 10 warning, 4 unknown. "
        "Worst: storebridge-backups postgres/storebridge: "
        "The newest usable backup is 8 days old (storebridge-20251009.sql.gz). "
        f"Report: {tmp_path}/report/report.html."
    )
    (fatal,) = [line for line in run.output.splitlines() if line.startswith("fatal:")]
    assert json.loads(fatal.split(" => ", 1)[1]) == {"changed": False, "msg": sentence}
    # The files are there although the run failed.
    assert {path.name for path in (tmp_path / "report").iterdir()} == FILES


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"report_fail_on": "sometimes"}, "value of report_fail_on must be one of: never, unknown, warning, critical"),
        ({"report_formats": ["pdf"]}, "report_formats"),
        ({"report_timezone": "Asia/Soul"}, "did you mean Asia/Seoul?"),
        ({"report_reference_time": "2025-10-17 09:00"}, "an ISO 8601 moment with timezone"),
        ({"report_file_mode": "rw"}, "mode: 'rw' is not accepted."),
        ({"report_trend_rules": [{"id": "trend.x", "value": "a"}]}, "Set report_history_directory to a directory"),
        ({"report_destination": "/proc/nowhere"}, "Cannot write /proc/nowhere/"),
    ],
)
def test_bad_input_is_one_message(tmp_path: Path, play: Player, variables: dict[str, Any], said: str) -> None:
    run = play(write_project(tmp_path, sample_by_host(), **variables))
    assert run.returncode == 2
    assert said in run.output


def test_what_must_be_there_is_missed(tmp_path: Path, play: Player) -> None:
    playbook = write_project(
        tmp_path,
        {"storebridge-api": sample_by_host()["storebridge-api"]},
        report_expected=["http", "postgresql"],
        report_expected_hosts=["never-visited"],
        report_formats=["json"],
    )
    assert play(playbook).returncode == 0
    findings = json.loads((tmp_path / "report" / "findings.json").read_text(encoding="utf-8"))
    missed = [(finding["id"], finding["host"]) for finding in findings if finding["severity"] == "unknown"]
    assert missed == [("postgresql.not_configured", ""), ("host.not_measured", "never-visited")]


def test_a_round_that_visited_nobody_is_no_success(tmp_path: Path, play: Player) -> None:
    """A mistyped pattern or tag leaves nothing to judge, and a scheduler would take that for a good day."""
    playbook = write_project(tmp_path, {}, report_expected=["http"], report_formats=[])
    run = play(playbook, "-e", "targets=shop-dbb report_fail_on=critical", "--tags", "mornng,all")
    assert run.returncode == 2
    assert "Nothing was measured. Look at what the run was limited to (targets=shop-dbb, --limit, --tags" in run.output
    assert "Checked: nothing." in " ".join(run.output.split())
    assert play(playbook, "-e", "report_fail_on=never").returncode == 0


def test_a_host_that_was_measured_but_not_judged_is_missed(tmp_path: Path, play: Player) -> None:
    playbook = write_project(
        tmp_path, {"storebridge-api": sample_by_host()["storebridge-api"]}, report_formats=["json"]
    )
    inventory = tmp_path / "inventory" / "hosts.yml"
    content = json.loads(inventory.read_text(encoding="utf-8"))
    content["all"]["hosts"]["never-visited"] = {"check_http_facts": {"failed": True, "msg": "bad option"}}
    inventory.write_text(json.dumps(content), encoding="utf-8")
    assert play(playbook).returncode == 0
    findings = json.loads((tmp_path / "report" / "findings.json").read_text(encoding="utf-8"))
    assert [finding["host"] for finding in findings if finding["severity"] == "unknown"] == ["never-visited"]


def test_runs_once_whatever_the_hosts_of_the_play(tmp_path: Path, play: Player) -> None:
    playbook = write_project(tmp_path, sample_by_host())
    playbook.write_text(
        playbook.read_text(encoding="utf-8").replace("hosts: localhost", "hosts: all"), encoding="utf-8"
    )
    run = play(playbook)
    assert run.returncode == 0, run.output
    assert run.output.count("3 critical, 10 warning, 4 unknown, 43 ok") == 1


TREND_RULE = {
    "id": "trend.queue",
    "each": "trend",
    "where": "id == queue.depth",
    "name": "{object}",
    "value": "baseline_change_percent",
    "unit": "percent",
    "warning": "> 20",
    "critical": "> 100",
    "summary": "The depth of {object} changed by {value}",
}


def test_worse_than_last_week(tmp_path: Path, play: Player) -> None:
    history = tmp_path / "history"
    playbook = write_project(
        tmp_path,
        {"storebridge-redis": sample_by_host()["storebridge-redis"]},
        report_history_directory=str(history),
        report_reference_time="2025-10-17T09:00:00+09:00",
        report_trend_rules=[TREND_RULE],
        report_formats=["json"],
    )

    def trend() -> list[tuple[str, str, Any]]:
        assert play(playbook).returncode == 0
        findings = json.loads((tmp_path / "report" / "findings.json").read_text(encoding="utf-8"))
        return [(f["severity"], f["object"], f["value"]) for f in findings if f["id"] == "trend.queue"]

    # Nothing to compare with is not "nothing became worse".
    assert [severity for severity, _object, _value in trend()] == ["unknown"]
    findings = json.loads((tmp_path / "report" / "findings.json").read_text(encoding="utf-8"))
    (unknown,) = [finding for finding in findings if finding["id"] == "trend.queue"]
    assert str(history) in unknown["summary"]

    entry = {"id": "queue.depth", "host": "storebridge-redis", "unit": "count", "severity": "ok"}
    (history / "findings-20251011T000000Z.json").write_text(
        json.dumps([{**entry, "object": "batch", "value": 1000}, {**entry, "object": "normal", "value": 118}])
    )
    (history / "findings-20250901T000000Z.json").write_text(json.dumps([{**entry, "object": "batch", "value": 1}]))
    assert trend() == [("warning", "batch", 34.0)]


def test_nothing_is_printed_into_json_output(tmp_path: Path, play: Player) -> None:
    playbook = write_project(tmp_path, sample_by_host())
    run = play(playbook, ANSIBLE_STDOUT_CALLBACK="ansible.posix.json")
    result = json.loads(run.output[run.output.index("{") :])
    assert result["stats"]["localhost"]["changed"] == 1


def test_no_secret_at_any_verbosity_nor_in_any_file(tmp_path: Path, play: Player) -> None:
    findings = sample_by_host()
    findings["storebridge-postgres"][0]["summary"] = f"login failed for postgresql://app:{SECRET}@db:5432/x ({SECRET})"
    findings["storebridge-postgres"][0]["object"] = SECRET
    playbook = write_project(
        tmp_path, findings, report_history_directory=str(tmp_path / "history"), report_known_secrets=["another planted"]
    )
    inventory = tmp_path / "inventory" / "hosts.yml"
    content = json.loads(inventory.read_text(encoding="utf-8"))
    facts = content["all"]["hosts"]["storebridge-postgres"]["check_postgresql_health_info_facts"]
    facts["health"]["server"]["dsn"] = f"host=db password='{SECRET}'"
    facts["health"]["server"]["note"] = "another planted"
    inventory.write_text(json.dumps(content), encoding="utf-8")
    run = play(playbook, "-vvvv", "--diff")
    assert run.returncode == 0, run.output
    written = [path for folder in ("report", "history") for path in (tmp_path / folder).iterdir()]
    assert len(written) == 5
    for text in (run.output, *(path.read_text(encoding="utf-8") for path in written)):
        assert SECRET not in text
        assert "another planted" not in text
        assert "p%40ss" not in text


def test_runner_publishes_the_totals(tmp_path: Path) -> None:
    import ansible_runner

    write_project(tmp_path, sample_by_host())
    result = ansible_runner.run(
        private_data_dir=str(tmp_path),
        playbook="report.yml",
        envvars={
            "ANSIBLE_COLLECTIONS_PATH": str(COLLECTIONS),
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
        },
        extravars={"awx_job_id": 7},
        quiet=True,
    )
    output = result.stdout.read()
    assert result.status == "successful", output
    published: dict[str, Any] = {}
    for event in result.events:
        published |= event.get("event_data", {}).get("artifact_data", {})
    assert {key: value for key, value in published.items() if key != "runbook_report_message"} == {
        "runbook_findings_total": 60,
        "runbook_findings_critical": 3,
        "runbook_findings_warning": 10,
        "runbook_findings_unknown": 4,
        "runbook_findings_ok": 43,
        "runbook_worst_severity": "critical",
    }
    assert published["runbook_report_message"].startswith("StoreBridge daily check: 3 critical")
    # In AWX the table is plain although colours are forced on.
    (line,) = [line for line in output.splitlines() if "storebridge-backups postgres/storebridge  " in line]
    assert line.startswith("CRITICAL P0  storebridge-backups")
