#!/usr/bin/python
# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module redis_queue_info."""

from __future__ import annotations

DOCUMENTATION = r"""
module: redis_queue_info
version_added: 0.1.0
short_description: Job queues in Redis, with what waits, what is held, what failed and why
description:
  - Reads the job queues of BullMQ 3 to 6, Bull 3 and 4 (n8n's among them), Celery, RQ and Sidekiq in one call and in
    one shape, with the number of jobs in each state, how old the oldest one is, and the failures, grouped by reason.
  - Says what dashboards do not. Jobs whose worker is gone (C(stalled)), delayed jobs that nobody moves on (C(overdue)),
    entries of a state without a job (C(ghosts)), jobs in no state (C(orphans)), and whether anybody is there to work.
  - Queues that are named in O(queues) are read without a scan, hundreds of them in a few round trips. Otherwise they
    are found with one bounded C(SCAN) for all systems, whose step adapts to how long the server was kept busy; RQ and
    Sidekiq keep a list of their queues and need none.
  - A named queue that does not exist is an error that says where it was looked for and what is there instead.
    It is never a queue of length 0.
  - The result holds names of jobs, their times and the reasons of their failures, and never their data; of jobs of Bull
    and BullMQ no more than these is read, and only up to a length. Nothing is ever unpickled and nothing is changed.
  - A server that is down or refuses the login is not a failure of the task.
    It is reported with RV(available) and RV(reason).
options:
  system:
    description:
      - The queue systems to look for. Without any, all of them.
      - A queue of Bull and one of BullMQ are told apart by their keys, and each belongs to one of the two.
    type: list
    elements: str
    choices: [bull, bullmq, celery, rq, sidekiq]
    default: []
  queues:
    description:
      - Names of the queues. Without them all queues of the database are found.
    type: list
    elements: str
    default: []
  missing_queues:
    description:
      - What to do about a named queue that none of the systems has. With V(report) it is returned with C(exists=false),
        a C(reason) and no figures, so that rules can judge it.
    type: str
    choices: [error, report]
    default: error
  key_prefix:
    description:
      - What the application's keys begin with. For Bull and BullMQ their option C(prefix), without the colon that
        follows; for Celery C(global_keyprefix) in C(broker_transport_options); for RQ what is in place of C(rq), and
        for Sidekiq a namespace.
      - Without it, queues of Bull, BullMQ and Celery are found whatever their prefix. Named ones are looked for with
        C(bull), then C({bull}), and with no prefix for Celery.
    type: str
  result_key_prefix:
    description:
      - The application's C(global_keyprefix) in C(result_backend_transport_options) (Celery).
      - Without it, results are found whatever their prefix.
    type: str
  result_db:
    description:
      - The database with the results, if it is another than O(login_db) (Celery).
    type: int
  separator:
    description:
      - The application's C(sep) in C(broker_transport_options) (Celery).
    type: str
    default: "\x06\x16"
  priority_steps:
    description:
      - The application's C(priority_steps) in C(broker_transport_options) (Celery).
      - Messages of other priorities are counted, too, and reported as C(unread), because workers never fetch them.
    type: list
    elements: int
    default: [0, 3, 6, 9]
  visibility_timeout:
    description:
      - The application's C(visibility_timeout) in C(broker_transport_options), in seconds (Celery). Messages that are
        unacknowledged for longer should have been taken back and are reported as C(stalled).
    type: int
    default: 3600
  sample:
    description:
      - How many jobs of each queue to look into where there are too many to look into all, to tell which tasks wait,
        how old the oldest is and whether jobs are missing. V(0) looks into none.
    type: int
    default: 100
  max_unacked:
    description:
      - How many unacknowledged messages to decode (Celery), and how many jobs of each of the sets C(retry), C(schedule)
        and C(dead) (Sidekiq), the latest ones. Each must be decoded to know which queue it belongs to.
    type: int
    default: 10000
  failures:
    description:
      - Whether to read why jobs failed. For Celery this takes a scan, because its results must be found.
    type: bool
    default: true
  failed_within:
    description:
      - Count only failures of so many last seconds. Without it all that are kept are counted.
    type: float
  max_failed:
    description:
      - How many failed jobs of each queue of Bull, BullMQ and RQ to read, the newest ones. All are counted; of more
        than this the reasons are those of a part, and RV(queues[].failures_sampled) is true.
      - Of all queues together at most 20000 are read, or O(max_failed) if that is more, in equal shares.
    type: int
    default: 1000
    version_added: 0.3.0
  orphans:
    description:
      - Whether to look for jobs that are in no state. This takes one walk through all keys, within O(max_keys) and
        O(max_seconds).
    type: bool
    default: false
    version_added: 0.3.0
  sample_seconds:
    description:
      - Look at the counters twice, so many seconds apart, and report RV(queues[].rate). V(0) looks once.
    type: float
    default: 0.0
    version_added: 0.3.0
  reference_time:
    description:
      - The moment ages are counted to, ISO 8601 with timezone. Without it the server's clock is asked.
    type: str
extends_documentation_fragment:
  - runbook.ops.redis
  - runbook.ops.redis.scan
  - runbook.ops.attributes
  - runbook.ops.attributes.info_module
  - runbook.ops.attributes.actiongroup_redis
notes:
  - Celery keeps no list of failed tasks. Failures are known from results, as long as these are kept (a day by default),
    and not at all for tasks with C(ignore_result).
  - Celery's messages carry no time of publication, so the age of the oldest waiting message cannot be known.
  - n8n removes failed jobs from its queue (Bull, C(jobs)) and keeps failed executions in its own database.
  - The age of a job of Bull and BullMQ counts from when it was added, by its producer's clock, its delay included.
  - Where a job of Bull or BullMQ seems to have no lock, it is looked at again a second later, for all queues together.
seealso:
  - module: runbook.ops.redis_health_info
  - module: runbook.ops.redis_key_info
author:
  - The runbook.ops contributors (@runbook-ops)
"""

