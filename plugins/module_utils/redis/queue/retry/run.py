# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Puts failed jobs back: looks at all of them, decides, and goes through them once more, batch by batch."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.common.clock import parse_moment
from ansible_collections.runbook.ops.plugins.module_utils.common.errors import RunbookError
from ansible_collections.runbook.ops.plugins.module_utils.common.guards import check_guards, window_refusal
from ansible_collections.runbook.ops.plugins.module_utils.common.outcome import Refused, check_refusals, outcome
from ansible_collections.runbook.ops.plugins.module_utils.common.progress import Progress, Stopped
from ansible_collections.runbook.ops.plugins.module_utils.queues.model import plural
from ansible_collections.runbook.ops.plugins.module_utils.redis.client import show
from ansible_collections.runbook.ops.plugins.module_utils.redis.connection import connect
from ansible_collections.runbook.ops.plugins.module_utils.redis.endpoint import clock, survey
from ansible_collections.runbook.ops.plugins.module_utils.redis.options import settings_from
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.retry.find import find_queue
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.retry.plan import NO_REMEDY, Pace, Tally
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.retry.request import RetryRequest, request_from
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.retry.system import (
    GONE,
    RETRIED,
    FailedJob,
    RetrySystem,
)
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.retry.systems import SYSTEMS
from ansible_collections.runbook.ops.plugins.module_utils.redis.writing import denied_writes, require_master

_AGAIN = "Run the task again"


def retry_jobs(params: Mapping[str, Any], *, check_mode: bool) -> dict[str, Any]:
    """The whole result of the module.

    Raises:
        InvalidOption: before anything is touched.
        Refused: a guard said no, or jobs that were meant could not be put back; the result travels along.
        RunbookError: there is no such queue.
        Unavailable: the server cannot be reached, does not let us, or was lost on the way.
        Stopped: the run was interrupted; the result says how far it came.

    """
    check_guards(params)
    request = request_from(params)
    settings = settings_from(params)
    reference = params["reference_time"]
    progress = Progress(params["progress_path"])
    with connect(settings) as client, progress.stoppable():
        named = SYSTEMS[request.system].needed(request.target) if request.system else []
        endpoint = survey(client, [], also=denied_writes(client, named))
        require_master(endpoint)
        system, facts = find_queue(client, endpoint, request)
        work = _Work(request, system, facts, progress, clock(endpoint, parse_moment(reference) if reference else None))
        work.look()
        work.check(params)
        result = work.planned() if check_mode else work.carry_out()
    check_refusals(result, params["on_refusal"])
    return result


