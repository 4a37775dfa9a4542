# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A base backup and the WAL behind it: what can be reached, and what is in the way."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.backup.errors import Undecided
from ansible_collections.runbook.ops.plugins.module_utils.common.progress import Progress
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.physical.archive import WalArchive
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.physical.reading import Commit, WalReader
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.physical.subject import Subject
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.physical.wal import Chain, Names
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.tools import Installation


@dataclass(frozen=True)
class Reach:
    """How far a backup can be brought with an archive.

    Args:
        archive: The archive.
        names: What it holds.
        chain: Everything from the backup's start on, gaps included.
        reader: Reads it.
        newest: The last end of a transaction before the first gap; None when there is none.
        lost_until: The last one behind the gaps, which cannot be reached any more; None without gaps.

    """

    archive: WalArchive
    names: Names
    chain: Chain
    reader: WalReader
    newest: Optional[Commit]
    lost_until: Optional[Commit]


def look(
    archive: WalArchive,
    subject: Subject,
    installation: Installation,
    place: Optional[Path],
    progress: Progress,
    timeline: str = "latest",
) -> Reach:
    """List an archive and see how far it goes; raises Undecided, Damaged, InvalidOption."""
    names = archive.names()
    if names.system_identifier != subject.system_identifier:
        raise Undecided(
            f"{archive.location} holds the WAL of another cluster ({names.system_identifier}) than the backup is of "
            f"({subject.system_identifier}). Name the right wal_archive",
            code="identity_mismatch",
        )
    chain = archive.chain(names, subject.start_lsn, subject.timeline, timeline)
    reader = WalReader(archive, names, installation, place, progress)
    progress.phase("window", archive.location)
    newest = reader.newest(chain.whole)
    lost = None
    if chain.gaps:
        behind = Chain(chain.size, chain.start, chain.timeline, tuple(each for each in chain.pieces if each.is_there))
        lost = reader.newest(behind)
    return Reach(archive, names, chain, reader, newest, lost)


def window(subject: Subject, newest: Optional[Commit], wal_end: Optional[str] = None) -> dict[str, Any]:
    """What can be reached, for results: from the end of the backup to the last commit in the WAL."""
    until = None if newest is None else max(newest.at, subject.stopped_at)
    return {
        "from": precise(subject.stopped_at),
        "until": None if until is None else precise(until),
        "last_segment": wal_end,
    }


def precise(moment: dt.datetime) -> str:
    """A moment with microseconds, as commits have them, in UTC."""
    return moment.astimezone(dt.timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
