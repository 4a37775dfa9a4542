"""StoreBridge after disasters, with an application that never stops writing: drills, and the real thing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from lab.plays import Played, play
from lab.running import Running, running_lab
from lab.writer import Writer

# One story in four parts, on one system.
pytestmark = pytest.mark.xdist_group("recovering")

DATABASE, HOST = "storebridge", "storebridge-postgres"
TILL = """
CREATE TABLE public.till (number bigint PRIMARY KEY, at timestamptz NOT NULL DEFAULT clock_timestamp());
ALTER TABLE public.till OWNER TO storebridge_app;
"""


class Shop:
    """A healthy StoreBridge with its WAL archive, a backup repository, and one who writes."""

    def __init__(self, lab: Running, place: Path) -> None:
        self.lab = lab
        self.place = place
        variables = yaml.safe_load((lab.inventory / "host_vars" / HOST / "lab.yml").read_text(encoding="utf-8"))
        self.login = {"host": variables["postgresql_login_host"], "port": variables["postgresql_login_port"]}
        self.superuser = {
            **self.login,
            "user": variables["lab_superuser"],
            "password": variables["lab_superuser_password"],
        }
        self.execute(TILL)
        application = {**self.login, "user": "storebridge_app", "password": variables["lab_application_password"]}
        self.writer = Writer.make(
            place / "writer",
            {**application, "dbname": DATABASE},
            "INSERT INTO public.till (number) VALUES (%(number)s)",
        )
        self.archive = variables["postgresql_wal_archive"]
        self.dumps = place / "dumps"
        self.base = place / "base"
        self.variables = place / "variables.json"

    def execute(self, statement: str, database: str = DATABASE) -> list[tuple[Any, ...]]:
        import psycopg2

        connection = psycopg2.connect(**self.superuser, dbname=database)
        connection.autocommit = True
        try:
            with connection.cursor() as cursor:
                cursor.execute(statement)
                return cursor.fetchall() if cursor.description else []
        finally:
            connection.close()

    def numbers(self) -> set[int]:
        return {row[0] for row in self.execute("SELECT number FROM public.till")}

    def play(self, name: str, *arguments: str, fail_on: str | None = None, **variables: Any) -> Played:
        """Run a playbook over the database's host."""
        given = {
            "postgresql_backup_repository": str(self.dumps),
            "postgresql_backup_name_pattern": "storebridge-%Y%m%d-%H%M%S.sql.gz",
            "postgresql_backup_watermarks": ["public.till.at"],
            "postgresql_backup_minimum": {},
            "backup_postgresql_max_age": "",
            "postgresql_base_backup_repository": str(self.base),
            "disaster_recovery_directory": str(self.place / "records"),
            "runbook_writers": [self.writer.entry("till")],
            "recovery_scenarios": self.scenarios(),
            "targets": HOST,
            **variables,
        }
        self.variables.write_text(json.dumps(given), encoding="utf-8")
        return play(
            self.lab, name, "-e", f"@{self.variables}", *arguments, place=self.place, fail_on=fail_on, folder=name
        )

    def scenarios(self) -> dict[str, Any]:
        checks = [{"name": "till", "command": self.writer.command("running")}]
        return {
            "database_gone": {
                "summary": "The database is gone",
                "mode": "fresh",
                "safety_copy": False,
                "rto": "4h",
                "rpo": "24h",
                "assumed": {"detect": "10m"},
                "checks": checks,
            },
            "rows_deleted": {
                "summary": "Rows were deleted by mistake",
                "mode": "swap",
                "rto": "4h",
                "rpo": "1h",
                "options": {
                    "method": "basebackup",
                    "repository": str(self.base),
                    "name_pattern": "storebridge-base-%Y%m%d-%H%M%S",
                    "wal_archive": self.archive,
                },
                "checks": checks,
            },
        }

    def recovery(self, run: Played, scenario: str) -> dict[str, Any]:
        """The newest record of a scenario."""
        found: list[dict[str, Any]] = []
        for path in sorted((self.place / "records").glob("*.json")):
            found += [
                each
                for each in json.loads(path.read_text(encoding="utf-8"))["recoveries"]
                if each["scenario"] == scenario
            ]
        assert found, run.output
        return found[-1]


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    directory = tmp_path_factory.mktemp("lab") / "lab"
    with running_lab("storebridge", "healthy", directory, "small", "--wal-archive") as lab:
        made = Shop(lab, tmp_path_factory.mktemp("shop"))
        made.writer.start()
        yield made
        made.writer.stop()


