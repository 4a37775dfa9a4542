#!/usr/bin/python
# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module redis_queue_retry."""

from __future__ import annotations

DOCUMENTATION = r"""
module: redis_queue_retry
short_description: Put failed jobs of a queue in Redis back, chosen by reason, age, name or id
version_added: 0.3.0
description:
  - Moves failed jobs back to where workers fetch them, the earliest failure first, as the queue's own library would
    do it with a single job. Priorities, the order, a paused queue, parents of flows and the library's events are
    kept.
  - Each job is moved in one atomic step, or not at all. Workers may be at work meanwhile, and so may another run of the
    same task; a job is moved once.
  - Looks at all failed jobs before it moves any. If more than O(max_jobs) of them match, nothing is touched. Jobs that
    cannot be treated right are left alone and listed in RV(refused), such as entries whose job is gone. The
    libraries' own bulk retries execute those without data.
  - Jobs that fail while it works are another run's. Memory stays flat whatever the number of jobs, and no step keeps
    the server busy for long.
  - Never reads the data of jobs.
extends_documentation_fragment:
  - runbook.ops.attributes
  - runbook.ops.attributes.actiongroup_redis
  - runbook.ops.guards
  - runbook.ops.redis
attributes:
  check_mode:
    support: full
    details:
      - Gives the same RV(actions). No command that writes is carried out, and no script is sent.
      - Permissions and memory are asked for in a transaction that is thrown away, so a task that passes in check mode
        is not stopped by them afterwards.
  diff_mode:
    support: full
options:
  queue:
    description:
      - Name of the queue. It is taken as it is; C(*) and other special characters mean themselves.
    type: str
    required: true
  system:
    description:
      - Whose queue it is. Found out, if not given; the task fails if it cannot be told.
    type: str
    choices: [bullmq, bull, celery, rq, sidekiq]
  library_version:
    description:
      - Version of the library, such as V(5) or V(4.12.0), where the queue does not say it.
      - BullMQ before 4.18 leaves no version behind. Without this option, its failed jobs with a priority are refused if
        nothing else tells which form of priorities it uses.
    type: str
  key_prefix:
    description:
      - Prefix of the keys, such as V({bull}). With Bull and BullMQ it is V(bull) if not given, with RQ V(rq).
      - For Celery C(global_keyprefix) in C(broker_transport_options), for Sidekiq a namespace.
    type: str
  reason:
    description:
      - Only jobs that failed for such a reason. Patterns with C(*) and C(?) for the whole text, in upper or lower case,
        such as V(*ECONNREFUSED*). One of them has to match.
      - They are matched against the failure's text, and against the form without numbers and ids in which reasons are
        grouped. A text of more than 64 KiB is not read.
    type: list
    elements: str
    default: []
  job_name:
    description:
      - Only jobs whose name matches one of these patterns.
    type: list
    elements: str
    default: []
  ids:
    description:
      - Only jobs with these ids. Those that are not failed are named in RV(notes).
    type: list
    elements: str
    default: []
  min_age:
    description:
      - Only jobs that failed so long ago at least, such as V(10m) or V(1h30m), by the server's clock.
    type: str
  max_age:
    description:
      - Only jobs that failed so long ago at most.
    type: str
  limit:
    description:
      - Retry at most so many, the earliest failures first. The others are counted in RV(left).
    type: int
  max_jobs:
    description:
      - If more jobs are to be retried, after O(limit), the task fails and nothing is touched.
    type: int
    default: 1000
  reset_attempts:
    description:
      - Whether the jobs get all their attempts again. Otherwise a job that had used them up is tried once.
      - RQ does not keep how many there were, so of its jobs only the count of retries they asked for themselves begins
        anew.
    type: bool
    default: false
  batch_size:
    description:
      - How many jobs are moved in one step, V(1) to V(100).
    type: int
    default: 100
  max_per_second:
    description:
      - Move no more jobs a second on average. Retries can cost money, or be too much for what failed before.
    type: float
  result_key_prefix:
    description:
      - Celery only. The application's C(global_keyprefix) in C(result_backend_transport_options).
    type: str
  result_db:
    description:
      - Celery only. The database with the results, if it is another than O(login_db).
    type: int
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
  - A job that failed over the failure of a child of its flow waits for its children again (BullMQ). It is refused as
    long as one of them is failed.
  - RQ's failed jobs keep the expiry that their failure had set when RQ requeues them, and may vanish while they wait.
    Here it is taken off. Jobs with a rate limit are refused, because only RQ's limiter may let them in.
  - Of Sidekiq the dead jobs are put back; it tries those in C(retry) again by itself.
  - Celery keeps no failed jobs. A task is sent again under its own id, made of its result, if that was kept with
    C(result_extended) and in JSON; all else is refused. What results do not keep is lost, which is callbacks, the rest
    of a chain, time limits and priorities. Tasks with C(ignore_result) leave no trace.
  - n8n's queue C(jobs) is refused. n8n removes failed jobs from Redis, and retries from its own database.
  - Needs the permissions for C(MULTI), C(DISCARD), C(EVAL) and C(EVALSHA) beside those for the queue's keys. What is
    missing is named in one message.
seealso:
  - module: runbook.ops.redis_queue_info
  - module: runbook.ops.redis_queue
author:
  - The runbook.ops contributors (@runbook-ops)
"""

