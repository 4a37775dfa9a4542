"""A server that archives its WAL, base backups of it, and what the tests of physical backups do to them."""

from __future__ import annotations

import datetime as dt
import json
import os
import pwd
import re
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from lab.postgresql import PostgresServer
from lab.process import run_as
from lab.users import scratch_directory

PATTERN = "base-%Y%m%dT%H%M%S"
DEADLINE = 240.0
FRAGMENT = Path(__file__).resolve().parents[2] / "plugins" / "doc_fragments" / "postgresql_physical.py"
ROWS = 20_000


def archive_command(directory: Path) -> str:
    """The command that the documentation gives, for a directory."""
    text = FRAGMENT.read_text(encoding="utf-8")
    documentation = yaml.safe_load(text.split('DOCUMENTATION = r"""', 1)[1].split('"""', 1)[0])
    [command] = re.findall(r"C\((if test -e .*? fi)\)", " ".join(documentation["notes"]))
    assert "/var/backups/wal" in command
    return str(command).replace("/var/backups/wal", str(directory))


@dataclass
class Shop:
    """A server with a table of orders, and where its WAL and its backups lie."""

    server: PostgresServer
    place: Path
    archive: Path
    more: dict[str, Any] = field(default_factory=dict)

    @property
    def repository(self) -> Path:
        return self.place / "repository"

    @property
    def bin(self) -> Path:
        return self.server.installation.bin

    def common(self, **more: Any) -> dict[str, Any]:
        """What all three modules are told."""
        return {
            "method": "basebackup",
            "repository": str(self.repository),
            "name_pattern": PATTERN,
            "wal_archive": str(self.archive),
            "bin_directory": str(self.bin),
            **self.more,
            **more,
        }

    def backup_options(self, **more: Any) -> dict[str, Any]:
        return self.common(**{**self.server.login(), **more})

    def verify_options(self, **more: Any) -> dict[str, Any]:
        return self.common(on_failure="report", scratch_directory=str(self.place), **more)

    def restore_options(self, target: str, moment: str, **more: Any) -> dict[str, Any]:
        return self.common(data_directory=str(self.place / target), target_time=moment, **more)

    def insert(self, count: int = 1) -> int:
        """One transaction for each row; the last one's number."""
        connection = self.server.connect()
        try:
            with connection.cursor() as cursor:
                for _number in range(count):
                    cursor.execute("INSERT INTO orders DEFAULT VALUES RETURNING id")
                return int(cursor.fetchall()[0][0])
        finally:
            connection.close()

    def committed_at(self, number: int) -> str:
        """When the transaction of a row was committed, to the microsecond."""
        [[moment]] = self.server.query("SELECT pg_xact_commit_timestamp(xmin) FROM orders WHERE id = %s", (number,))
        return str(moment.astimezone(dt.timezone.utc).isoformat())

    def switch(self) -> str:
        """Finish the segment that is written to, and wait until it lies in the archive: its name."""
        self.server.execute("INSERT INTO noise DEFAULT VALUES")
        [[name]] = self.server.query("SELECT pg_walfile_name(pg_switch_wal())")
        eventually(lambda: any(path.name.startswith(name) for path in self.archive.iterdir()), f"{name} is archived")
        return str(name)

    def segments(self) -> list[str]:
        """The names of the segments in the archive."""
        return sorted(path.name for path in self.archive.iterdir() if re.fullmatch(r"[0-9A-F]{24}", path.name))


def eventually(holds: Any, what: str) -> None:
    """Wait until something holds."""
    deadline = time.monotonic() + DEADLINE
    while not holds():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


@contextmanager
def shop(
    installation: Any = None, *, command: str | None = None, settings: dict[str, Any] | None = None
) -> Iterator[Shop]:
    """A shop whose WAL is archived as the documentation says, in a place that the server's account can enter."""
    place = scratch_directory("rbl-physical-")
    try:
        with _shop(place, installation, command, settings) as made:
            yield made
    finally:
        shutil.rmtree(place, ignore_errors=True)


