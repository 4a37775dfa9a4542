# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Policies in, result out: plan, guard, apply, prove."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import RunbookError
from ansible_collections.runbook.ops.plugins.module_utils.common.guards import window_refusal
from ansible_collections.runbook.ops.plugins.module_utils.common.outcome import (
    Refusal,
    Refused,
    outcome,
)
from ansible_collections.runbook.ops.plugins.module_utils.common.progress import Progress, Stopped
from ansible_collections.runbook.ops.plugins.module_utils.common.timezones import moment
from ansible_collections.runbook.ops.plugins.module_utils.object_store.client import Store
from ansible_collections.runbook.ops.plugins.module_utils.object_store.client import connect as connect_store
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.client import Session
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.errors import QueryError
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.maintenance.session import maintenance_session
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.retention.apply import Moved, Mover, batch_of
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.retention.catalog import read_catalog
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.retention.due import (
    Due,
    Work,
    check_max_rows,
    figures,
    find_due,
)
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.retention.export import (
    DirectoryWriter,
    open_writer,
)
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.retention.keep import cutoff_literal
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.retention.ledger import Ledger
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.retention.options import check_options
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.retention.pace import Pace, pace_options
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.retention.partitions import (
    Detachment,
    Partitions,
    detach,
    find_partitions,
    finish,
)
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.retention.plan import Plan, decide
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.retention.policy import (
    Policy,
    TableName,
    parse_table,
)
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.retention.pressure import Pressure
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.retention.prove import (
    Proof,
    measure_archive,
    prove,
)
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.retention.statements import vacuum

PURPOSE = "postgresql_retention"
# A commit that a crash may take back would leave files without their line in the ledger.
_DURABLE = """
SELECT set_config('synchronous_commit', 'on', false) AS durable WHERE current_setting('synchronous_commit') = 'off'
"""
# Within the database a crash takes rows, archive and ledger back together, so a batch need not wait for the disk; and
# others who commit do not queue behind its flush.
_RELAXED = {"synchronous_commit": "off"}
_GENTLE_VACUUM = {"vacuum_cost_delay": "2ms", "vacuum_cost_limit": "200"}
# The text of a value is part of hashes, cursors and files: it must not depend on anybody's settings.
_TEXT = {"DateStyle": "ISO, YMD", "extra_float_digits": "1", "bytea_output": "hex", "xmloption": "content"}
_RESUME = "What was moved is whole and noted in the ledger. Run the task again: it goes on where this run ended."


@dataclass
class _Run:
    """What has been decided and done so far."""

    refusals: list[Refusal] = field(default_factory=list)
    actions: list[dict[str, Any]] = field(default_factory=list)
    before: dict[str, Any] = field(default_factory=dict)
    after: dict[str, Any] = field(default_factory=dict)
    policies: dict[str, dict[str, Any]] = field(default_factory=dict)
    vacuumed: list[dict[str, Any]] = field(default_factory=list)
    paused_seconds: float = 0.0
    pause_reasons: dict[str, float] = field(default_factory=dict)
    unreadable: list[str] = field(default_factory=list)
    changed: bool = False

    def result(self, *, check_mode: bool) -> dict[str, Any]:
        return outcome(
            changed=bool(self.actions) if check_mode else self.changed,
            actions=self.actions,
            refused=self.refusals,
            before=self.before,
            after=None if check_mode else self.after,
            policies=list(self.policies.values()),
            vacuumed=self.vacuumed,
            paused_seconds=round(self.paused_seconds, 1),
            pause_reasons=self.pause_reasons,
            unreadable_limits=self.unreadable,
        )


def enforce(options: Mapping[str, Any], *, check_mode: bool, progress: Progress) -> dict[str, Any]:
    """The module's result.

    Raises:
        InvalidOption: before anything is touched.
        Refused: a guard of the whole run said no; nothing was changed.
        Stopped: somebody asked for the end, or a pause took too long; the details hold what was done.
        RunbookError: something failed or does not add up; the details hold what was done before.

    """
    policies = check_options(options)
    closed = window_refusal(options)
    if closed is not None:
        raise Refused(f"Retention was not enforced: {closed[0]}. {closed[1]}", **_Run().result(check_mode=check_mode))
    run = _Run()
    try:
        with maintenance_session(options, purpose=PURPOSE, check_mode=check_mode) as session:
            session.configure(_TEXT)
            _enforce(session, policies, options, run, check_mode=check_mode, progress=progress)
    except Stopped as stopped:
        raise Stopped(f"{stopped.message}. {_RESUME}", **run.result(check_mode=check_mode)) from None
    except Refused as refused:
        raise Refused(refused.message, **{**run.result(check_mode=check_mode), **refused.details}) from None
    except RunbookError as error:
        if not run.policies:
            raise
        # The connection, a file or a proof failed on the way.
        details = {**run.result(check_mode=check_mode), **error.details}
        raise RunbookError(f"{error.message} {_RESUME}", **details) from None
    return run.result(check_mode=check_mode)


