"""Sessions of a database, as applications and operators leave them."""

from __future__ import annotations

import contextlib
import time
from typing import Any

from lab.postgresql import PostgresServer

PASSWORD = "s3ssion @:/% pässwört"


def roles(server: PostgresServer) -> None:
    """The application's role, and those of operators with and without the rights."""
    for name, granted in (
        ("app", ""),
        ("other", ""),
        ("operator", "pg_signal_backend, pg_monitor"),
        ("observer", "pg_monitor"),
        ("blind", "pg_signal_backend"),
    ):
        if not server.query("SELECT 1 FROM pg_roles WHERE rolname = %s", (name,)):
            server.execute(f"CREATE ROLE {name} LOGIN PASSWORD '{PASSWORD}'")
        if granted:
            server.execute(f"GRANT {granted} TO {name}")


class Clients:
    """Sessions of one database, as applications leave them."""

    def __init__(self, server: PostgresServer, database: str) -> None:
        self.server = server
        self.database = database
        self.connections: dict[str, Any] = {}
        self.pids: dict[str, int] = {}
        # An asynchronous cursor has to live as long as its statement.
        self.cursors: dict[str, Any] = {}

    def connect(self, name: str, *, user: str | None = None, waiting: bool = False, application: str = "") -> Any:
        import psycopg2
        from psycopg2 import extras

        login = self.server.login(self.database, user=user, password=PASSWORD if user else None)
        connection = psycopg2.connect(
            host=login["login_host"], port=login["login_port"], user=login["login_user"],
            password=login["login_password"], dbname=self.database, application_name=application or name,
            async_=waiting,
        )  # fmt: skip
        if waiting:
            extras.wait_select(connection)
        else:
            connection.autocommit = True
        self.connections[name] = connection
        self.pids[name] = connection.info.backend_pid
        return connection

    def idle(self, name: str, **how: Any) -> None:
        """A session of a pool: it has answered, and waits for the next request."""
        self.connect(name, **how).cursor().execute("SELECT 1")

    def leak(self, name: str, statement: str = "SELECT 1", **how: Any) -> None:
        """A transaction that nobody ends."""
        connection = self.connect(name, **how)
        connection.autocommit = False
        connection.cursor().execute(statement)

    def busy(self, name: str, statement: str = "SELECT pg_sleep(600)", **how: Any) -> None:
        """A statement that runs on."""
        self.cursors[name] = self.connect(name, waiting=True, **how).cursor()
        self.cursors[name].execute(statement)
        self.until(f"state = 'active' FROM pg_stat_activity WHERE pid = {self.pids[name]}")

    def waiter(self, name: str, statement: str, **how: Any) -> None:
        """A statement that waits for a lock."""
        self.busy(name, statement, **how)
        self.until(f"EXISTS (SELECT FROM pg_locks WHERE NOT granted AND pid = {self.pids[name]})")

    def until(self, condition: str, seconds: float = 240.0) -> None:
        deadline = time.monotonic() + seconds
        while self.server.query(f"SELECT {condition}", db=self.database) != [(True,)]:
            assert time.monotonic() < deadline, condition
            time.sleep(0.05)

    def aged(self, seconds: float = 1.0) -> None:
        """Until everybody has been in his state for so long."""
        self.until(
            f"coalesce(bool_and(state_change < clock_timestamp() - interval '{seconds} s'), true) "
            f"FROM pg_stat_activity WHERE pid = ANY (ARRAY{list(self.pids.values())}::int[])"
        )

    def alive(self) -> set[str]:
        """Who is still there, asked with another tool."""
        shown = self.server.psql("SELECT pid FROM pg_stat_activity WHERE pid IS NOT NULL")
        present = {int(line) for line in shown.splitlines()}
        return {name for name, pid in self.pids.items() if pid in present}

    def state(self, name: str) -> str:
        return self.server.psql(f"SELECT state FROM pg_stat_activity WHERE pid = {self.pids[name]}")

    def close(self) -> None:
        import psycopg2

        for connection in self.connections.values():
            with contextlib.suppress(psycopg2.Error):
                connection.close()
        if self.pids:
            gone = f"count(*) = 0 FROM pg_stat_activity WHERE pid = ANY (ARRAY{list(self.pids.values())}::int[])"
            self.server.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid = ANY (%s)",
                (list(self.pids.values()),),
            )
            self.until(gone)
