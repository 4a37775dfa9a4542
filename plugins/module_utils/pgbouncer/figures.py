# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rates, and sums over all pools of a PgBouncer. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.pgbouncer.model import Facts, Row, Rows, first, number, total
from ansible_collections.runbook.ops.plugins.module_utils.pgbouncer.options import CONSOLE
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.health.section import percent, ratio

Listed = Optional[Sequence[Facts]]


def stats(rows: Rows, later: Rows, seconds: float | None) -> list[Facts] | None:
    """What was done, by database: between two readings, or PgBouncer's own averages of its last C(stats_period).

    Its C(avg_wait_time) is no time of a query: it is the time that all clients together waited in a second.
    """
    if rows is None:
        return None
    if later is None or not seconds:
        return [_averages(row) for row in rows if row.get("database") != CONSOLE]
    before = {row.get("database"): row for row in rows}
    return [
        _between(before[row.get("database")], row, seconds)
        for row in later
        if row.get("database") != CONSOLE and row.get("database") in before
    ]


def _stat(database: Any, queries: Any, transactions: Any, query_us: Any, transaction_us: Any, wait_us: Any) -> Facts:
    """Per second, but C(query_us) and C(transaction_us), which are of one query and one transaction."""
    wait_ms = ratio(wait_us, 1000, 3)
    return {
        "database": database,
        "queries_per_second": None if queries is None else round(queries, 2),
        "transactions_per_second": None if transactions is None else round(transactions, 2),
        "query_ms": ratio(query_us, 1000, 3),
        "transaction_ms": ratio(transaction_us, 1000, 3),
        "wait_ms_per_second": wait_ms,
        # Without a query nobody waited for one.
        "wait_ms_per_query": 0.0 if wait_ms == 0 else ratio(wait_ms, queries, 3),
    }


def _averages(row: Row) -> Facts:
    return _stat(
        row.get("database"),
        *(first(row, f"avg_{name}") for name in ("query_count", "xact_count", "query_time", "xact_time", "wait_time")),
    )


def _between(before: Row, after: Row, seconds: float) -> Facts:
    def grown(name: str) -> Any:
        old, new = first(before, f"total_{name}"), first(after, f"total_{name}")
        # It was started anew: what it counts now is all there is.
        return None if old is None or new is None else new - old if new >= old else new

    queries, transactions = grown("query_count"), grown("xact_count")
    return _stat(
        after.get("database"),
        ratio(queries, seconds, 4),
        ratio(transactions, seconds, 4),
        ratio(grown("query_time"), queries),
        ratio(grown("xact_time"), transactions),
        ratio(grown("wait_time"), seconds),
    )


def totals(lists: Rows, settings: Facts | None, known: Listed, found: Listed) -> Facts:
    """Clients and server connections of all pools against the limits."""
    counts = None if lists is None else {str(row.get("list")): number(row.get("items")) for row in lists}
    used = None if counts is None else counts.get("used_clients")
    most = (settings or {}).get("max_client_conn")
    reached = servers(known, found)
    waits = [each["max_wait_seconds"] for each in found or () if each["max_wait_seconds"] is not None]
    sizes = [each["pool_size"] for each in known or ()]
    expected = _descriptors(most, sizes, counts, settings)
    return {
        "clients": {
            "connected": used,
            "max": most,
            "used_percent": percent(used, most),
            "waiting": None if found is None else total(each["clients_waiting"] for each in found),
            "longest_wait_seconds": None if found is None else max(waits, default=0.0),
        },
        "servers": {
            "open": None if found is None else total(each["server_count"] for each in found),
            "most": None if reached is None else total(each["most"] for each in reached),
            "reached": reached,
        },
        "pool_count": None if found is None else len(found),
        "file_descriptors_most": expected,
    }


def servers(known: Listed, found: Listed) -> list[Facts] | None:
    """What each server behind it may get, when every pool that there is by now grows to its size and reserve."""
    if known is None or found is None:
        return None
    together: dict[tuple[Any, Any], Facts] = {}
    for database in known:
        own = [pool for pool in found if pool["database"] == database["name"]]
        grown, cap = total(pool["most"] for pool in own), database["max_connections"]
        most = grown if grown is None or cap is None else min(grown, cap)
        entry = together.setdefault(
            (database["host"], database["port"]),
            {"host": database["host"], "port": database["port"], "databases": [], "open": [], "most": []},
        )
        entry["databases"].append(database["name"])
        entry["open"].append(total(pool["server_count"] for pool in own))
        entry["most"].append(most)
    return [{**entry, "open": total(entry["open"]), "most": total(entry["most"])} for entry in together.values()]


def _descriptors(most: Any, sizes: Sequence[Any], counts: Any, settings: Facts | None) -> Any:
    """Files it opens at most, after its manual's formula; the console does not tell what it may open."""
    users = (counts or {}).get("users")
    if most is None or not users or settings is None or any(size is None for size in sizes):
        return None
    return most + max(sizes, default=0) * len(sizes) * users