EXAMPLES = r"""
- name: What would be retried
  runbook.ops.redis_queue_retry:
    login_host: redis.internal
    login_password: "{{ redis_login_password }}"
    queue: orders
  check_mode: true
  register: plan

- name: Retry what failed while the payment provider was down
  runbook.ops.redis_queue_retry:
    login_host: redis.internal
    login_password: "{{ redis_login_password }}"
    queue: orders
    reason: ["*ECONNREFUSED*", "*503*"]
    max_age: 6h
    max_per_second: 20

- name: Try ten of them first
  runbook.ops.redis_queue_retry:
    queue: orders
    job_name: [charge]
    limit: 10
    reset_attempts: true

- name: Two jobs of an old BullMQ
  runbook.ops.redis_queue_retry:
    queue: reports
    library_version: "3"
    ids: ["4711", "4712"]
"""

RETURN = r"""
actions:
  description: The jobs that are put back, one entry a normalised reason, the most frequent first; in check mode too.
  returned: success
  type: list
  elements: dict
  contains:
    action:
      description: V(retry).
      type: str
    queue:
      description: The queue.
      type: str
    reason:
      description: Why the jobs failed, without what differs from one to the next, and without credentials.
      type: str
      sample: connect ECONNREFUSED <ip>
    count:
      description: How many jobs.
      type: int
    example_ids:
      description: Up to five of their ids.
      type: list
      elements: str
system:
  description: Whose queue it is.
  returned: success
  type: str
  sample: bullmq
library:
  description: The library, as far as its version is known.
  returned: success
  type: str
  sample: BullMQ 5.81.5
queue:
  description: The queue.
  returned: success
  type: str
paused:
  description: Whether the queue was paused. It still is; the jobs run when it is resumed.
  returned: success
  type: bool
matched:
  description: How many failed jobs match, those that are refused or left included.
  returned: success
  type: int
retried:
  description: How many jobs were put back. V(0) in check mode.
  returned: success
  type: int
gone:
  description: How many were retried or removed by somebody else, or had failed anew, before it was their turn.
  returned: success
  type: int
left:
  description: How many more match than O(limit).
  returned: success
  type: int
ids:
  description: Ids of the jobs that are put back, up to 100.
  returned: success
  type: list
  elements: str
refused:
  description:
    - Jobs that match and were left alone, one entry a reason. By default the task fails over them, see O(on_refusal).
  returned: success
  type: list
  elements: dict
  contains:
    object:
      description: How many jobs, and ids of some.
      type: str
      sample: 2 failed jobs of orders (17, 23)
    reason:
      description: Why they were left alone.
      type: str
    remedy:
      description: What to do.
      type: str
notes:
  description: What else is worth knowing.
  returned: success
  type: list
  elements: str
before:
  description: The queue before. Figures that cannot be known are V(null).
  returned: success
  type: dict
  contains: &counts
    failed:
      description: Failed jobs.
      type: int
    waiting:
      description: Jobs that wait for a worker, those with a priority included.
      type: int
    paused:
      description: Jobs that wait for the queue to be resumed, where they are kept apart.
      type: int
after:
  description: The queue afterwards. V(null) in check mode.
  returned: success
  type: dict
  contains: *counts
complete:
  description: Whether all jobs that match were dealt with. V(false) if O(limit) left some, or the run was interrupted.
  returned: success
  type: bool
diff:
  description: The counts before, and what the retry makes of them.
  returned: success
  type: dict
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import RunbookError
from ansible_collections.runbook.ops.plugins.module_utils.common.guards import guard_argument_spec
from ansible_collections.runbook.ops.plugins.module_utils.redis.options import redis_argument_spec
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.retry.run import retry_jobs


def argument_spec() -> dict[str, Any]:
    texts = {"type": "list", "elements": "str", "default": []}
    return {
        **redis_argument_spec(),
        **guard_argument_spec(),
        "queue": {"type": "str", "required": True},
        "system": {"type": "str", "choices": ["bullmq", "bull", "celery", "rq", "sidekiq"]},
        "library_version": {"type": "str"},
        "key_prefix": {"type": "str", "no_log": False},
        "reason": dict(texts),
        "job_name": dict(texts),
        "ids": dict(texts),
        "min_age": {"type": "str"},
        "max_age": {"type": "str"},
        "limit": {"type": "int"},
        "max_jobs": {"type": "int", "default": 1000},
        "reset_attempts": {"type": "bool", "default": False},
        "batch_size": {"type": "int", "default": 100},
        "max_per_second": {"type": "float"},
        "result_key_prefix": {"type": "str", "no_log": False},
        "result_db": {"type": "int"},
        "separator": {"type": "str", "default": "\x06\x16"},
        "priority_steps": {"type": "list", "elements": "int", "default": [0, 3, 6, 9]},
    }


def main() -> None:
    module = AnsibleModule(argument_spec=argument_spec(), supports_check_mode=True)
    try:
        result = retry_jobs(module.params, check_mode=module.check_mode)
    except RunbookError as error:
        module.fail_json(msg=error.message, **error.details)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
