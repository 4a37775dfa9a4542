#!/usr/bin/python
# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pausing, resuming and emptying a job queue in Redis."""

from __future__ import annotations

DOCUMENTATION = r"""
module: redis_queue
short_description: Pause, resume or empty a job queue in Redis as its own library would
version_added: 0.3.0
description:
  - Pauses a queue so that its workers fetch nothing more and finish what they have, resumes it so that they wake up, or
    empties it of jobs in the states that are named.
  - Finds out by the keys of the queue whose it is, and of which version, because they keep a pause in different places.
    Where that is ambiguous, nothing is touched until O(system) or O(library_version) says it.
  - Jobs are removed with all their keys, in atomic steps of at most O(batch_size) jobs, each of which takes the server
    a few milliseconds. Counters, settings, schedules, events and metrics of the queue stay.
  - Active jobs are never touched. Left alone and listed in RV(kept) are jobs that carry a schedule on, jobs that a
    parent job waits for, and jobs that a worker holds a lock on.
  - For BullMQ and Bull, jobs that were left in the list of another version or of a broken pause are brought back in
    their order by pausing or resuming.
author:
  - The runbook.ops contributors (@runbook-ops)
extends_documentation_fragment:
  - runbook.ops.attributes
  - runbook.ops.attributes.actiongroup_redis
  - runbook.ops.guards
  - runbook.ops.redis
attributes:
  check_mode:
    support: full
    details:
      - Reads every job that would be removed, as far as the decision needs it, and sends no command that writes.
  diff_mode:
    support: full
options:
  queue:
    description:
      - Name of the queue, exactly; it is not a pattern.
    type: str
    required: true
  state:
    description:
      - With V(paused) workers fetch no further jobs. Those they have are finished, and new ones can be added.
      - With V(resumed) workers fetch jobs again.
      - With V(empty) jobs in O(states) are removed. A queue that is worked on is best paused before.
    type: str
    choices: [paused, resumed, empty]
    required: true
  system:
    description:
      - Whose queue it is. Found out, if not given, by looking for it in every way, which for Celery means a search
        through the names of all keys.
    type: str
    choices: [bullmq, bull, celery, rq, sidekiq]
  library_version:
    description:
      - The version of the library that the application uses, such as V(5.81.2) or V(4), for queues that do not say it.
    type: str
  key_prefix:
    description:
      - The C(prefix) of Bull and BullMQ, whose default is V(bull); C(global_keyprefix) of Celery; what is in place of
        V(rq) for RQ; a namespace of Sidekiq.
    type: str
  states:
    description:
      - Which states to empty, by the names that M(runbook.ops.redis_queue_info) uses for all systems.
      - V(waiting) includes jobs with a priority, and those put aside while the queue is paused.
      - V(blocked) are parents that wait for their children (BullMQ), or jobs that wait for others (RQ). Those they wait
        for stay, and are ordinary jobs then.
      - V(active) is refused, as is a state that the queue's system does not have.
    type: list
    elements: str
    choices: [waiting, active, delayed, blocked, retrying, failed, completed]
    default: [waiting]
  min_age:
    description:
      - Removes only jobs that have been in their state at least so long, such as V(1h) or V(7d). For states of which
        that is known, which are V(failed) and, but for Sidekiq, V(completed). For Celery there is none.
    type: str
  max_jobs:
    description:
      - If the states hold more jobs than this, nothing is touched and the task fails.
    type: int
    default: 1000
  limit:
    description:
      - Removes at most so many jobs, those first that would be executed first or, of states that are over, that came
        first.
    type: int
  batch_size:
    description:
      - How many jobs one atomic step removes at most, from 1 to 100.
    type: int
    default: 100
  wait_active:
    description:
      - With O(state=paused), waits until no job is active any more, for at most so long, such as V(5m). The task fails
        with the number of those that are left. The queue stays paused then, too.
      - In check mode there is no waiting.
    type: str
  all_queues:
    description:
      - RQ only, which has one pause for all its queues. Says that the others may be paused or resumed with this one;
        otherwise that is refused where there are others.
    type: bool
    default: false
  separator:
    description:
      - Celery only. The application's C(sep) in C(broker_transport_options).
    type: str
    default: "\x06\x16"
  priority_steps:
    description:
      - Celery only. The application's C(priority_steps) in C(broker_transport_options).
    type: list
    elements: int
    default: [0, 3, 6, 9]
notes:
  - RQ has one pause for all its queues. A worker that waits for a job when it begins takes one more.
  - Celery's workers know themselves which queues they fetch from, and of Sidekiq only Pro can pause a queue. Pausing
    and resuming them is refused, with what to do instead.
  - Of Celery the messages that wait are removed, of all priorities. Those that workers hold unacknowledged stay.
seealso:
  - module: runbook.ops.redis_queue_info
"""

