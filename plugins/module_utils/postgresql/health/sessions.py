# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Client sessions: what runs long, and who holds a transaction without working."""

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
)
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.health.statement_text import without_literals

_SESSIONS = """
WITH s AS MATERIALIZED (
    SELECT a.pid, a.datname::text AS database, a.usename::text AS "user", a.application_name AS application,
           host(a.client_addr) AS client_address, a.state, a.backend_start, a.xact_start, a.query_start, a.state_change,
           a.wait_event_type, a.wait_event, greatest(age(a.backend_xmin), age(a.backend_xid)) AS xmin_age,
           $query_id AS query_id, $query AS query
    FROM pg_stat_activity a
    WHERE a.backend_type = 'client backend' AND a.pid <> pg_backend_pid()
)
SELECT r.*, clock_timestamp() AS now
FROM (
    (SELECT 'active' AS ranking, s.* FROM s WHERE s.state = 'active'
     ORDER BY s.query_start NULLS LAST LIMIT %(top)s)
    UNION ALL
    (SELECT 'idle_in_transaction', s.* FROM s WHERE s.state LIKE 'idle in transaction%%'
     ORDER BY s.state_change NULLS LAST LIMIT %(top)s)
    UNION ALL
    (SELECT 'idle', s.* FROM s WHERE s.state = 'idle'
     ORDER BY s.state_change NULLS LAST LIMIT %(top)s)
    UNION ALL
    (SELECT 'oldest_transaction', s.* FROM s WHERE s.xact_start IS NOT NULL
     ORDER BY s.xact_start LIMIT 1)
) r
"""

_GROUPS = """
SELECT a.application_name AS application, a.usename::text AS "user", a.datname::text AS database,
       count(*) AS count,
       count(*) FILTER (WHERE a.state = 'active') AS active,
       count(*) FILTER (WHERE a.state = 'idle') AS idle,
       count(*) FILTER (WHERE a.state LIKE 'idle in transaction%%') AS idle_in_transaction,
       min(a.state_change) FILTER (WHERE a.state = 'idle') AS idle_since,
       min(a.state_change) FILTER (WHERE a.state LIKE 'idle in transaction%%') AS idle_in_transaction_since,
       statement_timestamp() AS now
FROM pg_stat_activity a
WHERE a.backend_type = 'client backend' AND a.pid <> pg_backend_pid()
GROUP BY a.application_name, a.usename, a.datname
"""

_LISTS = ("active", "idle_in_transaction", "idle")


def _queries(capabilities: Capabilities) -> list[Query]:
    if not capabilities.reads_stats:
        return []
    query_id = capabilities.pick("pg_stat_activity", "query_id", alias="a", otherwise="NULL::bigint")
    return [
        Query(
            "sessions", compose(_SESSIONS, query_id=query_id, query=readable("a.query", "a.datid")), "lists of sessions"
        ),
        Query("groups", _GROUPS, "counts of sessions"),
    ]


def _skips(capabilities: Capabilities, _answers: Answers) -> list[Skip]:
    if capabilities.reads_stats:
        return []
    reason = "The role sees no details of other roles' sessions."
    return [Skip("sessions", reason, monitor_remedy(capabilities))]


def _facts(answers: Answers, _capabilities: Capabilities, limits: Limits) -> Facts:
    rows, groups = answers.rows("sessions"), answers.rows("groups")
    lists = {
        name: None if rows is None else [session(row) for row in rows if row["ranking"] == name] for name in _LISTS
    }
    oldest = next((session(row) for row in rows or () if row["ranking"] == "oldest_transaction"), None)
    counts = _counts(groups)
    leaks = _leaks(groups)
    return {
        **counts,
        "oldest_query_seconds": _first(lists["active"], "query_age_seconds"),
        "oldest_transaction_seconds": _first(
            None if rows is None else [oldest] if oldest else [], "transaction_age_seconds"
        ),
        "idle_in_transaction_oldest_seconds": _first(lists["idle_in_transaction"], "state_age_seconds"),
        "idle_oldest_seconds": _first(lists["idle"], "state_age_seconds"),
        "oldest_transaction": oldest,
        **lists,
        "by_application": None if leaks is None else leaks[: limits.top],
        "truncated": any(
            (counts[f"{name}_count"] or 0) > len(lists[name] or ()) for name in _LISTS if lists[name] is not None
        )
        or len(leaks or ()) > limits.top,
    }


def session(row: Row) -> dict[str, Any]:
    """One session for people and for a later action, which needs pid and both starts to find the same one again."""
    now = row["now"]
    in_transaction = row["xact_start"] is not None
    return {
        "pid": row["pid"],
        "database": row["database"],
        "user": row["user"],
        "application": row["application"],
        "client_address": row["client_address"],
        "state": row["state"],
        "backend_started_at": moment(row["backend_start"]),
        "transaction_started_at": moment(row["xact_start"]),
        "state_age_seconds": age_seconds(now, row["state_change"]),
        "transaction_age_seconds": age_seconds(now, row["xact_start"]) if in_transaction else None,
        "query_age_seconds": age_seconds(now, row["query_start"]),
        "xmin_age": row["xmin_age"],
        "wait_event_type": row["wait_event_type"],
        "wait_event": row["wait_event"],
        "query_id": None if row["query_id"] is None else str(row["query_id"]),
        "query": without_literals(row["query"]),
    }


def _first(sessions: Sequence[Row] | None, key: str) -> float | None:
    """The age of the first session of a list that is ordered by it; 0 when nobody is in it."""
    if sessions is None:
        return None
    age: float | None = sessions[0][key] if sessions else 0.0
    return age


def _counts(groups: Sequence[Row] | None) -> Facts:
    names = {"total_count": "count", **{f"{name}_count": name for name in _LISTS}}
    if groups is None:
        return dict.fromkeys(names)
    return {fact: sum(row[column] for row in groups) for fact, column in names.items()}


def _leaks(groups: Sequence[Row] | None) -> list[dict[str, Any]] | None:
    if groups is None:
        return None
    found = [
        {
            "application": row["application"],
            "user": row["user"],
            "database": row["database"],
            "count": row["count"],
            "active": row["active"],
            "idle": row["idle"],
            "idle_in_transaction": row["idle_in_transaction"],
            "idle_oldest_seconds": age_seconds(row["now"], row["idle_since"]) or 0.0,
            "idle_in_transaction_oldest_seconds": age_seconds(row["now"], row["idle_in_transaction_since"]) or 0.0,
        }
        for row in groups
    ]
    return sorted(found, key=lambda each: (-each["idle_in_transaction_oldest_seconds"], -each["count"]))


SECTION = Section("sessions", _queries, _facts, _skips)
