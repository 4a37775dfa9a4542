"""Every system's retention policies on its own tables: what is planted as due is moved, and nothing else."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from lab.databases import populate
from lab.inventories import SYSTEMS, rendered
from lab.paths import REPOSITORY
from lab.play import RoleRun, run_role
from lab.postgresql import PostgresServer
from lab.storebridge import populate_postgresql

from ansible_collections.runbook.ops.plugins.module_utils.common.timezones import moment

RunModule = Callable[..., dict[str, Any]]

# Saturday, 04:30 in Seoul and Friday evening in UTC; within the hours of StockBoom, AutoClip and ExcelApp.
NOW = "2026-01-31T04:30:00+09:00"


@dataclass(frozen=True)
class Filled:
    """A system's database, and its policies as its inventory has them."""

    system: str
    server: PostgresServer
    database: str
    variables: dict[str, Any]
    export: Path

    @property
    def policies(self) -> list[dict[str, Any]]:
        return list(self.variables["data_retention_policies"])

    def options(self, **more: Any) -> dict[str, Any]:
        return {
            **self.server.login(self.database, user="runbook_maintenance"),
            "policies": self.policies,
            "timezone": self.variables["data_retention_timezone"],
            "reference_time": NOW,
            **more,
        }

    def count(self, table: str, condition: str = "true") -> int:
        return int(self.server.psql(f"SELECT count(*) FROM {table} WHERE {condition}", db=self.database))


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with PostgresServer() as started:
        yield started


@pytest.fixture
def filled(request: pytest.FixtureRequest, server: PostgresServer, tmp_path: Path) -> Iterator[Filled]:
    """The system named by the parameter, in a fresh database."""
    system = str(request.param)
    if system == "storebridge":
        populate_postgresql(server, "degraded", now=moment(NOW))
        if not server.query("SELECT 1 FROM pg_roles WHERE rolname = 'runbook_maintenance'"):
            server.execute("CREATE ROLE runbook_maintenance LOGIN PASSWORD %s", (server.password,))
        server.execute("GRANT storebridge_app, pg_monitor TO runbook_maintenance")
        database = "storebridge"
    else:
        database = populate(server, system, moment(NOW))
    export = tmp_path / "export"
    read = rendered(system, tmp_path, variables={"data_retention_export_directory": str(export)})
    yield Filled(system, server, database, read[sorted(read)[0]], export)
    server.execute(f'DROP DATABASE "{database}" WITH (FORCE)')


HOSTS = {system: f"{system}-postgres" for system in SYSTEMS}
# A moment in each system's window, after the one its rows were made for.
WITHIN = {
    "storebridge": "2026-01-31T22:30:00+09:00",
    "stockboom": "2026-01-31T04:30:00+09:00",
    "autoclip": "2026-01-31T04:30:00+09:00",
    "duly": "2026-02-01T03:30:00+09:00",
    "excelapp": "2026-01-31T04:30:00+09:00",
}
WITH_POLICIES = [system for system in SYSTEMS if system != "autoclip"]
each_system = pytest.mark.parametrize("filled", WITH_POLICIES, indirect=True)

# Due rows by policy, with those of their children.
DUE: dict[str, dict[str, tuple[int, int]]] = {
    # Three weeks of jobs, eight items each; a hundred audit rows of the oldest day.
    "storebridge": {"jobs": (241, 1928), "audit_logs": (100, 0)},
    # 2 stocks with 390 minutes each, and one candle an hour beyond the year; 60 orders with two events each.
    "stockboom": {"candles_1m": (781, 0), "notifications_read": (120, 0), "trades_cancelled": (60, 120)},
    "duly": {"auth_audit": (90, 0)},
    "excelapp": {"ai_usage_records": (501, 0), "chat_messages": (250, 0)},
}


def planned(result: dict[str, Any]) -> dict[str, tuple[int, int]]:
    return {
        action["policy"]: (action["rows"], sum(child["rows"] or 0 for child in action["children"]))
        for action in result["actions"]
        if action["policy"]
    }


