# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who waits for whom: the lock tree and its roots."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
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
)
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.health.statement_text import without_literals

# pg_blocking_pids() takes the lock manager for a moment, so it is called for waiting processes only. It knows about
# lock queues and group locking, which no join of pg_locks with itself does.
_TREE = """
WITH locks AS MATERIALIZED (
    SELECT * FROM pg_locks
), waiting AS MATERIALIZED (
    SELECT w.*, pg_blocking_pids(w.pid) AS blocked_by
    FROM locks w
    WHERE NOT w.granted AND w.pid <> pg_backend_pid()
), named AS (
    SELECT w.pid, w.blocked_by, w.locktype AS lock_type, w.mode, $waitstart AS waitstart,
           -- Waiting for a row shows as waiting for a transaction; the tuple lock held meanwhile names the table.
           coalesce(w.relation, (SELECT min(t.relation) FROM locks t
                                 WHERE t.pid = w.pid AND t.granted AND t.locktype = 'tuple')) AS relation,
           coalesce(w.database, (SELECT min(t.database) FROM locks t
                                 WHERE t.pid = w.pid AND t.granted AND t.locktype = 'tuple')) AS relation_database,
           CASE WHEN 0 = ANY (w.blocked_by) THEN
               ARRAY(SELECT p.gid
                     FROM locks h
                     -- A prepared transaction has no process; its lock on its own id tells which one it is.
                     JOIN locks x ON x.virtualtransaction = h.virtualtransaction AND x.locktype = 'transactionid'
                          AND x.pid IS NULL AND x.granted
                     JOIN pg_prepared_xacts p ON p.transaction = x.transactionid
                     WHERE h.pid IS NULL AND h.granted AND h.locktype = w.locktype
                       AND h.database IS NOT DISTINCT FROM w.database
                       AND h.relation IS NOT DISTINCT FROM w.relation
                       AND h.transactionid IS NOT DISTINCT FROM w.transactionid
                       AND h.classid IS NOT DISTINCT FROM w.classid
                       AND h.objid IS NOT DISTINCT FROM w.objid
                     ORDER BY p.prepared)
           END AS gids
    FROM waiting w
    WHERE cardinality(w.blocked_by) > 0
), involved AS (
    SELECT n.pid FROM named n
    UNION
    SELECT unnest(n.blocked_by) FROM named n
)
SELECT i.pid, n.blocked_by, n.lock_type, n.mode, n.waitstart, n.gids,
       ns.nspname::text AS schema, c.relname::text AS name,
       a.datname::text AS database, a.usename::text AS "user", a.application_name AS application,
       host(a.client_addr) AS client_address, a.state, a.backend_start, a.xact_start, a.query_start, a.state_change,
       $query AS query, clock_timestamp() AS now
FROM involved i
LEFT JOIN named n ON n.pid = i.pid
LEFT JOIN pg_stat_activity a ON a.pid = i.pid
LEFT JOIN pg_class c ON c.oid = n.relation
     AND n.relation_database IN (0, (SELECT d.oid FROM pg_database d WHERE d.datname = current_database()))
LEFT JOIN pg_namespace ns ON ns.oid = c.relnamespace
"""

_TABLE = """
SELECT count(*) FILTER (WHERE NOT l.fastpath) AS used,
       current_setting('max_locks_per_transaction')::bigint
       * (current_setting('max_connections')::bigint + current_setting('max_prepared_transactions')::bigint) AS size
FROM pg_locks l
"""

PREPARED = 0


def _queries(capabilities: Capabilities) -> list[Query]:
    # Before PostgreSQL 14 nobody records since when a process waits.
    waitstart = capabilities.pick("pg_locks", "waitstart", alias="w", otherwise="NULL::timestamptz")
    return [
        Query("tree", compose(_TREE, waitstart=waitstart, query=readable("a.query", "a.datid")), "the lock tree"),
        Query("table", _TABLE, "use of the lock table"),
    ]


def _skips(capabilities: Capabilities, _answers: Answers) -> list[Skip]:
    if capabilities.reads_stats:
        return []
    reason = "The role sees no details of other roles' sessions: states, statements and some waiting times are unknown."
    return [Skip("locks", reason, monitor_remedy(capabilities))]


def _facts(answers: Answers, _capabilities: Capabilities, limits: Limits) -> Facts:
    rows = answers.rows("tree")
    table = answers.row("table")
    facts: Facts = dict.fromkeys(("waiting_count", "longest_wait_seconds", "root_count", "roots", "waiting"))
    facts["truncated"] = False
    if rows is not None:
        facts.update(_tree_facts(rows, limits.top))
    facts["lock_table_used"] = table.get("used")
    facts["lock_table_size"] = table.get("size")
    facts["lock_table_percent"] = percent(table.get("used"), table.get("size"))
    return facts


