# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading Sidekiq's queues: lists of jobs, three sorted sets for all queues, and what its processes say.

Sidekiq keeps a set of its queues, so that no scan is needed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Optional

from ansible_collections.runbook.ops.plugins.module_utils.queues.model import (
    QueueFacts,
    SystemFacts,
    listed,
    plural,
)
from ansible_collections.runbook.ops.plugins.module_utils.queues.rate import Sample
from ansible_collections.runbook.ops.plugins.module_utils.redis.client import Command, show
from ansible_collections.runbook.ops.plugins.module_utils.redis.endpoint import PROBE_KEY
from ansible_collections.runbook.ops.plugins.module_utils.redis.errors import Refusal
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.bounded import read_set
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.reading import QueueReader, Reading
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.request import QueueRequest
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.sampling import sample_messages
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.sidekiq import format as wire
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.sidekiq.processes import (
    Processes,
    read_processes,
)
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.sidekiq.sets import JobSet, read_job_set
from ansible_collections.runbook.ops.plugins.module_utils.redis.scan import Scan


class SidekiqReader(QueueReader):
    """One reading of one database."""

    system = "sidekiq"
    title = "Sidekiq"

    def __init__(self, reading: Reading) -> None:
        super().__init__(reading)
        self._keys = wire.SidekiqKeys(self.request.prefix or b"")
        self._known: list[bytes] = []
        self._paused: list[bytes] = []
        self._sets: dict[str, JobSet] = {}
        self._processes = Processes()

    @classmethod
    def needed(cls, request: QueueRequest) -> list[Command]:  # noqa: ARG003
        """One harmless sample of every command without which queues cannot be read."""
        commands: list[Command] = [
            (name, PROBE_KEY) for name in ("SCARD", "SMEMBERS", "LLEN", "ZCARD", "EXISTS", "HKEYS", "PTTL")
        ]
        commands += [
            ("HSTRLEN", PROBE_KEY, "x"),
            ("HGET", PROBE_KEY, "x"),
            ("LRANGE", PROBE_KEY, 0, 0),
            ("ZREVRANGE", PROBE_KEY, 0, 0, "WITHSCORES"),
        ]
        return commands

    @classmethod
    def useful(cls, request: QueueRequest) -> list[tuple[str, Command]]:
        """Commands whose lack costs one figure each, with the section that lacks it."""
        commands: list[tuple[str, Command]] = [("tasks", ("MEMORY", "USAGE", PROBE_KEY, "SAMPLES", 1))]
        return commands + ([("rate", ("GET", PROBE_KEY))] if request.sample_seconds else [])

    def read(self, scan: Optional[Scan]) -> SystemFacts:  # noqa: ARG002 - no scan is needed
        """Queues, processes and failures."""
        self._known = self._own_queues()
        wanted = list(self.request.queues) or self._known
        if not wanted:
            return self.facts
        paused = read_set(self.client, self._keys.key("paused"))
        self._paused = [] if isinstance(paused, Refusal) else paused
        self._processes = read_processes(self.client, self._keys)
        for refusal in self._processes.refusals:
            self.refused("consumers", refusal)
        self._read_sets()
        self.facts.queues = [self._read_queue(name) for name in wanted]
        if any(queue.exists for queue in self.facts.queues):
            self._finish()
        return self.facts

    def why_missing(self, queues: Sequence[QueueFacts]) -> dict[bytes, str]:
        """What Sidekiq's own list of queues says; it is complete."""
        here = f"Its queues: {listed(show(name) for name in self._known)}." if self._known else "It has no queue there."
        place = f"{self.endpoint.place} for Sidekiq"
        if self._keys.prefix:
            place += f" with namespace {show(self._keys.prefix)!r}"
        return {
            queue.raw: (
                f"Queue {show(queue.raw)!r} does not exist in {place}: it is not in the set "
                f"{show(self._keys.key('queues'))} and has no list. {here} {self.endpoint.elsewhere()}"
            ).strip()
            for queue in queues
        }

    def sample(self) -> dict[tuple[bytes, bytes], Sample]:
        """What waits now; jobs done are counted for all queues together, so they tell only about a single one."""
        names = [queue.raw for queue in self.facts.queues if queue.exists]
        replies = self.client.pipeline([("LLEN", self._keys.queue(name)) for name in names])
        departed = None
        waiting_elsewhere = 0
        if len(names) == 1 and len(self._known) <= 1:
            counters = self.client.pipeline(
                [("GET", self._keys.key(f"stat:{name}")) for name in ("processed", "failed")]
            )
            sizes = self.client.pipeline([("ZCARD", self._keys.key(name)) for name in ("retry", "schedule", "dead")])
            if all(isinstance(each, int) for each in sizes) and not any(isinstance(c, Refusal) for c in counters):
                # A run that failed counts as processed; its job comes back, or is dead.
                processed, failed = (int(each or 0) for each in counters)
                departed = processed - failed + sizes[2]
                waiting_elsewhere = sizes[0] + sizes[1]
        return {
            (self._keys.prefix, name): Sample(
                reply + waiting_elsewhere if isinstance(reply, int) else None, departed=departed
            )
            for name, reply in zip(names, replies)
        }

    # --- queues

    def _own_queues(self) -> list[bytes]:
        """The queues Sidekiq knows; none if a set of that name is somebody else's."""
        members = read_set(self.client, self._keys.key("queues"))
        if isinstance(members, Refusal):
            self.refused("found", members)
            return []
        if not members:
            return []
        # Other systems call a set like that, too: RQ's members are keys, and nobody else has these.
        others = [self._keys.key(name) for name in ("stat:processed", "processes", "retry", "schedule", "dead")]
        lists = [self._keys.queue(name) for name in members]
        replies = self.client.pipeline([("EXISTS", key) for key in [*others, *lists]])
        signs = any(reply == 1 for reply in replies)
        return members if signs or isinstance(replies[0], Refusal) else []

    def _read_sets(self) -> None:
        earliest = None if self.request.failed_within is None else self.now - self.request.failed_within
        for common, name in wire.SETS.items():
            one = read_job_set(self.client, self._keys, name, self.request.max_unacked, self.now, earliest)
            self._sets[common] = one
            if one.refusal is not None:
                self.refused(name, one.refusal)
            elif one.too_large:
                self.skip(
                    {"section": name, "reason": "its jobs are too large to read", "remedy": "Look at them in Web."}
                )
            elif one.total is not None and one.seen < one.total:
                self.facts.complete = False
                reason = f"only the latest {one.seen} of {one.total} jobs were read, so each queue's share is not known"
                self.skip({"section": name, "reason": reason, "remedy": "Raise max_unacked."})
            if one.malformed:
                self.facts.notes.append(f"in {name}: {plural(one.malformed, 'member')} that no queue can be told of")

    def _read_queue(self, name: bytes) -> QueueFacts:
        facts = QueueFacts(show(name), self.system, show(self._keys.prefix), raw=name, raw_prefix=self._keys.prefix)
        length = self.client.ask("LLEN", self._keys.queue(name))
        if isinstance(length, Refusal):
            self.refused("waiting", length)
        waiting = None if isinstance(length, Refusal) else length
        shares = {common: one.of(name) for common, one in self._sets.items()}
        processes = self._processes
        busy = processes.busy.get(name, 0)
        facts.exists = (
            name in self._known
            or waiting != 0
            or bool(busy)
            or name in processes.consumers
            or any(share.count for share in shares.values())
        )
        if not facts.exists:
            return facts
        facts.counts = {common: share.count if self._sets[common].whole else None for common, share in shares.items()}
        facts.counts.update(waiting=waiting, active=busy if processes.known else None, blocked=0)
        facts.states = {
            "enqueued": waiting,
            "busy": facts.counts["active"],
            "scheduled": facts.counts["delayed"],
            "retry": facts.counts["retrying"],
            "dead": facts.counts["failed"],
        }
        # Jobs are whole wherever they are.
        facts.orphans = facts.ghosts = 0
        facts.paused = name in self._paused
        facts.library_version = processes.version
        if processes.known:
            facts.consumers, facts.stalled = processes.consumers.get(name, 0), processes.stalled.get(name, 0)
        if facts.counts["delayed"] is not None and facts.counts["retrying"] is not None:
            facts.overdue = shares["delayed"].overdue + shares["retrying"].overdue
        self._look_at_waiting(name, waiting or 0, facts)
        if self.request.failures:
            for common in ("failed", "retrying"):
                facts.failures.merge(shares[common].failures)
            facts.failures_sampled = not (self._sets["failed"].whole and self._sets["retrying"].whole)
        self._explain(facts)
        return facts

    def _look_at_waiting(self, name: bytes, waiting: int, facts: QueueFacts) -> None:
        """The jobs that run next: their classes, and since when the first of them waits."""
        if not waiting:
            return
        facts.malformed = 0
        tail: list[Optional[wire.Job]] = [None]

        def look(raw: bytes, queue: QueueFacts) -> None:
            job = tail[0] = wire.parse_job(raw)
            if self.request.sample:
                queue.sampled += 1
                if job is not None:
                    queue.tasks[job.task] = queue.tasks.get(job.task, 0) + 1
            if job is None:
                queue.malformed = (queue.malformed or 0) + 1

        sample_messages(self.client, [(self._keys.queue(name), waiting)], max(1, self.request.sample), facts, look)
        oldest = tail[0]
        if oldest is not None and oldest.enqueued_at is not None:
            # Jobs are added at one end and taken from the other; what a process gives back when it stops is older.
            facts.oldest_age_seconds = round(max(0.0, self.now - oldest.enqueued_at), 3)
            facts.oldest_age_exact = True
        else:
            facts.oldest_age_note = "the job that runs next carries no time or could not be read"

    def _explain(self, facts: QueueFacts) -> None:
        """Say in words what the figures mean for the jobs."""
        if facts.paused:
            facts.notes.append("paused by Sidekiq Pro")
        if facts.stalled:
            facts.notes.append(
                f"{plural(facts.stalled, 'job')} with a process that sends no heartbeat any more: "
                "Sidekiq has taken them out of the queue, and they are lost unless it is Sidekiq Pro's super_fetch"
            )
        if facts.overdue:
            facts.notes.append(f"{plural(facts.overdue, 'scheduled job')} overdue: no process is there to move them on")
        if facts.malformed:
            facts.notes.append(f"{plural(facts.malformed, 'job')} of those looked at cannot be decoded")

    # --- around the queues

    def _finish(self) -> None:
        facts, processes = self.facts, self._processes
        facts.consumers = processes.living - processes.quiet if processes.known else None
        if processes.quiet:
            facts.notes.append(f"{plural(processes.quiet, 'process')} of Sidekiq quiet: they fetch nothing any more")
        dead = processes.count - processes.living
        if dead:
            facts.notes.append(f"{plural(dead, 'process')} of Sidekiq registered and without heartbeat")
        if processes.unattributed:
            facts.unattributed["active"] = processes.unattributed
        if not self.request.failures:
            self.skip({"section": "failed_count", "reason": "failures is false", "remedy": "Set failures to true."})
            return
        wanted = {queue.raw for queue in facts.queues if queue.exists}
        sets = [self._sets["failed"], self._sets["retrying"]]
        for one in sets:
            for name, share in one.shares.items():
                if not self.request.queues or name in wanted:
                    facts.failures.merge(share.failures)
        facts.failed_seen = facts.failures.count
        if all(one.whole for one in sets):
            facts.failed_count = facts.failures.count
