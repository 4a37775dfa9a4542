# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a queue system must know how to do so that its queues can be paused, resumed and emptied."""

from __future__ import annotations

import abc
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar, Optional

from ansible_collections.runbook.ops.plugins.module_utils.redis.client import Command, RedisClient
from ansible_collections.runbook.ops.plugins.module_utils.redis.endpoint import Endpoint
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.retry.system import Target


class ControlSystem(abc.ABC):
    """One queue that is to be paused, resumed or emptied."""

    system: ClassVar[str]
    title: ClassVar[str]
    # The states that can be emptied, by the common names (module_utils/queues/model.py).
    removable: ClassVar[tuple[str, ...]] = ()

    def __init__(self, client: RedisClient, endpoint: Endpoint, target: Target) -> None:
        self.client = client
        self.endpoint = endpoint
        self.target = target

    @classmethod
    @abc.abstractmethod
    def needed(cls, target: Target, state: str) -> list[Command]:
        """One harmless sample of every command it is going to use for C(paused), C(resumed) or C(empty)."""

    @abc.abstractmethod
    def check(self, state: str) -> dict[str, Any]:
        """Look at the queue: C(library), C(paused) and C(counts) by common names of states.

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
        """What emptying these states removes and what it leaves: C(jobs) by state, C(kept) with reasons."""

    @abc.abstractmethod
    def remove(self, states: Sequence[str], limit: Optional[int]) -> Iterator[int]:
        """Remove jobs with all their keys in bounded atomic steps, yielding how many each step removed."""
