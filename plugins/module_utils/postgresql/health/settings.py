# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Settings that matter in operation, and those that put data at risk."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Union

from ansible_collections.runbook.ops.plugins.module_utils.postgresql.health.capabilities import Capabilities
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.health.section import (
    Answers,
    Facts,
    Limits,
    Query,
    Row,
    Section,
    Skip,
)

CURATED = (
    "archive_mode",
    "autovacuum",
    "autovacuum_analyze_scale_factor",
    "autovacuum_freeze_max_age",
    "autovacuum_max_workers",
    "autovacuum_naptime",
    "autovacuum_vacuum_cost_delay",
    "autovacuum_vacuum_cost_limit",
    "autovacuum_vacuum_scale_factor",
    "autovacuum_work_mem",
    "checkpoint_completion_target",
    "checkpoint_timeout",
    "data_checksums",
    "deadlock_timeout",
    "default_statistics_target",
    "default_transaction_isolation",
    "effective_cache_size",
    "fsync",
    "full_page_writes",
    "hot_standby_feedback",
    "huge_pages",
    "idle_in_transaction_session_timeout",
    "idle_session_timeout",
    "jit",
    "lock_timeout",
    "log_autovacuum_min_duration",
    "log_checkpoints",
    "log_connections",
    "log_lock_waits",
    "log_min_duration_statement",
    "log_temp_files",
    "logging_collector",
    "maintenance_work_mem",
    "max_connections",
    "max_parallel_workers",
    "max_parallel_workers_per_gather",
    "max_prepared_transactions",
    "max_replication_slots",
    "max_slot_wal_keep_size",
    "max_standby_streaming_delay",
    "max_wal_senders",
    "max_wal_size",
    "max_worker_processes",
    "min_wal_size",
    "password_encryption",
    "random_page_cost",
    "reserved_connections",
    "row_security",
    "shared_buffers",
    "ssl",
    "ssl_min_protocol_version",
    "statement_timeout",
    "superuser_reserved_connections",
    "synchronous_commit",
    "tcp_keepalives_idle",
    "temp_buffers",
    "temp_file_limit",
    "track_activities",
    "track_activity_query_size",
    "track_counts",
    "track_io_timing",
    "transaction_timeout",
    "wal_compression",
    "wal_keep_size",
    "wal_level",
    "wal_log_hints",
    "work_mem",
)

# reset_val, because our own session sets a few timeouts for itself.
_SETTINGS = """
SELECT s.name, s.reset_val AS value, s.unit, s.vartype, s.source, s.pending_restart
FROM pg_settings s
ORDER BY s.name
"""

_PRELOADED = "SELECT s.reset_val AS value FROM pg_settings s WHERE s.name = 'shared_preload_libraries'"


@dataclass(frozen=True)
class Advice:
    """A value that a setting should not have, and why."""

    name: str
    bad: tuple[str, ...]
    reason: str


DANGEROUS = (
    Advice("fsync", ("off",), "A crash of the machine corrupts the whole cluster."),
    Advice("full_page_writes", ("off",), "A crash can leave half-written pages that recovery does not repair."),
    Advice(
        "zero_damaged_pages", ("on",), "Damaged pages are replaced by empty ones, and their rows are lost silently."
    ),
    Advice("ignore_checksum_failure", ("on",), "Damaged pages are read as if they were good."),
    Advice("ignore_system_indexes", ("on",), "Meant for repairing catalogs, not for operation."),
    Advice("allow_system_table_mods", ("on",), "Catalogs can be altered by mistake."),
    Advice("autovacuum", ("off",), "Tables bloat, and transaction ids run out."),
    Advice("track_counts", ("off",), "Autovacuum does not know what to do, so tables bloat."),
)

ADVICE = (
    Advice("idle_in_transaction_session_timeout", ("0",), "A forgotten transaction holds its locks for ever."),
    Advice("log_lock_waits", ("off",), "Long waits for locks leave no trace in the log."),
    Advice("log_temp_files", ("-1",), "Statements that spill to disk leave no trace in the log."),
    Advice("log_checkpoints", ("off",), "Checkpoints leave no trace in the log."),
    Advice("track_io_timing", ("off",), "Nobody can tell whether a slow statement waited for the disk."),
    Advice("password_encryption", ("md5",), "md5 passwords can be replayed from a stolen dump; use scram-sha-256."),
    Advice("ssl", ("off",), "Passwords and data cross the network in the clear, unless something else encrypts it."),
    Advice("synchronous_commit", ("off",), "A crash loses the transactions of the last moments."),
    Advice("max_slot_wal_keep_size", ("-1",), "A replication slot without consumer fills the disk with WAL."),
    Advice("temp_file_limit", ("-1",), "One statement can fill the disk with temporary files."),
)

