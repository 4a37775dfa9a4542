# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Carry out a plan: one statement after the other, each proven by what the server counts, never by its silence."""

from __future__ import annotations

import contextlib
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import RunbookError, Unavailable
from ansible_collections.runbook.ops.plugins.module_utils.common.guards import window_refusal
from ansible_collections.runbook.ops.plugins.module_utils.common.outcome import Refusal
from ansible_collections.runbook.ops.plugins.module_utils.common.progress import Progress
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.client import Session, connect
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.errors import QueryError
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.vacuum import measure
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.vacuum.options import Rules
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.vacuum.plan import (
    ALONG,
    BLOAT,
    DEAD,
    FORCED,
    INSERTED,
    WRAPAROUND,
    Action,
    Plan,
    busy_refusal,
)

with contextlib.suppress(ImportError):  # connecting says so
    from psycopg2 import sql

Row = Mapping[str, Any]

_LOCK_ATTEMPTS = 3
# How long the server may take to show in its statistics what was done: 14 writes them at most every half second.
_PROOF_SECONDS = 15.0
_POLL_SECONDS = 0.1
# Class 53: disk full, out of memory, too many connections. Going on would make it worse.
_INSUFFICIENT = "53"
_LOCK_NOT_AVAILABLE = "55P03"

_AT_WORK = """
SELECT v.phase, v.heap_blks_total AS total, v.heap_blks_scanned AS done, v.index_vacuum_count AS rounds,
       -- From PostgreSQL 17.
       (to_jsonb(v) ->> 'indexes_processed')::int AS indexes_done, (to_jsonb(v) ->> 'indexes_total')::int AS indexes
FROM pg_stat_progress_vacuum v WHERE v.pid = %(pid)s
UNION ALL
SELECT y.phase, y.sample_blks_total, y.sample_blks_scanned, 0, NULL, NULL
FROM pg_stat_progress_analyze y WHERE y.pid = %(pid)s
UNION ALL
SELECT c.phase, c.heap_blks_total, c.heap_blks_scanned, 0, NULL, NULL
FROM pg_stat_progress_cluster c WHERE c.pid = %(pid)s
"""


class Watcher:
    """Tells the progress of a statement that keeps its own connection busy, seen through a second one."""

    def __init__(self, options: Mapping[str, Any], progress: Progress, pid: int) -> None:
        self._options = options
        self._progress = progress
        self._pid = pid
        self._session: Optional[Session] = None
        # Without somebody who reads it, nothing is asked.
        self._is_blind = progress.path is None

    def __call__(self) -> None:
        """Look once; raises Stopped when somebody wants the end, and nothing else: watching must not end the work."""
        rows: list[dict[str, Any]] = []
        if not self._is_blind:
            try:
                if self._session is None:
                    self._session = connect(
                        {**self._options, "connect_timeout": 3},
                        application_name="runbook.ops postgresql_vacuum progress",
                        statement_timeout_seconds=5,
                    )
                rows = self._session.query(_AT_WORK, {"pid": self._pid})
            except (QueryError, Unavailable):
                self._is_blind = True
        if rows:
            self._progress.at(rows[0]["done"] or 0, note=phase_note(rows[0]), total=rows[0]["total"] or None)
        elif self._is_blind:
            self._progress.check()
        else:
            self._progress.at(0, note="waiting")

    def close(self) -> None:
        """End the second connection."""
        if self._session is not None:
            self._session.close()


def phase_note(row: Row) -> str:
    """The server's word for what it does, and where it is with the indexes."""
    note = str(row["phase"])
    if "index" in note and row["indexes"]:
        note += f" {row['indexes_done']} of {row['indexes']}"
    if row["rounds"]:
        note += f", round {row['rounds'] + ('vacuuming indexes' in note)}"
    return note


@dataclass
class Run:
    """What came of the plan so far."""

    done: list[dict[str, Any]] = field(default_factory=list)
    refused: list[Refusal] = field(default_factory=list)
    remaining: list[dict[str, Any]] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)
    after: dict[int, Row] = field(default_factory=dict)


