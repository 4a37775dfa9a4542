# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sequences: where they stand, and which columns they feed."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Sequence
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.postgresql.census.fingerprint import fingerprint, privileges
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.census.model import Scope, Topic, dotted
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.census.relations import USER_SCHEMAS
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.census.snapshot import locks_released
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.client import Row, Session
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.health.section import compose

# Without the driver nothing here is called: connecting says what is missing.
with contextlib.suppress(ImportError):
    from psycopg2 import sql

# Two ways a sequence feeds a column: it is owned by it (serial, identity), or the column's default calls nextval().
# On a standby an unlogged sequence cannot be read.
_SEQUENCES = compose(
    """
WITH fed AS (
    SELECT d.objid AS oid, d.refobjid AS relation, d.refobjsubid AS attnum, true AS owned
    FROM pg_depend d JOIN pg_sequence q ON q.seqrelid = d.objid
    WHERE d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_class'::regclass AND d.deptype IN ('a', 'i')
      AND d.refobjsubid > 0
    UNION
    SELECT d.refobjid, e.adrelid, e.adnum, false
    FROM pg_depend d JOIN pg_attrdef e ON e.oid = d.objid JOIN pg_sequence q ON q.seqrelid = d.refobjid
    WHERE d.classid = 'pg_attrdef'::regclass
), named AS (
    SELECT fed.oid, array_agg(DISTINCT tn.nspname::text || E'\\x01' || t.relname || E'\\x01' || a.attname)
               FILTER (WHERE y.typcategory = 'N') AS columns,
           min(tn.nspname::text || E'\\x01' || t.relname || E'\\x01' || a.attname)
               FILTER (WHERE fed.owned) AS owner_column
    FROM fed
    JOIN pg_class t ON t.oid = fed.relation AND t.relkind IN ('r', 'p')
    JOIN pg_namespace tn ON tn.oid = t.relnamespace
    JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum = fed.attnum
    JOIN pg_type y ON y.oid = a.atttypid
    GROUP BY fed.oid
)
SELECT c.oid, n.nspname::text AS schema, c.relname::text AS name, pg_get_userbyid(c.relowner)::text AS owner,
       c.relacl::text[] AS acl, format_type(q.seqtypid, NULL) AS type, q.seqstart, q.seqincrement, q.seqmax, q.seqmin,
       q.seqcycle, named.columns, named.owner_column,
       c.relpersistence = 'p' OR NOT pg_is_in_recovery() AS is_readable
FROM pg_sequence q
JOIN pg_class c ON c.oid = q.seqrelid
JOIN pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN named ON named.oid = c.oid
WHERE c.relpersistence <> 't' AND $user_schemas
  AND NOT EXISTS (
      SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
ORDER BY 2, 3
""",
    user_schemas=USER_SCHEMAS,
)
_VALUES = "SELECT {number}::int AS number, last_value, is_called FROM {sequence}"
# So many are read by one statement.
_BATCH = 200


def read_sequences(session: Session, scope: Optional[Scope] = None) -> Topic:
    """The sequences as they stand now, for C(take_census).

    Sequences know no snapshots. When they are read before pg_dump starts, those of the dump are the same or ahead.
    """
    whole = scope or Scope()
    rows = [row for row in session.query(_SEQUENCES) if whole.covers(row["schema"])]
    readable = [row for row in rows if row["is_readable"]]
    values: dict[int, Row] = {}
    for first in range(0, len(readable), _BATCH):
        values.update(_values(session, readable[first : first + _BATCH]))
    return {dotted(row["schema"], row["name"]): _sequence(row, values.get(row["oid"], {})) for row in rows}


def _values(session: Session, rows: Sequence[Row]) -> dict[int, Row]:
    statement = sql.SQL(" UNION ALL ").join(
        sql.SQL(_VALUES).format(number=sql.Literal(number), sequence=sql.Identifier(row["schema"], row["name"]))
        for number, row in enumerate(rows)
    )
    with locks_released(session):
        return {rows[each["number"]]["oid"]: each for each in session.query(statement)}


def _sequence(row: Row, value: Row) -> dict[str, Any]:
    return {
        "schema": row["schema"],
        "owner": row["owner"],
        "acl": privileges(row["acl"], row["owner"]),
        "last_value": value.get("last_value"),
        "is_called": value.get("is_called"),
        "increment": row["seqincrement"],
        "cycle": row["seqcycle"],
        "definition": fingerprint(row["type"], row["seqstart"], row["seqincrement"], row["seqmax"], row["seqmin"]),
        "owned_by": None if row["owner_column"] is None else _dotted(row["owner_column"]),
        "feeds": sorted(_dotted(each) for each in row["columns"] or ()),
        "max": None,
    }


def _dotted(joined: str) -> str:
    return dotted(*joined.split("\x01"))


def fed_columns(sequences: Topic) -> dict[str, list[tuple[str, bool]]]:
    """Columns by table: which are fed by sequences, and whether these count downwards. Pure.

    Names are those of the census; a column's own is quoted as there.
    """
    found: dict[str, dict[str, bool]] = {}
    for entry in sequences.values():
        for column in entry["feeds"]:
            table, name = split_last(column)
            found.setdefault(table, {})[name] = entry["increment"] < 0
    return {table: sorted(columns.items()) for table, columns in found.items()}


def split_last(name: str) -> tuple[str, str]:
    """A dotted name without its last part, and that part unquoted."""
    if not name.endswith('"'):
        first, _dot, last = name.rpartition(".")
        return first, last
    start = len(name) - 1
    while True:
        start = name.rindex('"', 0, start)
        if start > 0 and name[start - 1] == '"':
            start -= 1
            continue
        break
    return name[: start - 1], name[start + 1 : -1].replace('""', '"')


def with_ends(sequences: Topic, ends: Iterable[tuple[str, int]]) -> dict[str, dict[str, Any]]:
    """The sequences with the furthest value of the columns that each feeds. Pure.

    Args:
        sequences: Those of C(read_sequences).
        ends: Dotted names of columns with the furthest value of each, or of some of its rows.

    """
    by_column: dict[str, list[int]] = {}
    for column, value in ends:
        by_column.setdefault(column, []).append(value)
    done = {}
    for name, entry in sequences.items():
        furthest = min if entry["increment"] < 0 else max
        values = [value for column in entry["feeds"] for value in by_column.get(column, ())]
        done[name] = {**entry, "max": furthest(values) if values else None}
    return done
