# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading Celery's queues: lists by priority, the unacknowledged messages, kept results.

Named queues are read without a scan. Without names the binding tables are found by one bounded SCAN, which
also finds the results.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import Unavailable
from ansible_collections.runbook.ops.plugins.module_utils.queues.model import QueueFacts, SystemFacts, plural
from ansible_collections.runbook.ops.plugins.module_utils.queues.rate import Sample
from ansible_collections.runbook.ops.plugins.module_utils.redis.client import Command, RedisClient, show
from ansible_collections.runbook.ops.plugins.module_utils.redis.connection import connect
from ansible_collections.runbook.ops.plugins.module_utils.redis.endpoint import PROBE_KEY
from ansible_collections.runbook.ops.plugins.module_utils.redis.errors import Refusal
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.celery import format as wire
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.celery.find import DEFAULT_EXCHANGE
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.celery.results import ResultReader
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.celery.sample import count_message
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.celery.tables import Tables
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.celery.unacked import Unacked, read_unacked
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.reading import QueueReader, Reading
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.request import QueueRequest
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.sampling import sample_messages
from ansible_collections.runbook.ops.plugins.module_utils.redis.scan import Scan, escape_glob

AGE_NOTE = "Celery's messages carry no time of publication"


class CeleryReader(QueueReader):
    """One reading of one database."""

    system = "celery"
    title = "Celery"
    # _kombu.binding.…, …celery-task-meta-…
    marks = (b"_ko", b"-me")

    def __init__(self, reading: Reading) -> None:
        super().__init__(reading)
        self._naming = wire.Naming(self.request.prefix or b"", self.request.separator, self.request.steps)
        self._tables = Tables(self.request.separator)
        self._results = ResultReader(self.request, self.now)
        self._unacked: dict[bytes, Unacked] = {}
        self._read_everything = False
        # Results name the queue only with result_extended.
        self.facts.failures_by_queue = False
        beginning = b"*" if self.request.prefix is None else escape_glob(self.request.prefix)
        self._binding_pattern = beginning + wire.BINDING + b"*"

    @classmethod
    def needed(cls, request: QueueRequest) -> list[Command]:
        """One harmless sample of every command without which queues cannot be read."""
        commands: list[Command] = [(name, PROBE_KEY) for name in ("LLEN", "SMEMBERS", "HLEN", "ZCARD")]
        commands += [
            ("HSTRLEN", PROBE_KEY, "x"),
            ("HGET", PROBE_KEY, "x"),
            ("ZRANGE", PROBE_KEY, 0, 0, "WITHSCORES"),
        ]
        if request.sample:
            commands.append(("LRANGE", PROBE_KEY, 0, 0))
        if not request.queues:
            commands.append(("SCAN", 0, "COUNT", 1))
        return commands

    @classmethod
    def useful(cls, request: QueueRequest) -> list[tuple[str, Command]]:
        """Commands whose lack costs one figure each, with the section that lacks it."""
        commands: list[tuple[str, Command]] = [
            (section, ("CLIENT", "LIST", "ID", 1)) for section in ("consumers", "unconsumed")
        ]
        if request.sample:
            commands.append(("tasks", ("MEMORY", "USAGE", PROBE_KEY, "SAMPLES", 1)))
        if request.failures:
            commands += [("failed_count", ("GETRANGE", PROBE_KEY, 0, 0)), ("failed_count", ("SCAN", 0, "COUNT", 1))]
        return commands

    def patterns(self) -> list[bytes]:
        """Binding tables, and results where they are in the same database and wanted."""
        return [self._binding_pattern, *([self._results.pattern] if self._reads_results_here() else [])]

    def look(self, names: Sequence[bytes]) -> None:
        """Read the tables and the results among these keys."""
        self._tables.read(self.client, [name for name in names if self._is_ours(name)])
        if self._reads_results_here():
            self._results.read(self.client, names)

    def read(self, scan: Optional[Scan]) -> SystemFacts:
        """Queues, consumers and results."""
        if self.request.queues:
            exchanges = dict.fromkeys([*self.request.queues, DEFAULT_EXCHANGE])
            self._tables.read(self.client, [self._naming.binding(exchange) for exchange in exchanges])
            wanted = [(self._naming.prefix, name) for name in self.request.queues]
        else:
            wanted = self._tables.all_queues()
            if scan is not None and self._reads_results_here():
                self._results.finish(scan)
        unacked = self._read_unacked({prefix for prefix, name in wanted} or {self._naming.prefix})
        self.facts.queues = [self._read_queue(prefix, name, unacked[prefix]) for prefix, name in wanted]
        self._unacked = unacked
        if any(queue.exists for queue in self.facts.queues) or not self.request.queues:
            self._read_around()
        return self.facts

    def why_missing(self, queues: Sequence[QueueFacts]) -> dict[bytes, str]:
        """Search the tables after all: is the queue empty and bound to an exchange of another name, or missing?"""
        scan = self._look_around()
        prefix = self._naming.prefix
        missing = [queue.raw for queue in queues if queue.raw not in self._tables.queues(prefix)]
        if len(missing) < len(queues):
            self._read_around()
        return {raw: self._tables.why_missing(raw, prefix, self.endpoint, scan) for raw in missing}

    def sample(self) -> dict[tuple[bytes, bytes], Sample]:
        """What waits now; Celery counts neither arrivals nor departures, and unacknowledged messages take decoding."""
        found = {}
        for queue in self.facts.queues:
            naming = replace(self._naming, prefix=queue.raw_prefix)
            lengths = self.client.pipeline(
                [("LLEN", naming.queue(queue.raw, priority)) for priority in naming.priorities]
            )
            known = [length for length in lengths if isinstance(length, int)]
            unfinished = sum(known) if len(known) == len(lengths) else None
            found[(naming.prefix, queue.raw)] = Sample(unfinished)
        return found

    def _reads_results_here(self) -> bool:
        return self._wants_results() and self._results_are_here()

    def _is_ours(self, name: bytes) -> bool:
        parts = wire.split_binding_key(name)
        return parts is not None and self.request.prefix in (None, parts[0])

    # --- queues

    def _read_unacked(self, prefixes: Iterable[bytes]) -> dict[bytes, Unacked]:
        found: dict[bytes, Unacked] = {}
        for prefix in prefixes:
            queues = set(self.request.queues) or self._tables.queues(prefix)
            one = read_unacked(self.client, prefix, self._tables, queues, self.request, self.now)
            found[prefix] = one
            for refusal in one.refusals:
                self.refused("unacked", refusal)
            if one.truncated:
                self.facts.complete = False
                remedy = "Raise max_unacked."
                self.skip({"section": "unacked", "reason": one.truncated_reason, "remedy": remedy})
        return found

    def _read_queue(self, prefix: bytes, name: bytes, unacked: Unacked) -> QueueFacts:
        naming = replace(self._naming, prefix=prefix)
        facts = QueueFacts(show(name), self.system, show(prefix), raw=name, raw_prefix=prefix, oldest_age_note=AGE_NOTE)
        lengths = self.client.pipeline([("LLEN", naming.queue(name, priority)) for priority in naming.priorities])
        readable = True
        for priority, length in zip(naming.priorities, lengths):
            if isinstance(length, Refusal):
                readable = False
                facts.notes.append(f"priority {priority} could not be read: {length.reason}")
                self.refused("waiting", length)
            elif length:
                facts.priorities.append({"priority": priority, "waiting": length})
        held = unacked.of(name)
        facts.exists = bool(facts.priorities or held.count or name in self._tables.queues(prefix) or not readable)
        facts.unread = sum(entry["waiting"] for entry in facts.priorities if entry["priority"] not in naming.steps)
        facts.malformed, facts.opaque = held.broken, held.opaque
        facts.counts["waiting"] = sum(entry["waiting"] for entry in facts.priorities) if readable else None
        if unacked.known:
            facts.counts.update(active=held.count - held.delayed, delayed=held.delayed)
            facts.unacked, facts.stalled, facts.redelivery_risk = held.count, held.stalled, held.redelivery_risk
            facts.oldest_unacked_seconds = held.oldest_seconds
        if self.request.sample:
            lists = [(naming.queue(name, entry["priority"]), entry["waiting"]) for entry in facts.priorities]
            sample_messages(self.client, lists, self.request.sample, facts, count_message)
        self._explain(facts)
        return facts

    def _explain(self, facts: QueueFacts) -> None:
        """Say in words what the figures mean for the jobs."""
        timeout = f"the visibility timeout of {self.request.visibility_timeout} s"
        if facts.unread:
            odd = [str(entry["priority"]) for entry in facts.priorities if entry["priority"] not in self._naming.steps]
            steps = ", ".join(map(str, self._naming.steps))
            facts.notes.append(
                f"{plural(facts.unread, 'message')} of priority {', '.join(odd)}: workers with priority_steps {steps} "
                "never fetch them"
            )
        if facts.malformed:
            facts.notes.append(f"{plural(facts.malformed, 'message')} of those looked at cannot be decoded")
        if facts.opaque:
            facts.notes.append(
                f"{plural(facts.opaque, 'message')} of those looked at are not JSON; their bodies were not opened"
            )
        if facts.stalled:
            facts.notes.append(
                f"{plural(facts.stalled, 'message')} unacknowledged for longer than {timeout}: "
                "no worker is there to take them back"
            )
        if facts.redelivery_risk:
            facts.notes.append(
                f"{plural(facts.redelivery_risk, 'delayed message')} further ahead than {timeout}: "
                "delivered again meanwhile, so run more than once"
            )

    def _look_around(self) -> Scan | None:
        """Search the tables after all: is the queue empty, or missing, and are we in the right place?"""
        if isinstance(self.client.ask("SCAN", 0, "COUNT", 1), Refusal):
            return None
        scan = self.reading.scan([b"*" + wire.BINDING + b"*"])
        for names in scan:
            self._tables.read(self.client, names)
        self.account(scan, "found")
        return scan

    # --- around the queues

    def _count_consumers(self, unacked: dict[bytes, Unacked]) -> None:
        clients = self.reading.client_list()
        if isinstance(clients, dict):
            for section in ("consumers", "unconsumed"):
                self.skip({**clients, "section": section})
        elif clients is not None:
            held = any(one.total for one in unacked.values())
            self.facts.consumers = wire.count_consumers(clients, self.endpoint.db, held)
            for queue in self.facts.queues:
                queue.consumers = self.facts.consumers

    def _wants_results(self) -> bool:
        return self.request.failures and "failed_count" not in self.reading.denied

    def _results_are_here(self) -> bool:
        return self.request.result_db in (None, self.endpoint.db)

    def _read_results(self) -> None:
        if not self._wants_results() or self._results.finished:
            return
        if self._results_are_here():
            self._scan_results(self.reading.scan([self._results.pattern]), self.client)
            return
        try:
            with connect(replace(self.client.settings, db=self.request.result_db or 0)) as client:
                if client.select_refusal:
                    self.skip(client.select_refusal.skipped("failed_count", client.user))
                    return
                dbsize = client.ask("DBSIZE")
                scan = self.reading.scan(
                    [self._results.pattern], client=client, dbsize=dbsize if isinstance(dbsize, int) else None
                )
                self._scan_results(scan, client)
        except Unavailable as error:
            self.skip({"section": "failed_count", "reason": error.message, "remedy": "Check result_db."})

    def _scan_results(self, scan: Scan, client: RedisClient) -> None:
        for names in scan:
            self._results.read(client, names)
        self.account(scan, "failed_count")
        self._results.finish(scan)

    def _read_around(self) -> None:
        """Consumers and results, once it is known that there are Celery's queues at all."""
        if not self._read_everything:
            self._read_everything = True
            self._count_consumers(self._unacked)
            self._read_results()
            self._finish(self._unacked)

    def _finish(self, unacked: dict[bytes, Unacked]) -> None:
        facts, results = self.facts, self._results
        for refusal in self._tables.refusals:
            self.refused("found", refusal)
        facts.unattributed = sum_up(unacked.values())
        if results.finished:
            results.attribute(facts.queues, [one for table in self._tables.bindings.values() for one in table])
            facts.failures, facts.failed_seen = results.failures, results.failures.count
            facts.failed_count = results.failures.count if results.certain else None
            facts.results = results.statuses
            facts.unattributed["failures"] = results.unattributed
            facts.notes += results.notes
            if results.opaque:
                remedy = "Use the JSON serializer for results."
                self.skip({"section": "failed_count", "reason": results.opaque_reason, "remedy": remedy})
        elif not self.request.failures:
            self.skip({"section": "failed_count", "reason": "failures is false", "remedy": "Set failures to true."})
        if self._tables.malformed:
            facts.notes.append(
                f"{plural(self._tables.malformed, 'binding')} could not be read; is separator the application's own?"
            )
        if facts.unattributed["without_index"]:
            facts.notes.append(
                f"{plural(facts.unattributed['without_index'], 'unacknowledged message')} without an entry in the "
                "index: nothing ever takes them back"
            )


def sum_up(unacked: Iterable[Unacked]) -> dict[str, Any]:
    """The unacknowledged messages that belong to none of the queues, over all prefixes."""
    totals: dict[str, Any] = {"unacked": 0, "malformed": 0, "too_large": 0, "other_queues": 0, "without_index": 0}
    for one in unacked:
        totals["unacked"] += one.unattributed
        totals["malformed"] += one.malformed
        totals["too_large"] += one.too_large
        totals["other_queues"] += one.other_queues
        if totals["without_index"] is not None:
            totals["without_index"] = totals["without_index"] + one.without_index if one.known else None
    totals["failures"] = None
    return totals
