# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Partitions that hold nothing but due rows: detached as a whole, then kept, dropped, or exported and dropped.

Detaching takes no time and deletes no row, so nothing has to be vacuumed afterwards. CONCURRENTLY it does not even
keep readers out; a DEFAULT partition rules that out (ALTER TABLE in the manual), and then the short lock of a plain
DETACH is waited for as long as lock_timeout allows.
"""

from __future__ import annotations

import contextlib
import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import RunbookError
from ansible_collections.runbook.ops.plugins.module_utils.common.outcome import Refusal
from ansible_collections.runbook.ops.plugins.module_utils.common.progress import Progress
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.client import Session
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.errors import QueryError, quote_identifier
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.retention.catalog import Leaf
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.retention.due import Work
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.retention.ledger import Job, Ledger
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.retention.plan import Plan
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.retention.policy import TableName, parse_table
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.retention.statements import (
    Statements,
    identifier,
    table,
)

with contextlib.suppress(ImportError):
    from psycopg2 import sql

_KEY = """
SELECT p.partstrat::text AS strategy, p.partnatts AS columns,
       (SELECT a.attname::text FROM pg_attribute a WHERE a.attrelid = p.partrelid AND a.attnum = p.partattrs[0]
        AND a.attnum > 0) AS first,
       p.partdefid <> 0 AS has_default
FROM pg_partitioned_table p WHERE p.partrelid = %(oid)s
"""

_PARTITIONS = """
SELECT c.oid::bigint AS oid, n.nspname::text AS schema, c.relname::text AS name, c.relkind::text AS kind,
       pg_get_expr(c.relpartbound, c.oid) AS bound, $pending AS is_pending,
       CASE WHEN c.relkind = 'r' AND c.reltuples >= 0 THEN c.reltuples::bigint END AS rows
FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE i.inhparent = %(oid)s
ORDER BY n.nspname, c.relname
"""

_DUE = """
SELECT u.name, CASE WHEN %(is_single)s THEN u.upper::{type} <= %(cutoff)s::{type}
                    ELSE u.upper::{type} < %(cutoff)s::{type} END AS is_due
FROM unnest(%(names)s::text[], %(uppers)s::text[]) u (name, upper)
"""

_DETACHED = """
SELECT c.oid::bigint AS oid, c.relkind::text AS kind, c.relispartition AS is_partition,
       CASE WHEN c.relkind = 'r' AND c.reltuples >= 0 THEN c.reltuples::bigint END AS rows
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = %(schema)s AND c.relname = %(name)s AND c.relkind IN ('r', 'p')
"""

# The first value of TO (…), as pg_get_expr() prints it: quoted, or MAXVALUE.
_UPPER = re.compile(r"\bTO \((?:'((?:[^']|'')*)'|(\w+))")
_LOCK_NOT_AVAILABLE = "55P03"
_ATTEMPTS = 5
_CONCURRENTLY = 140000


@dataclass
class Detachment:
    """One partition, and what has been done to it so far."""

    plan: Plan
    partition: TableName
    oid: int
    kind: str
    job: Job
    rows: Optional[int]
    is_attached: bool
    is_pending: bool = False
    is_concurrent: bool = True
    export: Optional[Work] = None

    def action(self) -> dict[str, Any]:
        """The entry of the module's C(actions)."""
        policy = self.plan.policy
        steps = []
        if self.is_pending:
            steps.append("DETACH PARTITION FINALIZE")
        elif self.is_attached:
            steps.append("DETACH PARTITION CONCURRENTLY" if self.is_concurrent else "DETACH PARTITION")
        if policy.after_detach == "export":
            steps.append("export")
        if policy.after_detach == "keep" and not steps:
            steps.append("nothing more: it is detached and kept")
        if policy.after_detach != "keep":
            steps.append("DROP TABLE")
        return {
            "policy": policy.name,
            "action": "detach",
            "object": str(self.partition),
            "to": str(policy.export) if policy.after_detach == "export" else None,
            "cutoff": self.job.cutoff,
            "rows": self.rows,
            "batches": 0,
            "method": ", ".join(steps),
            "resumes": self.job.number is not None,
            "children": [],
        }


@dataclass
class Partitions:
    """What is to be detached, and why something is not."""

    works: list[Detachment] = field(default_factory=list)
    refusals: list[Refusal] = field(default_factory=list)
    abandoned: list[Job] = field(default_factory=list)


def upper_bound(bound: str) -> str | None:
    """The literal that the first column of a range partition stays below; None for DEFAULT, lists and MAXVALUE. Pure.

    Args:
        bound: As pg_get_expr() prints it, C(FOR VALUES FROM ('2026-01-01') TO ('2026-02-01')).

    """
    match = _UPPER.search(bound)
    return match[1].replace("''", "'") if match and match[1] is not None else None


