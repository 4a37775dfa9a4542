# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Indexes: unused, invalid, duplicate, missing under a foreign key."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.postgresql.health.capabilities import Capabilities
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.health.relations import LOCKED, USER_SCHEMAS
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.health.section import (
    Answers,
    Facts,
    Limits,
    Query,
    Row,
    Section,
    Skip,
    age_seconds,
    compose,
    moment,
    monitor_remedy,
)

# An index that begins with the columns of a foreign key, in any order, whole and usable for every row.
_SUPPORTS = """
           i.indisvalid AND i.indpred IS NULL AND m.amname IN ('btree', 'hash')
           AND i.indnkeyatts >= cardinality(k.conkey)
           AND (i.indkey::int2[])[0:cardinality(k.conkey) - 1] @> k.conkey
           AND (i.indkey::int2[])[0:cardinality(k.conkey) - 1] <@ k.conkey"""

# The indexes of partitions count as one with that of the partitioned table: only together can they be dropped.
_INDEXES = """
WITH $locked, supporting AS MATERIALIZED (
    SELECT DISTINCT i.indexrelid
    FROM pg_constraint k
    JOIN pg_index i ON i.indrelid = k.conrelid
    JOIN pg_class ic ON ic.oid = i.indexrelid
    JOIN pg_am m ON m.oid = ic.relam
    WHERE k.contype = 'f' AND $supports
), x AS MATERIALIZED (
    SELECT i.indexrelid AS oid, i.indrelid, n.nspname::text AS schema, t.relname::text AS "table",
           ic.relname::text AS name, ic.relkind, m.amname::text AS method,
           i.indisunique AS is_unique, i.indisprimary AS is_primary, i.indisvalid AS is_valid,
           i.indpred IS NOT NULL AS is_partial, i.indexprs IS NOT NULL AS is_expression,
           i.indisunique OR i.indisprimary OR i.indisexclusion OR i.indisreplident
               OR i.indexrelid IN (SELECT s.indexrelid FROM supporting s)
               OR EXISTS (SELECT FROM pg_constraint k WHERE k.conindid = i.indexrelid) AS is_needed,
           CASE WHEN ic.relispartition THEN pg_partition_root(i.indexrelid)::oid ELSE i.indexrelid END AS root,
           CASE WHEN ic.relkind = 'I' THEN 0
                WHEN i.indexrelid IN (SELECT relation FROM locked) OR i.indrelid IN (SELECT relation FROM locked)
                THEN ic.relpages::bigint * current_setting('block_size')::bigint
                ELSE pg_relation_size(i.indexrelid) END AS size_bytes,
           pg_stat_get_numscans(i.indexrelid) AS scans,
           $last_scan AS last_scan,
           pg_stat_get_tuples_inserted(t.oid) + pg_stat_get_tuples_updated(t.oid) + pg_stat_get_tuples_deleted(t.oid)
               AS table_writes,
           EXISTS (SELECT FROM pg_stat_progress_create_index p
                   WHERE p.datname = current_database() AND p.relid = t.oid) AS is_building
    FROM pg_index i
    JOIN pg_class ic ON ic.oid = i.indexrelid
    JOIN pg_class t ON t.oid = i.indrelid
    JOIN pg_namespace n ON n.oid = t.relnamespace
    JOIN pg_am m ON m.oid = ic.relam
    WHERE t.relkind IN ('r', 'm', 'p') AND t.relpersistence <> 't' AND $user_schemas
), whole AS MATERIALIZED (
    SELECT r.oid, r.schema, r."table", r.name, r.is_partial, r.is_expression, g.*
    FROM (
        SELECT x.root, sum(x.size_bytes)::bigint AS size_bytes, sum(x.scans)::bigint AS scans,
               max(x.last_scan) AS last_scan, sum(x.table_writes)::bigint AS table_writes,
               count(*) FILTER (WHERE x.oid <> x.root AND x.relkind = 'i') AS partition_count,
               bool_or(x.is_needed OR NOT x.is_valid) AS is_kept
        FROM x GROUP BY x.root
    ) g JOIN x r ON r.oid = g.root
), unused AS MATERIALIZED (
    SELECT * FROM whole w WHERE w.scans = 0 AND NOT w.is_kept
), totals AS (
    SELECT (SELECT count(*) FROM x WHERE x.relkind = 'i') AS all_count,
           (SELECT coalesce(sum(x.size_bytes), 0) FROM x) AS all_bytes,
           (SELECT count(*) FROM unused) AS unused_count,
           (SELECT coalesce(sum(u.size_bytes), 0) FROM unused u) AS unused_bytes,
           (SELECT count(*) FROM x WHERE NOT x.is_valid AND NOT x.is_building) AS invalid_count,
           (SELECT count(*) FROM x WHERE NOT x.is_valid AND x.is_building) AS building_count
), ranked AS (
    (SELECT 'largest' AS ranking, x.schema, x."table", x.name, x.size_bytes, x.scans, x.last_scan, x.table_writes,
            x.is_partial, x.is_expression, 0::bigint AS partition_count, x.method, x.is_unique, x.is_primary,
            x.is_valid, x.is_building
     FROM x WHERE x.relkind = 'i' ORDER BY x.size_bytes DESC, x.oid LIMIT %(top)s)
    UNION ALL
    (SELECT 'unused', u.schema, u."table", u.name, u.size_bytes, u.scans, u.last_scan, u.table_writes,
            u.is_partial, u.is_expression, u.partition_count, NULL, NULL, NULL, NULL, NULL
     FROM unused u ORDER BY u.size_bytes DESC, u.oid LIMIT %(top)s)
    UNION ALL
    (SELECT 'invalid', x.schema, x."table", x.name, x.size_bytes, x.scans, x.last_scan, x.table_writes,
            x.is_partial, x.is_expression, 0, x.method, x.is_unique, x.is_primary, x.is_valid, x.is_building
     FROM x WHERE NOT x.is_valid ORDER BY x.is_building, x.size_bytes DESC, x.oid LIMIT %(top)s)
)
SELECT s.*, r.* FROM totals s LEFT JOIN ranked r ON true
"""

