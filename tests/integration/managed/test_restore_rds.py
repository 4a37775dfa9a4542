"""The part ``rds`` of the role restore: back to a moment in a new instance, beside the manual's command."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from lab.managed import Managed
from lab.play import RoleRun, run_role
from lab.postgresql import PostgresServer

pytestmark = pytest.mark.xdist_group("managed")

CONFIRMED = ("-e", "confirm=autoclip")
MOMENT = "2026-01-15T19:00:00+09:00"
Restore = Callable[..., RoleRun]


@pytest.fixture
def restore(managed: Managed, tmp_path: Path) -> Restore:
    def run(*arguments: str, expect: int = 0, **variables: Any) -> RoleRun:
        told = {
            "runbook_system": "autoclip",
            "restore_parts": ["rds"],
            "rds_instance": managed.name,
            "restore_rds_time": MOMENT,
            "restore_rds_aws": managed.login(),
            "restore_rds_connect_seconds": 1,
            "restore_writer_seconds": 2,
        }
        return run_role(tmp_path, "restore", {**told, **variables}, *arguments, expect=expect)

    return run


@pytest.fixture
def proof(postgresql_server: PostgresServer, postgresql_database: str) -> dict[str, Any]:
    """The login of a database that stands for the restored one, and what it must hold."""
    postgresql_server.execute("CREATE TABLE contents AS SELECT 123 AS id, 'published' AS state", db=postgresql_database)
    login = postgresql_server.login(postgresql_database)
    return {
        "restore_rds_login_host": login["login_host"],
        "restore_rds_login_port": login["login_port"],
        "restore_rds_login_user": login["login_user"],
        "restore_rds_login_password": login["login_password"],
        "restore_rds_login_db": postgresql_database,
        "restore_rds_checks": [
            {"name": "content_is_there", "sql": "SELECT count(*) FROM contents WHERE id = 123", "expect": 1},
            {"name": "fault_is_not", "sql": "SELECT count(*) FROM contents WHERE state = 'lost'", "expect": 0},
        ],
    }


class Application:
    """Writers that keep in files whether they run and where they write, and a note of everything in its order."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.place.mkdir()
        self.program = place / "program.py"
        self.program.write_text(
            "import pathlib, sys\n"
            "with (pathlib.Path(__file__).parent / 'notes').open('a') as notes:\n"
            "    notes.write(' '.join(sys.argv[1:]) + '\\n')\n"
            "sys.exit('fail' in sys.argv)\n",
            encoding="utf-8",
        )

    def command(self, *words: str) -> list[str]:
        return [sys.executable, str(self.program), *words]

    def writers(self, *names: str) -> list[dict[str, Any]]:
        return [
            {"name": name, "stop": self.command("stop", name), "start": self.command("start", name)} for name in names
        ]

    def notes(self) -> list[str]:
        path = self.place / "notes"
        return path.read_text(encoding="utf-8").splitlines() if path.exists() else []


@pytest.fixture
def application(tmp_path: Path) -> Application:
    return Application(tmp_path / "application")


def groups(instance: dict[str, Any]) -> list[str]:
    return [each["VpcSecurityGroupId"] for each in instance["VpcSecurityGroups"]]


def test_the_manuals_command_forgets_what_ours_takes_along(managed: Managed, restore: Restore) -> None:
    rds = managed.server.service("rds")
    rds.restore_db_instance_to_point_in_time(
        SourceDBInstanceIdentifier=managed.name,
        TargetDBInstanceIdentifier=f"{managed.name}-manual",
        RestoreTime="2026-01-15T10:00:00Z",
    )
    manual = managed.describe(f"{managed.name}-manual")
    assert "DBSubnetGroup" not in manual
    assert managed.security_group not in groups(manual)
    assert manual["DBParameterGroups"][0]["DBParameterGroupName"] == "default.postgres15"
    assert (manual["MultiAZ"], manual["DeletionProtection"], manual["TagList"]) == (False, False, [])

    # The moment is meant in Seoul.
    run = restore(*CONFIRMED, restore_rds_time="2026-01-25T19:00:00+09:00")
    assert run.facts["failures"] == []
    ours, source = managed.describe(managed.target), managed.describe()
    for name in (
        "DBInstanceClass", "VpcSecurityGroups", "MultiAZ", "DeletionProtection", "BackupRetentionPeriod", "StorageType",
        "MaxAllocatedStorage", "PreferredBackupWindow", "PreferredMaintenanceWindow", "DBParameterGroups",
    ):  # fmt: skip
        assert ours[name] == source[name], name
    assert ours["DBSubnetGroup"]["DBSubnetGroupName"] == "private"
    assert {each["Key"]: each["Value"] for each in ours["TagList"]} == {
        "env": "prod", "runbook-restored-from": managed.name,
    }  # fmt: skip
    [asked] = [
        each
        for each in managed.server.rds_requests("RestoreDBInstanceToPointInTime")
        if each["TargetDBInstanceIdentifier"] == managed.target
    ]
    assert asked["RestoreTime"] == "2026-01-25T10:00:00Z"
    assert run.facts["rds"]["after"]["address"] == ours["Endpoint"]["Address"]
    assert run.facts["rds"]["after"]["is_switched"] is False
    # Nobody has looked into it.
    assert run.of("critical") == [("restore.verified", "rds")]
    assert run.finding("restore.verified", "rds")["summary"] == (
        f"rds: the server is unproven against {managed.name} as of 2026-01-25T10:00:00Z"
    )


