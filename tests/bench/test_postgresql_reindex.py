"""Rebuilding what is bloated against rebuilding everything, which is what a cron line with reindexdb does."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from lab.bench import environment, median, ratio
from lab.paths import BUILD
from lab.postgresql import PostgresServer

ROUNDS = 3
TABLES, BLOATED = 40, 2
ROWS = 100_000


@pytest.fixture
def server() -> Iterator[PostgresServer]:
    with PostgresServer(settings={"shared_buffers": "256MB", "max_wal_size": "8GB", "autovacuum": False}) as server:
        server.execute("CREATE DATABASE planted")
        server.execute("CREATE EXTENSION pgstattuple", db="planted")
        plant(server)
        yield server


def plant(server: PostgresServer) -> None:
    """Forty tables with an index each, two of which have lost nine rows in ten."""
    for number in range(TABLES):
        # The bloated ones were ten times as big, so that all have the same rows now.
        rows = ROWS * (10 if number < BLOATED else 1)
        server.execute(
            f"CREATE TABLE t{number} (id bigint, note text);"
            f"INSERT INTO t{number} SELECT g, 'note ' || g FROM generate_series(1, {rows}) g;"
            f"CREATE INDEX t{number}_note ON t{number} (note);",
            db="planted",
        )
        if number < BLOATED:
            server.execute(f"DELETE FROM t{number} WHERE id % 10 <> 0", db="planted")
    server.execute("VACUUM ANALYZE", db="planted")


def renew(server: PostgresServer) -> None:
    """The planted database once more."""
    server.execute("DROP DATABASE IF EXISTS shop WITH (FORCE)")
    server.execute("CREATE DATABASE shop TEMPLATE planted")
    server.execute("CHECKPOINT")


def wal_bytes(server: PostgresServer) -> int:
    return int(server.query("SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')")[0][0])


def by_module(server: PostgresServer, _tables: list[str]) -> None:
    arguments = {**server.login("shop"), "min_index_bytes": 1_000_000}
    completed = subprocess.run(
        [sys.executable, "-m", "ansible_collections.runbook.ops.plugins.modules.postgresql_reindex"],
        input=json.dumps({"ANSIBLE_MODULE_ARGS": arguments}),
        env={**environment(), "PYTHONPATH": str(BUILD / "collections")},
        capture_output=True,
        text=True,
        check=True,
    )
    assert len(json.loads(completed.stdout)["rebuilt"]) == BLOATED


def by_reindexdb(server: PostgresServer, options: list[str]) -> None:
    subprocess.run(
        [str(server.client("reindexdb")), "--concurrently", "--dbname=shop", *options],
        env={
            **environment(),
            "PGHOST": server.host,
            "PGPORT": str(server.port),
            "PGUSER": server.superuser,
            "PGPASSWORD": server.password,
        },
        capture_output=True,
        check=True,
    )


def test_reindex(server: PostgresServer, table: Callable[..., Any]) -> None:
    ways: dict[str, tuple[Callable[[PostgresServer, list[str]], None], list[str]]] = {
        "reindexdb --concurrently": (by_reindexdb, []),
        "reindexdb --concurrently --jobs=2 --schema=public": (by_reindexdb, ["--jobs=2", "--schema=public"]),
        "postgresql_reindex": (by_module, []),
    }
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    wal: dict[str, list[float]] = {name: [] for name in ways}
    for _round in range(ROUNDS):
        for name, (run, options) in ways.items():
            renew(server)
            before, began = wal_bytes(server), time.perf_counter()
            run(server, options)
            seconds[name].append(time.perf_counter() - began)
            wal[name].append(wal_bytes(server) - before)
    rows = table(
        f"{BLOATED} of {TABLES} indexes are bloated", "way", "median wall time", "ratio", "median WAL", "ratio of WAL"
    )
    ours = "postgresql_reindex"
    for name in ways:
        rows.add(
            name,
            median(seconds[name]),
            ratio(seconds[name], seconds[ours]),
            f"{statistics.median(wal[name]) / 2**20:.1f} MiB",
            ratio(wal[name], wal[ours]),
        )
