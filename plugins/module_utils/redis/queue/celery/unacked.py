# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Messages that workers hold without having acknowledged them: one hash for all queues of a prefix."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from ansible_collections.runbook.ops.plugins.module_utils.redis.client import RedisClient
from ansible_collections.runbook.ops.plugins.module_utils.redis.errors import Refusal
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.celery import format as wire
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.celery.tables import Tables
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.request import QueueRequest

# Entries larger than this are counted, but not read.
MESSAGE_BYTES = 1024 * 1024
BATCH = 200


@dataclass
class Held:
    """One queue's share."""

    count: int = 0
    delayed: int = 0
    stalled: int = 0
    redelivery_risk: int = 0
    broken: int = 0
    opaque: int = 0
    oldest_seconds: float | None = None

    def add(self, message: wire.Message, delivered_at: float, now: float, visibility_timeout: float) -> None:
        """Count a message that was delivered at this moment, by the worker's clock."""
        age = max(0.0, now - delivered_at)
        self.count += 1
        self.broken += message.broken
        self.opaque += message.opaque
        self.stalled += age > visibility_timeout
        self.oldest_seconds = age if self.oldest_seconds is None else max(self.oldest_seconds, age)
        if message.eta is not None and message.eta > now:
            self.delayed += 1
            self.redelivery_risk += message.eta - delivered_at > visibility_timeout


@dataclass
class Unacked:
    """What the hash and its index hold."""

    queues: dict[bytes, Held] = field(default_factory=dict)
    unattributed: int = 0
    other_queues: int = 0
    malformed: int = 0
    too_large: int = 0
    without_index: int = 0
    total: int = 0
    truncated: bool = False
    truncated_reason: str = ""
    refusals: list[Refusal] = field(default_factory=list)

    @property
    def known(self) -> bool:
        """Whether all of it was read."""
        return not (self.refusals or self.truncated)

    def of(self, queue: bytes) -> Held:
        """A queue's share; nothing if it has none."""
        return self.queues.get(queue, Held())


def read_unacked(
    client: RedisClient, prefix: bytes, tables: Tables, queues: Collection[bytes], request: QueueRequest, now: float
) -> Unacked:
    """Decode the oldest C(max_unacked) messages, to know which queue each belongs to.

    Binding tables of exchanges that only the messages name are read on the way and added to C(tables).
    """
    found = Unacked()
    key, index = prefix + wire.UNACKED, prefix + wire.UNACKED_INDEX
    held, indexed, oldest = client.pipeline(
        [("HLEN", key), ("ZCARD", index), ("ZRANGE", index, 0, request.max_unacked - 1, "WITHSCORES")]
    )
    found.refusals = [reply for reply in (held, indexed, oldest) if isinstance(reply, Refusal)]
    if found.refusals:
        return found
    found.total = held
    if indexed > request.max_unacked:
        found.truncated = True
        found.truncated_reason = f"only the oldest {request.max_unacked} of {indexed} unacknowledged messages were read"
    entries = [(tag, float(score)) for tag, score in zip(oldest[::2], oldest[1::2])]
    gone: set[bytes] = set()
    messages: list[tuple[wire.Message, float]] = []
    for start in range(0, len(entries), BATCH):
        gone |= _read_batch(client, key, entries[start : start + BATCH], found, messages)
    if not found.truncated:
        # A message that is acknowledged leaves both at once. Only one that left the hash alone was not in it before.
        stale = gone & set(client.call("ZRANGE", index, 0, request.max_unacked - 1)) if gone else gone
        found.without_index = max(0, held - (len(entries) - len(stale)))
    exchanges = {entry[0].exchange for entry in messages if entry[0].exchange} - tables.exchanges(prefix)
    tables.read(client, [prefix + wire.BINDING + exchange for exchange in sorted(exchanges)])
    _attribute(messages, found, tables.of(prefix), queues, request.visibility_timeout, now)
    return found


def _read_batch(
    client: RedisClient,
    key: bytes,
    entries: Sequence[tuple[bytes, float]],
    found: Unacked,
    messages: list[tuple[wire.Message, float]],
) -> set[bytes]:
    """Add a batch's messages with the moment each was delivered; the entries that are not there."""
    sizes = client.pipeline([("HSTRLEN", key, tag) for tag, score in entries])
    readable = [entry for entry, size in zip(entries, sizes) if isinstance(size, int) and 0 < size <= MESSAGE_BYTES]
    found.too_large += sum(1 for size in sizes if isinstance(size, int) and size > MESSAGE_BYTES)
    gone = {tag for (tag, _score), size in zip(entries, sizes) if size == 0}
    for entry, raw in zip(readable, client.pipeline([("HGET", key, tag) for tag, score in readable])):
        if not isinstance(raw, bytes):
            gone.add(entry[0])
            continue
        message = wire.parse_unacked(raw)
        if message is None:
            found.malformed += 1
        else:
            messages.append((message, entry[1]))
    return gone


def _attribute(
    messages: Sequence[tuple[wire.Message, float]],
    found: Unacked,
    bindings: Sequence[wire.Binding],
    queues: Collection[bytes],
    visibility_timeout: float,
    now: float,
) -> None:
    for message, delivered_at in messages:
        queue = wire.queue_of(message, bindings, queues)
        if queue is None:
            found.unattributed += 1
            continue
        found.queues.setdefault(queue, Held()).add(message, delivered_at, now, visibility_timeout)
        if queue not in queues:
            found.other_queues += 1
