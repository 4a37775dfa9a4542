# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Carries out a plan, one statement after the other, each on its own, and measures what it brought."""

from __future__ import annotations

import contextlib
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.common.clock import iso, utc_now
from ansible_collections.runbook.ops.plugins.module_utils.common.errors import RunbookError, Unavailable
from ansible_collections.runbook.ops.plugins.module_utils.common.guards import window_refusal
from ansible_collections.runbook.ops.plugins.module_utils.common.outcome import Refusal
from ansible_collections.runbook.ops.plugins.module_utils.common.progress import Progress, Stopped
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.client import Session
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.errors import QueryError
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.reindex import leftovers as left
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.reindex.baseline import Baseline
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.reindex.catalog import (
    Catalog,
    read_one,
    read_pages,
)
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.reindex.guards import Surroundings, refusal
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.reindex.lag import ReplicaLag
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.reindex.leftovers import Leftover
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.reindex.model import Index
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.reindex.plan import (
    Drop,
    Plan,
    Rebuild,
    Refresh,
    versions_of,
)
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.reindex.watch import Watch

# Whether the library is there is the connection's question; it answers before any of this is used.
with contextlib.suppress(ImportError):
    from psycopg2 import sql

_ATTEMPTS = 3
# SQLSTATEs: lock_timeout, deadlock, cancelled.
_LOCKED = "55P03"

_REMEDIES = {
    _LOCKED: "Wait until that transaction has ended, or raise max_wait_seconds.",
    "23505": "The table holds rows that the unique index forbids, so the index in use is corrupt: find and remove the "
    "duplicates, then run the task again.",
    "42883": "An expression of the index calls a function that it does not qualify with its schema. Have the function "
    "SET search_path.",
    "53100": "The server's disk is full. Make room.",
    "57014": "Somebody cancelled it. Run the task again.",
}


@dataclass
class Done:
    """What was carried out so far."""

    actions: list[dict[str, Any]] = field(default_factory=list)
    rebuilt: list[dict[str, Any]] = field(default_factory=list)
    refused: list[Refusal] = field(default_factory=list)
    remaining: list[str] = field(default_factory=list)
    remaining_because: Optional[str] = None
    after: dict[str, Any] = field(default_factory=dict)
    failed_collations: set[int] = field(default_factory=set)