# The units of pg_settings. Some carry a factor, as 8kB for pages.
_BYTES = {"B": 1, "kB": 1024, "MB": 1024**2, "GB": 1024**3, "TB": 1024**4}
_SECONDS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "min": 60.0, "h": 3600.0, "d": 86400.0}

Value = Union[bool, int, float, str, None]


def _queries(_capabilities: Capabilities) -> list[Query]:
    return [Query("settings", _SETTINGS, "settings"), Query("preloaded", _PRELOADED, "shared_preload_libraries")]


def _skips(capabilities: Capabilities, answers: Answers) -> list[Skip]:
    if answers.rows("preloaded"):
        return []
    remedy = f"GRANT pg_read_all_settings TO {capabilities.quoted_user};"
    reason = "The role may not read every setting, so pending restarts may be missing, too."
    return [Skip("settings.shared_preload_libraries", reason, remedy)]


def _facts(answers: Answers, _capabilities: Capabilities, _limits: Limits) -> Facts:
    rows = answers.rows("settings")
    preloaded = answers.row("preloaded").get("value")
    libraries = None if preloaded is None else [part for part in (p.strip(' "') for p in preloaded.split(",")) if part]
    if rows is None:
        keys = ("parameters", "pending_restart_count", "pending_restart")
        more = ("dangerous_count", "dangerous", "advice_count", "advice")
        return {**dict.fromkeys((*keys, *more)), "shared_preload_libraries": libraries}
    raw = {row["name"]: row["value"] for row in rows}
    pending = [{"name": row["name"], "value": row["value"]} for row in rows if row["pending_restart"]]
    dangerous, advice = lint(raw, DANGEROUS), lint(raw, ADVICE)
    return {
        "parameters": {row["name"]: _parameter(row) for row in rows if row["name"] in CURATED},
        "pending_restart_count": len(pending),
        "pending_restart": pending,
        "dangerous_count": len(dangerous),
        "dangerous": dangerous,
        "advice_count": len(advice),
        "advice": advice,
        "shared_preload_libraries": libraries,
    }


def _parameter(row: Row) -> dict[str, Any]:
    value, unit = typed(row["value"], row["vartype"], row["unit"])
    return {"value": value, "unit": unit, "source": row["source"], "pending_restart": row["pending_restart"]}


def typed(text: str | None, vartype: str, unit: str | None) -> tuple[Value, str | None]:
    """A setting as a number people can compare: memory in bytes, time in seconds.

    Args:
        text: C(setting) of C(pg_settings), in multiples of C(unit).
        vartype: C(bool), C(integer), C(real), C(enum) or C(string).
        unit: Such as C(8kB), C(ms) or None.

    Returns:
        The value and C(bytes), C(seconds) or None. -1 means "none" or "default" everywhere and stays -1.

    """
    if text is None:
        return None, None
    if vartype == "bool":
        return text == "on", None
    if vartype not in ("integer", "real"):
        return text, None
    number = float(text) if vartype == "real" else int(text)
    digits = len(unit or "") - len((unit or "").lstrip("0123456789"))
    factor, base = int((unit or "")[:digits] or 1), (unit or "")[digits:]
    if base in _BYTES:
        return (number if number == -1 else int(number * factor * _BYTES[base])), "bytes"
    if base in _SECONDS:
        return (number if number == -1 else round(number * factor * _SECONDS[base], 6)), "seconds"
    return number, None


def lint(raw: Mapping[str, str | None], rules: Sequence[Advice]) -> list[dict[str, Any]]:
    """The settings whose value is one of those they should not have."""
    return [
        {"name": rule.name, "value": raw[rule.name], "reason": rule.reason}
        for rule in rules
        if rule.name in raw and raw[rule.name] in rule.bad
    ]


SECTION = Section("settings", _queries, _facts, _skips)
