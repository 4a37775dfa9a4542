# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The files that logrotate works on: which there are, what they are like, and which names are rotated copies."""

from __future__ import annotations

import fnmatch
import glob
import grp
import os
import pwd
import re
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

_COMPRESSED = r"(?:\.(?:gz|xz|bz2|zst|lz4|Z))"
# app.log.1, app.log.2.gz, app.log-20260131, app.log-2026013112.gz, app-20260131.log
_ROTATED = re.compile(rf".+(?:\.\d{{1,4}}|[-_.]\d{{8}}(?:\d{{2}})?(?:-\d+)?){_COMPRESSED}?|.+{_COMPRESSED}")
_DATED = re.compile(r"(.+)[-_.](?:\d{8}|\d{4}-\d{2}-\d{2})(?:[-_T]?\d{2,6})?(\.[a-z]+)")

# What a database needs in order to start; it is no log, whatever pg_xlog sounds like.
_DATABASE_OWN = frozenset(("pg_wal", "pg_xlog", "pg_commit_ts", "pg_clog", "pg_xact"))


@dataclass(frozen=True)
class LogFile:
    """A file as the system describes it."""

    path: str
    device: int
    inode: int
    size_bytes: int
    modified_seconds: float
    mode: int
    owner: str
    group: str
    parent_mode: int
    parent_group: str
    parent_gid: int

    @property
    def identity(self) -> tuple[int, int]:
        """What stays when the file is renamed."""
        return self.device, self.inode

    @property
    def is_parent_insecure(self) -> bool:
        """Whether logrotate refuses to work in its directory as root, without C(su)."""
        return bool(self.parent_mode & 0o002 or (self.parent_mode & 0o020 and self.parent_gid != 0))


def is_rotated_name(name: str) -> bool:
    """Whether a name is that of a log that was rotated, by a number, a date or a compression."""
    return bool(_ROTATED.fullmatch(name) or _DATED.fullmatch(name))


def is_database_own(path: str) -> bool:
    """Whether a path leads into a directory that a database cannot do without."""
    return not _DATABASE_OWN.isdisjoint(path.split("/"))


def look(path: str) -> LogFile | None:
    """A regular file that is there; None for anything else."""
    try:
        found, parent = Path(path).stat(), Path(path).parent.stat()
    except OSError:
        return None
    if not stat.S_ISREG(found.st_mode):
        return None
    return LogFile(
        path,
        found.st_dev,
        found.st_ino,
        found.st_size,
        found.st_mtime,
        stat.S_IMODE(found.st_mode),
        user_name(found.st_uid),
        group_name(found.st_gid),
        stat.S_IMODE(parent.st_mode),
        group_name(parent.st_gid),
        parent.st_gid,
    )


def matching(patterns: Iterable[str]) -> list[LogFile]:
    """The files that patterns match, each once, as logrotate's glob finds them."""
    found: dict[str, LogFile] = {}
    for pattern in patterns:
        # As logrotate itself does it; a Path would refuse an absolute pattern.
        for path in sorted(glob.glob(pattern)):  # noqa: PTH207 - see above
            log = look(path)
            if log is not None:
                found.setdefault(path, log)
    return list(found.values())


def is_glob(pattern: str) -> bool:
    """Whether a pattern may match several files."""
    return glob.has_magic(pattern)


def matches(path: str, patterns: Iterable[str]) -> bool:
    """Whether a path is one of those that patterns mean, whether it is there or not."""
    return any(path.count("/") == pattern.count("/") and fnmatch.fnmatchcase(path, pattern) for pattern in patterns)


def walk(directories: Iterable[str], most: int) -> Iterator[LogFile]:
    """Files below directories that look like logs that are written: not rotated copies, not the journal's."""
    seen = 0
    for directory in directories:
        for place, folders, names in os.walk(directory):
            # The journal limits itself.
            folders[:] = sorted(each for each in folders if each != "journal" and each not in _DATABASE_OWN)
            for name in sorted(names):
                log = None if is_rotated_name(name) else look(str(Path(place, name)))
                if log is None:
                    continue
                seen += 1
                if seen > most:
                    return
                yield log


def user_name(number: int) -> str:
    """The name of a user; its number where it has none."""
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return str(number)


def group_name(number: int) -> str:
    """The name of a group; its number where it has none."""
    try:
        return grp.getgrgid(number).gr_name
    except KeyError:
        return str(number)
