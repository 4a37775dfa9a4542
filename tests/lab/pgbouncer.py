"""A PgBouncer of our own before a PostgreSQL server of the lab, from the system's package."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from lab import process
from lab.errors import LabError, MissingServer
from lab.postgresql import PostgresServer
from lab.server import Server
from lab.users import can_enter, give, ordinary_account, scratch_directory

# May read the console and change nothing.
STATS_USER, STATS_PASSWORD = "runbook_stats", "st4ts @:/% pässwört"
CONSOLE = "pgbouncer"


def pgbouncer_binary() -> Path:
    """The program; Debian keeps it among those of the administrator."""
    found = shutil.which("pgbouncer", path=os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin"]))
    if found is None:
        raise MissingServer("No PgBouncer was found. Install the package 'pgbouncer' (Debian, Ubuntu).")
    return Path(found)


class PgBouncer(Server):
    """Pools the connections of ``server``; ``pool_mode`` is transaction, session or statement.

    ``settings`` are further ones of its file, ``databases`` its databases with what stands behind their equals sign
    (all of the server's by their names, if none is given), ``users`` further logins with their passwords. The
    superuser is the console's administrator.
    """

    label: ClassVar[str] = "PgBouncer"

    def __init__(
        self,
        server: PostgresServer,
        *,
        pool_mode: str = "transaction",
        settings: Mapping[str, int | str] | None = None,
        databases: Mapping[str, str] | None = None,
        users: Mapping[str, str] | None = None,
        **common: Any,
    ) -> None:
        super().__init__(account=ordinary_account(), **common)
        self.server = server
        self.pool_mode = pool_mode
        self.settings = settings or {}
        self.databases = databases or {"*": ""}
        self.users = {STATS_USER: STATS_PASSWORD, **(users or {}), server.superuser: server.password}
        # It refuses to run as root, and reads its file again when it is told to: the account must reach it.
        self.extra_directories: list[Path] = []
        if self.account is not None and not can_enter(self.base, self.account):
            self.extra_directories.append(scratch_directory("rbl-", self.account))
        self.place = self.extra_directories[0] if self.extra_directories else self.base

    def remove(self) -> None:
        super().remove()
        for each in self.extra_directories:
            shutil.rmtree(each, ignore_errors=True)

    def _spawn(self) -> subprocess.Popen[bytes]:
        users = self.place / "users.txt"
        users.write_text("".join(f'"{name}" "{word}"\n' for name, word in self.users.items()), encoding="utf-8")
        configuration = self.place / "pgbouncer.ini"
        settings = {
            "listen_addr": self.host,
            "listen_port": self.port,
            "unix_socket_dir": "",
            "auth_type": "scram-sha-256",
            "auth_file": users,
            "admin_users": self.server.superuser,
            "stats_users": STATS_USER,
            "pool_mode": self.pool_mode,
            "default_pool_size": 2,
            "max_client_conn": 50,
            "ignore_startup_parameters": "extra_float_digits",
            **self.settings,
        }
        where = f"host={self.server.host} port={self.server.port}"
        lines = [
            "[databases]",
            *(f"{name} = {where} {more}" for name, more in self.databases.items()),
            "[pgbouncer]",
            *(f"{name} = {value}" for name, value in settings.items()),
        ]
        configuration.write_text("\n".join([*lines, ""]), encoding="utf-8")
        give(users, self.account)
        give(configuration, self.account)
        return process.spawn(
            [pgbouncer_binary(), configuration],
            log=self.log,
            account=self.account,
            env=self.environment,
            cwd=self.place,
            dies_with_parent=not self.detached,
        )

    def _is_ready(self) -> bool:
        import psycopg2

        try:
            # The console: a server behind it that is down is not the pooler's fault.
            psycopg2.connect(
                host=self.host,
                port=self.port,
                user=self.server.superuser,
                password=self.server.password,
                dbname=CONSOLE,
                connect_timeout=5,
            ).close()
        except psycopg2.OperationalError:
            return False
        return True

    def login(self, db: str = "postgres") -> dict[str, Any]:
        """The connection options of the collection's modules, through the pool."""
        return {**self.server.login(db), "login_host": self.host, "login_port": self.port}

    def console(self, user: str = STATS_USER) -> dict[str, Any]:
        """The connection options of the modules that ask its console."""
        return {
            "login_host": self.host,
            "login_port": self.port,
            "login_user": user,
            "login_password": self.users[user],
            "ssl_mode": "disable",
        }

    def ask(self, command: str, user: str = "") -> str:
        """What psql says at the console, one line a row, columns parted by bars."""
        user = user or self.server.superuser
        completed = process.run_as(
            None,
            [self.server.client("psql"), "-X", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-c", command],
            env={
                "PGHOST": self.host,
                "PGPORT": str(self.port),
                "PGUSER": user,
                "PGPASSWORD": self.users[user],
                "PGDATABASE": CONSOLE,
            },
        )
        if completed.returncode:
            raise LabError(f"psql ended with code {completed.returncode}: {completed.stderr.strip()}")
        return completed.stdout.rstrip("\n")
