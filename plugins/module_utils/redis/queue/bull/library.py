# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which library made a queue, Bull or BullMQ, and of which major version: they do not write the same keys."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.runbook.ops.plugins.module_utils.redis.client import Command, RedisClient
from ansible_collections.runbook.ops.plugins.module_utils.redis.errors import Refusal
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.bull.naming import QueueKeys

BULL, BULLMQ = "bull", "bullmq"
# As people write them.
TITLES = {BULL: "Bull", BULLMQ: "BullMQ"}

# What a queue is recognised by, one command each.
_PROBES = ("meta", "events", "marker", "prioritized", "pc", "priority", "id", "meta-paused")


@dataclass(frozen=True)
class Signs:
    """The types of a queue's tell-tale keys (C(none) if there is no such key), and what its meta says."""

    types: dict[str, str]
    version: str | None = None
    max_events: str | None = None

    def has(self, suffix: str, kind: str) -> bool:
        """Whether the key is there and of the type the libraries give it."""
        return self.types.get(suffix) == kind


@dataclass(frozen=True)
class Library:
    """The library of a queue; C(major) is None where its version cannot be told. C(evidence) says how it is known."""

    system: str
    major: int | None
    version: str | None
    evidence: str

    @property
    def label(self) -> str:
        """For people: C(BullMQ 5.81.5), C(BullMQ 4 or later), C(Bull)."""
        return f"{TITLES[self.system]} {self.version or self.major or ''}".strip()


def recognise(signs: Signs) -> Library | None:
    """The library by its traces; None when there are none of either.

    BullMQ from 4.18 writes C(version=bullmq:X.Y.Z) into C(meta) (package bullmq, classes/queue-base and queue). Before
    that C(opts.maxLenEvents) in meta and the stream C(events) are its traces; C(marker) came with 5, C(prioritized)
    and C(pc) with 4, and C(priority) went with it. Bull has none of them.
    """
    if signs.version:
        found = re.fullmatch(r"bullmq(?:-\w+)?:(\d+)\..*", signs.version)
        if found:
            return Library(BULLMQ, int(found[1]), signs.version.split(":", 1)[1], "meta names it")
    is_bullmq = signs.has("events", "stream") or signs.has("marker", "zset") or signs.max_events is not None
    if is_bullmq:
        if signs.has("marker", "zset"):
            return Library(BULLMQ, 5, None, "it has a marker")
        if signs.has("prioritized", "zset") or signs.has("pc", "string"):
            return Library(BULLMQ, 4, None, "it has prioritized jobs and no marker")
        if signs.has("priority", "zset"):
            return Library(BULLMQ, 3, None, "it has priorities in the old form")
        return Library(BULLMQ, None, None, "it has events and does not name its version")
    if signs.has("id", "string") or signs.has("meta-paused", "string") or signs.has("priority", "zset"):
        return Library(BULL, None, None, "it counts ids and has no events")
    return None


def sign_commands(keys: QueueKeys) -> list[Command]:
    """What to ask for a queue's signs; the replies go to C(signs_from)."""
    commands: list[Command] = [("TYPE", keys.key(suffix)) for suffix in _PROBES]
    return [*commands, ("HMGET", keys.key("meta"), "version", "opts.maxLenEvents")]


def signs_from(replies: Sequence[Any]) -> Signs:
    """The signs from the replies to C(sign_commands)."""
    *kinds, meta = replies
    types = {
        suffix: kind.decode("ascii", "replace") for suffix, kind in zip(_PROBES, kinds) if not isinstance(kind, Refusal)
    }
    version, max_events = (None, None) if isinstance(meta, Refusal) else meta
    return Signs(types, _text(version), _text(max_events))


def probe(client: RedisClient, queues: Sequence[QueueKeys]) -> list[Signs]:
    """The signs of many queues, in one pipelined round trip."""
    replies = client.pipeline([command for keys in queues for command in sign_commands(keys)])
    width = len(_PROBES) + 1
    return [signs_from(replies[start : start + width]) for start in range(0, len(replies), width)]


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode("utf-8", "replace")