@contextmanager
def _shop(place: Path, installation: Any, command: str | None, settings: dict[str, Any] | None) -> Iterator[Shop]:
    place.chmod(0o755)
    archive = place / "wal"
    archive.mkdir()
    account = pwd.getpwnam("postgres") if os.geteuid() == 0 else pwd.getpwuid(os.geteuid())
    os.chown(archive, account.pw_uid, account.pw_gid)
    given = {
        "archive_mode": True,
        "archive_command": command or archive_command(archive),
        "wal_level": "replica",
        "track_commit_timestamp": True,
        "max_wal_senders": 4,
        **(settings or {}),
    }
    with PostgresServer(installation, given) as server:
        server.execute("CREATE TABLE orders (id bigserial PRIMARY KEY, at timestamptz DEFAULT clock_timestamp())")
        server.execute("CREATE TABLE noise (id bigserial PRIMARY KEY)")
        server.execute("INSERT INTO orders SELECT FROM generate_series(1, %s)", (ROWS,))
        yield Shop(server, place, archive)


@contextmanager
def writers(server: PostgresServer, count: int = 2) -> Iterator[list[int]]:
    """Sessions that insert one order a transaction, without a pause, as long as the block runs."""
    is_over = threading.Event()
    written: list[int] = []

    def write() -> None:
        connection = server.connect()
        with connection.cursor() as cursor:
            while not is_over.is_set():
                cursor.execute("INSERT INTO orders DEFAULT VALUES RETURNING id")
                written.append(int(cursor.fetchall()[0][0]))
        connection.close()

    threads = [threading.Thread(target=write) for _number in range(count)]
    for thread in threads:
        thread.start()
    try:
        yield written
    finally:
        is_over.set()
        for thread in threads:
            thread.join()


@contextmanager
def running(server: PostgresServer, data: Path) -> Iterator[PostgresQueries]:
    """A restored cluster, started by pg_ctl as an on-call engineer would, on a socket of its own."""
    sockets = server.socket_dir
    port = 1 + server.port
    argv: list[str | Path] = [server.installation.bin / "pg_ctl", "-D", data, "-w", "-l", data / "log"]
    options = f"-p {port} -k {sockets} -c listen_addresses="
    done = run_as(server.account, [*argv, "-o", options, "start"])
    assert done.returncode == 0, (done.stderr, (data / "log").read_text(encoding="utf-8"))
    try:
        yield PostgresQueries(server, str(sockets), port)
    finally:
        run_as(server.account, [*argv, "-m", "fast", "stop"])


@dataclass
class PostgresQueries:
    """What psql says of another server that has the shop's passwords."""

    server: PostgresServer
    host: str
    port: int

    def psql(self, sql: str) -> str:
        done = subprocess.run(
            [str(self.server.client("psql")), "-X", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-c", sql],
            env={
                **os.environ,
                "PGHOST": self.host,
                "PGPORT": str(self.port),
                "PGUSER": self.server.superuser,
                "PGPASSWORD": self.server.password,
                "PGDATABASE": "postgres",
            },
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()


def codes(result: dict[str, Any]) -> list[str]:
    """The codes of what is wrong or unclear."""
    return sorted({each["code"] for each in result["findings"] if each["outcome"] != "noted"})


def leftovers(place: Path) -> list[str]:
    """Scratch places and partial files below a directory, while others may be removing them."""
    found = []
    for directory, directories, files in os.walk(place):
        names = (name for name in (*directories, *files))
        found += [
            f"{directory}/{name}" for name in names if name.startswith("runbook-scratch-") or name.endswith(".partial")
        ]
    return sorted(found)


def manifest_of(shop_: Shop, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((shop_.repository / f"{name}.manifest.json").read_text(encoding="utf-8"))
    return found
