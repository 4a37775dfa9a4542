"""What the tests of PostgreSQL's backups share: options, what lies in a repository, looks with other programs."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lab.backup_database import DATABASE
from lab.installations import all_installations
from lab.postgresql import PostgresServer

NOW = "2026-01-31T00:00:00Z"
NAME = "shop-20260131-000000.dump"


def backup_options(server: PostgresServer, place: Path | str, **more: Any) -> dict[str, Any]:
    """Options of postgresql_backup for StoreBridge's database, with a name that a test can foretell."""
    return {
        **server.login(DATABASE),
        "repository": str(place),
        "name_pattern": "shop-%Y%m%d-%H%M%S.dump",
        "reference_time": NOW,
        "bin_directory": bin_directory(server),
        **more,
    }


def bin_directory(server: PostgresServer) -> str:
    """Where pg_dump for a server is: of its major, or the next newer one that the lab has."""
    return str(_client("pg_dump", server).parent)


def _client(name: str, server: PostgresServer) -> Path:
    found = [each for each in all_installations() if each.major >= server.installation.major]
    programs = [(each.major, path) for each in found if (path := each.program(name)) is not None]
    return min(programs, key=lambda each: each[0])[1]


def names_in(place: Path) -> list[str]:
    """Every file below a directory but the lock, which stays."""
    if not place.exists():
        return []
    files = (path.relative_to(place).as_posix() for path in place.rglob("*") if not path.is_dir())
    return sorted(name for name in files if name != ".runbook.lock")


def manifest_in(place: Path, name: str = NAME) -> dict[str, Any]:
    """The manifest of an artefact."""
    found: dict[str, Any] = json.loads((place / f"{name}.manifest.json").read_text(encoding="utf-8"))
    return found


def whole(place: Path) -> list[str]:
    """The artefacts of a directory that have a manifest, each compared with it byte by byte by sha256sum."""
    found = []
    expected: dict[Path, str] = {}
    for path in sorted(place.rglob("*.manifest.json")):
        manifest = json.loads(path.read_text(encoding="utf-8"))
        artefact = path.with_name(path.name.removesuffix(".manifest.json"))
        if manifest["members"]:
            expected |= {artefact / name: part["sha256"] for name, part in manifest["members"].items()}
        else:
            expected[artefact] = manifest["sha256"]
        if manifest["globals"]:
            expected[place / manifest["globals"]["name"]] = manifest["globals"]["sha256"]
        found.append(artefact.name)
    lines = "".join(f"{digest}  {path}\n" for path, digest in expected.items())
    if lines:
        told = subprocess.run(
            ["sha256sum", "--check", "--quiet"], input=lines, capture_output=True, text=True, check=False
        )
        assert told.returncode == 0, told.stdout + told.stderr
    return found


def sha256(path: Path) -> str:
    """What sha256sum says."""
    told = subprocess.run(["sha256sum", str(path)], check=True, capture_output=True, text=True)
    return told.stdout.split()[0]


def sha256_of(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def run_client(
    server: PostgresServer,
    name: str,
    *arguments: str,
    database: str = DATABASE,
    user: str | None = None,
    password: str | None = None,
    **more: Any,
) -> subprocess.CompletedProcess[Any]:
    """Run psql, pg_dump or pg_restore as a person would."""
    return subprocess.run(
        [str(_client(name, server)), *arguments],
        env=client_environment(server, database, user, password),
        check=False,
        timeout=300,
        **{"capture_output": True, "stdin": subprocess.DEVNULL, **more},
    )


def client_environment(
    server: PostgresServer, database: str = DATABASE, user: str | None = None, password: str | None = None
) -> dict[str, str]:
    """What a shell of a person who works with a server has."""
    return {
        **os.environ,
        "PATH": f"{bin_directory(server)}{os.pathsep}{os.environ['PATH']}",
        "PGHOST": server.host,
        "PGPORT": str(server.port),
        "PGUSER": user or server.superuser,
        "PGPASSWORD": server.password if password is None else password,
        "PGDATABASE": database,
    }


def rows_of(server: PostgresServer, tables: Mapping[str, Any], database: str = DATABASE) -> dict[str, int]:
    """What psql counts in tables, by their names as the census has them."""
    counts = " UNION ALL ".join(f"SELECT $q${name}$q$, count(*) FROM {name}" for name in tables)
    lines = server.psql(counts, db=database).splitlines()
    return {name: int(count) for name, count in (line.rsplit("|", 1) for line in lines)}
