# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a server holds, to compare a loaded copy with: keys by database, jobs by queue and state."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.backup.errors import Undecided
from ansible_collections.runbook.ops.plugins.module_utils.queues.model import QueueFacts
from ansible_collections.runbook.ops.plugins.module_utils.redis.client import RedisClient
from ansible_collections.runbook.ops.plugins.module_utils.redis.connection import connect_server
from ansible_collections.runbook.ops.plugins.module_utils.redis.endpoint import clock, survey
from ansible_collections.runbook.ops.plugins.module_utils.redis.info import databases_of, parse_info
from ansible_collections.runbook.ops.plugins.module_utils.redis.options import Settings
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.reading import Reading
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.report import read_queues
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.request import QueueRequest
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.systems import READERS
from ansible_collections.runbook.ops.plugins.module_utils.redis.scan import Budget


@dataclass(frozen=True)
class QueueId:
    """Which queue: names as text for people and JSON."""

    db: int
    system: str
    prefix: str
    name: str

    @property
    def label(self) -> str:
        """C(bullmq queue bull:mail in database 0), for a sentence."""
        name = f"{self.prefix}:{self.name}" if self.prefix else self.name
        return f"{self.system} queue {name} in database {self.db}"


@dataclass
class Census:
    """Keys by database, and jobs by queue and state."""

    keys: dict[int, int] = field(default_factory=dict)
    expires: dict[int, int] = field(default_factory=dict)
    queues: dict[QueueId, dict[str, int]] = field(default_factory=dict)


def keys_of(info: Mapping[str, str]) -> tuple[dict[int, int], dict[int, int]]:
    """Keys, and keys with a time to live, by database, from INFO."""
    entries = databases_of(info)
    keys = {entry["db"]: entry["keys"] or 0 for entry in entries}
    return keys, {entry["db"]: entry["expires"] or 0 for entry in entries}


def info_of(client: RedisClient) -> dict[str, str]:
    """INFO, parsed."""
    return parse_info(client.call("INFO"))


def count_queues(
    settings: Settings, databases: Sequence[int], budget: Budget, reference: dt.datetime
) -> dict[QueueId, dict[str, int]]:
    """The jobs of every queue in these databases, by the library's own names of the states.

    C(reference) is the moment against which "later" is told from "now", so that two looks sort alike.

    Raises:
        Undecided: not every key was seen within the budget: a queue could be missing.
        Unavailable: the server is down, or its ACL does not let us read queues.

    """
    request = QueueRequest(sample=0, failures=False, reference=reference, budget=budget)
    found: dict[QueueId, dict[str, int]] = {}
    for database in databases:
        with connect_server(replace(settings, db=database)) as client:
            endpoint = survey(client, _needed(request))
            reading = Reading(client, endpoint, request, clock(endpoint, reference))
            for facts in read_queues(reading, list(READERS.values())):
                if not facts.complete:
                    raise Undecided(
                        f"not all keys of database {database} were seen within max_keys={budget.max_keys} and "
                        f"max_seconds={budget.max_seconds:g}, so queues may have been missed. Raise them, or set "
                        "queue_counts=false to do without the comparison of queues"
                    )
                for queue in facts.queues:
                    found[_identity(database, queue)] = _states(queue)
    return found


def _needed(request: QueueRequest) -> list[Any]:
    return list(dict.fromkeys(command for each in READERS.values() for command in each.needed(request)))


def _identity(database: int, queue: QueueFacts) -> QueueId:
    return QueueId(database, queue.system, queue.prefix, queue.name)


def _states(queue: QueueFacts) -> dict[str, int]:
    """The library's own states where there are any: they say more than the common ones."""
    counts: Mapping[str, Optional[int]] = queue.states or queue.counts
    return {state: count for state, count in counts.items() if count is not None}
