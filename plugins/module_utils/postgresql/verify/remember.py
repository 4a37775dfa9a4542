# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is remembered of a proof, beside the artefact. Pure."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.backup.record import Record
from ansible_collections.runbook.ops.plugins.module_utils.backup.verdict import ERROR, FAILED
from ansible_collections.runbook.ops.plugins.module_utils.common.clock import iso, utc_now
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.verify.findings import Report
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.verify.proof import Proof
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.verify.request import (
    Request,
)


def record_of(proof: Proof, request: Request, seconds: float) -> Optional[Record]:
    """What is to be remembered of a proof; None when nothing is known for sure."""
    subject = proof.subject
    report = proof.report.of_the_artefact()
    if report.verdict == ERROR or subject.stat is None:
        return None
    is_foreign = subject.manifest is None
    return Record(
        artefact=subject.name,
        size_bytes=subject.size,
        sha256=proof.sha256 or "",
        identity=subject.identity,
        verdict=report.verdict,
        level=report.level,
        wanted_level=request.level,
        reason=report.reason,
        verified_at=iso(utc_now()),
        manifest_sha256=subject.manifest_sha256,
        content_at=iso(proof.taken_at) if proof.taken_at else None,
        seconds=seconds,
        blocks=proof.blocks if is_foreign else (),
        levels=tuple(report.told_levels()),
        notes=tuple(report.unproven),
        findings=tuple(report.told()),
        members=proof.members if is_foreign else {},
        census=proof.found.as_dict() if is_foreign and proof.found is not None else None,
        demands=request.demands,
    )


def sampled_record(record: Record, parts: Sequence[str], report: Report) -> Record:
    """The record after parts were read again: with the moment, or with what was found to be wrong."""
    now = iso(utc_now())
    wrong = report.of_the_artefact()
    if wrong.verdict == FAILED:
        return dataclasses.replace(
            record,
            verdict=FAILED,
            level=wrong.level,
            reason=wrong.reason,
            verified_at=now,
            levels=tuple(wrong.told_levels()),
            findings=tuple(wrong.told()),
        )
    if not parts:
        return record
    return dataclasses.replace(record, sampled={**record.sampled, **dict.fromkeys(parts, now)})


def shown(record: Optional[Record]) -> dict[str, Any]:
    """A record as C(before) and C(after) tell of it."""
    if record is None:
        return {"verdict": None, "level": None, "verified_at": None}
    return {"verdict": record.verdict, "level": record.level, "verified_at": record.verified_at}
