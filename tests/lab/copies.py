"""Databases with one of everything, and copies of them made by pg_dump and pg_restore between any two majors."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

from ansible_collections.runbook.ops.plugins.module_utils.postgresql.census.model import Census, census_from
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.census.take import census_of
from lab.installations import all_installations
from lab.postgresql import PostgresServer

EVERYTHING = Path(__file__).with_name("everything.sql")


def census(server: PostgresServer, db: str, **more: Any) -> Census:
    """The census as a manifest would carry it: out as a mapping, and in again."""
    return census_from(census_of(server.login(db), **{"digests": True, **more}).as_dict())


def fill(server: PostgresServer, db: str, script: Path = EVERYTHING) -> None:
    """A database made by a script, with psql."""
    server.execute(f'CREATE DATABASE "{db}" TEMPLATE template0')
    _run(
        _program("psql", server, server),
        server,
        db,
        "-X",
        "-q",
        "-v",
        "ON_ERROR_STOP=1",
        "-o",
        "/dev/null",
        "-f",
        script,
    )


def dump(source: PostgresServer, db: str, path: Path, target: PostgresServer, *options: str) -> None:
    """A dump in the custom format, by a pg_dump that the target's pg_restore understands."""
    _run(_program("pg_dump", source, target), source, db, "-Fc", "-Z1", "-f", path, *options)


def restore(source: PostgresServer, path: Path, target: PostgresServer, db: str, create: str = "") -> None:
    """Restore a dump of C(dump) into a new database; any error fails."""
    target.execute(f'CREATE DATABASE "{db}" TEMPLATE template0 {create}')
    _run(_program("pg_restore", source, target), target, db, "--exit-on-error", "-d", db, path)


def _program(name: str, source: PostgresServer, target: PostgresServer) -> Path:
    """The oldest that can read the source: newer ones set parameters that an older target does not know."""
    found = [each for each in all_installations() if each.program(name) and each.major >= source.installation.major]
    chosen = min(found, key=lambda each: (abs(each.major - target.installation.major), each.major))
    path = chosen.program(name)
    assert path is not None
    return path


def _run(program: Path, server: PostgresServer, db: str, *arguments: str | Path) -> None:
    environment = {
        "PGHOST": server.host,
        "PGPORT": str(server.port),
        "PGUSER": server.superuser,
        "PGPASSWORD": server.password,
        "PGDATABASE": db,
        "PGCLIENTENCODING": "UTF8",
    }
    done = subprocess.run([program, *arguments], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
