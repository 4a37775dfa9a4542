# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From the options of postgresql_backup_verify to its result, for physical backups."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.backup.depot import Depot, open_depot
from ansible_collections.runbook.ops.plugins.module_utils.backup.encryption import decryption_from
from ansible_collections.runbook.ops.plugins.module_utils.backup.record import Record, record_name
from ansible_collections.runbook.ops.plugins.module_utils.backup.verdict import ERROR, FAILED, VERIFIED
from ansible_collections.runbook.ops.plugins.module_utils.common.clock import iso, utc_now
from ansible_collections.runbook.ops.plugins.module_utils.common.errors import RunbookError
from ansible_collections.runbook.ops.plugins.module_utils.common.outcome import outcome
from ansible_collections.runbook.ops.plugins.module_utils.common.progress import Progress
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.physical.archive import open_archive
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.physical.base_copy import BaseCopy
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.physical.fingerprints import asked_in, held_by
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.physical.found import every, named
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.physical.prove import Proof, told_state
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.physical.questions import check_questions
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.physical.reach import precise, window
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.physical.subject import PhysicalBackup
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.verify.findings import Report
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.verify.known import levels_again, why_anew
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.verify.levels import LEVELS, reaches
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.verify.request import Request, request_from
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.verify.subject import Subject, load_subject

_WORST_FIRST = (FAILED, ERROR, VERIFIED)
# Under this name a record keeps what the archive held and what was asked, beside the fingerprints by level.
_WAL, _QUESTIONS = "wal", "questions"


@dataclass
class Entry:
    """One backup in the result: its name and address, how it was before, what is to be done, and what came of it."""

    name: str
    address: str
    reason: Optional[str]
    before: Optional[Record] = None
    after: Optional[Record] = None
    written: bool = False

    def action(self, level: str) -> dict[str, Any]:
        """For C(actions)."""
        if self.reason is None:
            since = self.before.verified_at if self.before else None
            return {"action": "look", "object": self.address, "reason": f"unchanged since it was verified at {since}"}
        return {"action": "verify", "object": self.address, "level": level, "reason": self.reason}


def verify_base_backup(params: Mapping[str, Any], *, check_mode: bool) -> dict[str, Any]:
    """The module's result; raises RunbookError, also for a bad backup when the task shall fail."""
    check_questions(params)
    request = request_from(params)
    decryption = decryption_from(params)
    depot, archive = open_depot(params), open_archive(params, decryption)
    records = depot
    if request.record_repository:
        records = open_depot({**params, "repository": request.record_repository})
    progress = Progress(params["progress_path"])
    with progress.stoppable():
        began = time.monotonic()
        progress.phase("look", depot.location)
        found = [named(depot, request.name)] if request.name else every(depot, request.rule)[::-1][: request.count]
        subjects = [load_subject(depot, records, each.name) for each in found]
        held = held_by(archive)
        entries = [
            Entry(each.name, each.address, _why_anew(each, request, params, held), each.record) for each in subjects
        ]
        artefacts: list[dict[str, Any]] = []
        for each, subject, entry in [] if check_mode else list(zip(found, subjects, entries)):
            backup = BaseCopy(depot, each, archive, decryption)
            if entry.reason is None and subject.record is not None:
                entry.after = subject.record
                artefacts.append(_unchanged(backup, request, subject.record, records))
                continue
            proof = Proof(request, params, backup, archive, progress)
            proof.run()
            demands = {**request.demands, _WAL: held, _QUESTIONS: asked_in(params)}
            record = _record_of(proof, subject, demands)
            entry.after = record or subject.record
            entry.written = record is not None and _write(records, record, request, proof.report)
            artefacts.append(artefact_of(proof, entry, records.address(record_name(each.name))))
        result = result_of(
            request,
            depot.location,
            entries,
            artefacts,
            time.monotonic() - began,
            check_mode=check_mode,
            records=request.record,
        )
    return judged(result, params, check_mode=check_mode)


def judged(result: dict[str, Any], params: Mapping[str, Any], *, check_mode: bool) -> dict[str, Any]:
    """The result, or RunbookError for a backup that is not verified when the task shall fail."""
    if not check_mode and result["verdict"] != VERIFIED and params["on_failure"] == "fail":
        bad = next((each for each in result["artefacts"] if each["verdict"] == result["verdict"]), None)
        what = result["repository"] if bad is None else bad["address"]
        raise RunbookError(f"{what} is not verified ({result['verdict']}): {result['reason']}.", **result)
    return result


def artefact_of(proof: Proof, entry: Entry, record: Optional[str]) -> dict[str, Any]:
    """What became of one backup, as M(postgresql_backup_verify) tells it."""
    report, inside = proof.report, proof.inside
    told = _told(proof.backup, proof.request, report)
    wal = proof.wal
    return {
        **told,
        "is_restorable": proof.is_restorable,
        "verified_at": entry.after.verified_at if entry.after is not None and entry.after.is_verified else None,
        "record": record,
        "seconds": proof.seconds,
        "read": {"bytes": proof.subject.bytes if "read" in proof.seconds else 0, "content_bytes": 0},
        "target": None if inside is None else inside.told_target(),
        "tables": None if inside is None or inside.census is None else len(inside.census.tables),
        "rows": None if inside is None or inside.census is None else inside.census.row_count,
        "window": wal.window if wal is not None and wal.window else told["window"],
        "wal": None if wal is None else wal.facts,
        "recovered": None if proof.state is None else told_state(proof.state),
        "answers": [] if inside is None else [each.as_dict() for each in inside.answers],
    }


