# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""RQ's workers: who lives, and of which version they are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Optional

from ansible_collections.runbook.ops.plugins.module_utils.redis.client import RedisClient, show
from ansible_collections.runbook.ops.plugins.module_utils.redis.errors import Refusal
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.bounded import read_fields, read_set
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.rq import format as wire

MOST_WORKERS = 1000


def count_living(client: RedisClient, workers: Sequence[bytes]) -> int:
    """Workers whose key has not expired: each renews its own."""
    return sum(1 for reply in client.pipeline([("EXISTS", worker) for worker in workers]) if reply == 1)


def newest_version(client: RedisClient, workers: Sequence[bytes]) -> Optional[str]:
    """The version of the library that the workers say they are of; the highest, if they differ."""
    fields = read_fields(client, workers[:MOST_WORKERS], (b"version",))
    return max((show(each[b"version"]) for each in fields if each), key=_order, default=None)


def library_of(client: RedisClient, keys: wire.RqKeys, queue: bytes) -> str:
    """C(RQ 3.0.0), or C(RQ) where no worker of the queue says it."""
    workers = read_set(client, keys.workers_of(queue))
    version = None if isinstance(workers, Refusal) else newest_version(client, workers)
    return f"RQ {version}" if version else "RQ"


def _order(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".") if part.isdigit())
