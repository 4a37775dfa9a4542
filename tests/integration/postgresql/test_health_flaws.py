"""Each query the manuals prescribe either fails or says that all is well where postgresql_health_info finds the fault.

The ids are those of the flaw register; the queries are the manuals', word for word.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from typing import Any

import psycopg2
import psycopg2.extras
import pytest
from lab.postgresql import PostgresServer

# One measurement for all of them, so they stay on one worker.
pytestmark = pytest.mark.xdist_group("health-flaws")

Facts = dict[str, Any]

SCHEMA = """
CREATE TABLE products (id int PRIMARY KEY, sku text UNIQUE, kind text, created_at timestamptz DEFAULT now());
CREATE INDEX idx_products_kind ON products (kind);
CREATE INDEX idx_products_created_at ON products (created_at);
CREATE TABLE job_items (id int, product_id int REFERENCES products);
CREATE INDEX job_items_product_id ON job_items (product_id);
CREATE TABLE "MixedCase" (id int);
CREATE TABLE lookups (id int, code text);
INSERT INTO products SELECT g, 'sku ' || g, 'kind ' || g % 200 FROM generate_series(1, 5000) g;
INSERT INTO "MixedCase" SELECT generate_series(1, 1000);
INSERT INTO lookups SELECT g, 'code ' || g FROM generate_series(1, 30000) g;
ANALYZE;
"""


class Lab:
    def __init__(self, server: PostgresServer, stack: ExitStack) -> None:
        self.server = server
        self._stack = stack
        self.health: Facts = {}
        self.pids: dict[str, int] = {}

    def old(self, sql: str) -> list[dict[str, Any]]:
        """What the manual's query answers, to an operator who is a superuser."""
        with closing(self.server.connect("storebridge")) as connection:
            cursor = connection.cursor(cursor_factory=psycopg2.extras.RealDictCursor)
            cursor.execute(sql)
            return [dict(row) for row in cursor.fetchall()]

    def open(self, name: str, statement: str) -> None:
        """A session that is left in its transaction, or in its wait."""
        connection = self.server.connect("storebridge", autocommit=False)
        self._stack.callback(connection.close)
        connection.cursor().execute(f"SET application_name = '{name}'; {statement}")
        self.pids[name] = connection.info.backend_pid

    def leave(self, name: str, statement: str) -> None:
        login = self.server.login("storebridge")
        connection = psycopg2.connect(
            host=login["login_host"], port=login["login_port"], user=login["login_user"],
            password=login["login_password"], dbname="storebridge", application_name=name, async_=True,
        )  # fmt: skip
        self._stack.callback(connection.close)
        psycopg2.extras.wait_select(connection)
        connection.cursor().execute(statement)
        self.pids[name] = connection.info.backend_pid

    def wait_until(self, condition: str) -> None:
        for _ignored in range(300):
            if self.server.query(f"SELECT {condition}", db="storebridge")[0][0]:
                return
            time.sleep(0.1)
        raise AssertionError(f"never became true: {condition}")


@pytest.fixture(scope="module")
def lab(run_module: Callable[..., dict[str, Any]]) -> Iterator[Lab]:
    with PostgresServer(settings={"autovacuum_naptime": "1h"}) as server, ExitStack() as stack:
        made = Lab(server, stack)
        server.execute("CREATE DATABASE storebridge")
        if server.installation.has_library("pg_stat_statements"):
            server.execute("CREATE EXTENSION pg_stat_statements", db="storebridge")
        server.execute(SCHEMA, db="storebridge")
        with closing(server.connect("storebridge")) as connection, connection.cursor() as cursor:
            for _ignored in range(50):
                cursor.execute("SELECT count(*) FROM lookups WHERE code = 'code 7'")
        lock = "SELECT 1 FROM products WHERE id = 1 FOR UPDATE"
        made.open("forgotten", lock)
        made.leave("second", lock)
        made.wait_until(f"EXISTS (SELECT FROM pg_locks WHERE NOT granted AND pid = {made.pids['second']})")
        made.leave("third", lock)
        made.leave("long report", "SELECT pg_sleep(3)")
        made.wait_until("count(*) = 2 FROM pg_locks WHERE NOT granted")
        made.wait_until(f"state = 'idle' FROM pg_stat_activity WHERE pid = {made.pids['long report']}")
        made.wait_until("seq_tup_read > 1000000 FROM pg_stat_user_tables WHERE relname = 'lookups'")
        # The sessions that asked are gone, but for the one that asks.
        made.wait_until("count(*) = 5 FROM pg_stat_activity WHERE backend_type = 'client backend'")
        result = run_module("postgresql_health_info", server.login("storebridge"))
        assert result["available"], result["reason"]
        made.health = result["health"]
        yield made


