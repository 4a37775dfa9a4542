# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The ledger: one row a job, advanced in the same commit as its rows move, so that a job can be taken up again."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import RunbookError
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.client import Session
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.errors import quote_identifier
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.retention.catalog import Role
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.retention.policy import TableName
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.retention.statements import table

with contextlib.suppress(ImportError):
    from psycopg2 import sql

_STATE = """
SELECT n.oid IS NOT NULL AS has_schema, c.oid IS NOT NULL AS has_table,
       coalesce(has_schema_privilege(n.oid, 'USAGE'), false) AS uses_schema,
       coalesce(has_schema_privilege(n.oid, 'CREATE'), false) AS creates_tables,
       coalesce(has_table_privilege(c.oid, 'SELECT') AND has_table_privilege(c.oid, 'INSERT')
                AND has_table_privilege(c.oid, 'UPDATE'), false) AS writes
FROM (SELECT %(schema)s AS schema, %(name)s AS name) w
LEFT JOIN pg_namespace n ON n.nspname = w.schema
LEFT JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = w.name AND c.relkind = 'r'
"""

_CREATE = """
CREATE TABLE IF NOT EXISTS {} (
    job bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    token text NOT NULL DEFAULT left(gen_random_uuid()::text, 8),
    policy text NOT NULL,
    relation text NOT NULL,
    action text NOT NULL,
    destination text NOT NULL DEFAULT '',
    terms text NOT NULL,
    cutoff text NOT NULL,
    key_columns text[] NOT NULL,
    last_key text[],
    state text NOT NULL DEFAULT 'running' CHECK (state IN ('running', 'detached', 'done', 'abandoned')),
    batches bigint NOT NULL DEFAULT 0,
    rows bigint NOT NULL DEFAULT 0,
    child_rows bigint NOT NULL DEFAULT 0,
    digest numeric NOT NULL DEFAULT 0,
    remaining bigint,
    started_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    finished_at timestamptz,
    run_by text NOT NULL DEFAULT current_user
)
"""
_COMMENT = (
    "COMMENT ON TABLE {} IS 'Jobs of runbook.ops.postgresql_retention. A row with state running is taken up again by "
    "the next run; do not delete it.'"
)

_OPEN = """
SELECT job, token, policy, relation, action, destination, terms, cutoff, key_columns, last_key, state, batches, rows,
       child_rows, digest
FROM {} WHERE policy = ANY (%(policies)s::text[]) AND state IN ('running', 'detached') ORDER BY job
"""
_BEGIN = """
INSERT INTO {} (policy, relation, action, destination, terms, cutoff, key_columns)
VALUES (%(policy)s, %(relation)s, %(action)s, %(destination)s, %(terms)s, %(cutoff)s, %(key_columns)s::text[])
RETURNING job, token
"""
_ABANDON = "UPDATE {} SET state = 'abandoned', finished_at = clock_timestamp() WHERE job = ANY (%(jobs)s::bigint[])"
_ADVANCE = """
UPDATE {} SET last_key = %(last)s::text[], batches = batches + 1, rows = rows + %(rows)s,
              child_rows = child_rows + %(child_rows)s, digest = digest + %(digest)s, updated_at = clock_timestamp()
WHERE job = %(job)s AND state = 'running'
RETURNING job
"""
_ADVANCE_FROM_SUMS = """
UPDATE {} l SET last_key = s.last, batches = l.batches + 1, rows = l.rows + s.deleted, digest = l.digest + s.digest,
                updated_at = clock_timestamp()
FROM sums s
WHERE l.job = %(job)s AND l.state = 'running' AND s.deleted > 0
RETURNING l.job
"""
_STATES = """
UPDATE {} SET state = %(state)s, remaining = %(remaining)s, updated_at = clock_timestamp(),
              finished_at = CASE WHEN %(state)s = 'done' THEN clock_timestamp() END
WHERE job = %(job)s
RETURNING job
"""


@dataclass
class Job:
    """One pass over one relation under one frozen cutoff. C(last) is where it goes on; C(number) None before it began.

    C(destination) and C(terms) (conditions, key, children) must still be the policy's for the job to be taken up.
    """

    policy: str
    relation: str
    action: str
    destination: str
    terms: str
    cutoff: str
    key_columns: tuple[str, ...]
    number: Optional[int] = None
    # Tells the files of jobs with the same number apart: of other databases, and of a ledger that was made anew.
    token: str = ""
    last: Optional[tuple[str, ...]] = None
    state: str = "running"
    batches: int = 0
    rows: int = 0
    child_rows: int = 0
    digest: int = 0

    def is_like(self, other: Job) -> bool:
        """Whether both do the same, whatever their cutoffs."""
        mine = (self.policy, self.relation, self.action, self.destination, self.terms, self.key_columns)
        return mine == (
            other.policy,
            other.relation,
            other.action,
            other.destination,
            other.terms,
            other.key_columns,
        )


