"""The role postgresql_maintenance as a user runs it: consent, windows, phases, and indexes that a standby uses."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from lab.play import RoleRun, run_role
from lab.postgresql import PostgresServer

SHOP = """
    CREATE TABLE orders (id bigint PRIMARY KEY, note text, placed_on date, state text);
    INSERT INTO orders SELECT g, 'note ' || g, date '2026-01-01' + g % 300, 'open' FROM generate_series(1, 20000) g;
    CREATE INDEX idx_orders_note ON orders (note);
    CREATE INDEX idx_orders_placed_on ON orders (placed_on);
    CREATE UNIQUE INDEX idx_orders_state_id ON orders (state, id);
"""


@pytest.fixture
def shop(postgresql_server: PostgresServer, postgresql_database: str) -> dict[str, Any]:
    postgresql_server.execute(SHOP, db=postgresql_database)
    postgresql_server.execute("VACUUM (ANALYZE)", db=postgresql_database)
    login = postgresql_server.login(postgresql_database)
    return {"runbook_system": "shop", **{f"postgresql_{name}": value for name, value in login.items()}}


def maintain(directory: Path, variables: dict[str, Any], *arguments: str, expect: int = 0, **more: Any) -> RoleRun:
    chosen = {f"postgresql_maintenance_{name}": value for name, value in more.items()}
    return run_role(directory, "postgresql_maintenance", {**variables, **chosen}, *arguments, expect=expect)


CONFIRMED = ("-e", "confirm=shop")


def test_without_consent_nothing_is_changed(shop: dict[str, Any], tmp_path: Path) -> None:
    refused = maintain(tmp_path, shop, phases=["vacuum"], expect=2)
    assert "This changes shop. Look at what it would do with --check, then confirm with -e confirm=shop." in (
        " ".join(refused.output.split())
    )
    other = maintain(tmp_path, shop, "-e", "confirm=another", phases=["vacuum"], expect=2)
    assert "confirm with -e confirm=shop" in " ".join(other.output.split())
    assert maintain(tmp_path, shop, "--check", phases=["vacuum"]).of("critical") == []


def test_a_phase_that_does_not_exist_is_named(shop: dict[str, Any], tmp_path: Path) -> None:
    refused = maintain(tmp_path, shop, *CONFIRMED, phases=["vacum"], expect=2)
    assert "postgresql_maintenance_phases may name sessions, vacuum, reindex and indexes" in refused.output


def test_a_failing_phase_is_a_finding_and_the_others_go_on(
    shop: dict[str, Any], postgresql_server: PostgresServer, tmp_path: Path
) -> None:
    database = shop["postgresql_login_db"]
    postgresql_server.execute("ALTER TABLE orders SET (autovacuum_enabled = off)", db=database)
    postgresql_server.execute("UPDATE orders SET note = note", db=database)
    run = maintain(
        tmp_path,
        shop,
        *CONFIRMED,
        phases=["reindex", "vacuum"],
        reindex_options={"indexes": ["public.idx_nowhere"]},
    )
    failed = run.finding("maintenance.failed", "reindex")
    assert failed["severity"] == "critical"
    assert "idx_nowhere" in failed["summary"]
    assert [each["table"] for each in run.facts["vacuum"]["actions"]] == ["orders"]
    dead = postgresql_server.psql("SELECT n_dead_tup FROM pg_stat_user_tables WHERE relname = 'orders'", db=database)
    assert dead == "0"


def test_a_standby_is_left_to_its_primary(shop: dict[str, Any], standby: PostgresServer, tmp_path: Path) -> None:
    there = {**shop, "postgresql_login_port": standby.port}
    run = maintain(tmp_path, there, *CONFIRMED, phases=["sessions", "vacuum", "reindex", "indexes"])
    assert run.of("warning", "critical", "unknown") == []
    assert run.finding("maintenance.standby")["summary"] == "This is a standby, which is maintained through its primary"
    policy = {"name": "orders", "table": "public.orders", "column": "placed_on", "keep": "1 day", "action": "purge"}
    kept = run_role(tmp_path, "data_retention", {**there, "data_retention_policies": [policy]}, *CONFIRMED)
    assert kept.of("warning", "critical", "unknown") == []
    assert kept.finding("retention.standby")["summary"] == "This is a standby, which gets what is done on its primary"


@pytest.mark.parametrize("role", ["postgresql_maintenance", "data_retention"])
def test_a_server_that_is_down_is_one_critical_finding(role: str, shop: dict[str, Any], tmp_path: Path) -> None:
    run = run_role(tmp_path, role, {**shop, "postgresql_login_port": 1}, *CONFIRMED)
    [(rule, _object)] = run.of("critical")
    assert rule.endswith(".available")
    assert "connection refused" in run.finding(rule)["summary"]


def indexes(server: PostgresServer, database: str) -> set[str]:
    return set(server.psql("SELECT indexrelname FROM pg_stat_user_indexes", db=database).split())


@pytest.fixture
def standby(postgresql_server: PostgresServer) -> Iterator[PostgresServer]:
    with PostgresServer(standby_of=postgresql_server, settings={"hot_standby": True}) as server:
        yield server


def test_an_index_that_only_the_standby_uses_stays(
    shop: dict[str, Any], postgresql_server: PostgresServer, standby: PostgresServer, tmp_path: Path
) -> None:
    """The manual looks at the primary alone, where nobody scans the index of the reports."""
    database = shop["postgresql_login_db"]
    manual = "SELECT indexrelname FROM pg_stat_user_indexes WHERE idx_scan = 0 AND indexrelname LIKE 'idx%' ORDER BY 1"
    report = "SELECT count(*) FROM orders WHERE placed_on = '2026-02-01'"
    wait_for(lambda: standby.psql("SELECT to_regclass('public.idx_orders_placed_on') IS NOT NULL", db=database) == "t")
    connection = standby.connect(database)
    with connection.cursor() as cursor:
        cursor.execute("SET enable_seqscan = off")
        cursor.execute(report)
    connection.close()
    wait_for(
        lambda: (
            standby.psql(
                "SELECT idx_scan > 0 FROM pg_stat_user_indexes WHERE indexrelname = 'idx_orders_placed_on'", db=database
            )
            == "t"
        )
    )
    listed = postgresql_server.psql(manual, db=database).split()
    assert listed == ["idx_orders_note", "idx_orders_placed_on", "idx_orders_state_id"], "what the manual would drop"

    wanted = {
        "phases": ["indexes"],
        "drop_indexes": [f"public.{name}" for name in listed],
        "index_statistics_days": 0,
    }
    unasked = maintain(tmp_path, shop, *CONFIRMED, **wanted)
    assert set(listed) <= indexes(postgresql_server, database)
    assert (
        "standbys follow this server and 0 were asked"
        in unasked.finding("maintenance.indexes_refused", "public.idx_orders_note")["summary"]
    )

    asked = {**wanted, "standbys": [{"login_host": standby.host, "login_port": standby.port}]}
    check = maintain(tmp_path, shop, "--check", **asked)
    assert set(listed) <= indexes(postgresql_server, database)
    real = maintain(tmp_path, shop, *CONFIRMED, **asked)
    assert indexes(postgresql_server, database) == {"orders_pkey", "idx_orders_placed_on", "idx_orders_state_id"}
    assert check.facts["indexes"]["actions"] == real.facts["indexes"]["actions"]
    [dropped] = real.facts["indexes"]["actions"]
    assert dropped["reason"] == "never scanned on the primary and 1 standby"
    assert {each["object"]: each["reason"] for each in real.facts["indexes"]["refused"]} == {
        "public.idx_orders_placed_on": "a standby uses it",
        "public.idx_orders_state_id": "it is in use or carries a constraint",
    }
    again = maintain(tmp_path, shop, *CONFIRMED, **{**asked, "drop_indexes": ["public.idx_orders_note"]})
    assert again.facts["indexes"] == {"changed": False, "actions": [], "refused": []}

    postgresql_server.execute(dropped["undo"], db=database)
    assert "idx_orders_note" in indexes(postgresql_server, database)


def test_indexes_are_dropped_within_the_window_only(
    shop: dict[str, Any], postgresql_server: PostgresServer, tmp_path: Path
) -> None:
    guarded = {
        "phases": ["indexes"],
        "drop_indexes": ["public.idx_orders_note"],
        "index_statistics_days": 0,
        "window": ["Sun 02:00-06:00"],
        "timezone": "Asia/Seoul",
    }
    outside = maintain(tmp_path, shop, *CONFIRMED, **guarded, reference_time="2026-02-02T03:00:00+09:00")
    assert "now is outside the window (Sun 02:00-06:00)" in outside.finding("maintenance.failed", "indexes")["summary"]
    assert "idx_orders_note" in indexes(postgresql_server, shop["postgresql_login_db"])
    maintain(tmp_path, shop, *CONFIRMED, **guarded, reference_time="2026-02-01T03:00:00+09:00")
    assert "idx_orders_note" not in indexes(postgresql_server, shop["postgresql_login_db"])


def test_a_leak_is_ended_before_the_vacuum_that_it_held_back(
    shop: dict[str, Any], postgresql_server: PostgresServer, tmp_path: Path
) -> None:
    database = shop["postgresql_login_db"]
    postgresql_server.execute("ALTER TABLE orders SET (autovacuum_enabled = off)", db=database)
    leak = psycopg2.connect(
        host=postgresql_server.host,
        port=postgresql_server.port,
        user=postgresql_server.superuser,
        password=postgresql_server.password,
        dbname=database,
        application_name="forgetful-worker",
    )
    with leak.cursor() as cursor:
        cursor.execute("SELECT txid_current()")
    postgresql_server.execute("UPDATE orders SET note = note", db=database)
    postgresql_server.execute("VACUUM orders", db=database)
    futile = maintain(tmp_path, shop, *CONFIRMED, phases=["vacuum"])
    assert "forgetful-worker" in futile.finding("maintenance.vacuum_refused", "public.orders")["summary"]
    cured = maintain(
        tmp_path,
        shop,
        *CONFIRMED,
        phases=["sessions", "vacuum"],
        session_criteria={
            "session_state": ["idle_in_transaction"],
            "application": ["forgetful-*"],
            "min_state_age": "1s",
            "allow_superusers": True,
        },
    )
    assert cured.of("warning", "critical") == []
    with pytest.raises(psycopg2.Error), leak.cursor() as cursor:
        cursor.execute("SELECT 1")
    statistics = "SELECT n_dead_tup FROM pg_stat_user_tables WHERE relname = 'orders'"
    assert postgresql_server.psql(statistics, db=database) == "0"
    assert json.dumps(cured.facts["vacuum"]["actions"][0]["effective"]) == "true"


def wait_for(condition: Any, seconds: float = 240.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come about in time"
        time.sleep(0.1)