def with_diff(result: Mapping[str, Any]) -> dict[str, Any]:
    """The result with due rows before and after as text; in check mode, what would be left if all goes well."""
    after = result["after"]
    if after is None:
        after = {name: {**figures_, "rows_due": 0} for name, figures_ in result["before"].items()}
    return {**result, "diff": {"before": _lines(result["before"]), "after": _lines(after)}}


def _lines(by_policy: Mapping[str, Mapping[str, Any]]) -> str:
    return "".join(f"{name}: {each['rows_due']} due rows\n" for name, each in by_policy.items())


def _enforce(
    session: Session,
    policies: Sequence[Policy],
    options: Mapping[str, Any],
    run: _Run,
    *,
    check_mode: bool,
    progress: Progress,
) -> None:
    catalog = read_catalog(session)
    now, zone = moment(options["reference_time"]), options["timezone"]
    plans: list[tuple[Plan, str]] = []
    grants: list[str] = []
    progress.phase("plan", catalog.role.database, total=len(policies), unit="policies")
    for policy in policies:
        decision = decide(policy, catalog.relation, catalog.role)
        run.refusals += decision.refusals
        grants += [grant for grant in decision.grants if grant not in grants]
        if decision.plan is not None:
            cutoff = cutoff_literal(
                policy.keep.before(now, zone), decision.plan.column_type, policy.column_timezone or zone
            )
            plans.append((decision.plan, cutoff))
        progress.advance(1)
    ledger = Ledger(session, parse_table(options["ledger"], "ledger"))
    ledger.look(catalog.role)
    if plans:
        grants += ledger.grants
    if grants:
        raise Refused(
            f"{catalog.role.name} lacks privileges for the policies; nothing was done. Run as owner: {' '.join(grants)}"
        )
    open_jobs = ledger.open_jobs([plan.policy.name for plan, _due in plans])
    by_rows = [(plan, cutoff) for plan, cutoff in plans if plan.policy.action != "detach"]
    due = find_due(session, by_rows, open_jobs, catalog.role.version_num, progress)
    partitions = Partitions()
    for plan, cutoff in plans:
        if plan.policy.action == "detach":
            found = find_partitions(session, plan, cutoff, open_jobs, catalog.role.version_num)
            partitions.works += found.works
            due.refusals += found.refusals
            due.abandoned += found.abandoned
    run.refusals += due.refusals
    _announce(run, plans, due, partitions, ledger, options)
    too_many = check_max_rows(due.works)
    if too_many is not None:
        raise Refused(f"{too_many[0]}. {too_many[1]}")
    if check_mode or not (due.works or due.abandoned or partitions.works):
        run.after = dict(run.before)
        return
    _carry_out(session, due, partitions, ledger, options, run, progress)


def _announce(
    run: _Run,
    plans: Sequence[tuple[Plan, str]],
    due: Due,
    partitions: Partitions,
    ledger: Ledger,
    options: Mapping[str, Any],
) -> None:
    """Write down what will be done, which is all that check mode does."""
    pace = pace_options(options)
    run.before = {plan.policy.name: {"rows_due": 0, "child_rows_due": 0} for plan, _due in plans}
    run.before.update(figures(due.works))
    for detachment in partitions.works:
        entry = run.before[detachment.plan.policy.name]
        entry["rows_due"] += detachment.rows or 0
        entry["partitions_due"] = entry.get("partitions_due", 0) + 1
    if (due.works or partitions.works) and not ledger.exists:
        run.actions.append({"policy": None, "action": "create", "object": str(ledger.name)})
    run.actions += [
        {"policy": job.policy, "action": "abandon", "object": job.relation, "cutoff": job.cutoff}
        for job in due.abandoned
    ]
    run.actions += [work.action(pace) for work in due.works]
    run.actions += [detachment.action() for detachment in partitions.works]


def _carry_out(
    session: Session,
    due: Due,
    partitions: Partitions,
    ledger: Ledger,
    options: Mapping[str, Any],
    run: _Run,
    progress: Progress,
) -> None:
    store: Store | None = None
    exports = [work.plan.policy.export for work in due.works] + [each.plan.policy.export for each in partitions.works]
    if any(export is not None and export.bucket for export in exports):
        store = connect_store(options["s3"] or {})
    ledger.create()
    run.changed = True
    run.after = {name: {"rows_due": 0} for name, entry in run.before.items() if not entry["rows_due"]}
    for job in due.abandoned:
        # What it has written and not deleted is due under the changed policy, and would be there twice.
        if job.action == "export" and job.destination.startswith("/"):
            DirectoryWriter(job.destination).drop(batch_of(job).stem)
    ledger.abandon(due.abandoned)
    pressure = Pressure(session, options, progress)
    if options["throttle"] == "gentle":
        # VACUUM by hand knows no rest of its own.
        session.configure(_GENTLE_VACUUM)
    touched: dict[TableName, int] = {}
    try:
        for work in due.works:
            _job(session, work, ledger, options, run, pressure, store, progress, touched)
        for detachment in partitions.works:
            _detachment(session, detachment, ledger, options, run, pressure, store, progress)
    finally:
        run.paused_seconds, run.pause_reasons = pressure.paused_seconds, pressure.reasons
        run.unreadable = pressure.unreadable
    if options["vacuum"]:
        session.configure(_lock_timeout(options))
        _vacuum(session, touched, run, progress)


