"""check_postgresql on real servers.

What is planted is found once, what is healthy is quiet, what is hidden is unknown.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg2
import pytest
import yaml
from lab.postgresql import PostgresServer

from ansible_collections.runbook.ops.plugins.plugin_utils.judging.judge import judge
from ansible_collections.runbook.ops.plugins.plugin_utils.pool_budget import pool_budget

CheckRole = Callable[..., Any]
RunModule = Callable[..., dict[str, Any]]

REPOSITORY = Path(__file__).resolve().parents[3]
DEFAULT_RULES = yaml.safe_load((REPOSITORY / "roles/check_postgresql/defaults/main.yml").read_text(encoding="utf-8"))[
    "check_postgresql_rules"
]

# The lab's servers do not wait for the disk; a server that does is what the rules call healthy.
SAFE = {"fsync": True, "full_page_writes": True, "synchronous_commit": True}
PASSWORD = "m0nitor @:/% pässwört"

# Ordinary life: tables of all sizes, constraints, a little bloat, an index nobody has used yet.
ORDINARY = """
    CREATE TABLE customers (id bigserial PRIMARY KEY, mail text UNIQUE, created_at timestamptz DEFAULT now());
    CREATE TABLE orders (id bigserial PRIMARY KEY, customer_id bigint REFERENCES customers, note text);
    CREATE TABLE tiny (id int PRIMARY KEY, note text);
    CREATE TABLE nothing (id int);
    CREATE INDEX ON orders (customer_id);
    CREATE INDEX ON orders (note);
    CREATE INDEX ON tiny (note);
    CREATE INDEX ON tiny (note);
    INSERT INTO customers (mail) SELECT g || '@example.com' FROM generate_series(1, 20000) g;
    INSERT INTO orders (customer_id, note) SELECT 1 + g % 20000, 'note ' || g FROM generate_series(1, 50000) g;
    INSERT INTO tiny SELECT g, 'x' FROM generate_series(1, 100) g;
    DELETE FROM tiny WHERE id > 10;
    UPDATE orders SET note = note || '!' WHERE id % 10 = 0;
    SELECT count(*) FROM tiny; SELECT count(*) FROM tiny; SELECT count(*) FROM orders;