@pytest.mark.parametrize(
    "query",
    [
        "SELECT schemaname, tablename, indexname, idx_scan FROM pg_stat_user_indexes "
        "WHERE schemaname = 'public' AND idx_scan = 0 ORDER BY indexname",
        "SELECT schemaname, tablename, indexname FROM pg_stat_user_indexes "
        "WHERE idx_scan = 0 AND indexrelname NOT LIKE '%_pkey'",
        "SELECT schemaname, tablename, indexname, pg_size_pretty(pg_relation_size(indexrelid)) "
        "FROM pg_stat_user_indexes ORDER BY pg_relation_size(indexrelid) DESC",
    ],
)
def test_f01_unused_indexes(lab: Lab, query: str) -> None:
    with pytest.raises(psycopg2.errors.UndefinedColumn):
        lab.old(query)
    unused = {each["name"] for each in lab.health["indexes"]["unused"]}
    assert unused == {"idx_products_kind", "idx_products_created_at"}


def test_f01_even_with_the_right_columns_it_would_drop_what_is_needed(lab: Lab) -> None:
    rows = lab.old(
        "SELECT indexrelname FROM pg_stat_user_indexes WHERE idx_scan = 0 AND indexrelname NOT LIKE '%_pkey'"
    )
    proposed = {row["indexrelname"] for row in rows}
    assert {"products_sku_key", "job_items_product_id"} <= proposed
    assert {each["name"] for each in lab.health["indexes"]["unused"]}.isdisjoint(
        {"products_sku_key", "job_items_product_id"}
    )
    # And how long it has not been used, which the manual does not ask.
    assert lab.health["indexes"]["stats_age_seconds"] is not None


@pytest.mark.parametrize(
    "query",
    [
        "SELECT query, calls, total_time, mean_time, max_time FROM pg_stat_statements ORDER BY mean_time DESC LIMIT 10",
        "SELECT query, calls, total_time, mean_time FROM pg_stat_statements ORDER BY calls DESC LIMIT 10",
    ],
)
def test_f02_slow_statements(lab: Lab, query: str) -> None:
    with pytest.raises((psycopg2.errors.UndefinedColumn, psycopg2.errors.UndefinedTable)):
        lab.old(query)
    if lab.server.installation.has_library("pg_stat_statements"):
        slowest = lab.health["statements"]["by_mean_time"][0]
        assert slowest["query"] == "SELECT pg_sleep($1)"
        assert slowest["mean_ms"] >= 3000


def test_f03_max_connections(lab: Lab) -> None:
    with pytest.raises(psycopg2.errors.UndefinedColumn):
        lab.old("SELECT max_connections FROM pg_settings WHERE name = 'max_connections'")
    connections = lab.health["connections"]
    # An application does not get all of them.
    assert (connections["max"], connections["usable"]) == (100, 97)


def test_f04_background_processes_are_no_connections(lab: Lab) -> None:
    (row,) = lab.old("SELECT COUNT(*) FROM pg_stat_activity")
    # Four of ours, and the one that measures.
    assert lab.health["connections"]["used"] == 5
    assert row["count"] > 5


