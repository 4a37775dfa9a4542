# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a queue system must know how to do so that its queues can be paused, resumed and emptied."""

from __future__ import annotations

import abc
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, Optional

from ansible_collections.runbook.ops.plugins.module_utils.redis.client import Command, RedisClient
from ansible_collections.runbook.ops.plugins.module_utils.redis.endpoint import Endpoint
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.retry.system import Target


class ControlSystem(abc.ABC):
    """One queue that is to be paused, resumed or emptied."""

    system: ClassVar[str]
    title: ClassVar[str]
    # The states that can be emptied, by the common names (module_utils/queues/model.py), in the order in which it is
    # done.
    removable: ClassVar[tuple[str, ...]] = ()
    # Those of them of which it is known when a job came into them: min_age works there.
    dated: ClassVar[tuple[str, ...]] = ()
    # Whether a server that is out of memory cannot carry out a pause.
    pausing_needs_memory: ClassVar[bool] = True
    # Why other states cannot be emptied, and what to do instead, by state: for the message.
    not_removable: ClassVar[dict[str, str]] = {}

    def __init__(self, client: RedisClient, endpoint: Endpoint, target: Target) -> None:
        self.client = client
        self.endpoint = endpoint
        self.target = target
        # Called between two steps; it raises Stopped when the run is to end.
        self.tick: Callable[[], None] = _nothing
        # How many of the removed entries had no job any more.
        self.ghosts = 0

    @classmethod
    @abc.abstractmethod
    def needed(cls, target: Target, state: str) -> list[Command]:
        """One harmless sample of every command it is going to use for C(paused), C(resumed) or C(empty)."""

    @abc.abstractmethod
    def check(self, state: str) -> dict[str, Any]:
        """Look at the queue: C(library), C(paused) and C(counts) by common names of states (None: not known).

        Optional: C(due), whether pausing or resuming has something to do; without it that is so when C(paused) is
        not as wanted. C(notes), sentences that the reader of the result must know.

        Raises RunbookError for a queue that is not there, saying where it was looked for, and Refused for what this
        system cannot do right, with the reason and the alternative.
        """

    @abc.abstractmethod
    def pause(self) -> None:
        """Keep workers from fetching; jobs they have are finished. Producers go on."""

    @abc.abstractmethod
    def resume(self) -> None:
        """Let workers fetch again, and wake those that wait."""

    @abc.abstractmethod
    def plan_removal(self, states: Sequence[str]) -> dict[str, Any]:
        """What emptying these states removes and what it leaves, without writing anything.

        C(jobs): how many, by state. C(kept): a list of C({state, reason, remedy, jobs, examples}), one entry a reason,
        C(examples) being some ids. Optional: C(ghosts), how many of the C(jobs) are entries without a job.
        It may stop counting once C(limit) jobs of C(self.target.options) are found. It is asked before the removal in
        check mode only, and after it to see what is left.
        """

    def candidates(self, states: Sequence[str], counts: Mapping[str, Any]) -> int:
        """How many jobs at most are in these states and old enough; C(counts) are those of C(check). For max_jobs."""
        return sum(counts.get(state) or 0 for state in states)

    @abc.abstractmethod
    def remove(self, states: Sequence[str], limit: Optional[int]) -> Iterator[int]:
        """Remove jobs with all their keys in bounded atomic steps, yielding how many each step removed.

        It is called for one state after the other, in the order of C(removable).
        """


def _nothing() -> None:
    """What C(tick) does unless the run can be stopped."""
