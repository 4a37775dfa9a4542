# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pausing, resuming and emptying queues of Bull 3 and 4 and BullMQ 3 to 6, as their libraries do it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, Optional

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import RunbookError, Unavailable
from ansible_collections.runbook.ops.plugins.module_utils.common.outcome import Refused
from ansible_collections.runbook.ops.plugins.module_utils.queues.model import QueueFacts
from ansible_collections.runbook.ops.plugins.module_utils.redis.client import Command, show
from ansible_collections.runbook.ops.plugins.module_utils.redis.endpoint import clock, denied
from ansible_collections.runbook.ops.plugins.module_utils.redis.errors import (
    CommandRefused,
    Refusal,
    missing_permissions,
)
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.bull.library import BULL, BULLMQ, Library
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.bull.look import (
    Cutoffs,
    Look,
    look_commands,
    look_from,
)
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.bull.naming import (
    DEFAULT_PREFIX,
    STATE_LISTS,
    STATE_ZSETS,
    SUFFIXES,
    QueueKeys,
)
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.bull.states import LAST_WITH_PAUSED, count_jobs
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.control.bull_identity import identify
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.control.bull_plan import RemovalPlan
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.control.bull_scripts import (
    MERGE,
    REMOVE,
    SETTLE,
    SWITCH,
)
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.control.system import ControlSystem
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.one_slot import require_one_slot

# Ids alone are cheap to move: a thousand take less than a millisecond.
MERGED_AT_ONCE = 1000
_SUFFIXES_OF = {
    "waiting": ("wait", "paused", "prioritized"),
    "delayed": ("delayed",),
    "blocked": ("waiting-children",),
    "failed": ("failed",),
    "completed": ("completed",),
}
_KINDS = {
    **{suffix.decode(): "list" for suffix in STATE_LISTS},
    **{suffix.decode(): "zset" for suffix in (*STATE_ZSETS, b"priority", b"marker", b"repeat")},
    **{"meta": "hash", "limiter:index": "hash", "events": "stream", "meta-paused": "string"},
}
_SWITCHED = ("wait", "paused", "meta", "marker", "prioritized", "delayed")
_BESIDE = ("repeat", "priority", "limiter:index", "active", *_SWITCHED)
# The commands of the scripts that write. Reading ones are used outside of them too.
_WRITES: tuple[tuple[Any, ...], ...] = (
    *(("LTRIM", "wait", 0, -1), ("RPUSH", "wait", ""), ("LPUSH", "wait", ""), ("RENAME", "wait", "paused")),
    *(("HSET", "meta", "paused", 1), ("HDEL", "meta", "paused"), ("DEL", "marker"), ("ZADD", "marker", 0, "0")),
)
_REMOVES: tuple[tuple[Any, ...], ...] = (
    *(("UNLINK", "wait"), ("ZREM", "delayed", ""), ("LTRIM", "wait", 0, -1), ("LSET", "wait", 0, ""), ("GET", "de:")),
    *(("LREM", "wait", 0, ""), ("SREM", "limiter", ""), ("HDEL", "limiter:index", ""), ("HGET", "limiter:index", "")),
    *(("ZRANGEBYSCORE", "repeat", 0, 0), ("EXISTS", "wait"), ("ZADD", "marker", 0, "1"), ("ZSCORE", "marker", "1")),
)


