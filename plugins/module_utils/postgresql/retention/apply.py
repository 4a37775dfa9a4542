# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Moving the rows of one job, batch by batch, each in one transaction with its line in the ledger."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import RunbookError
from ansible_collections.runbook.ops.plugins.module_utils.common.present import present
from ansible_collections.runbook.ops.plugins.module_utils.common.progress import Progress, Stopped
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.client import Session
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.errors import QueryError
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.retention.export import (
    Batch,
    Stored,
    Writer,
    store_manifest,
    store_rows,
)
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.retention.ledger import Job, Ledger
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.retention.pace import Pace
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.retention.policy import TableName
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.retention.pressure import Pressure
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.retention.statements import Statements, vacuum

# How often the whole range is gone through again for rows that others had locked, and the wait before.
_SWEEPS = 3
_SWEEP_WAIT_SECONDS = 1.0
# A statement that lost against another session: a lock in time, a deadlock, a serialization failure.
_CONTENTION = ("55P03", "40P01", "40001")
_RETRY_SECONDS = 0.2
_LOCK_TIMEOUT = "200ms"
# So many deleted rows are worth a VACUUM on the way.
_VACUUM_ROWS = 5000000


class Changed(RunbookError):
    """Rows of the batch were changed or locked by somebody between two steps; the batch was rolled back."""


@dataclass
class Moved:
    """What a job did in this run, table by table."""

    rows: dict[TableName, int] = field(default_factory=dict)
    digest: int = 0
    batches: int = 0
    divided: int = 0
    sweeps: int = 0
    seconds: float = 0.0
    files: list[dict[str, Any]] = field(default_factory=list)
    remaining: Optional[int] = None

    def add(self, table: TableName, rows: int) -> None:
        """Count rows of a table."""
        self.rows[table] = self.rows.get(table, 0) + rows


def batch_of(job: Job) -> Batch:
    """The next batch of an export: the ledger counts those that are done."""
    return Batch(job.policy, job.cutoff, f"{job.number:06d}-{job.token}", job.batches + 1)


@dataclass(frozen=True)
class _Step:
    """A batch that was done: how many rows of the table itself went, and where the next one begins."""

    rows: int
    last: Optional[tuple[str, ...]]


