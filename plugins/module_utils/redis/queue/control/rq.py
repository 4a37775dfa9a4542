# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pausing, resuming and emptying RQ's queues."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar, Optional

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import RunbookError
from ansible_collections.runbook.ops.plugins.module_utils.common.outcome import Refused
from ansible_collections.runbook.ops.plugins.module_utils.queues.model import listed
from ansible_collections.runbook.ops.plugins.module_utils.redis.client import Command, show
from ansible_collections.runbook.ops.plugins.module_utils.redis.errors import CommandRefused, Refusal
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.answers import answers
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.bounded import read_set
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.control.rq_keeping import (
    Removal,
    Rules,
    look_through,
)
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.control.rq_script import REMOVE
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.control.system import ControlSystem
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.one_slot import require_one_slot
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.retry.rq import (
    ANY_JOB,
    TIME_FORMAT,
    keys_of,
    missing,
)
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.retry.system import Target
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.rq.workers import library_of
from ansible_collections.runbook.ops.plugins.module_utils.redis.script import Script

# Where the jobs of a state are; the queue itself is a list.
_REGISTRIES = {"delayed": "scheduled", "blocked": "deferred", "failed": "failed", "completed": "finished"}
_NOTES = {
    "paused": (
        "RQ has one pause for all its queues",
        "A worker that waits for a job when the pause begins takes one more before it looks at the pause",
        "A worker that is started while RQ is paused ends at once",
    ),
    "resumed": ("RQ has one pause for all its queues",),
}


