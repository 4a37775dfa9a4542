#!/usr/bin/python
# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Queues of Solid Queue as facts."""

from __future__ import annotations

DOCUMENTATION = r"""
module: solid_queue_info
version_added: 0.3.0
short_description: Queues of Solid Queue in PostgreSQL, with what waits, what is held, what failed and why
description:
  - Reads the tables of Solid Queue (Rails) over one connection, from one snapshot, and gives the facts that
    M(runbook.ops.redis_queue_info) gives for queues in Redis, in the same shape.
  - Says which queues no worker takes jobs from, and why. A C(queue_name_prefix) of the application is not added to
    the workers' lists, so that a list without it leaves every job where it is, without any error.
  - Solid Queue has no table of queues. A queue is there if any job of it is kept, finished or not, if it is paused, or
    if a recurring task or the list of a living worker names it. A named queue that is not there is an error that says
    where it was looked for and what is there instead. It is never a queue of length 0.
  - Arguments of jobs are never read, and nothing is changed.
  - What the login may not read is listed in RV(skipped_sections) with the GRANT that is missing.
  - A server that is down or refuses the login is not a failure of the task.
    It is reported with RV(available) and RV(reason).
author:
  - The runbook.ops contributors (@runbook-ops)
extends_documentation_fragment:
  - runbook.ops.attributes
  - runbook.ops.attributes.info_module
  - runbook.ops.attributes.actiongroup_postgresql
  - runbook.ops.postgresql
options:
  schema:
    description:
      - The schema with the tables C(solid_queue_*).
    type: str
    default: public
  queues:
    description:
      - Names of the queues, with the application's C(queue_name_prefix). Without them all queues are read.
    type: list
    elements: str
    default: []
  missing_queues:
    description:
      - What to do about a named queue that is not there. With V(report) it is returned with C(exists=false),
        a C(reason) and no figures, so that rules can judge it.
    type: str
    choices: [error, report]
    default: error
  process_alive_threshold:
    description:
      - The application's C(config.solid_queue.process_alive_threshold), in seconds. A process that was not heard of for
        so long is dead, and the jobs that it holds are C(stalled).
    type: float
    default: 300
  sample:
    description:
      - How many waiting jobs of each queue to look into, to tell which classes wait. V(0) looks into none.
    type: int
    default: 100
  failures:
    description:
      - Whether to read why jobs failed.
    type: bool
    default: true
  max_failed:
    description:
      - How many failed jobs to read over all queues, the newest first.
    type: int
    default: 1000
  failed_within:
    description:
      - Count only failures of so many last seconds. Without it all that are kept are counted.
    type: float
  sample_seconds:
    description:
      - Look twice, so many seconds apart, for rates and the time that the backlog takes.
      - Where the application does not keep finished jobs (C(preserve_finished_jobs) is V(false)), jobs that came and
        went between the two looks are not seen, and the rates are too low.
    type: float
    default: 0
  statement_timeout:
    description:
      - Seconds a single statement may take. What takes longer is listed in RV(skipped_sections).
    type: float
    default: 10
  reference_time:
    description:
      - The moment ages are counted to, ISO 8601 with timezone. Without it the server's clock is asked.
    type: str
seealso:
  - module: runbook.ops.redis_queue_info
  - module: runbook.ops.postgresql_health_info
"""

EXAMPLES = r"""
- name: What is in the queues of the application
  runbook.ops.solid_queue_info:
    login_host: db.example.com
    login_user: monitoring
    login_password: "{{ monitoring_password }}"
    login_db: shop_production
  register: queue_facts

- name: Two queues, and how fast they empty
  runbook.ops.solid_queue_info:
    login_host: db.example.com
    login_user: monitoring
    login_password: "{{ monitoring_password }}"
    login_db: shop_production_queue
    queues: [shop_production_default, shop_production_mailers]
    sample_seconds: 10
"""

