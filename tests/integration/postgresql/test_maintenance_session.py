"""The ground under every changing module: straight to a primary, alone, stoppable, with room on the disk."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest
from lab.pgbouncer import PgBouncer
from lab.postgresql import PostgresServer

from ansible_collections.runbook.ops.plugins.module_utils.common.outcome import Refused
from ansible_collections.runbook.ops.plugins.module_utils.common.progress import Progress, Stopped
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.errors import QueryError
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.maintenance.headroom import disk_headroom
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.maintenance.session import (
    maintenance_session,
)


def options(login: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {**login, "connect_timeout": 5, "ssl_mode": "prefer", "lock_timeout": 0.5, **more}


@pytest.mark.parametrize("pool_mode", ["transaction", "session"])
@pytest.mark.parametrize("check_mode", [False, True])
def test_a_pooler_is_recognised_and_refused(
    postgresql_server: PostgresServer, postgresql_database: str, pool_mode: str, check_mode: bool
) -> None:
    with PgBouncer(postgresql_server, pool_mode=pool_mode) as pooler:
        through = options(pooler.login(postgresql_database))
        with (
            pytest.raises(Refused, match=r"is a connection pooler.*Connect to the server itself"),
            maintenance_session(through, purpose="test", check_mode=check_mode),
        ):
            pytest.fail("a session through a pooler was taken for the server's own")
    with maintenance_session(options(postgresql_server.login(postgresql_database)), purpose="test", check_mode=False):
        pass


def test_what_the_pooler_would_have_done(postgresql_server: PostgresServer, postgresql_database: str) -> None:
    """Why: in a transaction pool a session's settings and locks are another one's a moment later."""
    import psycopg2

    with PgBouncer(postgresql_server) as pooler:
        login = pooler.login(postgresql_database)

        def connect() -> Any:
            connection = psycopg2.connect(
                host=login["login_host"],
                port=login["login_port"],
                user=login["login_user"],
                password=login["login_password"],
                dbname=login["login_db"],
            )
            connection.autocommit = True
            return connection

        first, second = connect(), connect()
        with first.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_lock(7)")
        with second.cursor() as cursor:
            cursor.execute("SELECT pg_try_advisory_lock(7)")
            assert cursor.fetchone() == (True,), "two clients hold one lock: both are the same server process"
        first.close()
        second.close()


def test_a_standby_is_refused(postgresql_server: PostgresServer) -> None:
    with PostgresServer(standby_of=postgresql_server) as standby:
        login = options(standby.login())
        with (
            pytest.raises(Refused, match=r"is a standby \(in recovery\).*Connect to its primary"),
            maintenance_session(login, purpose="test", check_mode=False),
        ):
            pytest.fail("a standby was taken for a primary")
        with maintenance_session(login, purpose="test", check_mode=True, allow_standby=True) as session:
            assert session.query("SELECT pg_is_in_recovery() AS standby")[0]["standby"] is True


def test_one_run_at_a_time(database_by_major: str, postgresql_by_major: PostgresServer) -> None:
    login = options(postgresql_by_major.login(database_by_major))
    elsewhere = options(postgresql_by_major.login("postgres"))
    with maintenance_session(login, purpose="test", check_mode=False) as held:
        holder = held.login_pid
        for check_mode in (True, False):
            with (
                pytest.raises(Refused) as refusal,
                maintenance_session(login, purpose="test", check_mode=check_mode),
            ):
                pytest.fail("two runs at once")
            assert f"Another run of test is at work in database {database_by_major} (pid {holder}," in str(
                refusal.value
            )
        with maintenance_session(login, purpose="other", check_mode=False):
            pass
        with maintenance_session(elsewhere, purpose="test", check_mode=False):
            pass
    # A prediction takes no lock.
    with (
        maintenance_session(login, purpose="test", check_mode=True),
        maintenance_session(login, purpose="test", check_mode=False),
    ):
        pass


def test_check_mode_cannot_write(postgresql_server: PostgresServer, postgresql_database: str) -> None:
    login = options(postgresql_server.login(postgresql_database))
    with maintenance_session(login, purpose="test", check_mode=True) as session, pytest.raises(QueryError) as refused:
        session.query("CREATE TABLE public.written (x int)")
    assert refused.value.sqlstate == "25006"


def test_a_stop_cancels_the_statement(postgresql_by_major: PostgresServer, database_by_major: str) -> None:
    progress = Progress()

    def stop() -> None:
        progress.check()

    login = options(postgresql_by_major.login(database_by_major))
    with maintenance_session(login, purpose="test", check_mode=False) as session, progress.stoppable():
        threading.Timer(0.3, signal_self).start()
        with pytest.raises(Stopped, match="Stopped by signal SIGTERM"), session.transaction():
            session.query("CREATE TABLE public.half_done (x int)")
            session.query("SELECT pg_sleep(300)", on_wait=stop)
        assert session.query("SELECT to_regclass('public.half_done') AS found")[0]["found"] is None
        running = postgresql_by_major.query(
            "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep(300)%' AND state = 'active'"
        )
        assert running == [(0,)]


def signal_self() -> None:
    import os
    import signal

    os.kill(os.getpid(), signal.SIGTERM)


def test_a_lost_client_ends_its_statement(postgresql_by_major: PostgresServer, database_by_major: str) -> None:
    """A module that was killed leaves nothing running: the server looks whether its client is still there."""
    import os
    import subprocess
    import sys

    code = (
        "import sys, json; from ansible_collections.runbook.ops.plugins.module_utils.postgresql.maintenance.session "
        "import maintenance_session\n"
        "with maintenance_session(json.loads(sys.argv[1]), purpose='test', check_mode=False) as session:\n"
        "    session.query('SELECT pg_sleep(300)')\n"
    )
    import json

    child = subprocess.Popen(
        [sys.executable, "-c", code, json.dumps(options(postgresql_by_major.login(database_by_major)))],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    active = (
        "SELECT count(*) FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(300)' AND state = 'active' "
        f"AND datname = '{database_by_major}'"
    )
    assert eventually(lambda: postgresql_by_major.query(active) == [(1,)], 240)
    child.kill()
    child.wait()
    assert eventually(lambda: postgresql_by_major.query(active) == [(0,)], 240)


def eventually(condition: Any, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.05)
    return bool(condition())


def test_headroom(postgresql_server: PostgresServer, postgresql_database: str) -> None:
    import shutil

    login = options(postgresql_server.login(postgresql_database))
    postgresql_server.execute("DROP ROLE IF EXISTS nobody_special")
    postgresql_server.execute("CREATE ROLE nobody_special LOGIN PASSWORD 'n'")
    low = options(postgresql_server.login(postgresql_database, user="nobody_special", password="n"))
    with maintenance_session(login, purpose="test", check_mode=True) as session:
        measured = disk_headroom(session, login)
        assert measured.source == f"measured in {postgresql_server.data}"
        assert measured.free_bytes == pytest.approx(shutil.disk_usage(postgresql_server.data).free, rel=0.2)
        declared = disk_headroom(session, {**login, "disk_free_bytes": 17})
        assert (declared.free_bytes, declared.source) == (17, "declared (disk_free_bytes)")
    with maintenance_session(low, purpose="test", check_mode=True) as session:
        unknown = disk_headroom(session, low)
        assert unknown.free_bytes is None
        assert unknown.source == "unknown: the role may not see data_directory (GRANT pg_read_all_settings)"


def test_another_servers_directory_is_not_ours(postgresql_server: PostgresServer, tmp_path: Any) -> None:
    """A directory of the same name on this host says nothing about a server elsewhere."""
    login = options(postgresql_server.login())
    with maintenance_session(login, purpose="test", check_mode=True) as session:
        pidfile = postgresql_server.data / "postmaster.pid"
        content = pidfile.read_text(encoding="utf-8")
        lines = content.splitlines()
        lines[3] = str(int(lines[3]) + 1)
        try:
            pidfile.write_text("\n".join(lines) + "\n", encoding="utf-8")
            headroom = disk_headroom(session, login)
        finally:
            pidfile.write_text(content, encoding="utf-8")
    assert headroom.free_bytes is None
    assert headroom.source == "unknown: the server's disk is not on this host (set disk_free_bytes)"
