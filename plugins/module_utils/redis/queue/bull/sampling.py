# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Looking into the jobs of queues that were counted: ages, names, reasons of failures, what is stalled or missing.

Of a job only its times, its name and the reason of its failure are read, and these only if they are not too long; never
its data. All queues share each round trip.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.queues.model import plural
from ansible_collections.runbook.ops.plugins.module_utils.queues.reasons import normalise, scrub
from ansible_collections.runbook.ops.plugins.module_utils.redis.client import RedisClient, show
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.bull.jobs import oldest, seconds_of, share, slices
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.bull.library import BULLMQ
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.bull.look import MARKER
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.bull.recheck import NO_KEY, look_again
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.bull.round import Round
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.bull.subject import (
    LATER,
    LISTS,
    MOST_ACTIVE,
    WAITING,
    WAITING_LISTS,
    Subject,
)
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.request import QueueRequest

# Waiting jobs whose times are all read, by queue and over all queues; of more a sample is taken.
MOST_AGES = 1000
MOST_AGES_TOGETHER = 20_000
# Failed jobs that are read over all queues, unless more is asked for of one; each queue gets an equal share.
MOST_FAILED_TOGETHER = 20_000
# Jobs that are looked at together; what is read of them is in memory at once.
GROUP_JOBS = 5000
NAME_BYTES = 500
REASON_BYTES = 64 * 1024
SHORT_REASON_BYTES = 1024