def test_check_mode_plans(managed: Managed, restore: Restore, application: Application, proof: dict[str, Any]) -> None:
    run = restore(
        "--check",
        restore_rds_time="2026-01-25T19:00:00+09:00",
        restore_rds_switch_commands=[application.command("switch", "{address}")],
        restore_writers=application.writers("api"),
        restore_rds_fence="stop",
        **proof,
    )
    assert managed.names() == {managed.name}
    assert application.notes() == []
    assert [(each["action"], each["object"], each["reason"]) for each in run.facts["rds"]["actions"]] == [
        (
            "restore",
            managed.target,
            f"{managed.name} as of 2026-01-25T10:00:00Z; it goes back to moments from about 2026-01-24T09:55:00Z to "
            "2026-01-31T09:55:00Z",
        ),
        ("verify", managed.target, f"settings of {managed.name}, and content_is_there, fault_is_not"),
        ("switch", managed.target, "with api stopped"),
        ("fence", managed.name, "by stopping it; it is kept"),
    ]
    assert run.facts["rds"]["after"] is None
    assert run.of("critical", "warning") == []


def test_restore_prove_switch_fence(
    managed: Managed, restore: Restore, application: Application, proof: dict[str, Any]
) -> None:
    """The manual switches the API alone; the worker and n8n go on writing into the old database."""
    run = restore(
        *CONFIRMED,
        restore_rds_time="latest",
        restore_rds_switch_commands=[application.command("switch", "{address}:{port}")],
        restore_writers=application.writers("n8n", "worker", "api"),
        restore_rds_fence="security_group",
        restore_rds_fence_security_group=managed.fence,
        **proof,
    )
    address = managed.describe(managed.target)["Endpoint"]["Address"]
    assert application.notes() == [
        "stop n8n", "stop worker", "stop api", f"switch {address}:5432", "start api", "start worker", "start n8n",
    ]  # fmt: skip
    assert groups(managed.describe()) == [managed.fence]
    assert groups(managed.describe(managed.target)) == [managed.security_group]
    assert managed.names() == {managed.name, managed.target}
    assert run.of("critical", "warning", "unknown") == []
    assert run.facts["rds"]["undo"] == [
        f"aws rds modify-db-instance --apply-immediately --db-instance-identifier {managed.name} "
        f"--vpc-security-group-ids {managed.security_group}",
        f"run the commands that switch with {managed.describe()['Endpoint']['Address']}",
    ]
    assert proof["restore_rds_login_password"] not in run.output
    assert proof["restore_rds_login_password"] not in json.dumps(run.facts)

    # A second run finds the first one's instance, and touches nothing.
    again = restore(*CONFIRMED, restore_rds_time="latest", **proof)
    assert again.finding("restore.failed", "rds")["summary"] == (
        f"rds: {managed.target} exists already (available); nothing was done. If it is left from an earlier restore, "
        "look at it and delete it, or set restore_rds_target to another name."
    )