EXAMPLES = r"""
- name: Stop fetching mails, and wait until those in hand are sent
  runbook.ops.redis_queue:
    queue: mail
    state: paused
    wait_active: 5m

- name: Let the workers go on
  runbook.ops.redis_queue:
    queue: mail
    state: resumed

- name: Remove what waits in a queue, with all keys of the jobs
  runbook.ops.redis_queue:
    queue: data-collection
    state: empty
    max_jobs: 20000

- name: Remove failed jobs that are older than a month
  runbook.ops.redis_queue:
    queue: data-collection
    state: empty
    states: [failed]
    min_age: 30d
    max_jobs: 100000
"""

RETURN = r"""
system:
  description: Whose queue it is.
  returned: success
  type: str
library:
  description: The library with its version, as far as it is known.
  returned: success
  type: str
  sample: BullMQ 5.81.2
queue:
  description: Name of the queue.
  returned: success
  type: str
paused:
  description: Whether it is paused afterwards. V(null) if that cannot be known.
  returned: success
  type: bool
removed:
  description: How many jobs were removed, or would be, by state. Only states from which jobs were.
  returned: success
  type: dict
  sample: {"waiting": 412}
ghosts:
  description: How many of them had no data any more. A worker would have executed them without data.
  returned: success
  type: int
kept:
  description: What was left alone in the states to be emptied, one entry a state and reason.
  returned: success
  type: list
  elements: dict
  contains:
    state:
      description: The state.
      type: str
    reason:
      description: Why such a job is left alone.
      type: str
    remedy:
      description: What to do about it.
      type: str
    jobs:
      description: How many there are.
      type: int
    examples:
      description: Ids of some of them.
      type: list
      elements: str
notes:
  description: What else is worth knowing about the queue as it was found.
  returned: success
  type: list
  elements: str
actions:
  description: What was done, or would be, in this order. In check mode the same list.
  returned: success
  type: list
  elements: dict
  contains:
    action:
      description: V(pause), V(resume) or V(remove).
      type: str
    queue:
      description: Name of the queue.
      type: str
    state:
      description: The state from which jobs are removed.
      type: str
    jobs:
      description: How many.
      type: int
refused:
  description: Always empty. What this module cannot do right, it does not begin.
  returned: success
  type: list
  elements: dict
before:
  description: The queue as it was found.
  returned: success
  type: dict
  contains: &figures
    paused:
      description: Whether it is paused, so that no worker fetches jobs.
      type: bool
    counts:
      description: How many jobs are in each state. V(null) where the system has no such state, or it cannot be known.
      type: dict
after:
  description: The same afterwards. V(null) in check mode.
  returned: success
  type: dict
  contains: *figures
diff:
  description: Both, one figure a line.
  returned: success
  type: dict
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import RunbookError
from ansible_collections.runbook.ops.plugins.module_utils.common.guards import guard_argument_spec
from ansible_collections.runbook.ops.plugins.module_utils.queues.model import STATES
from ansible_collections.runbook.ops.plugins.module_utils.redis.options import redis_argument_spec
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.control.request import EMPTY, PAUSED, RESUMED
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.control.run import control_queue


def argument_spec() -> dict[str, Any]:
    return {
        **redis_argument_spec(),
        **guard_argument_spec(),
        "queue": {"type": "str", "required": True},
        "state": {"type": "str", "required": True, "choices": [PAUSED, RESUMED, EMPTY]},
        "system": {"type": "str", "choices": ["bullmq", "bull", "celery", "rq", "sidekiq"]},
        "library_version": {"type": "str"},
        "key_prefix": {"type": "str", "no_log": False},
        "states": {"type": "list", "elements": "str", "choices": list(STATES), "default": ["waiting"]},
        "min_age": {"type": "str"},
        "max_jobs": {"type": "int", "default": 1000},
        "limit": {"type": "int"},
        "batch_size": {"type": "int", "default": 100},
        "wait_active": {"type": "str"},
        "all_queues": {"type": "bool", "default": False},
        "separator": {"type": "str", "default": "\x06\x16"},
        "priority_steps": {"type": "list", "elements": "int", "default": [0, 3, 6, 9]},
    }


def main() -> None:
    module = AnsibleModule(argument_spec=argument_spec(), supports_check_mode=True)
    try:
        result = control_queue(module.params, check_mode=module.check_mode)
    except RunbookError as error:
        module.fail_json(msg=error.message, **error.details)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
