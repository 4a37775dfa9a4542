# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Connection slots: how many are usable, who has them, and what they do with them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ansible_collections.runbook.ops.plugins.module_utils.postgresql.health.capabilities import Capabilities
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.health.section import (
    Answers,
    Facts,
    Limits,
    Query,
    Row,
    Section,
    Skip,
    age_seconds,
    is_cut,
    moment,
    monitor_remedy,
    percent,
)

_SETTINGS = """
SELECT current_setting('max_connections')::int AS max,
       current_setting('superuser_reserved_connections')::int AS superuser_reserved,
       -- From PostgreSQL 16.
       current_setting('reserved_connections', true)::int AS reserved,
       current_setting('max_prepared_transactions')::int AS max_prepared_transactions
"""

# Background processes are in pg_stat_activity too and take no connection slot. A role without pg_read_all_stats
# sees no backend_type of others; having both a database and a role is then the nearest sign of a client.
_CLIENTS = """
SELECT a.state, a.datname::text AS database, a.usename::text AS "user", a.application_name AS application,
       count(*) AS count,
       count(*) FILTER (WHERE a.wait_event_type = 'Lock') AS waiting,
       min(a.state_change) AS oldest_state_change,
       statement_timestamp() AS now
FROM pg_stat_activity a
WHERE a.backend_type = 'client backend'
   OR (a.backend_type IS NULL AND a.datid IS NOT NULL AND a.usesysid IS NOT NULL)
GROUP BY a.state, a.datname, a.usename, a.application_name
"""

_PROCESSES = "SELECT count(*) AS processes FROM pg_stat_activity"

_CAPS = """
SELECT 'database' AS kind, datname::text AS name, datconnlimit AS connection_limit
FROM pg_database WHERE datconnlimit >= 0
UNION ALL
SELECT 'user', rolname::text, rolconnlimit FROM pg_roles WHERE rolconnlimit >= 0
"""

_PREPARED = """
SELECT p.gid, p.database::text AS database, p.owner::text AS owner, p.prepared AS prepared_at,
       age(p.transaction) AS xid_age, count(*) OVER () AS total, statement_timestamp() AS now
FROM pg_prepared_xacts p
ORDER BY p.prepared
LIMIT %(top)s
"""

_IN_TRANSACTION = ("idle in transaction", "idle in transaction (aborted)")


def _queries(_capabilities: Capabilities) -> list[Query]:
    return [
        Query("settings", _SETTINGS, "max and usable"),
        Query("clients", _CLIENTS, "used and its breakdown"),
        Query("processes", _PROCESSES, "processes"),
        Query("caps", _CAPS, "limits of databases and roles"),
        Query("prepared", _PREPARED, "prepared transactions"),
    ]


def _skips(capabilities: Capabilities, _answers: Answers) -> list[Skip]:
    if capabilities.reads_stats:
        return []
    reason = "The role sees no details of other roles' sessions: states, applications, waiting and idle are unknown."
    return [Skip("connections", reason, monitor_remedy(capabilities))]


def _facts(answers: Answers, capabilities: Capabilities, limits: Limits) -> Facts:
    clients = answers.rows("clients")
    caps = answers.rows("caps") or []
    facts: Facts = {**_slots(answers.row("settings"), clients), "used_is_exact": capabilities.reads_stats}
    facts["processes"] = answers.row("processes").get("processes")
    facts.update(_states(clients if capabilities.reads_stats else None))
    by_database = None if clients is None else _counted(clients, "database", _caps_of(caps, "database"))
    by_user = None if clients is None else _counted(clients, "user", _caps_of(caps, "user"))
    by_application = _applications(clients) if clients is not None and capabilities.reads_stats else None
    facts["by_database"] = None if by_database is None else by_database[: limits.top]
    facts["by_user"] = None if by_user is None else by_user[: limits.top]
    facts["by_application"] = None if by_application is None else by_application[: limits.top]
    facts.update(_prepared(answers.rows("prepared")))
    facts["max_prepared_transactions"] = answers.row("settings").get("max_prepared_transactions")
    facts["truncated"] = is_cut(facts["prepared_count"], facts["prepared"] or ()) or any(
        whole is not None and len(whole) > limits.top for whole in (by_database, by_user, by_application)
    )
    return facts


def _slots(settings: Row, clients: Sequence[Row] | None) -> Facts:
    maximum, kept = settings.get("max"), settings.get("superuser_reserved")
    reserved = settings.get("reserved")
    usable = None if maximum is None or kept is None else maximum - kept - (reserved or 0)
    used = None if clients is None else sum(row["count"] for row in clients)
    return {
        "max": maximum,
        "superuser_reserved": kept,
        "reserved": reserved,
        "usable": usable,
        "used": used,
        "used_percent": percent(used, usable),
        "free": None if usable is None or used is None else max(0, usable - used),
    }


def _states(clients: Sequence[Row] | None) -> Facts:
    if clients is None:
        unknown = ("active", "idle", "idle_in_transaction", "waiting", "by_state")
        return dict.fromkeys((*unknown, "idle_in_transaction_oldest_seconds", "idle_oldest_seconds"))
    states: Counter[str] = Counter()
    for row in clients:
        states[row["state"] or "unknown"] += row["count"]
    return {
        "active": states["active"],
        "idle": states["idle"],
        "idle_in_transaction": sum(states[state] for state in _IN_TRANSACTION),
        "waiting": sum(row["waiting"] for row in clients),
        "idle_in_transaction_oldest_seconds": _oldest(clients, _IN_TRANSACTION),
        "idle_oldest_seconds": _oldest(clients, ("idle",)),
        "by_state": [{"state": state, "count": count} for state, count in states.most_common() if count],
    }


def _oldest(clients: Iterable[Row], states: Sequence[str]) -> float:
    ages = (age_seconds(row["now"], row["oldest_state_change"]) for row in clients if row["state"] in states)
    return max((age for age in ages if age is not None), default=0.0)


def _caps_of(rows: Sequence[Row], kind: str) -> dict[str, int]:
    return {row["name"]: row["connection_limit"] for row in rows if row["kind"] == kind}


def _counted(clients: Sequence[Row], key: str, caps: Mapping[str, int]) -> list[dict[str, Any]]:
    counts: Counter[str] = Counter()
    for row in clients:
        counts[row[key] or ""] += row["count"]
    return [
        {"name": name, "count": count, "limit": caps.get(name), "limit_percent": percent(count, caps.get(name))}
        for name, count in sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    ]


def _applications(clients: Sequence[Row]) -> list[dict[str, Any]]:
    counts: Counter[str] = Counter()
    holding: Counter[str] = Counter()
    for row in clients:
        counts[row["application"] or ""] += row["count"]
        if row["state"] in _IN_TRANSACTION:
            holding[row["application"] or ""] += row["count"]
    return [
        {"name": name, "count": count, "idle_in_transaction": holding[name]}
        for name, count in sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    ]


def _prepared(rows: Sequence[Row] | None) -> Facts:
    if rows is None:
        return dict.fromkeys(("prepared_count", "prepared_oldest_seconds", "prepared"))
    shown = [
        {
            "gid": row["gid"],
            "database": row["database"],
            "owner": row["owner"],
            "prepared_at": moment(row["prepared_at"]),
            "age_seconds": age_seconds(row["now"], row["prepared_at"]),
            "xid_age": row["xid_age"],
        }
        for row in rows
    ]
    return {
        "prepared_count": rows[0]["total"] if rows else 0,
        "prepared_oldest_seconds": shown[0]["age_seconds"] if shown else 0.0,
        "prepared": shown,
    }


SECTION = Section("connections", _queries, _facts, _skips)