def test_backups_of_both_kinds_are_taken_and_the_dump_proven(shop: Shop) -> None:
    taken = shop.play("backup_data", "-e", "confirm=storebridge")
    assert taken.returncode == 0, taken.output
    assert len(list(shop.dumps.glob("*.sql.gz"))) == 1
    assert len(list(shop.base.glob("*.manifest.json"))) == 1
    proven = shop.play("verify_backups")
    assert proven.returncode == 0, proven.output
    assert [each["id"] for each in proven.bad()] == []
    [record] = shop.dumps.glob("*.verified.json")
    assert json.loads(record.read_text(encoding="utf-8"))["verdict"] == "verified"
    assert shop.writer.failures == []
    assert not any(secret in taken.output + proven.output for secret in shop.lab.secrets())


def test_a_drill_measures_both_scenarios_and_touches_nothing(shop: Shop) -> None:
    run = shop.play("drill_recovery")
    assert run.returncode == 0, run.output
    gone, deleted = shop.recovery(run, "database_gone"), shop.recovery(run, "rows_deleted")
    assert (gone["verdict"], deleted["verdict"]) == ("recovered", "recovered"), run.output
    assert [each["name"] for each in gone["phases"]] == ["detect", "provision", "copy", "index", "check"]
    assert {"copy", "replay", "check"} <= {each["name"] for each in deleted["phases"]}
    for each in (gone, deleted):
        assert 0 < each["rto"]["measured_seconds"] < each["rto"]["promised_seconds"]
        assert 0 <= each["rpo"]["measured_seconds"] < each["rpo"]["promised_seconds"]
    # What the archive has is younger than what the dump has.
    assert deleted["rpo"]["measured_seconds"] < gone["rpo"]["measured_seconds"]
    page = (run.folder / "report.html").read_text(encoding="utf-8")
    assert "Drill: database_gone" in page
    assert "Drill: rows_deleted" in page
    assert "RTO: back in service after" in run.output
    assert shop.writer.failures == []
    assert not any(secret in run.output for secret in shop.lab.secrets())


def test_a_database_that_is_gone_comes_back_with_everybody_who_writes(shop: Shop) -> None:
    known = shop.numbers()
    shop.execute(f"DROP DATABASE {DATABASE} WITH (FORCE)", "postgres")
    refused = shop.play("recover_disaster", "-e", "scenario=database_gone", fail_on="never")
    assert "confirm with -e confirm=storebridge" in " ".join(refused.output.split())
    run = shop.play("recover_disaster", "-e", "scenario=database_gone", "-e", "confirm=storebridge")
    assert run.returncode == 0, run.output
    recovery = shop.recovery(run, "database_gone")
    assert recovery["verdict"] == "recovered"
    assert recovery["rto"]["measured_seconds"] < recovery["rto"]["promised_seconds"]
    back = shop.numbers()
    restored = {number for number in back if number <= max(known)}
    # One dump: every number up to its moment, none after it, and then those that were written since.
    assert restored == set(range(1, len(restored) + 1))
    assert len(restored) >= 1
    assert shop.writer.pid is not None
    assert max(back) > max(known)
    record = next((shop.place / "records").glob(f"{HOST}-database_gone-*.md")).read_text(encoding="utf-8")
    assert "For the people who write the post-mortem" in record
    green = shop.play("check_daily", "--limit", f"{HOST},localhost", fail_on="never")
    assert green.bad() == [], green.output


def test_deleted_rows_come_back_to_the_moment_before(shop: Shop) -> None:
    taken = shop.play("backup_data", "-e", "confirm=storebridge")
    assert taken.returncode == 0, taken.output
    before = shop.numbers()
    shop.writer.stop()
    [(moment,)] = shop.execute(
        "SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')"
    )
    there = shop.numbers()
    shop.execute("DELETE FROM public.till WHERE number % 2 = 0")
    shop.writer.start()
    shop.execute("SELECT pg_switch_wal()")
    run = shop.play(
        "recover_disaster", "-e", "scenario=rows_deleted", "-e", f"target_time={moment}", "-e", "confirm=storebridge"
    )
    assert run.returncode == 0, run.output
    recovery = shop.recovery(run, "rows_deleted")
    assert recovery["verdict"] == "recovered"
    back = shop.numbers()
    assert there <= back
    assert before <= there
    # What was written after the moment is in the database that was kept.
    [(kept,)] = shop.execute("SELECT datname FROM pg_database WHERE datname LIKE 'storebridge_before_%'", "postgres")
    assert kept
    assert shop.writer.pid is not None
    green = shop.play("check_daily", "--limit", f"{HOST},localhost", fail_on="never")
    assert green.bad() == [], green.output
