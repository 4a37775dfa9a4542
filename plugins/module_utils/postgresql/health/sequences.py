# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sequences against the type of the column they feed."""

from __future__ import annotations

from typing import Any

from ansible_collections.runbook.ops.plugins.module_utils.postgresql.health.capabilities import Capabilities
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.health.relations import USER_SCHEMAS
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.health.section import (
    Answers,
    Facts,
    Limits,
    Query,
    Row,
    Section,
    Skip,
    compose,
    rounded,
)

# Two ways a sequence feeds a column: it is owned by it (serial, identity), or the column's default calls nextval().
# last_value is asked only where the role may read it and where there is one to read: unlogged sequences have none on
# a standby.
_SEQUENCES = """
WITH fed AS (
    SELECT d.objid AS sequence, d.refobjid AS relation, d.refobjsubid AS attnum
    FROM pg_sequence q JOIN pg_depend d ON d.classid = 'pg_class'::regclass AND d.objid = q.seqrelid
    WHERE d.refclassid = 'pg_class'::regclass AND d.deptype IN ('a', 'i') AND d.refobjsubid > 0
    UNION
    SELECT d.refobjid, e.adrelid, e.adnum
    FROM pg_depend d
    JOIN pg_attrdef e ON e.oid = d.objid
    JOIN pg_sequence q ON q.seqrelid = d.refobjid
    WHERE d.classid = 'pg_attrdef'::regclass AND d.refclassid = 'pg_class'::regclass
), s AS MATERIALIZED (
    SELECT c.oid, n.nspname::text AS schema, c.relname::text AS name, q.seqtypid, q.seqstart, q.seqincrement, q.seqmax,
           q.seqmin, q.seqcycle,
           has_sequence_privilege(c.oid, 'SELECT, USAGE') AS is_readable,
           CASE WHEN has_sequence_privilege(c.oid, 'SELECT, USAGE')
                     AND (c.relpersistence = 'p' OR NOT pg_is_in_recovery())
                THEN pg_sequence_last_value(c.oid) END AS last_value
    FROM pg_sequence q
    JOIN pg_class c ON c.oid = q.seqrelid
    JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relpersistence <> 't' AND $user_schemas
), typed AS (
    SELECT s.*, tn.nspname::text AS table_schema, t.relname::text AS "table", a.attname::text AS "column",
           format_type(a.atttypid, a.atttypmod) AS column_type,
           CASE coalesce(nullif(y.typbasetype, 0::oid), a.atttypid)
                WHEN 'int2'::regtype THEN 32767 WHEN 'int4'::regtype THEN 2147483647 END::bigint AS column_max
    FROM s
    LEFT JOIN fed f ON f.sequence = s.oid
    LEFT JOIN pg_class t ON t.oid = f.relation AND t.relkind IN ('r', 'p', 'f')
    LEFT JOIN pg_namespace tn ON tn.oid = t.relnamespace
    LEFT JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum = f.attnum
    LEFT JOIN pg_type y ON y.oid = a.atttypid
), bounded AS (
    SELECT DISTINCT ON (t.oid) t.*,
           CASE WHEN t.seqincrement > 0 THEN t.seqmax ELSE t.seqmin END AS far_end,
           CASE WHEN t.seqincrement > 0 THEN t.seqmin ELSE t.seqmax END AS near_end,
           CASE WHEN t.seqincrement > 0 THEN t.column_max ELSE -t.column_max - 1 END AS column_end
    FROM typed t
    -- Several columns may draw from one sequence; the smallest type ends first.
    ORDER BY t.oid, t.column_max NULLS LAST, t."table" NULLS LAST, t."column"
), judged AS (
    SELECT b.*,
           CASE WHEN b.column_end IS NULL THEN b.far_end
                WHEN b.seqincrement > 0 THEN least(b.far_end, b.column_end)
                ELSE greatest(b.far_end, b.column_end) END AS last_possible
    FROM bounded b
), measured AS MATERIALIZED (
    SELECT j.*,
           CASE WHEN NOT j.is_readable THEN NULL
                WHEN j.last_value IS NULL THEN 0
                ELSE 100.0 * (abs(j.last_value::numeric - j.near_end) + 1)
                     / (abs(j.last_possible::numeric - j.near_end) + 1)
           END::float8 AS used_percent,
           CASE WHEN NOT j.is_readable THEN NULL
                WHEN j.last_value IS NULL
                THEN greatest(floor((j.last_possible::numeric - j.seqstart) / j.seqincrement) + 1, 0)
                ELSE greatest(floor((j.last_possible::numeric - j.last_value) / j.seqincrement), 0) END AS remaining
    FROM judged j
)
SELECT m.*, format_type(m.seqtypid, NULL) AS data_type,
       NOT m.seqcycle OR m.last_possible <> m.far_end AS ends_in_error,
       count(*) OVER () AS total,
       count(*) FILTER (WHERE NOT m.is_readable) OVER () AS unreadable,
       (SELECT string_agg(DISTINCT quote_ident(u.schema), ', ') FROM measured u WHERE NOT u.is_readable)
           AS unreadable_schemas,
       max(m.used_percent) FILTER (WHERE NOT m.seqcycle OR m.last_possible <> m.far_end) OVER () AS max_used_percent
FROM measured m
ORDER BY m.used_percent DESC NULLS LAST, m.oid
LIMIT %(top)s
"""


def _queries(_capabilities: Capabilities) -> list[Query]:
    return [Query("sequences", compose(_SEQUENCES, user_schemas=USER_SCHEMAS), "sequences")]


def _skips(capabilities: Capabilities, answers: Answers) -> list[Skip]:
    first = answers.row("sequences")
    if not first.get("unreadable"):
        return []
    schemas = first["unreadable_schemas"]
    remedy = f"GRANT SELECT ON ALL SEQUENCES IN SCHEMA {schemas} TO {capabilities.quoted_user};"
    return [Skip("sequences", f"The role may not read {first['unreadable']} of {first['total']} sequences.", remedy)]


def _facts(answers: Answers, capabilities: Capabilities, _limits: Limits) -> Facts:
    rows, first = answers.rows("sequences"), answers.row("sequences")
    if rows is None:
        keys = ("count", "max_used_percent", "list", "unreadable_count")
        return {"database": capabilities.database, **dict.fromkeys(keys), "truncated": False}
    return {
        "database": capabilities.database,
        "count": first.get("total", 0),
        "max_used_percent": rounded(first.get("max_used_percent") or 0.0, 2),
        "list": [_sequence(row) for row in rows],
        "unreadable_count": first.get("unreadable", 0),
        "truncated": first.get("total", 0) > len(rows),
    }


def _sequence(row: Row) -> dict[str, Any]:
    return {
        "schema": row["schema"],
        "name": row["name"],
        "table_schema": row["table_schema"],
        "table": row["table"],
        "column": row["column"],
        "column_type": row["column_type"],
        "data_type": row["data_type"],
        "last_value": row["last_value"],
        "is_used": (row["last_value"] is not None) if row["is_readable"] else None,
        "max_value": row["far_end"],
        "limit": row["last_possible"],
        "limit_source": "sequence" if row["last_possible"] == row["far_end"] else "column",
        "increment": row["seqincrement"],
        "is_cycling": row["seqcycle"],
        "ends_in_error": row["ends_in_error"],
        "used_percent": rounded(row["used_percent"], 2),
        "remaining": row["remaining"],
    }


SECTION = Section("sequences", _queries, _facts, _skips)
