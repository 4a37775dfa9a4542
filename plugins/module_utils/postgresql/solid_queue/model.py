# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From the rows of Solid Queue's tables to the facts that every queue system has. Pure.

Solid Queue has no table of queues. A queue is there if any job of it is kept, finished or not, if it is paused, or if a
recurring task or the list of a living worker names it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.common.clock import iso_of
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.solid_queue.failures import failure_text
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.solid_queue.processes import (
    DISPATCHER,
    QueueProcess,
    covers,
    exact_names,
    without_prefix,
)
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.solid_queue.request import SolidQueueRequest
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.solid_queue.statements import (
    FAILURE_COUNTS,
    FAILURES,
    FINISHED,
    HELD,
    LATER,
    LIMITED,
    LOST,
    NEXT_TASKS,
    PAUSED,
    WAITING,
    Statement,
)
from ansible_collections.runbook.ops.plugins.module_utils.queues.model import (
    QueueFacts,
    SystemFacts,
    listed,
    plural,
)
from ansible_collections.runbook.ops.plugins.module_utils.queues.reasons import normalise, scrub

SYSTEM = "solid_queue"
# A dispatcher looks once a second; whoever is later than this is not looked for any more.
OVERDUE_SECONDS = 60.0
# A clock that is so far ahead, or Rails that keeps local time.
SKEW_SECONDS = 60.0

Row = Mapping[str, Any]


@dataclass
class Answers:
    """What was read, by statement; None for what could not be. Moments are epoch seconds of the server's clock."""

    now: float
    rows: dict[str, Optional[Sequence[Row]]] = field(default_factory=dict)
    # None where the table of processes cannot be read.
    processes: Optional[Sequence[QueueProcess]] = None
    _by_queue: dict[str, dict[str, list[Row]]] = field(default_factory=dict)

    def of(self, statement: Statement) -> Optional[Sequence[Row]]:
        """All rows of a statement."""
        return self.rows.get(statement.what)

    def rows_of(self, queue: str, statement: Statement) -> Optional[list[Row]]:
        """The rows of one queue."""
        rows = self.of(statement)
        if rows is None:
            return None
        if statement.what not in self._by_queue:
            found: dict[str, list[Row]] = {}
            for row in rows:
                found.setdefault(row["name"], []).append(row)
            self._by_queue[statement.what] = found
        return self._by_queue[statement.what].get(queue, [])


def known_names(
    kept: Iterable[str], paused: Iterable[str], recurring: Iterable[Optional[str]], workers: Iterable[QueueProcess]
) -> list[str]:
    """Every queue that there is, by name."""
    served = (name for worker in workers if worker.alive for name in exact_names(worker.queues or ()))
    return sorted({*kept, *paused, *served, *(name for name in recurring if name)})


def system_facts(names: Sequence[str], answers: Answers, request: SolidQueueRequest) -> SystemFacts:
    """The facts of all these queues."""
    facts = SystemFacts()
    facts.queues = [QueueFacts(name, SYSTEM, raw=name.encode()) for name in names]
    for queue in facts.queues:
        rows = partial(answers.rows_of, queue.name)
        paused = rows(PAUSED)
        queue.paused = None if paused is None else bool(paused)
        _count(queue, rows(WAITING), rows(LIMITED), rows(FINISHED))
        _count_held(queue, rows(HELD), answers)
        _count_scheduled(queue, rows(LATER), answers)
        _count_failed(queue, rows(FAILURE_COUNTS), rows(FAILURES), request)
        _count_lost(queue, rows(LOST))
        _age(queue, rows(WAITING), answers.now)
        _tasks(queue, rows(NEXT_TASKS))
        _consumers(queue, answers.processes)
    _sum_up(facts, answers, request)
    return facts


def _total(rows: Optional[Sequence[Row]], column: str = "count") -> Optional[int]:
    return None if rows is None else sum(int(row[column]) for row in rows)


def _count(
    queue: QueueFacts,
    waiting: Optional[list[Row]],
    blocked: Optional[list[Row]],
    finished: Optional[list[Row]],
) -> None:
    ready, completed = _total(waiting), _total(finished)
    queue.counts.update(waiting=ready, blocked=_total(blocked), completed=completed)
    queue.states.update(ready=ready, blocked=_total(blocked), finished=completed)
    queue.priorities = [{"priority": row["priority"], "waiting": row["count"]} for row in waiting or []]
    expired = _total(blocked, "expired")
    if expired:
        queue.notes.append(
            f"{plural(expired, 'blocked job')} whose concurrency limit has expired: a dispatcher moves them on"
        )


def _count_held(queue: QueueFacts, held: Optional[list[Row]], answers: Answers) -> None:
    active = _total(held)
    queue.counts["active"] = queue.states["claimed"] = queue.unacked = active
    if held:
        queue.oldest_unacked_seconds = _since(min(row["oldest"] for row in held), answers.now)
    if held is None or answers.processes is None:
        return
    living = {process.id: process.alive for process in answers.processes}
    left = [row for row in held if not living.get(row["process_id"], False)]
    queue.stalled = _total(left)
    if left:
        gone = sum(row["count"] for row in left if row["process_id"] not in living)
        whose = "is no longer registered" if gone == queue.stalled else "has not been heard of in time"
        queue.notes.append(
            f"{plural(queue.stalled or 0, 'claimed job')} whose worker {whose}: a supervisor marks them as failed, "
            "and nobody runs them again unless they are retried"
        )


