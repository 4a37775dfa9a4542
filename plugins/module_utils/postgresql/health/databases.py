# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Size and cumulative statistics of every database."""

from __future__ import annotations

import datetime as dt
from typing import Any

from ansible_collections.runbook.ops.plugins.module_utils.postgresql.health.capabilities import Capabilities
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.health.section import (
    DAY,
    HOUR,
    Answers,
    Facts,
    Limits,
    Query,
    Row,
    Section,
    Skip,
    age_seconds,
    compose,
    is_cut,
    moment,
    monitor_remedy,
    percent,
    rate,
)

_STATISTICS = """
SELECT d.oid::bigint AS oid, d.datname::text AS name, d.datistemplate AS is_template,
       d.datallowconn AS allows_connections, d.datconnlimit AS connection_limit,
       d.datname = current_database() AS is_current,
       age(d.datfrozenxid) AS xid_age, mxid_age(d.datminmxid) AS multixact_age,
       s.numbackends AS connections, s.xact_commit, s.xact_rollback, s.blks_hit, s.blks_read, s.deadlocks, s.conflicts,
       s.temp_files, s.temp_bytes, s.checksum_failures, s.stats_reset,
       $sessions_abandoned AS sessions_abandoned, $sessions_fatal AS sessions_fatal,
       $sessions_killed AS sessions_killed,
       (SELECT b.stats_reset FROM pg_stat_bgwriter b) AS server_stats_reset,
       statement_timestamp() AS now
FROM pg_database d LEFT JOIN pg_stat_database s ON s.datid = d.oid
"""

# Apart from the statistics, because a size is a walk through a directory: with a million files it may take too long.
_SIZES = """
SELECT d.oid::bigint AS oid,
       CASE WHEN has_database_privilege(d.oid, 'CONNECT') OR pg_has_role(current_user, 'pg_read_all_stats', 'USAGE')
            THEN pg_database_size(d.oid) END AS size_bytes
FROM pg_database d
"""

# DROP DATABASE marks its victim so before it removes files; what is left after an interruption is beyond saving.
_INVALID_CONNECTION_LIMIT = -2


def _queries(capabilities: Capabilities) -> list[Query]:
    fragments = {
        name: capabilities.pick("pg_stat_database", name, alias="s", otherwise="NULL::bigint")
        for name in ("sessions_abandoned", "sessions_fatal", "sessions_killed")
    }
    return [
        Query("statistics", compose(_STATISTICS, **fragments), "statistics of databases"),
        Query("sizes", _SIZES, "size_bytes and total_size_bytes"),
    ]


def _skips(capabilities: Capabilities, answers: Answers) -> list[Skip]:
    if all(row["size_bytes"] is not None for row in answers.rows("sizes") or ()):
        return []
    reason = "The role may not read the size of databases it may not connect to."
    return [Skip("databases", reason, monitor_remedy(capabilities))]


def _facts(answers: Answers, _capabilities: Capabilities, limits: Limits) -> Facts:
    rows, sizes = answers.rows("statistics"), answers.rows("sizes")
    size_of = {row["oid"]: row["size_bytes"] for row in sizes or ()}
    known = list(size_of.values())
    total = sum(known) if sizes is not None and None not in known else None
    if rows is None:
        return {"count": None, "total_size_bytes": total, "current": None, "list": None, "truncated": False}
    everything = [(row["is_current"], _database(row, size_of.get(row["oid"]))) for row in rows]
    listed = sorted(
        (facts for _current, facts in everything), key=lambda facts: (-(facts["size_bytes"] or 0), facts["name"])
    )
    return {
        "count": len(listed),
        "total_size_bytes": total,
        "current": next((facts for current, facts in everything if current), None),
        "list": listed[: limits.top],
        "truncated": is_cut(len(listed), listed[: limits.top]),
    }


def _database(row: Row, size_bytes: int | None) -> dict[str, Any]:
    finished = None if row["xact_commit"] is None else row["xact_commit"] + row["xact_rollback"]
    blocks = None if row["blks_hit"] is None else row["blks_hit"] + row["blks_read"]
    # A crash loses the counters and the database's stats_reset with them; the server's own tells when that was.
    since: dt.datetime | None = row["stats_reset"] or row["server_stats_reset"]
    age = age_seconds(row["now"], since)
    return {
        "name": row["name"],
        "size_bytes": size_bytes,
        "is_template": row["is_template"],
        "allows_connections": row["allows_connections"],
        "is_invalid": row["connection_limit"] == _INVALID_CONNECTION_LIMIT,
        "connections": row["connections"],
        "connection_limit": row["connection_limit"] if row["connection_limit"] >= 0 else None,
        "commits_total": row["xact_commit"],
        "rollbacks_total": row["xact_rollback"],
        "rollback_percent": percent(row["xact_rollback"], finished),
        "cache_hit_percent": percent(row["blks_hit"], blocks),
        "deadlocks_total": row["deadlocks"],
        "deadlocks_per_day": rate(row["deadlocks"], age, DAY),
        "conflicts_total": row["conflicts"],
        "temp_files_total": row["temp_files"],
        "temp_bytes_total": row["temp_bytes"],
        "temp_bytes_per_hour": rate(row["temp_bytes"], age, HOUR),
        "sessions_abandoned_total": row["sessions_abandoned"],
        "sessions_fatal_total": row["sessions_fatal"],
        "sessions_killed_total": row["sessions_killed"],
        "checksum_failures_total": row["checksum_failures"],
        "xid_age": row["xid_age"],
        "multixact_age": row["multixact_age"],
        "stats_reset_at": moment(row["stats_reset"]),
        "stats_since": moment(since),
        "stats_age_seconds": age,
    }


SECTION = Section("databases", _queries, _facts, _skips)
