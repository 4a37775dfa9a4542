# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Proving a physical backup, level by level: bytes, PostgreSQL's own manifest, the WAL, a recovery really done."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.backup.errors import Damaged, Undecided
from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption, RunbookError
from ansible_collections.runbook.ops.plugins.module_utils.common.progress import Progress, Stopped
from ansible_collections.runbook.ops.plugins.module_utils.common.stopwatch import stopwatch
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.physical.archive import WalArchive
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.physical.inside import Inside
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.physical.reach import precise
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.physical.recover import (
    Moment,
    Recovered,
    Target,
    Unreached,
    WalMissing,
    prepare,
    recovered,
)
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.physical.subject import PhysicalBackup, Subject
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.physical.telling import failed, noted
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.physical.wal import parse_lsn
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.physical.wal_proof import WalProof
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.scratch.place import ScratchPlace
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.tools import (
    Installation,
    choose_installation,
    installations,
)
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.verify.findings import NOTED, Report
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.verify.levels import (
    BYTES,
    CONSISTENCY,
    DECODE,
    FRESH,
    LEVELS,
    RESTORE,
    SEMANTICS,
)
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.verify.request import Request

# What is found of the WAL behind a backup, and says nothing against the backup itself once it was recovered.
_BEHIND = ("wal_gap", "wal_invalid", "recovery_ended_early")
# Room for a cluster beside its size: what replaying writes.
_ROOM = 1.2


def choose_server(bin_directory: Optional[str], subject: Subject, program: str) -> Installation:
    """The host's programs of the cluster's own major version; raises RunbookError."""
    found = installations(bin_directory, program)
    return choose_installation(found, subject.version_num, program=program, exact=True)


