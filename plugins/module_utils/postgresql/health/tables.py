# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tables: size, dead rows, what autovacuum owes them, and who reads them from end to end."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.postgresql.health.autovacuum import due
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.health.capabilities import Capabilities
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.health.relations import LOCKED, USER_SCHEMAS
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.health.section import (
    HOUR,
    Answers,
    Facts,
    Limits,
    Query,
    Row,
    Section,
    age_seconds,
    compose,
    moment,
    percent,
    rate,
    ratio,
    rounded,
)

# One pass over the catalog; the server keeps the best rows of every ranking, so that 20,000 tables give a small answer.
_TABLES = """
WITH $locked, locked_tables AS MATERIALIZED (
    SELECT l.relation FROM locked l
    UNION
    SELECT i.indrelid FROM locked l JOIN pg_index i ON i.indexrelid = l.relation
), $due, totals AS (
    SELECT count(*) AS all_count,
           coalesce(sum(t.total_bytes), 0) AS all_bytes,
           coalesce(sum(t.live_rows), 0) AS all_live_rows,
           coalesce(sum(t.dead_rows), 0) AS all_dead_rows,
           count(*) FILTER (WHERE t.is_dead_due OR t.is_insert_due) AS vacuum_due_count,
           count(*) FILTER (WHERE t.is_analyze_due) AS analyze_due_count,
           count(*) FILTER (WHERE t.is_never_analyzed) AS never_analyzed_count,
           count(*) FILTER (WHERE NOT t.enabled_here) AS disabled_count,
           count(*) FILTER (WHERE t.dead_rows > 0) AS with_dead_rows_count,
           count(*) FILTER (WHERE t.sequential_rows > 0) AS sequentially_read_count
    FROM t
), ranked AS (
    (SELECT 'largest' AS ranking, row_number() OVER (ORDER BY t.total_bytes DESC, t.oid) AS place, t.* FROM t
     ORDER BY t.total_bytes DESC, t.oid LIMIT %(top)s)
    UNION ALL
    (SELECT 'dead_rows', row_number() OVER (ORDER BY t.dead_rows DESC, t.oid), t.* FROM t WHERE t.dead_rows > 0
     ORDER BY t.dead_rows DESC, t.oid LIMIT %(top)s)
    UNION ALL
    (SELECT 'vacuum_due', row_number() OVER (ORDER BY t.vacuum_score DESC, t.oid), t.* FROM t
     WHERE t.is_dead_due OR t.is_insert_due ORDER BY t.vacuum_score DESC, t.oid LIMIT %(top)s)
    UNION ALL
    (SELECT 'analyze_due', row_number() OVER (ORDER BY t.analyze_score DESC, t.oid), t.* FROM t
     WHERE t.is_analyze_due ORDER BY t.analyze_score DESC, t.oid LIMIT %(top)s)
    UNION ALL
    (SELECT 'never_analyzed', row_number() OVER (ORDER BY t.total_bytes DESC, t.oid), t.* FROM t
     WHERE t.is_never_analyzed ORDER BY t.total_bytes DESC, t.oid LIMIT %(top)s)
    UNION ALL
    (SELECT 'sequential_scans', row_number() OVER (ORDER BY t.sequential_rows DESC, t.oid), t.* FROM t
     WHERE t.sequential_rows > 0 ORDER BY t.sequential_rows DESC, t.oid LIMIT %(top)s)
    UNION ALL
    (SELECT 'autovacuum_disabled', row_number() OVER (ORDER BY t.total_bytes DESC, t.oid), t.* FROM t
     WHERE NOT t.enabled_here ORDER BY t.total_bytes DESC, t.oid LIMIT %(top)s)
)
SELECT s.*, r.*, clock_timestamp() AS now,
       CASE WHEN r.relispartition THEN pg_partition_root(r.oid)::regclass::text END AS parent,
       CASE WHEN r.ranking = 'largest' AND NOT r.is_estimate THEN pg_relation_size(r.oid) END AS table_bytes,
       CASE WHEN r.ranking = 'largest' AND NOT r.is_estimate THEN pg_indexes_size(r.oid) END AS index_bytes,
       CASE WHEN r.ranking = 'largest' AND NOT r.is_estimate
            THEN pg_table_size(r.oid) - pg_relation_size(r.oid) - pg_relation_size(r.oid, 'fsm')
                 - pg_relation_size(r.oid, 'vm') - pg_relation_size(r.oid, 'init') END AS toast_bytes,
       CASE WHEN r.ranking = 'sequential_scans' THEN x.index_scans END AS index_scans,
       CASE WHEN r.ranking = 'sequential_scans' THEN x.index_count END AS index_count
FROM totals s
LEFT JOIN ranked r ON true
LEFT JOIN LATERAL (
    SELECT coalesce(sum(pg_stat_get_numscans(i.indexrelid)), 0) AS index_scans, count(*) AS index_count
    FROM pg_index i WHERE i.indrelid = r.oid
) x ON r.ranking = 'sequential_scans'
ORDER BY r.ranking, r.place
"""