RETURN = r"""
available:
  description: Whether the server answered.
  returned: always
  type: bool
reason:
  description: Why it is not available, and what to do next; null if it is.
  returned: always
  type: str
measured_at:
  description: When this was measured, ISO 8601 in UTC.
  returned: always
  type: str
  sample: "2026-01-31T00:15:00Z"
skipped_sections:
  description: What could not be read, with C(section), C(reason) and C(remedy).
  returned: always
  type: list
  elements: dict
endpoint:
  description: Where this was looked for.
  returned: always
  type: dict
  contains:
    address:
      description: The server.
      type: str
    database:
      description: The database.
      type: str
    schema:
      description: The schema.
      type: str
    version:
      description: The server's version.
      type: str
    role:
      description: V(primary) or V(standby).
      type: str
notes:
  description: What a reader must know before believing the figures.
  returned: always
  type: list
  elements: str
found:
  description: Whether any queue was found; null if none was, because this may be the wrong place to look.
  returned: always
  type: bool
queue_count:
  description: How many queues there are.
  returned: always
  type: int
systems:
  description: V([solid_queue]) if any queue was found.
  returned: always
  type: list
  elements: str
queues:
  description: The queues, in one shape for every queue system. What cannot be known is null.
  returned: always
  type: list
  elements: dict
  contains:
    name:
      description: The queue's name, with the application's prefix.
      type: str
    system:
      description: V(solid_queue).
      type: str
    exists:
      description: Whether it is there.
      type: bool
    reason:
      description: Why it is taken for missing, with where it was looked for.
      type: str
    paused:
      description: Whether it is paused.
      type: bool
    counts:
      description: Jobs by state, named alike for every queue system.
      type: dict
      contains:
        waiting:
          description: Ready to run.
          type: int
        active:
          description: Claimed by a worker.
          type: int
        delayed:
          description: Scheduled.
          type: int
        blocked:
          description: Held back by a concurrency limit.
          type: int
        retrying:
          description: Always null. Active Job schedules a retry like any other job.
          type: int
        failed:
          description: Failed and kept, of the last O(failed_within) seconds.
          type: int
        completed:
          description: Finished and kept.
          type: int
    states:
      description: The same under Solid Queue's own names. Here C(failed) has all that are kept.
      type: dict
    priorities:
      description: Waiting jobs by priority, with C(priority) (the lowest number runs first) and C(waiting).
      type: list
      elements: dict
    backlog:
      description: Jobs that should be done by now, waiting and active.
      type: int
    consumers:
      description: Living workers whose list covers this queue.
      type: int
    unconsumed:
      description: Whether jobs wait and no worker takes any. RV(queues[].notes) say why.
      type: bool
    oldest_age_seconds:
      description: How long the oldest waiting job has been ready.
      type: float
    oldest_age_exact:
      description: Whether that age is exact.
      type: bool
    oldest_age_note:
      description: Why it is not.
      type: str
    unacked:
      description: Jobs that workers hold.
      type: int
    oldest_unacked_seconds:
      description: How long the longest has been held.
      type: float
    stalled:
      description: Jobs held by a worker that was not heard of in time, or that is no longer registered.
      type: int
    overdue:
      description: Scheduled jobs that should have become ready more than a minute ago.
      type: int
    orphans:
      description: Unfinished jobs that are in no state, so that they never run.
      type: int
    ghosts:
      description: Always 0. A foreign key keeps entries without a job out.
      type: int
    rate:
      description: How fast jobs come and go; null without O(sample_seconds).
      type: dict
      contains:
        sample_seconds:
          description: Time between the two looks.
          type: float
        arrivals_per_second:
          description: Jobs that came.
          type: float
        departures_per_second:
          description: Jobs that ended, one way or the other.
          type: float
        growth_per_second:
          description: How much more there is to do.
          type: float
        drain_seconds:
          description: When the backlog is done at this pace; null if it does not shrink.
          type: float
    sampled:
      description: How many waiting jobs were looked into.
      type: int
    tasks:
      description: The ten most frequent classes among them, with C(name) and C(count).
      type: list
      elements: dict
    tasks_count:
      description: How many classes there are among them.
      type: int
    failures:
      description:
        - The ten most frequent reasons of failures, with C(reason), C(count), C(example), C(example_ids), C(first_at)
          and C(last_at).
        - Ids are those of the jobs. What looks like a credential is masked.
      type: list
      elements: dict
    failure_reasons_count:
      description: How many reasons there are.
      type: int
    failures_truncated:
      description: Whether there are more than are listed.
      type: bool
    failures_sampled:
      description: Whether only some of the failed jobs were read.
      type: bool
    notes:
      description: What the figures mean for the jobs.
      type: list
      elements: str
consumers:
  description: Living workers, whichever their queues.
  returned: always
  type: int
unconsumed:
  description: Whether jobs wait in a queue that no worker takes any from. Null if that is not known.
  returned: always
  type: bool
unconsumed_queues:
  description: The names of these queues.
  returned: always
  type: list
  elements: str
unconsumed_names:
  description: The same as text for a sentence, or V(none).
  returned: always
  type: str
failed_jobs:
  description:
    - Failures by queue, with C(name), C(system), C(failed_count), C(most_frequent_failure) and C(reasons_count).
  returned: always
  type: list
  elements: dict
failed_count:
  description: Failures of all queues.
  returned: always
  type: int
failed_seen:
  description: Failures that were read.
  returned: always
  type: int
results:
  description: Always empty. Solid Queue keeps no results.
  returned: always
  type: dict
failures:
  description: The ten most frequent reasons over all queues.
  returned: always
  type: list
  elements: dict
most_frequent_failure:
  description: The most frequent reason over all queues with its number, or V(none).
  returned: always
  type: str
failure_reasons_count:
  description: How many reasons there are.
  returned: always
  type: int
failures_truncated:
  description: Whether there are more than are listed.
  returned: always
  type: bool
unattributed:
  description: What other queue systems cannot assign to a queue; here every job has one.
  returned: always
  type: dict
complete:
  description: Whether everything was looked at. Of more than 1000 queues the first are read.
  returned: always
  type: bool
keys_seen:
  description: Always 0.
  returned: always
  type: int
processes:
  description: Up to 50 of Solid Queue's processes, those that were heard of last first. Null if they cannot be read.
  returned: always
  type: list
  elements: dict
  contains:
    id:
      description: Its id in C(solid_queue_processes).
      type: int
    kind:
      description: C(Worker), C(Dispatcher), C(Scheduler), C(Supervisor) or a variety of these.
      type: str
    hostname:
      description: The host or container that it runs on.
      type: str
    pid:
      description: Its process id there.
      type: int
    queues:
      description: A worker's list of queues. Null if its metadata cannot be read.
      type: list
      elements: str
    threads:
      description: How many jobs a worker runs at once.
      type: int
    alive:
      description: Whether it was heard of within O(process_alive_threshold).
      type: bool
    last_heartbeat_at:
      description: When it was heard of last, ISO 8601 in UTC.
      type: str
    heartbeat_age_seconds:
      description: How long that was ago.
      type: float
process_count:
  description: How many processes are registered.
  returned: always
  type: int
semaphores:
  description: Concurrency limits in use, with C(count) and how many of them have C(expired).
  returned: always
  type: dict
recurring_tasks:
  description:
    - Up to 100 recurring tasks, with C(key), C(schedule), C(task) (the class), C(queue), C(last_run_at) and
      C(last_run_age_seconds).
  returned: always
  type: list
  elements: dict
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.runbook.ops.plugins.module_utils.common.clock import iso, utc_now
from ansible_collections.runbook.ops.plugins.module_utils.common.errors import RunbookError
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.options import postgresql_argument_spec
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.solid_queue.report import solid_queue_report


def argument_spec() -> dict[str, Any]:
    return {
        **postgresql_argument_spec(),
        "schema": {"type": "str", "default": "public"},
        "queues": {"type": "list", "elements": "str", "default": []},
        "missing_queues": {"type": "str", "choices": ["error", "report"], "default": "error"},
        "process_alive_threshold": {"type": "float", "default": 300},
        "sample": {"type": "int", "default": 100},
        "failures": {"type": "bool", "default": True},
        "max_failed": {"type": "int", "default": 1000},
        "failed_within": {"type": "float"},
        "sample_seconds": {"type": "float", "default": 0},
        "statement_timeout": {"type": "float", "default": 10},
        "reference_time": {"type": "str"},
    }


def main() -> None:
    module = AnsibleModule(argument_spec=argument_spec(), supports_check_mode=True)
    try:
        result = solid_queue_report(module.params)
    except RunbookError as error:
        module.fail_json(msg=error.message, **error.details)
    module.exit_json(changed=False, measured_at=iso(utc_now()), **result)


if __name__ == "__main__":
    main()
