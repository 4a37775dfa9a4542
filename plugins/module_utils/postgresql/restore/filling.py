# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filling a new database from a backup, and proving that it holds what it should."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.common.progress import Progress
from ansible_collections.runbook.ops.plugins.module_utils.common.stopwatch import stopwatch
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.client import Session
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.loading.load import COLLECT, STOP, load
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.restore.choose import Chosen
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.restore.prove import check, prove
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.restore.request import SKIP, RestoreRequest
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.restore.source import Source
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.tools import Installation
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.verify.consistency import check_assertions
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.verify.findings import Report
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.verify.levels import (
    BYTES,
    CONSISTENCY,
    DECODE,
    FRESH,
    RESTORE,
    SEMANTICS,
)
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.verify.restoring import report_problems
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.verify.target import Target


@dataclass
class Filled:
    """What a new database holds and how that is known.

    C(rows) is None when they were not counted.
    """

    report: Report
    tables: int = 0
    rows: Optional[int] = None
    bytes: int = 0
    notes: list[str] = field(default_factory=list)

    def facts(self) -> dict[str, Any]:
        """For results."""
        return {
            "verdict": self.report.verdict,
            "level": self.report.level,
            "reason": self.report.reason,
            "findings": self.report.told(),
            "unproven": list(self.report.unproven),
            "tables": self.tables,
            "rows": self.rows,
            "decoded_bytes": self.bytes,
        }


def fill(
    session: Session,
    options: Mapping[str, Any],
    request: RestoreRequest,
    chosen: Chosen,
    source: Optional[Source],
    installation: Installation,
    database: str,
    seconds: dict[str, float],
    progress: Progress,
    on_loaded: Callable[[], None],
) -> Filled:
    """Load the backup into a database, unless it is loaded already, and prove it.

    Args:
        session: To the server, for its version.
        options: The module's.
        request: What is wanted.
        chosen: The backup.
        source: Where it is read from; None when the database holds it already.
        installation: Whose pg_restore reads it.
        database: An empty database.
        seconds: Where the duration of the phases goes.
        progress: Where to show it.
        on_loaded: Called when all of it is loaded and its bytes are those that were written.

    Raises:
        Damaged: the backup is bad.
        Undecided, Unavailable: it could not be told.

    """
    report = Report(CONSISTENCY if request.assertions else SEMANTICS)
    filled = Filled(report)
    target = Target(
        {**options, "login_db": database},
        installation,
        "restored",
        session.server_version_num,
        restores_roles=False,
        throwaway=False,
        same_locale=True,
    )
    report.skipped(FRESH, "how old it may be was not asked")
    if source is not None:
        _load(target, request, chosen, source, filled, seconds, progress)
        on_loaded()
    else:
        for level in (BYTES, DECODE, RESTORE):
            report.passed(level, "by the run that loaded it")
    if not request.verify:
        report.leave_open("everything in it: verify is false")
        return filled
    with stopwatch(seconds, "verify"):
        census = prove(target, chosen, request, report, progress)
        filled.tables, filled.rows = len(census.tables), census.row_count
        if request.assertions:
            check_assertions(target, request.assertions, request.assertion_seconds, report, progress)
            report.passed(CONSISTENCY, f"{len(request.assertions)} assertions hold")
    check(report, chosen.name)
    return filled


def _load(
    target: Target,
    request: RestoreRequest,
    chosen: Chosen,
    source: Source,
    filled: Filled,
    seconds: dict[str, float],
    progress: Progress,
) -> None:
    report = filled.report
    with stopwatch(seconds, "load"), source.opened() as content:
        loaded = load(
            target.options,
            content,
            source.head.kind,
            installation=target.installation,
            jobs=request.jobs,
            progress=progress,
            directory=source.path,
            on_error=COLLECT if request.globals == SKIP else STOP,
            analyze=True,
        )
        digest = source.check()
    for phase, duration in loaded.seconds.items():
        seconds[f"load_{phase}"] = duration
    filled.bytes = loaded.bytes
    filled.tables, filled.rows = len(loaded.tables), sum(loaded.tables.values())
    filled.notes += loaded.notes
    report_problems(loaded.problems, report, ignore_roles=request.globals == SKIP, owns_server=False)
    check(report, chosen.name)
    if chosen.subject.digest is None:
        report.leave_open("that nobody changed it: its SHA-256 was not noted when it was written")
        report.skipped(BYTES, "nothing to compare with")
    else:
        report.passed(BYTES, f"SHA-256 {digest}")
    report.passed(DECODE, f"read to its end, {loaded.bytes} bytes")
    report.passed(RESTORE, f"{loaded.statements} statements")
