# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Questions that a recovered server must answer as expected: this row is there, that row is not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption, Unavailable
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.errors import QueryError
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.physical.recover import Recovered

SEE, NOT_SEE = "must_see", "must_not_see"


@dataclass(frozen=True)
class Answer:
    """What became of a question. C(rows) is None when it could not be asked; C(error) says why."""

    kind: str
    db: str
    query: str
    rows: Optional[int]
    error: Optional[str] = None

    @property
    def holds(self) -> bool:
        """Whether it is as it should be."""
        return self.rows is not None and (self.rows > 0) == (self.kind == SEE)

    def as_dict(self) -> dict[str, Any]:
        """For the module's result."""
        return {
            "kind": self.kind,
            "db": self.db,
            "query": self.query,
            "rows": self.rows,
            "holds": self.holds,
            "error": self.error,
        }

    @property
    def problem(self) -> str:
        """Why it does not hold, for people."""
        if self.rows is None:
            return f"{self.kind} could not be asked in {self.db}: {self.error} ({self.query})"
        if self.kind == SEE:
            return f"{self.db} does not show what it must (no row): {self.query}"
        return f"{self.db} shows what it must not ({self.rows} rows): {self.query}"


def check_questions(params: Mapping[str, Any]) -> None:
    """Refuse empty queries; raises InvalidOption."""
    for kind in (SEE, NOT_SEE):
        for each in params.get(kind) or ():
            if not each["query"].strip():
                raise InvalidOption(kind, each["query"], "a query, such as SELECT 1 FROM orders WHERE id = 4711")


def ask(recovered: Recovered, params: Mapping[str, Any]) -> list[Answer]:
    """Ask all of them, each in a transaction that is read-only."""
    return [
        _ask(recovered, kind, each["db"], each["query"]) for kind in (SEE, NOT_SEE) for each in params.get(kind) or ()
    ]


def _ask(recovered: Recovered, kind: str, db: str, query: str) -> Answer:
    try:
        with recovered.connect(db) as session, session.read_only_transaction({"search_path": '"$user", public'}):
            # What it selects may not be fit for us. The query is the task's own, as a task's command is.
            rows = session.query(f"SELECT count(*) AS rows FROM ({query.strip().rstrip(';')}) AS asked")  # noqa: S608
    except (QueryError, Unavailable) as error:
        return Answer(kind, db, query, None, error.message)
    return Answer(kind, db, query, int(rows[0]["rows"]))


def databases(recovered: Recovered) -> Sequence[str]:
    """The databases that can be connected to, templates left out."""
    with recovered.connect() as session:
        rows = session.query(
            "SELECT datname::text AS name FROM pg_database WHERE datallowconn AND NOT datistemplate ORDER BY datname"
        )
    return [row["name"] for row in rows]
