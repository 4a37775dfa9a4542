# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the module's result says of artefacts. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.backup.verdict import ERROR, FAILED, VERIFIED
from ansible_collections.runbook.ops.plugins.module_utils.common.outcome import outcome
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.verify.choose import Chosen
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.verify.findings import Report
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.verify.levels import LEVELS
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.verify.request import (
    Request,
)
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.verify.subject import Subject

_WORST_FIRST = (FAILED, ERROR, VERIFIED)


def artefact_facts(subject: Subject, report: Report, wanted: str, record_address: Optional[str]) -> dict[str, Any]:
    """One artefact for the result; what only reading it tells is empty."""
    record = subject.record
    return {
        "name": subject.name,
        "address": subject.address,
        "verdict": report.verdict,
        "level": report.level,
        "wanted_level": wanted,
        "reason": report.reason,
        "findings": report.told(),
        "unproven": report.unproven,
        "levels": report.told_levels(),
        "notes": report.seen.notes,
        "taken_at": None,
        "age_seconds": None,
        "bytes": subject.size if subject.stat else None,
        "sha256": None,
        "version_id": subject.stat.version_id if subject.stat else None,
        "has_manifest": subject.manifest is not None,
        "kind": None,
        "is_unchanged": False,
        "verified_at": record.verified_at if record is not None and record.is_verified else None,
        "record": record_address,
        "seconds": {},
        "read": {"bytes": 0, "content_bytes": 0},
        "target": None,
        "tables": None,
        "rows": None,
    }


def whole_result(
    *,
    location: str,
    request: Request,
    changed: bool,
    actions: Sequence[Mapping[str, Any]],
    before: Mapping[str, Any],
    after: Optional[Mapping[str, Any]],
    chosen: Chosen,
    artefacts: list[dict[str, Any]],
    seconds: float,
) -> dict[str, Any]:
    """The module's result: the artefacts, and the worst of them; C(after) is None in check mode."""
    whole = Report(request.level)
    if not chosen.names and not chosen.deleted:
        pattern = request.rule.pattern if request.rule else request.name
        whole.failed("no_artefact", f"there is no backup {pattern} in {location}", object_=pattern)
    for problem in chosen.problems:
        whole.undecided("unreadable", problem)
    findings = [
        *whole.told(),
        *({**each, "artefact": entry["name"]} for entry in artefacts for each in entry["findings"]),
    ]
    verdicts = [entry["verdict"] for entry in artefacts] + ([] if whole.is_good else [whole.verdict])
    verdict = next((each for each in _WORST_FIRST if each in verdicts), None)
    worst = next((entry for entry in artefacts if entry["verdict"] == verdict), None)
    levels = [entry["level"] for entry in artefacts]
    return outcome(
        changed=changed,
        actions=actions,
        before=before,
        after=after,
        diff={"before": dict(before), "after": dict(after if after is not None else before)},
        repository=location,
        verdict=verdict,
        level=_lowest(levels),
        wanted_level=request.level,
        reason=whole.reason if not whole.is_good else worst["reason"] if worst else None,
        findings=findings,
        artefacts=artefacts,
        seconds=round(seconds, 3),
        bytes_read=sum(entry["read"]["bytes"] for entry in artefacts),
    )


def _lowest(levels: Sequence[Optional[str]]) -> Optional[str]:
    known = [level for level in levels if level is not None]
    if not known or len(known) < len(levels):
        return None
    return min(known, key=LEVELS.index)
