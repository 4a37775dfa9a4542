# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is due under each policy: jobs to take up, jobs to begin, and how many rows each of them concerns."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.common.outcome import Refusal
from ansible_collections.runbook.ops.plugins.module_utils.common.progress import Progress
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.client import Session
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.errors import QueryError, quote_identifier
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.retention.ledger import Job
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.retention.pace import PaceOptions, batches
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.retention.plan import Plan
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.retention.statements import Statements

_DATA_EXCEPTION = "22"


@dataclass
class Work:
    """One job on one table, with what was counted before it."""

    plan: Plan
    statements: Statements
    job: Job
    rows: int = 0
    oldest: Optional[str] = None
    children: tuple[int, ...] = ()

    @property
    def is_resumed(self) -> bool:
        """Whether an earlier run began it."""
        return self.job.number is not None

    def action(self, pace: PaceOptions) -> dict[str, Any]:
        """The entry of the module's C(actions)."""
        root, *children = self.statements.nodes
        return {
            "policy": self.plan.policy.name,
            "action": self.plan.policy.action,
            "object": str(root.table),
            "to": destination(self.plan),
            "cutoff": self.job.cutoff,
            "rows": self.rows,
            "batches": batches(self.rows, pace),
            "method": _method(self.plan),
            "resumes": self.is_resumed,
            "children": [
                {
                    "object": str(node.table),
                    "action": node.action,
                    "to": str(node.archive) if node.archive else None,
                    "rows": rows,
                }
                for node, rows in zip(children, self.children)
            ],
        }


@dataclass
class Due:
    """Everything that is to be done, and what is refused on the way to it."""

    works: list[Work] = field(default_factory=list)
    abandoned: list[Job] = field(default_factory=list)
    refusals: list[Refusal] = field(default_factory=list)


def find_due(
    session: Session,
    plans: Sequence[tuple[Plan, str]],
    open_jobs: Sequence[Job],
    version_num: int,
    progress: Progress,
) -> Due:
    """Count, policy by policy.

    Args:
        session: An open session.
        plans: Plans with the literal of their cutoff.
        open_jobs: What earlier runs have left unfinished.
        version_num: The server's version.
        progress: Where to show it.

    """
    due = Due()
    for plan, cutoff in plans:
        progress.phase("count", str(plan.policy.table))
        try:
            works, abandoned = _works(session, plan, cutoff, open_jobs, version_num, progress)
            refusals = _keepers(session, works, progress)
        except QueryError as error:
            # A value that its column cannot be compared with.
            if not (error.sqlstate or "").startswith((_DATA_EXCEPTION, "42")):
                raise
            reason = f"the due rows cannot be counted: {error.message}"
            due.refusals.append(
                Refusal(f"{plan.policy.name}: {plan.policy.table}", reason, "Correct where, or grant what is missing.")
            )
            continue
        due.abandoned += abandoned
        due.refusals += refusals
        due.works += [] if refusals else [work for work in works if work.rows or work.is_resumed]
    return due


def check_max_rows(works: Sequence[Work]) -> tuple[str, str] | None:
    """The policy that has more due rows than it may have, as reason and remedy."""
    totals: dict[str, int] = {}
    for work in works:
        name = work.plan.policy.name
        totals[name] = totals.get(name, 0) + work.rows
        most = work.plan.policy.max_rows
        if most is not None and totals[name] > most:
            return (
                f"Policy {name} has {totals[name]} due rows of {work.plan.policy.table} at least, and max_rows allows "
                f"{most}",
                "Nothing was done. Check keep and where, and raise max_rows if so many rows are meant.",
            )
    return None


def destination(plan: Plan) -> str | None:
    """Where the rows of the table go, for people and for the ledger."""
    policy = plan.policy
    if policy.archive_table is not None:
        return str(policy.archive_table)
    return str(policy.export) if policy.export is not None and policy.action == "export" else None


def _method(plan: Plan) -> str:
    order = ", ".join(quote_identifier(name) for name in plan.order)
    return f"batches in the order of ({order})"


