"""A PgBouncer of our own before a PostgreSQL server of the lab, from the system's package."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any, ClassVar

from lab import process
from lab.errors import MissingServer
from lab.postgresql import PostgresServer
from lab.server import Server
from lab.users import give, ordinary_account


def pgbouncer_binary() -> Path:
    """The program; Debian keeps it among those of the administrator."""
    found = shutil.which("pgbouncer", path=os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin"]))
    if found is None:
        raise MissingServer("No PgBouncer was found. Install the package 'pgbouncer' (Debian, Ubuntu).")
    return Path(found)


class PgBouncer(Server):
    """Pools the connections of ``server``; ``pool_mode`` is transaction, session or statement."""

    label: ClassVar[str] = "PgBouncer"

    def __init__(self, server: PostgresServer, *, pool_mode: str = "transaction") -> None:
        super().__init__(account=ordinary_account())
        self.server = server
        self.pool_mode = pool_mode

    def _spawn(self) -> subprocess.Popen[bytes]:
        users = self.base / "users.txt"
        users.write_text(f'"{self.server.superuser}" "{self.server.password}"\n', encoding="utf-8")
        configuration = self.base / "pgbouncer.ini"
        configuration.write_text(
            f"""[databases]
* = host={self.server.host} port={self.server.port}
[pgbouncer]
listen_addr = {self.host}
listen_port = {self.port}
unix_socket_dir =
auth_type = scram-sha-256
auth_file = {users}
pool_mode = {self.pool_mode}
default_pool_size = 2
max_client_conn = 50
ignore_startup_parameters = extra_float_digits
""",
            encoding="utf-8",
        )
        give(users, self.account)
        give(configuration, self.account)
        return process.spawn([pgbouncer_binary(), configuration], log=self.log, account=self.account, cwd=self.base)

    def _is_ready(self) -> bool:
        import psycopg2

        try:
            psycopg2.connect(
                host=self.host,
                port=self.port,
                user=self.server.superuser,
                password=self.server.password,
                dbname="postgres",
                connect_timeout=5,
            ).close()
        except psycopg2.OperationalError:
            return False
        return True

    def login(self, db: str = "postgres") -> dict[str, Any]:
        """The connection options of the collection's modules, through the pool."""
        return {**self.server.login(db), "login_host": self.host, "login_port": self.port}
