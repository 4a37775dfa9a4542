"""What may be deleted, in trees on this machine's disk; nothing outside of the test's own directory is touched."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption
from ansible_collections.runbook.ops.plugins.module_utils.disk import reclaim as reclaiming
from ansible_collections.runbook.ops.plugins.module_utils.disk.candidates import delete, open_files, select
from ansible_collections.runbook.ops.plugins.module_utils.disk.journal import Archived, archived_files, vacuumed
from ansible_collections.runbook.ops.plugins.module_utils.disk.request import Directory, request_from
from ansible_collections.runbook.ops.plugins.module_utils.disk.usage import measure_root
from ansible_collections.runbook.ops.plugins.module_utils.disk.walk import Limits
from ansible_collections.runbook.ops.plugins.modules.disk_reclaim import argument_spec

DAY = 86400


def options(**more: Any) -> dict[str, Any]:
    return {**{name: option.get("default") for name, option in argument_spec().items()}, **more}


def directory(path: object, **more: Any) -> dict[str, Any]:
    return {"path": str(path), "patterns": ["*.log"], "older_than": "7d", "recurse": False, "keep": 0, **more}


@pytest.fixture
def put(tmp_path: Path) -> Callable[..., Path]:
    """A file of some days of age."""

    def make(name: str, days: float = 10, size: int = 100) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x" * size)
        moment = time.time() - days * DAY
        os.utime(path, (moment, moment))
        return path

    return make


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("logs", "by their absolute path"),
        ("/", "never a directory of the system"),
        ("/var/log", "never a directory of the system"),
        ("/etc/app", "never a directory of the system"),
        ("/usr/share/x", "never a directory of the system"),
        ("/srv/../etc", "by their absolute path"),
        ("/srv/pg/pg_wal", "never PostgreSQL's data"),
        ("/srv/pg/pg_wal/archive_status", "never PostgreSQL's data"),
        ("/srv/pg/pg_xlog", "never PostgreSQL's data"),
    ],
)
def test_directories_that_are_never_accepted(path: str, why: str) -> None:
    with pytest.raises(InvalidOption) as caught:
        request_from(options(directories=[directory(path)]))
    assert caught.value.message.startswith(f"directories.path: {path!r} is not accepted.")
    assert why in caught.value.message


def test_a_servers_data_is_refused_and_its_logs_are_not(put: Callable[..., Path], tmp_path: Path) -> None:
    """SB-53: the log directory of a server, and nothing else of it."""
    put("data/PG_VERSION")
    for name in ("log", "base", "pg_wal", "pg_xact"):
        (tmp_path / "data" / name).mkdir()
    for name in ("", "base", "pg_wal", "pg_xact"):
        with pytest.raises(InvalidOption, match="never PostgreSQL's data"):
            request_from(options(directories=[directory(tmp_path / "data" / name)]))
    assert (
        request_from(options(directories=[directory(tmp_path / "data" / "log")])).directories[0].older_than == 7 * DAY
    )


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({}, "directories: [] is not accepted. Accepted: at least one of directories, journal_max and package_cache."),
        ({"journal_max": "much"}, "journal_max: 'much' is not accepted. Accepted: a size of at least 1048576 bytes"),
        ({"journal_max": "0"}, "journal_max: '0' is not accepted."),
        ({"package_cache": True, "max_files": 0}, "max_files: 0 is not accepted."),
        ({"directories": [directory("/srv/a", patterns=["*"])]}, "directories.patterns: ['*'] is not accepted."),
        ({"directories": [directory("/srv/a", patterns=["a/*.log"])]}, "directories.patterns: ['a/*.log'] is not"),
        ({"directories": [directory("/srv/a", older_than="soon")]}, "directories.older_than: 'soon' is not accepted."),
        (
            {"directories": [directory("/srv/a"), directory("/srv/a/b")]},
            "directories.path: '/srv/a/b' is not accepted.",
        ),
        ({"package_cache": True, "window": ["never"]}, "window: 'never' is not accepted."),
    ],
)
def test_bad_options(more: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidOption) as caught:
        request_from(options(**more))
    assert caught.value.message.startswith(message)


def test_a_path_through_a_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "real" / "logs").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "real")
    with pytest.raises(InvalidOption, match="is a link"):
        request_from(options(directories=[directory(tmp_path / "link" / "logs")]))


def test_what_stays(put: Callable[..., Path], tmp_path: Path) -> None:
    opened = put("logs/open.log")
    put("logs/young.log", days=6.9)
    put("logs/other.txt")
    put("logs/deep/old.log")
    put("logs/deep/pg_wal/000000010000000000000001.log")
    put("logs/server/PG_VERSION")
    put("logs/server/base/1.log")
    put("precious.log")
    os.link(put("logs/hard.log"), tmp_path / "second-name")
    (tmp_path / "logs" / "link.log").symlink_to(tmp_path / "precious.log")
    (tmp_path / "logs" / "elsewhere").symlink_to(tmp_path)
    for number in range(4):
        put(f"logs/app-{number}.log", days=20 + number)
    chosen = Directory(str(tmp_path / "logs"), ("*.log",), 7 * DAY, True, 2)
    with opened.open("rb"):
        inode = opened.stat()
        seen = open_files()
        assert seen is None or (inode.st_dev, inode.st_ino) in seen
        selection = select(chosen, frozenset({(inode.st_dev, inode.st_ino)}), time.time(), Limits(1000, 60))
    assert [each.name for each in selection.chosen] == ["app-3.log", "app-2.log", "app-1.log"]
    assert selection.kept == {"other_name": 1, "open": 1, "hard_linked": 1, "newest": 3}
    flat = select(
        Directory(str(tmp_path / "logs"), ("*.log",), 7 * DAY, False, 0), frozenset(), time.time(), Limits(99, 9)
    )
    assert not [each.name for each in flat.chosen if "/" in each.name]
    cut = select(chosen, frozenset(), time.time(), Limits(2, 60))
    assert cut.incomplete == "max_entries (2) is reached"


def test_what_changed_since_it_was_looked_at_stays(put: Callable[..., Path], tmp_path: Path) -> None:
    for name in ("same", "written", "replaced", "opened", "gone"):
        put(f"logs/{name}.log")
    put("logs/moved/inner.log")
    root = tmp_path / "logs"
    selection = select(Directory(str(root), ("*.log",), DAY, True, 0), frozenset(), time.time(), Limits(1000, 60))
    assert len(selection.chosen) == 6
    (root / "written.log").write_bytes(b"new line")
    (root / "replaced.log").unlink()
    put("logs/replaced.log")
    (root / "gone.log").unlink()
    # Somebody puts a link where a directory was: it leads to a file of the same name.
    put("victim/inner.log")
    (root / "moved").rename(tmp_path / "elsewhere")
    (root / "moved").symlink_to(tmp_path / "victim")
    status = (root / "opened.log").stat()
    deleted, freed, stayed = delete(str(root), selection.chosen, frozenset({(status.st_dev, status.st_ino)}))
    assert (deleted, stayed) == (1, 5)
    assert freed > 0
    assert sorted(path.name for path in root.iterdir()) == ["moved", "opened.log", "replaced.log", "written.log"]
    assert (tmp_path / "victim" / "inner.log").exists()
    assert (tmp_path / "elsewhere" / "inner.log").exists()


def test_check_mode_names_what_the_run_deletes(put: Callable[..., Path], tmp_path: Path) -> None:
    for number in range(3):
        put(f"logs/{number}.log", days=10 + number)
    given = options(directories=[directory(tmp_path / "logs")])
    plan = reclaiming.reclaim(given, check_mode=True)
    if os.geteuid() != 0:
        assert plan["refused"][0]["reason"] == "which files are open could not be seen for all processes"
        return
    assert plan["changed"]
    assert plan["after"] is None
    assert len(list((tmp_path / "logs").iterdir())) == 3
    for limit, why in (
        ({"max_files": 2}, "3 files would be deleted, max_files is 2"),
        ({"max_bytes": "1K"}, " bytes would be deleted, max_bytes is 1024"),
        ({"blocked_window": ["00:00-24:00"]}, "within the hours kept free of changes"),
    ):
        refused = reclaiming.reclaim({**given, **limit}, check_mode=False)
        assert why in refused["refused"][0]["reason"]
        assert (refused["changed"], refused["actions"]) == (False, [])
    done = reclaiming.reclaim(given, check_mode=False)
    assert done["actions"] == plan["actions"]
    assert (done["deleted_count"], done["stayed_count"], done["changed"]) == (3, 0, True)
    name = str(tmp_path / "logs")
    assert (done["before"][name]["size_bytes"], done["after"][name]["size_bytes"]) == (done["freed_bytes"], 0)
    again = reclaiming.reclaim(given, check_mode=False)
    assert (again["changed"], again["actions"]) == (False, [])


def test_the_journals_oldest_archives_go(tmp_path: Path) -> None:
    sequence = "a" * 32
    home = tmp_path / "0123"
    home.mkdir()
    for name in (
        "system.journal", f"system@{sequence}-{1:016x}-{30:016x}.journal",
        f"system@{sequence}-{2:016x}-{10:016x}.journal",
        f"user-1000@{20:016x}-{1:016x}.journal~", "notes.txt",
    ):  # fmt: skip
        (home / name).write_bytes(b"x" * 4096)
    files, total = archived_files([str(tmp_path)])
    assert [each.moment for each in sorted(files, key=lambda each: each.moment)] == [10, 20, 30]
    assert total == 4 * 4096
    assert [each.moment for each in vacuumed(files, 2 * 4096)] == [10]
    assert vacuumed(files, 3 * 4096) == []
    # Each directory has the room for itself, as journalctl counts.
    assert vacuumed([*files, Archived("/other", "x", 1, 4096)], 4096 * 3) == []


def test_usage_counts_each_file_once(put: Callable[..., Path], tmp_path: Path) -> None:
    os.link(put("root/a/one", size=8192), tmp_path / "root" / "two")
    put("root/a/b/three", size=4096)
    sparse = put("root/a/sparse", size=1)
    with sparse.open("r+b") as stream:
        stream.truncate(50_000_000)
    found = measure_root(str(tmp_path / "root"), Limits(1000, 60), depth=1, top=5, min_file_bytes=8192)
    assert found["files_count"] == 3
    assert found["apparent_bytes"] > 50_000_000
    assert found["bytes"] < 1_000_000
    assert [Path(each["path"]).name for each in found["directories"]] == ["a"]
    assert len(found["large_files"]) == 1
    assert found["is_complete"]