def find_partitions(
    session: Session, plan: Plan, cutoff: str, open_jobs: Sequence[Job], version_num: int
) -> Partitions:
    """The partitions below the cutoff, and those that an earlier run has detached and not finished."""
    found = Partitions()
    policy = plan.policy
    name = f"{policy.name}: {policy.table}"
    key = session.query(_KEY, {"oid": plan.relation.oid})[0]
    if key["strategy"] != "r" or key["first"] != policy.column:
        reason = f"it is not partitioned by range of {quote_identifier(policy.column)}"
        found.refusals.append(Refusal(name, reason, "Name the partition key in column, or use another action."))
        return found
    pending = "i.inhdetachpending" if version_num >= _CONCURRENTLY else "false"
    rows = session.query(_PARTITIONS.replace("$pending", pending), {"oid": plan.relation.oid})
    mine = [job for job in open_jobs if job.policy == policy.name]
    attached = {str(TableName(row["schema"], row["name"])) for row in rows}
    due = _due(session, plan, rows, cutoff, is_single=key["columns"] == 1)
    concurrent = version_num >= _CONCURRENTLY and not key["has_default"]
    for row in rows:
        partition = TableName(row["schema"], row["name"])
        if partition not in due and not row["is_pending"]:
            continue
        if policy.after_detach == "export" and row["kind"] != "r":
            reason = "it is partitioned itself, and only plain partitions can be exported"
            found.refusals.append(Refusal(f"{policy.name}: {partition}", reason, "Use after_detach keep."))
            continue
        job = _take(mine, plan, partition, cutoff)
        found.works.append(
            Detachment(
                plan=plan,
                partition=partition,
                oid=row["oid"],
                kind=row["kind"],
                job=job,
                rows=row["rows"],
                is_attached=True,
                is_pending=row["is_pending"],
                is_concurrent=concurrent,
            )
        )
    for job in mine:
        if job.action == "detach" and job.relation not in attached:
            _take_up(session, plan, job, found)
    taken = [work.job for work in found.works]
    found.abandoned = [
        job for job in mine if job not in taken and not (job.action == "export" and _belongs(job, found.works))
    ]
    for work in found.works:
        if policy.after_detach == "export":
            work.export = _export(work, mine, version_num)
    return found


def _belongs(job: Job, works: Sequence[Detachment]) -> bool:
    return any(job.relation == str(work.partition) for work in works)


def _due(
    session: Session, plan: Plan, rows: Sequence[Mapping[str, Any]], cutoff: str, *, is_single: bool
) -> set[TableName]:
    bounds = {str(number): upper_bound(row["bound"] or "") for number, row in enumerate(rows)}
    known = {number: bound for number, bound in bounds.items() if bound is not None}
    statement = sql.SQL(_DUE.replace("{type}", plan.column_type))
    values = {"names": list(known), "uppers": list(known.values()), "cutoff": cutoff, "is_single": is_single}
    answers = session.query(statement, values)
    chosen = [rows[int(answer["name"])] for answer in answers if answer["is_due"]]
    return {TableName(row["schema"], row["name"]) for row in chosen}


def _new_job(plan: Plan, partition: TableName, cutoff: str) -> Job:
    policy = plan.policy
    return Job(
        policy=policy.name,
        relation=str(partition),
        action="detach",
        destination=str(policy.export or ""),
        terms=f"after_detach: {policy.after_detach}",
        cutoff=cutoff,
        key_columns=(policy.column,),
    )


def _take(mine: Sequence[Job], plan: Plan, partition: TableName, cutoff: str) -> Job:
    fresh = _new_job(plan, partition, cutoff)
    return next((job for job in mine if job.is_like(fresh)), fresh)


def _take_up(session: Session, plan: Plan, job: Job, found: Partitions) -> None:
    """A partition that was detached by a run that ended before the rest."""
    partition = parse_table(_quoted(job.relation), "ledger")
    rows = session.query(_DETACHED, {"schema": partition.schema, "name": partition.name})
    if not rows or rows[0]["is_partition"] or not job.is_like(_new_job(plan, partition, job.cutoff)):
        return
    row = rows[0]
    found.works.append(
        Detachment(
            plan=plan,
            partition=partition,
            oid=row["oid"],
            kind=row["kind"],
            job=job,
            rows=row["rows"],
            is_attached=False,
        )
    )


def _quoted(relation: str) -> str:
    """The ledger's spelling, which is not quoted, as parse_table() takes it; the schema ends at the first dot."""
    schema, _dot, name = relation.partition(".")
    return ".".join('"' + part.replace('"', '""') + '"' for part in (schema, name))


