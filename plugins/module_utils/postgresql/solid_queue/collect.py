# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads Solid Queue's tables over one connection. What fails costs its own facts only."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.postgresql.client import Session
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.errors import QueryError, quote_identifier
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.solid_queue.model import (
    OVERDUE_SECONDS,
    Answers,
    Row,
    known_names,
)
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.solid_queue.processes import (
    QueueProcess,
    process_from,
)
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.solid_queue.request import SolidQueueRequest
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.solid_queue.statements import (
    ELSEWHERE_SQL,
    FAILURE_COUNTS,
    FAILURES,
    FINISHED,
    HELD,
    JOBS,
    LAST_RUNS,
    LATER,
    LIMITED,
    LOCKS,
    LOST,
    MOST_PROCESSES,
    MOST_QUEUES,
    NAMES,
    NEXT_TASKS,
    PAUSED,
    PREFIX,
    PRESENT,
    PROCESS_LIST,
    READY,
    RECURRING,
    SERVER_SQL,
    TABLES,
    TABLES_SQL,
    UNFINISHED,
    WAITING,
    Statement,
)
from ansible_collections.runbook.ops.plugins.module_utils.queues.rate import Sample, rate

# Every figure from one snapshot: a job that moves between two statements would be counted twice or not at all. Workers
# of the server belong to the applications.
SETTINGS = {
    "default_transaction_isolation": "repeatable read",
    "jit": "off",
    "max_parallel_workers_per_gather": "0",
}
BY_QUEUE = (WAITING, HELD, LATER, LIMITED, FAILURE_COUNTS, FINISHED, LOST)
_CANCELLED, _FORBIDDEN = "57014", "42501"
# More than any id: nothing has arrived yet.
_NO_ID = 2**63 - 1


@dataclass(frozen=True)
class Place:
    """Where the tables were looked for. C(now) is the server's clock, epoch seconds."""

    address: str
    database: str
    schema: str
    quoted_schema: str
    version: str
    role: str
    user: str
    quoted_user: str
    now: float
    # Those that are there, with whether they may be read.
    tables: Mapping[str, bool]
    schema_usable: bool

    @property
    def label(self) -> str:
        """For a sentence."""
        return f"schema {self.schema} of database {self.database} at {self.address}"

    @property
    def is_solid_queue(self) -> bool:
        """Whether the tables are there without which there is no Solid Queue."""
        return JOBS in self.tables and READY in self.tables

    def facts(self) -> dict[str, Any]:
        """The result's C(endpoint)."""
        return {
            "address": self.address,
            "database": self.database,
            "schema": self.schema,
            "version": self.version,
            "role": self.role,
        }

    def grant(self) -> str:
        """The statements that let this login read everything that is there."""
        closed = [name for name, readable in self.tables.items() if not readable]
        relations = ", ".join(f"{self.quoted_schema}.{quote_identifier(PREFIX + name)}" for name in closed)
        usage = "" if self.schema_usable else f"GRANT USAGE ON SCHEMA {self.quoted_schema} TO {self.quoted_user}; "
        return f"{usage}GRANT SELECT ON {relations} TO {self.quoted_user};"


def look_around(session: Session, schema: str) -> Place:
    """Where we are, and which of the tables are there."""
    server = session.query(SERVER_SQL, {"schema": schema})[0]
    rows = session.query(TABLES_SQL, {"schema": schema, "relations": [PREFIX + name for name in TABLES]})
    readable = {row["relation"]: row["usable"] and row["readable"] for row in rows}
    return Place(
        address=session.server,
        database=server["database"],
        schema=schema,
        quoted_schema=server["quoted_schema"],
        version=server["version"],
        role="standby" if server["in_recovery"] else "primary",
        user=server["user"],
        quoted_user=server["quoted_user"],
        now=float(server["now"]),
        tables={name: readable[PREFIX + name] for name in TABLES if PREFIX + name in readable},
        schema_usable=all(row["usable"] for row in rows),
    )


def elsewhere(session: Session, schema: str) -> Row:
    """Other schemas with such tables, and databases whose names sound like queues."""
    return session.query(ELSEWHERE_SQL, {"schema": schema})[0]


