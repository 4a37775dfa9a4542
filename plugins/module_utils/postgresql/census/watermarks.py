# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The newest value of a column: how fresh the content is, whatever a file's date says."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Sequence
from typing import Optional

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.census.model import Watermark
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.census.snapshot import locks_released
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.client import Session
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.errors import QueryError

# Without the driver nothing here is called: connecting says what is missing.
with contextlib.suppress(ImportError):
    from psycopg2 import sql

# An index answers in milliseconds; without one the whole table is read.
SECONDS = 300.0

_COLUMN = """
SELECT t.typcategory::text AS category, t.typname::text AS type
FROM pg_attribute a
JOIN pg_class c ON c.oid = a.attrelid
JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_type t ON t.oid = a.atttypid
WHERE n.nspname = %(schema)s AND c.relname = %(table)s AND a.attname = %(column)s AND a.attnum > 0
  AND NOT a.attisdropped
"""
_NEWEST = "SELECT max({column})::text AS newest FROM {table}"
_NEWEST_FINITE = f"{_NEWEST} WHERE isfinite({{column}})"
_INFINITE = ("date", "timestamp", "timestamptz")
_MOMENT = re.compile(r"(\d{4,}-\d\d-\d\d)(?: (\d\d:\d\d:\d\d(?:\.\d+)?))?(\+00)?")


def read_watermarks(
    session: Session,
    watermarks: Sequence[Watermark],
    *,
    seconds: float = SECONDS,
    on_wait: Callable[[], None] | None = None,
) -> dict[str, Optional[str]]:
    """The newest value of each column, by C(Watermark.name); None for a table without rows.

    Args:
        session: In a transaction that C(prepare_reading) was called in.
        watermarks: The columns; infinite moments in them do not count.
        seconds: So long may one take.
        on_wait: Called about once a second; what it raises ends it.

    Raises:
        InvalidOption: there is no such column.
        QueryError: the server's answer, such as a timeout for a column without an index.

    """
    return {each.name: _newest(session, each, seconds, on_wait) for each in watermarks}


def iso_value(text: str) -> str:
    """A moment of PostgreSQL's in ISO 8601: with Z if it has a time zone, without one if not; else as it is. Pure."""
    match = _MOMENT.fullmatch(text)
    if match is None:
        return text
    day, time, zone = match.groups()
    return f"{day}{f'T{time}' if time else ''}{'Z' if zone else ''}"


def _newest(
    session: Session, watermark: Watermark, seconds: float, on_wait: Callable[[], None] | None
) -> Optional[str]:
    found = session.query(_COLUMN, {"schema": watermark.schema, "table": watermark.table, "column": watermark.column})
    if not found or found[0]["category"] not in ("D", "N"):
        what = f"a column of type {found[0]['type']}" if found else "not there"
        raise InvalidOption("watermarks", watermark.name, f"columns with dates, times or numbers; this one is {what}")
    # max() walks down an index as long as it meets infinite moments, which are no time at all.
    statement = sql.SQL(_NEWEST_FINITE if found[0]["type"] in _INFINITE else _NEWEST).format(
        column=sql.Identifier(watermark.column), table=sql.Identifier(watermark.schema, watermark.table)
    )
    with locks_released(session):
        session.configure({"statement_timeout": str(round(seconds * 1000))}, for_transaction=True)
        try:
            newest = session.query(statement, on_wait=on_wait)[0]["newest"]
        except QueryError as error:
            raise QueryError(_explained(error, watermark, seconds), error.sqlstate) from None
    return None if newest is None else iso_value(newest)


def _explained(error: QueryError, watermark: Watermark, seconds: float) -> str:
    if error.sqlstate == "57014":
        table, _dot, column = watermark.name.rpartition(".")
        return (
            f"The newest value of {watermark.name} was not found within {seconds:g} seconds. "
            f"CREATE INDEX CONCURRENTLY ON {table} ({column}), or name a column that has an index."
        )
    return f"The newest value of {watermark.name} could not be read: {error.message}"
