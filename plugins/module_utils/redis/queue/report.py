# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From the options of redis_queue_info to its result, whatever the queue system."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import Unavailable
from ansible_collections.runbook.ops.plugins.module_utils.redis.client import (
    Command,
    RedisClient,
    require_library,
    show,
)
from ansible_collections.runbook.ops.plugins.module_utils.redis.endpoint import Endpoint, clock, survey
from ansible_collections.runbook.ops.plugins.module_utils.redis.options import settings_from
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue import celery
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.model import TOP_REASONS, SystemFacts
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.request import QueueRequest, request_from


@dataclass(frozen=True)
class Reader:
    """A queue system: the commands it takes, and how its queues are read."""

    needed: Callable[[QueueRequest], list[Command]]
    useful: Callable[[QueueRequest], list[tuple[str, Command]]]
    read: Callable[[RedisClient, Endpoint, QueueRequest, float], SystemFacts]


READERS = {
    celery.SYSTEM: Reader(celery.needed_commands, celery.useful_commands, celery.read_celery),
}


def queue_report(params: Mapping[str, Any]) -> dict[str, Any]:
    """The module's result without its frame; raises RunbookError for bad options and for queues that are not there."""
    settings = settings_from(params)
    request = request_from(params)
    reader = READERS[request.system]
    require_library()
    try:
        with RedisClient(settings) as client:
            endpoint = survey(client, reader.needed(request), reader.useful(request))
            found = reader.read(client, endpoint, request, clock(endpoint, request.reference))
    except Unavailable as reason:
        return {"available": False, "reason": reason.message, "endpoint": {}, **_figures(SystemFacts(complete=False))}
    result = {"available": True, "reason": None, "endpoint": endpoint.facts(), **_figures(found)}
    result["skipped_sections"] = endpoint.skipped + found.skipped
    result["notes"] = endpoint.notes() + found.notes
    if not result["found"]:
        # Without a queue, no failures and no messages without consumers prove nothing.
        result["failed_count"] = None
        entry = nothing_found(request, endpoint, found)
        result["skipped_sections"] += [
            {**entry, "section": section} for section in ("found", "failed_count", "unconsumed")
        ]
    return result


def nothing_found(request: QueueRequest, endpoint: Endpoint, found: SystemFacts) -> dict[str, str]:
    """Where we looked in vain; to a rule this is unknown, because it may be the wrong place."""
    prefix = "any key prefix" if request.prefix is None else f"key prefix {show(request.prefix)!r}"
    seen = f"{found.keys_seen}{'' if endpoint.dbsize is None else f' of {endpoint.dbsize}'} keys seen"
    reason = f"no {request.system} queue was found in {endpoint.place} with {prefix}, {seen}"
    elsewhere = endpoint.elsewhere()
    return {
        "reason": f"{reason}. {elsewhere}" if elsewhere else reason,
        "remedy": "Check login_db and key_prefix. A queue exists once a worker or a producer has used it.",
    }


def _figures(found: SystemFacts) -> dict[str, Any]:
    waiting = [queue.counts.get("waiting") for queue in found.queues if queue.exists]
    unknown = found.consumers is None or not waiting or None in waiting
    existing = sum(1 for queue in found.queues if queue.exists)
    return {
        "skipped_sections": found.skipped,
        "notes": found.notes,
        "queues": [queue.facts() for queue in found.queues],
        # Nothing found is no proof that there is nothing: it may be the wrong place.
        "found": True if existing else None,
        "queue_count": existing if existing else None,
        "consumers": found.consumers,
        "unconsumed": None if unknown else found.consumers == 0 and any(waiting),
        "failed_count": found.failed_count,
        "failed_seen": found.failed_seen,
        "results": found.results,
        "failures": found.failures.top(),
        "most_frequent_failure": found.failures.most_frequent(),
        "failure_reasons_count": found.failures.reasons,
        "failures_truncated": found.failures.reasons > TOP_REASONS,
        "unattributed": found.unattributed,
        "complete": found.complete,
        "keys_seen": found.keys_seen,
    }