@dataclass
class Collector:
    """One reading. C(skipped) are the entries of C(skipped_sections)."""

    session: Session
    place: Place
    request: SolidQueueRequest
    skipped: list[dict[str, str]] = field(default_factory=list)
    complete: bool = True

    @property
    def now(self) -> float:
        """The moment ages are counted to, epoch seconds."""
        return self.place.now if self.request.reference is None else self.request.reference.timestamp()

    def names(self, answers: Answers) -> Optional[list[str]]:
        """Every queue that there is, of the named ones where some are named; None if that cannot be known."""
        answers.rows[PAUSED.what] = self.ask(PAUSED)
        answers.rows[RECURRING.what] = self.ask(RECURRING)
        answers.processes = self._processes()
        named = self.request.queues
        kept = self.ask(PRESENT, queues=list(named)) if named else self.ask(NAMES)
        if kept is None:
            return None
        known = known_names(
            (row["name"] for row in kept),
            (row["name"] for row in answers.of(PAUSED) or ()),
            (row["queue_name"] for row in answers.of(RECURRING) or ()),
            answers.processes or (),
        )
        if named:
            return [name for name in named if name in known]
        if len(known) > MOST_QUEUES:
            self.complete = False
            remedy = "Name the queues that matter in the option queues."
            self._skip(("complete",), f"there are more than {MOST_QUEUES} queues; the first ones were read", remedy)
        return known[:MOST_QUEUES]

    def fill(self, names: Sequence[str], answers: Answers) -> None:
        """Read everything about these queues."""
        since = 0.0 if self.request.failed_within is None else self.now - self.request.failed_within
        bindings: dict[str, Any] = {
            "queues": list(names),
            "now": self.now,
            "overdue_before": self.now - OVERDUE_SECONDS,
            "failed_since": since,
            "max_failed": self.request.max_failed,
            "sample": self.request.sample,
        }
        wanted = [*BY_QUEUE, LOCKS]
        if self.request.failures:
            wanted.append(FAILURES)
        else:
            self._skip(("failures", "failed_seen"), "failures is false", "Set failures to true.")
        if self.request.sample:
            wanted.append(NEXT_TASKS)
        for statement in wanted:
            answers.rows[statement.what] = self.ask(statement, **bindings)
        tasks = answers.of(RECURRING)
        if tasks:
            answers.rows[LAST_RUNS.what] = self.ask(LAST_RUNS, keys=[row["key"] for row in tasks])

    def rates(self, names: Sequence[str], backlogs: Mapping[str, Optional[int]]) -> dict[str, dict[str, Any]]:
        """The rates of these queues from two looks, each in a snapshot of its own; empty if one was not possible."""
        began = time.monotonic()
        with self.session.read_only_transaction():
            earlier = self.ask(UNFINISHED, queues=list(names), base=_NO_ID)
        if not earlier:
            return {}
        time.sleep(self.request.sample_seconds)
        with self.session.read_only_transaction():
            later = self.ask(UNFINISHED, queues=list(names), base=earlier[0]["newest"])
        seconds = time.monotonic() - began
        before = {row["name"]: row for row in earlier}
        return {
            row["name"]: rate(
                Sample(before[row["name"]]["unfinished"], 0),
                Sample(row["unfinished"], row["arrived"]),
                seconds,
                backlogs[row["name"]],
            )
            for row in later or ()
        }

    def ask(self, statement: Statement, **bindings: Any) -> Optional[list[Row]]:
        """The rows of a statement within the open transaction; None, and an entry in C(skipped), if it failed."""
        absent = [name for name in statement.tables if name not in self.place.tables]
        if absent:
            reason = f"{PREFIX}{absent[0]} is not in {self.place.label}, so {statement.what} cannot be read"
            self._skip(statement.sections, reason, "Run Solid Queue's migrations (bin/rails solid_queue:update).")
            return None
        closed = [name for name in statement.tables if not self.place.tables[name]]
        if closed:
            reason = f"{self.place.user} may not read {PREFIX}{closed[0]}, so {statement.what} cannot be read"
            self._skip(statement.sections, reason, self.place.grant())
            return None
        self.session.query("SAVEPOINT runbook")
        try:
            rows = self.session.query(statement.composed(self.place.schema), {"none": None, **bindings})
        except QueryError as error:
            self.session.query("ROLLBACK TO SAVEPOINT runbook")
            self._skip(statement.sections, f"{statement.what} could not be read: {error.message}", _remedy(error))
            return None
        self.session.query("RELEASE SAVEPOINT runbook")
        return list(rows)

    def _processes(self) -> Optional[list[QueueProcess]]:
        rows = self.ask(PROCESS_LIST)
        if rows is None:
            return None
        if len(rows) > MOST_PROCESSES:
            reason = f"there are more than {MOST_PROCESSES} processes, of which the most recent ones were read"
            self._skip(("processes", "stalled"), reason, "Run a supervisor: it removes those that have ended.")
        # Heartbeats are the server's: a reference time does not make a living process dead.
        alive = self.request.process_alive_threshold
        return [process_from(row, self.place.now, alive) for row in rows]

    def _skip(self, sections: Sequence[str], reason: str, remedy: str) -> None:
        self.skipped += [{"section": section, "reason": reason, "remedy": remedy} for section in sections]


def _remedy(error: QueryError) -> str:
    if error.sqlstate == _CANCELLED:
        return "Raise statement_timeout, or name fewer queues."
    if error.sqlstate == _FORBIDDEN:
        return "Grant the missing privilege to the login."
    return "Read the message and the server log; another version of Solid Queue may have other columns."
