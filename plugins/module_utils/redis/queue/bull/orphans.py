# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Job data in no state: nobody runs it, nobody removes it. Found by a walk through all keys of the queues.

Memory does not grow with the number of jobs: those of the sets are asked for at once, and the few others, which may be
in the lists, are held against the lists as these pass by in pieces.
"""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.redis.errors import Refusal
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.bull.look import Look
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.bull.naming import (
    STATE_LISTS,
    STATE_ZSETS,
    SUFFIXES,
    QueueKeys,
)
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.bull.round import Round
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.reading import Reading
from ansible_collections.runbook.ops.plugins.module_utils.redis.scan import Scan, escape_glob

# Jobs that are held against the lists together, and ids that one call reads of a list.
HELD_JOBS = 100_000
LIST_PIECE = 1000

# What the libraries keep beside a job's hash, and other keys that are no job.
_BESIDE = re.compile(rb":(lock|logs|dependencies|unsuccessful|processed|failed)\Z")
_NO_JOB = (b"de:", b"metrics:", b"limiter:", b"repeat:")
# Jobs of a scheduler: repeat:<scheduler>:<milliseconds>.
_SCHEDULED_JOB = re.compile(rb"repeat:.+:\d{10,}\Z")


class OrphanSearch:
    """One walk for many queues."""

    def __init__(self, reading: Reading, looks: Sequence[Look]) -> None:
        queues = [look.keys for look in looks]
        self.client = reading.client
        self.counts: dict[QueueKeys, int] = dict.fromkeys(queues, 0)
        self.examples: dict[QueueKeys, list[bytes]] = {}
        self._by_base = {keys.base: keys for keys in queues}
        # Most jobs are found in a set that had something in it; all sets are asked only for the few others.
        self._filled = {
            look.keys: [suffix for suffix in STATE_ZSETS if look.lengths[suffix.decode()]] for look in looks
        }
        self._held: dict[QueueKeys, set[bytes]] = {}
        self._deadline = time.monotonic() + reading.request.budget.max_seconds
        self.in_time = True
        self.scan: Scan = reading.scan([escape_glob(keys.base) + b"*" for keys in queues], distinct=False)

    def go(self) -> bool:
        """Walk; whether it came to the end, so that the counts are those of all jobs."""
        for names in self.scan:
            self._sort(names)
            if sum(map(len, self._held.values())) >= HELD_JOBS:
                self._settle()
        self._settle()
        return self.scan.complete and self.in_time

    def _sort(self, names: Sequence[bytes]) -> None:
        ask = Round()
        for name in names:
            keys = self._queue_of(name)
            job = name[len(keys.base) :] if keys else b""
            if keys and is_job(job):
                self._ask_filled(ask, keys, job)
        ask.go(self.client)

    def _ask_filled(self, ask: Round, keys: QueueKeys, job: bytes) -> None:
        """Hold the job if it is in none of the sets that had something in them."""
        suffixes = self._filled[keys]
        replies: list[Any] = []

        def keep(reply: Any) -> None:
            replies.append(reply)
            if len(replies) == len(suffixes) and not any(isinstance(score, bytes) for score in replies):
                self._hold(keys, job)

        for suffix in suffixes:
            ask.ask(("ZSCORE", keys.key(suffix), job), keep)
        if not suffixes:
            self._hold(keys, job)

    def _queue_of(self, name: bytes) -> Optional[QueueKeys]:
        """The queue with the longest base: a:b:1 is job 1 of a:b rather than job b:1 of a."""
        end = len(name)
        while (end := name.rfind(b":", 0, end)) >= 0:
            keys = self._by_base.get(name[: end + 1])
            if keys is not None:
                return keys
        return None

    def _ask_states(self, ask: Round, keys: QueueKeys, job: bytes, outside: Any) -> None:
        """Call C(outside) if the job is a hash and in none of the sets."""
        replies: list[Any] = []

        def keep(reply: Any) -> None:
            replies.append(reply)
            *scores, kind = replies
            if kind == b"hash" and all(score is None or isinstance(score, Refusal) for score in scores):
                outside(keys, job)

        for suffix in STATE_ZSETS:
            ask.ask(("ZSCORE", keys.key(suffix), job), replies.append)
        ask.ask(("TYPE", keys.key(job)), keep)

    def _hold(self, keys: QueueKeys, job: bytes) -> None:
        self._held.setdefault(keys, set()).add(job)

    def _settle(self) -> None:
        """What is in no list either, and still so when asked a second time, is an orphan."""
        for _again in range(2):
            for keys, jobs in self._held.items():
                self._strike_out(keys, jobs)
            suspects, self._held = self._held, {}
            ask = Round()
            for keys, jobs in suspects.items():
                for job in jobs:
                    self._ask_states(ask, keys, job, self._hold)
            ask.go(self.client)
        for keys, jobs in self._held.items():
            self.counts[keys] += len(jobs)
            known = self.examples.setdefault(keys, [])
            known += sorted(jobs)[: 5 - len(known)]
        self._held = {}

    def _strike_out(self, keys: QueueKeys, jobs: set[bytes]) -> None:
        """Remove the jobs that are in one of the lists.

        They are read in pieces from the head: what is pushed meanwhile moves the others to where is still to be read,
        and what a worker takes is in active, which comes last.
        """
        for suffix in STATE_LISTS:
            first = 0
            while jobs:
                if time.monotonic() > self._deadline:
                    self.in_time = False
                    return
                piece = self.client.ask("LRANGE", keys.key(suffix), first, first + LIST_PIECE - 1)
                if isinstance(piece, Refusal) or not piece:
                    break
                jobs.difference_update(piece)
                first += LIST_PIECE


def is_job(job: bytes) -> bool:
    """Whether what follows a queue's base is a job's id, and not another key of the queue or of a job."""
    if job in SUFFIXES or _BESIDE.search(job):
        return False
    return not job.startswith(_NO_JOB) or bool(_SCHEDULED_JOB.match(job))
