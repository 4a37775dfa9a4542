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
from typing import Any

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import RunbookError, Unavailable
from ansible_collections.runbook.ops.plugins.module_utils.redis.client import Command, RedisClient, show
from ansible_collections.runbook.ops.plugins.module_utils.redis.endpoint import PROBE_KEY, Endpoint
from ansible_collections.runbook.ops.plugins.module_utils.redis.errors import Refusal
from ansible_collections.runbook.ops.plugins.module_utils.redis.info import integer
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue import celery_format as wire
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.celery_results import ResultReader
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.celery_sample import sample_messages
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.celery_tables import Tables
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.celery_unacked import Unacked, read_unacked
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.model import QueueFacts, SystemFacts, plural
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.request import QueueRequest
from ansible_collections.runbook.ops.plugins.module_utils.redis.scan import Scan, escape_glob

SYSTEM = "celery"
# The exchange every application declares unless it is told otherwise.
DEFAULT_EXCHANGE = b"celery"
AGE_NOTE = "Celery's messages carry no time of publication"
# A list of more clients than this is not asked for: building it would keep the server busy.
MOST_CLIENTS = 5000


def needed_commands(request: QueueRequest) -> list[Command]:
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


def useful_commands(request: QueueRequest) -> list[tuple[str, Command]]:
    """Commands whose lack costs one figure each, with the section that lacks it."""
    commands: list[tuple[str, Command]] = [
        (section, ("CLIENT", "LIST", "ID", 1)) for section in ("consumers", "unconsumed")
    ]
    if request.sample:
        commands.append(("tasks", ("MEMORY", "USAGE", PROBE_KEY, "SAMPLES", 1)))
    if request.failures:
        commands += [("failed_count", ("GETRANGE", PROBE_KEY, 0, 0)), ("failed_count", ("SCAN", 0, "COUNT", 1))]
    return commands


def read_celery(client: RedisClient, endpoint: Endpoint, request: QueueRequest, now: float) -> SystemFacts:
    """Everything about Celery in this database; raises Unavailable, and RunbookError for a queue that is not there."""
    return CeleryReader(client, endpoint, request, now).read()


