# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which processes hold a file open for writing, read from C(/proc)."""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import signal
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Union

_PROC = Path("/proc")
_ACCESS = 0o3
_LIBC = ctypes.CDLL(None)


@dataclass(frozen=True)
class Writer:
    """One descriptor of one process."""

    pid: int
    name: str
    descriptor: int

    def as_dict(self) -> dict[str, Any]:
        """For results."""
        return {"pid": self.pid, "name": self.name, "descriptor": self.descriptor}


Identity = tuple[int, int]


@dataclass
class Writers:
    """Who writes to files, by the files' identities."""

    # Whether every process could be looked at.
    complete: bool = True
    by_identity: dict[Identity, list[Writer]] = field(default_factory=dict)
    # Files of which the kernel says that nobody has them open for writing.
    free: set[Identity] = field(default_factory=set)

    def of(self, identity: Identity) -> list[Writer]:
        """The writers of one file."""
        return self.by_identity.get(identity, [])

    def is_known(self, identity: Identity) -> bool:
        """Whether it is certain who writes to a file, or that somebody does."""
        return self.complete or identity in self.free or identity in self.by_identity


def find_writers(files: Mapping[Identity, Union[str, int]]) -> Writers:
    """The processes that hold files open for writing. Only root sees all of them.

    Args:
        files: The files by identity, each with its path or a descriptor that is open for reading.

    """
    found = Writers()
    for process in _PROC.iterdir():
        if not process.name.isdigit():
            continue
        try:
            try:
                _look_at(process, files, found)
            except PermissionError:
                # Root without CAP_SYS_PTRACE, as in a container, sees them with the eyes of the process's user.
                with _as_owner(process):
                    _look_at(process, files, found)
        except PermissionError:
            found.complete = False
        except OSError:
            continue  # It ended.
    if not found.complete:
        found.free = {each for each, place in files.items() if each not in found.by_identity and _is_free(place)}
    return found


def _is_free(place: Union[str, int]) -> bool:
    """Whether the kernel grants a lease on a file, which it does only while nobody has it open for writing.

    The lease is given back at once. Whoever opens the file in between waits for that, and no longer.
    """
    signal.signal(signal.SIGIO, signal.SIG_IGN)
    descriptor = -1
    try:
        descriptor = os.open(place, os.O_RDONLY) if isinstance(place, str) else os.dup(place)
        _LIBC.setfsuid(os.fstat(descriptor).st_uid)
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_RDLCK)
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    except OSError:
        return False
    finally:
        _LIBC.setfsuid(os.geteuid())
        if descriptor >= 0:
            os.close(descriptor)
    return True


def _look_at(process: Path, identities: Collection[Identity], found: Writers) -> None:
    for descriptor in list((process / "fd").iterdir()):
        _look(process, descriptor, identities, found)


@contextlib.contextmanager
def _as_owner(process: Path) -> Iterator[None]:
    """Look at files as the user and group of a process for a moment; PermissionError for those who are not root.

    Only the identity for file access changes: with another effective user we would lose capabilities that the process
    may have, and could not look at it for that reason.
    """
    if os.geteuid() != 0:
        raise PermissionError
    status = (process / "status").read_text(encoding="utf-8", errors="replace")
    owner = {line.split()[0]: int(line.split()[2]) for line in status.splitlines() if line.startswith(("Uid:", "Gid:"))}
    try:
        _LIBC.setfsgid(owner["Gid:"])
        _LIBC.setfsuid(owner["Uid:"])
        yield
    finally:
        _LIBC.setfsuid(os.geteuid())
        _LIBC.setfsgid(os.getegid())


def _look(process: Path, descriptor: Path, identities: Collection[Identity], found: Writers) -> None:
    try:
        status = descriptor.stat()
        identity = (status.st_dev, status.st_ino)
        if identity not in identities:
            return
        flags = (process / "fdinfo" / descriptor.name).read_text(encoding="ascii", errors="replace")
        name = (process / "comm").read_text(encoding="utf-8", errors="replace").strip()
    except PermissionError:
        raise
    except OSError:
        return  # It was closed.
    if _flags(flags) & _ACCESS in (os.O_WRONLY, os.O_RDWR):
        writer = Writer(int(process.name), name, int(descriptor.name))
        found.by_identity.setdefault(identity, []).append(writer)


def _flags(text: str) -> int:
    for line in text.splitlines():
        if line.startswith("flags:"):
            return int(line.split()[1], 8)
    return 0
