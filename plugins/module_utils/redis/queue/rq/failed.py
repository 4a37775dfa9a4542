# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What failed jobs of RQ tell: when they failed, and why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.redis.client import Command, RedisClient
from ansible_collections.runbook.ops.plugins.module_utils.redis.endpoint import PROBE_KEY
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.bounded import read_fields
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.celery.format import parse_time
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.rq import format as wire

# A stream of results larger than this is not read: it holds what jobs returned, too.
STREAM_BYTES = 1024 * 1024

# What reading them takes.
COMMANDS: tuple[Command, ...] = (
    ("HSTRLEN", PROBE_KEY, "x"),
    ("HGET", PROBE_KEY, "x"),
    ("EXISTS", PROBE_KEY),
    ("ZCOUNT", PROBE_KEY, 0, 0),
    ("MEMORY", "USAGE", PROBE_KEY, "SAMPLES", 1),
    ("XREVRANGE", PROBE_KEY, "+", "-", "COUNT", 1),
)

_FIELDS = (b"description", b"ended_at", b"origin", b"status", b"rate_limit_key", b"exc_info")


@dataclass(frozen=True)
class FailedRecord:
    """One failed job. C(ended_at) is in epoch seconds by the worker's clock."""

    id: bytes
    exists: bool
    reason: str = ""
    task: str = ""
    ended_at: Optional[float] = None
    origin: Optional[bytes] = None
    status: Optional[bytes] = None
    rate_limit: Optional[bytes] = None
    running: bool = False


def read_failed(client: RedisClient, keys: wire.RqKeys, identifiers: Sequence[bytes], now: float) -> list[FailedRecord]:
    """Look at failed jobs by their ids; their arguments are not read. C(now) is in epoch seconds."""
    hashes = [keys.job(identifier) for identifier in identifiers]
    fields = read_fields(client, hashes, _FIELDS)
    there = client.pipeline([("EXISTS", key) for key in hashes])
    alive = f"({int(now)}"
    running = client.pipeline([("ZCOUNT", keys.executions(each), alive, "+inf") for each in identifiers])
    results = _last_results(client, [keys.results(identifier) for identifier in identifiers])
    return [
        _record(identifier, each, present == 1, result, isinstance(executions, int) and executions > 0)
        for identifier, each, present, result, executions in zip(identifiers, fields, there, results, running)
    ]


def _record(identifier: bytes, fields: dict[bytes, bytes], exists: bool, result: Any, running: bool) -> FailedRecord:
    if isinstance(result, str):
        reason = result
    elif result is None and fields.get(b"exc_info"):
        reason = wire.packed_text(fields[b"exc_info"])
    else:
        reason = wire.reason_of(result)
    return FailedRecord(
        identifier,
        exists,
        reason,
        wire.task_name(fields.get(b"description")),
        parse_time(fields.get(b"ended_at", b"").decode("ascii", "replace")),
        fields.get(b"origin"),
        fields.get(b"status"),
        fields.get(b"rate_limit_key"),
        running,
    )


def _last_results(client: RedisClient, streams: Sequence[bytes]) -> list[Any]:
    """The fields of the last entry of each stream, None where there is none, a sentence where it is too large."""
    sizes = client.pipeline([("MEMORY", "USAGE", key, "SAMPLES", 5) for key in streams])
    small = [key for key, size in zip(streams, sizes) if not (isinstance(size, int) and size > STREAM_BYTES)]
    found: dict[bytes, Any] = dict.fromkeys(streams, wire.TOO_LONG)
    # The last one tells; earlier ones are of attempts before.
    for key, reply in zip(small, client.pipeline([("XREVRANGE", key, "+", "-", "COUNT", 1) for key in small])):
        entries = reply if isinstance(reply, list) else []
        found[key] = dict(zip(entries[0][1][::2], entries[0][1][1::2])) if entries else None
    return [found[key] for key in streams]
