# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading RQ's queues: lists of ids, a sorted set for each other state, and the hash of each job.

RQ keeps a set of its queues, so that no scan is needed. Nothing is written: the library's own counts clean up as they
count, and move abandoned jobs on. Entries that have expired are left out of the counts, as the library would do.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.queues.model import (
    QueueFacts,
    SystemFacts,
    listed,
    plural,
)
from ansible_collections.runbook.ops.plugins.module_utils.queues.rate import Sample
from ansible_collections.runbook.ops.plugins.module_utils.queues.reasons import normalise, scrub
from ansible_collections.runbook.ops.plugins.module_utils.redis.client import Command, show
from ansible_collections.runbook.ops.plugins.module_utils.redis.endpoint import PROBE_KEY
from ansible_collections.runbook.ops.plugins.module_utils.redis.errors import CommandRefused, Refusal
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.bounded import (
    newest_scores,
    read_fields,
    read_set,
)
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.bull.jobs import share
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.bull.sampling import MOST_FAILED_TOGETHER
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.celery.format import parse_time
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.reading import QueueReader, Reading
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.request import QueueRequest
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.rq import format as wire
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.rq.failed import COMMANDS, read_failed
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.rq.orphans import find_orphans
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.rq.workers import count_living, newest_version
from ansible_collections.runbook.ops.plugins.module_utils.redis.scan import Scan

# So many ids of a state are looked up in other places.
MOST_IDS = 1000
FAILURE_PAGE = 200
# A scheduler looks every second; what is due for less than this is about to be moved.
DUE_SECONDS = 5.0

# By the common names of states; a failed job that is retried by itself is scheduled or queued again.
COMMON = {"active": "wip", "delayed": "scheduled", "failed": "failed", "completed": "finished"}
STATE_NAMES = {"wip": "started"}