class Sampler:
    """Looks into the jobs of many queues."""

    def __init__(self, client: RedisClient, request: QueueRequest, now: float, queues: int) -> None:
        """C(now) in epoch seconds; C(queues): how many there are altogether, to share what may be read."""
        self.client = client
        self.request = request
        self.now = now
        self._ages = max(request.sample, share(MOST_AGES, MOST_AGES_TOGETHER, queues))
        self._failed = request.max_failed
        self._looked_at = 0.0

    def look_into(self, subjects: Sequence[Subject]) -> None:
        """Set everything that jobs tell in C(facts)."""
        failing = sum(bool(subject.look.lengths["failed"]) for subject in subjects)
        self._failed = share(self.request.max_failed, MOST_FAILED_TOGETHER, failing)
        for group in self._groups(subjects):
            self._find_ids(group)
            self._measure(group)
            self._read()
            for subject in group:
                self._conclude(subject)
        look_again(self.client, subjects, self._looked_at)

    def _groups(self, subjects: Iterable[Subject]) -> Iterator[list[Subject]]:
        group: list[Subject] = []
        weight = 0
        for subject in subjects:
            jobs = sum(min(length or 0, self._most(state)) for state, length in subject.look.lengths.items())
            if group and weight + jobs > GROUP_JOBS:
                yield group
                group, weight = [], 0
            group.append(subject)
            weight += jobs
        if group:
            yield group

    def _most(self, state: str) -> int:
        if state == "failed":
            return self._failed if self.request.failures else self.request.sample
        if state == "active":
            return MOST_ACTIVE
        return self._ages if state in WAITING else self.request.sample

    # --- which jobs

    def _find_ids(self, group: Sequence[Subject]) -> None:
        ask = Round()
        for subject in group:
            lengths = subject.look.lengths
            for state in WAITING:
                self._ask_slices(ask, subject, state, self._wanted(subject, lengths[state] or 0))
            for state in LATER:
                self._ask_slices(ask, subject, state, self.request.sample)
            if lengths["active"]:
                ask.ask(
                    ("LRANGE", subject.key(b"active"), -MOST_ACTIVE, -1), partial(self._keep_ids, subject, "active")
                )
            if lengths["failed"] and self.request.failures:
                command = ("ZRANGE", subject.key(b"failed"), -self._failed, -1, "WITHSCORES")
                ask.ask(command, partial(self._keep_failed, subject))
            else:
                self._ask_slices(ask, subject, "failed", self.request.sample)
        ask.go(self.client, batch=500)

    def _wanted(self, subject: Subject, length: int) -> int:
        """How many of a state's waiting jobs to look at: all of them if the whole queue is short."""
        if subject.waiting <= self._ages and self.request.sample:
            return length
        share = self.request.sample * length / subject.waiting if subject.waiting else 0
        return max(2, round(share)) if share else 0

    def _ask_slices(self, ask: Round, subject: Subject, state: str, wanted: int) -> None:
        command = "LRANGE" if state in LISTS else "ZRANGE"
        for first, last in slices(subject.look.lengths[state] or 0, wanted):
            ask.ask((command, subject.key(state.encode()), first, last), partial(self._keep_ids, subject, state))

    @staticmethod
    def _keep_ids(subject: Subject, state: str, reply: Any) -> None:
        if isinstance(reply, list):
            known = subject.ids.setdefault(state, [])
            marks = subject.library.system == BULLMQ and state in WAITING_LISTS
            known += [each for each in reply if not (marks and each.startswith(MARKER))]

    @staticmethod
    def _keep_failed(subject: Subject, reply: Any) -> None:
        if isinstance(reply, list):
            subject.failed_at = [(each, seconds_of(score)) for each, score in zip(reply[::2], reply[1::2])]

    # --- what they tell

    def _measure(self, group: Sequence[Subject]) -> None:
        """Times, locks, and how long the texts are."""
        self._reasons: list[tuple[Subject, bytes, Optional[float], int]] = []
        self._names: list[tuple[Subject, bytes]] = []
        ask = Round()
        for subject in group:
            named = 0
            for state in WAITING:
                for each in subject.ids.get(state, ()):
                    ask.ask(("HMGET", subject.key(each), "timestamp"), partial(self._keep_moment, subject, state, each))
                    if named < self.request.sample:
                        named += 1
                        ask.ask(("HSTRLEN", subject.key(each), "name"), partial(self._keep_name, subject, each))
            for each in subject.ids.get("active", ()):
                ask.ask(("PTTL", subject.key(each) + b":lock"), partial(self._keep_lock, subject, each))
            for state in ("active", "failed", *LATER):
                for each in subject.ids.get(state, ()):
                    ask.ask(("TYPE", subject.key(each)), partial(self._keep_type, subject, state, each))
            for each, failed_at in subject.failed_at:
                command = ("HSTRLEN", subject.key(each), "failedReason")
                ask.ask(command, partial(self._keep_reason, subject, each, failed_at))
        ask.go(self.client)
        self._looked_at = time.monotonic()

    @staticmethod
    def _keep_moment(subject: Subject, state: str, job: bytes, reply: Any) -> None:
        value = reply[0] if isinstance(reply, list) else None
        if value is None:
            # No such field, or no such job; the second look tells.
            subject.missing.append((state, job))
        subject.moments.append(seconds_of(value))

    def _keep_name(self, subject: Subject, job: bytes, reply: Any) -> None:
        if isinstance(reply, int) and 0 < reply <= NAME_BYTES:
            self._names.append((subject, job))

    @staticmethod
    def _keep_lock(subject: Subject, job: bytes, reply: Any) -> None:
        if reply == NO_KEY:
            subject.without_lock.append(job)

    @staticmethod
    def _keep_type(subject: Subject, state: str, job: bytes, reply: Any) -> None:
        if reply == b"none":
            subject.missing.append((state, job))

    def _keep_reason(self, subject: Subject, job: bytes, failed_at: Optional[float], reply: Any) -> None:
        if isinstance(reply, int):
            self._reasons.append((subject, job, failed_at, reply))
            if not reply:
                # No reason, or no such job; the second look tells.
                subject.missing.append(("failed", job))

    def _read(self) -> None:
        """The texts that are short enough."""
        names, short, long = Round(), Round(), Round()
        for subject, job in self._names:
            names.ask(("HMGET", subject.key(job), "name"), partial(self._count_name, subject))
        for subject, job, failed_at, size in self._reasons:
            if not self._counts(failed_at):
                continue
            handler = partial(self._count_reason, subject, job, failed_at)
            if size > REASON_BYTES:
                handler(None)
            else:
                # The time tells a failure without a reason from a job that is not there any more.
                reasons = short if size <= SHORT_REASON_BYTES else long
                reasons.ask(("HMGET", subject.key(job), "failedReason", "timestamp"), handler)
        names.go(self.client)
        short.go(self.client, batch=2000)
        long.go(self.client, batch=50)

    def _counts(self, failed_at: Optional[float]) -> bool:
        """Whether a failure is within the time that was asked for."""
        within = self.request.failed_within
        return within is None or (failed_at or 0.0) >= self.now - within

    @staticmethod
    def _count_name(subject: Subject, reply: Any) -> None:
        if isinstance(reply, list) and reply[0] is not None:
            name = show(reply[0])
            subject.facts.tasks[name] = subject.facts.tasks.get(name, 0) + 1
            subject.facts.sampled += 1

    @staticmethod
    def _count_reason(subject: Subject, job: bytes, failed_at: Optional[float], reply: Any) -> None:
        failures = subject.facts.failures
        if not isinstance(reply, list):
            failures.add("(a reason too long to read)", "", show(job), failed_at)
            return
        if any(value is not None for value in reply):
            text = (reply[0] or b"").decode("utf-8", "replace")
            failures.add(normalise(text), scrub(text), show(job), failed_at)

    # --- conclusions

    def _conclude(self, subject: Subject) -> None:
        facts = subject.facts
        if self.request.failures:
            known = facts.counts["failed"]
            read = sum(self._counts(failed_at) for job, failed_at in subject.failed_at)
            facts.failures_sampled = known is not None and read < known
        if None not in [subject.look.lengths[state] for state in WAITING]:
            self._conclude_age(subject)
        subject.looked_at = sum(map(len, subject.ids.values())) + len(subject.failed_at)
        subject.ids, subject.moments, subject.failed_at = {}, [], []

    def _conclude_age(self, subject: Subject) -> None:
        facts, waiting = subject.facts, subject.facts.counts["waiting"] or 0
        facts.oldest_age_seconds = oldest(subject.moments, self.now)
        read = sum(moment is not None for moment in subject.moments)
        facts.oldest_age_exact = read >= waiting
        if read < waiting:
            facts.oldest_age_note = (
                "sample is 0" if not self.request.sample else f"of {read} of {plural(waiting, 'waiting job')}"
            )
        ahead = max((moment for moment in subject.moments if moment is not None), default=self.now) - self.now
        if ahead > 60 and self.request.reference is None:
            facts.notes.append(f"the producers' clock is {ahead:.0f} s ahead of the server's, so that ages are too low")
