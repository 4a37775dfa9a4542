"""A complete proof of a compressed dump beside what the manual does, on a database of RUNBOOK_BENCH_MEGABYTES.

The manual's way proves less: it compares with nothing, and does not notice a dump that is cut off.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from lab.backup_database import build_backup_database, megabytes_wanted
from lab.backup_runs import backup_options, bin_directory, client_environment
from lab.bench import Table, environment, median, ratio
from lab.paths import BUILD
from lab.postgresql import PostgresServer
from lab.users import ordinary_account, scratch_directory

ROUNDS = 3
NAME = "shop-20260131-000000.sql.gz"
# What a server is set to that nobody has tuned.
DEFAULTS = {
    "fsync": True,
    "synchronous_commit": True,
    "full_page_writes": True,
    "shared_buffers": "128MB",
    "max_wal_size": "1GB",
}
# The manual's commands, with the counts one by one, because psql prints only the last result of several.
MANUAL = """
set -e
cp "$ARTEFACT" "$WORK/latest.sql.gz"
gunzip "$WORK/latest.sql.gz"
dropdb --if-exists storebridge_test
createdb storebridge_test
psql -q -o /dev/null storebridge_test < "$WORK/latest.sql"
psql -At -c 'SELECT count(*) FROM products' storebridge_test
psql -At -c 'SELECT count(*) FROM job_items' storebridge_test
rm "$WORK/latest.sql"
"""


@dataclass
class Watched:
    """What lay in a directory while something ran, apart from the servers' own data."""

    place: Path
    largest: int = 0
    most: int = 0
    _ended: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        while not self._ended.wait(0.2):
            sizes = [size for path, size in _files(self.place) if "/data/" not in str(path)]
            self.largest = max([self.largest, *sizes])
            self.most = max(self.most, sum(size for _path, size in _files(self.place)))

    def __enter__(self) -> Watched:
        self._thread = threading.Thread(target=self.run)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()


def _files(place: Path) -> Iterator[tuple[Path, int]]:
    for folder, _folders, names in os.walk(place):
        for name in names:
            path = Path(folder) / name
            try:
                status = path.lstat()
            except FileNotFoundError:
                continue
            yield path, status.st_blocks * 512


def module(called: str, **options: Any) -> tuple[dict[str, Any], float, int]:
    """One run as Ansible would start it: its result, its seconds, and the most memory that it had, in bytes."""
    command = [sys.executable, "-m", f"ansible_collections.runbook.ops.plugins.modules.{called}"]
    paths = {"PYTHONPATH": str(BUILD / "collections")}
    began = time.perf_counter()
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={**environment(), **paths}, text=True
    )
    assert process.stdin is not None
    assert process.stdout is not None
    json.dump({"ANSIBLE_MODULE_ARGS": options}, process.stdin)
    process.stdin.close()
    told = json.loads(process.stdout.read())
    _pid, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert not told.get("failed"), told["msg"]
    return told, time.perf_counter() - began, usage.ru_maxrss * 1024


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, int]]:
    """A repository with one backup, and the size of its database in megabytes. The source server is gone."""
    place = tmp_path_factory.mktemp("repository")
    with PostgresServer(settings={"shared_buffers": "512MB", "max_wal_size": "4GB"}) as server:
        built = build_backup_database(server, megabytes_wanted())
        pattern = "shop-%Y%m%d-%H%M%S.sql.gz"
        module("postgresql_backup", **backup_options(server, place, format="plain", name_pattern=pattern))
        megabytes = built.bytes // 1_000_000
    yield place, megabytes
    shutil.rmtree(place)


@pytest.fixture
def scratch() -> Iterator[Path]:
    made = scratch_directory("rbb-", ordinary_account())
    yield made
    assert not list(made.iterdir())
    made.rmdir()


def test_a_complete_proof_beside_the_manuals_way(
    repository: tuple[Path, int], scratch: Path, tmp_path: Path, table: Callable[..., Table]
) -> None:
    place, megabytes = repository
    artefact = place / NAME
    manual: list[float] = []
    ours: list[float] = []
    results: list[dict[str, Any]] = []
    memory = 0
    largest = most = 0
    with PostgresServer(settings=DEFAULTS) as staging:
        staging.execute("CREATE ROLE storebridge_app")
        staging.execute("CREATE ROLE runbook_monitor")
        variables = {**client_environment(staging, "postgres"), "ARTEFACT": str(artefact), "WORK": str(tmp_path)}
        programs = bin_directory(staging)
        for _round in range(ROUNDS):
            began = time.perf_counter()
            subprocess.run(["sh", "-c", MANUAL], env=variables, stdout=subprocess.DEVNULL, check=True)
            manual.append(time.perf_counter() - began)
            with Watched(scratch) as watched:
                told, seconds, used = module(
                    "postgresql_backup_verify",
                    repository=str(place),
                    name=NAME,
                    level="semantics",
                    bin_directory=programs,
                    scratch_directory=str(scratch),
                    record=False,
                    force=True,
                )
            assert told["verdict"] == "verified", told["reason"]
            ours.append(seconds)
            results.append(told)
            memory = max(memory, used)
            largest, most = max(largest, watched.largest), max(most, watched.most)
    # No copy of the artefact, packed or unpacked, lies beside the scratch server's own data.
    assert largest < artefact.stat().st_size // 4
    shown = table(
        f"Proving a dump of {megabytes} MB ({artefact.stat().st_size / 1e6:.0f} MB compressed)",
        "what",
        "copy, gunzip, psql, two counts",
        "postgresql_backup_verify (bytes, decode, restore, semantics)",
    )
    shown.add("time", median(manual), f"{median(ours)} ({ratio(manual, ours)} as fast)")
    shown.add(
        "share of the manual's time", "1", f"{statistics.median(b / a for a, b in zip(manual, ours, strict=True)):.2f}"
    )
    shown.add("most memory of the module", "", f"{memory / 2**20:.0f} MiB")
    shown.add("largest file beside the server's data", "the whole dump, unpacked", f"{largest:,} bytes")
    shown.add("disk while it runs", "", f"{most / 1e6:.0f} MB")
    for phase, seconds in sorted((results[-1]["artefacts"][0].get("seconds") or {}).items()):
        shown.add(f"of it {phase}", "", f"{seconds:.2f} s")
