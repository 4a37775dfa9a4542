# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is known about a job queue, in one shape for every queue system. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.runbook.ops.plugins.module_utils.common.clock import iso_of

# The states every system is mapped to. Unknown ones are null.
#   waiting    ready to be executed, not yet with a worker
#   active     with a worker
#   delayed    to be executed later (ETA, retry, schedule)
#   failed     failed and still kept
#   completed  succeeded and still kept
#   blocked    waiting for other jobs (BullMQ: waiting-children; RQ: deferred)
#   retrying   failed and going to be tried again by itself, where that is a state of its own (Sidekiq: retry)
STATES = ("waiting", "active", "delayed", "blocked", "retrying", "failed", "completed")

# What cannot happen in a system, so that it is 0 there and not unknown. Celery's messages carry their data and hold
# delayed jobs with workers; only Celery redelivers, has steps of priority, and messages that need decoding.
CANNOT_OCCUR = {
    "celery": ("overdue", "ghosts"),
    "bull": ("redelivery_risk", "unread", "malformed"),
    "bullmq": ("redelivery_risk", "unread", "malformed"),
    "rq": ("redelivery_risk", "unread", "malformed"),
    "sidekiq": ("redelivery_risk", "unread", "ghosts"),
    "solid_queue": ("redelivery_risk", "unread", "malformed", "ghosts"),
}

TOP_REASONS = 10
TOP_TASKS = 10
EXAMPLE_CHARACTERS = 200
EXAMPLE_IDS = 5


@dataclass
class FailureGroup:
    """Failures with the same normalised reason."""

    reason: str
    count: int
    example: str
    ids: list[str] = field(default_factory=list)
    # Epoch seconds of the earliest and the latest one, where they are known.
    first_at: float | None = None
    last_at: float | None = None

    def facts(self) -> dict[str, Any]:
        """The entry of C(failures)."""
        return {
            "reason": self.reason,
            "count": self.count,
            "example": self.example,
            "example_ids": self.ids,
            "first_at": None if self.first_at is None else iso_of(self.first_at),
            "last_at": None if self.last_at is None else iso_of(self.last_at),
        }


class Failures:
    """Failures, grouped by reason."""

    def __init__(self) -> None:
        self.count = 0
        self._groups: dict[str, FailureGroup] = {}

    def add(self, reason: str, example: str, identifier: str | None = None, at: float | None = None) -> None:
        """Count one failure; the first of a group is its example. C(at) is when it failed, epoch seconds."""
        self.count += 1
        group = self._groups.setdefault(reason, FailureGroup(reason, 0, example[:EXAMPLE_CHARACTERS]))
        group.count += 1
        if identifier is not None and len(group.ids) < EXAMPLE_IDS:
            group.ids.append(identifier)
        if at is not None:
            group.first_at = at if group.first_at is None else min(group.first_at, at)
            group.last_at = at if group.last_at is None else max(group.last_at, at)

    def merge(self, other: Failures) -> None:
        """Add all of another collection."""
        self.count += other.count
        for theirs in other._groups.values():
            group = self._groups.setdefault(theirs.reason, FailureGroup(theirs.reason, 0, theirs.example))
            group.count += theirs.count
            group.ids = (group.ids + theirs.ids)[:EXAMPLE_IDS]
            moments = [at for at in (group.first_at, theirs.first_at) if at is not None]
            group.first_at = min(moments, default=None)
            moments = [at for at in (group.last_at, theirs.last_at) if at is not None]
            group.last_at = max(moments, default=None)

    @property
    def reasons(self) -> int:
        """How many different reasons there are."""
        return len(self._groups)

    def most_frequent(self) -> str:
        """The reason that occurs most often, with its number, for a sentence."""
        top = self.top(1)
        return f"{top[0]['reason']} ({top[0]['count']})" if top else "none"

    def top(self, limit: int = TOP_REASONS) -> list[dict[str, Any]]:
        """The most frequent groups."""
        ranked = sorted(self._groups.values(), key=lambda group: (-group.count, group.reason))
        return [group.facts() for group in ranked[:limit]]