"""

PLANTED = """
    CREATE TABLE customers (id bigserial PRIMARY KEY, mail text UNIQUE, town int);
    INSERT INTO customers (mail, town) SELECT g || '@example.com', g % 7 FROM generate_series(1, 20000) g;

    -- never used, beside a primary key and a unique constraint that were not used either
    CREATE INDEX idx_customers_town ON customers (town);

    -- the same twice
    CREATE INDEX idx_customers_mail_again ON customers (mail text_pattern_ops);
    CREATE INDEX idx_customers_mail_twice ON customers (mail text_pattern_ops);

    -- a name that needs quotes (the manuals' regclass casts fail on it), with dead rows
    CREATE TABLE "MixedCase" (id int, filler text) WITH (autovacuum_enabled = false);
    INSERT INTO "MixedCase" SELECT g, repeat('x', 500) FROM generate_series(1, 40000) g;
    DELETE FROM "MixedCase" WHERE id <= 25000;
    ANALYZE "MixedCase";

    -- nearly used up, in a column that is smaller than its sequence
    CREATE TABLE counters (id int);
    CREATE SEQUENCE counter_ids AS bigint OWNED BY counters.id;
    ALTER TABLE counters ALTER id SET DEFAULT nextval('counter_ids');
    SELECT setval('counter_ids', 2000000000);

    -- not unique, so that building a unique index fails and leaves its rest
    CREATE TABLE twins (a int);
    INSERT INTO twins VALUES (1), (1);

    CREATE TABLE locked (a int);
    INSERT INTO locked VALUES (1);
"""


@pytest.fixture(scope="module", params=[None], ids=["preferred"])
def server() -> Iterator[PostgresServer]:
    with PostgresServer(settings=SAFE) as started:
        started.execute(f"CREATE ROLE monitor LOGIN PASSWORD '{PASSWORD}'")
        started.execute("GRANT pg_monitor, pg_read_all_data TO monitor")
        started.execute(f"CREATE ROLE clerk LOGIN PASSWORD '{PASSWORD}'")
        started.execute("GRANT pg_monitor TO clerk")
        started.execute(f"CREATE ROLE stranger LOGIN PASSWORD '{PASSWORD}'")
        yield started


@pytest.fixture
def shop(server: PostgresServer) -> Iterator[str]:
    name = f"shop_{os.urandom(4).hex()}"
    server.execute(f"CREATE DATABASE {name}")
    if server.installation.has_library("pg_stat_statements"):
        server.execute("CREATE EXTENSION pg_stat_statements", db=name)
    yield name
    server.execute(f"DROP DATABASE {name} WITH (FORCE)")


def test_a_healthy_server_is_quiet(server: PostgresServer, shop: str, check_role: CheckRole) -> None:
    server.execute(ORDINARY, db=shop)
    server.execute("VACUUM ANALYZE", db=shop)
    run = check_role(server.login(shop, user="monitor", password=PASSWORD))
    assert run.of("warning", "critical", "unknown") == []
    assert len(run.findings) > 40
    assert run.outcome["query_facts"] is None
    assert {each["host"] for each in run.findings} == {"db1"}
    assert {each["source"] for each in run.findings} == {"runbook.ops.postgresql_health_info"}


def test_every_major_is_quiet_when_fresh(postgresql_by_major: PostgresServer, run_module: RunModule) -> None:
    """The lab's servers are fresh; all that is wrong with them is that they do not wait for the disk."""
    facts = run_module("postgresql_health_info", postgresql_by_major.login())
    # What the role adds when no pools and no poolers are declared.
    facts["health"]["connections"]["pools"] = pool_budget([], facts["health"]["connections"])
    facts["health"]["connections"]["poolers"] = {"count": 0}
    findings = judge(facts, DEFAULT_RULES)
    bad = {(each["severity"], each["id"], each["object"]): each for each in findings if each["severity"] != "ok"}
    assert list(bad) == [
        # Without the extension nobody knows the statements; that is said with the steps that change it.
        ("unknown", "postgresql.statements_slowest", ""),
        ("critical", "postgresql.settings_dangerous", "fsync"),
        ("critical", "postgresql.settings_dangerous", "full_page_writes"),
    ]
    assert "CREATE EXTENSION pg_stat_statements" in next(iter(bad.values()))["remedy"]


class Sessions:
    """Sessions that misbehave while the check looks."""

    def __init__(self, server: PostgresServer, database: str) -> None:
        self.login = {
            "host": server.host,
            "port": server.port,
            "user": server.superuser,
            "password": server.password,
            "dbname": database,
        }
        self.opened: list[Any] = []
        self.threads: list[threading.Thread] = []

    def open(self, application: str) -> Any:
        connection = psycopg2.connect(application_name=application, **self.login)
        self.opened.append(connection)
        return connection

    def wait_for(self, application: str, statement: str) -> None:
        connection = self.open(application)

        def run() -> None:
            with connection.cursor() as cursor, contextlib.suppress(psycopg2.Error):
                cursor.execute(statement)

        thread = threading.Thread(target=run)
        thread.start()
        self.threads.append(thread)

    def close(self, server: PostgresServer) -> None:
        server.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s AND pid <> pg_backend_pid()",
            (self.login["dbname"],),
        )
        for thread in self.threads:
            thread.join(10)
        for connection in self.opened:
            connection.close()


@pytest.fixture
def sessions(server: PostgresServer, shop: str) -> Iterator[Sessions]:
    made = Sessions(server, shop)
    yield made
    made.close(server)


def until(server: PostgresServer, statement: str, database: str) -> None:
    """Wait until a query gives true."""
    deadline = time.monotonic() + 240
    while server.query(statement, db=database)[0][0] is not True:
        assert time.monotonic() < deadline, statement
        time.sleep(0.05)