class _Work:
    """One run, from what was found to the result."""

    def __init__(
        self,
        request: RetryRequest,
        system: RetrySystem,
        facts: Mapping[str, Any],
        progress: Progress,
        now: float,
    ) -> None:
        self.request = request
        self.system = system
        self.facts = facts
        self.progress = progress
        self.now = now
        self.name = show(request.target.queue)
        self.before = system.counts()
        self.plan = Tally(request.limit)
        self.done = Tally()
        self.gone = 0
        self.unknown_ids: list[str] = []

    def look(self) -> None:
        """The plan, from one pass over the failed jobs."""
        try:
            self._look()
        except Stopped as stop:
            raise Stopped(f"{stop.message} before anything was changed. {_AGAIN}.") from None

    def _look(self) -> None:
        self.progress.phase("look", self.name, total=self.before["failed"], unit="jobs")
        unseen = set(self.request.ids)
        for page in self._pages():
            for job in page:
                unseen.discard(job.id)
                if self.request.matches(job, self.now):
                    self.plan.plan(job)
            self.progress.advance(len(page))
        self.unknown_ids = [show(each) for each in self.request.ids if each in unseen]

    def check(self, params: Mapping[str, Any]) -> None:
        """Raise Refused, with the plan, when it is more than was allowed or now is no time for it."""
        due = self.plan.due
        if due > self.request.max_jobs:
            raise Refused(
                f"{plural(due, 'failed job')} of queue {self.name} would be retried, more than max_jobs "
                f"({self.request.max_jobs}). Nothing was touched. Raise max_jobs, retry some of them with limit, or "
                "choose them by reason.",
                **self.planned(changed=False),
            )
        refusal = window_refusal(params) if due else None
        if refusal is not None:
            raise Refused(
                f"{plural(due, 'failed job')} of queue {self.name} would be retried, but {refusal[0]}. {refusal[1]}",
                **self.planned(changed=False),
            )

    def planned(self, *, changed: Optional[bool] = None) -> dict[str, Any]:
        """The result as far as it is known without touching anything, which is that of check mode."""
        return self._result(self.plan, changed=self.plan.due > 0 if changed is None else changed, after=None)

    def carry_out(self) -> dict[str, Any]:
        """Put the jobs back, and look at what there is then."""
        try:
            self._put_back()
        except RunbookError as error:
            error.message = self._told(error.message)
            error.details = {**self._outcome(complete=False), **error.details}
            raise
        return self._outcome(complete=self.plan.left == 0)

    def _told(self, message: str) -> str:
        ending = "" if message.endswith((".", "!")) else "."
        if not self.done.due:
            return f"{message}{ending} Nothing was changed."
        told = (
            f"{message}{ending} {self.done.due} of {plural(self.plan.due, 'job')} of queue {self.name} were put back."
        )
        return told if _AGAIN in message else f"{told} {_AGAIN}: these are not failed any more."

    def _put_back(self) -> None:
        self.progress.phase("retry", self.name, total=self.plan.due, unit="jobs")
        pace = Pace(self.request.max_per_second, time.monotonic)
        handled = 0
        for batch in self._batches():
            wait = pace.pause(handled)
            if wait > 0:
                self.progress.wait(wait, f"no more than {self.request.max_per_second:g} jobs a second")
            outcomes = self.system.retry(batch, reset_attempts=self.request.reset_attempts)
            for job, what in zip(batch, outcomes):
                if what == RETRIED:
                    self.done.take(job)
                elif what == GONE:
                    self.gone += 1
                else:
                    self.done.refuse(job, *self.system.left_alone[what])
            handled += len(batch)
            self.progress.at(handled)
        # Somebody else retried or removed them, or they failed anew, which is another failure.
        self.gone = self.plan.due - self.done.due - self.done.refused

    def _batches(self) -> Iterator[list[FailedJob]]:
        """The jobs of the plan, as they are found now, as many at most as it has."""
        step, left = self.request.step, self.plan.due
        batch: list[FailedJob] = []
        for page in self._pages() if left else ():
            self.progress.check()
            for job in page:
                if job.id in self.plan.remembered or not self.request.matches(job, self.now):
                    continue
                if job.refusal is not None:
                    # Refused since the plan was made; with too many of those to remember, it may be one of them.
                    if self.plan.remembers_all:
                        self.done.refuse(job, job.refusal, job.remedy or NO_REMEDY)
                        left -= 1
                else:
                    batch.append(job)
                    left -= 1
                if batch and (len(batch) >= step or not left):
                    yield batch
                    batch = []
                if not left:
                    return
        if batch:
            yield batch

    def _pages(self) -> Iterator[Sequence[FailedJob]]:
        return self.system.chosen(self.request.ids) if self.request.ids else self.system.failed()

    def _outcome(self, *, complete: bool) -> dict[str, Any]:
        """The result of what was done until now."""
        done = self.done
        merged = Tally()
        merged.adopt_refusals(self.plan)
        merged.adopt_refusals(done)
        result = self._result(done, changed=done.due > 0, after=self._counts(), refusals=merged)
        result["retried"] = done.due
        result["gone"] = self.gone
        result["complete"] = complete
        return result

    def _counts(self) -> Optional[dict[str, Optional[int]]]:
        try:
            return self.system.counts()
        except RunbookError:
            # The connection is gone, which is what the run ends with.
            return None

    def _result(
        self,
        tally: Tally,
        *,
        changed: bool,
        after: Optional[Mapping[str, Optional[int]]],
        refusals: Optional[Tally] = None,
    ) -> dict[str, Any]:
        counts = {"failed": self.before["failed"], "waiting": self.before["waiting"], "paused": self.before["paused"]}
        return outcome(
            changed=changed,
            actions=tally.actions(self.name),
            refused=(refusals or self.plan).refusals(self.name),
            before=self.before,
            after=after,
            system=self.system.system,
            library=self.facts["library"],
            queue=self.name,
            paused=self.facts["paused"],
            matched=self.plan.matched,
            retried=0,
            gone=0,
            left=self.plan.left,
            ids=tally.ids,
            notes=[*(self.facts.get("notes") or ()), *self._notes()],
            diff=_diff(counts, tally.due, paused=bool(self.facts["paused"])),
            complete=self.plan.left == 0,
        )

    def _notes(self) -> list[str]:
        if not self.unknown_ids:
            return []
        shown = ", ".join(self.unknown_ids[:20])
        more = f" and {len(self.unknown_ids) - 20} more" if len(self.unknown_ids) > 20 else ""
        return [f"Not failed, or not any more: {shown}{more}."]


def _diff(counts: Mapping[str, Optional[int]], moved: int, *, paused: bool) -> dict[str, str]:
    """The counts before, and what they become by this alone; live workers go on meanwhile."""
    target = "paused" if paused and counts["paused"] is not None else "waiting"
    shift = {"failed": -moved, target: moved}
    expected = {name: None if count is None else count + shift.get(name, 0) for name, count in counts.items()}
    return {"before": _lines(counts), "after": _lines(expected)}


def _lines(counts: Mapping[str, Optional[int]]) -> str:
    return "".join(f"{name}: {'unknown' if count is None else count}\n" for name, count in counts.items())
