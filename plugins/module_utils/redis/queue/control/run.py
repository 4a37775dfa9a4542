# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pauses, resumes or empties one queue, as its own library would, in steps that nobody notices."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import RunbookError
from ansible_collections.runbook.ops.plugins.module_utils.common.guards import check_guards, window_refusal
from ansible_collections.runbook.ops.plugins.module_utils.common.outcome import Refused
from ansible_collections.runbook.ops.plugins.module_utils.common.progress import Progress, Stopped
from ansible_collections.runbook.ops.plugins.module_utils.queues.model import plural
from ansible_collections.runbook.ops.plugins.module_utils.redis.client import RedisClient, show
from ansible_collections.runbook.ops.plugins.module_utils.redis.connection import connect
from ansible_collections.runbook.ops.plugins.module_utils.redis.endpoint import Endpoint, survey
from ansible_collections.runbook.ops.plugins.module_utils.redis.options import settings_from
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.control.request import (
    EMPTY,
    PAUSED,
    ControlRequest,
    request_from,
)
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.control.result import (
    VERBS,
    figures,
    removals,
    result_of,
)
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.control.system import ControlSystem
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.control.systems import SYSTEMS
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.find import find_system
from ansible_collections.runbook.ops.plugins.module_utils.redis.writing import denied_writes, rehearse, require_master

_POLL_SECONDS = 0.5


def control_queue(params: Mapping[str, Any], *, check_mode: bool) -> dict[str, Any]:
    """The whole result of the module.

    Raises:
        InvalidOption: before anything is touched.
        Refused: a guard said no; nothing was touched, and the plan travels along.
        RunbookError: there is no such queue, or it did not become as wanted.
        Unavailable: the server cannot be reached, or was lost on the way.
        Stopped: the run was interrupted; the result says what was done until then.

    """
    check_guards(params)
    request = request_from(params)
    settings = settings_from(params)
    progress = Progress(params["progress_path"])
    with connect(settings) as client, progress.stoppable():
        progress.phase("look", show(request.target.queue))
        named = SYSTEMS[request.system].needed(request.target, request.state) if request.system else []
        endpoint = survey(client, [], also=denied_writes(client, named))
        require_master(endpoint)
        system, found = find_queue(client, endpoint, request)
        system.tick = progress.check
        work = _Work(request, params, system, found, progress, check_mode)
        return work.empty() if request.state == EMPTY else work.switch()


def find_queue(
    client: RedisClient, endpoint: Endpoint, request: ControlRequest
) -> tuple[ControlSystem, dict[str, Any]]:
    """The queue, and what its system's C(check) says; raises as C(find_system) does."""
    names = [request.system] if request.system else list(SYSTEMS)
    state = request.state

    def rehearsed(system: ControlSystem) -> None:
        frees = state == EMPTY or not system.pausing_needs_memory
        rehearse(client, system.needed(request.target, state), frees=frees)

    return find_system(
        [SYSTEMS[name](client, endpoint, request.target) for name in names],
        check=lambda system: system.check(state),
        rehearse=rehearsed,
        is_given=bool(request.system),
        queue=request.target.queue,
        endpoint=endpoint,
    )


