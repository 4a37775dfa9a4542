# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module from its options to its result: read, measure, plan, guard, carry out, prove."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import RunbookError, Unavailable
from ansible_collections.runbook.ops.plugins.module_utils.common.guards import window_refusal
from ansible_collections.runbook.ops.plugins.module_utils.common.outcome import (
    Refusal,
    Refused,
    check_refusals,
    outcome,
)
from ansible_collections.runbook.ops.plugins.module_utils.common.progress import Progress, Stopped
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.client import Session
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.errors import QueryError
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.maintenance.headroom import (
    Headroom,
    disk_headroom,
)
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.maintenance.options import check_guards
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.maintenance.session import maintenance_session
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.reindex import catalog as read
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.reindex import leftovers
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.reindex.apply import Done, Worker, index_figures
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.reindex.baseline import Baseline
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.reindex.catalog import Catalog
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.reindex.guards import (
    Surroundings,
    why_not_this_server,
)
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.reindex.lag import is_limited
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.reindex.leftovers import Leftover, quoted
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.reindex.model import (
    Index,
    Measurement,
    estimate,
    measured_density,
    measured_growth,
)
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.reindex.plan import (
    Findings,
    Plan,
    check_names,
    check_options,
    is_due,
    is_named,
    make_plan,
    wants_measuring,
)

PURPOSE = "postgresql_reindex"
# pg_default and pg_global are the data directory.
_IN_DATA_DIRECTORY = (0, 1663, 1664)


def reindex(options: Mapping[str, Any], *, check_mode: bool = False, diff: bool = False) -> dict[str, Any]:
    """The whole result of the module.

    Raises:
        InvalidOption: before anything is touched.
        Refused: a guard stands against the whole run, or something due was refused; the plan travels along.
        Stopped: somebody wanted the end; how far it went travels along.
        Unavailable: the server cannot be reached, or the connection was lost.

    """
    check_options(options)
    check_guards(options)
    baseline = Baseline(options["baseline_path"], options["baseline"])
    with (
        Progress(options["progress_path"]).stoppable() as progress,
        maintenance_session(options, purpose=PURPOSE, check_mode=check_mode) as session,
    ):
        capabilities = read.read_capabilities(session)
        corrupts = why_not_this_server(capabilities.version_num)
        if corrupts is not None:
            raise Refused(f"{corrupts[0]}. {corrupts[1]}")
        progress.phase("measure", f"database {capabilities.database}")
        catalog = read.read_catalog(session, capabilities, options)
        check_names(options["indexes"], catalog.indexes, capabilities.database)
        if catalog.system_identifier is not None:
            baseline.belongs_to(catalog.system_identifier, capabilities.database)
        elif baseline.is_kept:
            raise Refused(
                "The server cannot be told from others, so baseline_path cannot be kept. "
                f"GRANT EXECUTE ON FUNCTION pg_control_system() TO {capabilities.quoted_user};"
            )
        try:
            return Run(session, options, catalog, baseline, progress).run(check_mode=check_mode, diff=diff)
        except Stopped as error:
            if error.details:
                raise
            raise Stopped(f"{error.message}. Nothing was changed yet. Run the task again.") from None


