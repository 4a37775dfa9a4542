# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Putting dead jobs of Sidekiq 6, 7 and 8 back."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import RunbookError
from ansible_collections.runbook.ops.plugins.module_utils.common.outcome import Refused
from ansible_collections.runbook.ops.plugins.module_utils.queues.model import plural
from ansible_collections.runbook.ops.plugins.module_utils.redis.client import Command, RedisClient, show
from ansible_collections.runbook.ops.plugins.module_utils.redis.endpoint import Endpoint
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.answers import answers
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.bounded import entries_a_step
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.one_slot import require_one_slot
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.retry.ordered import Entry, last_entry, pages
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.retry.system import (
    GONE,
    RETRIED,
    FailedJob,
    RetrySystem,
    Target,
)
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.sidekiq import format as wire
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.sidekiq.processes import read_processes
from ansible_collections.runbook.ops.plugins.module_utils.redis.script import Script
from ansible_collections.runbook.ops.plugins.module_utils.redis.writing import script_stopped

# What Sidekiq adds to a job when it fails (job_retry.rb); a job without them begins anew.
FAILURE_FIELDS = ("retry_count", "failed_at", "retried_at", "error_class", "error_message", "error_backtrace")

# KEYS: dead, the list, the set of queues. ARGV: the queue, then each job as it is in dead, and as it goes to the list.
# Sidekiq's own retry takes the job out and puts it in with two commands: between them it is nowhere. Here it is pushed
# first, which the server refuses when it takes no writes.
# It answers with 1 or 0 a job, or with why it did nothing: {"type", key, found, wanted} or {"error", message}.
RETRY = r"""
local dead, list, queues = KEYS[1], KEYS[2], KEYS[3]
for position, wanted in ipairs({"zset", "list", "set"}) do
  local found = redis.call("TYPE", KEYS[position]).ok
  if found ~= "none" and found ~= wanted then return {"type", KEYS[position], found, wanted} end
end
local outcomes, chosen, seen = {}, {}, {}
for position = 2, #ARGV, 2 do
  local there = not seen[ARGV[position]] and redis.call("ZSCORE", dead, ARGV[position])
  seen[ARGV[position]] = true
  outcomes[#outcomes + 1] = there and 1 or 0
  if there then chosen[#chosen + 1] = position end
end
for number, position in ipairs(chosen) do
  local pushed
  if number == 1 then pushed = redis.pcall("LPUSH", list, ARGV[position + 1])
  else pushed = redis.call("LPUSH", list, ARGV[position + 1]) end
  if type(pushed) == "table" and pushed.err then return {"error", pushed.err} end
  redis.call("ZREM", dead, ARGV[position])
end
if #chosen > 0 then redis.call("SADD", queues, ARGV[1]) end
return outcomes
"""