@dataclass
class Worker:
    """Everything that carrying out a statement needs."""

    session: Session
    options: Mapping[str, Any]
    rules: Rules
    server: measure.Server
    target: measure.Target
    progress: Progress
    clock: Callable[[], float] = time.monotonic
    proof_seconds: float = _PROOF_SECONDS

    def carry_out(self, plan: Plan, run: Run) -> None:
        """All statements; C(run) is filled as it goes, so that whoever stops it knows how far it came.

        Raises:
            Stopped: somebody wants the end; the statement at work was cancelled.
            RunbookError: the server is short of something, or gone.

        """
        began = self.clock()
        watcher = Watcher(self.options, self.progress, self.session.login_pid)
        total = len(plan.actions)
        left_alone: set[int] = set()
        try:
            for number, action in enumerate(plan.actions, start=1):
                why = self._why_stop(began, is_first=number == 1)
                if why:
                    run.remaining = [_remaining(each, why) for each in plan.actions[number - 1 :]]
                    return
                if action.oid in left_alone or (not action.table and not run.done):
                    continue
                refusal = self._act(action, f"{number} of {total}", watcher, run)
                if refusal:
                    left_alone.add(action.oid)
                    run.refused.append(refusal)
        finally:
            watcher.close()

    def _why_stop(self, began: float, *, is_first: bool) -> str | None:
        self.progress.check()
        limit = self.options["max_seconds"]
        if limit is not None and self.clock() - began >= limit and not is_first:
            return f"max_seconds ({limit:g}) is used up"
        refusal = window_refusal(self.options)
        return refusal[0] if refusal else None

    def _act(self, action: Action, place: str, watcher: Watcher, run: Run) -> Refusal | None:
        self.progress.phase(action.verb.lower(), f"{action.qualified or self.server.database} ({place})", unit="blocks")
        if not action.table:
            began = self.clock()
            self._execute(action, watcher)
            run.done.append(_outcome(action, self.clock() - began))
            return None
        before = self._row(action)
        counted = measure.counters(self.session, action.oid)
        if before is None or counted is None:
            return Refusal(action.qualified, "it was dropped meanwhile", "Nothing is left to do.")
        busy = measure.find_busy(self.session).get(action.oid)
        if busy:
            return busy_refusal(before, busy, action.reasons)
        self.session.notices()
        began = self.clock()
        try:
            self._patiently(action, watcher)
        except QueryError as error:
            return self._failure(action, error)
        duration = self.clock() - began
        if not self._is_proven(action, counted):
            said = "; ".join(self.session.notices()) or "the server gave no reason"
            reason = f"{action.statement} reported success and did nothing ({said})"
            return Refusal(
                action.qualified, reason, "Read the server's warning, and the owner and privileges of the table."
            )
        after = self._row(action)
        run.after[action.oid] = after or {}
        run.done.append(self._result(action, duration, before, after))
        return None

    def _row(self, action: Action) -> Row | None:
        return measure.measure_table(self.session, action.oid, self.target, self.rules, self.server)

    def _patiently(self, action: Action, watcher: Watcher) -> None:
        """Try again a few times when the table is locked, at moments nobody else has agreed on."""
        for attempt in range(1, _LOCK_ATTEMPTS + 1):
            try:
                self._execute(action, watcher)
            except QueryError as error:
                if error.sqlstate != _LOCK_NOT_AVAILABLE or attempt == _LOCK_ATTEMPTS:
                    raise
                self.progress.wait(random.uniform(0.5, 1.5) * attempt, "the table is locked")  # noqa: S311 - jitter
            else:
                return

    def _execute(self, action: Action, watcher: Watcher) -> None:
        words: list[sql.Composable] = [sql.SQL(action.verb)]
        if action.options:
            # Words of this package and numbers; the one text among them is checked to be digits and a unit.
            words.append(sql.SQL("({})").format(sql.SQL(", ").join(sql.SQL(each) for each in action.options)))
        if action.only:
            words.append(sql.SQL("ONLY"))
        if action.schema and action.table:
            words.append(sql.Identifier(action.schema, action.table))
        self.session.query(sql.SQL(" ").join(words), on_wait=watcher)

    def _failure(self, action: Action, error: QueryError) -> Refusal:
        if (error.sqlstate or "").startswith(_INSUFFICIENT):
            raise RunbookError(
                f"{action.statement} failed: {error.message}. The server is short of something, so no more was tried"
            )
        if error.sqlstate == _LOCK_NOT_AVAILABLE:
            holders = measure.lock_holders(self.session, action.oid, exclusive=action.rewrites)
            who = ", ".join(holders) or "somebody who has let go by now"
            tries = f"{_LOCK_ATTEMPTS} times {self.options['lock_timeout']:g} s"
            return Refusal(
                action.qualified,
                f"its lock was not free ({tries}); held by {who}",
                "End or wait for that transaction and run the task again.",
            )
        return Refusal(
            action.qualified, f"{action.statement} failed: {error.message}", "Read the message and the server log."
        )

    def _is_proven(self, action: Action, before: Row) -> bool:
        """Whether the counters moved, for which the statistics get a while."""
        deadline = self.clock() + self.proof_seconds
        while True:
            now = measure.counters(self.session, action.oid)
            if now is not None and _has_moved(action, before, now):
                return True
            if now is None or self.clock() >= deadline:
                return False
            time.sleep(_POLL_SECONDS)

    def _result(self, action: Action, duration: float, before: Row, after: Row | None) -> dict[str, Any]:
        found = _outcome(action, duration)
        if after is None:
            return found
        failed = without_effect(action, before, after)
        holder = None
        if failed:
            oldest = measure.find_horizon(self.session, self.server).holder(action.scope)
            holder = oldest.as_dict() if oldest else None
        found.update(
            dead_rows_after=after["dead_rows"],
            toast_dead_rows_after=after["toast_dead_rows"],
            total_bytes_after=after["total_bytes"],
            dead_rows_removed=max(0, _dead(before) - _dead(after)),
            bytes_freed=max(0, before["total_bytes"] - after["total_bytes"]),
            effective=not failed,
            without_effect=failed,
            holder=holder,
        )
        return found