def test_f05_who_may_be_ended(lab: Lab) -> None:
    rows = lab.old("SELECT pid FROM pg_stat_activity WHERE state = 'idle' AND state_change < NOW() - INTERVAL '0 s'")
    victims = {row["pid"] for row in rows}
    # The manual's victims: healthy pooled sessions. The leak is not among them.
    assert lab.pids["long report"] in victims
    assert lab.pids["forgotten"] not in victims
    (leak,) = lab.health["sessions"]["idle_in_transaction"]
    assert (leak["pid"], leak["application"], leak["database"]) == (lab.pids["forgotten"], "forgotten", "storebridge")
    # With these three, whoever acts on it later can make sure that it is still the same session.
    assert leak["backend_started_at"] <= leak["transaction_started_at"]
    # The other manual ends every session of the database, the waiting ones too.
    every = lab.old("SELECT pid FROM pg_stat_activity WHERE datname = 'storebridge' AND pid <> pg_backend_pid()")
    assert set(lab.pids.values()) <= {row["pid"] for row in every}


def test_f06_idle_since_the_last_statement_began(lab: Lab) -> None:
    """The report took three seconds and has just ended: the manual counts them as idle time."""
    pid = lab.pids["long report"]
    (row,) = lab.old(
        "SELECT query_start < now() - interval '3 seconds' AS looks_idle, "
        "extract(epoch FROM state_change - query_start) AS working "
        f"FROM pg_stat_activity WHERE pid = {pid} AND state = 'idle'"
    )
    assert row["looks_idle"] is True
    (idle,) = [each for each in lab.health["sessions"]["idle"] if each["pid"] == pid]
    assert idle["query_age_seconds"] - idle["state_age_seconds"] == pytest.approx(float(row["working"]), abs=0.2)
    assert float(row["working"]) >= 3


def test_f07_lock_waits(lab: Lab) -> None:
    rows = lab.old("""
        SELECT blocked_locks.pid AS blocked_pid, blocked_activity.usename AS blocked_user,
               blocking_locks.pid AS blocking_pid, blocking_activity.usename AS blocking_user,
               blocked_activity.query AS blocked_statement,
               blocking_activity.query AS current_statement_in_blocking_process
        FROM pg_catalog.pg_locks blocked_locks
        JOIN pg_catalog.pg_stat_activity blocked_activity ON blocked_activity.pid = blocked_locks.pid
        JOIN pg_catalog.pg_locks blocking_locks ON blocking_locks.locktype = blocked_locks.locktype
        JOIN pg_catalog.pg_stat_activity blocking_activity ON blocking_activity.pid = blocking_locks.pid
        WHERE NOT blocked_locks.granted
    """)
    # It blames the victims, even themselves.
    assert len({row["blocking_pid"] for row in rows}) > 1
    assert any(row["blocking_pid"] == row["blocked_pid"] for row in rows)
    locks = lab.health["locks"]
    assert [root["pid"] for root in locks["roots"]] == [lab.pids["forgotten"]]
    assert (locks["root_count"], locks["waiting_count"], locks["roots"][0]["blocked_count"]) == (1, 2, 2)


def test_f08_table_sizes(lab: Lab) -> None:
    with pytest.raises(psycopg2.errors.UndefinedTable):
        lab.old(
            "SELECT schemaname, tablename, pg_size_pretty(pg_total_relation_size(schemaname||'.'||tablename)) as size "
            "FROM pg_tables WHERE schemaname = 'public' "
            "ORDER BY pg_total_relation_size(schemaname||'.'||tablename) DESC"
        )
    largest = {each["name"]: each["total_bytes"] for each in lab.health["tables"]["largest"]}
    assert largest["MixedCase"] == int(
        lab.server.psql("""SELECT pg_total_relation_size('"MixedCase"')""", db="storebridge")
    )
    assert set(largest) == {"products", "job_items", "MixedCase", "lookups"}


def test_f09_missing_indexes(lab: Lab) -> None:
    rows = lab.old(
        "SELECT schemaname, tablename, attname, n_distinct, correlation FROM pg_stats "
        "WHERE schemaname = 'public' AND n_distinct > 100"
    )
    # It names a column that has an index, and not the table that is read from end to end all day.
    assert {(row["tablename"], row["attname"]) for row in rows} == {("products", "kind")}
    hot = lab.health["tables"]["sequential_scans"][0]
    assert (hot["name"], hot["index_count"], hot["sequential_percent"]) == ("lookups", 0, 100.0)
    assert hot["full_reads"] >= 50
