# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Signs that the server, its standbys or other sessions need a rest from us."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption
from ansible_collections.runbook.ops.plugins.module_utils.common.progress import Progress, Stopped
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.client import Session
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.errors import QueryError
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.health.replication import STANDBYS
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.maintenance.headroom import disk_headroom
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.reindex.lag import too_far_behind

_SLOTS = """
SELECT s.slot_name::text AS name, pg_wal_lsn_diff(pg_current_wal_lsn(), s.restart_lsn)::float8 AS retained_bytes
FROM pg_replication_slots s
WHERE s.restart_lsn IS NOT NULL
ORDER BY retained_bytes DESC
LIMIT 1
"""
_READY = "SELECT count(*) AS ready FROM pg_ls_archive_statusdir() WHERE name LIKE '%%.ready'"
# Other sessions that wait for a lock in this database, or for the end of a transaction.
_WAITERS = """
SELECT count(DISTINCT l.pid) AS waiting
FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid
WHERE NOT l.granted AND l.pid <> pg_backend_pid() AND a.datname = current_database()
"""
_LOOK_SECONDS = 1.0
_PAUSE_SECONDS = 1.0
_INSUFFICIENT_PRIVILEGE = "42501"

LIMITS = (
    "max_replica_lag_bytes",
    "max_replica_lag_seconds",
    "max_slot_wal_bytes",
    "max_archive_backlog",
    "max_lock_waiters",
    "min_disk_free_bytes",
)


def check_limits(options: Mapping[str, Any]) -> None:
    """Refuse limits that cannot be kept."""
    for name in LIMITS:
        if options[name] is not None and options[name] < 0:
            raise InvalidOption(name, options[name], "a number from 0, or nothing at all for no limit")
    if options["max_pause_seconds"] < 0:
        raise InvalidOption("max_pause_seconds", options["max_pause_seconds"], "seconds from 0")


@dataclass
class Pressure:
    """Looks at most once a second; rests while a limit is exceeded, and gives up after C(max_pause_seconds)."""

    session: Session
    options: Mapping[str, Any]
    progress: Progress
    paused_seconds: float = 0.0
    reasons: dict[str, float] = field(default_factory=dict)
    _looked: float = float("-inf")
    _unreadable: set[str] = field(default_factory=set)

    def relieve(self) -> None:
        """Wait until nothing is in the way; raises Stopped after C(max_pause_seconds) with what was."""
        if time.monotonic() - self._looked < _LOOK_SECONDS:
            return
        began = time.monotonic()
        while True:
            reason = self._reason()
            self._looked = time.monotonic()
            if reason is None:
                return
            if self._looked - began >= self.options["max_pause_seconds"]:
                raise Stopped(f"Stopped after waiting {self.options['max_pause_seconds']:g} seconds because {reason}")
            self.progress.wait(_PAUSE_SECONDS, f"pausing: {reason}")
            paused = time.monotonic() - self._looked
            self.paused_seconds += paused
            kind = reason.rpartition("(")[2].partition(":")[0]
            self.reasons[kind] = round(self.reasons.get(kind, 0.0) + paused, 1)

    @property
    def unreadable(self) -> list[str]:
        """Limits that were set and cannot be kept, since the figure may not be read."""
        return sorted(self._unreadable)

    def _reason(self) -> str | None:
        limits = self.options
        if limits["max_replica_lag_bytes"] is not None or limits["max_replica_lag_seconds"] is not None:
            behind = too_far_behind(self.session.query(STANDBYS), limits)
            if behind is not None:
                return behind
        for look in (self._slots, self._backlog, self._waiters, self._disk):
            reason = look()
            if reason is not None:
                return reason
        return None

    def _slots(self) -> str | None:
        limit = self.options["max_slot_wal_bytes"]
        rows = [] if limit is None else self.session.query(_SLOTS)
        if rows and rows[0]["retained_bytes"] > limit:
            retained = f"{rows[0]['retained_bytes']:.0f}"
            return f"slot {rows[0]['name']} retains {retained} bytes of WAL (max_slot_wal_bytes: {limit})"
        return None

    def _backlog(self) -> str | None:
        limit = self.options["max_archive_backlog"]
        if limit is None or "max_archive_backlog" in self._unreadable:
            return None
        try:
            ready = self.session.query(_READY, {})[0]["ready"]
        except QueryError as error:
            if error.sqlstate != _INSUFFICIENT_PRIVILEGE:
                raise
            self._unreadable.add("max_archive_backlog")
            return None
        if ready > limit:
            return f"{ready} WAL segments wait to be archived (max_archive_backlog: {limit})"
        return None

    def _waiters(self) -> str | None:
        limit = self.options["max_lock_waiters"]
        if limit is None:
            return None
        waiting = self.session.query(_WAITERS)[0]["waiting"]
        return f"{waiting} sessions wait for locks (max_lock_waiters: {limit})" if waiting > limit else None

    def _disk(self) -> str | None:
        limit = self.options["min_disk_free_bytes"]
        if limit is None or "min_disk_free_bytes" in self._unreadable:
            return None
        free = disk_headroom(self.session, self.options)
        if free.free_bytes is None:
            self._unreadable.add("min_disk_free_bytes")
            return None
        if free.free_bytes < limit:
            return f"{free.free_bytes} bytes of disk are free (min_disk_free_bytes: {limit})"
        return None