@dataclass
class QueueFacts:
    """One queue. None means that it cannot be known; C(notes) say why."""

    name: str
    system: str
    prefix: str = ""
    # The name as the server knows it; it need not be UTF-8.
    raw: bytes = b""
    raw_prefix: bytes = b""
    exists: bool = True
    reason: str | None = None
    library_version: str | None = None
    paused: bool | None = None
    counts: dict[str, int | None] = field(default_factory=dict)
    # The same under the library's own names of its states.
    states: dict[str, int | None] = field(default_factory=dict)
    priorities: list[dict[str, int]] = field(default_factory=list)
    consumers: int | None = None
    oldest_age_seconds: float | None = None
    oldest_age_exact: bool = False
    oldest_age_note: str | None = None
    unacked: int | None = None
    oldest_unacked_seconds: float | None = None
    # Active jobs that no worker works on any more.
    stalled: int | None = None
    # Delayed jobs whose time has passed, so that nobody moves them on.
    overdue: int | None = None
    # Job data that is in no state, and entries of a state without data.
    orphans: int | None = None
    ghosts: int | None = None
    # A part of the failed jobs when there are more than were read.
    failures_sampled: bool = False
    rate: dict[str, Any] | None = None
    redelivery_risk: int | None = None
    unread: int | None = None
    malformed: int | None = None
    opaque: int | None = None
    sampled: int = 0
    tasks: dict[str, int] = field(default_factory=dict)
    failures: Failures = field(default_factory=Failures)
    notes: list[str] = field(default_factory=list)

    @property
    def backlog(self) -> int | None:
        """Jobs that should be done by now: waiting and active, without those that are meant for later."""
        waiting, active = self.counts.get("waiting"), self.counts.get("active")
        return None if waiting is None or active is None else waiting + active

    @property
    def unconsumed(self) -> bool | None:
        """Whether jobs wait and nobody is there to fetch any."""
        waiting = self.counts.get("waiting")
        if not self.exists or waiting is None or self.consumers is None:
            return None
        return self.consumers == 0 and waiting > 0 and not self.paused

    def _figure(self, name: str) -> int | None:
        value: int | None = getattr(self, name)
        impossible = self.exists and name in CANNOT_OCCUR.get(self.system, ())
        return 0 if value is None and impossible else value

    def facts(self) -> dict[str, Any]:
        """The entry of the result's C(queues)."""
        return {
            "name": self.name,
            "system": self.system,
            "prefix": self.prefix,
            "exists": self.exists,
            "reason": self.reason,
            "library_version": self.library_version,
            "paused": self.paused,
            "counts": {state: self.counts.get(state) for state in STATES},
            "states": self.states,
            "priorities": self.priorities,
            "backlog": self.backlog,
            "consumers": self.consumers,
            "oldest_age_seconds": self.oldest_age_seconds,
            "oldest_age_exact": self.oldest_age_exact,
            "oldest_age_note": self.oldest_age_note,
            "unacked": self.unacked,
            "oldest_unacked_seconds": self.oldest_unacked_seconds,
            "stalled": self.stalled,
            "overdue": self._figure("overdue"),
            "orphans": self.orphans,
            "ghosts": self._figure("ghosts"),
            "rate": self.rate,
            "redelivery_risk": self._figure("redelivery_risk"),
            "unread": self._figure("unread"),
            "malformed": self._figure("malformed"),
            "opaque": self.opaque,
            "sampled": self.sampled,
            "tasks": top_counts(self.tasks, TOP_TASKS),
            "tasks_count": len(self.tasks),
            "failures": self.failures.top(),
            "failure_reasons_count": self.failures.reasons,
            "failures_truncated": self.failures.reasons > TOP_REASONS,
            "failures_sampled": self.failures_sampled,
            "unconsumed": self.unconsumed,
            "notes": self.notes,
        }


@dataclass
class SystemFacts:
    """What one queue system keeps in a database, beyond its queues."""

    queues: list[QueueFacts] = field(default_factory=list)
    complete: bool = True
    keys_seen: int = 0
    # Failures that were seen; their number, once it is certain that there are no others.
    failed_seen: int | None = None
    failed_count: int | None = None
    failures: Failures = field(default_factory=Failures)
    # Whether the system tells in which queue a job failed.
    failures_by_queue: bool = True
    results: dict[str, int] = field(default_factory=dict)
    consumers: int | None = None
    unattributed: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    skipped: list[dict[str, str]] = field(default_factory=list)

    @property
    def relevant(self) -> bool:
        """Whether there is anything of this system, so that what is unknown about it matters."""
        return any(queue.exists for queue in self.queues) or bool(self.failed_seen) or bool(self.results)


def top_counts(counts: dict[str, int], limit: int) -> list[dict[str, Any]]:
    """The most frequent names: C([{name, count}])."""
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return [{"name": name, "count": count} for name, count in ranked[:limit]]


def plural(count: int, noun: str) -> str:
    """C(1 message), C(2 messages)."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


def listed(names: Iterable[str], limit: int = 20) -> str:
    """Names for a sentence; more than C(limit) are counted."""
    every = sorted(names)
    shown = ", ".join(every[:limit])
    return f"{shown} and {len(every) - limit} more" if len(every) > limit else shown
