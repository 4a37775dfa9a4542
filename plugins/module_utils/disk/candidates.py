# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which files may go: by name and age, never links, never open ones, never one of several names."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Optional

from ansible_collections.runbook.ops.plugins.module_utils.disk.request import Directory, is_protected
from ansible_collections.runbook.ops.plugins.module_utils.disk.walk import Found, Limits, Walk

Identity = tuple[int, int]


@dataclass(frozen=True)
class Candidate:
    """A file that would be deleted, as it was when it was looked at."""

    parts: tuple[str, ...]
    identity: Identity
    size: int
    allocated_bytes: int
    modified_ns: int

    @property
    def name(self) -> str:
        """Its path below the root."""
        return "/".join(self.parts)


@dataclass
class Selection:
    """What of a root would go, and how many files stay for which reason."""

    root: str
    chosen: list[Candidate] = field(default_factory=list)
    kept: dict[str, int] = field(default_factory=dict)
    incomplete: Optional[str] = None

    def keep(self, reason: str) -> None:
        """One more file that stays."""
        self.kept[reason] = self.kept.get(reason, 0) + 1

    @property
    def size_bytes(self) -> int:
        """What the disk gets back."""
        return sum(each.allocated_bytes for each in self.chosen)


def select(directory: Directory, opened: frozenset[Identity], now: float, limits: Limits) -> Selection:
    """Look through a declared directory, on its own file system."""
    selection = Selection(directory.path)

    def enter(found: Found) -> bool:
        return directory.recurse and not is_protected(found.path, found.parts[-1])

    walk = Walk(directory.path, limits, enter)
    matching: dict[tuple[str, ...], list[Candidate]] = {}
    for found in walk:
        if not found.parts or not found.is_file:
            continue
        if not any(fnmatchcase(found.parts[-1], pattern) for pattern in directory.patterns):
            selection.keep("other_name")
            continue
        reason = _why_kept(found, opened)
        if reason:
            selection.keep(reason)
            continue
        matching.setdefault(found.parts[:-1], []).append(_candidate(found))
    for candidates in matching.values():
        # The newest ones of each directory stay whatever their age.
        candidates.sort(key=lambda each: (-each.modified_ns, each.parts))
        for position, each in enumerate(candidates):
            if position < directory.keep:
                selection.keep("newest")
            elif directory.older_than and now - each.modified_ns / 1e9 < directory.older_than:
                selection.keep("young")
            else:
                selection.chosen.append(each)
    selection.chosen.sort(key=lambda each: (each.modified_ns, each.parts))
    selection.incomplete = limits.reached
    return selection


def _why_kept(found: Found, opened: frozenset[Identity]) -> str:
    if (found.status.st_dev, found.status.st_ino) in opened:
        return "open"
    # The room of a file with several names comes back with the last of them.
    return "hard_linked" if found.status.st_nlink > 1 else ""


def _candidate(found: Found) -> Candidate:
    status = found.status
    return Candidate(
        found.parts, (status.st_dev, status.st_ino), status.st_size, found.allocated_bytes, status.st_mtime_ns
    )


def open_files(proc: Path = Path("/proc")) -> Optional[frozenset[Identity]]:
    """Device and inode of every file that any process has open; None when not all processes could be looked into."""
    found: set[Identity] = set()
    for name in os.listdir(proc):  # noqa: PTH208 - names only
        if not name.isdigit():
            continue
        place = proc / name / "fd"
        try:
            descriptors = os.listdir(place)  # noqa: PTH208 - names only
        except PermissionError:
            return None
        except OSError:
            continue
        for descriptor in descriptors:
            try:
                status = (place / descriptor).stat()
            except OSError:
                continue
            found.add((status.st_dev, status.st_ino))
    return frozenset(found)


def delete(root: str, candidates: Iterable[Candidate], opened: frozenset[Identity]) -> tuple[int, int, int]:
    """Delete files that are still what they were; counts of those that went, their bytes, and those that stayed.

    Every directory on the way is opened by name in the one before it and must not be a link: a path that somebody
    changes meanwhile leads nowhere else.
    """
    deleted = freed = stayed = 0
    for each in candidates:
        descriptor = _open_directory(root, each.parts[:-1])
        if descriptor is None:
            stayed += 1
            continue
        try:
            status = os.stat(each.parts[-1], dir_fd=descriptor, follow_symlinks=False)
            same = (status.st_dev, status.st_ino) == each.identity and status.st_mtime_ns == each.modified_ns
            if not same or status.st_size != each.size or status.st_nlink > 1 or each.identity in opened:
                stayed += 1
                continue
            os.unlink(each.parts[-1], dir_fd=descriptor)
            deleted += 1
            freed += each.allocated_bytes
        except OSError:
            stayed += 1
        finally:
            os.close(descriptor)
    return deleted, freed, stayed


def _open_directory(root: str, parts: tuple[str, ...]) -> Optional[int]:
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
    descriptor = os.open("/", flags)
    for part in (*Path(root).parts[1:], *parts):
        try:
            deeper = os.open(part, flags, dir_fd=descriptor)
        except OSError:
            return None
        finally:
            os.close(descriptor)
        descriptor = deeper
    return descriptor
