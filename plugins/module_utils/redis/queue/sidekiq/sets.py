# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sidekiq's sorted sets (retry, schedule, dead): each holds the jobs of all queues."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from ansible_collections.runbook.ops.plugins.module_utils.queues.model import Failures
from ansible_collections.runbook.ops.plugins.module_utils.queues.reasons import normalise, scrub
from ansible_collections.runbook.ops.plugins.module_utils.redis.client import RedisClient
from ansible_collections.runbook.ops.plugins.module_utils.redis.errors import CommandRefused, Refusal
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.bounded import entries_a_step, newest_scores
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.sidekiq import format as wire

# Sidekiq moves what is due every few seconds, the later the more processes there are.
DUE_SECONDS = 60.0


@dataclass
class Share:
    """One queue's part of a set."""

    count: int = 0
    overdue: int = 0
    failures: Failures = field(default_factory=Failures)


@dataclass
class JobSet:
    """What a set holds. C(seen) of its C(total) jobs were read, the latest first."""

    name: str
    total: int | None = None
    seen: int = 0
    malformed: int = 0
    shares: dict[bytes, Share] = field(default_factory=dict)
    too_large: bool = False
    refusal: Refusal | None = None

    @property
    def whole(self) -> bool:
        """Whether all of it was seen; what is no job of any queue is counted as malformed."""
        return self.total is not None and self.seen >= self.total

    def of(self, queue: bytes) -> Share:
        """A queue's part; nothing if it has none."""
        return self.shares.get(queue, Share())


def read_job_set(
    client: RedisClient, keys: wire.SidekiqKeys, name: str, most: int, now: float, earliest: float | None
) -> JobSet:
    """Read up to C(most) jobs of a set; failures only since C(earliest), epoch seconds."""
    found = JobSet(name)
    total = client.ask("ZCARD", keys.key(name))
    if isinstance(total, Refusal):
        found.refusal = total
        return found
    found.total = total
    try:
        for page in _pages(client, keys.key(name), min(total, most), found):
            for raw, score in page:
                _add(found, raw, score, now, earliest)
    except CommandRefused as error:
        found.refusal = error.refusal
    return found


def _pages(client: RedisClient, key: bytes, most: int, found: JobSet) -> Iterator[list[tuple[bytes, float]]]:
    page, _size = entries_a_step(client, key, most) if most else (1, 0.0)
    if not page:
        found.too_large = True
        return
    yield from newest_scores(client, key, page, most)


def _add(found: JobSet, raw: bytes, score: float, now: float, earliest: float | None) -> None:
    found.seen += 1
    job = wire.parse_job(raw)
    if job is None or job.queue is None:
        found.malformed += 1
        return
    share = found.shares.setdefault(job.queue, Share())
    share.count += 1
    if found.name != wire.SETS["failed"]:
        share.overdue += score < now - DUE_SECONDS
    if job.error is not None and not (earliest is not None and job.failed_at is not None and job.failed_at < earliest):
        share.failures.add(normalise(job.error), scrub(job.error), job.jid or None, job.failed_at)
