# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Standbys, replication slots, and the receiving side."""

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
    is_cut,
    moment,
    monitor_remedy,
    rounded,
)

STANDBYS = """
WITH here AS (
    SELECT CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END AS lsn
)
SELECT r.pid, r.application_name AS application, r.usename::text AS "user", host(r.client_addr) AS client_address,
       r.state, r.sync_state, r.backend_start,
       greatest(pg_wal_lsn_diff(h.lsn, r.sent_lsn), 0) AS sent_lag_bytes,
       greatest(pg_wal_lsn_diff(h.lsn, r.flush_lsn), 0) AS flush_lag_bytes,
       greatest(pg_wal_lsn_diff(h.lsn, r.replay_lsn), 0) AS replay_lag_bytes,
       extract(epoch FROM r.write_lag)::float8 AS write_lag_seconds,
       extract(epoch FROM r.flush_lag)::float8 AS flush_lag_seconds,
       extract(epoch FROM r.replay_lag)::float8 AS replay_lag_seconds,
       age(r.backend_xmin) AS xmin_age, r.reply_time, clock_timestamp() AS now
FROM pg_stat_replication r CROSS JOIN here h
ORDER BY replay_lag_bytes DESC NULLS LAST, r.pid
"""

_SLOTS = """
WITH here AS (
    SELECT CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END AS lsn
)
SELECT s.slot_name::text AS name, s.slot_type AS type, s.plugin::text AS plugin, s.database::text AS database,
       s.active AS is_active, s.temporary AS is_temporary, s.wal_status, s.safe_wal_size AS safe_wal_bytes,
       greatest(pg_wal_lsn_diff(h.lsn, s.restart_lsn), 0) AS retained_bytes,
       age(s.xmin) AS xmin_age, age(s.catalog_xmin) AS catalog_xmin_age,
       $inactive_since AS inactive_since, $invalidation_reason AS invalidation_reason, $conflicting AS is_conflicting,
       clock_timestamp() AS now
FROM pg_replication_slots s CROSS JOIN here h
ORDER BY retained_bytes DESC NULLS LAST, s.slot_name
"""

_SETTINGS = """
SELECT current_setting('synchronous_standby_names') AS synchronous_standby_names,
       -- In megabytes; -1 is no limit.
       (SELECT s.setting::bigint FROM pg_settings s WHERE s.name = 'max_slot_wal_keep_size') AS max_slot_wal_keep_mb
"""

_RECEIVER = """
SELECT w.status, w.sender_host, w.sender_port, w.slot_name, w.last_msg_receipt_time AS last_message,
       clock_timestamp() AS now
FROM pg_stat_wal_receiver w
"""

# The functions fail on a primary, so each is asked under the condition.
_REPLAY = """
SELECT CASE WHEN pg_is_in_recovery() THEN pg_is_wal_replay_paused() END AS is_paused,
       CASE WHEN pg_is_in_recovery()
            THEN greatest(pg_wal_lsn_diff(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn()), 0) END AS lag_bytes,
       CASE WHEN NOT pg_is_in_recovery() THEN NULL
            -- Everything received is replayed: an idle primary, not a lag.
            WHEN pg_last_wal_receive_lsn() <= pg_last_wal_replay_lsn() THEN 0
            ELSE greatest(extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp()), 0) END::float8
           AS lag_seconds
"""

_SUBSCRIPTIONS = """
SELECT s.subname::text AS name, s.subenabled AS is_enabled, w.pid IS NOT NULL AS is_running,
       w.last_msg_receipt_time AS last_message, $apply_errors AS apply_errors, $sync_errors AS sync_errors,
       count(*) OVER () AS total, clock_timestamp() AS now
FROM pg_subscription s
LEFT JOIN pg_stat_subscription w ON w.subid = s.oid AND w.relid IS NULL $leader
$errors_join
WHERE s.subdbid = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database())
ORDER BY s.subname
LIMIT %(top)s
"""

_MEGABYTE = 1024 * 1024
RECEIVING = ("streaming", "catchup")


def _queries(capabilities: Capabilities) -> list[Query]:
    def slot(column: str, kind: str) -> str:
        return capabilities.pick("pg_replication_slots", column, alias="s", otherwise=f"NULL::{kind}")

    slots = compose(
        _SLOTS,
        inactive_since=slot("inactive_since", "timestamptz"),
        invalidation_reason=slot("invalidation_reason", "text"),
        conflicting=slot("conflicting", "bool"),
    )
    has_errors = capabilities.has("pg_stat_subscription_stats")
    subscriptions = compose(
        _SUBSCRIPTIONS,
        apply_errors="e.apply_error_count" if has_errors else "NULL::bigint",
        sync_errors="e.sync_error_count" if has_errors else "NULL::bigint",
        errors_join="LEFT JOIN pg_stat_subscription_stats e ON e.subid = s.oid" if has_errors else "",
        # Parallel apply workers, from PostgreSQL 16, have rows of their own.
        leader="AND w.leader_pid IS NULL" if capabilities.has("pg_stat_subscription", "leader_pid") else "",
    )
    queries = [
        Query("settings", _SETTINGS, "synchronous_standby_names and the limit of slots"),
        Query("slots", slots, "replication slots"),
        Query("replay", _REPLAY, "replay lag"),
        Query("subscriptions", subscriptions, "subscriptions"),
    ]
    if capabilities.reads_stats:
        queries += [Query("standbys", STANDBYS, "standbys"), Query("receiver", _RECEIVER, "the WAL receiver")]
    return queries


