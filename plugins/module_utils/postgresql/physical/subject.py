# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What proving and restoring need of a physical backup, whoever took it."""

from __future__ import annotations

import contextlib
import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Optional, Protocol

from ansible_collections.runbook.ops.plugins.module_utils.common.progress import Progress
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.physical.recover import Feed, Target
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.scratch.place import ScratchPlace


@dataclass(frozen=True)
class Subject:
    """A backup of a whole cluster.

    Args:
        name: Its name in its repository.
        address: Where it is, for people.
        method: C(basebackup) or C(pgbackrest).
        stopped_at: The earliest moment that it can be brought to.
        bytes: What it takes in its repository.
        version_num: Of the server, as it counts itself; of pgBackRest's backups only the major is known.
        timeline: Where it was taken.
        start_lsn: Where replaying begins.
        stop_lsn: Where it is consistent.
        superuser: The cluster's.
        cluster_bytes: The size of what is unpacked.
        files: How many.
        checksums: Whether pages have checksums; None when that is not known.
        system_identifier: The cluster's.
        tablespaces: Each with C(oid), C(name) and C(location).
        carries_wal: Whether it can be consistent without an archive.
        fingerprint: Changes with its content.

    """

    name: str
    address: str
    method: str
    stopped_at: dt.datetime
    bytes: int
    version_num: int
    timeline: int
    start_lsn: int
    stop_lsn: int
    superuser: str
    cluster_bytes: int
    files: Optional[int]
    checksums: Optional[bool]
    system_identifier: str
    tablespaces: Sequence[Mapping[str, Any]]
    carries_wal: bool
    fingerprint: str

    @property
    def major(self) -> int:
        """The server's major version."""
        return self.version_num // 10000


@dataclass(frozen=True)
class Fault:
    """Something that is wrong with a backup's bytes; C(is_noted) for what does not change the verdict."""

    code: str
    object: str
    detail: str
    expected: Any = None
    found: Any = None
    is_noted: bool = False


class PhysicalBackup(Protocol):
    """A backup that can be read, unpacked and replayed."""

    subject: Subject

    def examine(self, progress: Progress, target: Optional[Target], *, decode: bool = True) -> list[Fault]:
        """Read all of it, and unpack it if there is a target: what is wrong with it.

        Raises:
            Undecided: it cannot be read, or there is no key.

        """

    def feed(self, place: ScratchPlace, target: Target) -> contextlib.AbstractContextManager[Feed]:
        """WAL for a server that recovers, for as long as the block runs."""