def test_what_is_planted_is_found_once(
    server: PostgresServer, shop: str, sessions: Sessions, check_role: CheckRole
) -> None:
    server.execute(PLANTED, db=shop)
    with pytest.raises(psycopg2.errors.UniqueViolation):
        server.execute("CREATE UNIQUE INDEX CONCURRENTLY idx_twins_a ON twins (a)", db=shop)
    server.execute("ANALYZE", db=shop)
    for _ignored in range(120):
        server.execute("SELECT count(*) FROM customers WHERE town + 0 = 3", db=shop)
    leaking = sessions.open("storebridge-web")
    with leaking.cursor() as cursor:
        cursor.execute("LOCK TABLE locked IN ACCESS EXCLUSIVE MODE")
    pooled = sessions.open("storebridge-web")
    pooled.autocommit = True
    sessions.wait_for("storebridge-worker", "SELECT * FROM locked")
    until(server, "SELECT count(*) = 1 FROM pg_locks WHERE NOT granted", shop)
    server.execute("SELECT pg_create_physical_replication_slot('forgotten', true)")
    try:
        run = check_role(
            server.login(shop, user="monitor", password=PASSWORD),
            check_postgresql_rule_overrides={
                # What takes days, gigabytes or minutes in a real system must do with less in a test.
                "postgresql.idle_in_transaction": {"warning": "> 0.001 s", "critical": None},
                "postgresql.locks": {"warning": "> 0.001 s", "critical": None},
                # An hour's average since the server's data were made, which may be long ago.
                "postgresql.sequential_scans": {"warning": "> 0.01"},
                "postgresql.index_unused": {"where": "size_bytes > 100 kB", "warning": "> 100 kB"},
                "postgresql.index_duplicate": {"warning": "> 100 kB"},
                "postgresql.database_size": {"warning": "> 1 MB"},
            },
        )
    finally:
        server.execute("SELECT pg_drop_replication_slot('forgotten')")
    application = f"storebridge-web (postgres@{shop})"
    assert run.of("warning", "critical", "unknown") == [
        ("warning", "postgresql.idle_in_transaction", application),
        ("warning", "postgresql.locks", application),
        ("warning", "postgresql.database_size", shop),
        ("critical", "postgresql.dead_rows", "public.MixedCase"),
        ("warning", "postgresql.autovacuum_disabled", ""),
        ("warning", "postgresql.sequential_scans", "public.customers"),
        ("warning", "postgresql.index_unused", "public.idx_customers_mail_again"),
        ("warning", "postgresql.index_unused", "public.idx_customers_mail_twice"),
        ("warning", "postgresql.index_unused", "public.idx_customers_town"),
        ("warning", "postgresql.index_invalid", "public.idx_twins_a"),
        ("warning", "postgresql.index_duplicate", "public.idx_customers_mail_twice"),
        ("critical", "postgresql.sequences", "public.counter_ids"),
        ("warning", "postgresql.slots_inactive", ""),
    ]
    assert run.finding("postgresql.dead_rows")["value"] == 62.5
    assert run.finding("postgresql.dead_rows")["remedy"].endswith(
        "ansible-playbook runbook.ops.maintain_monthly --check"
    )
    assert run.finding("postgresql.sequences")["summary"].startswith("public.counter_ids: 93.13 % used")
    assert "1 of 2 sessions idle in a transaction" in run.finding("postgresql.idle_in_transaction")["summary"]


def test_another_tool_confirms_what_was_planted(server: PostgresServer, shop: str) -> None:
    """Psql sees the planted state; the manuals' own commands fail on it, or say that all is well."""
    server.execute(PLANTED, db=shop)
    with pytest.raises(psycopg2.errors.UniqueViolation):
        server.execute("CREATE UNIQUE INDEX CONCURRENTLY idx_twins_a ON twins (a)", db=shop)
    assert server.psql("SELECT indisvalid FROM pg_index WHERE indexrelid = 'idx_twins_a'::regclass", db=shop) == "f"
    # Columns that do not exist.
    with pytest.raises(psycopg2.errors.UndefinedColumn):
        server.query("SELECT tablename, indexname FROM pg_stat_user_indexes WHERE idx_scan = 0", db=shop)
    # A name that needs quotes.
    with pytest.raises(psycopg2.errors.UndefinedTable):
        server.query("SELECT pg_total_relation_size(schemaname || '.' || relname) FROM pg_stat_user_tables", db=shop)
    # "max_connections" is a row of pg_settings, not a column.
    with pytest.raises(psycopg2.errors.UndefinedColumn):
        server.query("SELECT max_connections FROM pg_settings", db=shop)
    # Dropping what has idx_scan = 0 would drop primary keys.
    never = server.psql(
        "SELECT count(*) FROM pg_stat_user_indexes WHERE idx_scan = 0 AND indexrelname ~ 'pkey|key$'", db=shop
    )
    assert int(never) >= 2


