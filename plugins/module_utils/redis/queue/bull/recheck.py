# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Looking again at what seemed odd: a job may have ended, or have got its lock, between two questions.

A worker of Bull and of BullMQ up to 4 moves a job to active first and locks it then, and one that ends a job removes it
with its lock. Only what is the same after a second is called stalled.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from ansible_collections.runbook.ops.plugins.module_utils.redis.client import RedisClient
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.bull.round import Round
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.bull.subject import LISTS, Subject

# Between the two looks at the lock of a job that seems to have none.
SECOND_LOOK_SECONDS = 1.0
# How far from either end of a list an entry is looked for again.
LOOK_AGAIN = 5000
# What PTTL says of a key that is not there.
NO_KEY = -2


def look_again(client: RedisClient, subjects: Sequence[Subject], looked_at: float) -> None:
    """Set C(stalled) and C(ghosts) of all queues; C(looked_at): when the locks were asked for (monotonic clock).

    There is one pause for all queues together, and none where every active job has its lock.
    """
    if any(subject.without_lock for subject in subjects):
        time.sleep(max(0.0, SECOND_LOOK_SECONDS - (time.monotonic() - looked_at)))
    answers = Round()
    stalled = [_ask_locks(answers, subject) for subject in subjects]
    ghosts = [_ask_entries(answers, subject) for subject in subjects]
    answers.go(client)
    for subject, locks, entries in zip(subjects, stalled, ghosts):
        if subject.look.lengths["active"] is not None:
            subject.facts.stalled = sum(left == NO_KEY and isinstance(place, int) for left, place in locks)
        subject.facts.ghosts = sum(
            kind == b"none" and any(isinstance(place, (int, bytes)) for place in places) for kind, *places in entries
        )


def _ask_locks(answers: Round, subject: Subject) -> list[list[Any]]:
    """For each job without a lock: what is left of the lock, and the job's place in active."""
    found: list[list[Any]] = []
    for job in subject.without_lock:
        found.append([])
        answers.ask(("PTTL", subject.key(job) + b":lock"), found[-1].append)
        answers.ask(("LPOS", subject.key(b"active"), job), found[-1].append)
    return found


def _ask_entries(answers: Round, subject: Subject) -> list[list[Any]]:
    """For each entry without a job: the type of the job's key, and the entry's place."""
    found: list[list[Any]] = []
    for state, job in subject.missing:
        found.append([])
        answers.ask(("TYPE", subject.key(job)), found[-1].append)
        key = subject.key(state.encode())
        if state in LISTS:
            for rank in (1, -1):
                answers.ask(("LPOS", key, job, "RANK", rank, "MAXLEN", LOOK_AGAIN), found[-1].append)
        else:
            answers.ask(("ZSCORE", key, job), found[-1].append)
    return found
