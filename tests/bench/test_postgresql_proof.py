"""A complete proof of a compressed dump beside what the manual does, on a database of RUNBOOK_BENCH_MEGABYTES.

The manual's way proves less: it compares with nothing, and does not notice a dump that is cut off. Both are told in
seconds on the wall, which depend on what else the machine does, and in seconds of its processors, which depend on that
much less. The memory is that of a proof of a database of 400 MB beside that of one of the size wanted.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
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
from lab.bench import Table, environment, median
from lab.paths import BUILD
from lab.postgresql import PostgresServer
from lab.usage import MemoryWatch, processor_seconds
from lab.users import ordinary_account, scratch_directory

ROUNDS = 3
SETTLE_SECONDS = 65.0
# From about this size on, everything that has a bound has reached it.
SMALLER_MEGABYTES = 400
# How much more memory the larger proof may have than the smaller one, and still be called flat.
FLAT = 1.25
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


@dataclass(frozen=True)
class Run:
    """One run of a module: its result, its seconds, those of the processors, and peaks of memory in bytes."""

    told: dict[str, Any]
    seconds: float
    processor_seconds: float
    own_memory: int = 0
    whole_memory: int = 0


@dataclass(frozen=True)
class Backup:
    """A repository with one backup; C(megabytes) of its database."""

    place: Path
    megabytes: int

    @property
    def artefact(self) -> Path:
        return self.place / NAME


def module(called: str, *, is_watched: bool = False, **options: Any) -> Run:
    """One run as Ansible would start it. Watching its memory takes time, so such a run is none to be timed."""
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
    memory = MemoryWatch(process.pid)
    with memory if is_watched else contextlib.nullcontext():
        told = json.loads(process.stdout.read())
    _pid, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    assert not told.get("failed"), told["msg"]
    # With the scratch server's: the module has waited for it.
    return Run(told, seconds, usage.ru_utime + usage.ru_stime, memory.own, memory.whole)


def verified(backup: Backup, scratch: Path, **options: Any) -> Run:
    """A complete proof."""
    run = module(
        "postgresql_backup_verify",
        repository=str(backup.place),
        name=NAME,
        level="semantics",
        scratch_directory=str(scratch),
        record=False,
        force=True,
        **options,
    )
    assert run.told["verdict"] == "verified", run.told["reason"]
    return run


def settle() -> None:
    """Wait until the removed files of the run before do not slow down the making of new ones.

    ext4 without a journal steps round the inodes of files that were removed in the last minute (C(recently_deleted) in
    C(fs/ext4/ialloc.c)), which makes initdb take twice its time. No backup is verified a second after another one.
    """
    time.sleep(SETTLE_SECONDS)


def manually(server: PostgresServer, backup: Backup, work: Path) -> Run:
    """The manual's way, on a server that runs already."""
    variables = {**client_environment(server, "postgres"), "ARTEFACT": str(backup.artefact), "WORK": str(work)}
    assert server.pid is not None
    before, clients = processor_seconds(server.pid), _waited_for()
    began = time.perf_counter()
    subprocess.run(["sh", "-c", MANUAL], env=variables, stdout=subprocess.DEVNULL, check=True)
    seconds = time.perf_counter() - began
    return Run({}, seconds, processor_seconds(server.pid) - before + _waited_for() - clients)


def _waited_for() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _taken(place: Path, megabytes: int) -> Backup:
    """A backup of a database of about so many megabytes. Its server is gone."""
    with PostgresServer(settings={"shared_buffers": "512MB", "max_wal_size": "4GB"}) as server:
        built = build_backup_database(server, megabytes)
        pattern = "shop-%Y%m%d-%H%M%S.sql.gz"
        module("postgresql_backup", **backup_options(server, place, format="plain", name_pattern=pattern))
        return Backup(place, built.bytes // 1_000_000)


@pytest.fixture(scope="module")
def backup(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Backup]:
    made = _taken(tmp_path_factory.mktemp("repository"), megabytes_wanted())
    yield made
    shutil.rmtree(made.place)


@pytest.fixture(scope="module")
def smaller(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Backup]:
    made = _taken(tmp_path_factory.mktemp("smaller"), SMALLER_MEGABYTES)
    yield made
    shutil.rmtree(made.place)


@pytest.fixture
def scratch() -> Iterator[Path]:
    made = scratch_directory("rbb-", ordinary_account())
    yield made
    assert not list(made.iterdir())
    made.rmdir()


def test_a_complete_proof_beside_the_manuals_way(
    backup: Backup, scratch: Path, tmp_path: Path, table: Callable[..., Table]
) -> None:
    manual: list[Run] = []
    ours: list[Run] = []
    for _round in range(ROUNDS):
        settle()
        # Gone before ours begins, so that its autovacuum does not work beside it.
        with PostgresServer(settings=DEFAULTS) as staging:
            staging.execute("CREATE ROLE storebridge_app")
            staging.execute("CREATE ROLE runbook_monitor")
            programs = bin_directory(staging)
            manual.append(manually(staging, backup, tmp_path))
        settle()
        ours.append(verified(backup, scratch, bin_directory=programs))
    packed = backup.artefact.stat().st_size
    shown = table(
        f"Proving a dump of {backup.megabytes} MB ({packed / 1e6:.0f} MB compressed)",
        "what",
        "copy, gunzip, psql, two counts",
        "postgresql_backup_verify (bytes, decode, restore, semantics)",
    )
    for what, values in (
        ("time", [[each.seconds for each in runs] for runs in (manual, ours)]),
        ("time of the processors", [[each.processor_seconds for each in runs] for runs in (manual, ours)]),
    ):
        shares = [mine / theirs for theirs, mine in zip(*values, strict=True)]
        shown.add(what, median(values[0]), median(values[1]))
        shown.add("share of the manual's", "1", f"{statistics.median(shares):.2f} ({_all(shares)})")
    for phase, seconds in sorted((ours[-1].told["artefacts"][0].get("seconds") or {}).items()):
        shown.add(f"of it {phase}", "", f"{seconds:.2f} s")


def _all(shares: list[float]) -> str:
    return ", ".join(f"{share:.2f}" for share in shares)


def test_memory_is_flat_and_nothing_is_copied(
    smaller: Backup, backup: Backup, scratch: Path, table: Callable[..., Table]
) -> None:
    runs = []
    disks = []
    for each in (smaller, backup):
        with Watched(scratch) as disk:
            runs.append(verified(each, scratch, is_watched=True))
        disks.append(disk)
        # No copy of the artefact, packed or unpacked, lies beside the scratch server's own data.
        assert disk.largest < each.artefact.stat().st_size // 4
    shown = table(
        "Memory and disk of a proof",
        "what",
        *(f"database of {each.megabytes} MB" for each in (smaller, backup)),
        "times",
    )
    for what, (small, large) in (
        ("most memory of the module", [run.own_memory for run in runs]),
        ("most memory of the module, the scratch server and all else", [run.whole_memory for run in runs]),
    ):
        shown.add(what, f"{small / 2**20:.0f} MiB", f"{large / 2**20:.0f} MiB", f"{large / small:.2f}")
        assert large <= FLAT * small, what
    for what, sizes in (
        ("largest file beside the server's data", [disk.largest for disk in disks]),
        ("disk while it runs", [disk.most for disk in disks]),
    ):
        shown.add(what, *(f"{size / 1e6:.1f} MB" for size in sizes), "")
