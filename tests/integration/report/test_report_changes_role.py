"""Changes in the report as a user runs it: from real modules' results on hosts to table, page, files and statistics."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import yaml
from lab.postgresql import PostgresServer

REPOSITORY = Path(__file__).resolve().parents[3]
COLLECTIONS = REPOSITORY / "build" / "collections"
SAMPLE = REPOSITORY / "tests" / "unit" / "report" / "data"
SECRET = "p@ss/w:rd%ä-planted"


@dataclass(frozen=True)
class Run:
    returncode: int
    output: str


Player = Callable[..., Run]


@pytest.fixture
def play(tmp_path: Path) -> Player:
    def run(*arguments: str, **environment: str) -> Run:
        completed = subprocess.run(
            [
                str(Path(sys.executable).with_name("ansible-playbook")),
                str(tmp_path / "project" / "report.yml"),
                "-i",
                str(tmp_path / "inventory"),
                *arguments,
            ],
            env={
                **os.environ,
                "ANSIBLE_COLLECTIONS_PATH": str(COLLECTIONS),
                "ANSIBLE_HOME": str(tmp_path / "ansible"),
                "ANSIBLE_NOCOLOR": "1",
                "ANSIBLE_LOCALHOST_WARNING": "0",
                "ANSIBLE_SHOW_CUSTOM_STATS": "1",
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


def write_project(folder: Path, hosts: dict[str, dict[str, Any]], *plays: dict[str, Any], **variables: Any) -> None:
    """An inventory of hosts with variables, and a playbook that ends with the role."""
    (folder / "inventory").mkdir(exist_ok=True)
    # JSON is YAML; templates among the values are meant as such.
    (folder / "inventory" / "hosts.yml").write_text(json.dumps({"all": {"hosts": hosts}}), encoding="utf-8")
    report = {
        "name": "Report",
        "hosts": "localhost",
        "connection": "local",
        "gather_facts": False,
        "vars": {
            "report_title": "StoreBridge maintenance",
            "report_system": "storebridge",
            "report_destination": str(folder / "report"),
            "report_fail_on": "never",
            "report_reference_time": "2025-10-17T00:00:04Z",
            "runbook_timezone": "Asia/Seoul",
            **variables,
        },
        "roles": [{"role": "runbook.ops.report"}],
    }
    (folder / "project").mkdir(exist_ok=True)
    (folder / "project" / "report.yml").write_text(yaml.safe_dump([*plays, report]), encoding="utf-8")


def sample_changes() -> list[dict[str, Any]]:
    return json.loads((SAMPLE / "changes.json").read_text(encoding="utf-8"))


def read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


class WellFormed(HTMLParser):
    """Every element is closed in order; the statuses of the changes on the page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.statuses: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.statuses += [str(value) for name, value in attrs if name == "data-status"]
        if tag not in {"meta", "input"}:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_changes_of_all_hosts_in_every_form(tmp_path: Path, play: Player) -> None:
    told = sample_changes()
    hosts = {
        "storebridge-postgres": {"postgresql_maintenance_changes": told[:5], "__own_changes": "{{ not_defined }}"},
        "storebridge-redis": {"data_retention_changes": told[5:], "schema_changes": 7, "ansible_x_changes": ["x"]},
        "never-visited": {},
    }
    write_project(tmp_path, hosts)
    run = play("--diff")
    assert run.returncode == 0, run.output
    table = run.output[run.output.index("CHANGED      WHAT") :]
    labels = re.findall(r"^(FAILED|REFUSED|INEFFECTIVE|DONE|PLANNED)\b", table, re.MULTILINE)
    assert labels == ["FAILED", "REFUSED", "REFUSED", "INEFFECTIVE", *["DONE"] * 5]
    assert "1 failed, 2 refused, 1 ineffective, 5 done" in table
    assert f"changes   {tmp_path}/report/changes.json" in table
    assert '"runbook_changes_total": 9' in run.output
    report = tmp_path / "report"
    assert {path.name for path in report.iterdir()} == {
        "changes.json", "findings.json", "findings.xml", "report.html", "report.md",
    }  # fmt: skip
    written = read(report / "changes.json")
    assert sorted(map(json.dumps, written)) == sorted(map(json.dumps, told))
    page = (report / "report.html").read_text(encoding="utf-8")
    assert WellFormed(page).statuses == [each["status"] for each in written]
    assert "## Changed\n" in (report / "report.md").read_text(encoding="utf-8")
    assert "changed=0" in play().output


