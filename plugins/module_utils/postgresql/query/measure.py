# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run the planned queries, each in a read-only transaction of its own, and give their results as JSON."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Iterable, Sequence
from typing import Any

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.client import Session
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.errors import QueryError, remedy_for
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.query.plan import REFERENCE_TIME, Query
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.values import json_value

Result = dict[str, Any]


def run_queries(
    session: Session,
    queries: Iterable[Query],
    *,
    timezone: str,
    search_path: Sequence[str],
    reference_time: dt.datetime,
) -> tuple[dict[str, Result], list[dict[str, str]]]:
    """The results by name, and what could not be read.

    A failing query does not affect the others. Its C(rows) and C(row) are None, which rules judge as unknown; an
    empty list would be judged as "nothing wrong".
    """
    user, own_path = _login(session)
    settings = {
        "TimeZone": timezone,
        "search_path": _path(search_path) if search_path else own_path,
        # What the statements were split by.
        "standard_conforming_strings": "on",
    }
    _check_settings(session, settings)
    results: dict[str, Result] = {}
    skipped: list[dict[str, str]] = []
    for query in queries:
        started = time.monotonic()
        try:
            with session.read_only_transaction(settings):
                rows = session.query(query.text, {**query.parameters, REFERENCE_TIME: reference_time})
            result = _result(query, [{name: json_value(value) for name, value in row.items()} for row in rows])
        except QueryError as error:
            reason = f"Query {query.name} failed: {error.message}."
            skipped.append(
                {"section": f"queries.{query.name}", "reason": reason, "remedy": _remedy(query, error, user)}
            )
            result = _failure(reason)
        result["duration_seconds"] = round(time.monotonic() - started, 3)
        results[query.name] = result
    return results, skipped


def _result(query: Query, rows: list[dict[str, Any]]) -> Result:
    truncated = len(rows) > query.max_rows
    if query.single_row and truncated:
        raise QueryError("it returned more than the single row it should have")
    return {
        "available": True,
        "reason": None,
        "row": rows[0] if query.single_row and rows else None,
        "rows": rows[: query.max_rows],
        # How many there are beyond the limit has not been counted.
        "row_count": None if truncated else len(rows),
        "truncated": truncated,
    }


def _failure(reason: str) -> Result:
    return {"available": False, "reason": reason, "row": None, "rows": None, "row_count": None, "truncated": False}


def _remedy(query: Query, error: QueryError, user: str) -> str:
    if error.sqlstate is None and query.single_row:
        return "Aggregate to one row, or remove single_row."
    return remedy_for(error, user)


def _login(session: Session) -> tuple[str, str]:
    """The role, and the search path that the role and the database set."""
    row = session.query("SELECT current_user, reset_val FROM pg_catalog.pg_settings WHERE name = 'search_path'")[0]
    return str(row["current_user"]), str(row["reset_val"])


def _path(schemas: Sequence[str]) -> str:
    return ", ".join('"' + name.replace('"', '""') + '"' for name in schemas)


def _check_settings(session: Session, settings: dict[str, str]) -> None:
    try:
        with session.read_only_transaction(settings):
            pass
    except QueryError as error:
        if error.sqlstate != "22023":
            raise
        raise InvalidOption(
            "timezone", settings["TimeZone"], "a time zone the server knows, such as Asia/Seoul"
        ) from None