def test_a_stranger_gets_unknown_with_the_grant(server: PostgresServer, shop: str, check_role: CheckRole) -> None:
    with server.connect(shop, autocommit=False) as idle, idle.cursor() as cursor:
        cursor.execute("SELECT 1")
        run = check_role(server.login(shop, user="stranger", password=PASSWORD))
    idle.close()
    assert run.of("warning", "critical") == []
    unknown = {rule for _severity, rule, _object in run.of("unknown")}
    assert {"postgresql.idle_in_transaction", "postgresql.long_transactions", "postgresql.xmin_horizon"} <= unknown
    for rule in unknown - {"postgresql.statements_slowest"}:
        assert run.finding(rule)["remedy"] == "GRANT pg_monitor TO stranger;", rule
        assert run.finding(rule)["summary"].startswith("not measured: "), rule
    server.execute("GRANT pg_monitor TO stranger")
    try:
        assert check_role(server.login(shop, user="stranger", password=PASSWORD)).of("unknown") == []
    finally:
        server.execute("REVOKE pg_monitor FROM stranger")


def test_background_processes_are_no_connections(server: PostgresServer, shop: str, check_role: CheckRole) -> None:
    """The manual counts the rows of pg_stat_activity: six of them are the server's own."""
    run = check_role(server.login(shop, user="monitor", password=PASSWORD))
    connections = run.outcome["facts"]["health"]["connections"]
    manual = int(server.psql("SELECT count(*) FROM pg_stat_activity", db=shop))
    assert connections["used"] == 1
    assert manual >= 1 + 4
    assert connections["usable"] == int(server.psql("SHOW max_connections", db=shop)) - 3


# What the manual runs in a pod to test the connection, with a stand-in for the driver: nobody awaits it.
MANUAL_CONNECTION_TEST = """
import asyncio
async def connect(host, port):
    await asyncio.open_connection(host, port)
connect("127.0.0.1", 1)
"""


def test_a_connection_test_that_nobody_awaits(server: PostgresServer, check_role: CheckRole) -> None:
    manual = subprocess.run([sys.executable, "-c", MANUAL_CONNECTION_TEST], capture_output=True, text=True, check=False)
    assert manual.returncode == 0, "it says that all is well, whatever is there"
    run = check_role({**server.login(user="monitor", password=PASSWORD), "login_port": 1})
    assert run.finding("postgresql.available")["severity"] == "critical"


QUERIES = [
    {"name": "orders", "single_row": True, "sql": "SELECT count(*) AS n, avg(id) AS mean FROM orders"},
    {"name": "secret", "sql": "SELECT * FROM hidden"},
]
QUERY_RULES = [
    {"id": "business.orders", "value": "queries.orders.row.n", "warning": "< 10", "unit": "count"},
    {"id": "business.mean", "value": "queries.orders.row.mean", "warning": "> 1000000"},
    {"id": "business.secret", "each": "queries.secret.rows", "value": "id", "warning": "> 1"},
]


