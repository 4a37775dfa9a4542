# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Putting failed jobs of Bull 3 and 4 and BullMQ 3 to 6 back."""

from __future__ import annotations

import abc
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, Optional

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import RunbookError
from ansible_collections.runbook.ops.plugins.module_utils.common.outcome import Refused
from ansible_collections.runbook.ops.plugins.module_utils.redis.client import Command, RedisClient, show
from ansible_collections.runbook.ops.plugins.module_utils.redis.endpoint import Endpoint
from ansible_collections.runbook.ops.plugins.module_utils.redis.errors import Refusal
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.bull.library import (
    BULL,
    BULLMQ,
    Library,
    probe,
    recognise,
)
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.bull.naming import DEFAULT_PREFIX, QueueKeys
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.one_slot import require_one_slot
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.retry.bull_jobs import (
    BULL_LEFT_ALONE,
    LONGEST_TEXT,
    JobReader,
    expected_types,
)
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.retry.bull_script import (
    OUTCOMES,
    QUEUE_KEYS,
    RETRY,
)
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.retry.ordered import (
    PAGE,
    Entry,
    last_entry,
    pages,
)
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.retry.system import (
    RETRIED,
    FailedJob,
    RetrySystem,
    Target,
)
from ansible_collections.runbook.ops.plugins.module_utils.redis.script import Script
from ansible_collections.runbook.ops.plugins.module_utils.redis.writing import script_stopped

# Putting a job with a priority in its place in a list walks through the list: so many steps in one call at most, some
# four milliseconds.
_STEPS_IN_ONE_CALL = 400_000
_LEAST_IN_ONE_CALL, _FIRST_IN_ONE_CALL, _MOST_IN_ONE_CALL = 10, 50, 100
_SHORT_SECONDS, _LONG_SECONDS = 0.002, 0.004
# A key of any job, for the permissions of the keys.
_ANY_JOB = b"runbook.ops"
_READS: tuple[Command, ...] = (
    ("GET", "pc"),
    ("LLEN", "wait"),
    ("LINDEX", "wait", 0),
    ("ZCARD", "failed"),
    ("ZCOUNT", "priority", 0, 0),
    ("ZRANGE", "failed", 0, 0),
    ("ZSCORE", "failed", "0"),
    ("TYPE", "failed"),
    ("EXISTS", _ANY_JOB),
    ("HEXISTS", _ANY_JOB, "timestamp"),
    ("HGET", _ANY_JOB, "timestamp"),
    ("HMGET", _ANY_JOB, "timestamp"),
    ("HSTRLEN", _ANY_JOB, "timestamp"),
)
_WRITES: tuple[Command, ...] = (
    ("LPUSH", "wait", "0"),
    ("RPUSH", "wait", "0"),
    ("LINSERT", "wait", "BEFORE", "0", "0"),
    ("ZADD", "priority", 0, "0"),
    ("ZREM", "failed", "0"),
    ("HDEL", _ANY_JOB, "failedReason"),
    ("HSET", _ANY_JOB, "retriedOn", 0),
)
_OF_BULLMQ: tuple[Command, ...] = (
    ("SCARD", _ANY_JOB + b":dependencies"),
    ("SRANDMEMBER", _ANY_JOB + b":dependencies", 1),
    ("SADD", _ANY_JOB + b":dependencies", "0"),
    ("INCR", "pc"),
    ("XADD", "events", "*", "event", "waiting"),
)
_SCRIPTS: tuple[Command, ...] = (("EVAL", "return 1", 0), ("EVALSHA", "0" * 40, 0))
_N8N = (
    "n8n removes its jobs from Redis when they fail: failed executions are in n8n's own database. Retry them there, in "
    "the list of executions or with its API (POST /api/v1/executions/<id>/retry)."
)


