# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Emptying Celery's queues. Pausing them is the workers' own affair."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, ClassVar, Optional

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import RunbookError
from ansible_collections.runbook.ops.plugins.module_utils.common.outcome import Refused
from ansible_collections.runbook.ops.plugins.module_utils.redis.client import Command, show
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.celery.find import (
    commands_to_find,
    find_queue,
    lengths,
)
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.control.lists import trim_commands, trim_list
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.control.system import ControlSystem
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.retry.celery import naming_of
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.retry.system import Target

_VERBS = {"paused": "cancel_consumer", "resumed": "add_consumer"}


class CeleryControl(ControlSystem):
    """One queue with the lists of all its priorities."""

    system = "celery"
    title = "Celery"
    removable = ("waiting",)
    not_removable: ClassVar[dict[str, str]] = {
        "delayed": "Tasks for later are with workers, unacknowledged. Revoke them: celery -A APP control revoke ID.",
        "failed": "Celery keeps no failed jobs, only results, which expire by themselves.",
        "completed": "Celery keeps no completed jobs, only results, which expire by themselves.",
        "retrying": "Tasks that are going to be retried are with workers, as tasks for later.",
        "blocked": "Celery has no jobs that wait for other jobs.",
    }

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.naming = naming_of(self.target)

    @classmethod
    def needed(cls, target: Target, state: str) -> list[Command]:  # noqa: ARG003 - only emptying comes so far
        """Every command with keys of this queue, so that the permissions for them are seen too."""
        naming = naming_of(target)
        lists = [naming.queue(target.queue, priority) for priority in naming.priorities]
        return [*commands_to_find(naming, target.queue), *(each for key in lists for each in trim_commands(key))]

    def check(self, state: str) -> dict[str, Any]:
        """Is there such a queue, are its keys what the library keeps there, and can it be done?"""
        _tables, missing = find_queue(self.client, self.endpoint, self.naming, self.target.queue)
        if missing is not None:
            raise RunbookError(missing)
        if state in _VERBS:
            raise Refused(
                f"Celery's queue {show(self.target.queue)!r} cannot be {state} in Redis: each worker keeps in its own "
                f"memory which queues it fetches from. Tell the workers: celery -A APP control {_VERBS[state]} "
                f"{show(self.target.queue)}; a worker that starts anew fetches again, so scale workers down where "
                "that may happen."
            )
        waiting = sum(lengths(self.client, self.naming, self.target.queue))
        return {
            "library": "Celery",
            "paused": None,
            "counts": {"waiting": waiting},
            "notes": ["Messages that workers hold unacknowledged, those for later among them, stay"],
        }

    def pause(self) -> None:
        """Never comes so far: C(check) refuses."""

    def resume(self) -> None:
        """Never comes so far: C(check) refuses."""

    def plan_removal(self, states: Sequence[str]) -> dict[str, Any]:  # noqa: ARG002 - there is one
        """What would go, and what would stay."""
        return {"jobs": {"waiting": sum(lengths(self.client, self.naming, self.target.queue))}, "kept": []}

    def remove(self, states: Sequence[str], limit: Optional[int]) -> Iterator[int]:  # noqa: ARG002 - there is one
        """The highest priority first, as workers would take them."""
        left = limit
        step = int(self.target.options.get("batch_size") or 100)
        for priority in self.naming.priorities:
            key = self.naming.queue(self.target.queue, priority)
            for gone in trim_list(self.client, key, left, step, self.tick):
                yield gone
                left = None if left is None else left - gone
