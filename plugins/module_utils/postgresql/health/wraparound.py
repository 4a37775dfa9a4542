# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How near transaction ids and multixacts are to their end, and who holds back cleaning."""

from __future__ import annotations

from collections.abc import Sequence
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
    compose,
    monitor_remedy,
    percent,
)

# Ids are compared modulo 2^32, so half of them are the past. The server stops writes a few million before.
LIMIT = 2**31

_SETTINGS = """
SELECT current_setting('autovacuum_freeze_max_age')::bigint AS freeze_max_age,
       current_setting('autovacuum_multixact_freeze_max_age')::bigint AS multixact_freeze_max_age,
       -- From PostgreSQL 14.
       current_setting('vacuum_failsafe_age', true)::bigint AS failsafe_age,
       current_setting('vacuum_multixact_failsafe_age', true)::bigint AS multixact_failsafe_age
"""

_DATABASES = """
SELECT datname::text AS name, datallowconn AS allows_connections, age(datfrozenxid) AS xid_age,
       mxid_age(datminmxid) AS multixact_age
FROM pg_database
ORDER BY greatest(age(datfrozenxid), mxid_age(datminmxid)) DESC, datname
"""

# How old relations with rows are, TOAST tables too, and what autovacuum's limits are for them; a common table
# expression "r".
AGES = """
r AS MATERIALIZED (
    SELECT c.oid, c.relkind, c.relnamespace, c.relname, c.relpages,
           age(c.relfrozenxid) AS xid_age, mxid_age(c.relminmxid) AS multixact_age,
           least(current_setting('autovacuum_freeze_max_age')::bigint, o.freeze_max_age) AS freeze_max_age,
           least(current_setting('autovacuum_multixact_freeze_max_age')::bigint, o.multixact_freeze_max_age)
               AS multixact_freeze_max_age
    FROM pg_class c
    LEFT JOIN LATERAL (
        SELECT max(p.option_value) FILTER (WHERE p.option_name = 'autovacuum_freeze_max_age')::bigint AS freeze_max_age,
               max(p.option_value) FILTER (WHERE p.option_name = 'autovacuum_multixact_freeze_max_age')::bigint
                   AS multixact_freeze_max_age
        FROM pg_options_to_table(c.reloptions) p
    ) o ON c.reloptions IS NOT NULL
    WHERE c.relkind IN ('r', 'm', 't') AND c.relfrozenxid <> '0'::xid AND $relations
)"""

_TABLES = """
WITH $ages, oldest AS (
    SELECT r.*, count(*) OVER () AS total
    FROM r
    ORDER BY greatest(r.xid_age::float8 / r.freeze_max_age, r.multixact_age::float8 / r.multixact_freeze_max_age) DESC,
             r.oid
    LIMIT %(top)s
)
SELECT n.nspname::text AS schema, coalesce(t.relname, o.relname)::text AS name, o.relkind, o.xid_age, o.multixact_age,
       o.freeze_max_age, o.multixact_freeze_max_age,
       o.relpages::bigint * current_setting('block_size')::bigint AS size_bytes, o.total
FROM oldest o
LEFT JOIN pg_class t ON o.relkind = 't' AND t.reltoastrelid = o.oid
JOIN pg_namespace n ON n.oid = coalesce(t.relnamespace, o.relnamespace)
ORDER BY greatest(o.xid_age::float8 / o.freeze_max_age, o.multixact_age::float8 / o.multixact_freeze_max_age) DESC,
         o.oid
"""

# A walsender's xmin is the feedback of its standby, or belongs to the slot it uses, which is listed itself.
# held_since: since when at least the holder has what it holds, as far as somebody knows. A transaction may be old and
# its snapshot young, so for a session it is the last change of its state. data_xid_age leaves out what a slot holds
# back in catalogs only.
HOLDERS = """
SELECT CASE WHEN a.backend_type = 'walsender' THEN 'standby' ELSE 'session' END AS kind,
       a.pid, a.datname::text AS database, a.usename::text AS "user", a.application_name AS application, a.state,
       NULL::text AS name, greatest(age(a.backend_xmin), age(a.backend_xid)) AS xid_age,
       coalesce(a.xact_start, a.backend_start) AS since, a.backend_type, clock_timestamp() AS now,
       CASE WHEN a.backend_type <> 'walsender' THEN greatest(a.xact_start, a.state_change) END AS held_since,
       greatest(age(a.backend_xmin), age(a.backend_xid)) AS data_xid_age
FROM pg_stat_activity a
WHERE (a.backend_xmin IS NOT NULL OR a.backend_xid IS NOT NULL) AND a.pid <> pg_backend_pid()
  -- VACUUM has an xmin and holds nobody back.
  AND a.pid NOT IN (SELECT v.pid FROM pg_stat_progress_vacuum v)
UNION ALL
SELECT 'prepared transaction', NULL, p.database::text, p.owner::text, NULL, NULL, p.gid, age(p.transaction), p.prepared,
       NULL, clock_timestamp(), p.prepared, age(p.transaction)
FROM pg_prepared_xacts p
UNION ALL
SELECT 'replication slot', s.active_pid, s.database::text, NULL, NULL,
       CASE WHEN s.active THEN 'active' ELSE 'inactive' END, s.slot_name::text,
       greatest(age(s.xmin), age(s.catalog_xmin)), NULL, NULL, clock_timestamp(),
       -- From PostgreSQL 17.
       (to_jsonb(s) ->> 'inactive_since')::timestamptz, age(s.xmin)
FROM pg_replication_slots s
WHERE s.xmin IS NOT NULL OR s.catalog_xmin IS NOT NULL
"""

