# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Removing whole jobs from the end of a list, where workers take them: Celery's and Sidekiq's queues."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Optional

from ansible_collections.runbook.ops.plugins.module_utils.redis.client import Command, RedisClient
from ansible_collections.runbook.ops.plugins.module_utils.redis.script import Script

# KEYS: the list. ARGV: how many at most. It answers with how many went.
TRIM = Script(
    "remove",
    r"""
local length = redis.call("LLEN", KEYS[1])
local gone = math.min(length, tonumber(ARGV[1]))
if gone > 0 then redis.call("LTRIM", KEYS[1], 0, -(gone + 1)) end
return gone
""",
)


def trim_commands(key: bytes) -> list[Command]:
    """One harmless sample of every command this takes."""
    return [
        ("LLEN", key),
        ("LTRIM", key, 0, -1),
        ("EVAL", "return 1", 1, key),
        ("EVALSHA", TRIM.sha1, 1, key),
    ]


def trim_list(
    client: RedisClient, key: bytes, limit: Optional[int], step: int, tick: Callable[[], None]
) -> Iterator[int]:
    """Remove up to C(limit) entries, the next to run first, yielding how many each step removed.

    Without a limit as many as there are now: what is added meanwhile stays.
    """
    left = client.call("LLEN", key) if limit is None else limit
    while left > 0:
        gone = TRIM.run(client, [key], [min(step, left)])
        if not gone:
            return
        left -= gone
        yield gone
        tick()
