# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Going through a sorted set once, from the lowest score to the highest, while members come and go.

Positions shift when members are removed, and many members may have one score, so neither is enough to go on from. The
order of a sorted set is that of score and member together: the last pair seen tells where to go on, and a few probes
find its position whenever it has moved.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple, Optional

from ansible_collections.runbook.ops.plugins.module_utils.redis.client import RedisClient

PAGE = 500


class Entry(NamedTuple):
    """A member and its score; entries compare as the server orders them."""

    score: float
    member: bytes


def last_entry(client: RedisClient, key: bytes) -> Optional[Entry]:
    """The entry with the highest score; None for an empty set."""
    found = _read(client, key, -1, -1)
    return found[0] if found else None


def pages(
    client: RedisClient, key: bytes, until: Optional[Entry], removed: Callable[[], int], size: int = PAGE
) -> Iterator[list[Entry]]:
    """Every entry that is there all the time, once, up to and including C(until); nothing if that is None.

    C(removed) says how many entries of those given out the caller has removed in all, so that the next position can
    be guessed; a wrong guess costs some twenty probes and nothing else.
    """
    last: Optional[Entry] = None
    position, gone = 0, removed()
    while until is not None:
        found = _read(client, key, max(position - 1, 0), position + size - 1)
        if last is not None and not _continues(found, position, last):
            position = _position_after(client, key, last)
            found = _read(client, key, max(position - 1, 0), position + size - 1)
            if not _continues(found, position, last):
                continue
        fresh = found[1:] if position else found
        page = [entry for entry in fresh if entry <= until]
        if not page:
            return
        yield page
        last = page[-1]
        now_gone = removed()
        position, gone = max(position + len(page) - (now_gone - gone), 0), now_gone


def _continues(found: list[Entry], position: int, last: Entry) -> bool:
    """Whether what was read from one before C(position) begins with an entry already seen, and goes on with others."""
    seen, fresh = (found[:1], found[1:]) if position else ([], found)
    return (not position or (bool(seen) and seen[0] <= last)) and (not fresh or fresh[0] > last)


def _position_after(client: RedisClient, key: bytes, last: Entry) -> int:
    """The position of the first entry after this one."""
    low, high = 0, client.call("ZCARD", key)
    while low < high:
        middle = (low + high) // 2
        found = _read(client, key, middle, middle)
        if found and found[0] <= last:
            low = middle + 1
        else:
            high = middle
    return low


def _read(client: RedisClient, key: bytes, first: int, final: int) -> list[Entry]:
    reply = client.call("ZRANGE", key, first, final, "WITHSCORES")
    return [Entry(float(score), member) for member, score in zip(reply[::2], reply[1::2])]
