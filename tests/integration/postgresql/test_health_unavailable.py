"""What is not there, not allowed, or in the way: one sentence or one skipped entry, and the rest is still delivered."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from typing import Any

import pytest
from lab.postgresql import PostgresServer
from psycopg2 import sql

Result = dict[str, Any]
RunModule = Callable[..., Result]

PASSWORD = "pä@:/%25ß w"
MODULE = "postgresql_health_info"


def refused(result: Result) -> str:
    """The reason of a result that is not available, with everything else as it must be then."""
    assert "failed" not in result, result
    assert (result["changed"], result["available"], result["health"], result["skipped_sections"]) == (
        False,
        False,
        {},
        [],
    )
    assert result["measured_at"].endswith("Z")
    return result["reason"]


@pytest.fixture
def role(postgresql_by_major: PostgresServer, database_by_major: str) -> Iterator[str]:
    """A login with an odd name and an odd password, and no privilege at all."""
    name = f"Plain {os.urandom(4).hex()}"
    identifier = sql.Identifier(name)
    postgresql_by_major.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(identifier, sql.Literal(PASSWORD)))
    yield name
    postgresql_by_major.execute(sql.SQL("DROP OWNED BY {}").format(identifier), db=database_by_major)
    postgresql_by_major.execute(sql.SQL("DROP ROLE {}").format(identifier))


def test_logins_that_fail(postgresql_server: PostgresServer, run_module: RunModule) -> None:
    login = postgresql_server.login()
    reason = refused(run_module(MODULE, {**login, "login_password": PASSWORD}))
    assert "the password of this user was not accepted" in reason
    assert PASSWORD not in reason
    reason = refused(run_module(MODULE, {**login, "login_db": "no such db"}))
    assert reason.endswith("there is no such database. Correct login_db.")


def test_server_down(run_module: RunModule) -> None:
    with PostgresServer() as server:
        login = server.login()
    reason = refused(run_module(MODULE, login))
    assert "connection refused. Start the server" in reason
    assert server.password not in reason


def test_connections_exhausted(run_module: RunModule) -> None:
    """The state in which the manual's operator is refused, too."""
    with (
        PostgresServer(settings={"max_connections": 8, "superuser_reserved_connections": 1}) as server,
        ExitStack() as stack,
    ):
        server.execute("CREATE ROLE app LOGIN PASSWORD 'app'")
        for _ignored in range(7):
            stack.enter_context(closing(server.connect(user="app", password="app")))
        reason = refused(run_module(MODULE, server.login(user="app", password="app")))
        assert "every connection slot is taken" in reason
        # The reserve lets a superuser in, who then sees how full it is.
        connections = run_module(MODULE, {**server.login(), "sections": ["connections"]})["health"]["connections"]
        assert (connections["usable"], connections["used"], connections["free"]) == (7, 8, 0)
        assert connections["used_percent"] > 100
        assert connections["by_user"][0] == {"name": "app", "count": 7, "limit": None, "limit_percent": None}


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"sections": ["locks", "lokcs"]}, "lokcs"),
        ({"top": 0}, "top: 0 is not accepted. Accepted: a number from 1 to 1000."),
        ({"statement_timeout": -1}, "statement_timeout: -1.0 is not accepted. Accepted: more than 0 seconds."),
        ({"unheard_of": 1}, "unheard_of"),
    ],
)
def test_bad_options(run_module: RunModule, options: Result, expected: str) -> None:
    result = run_module(MODULE, {"login_host": "nowhere.invalid", **options})
    assert result["failed"] is True
    assert expected in result["msg"]
    if "sections" in options:
        assert "collations" in result["msg"]


