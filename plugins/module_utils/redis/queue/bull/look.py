# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The first look at a queue: one list of commands whose replies tell what it is and how much is in which state. Pure.

Every command answers with a few bytes, so that hundreds of queues share one round trip.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.redis.client import Command
from ansible_collections.runbook.ops.plugins.module_utils.redis.errors import Refusal
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.bull.library import (
    Signs,
    sign_commands,
    signs_from,
)
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.bull.naming import (
    STATE_LISTS,
    STATE_ZSETS,
    QueueKeys,
)

# The low 12 bits of a delayed job's score keep the order within a millisecond (addDelayedJob, updateDelaySet).
DELAY_UNITS = 0x1000
# A delayed job is moved on when a worker looks next, which it does every few seconds.
OVERDUE_MS = 10_000
# Where a worker of BullMQ 3 and 4 finds a word to wake up by, among the ids: 0:0, or 0:<milliseconds>.
MARKED_LISTS = ("wait", "paused")
MARKER = b"0:"
# What a limiter counts to when a worker itself asked for a pause (Number.MAX_SAFE_INTEGER).
HELD_BACK = 9007199254740991


@dataclass
class Look:
    """A queue as it was at one moment. C(lengths) by suffix: None where the key is of another type or not allowed."""

    keys: QueueKeys
    signs: Signs
    lengths: dict[str, Optional[int]] = field(default_factory=dict)
    # Elements of wait and paused that are no jobs, for BullMQ.
    markers: dict[str, int] = field(default_factory=dict)
    refusals: list[Refusal] = field(default_factory=list)
    paused_in_meta: bool = False
    concurrency: Optional[str] = None
    limit: Optional[tuple[str, str]] = None
    limiter: Optional[int] = None
    limiter_ms: Optional[int] = None
    # How many ids were given out.
    counter: Optional[int] = None
    overdue: Optional[int] = None
    # Failures within the time that was asked for.
    failed_lately: Optional[int] = None

    @property
    def holds_jobs(self) -> bool:
        """Whether any state is there as the libraries keep it."""
        return any(self.lengths.values())


@dataclass(frozen=True)
class Cutoffs:
    """Moments in epoch milliseconds: what should have run by C(now), what failed after C(failed_since)."""

    now: int
    failed_since: Optional[int] = None


def look_commands(keys: QueueKeys, cutoffs: Cutoffs) -> list[Command]:
    """What to ask for one queue."""
    commands = sign_commands(keys)
    commands += [("LLEN", keys.key(suffix)) for suffix in STATE_LISTS]
    commands += [("ZCARD", keys.key(suffix)) for suffix in STATE_ZSETS]
    commands += [("LINDEX", keys.key(suffix), end) for suffix in MARKED_LISTS for end in (0, -1)]
    commands += [
        ("HMGET", keys.key("meta"), "paused", "concurrency", "max", "duration"),
        ("GETRANGE", keys.key("id"), 0, 30),
        ("PTTL", keys.key("limiter")),
        ("GETRANGE", keys.key("limiter"), 0, 30),
        ("ZCOUNT", keys.key("delayed"), "-inf", (cutoffs.now - OVERDUE_MS) * DELAY_UNITS),
    ]
    if cutoffs.failed_since is not None:
        commands.append(("ZCOUNT", keys.key("failed"), cutoffs.failed_since, "+inf"))
    return commands


def look_from(keys: QueueKeys, replies: Sequence[Any]) -> Look:
    """The queue from the replies to C(look_commands)."""
    queue = _Replies(replies)
    look = Look(keys, signs_from(queue.take(len(sign_commands(keys)))))
    for state in (*STATE_LISTS, *STATE_ZSETS):
        look.lengths[state.decode()] = queue.number(look)
    for marked in MARKED_LISTS:
        ends = [end for end in queue.take(2) if isinstance(end, bytes)]
        # The only element is at both ends.
        look.markers[marked] = min(sum(end.startswith(MARKER) for end in ends), look.lengths[marked] or 0)
    meta = queue.take(1)[0]
    if isinstance(meta, list):
        paused, concurrency, most, duration = (_text(value) for value in meta)
        look.paused_in_meta = paused is not None
        look.concurrency = concurrency
        look.limit = (most, duration) if most and duration else None
    look.counter = _integer(queue.take(1)[0])
    left = queue.take(1)[0]
    look.limiter = _integer(queue.take(1)[0])
    look.limiter_ms = left if isinstance(left, int) and left > 0 else None
    look.overdue = queue.number()
    look.failed_lately = queue.number() if queue.left else None
    return look


class _Replies:
    """Replies, one after the other."""

    def __init__(self, replies: Sequence[Any]) -> None:
        self._replies = list(replies)

    @property
    def left(self) -> bool:
        return bool(self._replies)

    def take(self, count: int) -> list[Any]:
        taken, self._replies = self._replies[:count], self._replies[count:]
        return taken

    def number(self, look: Optional[Look] = None) -> Optional[int]:
        reply = self.take(1)[0]
        if isinstance(reply, Refusal) and look is not None:
            look.refusals.append(reply)
        return reply if isinstance(reply, int) else None


def _integer(reply: Any) -> Optional[int]:
    try:
        return int(reply)
    except (TypeError, ValueError):
        return None


def _text(value: Optional[bytes]) -> Optional[str]:
    return None if value is None else value[:100].decode("utf-8", "replace")
