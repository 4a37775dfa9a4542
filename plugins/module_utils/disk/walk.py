# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Walking through directories on one file system, within a time and a number of entries, hard links once."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Optional

# statvfs counts in blocks of the file system, stat always in these.
BLOCK_BYTES = 512


@dataclass
class Limits:
    """How far a walk may go. C(reached) says what ended it; None while it is complete."""

    max_entries: int
    timeout: float
    clock: Callable[[], float] = time.monotonic
    entries: int = 0
    reached: Optional[str] = None

    def __post_init__(self) -> None:
        self._deadline = self.clock() + self.timeout

    def allow(self) -> bool:
        """Whether one more entry may be looked at."""
        if self.reached is None:
            if self.entries >= self.max_entries:
                self.reached = f"max_entries ({self.max_entries}) is reached"
            elif self.entries % 64 == 0 and self.clock() >= self._deadline:
                self.reached = f"timeout ({self.timeout:g} s) is reached"
        self.entries += 1
        return self.reached is None


@dataclass(frozen=True)
class Found:
    """One entry: its path, where it is below the root, and what lstat says."""

    path: str
    parts: tuple[str, ...]
    status: os.stat_result

    @property
    def is_directory(self) -> bool:
        """Whether it is a directory itself, not a link to one."""
        return stat.S_ISDIR(self.status.st_mode)

    @property
    def is_file(self) -> bool:
        """Whether it is a regular file."""
        return stat.S_ISREG(self.status.st_mode)

    @property
    def allocated_bytes(self) -> int:
        """What it takes of the disk, which is less than its length for a sparse file."""
        return self.status.st_blocks * BLOCK_BYTES


def everything(_found: Found) -> bool:
    """Go into every directory."""
    return True


@dataclass
class Walk:
    """One root. Links are not followed, and other file systems below it are named and left out.

    C(enter) says of each directory whether what is in it is looked at.
    """

    root: str
    limits: Limits
    enter: Callable[[Found], bool] = everything
    other_file_systems: list[str] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)
    _seen: set[tuple[int, int]] = field(default_factory=set)

    def __iter__(self) -> Iterator[Found]:
        """The root itself, then everything below, each file once by its inode."""
        status = os.lstat(self.root)
        yield Found(self.root, (), status)
        pending: list[tuple[str, tuple[str, ...]]] = [(self.root, ())]
        while pending:
            directory, parts = pending.pop()
            try:
                entries = os.scandir(directory)
            except OSError:
                self.unreadable.append(directory)
                continue
            with entries:
                for entry in entries:
                    if not self.limits.allow():
                        return
                    found = self._look(entry, parts, status.st_dev)
                    if found is None:
                        continue
                    yield found
                    if found.is_directory and self.enter(found):
                        pending.append((entry.path, found.parts))

    def _look(self, entry: os.DirEntry[str], parts: tuple[str, ...], device: int) -> Optional[Found]:
        try:
            status = entry.stat(follow_symlinks=False)
        except OSError:
            # It went while it was looked at.
            return None
        if status.st_dev != device:
            self.other_file_systems.append(entry.path)
            return None
        if status.st_nlink > 1 and not stat.S_ISDIR(status.st_mode):
            identity = (status.st_dev, status.st_ino)
            if identity in self._seen:
                return None
            self._seen.add(identity)
        return Found(entry.path, (*parts, entry.name), status)
