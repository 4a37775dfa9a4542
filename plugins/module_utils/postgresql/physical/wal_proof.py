# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The WAL behind a backup, proven: nothing missing, everything readable, and how far it leads."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.backup.errors import Damaged, Undecided
from ansible_collections.runbook.ops.plugins.module_utils.common.progress import Progress
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.physical.archive import WalArchive
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.physical.reach import Reach, look, precise, window
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.physical.reading import Reading
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.physical.subject import Subject
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.physical.telling import failed, undecided
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.physical.wal import show_lsn
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.tools import Installation
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.verify.findings import Report


@dataclass
class WalProof:
    """What is known of the WAL; C(reach) stays None where the archive could not be looked at."""

    report: Report
    subject: Subject
    archive: WalArchive
    reach: Optional[Reach] = None
    facts: dict[str, Any] = field(default_factory=dict)
    window: dict[str, Any] = field(default_factory=dict)

    def run(self, installation: Installation, place: Optional[Path], progress: Progress) -> None:
        """List, and read what can be replayed to its end."""
        self.window = window(self.subject, None)
        try:
            self.reach = reach = look(self.archive, self.subject, installation, place, progress)
            whole = reach.chain.whole
            reading = reach.reader.read(whole) if whole.pieces else Reading()
        except Damaged as error:
            failed(self.report, "wal_invalid", error.message)
            return
        except Undecided as error:
            undecided(self.report, str(error.details.get("code") or "wal_unreadable"), error.message)
            return
        pieces = reach.chain.pieces
        self.facts = {
            "archive": self.archive.location,
            "timeline": reach.chain.timeline,
            "segments": reading.segments,
            "first": pieces[0].name if pieces else None,
            "last": pieces[-1].name if pieces else None,
            "gaps": [{"first": each.first, "last": each.last, "count": each.count} for each in reach.chain.gaps],
        }
        self.window = window(self.subject, reading.last, whole.pieces[-1].name if whole.pieces else None)
        self._tell_gaps(reach)
        self._tell_bad(reach, reading)
        if not self.subject.carries_wal and not reach.chain.reaches(self.subject.stop_lsn):
            failed(
                self.report,
                "wal_gap",
                f"the archive does not reach the backup's own end at {show_lsn(self.subject.stop_lsn)}",
                self.subject.name,
            )

    def _tell_gaps(self, reach: Reach) -> None:
        since = self.subject.stopped_at if reach.newest is None else max(reach.newest.at, self.subject.stopped_at)
        for gap in reach.chain.gaps:
            lost = ""
            if reach.lost_until is not None and reach.lost_until.at > since:
                lost = f". Moments from {precise(since)} to {precise(reach.lost_until.at)} are lost"
            failed(
                self.report,
                "wal_gap",
                f"{gap} is missing in {self.archive.location}, and later segments are there{lost}",
                gap.first,
                expected=f"{reach.chain.pieces[0].name} to {reach.chain.pieces[-1].name}",
                found=str(gap),
            )

    def _tell_bad(self, reach: Reach, reading: Reading) -> None:
        if reading.problem is None:
            return
        since = self.subject.stopped_at if reading.last is None else max(reading.last.at, self.subject.stopped_at)
        lost = ""
        if reach.newest is not None and reach.newest.at > since:
            lost = f". Moments from {precise(since)} to {precise(reach.newest.at)} are lost"
        failed(
            self.report,
            "wal_invalid",
            f"{reading.segment} cannot be read to its end: {reading.problem}{lost}",
            reading.segment or "",
        )