def test_what_was_changed_yesterday_is_not_reported_today(tmp_path: Path, play: Player) -> None:
    write_project(tmp_path, {"pg1": {"a_changes": sample_changes()}})
    assert play().returncode == 0
    write_project(tmp_path, {"pg1": {}})
    check = play("--check")
    assert len(read(tmp_path / "report" / "changes.json")) == 9
    run = play()
    for each in (check, run):
        assert "runbook_changes_total" not in each.output
        assert "CHANGED" not in each.output
    assert read(tmp_path / "report" / "changes.json") == []
    assert "changed=0" in play().output


def test_a_host_whose_changes_cannot_be_read_is_told_of(tmp_path: Path, play: Player) -> None:
    write_project(
        tmp_path,
        {"pg1": {"a_changes": "{{ vacuumed | runbook.ops.changes }}"}, "pg2": {"a_changes": sample_changes()[:1]}},
        report_formats=["json"],
    )
    run = play()
    assert run.returncode == 0, run.output
    failed, done = read(tmp_path / "report" / "changes.json")
    assert (failed["status"], failed["host"], failed["object"]) == ("failed", "pg1", "a_changes")
    assert failed["summary"] == (
        "what was changed is not known: a_changes is undefined, a list of changes was expected"
    )
    assert done["status"] == "done"


def test_no_secret_of_a_change_at_any_verbosity_nor_in_any_file(tmp_path: Path, play: Player) -> None:
    told = sample_changes()
    for each in told:
        each["summary"] = f"ALTER ROLE app PASSWORD '{SECRET}'"
        each["reason"] = f"postgresql://app:{SECRET}@db:5432/x said no to {SECRET}"
        each["remedy"] = f"psql 'host=db password={SECRET}'"
        each["object"] = f"{each['object']} {SECRET}"
        each["figures"] = [{"name": SECRET, "before": SECRET, "after": "x", "unit": "text"}]
    write_project(tmp_path, {"pg1": {"a_changes": told, "postgresql_login_password": SECRET}})
    run = play("-vvvv", "--diff")
    assert run.returncode == 0, run.output
    written = list((tmp_path / "report").iterdir())
    assert len(written) == 5
    for text in (run.output, *(path.read_text(encoding="utf-8") for path in written)):
        assert SECRET not in text
        assert "p%40ss" not in text


@pytest.fixture
def shop(postgresql_server: PostgresServer, postgresql_database: str) -> Iterator[dict[str, Any]]:
    """A database with a table that is due for a VACUUM, and its login."""
    postgresql_server.execute(
        "CREATE TABLE jobs (id int PRIMARY KEY, pad text) WITH (autovacuum_enabled = off)", db=postgresql_database
    )
    postgresql_server.execute(
        "INSERT INTO jobs SELECT g, repeat('x', 50) FROM generate_series(1, 20000) g", db=postgresql_database
    )
    postgresql_server.execute("DELETE FROM jobs WHERE id % 2 = 0", db=postgresql_database)
    yield postgresql_server.login(postgresql_database)


def test_a_real_vacuum_planned_then_done_then_not_due(tmp_path: Path, play: Player, shop: dict[str, Any]) -> None:
    vacuum = {
        "name": "Vacuum",
        "hosts": "pg1",
        "connection": "local",
        "gather_facts": False,
        "tasks": [
            {
                "name": "Vacuum what is due",
                "runbook.ops.postgresql_vacuum": shop,
                "register": "vacuumed",
            },
            {
                "name": "Leave a note for the report",
                "ansible.builtin.set_fact": {
                    "maintenance_changes": "{{ vacuumed | runbook.ops.changes(host=inventory_hostname,"
                    " source='runbook.ops.postgresql_vacuum', action='vacuum', check_mode=ansible_check_mode) }}"
                },
            },
        ],
    }
    write_project(tmp_path, {"pg1": {"ansible_python_interpreter": sys.executable}}, vacuum)

    planned = play("--check")
    assert planned.returncode == 0, planned.output
    table = planned.output[planned.output.index("PLANNED      WHAT") :]
    assert "PLANNED      vacuum public.jobs" in table
    assert "dead rows 10,000\n" in table
    assert "1 planned\n" in table
    assert not (tmp_path / "report").exists()

    done = play()
    assert done.returncode == 0, done.output
    assert "DONE         vacuum public.jobs" in done.output
    (change,) = read(tmp_path / "report" / "changes.json")
    figures = {each["name"]: (each["before"], each["after"], each["unit"]) for each in change["figures"]}
    assert figures["dead rows"] == (10_000, 0, "count")
    assert figures["total size"][2] == "bytes"
    assert (change["system"], change["host"], change["status"]) == ("storebridge", "pg1", "done")
    assert change["summary"] == "VACUUM (ANALYZE) public.jobs"
    assert change["duration_seconds"] > 0

    again = play()
    assert again.returncode == 0, again.output
    assert read(tmp_path / "report" / "changes.json") == []
