# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a queue system must know how to do so that its failed jobs can be put back."""

from __future__ import annotations

import abc
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Optional

from ansible_collections.runbook.ops.plugins.module_utils.redis.client import Command, RedisClient
from ansible_collections.runbook.ops.plugins.module_utils.redis.endpoint import Endpoint

# What became of one job.
RETRIED = "retried"
# It was retried by somebody else, removed, or is not in the failed state any more.
GONE = "gone"
# Its data is missing: running it would execute a job without data.
GHOST = "ghost"
# A worker holds a lock on it.
LOCKED = "locked"
# Its children failed and were not retried: it would fail over them again.
BLOCKED = "blocked"

# Why a job that is failed was left alone, and what to do, by what became of it.
LEFT_ALONE = {
    GHOST: (
        "its data is missing, so a worker would execute a job without data",
        "Find out what removed the data (an eviction, DEL, a job id used twice) and add the job anew from its source.",
    ),
    LOCKED: (
        "a worker holds a lock on it, so it may still be running",
        "Run the task again when the worker has ended or its lock has expired.",
    ),
    BLOCKED: (
        "children of it failed and were not retried, so it would fail over them again",
        "Retry the failed children first, then run the task again.",
    ),
}


@dataclass(frozen=True)
class Target:
    """The queue, as the module's options name it. C(options) are the others that only one system needs."""

    queue: bytes
    prefix: Optional[bytes] = None
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class FailedJob:
    """A failed job as it was when it was read. C(failed_at) is in epoch seconds by the server's clock."""

    id: bytes
    reason: str
    name: Optional[str] = None
    failed_at: Optional[float] = None
    # Why it cannot be retried; None if it can.
    refusal: Optional[str] = None
    # What only its system needs, such as a message to be sent again.
    payload: Any = None
    # What to do about the refusal.
    remedy: Optional[str] = None


class RetrySystem(abc.ABC):
    """One queue whose failed jobs are to be put back."""

    system: ClassVar[str]
    title: ClassVar[str]
    # Why jobs are left alone, and what to do, by what C(retry) answers.
    left_alone: ClassVar[Mapping[str, tuple[str, str]]] = LEFT_ALONE

    def __init__(self, client: RedisClient, endpoint: Endpoint, target: Target) -> None:
        self.client = client
        self.endpoint = endpoint
        self.target = target

    @classmethod
    @abc.abstractmethod
    def needed(cls, target: Target) -> list[Command]:
        """One harmless sample of every command it is going to use, those of its scripts too, for the preflight."""

    @abc.abstractmethod
    def check(self) -> dict[str, Any]:
        """Look at the queue: C(library) and C(paused) for the result, and whatever else is worth saying.

        Raises RunbookError for a queue that is not there, saying where it was looked for, and Refused for one that
        cannot be treated right, with the reason and the alternative.
        """

    @abc.abstractmethod
    def failed(self) -> Iterator[list[FailedJob]]:
        """All failed jobs in pages of at most 500, the earliest failure first, without writing anything.

        Memory stays flat whatever their number. With pages that were retried meanwhile none is left out: a reader
        that goes by position must take account of what moved.
        """

    def chosen(self, ids: Sequence[bytes]) -> Iterator[list[FailedJob]]:
        """Those of the failed jobs that have one of these ids, in the same order; a system may know a shorter way."""
        wanted = frozenset(ids)
        for page in self.failed():
            found = [job for job in page if job.id in wanted]
            if found:
                yield found

    def counts(self) -> dict[str, Optional[int]]:
        """How many jobs are C(failed), C(waiting) and C(paused) now; None where it cannot be known."""
        return {"failed": None, "waiting": None, "paused": None}

    @abc.abstractmethod
    def retry(self, jobs: Sequence[FailedJob], *, reset_attempts: bool) -> list[str]:
        """Put at most 100 jobs back, each in one atomic step: what became of each, in the same order."""