class Mover:
    """Carries out one job."""

    def __init__(
        self,
        session: Session,
        statements: Statements,
        ledger: Ledger,
        job: Job,
        *,
        pace: Pace,
        pressure: Pressure,
        progress: Progress,
        writer: Writer | None,
    ) -> None:
        self._session = session
        self._statements = statements
        self._ledger = ledger
        self._job = job
        self._pace = pace
        self._pressure = pressure
        self._progress = progress
        self._writer = writer
        self.moved = Moved()
        # Where a batch begins that had to be passed over, to get on behind it.
        self._picked_last: Optional[tuple[str, ...]] = None
        # Whether locked rows are looked for and passed over, which costs a fifth of the speed. Without, a batch that
        # meets one fails after a moment.
        self._is_careful = False
        self._since_vacuum = 0
        self._blocked_since: Optional[float] = None
        nodes = statements.nodes
        self._exports = [position for position, node in enumerate(nodes) if node.action == "export"]
        self._step = self._move if len(nodes) == 1 and statements.plan.locks else self._transfer
        if self._exports:
            self._step = self._export

    def run(self) -> Moved:
        """Move everything that is due; go over the range again for rows that were locked, and count what remains.

        Raises:
            Stopped: somebody wants the end, or the server needed more rest than allowed; what was moved is whole.
            RunbookError: something does not add up; the batch concerned was rolled back.

        """
        last = self._job.last
        # Nobody is kept waiting for long behind a batch that waits itself.
        self._session.configure({"lock_timeout": _LOCK_TIMEOUT})
        while True:
            self._pressure.relieve()
            moved_before = self.moved.rows.get(self._statements.root.table, 0)
            self._pass(last)
            remaining = self._count()
            self.moved.remaining = remaining
            if not remaining or self.moved.sweeps >= _SWEEPS:
                break
            last = None
            self.moved.sweeps += 1
            if self.moved.rows.get(self._statements.root.table, 0) == moved_before or self.moved.sweeps > 1:
                self._progress.wait(_SWEEP_WAIT_SECONDS, f"{remaining} rows are locked by others")
        self._drop_unconfirmed()
        return self.moved

    def _pass(self, last: tuple[str, ...] | None) -> None:
        while True:
            self._pressure.relieve()
            began = time.monotonic()
            self._picked_last = None
            try:
                step = self._step(last, self._pace.size)
            except (Changed, QueryError) as error:
                if isinstance(error, QueryError) and error.sqlstate not in _CONTENTION:
                    raise self._explain(error) from None
                last = self._get_around(last)
                continue
            self._is_careful, self._blocked_since = False, None
            seconds = time.monotonic() - began
            self.moved.seconds += seconds
            if step.last is None:
                return
            last = step.last
            self.moved.batches += 1
            rest = self._pace.took(step.rows, seconds)
            self._progress.advance(step.rows)
            self._tidy(step.rows)
            if rest > 0:
                # A nap of milliseconds needs no note; the end can be asked for again right after it.
                if rest < 1:
                    time.sleep(rest)
                else:
                    self._progress.wait(rest, "resting (throttle)")

    def _tidy(self, rows: int) -> None:
        """Vacuum now and then, so that a long run does not leave all its dead rows to the end. Best effort."""
        self._since_vacuum += rows
        if self._since_vacuum < _VACUUM_ROWS or not self._pressure.options["vacuum"]:
            return
        self._since_vacuum = 0
        with contextlib.suppress(QueryError):
            self._session.query(vacuum(self._statements.root.table), {}, on_wait=self._progress.check)

    def _get_around(self, last: tuple[str, ...] | None) -> tuple[str, ...] | None:
        """After a batch that lost against others: half as many rows, in the end none but the one in the way."""
        self.moved.divided += 1
        self._progress.check()
        if self._picked_last is None:
            if not self._is_careful:
                self._is_careful = True
                return last
            # Not even passing over locked rows helps: somebody has the whole table.
            now = time.monotonic()
            self._blocked_since = now if self._blocked_since is None else self._blocked_since
            if now - self._blocked_since > self._pressure.options["max_pause_seconds"]:
                raise Stopped(f"Stopped because {self._statements.root.table} stays locked by others")
            self._progress.wait(_RETRY_SECONDS, "the table is locked by others")
            return last
        if self._pace.divide():
            return last
        self._pace.passed()
        return self._picked_last

    def _count(self) -> int:
        rows = self._session.query(
            self._statements.count_due(), self._statements.bindings, on_wait=self._progress.check
        )
        return int(rows[0]["rows"])

    def _bindings(self, last: Sequence[str] | None, limit: int) -> dict[str, Any]:
        after = {f"after_{number}": value for number, value in enumerate(last or ())}
        return {**self._statements.bindings, **after, "limit": limit, "job": self._job.number}

    # --- one statement a batch: no children, nothing to export
    def _move(self, last: tuple[str, ...] | None, limit: int) -> _Step:
        statement = self._statements.move(
            resumes=last is not None, locks=self._is_careful, ledger=self._ledger.advance_statement()
        )
        with self._session.transaction():
            row = self._session.query(statement, self._bindings(last, limit), on_wait=self._progress.check)[0]
            self._check_sums(row, self._statements.root.table)
            if row["deleted"] and not row["noted"]:
                raise self._ledger.lost(self._job)
        self.moved.add(self._statements.root.table, row["deleted"])
        self.moved.digest += int(row["digest"])
        return _Step(row["deleted"], None if row["last"] is None else tuple(row["last"]))

    # --- several statements: children first
    def _transfer(self, last: tuple[str, ...] | None, limit: int) -> _Step:
        with self._session.transaction():
            picked = self._pick(last, limit)
            if picked is None:
                return _Step(0, None)
            positions = self._lock_children(picked)
            counts, digest = self._remove(positions, {})
            self._note(picked["last"], counts, digest)
        self._count_moved(counts, digest)
        return _Step(counts[0], tuple(picked["last"]))

    def _pick(self, last: tuple[str, ...] | None, limit: int) -> Mapping[str, Any] | None:
        statement = self._statements.pick(resumes=last is not None)
        row = self._session.query(statement, self._bindings(last, limit), on_wait=self._progress.check)[0]
        if not row["rows"]:
            return None
        self._picked_last = tuple(row["last"])
        return row

    def _lock_children(self, root: Mapping[str, Any]) -> list[Mapping[str, Any]]:
        """Positions and number of every table's rows; the parents of each are locked before."""
        picked = [root]
        for number, node in enumerate(self._statements.nodes[1:], 1):
            values = {"positions": picked[present(node.parent, "a child's parent")]["positions"]}
            row = self._session.query(self._statements.lock_children(number), values, on_wait=self._progress.check)[0]
            picked.append(row)
        return picked

    def _remove(self, locked: Sequence[Mapping[str, Any]], stored: Mapping[int, Stored]) -> tuple[list[int], int]:
        """Delete from the last child up to the table itself; rows by table, and the digest of the table's own."""
        counts = [0] * len(locked)
        digest = 0
        for number in reversed(range(len(locked))):
            row = self._session.query(
                self._statements.remove(number),
                {"positions": locked[number]["positions"]},
                on_wait=self._progress.check,
            )[0]
            self._check_sums(row, self._statements.nodes[number].table)
            if row["deleted"] != locked[number]["rows"]:
                self._fell_short(number, row["deleted"], locked[number]["rows"])
            file = stored.get(number)
            if file is not None and (row["deleted"], int(row["digest"])) != (file.rows, file.digest):
                raise Changed(f"Rows of {self._statements.nodes[number].table} changed since they were exported.")
            counts[number] = row["deleted"]
            digest = int(row["digest"])
        return counts, digest

    def _fell_short(self, number: int, deleted: int, wanted: int) -> None:
        """Fewer rows were deleted than chosen; without locks somebody may have been faster."""
        name = self._statements.nodes[number].table
        if not self._statements.plan.locks:
            raise Changed(f"Rows of {name} changed since they were chosen.")
        # Locked rows go, unless a trigger says otherwise; then the parents must not go without them.
        raise RunbookError(
            f"{self._job.policy}: {wanted} rows of {name} were to be deleted and {deleted} were. The batch was rolled "
            "back. Look for triggers."
        )

    def _check_sums(self, row: Mapping[str, Any], table: TableName) -> None:
        if row["moved"] is not None and (row["moved"], row["moved_digest"]) != (row["deleted"], row["digest"]):
            raise RunbookError(
                f"{self._job.policy}: {row['deleted']} rows were deleted from {table} and {row['moved']} arrived in "
                f"the archive (digests {row['digest']} and {row['moved_digest']}). The batch was rolled back. Look for "
                "triggers and defaults of the archive table."
            )

    def _note(self, last: Sequence[str], counts: Sequence[int], digest: int) -> None:
        self._ledger.advance(self._job, last=last, rows=counts[0], child_rows=sum(counts[1:]), digest=digest)

    def _count_moved(self, counts: Sequence[int], digest: int) -> None:
        for node, rows in zip(self._statements.nodes, counts):
            self.moved.add(node.table, rows)
        self.moved.digest += digest

    # --- export: read, write and prove the files, then delete exactly what they hold
    def _export(self, last: tuple[str, ...] | None, limit: int) -> _Step:
        lines: dict[int, list[str]] = {}
        with self._session.transaction():
            # Locked, so that rows somebody works on are passed over; not held, since writing may take a while.
            picked = self._pick(last, limit)
            if picked is None:
                return _Step(0, None)
            positions = self._lock_children(picked)
            for number in self._exports:
                rows = self._session.query(
                    self._statements.read(number),
                    {"positions": positions[number]["positions"]},
                    on_wait=self._progress.check,
                )
                lines[number] = [row["line"] for row in rows]
        batch = batch_of(self._job)
        stored = self._store(batch, lines, picked)
        with self._session.transaction():
            # Exactly these rows, if they are still as they were: a row that was changed meanwhile has another position
            # or another hash, and the batch is exported again.
            values = {**self._statements.bindings, "positions": picked["positions"]}
            if self._session.query(self._statements.lock_again(), values)[0]["rows"] != picked["rows"]:
                raise Changed(f"Rows of {self._statements.root.table} changed since they were exported.")
            positions = self._lock_children(picked)
            counts, digest = self._remove(positions, stored)
            self._note(picked["last"], counts, digest)
        self._job.batches += 1
        self.moved.files += [file.as_dict() for file in stored.values()]
        self._count_moved(counts, digest)
        return _Step(counts[0], tuple(picked["last"]))

    def _store(self, batch: Batch, lines: Mapping[int, Sequence[str]], picked: Mapping[str, Any]) -> dict[int, Stored]:
        writer = present(self._writer, "the writer of exports")
        nodes = self._statements.nodes
        stored = {number: store_rows(writer, batch.file(nodes[number].table), rows) for number, rows in lines.items()}
        files = [
            {
                **file.as_dict(),
                "table": str(nodes[number].table),
                "digest": str(file.digest),
                "columns": {column.name: column.type for column in nodes[number].columns},
            }
            for number, file in stored.items()
        ]
        store_manifest(
            writer,
            batch,
            {
                "policy": self._job.policy,
                "table": str(self._statements.root.table),
                "cutoff": self._job.cutoff,
                "column": self._statements.plan.policy.column,
                "job": self._job.number,
                "batch": batch.number,
                "key_columns": list(self._job.key_columns),
                "last_key": list(picked["last"]),
                "files": files,
            },
        )
        return stored

    def _drop_unconfirmed(self) -> None:
        """A batch that was written and, in the end, not deleted is no export: its rows went by another way."""
        if self._writer is None:
            return
        self._writer.drop(batch_of(self._job).stem)

    def _explain(self, error: QueryError) -> RunbookError:
        """What a statement that failed means for this job."""
        what = f"{self._job.policy}: a batch of {self._statements.root.table} failed and was rolled back"
        remedies = {
            "23505": "The archive holds a row with the same key already. Compare both, remove one, and run it again.",
            "23503": "Rows that are not due, or of a table that is not declared in children, refer to due ones.",
            "42501": "Grant the missing privilege and run the task again.",
        }
        remedy = remedies.get(error.sqlstate or "", "Read the server log, and run the task again.")
        return RunbookError(f"{what}: {error.message}. {remedy}", sqlstate=error.sqlstate)
