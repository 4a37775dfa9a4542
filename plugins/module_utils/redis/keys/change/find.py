# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Finds the keys that redis_key is about."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from ansible_collections.runbook.ops.plugins.module_utils.common.outcome import Refused
from ansible_collections.runbook.ops.plugins.module_utils.common.progress import Progress
from ansible_collections.runbook.ops.plugins.module_utils.redis.client import Command, RedisClient
from ansible_collections.runbook.ops.plugins.module_utils.redis.endpoint import PROBE_KEY, Endpoint
from ansible_collections.runbook.ops.plugins.module_utils.redis.errors import CommandRefused, Refusal
from ansible_collections.runbook.ops.plugins.module_utils.redis.keys.change.evidence import QueueEvidence
from ansible_collections.runbook.ops.plugins.module_utils.redis.keys.change.plan import Key, Plan, is_due, to_measure
from ansible_collections.runbook.ops.plugins.module_utils.redis.keys.change.protect import own_reason, wished_reason
from ansible_collections.runbook.ops.plugins.module_utils.redis.keys.change.request import KeyRequest, Pattern
from ansible_collections.runbook.ops.plugins.module_utils.redis.scan import Scan

# Nested values of a collection that MEMORY USAGE looks at.
MEMORY_SAMPLES = 5
# So many keys are looked at before the progress moves on.
LOOKS = 1000


@dataclass
class Search:
    """One look at one database; C(find) may be called again to see what became of it."""

    client: RedisClient
    endpoint: Endpoint
    request: KeyRequest
    progress: Progress

    def find(self) -> Plan:
        """The keys that match, sorted into due, protected and unreadable ones; raises Refused, Unavailable, Stopped."""
        plan = Plan()
        evidence = QueueEvidence(self.client, self.endpoint, self.request.budget)
        self.progress.phase("find", self.endpoint.place, total=self.endpoint.dbsize, unit="keys")
        exact = [pattern.text for pattern in self.request.keys]
        self._sort(plan, evidence, exact)
        if self.request.patterns:
            named = set(exact)
            # The budget is for walking through the keys; what is then asked about each takes its own time.
            names = [name for batch in self._scan(plan) for name in batch if name not in named]
            self.progress.phase("look", self.endpoint.place, total=len(names), unit="keys")
            for start in range(0, len(names), LOOKS):
                self._sort(plan, evidence, names[start : start + LOOKS])
                self.progress.advance(len(names[start : start + LOOKS]))
        return plan

    def measure(self, plan: Plan) -> dict[bytes, int]:
        """Bytes of some of the keys that are due, by name; without those that are gone or may not be measured."""
        names = to_measure(plan.due)
        self.progress.phase("measure", "memory", total=len(names), unit="keys")
        sizes = self.client.pipeline([("MEMORY", "USAGE", name, "SAMPLES", MEMORY_SAMPLES) for name in names])
        return {name: size for name, size in zip(names, sizes) if isinstance(size, int)}

    def _scan(self, plan: Plan) -> Iterator[list[bytes]]:
        scan = Scan(
            self.client,
            [pattern.text for pattern in self.request.patterns],
            self.request.budget,
            dbsize=self.endpoint.dbsize,
            overhead_seconds=self.endpoint.round_trip_seconds,
        )
        for names in scan:
            self.progress.at(scan.keys_seen)
            yield names
        plan.complete, plan.keys_seen = scan.complete, scan.keys_seen
        plan.incomplete_reason = "" if scan.complete else scan.incomplete_reason()

    def _sort(self, plan: Plan, evidence: QueueEvidence, names: Sequence[bytes]) -> None:
        candidates = []
        for key in self._look(plan, names):
            plan.names[key.pattern] = plan.names.get(key.pattern, 0) + 1
            reason = wished_reason(key.name, self.request.protect) or own_reason(key.name, key.pattern)
            if reason:
                plan.protect(key, reason)
            else:
                candidates.append(key)
        # Only what would be touched needs a closer look.
        due = [(key.name, key.kind) for key in candidates if is_due(key, self.request)]
        reasons = evidence.reasons(due) if due else {}
        for key in candidates:
            if key.name in reasons:
                plan.protect(key, reasons[key.name])
            else:
                plan.take(key, self.request)

    def _look(self, plan: Plan, names: Sequence[bytes]) -> Iterator[Key]:
        """Type, time to live and idle time of keys, which none of these commands touches."""
        request = self.request
        asks = [("TYPE",), ("PTTL",), *([("OBJECT", "IDLETIME")] if request.min_idle else [])]
        replies = self.client.pipeline([(*ask, name) for name in names for ask in asks])
        width = len(asks)
        for number, name in enumerate(names):
            pattern = request.pattern_of(name)
            kind, ttl, *idle = replies[width * number : width * (number + 1)]
            if pattern is None or kind == b"none":
                continue
            refusal = next((reply for reply in (kind, ttl, *idle) if isinstance(reply, Refusal)), None)
            if refusal is not None:
                self._unreadable(plan, pattern, refusal)
                continue
            if request.types and kind.decode("ascii", "replace") not in request.types:
                continue
            # None: the key ended between the two commands. The server says idle times in seconds.
            if ttl == -2 or (idle and (idle[0] is None or idle[0] < (request.min_idle or 0))):
                continue
            yield Key(name, kind.decode("ascii", "replace"), ttl, pattern)

    def _unreadable(self, plan: Plan, pattern: Pattern, refusal: Refusal) -> None:
        if "LFU" in refusal.text:
            raise Refused(
                "min_idle needs the times that keys were last used, which the server does not keep under "
                f"maxmemory-policy {self.endpoint.info.get('maxmemory_policy', '*-lfu')}. Leave min_idle out."
            )
        if refusal.code != "NOPERM":
            raise CommandRefused(refusal)
        plan.unreadable[pattern.label] = plan.unreadable.get(pattern.label, 0) + 1


def needed(request: KeyRequest) -> list[Command]:
    """One harmless sample of every reading command that is going to be used."""
    commands: list[Command] = [("TYPE", PROBE_KEY), ("PTTL", PROBE_KEY)]
    if request.patterns:
        commands.append(("SCAN", 0, "COUNT", 1))
    if request.min_idle:
        commands.append(("OBJECT", "IDLETIME", PROBE_KEY))
    return commands


def useful() -> list[tuple[str, Command]]:
    """Commands whose lack costs a figure."""
    return [("bytes", ("MEMORY", "USAGE", PROBE_KEY, "SAMPLES", 1))]


def batches(keys: Sequence[Key], size: Iterable[int]) -> Iterator[Sequence[Key]]:
    """The keys in portions; C(size) says anew how large the next one may be."""
    start = 0
    for most in size:
        if start >= len(keys):
            return
        yield keys[start : start + most]
        start += most