def _skips(capabilities: Capabilities, _answers: Answers) -> list[Skip]:
    if capabilities.reads_stats:
        return []
    reason = "The role does not see standbys nor the WAL receiver; slots and replay lag are delivered."
    return [Skip("replication", reason, monitor_remedy(capabilities))]


def _facts(answers: Answers, capabilities: Capabilities, limits: Limits) -> Facts:
    standbys, slots, receivers = answers.rows("standbys"), answers.rows("slots"), answers.rows("receiver")
    settings, replay, subscriptions = answers.row("settings"), answers.row("replay"), answers.rows("subscriptions")
    kept = settings.get("max_slot_wal_keep_mb")
    return {
        "is_primary": not capabilities.in_recovery,
        "synchronous_standby_names": settings.get("synchronous_standby_names"),
        **_standby_facts(standbys, settings, limits.top),
        **_slot_facts(slots, limits.top),
        "max_slot_wal_keep_size_bytes": None if kept is None or kept < 0 else kept * _MEGABYTE,
        "receiver": _receiver(receivers[0], replay) if receivers else None,
        "is_replay_paused": replay.get("is_paused"),
        "replay_lag_bytes": replay.get("lag_bytes"),
        "replay_lag_seconds": rounded(replay.get("lag_seconds")),
        "subscriptions": None if subscriptions is None else [_subscription(row) for row in subscriptions],
        "subscription_count": None if subscriptions is None else subscriptions[0]["total"] if subscriptions else 0,
        "truncated": max(len(standbys or ()), len(slots or ())) > limits.top
        or (bool(subscriptions) and is_cut((subscriptions or [{}])[0].get("total"), subscriptions or ())),
    }


def _standby_facts(rows: Sequence[Row] | None, settings: Row, top: int) -> Facts:
    if rows is None:
        names = (
            "standby_count",
            "is_synchronous_missing",
            "max_replay_lag_bytes",
            "max_replay_lag_seconds",
            "standbys",
        )
        return dict.fromkeys(names)
    # pg_basebackup is a walsender as well, but follows nobody.
    receiving = [row for row in rows if row["state"] in RECEIVING]
    demanded = bool(settings.get("synchronous_standby_names"))
    return {
        "standby_count": len(receiving),
        "is_synchronous_missing": demanded and not any(row["sync_state"] in ("sync", "quorum") for row in receiving),
        "max_replay_lag_bytes": max((row["replay_lag_bytes"] or 0 for row in receiving), default=0),
        "max_replay_lag_seconds": rounded(max((row["replay_lag_seconds"] or 0.0 for row in receiving), default=0.0)),
        "standbys": [_standby(row) for row in rows[:top]],
    }


def _standby(row: Row) -> dict[str, Any]:
    return {
        "pid": row["pid"],
        "application": row["application"],
        "user": row["user"],
        "client_address": row["client_address"],
        "state": row["state"],
        "sync_state": row["sync_state"],
        "started_at": moment(row["backend_start"]),
        "sent_lag_bytes": row["sent_lag_bytes"],
        "flush_lag_bytes": row["flush_lag_bytes"],
        "replay_lag_bytes": row["replay_lag_bytes"],
        "write_lag_seconds": rounded(row["write_lag_seconds"], 3),
        "flush_lag_seconds": rounded(row["flush_lag_seconds"], 3),
        "replay_lag_seconds": rounded(row["replay_lag_seconds"], 3),
        "xmin_age": row["xmin_age"],
        "reply_age_seconds": age_seconds(row["now"], row["reply_time"]),
    }


def _slot_facts(rows: Sequence[Row] | None, top: int) -> Facts:
    if rows is None:
        return dict.fromkeys(("slot_count", "inactive_slot_count", "lost_slot_count", "max_retained_bytes", "slots"))
    return {
        "slot_count": len(rows),
        "inactive_slot_count": sum(not row["is_active"] and not row["is_temporary"] for row in rows),
        "lost_slot_count": sum(row["wal_status"] == "lost" or bool(row["invalidation_reason"]) for row in rows),
        "max_retained_bytes": max((row["retained_bytes"] or 0 for row in rows), default=0),
        "slots": [_slot(row) for row in rows[:top]],
    }


def _slot(row: Row) -> dict[str, Any]:
    return {
        "name": row["name"],
        "type": row["type"],
        "plugin": row["plugin"],
        "database": row["database"],
        "is_active": row["is_active"],
        "is_temporary": row["is_temporary"],
        "wal_status": row["wal_status"],
        "retained_bytes": row["retained_bytes"],
        "safe_wal_bytes": row["safe_wal_bytes"],
        "xmin_age": row["xmin_age"],
        "catalog_xmin_age": row["catalog_xmin_age"],
        "inactive_since": moment(row["inactive_since"]),
        "inactive_seconds": age_seconds(row["now"], row["inactive_since"]),
        "invalidation_reason": row["invalidation_reason"],
        "is_conflicting": row["is_conflicting"],
    }


def _receiver(row: Row, replay: Row) -> dict[str, Any]:
    return {
        "status": row["status"],
        "sender_host": row["sender_host"],
        "sender_port": row["sender_port"],
        "slot_name": row["slot_name"],
        "received_lag_bytes": replay.get("lag_bytes"),
        "last_message_age_seconds": age_seconds(row["now"], row["last_message"]),
    }


def _subscription(row: Row) -> dict[str, Any]:
    return {
        "name": row["name"],
        "is_enabled": row["is_enabled"],
        "is_running": row["is_running"],
        "apply_errors_total": row["apply_errors"],
        "sync_errors_total": row["sync_errors"],
        "last_message_age_seconds": age_seconds(row["now"], row["last_message"]),
    }


SECTION = Section("replication", _queries, _facts, _skips)
