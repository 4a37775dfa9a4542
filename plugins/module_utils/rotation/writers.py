# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which processes hold a file open for writing, read from C(/proc)."""

from __future__ import annotations

import os
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_PROC = Path("/proc")
_ACCESS = 0o3


@dataclass(frozen=True)
class Writer:
    """One descriptor of one process."""

    pid: int
    name: str
    descriptor: int

    def as_dict(self) -> dict[str, Any]:
        """For results."""
        return {"pid": self.pid, "name": self.name, "descriptor": self.descriptor}


@dataclass
class Writers:
    """Who writes to files, by the files' identities. C(complete): whether all processes could be seen."""

    complete: bool
    by_identity: dict[tuple[int, int], list[Writer]]

    def of(self, identity: tuple[int, int]) -> list[Writer]:
        """The writers of one file."""
        return self.by_identity.get(identity, [])


def find_writers(identities: Collection[tuple[int, int]]) -> Writers:
    """The processes that hold one of these files open for writing. Only root sees all of them."""
    found = Writers(os.geteuid() == 0, {})
    for process in _PROC.iterdir():
        if not process.name.isdigit():
            continue
        try:
            descriptors = list((process / "fd").iterdir())
        except OSError:
            continue  # It ended, or it is not ours; then complete says so.
        for descriptor in descriptors:
            _look(process, descriptor, identities, found)
    return found


def _look(process: Path, descriptor: Path, identities: Collection[tuple[int, int]], found: Writers) -> None:
    try:
        status = descriptor.stat()
        identity = (status.st_dev, status.st_ino)
        if identity not in identities:
            return
        flags = (process / "fdinfo" / descriptor.name).read_text(encoding="ascii", errors="replace")
        name = (process / "comm").read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return
    if _flags(flags) & _ACCESS in (os.O_WRONLY, os.O_RDWR):
        writer = Writer(int(process.name), name, int(descriptor.name))
        found.by_identity.setdefault(identity, []).append(writer)


def _flags(text: str) -> int:
    for line in text.splitlines():
        if line.startswith("flags:"):
            return int(line.split()[1], 8)
    return 0