def _export(work: Detachment, mine: Sequence[Job], version_num: int) -> Work:
    """The job that writes the rows of a detached partition to files."""
    plan, policy = work.plan, work.plan.policy
    [node] = plan.on_leaf(Leaf(work.oid, work.partition, work.kind))
    fresh = Job(
        policy=policy.name,
        relation=str(work.partition),
        action="export",
        destination=str(policy.export or ""),
        terms="after detach",
        cutoff=work.job.cutoff,
        key_columns=plan.order,
    )
    job = next((each for each in mine if each.is_like(fresh) and each.cutoff == fresh.cutoff), fresh)
    return Work(plan, Statements(plan, [replace(node, action="export")], fresh.cutoff, version_num), job)


def detach(session: Session, work: Detachment, ledger: Ledger, progress: Progress) -> None:
    """Detach the partition, or finish what was begun; nothing when it is detached already."""
    if work.job.number is None:
        ledger.begin(work.job)
    progress.phase("detach", str(work.partition))
    for attempt in range(_ATTEMPTS):
        state = _state(session, work)
        if state is None:
            break
        try:
            _detach_once(session, work, is_pending=state)
        except QueryError as error:
            if error.sqlstate != _LOCK_NOT_AVAILABLE or attempt == _ATTEMPTS - 1:
                raise _failed(work, "be detached", error) from None
            progress.wait(0.5 + random.random(), "waiting for the table's lock")  # noqa: S311  # only spreads attempts
    ledger.set_state(work.job, "detached")


def _state(session: Session, work: Detachment) -> bool | None:
    """Whether its detaching is pending; None when it is detached."""
    pending = "i.inhdetachpending" if session.server_version_num >= _CONCURRENTLY else "false"
    statement = f"SELECT {pending} AS is_pending FROM pg_inherits i WHERE i.inhrelid = %(oid)s"  # noqa: S608
    rows = session.query(statement, {"oid": work.oid})
    return bool(rows[0]["is_pending"]) if rows else None


def _detach_once(session: Session, work: Detachment, *, is_pending: bool) -> None:
    how = " FINALIZE" if is_pending else " CONCURRENTLY" if work.is_concurrent else ""
    session.query(
        sql.SQL("ALTER TABLE {} DETACH PARTITION {}" + how).format(
            table(work.plan.policy.table), table(work.partition)
        ),
        {},
    )


def finish(session: Session, work: Detachment, ledger: Ledger, progress: Progress) -> None:
    """Drop the partition, if it is to be dropped and holds nothing that is kept, together with the ledger's state."""
    policy = work.plan.policy
    if policy.after_detach == "keep":
        ledger.set_state(work.job, "done")
        return
    progress.phase("drop", str(work.partition))
    kept = _kept(policy.column, work)
    for attempt in range(_ATTEMPTS):
        try:
            with session.transaction():
                # Nobody writes to it between the look and the end.
                session.query(sql.SQL("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE").format(table(work.partition)), {})
                if session.query(kept, {"cutoff": work.job.cutoff}, on_wait=progress.check)[0]["kept"]:
                    raise RunbookError(
                        f"{policy.name}: {work.partition} is detached and holds rows that are to be kept or are not "
                        "exported. It was not dropped. Look at them."
                    )
                session.query(sql.SQL("DROP TABLE {}").format(table(work.partition)), {})
                ledger.set_state(work.job, "done")
        except QueryError as error:
            if error.sqlstate != _LOCK_NOT_AVAILABLE or attempt == _ATTEMPTS - 1:
                raise _failed(work, "be dropped", error) from None
            progress.wait(0.5 + random.random(), "waiting for the table's lock")  # noqa: S311  # only spreads attempts
        else:
            return


def _kept(column: str, work: Detachment) -> Any:
    """Whether any row must not be lost: after an export every row, otherwise those that are not due."""
    if work.plan.policy.after_detach == "export":
        return sql.SQL("SELECT EXISTS (SELECT FROM {}) AS kept").format(table(work.partition))
    return sql.SQL("SELECT EXISTS (SELECT FROM {} WHERE {} >= %(cutoff)s::{}) AS kept").format(
        table(work.partition), identifier(column), sql.SQL(work.plan.column_type)
    )


def _failed(work: Detachment, what: str, error: QueryError) -> RunbookError:
    return RunbookError(
        f"{work.plan.policy.name}: {work.partition} could not {what}: {error.message}. Nothing else of it was changed. "
        "Remove the cause (long transactions, foreign keys, views on it), and run the task again.",
        sqlstate=error.sqlstate,
    )
