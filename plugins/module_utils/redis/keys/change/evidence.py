# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Looking for queues that the keys of a plan would belong to.

Nobody has to declare queues for them to be protected: whatever prefix an application chose, its queue has keys that
nothing else has, of the types its library gives them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Optional

from ansible_collections.runbook.ops.plugins.module_utils.common.outcome import Refused
from ansible_collections.runbook.ops.plugins.module_utils.redis.client import RedisClient, show
from ansible_collections.runbook.ops.plugins.module_utils.redis.endpoint import Endpoint
from ansible_collections.runbook.ops.plugins.module_utils.redis.keys.change.protect import ancestors, sidekiq_table
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.bull import library
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.bull.naming import (
    EVIDENCE,
    STATE_LISTS,
    STATE_ZSETS,
    QueueKeys,
)
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.celery import format as wire
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.celery.tables import Tables
from ansible_collections.runbook.ops.plugins.module_utils.redis.scan import Budget, Scan

# What follows a Celery queue's name in the lists of its lower priorities: a separator, and a number.
_PRIORITY = re.compile(rb".{1,8}?\d{1,3}", re.DOTALL)
_BINDINGS = b"*" + wire.BINDING.rstrip(b".") + b"*"


class QueueEvidence:
    """What is known so far about the queues of one database. Answers are kept: neighbours share their queue."""

    def __init__(self, client: RedisClient, endpoint: Endpoint, budget: Budget) -> None:
        self._client = client
        self._endpoint = endpoint
        self._budget = budget
        self._bull: dict[QueueKeys, Optional[str]] = {}
        self._sidekiq: dict[bytes, bool] = {}
        self._celery: Optional[list[tuple[bytes, bytes]]] = None
        self._separator_unknown = False

    def reasons(self, keys: Sequence[tuple[bytes, str]]) -> dict[bytes, str]:
        """Why keys are protected, for those that are; C(keys) are names and types.

        Raises Refused when lists are among them and the queues of Celery could not all be found.
        """
        names = [name for name, kind in keys]
        owners = {name: [QueueKeys(*parts) for parts in ancestors(name)] for name in names}
        self._look_for_bull([queue for queues in owners.values() for queue in queues])
        tables = {name: table for name in names for table in [sidekiq_table(name)] if table is not None}
        self._look_for_sidekiq(list(tables.values()))
        found: dict[bytes, str] = {}
        for name, kind in keys:
            label = next((self._bull[queue] for queue in owners[name] if self._bull[queue]), None)
            if label:
                found[name] = label
            elif name in tables and self._sidekiq[tables[name]]:
                found[name] = f"it is one of Sidekiq's keys beside {show(tables[name])}"
            elif kind == "list":
                reason = self._celery_queue(name)
                if reason:
                    found[name] = reason
        return found

    def _look_for_bull(self, queues: Sequence[QueueKeys]) -> None:
        unknown = [queue for queue in dict.fromkeys(queues) if queue not in self._bull]
        commands = [("TYPE", queue.key(suffix)) for queue in unknown for suffix in EVIDENCE]
        kinds = self._client.pipeline(commands)
        likely = []
        for number, queue in enumerate(unknown):
            self._bull[queue] = None
            meta, counter = kinds[2 * number : 2 * number + 2]
            if meta == b"hash" or counter == b"string":
                likely.append(queue)
        signs = library.probe(self._client, likely)
        states = [(queue, suffix, kind) for queue in likely for suffix, kind in _STATES]
        replies = self._client.pipeline([("TYPE", queue.key(suffix)) for queue, suffix, kind in states])
        with_state = {queue for (queue, suffix, kind), reply in zip(states, replies) if reply == kind}
        for queue, seen in zip(likely, signs):
            known = library.recognise(seen)
            # A string "…:id" alone is anybody's; Bull's counter has a state, or its pause, beside it.
            is_queue = known is not None and (
                known.system == library.BULLMQ or queue in with_state or seen.has("meta-paused", "string")
            )
            if known is not None and is_queue:
                self._bull[queue] = f"it belongs to the {known.label} queue {show(queue.base[:-1])}"

    def _look_for_sidekiq(self, tables: Sequence[bytes]) -> None:
        unknown = [table for table in dict.fromkeys(tables) if table not in self._sidekiq]
        for table, kind in zip(unknown, self._client.pipeline([("TYPE", table) for table in unknown])):
            self._sidekiq[table] = kind == b"set"

    def _celery_queue(self, name: bytes) -> Optional[str]:
        if self._celery is None:
            self._celery = self._find_celery()
        if self._separator_unknown:
            return "Celery's binding tables here have a separator of their own, so that any list may be a queue"
        for prefix, queue in self._celery:
            start = prefix + queue
            if name == start or (name.startswith(start) and _PRIORITY.fullmatch(name[len(start) :])):
                return f"it is the Celery queue {show(queue)}"
        return None

    def _find_celery(self) -> list[tuple[bytes, bytes]]:
        """Every queue in a binding table; lists of other names are no queues."""
        tables = Tables()
        scan = Scan(
            self._client,
            [_BINDINGS],
            self._budget,
            dbsize=self._endpoint.dbsize,
            overhead_seconds=self._endpoint.round_trip_seconds,
        )
        for names in scan:
            tables.read(self._client, names)
        if not scan.complete:
            raise Refused(
                "There are lists among the keys, and whether they are Celery's queues is not known: "
                f"{scan.incomplete_reason()}. Raise max_keys or max_seconds, or set type to leave lists alone."
            )
        self._separator_unknown = tables.malformed > 0
        return tables.all_queues()


_STATES = [(suffix, b"list") for suffix in STATE_LISTS] + [(suffix, b"zset") for suffix in STATE_ZSETS]
