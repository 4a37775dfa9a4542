# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Write-ahead log: archiver, directory, volume and checkpoints."""

from __future__ import annotations

import datetime as dt

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
    moment,
    monitor_remedy,
    percent,
    ratio,
    rounded,
)

_SETTINGS = """
SELECT current_setting('wal_level') AS level, current_setting('archive_mode') AS mode,
       -- Only whether there is one: the command may hold credentials. The library, from PostgreSQL 15, may be hidden.
       nullif(nullif(current_setting('archive_command', true), '(disabled)'), '') IS NOT NULL AS has_command,
       (SELECT s.setting <> '' FROM pg_settings s WHERE s.name = 'archive_library') AS has_library,
       (SELECT s.setting::bigint * 1024 * 1024 FROM pg_settings s WHERE s.name = 'max_wal_size') AS max_wal_size_bytes
"""

_ARCHIVER = """
SELECT a.archived_count, a.failed_count, a.last_archived_wal, a.last_archived_time, a.last_failed_wal,
       a.last_failed_time, a.stats_reset, clock_timestamp() AS now
FROM pg_stat_archiver a
"""

_READY = "SELECT count(*) FILTER (WHERE name LIKE '%%.ready') AS ready_count FROM pg_ls_archive_statusdir()"

_DIRECTORY = "SELECT coalesce(sum(size), 0) AS bytes, count(*) AS files FROM pg_ls_waldir()"

_STATISTICS = """
SELECT w.wal_records, w.wal_fpi, w.wal_bytes, w.wal_buffers_full, w.stats_reset, clock_timestamp() AS now
FROM pg_stat_wal w
"""

_CHECKPOINTER = """
SELECT c.num_timed AS timed, c.num_requested AS requested, c.write_time AS write_ms, c.sync_time AS sync_ms,
       c.buffers_written, c.stats_reset
FROM pg_stat_checkpointer c
"""

# Before PostgreSQL 17 the background writer's view had the columns.
_BGWRITER = """
SELECT b.checkpoints_timed AS timed, b.checkpoints_req AS requested, b.checkpoint_write_time AS write_ms,
       b.checkpoint_sync_time AS sync_ms, b.buffers_checkpoint AS buffers_written, b.stats_reset
FROM pg_stat_bgwriter b
"""

_LAST_CHECKPOINT = "SELECT checkpoint_time AS last, clock_timestamp() AS now FROM pg_control_checkpoint()"


def _queries(capabilities: Capabilities) -> list[Query]:
    queries = [
        Query("settings", _SETTINGS, "level and archiver settings"),
        Query("archiver", _ARCHIVER, "archiver"),
        Query(
            "checkpoints",
            _CHECKPOINTER if capabilities.has("pg_stat_checkpointer") else _BGWRITER,
            "counts of checkpoints",
        ),
        Query(
            "last_checkpoint",
            _LAST_CHECKPOINT,
            "the last checkpoint",
            f"GRANT EXECUTE ON FUNCTION pg_control_checkpoint() TO {capabilities.quoted_user};",
        ),
    ]
    if capabilities.has("pg_stat_wal"):
        queries.append(Query("statistics", _STATISTICS, "statistics"))
    if capabilities.lists_archive_status:
        queries.append(Query("ready", _READY, "archiver.ready_count"))
    if capabilities.lists_wal:
        queries.append(Query("directory", _DIRECTORY, "directory_bytes"))
    return queries


def _skips(capabilities: Capabilities, _answers: Answers) -> list[Skip]:
    listed = {
        "wal.archiver.ready_count": capabilities.lists_archive_status,
        "wal.directory_bytes": capabilities.lists_wal,
        "wal.directory_percent": capabilities.lists_wal,
    }
    reason = "The role may not list the files of the WAL directory."
    return [Skip(fact, reason, monitor_remedy(capabilities)) for fact, allowed in listed.items() if not allowed]


def _facts(answers: Answers, capabilities: Capabilities, _limits: Limits) -> Facts:
    settings, directory = answers.row("settings"), answers.row("directory")
    # The library, from PostgreSQL 15, is hidden from some roles.
    has_library = False if capabilities.version_num < 150000 else settings.get("has_library")
    return {
        "level": settings.get("level"),
        "archiver": _archiver(settings, has_library, answers.row("archiver"), answers.row("ready").get("ready_count")),
        "directory_bytes": directory.get("bytes"),
        "directory_files": directory.get("files"),
        "max_wal_size_bytes": settings.get("max_wal_size_bytes"),
        "directory_percent": percent(directory.get("bytes"), settings.get("max_wal_size_bytes")),
        "statistics": _statistics(answers.row("statistics")),
        "checkpoints": _checkpoints(answers.row("checkpoints"), answers.row("last_checkpoint")),
    }


def _archiver(settings: Row, has_library: bool | None, row: Row, ready_count: int | None) -> Facts:
    mode, now = settings.get("mode"), row.get("now")
    is_enabled = None if mode is None else mode != "off"
    archived, failed = row.get("last_archived_time"), row.get("last_failed_time")
    is_failing = None
    if is_enabled is not None and row:
        is_failing = is_enabled and failed is not None and (archived is None or failed > archived)
    return {
        "mode": mode,
        "is_enabled": is_enabled,
        "has_command": None if mode is None else settings["has_command"] or has_library,
        "is_failing": is_failing,
        "archived_total": row.get("archived_count"),
        "failed_total": row.get("failed_count"),
        "last_archived_wal": row.get("last_archived_wal"),
        "last_archived_at": moment(archived),
        "last_archived_age_seconds": age_seconds(now, archived),
        "last_failed_wal": row.get("last_failed_wal"),
        "last_failed_at": moment(failed),
        "last_failed_age_seconds": age_seconds(now, failed),
        "failing_seconds": _failing_seconds(is_failing, now, archived or row.get("stats_reset")),
        "ready_count": ready_count,
        "stats_reset_at": moment(row.get("stats_reset")),
    }


def _failing_seconds(is_failing: bool | None, now: dt.datetime | None, since: dt.datetime | None) -> float | None:
    if is_failing is None:
        return None
    return age_seconds(now, since) if is_failing else 0.0


def _statistics(row: Row) -> Facts:
    return {
        "records_total": row.get("wal_records"),
        "full_page_images_total": row.get("wal_fpi"),
        "bytes_total": row.get("wal_bytes"),
        "bytes_per_second": ratio(row.get("wal_bytes"), age_seconds(row.get("now"), row.get("stats_reset"))),
        "buffers_full_total": row.get("wal_buffers_full"),
        "stats_reset_at": moment(row.get("stats_reset")),
    }


def _checkpoints(row: Row, last: Row) -> Facts:
    timed, requested = row.get("timed"), row.get("requested")
    return {
        "timed_total": timed,
        "requested_total": requested,
        "requested_percent": None if timed is None else percent(requested, timed + requested),
        "write_ms_total": rounded(row.get("write_ms")),
        "sync_ms_total": rounded(row.get("sync_ms")),
        "buffers_written_total": row.get("buffers_written"),
        "stats_reset_at": moment(row.get("stats_reset")),
        "last_checkpoint_at": moment(last.get("last")),
        "last_checkpoint_age_seconds": age_seconds(last.get("now"), last.get("last")),
    }


SECTION = Section("wal", _queries, _facts, _skips)
