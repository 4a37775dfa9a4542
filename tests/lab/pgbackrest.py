"""pgBackRest as Debian packages it, with a repository in a directory, for a shop that archives through it."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab.errors import MissingServer
from lab.physical import ROWS, Shop, eventually
from lab.postgresql import PostgresServer
from lab.process import run_as
from lab.users import ordinary_account, scratch_directory

STANZA = "shop"


@dataclass
class RestShop(Shop):
    """A shop whose archive and backups are pgBackRest's."""

    @property
    def config(self) -> Path:
        return self.place / "pgbackrest.conf"

    @property
    def rest(self) -> dict[str, Any]:
        """The option C(pgbackrest)."""
        return {"stanza": STANZA, "config": str(self.config)}

    def common(self, **more: Any) -> dict[str, Any]:
        return {"method": "pgbackrest", "pgbackrest": self.rest, "bin_directory": str(self.bin), **self.more, **more}

    def call(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """PgBackRest as its account would call it."""
        program = ["pgbackrest", f"--config={self.config}", f"--stanza={STANZA}"]
        return run_as(self.server.account, [*program, *arguments], env={"PATH": os.environ["PATH"]})

    def switch(self) -> str:
        self.server.execute("INSERT INTO noise DEFAULT VALUES")
        [[name]] = self.server.query("SELECT pg_walfile_name(pg_switch_wal())")
        eventually(lambda: bool(self.stored(name)), f"{name} is archived")
        return str(name)

    def stored(self, segment: str) -> list[Path]:
        """Where a segment lies in the repository."""
        return list(self.archive.glob(f"archive/{STANZA}/*/*/{segment}-*"))


@contextmanager
def rest_shop() -> Iterator[RestShop]:
    """A server that archives by pgBackRest, with its stanza made."""
    if shutil.which("pgbackrest") is None:
        raise MissingServer("There is no pgbackrest here. Install the package 'pgbackrest'.")
    account = ordinary_account()
    place = scratch_directory("rbl-rest-")
    place.chmod(0o755)
    try:
        for name in ("repository", "log", "lock", "spool"):
            (place / name).mkdir(mode=0o700)
            if account is not None:
                os.chown(place / name, account.uid, account.gid)
        config = place / "pgbackrest.conf"
        settings: dict[str, str | int | float | bool] = {
            "archive_mode": True,
            "archive_command": f"pgbackrest --config={config} --stanza={STANZA} archive-push %p",
            "wal_level": "replica",
            "track_commit_timestamp": True,
        }
        with PostgresServer(settings=settings) as server:
            config.write_text(_configuration(place, server), encoding="utf-8")
            hba = server.data / "pg_hba.conf"
            # pgBackRest knows no password; its account is the server's own.
            hba.write_text("local all postgres trust\n" + hba.read_text(encoding="utf-8"), encoding="utf-8")
            server.execute("SELECT pg_reload_conf()")
            made = RestShop(server, place, place / "repository")
            done = made.call("stanza-create")
            assert done.returncode == 0, done.stdout + done.stderr
            server.execute("CREATE TABLE orders (id bigserial PRIMARY KEY, at timestamptz DEFAULT clock_timestamp())")
            server.execute("CREATE TABLE noise (id bigserial PRIMARY KEY)")
            server.execute("INSERT INTO orders SELECT FROM generate_series(1, %s)", (ROWS,))
            yield made
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _configuration(place: Path, server: PostgresServer) -> str:
    return "\n".join(
        [
            "[global]",
            f"repo1-path={place}/repository",
            *(f"{name}-path={place}/{name}" for name in ("log", "lock", "spool")),
            "start-fast=y",
            "compress-level=1",
            f"[{STANZA}]",
            f"pg1-path={server.data}",
            f"pg1-socket-path={server.socket_dir}",
            f"pg1-port={server.port}",
            "pg1-user=postgres",
            "",
        ]
    )