def _terms(plan: Plan) -> str:
    """What must not have changed for an unfinished job to be taken up."""
    policy = plan.policy
    terms = {
        "column": policy.column,
        "where": [[each.column, each.operator, list(each.values)] for each in policy.where],
        "children": [[str(node.table), node.action, str(node.archive or ""), node.link] for node in plan.nodes[1:]],
        "export": str(policy.export or ""),
    }
    return json.dumps(terms, sort_keys=True)


def _works(
    session: Session,
    plan: Plan,
    cutoff: str,
    open_jobs: Sequence[Job],
    version_num: int,
    progress: Progress,
) -> tuple[list[Work], list[Job]]:
    works: list[Work] = []
    abandoned: list[Job] = []
    for leaf in plan.leaves:
        fresh = Job(
            policy=plan.policy.name,
            relation=str(leaf.table),
            action=plan.policy.action,
            destination=destination(plan) or "",
            terms=_terms(plan),
            cutoff=cutoff,
            key_columns=plan.order,
        )
        mine = [job for job in open_jobs if job.policy == fresh.policy and job.relation == fresh.relation]
        taken = [job for job in mine if job.is_like(fresh)][-1:]
        abandoned += [job for job in mine if job not in taken]
        counted: list[int] = [0] * len(plan.nodes)
        for job in [*taken, *([] if taken and taken[0].cutoff == cutoff else [fresh])]:
            statements = Statements(plan, plan.on_leaf(leaf), job.cutoff, version_num)
            work = Work(plan, statements, job)
            totals = _count(session, work, progress)
            # The rows of an unfinished job are due under the new cutoff as well.
            work.rows = max(0, totals[0] - counted[0])
            work.children = tuple(max(0, now - before) for now, before in zip(totals[1:], counted[1:]))
            counted = totals
            works.append(work)
    return works, abandoned


def _count(session: Session, work: Work, progress: Progress) -> list[int]:
    statements = work.statements
    row = session.query(statements.count_due(with_bounds=True), statements.bindings, on_wait=progress.check)[0]
    work.oldest = row["oldest"]
    totals = [int(row["rows"])]
    for position in range(1, len(statements.nodes)):
        counted = session.query(statements.count_child(position), statements.bindings, on_wait=progress.check)
        totals.append(int(counted[0]["rows"]))
    return totals


def _keepers(session: Session, works: Sequence[Work], progress: Progress) -> list[Refusal]:
    """Rows that others refer to, and rows that the archive holds already."""
    refusals: list[Refusal] = []
    for work in works:
        if not work.rows:
            continue
        statements, policy = work.statements, work.plan.policy
        for probe in work.plan.probes:
            reference = probe.reference
            pairs = list(zip(reference.columns, reference.referenced))
            statement = statements.referred(probe.node, reference.child, pairs)
            if session.query(statement, statements.bindings, on_wait=progress.check)[0]["found"]:
                refusals.append(
                    Refusal(
                        f"{policy.name}: {statements.nodes[probe.node].table}",
                        f"rows of {reference.child} refer to due rows (foreign key "
                        f"{quote_identifier(reference.name)}), which keeps them from being deleted",
                        f"Declare {reference.child} in children, with what happens to its rows.",
                    )
                )
        if statements.root.archive is not None:
            both = session.query(statements.in_both(), statements.bindings, on_wait=progress.check)[0]["rows"]
            if both:
                key = ", ".join(quote_identifier(name) for name in work.plan.key)
                refusals.append(
                    Refusal(
                        f"{policy.name}: {statements.root.table}",
                        f"{both} due rows have a key ({key}) that {statements.root.archive} holds already",
                        "An earlier archiving was broken off. Compare both rows, and delete one of each pair.",
                    )
                )
    return refusals


def figures(works: Sequence[Work]) -> dict[str, Any]:
    """The due rows by policy, for C(before)."""
    found: dict[str, dict[str, Any]] = {}
    for work in works:
        entry = found.setdefault(work.plan.policy.name, {"rows_due": 0, "child_rows_due": 0})
        entry["rows_due"] += work.rows
        entry["child_rows_due"] += sum(work.children)
    return found
