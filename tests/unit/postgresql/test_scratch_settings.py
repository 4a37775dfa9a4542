"""What a scratch server is set to, by the machine that it runs on."""

from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.runbook.ops.plugins.module_utils.postgresql.scratch.machine import available_bytes, processors
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.scratch.settings import (
    configuration,
    demanded,
    tuned,
)

GIB = 1024**3


@pytest.mark.parametrize(
    ("memory", "cores", "free", "expected"),
    [
        (24 * GIB, 2, 70 * GIB, ("65536kB", "32768kB", "32768kB", "8960MB", 1)),
        (4 * GIB, 4, 8 * GIB, ("65536kB", "16384kB", "32768kB", "1024MB", 3)),
        (64 * 1024**2, 1, GIB // 2, ("16384kB", "16384kB", "4096kB", "256MB", 0)),
        (0, 0, 0, ("16384kB", "16384kB", "4096kB", "256MB", 0)),
    ],
    ids=["large", "usual", "small", "nothing"],
)
def test_tuning(memory: int, cores: int, free: int, expected: tuple[object, ...]) -> None:
    names = ("shared_buffers", "maintenance_work_mem", "work_mem", "max_wal_size", "max_parallel_maintenance_workers")
    settings = tuned(memory, cores, free)
    assert tuple(settings[name] for name in names) == expected
    assert (settings["fsync"], settings["wal_level"], settings["autovacuum"]) == (False, "minimal", False)


def test_a_copy_is_recovered_with_what_it_needs() -> None:
    settings = tuned(GIB, 2, GIB, is_copy=True)
    assert "wal_level" not in settings
    said = (
        "pg_control version number:            1300\n"
        "wal_level setting:                    replica\n"
        "max_connections setting:              300\n"
        "max_worker_processes setting:         4\n"
        "max_wal_senders setting:              10\n"
        "max_prepared_xacts setting:           7\n"
        "max_locks_per_xact setting:           64\n"
    )
    assert demanded(said) == {
        "max_connections": 300,
        "max_worker_processes": 8,
        "max_wal_senders": 10,
        "max_prepared_transactions": 7,
        "max_locks_per_transaction": 64,
    }


def test_the_text_of_the_configuration() -> None:
    assert configuration({"fsync": False, "port": 5432, "hba_file": "/a b/it's\\x"}) == (
        "fsync = 'off'\nport = '5432'\nhba_file = '/a b/it''s\\\\x'\n"
    )


def machine(root: Path, groups: str, files: dict[str, str]) -> Path:
    for name, text in {
        "proc/meminfo": "MemTotal:       16777216 kB\nMemAvailable:    8388608 kB\n",
        "proc/self/cgroup": groups,
        **files,
    }.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


@pytest.mark.parametrize(
    ("groups", "files", "expected"),
    [
        ("", {}, 8 * GIB),
        ("0::/a/b\n", {"sys/fs/cgroup/a/b/memory.max": "max\n", "sys/fs/cgroup/a/b/memory.current": "5\n"}, 8 * GIB),
        (
            "0::/a/b\n",
            {
                "sys/fs/cgroup/a/b/memory.max": "max\n",
                "sys/fs/cgroup/a/b/memory.current": "5\n",
                "sys/fs/cgroup/a/memory.max": f"{2 * GIB}\n",
                "sys/fs/cgroup/a/memory.current": f"{GIB}\n",
            },
            GIB,
        ),
        (
            "4:memory:/box\n3:cpu,cpuacct:/box\n",
            {
                "sys/fs/cgroup/memory/box/memory.limit_in_bytes": f"{3 * GIB}\n",
                "sys/fs/cgroup/memory/box/memory.usage_in_bytes": f"{GIB}\n",
            },
            2 * GIB,
        ),
        ("0::/a\n", {"sys/fs/cgroup/a/memory.max": "5\n", "sys/fs/cgroup/a/memory.current": "9\n"}, 0),
    ],
    ids=["no groups", "no limit", "limit above", "version 1", "over the limit"],
)
def test_memory_that_may_be_used(tmp_path: Path, groups: str, files: dict[str, str], expected: int) -> None:
    assert available_bytes(machine(tmp_path, groups, files)) == expected


def test_memory_that_nobody_tells(tmp_path: Path) -> None:
    assert available_bytes(tmp_path) == 512 * 1024**2


def test_processors_that_may_be_used(tmp_path: Path) -> None:
    files = {"sys/fs/cgroup/a/cpu.max": "100000 100000\n"}
    assert processors(machine(tmp_path / "one", "0::/a\n", files)) == 1
    assert processors(machine(tmp_path / "all", "0::/a\n", {"sys/fs/cgroup/a/cpu.max": "max 100000\n"})) >= 1
