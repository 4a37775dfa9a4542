# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Running what comes after the data: stage by stage, several tasks at once."""

from __future__ import annotations

from collections.abc import Sequence

from ansible_collections.runbook.ops.plugins.module_utils.common.progress import Progress
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.loading.crew import Crew
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.loading.order import Stage, Task, next_task
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.loading.problems import Problems
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.loading.session import LoadFailed, LoadingSession


class Finisher:
    """Runs stages with a crew; problems are collected, or end it, as C(problems) decides.

    Args:
        crew: Whose sessions work.
        problems: Where problems go.
        progress: Told in statements.

    """

    def __init__(self, crew: Crew, problems: Problems, progress: Progress) -> None:
        self._crew = crew
        self._problems = problems
        self._progress = progress
        self._done = 0
        self._running: list[Task] = []

    def run(self, stages: Sequence[Stage]) -> None:
        """Run all of them, each after the one before it."""
        total = sum(len(task.statements) for stage in stages for task in stage.tasks)
        self._progress.phase("finish", "indexes, constraints and the rest", total=total, unit="statements")
        for stage in stages:
            if stage.is_serial:
                self._begin(*stage.tasks)
            else:
                self._at_once(stage)
            self._wait_for_fewer(1)
        self._crew.drain()

    def _at_once(self, stage: Stage) -> None:
        waiting = list(stage.tasks)
        while waiting:
            task = next_task(waiting, self._running) if len(self._running) < self._crew.size else None
            if task is None:
                self._wait_for_fewer(len(self._running))
            else:
                waiting.remove(task)
                self._begin(task)

    def _begin(self, *tasks: Task) -> None:
        """Have one session run tasks in order."""

        def work(session: LoadingSession) -> None:
            for task in tasks:
                try:
                    self._carry_out(session, task)
                finally:
                    self._running.remove(task)

        self._running += tasks
        self._crew.submit(work)

    def _wait_for_fewer(self, count: int) -> None:
        def is_so() -> bool:
            self._progress.at(self._done, ", ".join(task.what for task in self._running[: self._crew.size]))
            return len(self._running) < count

        self._crew.wait(is_so)

    def _carry_out(self, session: LoadingSession, task: Task) -> None:
        session.adopt(task.settings)
        for text in task.statements:
            try:
                session.execute(text, task.what)
            except LoadFailed as error:
                self._problems.add(error.problem)
            self._done += 1
