"""Replication seen from both ends, and wear that only a server of one's own can show."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from lab import process
from lab.postgresql import PostgresServer
from lab.process import eventually

# One pair of servers for all of them, so they stay on one worker.
pytestmark = pytest.mark.xdist_group("health-standby")

RunModule = Callable[..., dict[str, Any]]
MODULE = "postgresql_health_info"
SECTIONS = ["server", "replication", "wal", "wraparound", "indexes", "sequences", "tables"]


@dataclass
class Pair:
    primary: PostgresServer
    standby: PostgresServer

    def wait_until(self, condition: str, server: PostgresServer | None = None) -> None:
        for _ignored in range(300):
            if (server or self.primary).query(f"SELECT {condition}")[0][0]:
                return
            time.sleep(0.1)
        raise AssertionError(f"never became true: {condition}")


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    settings = {"synchronous_standby_names": "", "wal_level": "logical"}
    with PostgresServer(settings=settings) as primary:
        standby = PostgresServer(
            primary.installation,
            {"hot_standby_feedback": True, "wal_receiver_status_interval": "1s"},
            password=primary.password,
        )
        copied = process.run_as(
            primary.account,
            [
                primary.client("pg_basebackup"),
                *(
                    "-D",
                    standby.data,
                    "-R",
                    "-X",
                    "stream",
                    "-C",
                    "-S",
                    "standby_slot",
                    "--checkpoint=fast",
                    "--no-sync",
                ),
            ],
            env={
                "PGHOST": primary.host,
                "PGPORT": str(primary.port),
                "PGUSER": primary.superuser,
                "PGPASSWORD": primary.password,
                "PGAPPNAME": "replica",
            },
        )
        assert copied.returncode == 0, copied.stderr
        Path(standby.data / "postmaster.opts").unlink(missing_ok=True)
        with standby:
            made = Pair(primary, standby)
            made.wait_until("EXISTS (SELECT FROM pg_stat_replication WHERE state = 'streaming')")
            yield made


def measure(run_module: RunModule, server: PostgresServer, **more: Any) -> dict[str, Any]:
    result = run_module(MODULE, {**server.login(), "sections": SECTIONS, **more})
    assert result["available"], result["reason"]
    assert result["skipped_sections"] == []
    return result["health"]


def test_both_ends(pair: Pair, run_module: RunModule) -> None:
    pair.primary.execute("DROP TABLE IF EXISTS t, u")
    pair.primary.execute(
        "CREATE TABLE t (id serial PRIMARY KEY, v text); INSERT INTO t (v) SELECT 'x' FROM generate_series(1, 9)"
    )
    pair.primary.execute("CREATE UNLOGGED TABLE u (id int GENERATED ALWAYS AS IDENTITY)")
    pair.wait_until("bool_and(replay_lsn = pg_current_wal_lsn()) FROM pg_stat_replication")
    primary = measure(run_module, pair.primary)
    (standby,) = primary["replication"]["standbys"]
    assert (standby["state"], standby["sync_state"]) == ("streaming", "async")
    assert (primary["replication"]["standby_count"], primary["indexes"]["standby_count"]) == (1, 1)
    (slot,) = primary["replication"]["slots"]
    assert (slot["name"], slot["is_active"]) == ("standby_slot", True)
    assert primary["replication"]["replay_lag_seconds"] is None

    # The primary writes of its own accord, too, such as which transactions run.
    looks: list[dict[str, Any]] = []

    def caught_up() -> bool:
        looks.append(measure(run_module, pair.standby))
        return bool(looks[-1]["replication"]["replay_lag_bytes"] == 0)

    eventually(caught_up, "the standby has replayed everything")
    other = looks[-1]
    assert (other["server"]["is_primary"], other["replication"]["is_primary"]) == (False, False)
    assert other["server"]["system_identifier"] == primary["server"]["system_identifier"]
    assert (other["replication"]["receiver"]["status"], other["replication"]["receiver"]["slot_name"]) == (
        "streaming",
        "standby_slot",
    )
    assert other["replication"]["replay_lag_seconds"] == 0
    assert other["replication"]["is_replay_paused"] is False
    assert (other["indexes"]["is_standby"], other["sequences"]["count"]) == (True, 2)
    assert other["tables"]["count"] == primary["tables"]["count"]


def test_a_standby_that_lags(pair: Pair, run_module: RunModule) -> None:
    pair.standby.execute("SELECT pg_wal_replay_pause()")
    try:
        pair.wait_until("pg_is_wal_replay_paused()", pair.standby)
        pair.primary.execute("CREATE TABLE later AS SELECT generate_series(1, 10000) AS id")
        pair.wait_until("pg_last_wal_receive_lsn() > pg_last_wal_replay_lsn()", pair.standby)
        pair.wait_until("bool_and(replay_lsn < flush_lsn) FROM pg_stat_replication")
        primary, other = measure(run_module, pair.primary), measure(run_module, pair.standby)
    finally:
        pair.standby.execute("SELECT pg_wal_replay_resume()")
    assert primary["replication"]["max_replay_lag_bytes"] > 100_000
    assert other["replication"]["is_replay_paused"] is True
    assert other["replication"]["replay_lag_bytes"] > 100_000
    assert other["replication"]["replay_lag_seconds"] is not None
    assert other["replication"]["receiver"]["received_lag_bytes"] == other["replication"]["replay_lag_bytes"]


def test_the_standby_that_holds_back_vacuum_is_named(pair: Pair, run_module: RunModule) -> None:
    pair.wait_until("pg_last_wal_receive_lsn() = pg_last_wal_replay_lsn()", pair.standby)
    with closing(pair.standby.connect(autocommit=False)) as connection, connection.cursor() as cursor:
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ; SELECT 1 FROM pg_class LIMIT 1")
        pair.wait_until("bool_and(xmin IS NOT NULL) FROM pg_replication_slots WHERE slot_name = 'standby_slot'")
        for _ignored in range(20):
            pair.primary.execute("SELECT txid_current()")
        pair.wait_until("bool_and(age(xmin) >= 20) FROM pg_replication_slots WHERE slot_name = 'standby_slot'")
        wraparound = measure(run_module, pair.primary)["wraparound"]
    assert (wraparound["horizon"]["kind"], wraparound["horizon"]["name"]) == ("replication slot", "standby_slot")
    assert wraparound["horizon_xid_age"] >= 20


def test_synchronous_replication_without_anybody(pair: Pair, run_module: RunModule) -> None:
    assert measure(run_module, pair.primary)["replication"]["is_synchronous_missing"] is False
    pair.primary.execute("ALTER SYSTEM SET synchronous_standby_names = 'somebody_else'")
    pair.primary.execute("SELECT pg_reload_conf()")
    try:
        pair.wait_until("current_setting('synchronous_standby_names') = 'somebody_else'")
        assert measure(run_module, pair.primary)["replication"]["is_synchronous_missing"] is True
    finally:
        pair.primary.execute("ALTER SYSTEM RESET synchronous_standby_names")
        pair.primary.execute("SELECT pg_reload_conf()")


def test_logical_slot_and_subscription(pair: Pair, run_module: RunModule) -> None:
    pair.primary.execute("SELECT pg_create_logical_replication_slot('forgotten', 'pgoutput')")
    pair.primary.execute(
        "CREATE SUBSCRIPTION dormant CONNECTION 'host=nowhere.invalid password=secret' PUBLICATION p "
        "WITH (connect = false, enabled = false, slot_name = NONE)"
    )
    try:
        result = run_module(MODULE, {**pair.primary.login(), "sections": ["replication"]})
    finally:
        pair.primary.execute("DROP SUBSCRIPTION dormant")
        pair.primary.execute("SELECT pg_drop_replication_slot('forgotten')")
    replication = result["health"]["replication"]
    (slot,) = [each for each in replication["slots"] if each["name"] == "forgotten"]
    assert (slot["type"], slot["plugin"], slot["database"], slot["is_active"]) == (
        "logical",
        "pgoutput",
        "postgres",
        False,
    )
    assert slot["catalog_xmin_age"] is not None
    (subscription,) = replication["subscriptions"]
    assert (subscription["name"], subscription["is_enabled"], subscription["is_running"]) == ("dormant", False, False)
    assert "secret" not in str(result)