class RqReader(QueueReader):
    """One reading of one database."""

    system = "rq"
    title = "RQ"

    def __init__(self, reading: Reading) -> None:
        super().__init__(reading)
        self._keys = wire.RqKeys(wire.DEFAULT_PREFIX if self.request.prefix is None else self.request.prefix)
        self._known: list[bytes] = []
        self._suspended: Optional[bool] = None
        self._limited: dict[bytes, int] = {}
        self._limits_known = True

    @classmethod
    def needed(cls, request: QueueRequest) -> list[Command]:
        """One harmless sample of every command without which queues cannot be read."""
        commands: list[Command] = [
            (name, PROBE_KEY) for name in ("SCARD", "SMEMBERS", "LLEN", "ZCARD", "EXISTS", "TYPE")
        ]
        commands += [
            ("ZCOUNT", PROBE_KEY, 0, 0),
            ("LRANGE", PROBE_KEY, 0, 0),
            ("ZRANGE", PROBE_KEY, 0, 0),
            ("HSTRLEN", PROBE_KEY, "x"),
            ("HGET", PROBE_KEY, "x"),
        ]
        if request.failures:
            commands += [*COMMANDS, ("ZREVRANGE", PROBE_KEY, 0, 0, "WITHSCORES")]
        if request.orphans:
            commands += [("SCAN", 0, "COUNT", 1), ("ZSCORE", PROBE_KEY, "x")]
        return commands

    def read(self, scan: Optional[Scan]) -> SystemFacts:  # noqa: ARG002 - no scan is needed
        """Queues, workers and failures."""
        members = read_set(self.client, self._keys.queues)
        if isinstance(members, Refusal):
            self.refused("found", members)
            members = []
        self._known = [name for name in map(self._keys.name_of, members) if name is not None]
        wanted = list(self.request.queues) or self._known
        if not wanted:
            return self.facts
        self._suspended = self.client.call("EXISTS", self._keys.suspended) == 1
        self._read_limits()
        self.facts.queues = [self._read_queue(name) for name in wanted]
        found = [queue for queue in self.facts.queues if queue.exists]
        if found:
            self._count_all_workers()
            self._sum_failures(found)
            if self.request.orphans:
                find_orphans(self.reading, self.facts, self._keys, self._known, self.account)
        return self.facts

    def why_missing(self, queues: Sequence[QueueFacts]) -> dict[bytes, str]:
        """What RQ's own list of queues says; it is complete."""
        here = f"Its queues: {listed(show(name) for name in self._known)}." if self._known else "It has no queue there."
        prefix = show(self._keys.prefix)
        return {
            queue.raw: (
                f"Queue {show(queue.raw)!r} does not exist in {self.endpoint.place} for RQ: it is not in "
                f"{prefix}:queues and has neither a list nor a registry. {here} {self.endpoint.elsewhere()}"
            ).strip()
            for queue in queues
        }

    def sample(self) -> dict[tuple[bytes, bytes], Sample]:
        """What is not finished; RQ counts neither arrivals nor departures."""
        found = {}
        for queue in self.facts.queues:
            replies = self.client.pipeline(
                [("LLEN", self._keys.queue(queue.raw))]
                + [("ZCARD", self._keys.registry(state, queue.raw)) for state in ("wip", "deferred", "scheduled")]
            )
            known = all(isinstance(reply, int) for reply in replies)
            found[(queue.raw_prefix, queue.raw)] = Sample(sum(replies) if known else None)
        return found

    # --- one queue

    def _read_queue(self, name: bytes) -> QueueFacts:
        keys = self._keys
        facts = QueueFacts(show(name), self.system, show(keys.prefix), raw=name, raw_prefix=keys.prefix)
        commands: list[Command] = [("LLEN", keys.queue(name)), ("LLEN", keys.intermediate(name))]
        commands += [("ZCARD", keys.registry(state, name)) for state in wire.REGISTRIES]
        # What expired is not counted by the library either; it would remove it on the way.
        commands += [("ZCOUNT", keys.registry(state, name), 0, self.now) for state in ("failed", "finished", "wip")]
        commands.append(("ZCOUNT", keys.registry("scheduled", name), "-inf", self.now - DUE_SECONDS))
        replies = self.client.pipeline(commands)
        values: list[Optional[int]] = []
        for reply in replies:
            if isinstance(reply, Refusal):
                self.refused("queues", reply)
                values.append(None)
            else:
                values.append(reply)
        queued, taken = values[:2]
        sizes = dict(zip(wire.REGISTRIES, values[2:9]))
        expired = dict(zip(("failed", "finished"), values[9:11]))
        facts.exists = name in self._known or any(values[:9]) or None in values[:9]
        if not facts.exists:
            return facts
        for state, gone in expired.items():
            sizes[state] = _minus(sizes[state], gone)
        facts.stalled, facts.overdue = values[11], values[12]
        active = self._count_active(name, taken, sizes["wip"])
        limited = self._limited.get(name, 0) if self._limits_known else None
        facts.states = {
            "queued": queued,
            **{STATE_NAMES.get(state, state): sizes[state] for state in wire.REGISTRIES if state != "wip"},
            "started": active,
            "rate_limited": limited,
        }
        facts.counts = {common: sizes[state] for common, state in COMMON.items()}
        blocked = [sizes["deferred"], sizes["ready"], limited]
        facts.counts.update(
            waiting=queued,
            active=active,
            blocked=None if None in blocked else sum(each or 0 for each in blocked),
            retrying=0,
        )
        facts.paused = self._suspended
        self._read_workers(name, facts)
        self._look_at_waiting(name, queued or 0, facts)
        self._count_ghosts(name, facts)
        if self.request.failures:
            self._read_failures(name, sizes["failed"], facts)
        self._explain(facts, sizes, sum(gone or 0 for gone in expired.values()))
        return facts

    def _count_active(self, name: bytes, taken: Optional[int], working: Optional[int]) -> Optional[int]:
        """Jobs with workers. For a moment one is both taken (intermediate) and executed (wip)."""
        if taken is None or working is None:
            return None
        if not taken or taken > MOST_IDS or working > MOST_IDS:
            return taken + working
        waiting, members = self.client.pipeline(
            [
                ("LRANGE", self._keys.intermediate(name), 0, MOST_IDS - 1),
                ("ZRANGE", self._keys.registry("wip", name), 0, MOST_IDS - 1),
            ]
        )
        return len({*waiting, *(wire.job_of(member) for member in members)})

    def _read_workers(self, name: bytes, facts: QueueFacts) -> None:
        members = read_set(self.client, self._keys.workers_of(name))
        if isinstance(members, Refusal):
            self.refused("consumers", members)
            return
        facts.consumers = count_living(self.client, members)
        facts.library_version = newest_version(self.client, members)

    def _look_at_waiting(self, name: bytes, queued: int, facts: QueueFacts) -> None:
        """The jobs that run next: what they call, and since when they wait."""
        wanted = max(1, self.request.sample)
        identifiers = self.client.ask("LRANGE", self._keys.queue(name), 0, wanted - 1)
        if not isinstance(identifiers, list) or not identifiers:
            return
        # In every queue, not only in those whose tasks are wanted: the age is always.
        jobs = read_fields(
            self.client,
            [self._keys.job(identifier) for identifier in identifiers],
            (b"description", b"enqueued_at", b"created_at"),
        )
        moments = []
        for fields in jobs:
            if self.request.sample and fields:
                facts.sampled += 1
                task = wire.task_name(fields.get(b"description"))
                facts.tasks[task] = facts.tasks.get(task, 0) + 1
            moment = _moment(fields.get(b"enqueued_at")) or _moment(fields.get(b"created_at"))
            if moment is not None:
                moments.append(moment)
        if not moments:
            facts.oldest_age_note = "the jobs that run next carry no time"
            return
        facts.oldest_age_seconds = round(max(0.0, self.now - min(moments)), 3)
        # Jobs are added at the end. Some may have been put in front, the later the further; once times rise again, all
        # that follows is later still.
        facts.oldest_age_exact = len(identifiers) >= queued or min(moments) < moments[-1]
        if not facts.oldest_age_exact:
            facts.oldest_age_note = f"only the {len(identifiers)} jobs that run next were looked at"

    def _count_ghosts(self, name: bytes, facts: QueueFacts) -> None:
        """Ids in a state whose jobs are gone; RQ passes over them in silence."""
        keys = self._keys
        # Those that have expired are gone by intention, and wait for the library to clean up.
        states: list[Command] = [("LRANGE", keys.queue(name), 0, MOST_IDS - 1)]
        states += [("ZRANGE", keys.registry(state, name), 0, MOST_IDS - 1) for state in ("deferred", "scheduled")]
        states.append(("ZRANGEBYSCORE", keys.registry("failed", name), f"({self.now}", "+inf", "LIMIT", 0, MOST_IDS))
        identifiers: list[bytes] = []
        for reply in self.client.pipeline(states):
            identifiers += reply if isinstance(reply, list) else []
        replies = self.client.pipeline([("EXISTS", keys.job(identifier)) for identifier in identifiers])
        facts.ghosts = sum(1 for reply in replies if reply == 0)
        if facts.ghosts:
            facts.notes.append(
                f"{plural(facts.ghosts, 'id')} without a job, among the first {MOST_IDS} of each state: "
                "their data was removed or has expired, and workers pass over them"
            )

    def _read_failures(self, name: bytes, failed: Optional[int], facts: QueueFacts) -> None:
        if not failed:
            return
        key, read = self._keys.registry("failed", name), 0
        most = share(self.request.max_failed, MOST_FAILED_TOGETHER, len(self.request.queues or self._known))
        earliest = None if self.request.failed_within is None else self.now - self.request.failed_within
        try:
            for page in newest_scores(self.client, key, FAILURE_PAGE, most):
                # 0 is no time, and -1 stands for jobs that are kept for ever.
                living = [identifier for identifier, score in page if score < 0 or score > self.now]
                read += len(living)
                for record in read_failed(self.client, self._keys, living, self.now):
                    if record.exists and (earliest is None or record.ended_at is None or record.ended_at >= earliest):
                        reason = normalise(record.reason)
                        facts.failures.add(reason, scrub(record.reason), show(record.id), record.ended_at)
        except CommandRefused as error:
            self.refused("failures", error.refusal)
        facts.failures_sampled = read < failed

    def _explain(self, facts: QueueFacts, sizes: dict[str, Optional[int]], expired: int) -> None:
        """Say in words what the figures mean for the jobs."""
        if facts.paused:
            facts.notes.append("RQ is suspended: no worker fetches from any queue")
        if facts.stalled:
            facts.notes.append(
                f"{plural(facts.stalled, 'job')} whose worker has not been heard of in time: "
                "RQ moves them to failed, or retries them, when a worker cleans up next"
            )
        if facts.overdue:
            facts.notes.append(
                f"{plural(facts.overdue, 'scheduled job')} overdue: is a worker with --with-scheduler running?"
            )
        if sizes.get("ready"):
            facts.notes.append(
                f"{plural(sizes['ready'] or 0, 'job')} whose dependencies are met, but which were not queued: "
                "a worker does that when it cleans up next"
            )
        if expired:
            facts.notes.append(f"{plural(expired, 'finished or failed job')} expired and not yet cleaned up by RQ")

    # --- around the queues

    def _read_limits(self) -> None:
        """Jobs that a rate limit holds back, by queue: they are in one set for all queues."""
        names = read_set(self.client, self._keys.limiters)
        if isinstance(names, Refusal):
            self.refused("queues", names)
            self._limits_known = False
            return
        for limit in names:
            identifiers = self.client.ask("ZRANGE", self._keys.limited(limit), 0, self.request.max_unacked)
            if isinstance(identifiers, Refusal) or len(identifiers) > self.request.max_unacked:
                self._limits_known = False
                continue
            for fields in read_fields(self.client, [self._keys.job(each) for each in identifiers], (b"origin",)):
                origin = fields.get(b"origin", b"")
                self._limited[origin] = self._limited.get(origin, 0) + 1

    def _count_all_workers(self) -> None:
        members = read_set(self.client, self._keys.workers)
        if not isinstance(members, Refusal):
            self.facts.consumers = count_living(self.client, members)

    def _sum_failures(self, queues: Sequence[QueueFacts]) -> None:
        if not self.request.failures:
            self.skip({"section": "failed_count", "reason": "failures is false", "remedy": "Set failures to true."})
            return
        for queue in queues:
            self.facts.failures.merge(queue.failures)
        self.facts.failed_seen = self.facts.failures.count
        counts: list[Any] = [queue.counts["failed"] for queue in queues]
        if self.request.failed_within is None:
            self.facts.failed_count = None if None in counts else sum(counts)
        elif not any(queue.failures_sampled for queue in queues):
            self.facts.failed_count = self.facts.failures.count


def _minus(total: Optional[int], part: Optional[int]) -> Optional[int]:
    return None if total is None or part is None else total - part


def _moment(field: Optional[bytes]) -> Optional[float]:
    return None if field is None else parse_time(field.decode("ascii", "replace"))