class RqControl(ControlSystem):
    """One queue."""

    system = "rq"
    title = "RQ"
    # Jobs that others wait for go after these.
    removable = ("blocked", "delayed", "waiting", "failed", "completed")
    dated = ("failed", "completed")
    not_removable: ClassVar[dict[str, str]] = {
        "retrying": "Jobs that are going to be retried are among the delayed ones, whose state can be emptied."
    }

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.keys = keys_of(self.target)
        self._script = Script("remove", REMOVE)
        age = self.target.options.get("min_age")
        self._now = self.endpoint.time or dt.datetime.now(dt.timezone.utc).timestamp()
        moment = dt.datetime.fromtimestamp(self._now - (age or 0), dt.timezone.utc)
        # Moments are compared as RQ writes them: their order is that of the texts.
        self._before = "" if age is None else moment.strftime(TIME_FORMAT)

    @classmethod
    def needed(cls, target: Target, state: str) -> list[Command]:
        """Every command with keys of this queue, so that the permissions for them are seen too."""
        keys = keys_of(target)
        looks: list[Command] = [
            ("SISMEMBER", keys.queues, "0"),
            ("SCARD", keys.queues),
            ("SMEMBERS", keys.queues),
            ("LLEN", keys.queue(target.queue)),
            ("EXISTS", keys.suspended),
        ]
        if state == "paused":
            return [*looks, ("SET", keys.suspended, 1)]
        if state == "resumed":
            return [*looks, ("UNLINK", keys.suspended)]
        waiting, job = keys.queue(target.queue), keys.job(ANY_JOB)
        registries = [keys.registry(name, target.queue) for name in _REGISTRIES.values()]
        executions, dependents = keys.executions(ANY_JOB), keys.dependents(ANY_JOB)
        return [
            *looks,
            ("LRANGE", waiting, 0, 0),
            ("LSET", waiting, 0, "0"),
            ("LREM", waiting, 1, "0"),
            *(("ZRANGE", key, 0, 0) for key in registries),
            *(("ZREM", key, "0") for key in registries),
            ("TYPE", job),
            ("HSTRLEN", job, "ended_at"),
            ("HGET", job, "ended_at"),
            ("ZCOUNT", executions, 0, 0),
            ("SRANDMEMBER", dependents, 1),
            ("SREM", dependents, "0"),
            *(("UNLINK", key) for key in (job, dependents, executions, keys.results(ANY_JOB))),
            ("UNLINK", keys.dependencies(ANY_JOB)),
            ("EVAL", "return 1", 1, waiting),
            ("EVALSHA", "0" * 40, 1, waiting),
        ]

    def check(self, state: str) -> dict[str, Any]:
        """Is there such a queue, are its keys what the library keeps there, and can it be done?"""
        keys, queue = self.keys, self.target.queue
        names = [keys.queue(queue), *(keys.registry(name, queue) for name in (*_REGISTRIES.values(), "wip"))]
        known, suspended, *kinds = answers(
            self.client,
            [
                ("SISMEMBER", keys.queues, keys.queue(queue)),
                ("EXISTS", keys.suspended),
                *(("TYPE", name) for name in names),
            ],
        )
        if known != 1 and all(kind == b"none" for kind in kinds):
            raise RunbookError(missing(keys, queue, self.endpoint))
        require_one_slot(self.client, (keys.queue(queue), keys.queues, keys.job(ANY_JOB)), self.title)
        for name, kind in zip(names, kinds):
            wanted = b"list" if name == names[0] else b"zset"
            if kind not in (b"none", wanted):
                raise Refused(
                    f"{show(name)} is of type {show(kind)}, and RQ keeps a {show(wanted)} there, so nothing was "
                    "touched. Find out what writes that key, and move it away (RENAME)."
                )
        sizes = answers(self.client, [("LLEN", names[0]), *(("ZCARD", name) for name in names[1:])])
        if state != "empty":
            self._check_others(state, due=(suspended == 1) is not (state == "paused"))
        return {
            "library": library_of(self.client, keys, queue),
            "paused": suspended == 1,
            "counts": dict(zip(("waiting", *_REGISTRIES, "active"), sizes)),
            "notes": list(_NOTES.get(state, ())),
        }

    def _check_others(self, state: str, *, due: bool) -> None:
        """Raise Refused where other queues would be paused or resumed with this one."""
        if not due or self.target.options.get("all_queues"):
            return
        members = read_set(self.client, self.keys.queues)
        if isinstance(members, Refusal):
            raise CommandRefused(members)
        names = [name for name in map(self.keys.name_of, members) if name not in (None, self.target.queue)]
        if names:
            raise Refused(
                f"RQ has one pause for all its queues: with {show(self.target.queue)!r} also "
                f"{listed(show(name) for name in names if name is not None)} would be {state}. If that is meant, set "
                "all_queues; otherwise stop or start the workers of this queue."
            )

    def pause(self) -> None:
        """What C(rq suspend) does."""
        self.client.call("SET", self.keys.suspended, 1)

    def resume(self) -> None:
        """What C(rq resume) does; workers look every second."""
        self.client.call("UNLINK", self.keys.suspended)

    def plan_removal(self, states: Sequence[str]) -> dict[str, Any]:
        """What would go, and what would stay."""
        removal = Removal(self.target.options.get("limit"))
        rules = Rules(self.client, self.keys, self._before, self._now, self.tick)
        for state in states:
            look_through(rules, state, self._key(state), removal)
        return {"jobs": removal.jobs, "kept": removal.kept(), "ghosts": removal.ghosts}

    def remove(self, states: Sequence[str], limit: Optional[int]) -> Iterator[int]:
        """One state after the other."""
        left = limit
        for state in states:
            for gone in self._remove_from(state, left):
                yield gone
                left = None if left is None else left - gone

    def _key(self, state: str) -> bytes:
        queue = self.target.queue
        return self.keys.queue(queue) if state == "waiting" else self.keys.registry(_REGISTRIES[state], queue)

    def _remove_from(self, state: str, limit: Optional[int]) -> Iterator[int]:
        """Pass over a state until a pass removes nothing more: workers take jobs meanwhile, and positions shift."""
        step, left = int(self.target.options.get("batch_size") or 100), limit
        again = True
        while again:
            again, skip = False, 0
            while left is None or left > 0:
                count = step if left is None else min(step, left)
                seen, removed, ghosts, kept = self._script.run(
                    self.client, [self._key(state)], [self.keys.prefix, skip, count, self._before, int(self._now)]
                )
                skip += kept
                self.ghosts += ghosts
                if removed:
                    again = skip > 0
                    left = None if left is None else left - removed
                    yield removed
                self.tick()
                if seen < count:
                    break
