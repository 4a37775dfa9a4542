# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading what others wrote, of any size, without being drowned in it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from ansible_collections.runbook.ops.plugins.module_utils.redis.client import RedisClient
from ansible_collections.runbook.ops.plugins.module_utils.redis.errors import Refusal

# A field longer than this is not a status, a time or a name.
FIELD_BYTES = 16 * 1024
# A set of more names than this is read in steps.
SET_AT_ONCE = 1000
# So much is read of a list or a sorted set in one step; a single entry may be of any size, and cannot be read in parts.
STEP_BYTES = 2 * 1024 * 1024
# What an entry is taken to need where the server does not tell (MEMORY USAGE denied).
ASSUMED_BYTES = 64 * 1024
PAGE = 500


def read_fields(
    client: RedisClient, keys: Sequence[bytes], fields: Sequence[bytes], most_bytes: int = FIELD_BYTES
) -> list[dict[bytes, bytes]]:
    """The fields of many hashes that are there and not longer than C(most_bytes); empty for what is no hash."""
    wanted = [(key, field) for key in keys for field in fields]
    sizes = client.pipeline([("HSTRLEN", key, field) for key, field in wanted])
    readable = [pair for pair, size in zip(wanted, sizes) if isinstance(size, int) and 0 < size <= most_bytes]
    found: dict[bytes, dict[bytes, bytes]] = {key: {} for key in keys}
    for (key, field), value in zip(readable, client.pipeline([("HGET", key, field) for key, field in readable])):
        if isinstance(value, bytes):
            found[key][field] = value
    return [found[key] for key in keys]


def read_set(client: RedisClient, key: bytes) -> list[bytes] | Refusal:
    """The members of a set, in order; a large one in steps."""
    size = client.ask("SCARD", key)
    if isinstance(size, Refusal):
        return size
    if size <= SET_AT_ONCE:
        members: Any = client.ask("SMEMBERS", key)
        return members if isinstance(members, Refusal) else sorted(members)
    found: set[bytes] = set()
    cursor: Any = 0
    while True:
        reply = client.ask("SSCAN", key, cursor, "COUNT", SET_AT_ONCE)
        if isinstance(reply, Refusal):
            return reply
        cursor, members = reply
        found.update(members)
        if cursor in (b"0", 0):
            return sorted(found)


def entries_a_step(client: RedisClient, key: bytes, length: int) -> tuple[int, float]:
    """How many entries of a list or sorted set to read at a time, and their average size in bytes.

    0 when a single one is too large.
    """
    size = client.ask("MEMORY", "USAGE", key, "SAMPLES", 5)
    average = size / length if isinstance(size, int) and length else ASSUMED_BYTES
    return int(min(PAGE, STEP_BYTES / max(1.0, average))), average


def newest_scores(client: RedisClient, key: bytes, page: int, most: int) -> Iterator[list[tuple[bytes, float]]]:
    """The C(most) members with the highest scores, in pages of members with scores, the highest first."""
    for start in range(0, most, page):
        stop = min(start + page, most) - 1
        reply = client.call("ZREVRANGE", key, start, stop, "WITHSCORES")
        if reply:
            yield [(member, float(score)) for member, score in zip(reply[::2], reply[1::2])]
        if len(reply) < 2 * (stop - start + 1):
            return