class Run:
    """One run, from the measurements on."""

    def __init__(
        self, session: Session, options: Mapping[str, Any], catalog: Catalog, baseline: Baseline, progress: Progress
    ) -> None:
        self._session, self._options, self._catalog = session, options, catalog
        self._baseline, self._progress = baseline, progress
        self._measurements: dict[int, Measurement] = {}
        self._failures: dict[int, Refusal] = {}

    def run(self, *, check_mode: bool, diff: bool) -> dict[str, Any]:
        """Measure, plan and, unless in check mode, carry the plan out."""
        left, foreign = leftovers.read(self._session)
        left = [each for each in left if self._concerns(each)]
        excluded = self._options["exclude"]
        indexes = [each for each in self._catalog.indexes if not excluded or not is_named(each, excluded)]
        self._measure([each for each in indexes if each.oid not in {other.oid for other in left}])
        around = self._look_around()
        capabilities = self._catalog.capabilities
        findings = Findings(
            indexes=indexes,
            measurements=self._measurements,
            failures=self._failures,
            leftovers=left,
            drift=self._catalog.drift,
            drifted=self._catalog.drifted,
            database=capabilities.database,
            how_to_measure=self._catalog.density_remedy,
        )
        plan = make_plan(findings, around, self._options, self._baseline)
        common = {
            "candidates": plan.candidates,
            "foreign_invalid": foreign,
            "collation_drift": plan.drift,
            "unseen": self._unseen(),
        }
        before = self._before(plan)
        predicted = self._result(plan, None, before, common, diff)
        self._check_run(plan, predicted)
        if check_mode:
            check_refusals(predicted, self._options["on_refusal"])
            return predicted
        worker = Worker(
            self._session, self._options, self._catalog, self._baseline, self._progress, look_around=self._look_around
        )
        try:
            worker.carry_out(plan)
        except (Stopped, Unavailable) as error:
            raise self._interrupted(error, self._result(plan, worker.done, before, common, diff), plan) from None
        for index in indexes:
            if index.size_bytes >= self._options["min_index_bytes"] and index.label not in worker.done.after:
                self._baseline.see(index)
        self._baseline.write()
        result = self._result(plan, worker.done, before, common, diff)
        check_refusals(result, self._options["on_refusal"])
        return result

    def _concerns(self, each: Leftover) -> bool:
        """Whether a leftover is among what was chosen: by its own name or that of the index it was made for."""
        names = {each.label, each.name, quoted(each.schema, each.name)}
        names |= {each.of, each.twin, quoted(each.schema, each.twin)}
        chosen, schemas = self._options["indexes"], self._options["schemas"]
        if names & set(self._options["exclude"]) or (chosen and not names & set(chosen)):
            return False
        return not schemas or each.table_schema in schemas

    # --- measuring
    def _measure(self, indexes: list[Index]) -> None:
        block_size = self._catalog.block_size
        columns = read.read_columns(self._session, [each.oid for each in indexes if each.method == "btree"])
        schema = self._catalog.density_schema
        for number, index in enumerate(indexes):
            self._progress.phase("measure", f"{index.label} ({number + 1} of {len(indexes)})")
            guess = estimate(index, columns.get(index.oid, ()), block_size)
            recorded = self._baseline.bytes_per_row(index)
            grown = None if recorded is None else measured_growth(index, *recorded)
            found = guess
            if recorded is not None and grown is not None:
                # What was merely seen may have been bloated at that time: only growth over it proves something.
                proves = grown.decides and (recorded[1] != "seen" or is_due(grown, self._options))
                found = grown if proves else replace(guess, baseline_bytes_per_row=recorded[0])
            if schema is not None and wants_measuring(index, guess, grown, self._options):
                found = self._read_pages(index, schema, block_size) or found
            self._measurements[index.oid] = found

    def _read_pages(self, index: Index, schema: str, block_size: int) -> Measurement | None:
        try:
            pages = read.read_pages(self._session, schema, index.oid, self._progress.check)
        except QueryError as error:
            self._failures[index.oid] = Refusal(
                index.label, f"it could not be measured: {error.message}", "Run the task again; read the server log."
            )
            return None
        return measured_density(index, pages, block_size)

    # --- surroundings
    def _look_around(self) -> Surroundings:
        capabilities = self._catalog.capabilities

        return Surroundings(
            user=capabilities.quoted_user,
            version_num=capabilities.version_num,
            database_tablespace=self._catalog.tablespace,
            max_wait_seconds=self._options["max_wait_seconds"],
            allow_unknown_disk=self._options["allow_unknown_disk"],
            transactions=read.read_transactions(self._session, self._options["max_wait_seconds"]),
            builders=read.read_builders(self._session),
            free=_Room(self._session, self._options),
        )

    def _unseen(self) -> list[str]:
        """What the role may not see, and what keeps it harmless."""
        capabilities = self._catalog.capabilities
        if capabilities.reads_stats:
            return []
        return [
            "Transactions of other roles cannot be seen beforehand, so a rebuild may wait for them; it gives up after "
            f"max_wait_seconds and cleans up. GRANT pg_read_all_stats TO {capabilities.quoted_user};"
        ]

    # --- guards of the whole run
    def _check_run(self, plan: Plan, predicted: Mapping[str, Any]) -> None:
        capabilities = self._catalog.capabilities
        predicted = {**predicted, "changed": False}
        if is_limited(self._options) and not capabilities.reads_stats:
            raise Refused(
                "The lag of standbys cannot be seen, so max_replica_lag_bytes and max_replica_lag_seconds cannot be "
                f"kept. GRANT pg_read_all_stats TO {capabilities.quoted_user};",
                **predicted,
            )
        if not plan.actions:
            return
        closed = window_refusal(self._options)
        if closed is not None:
            raise Refused(f"Nothing is rebuilt because {closed[0]}. {closed[1]}", **predicted)
        count, size = len(plan.rebuilds), sum(each.index.size_bytes for each in plan.rebuilds)
        most, most_bytes = self._options["max_indexes"], self._options["max_bytes"]
        if most is not None and count > most:
            raise Refused(
                f"{count} indexes are due and max_indexes allows {most}, so none was touched. See actions, then raise "
                "max_indexes, or choose with indexes, schemas or exclude.",
                **predicted,
            )
        if most_bytes is not None and size > most_bytes:
            raise Refused(
                f"The indexes that are due have {size} bytes and max_bytes allows {most_bytes}, so none was touched. "
                "See actions, then raise max_bytes, or choose with indexes, schemas or exclude.",
                **predicted,
            )

    # --- results
    def _before(self, plan: Plan) -> dict[str, Any]:
        before: dict[str, Any] = {
            each.leftover.label: {"size_bytes": each.leftover.size_bytes, "is_valid": False} for each in plan.drops
        }
        for rebuild in plan.rebuilds:
            before[rebuild.index.label] = index_figures(rebuild.index, rebuild.measurement.pages)
        for refresh in plan.refreshes:
            before[refresh.label] = {"version": refresh.recorded}
        return before

    def _result(
        self, plan: Plan, done: Optional[Done], before: dict[str, Any], common: Mapping[str, Any], diff: bool
    ) -> dict[str, Any]:
        actions = plan.actions if done is None else done.actions
        rebuilt = [] if done is None else done.rebuilt
        result = outcome(
            changed=bool(actions),
            actions=actions,
            refused=[*plan.refused, *(done.refused if done is not None else ())],
            before=before,
            after=None if done is None else done.after,
            rebuilt=rebuilt,
            saved_bytes=sum(each["saved_bytes"] for each in rebuilt) if done is not None else None,
            remaining=[] if done is None else done.remaining,
            remaining_because=None if done is None else done.remaining_because,
            **common,
        )
        if diff:
            result["diff"] = {"before": _lines(before), "after": _lines(_expected(before, plan, done))}
        return result

    def _interrupted(self, error: RunbookError, result: dict[str, Any], plan: Plan) -> RunbookError:
        done = len(result["actions"])
        resume = (
            f"{done} of {len(plan.actions)} actions were carried out and every index in use is whole. Run the task "
            "again: it cleans up what may have been left behind and goes on."
        )
        return type(error)(f"{error.message.rstrip('.')}. {resume}", **result)


