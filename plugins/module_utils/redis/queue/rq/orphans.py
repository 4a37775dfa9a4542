# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Job hashes of RQ that are in no state: no worker ever comes across them, and nothing removes them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ansible_collections.runbook.ops.plugins.module_utils.queues.model import SystemFacts, plural
from ansible_collections.runbook.ops.plugins.module_utils.redis.client import RedisClient
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.bounded import read_fields, read_set
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.celery.format import parse_time
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.reading import Reading
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.rq import format as wire
from ansible_collections.runbook.ops.plugins.module_utils.redis.scan import Scan, escape_glob

# A job is saved a moment before it is queued, and between two states it is in neither.
SETTLED_SECONDS = 60.0
PAGE = 1000


def find_orphans(
    reading: Reading,
    facts: SystemFacts,
    keys: wire.RqKeys,
    known: Sequence[bytes],
    account: Callable[[Scan, str], None],
) -> None:
    """Count the orphans of each queue in C(facts), by one bounded scan over the jobs.

    A job says itself to which queue it belongs (C(origin)). Those of other queues are in a note.
    """
    client = reading.client
    queues = {*known, *(queue.raw for queue in facts.queues)}
    listed = _ids_in_lists(client, keys, queues)
    found: dict[bytes, int] = {}
    scan = reading.scan([escape_glob(keys.prefix) + b":job:*"])
    for names in scan:
        identifiers = [identifier for identifier in map(keys.id_of, names) if identifier is not None]
        for origin in _orphans(client, keys, [each for each in identifiers if each not in listed], reading.now):
            found[origin] = found.get(origin, 0) + 1
    account(scan, "orphans")
    for queue in facts.queues:
        if queue.exists and scan.complete:
            queue.orphans = found.pop(queue.raw, 0)
            if queue.orphans:
                queue.notes.append(f"{plural(queue.orphans, 'job')} in no state: no worker will find them")
    if found and scan.complete:
        facts.notes.append(f"{plural(sum(found.values()), 'job')} of RQ in no state that belong to no queue read here")


def _ids_in_lists(client: RedisClient, keys: wire.RqKeys, queues: set[bytes]) -> set[bytes]:
    """The ids that wait, are with a worker, or are held back by a rate limit: where a look-up would take a search."""
    found: set[bytes] = set()
    for name in queues:
        for key in (keys.queue(name), keys.intermediate(name)):
            start = 0
            while True:
                page = client.call("LRANGE", key, start, start + PAGE - 1)
                found.update(page)
                start += PAGE
                if len(page) < PAGE:
                    break
        found.update(map(wire.job_of, _members(client, keys.registry("wip", name))))
    limits = read_set(client, keys.limiters)
    for limit in limits if isinstance(limits, list) else []:
        found.update(_members(client, keys.limited(limit)))
    return found


def _members(client: RedisClient, key: bytes) -> list[bytes]:
    members: list[bytes] = []
    while True:
        page = client.call("ZRANGE", key, len(members), len(members) + PAGE - 1)
        members += page
        if len(page) < PAGE:
            return members


def _orphans(client: RedisClient, keys: wire.RqKeys, identifiers: Sequence[bytes], now: float) -> list[bytes]:
    """The queues of those that are in no sorted set of their queue and did not move lately."""
    hashes = [keys.job(identifier) for identifier in identifiers]
    moments = (b"created_at", b"enqueued_at", b"ended_at", b"last_heartbeat")
    jobs = read_fields(client, hashes, (b"origin", *moments))
    # A hash without any of these is no job.
    pairs = [(identifier, fields) for identifier, fields in zip(identifiers, jobs) if fields]
    states = [state for state in wire.REGISTRIES if state != "wip"]
    scores = client.pipeline(
        [
            ("ZSCORE", keys.registry(state, fields.get(b"origin", b"")), identifier)
            for identifier, fields in pairs
            for state in states
        ]
    )
    found = []
    for position, fields in enumerate(fields for identifier, fields in pairs):
        mine = scores[position * len(states) : (position + 1) * len(states)]
        times = [parse_time(fields[field].decode("ascii", "replace")) for field in moments if field in fields]
        settled = all(moment is None or now - moment > SETTLED_SECONDS for moment in times)
        if settled and all(score is None for score in mine):
            found.append(fields.get(b"origin", b""))
    return found