# For all tables that are measured, except those whose size nobody can ask for without waiting.
_COLUMNS = """c.oid IN (SELECT relation FROM locked_tables) AS is_estimate,
           CASE WHEN c.oid IN (SELECT relation FROM locked_tables) THEN c.relpages::bigint * d.block_size
                ELSE pg_total_relation_size(c.oid) END AS total_bytes,"""

_PARTITIONED = """
WITH $locked, parts AS (
    SELECT pg_partition_root(c.oid)::oid AS root,
           CASE WHEN c.oid IN (SELECT relation FROM locked)
                THEN c.relpages::bigint * current_setting('block_size')::bigint
                ELSE pg_total_relation_size(c.oid) END AS total_bytes,
           pg_stat_get_live_tuples(c.oid) AS live_rows
    FROM pg_class c
    WHERE c.relispartition AND c.relkind = 'r'
)
SELECT n.nspname::text AS schema, c.relname::text AS name, count(*) AS partition_count,
       sum(p.total_bytes) AS total_bytes, sum(p.live_rows) AS live_rows, count(*) OVER () AS total
FROM parts p
JOIN pg_class c ON c.oid = p.root
JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE $user_schemas
GROUP BY n.nspname, c.relname
ORDER BY sum(p.total_bytes) DESC
LIMIT %(top)s
"""

_KINDS = {"r": "table", "m": "materialized view"}


def _queries(capabilities: Capabilities) -> list[Query]:
    due_tables = due(
        counts_frozen=capabilities.has("pg_class", "relallfrozen"),
        columns=_COLUMNS,
        relations=f"c.relkind IN ('r', 'm') AND c.relpersistence <> 't' AND {USER_SCHEMAS}",
    )
    return [
        Query("tables", compose(_TABLES, due=due_tables, locked=LOCKED), "tables"),
        Query("partitioned", compose(_PARTITIONED, locked=LOCKED, user_schemas=USER_SCHEMAS), "partitioned tables"),
    ]


def _facts(answers: Answers, capabilities: Capabilities, _limits: Limits) -> Facts:
    rows = answers.rows("tables")
    partitioned = answers.rows("partitioned")
    totals = answers.row("tables")
    stats_age = age_seconds(capabilities.now, capabilities.stats_since)

    def listed(ranking: str, shape: Callable[[Row], dict[str, Any]]) -> Optional[list[dict[str, Any]]]:
        return None if rows is None else [shape(row) for row in rows if row["ranking"] == ranking]

    facts: Facts = {
        "database": capabilities.database,
        "count": totals.get("all_count"),
        "total_bytes": totals.get("all_bytes"),
        "live_rows_total": totals.get("all_live_rows"),
        "dead_rows_total": totals.get("all_dead_rows"),
        "vacuum_due_count": totals.get("vacuum_due_count"),
        "analyze_due_count": totals.get("analyze_due_count"),
        "never_analyzed_count": totals.get("never_analyzed_count"),
        "autovacuum_disabled_count": totals.get("disabled_count"),
        "stats_since": moment(capabilities.stats_since),
        "stats_age_seconds": stats_age,
        "autovacuum_disabled": listed("autovacuum_disabled", _name),
        "largest": listed("largest", _large),
        "partitioned": None if partitioned is None else [_partitioned(row) for row in partitioned],
        "dead_rows": listed("dead_rows", _dead),
        "vacuum_due": listed("vacuum_due", _vacuum_due),
        "analyze_due": listed("analyze_due", _analyze_due),
        "never_analyzed": listed("never_analyzed", _never_analyzed),
        "sequential_scans": listed("sequential_scans", lambda row: _sequential(row, stats_age)),
    }
    facts["truncated"] = _is_truncated(facts, totals, partitioned)
    return facts


