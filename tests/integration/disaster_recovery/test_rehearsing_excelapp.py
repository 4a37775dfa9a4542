"""ExcelApp rehearses its disasters by its own inventory, into its own bucket's names, while its application writes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from lab.databases import DATABASES, populate
from lab.inventory import write_inventory
from lab.plays import Played, play
from lab.postgresql import PostgresServer
from lab.running import Running
from lab.s3 import S3Server
from lab.users import give, ordinary_account, scratch_directory
from lab.writer import Writer

SYSTEM, HOST, BUCKET = "excelapp", "excelapp-postgres", "excelapp-backups"
# The machine with the files of users is another test's.
TARGETS = ("-e", f"targets={HOST}")
USAGE = "INSERT INTO public.visits (number) VALUES (%(number)s)"
VISITS = """
CREATE TABLE public.visits (number bigint PRIMARY KEY, at timestamptz NOT NULL DEFAULT clock_timestamp());
ALTER TABLE public.visits OWNER TO excelapp;
CREATE ROLE runbook_backup LOGIN REPLICATION BYPASSRLS PASSWORD 'b@ckup: /%';
GRANT pg_monitor, pg_read_all_data TO runbook_backup;
"""


@dataclass
class Excel:
    """The running system: how to play over it, and who writes."""

    lab: Running
    place: Path
    writer: Writer
    store: S3Server

    def play(self, name: str, *arguments: str) -> Played:
        run = play(self.lab, name, *arguments, place=self.place, fail_on=None, folder=name)
        assert run.returncode == 0, run.output
        return run


@pytest.fixture(scope="module")
def excel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Excel]:
    place = tmp_path_factory.mktemp("excel")
    archive = scratch_directory("rbl-wal-", ordinary_account())
    settings = {
        "wal_level": "replica",
        "archive_mode": "on",
        "archive_command": f'test ! -f "{archive}/%f" && cp "%p" "{archive}/.%f" && mv "{archive}/.%f" "{archive}/%f"',
        "archive_timeout": "2s",
    }
    with PostgresServer(settings=settings) as server, S3Server() as store:
        give(archive, server.account)
        name = populate(server, SYSTEM)
        server.execute(VISITS, db=name)
        store.client().create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": store.region})  # type: ignore[typeddict-item]
        login = server.login(name, user=DATABASES[SYSTEM].owner)
        writer = Writer.make(
            place / "writer",
            {
                "host": login["login_host"],
                "port": login["login_port"],
                "user": login["login_user"],
                "password": login["login_password"],
                "dbname": name,
            },
            USAGE,
        )
        variables = {
            "postgresql_login_host": server.host,
            "postgresql_login_port": server.port,
            "postgresql_login_user": server.superuser,
            "postgresql_login_password": server.password,
            "postgresql_ssl_mode": "disable",
            "postgresql_backup_user": "runbook_backup",
            "postgresql_backup_password": "b@ckup: /%",
            "postgresql_restore_user": server.superuser,
            "postgresql_restore_password": server.password,
            "postgresql_backup_watermarks": ["public.visits.at"],
            "postgresql_base_backup_repository": str(place / "base"),
            "postgresql_wal_archive": str(archive),
            "aws_endpoint_url": store.endpoint_url,
            "aws_region": store.region,
            "aws_access_key": store.access_key,
            "aws_secret_key": store.secret_key,
            "disaster_recovery_directory": str(place / "records"),
            "runbook_writers": [writer.entry("excelapp-rails")],
        }
        inventory = write_inventory(place / "inventory", {"postgresql": [HOST]}, {HOST: variables})
        assert inventory == place / "inventory"
        lab = Running(place, "healthy", {HOST: variables}, SYSTEM)
        writer.start()
        yield Excel(lab, place, writer, store)
        writer.stop()


def test_rehearsed_by_its_own_inventory(excel: Excel) -> None:
    excel.play("backup_data", *TARGETS, "-e", "confirm=excelapp")
    keys = [
        entry["Key"] for entry in excel.store.client().list_objects_v2(Bucket=BUCKET, Prefix="database/")["Contents"]
    ]
    assert len([key for key in keys if key.endswith(".sql.gz")]) == 1
    assert len([key for key in keys if key.endswith(".manifest.json")]) == 1

    run = excel.play("drill_recovery")
    recoveries: dict[str, dict[str, Any]] = {}
    for path in (excel.place / "records").glob("*.json"):
        for each in json.loads(path.read_text(encoding="utf-8"))["recoveries"]:
            recoveries[each["scenario"]] = each
    assert set(recoveries) == {"database_gone", "rows_deleted"}
    for each in recoveries.values():
        assert each["verdict"] == "recovered", each["failures"]
        # The manual says nothing of time; the inventory's promises are held, with what nobody can measure assumed.
        assert 0 < each["rto"]["measured_seconds"] < each["rto"]["promised_seconds"] == 4 * 3600
        assert 0 <= each["rpo"]["measured_seconds"] < each["rpo"]["promised_seconds"]
        assert [phase["name"] for phase in each["phases"]][:2] == ["detect", "decide"]
    assert "Drill: rows_deleted" in (run.folder / "report.html").read_text(encoding="utf-8")
    assert excel.writer.failures == []
    assert "b@ckup" not in run.output


def test_what_nobody_needs_goes_behind_the_proof(excel: Excel) -> None:
    """Nobody deleted anything in the bucket; find -mtime +7 would delete the last good one after a week of failures."""
    client = excel.store.client()

    def dumps() -> list[str]:
        found = client.list_objects_v2(Bucket=BUCKET, Prefix="database/").get("Contents", [])
        return sorted(each["Key"] for each in found if each["Key"].endswith(".sql.gz"))

    excel.play("backup_data", *TARGETS, "-e", "confirm=excelapp")
    good = dumps()
    old = "database/excelapp_rails_production_20250103_020000.sql.gz"
    client.copy_object(Bucket=BUCKET, Key=old, CopySource={"Bucket": BUCKET, "Key": good[-1]})
    for arguments, left in (((), [old, *good]), (("-e", "confirm=excelapp"), good)):
        run = excel.play("verify_backups", *arguments)
        assert dumps() == left, run.output
    assert old.rpartition("/")[2] in str([each for each in run.changes() if "delete" in str(each)])
