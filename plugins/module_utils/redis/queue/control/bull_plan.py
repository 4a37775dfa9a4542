# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Looking at what emptying would remove, page by page, without writing anything."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Optional

from ansible_collections.runbook.ops.plugins.module_utils.redis.client import Command, RedisClient
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.bull.naming import STATE_LISTS, QueueKeys
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.control.bull_keeping import (
    EXPECTED,
    MARKER,
    SCHEDULED,
    Entry,
    Removal,
    why_kept,
)

PAGE = 500
# So many of the active jobs are looked at; the script looks at as many.
MOST_ACTIVE = 1000


class RemovalPlan:
    """Counts what goes and what stays; memory is flat but for parents and the children that wait to be decided."""

    def __init__(
        self, client: RedisClient, keys: QueueKeys, *, has_markers: bool, limit: Optional[int], tick: Callable[[], None]
    ) -> None:
        self.removal = Removal()
        self._client = client
        self._keys = keys
        self._has_markers = has_markers
        self._limit = limit
        self._tick = tick
        # Jobs that go and may be parents of others.
        self._parents: set[bytes] = set()

    def add(self, state: str, suffixes: Sequence[str], highest: Optional[int]) -> None:
        """Decide about a state, which is kept under these suffixes; C(highest) is the last score that counts."""
        undecided: list[Entry] = []
        for suffix in suffixes:
            for ids in self._pages(suffix, highest):
                self._tick()
                for entry in self._entries(ids):
                    if self._full:
                        return
                    self._decide(state, entry, undecided)
        # A parent that goes may have been behind its children, and may be one itself.
        progress = True
        while progress:
            progress = False
            waiting, undecided = undecided, []
            for entry in waiting:
                before = len(undecided)
                if not self._full:
                    self._decide(state, entry, undecided)
                else:
                    undecided.append(entry)
                progress = progress or len(undecided) == before
        for entry in undecided:
            self.removal.keep(state, EXPECTED, entry.id)

    @property
    def _full(self) -> bool:
        return self._limit is not None and self.removal.total >= self._limit

    def _decide(self, state: str, entry: Entry, undecided: list[Entry]) -> None:
        kind = why_kept(entry)
        if kind == EXPECTED and entry.parent not in self._parents:
            undecided.append(entry)
        elif kind in (None, EXPECTED):
            self.removal.take(state, [entry])
            if state == "blocked":
                self._parents.add(self._keys.key(entry.id))
        else:
            self.removal.keep(state, str(kind), entry.id)

    def _pages(self, suffix: str, highest: Optional[int]) -> Iterator[list[bytes]]:
        """The ids in the order in which they would be executed."""
        key = self._keys.key(suffix)
        start = 0
        more = True
        while more:
            if suffix.encode() in STATE_LISTS:
                page = self._client.call("LRANGE", key, -(start + PAGE), -(start + 1))[::-1]
                more = len(page) == PAGE
                ids = [each for each in page if not (self._has_markers and MARKER.match(each))]
            else:
                page = self._client.call("ZRANGE", key, start, start + PAGE - 1, "WITHSCORES")
                ids = [each for each, score in zip(page[::2], page[1::2]) if highest is None or float(score) <= highest]
                more = len(ids) == PAGE
            if ids:
                yield ids
            start += PAGE

    def _entries(self, ids: Sequence[bytes]) -> list[Entry]:
        """What is known of a page of entries, in two round trips."""
        active = set(self._client.call("LRANGE", self._keys.key("active"), 0, MOST_ACTIVE - 1))
        replies = self._client.pipeline([command for each in ids for command in self._commands(each)])
        width = len(self._commands(b""))
        rows = [replies[start : start + width] for start in range(0, len(replies), width)]
        parents = [row[2] if isinstance(row[2], bytes) else b"" for row in rows]
        asked = [(parent, each) for parent, each in zip(parents, ids) if parent]
        answers = iter(
            self._client.pipeline(
                [("SISMEMBER", parent + b":dependencies", self._keys.key(each)) for parent, each in asked]
            )
        )
        return [
            Entry(
                each,
                kind=kind.decode("ascii", "replace") if isinstance(kind, bytes) else "unknown",
                locked=locks == 1,
                busy=each in active,
                is_schedule=isinstance(schedule, bytes),
                scheduled=isinstance(next_times, int) and next_times > 0,
                parent=parent,
                # A parent that cannot be looked at may be waiting.
                expected=bool(parent) and next(answers) != 0,
            )
            for each, parent, (kind, locks, _parent, schedule, next_times) in zip(ids, parents, rows)
        ]

    def _commands(self, identifier: bytes) -> list[Command]:
        """What to ask about one entry."""
        job, repeat = self._keys.key(identifier), self._keys.key("repeat")
        moment = SCHEDULED.fullmatch(identifier)
        # Most ids cannot be a schedule's; the empty range and name ask nothing.
        low, high = (moment[1], moment[1]) if moment else (b"1", b"0")
        name = identifier[len(b"repeat:") :] if identifier.startswith(b"repeat:") else b""
        return [
            ("TYPE", job),
            ("EXISTS", job + b":lock"),
            ("HGET", job, "parentKey"),
            ("ZSCORE", repeat, name),
            ("ZCOUNT", repeat, low, high),
        ]