@each_system
def test_what_is_due_is_planned_and_nothing_is_refused(filled: Filled, run_module: RunModule) -> None:
    result = run_module("postgresql_retention", filled.options(), check_mode=True)
    assert result.get("failed") is not True, result.get("msg")
    assert result["refused"] == []
    assert planned(result) == DUE[filled.system]
    assert result["changed"] is True
    assert not filled.export.exists(), "check mode writes nothing"


# What must still be there, and what must not: (table, condition, rows).
REMAINS: dict[str, list[tuple[str, str, int]]] = {
    "storebridge": [
        ("jobs_archive", "true", 241),
        ("job_items_archive", "true", 1928),
        ("jobs", "status = 'COMPLETED' AND completed_at < '2025-11-02 04:30+09'", 0),
        ("job_items", "NOT EXISTS (SELECT FROM jobs WHERE jobs.id = job_id)", 0),
        ("audit_logs", "true", 30000),
    ],
    "stockboom": [
        # Of five minutes and of a day, however old.
        ("candles", "timeframe <> '1m'", 356),
        ("candles", "timeframe = '1m'", 901),
        # An hour on either side of the year: the column has no zone and holds UTC.
        ("candles", "id IN ('candle-due', 'candle-not-due')", 1),
        ("candles", "id = 'candle-not-due'", 1),
        ("notifications", "NOT is_read", 70),
        ("notifications", "is_read", 80),
        ("trades", "true", 337),
        ("trade_events", "true", 674),
    ],
    "duly": [("auth.audit_log_entries", "true", 116), ("public.chat_messages", "true", 159)],
    "excelapp": [
        ("ai_usage_records", "true", 341),
        ("ai_usage_records", "model IN ('due', 'not due')", 1),
        ("chat_messages", "true", 350),
        ("chat_conversations", "true", 60),
    ],
}


@each_system
def test_what_was_planned_is_done_and_the_rest_stays(filled: Filled, run_module: RunModule) -> None:
    result = run_module("postgresql_retention", filled.options())
    assert result.get("failed") is not True, result.get("msg")
    moved = {entry["policy"]: (entry["rows"], sum(entry["child_rows"].values())) for entry in result["policies"]}
    assert moved == DUE[filled.system]
    found = [(table, condition, filled.count(table, condition)) for table, condition, _rows in REMAINS[filled.system]]
    assert found == REMAINS[filled.system]
    for check_mode in (True, False):
        again = run_module("postgresql_retention", filled.options(), check_mode=check_mode)
        assert (again["changed"], again["actions"], again["refused"]) == (False, [], [])


def lines_of(directory: Path, policy: str, table: str) -> list[dict[str, Any]]:
    """The exported rows of a table, read without the collection."""
    files = sorted(directory.glob(f"{policy}.*.{table}.jsonl.gz"))
    return [json.loads(line) for path in files for line in gzip.decompress(path.read_bytes()).splitlines()]


@pytest.mark.parametrize(
    ("filled", "policy", "table", "key"),
    [
        ("storebridge", "audit_logs", "public.audit_logs", "id"),
        ("stockboom", "trades_cancelled", "public.trades", "id"),
        ("stockboom", "trades_cancelled", "public.trade_events", "id"),
        ("duly", "auth_audit", "auth.audit_log_entries", "id"),
        ("excelapp", "ai_usage_records", "public.ai_usage_records", "id"),
    ],
    indirect=["filled"],
)
def test_evidence_is_exported_before_it_goes(
    filled: Filled, policy: str, table: str, key: str, run_module: RunModule
) -> None:
    """Orders, bills and audit records: what is gone from the table is in the files, every row of it."""
    before = set(filled.server.psql(f"SELECT {key} FROM {table}", db=filled.database).splitlines())
    only = [each for each in filled.policies if each["name"] == policy]
    assert [each["require_archive"] for each in only] == [True]
    result = run_module("postgresql_retention", filled.options(policies=only))
    assert result.get("failed") is not True, result.get("msg")
    after = set(filled.server.psql(f"SELECT {key} FROM {table}", db=filled.database).splitlines())
    exported = [str(row[key]) for row in lines_of(filled.export, policy, table)]
    assert len(exported) == len(set(exported))
    assert set(exported) == before - after
    assert len(exported) in DUE[filled.system][policy]


