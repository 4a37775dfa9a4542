# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The option C(queries) as a plan, refused as a whole before anything is touched. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.query.statement import (
    StatementError,
    parse_query,
)

# Bound in every query: the moment that "yesterday" and every age are counted from.
REFERENCE_TIME = "reference_time"

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
# Zone names only. The server would take "FOO9" for a POSIX rule nine hours west of Greenwich.
_TIMEZONE = re.compile(r"[A-Za-z_]+(/[A-Za-z0-9_+-]+)*")


@dataclass(frozen=True)
class Query:
    """One query of the plan. C(text) asks for one row more than C(max_rows), to know that there is more."""

    name: str
    text: str
    parameters: Mapping[str, Any]
    single_row: bool
    max_rows: int


def check_timezone(name: str) -> str:
    """The name of a time zone; whether it exists is for the server to say."""
    if not _TIMEZONE.fullmatch(name):
        raise InvalidOption("timezone", name, "the name of a time zone, such as Asia/Seoul or UTC")
    return name


def check_limits(*, statement_timeout: float, max_rows: int) -> None:
    """Refuse limits that are none."""
    if not 0 < statement_timeout <= 3600:
        raise InvalidOption("statement_timeout", statement_timeout, "more than 0 and at most 3600 seconds")
    if not 1 <= max_rows <= 10000:
        raise InvalidOption("max_rows", max_rows, "a number from 1 to 10000")


def plan_queries(queries: Iterable[Mapping[str, Any]], *, max_rows: int) -> list[Query]:
    """Check every query.

    Raises:
        InvalidOption: naming the query and what is wrong with it.

    """
    planned: list[Query] = []
    names: set[str] = set()
    for number, query in enumerate(queries, start=1):
        name = str(query.get("name") or "")
        if not _NAME.fullmatch(name):
            raise InvalidOption(
                f"queries[{number}].name",
                name,
                "letters, digits and underscores, because rules address results by name",
            )
        if name in names:
            raise InvalidOption(f"queries[{number}].name", name, "a name that no other query has")
        names.add(name)
        planned.append(_plan_query(name, query, max_rows))
    if not planned:
        raise InvalidOption("queries", [], "at least one query")
    return planned


def _plan_query(name: str, query: Mapping[str, Any], max_rows: int) -> Query:
    try:
        parsed = parse_query(str(query.get("sql") or ""))
    except StatementError as error:
        raise InvalidOption(
            f"queries.{name}.sql", _excerpt(str(query.get("sql") or "")), f"one query; the statement {error}"
        ) from None
    parameters = dict(query.get("parameters") or {})
    if REFERENCE_TIME in parameters:
        raise InvalidOption(f"queries.{name}.parameters", REFERENCE_TIME, "other names; this one is bound already")
    for parameter, value in parameters.items():
        if isinstance(value, dict) or (
            isinstance(value, list) and any(isinstance(item, (dict, list)) for item in value)
        ):
            raise InvalidOption(
                f"queries.{name}.parameters.{parameter}", value, "text, a number, true, false, null or a list of these"
            )
    missing = sorted(parsed.placeholders - set(parameters) - {REFERENCE_TIME})
    if missing:
        raise InvalidOption(f"queries.{name}.parameters", sorted(parameters), f"a value for %({missing[0]})s as well")
    unused = sorted(set(parameters) - parsed.placeholders)
    if unused:
        raise InvalidOption(
            f"queries.{name}.parameters", unused[0], "parameters that occur in the statement as %(name)s"
        )
    limit = 1 if query.get("single_row") else max_rows
    return Query(
        name=name,
        text=_limited(parsed.text, limit + 1),
        parameters=parameters,
        single_row=bool(query.get("single_row")),
        max_rows=limit,
    )


def _limited(query: str, rows: int) -> str:
    # The line breaks keep a comment at the end of the query from swallowing the parenthesis.
    return f"SELECT * FROM (\n{query}\n) AS runbook_query LIMIT {rows}"  # noqa: S608 - one checked query of the task


def _excerpt(statement: str) -> str:
    text = " ".join(statement.split())
    return text if len(text) <= 60 else text[:57] + "..."
