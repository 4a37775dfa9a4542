# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A queue with what has been found out about it so far."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Optional

from ansible_collections.runbook.ops.plugins.module_utils.queues.model import QueueFacts
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.bull.library import BULLMQ, Library
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.bull.look import Look

WAITING_LISTS = ("wait", "paused")
LISTS = (*WAITING_LISTS, "active")
WAITING = (*WAITING_LISTS, "prioritized")
LATER = ("delayed", "waiting-children", "completed")
# Active jobs of a queue whose locks are looked at.
MOST_ACTIVE = 1000


@dataclass
class Subject:
    """A queue with what is found out about it."""

    look: Look
    library: Library
    facts: QueueFacts
    ids: dict[str, list[bytes]] = field(default_factory=dict)
    failed_at: list[tuple[bytes, Optional[float]]] = field(default_factory=list)
    moments: list[Optional[float]] = field(default_factory=list)
    without_lock: list[bytes] = field(default_factory=list)
    # State and id of entries whose job is not there.
    missing: list[tuple[str, bytes]] = field(default_factory=list)

    # How many entries of all states were looked at.
    looked_at: int = 0

    @property
    def entries(self) -> int:
        """Entries of all states, without markers."""
        markers = sum(self.look.markers.values()) if self.library.system == BULLMQ else 0
        return sum(length or 0 for length in self.look.lengths.values()) - markers

    @property
    def waiting(self) -> int:
        """Entries of the states of waiting jobs, markers included."""
        return sum(self.look.lengths[state] or 0 for state in WAITING)

    def key(self, suffix: bytes) -> bytes:
        """A job's key, by its id."""
        return self.look.keys.key(suffix)
