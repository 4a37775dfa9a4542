# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Putting failed jobs of RQ back."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import RunbookError
from ansible_collections.runbook.ops.plugins.module_utils.common.outcome import Refused
from ansible_collections.runbook.ops.plugins.module_utils.redis.client import Command, RedisClient, show
from ansible_collections.runbook.ops.plugins.module_utils.redis.endpoint import Endpoint
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.answers import answers
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.one_slot import require_one_slot
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.retry.ordered import (
    PAGE,
    Entry,
    last_entry,
    pages,
)
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.retry.rq_script import OUTCOMES, RETRY
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.retry.system import (
    GHOST,
    LEFT_ALONE,
    LOCKED,
    RETRIED,
    FailedJob,
    RetrySystem,
    Target,
)
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.rq import format as wire
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.rq.failed import FailedRecord, read_failed
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.rq.workers import library_of
from ansible_collections.runbook.ops.plugins.module_utils.redis.script import Script
from ansible_collections.runbook.ops.plugins.module_utils.redis.writing import script_stopped

# Moments as RQ writes them.
TIME_FORMAT = "%Y-%m-%dT%H:%M:%S.%fZ"
# A key of any job, for the permissions of the keys.
ANY_JOB = b"runbook.ops"

LIMITED = "limited"
ELSEWHERE = "elsewhere"
RQ_LEFT_ALONE = {
    **LEFT_ALONE,
    LIMITED: (
        "it has a rate limit, and RQ lets such jobs in through its limiter only",
        "Requeue it with RQ itself: rq requeue --queue QUEUE JOB_ID.",
    ),
    ELSEWHERE: (
        "it says that it belongs to another queue than the one whose list of failed jobs it is in",
        "Look at the field origin of its hash, and requeue it with RQ itself: rq requeue --queue QUEUE JOB_ID.",
    ),
}