@dataclass
class Proof:
    """One backup, level by level; C(run), then look at what it found.

    Args:
        request: What is asked of a backup.
        params: With the questions C(must_see) and C(must_not_see).
        backup: What is proven.
        archive: Its WAL; None looks at the end of the backup only.
        progress: Told of every step.

    """

    request: Request
    params: Mapping[str, Any]
    backup: PhysicalBackup
    archive: Optional[WalArchive]
    progress: Progress
    state: Optional[Recovered] = None
    inside: Optional[Inside] = None
    seconds: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.report = Report(self.request.level)
        self.subject = self.backup.subject
        self.wal: Optional[WalProof] = None
        if self.archive is not None:
            self.wal = WalProof(self.report, self.subject, self.archive)

    def run(self) -> None:
        """Go through the levels; only options that cannot work, and a wish to stop, are raised."""
        try:
            self._levels()
        except (Stopped, InvalidOption):
            raise
        except RunbookError as error:
            reached = {each["level"] for each in self.report.seen.levels}
            level = next((each for each in LEVELS if each not in reached), LEVELS[-1])
            code = str(error.details.get("code") or "unreadable")
            self.report.undecided(code, error.message, level=level, remedy="Read the message.")

    @property
    def is_restorable(self) -> bool:
        """Whether the backup can be brought to its own moment, whatever is wrong with the WAL behind that."""
        codes = {each.code for each in self.report.of_the_artefact().findings if each.outcome != NOTED}
        # Rows that are asked for may lie behind a gap.
        if codes and (codes.isdisjoint(_BEHIND) or not codes <= {*_BEHIND, "must_see"}):
            return False
        return self.state is not None if self.report.wants(RESTORE) else self.subject.carries_wal

    def _levels(self) -> None:
        report, place = self.report, self.request.scratch_directory
        self._fresh()
        if not report.wants(BYTES):
            return
        if not report.wants(DECODE):
            self._unpack(None, decode=False)
            return
        if self.wal is not None:
            with stopwatch(self.seconds, "wal"):
                dump = choose_server(self.request.bin_directory, self.subject, "pg_waldump")
                self.wal.run(dump, place, self.progress)
        else:
            report.leave_open("no wal_archive was named: only the backup's own end was looked at")
        if not report.wants(RESTORE):
            self._unpack(None)
            report.passed(DECODE, self._decoded)
            return
        installation = choose_server(self.request.bin_directory, self.subject, "initdb")
        with ScratchPlace(place) as scratch:
            scratch.require_bytes(int(self.subject.cluster_bytes * _ROOM), "The unpacked cluster")
            target = unpack_target(self.subject, scratch)
            if not self._unpack(target):
                return
            report.passed(DECODE, self._decoded)
            self._start(installation, scratch, target)

    def _fresh(self) -> None:
        report, limit, now = self.report, self.request.max_age, self.request.now
        age = int((now - self.subject.stopped_at).total_seconds())
        if limit is not None and age > limit:
            message = f"it was complete at {precise(self.subject.stopped_at)}, which is too long ago"
            failed(report, "stale", message, expected=f"{limit} s", found=f"{age} s")
        wanted = self.request.system_identifier
        if wanted and wanted != self.subject.system_identifier:
            found = self.subject.system_identifier
            failed(report, "identity_mismatch", f"it is of cluster {found}", expected=wanted, found=found)
        report.passed(FRESH, f"complete at {precise(self.subject.stopped_at)}")

    @property
    def _decoded(self) -> str:
        told = "everything could be read"
        if self.subject.files is not None:
            told = f"{self.subject.files} files as their list says"
        return f"{told}; {self.wal.facts.get('segments', 0)} WAL segments read" if self.wal is not None else told

    def _unpack(self, target: Optional[Target], *, decode: bool = True) -> bool:
        """One pass over the bytes; whether they are good."""
        with stopwatch(self.seconds, "read"):
            faults = self.backup.examine(self.progress, target, decode=decode)
        for fault in faults:
            if fault.is_noted:
                noted(self.report, fault.code, fault.detail, fault.object)
            else:
                failed(self.report, fault.code, fault.detail, fault.object, expected=fault.expected, found=fault.found)
        self.report.passed(BYTES, f"{self.subject.bytes} bytes")
        return all(each.is_noted for each in faults)

    def _start(self, installation: Installation, scratch: ScratchPlace, target: Target) -> None:
        """Recover the copy, ask it, look inside."""
        prepare(target, scratch)
        with contextlib.ExitStack() as stack:
            feed = stack.enter_context(self.backup.feed(scratch, target))
            segments = None if self.wal is None or self.wal.reach is None else len(self.wal.reach.chain.pieces)
            self.progress.phase("replay", self.subject.name, total=segments, unit="segments")
            try:
                with stopwatch(self.seconds, "replay"):
                    state = stack.enter_context(
                        recovered(
                            installation,
                            scratch,
                            target.data,
                            superuser=self.subject.superuser,
                            feed=feed,
                            moment=Moment(),
                            progress=self.progress,
                            preload=self.request.preload,
                        )
                    )
            except WalMissing as error:
                failed(self.report, "wal_gap", error.message, self.subject.name)
                return
            except (Unreached, Damaged) as error:
                failed(self.report, "restore_failed", error.message, self.subject.name)
                return
            except Undecided as error:
                self.report.error(error, "restore_error", level=RESTORE)
                return
            self.state = state
            self._judge_recovery(state)
            self.report.passed(RESTORE, f"recovered to {state.lsn} in {state.seconds:g} s; archive_mode is off")
            self.inside = Inside(self.report, state, self.request, self.params, self.progress)
            if self.report.wants(SEMANTICS):
                with stopwatch(self.seconds, "semantics"):
                    self.inside.content()
            if self.report.wants(CONSISTENCY):
                with stopwatch(self.seconds, "consistency"):
                    self.inside.pages(target.data, checksums=self.subject.checksums)

    def _judge_recovery(self, state: Recovered) -> None:
        if state.proof.get("archive_mode") != "off" or state.proof.get("listen_addresses"):
            failed(self.report, "archive_mode_on", f"the started copy is not private: {state.proof}")
        newest = None if self.wal is None or self.wal.reach is None else self.wal.reach.newest
        if newest is not None and (state.lsn is None or parse_lsn(state.lsn) < newest.lsn):
            failed(
                self.report,
                "recovery_ended_early",
                f"it replayed to {state.lsn}, and the archive holds a commit of {precise(newest.at)} behind that",
                self.subject.name,
            )


def told_state(state: Recovered) -> dict[str, Any]:
    """What a recovered server came to, for results."""
    return {
        "lsn": state.lsn,
        "last_commit_at": None if state.last_commit_at is None else precise(state.last_commit_at),
        "timeline": state.timeline,
        "seconds": state.seconds,
        "settings": dict(state.proof),
    }


def unpack_target(subject: Subject, scratch: ScratchPlace) -> Target:
    """Empty directories in a scratch place for a cluster and its tablespaces."""
    data = scratch.subdirectory("data")
    spaces = {each["oid"]: scratch.subdirectory(f"tablespace-{each['oid']}") for each in subject.tablespaces}
    return Target(data, spaces, scratch.account.ids)
