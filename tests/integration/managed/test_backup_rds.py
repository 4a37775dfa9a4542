"""The part ``rds`` of the role backup: snapshots by a rule, and what Amazon keeps by itself as findings."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from lab.managed import Managed
from lab.play import RoleRun, run_role

pytestmark = pytest.mark.xdist_group("managed")

CONFIRMED = ("-e", "confirm=autoclip")
NOW = dt.datetime(2026, 1, 31, 10, tzinfo=dt.UTC)
NEW = "autoclip-20260131-100000"
Backup = Callable[..., RoleRun]


@pytest.fixture
def backup(managed: Managed, tmp_path: Path) -> Backup:
    def run(*arguments: str, **variables: Any) -> RoleRun:
        told = {
            "runbook_system": "autoclip",
            "backup_parts": ["rds"],
            "rds_instance": managed.name,
            # In Seoul, where it is an evening.
            "backup_reference_time": "2026-01-31T19:00:00+09:00",
            "backup_rds_aws": managed.login(),
        }
        return run_role(tmp_path, "backup", {**told, **variables}, *arguments)

    return run


def take(managed: Managed, name: str, day: int, status: str = "available") -> None:
    rds = managed.server.service("rds")
    rds.create_db_snapshot(DBInstanceIdentifier=managed.name, DBSnapshotIdentifier=name)
    managed.server.rds("snapshot", name, created=dt.datetime(2026, 1, day, 10, tzinfo=dt.UTC), status=status)


@pytest.fixture
def old(managed: Managed) -> list[str]:
    """Three of the rule, one of them broken, and one of somebody else: all are deleted afterwards."""
    for day, status in ((27, "available"), (28, "available"), (29, "failed"), (30, "available")):
        take(managed, f"autoclip-202601{day}-100000", day, status)
    take(managed, "before-migration-of-users", 2)
    return sorted(managed.snapshots())


@pytest.fixture(autouse=True)
def _clean(managed: Managed) -> Any:
    # Names of snapshots are an account's.
    yield
    rds = managed.server.service("rds")
    for name in managed.snapshots():
        rds.delete_db_snapshot(DBSnapshotIdentifier=name)


def test_check_then_run_then_nothing(managed: Managed, backup: Backup, old: list[str]) -> None:
    planned = backup("--check", rds_snapshot_keep=2)
    assert sorted(managed.snapshots()) == old
    done = backup(*CONFIRMED, rds_snapshot_keep=2)
    assert planned.facts["rds"]["actions"] == done.facts["rds"]["actions"]
    assert [(each["action"], each["object"]) for each in done.facts["rds"]["actions"]] == [
        ("snapshot", NEW),
        ("delete", "autoclip-20260128-100000"),
        ("delete", "autoclip-20260127-100000"),
    ]
    # The broken one counts for nothing, and stays for people to look at; so does that of somebody else.
    assert managed.snapshots() == {
        NEW: "available",
        "autoclip-20260130-100000": "available",
        "autoclip-20260129-100000": "failed",
        "before-migration-of-users": "available",
    }
    rds = managed.server.service("rds")
    [made] = rds.describe_db_snapshots(DBSnapshotIdentifier=NEW)["DBSnapshots"]
    assert made["TagList"] == [{"Key": "runbook-system", "Value": "autoclip"}]
    managed.server.rds("snapshot", NEW, created=NOW)
    again = backup(
        *CONFIRMED, rds_snapshot_keep=2, backup_rds_max_age="20h", backup_reference_time="2026-01-31T19:05:00+09:00"
    )
    assert again.facts["rds"]["actions"] == []
    assert again.facts["rds"]["changed"] is False
    assert len(managed.snapshots()) == 4
    assert again.of("critical", "warning", "unknown") == []
    assert again.facts["rds"]["automated"]["retention_days"] == 7
    assert again.facts["rds"]["automated"]["window"] == "13:14-13:44 UTC"


def test_many_at_once_are_refused(managed: Managed, backup: Backup, old: list[str]) -> None:
    run = backup(*CONFIRMED, rds_snapshot_keep=1, backup_rds_max_deletes=2)
    assert run.finding("backup.failed", "rds")["summary"] == (
        f"rds: 3 snapshots of {managed.name} would be deleted, and at most 2 may be (backup_rds_max_deletes). Nothing "
        "was done. Look whether backup_rds_keep (1) and backup_rds_name_pattern are right, or raise it for once."
    )
    assert sorted(managed.snapshots()) == old


def test_what_amazon_keeps_is_judged(managed: Managed, backup: Backup) -> None:
    """The manual promises 30 days of snapshots and 7 of going back; RDS has one figure for both, and nobody looks."""
    managed.server.service("rds").modify_db_instance(
        DBInstanceIdentifier=managed.name, BackupRetentionPeriod=1, DeletionProtection=False, ApplyImmediately=True
    )
    managed.server.rds("instance", managed.name, latest_restorable=NOW - dt.timedelta(hours=3))
    run = backup("--check")
    assert {each["id"]: each["severity"] for each in run.findings if each["severity"] != "ok"} == {
        "backup.rds_retention": "warning",
        "backup.rds_latest_restorable": "critical",
        "backup.rds_protected": "warning",
    }
    assert run.finding("backup.rds_retention")["summary"] == "automated backups are kept for 1 day"


def test_an_instance_that_is_not_there(managed: Managed, backup: Backup) -> None:
    run = backup(*CONFIRMED, rds_instance=f"{managed.name}-typo")
    assert run.finding("backup.failed", "rds")["summary"] == (
        f"rds: No snapshot was taken: {managed.name}-typo is not in this region and account. Correct "
        "backup_rds_instance and the region, or wait until it is available."
    )
