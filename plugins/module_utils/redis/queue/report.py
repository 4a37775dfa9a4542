# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From the options of redis_queue_info to its result, whatever the queue systems."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import Unavailable
from ansible_collections.runbook.ops.plugins.module_utils.queues.model import SystemFacts
from ansible_collections.runbook.ops.plugins.module_utils.queues.rate import rate
from ansible_collections.runbook.ops.plugins.module_utils.queues.summary import figures
from ansible_collections.runbook.ops.plugins.module_utils.redis.client import (
    Command,
    require_library,
    show,
)
from ansible_collections.runbook.ops.plugins.module_utils.redis.connection import connect
from ansible_collections.runbook.ops.plugins.module_utils.redis.endpoint import Endpoint, clock, survey
from ansible_collections.runbook.ops.plugins.module_utils.redis.options import settings_from
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.discovery import discover
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.missing import settle_missing
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.permitted import Readers, permitted
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.reading import QueueReader, Reading
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.request import QueueRequest, request_from
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.systems import READERS


def queue_report(params: Mapping[str, Any]) -> dict[str, Any]:
    """The module's result without its frame; raises RunbookError for bad options and for queues that are not there."""
    settings = settings_from(params)
    request = request_from(params)
    chosen: Readers = [READERS[name] for name in request.systems or READERS]
    require_library()
    try:
        with connect(settings) as client:
            unread: list[dict[str, str]] = []
            if not request.systems:
                # A server that serves nobody says why, before anything is concluded from what it refuses.
                survey(client, [])
                chosen, unread = permitted(client, chosen, request)
            endpoint = survey(client, _needed(chosen, request), _useful(chosen, request))
            endpoint.skipped += unread
            found = read_queues(Reading(client, endpoint, request, clock(endpoint, request.reference)), chosen)
    except Unavailable as reason:
        return {"available": False, "reason": reason.message, "endpoint": {}, **figures([SystemFacts(complete=False)])}
    result = {"available": True, "reason": None, "endpoint": endpoint.facts(), **figures(found)}
    result["skipped_sections"] = endpoint.skipped + result["skipped_sections"]
    result["notes"] = endpoint.notes() + result["notes"]
    # A system that could not be looked for may have queues.
    result["complete"] = result["complete"] and not unread
    if not result["found"]:
        # Without a queue, no failures and no messages without consumers prove nothing.
        result["failed_count"] = None
        entry = nothing_found(request, endpoint, result["keys_seen"])
        result["skipped_sections"] += [
            {**entry, "section": section} for section in ("found", "failed_count", "unconsumed")
        ]
    return result


def read_queues(reading: Reading, chosen: Sequence[type[QueueReader]]) -> list[SystemFacts]:
    """What each of the systems keeps in this database; raises RunbookError for a named queue that none of them has."""
    readers = [each(reading) for each in chosen]
    scan = None if reading.request.queues else discover(reading, readers)
    found = [reader.read(scan) for reader in readers]
    settle_missing(reading, readers)
    if reading.request.sample_seconds:
        _measure_rates(reading, readers)
    return found


def _measure_rates(reading: Reading, readers: Sequence[QueueReader]) -> None:
    """Look at the counters twice."""
    began = time.monotonic()
    earlier = [reader.sample() for reader in readers]
    time.sleep(reading.request.sample_seconds)
    seconds = time.monotonic() - began
    for reader, before in zip(readers, earlier):
        after = reader.sample()
        for queue in reader.facts.queues:
            key = (queue.raw_prefix, queue.raw)
            if key in before and key in after:
                queue.rate = rate(before[key], after[key], seconds, queue.backlog)


def _needed(chosen: Sequence[type[QueueReader]], request: QueueRequest) -> list[Command]:
    return list(dict.fromkeys(command for each in chosen for command in each.needed(request)))


def _useful(chosen: Sequence[type[QueueReader]], request: QueueRequest) -> list[tuple[str, Command]]:
    return list(dict.fromkeys(pair for each in chosen for pair in each.useful(request)))


def nothing_found(request: QueueRequest, endpoint: Endpoint, keys_seen: int) -> dict[str, str]:
    """Where we looked in vain; to a rule this is unknown, because it may be the wrong place."""
    prefix = "any key prefix" if request.prefix is None else f"key prefix {show(request.prefix)!r}"
    seen = f"{keys_seen}{'' if endpoint.dbsize is None else f' of {endpoint.dbsize}'} keys seen"
    systems = " or ".join(request.systems) if request.systems else "job"
    reason = f"no {systems} queue was found in {endpoint.place} with {prefix}, {seen}"
    elsewhere = endpoint.elsewhere()
    return {
        "reason": f"{reason}. {elsewhere}" if elsewhere else reason,
        "remedy": "Check login_db and key_prefix. A queue exists once a worker or a producer has used it.",
    }
