# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Proving a base backup: bytes, PostgreSQL's own manifest, the chain of WAL, a recovery that is really done."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.backup.depot import open_depot
from ansible_collections.runbook.ops.plugins.module_utils.backup.encryption import decryption_from
from ansible_collections.runbook.ops.plugins.module_utils.backup.errors import Damaged, Undecided
from ansible_collections.runbook.ops.plugins.module_utils.backup.naming import NamingRule, zone
from ansible_collections.runbook.ops.plugins.module_utils.backup.verdict import VERIFIED
from ansible_collections.runbook.ops.plugins.module_utils.common.clock import reference_moment
from ansible_collections.runbook.ops.plugins.module_utils.common.durations import parse_seconds
from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption, RunbookError
from ansible_collections.runbook.ops.plugins.module_utils.common.progress import Progress, Stopped
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.physical.archive import WalArchive, open_archive
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.physical.base_copy import BaseCopy
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.physical.consistency import look_inside
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.physical.found import named, newest
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.physical.questions import (
    Answer,
    ask,
    check_questions,
)
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.physical.reach import Reach, look, precise, window
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
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.physical.telling import failed, noted, undecided
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.physical.wal import parse_lsn, show_lsn
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.scratch.place import ScratchPlace
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.tools import (
    Installation,
    choose_installation,
    installations,
)
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.verify.findings import Report
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.verify.levels import (
    BYTES,
    CONSISTENCY,
    DECODE,
    FRESH,
    RESTORE,
    SEMANTICS,
)

# Room for a cluster beside its size: what replaying writes.
_ROOM = 1.2


def verify_base_backup(params: Mapping[str, Any]) -> dict[str, Any]:
    """The module's result without C(changed); raises RunbookError, also for a bad backup when the task shall fail."""
    check_questions(params)
    pattern = params.get("name_pattern") or None
    rule = NamingRule(pattern, zone(params["timezone"])) if pattern else None
    if not params.get("name") and rule is None:
        raise InvalidOption("name_pattern", "", "the naming rule of the repository, unless name is given")
    decryption = decryption_from(params)
    depot, archive = open_depot(params), open_archive(params, decryption)
    progress = Progress(params.get("progress_path"))
    with progress.stoppable():
        found = named(depot, params["name"]) if params.get("name") else newest(depot, rule)
        if found is None:
            raise RunbookError(
                f"{depot.location} holds no base backup named like {pattern}. Look at the job that writes them, or "
                "take one with runbook.ops.postgresql_backup (method=basebackup)."
            )
        backup = BaseCopy(depot, found, archive, decryption)
        return judged(Proof(params, backup, archive, progress).run(), params)


def judged(result: dict[str, Any], params: Mapping[str, Any]) -> dict[str, Any]:
    """The result, or RunbookError for a backup that is not verified when the task shall fail."""
    if result["verdict"] != VERIFIED and params.get("on_failure", "fail") == "fail":
        raise RunbookError(f"{result['backup']} is not verified ({result['verdict']}): {result['reason']}.", **result)
    return result


def choose_server(params: Mapping[str, Any], subject: Subject, program: str) -> Installation:
    """The host's programs of the cluster's own major version; raises RunbookError."""
    found = installations(params.get("bin_directory"), program)
    return choose_installation(found, subject.version_num, program=program, exact=True)