class _Work:
    """One run, from what was found to the result."""

    def __init__(
        self,
        request: ControlRequest,
        params: Mapping[str, Any],
        system: ControlSystem,
        found: dict[str, Any],
        progress: Progress,
        check_mode: bool,
    ) -> None:
        self.request = request
        self.params = params
        self.system = system
        self.found = found
        self.progress = progress
        self.check_mode = check_mode
        self.name = show(request.target.queue)

    def result(self, **parts: Any) -> dict[str, Any]:
        """The result with these parts."""
        return result_of(self.request, self.found, system=self.system.system, **parts)

    def check_window(self, result: Mapping[str, Any]) -> None:
        """Raise Refused when now is no time for it."""
        no = window_refusal(self.params)
        if no:
            verb = "emptied" if self.request.state == EMPTY else self.request.state
            raise Refused(f"Queue {self.name} was not {verb}: {no[0]}. {no[1]}", **{**result, "changed": False})

    # --- pausing and resuming

    def switch(self) -> dict[str, Any]:
        """Pause or resume."""
        state = self.request.state
        due = self.found.get("due", self.found["paused"] is not (state == PAUSED))
        actions = [{"action": VERBS[state], "queue": self.name}] if due else []
        result = self.result(actions=actions)
        if due:
            self.check_window(result)
        if self.check_mode:
            return result
        if due:
            try:
                self.progress.phase(VERBS[state], self.name)
                self.system.pause() if state == PAUSED else self.system.resume()
            except RunbookError as error:
                error.message = (
                    f"{error.message.rstrip('.')}. Queue {self.name} may not be {state} yet; every job is where it "
                    "was, or in the list it belongs to. Run the task again: it goes on from there."
                )
                error.details = {**result, "changed": False, **error.details}
                raise
        after = self.look_again()
        result = self.result(actions=actions, after=after)
        if after["paused"] is not (state == PAUSED):
            raise RunbookError(
                f"Queue {self.name} was {state}, but is not any more: somebody has done the opposite meanwhile, "
                "such as the application at its start.",
                **result,
            )
        if self.request.wait_active:
            result = self.wait_active(actions, self.request.wait_active)
        return result

    def wait_active(self, actions: list[dict[str, Any]], seconds: int) -> dict[str, Any]:
        """Wait until the jobs that workers have are done; raises RunbookError with how many are left."""
        self.progress.phase("drain", self.name, unit="jobs")
        deadline = time.monotonic() + seconds
        while True:
            after = self.look_again()
            active = after["counts"]["active"]
            result = self.result(actions=actions, after=after)
            if active is None:
                raise RunbookError(f"How many jobs of queue {self.name} are active cannot be known.", **result)
            if not active:
                return result
            left = deadline - time.monotonic()
            if left <= 0:
                raise RunbookError(
                    f"Still active in queue {self.name} after {seconds} s: {plural(active, 'job')}. The queue stays "
                    "paused. Raise wait_active, or look at what they do; to go on without waiting, run it with state "
                    "resumed.",
                    **result,
                )
            try:
                self.progress.wait(min(_POLL_SECONDS, left), f"{active} active, {left:.0f} s left")
            except Stopped as stop:
                raise Stopped(f"{stop.message}. Queue {self.name} stays paused.", **result) from None

    def look_again(self) -> dict[str, Any]:
        """The figures now."""
        return figures(self.system.check(self.request.state))

    # --- emptying

    def empty(self) -> dict[str, Any]:
        """Remove the jobs of the states that were asked for."""
        request, system = self.request, self.system
        for state in request.states:
            if state not in system.removable:
                hint = system.not_removable.get(state, "Leave it out of states.")
                raise Refused(f"The state {state} of a queue of {system.title} cannot be emptied. {hint}")
            if request.target.options["min_age"] and state not in system.dated:
                known = " and ".join(system.dated) or "none"
                raise Refused(
                    f"When a job came into the state {state} is not known, so min_age cannot be kept. It is for: "
                    f"{known}."
                )
        states = [state for state in system.removable if state in request.states]
        candidates = system.candidates(states, self.found["counts"])
        self.check_limit(candidates)
        if self.check_mode:
            plan = system.plan_removal(states)
            jobs = self._limited(plan["jobs"])
            result = self.result(
                actions=removals(request, jobs), removed=jobs, ghosts=plan.get("ghosts", 0), kept=plan["kept"]
            )
            if jobs:
                self.check_window(result)
            return result
        if candidates:
            self.check_window(self.result(actions=()))
        return self.carry_out(states, candidates)

    def check_limit(self, candidates: int) -> None:
        """Raise Refused when more would be removed than is allowed."""
        wanted = candidates if self.request.limit is None else min(candidates, self.request.limit)
        if wanted > self.request.max_jobs:
            raise Refused(
                f"{plural(wanted, 'job')} of queue {self.name} ({', '.join(self.request.states)}) would be removed, "
                f"more than max_jobs ({self.request.max_jobs}). Nothing was touched. Raise max_jobs if they are really "
                "to go, or remove some of them with limit.",
                **self.result(actions=()),
            )

    def carry_out(self, states: list[str], candidates: int) -> dict[str, Any]:
        """Remove what was there at the beginning, at most, and see what is left."""
        removed: dict[str, int] = {}
        left = candidates if self.request.limit is None else min(candidates, self.request.limit)
        try:
            self.progress.phase("remove", self.name, total=left, unit="jobs")
            for state in states:
                for count in self.system.remove([state], left) if left > 0 else ():
                    removed[state] = removed.get(state, 0) + count
                    left -= count
                    self.progress.advance(count)
        except RunbookError as error:
            gone = plural(sum(removed.values()), "job")
            error.message = (
                f"{error.message.rstrip('.')}. By then {gone} of queue {self.name} had been removed with all keys; "
                "what is left is whole. Run the task again: it goes on from there."
            )
            partial = self.result(
                actions=removals(self.request, removed), removed=removed, ghosts=self.system.ghosts, kept=()
            )
            error.details = {**partial, **error.details}
            raise
        return self.result(
            actions=removals(self.request, removed),
            after=self.look_again(),
            removed=removed,
            ghosts=self.system.ghosts,
            kept=self.system.plan_removal(states)["kept"],
        )

    def _limited(self, jobs: Mapping[str, int]) -> dict[str, int]:
        """What is left of a plan by limit, the states in their order."""
        left: Optional[int] = self.request.limit
        limited = {}
        for state, count in jobs.items():
            limited[state] = count if left is None else min(count, left)
            left = None if left is None else left - limited[state]
        return limited
