"""The session against real servers: logins that fail, results that are odd, servers that freeze."""

from __future__ import annotations

import datetime as dt
import os
import signal
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from lab.postgresql import PostgresServer
from psycopg2 import sql

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import Unavailable
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.client import Session, connect
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.errors import QueryError

PASSWORDS = ["p@ss:w/o%rd", "pässwört ☃ 비밀", "quote ' \" \\ $x` ; #", " edge ", "%(name)s", "=x host=elsewhere"]


@pytest.fixture
def session(postgresql_server: PostgresServer, postgresql_database: str) -> Iterator[Session]:
    with connect(postgresql_server.login(postgresql_database), statement_timeout_seconds=5) as opened:
        yield opened


def failure(options: dict[str, Any]) -> str:
    with pytest.raises(Unavailable) as caught:
        connect(options, statement_timeout_seconds=5)
    return caught.value.message


@pytest.mark.parametrize("password", PASSWORDS)
def test_any_password_works_and_is_never_shown(postgresql_server: PostgresServer, password: str) -> None:
    name = f"user_{os.urandom(6).hex()}"
    role = sql.Identifier(name)
    postgresql_server.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(role, sql.Literal(password)))
    try:
        login = postgresql_server.login(user=name, password=password)
        with connect(login, statement_timeout_seconds=5) as opened:
            assert opened.query("SELECT current_user AS name") == [{"name": name}]
        for wrong in ({"login_db": "nowhere"}, {"login_password": password + "x"}, {"login_port": 1}):
            message = failure({**login, **wrong})
            assert password not in message
            assert message.startswith("PostgreSQL at 127.0.0.1:")
    finally:
        postgresql_server.execute(sql.SQL("DROP ROLE {}").format(role))


@pytest.mark.parametrize(
    ("wrong", "expected"),
    [
        ({"login_password": "wrong"}, "the password of this user was not accepted"),
        ({"login_db": "nowhere"}, "there is no such database. Correct login_db."),
        ({"login_user": "nobody"}, "the password of this user was not accepted"),
        ({"login_port": 1}, "connection refused. Start the server"),
        ({"login_unix_socket": "/nowhere"}, "no server listens on that socket"),
        ({"ssl_mode": "require"}, "the server does not offer TLS"),
    ],
)
def test_refusals(postgresql_server: PostgresServer, wrong: dict[str, Any], expected: str) -> None:
    message = failure({**postgresql_server.login(), **wrong})
    assert expected in message
    assert postgresql_server.password not in message


def test_empty_options_are_not_given(postgresql_server: PostgresServer) -> None:
    names = ("login_unix_socket", "ca_cert", "ssl_cert", "ssl_key", "ssl_mode", "connect_timeout")
    empty = dict.fromkeys(names, "")
    with connect({**postgresql_server.login(), **empty}, statement_timeout_seconds=5) as opened:
        assert opened.server_version_num == postgresql_server.server_version_num


def test_the_socket_takes_precedence(postgresql_server: PostgresServer) -> None:
    options = {
        **postgresql_server.login(),
        "login_host": "nowhere.invalid",
        "login_unix_socket": str(postgresql_server.socket_dir),
    }
    with connect(options, statement_timeout_seconds=5) as opened:
        assert opened.query("SELECT inet_server_addr() IS NULL AS local") == [{"local": True}]


def test_connection_limit_of_the_role(postgresql_server: PostgresServer) -> None:
    postgresql_server.execute("CREATE ROLE narrow LOGIN PASSWORD 'narrow' CONNECTION LIMIT 1")
    login = postgresql_server.login(user="narrow", password="narrow")
    try:
        with connect(login, statement_timeout_seconds=5):
            message = failure(login)
        assert "every connection slot is taken" in message
    finally:
        postgresql_server.execute("DROP ROLE narrow")


def test_a_server_that_takes_the_connection_and_is_silent() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        options = {"login_host": "127.0.0.1", "login_port": silent.getsockname()[1], "connect_timeout": 1}
        assert "no answer in time" in failure(options)


def test_something_else_answers() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:

        def answer() -> None:
            peer, _address = other.accept()
            with peer:
                peer.recv(1024)
                peer.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        options = {"login_host": "127.0.0.1", "login_port": other.getsockname()[1], "connect_timeout": 5}
        assert "what answers there is not a PostgreSQL server" in failure(options)
        thread.join(5)