@dataclass
class Worker:
    """Carries out one plan in one session."""

    session: Session
    options: Mapping[str, Any]
    catalog: Catalog
    baseline: Baseline
    progress: Progress
    look_around: Callable[[], Surroundings]
    done: Done = field(default_factory=Done)
    _deadline: Optional[float] = None

    def carry_out(self, plan: Plan) -> Done:
        """Everything that still can be done.

        Raises:
            Stopped: somebody wanted the end; what a rebuild left in the middle is dropped.
            Unavailable: the connection was lost.

        """
        if self.options["max_seconds"] is not None:
            self._deadline = time.monotonic() + self.options["max_seconds"]
        for drop in plan.drops:
            self.progress.phase("clean", drop.leftover.label)
            self._drop_leftover(drop)
        with Watch(self.options, self.progress, self.session.login_pid) as watch:
            lag = ReplicaLag(self.session, self.options, self.progress)
            for number, rebuild in enumerate(plan.rebuilds):
                because = self._why_stop() or lag.wait(rebuild.index.label)
                if because is not None:
                    self.done.remaining = [each.index.label for each in plan.rebuilds[number:]]
                    self.done.remaining_because = because
                    break
                watch.begin(f"{rebuild.index.label} ({number + 1} of {len(plan.rebuilds)})")
                self._rebuild(rebuild, watch)
        for refresh in plan.refreshes:
            self._refresh(refresh)
        return self.done

    def _why_stop(self) -> str | None:
        self.progress.check()
        if self._deadline is not None and time.monotonic() >= self._deadline:
            return f"max_seconds ({self.options['max_seconds']:g}) are over"
        closed = window_refusal(self.options)
        return None if closed is None else closed[0]

    # --- leftovers
    def _drop_leftover(self, drop: Drop) -> None:
        failure = self._drop(drop.leftover)
        if failure is None:
            self.done.actions.append(drop.as_dict())
            self.done.after[drop.leftover.label] = None
        else:
            self.done.refused.append(failure)

    def _drop(self, each: Leftover) -> Refusal | None:
        error = self._patiently(each.statement)
        if error is None:
            return None
        return Refusal(
            each.label,
            f"it is left over from a broken rebuild and could not be dropped: {error.message}",
            "Run the task again when nobody holds its table; it goes on from there.",
        )

    def _clean_after(self, index: Index) -> str:
        """Drop at once what a rebuild of this index left behind; what happened, as a sentence for its refusal."""
        found, _foreign = left.read(self.session)
        mine = [each for each in found if each.of == index.label and each.worker is None]
        for each in mine:
            if not each.may_drop:
                return f" It left {each.label} behind, which only the owner of the table may drop: {each.text};"
            if self._drop(each) is not None:
                return f" It left {each.label} behind, which cannot be dropped yet; the next run does that."
        return " What it left behind has been dropped." if mine else ""

    def _patiently(self, statement: sql.Composed, *, in_transaction: bool = False) -> QueryError | None:
        """Run a statement, again after a random moment when it does not get its lock; the last error, or None."""
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                with self.session.transaction() if in_transaction else contextlib.nullcontext():
                    self.session.query(statement)
            except QueryError as error:
                if error.sqlstate != _LOCKED or attempt == _ATTEMPTS:
                    return error
                # All who wait in step collide in step.
                time.sleep(random.uniform(0.2, 1.0) * attempt)  # noqa: S311
            else:
                return None
        return None

    # --- rebuilds
    def _rebuild(self, rebuild: Rebuild, watch: Watch) -> None:
        before = read_one(self.session, self.catalog, rebuild.index.label)
        if before is None or before.oid != rebuild.index.oid:
            self._refuse(rebuild, "it was changed or dropped meanwhile", "Run the task again.")
            return
        before = replace(before, may_rebuild=rebuild.index.may_rebuild)
        around = self.look_around()
        found = refusal(before, around) or self._lock_refusal(before)
        if found is not None:
            self._refuse(rebuild, found.reason, found.remedy)
            return
        began = time.monotonic()
        try:
            self._run(rebuild, watch)
        except QueryError as error:
            self._failed(rebuild, error, watch)
            return
        except Stopped:
            # The statement is cancelled by now. Where that cost the connection, the next run cleans up.
            with contextlib.suppress(RunbookError):
                self._clean_after(rebuild.index)
            raise
        self._prove(rebuild, before, time.monotonic() - began)

    def _run(self, rebuild: Rebuild, watch: Watch) -> None:
        """The statement waits for others' transactions, keeping nobody waiting meanwhile, so it may take its time."""
        self._wait_at_most(self.options["max_wait_seconds"])
        try:
            self.session.query(rebuild.statement, on_wait=watch)
        finally:
            with contextlib.suppress(Unavailable):
                self._wait_at_most(self.options["lock_timeout"])

    def _wait_at_most(self, seconds: float) -> None:
        self.session.configure({"lock_timeout": str(round(seconds * 1000))})

    def _lock_refusal(self, index: Index) -> Refusal | None:
        """Whether the lock that a rebuild begins with can be had soon; it goes with writing and reading."""
        if index.table_kind != "r":
            return None
        lock = sql.SQL("LOCK TABLE ONLY {} IN SHARE UPDATE EXCLUSIVE MODE").format(
            sql.Identifier(index.schema, index.table)
        )
        error = self._patiently(lock, in_transaction=True)
        if error is None:
            return None
        return Refusal(
            index.label,
            f"its table is locked by VACUUM, ANALYZE or a change of its definition ({error.message})",
            "Run the task again when that is done; postgresql_health_info shows who it is.",
        )

    def _failed(self, rebuild: Rebuild, error: QueryError, watch: Watch) -> None:
        reason = f"its rebuild failed: {error.message}"
        if error.sqlstate == _LOCKED:
            whom = f"process {watch.waits_for}" if watch.waits_for else "another transaction"
            reason = f"its rebuild waited {self.options['max_wait_seconds']:g} seconds for {whom} and gave up"
        cleaned = self._clean_after(rebuild.index)
        self._refuse(
            rebuild, f"{reason}.{cleaned}".rstrip("."), _REMEDIES.get(error.sqlstate or "", "Read the server log.")
        )

    def _refuse(self, rebuild: Rebuild, reason: str, remedy: str) -> None:
        self.done.refused.append(Refusal(rebuild.index.label, reason, remedy))
        self.done.failed_collations.update(rebuild.collations)

    def _prove(self, rebuild: Rebuild, before: Index, seconds: float) -> None:
        """Look at the index again: a success that cannot be seen is none."""
        index = read_one(self.session, self.catalog, rebuild.index.label)
        if index is None or not index.is_valid or index.filenode == before.filenode:
            self._refuse(
                rebuild, "the server reported success, but the index is not a new and valid one", "Read its log."
            )
            return
        for each in left.read(self.session)[0]:
            if each.of == index.label and each.worker is None:
                self._drop(each)
        self.done.actions.append(rebuild.as_dict())
        pages = None
        if self.catalog.density_schema is not None and index.method == "btree":
            pages = read_pages(self.session, self.catalog.density_schema, index.oid)
        figures = index_figures(index, pages)
        self.done.after[index.label] = figures
        self.done.rebuilt.append(
            {
                "index": index.label,
                "reason": rebuild.reason,
                "method": rebuild.measurement.method,
                "confidence": rebuild.measurement.confidence,
                "size_before_bytes": before.size_bytes,
                "size_after_bytes": index.size_bytes,
                "saved_bytes": before.size_bytes - index.size_bytes,
                "seconds": round(seconds, 3),
            }
        )
        versions = versions_of(rebuild.collations, self.catalog.drift) if rebuild.collations else None
        self.baseline.rebuilt(index, iso(utc_now()), versions)
        self.baseline.write()

    # --- collations
    def _refresh(self, refresh: Refresh) -> None:
        if self.done.remaining or refresh.oid in self.done.failed_collations:
            self.done.refused.append(
                Refusal(
                    refresh.label,
                    "not all of its indexes were rebuilt, so its version was not recorded",
                    "Run the task again.",
                )
            )
            return
        error = self._patiently(refresh.statement)
        if error is None:
            self.done.actions.append(refresh.as_dict())
            self.done.after[refresh.label] = {"version": refresh.actual}
        else:
            self.done.refused.append(
                Refusal(refresh.label, f"its version could not be recorded: {error.message}", "Run the task again.")
            )


def index_figures(index: Index, pages: Any) -> dict[str, Any]:
    """An index in the result's C(before) and C(after)."""
    return {
        "size_bytes": index.size_bytes,
        "leaf_density_percent": None if pages is None else pages.density,
        "leaf_fragmentation_percent": None if pages is None else pages.fragmentation,
        "bytes_per_row": index.bytes_per_row,
        "filenode": index.filenode,
        "is_valid": index.is_valid,
    }