class _Room:
    """The free bytes by tablespace, asked for once."""

    def __init__(self, session: Session, options: Mapping[str, Any]) -> None:
        self._session, self._options = session, options
        self._known: dict[int, Headroom] = {}

    def __call__(self, tablespace: int) -> Headroom:
        place = 0 if tablespace in _IN_DATA_DIRECTORY else tablespace
        if place not in self._known:
            self._known[place] = disk_headroom(self._session, self._options, place)
        return self._known[place]


def _expected(before: Mapping[str, Any], plan: Plan, done: Optional[Done]) -> dict[str, Any]:
    """What C(before) became; in check mode, what of it is known."""
    if done is not None:
        return {key: done.after.get(key, value) for key, value in before.items()}
    after: dict[str, Any] = dict(before)
    for drop in plan.drops:
        after[drop.leftover.label] = None
    for rebuild in plan.rebuilds:
        after[rebuild.index.label] = {"rebuilt": True}
    for refresh in plan.refreshes:
        after[refresh.label] = {"version": refresh.actual}
    return after


def _lines(figures: Mapping[str, Any]) -> str:
    """One line an object, for people."""
    lines = []
    for name, facts in figures.items():
        if facts is not None:
            lines.append(f"{name}: " + ", ".join(f"{key} {value}" for key, value in facts.items() if value is not None))
    return "".join(f"{line}\n" for line in lines)