class CeleryReader:
    """One reading of one database."""

    def __init__(self, client: RedisClient, endpoint: Endpoint, request: QueueRequest, now: float) -> None:
        self._client = client
        self._endpoint = endpoint
        self._request = request
        self._now = now
        self._facts = SystemFacts()
        self._naming = wire.Naming(request.prefix or b"", request.separator, request.steps)
        self._tables = Tables(request.separator)
        self._results = ResultReader(request, now)
        self._denied = {entry["section"] for entry in endpoint.skipped}

    def read(self) -> SystemFacts:
        """Queues, consumers and results."""
        if self._request.queues:
            exchanges = dict.fromkeys([*self._request.queues, DEFAULT_EXCHANGE])
            self._tables.read(self._client, [self._naming.binding(exchange) for exchange in exchanges])
            wanted = [(self._naming.prefix, name) for name in self._request.queues]
        else:
            self._discover()
            wanted = self._tables.all_queues()
        unacked = self._read_unacked({prefix for prefix, name in wanted} or {self._naming.prefix})
        self._facts.queues = [self._read_queue(prefix, name, unacked[prefix]) for prefix, name in wanted]
        self._check_missing()
        self._count_consumers(unacked)
        self._read_results()
        self._finish(unacked)
        return self._facts

    def _refused(self, section: str, refusal: Refusal) -> None:
        if refusal.code == "WRONGTYPE":
            note = f"key {refusal.key} is of another type than Celery's and was left alone"
            self._facts.notes += [] if note in self._facts.notes else [note]
        else:
            self._skip(refusal.skipped(section, self._client.user))

    def _skip(self, entry: dict[str, str]) -> None:
        if entry not in self._facts.skipped:
            self._facts.skipped.append(entry)

    # --- scans

    def _scan(self, patterns: Sequence[bytes], client: RedisClient | None = None, dbsize: int | None = None) -> Scan:
        return Scan(
            client or self._client,
            patterns,
            self._request.budget,
            dbsize=self._endpoint.dbsize if client is None else dbsize,
            overhead_seconds=self._endpoint.round_trip_seconds,
        )

    def _account(self, scan: Scan, section: str) -> None:
        self._facts.keys_seen += scan.keys_seen
        if not scan.complete:
            self._facts.complete = False
            remedy = "Raise max_keys or max_seconds, or name the queues."
            self._skip({"section": section, "reason": scan.incomplete_reason(), "remedy": remedy})

    def _discover(self) -> None:
        """Find the tables by a scan; where results are in the same database, they are read on the way."""
        prefix = self._request.prefix
        beginning = b"*" if prefix is None else escape_glob(prefix)
        with_results = self._wants_results() and self._results_are_here()
        scan = self._scan([beginning + wire.BINDING + b"*", *([self._results.pattern] if with_results else [])])
        for names in scan:
            self._tables.read(self._client, [name for name in names if self._is_ours(name)])
            if with_results:
                self._results.read(self._client, names)
        self._account(scan, "found")
        if with_results:
            self._results.finish(scan)

    def _is_ours(self, name: bytes) -> bool:
        parts = wire.split_binding_key(name)
        return parts is not None and self._request.prefix in (None, parts[0])

    # --- queues

    def _read_unacked(self, prefixes: Iterable[bytes]) -> dict[bytes, Unacked]:
        found: dict[bytes, Unacked] = {}
        for prefix in prefixes:
            queues = set(self._request.queues) or self._tables.queues(prefix)
            one = read_unacked(self._client, prefix, self._tables, queues, self._request, self._now)
            found[prefix] = one
            for refusal in one.refusals:
                self._refused("unacked", refusal)
            if one.truncated:
                self._facts.complete = False
                remedy = "Raise max_unacked."
                self._skip({"section": "unacked", "reason": one.truncated_reason, "remedy": remedy})
        return found

    def _read_queue(self, prefix: bytes, name: bytes, unacked: Unacked) -> QueueFacts:
        naming = replace(self._naming, prefix=prefix)
        facts = QueueFacts(show(name), SYSTEM, show(prefix), raw=name, oldest_age_note=AGE_NOTE)
        lengths = self._client.pipeline([("LLEN", naming.queue(name, priority)) for priority in naming.priorities])
        readable = True
        for priority, length in zip(naming.priorities, lengths):
            if isinstance(length, Refusal):
                readable = False
                facts.notes.append(f"priority {priority} could not be read: {length.reason}")
                self._refused("waiting", length)
            elif length:
                facts.priorities.append({"priority": priority, "waiting": length})
        held = unacked.of(name)
        facts.exists = bool(facts.priorities or held.count or name in self._tables.queues(prefix) or not readable)
        facts.unread = sum(entry["waiting"] for entry in facts.priorities if entry["priority"] not in naming.steps)
        facts.malformed, facts.opaque = held.broken, held.opaque
        facts.counts["waiting"] = sum(entry["waiting"] for entry in facts.priorities) if readable else None
        if unacked.known:
            facts.counts.update(active=held.count - held.delayed, delayed=held.delayed)
            facts.unacked, facts.stuck, facts.redelivery_risk = held.count, held.stuck, held.redelivery_risk
            facts.oldest_unacked_seconds = held.oldest_seconds
        if self._request.sample:
            lists = [(naming.queue(name, entry["priority"]), entry["waiting"]) for entry in facts.priorities]
            sample_messages(self._client, lists, self._request.sample, facts)
        self._explain(facts)
        return facts

    def _explain(self, facts: QueueFacts) -> None:
        """Say in words what the figures mean for the jobs."""
        timeout = f"the visibility timeout of {self._request.visibility_timeout} s"
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
        if facts.stuck:
            facts.notes.append(
                f"{plural(facts.stuck, 'message')} unacknowledged for longer than {timeout}: "
                "no worker is there to take them back"
            )
        if facts.redelivery_risk:
            facts.notes.append(
                f"{plural(facts.redelivery_risk, 'delayed message')} further ahead than {timeout}: "
                "delivered again meanwhile, so run more than once"
            )

    def _check_missing(self) -> None:
        missing = [queue for queue in self._facts.queues if not queue.exists]
        if not missing:
            return
        prefix = self._naming.prefix
        scan = self._look_around()
        reasons: dict[bytes, str] = {}
        for queue in missing:
            # It may be empty, and bound to an exchange of another name.
            queue.exists = queue.raw in self._tables.queues(prefix)
            if not queue.exists:
                reasons[queue.raw] = self._tables.why_missing(queue.raw, prefix, self._endpoint, scan)
        if reasons and self._request.missing == "error":
            raise RunbookError(" ".join(reasons.values()), endpoint=self._endpoint.facts())
        self._facts.queues = [
            # Every figure unknown, none of them 0.
            QueueFacts(one.name, SYSTEM, one.prefix, one.raw, exists=False, reason=reasons[one.raw])
            if one.raw in reasons
            else one
            for one in self._facts.queues
        ]

    def _look_around(self) -> Scan | None:
        """Search the tables after all: is the queue empty, or missing, and are we in the right place?"""
        if isinstance(self._client.ask("SCAN", 0, "COUNT", 1), Refusal):
            return None
        scan = self._scan([b"*" + wire.BINDING + b"*"])
        for names in scan:
            self._tables.read(self._client, names)
        self._account(scan, "found")
        return scan

    # --- around the queues

    def _count_consumers(self, unacked: dict[bytes, Unacked]) -> None:
        if "consumers" in self._denied:
            return
        connected = integer(self._endpoint.info, "connected_clients")
        if connected is not None and connected > MOST_CLIENTS:
            reason = f"{connected} clients are connected, too many to ask for a list"
            for section in ("consumers", "unconsumed"):
                self._skip({"section": section, "reason": reason, "remedy": "Count the workers where they run."})
            return
        clients = self._client.ask("CLIENT", "LIST")
        if isinstance(clients, Refusal):
            for section in ("consumers", "unconsumed"):
                self._refused(section, clients)
            return
        held = any(one.total for one in unacked.values())
        self._facts.consumers = wire.count_consumers(clients.decode("utf-8", "replace"), self._endpoint.db, held)

    def _wants_results(self) -> bool:
        return self._request.failures and "failed_count" not in self._denied

    def _results_are_here(self) -> bool:
        return self._request.result_db in (None, self._endpoint.db)

    def _read_results(self) -> None:
        if not self._wants_results() or self._results.finished:
            return
        if self._results_are_here():
            self._scan_results(self._scan([self._results.pattern]), self._client)
            return
        try:
            with RedisClient(replace(self._client.settings, db=self._request.result_db or 0)) as client:
                if client.select_refusal:
                    self._skip(client.select_refusal.skipped("failed_count", client.user))
                    return
                dbsize = client.ask("DBSIZE")
                scan = self._scan([self._results.pattern], client, dbsize if isinstance(dbsize, int) else None)
                self._scan_results(scan, client)
        except Unavailable as error:
            self._skip({"section": "failed_count", "reason": error.message, "remedy": "Check result_db."})

    def _scan_results(self, scan: Scan, client: RedisClient) -> None:
        for names in scan:
            self._results.read(client, names)
        self._account(scan, "failed_count")
        self._results.finish(scan)

    def _finish(self, unacked: dict[bytes, Unacked]) -> None:
        facts, results = self._facts, self._results
        for refusal in self._tables.refusals:
            self._refused("found", refusal)
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
                self._skip({"section": "failed_count", "reason": results.opaque_reason, "remedy": remedy})
        elif not self._request.failures:
            self._skip({"section": "failed_count", "reason": "failures is false", "remedy": "Set failures to true."})
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
