"""The poolers before a server: who waits there, which neither the server nor the pooler's log tells."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from typing import Any

import psycopg2
import psycopg2.extras
import pytest
from lab.pgbouncer import STATS_PASSWORD, STATS_USER, PgBouncer
from lab.postgresql import PostgresServer

CheckRole = Callable[..., Any]

SAFE = {"fsync": True, "full_page_writes": True, "synchronous_commit": True}
APP = {"app": "4pp"}


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with PostgresServer(settings=SAFE) as started:
        started.execute("CREATE ROLE app LOGIN PASSWORD '4pp'")
        for name in ("shop", "archive"):
            started.execute(f"CREATE DATABASE {name}")
        yield started


def client(pooler: PgBouncer, **more: Any) -> Any:
    return psycopg2.connect(host=pooler.host, port=pooler.port, user="app", password=APP["app"], dbname="shop", **more)


def holding(stack: ExitStack, pooler: PgBouncer, count: int) -> None:
    """So many clients that hold a server connection, in a transaction that they leave open."""
    for _ignored in range(count):
        connection = stack.enter_context(closing(client(pooler, application_name="leaking")))
        connection.cursor().execute("SELECT 1")


def waiting(stack: ExitStack, pooler: PgBouncer, count: int) -> None:
    """So many clients that have sent a query and get no server connection."""
    for _ignored in range(count):
        connection = stack.enter_context(closing(client(pooler, application_name="api", async_=True)))
        psycopg2.extras.wait_select(connection)
        connection.cursor().execute("SELECT 2")


def poolers(*started: PgBouncer, **more: Any) -> dict[str, Any]:
    return {
        "postgresql_pgbouncers": [
            {"name": f"pooler-{number}", "login_host": each.host, "login_port": each.port, **more}
            for number, each in enumerate(started, 1)
        ],
        "postgresql_pgbouncer_login_user": STATS_USER,
        "postgresql_pgbouncer_login_password": STATS_PASSWORD,
        "postgresql_ssl_mode": "disable",
    }


def test_who_waits_is_seen_at_the_console_alone(server: PostgresServer, check_role: CheckRole) -> None:
    """AC-61: the manual reads the pooler's log, which says nothing of clients that wait."""
    databases = {"shop": "dbname=shop", "archive": "dbname=archive pool_size=60 reserve_pool=10"}
    with PgBouncer(server, users=APP, databases=databases) as pooler, ExitStack() as stack:
        holding(stack, pooler, 2)
        waiting(stack, pooler, 3)
        pooler.ask("PAUSE archive")
        gone = {"name": "gone", "login_host": "127.0.0.1", "login_port": 1}
        variables = poolers(pooler, instances=2)
        variables["postgresql_pgbouncers"].append(gone)
        run = check_role(server.login(), "-vvv", **variables)
        waits = [line.split("|") for line in pooler.ask("SHOW POOLS").splitlines()]
        log = pooler.log.read_text(encoding="utf-8")
    # psql sees the same three, and the log has no word of them.
    assert [(row[0], row[1], row[3]) for row in waits if row[3] != "0"][:1] == [("shop", "app", "3")]
    assert "wait" not in log.lower().replace("max_wait", "")
    assert "app" in log
    bad = [(rule, name) for _severity, rule, name in run.of("warning", "critical", "unknown")]
    assert [each for each in bad if each[0].startswith(("pgbouncer.", "postgresql.pooler"))] == [
        # What the pooler that is gone may open is not known.
        ("postgresql.pooler_budget", ""),
        ("pgbouncer.paused", "pooler-1 archive"),
        ("pgbouncer.waiting", "pooler-1 shop/app"),
        ("pgbouncer.pool_full", "pooler-1 shop/app"),
        ("pgbouncer.available", "gone"),
        ("pgbouncer.not_judged", ""),
    ]
    assert run.finding("postgresql.pooler_budget")["severity"] == "unknown"
    facts = run.outcome["facts"]["health"]["connections"]["poolers"]
    assert (facts["count"], facts["most"], facts["usable"]) == (2, None, 97)
    assert STATS_PASSWORD not in run.output
