"""Playbooks that should do something, on an inventory with nothing for them: no quiet success."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from lab.paths import REPOSITORY
from lab.play import ansible_playbook

ROUNDS = ("check_daily", "review_weekly")
# A database server that is backed up by its cloud, and no host that starts rounds.
INVENTORY = {
    "all": {"vars": {"runbook_system": "shop", "confirm": "shop", "ansible_connection": "local"}},
    "postgresql": {"hosts": {"shop-postgres": {}}},
}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "hosts.yml").write_text(yaml.safe_dump(INVENTORY), encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize(
    ("name", "purpose", "needs"),
    [
        ("backup_data", "to be backed up", "postgresql_backup_repository"),
        ("drill_recovery", "to be rehearsed", "recovery_scenarios"),
        ("setup_schedules", "to be started by the clock", "schedule_rounds"),
    ],
)
def test_a_run_that_could_do_nothing_fails_and_says_what_it_takes(
    project: Path, name: str, purpose: str, needs: str
) -> None:
    play = f"runbook.ops.{name}"
    run = ansible_playbook(project, play, "-i", "hosts.yml", "-e", f"{name}_destination=report")
    assert run.returncode == 2, run.stdout
    [found] = json.loads((project / "report" / "findings.json").read_text(encoding="utf-8"))
    assert (found["id"], found["severity"]) == ("playbook.not_configured", "unknown")
    assert found["summary"] == f"Nothing was configured {purpose}"
    assert needs in found["remedy"]
    assert f"Nothing was configured {purpose}" in run.stdout


def test_who_wants_to_may_go_on_and_nothing_to_do_is_no_failure(project: Path) -> None:
    """One play has nothing; in the other a role ran and left empty lists, as rounds that are all as declared do."""
    left = {"name": "Ran", "hosts": "shop-postgres", "gather_facts": False}
    left["tasks"] = [{"name": "Leave", "ansible.builtin.set_fact": {"schedule_findings": [], "schedule_changes": []}}]
    report = {"role": "runbook.ops.report", "vars": {"report_purpose": "to be done", "report_destination": "second"}}
    second = {"name": "Report", "hosts": "localhost", "gather_facts": False, "roles": [report]}
    first = {"name": "Nothing", "import_playbook": "runbook.ops.setup_schedules", "vars": {"report_fail_on": "never"}}
    (project / "all.yml").write_text(yaml.safe_dump([first, left, second]), encoding="utf-8")
    run = ansible_playbook(project, "all.yml", "-i", "hosts.yml", "-e", "setup_schedules_destination=first")
    assert run.returncode == 0, run.stdout
    ids = {
        name: [each["id"] for each in json.loads((project / name / "findings.json").read_text(encoding="utf-8"))]
        for name in ("first", "second")
    }
    assert ids == {"first": ["playbook.not_configured"], "second": []}


def test_every_playbook_that_does_something_says_what() -> None:
    for path in sorted((REPOSITORY / "playbooks").glob("*.yml")):
        last = yaml.safe_load(path.read_text(encoding="utf-8"))[-1]
        [role] = last["roles"]
        given = role.get("vars", {})
        assert path.stem in ROUNDS or (given.get("report_purpose") and given.get("report_needs")), path.name