class SidekiqRetry(RetrySystem):
    """Jobs of one queue among the dead ones of all queues."""

    system = "sidekiq"
    title = "Sidekiq"

    def __init__(self, client: RedisClient, endpoint: Endpoint, target: Target) -> None:
        super().__init__(client, endpoint, target)
        self.keys = keys_of(target)
        self._dead = self.keys.key(wire.SETS["failed"])
        self._until: Optional[Entry] = None
        self._marked = False
        self._moved = 0
        self._script = Script("retry", RETRY)

    @classmethod
    def needed(cls, target: Target) -> list[Command]:
        """Every command with keys of this queue, so that the permissions for them are seen too."""
        keys = keys_of(target)
        dead, waiting, queues, processes = (
            *(keys.key("dead"), keys.queue(target.queue), keys.key("queues"), keys.key("processes")),
        )
        return [
            *((name, dead) for name in ("ZCARD", "TYPE")),
            *(("ZCARD", keys.key(name)) for name in ("retry", "schedule")),
            ("MEMORY", "USAGE", dead),
            ("ZRANGE", dead, 0, 0),
            ("ZRANGEBYSCORE", dead, 0, 0),
            ("ZSCORE", dead, "{}"),
            ("ZREM", dead, "{}"),
            ("LLEN", waiting),
            ("LPUSH", waiting, "{}"),
            ("SISMEMBER", queues, target.queue),
            ("SADD", queues, target.queue),
            ("SISMEMBER", keys.key("paused"), target.queue),
            ("SCARD", processes),
            ("SMEMBERS", processes),
            ("EVAL", "return 1", 0),
            ("EVALSHA", "0" * 40, 0),
        ]

    def check(self) -> dict[str, Any]:
        """Is there such a queue, and are its keys what Sidekiq keeps there?"""
        keys, queue = self.keys, self.target.queue
        known, waiting, dead, paused, retrying = answers(
            self.client,
            [
                ("SISMEMBER", keys.key("queues"), queue),
                ("TYPE", keys.queue(queue)),
                ("TYPE", self._dead),
                ("SISMEMBER", keys.key("paused"), queue),
                ("ZCARD", keys.key("retry")),
            ],
        )
        for key, found, wanted in ((keys.queue(queue), waiting, "list"), (self._dead, dead, "zset")):
            if found not in (b"none", wanted.encode()):
                raise _wrong_type(key, show(found), wanted)
        if known != 1 and waiting == b"none" and next(iter(self.failed()), None) is None:
            raise RunbookError(missing(keys, queue, self.endpoint))
        require_one_slot(self.client, (self._dead, keys.queue(queue), keys.key("queues")), self.title)
        version = read_processes(self.client, keys).version
        notes = []
        if retrying:
            notes.append(f"{plural(retrying, 'job')} of all queues in retry: Sidekiq tries those again by itself")
        return {
            "library": f"Sidekiq {version}" if version else "Sidekiq",
            "paused": paused == 1,
            "notes": notes,
        }

    def counts(self) -> dict[str, Optional[int]]:
        """Jobs that wait; whose the dead ones are is known only after reading all of them."""
        waiting = self.client.ask("LLEN", self.keys.queue(self.target.queue))
        return {"failed": None, "waiting": waiting if isinstance(waiting, int) else None, "paused": 0}

    def failed(self) -> Iterator[list[FailedJob]]:
        """In the order in which they died."""
        # What dies meanwhile is another run's.
        if not self._marked:
            self._until = last_entry(self.client, self._dead)
            self._marked = True
        size, _average = entries_a_step(self.client, self._dead, self.client.call("ZCARD", self._dead))
        for page in pages(self.client, self._dead, self._until, lambda: self._moved, size=max(1, size)):
            found = [job for job in map(self._job, page) if job is not None]
            if found:
                yield found

    def _job(self, entry: Entry) -> Optional[FailedJob]:
        job = wire.parse_job(entry.member)
        if job is None or job.queue != self.target.queue:
            return None
        refusal = None if job.jid else "it has no jid, so it cannot be told from others"
        # Not the job itself: any number of them may be chosen before the first is put back.
        return FailedJob(
            job.jid.encode("utf-8", "surrogatepass"),
            job.error or "(no error was kept)",
            job.task,
            job.failed_at or entry.score,
            refusal,
            entry.score,
            "Look at it in Sidekiq's Web, tab Dead." if refusal else None,
        )

    def retry(self, jobs: Sequence[FailedJob], *, reset_attempts: bool) -> list[str]:
        """One script call."""
        seconds, micros = self.client.call("TIME")
        now = int(seconds) + int(micros) / 1e6
        members = self._members(jobs)
        chosen = [position for position, member in enumerate(members) if member is not None]
        arguments: list[Any] = [self.target.queue]
        for position in chosen:
            raw = members[position] or b""
            arguments += [raw, again(wire.parse(raw) or {}, now, reset_attempts)]
        outcomes = [GONE] * len(jobs)
        if not chosen:
            return outcomes
        names = [self._dead, self.keys.queue(self.target.queue), self.keys.key("queues")]
        reply = self._script.run(self.client, names, arguments)
        if reply and reply[0] == b"type":
            raise _wrong_type(reply[1], show(reply[2]), show(reply[3]))
        if reply and reply[0] == b"error":
            raise script_stopped(self.client.where, reply[1])
        for position, moved in zip(chosen, reply):
            outcomes[position] = RETRIED if moved else GONE
        self._moved += outcomes.count(RETRIED)
        return outcomes

    def _members(self, jobs: Sequence[FailedJob]) -> list[Optional[bytes]]:
        """The jobs as they are in the set now, by score and jid; None for those that are not there any more."""
        replies = self.client.pipeline(
            [("ZRANGEBYSCORE", self._dead, repr(job.payload), repr(job.payload)) for job in jobs]
        )
        found: list[Optional[bytes]] = []
        for job, reply in zip(jobs, replies):
            members = reply if isinstance(reply, list) else []
            found.append(next((raw for raw in members if self._is(raw, job)), None))
        return found

    def _is(self, raw: bytes, job: FailedJob) -> bool:
        known = wire.parse_job(raw)
        return (
            known is not None
            and known.queue == self.target.queue
            and known.jid.encode("utf-8", "surrogatepass") == job.id
        )


def again(payload: Mapping[str, Any], now: float, reset_attempts: bool) -> bytes:
    """A dead job as it is queued again, as C(SortedEntry#retry) and C(Client.push) write it (api.rb, client.rb).

    C(retry_count) goes back by one, so that the job has one attempt more; with C(reset_attempts) it has all of them.
    C(now) is in epoch seconds.
    """
    job = dict(payload)
    if reset_attempts:
        for name in FAILURE_FIELDS:
            job.pop(name, None)
    elif isinstance(job.get("retry_count"), int):
        job["retry_count"] -= 1
    job["enqueued_at"] = wire.moment_like(payload, now)
    try:
        return json.dumps(job, ensure_ascii=False, separators=(",", ":")).encode()
    except UnicodeEncodeError:
        # Half a character, which only an escape can carry.
        return json.dumps(job, separators=(",", ":")).encode()


def keys_of(target: Target) -> wire.SidekiqKeys:
    """The keys under the target's namespace."""
    return wire.SidekiqKeys(target.prefix or b"")


def missing(keys: wire.SidekiqKeys, queue: bytes, endpoint: Endpoint) -> str:
    """Where a queue was looked for."""
    return (
        f"There is no Sidekiq queue {show(queue)!r} in {endpoint.place}: it is not in {show(keys.key('queues'))}, "
        f"{show(keys.queue(queue))} does not exist, and no dead job is of it. "
        f"Check queue, key_prefix and login_db. {endpoint.elsewhere()}"
    ).rstrip()


def _wrong_type(key: bytes, found: str, wanted: str) -> Refused:
    return Refused(
        f"{show(key)} is of type {found}, and Sidekiq keeps a {wanted} there, so nothing was touched. "
        "Find out what writes that key, and move it away (RENAME)."
    )