def _tree_facts(rows: Sequence[Row], top: int) -> Facts:
    processes = {row["pid"]: row for row in rows}
    edges = {pid: sorted(set(row["blocked_by"])) for pid, row in processes.items() if row["blocked_by"]}
    waits = {pid: wait_seconds(processes[pid]) for pid in edges}
    ordered = sorted(edges, key=lambda pid: -(waits[pid] or 0.0))
    trees = sorted(
        (_root(root, processes, edges, waits) for root in find_roots(edges)),
        key=lambda tree: -(tree["blocked_count"] * (tree["longest_wait_seconds"] or 0.0)),
    )
    cut = len(ordered) > top or len(trees) > top or any(len(tree["blocked"]) > top for tree in trees)
    return {
        "waiting_count": len(edges),
        "longest_wait_seconds": max(
            (wait for wait in waits.values() if wait is not None), default=None if waits else 0.0
        ),
        "root_count": len(trees),
        "roots": [{**tree, "blocked": tree["blocked"][:top]} for tree in trees[:top]],
        "waiting": [_waiting(processes[pid], edges[pid], waits[pid]) for pid in ordered[:top]],
        "truncated": cut,
    }


def wait_seconds(row: Row) -> float | None:
    """How long a process has waited. Without C(waitstart) an upper bound, from the start of its statement."""
    since: dt.datetime | None = row["waitstart"] or row["query_start"]
    return age_seconds(row["now"], since)


def find_roots(edges: Mapping[int, Sequence[int]]) -> list[int]:
    """Those who block somebody and wait for nobody.

    Args:
        edges: Waiting process id to the process ids it waits for.

    Returns:
        Process ids in ascending order. A cycle, which the deadlock detector is about to break, has no root.

    """
    return sorted({blocker for blockers in edges.values() for blocker in blockers} - set(edges))


def below(root: int, edges: Mapping[int, Sequence[int]]) -> list[tuple[int, int]]:
    """The tree below a root as (depth, process id), depth first, every process once at its least depth."""
    waiters: dict[int, list[int]] = {}
    for pid in sorted(edges):
        for blocker in edges[pid]:
            waiters.setdefault(blocker, []).append(pid)
    children: dict[int, list[int]] = {}
    seen = {root}
    level = [root]
    while level:
        following: list[int] = []
        for blocker in level:
            children[blocker] = [pid for pid in waiters.get(blocker, ()) if pid not in seen]
            seen.update(children[blocker])
            following += children[blocker]
        level = following
    ordered: list[tuple[int, int]] = []
    stack = [(1, pid) for pid in reversed(children[root])]
    while stack:
        depth, pid = stack.pop()
        ordered.append((depth, pid))
        stack += [(depth + 1, child) for child in reversed(children[pid])]
    return ordered


def _root(
    pid: int, processes: Mapping[int, Row], edges: Mapping[int, Sequence[int]], waits: Mapping[int, float | None]
) -> dict[str, Any]:
    row = processes[pid]
    tree = below(pid, edges)
    known = [wait for _depth, waiter in tree if (wait := waits[waiter]) is not None]
    is_prepared = pid == PREPARED
    gids = sorted({gid for blocked in processes.values() for gid in blocked["gids"] or ()})
    return {
        "pid": None if is_prepared else pid,
        "kind": "prepared_transaction" if is_prepared else "session",
        "gids": gids if is_prepared else [],
        "database": row["database"],
        "user": row["user"],
        "application": row["application"],
        "client_address": row["client_address"],
        "state": row["state"],
        "backend_started_at": moment(row["backend_start"]),
        "transaction_started_at": moment(row["xact_start"]),
        "transaction_age_seconds": age_seconds(row["now"], row["xact_start"]),
        "state_age_seconds": age_seconds(row["now"], row["state_change"]),
        "query": without_literals(row["query"]),
        "blocked_count": len(tree),
        "longest_wait_seconds": max(known, default=None),
        "total_wait_seconds": round(sum(known), 1) if known else None,
        "blocked": [
            {"depth": depth, "pid": waiter, "blocked_by": list(edges[waiter]), "wait_seconds": waits[waiter]}
            for depth, waiter in tree
        ],
    }


def _waiting(row: Row, blocked_by: Sequence[int], wait: float | None) -> dict[str, Any]:
    return {
        "pid": row["pid"],
        "blocked_by": list(blocked_by),
        "database": row["database"],
        "user": row["user"],
        "application": row["application"],
        "wait_seconds": wait,
        "lock_type": row["lock_type"],
        "mode": row["mode"],
        "schema": row["schema"],
        "name": row["name"],
        "query": without_literals(row["query"]),
    }


SECTION = Section("locks", _queries, _facts, _skips)