def test_a_login_message_in_another_encoding() -> None:
    """A server whose lc_messages is not UTF-8 says its FATAL before the encoding is agreed on."""
    fields = b"SFATAL\0C28P01\0M" + "사용자 인증 실패".encode("euc-kr") + b"\0\0"
    message = b"E" + (len(fields) + 4).to_bytes(4, "big") + fields
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            peer, _address = server.accept()
            with peer:
                peer.recv(1024)
                peer.sendall(message)

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        port = server.getsockname()[1]
        options = {"login_host": "127.0.0.1", "login_port": port, "connect_timeout": 5, "ssl_mode": "disable"}
        text = failure(options)
        assert text.startswith(f"PostgreSQL at 127.0.0.1:{port} is not available to user")
        assert text.endswith("Check the connection options and the server log.")
        thread.join(5)


def test_values(session: Session) -> None:
    (row,) = session.query(
        "SELECT 1 AS whole, 1.50 AS number, 'NaN'::numeric AS nan, ARRAY[1, 2.5]::numeric[] AS numbers, "
        "timestamptz '2026-01-31 09:00+09' AS moment, interval '90 s' AS duration, NULL AS missing, %(text)s AS text",
        {"text": "50% of 'it'"},
    )
    assert row == {
        "whole": 1,
        "number": 1.5,
        "nan": None,
        "numbers": [1, 2.5],
        "moment": dt.datetime(2026, 1, 31, 0, 0, tzinfo=dt.timezone.utc),
        "duration": dt.timedelta(seconds=90),
        "missing": None,
        "text": "50% of 'it'",
    }


def test_settings(session: Session) -> None:
    names = (
        "search_path",
        "statement_timeout",
        "lock_timeout",
        "default_transaction_read_only",
        "client_encoding",
        "TimeZone",
        "application_name",
    )
    assert {name: session.query(f"SELECT current_setting('{name}') AS value")[0]["value"] for name in names} == {
        "search_path": "pg_catalog, pg_temp",
        "statement_timeout": "5s",
        "lock_timeout": "2s",
        "default_transaction_read_only": "on",
        "client_encoding": "UTF8",
        "TimeZone": "UTC",
        "application_name": "runbook.ops",
    }


@pytest.mark.parametrize(
    ("statement", "sqlstate", "message"),
    [
        ("SELECT * FROM nowhere", "42P01", 'relation "nowhere" does not exist'),
        ("CREATE TABLE a (b int)", "25006", "cannot execute CREATE TABLE in a read-only transaction"),
        ("SELECT 1 / 0", "22012", "division by zero"),
        ("SELEC 1", "42601", 'syntax error at or near "SELEC"'),
        ("SELECT 1 AS a, 2 AS a", "42701", 'the result has more than one column named "a"'),
        ("SELECT '0044-03-15 BC'::date", "22008", "a value cannot be exchanged with Python: year -44 is out of range"),
    ],
)
def test_a_failed_statement_leaves_the_session_usable(
    session: Session, statement: str, sqlstate: str, message: str
) -> None:
    with pytest.raises(QueryError) as caught:
        session.query(statement)
    assert (caught.value.sqlstate, caught.value.message) == (sqlstate, message)
    assert session.query("SELECT 1 AS a") == [{"a": 1}]


def test_the_server_ends_a_long_statement(postgresql_server: PostgresServer) -> None:
    with connect(postgresql_server.login(), statement_timeout_seconds=0.2) as opened:
        with pytest.raises(QueryError) as caught:
            opened.query("SELECT pg_sleep(60)")
        assert caught.value.sqlstate == "57014"
        assert opened.query("SELECT 1 AS a") == [{"a": 1}]