def test_business_figures(server: PostgresServer, shop: str, check_role: CheckRole) -> None:
    server.execute(
        "CREATE TABLE orders (id int); CREATE TABLE hidden (id int); GRANT SELECT ON orders TO clerk", db=shop
    )
    variables = {"check_postgresql_queries": QUERIES, "check_postgresql_query_rules": QUERY_RULES}
    login = server.login(shop, user="clerk", password=PASSWORD)
    run = check_role(login, **variables)
    assert run.of("warning", "critical", "unknown") == [
        ("warning", "business.orders", ""),
        ("unknown", "business.mean", ""),
        ("unknown", "business.secret", ""),
    ]
    secret = run.finding("business.secret")
    assert secret["remedy"] == "GRANT SELECT ON hidden TO clerk;"
    assert "permission denied for table hidden" in secret["summary"]
    assert secret["source"] == "runbook.ops.postgresql_query_info"
    server.execute("INSERT INTO orders SELECT generate_series(1, 20); GRANT SELECT ON hidden TO clerk", db=shop)
    again = check_role(
        login, **variables, check_postgresql_query_rule_overrides={"business.orders": {"warning": "< 30"}}
    )
    assert again.of("warning", "critical", "unknown") == [("warning", "business.orders", "")]


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"login_port": 1}, "connection refused"),
        ({"login_password": "wr@ng:/%ß"}, "the password of this user was not accepted"),
        ({"login_db": "nowhere"}, "there is no such database"),
    ],
)
def test_a_server_that_does_not_answer_is_one_finding(
    server: PostgresServer, wrong: dict[str, Any], reason: str, check_role: CheckRole
) -> None:
    login = {**server.login(user="monitor", password=PASSWORD), **wrong}
    run = check_role(login)
    assert run.of("ok", "warning", "critical", "unknown") == [
        ("critical", "postgresql.available", ""),
        ("unknown", "postgresql.not_judged", ""),
    ]
    assert reason in run.finding("postgresql.available")["summary"]
    assert run.finding("postgresql.available")["priority"] == "P0"


def test_a_server_that_does_not_answer_has_no_business_figures(server: PostgresServer, check_role: CheckRole) -> None:
    login = {**server.login(user="monitor", password=PASSWORD), "login_port": 1}
    run = check_role(login, check_postgresql_queries=QUERIES, check_postgresql_query_rules=QUERY_RULES)
    assert run.of("ok", "warning", "critical", "unknown") == [
        ("critical", "postgresql.available", ""),
        ("unknown", "postgresql.not_judged", ""),
        ("unknown", "business.not_judged", ""),
    ]
    assert "connection refused" in run.finding("business.not_judged")["summary"]


def test_check_mode_measures_and_nothing_is_said_of_secrets(
    server: PostgresServer, shop: str, check_role: CheckRole
) -> None:
    server.execute("CREATE TABLE orders (id int)", db=shop)
    written = "SELECT sum(n_tup_ins + n_tup_upd + n_tup_del) FROM pg_stat_user_tables"
    before = server.psql(written, shop)
    run = check_role(
        server.login(shop, user="monitor", password=PASSWORD),
        "-vvvv",
        "--check",
        "--diff",
        check_postgresql_queries=QUERIES[:1],
        check_postgresql_query_rules=QUERY_RULES[:1],
    )
    assert run.of("warning") == [("warning", "business.orders", "")]
    assert server.psql(written, shop) == before
    for text in (run.output, json.dumps(run.outcome, ensure_ascii=False)):
        assert PASSWORD not in text
        assert json.dumps(PASSWORD)[1:-1] not in text


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        (
            {"check_postgresql_rule_overrides": {"postgresql.conections": {"warning": "> 1"}}},
            "there is no such rule. Did you mean 'postgresql.connections'?",
        ),
        (
            {"check_postgresql_rule_overrides": {"postgresql.connections": {"warning": "> 95"}}},
            "accepted: a warning that comes before critical",
        ),
        (
            {"check_postgresql_query_rules": QUERY_RULES},
            "check_postgresql_queries wherever check_postgresql_query_rules",
        ),
        ({"check_postgresql_sections": ["tabels"]}, "tabels"),
        ({"check_postgresql_ssl_mode": "maybe"}, "check_postgresql_ssl_mode"),
    ],
)
def test_mistakes_in_variables_are_one_message(
    server: PostgresServer, variables: dict[str, Any], message: str, check_role: CheckRole
) -> None:
    run = check_role(server.login(user="monitor", password=PASSWORD), expect=2, **variables)
    assert message in run.output
    assert "Traceback" not in run.output
