# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Emptying Sidekiq's queues. Only Sidekiq Pro can pause them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, Optional

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import RunbookError
from ansible_collections.runbook.ops.plugins.module_utils.common.outcome import Refused
from ansible_collections.runbook.ops.plugins.module_utils.redis.client import Command, show
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.answers import answers
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.bounded import entries_a_step
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.control.lists import trim_commands, trim_list
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.control.system import ControlSystem
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.retry.ordered import last_entry, pages
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.retry.sidekiq import keys_of, missing
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.retry.system import Target
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.sidekiq import format as wire
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.sidekiq.processes import read_processes


class SidekiqControl(ControlSystem):
    """One queue: its list, and its jobs in the sorted sets of all queues."""

    system = "sidekiq"
    title = "Sidekiq"
    removable = ("delayed", "retrying", "waiting", "failed")
    # The score of a dead job is when it died; elsewhere it is when a job is due.
    dated = ("failed",)
    not_removable: ClassVar[dict[str, str]] = {
        "completed": "Sidekiq keeps no jobs that are completed.",
        "blocked": "Sidekiq has no jobs that wait for other jobs.",
    }

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.keys = keys_of(self.target)
        age, now = self.target.options.get("min_age"), self.endpoint.time
        self._until = None if age is None or now is None else now - age

    @classmethod
    def needed(cls, target: Target, state: str) -> list[Command]:  # noqa: ARG003 - only emptying comes so far
        """Every command with keys of this queue, so that the permissions for them are seen too."""
        keys = keys_of(target)
        sets = [keys.key(name) for name in wire.SETS.values()]
        return [
            *trim_commands(keys.queue(target.queue)),
            *((name, each) for name in ("ZCARD", "TYPE") for each in sets),
            *(("ZRANGE", each, 0, 0, "WITHSCORES") for each in sets),
            *(("ZREM", each, "{}") for each in sets),
            ("MEMORY", "USAGE", sets[0]),
        ]

    def check(self, state: str) -> dict[str, Any]:
        """Is there such a queue, are its keys what the library keeps there, and can it be done?"""
        keys, queue = self.keys, self.target.queue
        sets = {common: keys.key(name) for common, name in wire.SETS.items()}
        known, paused, kind, *kinds = answers(
            self.client,
            [
                ("SISMEMBER", keys.key("queues"), queue),
                ("SISMEMBER", keys.key("paused"), queue),
                ("TYPE", keys.queue(queue)),
                *(("TYPE", key) for key in sets.values()),
            ],
        )
        wanted = [
            (keys.queue(queue), kind, b"list"),
            *((key, each, b"zset") for key, each in zip(sets.values(), kinds)),
        ]
        for key, found, needed in wanted:
            if found not in (b"none", needed):
                raise Refused(
                    f"{show(key)} is of type {show(found)}, and Sidekiq keeps a {show(needed)} there, so nothing was "
                    "touched. Find out what writes that key, and move it away (RENAME)."
                )
        asked = self.target.options.get("states") or ()
        counts: dict[str, Optional[int]] = {"waiting": self.client.call("LLEN", keys.queue(queue))}
        for common in wire.SETS:
            # Whose the jobs of a set are is known only after reading all of them.
            counts[common] = self._count(common) if common in asked or (known != 1 and kind == b"none") else None
        if known != 1 and not any(counts.values()):
            raise RunbookError(missing(keys, queue, self.endpoint))
        if state != "empty":
            raise Refused(_no_pause(show(queue), state))
        processes = read_processes(self.client, keys)
        counts["active"] = processes.busy.get(queue, 0) if processes.known else None
        version = processes.version
        return {
            "library": f"Sidekiq {version}" if version else "Sidekiq",
            "paused": paused == 1,
            "counts": counts,
            "notes": ["Locks of unique jobs (Sidekiq Enterprise and other gems) stay until they expire"],
        }

    def pause(self) -> None:
        """Never comes so far: C(check) refuses."""

    def resume(self) -> None:
        """Never comes so far: C(check) refuses."""

    def candidates(self, states: Sequence[str], counts: Mapping[str, Any]) -> int:
        """With C(min_age) only those that are old enough."""
        if self._until is None:
            return super().candidates(states, counts)
        return sum(self._count(state) for state in states)

    def plan_removal(self, states: Sequence[str]) -> dict[str, Any]:
        """What would go, and what would stay."""
        jobs = {}
        for state in states:
            waiting = state == "waiting"
            jobs[state] = (
                self.client.call("LLEN", self.keys.queue(self.target.queue)) if waiting else self._count(state)
            )
        return {"jobs": jobs, "kept": []}

    def remove(self, states: Sequence[str], limit: Optional[int]) -> Iterator[int]:
        """One state after the other."""
        left = limit
        for state in states:
            for gone in self._remove_from(state, left):
                yield gone
                left = None if left is None else left - gone

    @property
    def _step(self) -> int:
        return int(self.target.options.get("batch_size") or 100)

    def _remove_from(self, state: str, limit: Optional[int]) -> Iterator[int]:
        if state == "waiting":
            yield from trim_list(self.client, self.keys.queue(self.target.queue), limit, self._step, self.tick)
            return
        key, removed = self.keys.key(wire.SETS[state]), [0]
        for page in self._pages(state, removed):
            for start in range(0, len(page), self._step):
                batch = page[start : start + self._step]
                batch = batch if limit is None else batch[: limit - removed[0]]
                if not batch:
                    return
                gone = self.client.call("ZREM", key, *batch)
                removed[0] += gone
                if gone:
                    yield gone
                self.tick()

    def _count(self, state: str) -> int:
        return sum(len(page) for page in self._pages(state, [0]))

    def _pages(self, state: str, removed: Sequence[int]) -> Iterator[list[bytes]]:
        """The jobs of this queue in a set, as they are written there; C(removed) says how many went meanwhile."""
        key = self.keys.key(wire.SETS[state])
        size, _average = entries_a_step(self.client, key, self.client.call("ZCARD", key))
        for page in pages(self.client, key, last_entry(self.client, key), lambda: removed[0], size=max(1, size)):
            self.tick()
            found = []
            for entry in page:
                job = wire.parse_job(entry.member)
                is_old = self._until is None or state not in self.dated or entry.score <= self._until
                if job is not None and job.queue == self.target.queue and is_old:
                    found.append(entry.member)
            if found:
                yield found


def _no_pause(queue: str, state: str) -> str:
    if state == "paused":
        return (
            f"Sidekiq's queue {queue!r} cannot be paused: only Sidekiq Pro can do that (Sidekiq::Queue.new({queue!r})."
            "pause! in its console). Quiet the processes that work on it instead (signal TSTP), which finish what they "
            "have and fetch nothing any more, or scale them down."
        )
    return (
        f"Sidekiq's queue {queue!r} cannot be resumed: only Sidekiq Pro can pause a queue and resume it "
        f"(Sidekiq::Queue.new({queue!r}).unpause! in its console). Processes that were quieted (signal TSTP) fetch "
        "again once they were restarted."
    )
