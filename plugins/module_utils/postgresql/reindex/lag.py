# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A rebuild writes its index into WAL at full speed; standbys that fall behind are waited for between two rebuilds."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.runbook.ops.plugins.module_utils.common.progress import Progress
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.client import Session
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.health.replication import RECEIVING, STANDBYS

_PAUSE_SECONDS = 2.0


@dataclass
class ReplicaLag:
    """Waits for standbys, as far as O(max_replica_lag_bytes) or O(max_replica_lag_seconds) ask for it."""

    session: Session
    options: Mapping[str, Any]
    progress: Progress

    def wait(self, what: str) -> str | None:
        """Pause before a rebuild until every standby is near enough; why it is not after max_wait_seconds, or None."""
        if not is_limited(self.options):
            return None
        deadline = time.monotonic() + self.options["max_wait_seconds"]
        self.progress.phase("wait", what)
        while True:
            behind = too_far_behind(self.session.query(STANDBYS), self.options)
            if behind is None or time.monotonic() >= deadline:
                return behind
            self.progress.wait(_PAUSE_SECONDS, behind)


def is_limited(options: Mapping[str, Any]) -> bool:
    """Whether the lag of standbys matters."""
    return options["max_replica_lag_bytes"] is not None or options["max_replica_lag_seconds"] is not None


def too_far_behind(rows: Sequence[Mapping[str, Any]], options: Mapping[str, Any]) -> str | None:
    """Which standby is too far behind, as a sentence; None when none is. Pure.

    Args:
        rows: Of the health facts' statement on standbys.
        options: C(max_replica_lag_bytes), C(max_replica_lag_seconds).

    """
    most_bytes, most_seconds = options["max_replica_lag_bytes"], options["max_replica_lag_seconds"]
    for row in rows:
        # pg_basebackup is a sender as well, but follows nobody.
        if row["state"] not in RECEIVING:
            continue
        name = f"standby {row['application'] or row['pid']}"
        lag = row["replay_lag_bytes"]
        if most_bytes is not None and lag is not None and lag > most_bytes:
            return f"{name} is {lag} bytes behind (max_replica_lag_bytes: {most_bytes})"
        seconds = row["replay_lag_seconds"]
        if most_seconds is not None and lag and seconds is not None and seconds > most_seconds:
            return f"{name} is {seconds:.0f} seconds behind (max_replica_lag_seconds: {most_seconds:g})"
    return None