def test_a_lock_is_not_waited_for(
    session: Session, postgresql_server: PostgresServer, postgresql_database: str
) -> None:
    with postgresql_server.connect(postgresql_database, autocommit=False) as holder, holder.cursor() as cursor:
        cursor.execute("CREATE TABLE busy (a int)")
        holder.commit()
        cursor.execute("LOCK TABLE busy IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(QueryError) as caught:
            session.query("SELECT * FROM public.busy")
        assert caught.value.sqlstate == "55P03"
        holder.rollback()
    holder.close()


def test_a_frozen_server_process_does_not_keep_us(
    postgresql_server: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither statement_timeout nor tcp_user_timeout ends this wait: the kernel still acknowledges packets."""
    from ansible_collections.runbook.ops.plugins.module_utils.postgresql import client

    monkeypatch.setattr(client, "_GRACE_SECONDS", 0.5)
    with connect(postgresql_server.login(), statement_timeout_seconds=0.5) as opened:
        backend = opened.query("SELECT pg_backend_pid() AS pid")[0]["pid"]
        os.kill(backend, signal.SIGSTOP)
        try:
            with pytest.raises(Unavailable, match="accepted a statement and did not answer within 1 seconds"):
                opened.query("SELECT 1")
        finally:
            os.kill(backend, signal.SIGCONT)
        with pytest.raises(Unavailable, match=r"is closed\. Run the task again"):
            opened.query("SELECT 1")


def test_a_terminated_session_is_unavailable(session: Session, postgresql_server: PostgresServer) -> None:
    backend = session.query("SELECT pg_backend_pid() AS pid")[0]["pid"]
    postgresql_server.execute("SELECT pg_terminate_backend(%s, 5000)", (backend,))
    with pytest.raises(Unavailable) as caught:
        session.query("SELECT 1")
    assert caught.value.message.endswith(
        "was lost: terminating connection due to administrator command. Read the server log."
    )


def test_a_transaction_is_read_only_and_leaves_nothing_behind(session: Session) -> None:
    with session.read_only_transaction({"TimeZone": "Asia/Seoul"}):
        assert session.query("SHOW TimeZone") == [{"TimeZone": "Asia/Seoul"}]
        with pytest.raises(QueryError):
            session.query("CREATE TABLE a (b int)")
    assert session.query("SHOW TimeZone") == [{"TimeZone": "UTC"}]


@pytest.mark.parametrize("read_only", [True, False])
def test_a_database_without_an_encoding(postgresql_server: PostgresServer, read_only: bool) -> None:
    """It holds any bytes; they are shown, not a traceback."""
    name = f"ascii_{os.urandom(4).hex()}"
    postgresql_server.execute(f"CREATE DATABASE {name} ENCODING 'SQL_ASCII' LOCALE 'C' TEMPLATE template0")
    try:
        login = postgresql_server.login(name)
        with connect(login, statement_timeout_seconds=5, read_only=read_only) as opened:
            rows = opened.query(
                r"SELECT E'caf\xe9' AS text, ARRAY[E'\xe9'] AS list, 1 AS number, %(text)s::text AS korean",
                {"text": "한국어"},
            )
        assert rows == [{"text": "caf\ufffd", "list": ["\ufffd"], "number": 1, "korean": "한국어"}]
    finally:
        postgresql_server.execute(f"DROP DATABASE {name} WITH (FORCE)")


def test_a_statement_of_a_database_in_another_encoding(session: Session, postgresql_server: PostgresServer) -> None:
    """pg_stat_activity passes the bytes of other databases on unconverted."""
    name = f"latin_{os.urandom(4).hex()}"
    postgresql_server.execute(f"CREATE DATABASE {name} ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0")
    try:
        with postgresql_server.connect(name) as other, other.cursor() as cursor:
            cursor.execute("SELECT 'caf\u00e9'")
            rows = session.query("SELECT query FROM pg_stat_activity WHERE datname = %s", (name,))
        other.close()
        assert rows == [{"query": "SELECT 'caf\ufffd'"}]
    finally:
        postgresql_server.execute(f"DROP DATABASE {name} WITH (FORCE)")


def test_what_may_not_be_repeated_is_not_read_again(postgresql_server: PostgresServer) -> None:
    name = f"latin_{os.urandom(4).hex()}"
    postgresql_server.execute(f"CREATE DATABASE {name} ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0")
    try:
        with postgresql_server.connect(name) as other, other.cursor() as cursor:
            cursor.execute("SELECT 'caf\u00e9'")
            with connect(postgresql_server.login(), statement_timeout_seconds=5, read_only=False) as opened:
                with pytest.raises(QueryError, match="the result holds text that is not valid UTF-8"):
                    opened.query("SELECT query FROM pg_stat_activity WHERE datname = %s", (name,))
                assert opened.query("SELECT 1 AS a") == [{"a": 1}]
        other.close()
    finally:
        postgresql_server.execute(f"DROP DATABASE {name} WITH (FORCE)")