@dataclass
class Ledger:
    """The table and the jobs in it that are not done."""

    session: Session
    name: TableName
    exists: bool = False
    has_schema: bool = False
    grants: list[str] = field(default_factory=list)

    def look(self, role: Role) -> None:
        """Find out whether the table is there, and what is missing to use or to make it."""
        row = self.session.query(_STATE, {"schema": self.name.schema, "name": self.name.name})[0]
        self.exists, self.has_schema = row["has_table"], row["has_schema"]
        schema = quote_identifier(self.name.schema)
        if row["has_schema"] and not row["uses_schema"]:
            self.grants.append(f"GRANT USAGE ON SCHEMA {schema} TO {role.quoted};")
        if self.exists and not row["writes"]:
            self.grants.append(f"GRANT SELECT, INSERT, UPDATE ON {self.name.quoted} TO {role.quoted};")
        elif row["has_schema"] and not self.exists and not row["creates_tables"]:
            self.grants.append(f"GRANT USAGE, CREATE ON SCHEMA {schema} TO {role.quoted};")
        elif not row["has_schema"] and not role.creates_schemas:
            self.grants.append(f"CREATE SCHEMA {schema} AUTHORIZATION {role.quoted};")

    def create(self) -> None:
        """Make schema and table where they are missing, in one transaction."""
        if self.exists:
            return
        with self.session.transaction():
            if not self.has_schema:
                self.session.query(sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(sql.Identifier(self.name.schema)))
            for statement in (_CREATE, _COMMENT):
                self.session.query(sql.SQL(statement).format(self._plain()))
        self.exists = self.has_schema = True

    def open_jobs(self, policies: Sequence[str]) -> list[Job]:
        """The jobs of these policies that are not done, oldest first."""
        if not self.exists:
            return []
        rows = self.session.query(self._statement(_OPEN), {"policies": list(policies)})
        return [
            Job(
                policy=row["policy"],
                relation=row["relation"],
                action=row["action"],
                destination=row["destination"],
                terms=row["terms"],
                cutoff=row["cutoff"],
                key_columns=tuple(row["key_columns"]),
                number=row["job"],
                token=row["token"],
                last=None if row["last_key"] is None else tuple(row["last_key"]),
                state=row["state"],
                batches=row["batches"],
                rows=row["rows"],
                child_rows=row["child_rows"],
                digest=int(row["digest"]),
            )
            for row in rows
        ]

    def begin(self, job: Job) -> None:
        """Write a new job down; it has a number from then on."""
        values = {
            "policy": job.policy,
            "relation": job.relation,
            "action": job.action,
            "destination": job.destination,
            "terms": job.terms,
            "cutoff": job.cutoff,
            "key_columns": list(job.key_columns),
        }
        row = self.session.query(self._statement(_BEGIN), values)[0]
        job.number, job.token = row["job"], row["token"]

    def abandon(self, jobs: Sequence[Job]) -> None:
        """Close jobs whose policy has changed; their rows are due under the new one, if they are."""
        if jobs:
            self.session.query(self._statement(_ABANDON), {"jobs": [job.number for job in jobs]})

    def advance(self, job: Job, *, last: Sequence[str], rows: int, child_rows: int, digest: int) -> None:
        """Note a batch, in the transaction that moves it."""
        values = {
            "job": job.number,
            "last": list(last),
            "rows": rows,
            "child_rows": child_rows,
            "digest": digest,
        }
        if not self.session.query(self._statement(_ADVANCE), values):
            raise self.lost(job)

    def advance_statement(self) -> Any:
        """The UPDATE that notes a batch, as a part of the statement that moves it (Statements.move)."""
        return self._statement(_ADVANCE_FROM_SUMS)

    def set_state(self, job: Job, state: str, remaining: int | None = None) -> None:
        """Close a job, or note that a partition is detached."""
        values = {"job": job.number, "state": state, "remaining": remaining}
        if not self.session.query(self._statement(_STATES), values):
            raise self.lost(job)
        job.state = state

    def lost(self, job: Job) -> RunbookError:
        """Somebody else has closed or removed the job."""
        return RunbookError(
            f"Job {job.number} of policy {job.policy} is no longer running in {self.name}: somebody changed the "
            "ledger. Nothing of this batch was done. Find out who, and run the task again."
        )

    def _plain(self) -> Any:
        return sql.Identifier(self.name.schema, self.name.name)

    def _statement(self, text: str) -> Any:
        return sql.SQL(text).format(table(self.name))
