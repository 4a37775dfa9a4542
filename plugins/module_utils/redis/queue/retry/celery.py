# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Putting failed tasks of Celery back: each is sent again, made of its result.

Celery keeps no failed jobs. What is needed to send one again is in its result only with the setting result_extended,
and only as JSON. Everything else is refused with the reason; no pickle is ever opened.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import RunbookError
from ansible_collections.runbook.ops.plugins.module_utils.common.outcome import Refused
from ansible_collections.runbook.ops.plugins.module_utils.queues.model import plural
from ansible_collections.runbook.ops.plugins.module_utils.redis.client import Command, RedisClient, show
from ansible_collections.runbook.ops.plugins.module_utils.redis.connection import connect_server
from ansible_collections.runbook.ops.plugins.module_utils.redis.endpoint import Endpoint
from ansible_collections.runbook.ops.plugins.module_utils.redis.errors import CommandRefused, Refusal
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.celery import format as wire
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.celery.again import (
    FailedTask,
    message_again,
    parse_failed,
)
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.celery.find import (
    commands_to_find,
    find_queue,
    lengths,
)
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.celery.results import BATCH
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.celery.tables import Tables
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.retry.system import (
    GONE,
    RETRIED,
    FailedJob,
    RetrySystem,
    Target,
)
from ansible_collections.runbook.ops.plugins.module_utils.redis.scan import Budget, Scan, escape_glob
from ansible_collections.runbook.ops.plugins.module_utils.redis.script import Script
from ansible_collections.runbook.ops.plugins.module_utils.redis.writing import script_stopped

# Results longer than this are not read; results of failures hold the traceback.
LONGEST_RESULT = 1024 * 1024
# All results are looked at, however many there are: those that are missed would not be retried.
SEARCH = Budget(max_keys=100_000_000, max_seconds=3600.0)

NOT_EXTENDED = (
    "its result does not keep {fields}",
    "Send it again from the application. For the next time set result_extended in Celery's configuration, which "
    "keeps what is needed in the results of tasks that run from then on.",
)
IN_GROUP = (
    "it belongs to a group or chord, whose count of finished tasks would not be right afterwards",
    "Start the group or chord again from the application.",
)
TOO_LONG = (
    f"its result is longer than {LONGEST_RESULT} bytes and was not read",
    "Send it again from the application.",
)

# KEYS: the list. ARGV: the database of the list and that of the results ("" for both: the same), then of each task the
# key of its result, the result as it was read, and the message. The keys of results are in another database, where KEYS
# cannot lead. A result that is still what it was is deleted in the same step in which its message is pushed, so that
# nobody pushes it again; without it a task is pending, as one that was just sent. The message is pushed first, which
# the server refuses when it takes no writes.
# It answers with 1 or 0 a task, or with why it did nothing: {"type", key, found, wanted} or {"error", message}.
RETRY = r"""
local list, home, results = KEYS[1], ARGV[1], ARGV[2]
local found = redis.call("TYPE", list).ok
if found ~= "none" and found ~= "list" then return {"type", list, found, "list"} end
local function go(database) if database ~= "" then redis.call("SELECT", database) end end
local outcomes, chosen, seen = {}, {}, {}
go(results)
for position = 3, #ARGV, 3 do
  local key = ARGV[position]
  local same = not seen[key] and redis.call("TYPE", key).ok == "string" and redis.call("GET", key) == ARGV[position + 1]
  seen[key] = true
  outcomes[#outcomes + 1] = same and 1 or 0
  if same then chosen[#chosen + 1] = position end
end
go(home)
for number, position in ipairs(chosen) do
  local pushed
  if number == 1 then pushed = redis.pcall("LPUSH", list, ARGV[position + 2])
  else pushed = redis.call("LPUSH", list, ARGV[position + 2]) end
  if type(pushed) == "table" and pushed.err then return {"error", pushed.err} end
end
go(results)
for _, position in ipairs(chosen) do redis.call("UNLINK", ARGV[position]) end
go(home)
return outcomes
"""