def test_without_privileges(
    postgresql_by_major: PostgresServer, database_by_major: str, role: str, run_module: RunModule
) -> None:
    postgresql_by_major.execute("CREATE TABLE t (id serial)", db=database_by_major)
    login = postgresql_by_major.login(database_by_major, user=role, password=PASSWORD)
    result = run_module(MODULE, login)
    assert result["available"] is True, result["reason"]
    assert PASSWORD not in str(result)
    health = result["health"]
    skipped = {entry["section"]: entry["remedy"] for entry in result["skipped_sections"]}
    grant = f'GRANT pg_monitor TO "{role}";'
    for section in ("connections", "sessions", "locks", "replication", "wraparound", "wal.archiver.ready_count"):
        assert skipped[section] == grant
    assert skipped["settings.shared_preload_libraries"] == f'GRANT pg_read_all_settings TO "{role}";'
    assert skipped["sequences"] == f'GRANT SELECT ON ALL SEQUENCES IN SCHEMA public TO "{role}";'
    # Unknown is null, never 0.
    assert health["sessions"]["idle_in_transaction_count"] is None
    assert health["connections"]["idle"] is None
    assert health["wraparound"]["horizon_xid_age"] is None
    assert health["replication"]["standby_count"] is None
    assert health["wal"]["archiver"]["ready_count"] is None
    assert health["sequences"]["list"][0]["used_percent"] is None
    # And what can be known is known.
    assert health["connections"]["used"] >= 1
    assert health["connections"]["used_is_exact"] is False
    assert health["tables"]["count"] == 1
    assert health["wraparound"]["xid_percent"] is not None
    assert health["databases"]["current"]["size_bytes"] > 0

    # The remedies are statements that work, and then nothing is missing but an extension.
    for remedy in {*skipped.values()}:
        if remedy.startswith("GRANT"):
            postgresql_by_major.execute(remedy, db=database_by_major)
    again = run_module(MODULE, login)
    assert [entry["section"] for entry in again["skipped_sections"]] == ["statements"]
    assert again["health"]["sequences"]["list"][0]["used_percent"] == 0.0
    postgresql_by_major.execute(sql.SQL("REVOKE pg_monitor, pg_read_all_settings FROM {}").format(sql.Identifier(role)))


def test_used_connections_are_the_same_without_privilege(
    postgresql_by_major: PostgresServer, database_by_major: str, role: str, run_module: RunModule
) -> None:
    options = {"sections": ["connections"]}
    with ExitStack() as stack:
        for _ignored in range(3):
            stack.enter_context(closing(postgresql_by_major.connect(database_by_major)))
        poor = postgresql_by_major.login(database_by_major, user=role, password=PASSWORD)
        guessed = run_module(MODULE, {**poor, **options})["health"]["connections"]
        exact = run_module(MODULE, {**postgresql_by_major.login(database_by_major), **options})["health"]["connections"]
    assert guessed["used"] == exact["used"] == 4
    assert (guessed["used_is_exact"], exact["used_is_exact"]) == (False, True)


def test_missing_extension(postgresql_by_major: PostgresServer, database_by_major: str, run_module: RunModule) -> None:
    login = postgresql_by_major.login(database_by_major)
    result = run_module(MODULE, {**login, "sections": ["statements", "extensions"]})
    (entry,) = result["skipped_sections"]
    assert entry["section"] == "statements"
    assert entry["reason"] == f"The extension pg_stat_statements is not installed in database {database_by_major}."
    assert entry["remedy"].endswith(f"In database {database_by_major}: CREATE EXTENSION pg_stat_statements;")
    assert ("contrib" in entry["remedy"]) is not postgresql_by_major.installation.has_library("pg_stat_statements")
    assert result["health"]["statements"]["by_total_time"] is None
    assert set(result["health"]) == {"statements", "extensions"}


def test_extension_that_is_not_preloaded(run_module: RunModule) -> None:
    with PostgresServer(settings={"shared_preload_libraries": ""}) as server:
        if not server.installation.has_library("pg_stat_statements"):
            return
        server.execute("CREATE EXTENSION pg_stat_statements")
        result = run_module(MODULE, {**server.login(), "sections": ["statements"]})
        assert result["health"]["statements"]["extension_version"]
        assert {entry["remedy"] for entry in result["skipped_sections"]} == {
            "Add pg_stat_statements to shared_preload_libraries and restart the server."
        }


def test_a_table_under_an_exclusive_lock_does_not_stop_the_measuring(
    postgresql_by_major: PostgresServer, database_by_major: str, run_module: RunModule
) -> None:
    """The state in which people look: somebody alters a table, and everybody who asks for its size would wait."""
    postgresql_by_major.execute(
        "CREATE TABLE locked (id int PRIMARY KEY, v text);"
        "INSERT INTO locked SELECT g, 'x' FROM generate_series(1, 5000) g;"
        "CREATE TABLE free (id int PRIMARY KEY); ANALYZE",
        db=database_by_major,
    )
    with closing(postgresql_by_major.connect(database_by_major, autocommit=False)) as connection:
        connection.cursor().execute("ALTER TABLE locked ADD COLUMN w int")
        login = postgresql_by_major.login(database_by_major)
        result = run_module(MODULE, {**login, "statement_timeout": 5})
        connection.rollback()
    assert {entry["section"] for entry in result["skipped_sections"]} <= {"statements"}
    largest = {each["name"]: each for each in result["health"]["tables"]["largest"]}
    assert (largest["locked"]["is_estimate"], largest["free"]["is_estimate"]) == (True, False)
    assert largest["locked"]["total_bytes"] > 100_000
    assert {"locked_pkey", "free_pkey"} == {each["name"] for each in result["health"]["indexes"]["largest"]}


