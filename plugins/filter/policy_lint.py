# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A recovery policy held against itself."""

from __future__ import annotations

DOCUMENTATION = r"""
name: policy_lint
short_description: Find what a recovery policy promises and cannot keep
version_added: 0.4.0
author: The runbook.ops contributors (@runbook-ops)
description:
  - Holds what is promised (RPO, RTO, recovery to any moment, retention) against what is done (schedules, methods,
    steps, drills). A promise that the schedule cannot keep is found before a disaster finds it.
  - What the policy does not say is not known, and never taken for good.
options:
  _input:
    description:
      - The policy.
      - C(objectives) has C(rpo) and C(rto) of the whole system, for the components that have none of their own.
      - >-
        C(objectives), and components that differ, may ask for a spread of the data (3-2-1), C(copies) (3, the live
        data is one of them), C(media) (2) and C(offsite) (1), since 0.5.0. Counted are places, each once, at which
        something lies that brings the data back. What is short is a problem.
      - C(timezone) is that of all schedules, unless a backup names its own. Leave it out where nobody has said.
      - C(batch_windows) are the hours of bulk work, with C(name), C(window) (such as V(00:00-06:00)) and C(timezone).
      - C(steps) are the steps of a recovery with C(name) and C(minutes) (null when nobody knows), for components and
        scenarios that have none of their own.
      - C(drill_every) is how often a recovery has to be measured (90d).
      - C(components) have C(name), C(rpo), C(rto), C(backups), C(restores), C(steps), C(drills) (with C(on), a day, and
        the measured C(rto) and C(rpo)) and C(drill_every).
      - >-
        A backup has C(name), C(method) (such as C(pg_dump), C(pg_basebackup), C(wal_archive), C(pgbackrest),
        C(rds_snapshot), C(rds_pitr), C(elasticache_snapshot), C(redis_rdb), C(s3_versioning), C(s3_sync), C(rsync),
        C(git), C(other); an unknown one is answered with the list), C(schedule) (a cron expression, an interval such as
        V(4h), V(daily), V(continuous)), C(timezone), C(retention), C(exists) (false when it is promised only),
        C(contents) (C(data), C(schema), C(roles), C(files), when it is not what the method makes by itself), C(format)
        and C(writes) (what it writes and how it is named), C(target), C(offsite), C(medium) (on what it lies, such as
        V(tape); a C(target) that is an absolute directory is V(disk), one that begins with C(s3:) is V(object store)),
        C(copies) (where it is sent to, such as by M(runbook.ops.backup_copy), with C(name), C(target), C(medium),
        C(offsite), C(exists) and C(note)) and C(note).
      - A component's C(medium) is on what its live data lies, V(disk) if nobody says.
      - A restore has C(name), C(promises) (V(latest) or V(any moment)), C(reads) (the name of what it takes), C(format)
        and C(note).
      - C(scenarios) are disasters with C(name), C(component), C(rto), C(steps), C(answer), C(exists) (whether that
        answer is there) and C(note).
    type: dict
    required: true
  reference_time:
    description: The moment that counts as now, ISO 8601 with time zone. Now, if not given.
    type: str
"""

EXAMPLES = r"""
- name: Refuse a policy that cannot be kept
  ansible.builtin.assert:
    that: found.problem_count == 0
    fail_msg: "{{ found.problems | map(attribute='reason') | join('; ') }}"
  vars:
    found: "{{ policy | runbook.ops.policy_lint }}"
    policy:
      timezone: Asia/Seoul
      objectives: {rpo: 24h, rto: 2h}
      components:
        - name: database
          backups:
            - {name: nightly dump, method: pg_dump, schedule: 30 6 * * *, retention: 30d}
          steps:
            - {name: find the backup, minutes: 10}
            - {name: restore it, minutes: 60}
          drills:
            - {"on": "{{ now(fmt='%Y-%m-%d') }}", rto: 55m}
"""

RETURN = r"""
_value:
  description: What was checked, and what does not hold.
  type: dict
  contains:
    component_count:
      description: Components of the policy.
      type: int
    backup_count:
      description: Their backups.
      type: int
    scenario_count:
      description: Scenarios of the policy.
      type: int
    check_count:
      description: How many things were checked.
      type: int
    checks:
      description: >-
        What was checked, by topic - C(rpo), C(rto), C(contradiction), C(any_moment), C(procedure), C(method),
        C(retention), C(location), C(copies), C(format), C(name), C(schedule), C(batch_window), C(timezone),
        C(daylight), C(collision) and C(drill). Each is a list of dictionaries with C(name), C(holds) (null when the
        policy does not say enough), C(reason), C(value_seconds) and C(limit_seconds).
      type: dict
    problem_count:
      description: How many do not hold, or nobody knows.
      type: int
    problems:
      description: Those, with their C(topic).
      type: list
      elements: dict
      contains:
        topic:
          description: Which kind of check.
          type: str
        name:
          description: What it is about.
          type: str
        holds:
          description: V(false), or null when the policy does not say enough.
          type: bool
        reason:
          description: Why.
          type: str
        value_seconds:
          description: What is, in seconds. Null where that is no duration.
          type: float
        limit_seconds:
          description: What is promised, in seconds.
          type: float
"""

from collections.abc import Callable
from typing import Any

from ansible_collections.runbook.ops.plugins.module_utils.common.timezones import moment
from ansible_collections.runbook.ops.plugins.plugin_utils.filtering import filter_errors
from ansible_collections.runbook.ops.plugins.plugin_utils.recovery_policy.lint import lint


@filter_errors
def policy_lint(policy: Any, reference_time: str | None = None) -> dict[str, Any]:
    """Find what a recovery policy cannot keep; see DOCUMENTATION."""
    return lint(policy, moment(reference_time))


class FilterModule:
    """The filter C(runbook.ops.policy_lint)."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """The filter by its name."""
        return {"policy_lint": policy_lint}