class CeleryRetry(RetrySystem):
    """Failed tasks of one queue, by their results."""

    system = "celery"
    title = "Celery"

    def __init__(self, client: RedisClient, endpoint: Endpoint, target: Target) -> None:
        super().__init__(client, endpoint, target)
        self.naming = naming_of(target)
        database = target.options.get("result_db")
        self._database: Optional[int] = None if database in (None, endpoint.db) else database
        self._result_key = wire.result_prefix(target.options.get("result_key_prefix") or b"") + wire.TASK_RESULT
        self._tables = Tables(self.naming.separator)
        self._notes: list[str] = []
        # When each failed and the key of its result; what is in the results is read again when it is needed.
        self._found: Optional[list[tuple[float, bytes]]] = None
        self._script = Script("retry", RETRY)

    @classmethod
    def needed(cls, target: Target) -> list[Command]:
        """Every command with keys of this queue, so that the permissions for them are seen too."""
        naming = naming_of(target)
        prefix = wire.result_prefix(target.options.get("result_key_prefix") or b"")
        waiting, result = naming.queue(target.queue, 0), prefix + wire.TASK_RESULT + b"runbook.ops"
        other = target.options.get("result_db")
        return [
            *commands_to_find(naming, target.queue),
            ("TYPE", waiting),
            ("LPUSH", waiting, "{}"),
            ("LRANGE", waiting, 0, 0),
            ("MEMORY", "USAGE", waiting),
            ("TYPE", result),
            ("GETRANGE", result, 0, 0),
            ("STRLEN", result),
            ("GET", result),
            ("UNLINK", result),
            ("EVAL", "return 1", 0),
            ("EVALSHA", "0" * 40, 0),
            *([] if other is None else [("SELECT", other)]),
        ]

    def check(self) -> dict[str, Any]:
        """Is there such a queue, and do its workers read JSON?"""
        self._tables, missing = find_queue(self.client, self.endpoint, self.naming, self.target.queue)
        if missing is not None:
            raise RunbookError(missing)
        if self.client.is_cluster:
            raise Refused(f"{self.client.where} is a Redis Cluster, which Celery does not support as a broker.")
        self._check_messages()
        self._notes += [
            "Celery keeps no failed jobs: each task is sent again, made of its result. Callbacks, the rest of a chain, "
            "time limits and priorities are not in results and are lost",
            "Tasks with ignore_result leave no trace when they fail, so they are not among these",
        ]
        return {"library": "Celery", "paused": None, "notes": self._notes}

    def _check_messages(self) -> None:
        """Raise Refused where waiting messages are not JSON: workers may refuse ours, and throw them away."""
        for priority, length in zip(self.naming.priorities, lengths(self.client, self.naming, self.target.queue)):
            key = self.naming.queue(self.target.queue, priority)
            size = self.client.ask("MEMORY", "USAGE", key, "SAMPLES", 5) if length else None
            if not isinstance(size, int) or size / length > LONGEST_RESULT:
                continue
            messages = self.client.call("LRANGE", key, -min(length, 5), -1)
            if any(message.opaque for message in map(wire.parse_message, messages) if message is not None):
                raise Refused(
                    f"Messages in queue {show(self.target.queue)!r} are not JSON but another format (pickle, YAML). "
                    "Its workers may accept nothing else and throw a message in JSON away. Send the tasks again from "
                    "the application, and use the serializer json."
                )

    def counts(self) -> dict[str, Optional[int]]:
        """Messages that wait, of all priorities; failures are known only after reading all results."""
        waiting = sum(lengths(self.client, self.naming, self.target.queue))
        return {"failed": None, "waiting": waiting, "paused": None}

    def failed(self) -> Iterator[list[FailedJob]]:
        """By the time when each task was done."""
        with self._results() as client:
            if self._found is None:
                self._found = sorted(self._search(client))
            for start in range(0, len(self._found), BATCH):
                keys = [key for done_at, key in self._found[start : start + BATCH]]
                page = [job for job in self._read(client, keys) if job is not None]
                if page:
                    yield page

    def retry(self, jobs: Sequence[FailedJob], *, reset_attempts: bool) -> list[str]:
        """One script call; what is in a result is read just before, and compared in the script."""
        keys = [self._key_of(job) for job in jobs]
        with self._results() as client:
            raws = client.pipeline([("GET", key) for key in keys])
        home, results = ("", "") if self._database is None else (self.endpoint.db, self._database)
        arguments: list[Any] = [home, results]
        chosen = []
        for position, (job, key, raw) in enumerate(zip(jobs, keys, raws)):
            task = parse_failed(raw, show(job.id)) if isinstance(raw, bytes) else None
            # A failure of another time is another failure.
            if task is None or task.lacks or task.done_at != job.failed_at:
                continue
            message = message_again(task, self.target.queue, str(uuid.uuid4()), reset_attempts=reset_attempts)
            arguments += [key, raw, message]
            chosen.append(position)
        outcomes = [GONE] * len(jobs)
        if chosen:
            for position, moved in zip(chosen, self._run(arguments)):
                outcomes[position] = RETRIED if moved else GONE
        return outcomes

    def _run(self, arguments: Sequence[Any]) -> Sequence[int]:
        reply = self._script.run(self.client, [self.naming.queue(self.target.queue, 0)], arguments)
        if reply and reply[0] == b"type":
            raise Refused(
                f"{show(reply[1])} is of type {show(reply[2])}, and Celery keeps a list there, so nothing was touched. "
                "Find out what writes that key, and move it away (RENAME)."
            )
        if reply and reply[0] == b"error":
            raise script_stopped(self.client.where, reply[1])
        found: Sequence[int] = reply
        return found

    # --- results

    def _results(self) -> AbstractContextManager[RedisClient]:
        """A client for the database with the results."""
        if self._database is None:
            return nullcontext(self.client)
        return connect_server(replace(self.client.settings, db=self._database))

    def _key_of(self, job: FailedJob) -> bytes:
        return self._result_key + job.id

    def _search(self, client: RedisClient) -> Iterator[tuple[float, bytes]]:
        """Every failed task that is, or may be, of this queue."""
        if client.select_refusal is not None:
            raise CommandRefused(client.select_refusal)
        opaque = 0
        scan = Scan(client, [escape_glob(self._result_key) + b"*"], SEARCH, dbsize=None)
        for names in scan:
            for start in range(0, len(names), BATCH):
                batch = names[start : start + BATCH]
                beginnings = client.pipeline([("GETRANGE", name, 0, wire.STATUS_BYTES - 1) for name in batch])
                closer = []
                for name, beginning in zip(batch, beginnings):
                    status = wire.parse_status(beginning) if isinstance(beginning, bytes) else None
                    if status in (None, "FAILURE") and isinstance(beginning, bytes) and beginning:
                        closer.append(name)
                        opaque += status is None and not beginning.lstrip().startswith(b"{")
                for name, job in zip(closer, self._read(client, closer)):
                    if job is not None:
                        yield job.failed_at or 0.0, name
        if not scan.complete:
            raise RunbookError(f"Results were not all found: {scan.incomplete_reason()}. Nothing was touched.")
        if opaque:
            self._notes.append(
                f"{plural(opaque, 'result')} not in JSON (pickle, YAML): not opened, so whether they are of failed "
                "tasks is not known"
            )

    def _read(self, client: RedisClient, keys: Sequence[bytes]) -> list[Optional[FailedJob]]:
        """The failed tasks behind these keys, None for what is none of this queue."""
        sizes = client.pipeline([("STRLEN", key) for key in keys])
        small = [key for key, size in zip(keys, sizes) if isinstance(size, int) and size <= LONGEST_RESULT]
        raws: dict[bytes, Any] = dict(zip(small, client.pipeline([("GET", key) for key in small])))
        found: list[Optional[FailedJob]] = []
        for key, size in zip(keys, sizes):
            identifier = key[len(self._result_key) :]
            if isinstance(size, Refusal):
                found.append(None)
            elif key not in raws:
                found.append(
                    FailedJob(identifier, "(a result too long to read)", refusal=TOO_LONG[0], remedy=TOO_LONG[1])
                )
            else:
                found.append(self._job(identifier, raws[key]))
        return found

    def _job(self, identifier: bytes, raw: Any) -> Optional[FailedJob]:
        task = parse_failed(raw, show(identifier)) if isinstance(raw, bytes) else None
        if task is None or not self._is_ours(task):
            return None
        refusal = remedy = None
        if task.lacks:
            refusal, remedy = NOT_EXTENDED[0].format(fields=_listed(task.lacks)), NOT_EXTENDED[1]
        elif task.group_id is not None:
            refusal, remedy = IN_GROUP
        return FailedJob(identifier, task.reason, task.name, task.done_at, refusal, None, remedy)

    def _is_ours(self, task: FailedTask) -> bool:
        """Whether a task came from this queue. A result that does not say it may be of any, and is refused."""
        if task.routing_key is None or task.routing_key == self.target.queue:
            return True
        bound = {
            binding.queue
            for binding in self._tables.of(self.naming.prefix)
            if binding.routing_key == task.routing_key or wire.topic_matches(binding.routing_key, task.routing_key)
        }
        return bound == {self.target.queue}


def naming_of(target: Target) -> wire.Naming:
    """How the application names its keys, by the options of the module."""
    options = target.options
    return wire.Naming(
        target.prefix or b"",
        options.get("separator") or wire.SEPARATOR,
        tuple(options.get("priority_steps") or wire.PRIORITY_STEPS),
    )


def _listed(fields: Sequence[str]) -> str:
    return fields[0] if len(fields) == 1 else f"{', '.join(fields[:-1])} and {fields[-1]}"