# Expressions and predicates are compared as trees. Before PostgreSQL 17 these hold positions in the original
# statement, which differ between two spellings of the same index.
_DUPLICATES = """
WITH x AS MATERIALIZED (
    SELECT i.indexrelid AS oid, i.indrelid, n.nspname::text AS schema, t.relname::text AS "table",
           ic.relname::text AS name, ic.relkind, ic.relam, i.indkey::text AS keys, i.indnkeyatts,
           i.indclass::text AS classes, i.indcollation::text AS collations, i.indoption::text AS options,
           regexp_replace(i.indexprs::text, ':location -?[0-9]+', '', 'g') AS expressions,
           regexp_replace(i.indpred::text, ':location -?[0-9]+', '', 'g') AS predicate,
           i.indisunique, i.indimmediate, $nulls AS nulls_not_distinct,
           EXISTS (SELECT FROM pg_constraint k WHERE k.conindid = i.indexrelid) AS is_constraint,
           i.indisprimary, i.indisreplident, i.indisclustered,
           pg_stat_get_numscans(i.indexrelid) AS scans
    FROM pg_index i
    JOIN pg_class ic ON ic.oid = i.indexrelid
    JOIN pg_class t ON t.oid = i.indrelid
    JOIN pg_namespace n ON n.oid = t.relnamespace
    WHERE i.indisvalid AND NOT i.indisexclusion AND NOT ic.relispartition AND t.relpersistence <> 't' AND $user_schemas
), grouped AS (
    SELECT x.*,
           first_value(x.name) OVER same AS kept,
           row_number() OVER same AS place
    FROM x
    -- The one to keep comes first: what cannot simply be dropped, then what is used, then the older one.
    WINDOW same AS (
        PARTITION BY x.indrelid, x.relam, x.keys, x.indnkeyatts, x.classes, x.collations, x.options, x.expressions,
                     x.predicate, x.indisunique, x.indimmediate, x.nulls_not_distinct
        ORDER BY x.indisprimary DESC, x.indisreplident DESC, x.is_constraint DESC, x.indisclustered DESC, x.scans DESC,
                 x.oid
    )
), redundant AS (
    SELECT g.oid, g.schema, g."table", g.name, g.kept AS duplicate_of, g.is_constraint,
           CASE WHEN g.relkind = 'i' THEN pg_relation_size(g.oid)
                ELSE (SELECT sum(pg_relation_size(p.relid)) FROM pg_partition_tree(g.oid) p WHERE p.isleaf)
           END AS size_bytes
    FROM grouped g
    WHERE g.place > 1
)
SELECT r.schema, r."table", r.name, r.duplicate_of, r.is_constraint, r.size_bytes,
       count(*) OVER () AS total, sum(r.size_bytes) OVER () AS all_bytes
FROM redundant r
ORDER BY r.size_bytes DESC, r.oid
LIMIT %(top)s
"""

