# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From the options of solid_queue_info to its result."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import RunbookError, Unavailable
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.client import Session, connect
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.errors import QueryError
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.solid_queue.collect import (
    SETTINGS,
    Collector,
    Place,
    elsewhere,
    look_around,
)
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.solid_queue.model import (
    SYSTEM,
    Answers,
    recurring_tasks,
    system_facts,
)
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.solid_queue.request import (
    SolidQueueRequest,
    request_from,
)
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.solid_queue.statements import (
    LAST_RUNS,
    LOCKS,
    MOST_TASKS,
    RECURRING,
)
from ansible_collections.runbook.ops.plugins.module_utils.queues.model import QueueFacts, SystemFacts, listed
from ansible_collections.runbook.ops.plugins.module_utils.queues.summary import figures

SHOWN_PROCESSES = 50
# Where nothing is found, these are unknown, and neither 0 nor fine.
_EMPTY_SECTIONS = ("found", "failed_count", "unconsumed")


def solid_queue_report(params: Mapping[str, Any]) -> dict[str, Any]:
    """The module's result without its frame.

    Raises:
        RunbookError: bad options, and named queues that are not there.

    """
    request = request_from(params)
    try:
        with connect(params, statement_timeout_seconds=request.statement_timeout) as session:
            session.configure(SETTINGS)
            return _report(session, request)
    except Unavailable as error:
        return _unavailable(error.message)
    except QueryError as error:
        # The first statements read catalogs that everybody may read.
        return _unavailable(f"The server does not answer as PostgreSQL 13 or later does: {error.message}.")


def _unavailable(reason: str) -> dict[str, Any]:
    return {
        "available": False,
        "reason": reason,
        "endpoint": {},
        **figures([SystemFacts(complete=False)]),
        **_around(None, None),
    }


def _report(session: Session, request: SolidQueueRequest) -> dict[str, Any]:
    place = look_around(session, request.schema)
    if not place.is_solid_queue:
        return _without_tables(session, place, request)
    collector = Collector(session, place, request)
    answers = Answers(collector.now)
    with session.read_only_transaction():
        names = collector.names(answers)
        if names is not None and len(names) < len(request.queues):
            known = Collector(session, place, SolidQueueRequest(schema=request.schema)).names(Answers(place.now))
            missing = _missing([name for name in request.queues if name not in names], place, known or [], request)
        else:
            missing = []
        if names is not None:
            collector.fill(names, answers)
    facts = system_facts(names or [], answers, request)
    facts.complete = collector.complete
    if request.sample_seconds and names:
        measured = collector.rates(names, {queue.name: queue.backlog for queue in facts.queues})
        for queue in facts.queues:
            queue.rate = measured.get(queue.name)
    facts.queues += missing
    facts.skipped = collector.skipped
    result = _result(place, facts, collector, answers)
    if names == [] and not missing:
        reason = f"{place.label} has Solid Queue's tables and no queue: no job, pause, recurring task or worker"
        result["skipped_sections"] += _nothing(reason, "Check login_db and schema; enqueue a job.")
    return result


def _result(place: Place, facts: SystemFacts, collector: Collector, answers: Answers) -> dict[str, Any]:
    return {
        "available": True,
        "reason": None,
        "endpoint": place.facts(),
        **figures([facts]),
        **_around(collector, answers),
    }


def _around(collector: Collector | None, answers: Answers | None) -> dict[str, Any]:
    """What there is beside the queues."""
    if collector is None or answers is None:
        return {"processes": None, "process_count": None, "semaphores": None, "recurring_tasks": None}
    now = collector.place.now
    processes, locks, tasks = answers.processes, answers.of(LOCKS), answers.of(RECURRING)
    return {
        "processes": None if processes is None else [each.facts(now) for each in processes[:SHOWN_PROCESSES]],
        "process_count": None if processes is None else len(processes),
        "semaphores": dict(locks[0]) if locks else None,
        "recurring_tasks": (
            None if tasks is None else recurring_tasks(tasks, answers.of(LAST_RUNS), collector.now, MOST_TASKS)
        ),
    }


def _missing(names: Sequence[str], place: Place, known: Sequence[str], request: SolidQueueRequest) -> list[QueueFacts]:
    """The named queues that are not there; RunbookError if that is an error."""
    sentences = {name: _why_missing(name, place, known) for name in names}
    if request.missing == "error":
        raise RunbookError(" ".join(sentences.values()), endpoint=place.facts())
    return [QueueFacts(name, SYSTEM, exists=False, reason=sentences[name]) for name in names]


def _why_missing(name: str, place: Place, known: Sequence[str]) -> str:
    prefixed = [each for each in known if each.endswith(f"_{name}")]
    there = f"There are: {listed(known)}." if known else "There is no queue at all."
    if prefixed:
        there = f"With queue_name_prefix it is called {prefixed[0]!r}. {there}"
    return (
        f"Queue {name!r} was not found in {place.label}: "
        f"no job, pause, recurring task or living worker names it. {there}"
    )


def _without_tables(session: Session, place: Place, request: SolidQueueRequest) -> dict[str, Any]:
    found = elsewhere(session, place.schema)
    reason = f"the tables solid_queue_* are not in {place.label}"
    if found["schemas"]:
        reason += f"; this database has them in schema {listed(found['schemas'])}"
    if found["databases"]:
        reason += f"; Rails often keeps them in a database of their own, such as {listed(found['databases'])} here"
    remedy = "Correct login_db or schema, or install Solid Queue (bin/rails solid_queue:install)."
    if request.queues and request.missing == "error":
        raise RunbookError(f"{reason[0].upper()}{reason[1:]}. {remedy}", endpoint=place.facts())
    missing = [QueueFacts(name, SYSTEM, exists=False, reason=f"{reason}.") for name in request.queues]
    result = {
        "available": True,
        "reason": None,
        "endpoint": place.facts(),
        **figures([SystemFacts(queues=missing)]),
        **_around(None, None),
    }
    result["skipped_sections"] += _nothing(reason, remedy)
    return result


def _nothing(reason: str, remedy: str) -> list[dict[str, str]]:
    return [{"section": section, "reason": reason, "remedy": remedy} for section in _EMPTY_SECTIONS]
