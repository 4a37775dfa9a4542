# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rounds as CronJobs of Kubernetes."""

from __future__ import annotations

DOCUMENTATION = r"""
name: cron_jobs
short_description: Make rounds into CronJobs of Kubernetes, checked as a whole
version_added: 0.7.0
author:
  - The runbook.ops contributors (@runbook-ops)
description:
  - Makes of each round a CronJob that says its time zone, starts once at a time, ends when it hangs, keeps its jobs and
    their logs, and gets secrets by reference.
  - Commands are lists of words, and arrive as they are declared. C($(date +%F)) in a word for C(sh -c) is made when the
    job runs, not when it is applied; Kubernetes' own C($(NAME)) works for variables of the round.
  - Says what the set has that the list does not, so that it can be removed, and what speaks against applying it.
options:
  _input:
    description:
      - The rounds, as O(runbook.ops.schedule#module:rounds) takes them, without C(user). C(timeout) and C(timezone) are
        required.
      - Each has an C(image) with its digest, and may have C(secrets) (by variable, each with C(secret) and C(key)),
        C(environment_secret) (a Secret whose keys all become variables), C(claims) (claims by the path where they are
        mounted), C(resources), C(service_account), C(start_within) (how late it may start, V(1h) if not given) and
        C(retries).
    type: list
    elements: dict
    required: true
  name:
    description: The name of the set.
    type: str
    required: true
  namespace:
    description: The namespace.
    type: str
    required: true
  present:
    description: The CronJobs of the namespace, such as M(kubernetes.core.k8s_info) lists them.
    type: list
    elements: dict
    default: []
  windows:
    description: What was agreed about times, as O(runbook.ops.schedule#module:windows) takes it.
    type: list
    elements: dict
    default: []
  allow_duplicates:
    description: Whether a command may be scheduled by another CronJob of the namespace, too.
    type: bool
    default: false
  reference_time:
    description: The moment that counts as now, in ISO 8601 with its timezone; empty for now.
    type: str
    default: ""
seealso:
  - module: runbook.ops.schedule
"""

EXAMPLES = r"""
- name: Apply the rounds
  kubernetes.core.k8s:
    apply: true
    server_side_apply: {field_manager: runbook-ops}
    definition: "{{ plan.manifests }}"
  vars:
    plan: "{{ rounds | runbook.ops.cron_jobs(name='shop', namespace='shop') }}"
    rounds:
      - name: report
        at: 30 2 * * *
        timezone: Asia/Seoul
        timeout: 1h
        image: registry.example.com/reports@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef
        command: [report, --yesterday]
"""

RETURN = r"""
_value:
  description: What is to be done.
  type: dict
  contains:
    manifests:
      description: The CronJobs to apply; none when anything is refused.
      type: list
      elements: dict
    removed:
      description: Names of CronJobs of the set that the list does not have.
      type: list
      elements: str
    refused:
      description: Why nothing is to be applied, as RV(runbook.ops.schedule#module:refused).
      type: list
      elements: dict
    problems:
      description: What is wrong with the rounds, as RV(runbook.ops.schedule_info#module:problems).
      type: list
      elements: dict
    notes:
      description: Rounds whose hour is left out or comes twice when the clocks change.
      type: list
      elements: str
    rounds:
      description: The rounds, with the names of their CronJobs and when they are due next.
      type: list
      elements: dict
    before:
      description: How many CronJobs the set has.
      type: dict
    after:
      description: How many it is going to have.
      type: dict
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ansible_collections.runbook.ops.plugins.module_utils.common.clock import reference_moment
from ansible_collections.runbook.ops.plugins.plugin_utils import cron_jobs as making
from ansible_collections.runbook.ops.plugins.plugin_utils.filtering import filter_errors


@filter_errors
def cron_jobs(
    rounds: Sequence[Mapping[str, Any]],
    name: str,
    namespace: str,
    present: Sequence[Mapping[str, Any]] = (),
    windows: Sequence[Mapping[str, Any]] = (),
    allow_duplicates: bool = False,
    reference_time: str = "",
) -> dict[str, Any]:
    """Make CronJobs."""
    now = reference_moment(reference_time or None)
    return making.cron_jobs(rounds, name, namespace, present, windows, now, allow_duplicates=allow_duplicates)


class FilterModule:
    """Filter."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """The filter by its name."""
        return {"cron_jobs": cron_jobs}