def _dead(row: Row) -> int:
    return int(row["dead_rows"] or 0) + int(row["toast_dead_rows"] or 0)


def _has_moved(action: Action, before: Row, now: Row) -> bool:
    if action.rewrites:
        # FULL is not counted; it shows by its new file.
        return bool(now["filenode"] != before["filenode"])
    vacuumed = not action.vacuums or now["vacuum_count"] > before["vacuum_count"]
    analyzed = not action.analyzes or now["analyze_count"] > before["analyze_count"]
    return bool(vacuumed and analyzed)


def without_effect(action: Action, before: Row, after: Row) -> list[str]:
    """The reasons that are as they were, although the statement was carried out; their texts. Pure."""
    return [
        reason.text
        for reason in action.reasons
        if reason.kind not in (ALONG, FORCED) and not _is_better(reason.kind, "toast_" * reason.toast, before, after)
    ]


def _is_better(kind: str, prefix: str, before: Row, after: Row) -> bool:
    def fell(name: str) -> bool:
        return (after[name] or 0) < (before[name] or 0)

    if kind == DEAD:
        return fell(f"{prefix}dead_rows")
    if kind == INSERTED:
        return fell(f"{prefix}inserted_rows")
    if kind == WRAPAROUND:
        return fell(f"{prefix}xid_age") or fell(f"{prefix}multixact_age")
    if kind == BLOAT:
        return fell("total_bytes")
    return bool(after["last_analyze"] != before["last_analyze"])


def _outcome(action: Action, duration: float) -> dict[str, Any]:
    return {
        **action.as_dict(),
        "dead_rows_after": None,
        "toast_dead_rows_after": None,
        "total_bytes_after": None,
        "dead_rows_removed": None,
        "bytes_freed": None,
        "duration_seconds": round(duration, 3),
        "effective": True,
        "without_effect": [],
        "holder": None,
    }


def _remaining(action: Action, why: str) -> dict[str, Any]:
    return {"schema": action.schema, "table": action.table, "statement": action.statement, "reason": why}


def interrupted(error: RunbookError, plan: Plan, run: Run) -> str:
    """What to tell when the run ended early: how far it came, that nothing is half done, and how to go on."""
    done = len([each for each in run.done if each["table"]])
    return (
        f"{error.message.rstrip('.')}. {done} of {len(plan.tables)} statements were done before. The one at work was "
        "rolled back by the server and left nothing half done. Run the task again to go on with what is still due."
    )
