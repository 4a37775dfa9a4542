"""The daily check of each system's database with its own inventory: what is planted is found, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from lab.databases import DATABASES, populate
from lab.paths import REPOSITORY
from lab.play import RoleRun, run_role
from lab.postgresql import PostgresServer

from ansible_collections.runbook.ops.plugins.module_utils.common.timezones import moment

# Saturday morning in Seoul; the evening before in UTC, where the servers live.
NOW = "2026-01-31T10:30:00+09:00"
# What the pools of the systems need, and what a server has that is run for its data.
SETTINGS = {"max_connections": 300, "fsync": True, "full_page_writes": True, "synchronous_commit": True}


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with PostgresServer(settings=SETTINGS) as started:
        yield started


@pytest.fixture(scope="module", params=list(DATABASES))
def system(request: pytest.FixtureRequest, server: PostgresServer) -> str:
    name = populate(server, request.param, moment(NOW))
    if server.installation.has_library("pg_stat_statements"):
        server.execute("CREATE EXTENSION pg_stat_statements", db=name)
    return str(request.param)


def check(system: str, server: PostgresServer, directory: Path, **variables: Any) -> RoleRun:
    login = server.login(DATABASES[system].name, user="runbook_monitor")
    return run_role(
        directory,
        "check_postgresql",
        {
            **{f"postgresql_{name}": value for name, value in login.items()},
            "postgresql_ssl_mode": "disable",
            "postgresql_ca_cert": "",
            # The poolers before it have tests of their own.
            "postgresql_pgbouncers": [],
            "runbook_reference_time": NOW,
            **variables,
        },
        group="postgresql",
        host=f"{system}-postgres",
        inventories=[REPOSITORY / "inventories" / system],
    )


PLANTED = {
    "stockboom": [
        ("warning", "business.trades_failed", ""),
        ("warning", "business.trade_failures", "KIS token expired"),
        ("warning", "business.candles_overdue", ""),
        ("warning", "business.notifications_overdue", ""),
        ("warning", "business.trades_overdue", ""),
    ],
    "autoclip": [("warning", "business.content_success", "")],
    "duly": [
        ("critical", "postgresql.rls_missing", "public.documents"),
        ("warning", "postgresql.rls_always_true", "public.chat_messages.chat_everybody"),
        ("warning", "postgresql.rls_without_policy", "public.service_types"),
    ],
    # A month late, which is how often it is cleaned up.
    "excelapp": [],
}
VALUES = {
    "stockboom": {"business.trades_failed": 15, "business.trades_overdue": 31 * 86400 + 3600},
    "autoclip": {"business.content_success": 94.0, "business.generation_time": 180.0},
    "duly": {"business.applications": 8},
    "excelapp": {"business.analysis_completed": 92.0, "business.payment_success": 99.0},
}


def test_what_is_planted_is_found(system: str, server: PostgresServer, tmp_path: Path) -> None:
    run = check(system, server, tmp_path)
    bad = [(each["severity"], each["id"], each["object"]) for each in run.findings if each["severity"] != "ok"]
    assert bad == PLANTED[system]
    for rule, value in VALUES[system].items():
        assert run.finding(rule)["value"] == value, rule


def test_hidden_rows_are_no_quiet_day(server: PostgresServer, tmp_path: Path) -> None:
    """A login that row level security applies to counts none of eight applications; that is unknown, not 0."""
    name = populate(server, "duly", moment(NOW), database="duly_hidden")
    server.execute("ALTER ROLE runbook_monitor NOBYPASSRLS")
    try:
        assert server.psql("SELECT count(*) FROM inspection_applications", db=name, user="runbook_monitor") == "0"
        run = check("duly", server, tmp_path, postgresql_login_db=name)
    finally:
        server.execute("ALTER ROLE runbook_monitor BYPASSRLS")
    assert server.psql("SELECT count(*) FROM inspection_applications", db=name) == "159"
    unknown = [rule for rule, _object in run.of("unknown") if rule.startswith("business.")]
    assert unknown == ["business.applications", "business.applications_waiting"]


TABLES = "SELECT format('%I.%I', schemaname, relname) FROM pg_stat_user_tables ORDER BY 1"


def test_the_same_moment_gives_the_same_rows(system: str, server: PostgresServer) -> None:
    def content(database: str) -> dict[str, str]:
        return {
            table: server.psql(
                f"SELECT count(*) || md5(string_agg(t::text, ',' ORDER BY t::text)) FROM {table} t", database
            )
            for table in server.psql(TABLES, database).splitlines()
        }

    again = populate(server, system, moment(NOW), database=f"{system}_again")
    first = content(DATABASES[system].name)
    assert len(first) >= 5
    assert content(again) == first
