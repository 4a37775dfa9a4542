# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Walking through the keys of a live server without anybody noticing.

COUNT adapts: a call that keeps the server busy for more than 5 ms is followed by one of half the size, a
quick one by a larger one, between 50 and 2000. KEYS would answer in one call and freeze a million keys'
server for half a second meanwhile.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption
from ansible_collections.runbook.ops.plugins.module_utils.redis.client import RedisClient
from ansible_collections.runbook.ops.plugins.module_utils.redis.errors import CommandRefused, Refusal

FIRST_COUNT = 500
LEAST_COUNT = 50
MOST_COUNT = 2000
BUSY_SECONDS = 0.005
QUICK_SECONDS = 0.00125

GLOB_CHARACTERS = frozenset(b"*?[]^-\\")


class Pacer:
    """The size of the next SCAN call, from how long the last one kept the server busy."""

    def __init__(self, overhead_seconds: float = 0.0) -> None:
        """C(overhead_seconds): what a round trip costs without any work, so that distance is not taken for load."""
        self.count = FIRST_COUNT
        self._overhead = overhead_seconds

    def after(self, seconds: float) -> None:
        """Learn from a call that took so long."""
        busy = seconds - self._overhead
        if busy > BUSY_SECONDS:
            self.count = max(LEAST_COUNT, self.count // 2)
        elif busy < QUICK_SECONDS:
            self.count = min(MOST_COUNT, self.count * 2)


@dataclass(frozen=True)
class Budget:
    """How far a scan may go. A scan that reaches an end of it says so and is not complete."""

    max_keys: int = 1_000_000
    max_seconds: float = 10.0


def budget_argument_spec() -> dict[str, dict[str, Any]]:
    """The options of every module that scans; the doc fragment C(redis.scan) says the same."""
    return {
        "max_keys": {"type": "int", "default": 1_000_000, "no_log": False},
        "max_seconds": {"type": "float", "default": 10.0},
    }


def budget_from(params: Mapping[str, Any]) -> Budget:
    """Check how far a scan may go; raises InvalidOption."""
    for name in ("max_keys", "max_seconds"):
        if not params[name] > 0:
            raise InvalidOption(name, params[name], "a number greater than 0")
    return Budget(params["max_keys"], params["max_seconds"])


class Scan:
    """One pass over the current database, giving the names that match one of the patterns, each once.

    On a Redis Cluster it goes through one primary after the other. If slots change their server meanwhile, the pass
    is not complete.

    C(keys_seen) counts the keys the server walked through: with MATCH only the matching ones travel, so it
    is the sum of the COUNTs, and C(dbsize) once the pass is complete.
    """

    def __init__(
        self,
        client: RedisClient,
        patterns: Sequence[bytes],
        budget: Budget,
        *,
        match: bytes | None = None,
        dbsize: int | None = None,
        overhead_seconds: float = 0.0,
        distinct: bool = True,
    ) -> None:
        """C(distinct): false for a walk over so many names that to remember them all would take too much memory."""
        self.complete = False
        self.keys_seen = 0
        self.stopped_by: str | None = None
        self._disturbance: str | None = None
        self._client = client
        self._patterns = [compile_glob(pattern) for pattern in patterns]
        # C(match) is wider than the patterns; what it lets through is matched again here.
        self._match = match or (patterns[0] if len(patterns) == 1 else common_match(patterns))
        self._budget = budget
        self._dbsize = dbsize
        self._pacer = Pacer(overhead_seconds)
        self._distinct = distinct

    def __iter__(self) -> Iterator[list[bytes]]:
        """Batches of matching names; stopping early leaves the scan incomplete."""
        seen: set[bytes] = set()
        deadline = time.monotonic() + self._budget.max_seconds
        before = self._client.topology()
        for position, node in enumerate(self._client.nodes()):
            if position and self._spent(deadline):
                return
            yield from self._walk(node, seen, deadline)
            if self.stopped_by:
                return
        self._disturbance = self._client.disturbance(before)
        if self._disturbance is None:
            self._finish()

    def _walk(self, node: RedisClient, seen: set[bytes], deadline: float) -> Iterator[list[bytes]]:
        """One server's keys; C(seen) are the names that were given already, also by other servers."""
        cursor: bytes | int = 0
        while True:
            count = min(self._pacer.count, max(1, self._budget.max_keys - self.keys_seen))
            command = ("SCAN", cursor, *(("MATCH", self._match) if self._match else ()), "COUNT", count)
            reply, seconds = node.timed(*command)
            if isinstance(reply, Refusal):
                raise CommandRefused(reply)
            self._pacer.after(seconds)
            cursor, names = reply
            self.keys_seen += count if self._match else len(names)
            # A rehash in the middle of a pass makes the server repeat names; so does a key that changes its server.
            # The order stays the server's, so that two passes over the same keys find the same ones first.
            fresh = [name for name in dict.fromkeys(names) if name not in seen and self.matches(name)]
            if self._distinct:
                seen.update(fresh)
            if fresh:
                yield fresh
            if cursor in (b"0", 0) or self._spent(deadline):
                return

    def _spent(self, deadline: float) -> bool:
        """Whether the budget is used up before the end."""
        if self.keys_seen >= self._budget.max_keys:
            self.stopped_by = f"max_keys ({self._budget.max_keys})"
        elif time.monotonic() >= deadline:
            self.stopped_by = f"max_seconds ({self._budget.max_seconds:g})"
        return self.stopped_by is not None

    def _finish(self) -> None:
        self.complete = True
        if self._dbsize is not None:
            self.keys_seen = self._dbsize

    def matches(self, name: bytes) -> bool:
        """Whether a name matches one of the patterns."""
        return any(pattern.match(name) for pattern in self._patterns)

    def incomplete_reason(self) -> str:
        """Why the pass did not reach the end, for people."""
        if self._disturbance:
            return f"{self._disturbance}, so that keys may have been missed; run it again when no slot moves any more"
        of_all = "" if self._dbsize is None else f" of {self._dbsize}"
        return f"the scan stopped at {self.stopped_by} after {self.keys_seen}{of_all} keys"


def escape_glob(text: bytes) -> bytes:
    """A name as a pattern that matches nothing but itself."""
    return b"".join(b"\\" + bytes([byte]) if byte in GLOB_CHARACTERS else bytes([byte]) for byte in text)


def common_match(patterns: Sequence[bytes]) -> bytes | None:
    """One MATCH for all the patterns: their common beginning; None if there is none worth asking for."""
    beginnings = [re.split(rb"[*?\[\\\\]", pattern, maxsplit=1)[0] for pattern in patterns]
    shared = os.path.commonprefix(beginnings)  # noqa: RUF071 - names, not paths
    return escape_glob(shared) + b"*" if shared else None


def compile_glob(pattern: bytes) -> re.Pattern[bytes]:
    """A pattern as the server understands it (util.c, stringmatchlen), as a regular expression."""
    out: list[bytes] = []
    position = 0
    while position < len(pattern):
        byte = pattern[position : position + 1]
        if byte == b"*":
            if not out or out[-1] != b".*":
                out.append(b".*")
        elif byte == b"?":
            out.append(b".")
        elif byte == b"[":
            expression, position = _character_class(pattern, position + 1)
            out.append(expression)
        else:
            if byte == b"\\" and position + 1 < len(pattern):
                position += 1
                byte = pattern[position : position + 1]
            out.append(re.escape(byte))
        position += 1
    return re.compile(b"".join(out) + rb"\Z", re.DOTALL)


def _character_class(pattern: bytes, position: int) -> tuple[bytes, int]:
    """The class that begins at C(position); the second value is the position of its last byte."""
    negated = pattern[position : position + 1] == b"^"
    if negated:
        position += 1
    members: set[int] = set()
    while position < len(pattern) and pattern[position : position + 1] != b"]":
        if pattern[position : position + 1] == b"\\" and position + 1 < len(pattern):
            position += 1
            members.add(pattern[position])
        elif position + 2 < len(pattern) and pattern[position + 1 : position + 2] == b"-":
            low, high = sorted((pattern[position], pattern[position + 2]))
            members.update(range(low, high + 1))
            position += 2
        else:
            members.add(pattern[position])
        position += 1
    if negated:
        members = set(range(256)) - members
    # An empty class matches nothing, on the server too.
    body = b"".join(re.escape(bytes([member])) for member in sorted(members))
    return (b"[" + body + b"]" if members else rb"(?!)"), position
