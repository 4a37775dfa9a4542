# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which jobs of RQ stay when a queue is emptied, and why. The script in rq_script.py decides the same way."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.queues.model import EXAMPLE_IDS
from ansible_collections.runbook.ops.plugins.module_utils.redis.client import RedisClient, show
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.bounded import read_fields
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.rq import format as wire

PAGE = 200
MOST_DEPENDENTS = 100
LONGEST_FIELD = 1024

GHOST, YOUNG, LIMITED, RUNNING, EXPECTED = "ghost", "young", "limited", "running", "expected"
# Young jobs are not meant at all, so there is nothing to say of them.
WHY_KEPT = {
    LIMITED: (
        "they have a rate limit, whose slots RQ has to give back",
        "Remove them with RQ itself: Job.fetch(id, connection).delete().",
    ),
    RUNNING: ("a worker is executing them", "Run the task again when it has ended."),
    EXPECTED: (
        "other jobs wait for them, and would wait for ever",
        "Empty the state blocked first, or delete these with their dependents: job.delete(delete_dependents=True).",
    ),
}


@dataclass
class Removal:
    """What goes and what stays, by state. It is full with C(limit) jobs."""

    limit: Optional[int] = None
    jobs: dict[str, int] = field(default_factory=dict)
    ghosts: int = 0
    # Jobs that wait for others and go, so that nothing has to wait for them.
    gone: set[bytes] = field(default_factory=set)
    _kept: dict[tuple[str, str], list[Any]] = field(default_factory=dict)

    @property
    def is_full(self) -> bool:
        """Whether nothing more goes."""
        return self.limit is not None and sum(self.jobs.values()) >= self.limit

    def forget_kept(self, state: str) -> None:
        """Decide anew about what stays in a state."""
        self._kept = {key: entry for key, entry in self._kept.items() if key[0] != state}

    def keep(self, state: str, why: str, identifier: bytes) -> None:
        """Count a job that stays."""
        entry = self._kept.setdefault((state, why), [0, []])
        entry[0] += 1
        if len(entry[1]) < EXAMPLE_IDS:
            entry[1].append(show(identifier))

    def kept(self) -> list[dict[str, Any]]:
        """The result's C(kept)."""
        return [
            {"state": state, "reason": WHY_KEPT[why][0], "remedy": WHY_KEPT[why][1], "jobs": count, "examples": ids}
            for (state, why), (count, ids) in self._kept.items()
        ]


@dataclass(frozen=True)
class Rules:
    """By what to decide. C(before): the moment before which a job must have ended, as RQ writes it, or nothing."""

    client: RedisClient
    keys: wire.RqKeys
    before: str
    now: float
    tick: Callable[[], None]


def look_through(rules: Rules, state: str, key: bytes, removal: Removal) -> None:
    """Add what is in one list or sorted set to C(removal), without writing anything."""
    removal.jobs.setdefault(state, 0)
    again = True
    while again:
        count = removal.jobs[state]
        removal.forget_kept(state)
        _pass_over(rules, state, key, removal)
        # Of jobs that wait for each other the last goes first, and then the one before.
        again = state == "blocked" and removal.jobs[state] > count


def _pass_over(rules: Rules, state: str, key: bytes, removal: Removal) -> None:
    command, start = ("LRANGE" if state == "waiting" else "ZRANGE"), 0
    while not removal.is_full:
        rules.tick()
        identifiers = rules.client.call(command, key, start, start + PAGE - 1)
        left = [identifier for identifier in identifiers if identifier not in removal.gone]
        for identifier, why in zip(left, _why_kept(rules, left, removal.gone)):
            if removal.is_full:
                return
            if why in (None, GHOST):
                removal.jobs[state] += 1
                removal.ghosts += why == GHOST
                if state == "blocked":
                    removal.gone.add(identifier)
            elif why != YOUNG:
                removal.keep(state, str(why), identifier)
        start += PAGE
        if len(identifiers) < PAGE:
            return


def _why_kept(rules: Rules, identifiers: Sequence[bytes], gone: set[bytes]) -> list[Optional[str]]:
    """Why each stays: None if it does not, GHOST if there is no job."""
    client, keys, before = rules.client, rules.keys, rules.before
    hashes = [keys.job(identifier) for identifier in identifiers]
    kinds = client.pipeline([("TYPE", key) for key in hashes])
    fields = read_fields(client, hashes, (b"ended_at", b"rate_limit_key"), LONGEST_FIELD)
    alive = f"({int(rules.now)}"
    running = client.pipeline([("ZCOUNT", keys.executions(each), alive, "+inf") for each in identifiers])
    dependents = client.pipeline(
        [("SRANDMEMBER", keys.dependents(identifier), MOST_DEPENDENTS) for identifier in identifiers]
    )
    found: list[Optional[str]] = []
    for kind, values, executions, others in zip(kinds, fields, running, dependents):
        ended = values.get(b"ended_at", b"").decode("ascii", "replace")
        if kind != b"hash":
            found.append(GHOST)
        elif before and (not ended or ended > before):
            found.append(YOUNG)
        elif values.get(b"rate_limit_key"):
            found.append(LIMITED)
        elif isinstance(executions, int) and executions:
            found.append(RUNNING)
        elif isinstance(others, list) and _any_deferred(client, keys, [each for each in others if each not in gone]):
            found.append(EXPECTED)
        else:
            found.append(None)
    return found


def _any_deferred(client: RedisClient, keys: wire.RqKeys, identifiers: Sequence[bytes]) -> bool:
    jobs = read_fields(client, [keys.job(each) for each in identifiers], (b"status",), LONGEST_FIELD)
    return any(fields.get(b"status") == b"deferred" for fields in jobs)
