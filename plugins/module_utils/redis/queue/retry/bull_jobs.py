# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading the failed jobs of Bull and BullMQ: what of each is needed to choose it, and whether it can be retried."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.redis.client import Command, RedisClient, show
from ansible_collections.runbook.ops.plugins.module_utils.redis.errors import Refusal
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.bull.naming import QueueKeys
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.retry.ordered import Entry
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.retry.system import (
    BLOCKED,
    GHOST,
    LEFT_ALONE,
    LOCKED,
    FailedJob,
)

# Longer texts are not read: building the reply would keep the server busy.
LONGEST_TEXT = 65536
# What one round trip brings at most, about.
_BYTES_AT_ONCE = 1_000_000
# A parent may have any number of children; so many of them are looked at.
MOST_CHILDREN = 100
_FAILED_OVER_CHILD = re.compile(rb"child .* failed", re.DOTALL)

UNKNOWN_MAJOR = "unknown_major"
PARENT = "parent"
BULL_LEFT_ALONE = {
    **LEFT_ALONE,
    UNKNOWN_MAJOR: (
        "it has a priority, and BullMQ 3 keeps priorities in another form than BullMQ 4 and later",
        "The queue does not say which one it belongs to. Set library_version.",
    ),
    PARENT: (
        "the keys of its flow cannot be read, or are of another type than BullMQ's",
        "Grant the login access to the keys of the flow's other queues, then run the task again.",
    ),
}


@dataclass(frozen=True)
class Details:
    """The payload of a failed job: its place among the failed ones, by which it is recognised, and its priority."""

    score: float
    priority: float


@dataclass(frozen=True)
class JobReader:
    """Reads jobs of one queue."""

    client: RedisClient
    keys: QueueKeys
    # BullMQ has flows; Bull has not.
    flows: bool
    major_known: bool
    # Whether anybody asks for the names of the jobs.
    names: bool

    def read(self, entries: Sequence[Entry]) -> list[FailedJob]:
        """The failed jobs behind the entries of the set of failed ones, in the same order."""
        texts = ("failedReason", "name") if self.names else ("failedReason",)
        width = 1 + len(texts)
        looks: list[Command] = []
        for entry in entries:
            key = self.keys.key(entry.member)
            looks += [("EXISTS", *self._beside(key)), *(("HSTRLEN", key, text) for text in texts)]
        sizes = self.client.pipeline(looks)
        rows = [(*sizes[start : start + width], 0)[:3] for start in range(0, len(sizes), width)]
        jobs = [self._job(*each) for each in zip(entries, rows, self._fields(entries, rows))]
        return self._still_failed(jobs)

    def _still_failed(self, jobs: list[FailedJob]) -> list[FailedJob]:
        """Without those that somebody put back while they were looked at.

        Such a job has a worker's lock, or no data any more because it was completed, and is not failed for it.
        """
        doubtful = [job for job in jobs if job.refusal is not None]
        if not doubtful:
            return jobs
        scores = self.client.pipeline([("ZSCORE", self.keys.key("failed"), job.id) for job in doubtful])
        gone = {job.id for job, score in zip(doubtful, scores) if _is_another(score, job.payload.score)}
        return [job for job in jobs if job.id not in gone]

    def _beside(self, key: bytes) -> list[bytes]:
        return [key + b":lock", *((key + b":unsuccessful", key + b":dependencies") if self.flows else ())]

    def _fields(self, entries: Sequence[Entry], rows: Sequence[tuple[Any, ...]]) -> Iterator[Any]:
        """Timestamp, priority, name and reason of each job; a Refusal for what is no hash."""
        commands: list[Command] = []
        size = 0
        for entry, (_beside, reason, name) in zip(entries, rows):
            wanted = ["timestamp", "priority"]
            # A field that no job has, in place of one that is too long or that nobody asks for.
            wanted.append("name" if self.names and _length(name) <= LONGEST_TEXT else "")
            wanted.append("failedReason" if _length(reason) <= LONGEST_TEXT else "")
            commands.append(("HMGET", self.keys.key(entry.member), *wanted))
            size += sum(length for length in map(_length, (reason, name)) if length <= LONGEST_TEXT)
            if size > _BYTES_AT_ONCE:
                yield from self.client.pipeline(commands)
                commands, size = [], 0
        if commands:
            yield from self.client.pipeline(commands)

    def _job(self, entry: Entry, row: tuple[Any, ...], values: Any) -> FailedJob:
        beside, length, name_length = row
        timestamp, priority, name, text = (None, None, None, None) if isinstance(values, Refusal) else values
        status: Optional[str] = None
        if timestamp is None:
            status = GHOST
        elif not self.major_known and _number(priority):
            status = UNKNOWN_MAJOR
        elif isinstance(beside, Refusal) or beside:
            status = self._look_closer(self.keys.key(entry.member), text)
        reason = show(text or b"")
        if _length(length) > LONGEST_TEXT:
            reason = f"(a message of {length} bytes, too long to be read)"
        refusal, remedy = BULL_LEFT_ALONE[status] if status else (None, None)
        return FailedJob(
            entry.member,
            reason,
            None if name is None or _length(name_length) > LONGEST_TEXT else show(name),
            entry.score / 1000.0,
            refusal,
            Details(entry.score, _number(priority)),
            remedy,
        )

    def _look_closer(self, key: bytes, reason: Optional[bytes]) -> Optional[str]:
        """Why a job with a lock or with children cannot be retried; None if it can. The script decides the same way."""
        if self.client.ask("EXISTS", key + b":lock") != 0:
            return LOCKED
        if not self.flows:
            return None
        unsuccessful, pending = self.client.pipeline(
            [("ZCARD", key + b":unsuccessful"), ("SCARD", key + b":dependencies")]
        )
        if isinstance(unsuccessful, Refusal) or isinstance(pending, Refusal):
            return PARENT
        if unsuccessful:
            return BLOCKED
        if pending and reason and _FAILED_OVER_CHILD.fullmatch(reason) and self._has_failed_child(key):
            return BLOCKED
        return None

    def _has_failed_child(self, key: bytes) -> bool:
        children = self.client.call("SRANDMEMBER", key + b":dependencies", MOST_CHILDREN)
        pairs = [child.rpartition(b":") for child in children]
        scores = self.client.pipeline([("ZSCORE", queue + b":failed", child) for queue, colon, child in pairs if colon])
        return any(score is not None and not isinstance(score, Refusal) for score in scores)


def expected_types(used: Iterable[str], keys: Sequence[tuple[str, str]]) -> list[str]:
    """The types that the script is to insist on, C(-) for keys that this library does not have."""
    chosen = frozenset(used)
    return [kind if name in chosen else "-" for name, kind in keys]


def _is_another(score: Any, seen: float) -> bool:
    """Whether a job's place among the failed ones is not the one that was seen. A refused look tells nothing."""
    return not isinstance(score, Refusal) and (score is None or float(score) != seen)


def _length(reply: Any) -> int:
    return reply if isinstance(reply, int) else 0


def _number(text: Optional[bytes]) -> float:
    try:
        return float(text or 0)
    except ValueError:
        return 0.0
