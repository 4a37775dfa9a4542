# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Celery's binding tables: which queues there are, and what to say when one is not among them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from ansible_collections.runbook.ops.plugins.module_utils.queues.model import listed
from ansible_collections.runbook.ops.plugins.module_utils.redis.client import RedisClient, show
from ansible_collections.runbook.ops.plugins.module_utils.redis.endpoint import Endpoint
from ansible_collections.runbook.ops.plugins.module_utils.redis.errors import Refusal
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.celery import format as wire
from ansible_collections.runbook.ops.plugins.module_utils.redis.scan import Scan


@dataclass
class Tables:
    """Binding tables by key prefix."""

    separator: bytes = wire.SEPARATOR
    bindings: dict[bytes, list[wire.Binding]] = field(default_factory=dict)
    malformed: int = 0
    refusals: list[Refusal] = field(default_factory=list)

    def read(self, client: RedisClient, keys: Sequence[bytes]) -> None:
        """Read the tables among these keys."""
        named = [(key, parts) for key in keys for parts in [wire.split_binding_key(key)] if parts is not None]
        replies = client.pipeline([("SMEMBERS", key) for key, parts in named])
        for (prefix, exchange), members in zip([parts for key, parts in named], replies):
            if isinstance(members, Refusal):
                self.refusals.append(members)
                continue
            found, malformed = wire.parse_bindings(exchange, members, self.separator)
            self.malformed += malformed
            known = self.bindings.setdefault(prefix, []) if found else []
            known.extend(binding for binding in found if binding not in known)

    def of(self, prefix: bytes) -> list[wire.Binding]:
        """The bindings under a prefix."""
        return self.bindings.get(prefix, [])

    def exchanges(self, prefix: bytes) -> set[bytes]:
        """The exchanges whose tables are known."""
        return {binding.exchange for binding in self.of(prefix)}

    def queues(self, prefix: bytes) -> set[bytes]:
        """The queues under a prefix."""
        return {binding.queue for binding in self.of(prefix)}

    def all_queues(self) -> list[tuple[bytes, bytes]]:
        """Every queue as prefix and name, in order."""
        return sorted((prefix, queue) for prefix in self.bindings for queue in self.queues(prefix))

    def why_missing(self, name: bytes, prefix: bytes, endpoint: Endpoint, scan: Scan | None) -> str:
        """Where a queue was looked for, and what is there instead. C(scan): the search, if there was one."""
        parts = [
            f"Queue {show(name)!r} does not exist in {endpoint.place} with key prefix {show(prefix)!r}: "
            "it has no list, no binding and no unacknowledged message."
        ]
        here = self.queues(prefix)
        if here:
            parts.append(f"Queues there: {listed(show(queue) for queue in here)}.")
        others = [other for other in self.bindings if other != prefix]
        for other in sorted(others):
            names = listed(show(queue) for queue in self.queues(other))
            parts.append(f"Queues with key prefix {show(other)!r}: {names}; set key_prefix.")
        if not here and not others:
            parts.append(f"No Celery queue was found{'' if scan is None else f' among {scan.keys_seen} keys'}.")
        if scan is not None and not scan.complete:
            parts.append(f"The search is not complete: {scan.incomplete_reason()}.")
        return " ".join([*parts, endpoint.elsewhere()]).strip()
