# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Proof that what was due has arrived where it belongs, measured again after the last batch."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.common.progress import Progress
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.client import Session
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.retention.apply import Moved
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.retention.due import Work


@dataclass(frozen=True)
class Contents:
    """Rows and digest of the part of the archive that the job's rows fall into."""

    rows: int
    digest: int


@dataclass(frozen=True)
class Proof:
    """The figures, and in C(failures) one sentence for each that does not add up."""

    table: str
    cutoff: str
    due_before: int
    due_after: int
    moved: int
    digest: int
    archived: Optional[int] = None
    archived_digest: Optional[int] = None
    in_both: Optional[int] = None
    failures: tuple[str, ...] = field(default=())

    def as_dict(self) -> dict[str, Any]:
        """The entry of the result. Digests are texts: they exceed what JSON readers keep exact."""
        return {
            "table": self.table,
            "cutoff": self.cutoff,
            "due_before": self.due_before,
            "due_after": self.due_after,
            "moved": self.moved,
            "digest": str(self.digest),
            "archived": self.archived,
            "archived_digest": None if self.archived_digest is None else str(self.archived_digest),
            "in_both": self.in_both,
            "proven": not self.failures,
        }


def measure_archive(session: Session, work: Work, progress: Progress) -> Contents | None:
    """What the archive holds of the range, before or after; None without an archive table, or without rows."""
    if work.statements.root.archive is None or work.oldest is None:
        return None
    values = {**work.statements.bindings, "oldest": work.oldest}
    row = session.query(work.statements.archive_sum(), values, on_wait=progress.check)[0]
    return Contents(int(row["rows"]), int(row["digest"]))


def prove(session: Session, work: Work, moved: Moved, before: Contents | None, progress: Progress) -> Proof:
    """Measure again and compare.

    Args:
        session: An open session.
        work: The job, with the due rows counted before.
        moved: What was done.
        before: The archive's contents before.
        progress: Where to show it.

    """
    after = None if before is None else measure_archive(session, work, progress)
    both = None
    if work.statements.root.archive is not None:
        statements = work.statements
        both = int(session.query(statements.in_both(), statements.bindings, on_wait=progress.check)[0]["rows"])
    return compare(work, moved, before, after, both)


def compare(work: Work, moved: Moved, before: Contents | None, after: Contents | None, in_both: int | None) -> Proof:
    """The proof from its figures. Pure."""
    root = work.statements.root
    rows, left = moved.rows.get(root.table, 0), moved.remaining or 0
    failures: list[str] = []
    if work.rows - left != rows:
        failures.append(
            f"{root.table} had {work.rows} due rows before and {left} after, and {rows} were moved by this run."
        )
    archived = archived_digest = None
    if before is not None and after is not None:
        archived, archived_digest = after.rows - before.rows, after.digest - before.digest
        if archived != rows:
            failures.append(f"{root.archive} has {archived} more rows of that time, and {rows} were moved.")
        elif archived_digest != moved.digest:
            failures.append(f"The rows that {root.archive} has more are not those that were moved (digest).")
    if in_both:
        failures.append(f"{in_both} keys are in {root.table} and in {root.archive}.")
    return Proof(
        table=str(root.table),
        cutoff=work.job.cutoff,
        due_before=work.rows,
        due_after=left,
        moved=rows,
        digest=moved.digest,
        archived=archived,
        archived_digest=archived_digest,
        in_both=in_both,
        failures=tuple(failures),
    )
