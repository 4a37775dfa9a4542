"""A backup with its manifest beside what people run instead, on StoreBridge's database of RUNBOOK_BENCH_MEGABYTES."""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from lab.backup_database import DATABASE, build_backup_database, megabytes_wanted
from lab.backup_runs import backup_options, client_environment
from lab.bench import Table, environment, median
from lab.paths import BUILD
from lab.postgresql import PostgresServer

ROUNDS = 3
Way = Callable[[Path], None]


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    settings = {"shared_buffers": "512MB", "max_wal_size": "4GB", "autovacuum": False}
    with PostgresServer(settings=settings) as started:
        build_backup_database(started, megabytes_wanted())
        yield started


def module(server: PostgresServer, place: Path, **options: Any) -> tuple[dict[str, Any], int]:
    """One run as Ansible would start it: its result and the most memory that it had, in bytes."""
    arguments = {**backup_options(server, place), **options}
    command = [sys.executable, "-m", "ansible_collections.runbook.ops.plugins.modules.postgresql_backup"]
    paths = {"PYTHONPATH": str(BUILD / "collections")}
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={**environment(), **paths}, text=True
    )
    assert process.stdin is not None
    assert process.stdout is not None
    json.dump({"ANSIBLE_MODULE_ARGS": arguments}, process.stdin)
    process.stdin.close()
    told = json.loads(process.stdout.read())
    _pid, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert told.get("changed"), told
    return told, usage.ru_maxrss * 1024


def shell(server: PostgresServer, script: str) -> Way:
    def run(place: Path) -> None:
        subprocess.run(["sh", "-c", script], cwd=place, env=client_environment(server, DATABASE), check=True)

    return run


def test_a_backup_with_its_manifest_beside_bare_programs(
    server: PostgresServer, tmp_path: Path, table: Callable[..., Table]
) -> None:
    def ours(**options: Any) -> Way:
        return lambda place: module(server, place, **options) and None

    ways: dict[str, Way] = {
        "pg_dump -Fc > file": shell(server, "pg_dump -Fc > shop.dump"),
        "postgresql_backup": ours(),
        "postgresql_backup, rows only counted": ours(digests=False),
        "pg_dump | gzip > file": shell(server, "pg_dump | gzip > shop.sql.gz"),
        "postgresql_backup, plain with zstd": ours(format="plain", name_pattern="shop-%Y%m%d.sql.zst"),
    }
    taken: dict[str, list[float]] = {name: [] for name in ways}
    sizes: dict[str, int] = {}
    for _round in range(ROUNDS):
        for name, way in ways.items():
            place = tmp_path / "kept"
            place.mkdir(mode=0o700)
            began = time.perf_counter()
            way(place)
            taken[name].append(time.perf_counter() - began)
            sizes[name] = sum(path.stat().st_size for path in place.iterdir())
            shutil.rmtree(place)
    megabytes = int(server.psql(f"SELECT pg_database_size('{DATABASE}') / 1000000"))
    shown = table(f"A backup of {megabytes} MB", "way", "time", "times bare pg_dump -Fc", "bytes")
    bare = taken["pg_dump -Fc > file"]
    for name, seconds in taken.items():
        ratio = statistics.median(a / b for a, b in zip(seconds, bare, strict=True))
        shown.add(name, median(seconds), f"{ratio:.2f}", f"{sizes[name]:,}")


def test_memory_does_not_grow_with_the_database(
    server: PostgresServer, tmp_path: Path, table: Callable[..., Table]
) -> None:
    shown = table("Most memory of the module", "database", "MiB", "bytes written")
    with PostgresServer() as small:
        build_backup_database(small)
        for each in (small, server):
            place = tmp_path / str(each.port)
            told, memory = module(each, place, format="plain", name_pattern="shop-%Y%m%d.sql")
            size = int(each.psql(f"SELECT pg_database_size('{DATABASE}') / 1000000"))
            shown.add(f"{size} MB", f"{memory / 2**20:.0f}", f"{told['backup']['bytes']:,}")
            shutil.rmtree(place)
