# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The journal's archived files, and which of them a vacuum to a size removes."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ansible_collections.runbook.ops.plugins.module_utils.disk.walk import BLOCK_BYTES

PLACES = ("/var/log/journal", "/run/log/journal")
# user-1000@<sequence id>-<first number>-<moment>.journal was closed; one ending in ~ was found damaged.
_ARCHIVED = re.compile(r".+@[0-9a-f]{32}-[0-9a-f]{16}-([0-9a-f]{16})\.journal")
_DAMAGED = re.compile(r".+@([0-9a-f]{16})-[0-9a-f]{16}\.journal~")


@dataclass(frozen=True)
class Archived:
    """An archived file: its directory, the moment in its name, and its bytes on the disk."""

    directory: str
    name: str
    moment: int
    size_bytes: int


def archived_files(places: Sequence[str] = PLACES) -> tuple[list[Archived], int]:
    """Archived files and the bytes of all files of the journal. Those in use are never removed."""
    found, total = [], 0
    for place in places:
        for path in sorted(Path(place).glob("*/*.journal*")):
            try:
                size = path.lstat().st_blocks * BLOCK_BYTES
            except OSError:
                continue
            total += size
            match = _ARCHIVED.fullmatch(path.name) or _DAMAGED.fullmatch(path.name)
            if match:
                found.append(Archived(str(path.parent), path.name, int(match[1], 16), size))
    return found, total


def vacuumed(files: Sequence[Archived], most_bytes: int) -> list[Archived]:
    """What C(journalctl --vacuum-size) removes: of each directory the oldest, until the archived ones fit."""
    chosen = []
    for directory in sorted({each.directory for each in files}):
        here = sorted(
            (each for each in files if each.directory == directory), key=lambda each: (each.moment, each.name)
        )
        total = sum(each.size_bytes for each in here)
        for each in here:
            if total <= most_bytes:
                break
            chosen.append(each)
            total -= each.size_bytes
    return chosen