@dataclass
class Proof:
    """One backup, level by level; C(run) gives the result.

    Args:
        params: The module's options.
        backup: What is proven.
        archive: Its WAL; None looks at the end of the backup only.
        progress: Told of every step.

    """

    params: Mapping[str, Any]
    backup: PhysicalBackup
    archive: Optional[WalArchive]
    progress: Progress
    reach: Optional[Reach] = None
    state: Optional[Recovered] = None
    answers: list[Answer] = field(default_factory=list)
    wal: dict[str, Any] = field(default_factory=dict)
    window: dict[str, Any] = field(default_factory=dict)

    def run(self) -> dict[str, Any]:
        """Go through the levels; only options that cannot work and a wish to stop are raised."""
        self.report = Report(self.params["level"])
        self.subject = self.backup.subject
        self.window = window(self.subject, None)
        try:
            self._levels()
        except (Stopped, InvalidOption):
            raise
        except RunbookError as error:
            reached = {each["level"] for each in self.report.seen.levels}
            order = self.report.seen.order
            level = next((each for each in order if each not in reached), order[-1])
            self.report.undecided(
                str(error.details.get("code") or "unreadable"), error.message, level=level, remedy="Read the message."
            )
        return self._result()

    def _levels(self) -> None:
        report = self.report
        self._fresh()
        if not report.wants(BYTES):
            return
        if not report.wants(DECODE):
            self._unpack(None, decode=False)
            return
        if self.archive is not None:
            self._wal()
        else:
            report.leave_open("no wal_archive was named: only the backup's own end was looked at")
        if not report.wants(RESTORE):
            self._unpack(None)
            report.passed(DECODE, self._decoded)
            return
        place = self.params.get("scratch_directory") or None
        with ScratchPlace(Path(place) if place else None) as scratch:
            scratch.require_bytes(int(self.subject.cluster_bytes * _ROOM), "The unpacked cluster")
            target = unpack_target(self.subject, scratch)
            if not self._unpack(target):
                return
            report.passed(DECODE, self._decoded)
            self._start(scratch, target)

    def _fresh(self) -> None:
        report = self.report
        limit = self.params.get("max_age")
        if limit:
            now = reference_moment(self.params.get("reference_time"))
            age = int((now - self.subject.stopped_at).total_seconds())
            if age > parse_seconds(limit, "max_age"):
                failed(
                    report,
                    "stale",
                    f"it was complete at {precise(self.subject.stopped_at)}, {age} s ago",
                    self.subject.name,
                    expected=limit,
                    found=f"{age} s",
                )
        wanted = (self.params.get("identity") or {}).get("system_identifier")
        if wanted and wanted != self.subject.system_identifier:
            failed(
                report,
                "identity_mismatch",
                "it is of another cluster",
                self.subject.name,
                expected=wanted,
                found=self.subject.system_identifier,
            )
        report.passed(FRESH, f"complete at {precise(self.subject.stopped_at)}")

    @property
    def _decoded(self) -> str:
        told = "everything could be read"
        if self.subject.files is not None:
            told = f"{self.subject.files} files as their list says"
        return f"{told}; {self.wal['segments']} WAL segments read" if self.wal else told

    def _unpack(self, target: Optional[Target], *, decode: bool = True) -> bool:
        """One pass over the bytes; whether they are good."""
        faults = self.backup.examine(self.progress, target, decode=decode)
        for fault in faults:
            if fault.is_noted:
                noted(self.report, fault.code, fault.detail, fault.object)
            else:
                failed(self.report, fault.code, fault.detail, fault.object, expected=fault.expected, found=fault.found)
        self.report.passed(BYTES, f"{self.subject.bytes} bytes")
        return all(each.is_noted for each in faults)

    def _wal(self) -> None:
        """The chain in the archive: whole, and readable to its end."""
        archive = self.archive
        if archive is None:
            return
        installation = choose_server(self.params, self.subject, "pg_waldump")
        place = self.params.get("scratch_directory") or None
        try:
            self.reach = reach = look(
                archive, self.subject, installation, Path(place) if place else None, self.progress
            )
            whole = reach.chain.whole
            reading = reach.reader.read(whole) if whole.pieces else None
        except Damaged as error:
            failed(self.report, "wal_invalid", error.message)
            return
        except Undecided as error:
            undecided(self.report, "wal_unreadable", error.message)
            return
        self.wal = {
            "archive": archive.location,
            "timeline": reach.chain.timeline,
            "segments": reading.segments if reading else 0,
            "first": reach.chain.pieces[0].name if reach.chain.pieces else None,
            "last": reach.chain.pieces[-1].name if reach.chain.pieces else None,
            "gaps": [{"first": each.first, "last": each.last, "count": each.count} for each in reach.chain.gaps],
        }
        self._tell_gaps(reach)
        last = reading.last if reading else None
        if reading is not None and reading.problem is not None:
            behind = "" if reach.newest is None else f" The window up to {precise(reach.newest.at)} is lost from there."
            failed(
                self.report,
                "wal_invalid",
                f"{reading.segment} cannot be read to its end: {reading.problem}.{behind}",
                reading.segment or "",
            )
        self.window = window(self.subject, last, whole.pieces[-1].name if whole.pieces else None)
        if not self.subject.carries_wal and not reach.chain.reaches(self.subject.stop_lsn):
            failed(
                self.report,
                "wal_gap",
                f"the archive does not reach the backup's own end at {show_lsn(self.subject.stop_lsn)}",
                self.subject.name,
            )

    def _tell_gaps(self, reach: Reach) -> None:
        for gap in reach.chain.gaps:
            since = self.subject.stopped_at if reach.newest is None else max(reach.newest.at, self.subject.stopped_at)
            lost = ""
            if reach.lost_until is not None and reach.lost_until.at > since:
                lost = f". Moments from {precise(since)} to {precise(reach.lost_until.at)} are lost"
            failed(
                self.report,
                "wal_gap",
                f"{gap} is missing in {reach.archive.location}, and later segments are there{lost}",
                gap.first,
                expected=f"{reach.chain.pieces[0].name} to {reach.chain.pieces[-1].name}",
                found=str(gap),
            )

    def _start(self, scratch: ScratchPlace, target: Target) -> None:
        """Recover the copy, ask it, look inside."""
        report, installation = self.report, choose_server(self.params, self.subject, "initdb")
        prepare(target, scratch)
        with contextlib.ExitStack() as stack:
            command, problem = stack.enter_context(self.backup.feed(scratch, target))
            self.progress.phase("replay", self.subject.name)
            try:
                state = stack.enter_context(
                    recovered(
                        installation,
                        scratch,
                        target.data,
                        superuser=self.subject.superuser,
                        command=command,
                        moment=Moment(),
                        progress=self.progress,
                        problem=problem,
                    )
                )
            except WalMissing as error:
                failed(report, "wal_gap", error.message, self.subject.name)
                return
            except (Unreached, Damaged) as error:
                failed(report, "restore_failed", error.message, self.subject.name)
                return
            except Undecided as error:
                report.error(error, "restore_error", level=RESTORE)
                return
            self.state = state
            self._judge_recovery(state)
            report.passed(RESTORE, f"recovered to {state.lsn} in {state.seconds:g} s, archive_mode is off")
            if report.wants(SEMANTICS):
                self._semantics(state)
            if report.wants(CONSISTENCY):
                look_inside(report, state, self.params, target.data, self.progress, checksums=self.subject.checksums)

    def _judge_recovery(self, state: Recovered) -> None:
        if state.proof.get("archive_mode") != "off" or state.proof.get("listen_addresses"):
            failed(self.report, "archive_mode_on", f"the started copy is not private: {state.proof}")
        newest_commit = None if self.reach is None else self.reach.newest
        if newest_commit is not None and (state.lsn is None or parse_lsn(state.lsn) < newest_commit.lsn):
            failed(
                self.report,
                "recovery_ended_early",
                f"it replayed to {state.lsn}, and the archive holds a commit of {precise(newest_commit.at)} behind that",
                self.subject.name,
            )

    def _semantics(self, state: Recovered) -> None:
        self.answers = ask(state, self.params)
        for answer in self.answers:
            if answer.rows is None:
                undecided(self.report, "question_error", answer.problem, answer.db)
            elif not answer.holds:
                failed(self.report, answer.kind, answer.problem, answer.db)
        if self.answers:
            self.report.passed(SEMANTICS, f"{len(self.answers)} questions answered as they should be")
        else:
            self.report.leave_open("nothing says what the cluster must hold: name must_see, or assertions")
            noted(
                self.report, "must_see", "No must_see was named: that it starts is all that was proven of its content"
            )
            self.report.skipped(SEMANTICS, "no questions were given")

    def _result(self) -> dict[str, Any]:
        report, state = self.report, self.state
        seen = report.seen.as_dict()
        return {
            **seen,
            "verdict": report.verdict,
            "level": report.level,
            "reason": report.reason,
            "findings": report.told(),
            "unproven": report.unproven,
            "backup": self.subject.address,
            "name": self.subject.name,
            "method": self.subject.method,
            "taken_at": precise(self.subject.stopped_at),
            "bytes": self.subject.bytes,
            "window": self.window,
            "wal": self.wal,
            "recovered": None if state is None else told_state(state),
            "answers": [each.as_dict() for each in self.answers],
        }


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
