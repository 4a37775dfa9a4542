# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Results that tasks left behind: the only place where Celery's failures can be found afterwards."""

from __future__ import annotations

from collections.abc import Sequence

from ansible_collections.runbook.ops.plugins.module_utils.queues.model import Failures, QueueFacts, plural
from ansible_collections.runbook.ops.plugins.module_utils.queues.reasons import normalise, scrub
from ansible_collections.runbook.ops.plugins.module_utils.redis.client import RedisClient
from ansible_collections.runbook.ops.plugins.module_utils.redis.errors import Refusal
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.celery import format as wire
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.request import QueueRequest
from ansible_collections.runbook.ops.plugins.module_utils.redis.scan import Scan, compile_glob, escape_glob

# So much of a failed result is read: the exception and its traceback, not a task's whole output.
RESULT_BYTES = 64 * 1024
BATCH = 200


class ResultReader:
    """Collects results batch by batch, as a scan finds them."""

    def __init__(self, request: QueueRequest, now: float) -> None:
        self.statuses: dict[str, int] = {}
        self.failures = Failures()
        self.by_queue: dict[bytes, Failures] = {}
        self.unattributed = 0
        self.opaque = 0
        self.finished = False
        self.complete = False
        self.notes: list[str] = []
        prefix = request.result_prefix
        beginning = b"*" if prefix is None else escape_glob(wire.result_prefix(prefix))
        self.pattern = beginning + wire.TASK_RESULT + b"*"
        self._matcher = compile_glob(self.pattern)
        self._earliest = None if request.failed_within is None else now - request.failed_within

    def read(self, client: RedisClient, names: Sequence[bytes]) -> None:
        """Read the results among these keys: a few bytes of each, more only of the failed ones."""
        mine = [name for name in names if self._matcher.match(name)]
        for start in range(0, len(mine), BATCH):
            batch = mine[start : start + BATCH]
            beginnings = client.pipeline([("GETRANGE", name, 0, wire.STATUS_BYTES - 1) for name in batch])
            closer: list[bytes] = []
            for name, beginning in zip(batch, beginnings):
                if isinstance(beginning, Refusal) or not beginning:
                    # Of another type, not ours to read, or expired in between.
                    continue
                status = wire.parse_status(beginning)
                if status in (None, "FAILURE"):
                    closer.append(name)
                else:
                    self._count(str(status))
            self._read_closer(client, closer)

    def _read_closer(self, client: RedisClient, names: Sequence[bytes]) -> None:
        for raw in client.pipeline([("GETRANGE", name, 0, RESULT_BYTES - 1) for name in names]):
            if isinstance(raw, Refusal) or not raw:
                continue
            result = wire.parse_result(raw)
            if result is None and wire.parse_status(raw) == "FAILURE":
                result = wire.TaskResult("FAILURE", "(a result too long to read)")
            if result is None:
                self.opaque += 1
            elif result.status == "FAILURE":
                self._add_failure(result)
            else:
                self._count(result.status)

    def _count(self, status: str) -> None:
        self.statuses[status] = self.statuses.get(status, 0) + 1

    def _add_failure(self, result: wire.TaskResult) -> None:
        self._count("FAILURE")
        if self._earliest is not None and result.done_at is not None and result.done_at < self._earliest:
            return
        reason, example = normalise(result.reason), scrub(result.reason)
        self.failures.add(reason, example)
        if result.queue is None:
            self.unattributed += 1
        else:
            self.by_queue.setdefault(result.queue, Failures()).add(reason, example)

    @property
    def certain(self) -> bool:
        """Whether every kept result was seen and understood."""
        return self.complete and not self.opaque

    @property
    def opaque_reason(self) -> str:
        """About results that were not opened."""
        return f"{plural(self.opaque, 'result')} not in JSON (pickle, YAML), whose status is unknown"

    def finish(self, scan: Scan) -> None:
        """The scan is over; figures from a part of the results are not made into totals."""
        self.finished = True
        self.complete = scan.complete
        if not scan.complete:
            so_far = plural(self.failures.count, "failure")
            self.notes.append(f"results are not complete: {scan.incomplete_reason()}; {so_far} so far")
        if self.opaque:
            self.notes.append(f"{self.opaque_reason}: they were not opened")
        if self.unattributed:
            self.notes.append(
                f"{plural(self.unattributed, 'failure')} cannot be assigned to a queue: results name it only with "
                "the setting result_extended"
            )

    def attribute(self, queues: Sequence[QueueFacts], bindings: Sequence[wire.Binding]) -> None:
        """Give each queue its failures; where some lack a queue, nobody's number is known."""
        names = {queue.raw for queue in queues}
        shares: dict[bytes, Failures] = {}
        for routing_key, failures in self.by_queue.items():
            bound = {binding.queue for binding in bindings if binding.routing_key == routing_key}
            owner = routing_key if routing_key in names or len(bound) != 1 else next(iter(bound))
            shares[owner] = failures
        for queue in queues:
            if not queue.exists:
                continue
            queue.failures = shares.get(queue.raw, Failures())
            queue.counts["failed"] = queue.failures.count if self.certain and not self.unattributed else None
