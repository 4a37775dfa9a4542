# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From the first look to the figures of a queue: states under both names, whether it is paused, limits. Pure."""

from __future__ import annotations

from typing import Optional

from ansible_collections.runbook.ops.plugins.module_utils.queues.model import QueueFacts, plural
from ansible_collections.runbook.ops.plugins.module_utils.redis.client import show
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.bull.library import BULL, BULLMQ, Library
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.bull.look import HELD_BACK, Look

# The states a library counts (getJobCounts without arguments) by its major version, with the suffix of their keys.
_COMMON = {
    "active": "active",
    "completed": "completed",
    "delayed": "delayed",
    "failed": "failed",
    "paused": "paused",
    "waiting": "wait",
}
_CHILDREN = {**_COMMON, "waiting-children": "waiting-children"}
_PRIORITIZED = {**_CHILDREN, "prioritized": "prioritized"}
# The last major that has a state of paused jobs.
LAST_WITH_PAUSED = 5


def states_of(library: Library) -> dict[str, str]:
    """The library's own states with the suffixes of their keys; those of BullMQ 5 where the major is not known."""
    if library.system == BULL:
        return _COMMON
    if library.major is not None and library.major <= 3:
        return _CHILDREN
    if library.major is not None and library.major > LAST_WITH_PAUSED:
        return {state: suffix for state, suffix in _PRIORITIZED.items() if state != "paused"}
    return _PRIORITIZED


def count_jobs(facts: QueueFacts, look: Look, library: Library) -> None:
    """Set C(counts) and C(states); what cannot be counted is None, and a note says why."""
    lengths = dict(look.lengths)
    if library.system == BULLMQ:
        for suffix, markers in look.markers.items():
            length = lengths[suffix]
            lengths[suffix] = None if length is None else length - markers
    facts.states = {state: lengths[suffix] for state, suffix in states_of(library).items()}
    if "paused" not in facts.states and lengths["paused"]:
        facts.states["paused"] = lengths["paused"]
    # Up to BullMQ 3 a priority is a place within wait; the set priority holds the same ids again.
    waiting = [lengths["wait"], lengths["paused"], lengths["prioritized"]]
    facts.counts = {
        "waiting": None if None in waiting else sum(length or 0 for length in waiting),
        "active": lengths["active"],
        "delayed": lengths["delayed"],
        "blocked": lengths["waiting-children"] if library.system == BULLMQ else None,
        "failed": lengths["failed"] if look.failed_lately is None else look.failed_lately,
        "completed": lengths["completed"],
    }
    facts.overdue = look.overdue
    for refusal in look.refusals:
        if refusal.code == "WRONGTYPE":
            suffix = refusal.key.rpartition(":")[2] if refusal.key else "?"
            facts.notes.append(
                f"key {refusal.key} is not what {library.label} keeps there, so its jobs cannot be counted; "
                f"a job with the id {suffix!r} overwrites it"
            )


def read_switches(facts: QueueFacts, look: Look, library: Library) -> None:
    """Set C(paused) and say in words what keeps workers from fetching."""
    bull_flag = look.signs.has("meta-paused", "string")
    facts.paused = bull_flag if library.system == BULL else look.paused_in_meta
    if library.system == BULL and look.paused_in_meta and not bull_flag:
        facts.notes.append("meta says that it is paused, but Bull's workers look at meta-paused, which is not there")
    waiting, parked = facts.states.get("waiting"), look.lengths["paused"]
    if library.system == BULLMQ and facts.paused and waiting and library.major in (3, 4):
        facts.notes.append(
            f"it is paused, but {plural(waiting, 'job')} in wait: workers of {library.label} still fetch them"
        )
    if parked and (not facts.paused or (library.major or 0) > LAST_WITH_PAUSED):
        facts.notes.append(
            f"{plural(parked, 'job')} in the list 'paused', from where no worker fetches until the queue is resumed"
        )
    if look.concurrency is not None:
        facts.notes.append(f"at most {look.concurrency} jobs run at once, over all workers (meta.concurrency)")
    if look.limit:
        facts.notes.append(f"at most {look.limit[0]} jobs start in {look.limit[1]} ms (meta.max, meta.duration)")
    if look.limiter_ms is not None:
        until = f"for another {look.limiter_ms / 1000:g} s"
        held = look.limiter is not None and look.limiter >= HELD_BACK
        facts.notes.append(
            f"a worker has asked for a pause of all {until} (rate limit)"
            if held
            else f"a rate limiter counts {look.limiter} jobs, {until}"
        )


def n8n_note(look: Look, library: Library) -> Optional[str]:
    """What is special about n8n's queue (Bull, named jobs); None for others."""
    if library.system != BULL or look.keys.queue != b"jobs":
        return None
    return (
        f"if {show(look.keys.queue)!r} is n8n's queue: n8n removes failed jobs at once, so that none are found here; "
        "failed executions are in n8n's database"
    )