EXAMPLES = r"""
- name: Find all queues of a database, whatever their system
  runbook.ops.redis_queue_info:
    login_host: redis.internal
    login_password: "{{ redis_login_password }}"
  register: queue_facts

- name: How full are two queues of BullMQ, and how long until they are empty
  runbook.ops.redis_queue_info:
    login_host: redis.internal
    system: [bullmq]
    queues: [data-collection, notification]
    sample_seconds: 10

- name: What is in the two queues of the shop
  runbook.ops.redis_queue_info:
    login_host: redis.internal
    system: [celery]
    queues: [normal, batch]
    key_prefix: "celery:"

- name: Why did jobs fail within the last hour
  runbook.ops.redis_queue_info:
    login_host: redis.internal
    failed_within: 3600
    max_failed: 5000

- name: Look for jobs that nobody runs and nobody removes, at night
  runbook.ops.redis_queue_info:
    login_host: redis.internal
    login_db: 1
    system: [bull, bullmq]
    failures: false
    orphans: true
    max_seconds: 60
    max_keys: 10000000
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
    db:
      description: The database.
      type: int
    dbsize:
      description: How many keys it holds.
      type: int
    databases:
      description: Databases of the server that hold keys, with C(db) and C(keys).
      type: list
      elements: dict
    version:
      description: The server's version.
      type: str
    role:
      description: V(master) or V(replica).
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
systems:
  description: The systems that queues were found of.
  returned: always
  type: list
  elements: str
  version_added: 0.3.0
  sample: [bullmq, celery]
queue_count:
  description: How many queues exist.
  returned: always
  type: int
queues:
  description: The queues, in one shape for every queue system. What cannot be known is null.
  returned: always
  type: list
  elements: dict
  contains:
    name:
      description: The queue's name.
      type: str
    system:
      description: The queue system.
      type: str
      sample: bullmq
    prefix:
      description: The key prefix it was found with.
      type: str
    exists:
      description: Whether it exists.
      type: bool
    reason:
      description: Why it is taken for missing, with where it was looked for.
      type: str
    library_version:
      description: >-
        Version of the library that made it, such as V(5.81.5); V(4.x) where only its major can be told, null where the
        system leaves none (Celery, Bull).
      type: str
    paused:
      description: Whether it is paused. Celery pauses in the workers' memory only; RQ pauses all queues at once.
      type: bool
    counts:
      description: Jobs by state. Null where the system has no such state, or where it cannot be known.
      type: dict
      contains:
        waiting:
          description: Ready to run, over all priorities and with those of a paused queue.
          type: int
        active:
          description: With a worker.
          type: int
        delayed:
          description: To be run later. Celery's are held by a worker until their time comes.
          type: int
        blocked:
          description: Waiting for other jobs (BullMQ C(waiting-children), RQ C(deferred)).
          type: int
        retrying:
          description: Failed and going to be tried again, where that is a state of its own (Sidekiq C(retry)).
          type: int
        failed:
          description: Failed and still kept. For Celery null unless every failure names its queue.
          type: int
        completed:
          description: Succeeded and still kept. Not known for Celery and Sidekiq.
          type: int
    states:
      description: The same under the library's own names, the numbers its own tools show.
      type: dict
      sample: {"waiting": 3, "active": 1, "delayed": 0, "prioritized": 2, "paused": 0, "failed": 7, "completed": 1000}
    priorities:
      description: Waiting messages by priority, with C(priority) (0 is the highest) and C(waiting). Celery only.
      type: list
      elements: dict
    backlog:
      description: Jobs that should be done by now, waiting and active.
      type: int
    consumers:
      description: >-
        Workers on this queue, by the names of their connections or what the system keeps of them. For Celery those of
        the database, see RV(consumers). Null where it cannot be known.
      type: int
    oldest_age_seconds:
      description: Age of the oldest waiting job.
      type: float
    oldest_age_exact:
      description: Whether that age is exact.
      type: bool
    oldest_age_note:
      description: Why it is not exact, or not known.
      type: str
    unacked:
      description: Messages that workers hold, active and delayed. Celery only.
      type: int
    oldest_unacked_seconds:
      description: How long the longest has been held, by the clock of the worker that took it.
      type: float
    stalled:
      description: >-
        Active jobs that no worker works on any more. Bull and BullMQ, without a lock in two looks a second apart;
        Celery, held for longer than O(visibility_timeout); RQ and Sidekiq, their worker is gone.
      type: int
    overdue:
      description: Delayed jobs whose time has passed (by more than some seconds), so that nobody moves them on.
      type: int
    orphans:
      description: Jobs that are in no state, so that nobody runs or removes them. Null unless O(orphans) is true.
      type: int
    ghosts:
      description: Entries of a state without a job, among those looked at; RV(queues[].notes) say if that is a part.
      type: int
    rate:
      description: How fast it fills and empties. Null unless O(sample_seconds) is set.
      type: dict
      contains:
        sample_seconds:
          description: The time between the two looks.
          type: float
        arrivals_per_second:
          description: Jobs added. Null where the system does not count them (Celery, RQ).
          type: float
        departures_per_second:
          description: Jobs that ended. Null where the system does not count them.
          type: float
        growth_per_second:
          description: Change of what is not finished; negative when it empties.
          type: float
        drain_seconds:
          description: At that pace, how long until the backlog is worked off. Null if it does not shrink.
          type: float
    redelivery_risk:
      description: Delayed messages further ahead than O(visibility_timeout), which run more than once.
      type: int
    unread:
      description: Waiting messages of priorities that are not among O(priority_steps).
      type: int
    malformed:
      description: Messages that cannot be decoded, among those looked into.
      type: int
    opaque:
      description: Messages whose body is not JSON and was not opened, among those looked into.
      type: int
    sampled:
      description: How many waiting messages were looked into.
      type: int
    tasks:
      description: The ten most frequent tasks among them, with C(name) and C(count).
      type: list
      elements: dict
    tasks_count:
      description: How many different tasks there are among them.
      type: int
    failures:
      description: The ten most frequent reasons of failures.
      type: list
      elements: dict
      contains: &failure_group
        reason:
          description: The first line of the message, without what differs from one failure to the next.
          type: str
          sample: "HTTP <n> from <ip>"
        count:
          description: How many failed for it.
          type: int
        example:
          description: One message as it was, without what looks like credentials.
          type: str
        example_ids:
          description: Ids of up to five of the jobs.
          type: list
          elements: str
        first_at:
          description: When the first of them failed, ISO 8601 in UTC; null where it is not known.
          type: str
        last_at:
          description: When the last of them failed.
          type: str
    failure_reasons_count:
      description: How many reasons there are.
      type: int
    failures_truncated:
      description: Whether there are more than are listed.
      type: bool
    failures_sampled:
      description: Whether only a part of the failed jobs was read, so that the numbers of the reasons are too low.
      type: bool
    unconsumed:
      description: Whether jobs wait, it is not paused, and no worker is there to fetch any. Null if that is not known.
      type: bool
    notes:
      description: What the figures mean for the jobs.
      type: list
      elements: str
consumers:
  description: >-
    Workers that fetch from this database, whichever their queues. One that serves two queues may count twice.
  returned: always
  type: int
unconsumed:
  description: Whether in any queue jobs wait and no worker is there to fetch any. Null if it is not known.
  returned: always
  type: bool
unconsumed_queues:
  description: The queues of which that is so.
  returned: always
  type: list
  elements: str
  version_added: 0.3.0
unconsumed_names:
  description: The same as text for a sentence, or V(none).
  returned: always
  type: str
  version_added: 0.3.0
failed_jobs:
  description: Failures by queue. Of a system that does not tell in which queue a job failed, all in one entry.
  returned: always
  type: list
  elements: dict
  version_added: 0.3.0
  contains:
    name:
      description: The queue, or the system.
      type: str
    system:
      description: The queue system.
      type: str
    failed_count:
      description: How many failed and are kept; null if it is not known.
      type: int
    most_frequent_failure:
      description: The most frequent reason with its number, or V(none).
      type: str
    reasons_count:
      description: How many reasons there are.
      type: int
failed_count:
  description: Failures of all queues. Null unless it is known of every queue; for Celery, of every result.
  returned: always
  type: int
failed_seen:
  description: Failures whose reasons were read.
  returned: always
  type: int
results:
  description: Kept results by status (Celery).
  returned: always
  type: dict
failures:
  description: The ten most frequent reasons over all queues.
  returned: always
  type: list
  elements: dict
  contains: *failure_group
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
  description: What could not be assigned to a queue (Celery).
  returned: always
  type: dict
  contains:
    unacked:
      description: Messages whose queue is not known.
      type: int
    malformed:
      description: Entries that are no messages.
      type: int
    too_large:
      description: Entries of more than 1 MiB, which were not read.
      type: int
    other_queues:
      description: Messages of queues that were not asked for.
      type: int
    without_index:
      description: Messages that no worker ever takes back, because they are missing from the index.
      type: int
    failures:
      description: Failures that do not name their queue.
      type: int
complete:
  description: Whether everything was looked at.
  returned: always
  type: bool
keys_seen:
  description: How many keys the scans walked through, to be compared with RV(endpoint.dbsize). 0 if none was needed.
  returned: always
  type: int
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.runbook.ops.plugins.module_utils.common.clock import iso, utc_now
from ansible_collections.runbook.ops.plugins.module_utils.common.errors import RunbookError
from ansible_collections.runbook.ops.plugins.module_utils.redis.options import redis_argument_spec
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.report import queue_report
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.systems import READERS
from ansible_collections.runbook.ops.plugins.module_utils.redis.scan import budget_argument_spec


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            **redis_argument_spec(),
            **budget_argument_spec(),
            "system": {"type": "list", "elements": "str", "choices": sorted(READERS), "default": []},
            "queues": {"type": "list", "elements": "str", "default": []},
            "missing_queues": {"type": "str", "choices": ["error", "report"], "default": "error"},
            "key_prefix": {"type": "str", "no_log": False},
            "result_key_prefix": {"type": "str", "no_log": False},
            "result_db": {"type": "int"},
            "separator": {"type": "str", "default": "\x06\x16"},
            "priority_steps": {"type": "list", "elements": "int", "default": [0, 3, 6, 9]},
            "visibility_timeout": {"type": "int", "default": 3600},
            "sample": {"type": "int", "default": 100},
            "max_unacked": {"type": "int", "default": 10000},
            "failures": {"type": "bool", "default": True},
            "failed_within": {"type": "float"},
            "max_failed": {"type": "int", "default": 1000},
            "orphans": {"type": "bool", "default": False},
            "sample_seconds": {"type": "float", "default": 0.0},
            "reference_time": {"type": "str"},
        },
        supports_check_mode=True,
    )
    try:
        result = queue_report(module.params)
    except RunbookError as error:
        module.fail_json(msg=error.message, **error.details)
    module.exit_json(changed=False, measured_at=iso(utc_now()), **result)


if __name__ == "__main__":
    main()
