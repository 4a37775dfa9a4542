# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Collation drift: a new C library or ICU sorts differently, and text indexes built before are wrong."""

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
    compose,
    is_cut,
)

# Collations that indexes and partition keys use, and everybody's own ones. Of the hundreds that initdb imports, the
# others do no harm.
_COLLATIONS = """
WITH used AS (
    SELECT DISTINCT u.oid
    FROM pg_index i CROSS JOIN LATERAL unnest(i.indcollation) u (oid)
    UNION
    SELECT u.oid FROM pg_partitioned_table p CROSS JOIN LATERAL unnest(p.partcollation) u (oid)
)
SELECT n.nspname::text AS schema, c.collname::text AS name, c.collprovider AS provider,
       c.collversion AS recorded, pg_collation_actual_version(c.oid) AS actual
FROM pg_collation c
JOIN pg_namespace n ON n.oid = c.collnamespace
WHERE c.collversion IS NOT NULL
  AND (c.oid IN (SELECT u.oid FROM used u) OR n.nspname <> 'pg_catalog')
ORDER BY 1, 2
"""

# From PostgreSQL 15 a database records the version of its default collation.
_DATABASES = """
SELECT d.datname::text AS name, d.datlocprovider AS provider, d.datcollversion AS recorded,
       pg_database_collation_actual_version(d.oid) AS actual, d.datname = current_database() AS is_current
FROM pg_database d
WHERE d.datallowconn
ORDER BY d.datname
"""

_DEFAULT = """
SELECT pg_collation_actual_version(c.oid) AS actual
FROM pg_database d JOIN pg_collation c ON c.collname = d.datcollate AND c.collnamespace = 'pg_catalog'::regnamespace
WHERE d.datname = current_database()
LIMIT 1
"""

# A common table expression: collations that indexes use and that sort by another version than the recorded one.
DRIFTED = """
drifted AS MATERIALIZED (
    SELECT c.oid FROM pg_collation c
    WHERE c.collversion IS NOT NULL AND c.collversion <> pg_collation_actual_version(c.oid)
      AND c.oid IN (SELECT u.oid FROM pg_index i CROSS JOIN LATERAL unnest(i.indcollation) u (oid))
    UNION ALL
    SELECT 'pg_catalog.default'::regcollation::oid
    WHERE $default_drifted
)"""

_AFFECTED = """
WITH $drifted
SELECT n.nspname::text AS schema, t.relname::text AS "table", ic.relname::text AS name,
       ic.relpages::bigint * current_setting('block_size')::bigint AS size_bytes, count(*) OVER () AS total
FROM pg_index i
JOIN pg_class ic ON ic.oid = i.indexrelid
JOIN pg_class t ON t.oid = i.indrelid
JOIN pg_namespace n ON n.oid = t.relnamespace
WHERE ic.relkind = 'i' AND $user_schemas
  AND EXISTS (SELECT FROM unnest(i.indcollation) u (oid) JOIN drifted d ON d.oid = u.oid)
ORDER BY ic.relpages DESC, ic.oid
LIMIT %(top)s
"""

_DEFAULT_DRIFTED = """EXISTS (
        SELECT FROM pg_database d
        WHERE d.datname = current_database() AND d.datcollversion <> pg_database_collation_actual_version(d.oid))"""

_PROVIDERS = {"c": "libc", "i": "icu", "b": "builtin", "d": "default"}


def _queries(capabilities: Capabilities) -> list[Query]:
    records = _database_records(capabilities)
    drifted = compose(DRIFTED, default_drifted=default_drifted(capabilities))
    affected = compose(_AFFECTED, drifted=drifted, user_schemas=USER_SCHEMAS)
    return [
        Query("collations", _COLLATIONS, "versions of collations"),
        Query("databases", _DATABASES, "versions of databases")
        if records
        else Query("default", _DEFAULT, "default_version"),
        Query("affected", affected, "affected indexes"),
    ]


def default_drifted(capabilities: Capabilities) -> str:
    """SQL that is true when the database's default collation sorts by another version than the recorded one."""
    return _DEFAULT_DRIFTED if _database_records(capabilities) else "false"


def _database_records(capabilities: Capabilities) -> bool:
    return capabilities.has("pg_database", "datcollversion")


def _facts(answers: Answers, capabilities: Capabilities, limits: Limits) -> Facts:
    collations, databases, affected = answers.rows("collations"), answers.rows("databases"), answers.rows("affected")
    drifted = [_drift("database", row) for row in databases or () if _has_drifted(row)]
    drifted += [_drift("collation", row) for row in collations or () if _has_drifted(row)]
    known = collations is not None and (databases is not None or not _database_records(capabilities))
    current: Row = next((row for row in databases or () if row["is_current"]), answers.row("default"))
    affected_count = None if affected is None else int(affected[0]["total"]) if affected else 0
    return {
        "database": capabilities.database,
        "drifted_count": len(drifted) if known else None,
        "drifted": drifted[: limits.top] if known else None,
        "default_version": current.get("actual"),
        "default_recorded_version": current.get("recorded"),
        # A C or builtin collation has no version and cannot drift.
        "is_default_checked": databases is not None or (answers.know("default") and current.get("actual") is None),
        "affected_index_count": affected_count,
        "affected_indexes": None if affected is None else [_index(row) for row in affected],
        "truncated": len(drifted) > limits.top or is_cut(affected_count, affected or ()),
    }


def _has_drifted(row: Row) -> bool:
    return row["recorded"] is not None and row["recorded"] != row["actual"]


def _drift(kind: str, row: Row) -> dict[str, Any]:
    return {
        "kind": kind,
        "schema": row.get("schema"),
        "name": row["name"],
        "provider": _PROVIDERS.get(row["provider"], row["provider"]),
        "recorded_version": row["recorded"],
        "actual_version": row["actual"],
    }


def _index(row: Row) -> dict[str, Any]:
    return {"schema": row["schema"], "table": row["table"], "name": row["name"], "size_bytes": row["size_bytes"]}


SECTION = Section("collations", _queries, _facts)
