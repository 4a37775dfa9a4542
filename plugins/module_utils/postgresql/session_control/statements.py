# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The two statements: one that looks for sessions, one that looks once more and acts. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.runbook.ops.plugins.module_utils.postgresql.health.capabilities import Capabilities
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.health.relations import readable
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.health.section import compose
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.session_control.criteria import (
    CANCELED,
    LOGIN,
    VISIBLE,
    Request,
)

# Who waits for whom, and how many hang on whoever waits for nobody. pg_blocking_pids() stops the lock manager for a
# moment, so it is called for waiting processes only. A cycle has no root; the deadlock detector deals with it.
_BLOCKING = """
waiting AS MATERIALIZED (
    SELECT w.pid, pg_blocking_pids(w.pid) AS blocked_by
    FROM (SELECT DISTINCT l.pid FROM pg_locks l WHERE NOT l.granted AND l.pid IS NOT NULL) w
), edges AS MATERIALIZED (
    SELECT DISTINCT w.pid AS waiter, b.pid AS blocker FROM waiting w, unnest(w.blocked_by) b (pid)
), below (root, pid) AS (
    SELECT e.blocker, e.waiter FROM edges e WHERE e.blocker NOT IN (SELECT o.waiter FROM edges o)
    UNION
    SELECT b.root, e.waiter FROM below b JOIN edges e ON e.blocker = b.pid
), blocking AS MATERIALIZED (
    SELECT b.root AS pid, count(*) AS blocked_count FROM below b GROUP BY b.root
)"""

# A superuser may be signaled by superusers only; everybody else by members of his role and of pg_signal_backend.
# Without pg_read_all_stats the server hides what a session does, its kind and its start.
_SESSIONS = """
s AS (
    SELECT a.pid, a.datname::text AS database, a.usename::text AS "user", a.application_name AS application,
           a.client_addr, a.client_port, host(a.client_addr) AS client_address, a.state, a.backend_start, a.xact_start,
           a.query_start, a.state_change, a.wait_event_type, a.wait_event,
           greatest(age(a.backend_xmin), age(a.backend_xid)) AS xmin_age,
           $query_id AS query_id, $query AS query, a.backend_type, a.leader_pid,
           a.backend_type = 'autovacuum worker' AND a.query LIKE '%%(to prevent wraparound)%%' AS prevents_wraparound,
           a.backend_start IS NULL AND a.datid IS NOT NULL AND a.usesysid IS NOT NULL AS is_hidden,
           coalesce(b.blocked_count, 0) AS blocked_count,
           EXISTS (SELECT FROM edges e WHERE e.waiter = a.pid) AS is_waiting,
           coalesce(r.rolsuper, false) AS is_superuser,
           pg_has_role(current_user, 'pg_signal_backend', 'USAGE') AS signals_others,
           coalesce(me.rolsuper OR (NOT coalesce(r.rolsuper, false) AND (
               pg_has_role(current_user, a.usesysid, 'USAGE')
               OR pg_has_role(current_user, 'pg_signal_backend', 'USAGE'))), false) AS may_signal,
           CASE
               WHEN a.backend_type <> 'client backend' THEN 'background'
               WHEN a.application_name LIKE 'runbook.ops%%' THEN 'runbook'
               WHEN a.application_name LIKE ANY (%(protect_applications)s::text[]) THEN 'application'
               WHEN a.usename::text LIKE ANY (%(protect_users)s::text[]) THEN 'user'
               WHEN a.datname::text LIKE ANY (%(protect_databases)s::text[]) THEN 'database'
               WHEN r.rolsuper AND NOT %(allow_superusers)s THEN 'superuser'
           END AS protection,
           clock_timestamp() AS now
    FROM pg_stat_activity a
    JOIN pg_roles me ON me.rolname = current_user
    LEFT JOIN blocking b ON b.pid = a.pid
    LEFT JOIN pg_roles r ON r.oid = a.usesysid
    WHERE a.pid <> pg_backend_pid()
)"""

_LOOK = """
WITH RECURSIVE $blocking, $sessions
SELECT s.*
FROM s
WHERE ($criteria) OR (s.is_hidden AND ($visible))
ORDER BY s.blocked_count DESC, s.xact_start NULLS LAST, s.state_change NULLS LAST, s.pid
"""

# Everything that was looked at is looked at once more, in the very statement that sends the signal.
_ACT = """
WITH RECURSIVE $blocking, $sessions, target AS MATERIALIZED (
    SELECT s.* FROM s WHERE s.pid = %(target_pid)s AND s.backend_start = %(target_backend_start)s
), chosen AS MATERIALIZED (
    SELECT s.pid FROM target s WHERE s.protection IS NULL AND ($same) AND ($criteria)
)
SELECT EXISTS (SELECT FROM target) AS is_there, (SELECT t.query_start FROM target t) AS query_start,
       (SELECT $signal(c.pid) FROM chosen c) AS was_signaled
"""

# A session without a transaction is told from its later self by the moment it became idle.
_SAME = """
s.xact_start IS NOT DISTINCT FROM %(target_xact_start)s
AND (s.xact_start IS NOT NULL OR s.state_change IS NOT DISTINCT FROM %(target_state_change)s)"""
# Canceling ends a transaction, or breaks it, and the session has none then. A new one is new work.
_SAME_OR_CANCELED = "s.xact_start IS NULL OR s.xact_start = %(target_xact_start)s"
# A session that has just finished its statement would take no notice.
_RUNS = " AND s.state = ANY (%(running)s::text[])"

WATCH = """
SELECT a.pid, a.backend_start, a.state, a.xact_start, a.query_start, a.wait_event_type, a.wait_event
FROM pg_stat_activity a WHERE a.pid = ANY (%(watched)s::int[])
"""

CANCEL, TERMINATE = "pg_cancel_backend", "pg_terminate_backend"


def look(request: Request, capabilities: Capabilities) -> str:
    """The statement that finds the sessions of a request, those that hold most others first."""
    return compose(
        _LOOK,
        blocking=_BLOCKING,
        sessions=_sessions(capabilities),
        criteria=request.where(),
        visible=request.where(VISIBLE),
    )


def act(request: Request, capabilities: Capabilities, signal: str, *, was_canceled: bool = False) -> str:
    """The statement that sends a signal to one session if it still is the one that was found, and still meant.

    Args:
        request: What was asked for.
        capabilities: Those of the server.
        signal: C(CANCEL) or C(TERMINATE).
        was_canceled: Whether its statement was canceled by us; its activity no longer has to match then.

    """
    same = _SAME_OR_CANCELED if was_canceled else _SAME
    if request.state == CANCELED:
        same += _RUNS
    return compose(
        _ACT,
        blocking=_BLOCKING,
        sessions=_sessions(capabilities),
        signal=signal,
        same=same,
        criteria=request.where(VISIBLE, LOGIN) if was_canceled else request.where(),
    )


def target(row: Mapping[str, Any]) -> dict[str, Any]:
    """What the second statement has to be told of a session that the first one found."""
    return {
        "target_pid": row["pid"],
        "target_backend_start": row["backend_start"],
        "target_xact_start": row["xact_start"],
        "target_state_change": row["state_change"],
    }


def _sessions(capabilities: Capabilities) -> str:
    query_id = capabilities.pick("pg_stat_activity", "query_id", alias="a", otherwise="NULL::bigint")
    return compose(_SESSIONS, query_id=query_id, query=readable("a.query", "a.datid"))