def test_a_statement_that_takes_too_long_costs_its_own_facts(
    postgresql_server: PostgresServer, postgresql_database: str, run_module: RunModule
) -> None:
    postgresql_server.execute("CREATE TABLE t (id serial PRIMARY KEY)", db=postgresql_database)
    login = postgresql_server.login(postgresql_database)
    result = run_module(MODULE, {**login, "statement_timeout": 30, "sections": ["sequences", "settings"]})
    assert result["skipped_sections"] == []
    with closing(postgresql_server.connect(postgresql_database, autocommit=False)) as connection:
        # ALTER SEQUENCE keeps readers of its last value out.
        connection.cursor().execute("ALTER SEQUENCE t_id_seq INCREMENT 2")
        blocked = run_module(MODULE, {**login, "statement_timeout": 0.3, "sections": ["sequences", "settings"]})
        connection.rollback()
    (entry,) = blocked["skipped_sections"]
    assert entry["section"] == "sequences"
    assert "statement timeout" in entry["reason"]
    assert entry["remedy"].startswith("Raise statement_timeout")
    assert blocked["health"]["sequences"]["list"] is None
    assert blocked["health"]["settings"]["parameters"]


def test_check_mode_and_measuring_change_nothing(run_module: RunModule) -> None:
    catalog = "SELECT md5(string_agg(c::text, '' ORDER BY c.oid)) FROM pg_class c"
    # Nobody else may use a transaction id in between.
    with PostgresServer(settings={"autovacuum": False}) as server:
        server.execute("CREATE TABLE t (id serial PRIMARY KEY, v text)")
        before, first = server.psql(catalog), int(server.psql("SELECT txid_current()"))
        checked = run_module(MODULE, server.login(), check_mode=True)
        measured = run_module(MODULE, server.login())
        after, last = server.psql(catalog), int(server.psql("SELECT txid_current()"))
    assert (checked["changed"], measured["changed"]) == (False, False)
    assert checked["health"]["tables"]["count"] == measured["health"]["tables"]["count"] == 1
    # Asking for the id is what used one.
    assert (after, last) == (before, first + 1)


def test_neighbours_in_other_encodings(run_module: RunModule) -> None:
    """Statements of other databases are bytes to the server; one in EUC_KR must not cost a whole section."""
    statement = "SELECT '비밀' AS \"한글\""
    with PostgresServer() as server, ExitStack() as stack:
        for name, encoding in (("korean", "EUC_KR"), ("bytes", "SQL_ASCII")):
            server.execute(
                f"CREATE DATABASE {name} ENCODING '{encoding}' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0"
            )
        for encoding, text in (("EUC_KR", statement), ("EUC_KR", "SELECT 1 AS ascii")):
            connection = stack.enter_context(closing(server.connect("korean", autocommit=False)))
            connection.set_client_encoding(encoding)
            connection.cursor().execute(text.encode("euc_kr"))
        odd = stack.enter_context(closing(server.connect("bytes")))
        odd.set_client_encoding("SQL_ASCII")
        odd.cursor().execute(b'CREATE TABLE "t\xe4ble" (id serial PRIMARY KEY)')
        for database, shown in (
            ("korean", {'SELECT ? AS "한글"', "SELECT ? AS ascii"}),
            ("postgres", {None, "SELECT ? AS ascii"}),
            ("bytes", {None, "SELECT ? AS ascii"}),
        ):
            result = run_module(MODULE, server.login(database))
            assert {entry["section"] for entry in result["skipped_sections"]} <= {"statements"}
            assert {each["query"] for each in result["health"]["sessions"]["idle_in_transaction"]} == shown
            assert "비밀" not in str(result)
        assert [each["name"] for each in result["health"]["tables"]["largest"]] == ["t\ufffdble"]


def test_excluded_schemas(postgresql_server: PostgresServer, postgresql_database: str, run_module: RunModule) -> None:
    postgresql_server.execute(
        'CREATE SCHEMA "Not Ours"; CREATE TABLE "Not Ours".t (id serial PRIMARY KEY);'
        "CREATE TABLE ours (id serial PRIMARY KEY)",
        db=postgresql_database,
    )
    login = postgresql_server.login(postgresql_database)
    options = {"exclude_schemas": ["Not Ours"], "sections": ["tables", "indexes", "sequences"], "top": 1}
    health = run_module(MODULE, {**login, **options})["health"]
    assert [each["name"] for each in health["tables"]["largest"]] == ["ours"]
    assert (health["tables"]["count"], health["indexes"]["count"], health["sequences"]["count"]) == (1, 1, 1)
    everything = run_module(MODULE, {**login, **options, "exclude_schemas": []})["health"]
    assert (everything["tables"]["count"], everything["tables"]["truncated"]) == (2, True)
