# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What may be deleted: declared directories, and what protects the rest. Pure, but for a look at what a path is."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Optional

from ansible.module_utils.common.text.formatters import human_to_bytes

from ansible_collections.runbook.ops.plugins.module_utils.common.durations import parse_seconds
from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption
from ansible_collections.runbook.ops.plugins.module_utils.common.guards import check_guards

# Directories that hold a system together. What lies below some of them may be declared, they themselves never.
_SYSTEM = frozenset(
    [
        "/",
        "/bin",
        "/boot",
        "/dev",
        "/etc",
        "/home",
        "/lib",
        "/lib32",
        "/lib64",
        "/libx32",
        "/media",
        "/mnt",
        "/opt",
        "/proc",
        "/root",
        "/run",
        "/sbin",
        "/srv",
        "/sys",
        "/usr",
        "/var",
        "/var/backups",
        "/var/cache",
        "/var/lib",
        "/var/lib/docker",
        "/var/lib/mysql",
        "/var/lib/postgresql",
        "/var/lib/redis",
        "/var/log",
        "/var/spool",
        "/var/www",
    ]
)
_SYSTEM_TREES = ("/bin", "/boot", "/dev", "/etc", "/lib", "/lib64", "/proc", "/sbin", "/sys", "/usr")
# PostgreSQL's own: without them a server does not start again, and what was committed is lost.
_POSTGRESQL = frozenset(
    [
        "base",
        "global",
        "pg_commit_ts",
        "pg_dynshmem",
        "pg_logical",
        "pg_multixact",
        "pg_notify",
        "pg_replslot",
        "pg_serial",
        "pg_snapshots",
        "pg_stat",
        "pg_stat_tmp",
        "pg_subtrans",
        "pg_tblspc",
        "pg_twophase",
        "pg_wal",
        "pg_xact",
        "pg_xlog",
        "pg_clog",
    ]
)
_NEVER_ENTERED = frozenset(name for name in _POSTGRESQL if name.startswith("pg_"))
_DIRECTORIES = "directories that were made for such files, as /var/log/app, by their absolute path without links"


@dataclass(frozen=True)
class Directory:
    """A declared directory and which of its files may go."""

    path: str
    patterns: tuple[str, ...]
    older_than: int
    recurse: bool
    keep: int


@dataclass(frozen=True)
class Request:
    """What is asked for, in bytes and seconds."""

    directories: tuple[Directory, ...]
    journal_bytes: Optional[int]
    package_cache: bool
    max_files: int
    max_bytes: Optional[int]
    timeout: float
    max_entries: int


def request_from(options: Mapping[str, Any]) -> Request:
    """Read the options; raises InvalidOption before anything is touched."""
    check_guards(options)
    directories = tuple(_directory(each) for each in options["directories"])
    _check_apart([each.path for each in directories])
    journal = _bytes(options["journal_max"], "journal_max", least=1 << 20)
    if not directories and journal is None and not options["package_cache"]:
        raise InvalidOption("directories", [], "at least one of directories, journal_max and package_cache")
    for name in ("max_files", "max_entries"):
        if options[name] < 1:
            raise InvalidOption(name, options[name], "a number of at least 1")
    if options["timeout"] <= 0:
        raise InvalidOption("timeout", options["timeout"], "a number of seconds above 0")
    return Request(
        directories=directories,
        journal_bytes=journal,
        package_cache=options["package_cache"],
        max_files=options["max_files"],
        max_bytes=_bytes(options["max_bytes"], "max_bytes", least=1),
        timeout=options["timeout"],
        max_entries=options["max_entries"],
    )


def is_protected(directory: str, name: str) -> bool:
    """Whether a directory that is met on the way is never entered: write-ahead log, or another data directory."""
    return name in _NEVER_ENTERED or (Path(directory) / "PG_VERSION").exists()


def _directory(given: Mapping[str, Any]) -> Directory:
    path = given["path"]
    option = "directories.path"
    pure = PurePosixPath(path)
    if not pure.is_absolute() or ".." in pure.parts:
        raise InvalidOption(option, path, _DIRECTORIES)
    path = str(pure)
    if path in _SYSTEM or any(path.startswith(f"{tree}/") for tree in _SYSTEM_TREES):
        raise InvalidOption(option, path, f"{_DIRECTORIES}, and never a directory of the system")
    if _NEVER_ENTERED & set(pure.parts) or _is_in_data_directory(pure):
        raise InvalidOption(
            option, path, f"{_DIRECTORIES}, and never PostgreSQL's data; a server's log directory is accepted"
        )
    _check_no_links(pure)
    if not given["patterns"] or any("/" in pattern or not pattern.strip("*") for pattern in given["patterns"]):
        raise InvalidOption(
            "directories.patterns", given["patterns"], "patterns of file names such as *.log or *.log.*, not * alone"
        )
    if given["keep"] < 0:
        raise InvalidOption("directories.keep", given["keep"], "a number of at least 0")
    return Directory(
        path=path,
        patterns=tuple(given["patterns"]),
        older_than=parse_seconds(given["older_than"], "directories.older_than"),
        recurse=given["recurse"],
        keep=given["keep"],
    )


def _is_in_data_directory(path: PurePosixPath) -> bool:
    """Whether it is a server's data directory, or one of those in it that are not for logs."""
    if (Path(path) / "PG_VERSION").exists():
        return True
    for parent in path.parents:
        if (Path(parent) / "PG_VERSION").exists():
            return path.relative_to(parent).parts[0] in _POSTGRESQL
    return False


def _check_no_links(path: PurePosixPath) -> None:
    """Every part must be a directory itself. What is not there at all is no mistake: there is nothing to delete."""
    for part in (*reversed(path.parents), path):
        try:
            mode = os.lstat(part).st_mode
        except OSError:
            return
        if not stat.S_ISDIR(mode):
            what = "a link" if stat.S_ISLNK(mode) else "no directory"
            raise InvalidOption("directories.path", str(path), f"{_DIRECTORIES} ({part} is {what})")


def _check_apart(paths: Sequence[str]) -> None:
    for one in paths:
        for other in paths:
            if one is not other and (one == other or other.startswith(f"{one}/")):
                raise InvalidOption("directories.path", other, f"directories apart from each other; {one} contains it")


def _bytes(text: Optional[str], option: str, least: int) -> Optional[int]:
    if text is None or text == "":
        return None
    accepted = f"a size of at least {least} bytes, such as 500M or 2G (powers of 1024)"
    try:
        size = int(human_to_bytes(text))
    except ValueError:
        raise InvalidOption(option, text, accepted) from None
    if size < least:
        raise InvalidOption(option, text, accepted)
    return size