_FOREIGN_KEYS = """
WITH f AS MATERIALIZED (
    SELECT k.oid, k.conname::text AS name, k.conrelid, k.confrelid, k.conkey, k.confdeltype,
           n.nspname::text AS schema, t.relname::text AS "table", t.relpages, t.relkind, t.reltuples
    FROM pg_constraint k
    JOIN pg_class t ON t.oid = k.conrelid
    JOIN pg_namespace n ON n.oid = t.relnamespace
    WHERE k.contype = 'f' AND k.conparentid = 0 AND t.relpersistence <> 't' AND $user_schemas
      AND NOT EXISTS (
        SELECT FROM pg_index i JOIN pg_class ic ON ic.oid = i.indexrelid JOIN pg_am m ON m.oid = ic.relam
        WHERE i.indrelid = k.conrelid AND $supports)
)
SELECT f.schema, f."table", f.name, f.confdeltype AS on_delete,
       ARRAY(SELECT a.attname::text FROM unnest(f.conkey) WITH ORDINALITY u (attnum, place)
             JOIN pg_attribute a ON a.attrelid = f.conrelid AND a.attnum = u.attnum ORDER BY u.place) AS columns,
       rn.nspname::text AS referenced_schema, r.relname::text AS referenced_table,
       CASE WHEN f.relkind = 'p' THEN NULLIF(greatest(f.reltuples, -1), -1)::bigint
            ELSE pg_stat_get_live_tuples(f.conrelid) END AS live_rows,
       CASE WHEN f.relkind = 'r' THEN f.relpages::bigint * current_setting('block_size')::bigint END AS table_bytes,
       count(*) OVER () AS total
FROM f
JOIN pg_class r ON r.oid = f.confrelid
JOIN pg_namespace rn ON rn.oid = r.relnamespace
ORDER BY live_rows DESC NULLS LAST, f.oid
LIMIT %(top)s
"""

_STANDBYS = "SELECT count(*) AS standby_count FROM pg_stat_get_wal_senders() WHERE state IN ('streaming', 'catchup')"

_ON_DELETE = {"a": "no action", "r": "restrict", "c": "cascade", "n": "set null", "d": "set default"}
_LEFTOVER = re.compile(r"_(cc(?:new|old))\d*$")


def _queries(capabilities: Capabilities) -> list[Query]:
    common = {"user_schemas": USER_SCHEMAS}
    last_scan = "pg_stat_get_lastscan(i.indexrelid)" if capabilities.version_num >= 160000 else "NULL::timestamptz"
    nulls = capabilities.pick("pg_index", "indnullsnotdistinct", alias="i", otherwise="false")
    queries = [
        Query(
            "indexes",
            compose(_INDEXES, locked=LOCKED, supports=_SUPPORTS, last_scan=last_scan, **common),
            "sizes, unused and invalid indexes",
        ),
        Query("duplicates", compose(_DUPLICATES, nulls=nulls, **common), "duplicate indexes"),
        Query("foreign_keys", compose(_FOREIGN_KEYS, supports=_SUPPORTS, **common), "foreign keys without an index"),
    ]
    if capabilities.reads_stats:
        queries.append(Query("standbys", _STANDBYS, "standby_count"))
    return queries


def _skips(capabilities: Capabilities, _answers: Answers) -> list[Skip]:
    if capabilities.reads_stats:
        return []
    reason = (
        "The role does not see standbys nor running CREATE INDEX commands, so an index that is being built "
        "counts as invalid."
    )
    return [Skip("indexes.standby_count", reason, monitor_remedy(capabilities))]