class RqRetry(RetrySystem):
    """Jobs in the registry C(failed) of one queue."""

    system = "rq"
    title = "RQ"
    left_alone = RQ_LEFT_ALONE

    def __init__(self, client: RedisClient, endpoint: Endpoint, target: Target) -> None:
        super().__init__(client, endpoint, target)
        self.keys = keys_of(target)
        self._failed = self.keys.registry("failed", target.queue)
        self._until: Optional[Entry] = None
        self._marked = False
        self._moved = 0
        self._script = Script("retry", RETRY)

    @classmethod
    def needed(cls, target: Target) -> list[Command]:
        """Every command with keys of this queue, so that the permissions for them are seen too."""
        keys = keys_of(target)
        failed, waiting, job = keys.registry("failed", target.queue), keys.queue(target.queue), keys.job(ANY_JOB)
        executions = keys.executions(ANY_JOB)
        return [
            *((name, failed) for name in ("ZCARD", "TYPE")),
            ("ZCOUNT", failed, 0, 0),
            ("ZRANGE", failed, 0, 0),
            ("ZSCORE", failed, "0"),
            ("ZREM", failed, "0"),
            ("LLEN", waiting),
            ("RPUSH", waiting, "0"),
            ("SISMEMBER", keys.queues, waiting),
            ("SADD", keys.queues, waiting),
            ("SCARD", keys.workers_of(target.queue)),
            ("SMEMBERS", keys.workers_of(target.queue)),
            ("EXISTS", keys.suspended),
            ("EXISTS", job),
            ("HSTRLEN", job, "data"),
            ("HGET", job, "status"),
            ("HEXISTS", job, "data"),
            ("HSET", job, "status", "queued"),
            ("HDEL", job, "exc_info"),
            ("EXPIRE", job, 1),
            ("PERSIST", job),
            ("PERSIST", keys.dependents(ANY_JOB)),
            ("PERSIST", keys.dependencies(ANY_JOB)),
            ("ZCOUNT", executions, 0, 0),
            ("XREVRANGE", keys.results(ANY_JOB), "+", "-", "COUNT", 1),
            ("MEMORY", "USAGE", keys.results(ANY_JOB)),
            ("EVAL", "return 1", 0),
            ("EVALSHA", "0" * 40, 0),
        ]

    def check(self) -> dict[str, Any]:
        """Is there such a queue, and are its keys what RQ keeps there?"""
        keys, queue = self.keys, self.target.queue
        known, waiting, failed = answers(
            self.client,
            [("SISMEMBER", keys.queues, keys.queue(queue)), ("TYPE", keys.queue(queue)), ("TYPE", self._failed)],
        )
        if known != 1 and waiting == b"none" and failed == b"none":
            raise RunbookError(missing(keys, queue, self.endpoint))
        require_one_slot(self.client, (self._failed, keys.queue(queue), keys.job(ANY_JOB)), self.title)
        for key, found, wanted in ((keys.queue(queue), waiting, "list"), (self._failed, failed, "zset")):
            if found not in (b"none", wanted.encode()):
                raise _wrong_type(key, show(found), wanted)
        notes = []
        if self.target.options.get("reset_attempts"):
            notes.append(
                "RQ does not keep how many retries a job began with: only the count of those that jobs asked for "
                "themselves begins anew"
            )
        return {
            "library": library_of(self.client, keys, queue),
            "paused": self.client.call("EXISTS", keys.suspended) == 1,
            "notes": notes,
        }

    def counts(self) -> dict[str, Optional[int]]:
        """Jobs; failed ones that have expired are about to be removed by RQ and are not among them."""
        failed, expired, waiting = self.client.pipeline(
            [
                ("ZCARD", self._failed),
                ("ZCOUNT", self._failed, 0, self._now()),
                ("LLEN", self.keys.queue(self.target.queue)),
            ]
        )
        known = isinstance(failed, int) and isinstance(expired, int)
        return {
            "failed": failed - expired if known else None,
            "waiting": waiting if isinstance(waiting, int) else None,
            "paused": 0,
        }

    def failed(self) -> Iterator[list[FailedJob]]:
        """In the order of their expiry, which is that of their failure unless they are kept for different times."""
        self._mark()
        now = self._now()
        for page in pages(self.client, self._failed, self._until, lambda: self._moved, size=PAGE // 2):
            yield self._read([entry.member for entry in page if not 0 <= entry.score <= now])

    def chosen(self, ids: Sequence[bytes]) -> Iterator[list[FailedJob]]:
        """Asks for each id, instead of going through all."""
        unique, now = list(dict.fromkeys(ids)), self._now()
        scores = self.client.pipeline([("ZSCORE", self._failed, identifier) for identifier in unique])
        entries = sorted(
            Entry(float(score), identifier) for score, identifier in zip(scores, unique) if isinstance(score, bytes)
        )
        living = [entry.member for entry in entries if not 0 <= entry.score <= now]
        for start in range(0, len(living), PAGE // 2):
            yield self._read(living[start : start + PAGE // 2])

    def retry(self, jobs: Sequence[FailedJob], *, reset_attempts: bool) -> list[str]:
        """One script call."""
        keys, queue = self.keys, self.target.queue
        moment = self._now()
        names = [self._failed, keys.queue(queue), keys.queues]
        arguments: list[Any] = [
            queue,
            dt.datetime.fromtimestamp(moment, dt.timezone.utc).strftime(TIME_FORMAT),
            int(moment),
            "1" if reset_attempts else "0",
        ]
        for job in jobs:
            names += [keys.job(job.id), keys.dependents(job.id), keys.dependencies(job.id), keys.executions(job.id)]
            arguments.append(job.id)
        reply = self._script.run(self.client, names, arguments)
        if reply and reply[0] == b"type":
            raise _wrong_type(reply[1], show(reply[2]), show(reply[3]))
        if reply and reply[0] == b"error":
            raise script_stopped(self.client.where, reply[1])
        outcomes = [OUTCOMES[number] for number in reply]
        self._moved += outcomes.count(RETRIED)
        return outcomes

    def _mark(self) -> None:
        # What fails meanwhile is another run's.
        if not self._marked:
            self._until = last_entry(self.client, self._failed)
            self._marked = True

    def _now(self) -> float:
        seconds, micros = self.client.call("TIME")
        return int(seconds) + int(micros) / 1e6

    def _read(self, identifiers: Sequence[bytes]) -> list[FailedJob]:
        records = read_failed(self.client, self.keys, identifiers, self._now())
        # Scores are whole seconds: within one the server orders by id.
        jobs = [self._job(record) for record in sorted(records, key=lambda record: record.ended_at or 0.0)]
        # What looks odd may have been retried between two looks, and be with a worker, or done.
        odd = [job.id for job in jobs if job.refusal is not None]
        scores = self.client.pipeline([("ZSCORE", self._failed, identifier) for identifier in odd])
        gone = {identifier for identifier, score in zip(odd, scores) if score is None}
        return [job for job in jobs if job.id not in gone]

    def _job(self, record: FailedRecord) -> FailedJob:
        status = None
        if not record.exists:
            status = GHOST
        elif record.running:
            status = LOCKED
        elif record.rate_limit:
            status = LIMITED
        elif record.origin != self.target.queue:
            status = ELSEWHERE
        refusal, remedy = RQ_LEFT_ALONE[status] if status else (None, None)
        return FailedJob(record.id, record.reason, record.task, record.ended_at, refusal, None, remedy)


def keys_of(target: Target) -> wire.RqKeys:
    """The keys under the target's prefix."""
    return wire.RqKeys(wire.DEFAULT_PREFIX if target.prefix is None else target.prefix)


def missing(keys: wire.RqKeys, queue: bytes, endpoint: Endpoint) -> str:
    """Where a queue was looked for."""
    return (
        f"There is no RQ queue {show(queue)!r} in {endpoint.place}: it is not in {show(keys.queues)}, and neither "
        f"{show(keys.queue(queue))} nor {show(keys.registry('failed', queue))} exists. "
        f"Check queue, key_prefix and login_db. {endpoint.elsewhere()}"
    ).rstrip()


def _wrong_type(key: bytes, found: str, wanted: str) -> Refused:
    return Refused(
        f"{show(key)} is of type {found}, and RQ keeps a {wanted} there, so nothing was touched. "
        "Find out what writes that key, and move it away (RENAME)."
    )
