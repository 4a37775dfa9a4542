# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A base backup of a repository as something to prove and to restore."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Optional

from ansible_collections.runbook.ops.plugins.module_utils.backup.depot import Depot
from ansible_collections.runbook.ops.plugins.module_utils.backup.encryption import Decryption
from ansible_collections.runbook.ops.plugins.module_utils.common.progress import Progress
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.physical.archive import WalArchive
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.physical.feeder import Feeder
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.physical.found import Found
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.physical.recover import Feed, Target
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.physical.subject import Fault, Subject
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.physical.unpack import Unpacking
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.physical.wal import parse_lsn
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.scratch.place import ScratchPlace


class BaseCopy:
    """One base backup, the keys that open it, and the archive behind it."""

    def __init__(
        self, depot: Depot, found: Found, archive: Optional[WalArchive], decryption: Optional[Decryption]
    ) -> None:
        self._depot = depot
        self._found = found
        self._archive = archive
        self._decryption = decryption
        self.subject = subject_of(depot, found)

    def examine(self, progress: Progress, target: Optional[Target], *, decode: bool = True) -> list[Fault]:
        """One pass over its files; see C(Unpacking)."""
        return Unpacking(self._depot, self._found, self._decryption, progress, target).run(decode=decode)

    @contextlib.contextmanager
    def feed(self, place: ScratchPlace, target: Target) -> Iterator[Feed]:  # noqa: ARG002 - a base backup needs no path
        """From the archive, by this process."""
        names = None
        if self._archive is not None:
            names = self._archive.names()
        with Feeder(place, self._archive, names) as feeder:
            yield Feed(feeder.command, lambda: feeder.problem, lambda: feeder.segments)


def subject_of(depot: Depot, found: Found) -> Subject:
    """What the manifest says of it."""
    manifest, physical = found.manifest, dict(found.manifest.physical or {})
    return Subject(
        name=found.name,
        address=depot.address(found.name),
        method=manifest.method,
        stopped_at=found.stopped_at,
        bytes=manifest.bytes,
        version_num=physical["server_version_num"],
        timeline=physical["timeline"],
        start_lsn=parse_lsn(physical["start_lsn"]),
        stop_lsn=parse_lsn(physical["stop_lsn"]),
        superuser=physical["superuser"],
        cluster_bytes=physical["cluster_bytes"],
        files=physical["files"],
        checksums=physical["checksums"],
        system_identifier=physical["system_identifier"],
        tablespaces=physical["tablespaces"],
        carries_wal=physical["wal_method"] != "none",
        fingerprint=manifest.sha256,
    )
