"""postgresql_retention against real servers: what is due goes, whole and proven, and what would go wrong is refused."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from lab.postgresql import PostgresServer

Result = dict[str, Any]
RunModule = Callable[..., Result]

NOW = "2026-06-01T00:00:00Z"

SHOP = """
    CREATE TYPE public.mood AS ENUM ('fine', 'bad');
    CREATE TABLE public.events (
        id bigint PRIMARY KEY, status text NOT NULL, created_at timestamptz, amount numeric(12, 2), note varchar(40),
        document json, details jsonb, mood public.mood, tags text[], raw bytea, ratio float8, day date, at timestamp,
        doubled bigint GENERATED ALWAYS AS (id * 2) STORED);
    CREATE INDEX ON public.events (created_at, id);
    CREATE TABLE public.events_archive (LIKE public.events INCLUDING INDEXES);
    ALTER TABLE public.events_archive ADD COLUMN archived_at timestamptz DEFAULT now();
    INSERT INTO public.events (id, status, created_at, amount, note, document, details, mood, tags, raw, ratio, day, at)
    SELECT g, CASE WHEN g %% 10 = 0 THEN 'FAILED' ELSE 'COMPLETED' END,
           -- Many rows share a moment, and a batch ends among them.
           CASE WHEN g %% 50 = 1 THEN NULL
                ELSE timestamptz '2026-01-01 00:00+00' + (g / 700) * interval '10 days' END,
           g / 3.0, 'row ' || g, E'{"b": 1,\\n "a": [1, 2]}', '{"k": "v"}', (ARRAY['fine', 'bad'])[1 + g %% 2]::mood,
           ARRAY['x', NULL, 'a,b'], decode('00ff', 'hex'), CASE WHEN g %% 7 = 0 THEN 'NaN' ELSE random() END,
           date '2020-01-01' + g, timestamp '2020-01-01' + g * interval '1 s'
    FROM generate_series(1, 10000) g;
    ANALYZE;
"""
ROWS = 10000
# Before 2026-03-03: the first seven steps of ten days, of those that are COMPLETED and have a date.
DUE = "created_at < timestamptz '2026-03-03 00:00+00' AND status = 'COMPLETED'"


@dataclass
class Shop:
    server: PostgresServer
    name: str
    run_module: RunModule
    login: Result = field(default_factory=dict)

    def run(self, *policies: Result, check_mode: bool = False, diff: bool = False, **options: Any) -> Result:
        arguments = {
            **self.server.login(self.name),
            "policies": list(policies),
            "reference_time": NOW,
            **self.login,
            **options,
        }
        return self.run_module("postgresql_retention", arguments, check_mode=check_mode, diff=diff)

    def psql(self, statement: str) -> str:
        return self.server.psql(statement, db=self.name)

    def execute(self, statement: str) -> None:
        self.server.execute(statement, db=self.name)

    def count(self, table: str, condition: str = "true") -> int:
        return int(self.psql(f"SELECT count(*) FROM {table} WHERE {condition}"))


def archive(**more: Any) -> Result:
    return {
        "name": "events",
        "table": "public.events",
        "column": "created_at",
        "keep": "90 days",
        "where": [{"column": "status", "value": "COMPLETED"}],
        "action": "archive",
        "archive_table": "public.events_archive",
        **more,
    }


COLUMNS = "id, status, created_at, amount, note, document::text, details, mood, tags, raw, ratio, day, at, doubled"


@pytest.fixture
def shop(postgresql_by_major: PostgresServer, database_by_major: str, run_module: RunModule) -> Shop:
    """On every major version."""
    postgresql_by_major.execute(SHOP.replace("%%", "%"), db=database_by_major)
    return Shop(postgresql_by_major, database_by_major, run_module)


@pytest.fixture
def one(postgresql_server: PostgresServer, postgresql_database: str, run_module: RunModule) -> Shop:
    """On the preferred version, for what does not depend on it."""
    postgresql_server.execute(SHOP.replace("%%", "%"), db=postgresql_database)
    return Shop(postgresql_server, postgresql_database, run_module)


def test_archive(shop: Shop) -> None:
    shop.execute("CREATE TABLE public.original AS SELECT * FROM public.events")
    due = shop.count("public.events", DUE)
    assert due > 2000
    predicted = shop.run(archive(), check_mode=True, diff=True)
    assert (predicted["changed"], predicted["after"], predicted["refused"]) == (True, None, [])
    assert predicted["diff"] == {"before": f"events: {due} due rows\n", "after": "events: 0 due rows\n"}
    assert shop.count("public.events") == ROWS
    assert shop.psql("SELECT count(*) FROM pg_namespace WHERE nspname = 'runbook_ops'") == "0"

    done = shop.run(archive(), batch_rows=300)
    assert done["changed"], done
    assert [{**each, "batches": 0} for each in done["actions"]] == [
        {**each, "batches": 0} for each in predicted["actions"]
    ]
    [policy] = done["policies"]
    assert (policy["rows"], policy["remaining"], policy["proof"][0]["proven"]) == (due, 0, True)
    assert policy["proof"][0]["archived"] == due
    assert policy["proof"][0]["digest"] == policy["proof"][0]["archived_digest"]
    assert done["before"]["events"]["rows_due"] == due
    assert done["after"]["events"]["rows_due"] == 0
    assert [each["done"] for each in done["vacuumed"]] == [True]

    # By another tool: every row is once in one of both tables, with all its columns.
    assert shop.count("public.events_archive") == due
    assert shop.count("public.events", DUE) == 0
    difference = f"""
        WITH whole AS (SELECT {COLUMNS} FROM public.events UNION ALL SELECT {COLUMNS} FROM public.events_archive)
        SELECT count(*) FROM (
            (SELECT md5(o::text) FROM (SELECT {COLUMNS} FROM public.original) o
             EXCEPT ALL SELECT md5(b::text) FROM whole b)
            UNION ALL
            (SELECT md5(b::text) FROM whole b
             EXCEPT ALL SELECT md5(o::text) FROM (SELECT {COLUMNS} FROM public.original) o)) x
    """
    assert shop.psql(difference) == "0"
    assert shop.psql("SELECT state, rows, remaining FROM runbook_ops.retention_ledger") == f"done|{due}|0"

    again = shop.run(archive(), check_mode=True)
    assert (again["changed"], again["actions"]) == (False, [])
    again = shop.run(archive())
    assert (again["changed"], again["actions"], again["policies"]) == (False, [], [])


def test_purge(shop: Shop) -> None:
    policy = archive(action="purge", archive_table=None)
    due = shop.count("public.events", DUE)
    done = shop.run(policy)
    assert (done["policies"][0]["rows"], shop.count("public.events")) == (due, ROWS - due)
    assert shop.run(policy)["changed"] is False