_KINDS = {"r": "table", "m": "materialized view", "t": "toast"}


def _queries(_capabilities: Capabilities) -> list[Query]:
    return [
        Query("settings", _SETTINGS, "limits of autovacuum"),
        Query("databases", _DATABASES, "ages of databases"),
        Query("tables", compose(_TABLES, ages=compose(AGES.strip(), relations="true")), "ages of tables"),
        Query("holders", HOLDERS, "who holds back VACUUM"),
    ]


def _skips(capabilities: Capabilities, _answers: Answers) -> list[Skip]:
    if capabilities.reads_stats:
        return []
    reason = (
        "The role does not see which sessions and standbys hold back VACUUM; prepared transactions and slots are shown."
    )
    return [Skip("wraparound", reason, monitor_remedy(capabilities))]


def _facts(answers: Answers, capabilities: Capabilities, limits: Limits) -> Facts:
    settings = answers.row("settings")
    databases, tables, holders = answers.rows("databases"), answers.rows("tables"), answers.rows("holders")
    ages = [_ages(row, settings) for row in databases or ()]
    listed = None if holders is None else ordered_holders(holders)
    sees_all = capabilities.reads_stats
    return {
        **{key: max((each[key] for each in ages if each[key] is not None), default=None) for key in _AGES},
        "freeze_max_age": settings.get("freeze_max_age"),
        "multixact_freeze_max_age": settings.get("multixact_freeze_max_age"),
        "failsafe_age": settings.get("failsafe_age"),
        "multixact_failsafe_age": settings.get("multixact_failsafe_age"),
        "databases": None
        if databases is None
        else [
            {"name": row["name"], "allows_connections": row["allows_connections"], **age}
            for row, age in list(zip(databases, ages))[: limits.top]
        ],
        "tables": None if tables is None else [_table(row) for row in tables],
        "table_count": None if tables is None else tables[0]["total"] if tables else 0,
        "horizon_xid_age": (listed[0]["xid_age"] if listed else 0) if sees_all and listed is not None else None,
        "horizon": _horizon(listed) if sees_all else None,
        "holders": None if listed is None else listed[: limits.top],
        "truncated": max(len(databases or ()), len(listed or ())) > limits.top
        or bool(tables and tables[0]["total"] > len(tables)),
    }


_AGES = (
    "xid_age",
    "xid_percent",
    "xid_freeze_percent",
    "multixact_age",
    "multixact_percent",
    "multixact_freeze_percent",
)


def _ages(row: Row, settings: Row) -> dict[str, Any]:
    return {
        "xid_age": row["xid_age"],
        "xid_percent": percent(row["xid_age"], LIMIT),
        "xid_freeze_percent": percent(row["xid_age"], settings.get("freeze_max_age")),
        "multixact_age": row["multixact_age"],
        "multixact_percent": percent(row["multixact_age"], LIMIT),
        "multixact_freeze_percent": percent(row["multixact_age"], settings.get("multixact_freeze_max_age")),
    }


def _table(row: Row) -> dict[str, Any]:
    return {
        "schema": row["schema"],
        "name": row["name"],
        "kind": _KINDS[row["relkind"]],
        **_ages(row, row),
        "size_bytes": row["size_bytes"],
    }


def _horizon(holders: Sequence[Row] | None) -> dict[str, Any] | None:
    if not holders:
        return None
    first = holders[0]
    return {key: first[key] for key in ("kind", "name", "xid_age", "age_seconds", "fix")}


# A session's snapshot is often as old as the prepared transaction that was open when it was taken, so of equally old
# holders the one that does not go away by itself comes first.
_STUBBORN = ("prepared transaction", "replication slot", "standby", "session")


def _oldest_first(holder: Row) -> tuple[int, int]:
    return (-holder["xid_age"], _STUBBORN.index(holder["kind"]))


def ordered_holders(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Who keeps VACUUM from removing what is dead, the oldest first, each with its C(fix); from rows of C(HOLDERS)."""
    return sorted((_holder(row) for row in rows), key=_oldest_first)


def _holder(row: Row) -> dict[str, Any]:
    kind, pid = row["kind"], row["pid"]
    facts = {
        "kind": kind,
        "name": row["name"],
        "pid": pid,
        "database": row["database"],
        "user": row["user"],
        "application": row["application"],
        "state": row["state"],
        "xid_age": row["xid_age"] or 0,
        "age_seconds": age_seconds(row["now"], row["since"]),
    }
    if kind == "session":
        background = row["backend_type"] not in (None, "client backend")
        who = row["backend_type"] if background else row["application"] or row["user"] or "unknown client"
        facts["name"] = f"pid {pid} ({who} on {row['database']})"
        facts["fix"] = (
            "Wait until it is done."
            if background
            else "End its transaction in the application, or terminate the session."
        )
    elif kind == "standby":
        facts["name"] = f"standby {row['application'] or row['user']} (pid {pid})"
        facts["fix"] = "End the long query on the standby, or switch hot_standby_feedback off there."
    elif kind == "prepared transaction":
        facts["fix"] = f"In database {row['database']}: COMMIT PREPARED or ROLLBACK PREPARED '{row['name']}'."
    else:
        facts["fix"] = "Bring its consumer back, or drop the slot if nobody needs it any more."
    return facts


SECTION = Section("wraparound", _queries, _facts, _skips)
