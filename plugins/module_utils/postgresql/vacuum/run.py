# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The whole of postgresql_vacuum: measure, plan, guard, carry out, prove."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import RunbookError
from ansible_collections.runbook.ops.plugins.module_utils.common.guards import window_refusal
from ansible_collections.runbook.ops.plugins.module_utils.common.outcome import (
    Refused,
    check_refusals,
    outcome,
)
from ansible_collections.runbook.ops.plugins.module_utils.common.progress import Progress, Stopped
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.client import Session
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.maintenance.session import maintenance_session
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.vacuum import measure
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.vacuum.apply import Run, Worker, interrupted
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.vacuum.full import (
    exclusive_refusal,
    survey_rewrites,
)
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.vacuum.horizon import Horizon
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.vacuum.options import (
    Rules,
    check_options,
    ignored_options,
    rules_from,
)
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.vacuum.plan import (
    DEAD,
    Plan,
    Reason,
    futile_for,
    make_plan,
    plan_lines,
    scope_of,
)

PURPOSE = "postgresql_vacuum"


def run_vacuum(options: Mapping[str, Any], *, check_mode: bool, diff: bool) -> dict[str, Any]:
    """The module's result for its options.

    Raises:
        InvalidOption: an option that cannot work.
        Refused: a guard said no; the plan travels along in the details, and nothing, or nothing more, was done.
        Stopped: somebody wanted the end; what was done travels along.
        Unavailable: the server cannot be reached.

    """
    check_options(options)
    progress = Progress(options["progress_path"])
    with progress.stoppable(), maintenance_session(options, purpose=PURPOSE, check_mode=check_mode) as session:
        progress.phase("measure", options["login_db"])
        server = measure.ask_server(session)
        rules = rules_from(options, major=server.major, quoted_user=server.quoted_user, database=server.database)
        target = measure.find_target(session, options, server)
        rows = measure.measure_tables(session, target, rules, server)
        where = measure.find_horizon(session, server)
        plan = _plan(session, options, rules, rows, where)
        more: dict[str, Any] = {
            "database": server.database,
            "table_count": measure.count_tables(session, target, rules),
            "horizon": _horizon(where, rows),
            "ignored_options": ignored_options(options, server.major),
            **({"diff": dict(zip(("before", "after"), plan_lines(plan)))} if diff else {}),
        }
        planned = outcome(
            changed=bool(plan.actions),
            actions=[action.as_dict() for action in plan.actions],
            refused=plan.refused,
            before=_figures(plan, rows),
            after=None,
            remaining=[],
            **more,
        )
        check_plan(plan, options, planned)
        if check_mode or not plan.actions:
            if not check_mode:
                planned["after"] = planned["before"]
            check_refusals(planned, options["on_refusal"])
            return planned
        worker = Worker(session, options, rules, server, target, progress)
        result = _carry_out(worker, plan, rows, more)
    check_refusals(result, options["on_refusal"])
    return result


def _plan(
    session: Session, options: Mapping[str, Any], rules: Rules, rows: Sequence[measure.Row], where: Horizon
) -> Plan:
    rewrites = None
    if rules.full:
        rewrites = survey_rewrites(session, rows, options, rules, _futile(rows, rules, where))
    return make_plan(rows, rules, where, busy=measure.find_busy(session), rewrites=rewrites)


def _futile(rows: Sequence[measure.Row], rules: Rules, where: Horizon) -> frozenset[int]:
    """Tables whose dead rows somebody still needs."""
    dead = Reason(DEAD, "")
    return frozenset(row["oid"] for row in rows if futile_for(row, rules, where, dead))


def check_plan(plan: Plan, options: Mapping[str, Any], planned: Mapping[str, Any]) -> None:
    """The guards of the whole run.

    Raises:
        Refused: with the plan in the details.

    """
    if not plan.actions:
        return
    due, limit = len({action.oid for action in plan.tables}), options["max_tables"]
    if limit is not None and due > limit:
        raise Refused(
            f"{due} tables are due, which is more than max_tables ({limit}). Nothing was done. Look at why there are "
            "so many, then raise max_tables or name some of them in tables.",
            **_refused(planned),
        )
    refusal = window_refusal(options)
    if refusal:
        raise Refused(f"{due} tables are due, but {refusal[0]}. {refusal[1]}", **_refused(planned))
    if plan.rewrites:
        exclusive = exclusive_refusal(options, [action.qualified for action in plan.rewrites])
        if exclusive:
            raise Refused(exclusive, **_refused(planned))


def _refused(planned: Mapping[str, Any]) -> dict[str, Any]:
    return {**planned, "changed": False}


def _carry_out(worker: Worker, plan: Plan, rows: Sequence[measure.Row], more: Mapping[str, Any]) -> dict[str, Any]:
    if worker.options["cost_delay"] is not None:
        worker.session.configure({"vacuum_cost_delay": f"{worker.options['cost_delay']:g}ms"})
    run = Run(refused=list(plan.refused))
    before = _figures(plan, rows)

    def result() -> dict[str, Any]:
        return outcome(
            changed=bool(run.done),
            actions=run.done,
            refused=run.refused,
            before=before,
            after=_figures(plan, [run.after.get(row["oid"], row) for row in rows]),
            remaining=run.remaining,
            **more,
        )

    try:
        worker.carry_out(plan, run)
    except Stopped as stop:
        raise Stopped(interrupted(stop, plan, run), **result()) from None
    except RunbookError as error:
        raise RunbookError(interrupted(error, plan, run), **result()) from None
    return result()


def _figures(plan: Plan, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Sums over the tables that the plan is about."""
    concerned = {action.oid for action in plan.tables}
    mine = [row for row in rows if row and row["oid"] in concerned]
    return {
        "tables": len(concerned),
        "dead_rows": sum((row["dead_rows"] or 0) + (row["toast_dead_rows"] or 0) for row in mine),
        "total_bytes": sum(row["total_bytes"] for row in mine),
    }


def _horizon(where: Horizon, rows: Sequence[measure.Row]) -> dict[str, Any]:
    """The oldest holder that matters to the tables that were measured."""
    scopes = sorted({scope_of(row) for row in rows}) or ["data"]
    holders = [holder for scope in scopes if (holder := where.holder(scope)) is not None]
    oldest = max(holders, key=lambda holder: holder.xid_age, default=None)
    return {"sees_all": where.sees_all, "holder": oldest.as_dict() if oldest else None}