def _is_truncated(facts: Facts, totals: Row, partitioned: Sequence[Row] | None) -> bool:
    counts = {
        "largest": totals.get("all_count"),
        "dead_rows": totals.get("with_dead_rows_count"),
        "vacuum_due": totals.get("vacuum_due_count"),
        "analyze_due": totals.get("analyze_due_count"),
        "never_analyzed": totals.get("never_analyzed_count"),
        "sequential_scans": totals.get("sequentially_read_count"),
        "autovacuum_disabled": totals.get("disabled_count"),
        "partitioned": partitioned[0]["total"] if partitioned else 0,
    }
    return any((count or 0) > len(facts[name] or ()) for name, count in counts.items() if facts[name] is not None)


def _name(row: Row) -> dict[str, Any]:
    return {"schema": row["schema"], "name": row["name"]}


def _large(row: Row) -> dict[str, Any]:
    return {
        **_name(row),
        "kind": "partition" if row["relispartition"] else _KINDS[row["relkind"]],
        "parent": row["parent"],
        "total_bytes": row["total_bytes"],
        "table_bytes": row["table_bytes"],
        "index_bytes": row["index_bytes"],
        "toast_bytes": row["toast_bytes"],
        "live_rows": row["live_rows"],
        "is_estimate": row["is_estimate"],
    }


def _partitioned(row: Row) -> dict[str, Any]:
    return {
        **_name(row),
        "partition_count": row["partition_count"],
        "total_bytes": row["total_bytes"],
        "live_rows": row["live_rows"],
    }


def _dead(row: Row) -> dict[str, Any]:
    return {
        **_name(row),
        "live_rows": row["live_rows"],
        "dead_rows": row["dead_rows"],
        "dead_percent": percent(row["dead_rows"], row["live_rows"] + row["dead_rows"]),
        "vacuum_threshold": rounded(row["vacuum_threshold"]),
        "vacuum_threshold_percent": percent(row["dead_rows"], row["vacuum_threshold"]),
        "autovacuum_enabled": row["autovacuum_enabled"],
        "last_vacuum_at": moment(row["last_vacuum"]),
        "last_vacuum_age_seconds": age_seconds(row["now"], row["last_vacuum"]),
        "total_bytes": row["total_bytes"],
    }


def _vacuum_due(row: Row) -> dict[str, Any]:
    return {
        **_name(row),
        "cause": "dead rows" if row["is_dead_due"] else "inserted rows",
        "dead_rows": row["dead_rows"],
        "vacuum_threshold": rounded(row["vacuum_threshold"]),
        "inserted_rows": row["inserted_rows"],
        "insert_threshold": rounded(row["insert_threshold"]),
        "due_percent": rounded(100 * row["vacuum_score"]),
        "autovacuum_enabled": row["autovacuum_enabled"],
        "last_vacuum_at": moment(row["last_vacuum"]),
        "last_vacuum_age_seconds": age_seconds(row["now"], row["last_vacuum"]),
    }


def _analyze_due(row: Row) -> dict[str, Any]:
    return {
        **_name(row),
        "modified_rows": row["modified_rows"],
        "analyze_threshold": rounded(row["analyze_threshold"]),
        "due_percent": rounded(100 * row["analyze_score"]),
        "last_analyze_at": moment(row["last_analyze"]),
        "last_analyze_age_seconds": age_seconds(row["now"], row["last_analyze"]),
    }


def _never_analyzed(row: Row) -> dict[str, Any]:
    return {**_name(row), "live_rows": row["live_rows"], "total_bytes": row["total_bytes"]}


def _sequential(row: Row, stats_age: float | None) -> dict[str, Any]:
    scans, read = row["sequential_scans"], row["sequential_rows"]
    return {
        **_name(row),
        "live_rows": row["live_rows"],
        "sequential_scans": scans,
        "sequential_scans_per_hour": rate(scans, stats_age, HOUR),
        "sequential_rows": read,
        "rows_per_scan": ratio(read, scans),
        "full_reads": ratio(read, row["live_rows"]),
        "index_scans": row["index_scans"],
        "sequential_percent": percent(scans, scans + row["index_scans"]),
        "total_bytes": row["total_bytes"],
        "index_count": row["index_count"],
    }


SECTION = Section("tables", _queries, _facts)