def test_what_is_not_proven_is_not_switched(
    managed: Managed, restore: Restore, application: Application, proof: dict[str, Any]
) -> None:
    checks = [*proof["restore_rds_checks"][:1], {**proof["restore_rds_checks"][1], "expect": 3}]
    run = restore(
        *CONFIRMED,
        restore_rds_time="latest",
        restore_rds_switch_commands=[application.command("switch")],
        restore_writers=application.writers("api"),
        **{**proof, "restore_rds_checks": checks},
    )
    assert run.finding("restore.failed", "rds")["summary"] == (
        f"rds: {managed.target} is restored and not proven, and nothing was switched: fault_is_not is 0 and must be 3. "
        f"Look into it; everybody still works with {managed.name}."
    )
    assert application.notes() == []


def test_a_switch_that_fails_lets_nobody_write(
    managed: Managed, restore: Restore, application: Application, proof: dict[str, Any]
) -> None:
    run = restore(
        *CONFIRMED,
        restore_rds_time="latest",
        restore_rds_switch_commands=[application.command("switch"), application.command("fail")],
        restore_writers=application.writers("api"),
        restore_rds_fence="stop",
        **proof,
    )
    assert application.notes() == ["stop api", "switch", "fail"]
    assert managed.describe()["DBInstanceStatus"] == "available"
    [failure] = run.facts["failures"]
    assert failure["message"] == (
        f"The switch to {managed.target} failed (non-zero return code). api stay stopped: finish it by hand or take it "
        f"back, then start them. To take it back: aws rds start-db-instance --db-instance-identifier {managed.name}; "
        f"run the commands that switch with {managed.describe()['Endpoint']['Address']}. To start them: api: "
        f"{' '.join(application.command('start', 'api'))}."
    )


def test_a_writer_that_cannot_be_stopped(
    managed: Managed, restore: Restore, application: Application, proof: dict[str, Any]
) -> None:
    stubborn = {"name": "worker", "stop": application.command("fail"), "start": application.command("start", "worker")}
    run = restore(
        *CONFIRMED,
        restore_rds_time="latest",
        restore_rds_switch_commands=[application.command("switch")],
        restore_writers=[*application.writers("api"), stubborn],
        **proof,
    )
    assert application.notes() == ["stop api", "fail", "start worker", "start api"]
    assert "nothing was switched" in run.finding("restore.failed", "rds")["summary"]


def test_outside_the_window(managed: Managed, restore: Restore) -> None:
    """Meant in Seoul and written as UTC, as in the manual, the moment lies in the future."""
    run = restore(*CONFIRMED, restore_rds_time="2026-01-31T18:50:00Z")
    assert run.facts["failures"][0]["message"] == (
        f"{managed.name} goes back to moments from about 2026-01-24T09:55:00Z to 2026-01-31T09:55:00Z, and "
        "restore_rds_time (2026-01-31T18:50:00Z) is 2026-01-31T18:50:00Z. Mind the time zone, and choose a moment in "
        "between."
    )
    assert managed.names() == {managed.name}


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"restore_rds_time": "2024-01-15T10:00:00"}, "restore_rds_time to latest or to a moment with its time zone"),
        ({"restore_rds_switch_commands": [["true"]]}, "restore_rds_switch_commands need restore_rds_checks"),
        (
            {"restore_writers": [{"name": "api", "stop": ["kubectl", "scale", "api"], "start": ["true"]}]},
            "names no namespace",
        ),
    ],
    ids=["zone", "unchecked", "namespace"],
)
def test_refused_before_anything(managed: Managed, restore: Restore, variables: dict[str, Any], words: str) -> None:
    run = _failing(restore, variables)
    assert words in " ".join(run.output.split())
    assert managed.names() == {managed.name}


def test_a_password_in_a_command_is_refused_and_not_shown(
    managed: Managed, restore: Restore, application: Application, proof: dict[str, Any]
) -> None:
    """The manual's ``kubectl set env … DATABASE_URL=postgresql://…`` has it in argv, and in the pods' specification."""
    url = "DATABASE_URL=postgresql://autoclip:hunter2@{address}/autoclip"
    switch = ["kubectl", "-n", "autoclip", "set", "env", "deployment/autoclip-api", url]
    variables = {**proof, "restore_rds_switch_commands": [switch], "restore_writers": application.writers("api")}
    run = _failing(restore, variables)
    assert "has a password among its arguments" in " ".join(run.output.split())
    assert "hunter2" not in run.output
    assert managed.names() == {managed.name}


def _failing(restore: Restore, variables: dict[str, Any]) -> RoleRun:
    return restore(*CONFIRMED, **{"restore_rds_time": "latest", **variables}, expect=2)
