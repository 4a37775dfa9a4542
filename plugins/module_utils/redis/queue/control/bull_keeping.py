# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which jobs stay when a state of Bull or BullMQ is emptied, and why: the same decisions as in the script. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.queues.model import EXAMPLE_IDS
from ansible_collections.runbook.ops.plugins.module_utils.redis.client import show
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.bull.naming import SUFFIXES

MARKER = re.compile(rb"0:\d")
SCHEDULED = re.compile(rb"repeat:.*:(\d+)", re.DOTALL)

OWN, BUSY, ODD, LOCKED, SCHEDULE, EXPECTED = "own", "busy", "odd", "locked", "schedule", "expected"
# Reason and remedy, by kind.
WHY = {
    OWN: (
        "its id is the name of one of the queue's own keys",
        "Removing it would take the queue's key along. Let the library finish it, and forbid such ids.",
    ),
    BUSY: ("it is among the active jobs, too", "Stop the workers, and let the library put stalled jobs back first."),
    ODD: ("the key of its data is not a hash", "Look at the key: something else than the library has written it."),
    LOCKED: ("a worker holds its lock", "Run it again when the lock has expired (30 s, unless configured otherwise)."),
    SCHEDULE: (
        "it carries a schedule on: without it, the schedule ends",
        "Remove the schedule in the application (removeJobScheduler, removeRepeatable), which takes it along.",
    ),
    EXPECTED: (
        "a parent job waits for it, and would wait for ever, or start without it",
        "Empty the state blocked of the parent's queue first; its children are ordinary jobs then.",
    ),
}


@dataclass(frozen=True)
class Entry:
    """What is known of one entry of a state. C(kind) is the type of its data's key, C(none) without data."""

    id: bytes
    kind: str = "hash"
    locked: bool = False
    busy: bool = False
    # Whether a schedule's hash has this key, and whether a schedule's next time is this job's.
    is_schedule: bool = False
    scheduled: bool = False
    parent: bytes = b""
    expected: bool = False


def why_kept(entry: Entry) -> Optional[str]:
    """The kind of reason for which it stays; None if it goes."""
    if entry.id in SUFFIXES or entry.is_schedule:
        return OWN
    if entry.busy:
        return BUSY
    if entry.kind not in ("hash", "none"):
        return ODD
    if entry.locked:
        return LOCKED
    if entry.kind == "hash" and entry.scheduled:
        return SCHEDULE
    return EXPECTED if entry.kind == "hash" and entry.expected else None


@dataclass
class Removal:
    """What emptying takes away and leaves, counted."""

    jobs: dict[str, int] = field(default_factory=dict)
    ghosts: int = 0
    _kept: dict[tuple[str, str], list[Any]] = field(default_factory=dict)

    def take(self, state: str, entries: Iterable[Entry]) -> None:
        """Count entries that go."""
        for entry in entries:
            self.jobs[state] = self.jobs.get(state, 0) + 1
            self.ghosts += entry.kind == "none"

    def keep(self, state: str, kind: str, identifier: bytes) -> None:
        """Count one that stays."""
        group = self._kept.setdefault((state, kind), [0, []])
        group[0] += 1
        if len(group[1]) < EXAMPLE_IDS:
            group[1].append(show(identifier))

    @property
    def total(self) -> int:
        """How many go."""
        return sum(self.jobs.values())

    def kept(self) -> list[dict[str, Any]]:
        """The entries of the result's C(kept)."""
        return [
            {"state": state, "reason": WHY[kind][0], "remedy": WHY[kind][1], "jobs": jobs, "examples": examples}
            for (state, kind), (jobs, examples) in self._kept.items()
        ]