class _BullControl(ControlSystem):
    """What both libraries have in common."""

    removable: ClassVar[tuple[str, ...]] = ("blocked", "delayed", "waiting", "failed", "completed")
    dated = ("failed", "completed")
    # The scripts begin with a write that needs none.
    pausing_needs_memory = False
    not_removable: ClassVar[dict[str, str]] = {
        "retrying": "Jobs that wait for their next attempt are among the delayed ones, whose state can be emptied."
    }

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.keys = _keys(self.target)
        self._library = Library(self.system, None, None, "")
        # The end of the time that min_age leaves, epoch milliseconds by the server's clock.
        age = self.target.options.get("min_age")
        now = clock(self.endpoint, self.target.options.get("reference"))
        self._until = None if age is None else int((now - age) * 1000)

    @property
    def name(self) -> str:
        """The queue as its keys begin: C(bull:mail)."""
        return show(self.keys.base[:-1])

    # --- looking

    @classmethod
    def needed(cls, target: Any, state: str) -> list[Command]:
        keys = _keys(target)
        commands = _REMOVES if state == "empty" else _WRITES
        wait = keys.key("wait")
        found: list[Command] = [("EVALSHA", SWITCH.sha1, 1, wait), ("EVAL", "return 1", 1, wait)]
        found += [
            *look_commands(keys, Cutoffs(0)),
            ("LRANGE", keys.key("active"), 0, 0),
            ("ZRANGE", keys.key("repeat"), 0, 0),
        ]
        for name, suffix, *arguments in commands:
            last = [keys.key("paused")] if name == "RENAME" else arguments
            found.append((name, keys.key(suffix), *last))
        if state != "empty" and cls.system == BULL:
            found += [("SET", keys.key("meta-paused"), 1), ("PUBLISH", keys.key(state), state)]
        elif state != "empty":
            found.append(("XADD", keys.key("events"), "*", "event", state))
        return found

    def check(self, state: str) -> dict[str, Any]:
        look, kinds = self._look()
        library = identify(
            self.name,
            look.signs,
            system=self.system if self.target.options.get("system") else None,
            version=self.target.options.get("library_version"),
        )
        if library is None or library.system != self.system:
            raise RunbookError(self._why_missing(look, library))
        self._library = library
        require_one_slot(self.client, [self.keys.key(each) for each in ("wait", "active", "meta")], self.title)
        self._check_types(state, kinds)
        facts = QueueFacts(self.name, self.system)
        count_jobs(facts, look, library)
        flagged = self._is_flagged(look)
        waiting = (look.lengths["wait"] or 0) - (look.markers["wait"] if self.system == BULLMQ else 0)
        parked = (look.lengths["paused"] or 0) - (look.markers["paused"] if self.system == BULLMQ else 0)
        # What lies in wait is fetched by Bull and BullMQ 3 and 4 whatever the flag says.
        loose = waiting > 0 and self._puts_aside
        paused = flagged and not (loose and not self._obeys_flag)
        due = (not flagged or loose) if state == "paused" else (flagged or look.paused_in_meta or parked > 0)
        notes = list(facts.notes)
        if parked > 0 and not flagged:
            notes.append(f"{parked} jobs were in the list 'paused' of a queue that is not paused; nobody fetches them")
        return {
            "library": library.label,
            "paused": paused,
            "due": due,
            "counts": dict(facts.counts),
            "notes": notes,
        }

    def _look(self) -> tuple[Look, dict[str, str]]:
        """The first look, and the types of all keys that a script touches."""
        commands = look_commands(self.keys, Cutoffs(int((self.endpoint.time or 0) * 1000)))
        replies = self.client.pipeline([*commands, *(("TYPE", self.keys.key(suffix)) for suffix in _KINDS)])
        refused = [reply for reply in replies if isinstance(reply, Refusal) and denied(reply)]
        if refused and not self.target.options.get("system"):
            # It may be another system's queue, whose user need not see Bull's keys.
            raise CommandRefused(refused[0])
        if any(reply.permission for reply in refused):
            # Without this, a queue that we may not see would be one that is not there.
            raise Unavailable(missing_permissions(refused, self.client.where, self.client.user))
        kinds = dict(zip(_KINDS, (reply.decode() for reply in replies[len(commands) :] if isinstance(reply, bytes))))
        return look_from(self.keys, replies[: len(commands)]), kinds

    def _is_flagged(self, look: Look) -> bool:
        return look.signs.has("meta-paused", "string") if self.system == BULL else look.paused_in_meta

    @property
    def _puts_aside(self) -> bool:
        """Whether pausing moves the waiting jobs to a list of their own."""
        return self.system == BULL or (self._library.major or 0) <= LAST_WITH_PAUSED

    @property
    def _obeys_flag(self) -> bool:
        """Whether its workers look at the flag before they take a job."""
        return self.system == BULLMQ and (self._library.major or 0) >= 5

    def _why_missing(self, look: Look, library: Optional[Library]) -> str:
        if library is not None:
            return f"{self.name} in {self.endpoint.place} is a queue of {library.label}, not of {self.title}."
        held = [suffix for suffix, length in look.lengths.items() if length]
        if held:
            return (
                f"{self.name} in {self.endpoint.place} has jobs ({', '.join(held)}), but neither {self.name}:meta nor "
                f"{self.name}:id says whose queue it is. Say it with system (bull or bullmq) and library_version."
            )
        return (
            f"There is no Bull or BullMQ queue {self.name} in {self.endpoint.place}: neither {self.name}:meta nor "
            f"{self.name}:id exists. Check queue, key_prefix and login_db. {self.endpoint.elsewhere()}".rstrip()
        )

    def _check_types(self, state: str, kinds: Mapping[str, str]) -> None:
        """Raise Refused for a key that is not what the library keeps there: nothing could be done right beside it."""
        touched = set(_SWITCHED if state != "empty" else _BESIDE)
        if state == "empty":
            touched |= {
                suffix for each in self.target.options.get("states", ()) for suffix in _SUFFIXES_OF.get(each, ())
            }
        else:
            touched.add("meta-paused" if self.system == BULL else "events")
        for suffix in sorted(touched):
            if kinds.get(suffix, "none") not in ("none", _KINDS[suffix]):
                raise Refused(
                    f"{self.name}:{suffix} is of type {kinds[suffix]}, not {_KINDS[suffix]}; a job with the id "
                    f"{suffix!r} overwrites it. Move that key away (RENAME), and forbid such ids."
                )

    # --- pausing and resuming

    def pause(self) -> None:
        self._switch("paused")

    def resume(self) -> None:
        self._switch("resumed")

    def _switch(self, state: str) -> None:
        key = self.keys.key
        last = key("meta-paused") if self.system == BULL else key("events")
        keys = [*(key(suffix) for suffix in ("wait", "paused", "meta")), last]
        keys += [key(suffix) for suffix in ("marker", "prioritized", "delayed")]
        arguments = [state, self.system, self._library.major or 0, key(state)]
        while SWITCH.run(self.client, keys, arguments) == 0:
            # Both lists have jobs. Before a pause those in 'paused' are the older ones, later those in 'wait' are.
            older, newer = ("wait", "paused") if self._puts_aside and self._flagged_now() else ("paused", "wait")
            while MERGE.run(self.client, [key(older), key(newer)], [MERGED_AT_ONCE, self._marks]):
                self.tick()
            self.tick()

    def _flagged_now(self) -> bool:
        if self.system == BULL:
            return bool(self.client.call("EXISTS", self.keys.key("meta-paused")))
        return bool(self.client.call("HEXISTS", self.keys.key("meta"), "paused"))

    @property
    def _marks(self) -> int:
        return int(self.system == BULLMQ)

    # --- emptying

    def candidates(self, states: Sequence[str], counts: Mapping[str, Any]) -> int:
        if self._until is None:
            return super().candidates(states, counts)
        commands = [
            ("ZCOUNT", self.keys.key(suffix), "-inf", self._until) for state in states for suffix in _SUFFIXES_OF[state]
        ]
        return sum(self.client.call(*command) for command in commands)

    def plan_removal(self, states: Sequence[str]) -> dict[str, Any]:
        limit = self.target.options.get("limit")
        plan = RemovalPlan(self.client, self.keys, has_markers=bool(self._marks), limit=limit, tick=self.tick)
        for state in states:
            plan.add(state, _SUFFIXES_OF[state], self._until)
        return {"jobs": plan.removal.jobs, "kept": plan.removal.kept(), "ghosts": plan.removal.ghosts}

    def remove(self, states: Sequence[str], limit: Optional[int]) -> Iterator[int]:
        left = limit
        for state in states:
            for suffix in _SUFFIXES_OF[state]:
                for removed in self._remove_from(suffix, left):
                    yield removed
                    left = None if left is None else left - removed
        if self.system == BULLMQ:
            key = self.keys.key
            keys = [key(suffix) for suffix in ("wait", "paused", "marker", "prioritized", "delayed")]
            SETTLE.run(self.client, keys, [self._library.major or 0])

    def _remove_from(self, suffix: str, limit: Optional[int]) -> Iterator[int]:
        """Pass over a state until a pass removes nothing more: workers move what is in it meanwhile."""
        again = True
        while again:
            skip = 0
            again = False
            while True:
                count = self._batch if limit is None else min(self._batch, limit)
                if count <= 0:
                    return
                seen, removed, ghosts, kept, met = self._remove_step(suffix, skip, count)
                skip += kept
                self.ghosts += ghosts
                if removed:
                    again = True
                    limit = None if limit is None else limit - removed
                    yield removed
                if seen < count or met:
                    break
            again = again and skip > 0

    @property
    def _batch(self) -> int:
        return int(self.target.options.get("batch_size") or 100)

    def _remove_step(self, suffix: str, skip: int, count: int) -> list[int]:
        keys = [self.keys.key(each) for each in (suffix, "repeat", "priority", "limiter:index", "active")]
        until = "" if self._until is None else self._until
        answer: list[int] = REMOVE.run(
            self.client, keys, [self.keys.base, skip, count, until, self._marks, *_OWN_NAMES]
        )
        return answer


class BullControl(_BullControl):
    """Queues of Bull 3 and 4."""

    system = BULL
    title = "Bull"
    removable = ("delayed", "waiting", "failed", "completed")
    not_removable: ClassVar[dict[str, str]] = {
        **_BullControl.not_removable,
        "blocked": "Bull has no jobs that wait for other jobs.",
    }


class BullMqControl(_BullControl):
    """Queues of BullMQ 3 to 6."""

    system = BULLMQ
    title = "BullMQ"


_OWN_NAMES = tuple(sorted(SUFFIXES))


def _keys(target: Any) -> QueueKeys:
    return QueueKeys(target.prefix or DEFAULT_PREFIX, target.queue)
