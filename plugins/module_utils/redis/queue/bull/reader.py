# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading the queues of Bull 3 and 4 (n8n's among them) and of BullMQ 3 to 6."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Optional

from ansible_collections.runbook.ops.plugins.module_utils.queues.model import QueueFacts, SystemFacts
from ansible_collections.runbook.ops.plugins.module_utils.queues.rate import Sample
from ansible_collections.runbook.ops.plugins.module_utils.redis.client import Command
from ansible_collections.runbook.ops.plugins.module_utils.redis.endpoint import PROBE_KEY
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.bull.absent import MARKS, Surroundings, absent
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.bull.family import Family
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.bull.library import BULL, BULLMQ, TITLES
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.bull.naming import (
    DEFAULT_PREFIX,
    EVIDENCE,
    STATE_LISTS,
    STATE_ZSETS,
)
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.bull.round import SMALL_REPLIES
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.bull.subject import Subject
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.bull.workers import workers_from
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.reading import QueueReader, Reading
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.request import QueueRequest
from ansible_collections.runbook.ops.plugins.module_utils.redis.scan import Scan, escape_glob

# Jobs in these will still run.
UNFINISHED = (*STATE_LISTS, b"delayed", b"prioritized", b"waiting-children")


class FamilyReader(QueueReader):
    """One of the two libraries; both share what is read of the database."""

    marks = MARKS

    def __init__(self, reading: Reading) -> None:
        super().__init__(reading)
        shared = reading.shared.get(Family.__name__)
        if not isinstance(shared, Family):
            systems = reading.request.systems or tuple(TITLES)
            shared = Family(reading, frozenset(systems).intersection(TITLES))
            reading.shared[Family.__name__] = shared
        self._family = shared
        # One of the readers is shown the keys for both.
        self._searches = shared.claim(self.system)

    @classmethod
    def needed(cls, request: QueueRequest) -> list[Command]:
        """One harmless sample of every command without which its queues cannot be read."""
        commands: list[Command] = [(name, PROBE_KEY) for name in ("TYPE", "LLEN", "ZCARD", "PTTL")]
        commands += [
            ("HMGET", PROBE_KEY, "x"),
            ("HSTRLEN", PROBE_KEY, "x"),
            ("GETRANGE", PROBE_KEY, 0, 0),
            ("LINDEX", PROBE_KEY, 0),
            ("LRANGE", PROBE_KEY, 0, 0),
            ("LPOS", PROBE_KEY, "x"),
            ("ZCOUNT", PROBE_KEY, 0, 0),
            ("ZRANGE", PROBE_KEY, 0, 0, "WITHSCORES"),
            ("ZSCORE", PROBE_KEY, "x"),
        ]
        if not request.queues or request.orphans:
            commands.append(("SCAN", 0, "COUNT", 1))
        return commands

    @classmethod
    def useful(cls, request: QueueRequest) -> list[tuple[str, Command]]:  # noqa: ARG003
        """Commands whose lack costs one figure each, with the section that lacks it."""
        return [(section, ("CLIENT", "LIST", "ID", 1)) for section in ("consumers", "unconsumed")]

    def patterns(self) -> list[bytes]:
        """The keys that every queue has one of."""
        if not self._searches:
            return []
        beginning = b"*" if self.request.prefix is None else escape_glob(self.request.prefix) + b":*"
        return [beginning + b":" + suffix for suffix in EVIDENCE]

    def look(self, names: Sequence[bytes]) -> None:
        """Keep the candidates among these keys."""
        self._family.candidates.look(names)

    def read(self, scan: Optional[Scan]) -> SystemFacts:  # noqa: ARG002 - what it showed is kept already
        """Everything about this library's queues."""
        subjects = self._family.of(self.system)
        self.facts.queues = [subject.facts for subject in subjects] + absent(
            self._family, self.request.queues, self.system, self.request.prefix or DEFAULT_PREFIX
        )
        for subject in subjects:
            for refusal in subject.look.refusals:
                if refusal.code != "WRONGTYPE":
                    self.refused("waiting", refusal)
        if self._searches:
            self.facts.notes += self._family.candidates.notes()
        self._count_consumers(subjects)
        self._sum_up(subjects)
        self._account_orphans(subjects)
        return self.facts

    def why_missing(self, queues: Sequence[QueueFacts]) -> dict[bytes, str]:
        """What was looked for, and what is there instead."""
        around = self.reading.shared.get(Surroundings.__name__)
        if not isinstance(around, Surroundings):
            around = self.reading.shared[Surroundings.__name__] = Surroundings(self.reading, self._family)
            if around.scan is not None:
                self.account(around.scan, "found")
        return {queue.raw: around.why_missing(queue) for queue in queues}

    def sample(self) -> dict[tuple[bytes, bytes], Sample]:
        """How many ids were given out, and how many jobs are in a state that is not final."""
        subjects = self._family.of(self.system)
        commands: list[Command] = []
        for subject in subjects:
            commands.append(("GETRANGE", subject.key(b"id"), 0, 30))
            commands += [("ZCARD" if suffix in STATE_ZSETS else "LLEN", subject.key(suffix)) for suffix in UNFINISHED]
        replies = self.client.pipeline(commands, batch=SMALL_REPLIES)
        found = {}
        for subject in subjects:
            (given, *lengths), replies = replies[: len(UNFINISHED) + 1], replies[len(UNFINISHED) + 1 :]
            numbers = [length for length in lengths if isinstance(length, int)]
            arrived = int(given) if isinstance(given, bytes) and given.isdigit() else None
            unfinished = sum(numbers) if len(numbers) == len(lengths) else None
            found[(subject.facts.raw_prefix, subject.facts.raw)] = Sample(unfinished, arrived)
        return found

    # --- around the queues

    def _count_consumers(self, subjects: Sequence[Subject]) -> None:
        if not subjects:
            return
        clients = self.reading.client_list()
        if isinstance(clients, dict):
            for section in ("consumers", "unconsumed"):
                self.skip({**clients, "section": section})
        elif clients is not None:
            workers = workers_from(clients, self.endpoint.db)
            for subject in subjects:
                subject.facts.consumers = workers.of(subject.look.keys.base, self.system)
                if subject.facts.consumers is None:
                    subject.facts.notes.append(
                        f"consumers: {workers.nameless} of the connections that wait for jobs have no name, so that "
                        "their queue is not known"
                    )
            counts = [subject.facts.consumers for subject in subjects]
            self.facts.consumers = None if None in counts else sum(count or 0 for count in counts)

    def _sum_up(self, subjects: Sequence[Subject]) -> None:
        counts = [subject.facts.counts["failed"] for subject in subjects]
        if subjects:
            self.facts.failed_count = None if None in counts else sum(count or 0 for count in counts)
        for subject in subjects:
            self.facts.failures.merge(subject.facts.failures)
        if subjects and self.request.failures:
            self.facts.failed_seen = self.facts.failures.count

    def _account_orphans(self, subjects: Sequence[Subject]) -> None:
        outcome = self._family.orphans
        if outcome is None or not subjects:
            return
        if self._searches:
            self.facts.keys_seen += outcome.scan.keys_seen
        if not outcome.complete:
            self.facts.complete = False
            reason = "the lists were too long to be read in max_seconds"
            reason = reason if outcome.scan.complete else outcome.scan.incomplete_reason()
            self.skip({"section": "orphans", "reason": reason, "remedy": "Raise max_keys or max_seconds."})


class BullMQReader(FamilyReader):
    """Queues of BullMQ."""

    system: ClassVar[str] = BULLMQ
    title: ClassVar[str] = TITLES[BULLMQ]


class BullReader(FamilyReader):
    """Queues of Bull."""

    system: ClassVar[str] = BULL
    title: ClassVar[str] = TITLES[BULL]