def _job(
    session: Session,
    work: Work,
    ledger: Ledger,
    options: Mapping[str, Any],
    run: _Run,
    pressure: Pressure,
    store: Store | None,
    progress: Progress,
    touched: dict[TableName, int],
) -> None:
    policy, root = work.plan.policy, work.statements.root
    entry = run.policies.setdefault(policy.name, _entry(policy, work.job.cutoff))
    if touched:
        # An earlier policy may have moved rows that are due under this one, too.
        work.rows = _recount(session, work, progress)
    progress.phase("measure", str(root.table))
    archive = measure_archive(session, work, progress)
    writer = None if policy.export is None else open_writer(policy.export, store)
    if policy.export is not None:
        session.query(_DURABLE)
    elif options["throttle"] == "gentle":
        session.configure(_RELAXED)
    if not work.is_resumed:
        ledger.begin(work.job)
    progress.phase(policy.action, str(root.table), total=work.rows, unit="rows")
    pace = Pace(pace_options(options))
    mover = Mover(
        session, work.statements, ledger, work.job, pace=pace, pressure=pressure, progress=progress, writer=writer
    )
    try:
        moved = mover.run()
    finally:
        _report(entry, mover.moved, work)
        for name, rows in mover.moved.rows.items():
            touched[name] = touched.get(name, 0) + rows
    progress.phase("prove", str(root.table))
    proof = prove(session, work, moved, archive, progress)
    entry["proof"].append(proof.as_dict())
    entry["remaining"] += moved.remaining or 0
    run.after.setdefault(policy.name, {"rows_due": 0})
    run.after[policy.name]["rows_due"] += moved.remaining or 0
    ledger.set_state(work.job, "done", moved.remaining)
    _check(proof, policy)


def _detachment(
    session: Session,
    work: Detachment,
    ledger: Ledger,
    options: Mapping[str, Any],
    run: _Run,
    pressure: Pressure,
    store: Store | None,
    progress: Progress,
) -> None:
    policy = work.plan.policy
    pressure.relieve()
    session.configure(_lock_timeout(options))
    detach(session, work, ledger, progress)
    entry = run.policies.setdefault(policy.name, _entry(policy, work.job.cutoff))
    if work.export is not None:
        work.export.rows = _recount(session, work.export, progress)
        _job(session, work.export, ledger, options, run, pressure, store, progress, {})
        session.configure(_lock_timeout(options))
    finish(session, work, ledger, progress)
    entry["partitions"].append(str(work.partition))
    run.after.setdefault(policy.name, {"rows_due": 0})


def _lock_timeout(options: Mapping[str, Any]) -> dict[str, str]:
    return {"lock_timeout": f"{round(options['lock_timeout'] * 1000)}ms"}


def _recount(session: Session, work: Work, progress: Progress) -> int:
    counted = session.query(work.statements.count_due(), work.statements.bindings, on_wait=progress.check)
    return int(counted[0]["rows"])


def _check(proof: Proof, policy: Policy) -> None:
    if proof.failures:
        raise RunbookError(
            f"Policy {policy.name}: the proof failed. {' '.join(proof.failures)} Every batch was whole by itself, so "
            "look for others who wrote to these tables meanwhile."
        )


def _entry(policy: Policy, cutoff: str) -> dict[str, Any]:
    return {
        "policy": policy.name,
        "action": policy.action,
        "table": str(policy.table),
        "to": None,
        "cutoff": cutoff,
        "rows": 0,
        "child_rows": {},
        "batches": 0,
        "divided_batches": 0,
        "seconds": 0.0,
        "rows_per_second": None,
        "remaining": 0,
        "files": [],
        "partitions": [],
        "proof": [],
    }


def _report(entry: dict[str, Any], moved: Moved, work: Work) -> None:
    root, *children = work.statements.nodes
    entry["cutoff"] = work.job.cutoff
    entry["to"] = work.job.destination or None
    entry["rows"] += moved.rows.get(root.table, 0)
    for node in children:
        name = str(node.table)
        entry["child_rows"][name] = entry["child_rows"].get(name, 0) + moved.rows.get(node.table, 0)
    entry["batches"] += moved.batches
    entry["divided_batches"] += moved.divided
    entry["seconds"] = round(entry["seconds"] + moved.seconds, 3)
    entry["rows_per_second"] = round(entry["rows"] / entry["seconds"]) if entry["seconds"] else None
    entry["files"] += moved.files


def _vacuum(session: Session, touched: Mapping[TableName, int], run: _Run, progress: Progress) -> None:
    """Give the room of the deleted rows back to the table, and the planner new statistics. Best effort."""
    for name, rows in touched.items():
        if not rows:
            continue
        progress.phase("vacuum", str(name))
        session.notices()
        try:
            session.query(vacuum(name), {}, on_wait=progress.check)
            warnings = session.notices()
        except QueryError as error:
            warnings = [error.message]
        run.vacuumed.append({"table": str(name), "done": not warnings, "reason": "; ".join(warnings) or None})
