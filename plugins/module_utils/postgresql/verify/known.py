# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an unchanged artefact costs: a look, and a part of it read again, another part every time."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Optional

from ansible_collections.runbook.ops.plugins.module_utils.backup.depot import BLOCK_BYTES
from ansible_collections.runbook.ops.plugins.module_utils.backup.record import Record
from ansible_collections.runbook.ops.plugins.module_utils.backup.verdict import PASSED, SKIPPED
from ansible_collections.runbook.ops.plugins.module_utils.common.progress import Progress
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.verify.findings import Report
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.verify.levels import LEVELS, reaches
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.verify.request import Request
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.verify.subject import Subject


def why_anew(subject: Subject, request: Request) -> Optional[str]:
    """Why the artefact has to be proven, whatever its record says; None when the record suffices."""
    record = subject.record
    if request.force:
        return "asked for (force)"
    if record is None:
        return "it has no record of a verification"
    if not record.is_verified:
        return f"its record says {record.verdict}"
    if not subject.is_current:
        return "it, or its manifest, was written since it was verified"
    if not reaches(record.level, request.level):
        return f"it was verified up to {record.level} only"
    for level, fingerprint in request.demands.items():
        if reaches(request.level, level) and record.demands.get(level) != fingerprint:
            return "other things were asked of it then"
    return None


def due_parts(parts: Sequence[str], sampled: Mapping[str, str], count: int) -> list[str]:
    """The parts that were not read for the longest time, those never read again first. Pure."""
    return sorted(parts, key=lambda part: (sampled.get(part, ""), parts.index(part)))[:count]


def parts_of(subject: Subject, record: Record) -> dict[str, str]:
    """The parts whose SHA-256 is known: files of a directory, else blocks by number."""
    manifest = subject.manifest
    if subject.is_directory:
        if manifest is not None and manifest.members:
            return {name: part.sha256 for name, part in manifest.members.items()}
        return dict(record.members)
    blocks = manifest.blocks if manifest is not None and manifest.blocks else record.blocks
    return {str(number): digest for number, digest in enumerate(blocks)}


def read_again(
    subject: Subject, record: Record, count: int, report: Report, progress: Progress
) -> tuple[list[str], int]:
    """Read some parts and compare them: which, and their bytes; raises Undecided when they cannot be read."""
    known = parts_of(subject, record)
    due = due_parts(list(known), record.sampled, count)
    total = 0
    progress.phase("sample", subject.name, total=len(due), unit="blocks")
    for part in due:
        digest = hashlib.sha256()
        for chunk in _open(subject, part):
            digest.update(chunk)
            total += len(chunk)
            progress.check()
        if digest.hexdigest() != known[part]:
            what = part if subject.is_directory else f"block {part}"
            report.failed(
                "digest_mismatch",
                f"{what} of it has changed since it was verified, and nobody has written to it: what it lies on decays",
                object_=what,
                expected=known[part],
                found=digest.hexdigest(),
            )
        progress.advance(1)
    return due, total


def _open(subject: Subject, part: str) -> Iterator[bytes]:
    if subject.is_directory:
        return subject.depot.open(f"{subject.name}/{part}")
    start = int(part) * BLOCK_BYTES
    return subject.open(start, min(BLOCK_BYTES, subject.size - start))


def levels_again(report: Report, record: Record) -> None:
    """What was proven then counts now."""
    since = f"as on {record.verified_at}, unchanged since"
    for each in record.levels:
        level, outcome = each.get("level", ""), each.get("outcome")
        if level not in LEVELS or not report.wants(level):
            continue
        if outcome == PASSED:
            report.passed(level, since)
        elif outcome == SKIPPED:
            report.skipped(level, each.get("detail", ""))
    for note in record.notes:
        report.leave_open(note)
