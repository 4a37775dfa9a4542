# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Looking at some of the keys, or at all of them if they are few: never long, never a value.

RANDOMKEY draws from the whole table, with a small bias: keys that share a slot of the hash table with others are drawn
a little less often (dict.c, dictGetFairRandomKey evens most of it out). Groups do not correlate with hashes, so shares
are not affected. It also removes keys that have expired when it meets them, as every read does.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.redis.client import Command, RedisClient
from ansible_collections.runbook.ops.plugins.module_utils.redis.endpoint import PROBE_KEY, Endpoint
from ansible_collections.runbook.ops.plugins.module_utils.redis.errors import CommandRefused, Refusal
from ansible_collections.runbook.ops.plugins.module_utils.redis.keys.groups.model import (
    Grouping,
    GroupRequest,
    Sampled,
    shares,
)
from ansible_collections.runbook.ops.plugins.module_utils.redis.scan import Budget, Scan

# Nested values of a collection that MEMORY USAGE looks at.
MEMORY_SAMPLES = 5
# Keys drawn, or looked at, in one round trip.
DRAWS = 500
# Few keys may lie in a large table, whose empty places count too; the time is the limit.
_NO_LIMIT = 2**40
NEEDED: tuple[Command, ...] = (
    ("RANDOMKEY",),
    ("SCAN", 0, "COUNT", 1),
    ("TYPE", PROBE_KEY),
    ("PTTL", PROBE_KEY),
    ("MEMORY", "USAGE", PROBE_KEY, "SAMPLES", 1),
)
USEFUL: tuple[tuple[str, Command], ...] = (("groups.idle_median_seconds", ("OBJECT", "IDLETIME", PROBE_KEY)),)


def read_groups(client: RedisClient, endpoint: Endpoint, request: GroupRequest) -> dict[str, Any]:
    """The C(groups) of redis_key_info; keys that may not be read are added to what the endpoint skipped."""
    grouping = Grouping(request)
    idle = not any(entry["section"] == USEFUL[0][0] for entry in endpoint.skipped)
    look = _Look(client, idle=idle)
    dbsize = client.call("DBSIZE")
    exact, note = False, None
    if dbsize <= request.samples:
        exact, note = _all(client, endpoint, request, grouping, look)
    else:
        note = _sample(client, request, grouping, look)
    facts = grouping.facts(grouping.taken if exact else dbsize, exact=exact)
    if look.refusal is not None:
        endpoint.skipped.append(look.refusal.skipped("groups", client.user))
    return {**facts, "unreadable_count": look.unreadable, "note": note}


class _Look:
    """What is asked about each key; commands that do not count as a use of it."""

    def __init__(self, client: RedisClient, *, idle: bool) -> None:
        self._client = client
        self._idle = idle
        self.unreadable = 0
        self.refusal: Optional[Refusal] = None

    def at(self, names: Sequence[bytes], client: Optional[RedisClient] = None) -> list[Sampled]:
        """The keys that are still there and may be read; a name may occur twice."""
        distinct = list(dict.fromkeys(names))
        asks: list[Callable[[bytes], Command]] = [
            lambda name: ("TYPE", name),
            lambda name: ("PTTL", name),
            lambda name: ("MEMORY", "USAGE", name, "SAMPLES", MEMORY_SAMPLES),
        ]
        if self._idle:
            asks.append(lambda name: ("OBJECT", "IDLETIME", name))
        replies = (client or self._client).pipeline([ask(name) for name in distinct for ask in asks])
        found: dict[bytes, Optional[Sampled]] = {}
        for number, name in enumerate(distinct):
            found[name] = self._key(name, *replies[len(asks) * number : len(asks) * (number + 1)])
        return [key for key in (found[name] for name in names) if key is not None]

    def _key(self, name: bytes, kind: Any, ttl: Any, size: Any, idle: Any = None) -> Optional[Sampled]:
        refused = next((reply for reply in (kind, ttl, size) if isinstance(reply, Refusal)), None)
        if refused is not None:
            if refused.code != "NOPERM":
                raise CommandRefused(refused)
            self.unreadable += 1
            # Without the key's name, which this is not about.
            self.refusal = self.refusal or Refusal(refused.command, refused.code, refused.text)
            return None
        if kind == b"none" or size is None or ttl == -2:
            return None
        # An LFU policy keeps frequencies instead, and says so with an error.
        seconds = idle if isinstance(idle, int) else None
        return Sampled(name, kind.decode("ascii", "replace"), size, ttl, seconds)


def _all(
    client: RedisClient, endpoint: Endpoint, request: GroupRequest, grouping: Grouping, look: _Look
) -> tuple[bool, Optional[str]]:
    scan = Scan(
        client,
        [b"*"],
        Budget(_NO_LIMIT, request.max_seconds),
        dbsize=endpoint.dbsize,
        overhead_seconds=endpoint.round_trip_seconds,
    )
    for names in scan:
        for start in range(0, len(names), DRAWS):
            for key in look.at(names[start : start + DRAWS]):
                grouping.add(key)
    if scan.complete:
        return True, None
    return False, f"{scan.incomplete_reason()}, so the figures are estimates from these"


def _sample(client: RedisClient, request: GroupRequest, grouping: Grouping, look: _Look) -> Optional[str]:
    """Draw until there are enough or the time is over; why there are fewer than asked for, if so."""
    deadline = time.monotonic() + request.max_seconds
    nodes = client.nodes()
    sizes = [node.call("DBSIZE") for node in nodes]
    left = shares(request.samples, sizes)
    # In turns, so that on a cluster a sample that is cut short still has every server's share.
    while any(left):
        for position, node in enumerate(nodes):
            portion = min(DRAWS, -(-left[position] * DRAWS // max(left)))
            if portion == 0:
                continue
            names = node.pipeline([("RANDOMKEY",)] * portion)
            refused = next((reply for reply in names if isinstance(reply, Refusal)), None)
            if refused is not None:
                raise CommandRefused(refused)
            for key in look.at([name for name in names if name is not None], node):
                grouping.add(key)
            left[position] -= min(portion, left[position])
        if any(left) and time.monotonic() >= deadline:
            return f"the time was over after {grouping.taken} of {request.samples} samples; the intervals are wider"
    return None