def _count_scheduled(queue: QueueFacts, later: Optional[list[Row]], answers: Answers) -> None:
    queue.counts["delayed"] = queue.states["scheduled"] = _total(later)
    queue.overdue = _total(later, "overdue")
    if queue.overdue and later:
        late = _since(min(row["earliest"] for row in later), answers.now)
        note = f"{plural(queue.overdue, 'scheduled job')} overdue, the longest for {late:.0f} s"
        if answers.processes is not None and not any(
            process.kind == DISPATCHER and process.alive for process in answers.processes
        ):
            note += ": no dispatcher is alive"
        queue.notes.append(note)


def _count_failed(
    queue: QueueFacts, counts: Optional[list[Row]], failures: Optional[list[Row]], request: SolidQueueRequest
) -> None:
    queue.states["failed"] = _total(counts)
    queue.counts["failed"] = _total(counts, "count" if request.failed_within is None else "lately")
    for row in failures or []:
        text = failure_text(row["error"])
        queue.failures.add(normalise(text), scrub(text), str(row["job_id"]), row["failed_at"])
    if request.failures:
        queue.failures_sampled = queue.failures.count < (queue.counts["failed"] or 0)


def _count_lost(queue: QueueFacts, lost: Optional[list[Row]]) -> None:
    queue.orphans = _total(lost)
    if queue.orphans and lost:
        queue.notes.append(
            f"{plural(queue.orphans, 'job')} unfinished and in no state, so that nobody runs them (the first has the "
            f"id {lost[0]['first']})"
        )


def _age(queue: QueueFacts, waiting: Optional[list[Row]], now: float) -> None:
    if not waiting:
        return
    oldest = min(row["oldest"] for row in waiting)
    queue.oldest_age_seconds, queue.oldest_age_exact = _since(oldest, now), True
    if oldest - now > SKEW_SECONDS:
        queue.oldest_age_exact = False
        queue.oldest_age_note = (
            "even the oldest job lies ahead of the database's clock: compare the clocks, and see whether Rails keeps "
            "local time (default_timezone)"
        )


def _tasks(queue: QueueFacts, tasks: Optional[list[Row]]) -> None:
    for row in tasks or []:
        queue.tasks[row["class_name"]] = row["count"]
        queue.sampled += row["count"]


def _consumers(queue: QueueFacts, processes: Optional[Sequence[QueueProcess]]) -> None:
    if processes is None:
        return
    workers = [process for process in processes if process.is_worker and process.alive]
    serving = [worker for worker in workers if covers(worker.queues or (), queue.name)]
    silent = [worker for worker in workers if worker.queues is None]
    if silent:
        queue.notes.append(f"consumers: {silent[0].label} does not say which queues it works on")
    queue.consumers = None if silent and not serving else len(serving)
    if queue.unconsumed:
        queue.notes.append(_why_unconsumed(queue.name, workers))


def _why_unconsumed(name: str, workers: Sequence[QueueProcess]) -> str:
    """Why nobody takes the jobs; the usual reason is a queue_name_prefix that the workers' list does not have."""
    if not workers:
        return "no worker is alive"
    for worker in workers:
        for short in without_prefix(worker.queues or (), name):
            prefix = name[: -len(short)]
            return (
                f"no worker takes its jobs: {worker.label} works on {short!r}, which queue_name_prefix has made "
                f"{name!r}. Write the prefix into the list (config/queue.yml, queues: {prefix}*)"
            )
    lists = listed({",".join(worker.queues or ()) for worker in workers}, 5)
    return f"no worker takes its jobs: the lists of the {plural(len(workers), 'living worker')} are {lists}"


def _sum_up(facts: SystemFacts, answers: Answers, request: SolidQueueRequest) -> None:
    counts = [queue.counts["failed"] for queue in facts.queues]
    if facts.queues:
        facts.failed_count = None if None in counts else sum(count or 0 for count in counts)
    for queue in facts.queues:
        facts.failures.merge(queue.failures)
    if request.failures and answers.of(FAILURES) is not None:
        facts.failed_seen = facts.failures.count
    # What Celery's messages may be: there is no index here that a job could be missing from.
    facts.unattributed = {"without_index": 0}
    if answers.processes is not None:
        facts.consumers = sum(process.is_worker and process.alive for process in answers.processes)
        dead = [process for process in answers.processes if not process.alive]
        if dead:
            facts.notes.append(
                f"{len(dead)} of {len(answers.processes)} processes were not heard of for "
                f"{request.process_alive_threshold:g} s: {listed((each.label for each in dead), 5)}"
            )


def recurring_tasks(tasks: Sequence[Row], runs: Optional[Sequence[Row]], now: float, most: int) -> list[dict[str, Any]]:
    """The result's C(recurring_tasks); C(runs) are None where they could not be read."""
    last = {row["key"]: row["run_at"] for row in runs or []}
    return [
        {
            "key": task["key"],
            "schedule": task["schedule"],
            "task": task["class_name"],
            "queue": task["queue_name"],
            "last_run_at": None if last.get(task["key"]) is None else iso_of(last[task["key"]]),
            "last_run_age_seconds": None if last.get(task["key"]) is None else _since(last[task["key"]], now),
        }
        for task in tasks[:most]
    ]


def _since(moment: float, now: float) -> float:
    return round(max(0.0, now - moment), 1)
