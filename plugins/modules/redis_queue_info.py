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
  - Reads the job queues of Celery in one call, with all priorities, the messages that workers hold unacknowledged,
    scheduled tasks, and the failures that results tell of, grouped by reason.
  - Queues that are named in O(queues) are read without a scan. Otherwise they are found by their binding tables with
    one bounded C(SCAN), whose step adapts to how long the server was kept busy.
  - A named queue that does not exist is an error that says where it was looked for and what is there instead.
    It is never a queue of length 0.
  - Nothing is ever unpickled and no message is changed.
  - A server that is down or refuses the login is not a failure of the task.
    It is reported with RV(available) and RV(reason).
options:
  system:
    description:
      - The queue system.
    type: str
    choices: [celery]
    default: celery
  queues:
    description:
      - Names of the queues. Without them all queues of the database are found.
    type: list
    elements: str
    default: []
  missing_queues:
    description:
      - What to do about a named queue that does not exist. With V(report) it is returned with C(exists=false),
        a C(reason) and no figures, so that rules can judge it.
    type: str
    choices: [error, report]
    default: error
  key_prefix:
    description:
      - The application's C(global_keyprefix) in C(broker_transport_options).
      - Without it, named queues have none, and queues are found whatever their prefix.
    type: str
  result_key_prefix:
    description:
      - The application's C(global_keyprefix) in C(result_backend_transport_options).
      - Without it, results are found whatever their prefix.
    type: str
  result_db:
    description:
      - The database with the results, if it is another than O(login_db).
    type: int
  separator:
    description:
      - The application's C(sep) in C(broker_transport_options).
    type: str
    default: "\x06\x16"
  priority_steps:
    description:
      - The application's C(priority_steps) in C(broker_transport_options).
      - Messages of other priorities are counted, too, and reported as C(unread), because workers never fetch them.
    type: list
    elements: int
    default: [0, 3, 6, 9]
  visibility_timeout:
    description:
      - The application's C(visibility_timeout) in C(broker_transport_options), in seconds. Messages that are
        unacknowledged for longer should have been taken back and are reported as C(stalled).
    type: int
    default: 3600
  sample:
    description:
      - How many messages of each queue to look into, to tell which tasks wait. V(0) looks into none.
    type: int
    default: 100
  max_unacked:
    description:
      - How many unacknowledged messages to decode. Each must be decoded to know which queue it belongs to.
    type: int
    default: 10000
  failures:
    description:
      - Whether to read the results of failed tasks, which takes a scan.
    type: bool
    default: true
  failed_within:
    description:
      - Count only failures of so many last seconds. Without it all that are kept are counted.
    type: float
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
seealso:
  - module: runbook.ops.redis_health_info
  - module: runbook.ops.redis_key_info
author:
  - The runbook.ops contributors (@runbook-ops)
"""

EXAMPLES = r"""
- name: What is in the two queues of the shop
  runbook.ops.redis_queue_info:
    login_host: redis.internal
    login_password: "{{ redis_login_password }}"
    queues: [normal, batch]
    key_prefix: "celery:"
  register: queue_facts

- name: Find all queues of a database, without reading results
  runbook.ops.redis_queue_info:
    login_host: redis.internal
    login_db: 1
    failures: false
    max_seconds: 5
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
      description: Version of the library that made it. Celery does not leave it.
      type: str
    paused:
      description: Whether it is paused. Celery pauses in the workers' memory only.
      type: bool
    counts:
      description: Jobs by state.
      type: dict
      contains:
        waiting:
          description: Ready to run, over all priorities.
          type: int
        active:
          description: Held by a worker, unacknowledged.
          type: int
        delayed:
          description: Held by a worker until their time comes.
          type: int
        failed:
          description: Failed, of the results that are kept. Null unless every failure names its queue.
          type: int
        completed:
          description: Succeeded. Not known for Celery.
          type: int
    priorities:
      description: Waiting messages by priority, with C(priority) (0 is the highest) and C(waiting).
      type: list
      elements: dict
    backlog:
      description: Jobs that should be done by now, waiting and active.
      type: int
    consumers:
      description: Workers on this queue. Not known for Celery, see RV(consumers).
      type: int
    oldest_age_seconds:
      description: Age of the oldest waiting job.
      type: float
    oldest_age_exact:
      description: Whether that age is exact.
      type: bool
    oldest_age_note:
      description: Why it is not.
      type: str
    unacked:
      description: Messages that workers hold, active and delayed.
      type: int
    oldest_unacked_seconds:
      description: How long the longest has been held, by the clock of the worker that took it.
      type: float
    stalled:
      description: Messages held for longer than O(visibility_timeout).
      type: int
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
      description: The ten most frequent reasons of failures, with C(reason), C(count) and C(example).
      type: list
      elements: dict
    failure_reasons_count:
      description: How many reasons there are.
      type: int
    failures_truncated:
      description: Whether there are more than are listed.
      type: bool
    notes:
      description: What the figures mean for the jobs.
      type: list
      elements: str
consumers:
  description: Workers that fetch from this database, whichever their queues.
  returned: always
  type: int
unconsumed:
  description: Whether messages wait and no worker is there to fetch any. Null if one of the two is not known.
  returned: always
  type: bool
failed_count:
  description: Failures of all queues. Null unless every result was seen and understood.
  returned: always
  type: int
failed_seen:
  description: Failures that were seen.
  returned: always
  type: int
results:
  description: Kept results by status.
  returned: always
  type: dict
failures:
  description: The ten most frequent reasons over all queues, with C(reason), C(count) and C(example).
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
  description: What could not be assigned to a queue.
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
