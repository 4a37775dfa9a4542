# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which files a log consists of: itself, what rotation made of it, compressed or not."""

from __future__ import annotations

import glob
import os
import re
import stat
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

_MOST_ROUNDS = 10
_SUFFIXES = (".gz", ".zst", ".xz", ".bz2")
_COMPRESSED = r"(?:\.(?:gz|zst|xz|bz2))?"
# .1, -20251016, -20251016-1760572800, .2025-10-16, -20251016T0900
_ROTATED = r"(?:[.-]\d{1,4}|[.-]\d{8}(?:[-_.T]?\d{1,10})?|[.-]\d{4}-\d\d-\d\d(?:[-_.T]?\d{1,6})?)"
_MAGIC = ((b"\x1f\x8b", "gzip"), (b"\x28\xb5\x2f\xfd", "zstd"), (b"\xfd7zXZ\x00", "xz"), (b"BZh", "bzip2"))

Trouble = tuple[str, str, str]


@dataclass
class LogFile:
    """An open file; what its name means later does not matter any more."""

    path: Path
    descriptor: int
    size: int
    modified: float
    identity: tuple[int, int]
    modified_ns: int

    def close(self) -> None:
        """Let it go."""
        os.close(self.descriptor)

    def compression(self) -> str | None:
        """By its first bytes, not by its name."""
        head = os.pread(self.descriptor, 6, 0)
        return next((name for magic, name in _MAGIC if head.startswith(magic)), None)

    def change(self) -> str | None:
        """What happened to it since it was opened: C(truncated), C(rotated) or C(removed)."""
        if os.fstat(self.descriptor).st_size < self.size:
            return "truncated"
        try:
            now = self.path.stat()
        except OSError:
            return "removed"
        return None if (now.st_dev, now.st_ino) == self.identity else "rotated"


def open_log(path: Path) -> LogFile | None:
    """Open a file for reading; None for what is no regular file. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        os.close(descriptor)
        return None
    identity = (status.st_dev, status.st_ino)
    return LogFile(path, descriptor, status.st_size, status.st_mtime, identity, status.st_mtime_ns)


def open_all(paths: Sequence[Path], again: Callable[[], list[Path]]) -> tuple[list[LogFile], list[Trouble]]:
    """Open all files before any is read, each once, whatever rotation does to their names meanwhile.

    C(again) lists them anew, which is done until there is none that is not open: between a look at the names and the
    opening a file may have got the name of another. What cannot be opened comes with reason and remedy.
    """
    files: dict[tuple[int, int], LogFile] = {}
    stamps: set[int] = set()
    troubles: dict[Path, Trouble] = {}
    for number in range(_MOST_ROUNDS):
        before = len(files)
        for path in paths if number == 0 else again():
            try:
                file = open_log(path)
            except FileNotFoundError:
                if path.is_symlink():
                    troubles[path] = (str(path), "it is a link to nothing", "Correct the link, or remove it.")
                continue
            except OSError as error:
                remedy = "Run the task with become, or give its user the group that may read the file (adm)."
                troubles[path] = (str(path), f"it cannot be opened: {error.strerror or error}", remedy)
                continue
            if file is None:
                troubles[path] = (str(path), "it is no regular file", "Leave it out of sources.")
                continue
            # What was compressed since has another identity, and the modification time of before.
            if file.identity in files or (number and file.modified_ns // 1000 in stamps):
                file.close()
                continue
            files[file.identity] = file
            stamps.add(file.modified_ns // 1000)
        if len(files) == before:
            break
    return list(files.values()), list(troubles.values())


def expand(patterns: Sequence[str], *, rotated: bool) -> tuple[list[Path], list[str]]:
    """The files that the patterns name, with the rotated ones beside them; and the patterns that name nothing."""
    found: dict[Path, None] = {}
    missing: list[str] = []
    for pattern in patterns:
        names = sorted(glob.glob(pattern)) if glob.has_magic(pattern) else [pattern]  # noqa: PTH207 - patterns may be absolute
        here = [path for name in names for path in _with_rotated(Path(name), rotated=rotated)]
        if not here:
            missing.append(pattern)
        found.update(dict.fromkeys(here))
    # While a file is compressed, it is there together with a part of its compressed self.
    compressed = {path for path in found if path.suffix in _SUFFIXES and path.with_suffix("") in found}
    return [path for path in found if path not in compressed], missing


def why_missing(pattern: str) -> str:
    """Why a pattern names nothing: a directory that may not be entered looks empty to patterns."""
    try:
        Path(pattern).lstat()
    except FileNotFoundError:
        return "no such file"
    except OSError as error:
        return f"it cannot be looked for: {error.strerror or error}"
    return "no such file"


def _with_rotated(path: Path, *, rotated: bool) -> Iterator[Path]:
    if os.path.lexists(path):
        yield path
    if not rotated:
        return
    stem, extension = re.escape(path.stem), re.escape(path.suffix)
    beside = re.compile(rf"(?:{re.escape(path.name)}{_ROTATED}|{stem}{_ROTATED}{extension}){_COMPRESSED}")
    try:
        names = sorted(each.name for each in path.parent.iterdir())
    except OSError:
        return  # The file itself says why when it is opened.
    for name in names:
        if name != path.name and beside.fullmatch(name):
            yield path.with_name(name)
