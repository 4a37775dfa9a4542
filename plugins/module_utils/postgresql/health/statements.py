# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""pg_stat_statements, whatever version of it is there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ansible_collections.runbook.ops.plugins.module_utils.postgresql.health.capabilities import Capabilities
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.health.relations import readable
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
    percent,
    ratio,
    rounded,
)
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.health.statement_text import without_literals

EXTENSION = "pg_stat_statements"
_VIEW, _INFO = "pg_stat_statements", "pg_stat_statements_info"

# The columns were renamed in extension 1.8 (PostgreSQL 13), and an upgraded server may still carry the old version.
_STATEMENTS = """
WITH s AS MATERIALIZED (
    SELECT p.queryid, p.dbid, p.userid, p.calls, p.$total_time AS total_ms, p.$mean_time AS mean_ms,
           p.$max_time AS max_ms, p.$stddev_time AS stddev_ms, p.rows, p.shared_blks_hit, p.shared_blks_read,
           p.temp_blks_written, $wal_bytes AS wal_bytes, $toplevel AS toplevel, p.query
    FROM $schema.pg_stat_statements p
), totals AS (
    SELECT count(*) AS entries,
           -- With pg_stat_statements.track = all, time inside functions would count twice.
           coalesce(sum(s.calls) FILTER (WHERE s.toplevel), 0) AS all_calls,
           coalesce(sum(s.total_ms) FILTER (WHERE s.toplevel), 0) AS all_ms
    FROM s
), ranked AS (
    (SELECT 'by_total_time' AS ranking, row_number() OVER (ORDER BY s.total_ms DESC) AS place, s.* FROM s
     ORDER BY s.total_ms DESC LIMIT %(top)s)
    UNION ALL
    (SELECT 'by_mean_time', row_number() OVER (ORDER BY s.mean_ms DESC), s.* FROM s
     ORDER BY s.mean_ms DESC LIMIT %(top)s)
    UNION ALL
    (SELECT 'by_calls', row_number() OVER (ORDER BY s.calls DESC), s.* FROM s
     ORDER BY s.calls DESC LIMIT %(top)s)
)
SELECT t.entries, t.all_calls, t.all_ms, r.ranking, r.queryid::text AS query_id, d.datname::text AS database,
       u.rolname::text AS "user", r.calls, r.total_ms, r.mean_ms, r.max_ms, r.stddev_ms, r.rows, r.shared_blks_hit,
       r.shared_blks_read, r.temp_blks_written * current_setting('block_size')::bigint AS temp_bytes, r.wal_bytes,
       $query AS query
FROM totals t
LEFT JOIN ranked r ON true
LEFT JOIN pg_database d ON d.oid = r.dbid
LEFT JOIN pg_roles u ON u.oid = r.userid
ORDER BY r.ranking, r.place
"""

_EVICTIONS = """
SELECT i.dealloc AS evicted, i.stats_reset, clock_timestamp() AS now FROM $schema.pg_stat_statements_info i
"""

_MAXIMUM = "SELECT current_setting('pg_stat_statements.max', true)::int AS max_entries"

_RANKINGS = ("by_total_time", "by_mean_time", "by_calls")
_HIDDEN = "<insufficient privilege>"


def _queries(capabilities: Capabilities) -> list[Query]:
    extension = capabilities.extensions.get(EXTENSION)
    if extension is None:
        return []

    def time(name: str) -> str:
        new, old = f"{name}_exec_time", f"{name}_time"
        return new if capabilities.has(_VIEW, new) else old

    schema = extension.quoted_schema
    sql = compose(
        _STATEMENTS,
        schema=schema,
        query=readable("r.query", "r.dbid"),
        total_time=time("total"),
        mean_time=time("mean"),
        max_time=time("max"),
        stddev_time=time("stddev"),
        wal_bytes=capabilities.pick(_VIEW, "wal_bytes", alias="p", otherwise="NULL::numeric"),
        toplevel=capabilities.pick(_VIEW, "toplevel", alias="p", otherwise="true"),
    )
    queries = [Query("statements", sql, "statements", _PRELOAD), Query("maximum", _MAXIMUM, "max_entries")]
    if capabilities.has(_INFO):
        queries.append(Query("evictions", compose(_EVICTIONS, schema=schema), "evicted_total", _PRELOAD))
    return queries


_PRELOAD = "Add pg_stat_statements to shared_preload_libraries and restart the server."


def _how_to_install(capabilities: Capabilities) -> str:
    """The steps that are still missing on this server."""
    steps = [
        ""
        if capabilities.offers_statements
        else "Install the package with PostgreSQL's contrib modules on the server.",
        "" if capabilities.preloads_statements else _PRELOAD,
        f"In database {capabilities.quoted_database}: CREATE EXTENSION pg_stat_statements;",
    ]
    return " ".join(step for step in steps if step)


def _skips(capabilities: Capabilities, _answers: Answers) -> list[Skip]:
    if EXTENSION not in capabilities.extensions:
        reason = f"The extension pg_stat_statements is not installed in database {capabilities.database}."
        return [Skip("statements", reason, _how_to_install(capabilities))]
    if not capabilities.reads_stats:
        reason = "The role does not see the text of other roles' statements; their figures are delivered."
        return [Skip("statements", reason, monitor_remedy(capabilities))]
    return []


def _facts(answers: Answers, capabilities: Capabilities, _limits: Limits) -> Facts:
    rows, totals = answers.rows("statements"), answers.row("statements")
    evictions = answers.row("evictions")
    extension = capabilities.extensions.get(EXTENSION)
    shown = {name: None if rows is None else _ranking(rows, name) for name in _RANKINGS}
    return {
        "extension_version": None if extension is None else extension.version,
        "entries": totals.get("entries"),
        "max_entries": answers.row("maximum").get("max_entries"),
        "evicted_total": evictions.get("evicted"),
        "stats_reset_at": moment(evictions.get("stats_reset")),
        "stats_age_seconds": age_seconds(evictions.get("now"), evictions.get("stats_reset")),
        "calls_total": totals.get("all_calls"),
        "total_ms": rounded(totals.get("all_ms")),
        **shown,
        "truncated": any(
            (totals.get("entries") or 0) > len(ranking) for ranking in shown.values() if ranking is not None
        ),
    }


def _ranking(rows: Sequence[Row], name: str) -> list[dict[str, Any]]:
    return [_statement(row) for row in rows if row["ranking"] == name]


def _statement(row: Row) -> dict[str, Any]:
    blocks = row["shared_blks_hit"] + row["shared_blks_read"]
    return {
        "query_id": row["query_id"],
        "query": None if row["query"] == _HIDDEN else without_literals(row["query"]),
        "database": row["database"],
        "user": row["user"],
        "calls": row["calls"],
        "calls_percent": percent(row["calls"], row["all_calls"]),
        "total_ms": rounded(row["total_ms"]),
        "total_percent": percent(row["total_ms"], row["all_ms"]),
        "mean_ms": rounded(row["mean_ms"], 3),
        "max_ms": rounded(row["max_ms"], 3),
        "stddev_ms": rounded(row["stddev_ms"], 3),
        "rows": row["rows"],
        "rows_per_call": ratio(row["rows"], row["calls"]),
        "cache_hit_percent": percent(row["shared_blks_hit"], blocks),
        "temp_bytes": row["temp_bytes"],
        "wal_bytes": row["wal_bytes"],
    }


SECTION = Section("statements", _queries, _facts, _skips)