@pytest.mark.parametrize("filled", ["stockboom"], indirect=True)
def test_the_manuals_clean_up_loses_orders(filled: Filled) -> None:
    """ST-42 as the manual has it: it fails on the orders' events, and with ON DELETE CASCADE it takes them along."""
    manual = "DELETE FROM trades WHERE status = 'CANCELLED' AND created_at < '2025-07-30'"
    with pytest.raises(Exception, match="violates foreign key constraint"):
        filled.server.psql(manual, db=filled.database)
    filled.server.psql(
        "ALTER TABLE trade_events DROP CONSTRAINT trade_events_trade_id_fkey, "
        "ADD FOREIGN KEY (trade_id) REFERENCES trades (id) ON DELETE CASCADE",
        db=filled.database,
    )
    filled.server.psql(manual, db=filled.database)
    assert filled.count("trade_events", "trade_id LIKE 'trade-cancelled-old%'") == 0, (
        "events of orders, gone unarchived"
    )


@pytest.mark.parametrize("system", SYSTEMS)
def test_regulated_data_is_never_only_deleted(system: str, inventories: dict[str, dict[str, dict[str, Any]]]) -> None:
    for variables in inventories[system].values():
        for policy in variables["data_retention_policies"]:
            if policy.get("require_archive"):
                children = [child.get("action") or policy["action"] for child in policy.get("children", [])]
                assert {policy["action"], *children} <= {"archive", "export"}, policy["name"]


def test_what_must_not_be_lost_says_so(inventories: dict[str, dict[str, dict[str, Any]]]) -> None:
    required = {
        (system, policy["name"])
        for system, hosts in inventories.items()
        for variables in hosts.values()
        for policy in variables["data_retention_policies"]
        if policy.get("require_archive")
    }
    assert required == {
        ("storebridge", "jobs"),
        ("storebridge", "audit_logs"),
        ("stockboom", "trades_cancelled"),
        ("duly", "auth_audit"),
        ("excelapp", "ai_usage_records"),
    }


@pytest.mark.parametrize("filled", SYSTEMS, indirect=True)
def test_the_role_plans_the_same_within_its_window(filled: Filled, tmp_path: Path) -> None:
    """As enforce_retention runs it with the system's own inventory, in check mode; outside of the window it refuses."""
    login = filled.server.login(filled.database)
    host = {
        "postgresql_login_host": login["login_host"],
        "postgresql_login_port": login["login_port"],
        "postgresql_login_db": filled.database,
        "postgresql_admin_user": "runbook_maintenance",
        "postgresql_admin_password": login["login_password"],
        "postgresql_ssl_mode": "disable",
        "postgresql_ca_cert": "",
        "data_retention_export_directory": str(filled.export),
    }
    inventory = REPOSITORY / "inventories" / filled.system

    def role(at: str) -> RoleRun:
        return run_role(
            tmp_path,
            "data_retention",
            {**host, "runbook_reference_time": at},
            "--check",
            group="postgresql",
            host=HOSTS[filled.system],
            inventories=[inventory],
        )

    within = role(WITHIN[filled.system])
    assert within.of("warning", "critical", "unknown") == []
    rows = {entry["policy"]: entry["rows"] for entry in within.facts.get("actions", []) if entry.get("policy")}
    assert set(rows) == set(DUE.get(filled.system, {}))
    if filled.policies:
        outside = role("2026-02-02T10:00:00+09:00" if filled.system != "storebridge" else "2026-02-02T03:00:00+09:00")
        assert outside.of("critical") == [("retention.failed", "")]
        assert "Retention was not enforced: it is Mon " in outside.finding("retention.failed")["summary"]