def result_of(
    request: Request,
    location: str,
    entries: Sequence[Entry],
    artefacts: list[dict[str, Any]],
    seconds: float,
    *,
    check_mode: bool,
    records: bool,
) -> dict[str, Any]:
    """The module's result over all backups."""
    whole = Report(request.level)
    if not entries:
        pattern = request.name or (request.rule.pattern if request.rule else "")
        whole.failed("no_artefact", f"there is no base backup {pattern} in {location}", object_=pattern)
    findings = [
        *whole.told(),
        *({**each, "artefact": one["name"]} for one in artefacts for each in one["findings"]),
    ]
    verdicts = [one["verdict"] for one in artefacts] + ([] if whole.is_good else [whole.verdict])
    verdict = next((each for each in _WORST_FIRST if each in verdicts), None)
    worst = next((one for one in artefacts if one["verdict"] == verdict), None)
    levels = [one["level"] for one in artefacts]
    before = {each.name: _shown(each.before) for each in entries}
    after = None if check_mode else {each.name: _shown(each.after) for each in entries}
    changed = any(each.reason is not None for each in entries) and records if check_mode else None
    return outcome(
        changed=any(each.written for each in entries) if changed is None else changed,
        actions=[each.action(request.level) for each in entries],
        before=before,
        after=after,
        diff={"before": before, "after": before if after is None else after},
        repository=location,
        verdict=verdict,
        level=min(levels, key=LEVELS.index) if levels and None not in levels else None,
        wanted_level=request.level,
        reason=whole.reason if not whole.is_good else worst["reason"] if worst else None,
        findings=findings,
        artefacts=artefacts,
        seconds=round(seconds, 3),
        bytes_read=sum(one["read"]["bytes"] for one in artefacts),
    )


def _told(backup: PhysicalBackup, request: Request, report: Report) -> dict[str, Any]:
    subject = backup.subject
    return {
        "name": subject.name,
        "address": subject.address,
        "method": subject.method,
        "verdict": report.verdict,
        "level": report.level,
        "wanted_level": request.level,
        "reason": report.reason,
        "findings": report.told(),
        "unproven": report.unproven,
        "levels": report.told_levels(),
        "notes": report.seen.notes,
        "taken_at": precise(subject.stopped_at),
        "age_seconds": int((request.now - subject.stopped_at).total_seconds()),
        "bytes": subject.bytes,
        "sha256": subject.fingerprint,
        "version_id": None,
        "has_manifest": True,
        "kind": "cluster",
        "is_unchanged": False,
        "is_restorable": True,
        "verified_at": None,
        "record": None,
        "seconds": {},
        "read": {"bytes": 0, "content_bytes": 0},
        "target": None,
        "tables": None,
        "rows": None,
        "window": window(subject, None),
        "wal": None,
        "recovered": None,
        "answers": [],
    }


def _unchanged(backup: PhysicalBackup, request: Request, record: Record, records: Depot) -> dict[str, Any]:
    """A backup that, with its archive, is as it was when it was verified."""
    report = Report(request.level)
    age = int((request.now - backup.subject.stopped_at).total_seconds())
    if request.max_age is not None and age > request.max_age:
        report.failed("stale", f"it was complete at {precise(backup.subject.stopped_at)}, which is too long ago")
    levels_again(report, record)
    return {
        **_told(backup, request, report),
        "is_unchanged": True,
        "verified_at": record.verified_at,
        "record": records.address(record_name(backup.subject.name)),
    }


def _why_anew(subject: Subject, request: Request, params: Mapping[str, Any], held: str) -> Optional[str]:
    record = subject.record
    if record is not None and record.is_verified and record.level and reaches(record.wanted_level, request.level):
        # Where nothing was asked of the content, the proof ends below the level that was wanted.
        level = min(record.level, request.level, key=LEVELS.index)
        request = dataclasses.replace(request, level=level)
    if reason := why_anew(subject, request):
        return reason
    demands: Mapping[str, str] = record.demands if record is not None else {}
    if not held or demands.get(_WAL) != held:
        return "the WAL archive has changed since it was verified"
    return None if demands.get(_QUESTIONS) == asked_in(params) else "other things were asked of it then"


def _record_of(proof: Proof, subject: Subject, demands: Mapping[str, str]) -> Optional[Record]:
    """What is to be remembered of a proof; None when nothing is known for sure."""
    report = proof.report.of_the_artefact()
    if report.verdict == ERROR or subject.stat is None:
        return None
    return Record(
        artefact=subject.name,
        size_bytes=subject.size,
        sha256=proof.subject.fingerprint,
        identity=subject.identity,
        verdict=report.verdict,
        level=report.level,
        wanted_level=proof.request.level,
        reason=report.reason,
        verified_at=iso(utc_now()),
        manifest_sha256=subject.manifest_sha256,
        content_at=iso(proof.subject.stopped_at),
        seconds=round(sum(proof.seconds.values()), 3),
        levels=tuple(report.told_levels()),
        notes=tuple(report.unproven),
        findings=tuple(report.told()),
        demands=dict(demands),
        is_restorable=proof.is_restorable,
    )


def _write(records: Depot, record: Record, request: Request, report: Report) -> bool:
    """Keep a record; a place that does not take it is no fault of the backup."""
    if not request.record:
        return False
    try:
        records.put(record_name(record.artefact), record.as_bytes())
    except RunbookError as error:
        report.seen.notes.append(f"The record could not be kept: {error.message}")
        return False
    return True


def _shown(record: Optional[Record]) -> dict[str, Any]:
    if record is None:
        return {"verdict": None, "level": None, "verified_at": None}
    return {"verdict": record.verdict, "level": record.level, "verified_at": record.verified_at}
