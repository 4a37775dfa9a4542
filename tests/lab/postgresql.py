"""A PostgreSQL server of our own, started in about half a second."""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from lab import process
from lab.errors import LabError, MissingServer
from lab.installations import (
    Installation,
    all_installations,
    client_program,
    default_installation,
    exclusive,
    installations,
    reachable,
)
from lab.server import Server
from lab.users import Account, cache_directory, can_enter, give, ordinary_account, scratch_directory

if TYPE_CHECKING:
    from psycopg2.extensions import connection as Connection

__all__ = ["Installation", "PostgresServer", "all_installations", "default_installation", "installations"]

SUPERUSER = "postgres"
# Only for the few milliseconds between the first start and the ALTER ROLE that replaces it.
TEMPLATE_PASSWORD = "template"

Setting = str | int | float | bool
Parameters = Sequence[Any] | Mapping[str, Any] | None

FAST: dict[str, Setting] = {
    # The data is worth nothing after the test, so nothing waits for the disk.
    "fsync": False,
    "synchronous_commit": False,
    "full_page_writes": False,
    "shared_buffers": "32MB",
    "max_wal_size": "256MB",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_line_prefix": "%m [%p] %q%u@%d ",
    "lc_messages": "C",
}


class PostgresServer(Server):
    """A server with password authentication (scram) on TCP and on its socket.

    ``settings`` go into its configuration and win over the fast defaults. ``checksums`` are on unless asked
    otherwise. ``fresh`` runs initdb anew instead of copying the cached directory, for tests that need another
    system identifier. ``standby_of`` makes it a streaming standby of a running server of the same major.
    """

    label: ClassVar[str] = "PostgreSQL"
    installation: Installation
    password: str
    # Fast shutdown, then immediate, then the end (the server's own signals: pg_ctl(1), postgres(1)).
    ladder: ClassVar[process.Ladder] = ((signal.SIGINT, 10.0), (signal.SIGQUIT, 5.0), (signal.SIGKILL, 5.0))

    def __init__(
        self,
        installation: Installation | int | None = None,
        settings: Mapping[str, Setting] | None = None,
        base: Path | None = None,
        *,
        password: str | None = None,
        checksums: bool = True,
        fresh: bool = False,
        standby_of: PostgresServer | None = None,
        detached: bool = False,
        on_spawn: Callable[[Server], None] | None = None,
        environment: dict[str, str] | None = None,
    ) -> None:
        account = ordinary_account()
        if standby_of is not None:
            installation, password = standby_of.installation, standby_of.password
        if isinstance(installation, int):
            installation = installation_of(installation)
        self.installation = reachable(installation or default_installation(), account)
        super().__init__(base, account=account, detached=detached, on_spawn=on_spawn, environment=environment)
        self.settings = dict(settings or {})
        self.superuser = SUPERUSER
        self.password = password or secrets.token_urlsafe(16)
        self.server_version_num = 0
        self._checksums = checksums
        self._fresh = fresh
        self._primary = standby_of
        self._current_password = TEMPLATE_PASSWORD if standby_of is None else self.password
        self._extra_directories: list[Path] = []
        # The account must reach its data, and the name of a socket may have 107 bytes at most.
        self.data = self._place("data") / "data"
        self.socket_dir = self.data.parent if len(str(self.data.parent)) < 80 else self._scratch()

    def _scratch(self) -> Path:
        made = scratch_directory("rbl-", self.account)
        self._extra_directories.append(made)
        return made

    def _place(self, name: str) -> Path:
        if self.account is not None and not can_enter(self.base, self.account):
            return self._scratch()
        place = self.base
        if self.account is not None and place.stat().st_uid != self.account.uid:
            place = self.base / "postgresql"
            place.mkdir(mode=0o700, exist_ok=True)
            give(place, self.account)
        return place

    @property
    def extra_directories(self) -> list[Path]:
        """Directories outside ``base``, where the account could not have reached its files."""
        return list(self._extra_directories)

    def __exit__(self, *_: object) -> None:
        super().__exit__()
        if not self._temporary and self._extra_directories and self.data.exists():
            # The caller's directory keeps the data, and nothing is left outside of it.
            self._kept.parent.mkdir(exist_ok=True)
            _move(self.data, self._kept)
            for each in self._extra_directories:
                shutil.rmtree(each, ignore_errors=True)

    @property
    def _kept(self) -> Path:
        """Where data that had to live elsewhere is kept between two ``with`` blocks."""
        return self.base / "postgresql" / "data"

    def remove(self) -> None:
        super().remove()
        for each in self._extra_directories:
            shutil.rmtree(each, ignore_errors=True)

    # --- start
    def _prepare(self) -> None:
        for each in self._extra_directories:
            if not each.exists():
                each.mkdir(mode=0o700)
                give(each, self.account)
        if self._kept.exists() and not self.data.exists():
            _move(self._kept, self.data)
        if (self.data / "PG_VERSION").exists():
            return
        if self._primary is not None:
            self._copy_from(self._primary)
        else:
            template = None if self._fresh else self._template()
            if template is None:
                initdb(self.installation, self.data, self.account, checksums=self._checksums)
            else:
                _copy(template, self.data, self.account)

    def _copy_from(self, primary: PostgresServer) -> None:
        completed = process.run_as(
            self.account,
            [
                *(client_program("pg_basebackup", self.installation), "-D", self.data),
                *("-X", "stream", "-R", "--checkpoint=fast", "--no-sync"),
            ],
            # pg_basebackup -R writes these, with the password, into the standby's primary_conninfo.
            env={
                "PGHOST": primary.host,
                "PGPORT": str(primary.port),
                "PGUSER": primary.superuser,
                "PGPASSWORD": primary.password,
                "PGAPPNAME": "standby",
            },
        )
        if completed.returncode:
            raise LabError(f"The copy of the primary failed: {completed.stderr.strip()}")

    def _template(self) -> Path:
        """An initdb'ed directory for this installation, made once and copied from then on."""
        program = (self.installation.bin / "initdb").stat()
        key = f"{self.installation.bin}{program.st_mtime_ns}{self.installation.version}{self._checksums}{self.account}"
        name = f"template-{self.installation.major}-{hashlib.sha256(key.encode()).hexdigest()[:12]}"
        cache = cache_directory()
        template = cache / name
        with exclusive(cache / f"{name}.lock"):
            if not template.exists():
                # A directory that the account owns, because initdb makes its own directory inside.
                workshop = scratch_directory("rbl-initdb-", self.account)
                try:
                    initdb(self.installation, workshop / "data", self.account, checksums=self._checksums)
                    _copy(workshop / "data", cache / f"{name}.{os.getpid()}", self.account)
                    (cache / f"{name}.{os.getpid()}").rename(template)
                finally:
                    shutil.rmtree(workshop, ignore_errors=True)
        return template

    def _configuration(self) -> str:
        merged: dict[str, Setting] = {
            **FAST,
            "listen_addresses": self.host,
            "port": self.port,
            "unix_socket_directories": str(self.socket_dir),
        }
        if self.installation.has_library("pg_stat_statements"):
            merged["shared_preload_libraries"] = "pg_stat_statements"
        merged.update(self.settings)
        return "".join(f"{name} = {_quoted(value)}\n" for name, value in merged.items())

    def _spawn(self) -> subprocess.Popen[bytes]:
        lab_settings = self.data / "lab.conf"
        lab_settings.write_text(self._configuration(), encoding="utf-8")
        give(lab_settings, self.account)
        main = self.data / "postgresql.conf"
        if "include 'lab.conf'" not in main.read_text(encoding="utf-8"):
            with main.open("a", encoding="utf-8") as stream:
                stream.write("\ninclude 'lab.conf'\n")
        return process.spawn(
            [self.installation.bin / "postgres", "-D", self.data],
            log=self.log,
            account=self.account,
            env={"LC_ALL": "C", **self.environment},
            cwd=self.data,
            dies_with_parent=not self.detached,
            death_signal=signal.SIGQUIT,
        )

    def _is_ready(self) -> bool:
        import psycopg2

        try:
            connection = self._connect(self._current_password)
        except psycopg2.OperationalError as error:
            # A directory that was used before has its password already.
            if "password authentication failed" in str(error):
                others = {self.password, TEMPLATE_PASSWORD} - {self._current_password}
                self._current_password = others.pop() if others else self.password
            return False
        try:
            self.server_version_num = connection.server_version
            with connection.cursor() as cursor:
                cursor.execute("SHOW data_directory")
                # Another server may have taken the port a moment before ours.
                return cursor.fetchone() == (str(self.data),)
        finally:
            connection.close()

    def _after_start(self) -> None:
        if self._current_password != self.password:
            from psycopg2 import sql

            connection = self._connect(self._current_password)
            try:
                connection.autocommit = True
                with connection.cursor() as cursor:
                    cursor.execute("SET password_encryption = 'scram-sha-256'")
                    statement = sql.SQL("ALTER ROLE {} PASSWORD {}")
                    cursor.execute(statement.format(sql.Identifier(self.superuser), sql.Literal(self.password)))
            finally:
                connection.close()
            self._current_password = self.password

    # --- use
    def _connect(self, password: str) -> Connection:
        import psycopg2

        return psycopg2.connect(
            host=self.host, port=self.port, user=self.superuser, password=password, dbname="postgres", connect_timeout=5
        )

    def connect(
        self, db: str = "postgres", user: str | None = None, password: str | None = None, autocommit: bool = True
    ) -> Connection:
        """A psycopg2 connection; the superuser's unless another user is named."""
        import psycopg2

        connection = psycopg2.connect(
            host=self.host,
            port=self.port,
            user=user or self.superuser,
            password=self.password if password is None else password,
            dbname=db,
            connect_timeout=10,
        )
        connection.autocommit = autocommit
        return connection

    def execute(self, statement: str, parameters: Parameters = None, db: str = "postgres") -> None:
        """Run SQL as the superuser, outside a transaction block."""
        connection = self.connect(db)
        try:
            with connection.cursor() as cursor:
                cursor.execute(statement, parameters)
        finally:
            connection.close()

    def query(self, statement: str, parameters: Parameters = None, db: str = "postgres") -> list[tuple[Any, ...]]:
        """All rows of a query run as the superuser."""
        connection = self.connect(db)
        try:
            with connection.cursor() as cursor:
                cursor.execute(statement, parameters)
                return cursor.fetchall()
        finally:
            connection.close()

    def psql(self, sql: str, db: str = "postgres", user: str | None = None, password: str | None = None) -> str:
        """What psql prints, unaligned and without headers; a failing statement raises."""
        completed = process.run_as(
            None,
            [client_program("psql", self.installation), "-X", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-c", sql],
            env={
                "PGHOST": self.host,
                "PGPORT": str(self.port),
                "PGUSER": user or self.superuser,
                "PGPASSWORD": self.password if password is None else password,
                "PGDATABASE": db,
            },
        )
        if completed.returncode:
            raise LabError(f"psql ended with code {completed.returncode}: {completed.stderr.strip()}")
        return completed.stdout.rstrip("\n")

    def client(self, name: str) -> Path:
        """The path of a client program (pg_dump, pgbench, …), of this installation where it has one."""
        return client_program(name, self.installation)

    def login(self, db: str = "postgres", user: str | None = None, password: str | None = None) -> dict[str, Any]:
        """The connection options of the collection's modules."""
        return {
            "login_host": self.host,
            "login_port": self.port,
            "login_user": user or self.superuser,
            "login_password": self.password if password is None else password,
            "login_db": db,
        }


def installation_of(major: int) -> Installation:
    found = installations()
    if major not in found:
        raise MissingServer(
            f"PostgreSQL {major} is not here (found: {', '.join(map(str, found)) or 'none'}). "
            f"'python -m lab fetch-postgresql {major}' brings it."
        )
    return found[major]


def initdb(installation: Installation, data: Path, account: Account | None, *, checksums: bool = True) -> None:
    """Make a data directory whose superuser has the template's password."""
    workshop = scratch_directory("rbl-pw-", account)
    try:
        password_file = workshop / "password"
        password_file.write_text(TEMPLATE_PASSWORD, encoding="utf-8")
        give(password_file, account)
        command: list[str | Path] = [
            installation.bin / "initdb",
            *("-D", data, "-U", SUPERUSER, "--pwfile", password_file),
            *("-A", "scram-sha-256", "--locale=C", "--encoding=UTF8", "--no-sync"),
        ]
        if checksums:
            command.append("--data-checksums")
        elif installation.major >= 18:
            command.append("--no-data-checksums")
        completed = process.run_as(account, command, env={"LC_ALL": "C"})
    finally:
        shutil.rmtree(workshop, ignore_errors=True)
    if completed.returncode:
        raise LabError(f"initdb of {installation} failed:\n{(completed.stderr or completed.stdout).strip()[-2000:]}")


def _copy(source: Path, target: Path, account: Account | None) -> None:
    """Copy a data directory for ``account``; cp clones blocks where the file system can."""
    completed = process.run_as(None, ["cp", "-a", "--reflink=auto", source, target])
    if completed.returncode:
        raise LabError(f"{source} could not be copied to {target}: {completed.stderr.strip()}")
    if account is not None and target.stat().st_uid != account.uid:
        raise LabError(f"{target} does not belong to {account.name} after the copy.")


def _move(source: Path, target: Path) -> None:
    """Move a data directory with its owner, also to another file system."""
    completed = process.run_as(None, ["mv", "-T", source, target])
    if completed.returncode:
        raise LabError(f"{source} could not be moved to {target}: {completed.stderr.strip()}")


def _quoted(value: Setting) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    return "'" + str(value).replace("'", "''") + "'"
