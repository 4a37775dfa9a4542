# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From the options of postgresql_backup_verify to its result: which artefacts, what is new of them, how they are."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping, Sequence
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.backup.depot import Depot, open_depot
from ansible_collections.runbook.ops.plugins.module_utils.backup.errors import Undecided
from ansible_collections.runbook.ops.plugins.module_utils.backup.record import Record, record_name
from ansible_collections.runbook.ops.plugins.module_utils.backup.verdict import VERIFIED
from ansible_collections.runbook.ops.plugins.module_utils.common.clock import iso, parse_moment
from ansible_collections.runbook.ops.plugins.module_utils.common.errors import RunbookError
from ansible_collections.runbook.ops.plugins.module_utils.common.progress import Progress
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.verify.choose import Chosen, choose
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.verify.findings import Report
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.verify.known import (
    levels_again,
    read_again,
    why_anew,
)
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.verify.proof import Previous, Proof
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.verify.prove import prove
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.verify.remember import (
    record_of,
    sampled_record,
    shown,
)
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.verify.request import (
    AUTO,
    OPTIONAL,
    REQUIRED,
    Request,
    request_from,
)
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.verify.roles import check_globals
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.verify.staging import Staging, check_staging
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.verify.subject import Subject, load_subject
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.verify.telling import artefact_facts, whole_result

# How far back a verified backup is looked for to compare with.
_LOOK_BACK = 30


def verify_backups(params: Mapping[str, Any], *, check_mode: bool) -> dict[str, Any]:
    """The module's result.

    Raises:
        RunbookError: also for a backup that is not verified when the task shall fail; the result travels along.

    """
    request = request_from(params)
    progress = Progress(params["progress_path"])
    with progress.stoppable():
        result = _Run(params, request, progress).run(check_mode=check_mode)
    if not check_mode and result["verdict"] != VERIFIED and params["on_failure"] == "fail":
        raise RunbookError(_sentence(result), **result)
    return result


def _sentence(result: Mapping[str, Any]) -> str:
    bad = [each for each in result["artefacts"] if each["verdict"] == result["verdict"]]
    if not bad:
        return f"No backup is verified ({result['verdict']}): {result['reason']}."
    more = f" And {len(bad) - 1} more." if len(bad) > 1 else ""
    return f"{bad[0]['address']} is not verified ({bad[0]['verdict']}): {bad[0]['reason']}.{more}"