class BullFamilyRetry(RetrySystem):
    """What the two libraries have in common."""

    majors: ClassVar[tuple[int, ...]]
    left_alone = BULL_LEFT_ALONE

    def __init__(self, client: RedisClient, endpoint: Endpoint, target: Target) -> None:
        super().__init__(client, endpoint, target)
        self.keys = _keys_of(target)
        self.major: Optional[int] = None
        self._until: Optional[Entry] = None
        self._marked = False
        self._moved = 0
        self._most = _FIRST_IN_ONE_CALL
        self._script = Script("retry", RETRY)

    @classmethod
    def needed(cls, target: Target) -> list[Command]:
        """Every command with keys of this queue, so that the permissions for them are seen too."""
        keys = _keys_of(target)
        own = _OF_BULLMQ if cls.system == BULLMQ else (("PUBLISH", "waiting@runbook.ops", "0"),)
        return [*((name, keys.key(suffix), *rest) for name, suffix, *rest in (*_READS, *_WRITES, *own)), *_SCRIPTS]

    @property
    @abc.abstractmethod
    def used(self) -> tuple[str, ...]:
        """The queue's keys that this library, in this version, has."""

    @property
    def shown(self) -> str:
        """The queue, for sentences."""
        return f"{self.title} queue {show(self.target.queue)!r} with prefix {show(self.keys.prefix)!r}"

    # --- what is there

    def check(self) -> dict[str, Any]:
        """Recognise the library and its version; look at the types of all keys."""
        names = [name for name, kind in QUEUE_KEYS]
        kinds = self.client.pipeline([("TYPE", self.keys.key(name)) for name in (*names, "id", "completed", "delayed")])
        if all(kind == b"none" for kind in kinds):
            raise RunbookError(self._missing())
        library = recognise(probe(self.client, [self.keys])[0])
        if library is not None and library.system != self.system:
            raise RunbookError(
                f"{self.shown} was looked for in {self.endpoint.place}. The queue there is {library.label}'s: "
                f"{library.evidence}. Set system to {library.system}, or leave it out."
            )
        # A tag in the prefix or in the name is the only thing that puts keys with any ending into one slot.
        require_one_slot(self.client, [self.keys.key(ending) for ending in ("failed", "wait", "1", "2")], self.title)
        self.major = self._major(library)
        self._check_types(dict(zip(names, kinds)))
        notes = self._notes()
        label = library.label if library is not None and library.version else self._label()
        return {"library": label, "paused": self._is_paused(), "notes": notes}

    def _missing(self) -> str:
        places = ", ".join(show(self.keys.key(name)) for name in ("failed", "wait", "meta", "id"))
        elsewhere = self.endpoint.elsewhere()
        return (
            f"There is no {self.shown} in {self.endpoint.place}: none of {places} exists. "
            f"{elsewhere + ' ' if elsewhere else ''}Check queue, key_prefix and login_db."
        )

    def _major(self, library: Optional[Library]) -> Optional[int]:
        wanted = self.target.options.get("library_version")
        given = int(str(wanted).split(".", maxsplit=1)[0]) if wanted else None
        named = library.major if library is not None and library.version else None
        if given is not None and named is not None and given != named:
            label = library.label if library is not None else ""
            raise Refused(
                f"library_version is {wanted}, and {show(self.keys.key('meta'))} names {label}. Leave library_version "
                "out, or correct it."
            )
        major = named or given or self._major_by_traces(library)
        if major is not None and major not in self.majors:
            known = ", ".join(map(str, self.majors))
            raise Refused(
                f"{self.shown} is of version {major}, and only {known} are known here. Retry its jobs with the library."
            )
        return major

    def _major_by_traces(self, library: Optional[Library]) -> Optional[int]:
        return library.major if library is not None else None

    def _check_types(self, kinds: Mapping[str, Any]) -> None:
        for name, wanted in QUEUE_KEYS:
            found = kinds[name]
            if name in self.used and found not in (b"none", wanted.encode()):
                raise self._wrong_type(self.keys.key(name), show(found), wanted)
        if "pc" in self.used and not _is_number(self.client.call("GET", self.keys.key("pc"))):
            raise self._wrong_type(self.keys.key("pc"), "string without a number", "number")

    def _wrong_type(self, key: bytes, found: str, wanted: str) -> Refused:
        return Refused(
            f"{show(key)} is {_a(found)}, and {self.title} keeps {_a(wanted)} there, so nothing was touched. A job "
            f"whose id is {show(key[len(self.keys.base) :])!r} overwrites it. Such a queue has to be repaired by hand: "
            "see what the key holds, and add the lost jobs anew."
        )

    @abc.abstractmethod
    def _is_paused(self) -> bool: ...

    def _label(self) -> str:
        return f"{self.title} {self.major or ''}".strip()

    def _notes(self) -> list[str]:
        return []

    def counts(self) -> dict[str, Optional[int]]:
        """Jobs; what is prioritized waits too, and the markers of BullMQ 4 are no jobs."""
        commands: list[Command] = [
            ("ZCARD", self.keys.key("failed")),
            ("LLEN", self.keys.key("wait")),
            ("LLEN", self.keys.key("paused")),
            ("LINDEX", self.keys.key("wait"), 0),
            ("LINDEX", self.keys.key("wait"), -1),
        ]
        if "prioritized" in self.used:
            commands.append(("ZCARD", self.keys.key("prioritized")))
        replies = [None if isinstance(reply, Refusal) else reply for reply in self.client.pipeline(commands)]
        failed, wait, paused, first, last, *prioritized = replies
        if self.system == BULLMQ and wait is not None:
            ends = {first, last} if wait == 1 else (first, last)
            wait -= sum(1 for end in ends if end is not None and end.startswith(b"0:"))
            wait += sum(count for count in prioritized if count is not None)
        return {"failed": failed, "waiting": wait, "paused": paused}

    # --- the failed ones

    def failed(self) -> Iterator[list[FailedJob]]:
        """Those that were failed at the first call: what fails meanwhile is another run's."""
        self._mark()
        reader = self._reader()
        for page in pages(self.client, self.keys.key("failed"), self._until, lambda: self._moved):
            yield reader.read(page)

    def chosen(self, ids: Sequence[bytes]) -> Iterator[list[FailedJob]]:
        """Asks for each id, instead of going through all."""
        self._mark()
        reader = self._reader()
        unique = list(dict.fromkeys(ids))
        scores = self.client.pipeline([("ZSCORE", self.keys.key("failed"), identifier) for identifier in unique])
        entries = sorted(
            Entry(float(score), identifier) for score, identifier in zip(scores, unique) if score is not None
        )
        for start in range(0, len(entries), PAGE):
            yield reader.read(entries[start : start + PAGE])

    def _mark(self) -> None:
        if not self._marked:
            self._until = last_entry(self.client, self.keys.key("failed"))
            self._marked = True

    def _reader(self) -> JobReader:
        is_bullmq = self.system == BULLMQ
        major_known = not is_bullmq or self.major is not None
        return JobReader(self.client, self.keys, is_bullmq, major_known, bool(self.target.options.get("names")))

    # --- back

    def retry(self, jobs: Sequence[FailedJob], *, reset_attempts: bool) -> list[str]:
        """As many at once as take some milliseconds; few of those with a priority that go into a long list."""
        outcomes: list[str] = []
        while len(outcomes) < len(jobs):
            batch = jobs[len(outcomes) : len(outcomes) + self._step(jobs)]
            began = time.perf_counter()
            outcomes += self._run(batch, reset_attempts)
            self._learn(time.perf_counter() - began - self.endpoint.round_trip_seconds)
        self._moved += outcomes.count(RETRIED)
        return outcomes

    def _step(self, jobs: Sequence[FailedJob]) -> int:
        if "priority" not in self.used or not any(job.payload.priority for job in jobs):
            return self._most
        lengths = self.client.pipeline([("LLEN", self.keys.key(name)) for name in ("wait", "paused")])
        longest = max(length for length in lengths if isinstance(length, int))
        return max(1, min(self._most, _STEPS_IN_ONE_CALL // max(longest, 1)))

    def _learn(self, seconds: float) -> None:
        """Smaller steps on a slow or busy server, larger ones on a quick one."""
        if seconds > _LONG_SECONDS:
            self._most = max(_LEAST_IN_ONE_CALL, self._most // 2)
        elif seconds < _SHORT_SECONDS:
            self._most = min(_MOST_IN_ONE_CALL, self._most * 2)

    def _run(self, jobs: Sequence[FailedJob], reset_attempts: bool) -> list[str]:
        keys = [self.keys.key(name) for name, kind in QUEUE_KEYS]
        now = self.client.call("TIME")
        arguments: list[Any] = [
            self.system,
            self.major or 0,
            int(now[0]) * 1000 + int(now[1]) // 1000,
            "1" if reset_attempts else "0",
            *expected_types(self.used, QUEUE_KEYS),
        ]
        for job in jobs:
            keys += [self.keys.key(job.id), self.keys.key(job.id) + b":lock"]
            arguments += [job.id, repr(job.payload.score)]
        reply = self._script.run(self.client, keys, arguments)
        if reply and reply[0] == b"type":
            raise self._wrong_type(reply[1], show(reply[2]), show(reply[3]))
        if reply and reply[0] == b"error":
            raise script_stopped(self.client.where, reply[1])
        return [OUTCOMES[number] for number in reply]


class BullRetry(BullFamilyRetry):
    """Bull 3 and 4, which treat failed jobs alike."""

    system = BULL
    title = "Bull"
    majors = (3, 4)

    @property
    def used(self) -> tuple[str, ...]:
        """Bull's keys."""
        return ("failed", "wait", "paused", "meta-paused", "priority")

    def _is_paused(self) -> bool:
        return bool(self.client.call("EXISTS", self.keys.key("meta-paused")))

    def _notes(self) -> list[str]:
        """What to say of n8n; raises Refused if its jobs are what has failed here."""
        if self.target.queue != b"jobs":
            return []
        first = self.client.call("ZRANGE", self.keys.key("failed"), 0, 0)
        if not first:
            return [f"No job is failed in this queue. If it is n8n's: {_N8N}"]
        if self._removes_failed(first[0]):
            raise Refused(f"{self.shown} looks like n8n's. {_N8N}")
        return []

    def _removes_failed(self, identifier: bytes) -> bool:
        key = self.keys.key(identifier)
        length = self.client.ask("HSTRLEN", key, "opts")
        if isinstance(length, Refusal) or not 0 < length <= LONGEST_TEXT:
            return False
        try:
            options = json.loads(self.client.call("HGET", key, "opts"))
        except ValueError:
            return False
        return isinstance(options, dict) and options.get("removeOnFail") is True


class BullMQRetry(BullFamilyRetry):
    """BullMQ 3 to 6."""

    system = BULLMQ
    title = "BullMQ"
    majors = (3, 4, 5, 6)

    @property
    def used(self) -> tuple[str, ...]:
        """BullMQ's keys in this major version; those of all of them if it is not known."""
        common = ("failed", "wait", "paused", "meta", "events", "waiting-children")
        if self.major == 3:
            return (*common, "priority")
        if self.major == 4:
            return (*common, "prioritized", "pc")
        return (*common, "prioritized", "pc", "active", "marker")

    def _major_by_traces(self, library: Optional[Library]) -> Optional[int]:
        """From BullMQ 5 on a job counts its attempts in another field; the marker is only there while jobs wait."""
        first = self.client.ask("ZRANGE", self.keys.key("failed"), 0, 0)
        if not isinstance(first, Refusal) and first and self.client.ask("HEXISTS", self.keys.key(first[0]), "atm") == 1:
            return max(5, (library.major if library is not None else None) or 5)
        return super()._major_by_traces(library)

    def _is_paused(self) -> bool:
        return bool(self.client.call("HEXISTS", self.keys.key("meta"), "paused"))


def _keys_of(target: Target) -> QueueKeys:
    return QueueKeys(DEFAULT_PREFIX if target.prefix is None else target.prefix, target.queue)


def _is_number(text: Optional[bytes]) -> bool:
    return text is None or text.lstrip(b"-").isdigit()


def _a(kind: str) -> str:
    return {"hash": "a hash", "string": "a string", "list": "a list", "set": "a set", "zset": "a sorted set"}.get(
        kind, f"a {kind}"
    )