def _facts(answers: Answers, capabilities: Capabilities, _limits: Limits) -> Facts:
    rows, totals = answers.rows("indexes"), answers.row("indexes")
    duplicates, foreign_keys = answers.rows("duplicates"), answers.rows("foreign_keys")

    def listed(ranking: str, shape: Callable[[Row], dict[str, Any]]) -> Optional[list[dict[str, Any]]]:
        return None if rows is None else [shape(row) for row in rows if row["ranking"] == ranking]

    facts: Facts = {
        "database": capabilities.database,
        "count": totals.get("all_count"),
        "total_bytes": totals.get("all_bytes"),
        "stats_since": moment(capabilities.stats_since),
        "stats_age_seconds": age_seconds(capabilities.now, capabilities.stats_since),
        "is_standby": capabilities.in_recovery,
        "standby_count": answers.row("standbys").get("standby_count"),
        "unused_count": totals.get("unused_count"),
        "unused_bytes": totals.get("unused_bytes"),
        "unused": listed("unused", _unused),
        "invalid_count": totals.get("invalid_count"),
        "building_count": totals.get("building_count"),
        "invalid": listed("invalid", lambda row: _invalid(row, capabilities.reads_stats)),
        "duplicate_count": _total(duplicates),
        "duplicate_bytes": _total(duplicates, "all_bytes"),
        "duplicates": None if duplicates is None else [_duplicate(row) for row in duplicates],
        "unindexed_foreign_key_count": _total(foreign_keys),
        "unindexed_foreign_keys": None if foreign_keys is None else [_foreign_key(row) for row in foreign_keys],
        "largest": listed("largest", _large),
    }
    counts = {
        "unused": facts["unused_count"],
        "invalid": None if rows is None else facts["invalid_count"] + facts["building_count"],
        "duplicates": facts["duplicate_count"],
        "unindexed_foreign_keys": facts["unindexed_foreign_key_count"],
        "largest": facts["count"],
    }
    facts["truncated"] = any(count is not None and count > len(facts[name] or ()) for name, count in counts.items())
    return facts


def _total(rows: Sequence[Mapping[str, Any]] | None, column: str = "total") -> int | None:
    if rows is None:
        return None
    return int(rows[0][column]) if rows else 0


def _name(row: Row) -> dict[str, Any]:
    return {"schema": row["schema"], "table": row["table"], "name": row["name"]}


def _unused(row: Row) -> dict[str, Any]:
    return {
        **_name(row),
        "size_bytes": row["size_bytes"],
        "scans": row["scans"],
        "last_scan_at": moment(row["last_scan"]),
        "table_writes": row["table_writes"],
        "is_partial": row["is_partial"],
        "is_expression": row["is_expression"],
        "partition_count": row["partition_count"],
    }


def _invalid(row: Row, sees_progress: bool) -> dict[str, Any]:
    return {
        **_name(row),
        "size_bytes": row["size_bytes"],
        "is_building": row["is_building"] if sees_progress else None,
        "leftover": leftover(row["name"]),
    }


def leftover(name: str) -> str | None:
    """What REINDEX CONCURRENTLY left behind, by the name it gives: C(ccnew), C(ccold), or None.

    C(ccnew): the rebuild failed, so drop it and try again. C(ccold): the rebuild succeeded, so just drop it.
    None: a CREATE INDEX CONCURRENTLY of a user failed.
    """
    found = _LEFTOVER.search(name)
    return found.group(1) if found else None


def _duplicate(row: Row) -> dict[str, Any]:
    return {
        **_name(row),
        "duplicate_of": row["duplicate_of"],
        "size_bytes": row["size_bytes"],
        "is_constraint": row["is_constraint"],
    }


def _foreign_key(row: Row) -> dict[str, Any]:
    return {
        **_name(row),
        "columns": row["columns"],
        "referenced_schema": row["referenced_schema"],
        "referenced_table": row["referenced_table"],
        "on_delete": _ON_DELETE.get(row["on_delete"]),
        "live_rows": row["live_rows"],
        "table_bytes": row["table_bytes"],
    }


def _large(row: Row) -> dict[str, Any]:
    return {
        **_name(row),
        "size_bytes": row["size_bytes"],
        "scans": row["scans"],
        "method": row["method"],
        "is_unique": row["is_unique"],
        "is_primary": row["is_primary"],
        "is_valid": row["is_valid"],
    }


SECTION = Section("indexes", _queries, _facts, _skips)