class _Run:
    def __init__(self, params: Mapping[str, Any], request: Request, progress: Progress) -> None:
        self.request = request
        self.params = params
        self.progress = progress
        self.depot: Depot = open_depot(params)
        self.records: Depot = self.depot
        if request.record_repository:
            self.records = open_depot({**params, "repository": request.record_repository})
        self._earlier: dict[str, Subject] = {}

    def run(self, *, check_mode: bool) -> dict[str, Any]:
        began = time.monotonic()
        self.progress.phase("look", self.depot.location)
        chosen = choose(self.params, self.request)
        names = [*chosen.names, *(each.name for each in chosen.deleted if each.name not in chosen.names)]
        subjects = [load_subject(self.depot, self.records, name) for name in names]
        check_staging(self.request, _identifiers(subjects))
        reasons = {each.name: why_anew(each, self.request) for each in subjects}
        actions = [self._action(each, reasons[each.name]) for each in subjects]
        before = {each.name: shown(each.record) for each in subjects}
        if check_mode:
            changed = any(reasons[each.name] is not None for each in subjects) and self.request.record
            return whole_result(
                location=self.depot.location,
                request=self.request,
                changed=changed,
                actions=actions,
                before=before,
                after=None,
                chosen=chosen,
                artefacts=[],
                seconds=time.monotonic() - began,
            )
        done: list[dict[str, Any]] = []
        changed = False
        with contextlib.ExitStack() as stack:
            staging = None
            if self.request.staging is not None and any(reasons.values()):
                staging = stack.enter_context(Staging(self.request))
            # The oldest first: each is what the next one is compared with.
            for position in range(len(subjects) - 1, -1, -1):
                subject = subjects[position]
                previous = self._previous(subjects[position + 1 :], chosen.earlier)
                if reasons[subject.name] is None:
                    entry, written = self._look_again(subject)
                else:
                    entry, written = self._prove(subject, previous, chosen, staging)
                done.insert(0, entry)
                changed = changed or written
        after = {each.name: shown(each.record) for each in subjects}
        return whole_result(
            location=self.depot.location,
            request=self.request,
            changed=changed,
            actions=actions,
            before=before,
            after=after,
            chosen=chosen,
            artefacts=done,
            seconds=time.monotonic() - began,
        )

    def _action(self, subject: Subject, reason: Optional[str]) -> dict[str, Any]:
        if reason is None:
            verified_at = subject.record.verified_at if subject.record else None
            return {
                "action": "sample" if self.request.resample else "look",
                "object": subject.address,
                "reason": f"unchanged since it was verified at {verified_at}",
            }
        return {"action": "verify", "object": subject.address, "level": self.request.level, "reason": reason}

    def _previous(self, older: Sequence[Subject], earlier: Sequence[str]) -> Optional[Previous]:
        """The newest verified backup before one."""
        for subject in older:
            if found := _as_previous(subject):
                return found
        for name in earlier[:_LOOK_BACK]:
            if name not in self._earlier:
                self._earlier[name] = load_subject(self.depot, self.records, name)
            if found := _as_previous(self._earlier[name]):
                return found
        return None

    # --- one artefact
    def _prove(
        self, subject: Subject, previous: Optional[Previous], chosen: Chosen, staging: Optional[Staging]
    ) -> tuple[dict[str, Any], bool]:
        began = time.monotonic()
        manifest = self.request.manifest
        if manifest == AUTO:
            manifest = REQUIRED if chosen.writes_manifests else OPTIONAL
        proof = Proof(subject, self.request, self.progress, manifest=manifest, previous=previous, staging=staging)
        prove(proof)
        seconds = {**proof.seconds, "total": round(time.monotonic() - began, 3)}
        record = record_of(proof, self.request, seconds["total"])
        written = record is not None and self._write(subject, record, proof.report)
        entry = self._facts(subject, proof.report)
        entry |= {
            "taken_at": iso(proof.taken_at) if proof.taken_at else None,
            "age_seconds": self._age(proof.taken_at),
            "sha256": proof.sha256,
            "kind": proof.kind,
            "seconds": seconds,
            "read": {"bytes": proof.read_bytes, "content_bytes": proof.content_bytes},
            "target": proof.target,
            "tables": None if proof.found is None else len(proof.found.tables),
            "rows": None if proof.found is None else proof.found.row_count,
        }
        return entry, written

    def _look_again(self, subject: Subject) -> tuple[dict[str, Any], bool]:
        """An artefact that is unchanged since it was verified."""
        began = time.monotonic()
        record = subject.record
        report = Report(self.request.level)
        taken_at = None
        count, written = 0, False
        if record is not None:
            taken_at = parse_moment(record.content_at) if record.content_at else None
            self._check_age(report, taken_at)
            try:
                check_globals(subject, report)
                levels_again(report, record)
                again, count = read_again(subject, record, self.request.resample, report, self.progress)
                kept = sampled_record(record, again, report)
                if kept is not record:
                    written = self._write(subject, kept, report) and not kept.is_verified
            except Undecided as error:
                report.error(error, "unreadable")
        entry = self._facts(subject, report)
        entry |= {
            "taken_at": iso(taken_at) if taken_at else None,
            "age_seconds": self._age(taken_at),
            "sha256": record.sha256 if record else None,
            "is_unchanged": True,
            "seconds": {"total": round(time.monotonic() - began, 3)},
            "read": {"bytes": count, "content_bytes": 0},
        }
        return entry, written

    def _check_age(self, report: Report, taken_at: Any) -> None:
        if self.request.max_age is None:
            return
        age = self._age(taken_at)
        if age is None:
            report.undecided("stale", "nothing in it says when it was taken")
        elif age > self.request.max_age:
            report.failed("stale", f"it was taken at {iso(taken_at)}, which is too long ago", found=iso(taken_at))

    def _age(self, moment: Any) -> Optional[int]:
        return None if moment is None else int((self.request.now - moment).total_seconds())

    def _write(self, subject: Subject, record: Record, report: Report) -> bool:
        """Keep a record; a place that does not take it is no fault of the backup."""
        subject.record = record
        if not self.request.record:
            return False
        try:
            self.records.put(record_name(subject.name), record.as_bytes())
        except RunbookError as error:
            report.seen.notes.append(f"The record could not be kept: {error.message}")
            return False
        return True

    def _facts(self, subject: Subject, report: Report) -> dict[str, Any]:
        address = self.records.address(record_name(subject.name)) if self.request.record else None
        return artefact_facts(subject, report, self.request.level, address)


def _as_previous(subject: Subject) -> Optional[Previous]:
    record = subject.record
    if record is None or not record.is_verified or not subject.is_current:
        return None
    return Previous(subject.name, subject.known_census(), record.sha256)


def _identifiers(subjects: Sequence[Subject]) -> dict[str, str]:
    """The system identifiers of the servers that manifests are of, by artefact."""
    return {
        each.name: str(each.census.server["system_identifier"])
        for each in subjects
        if each.census is not None and each.census.server.get("system_identifier")
    }
