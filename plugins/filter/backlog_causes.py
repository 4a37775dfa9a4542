# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Why jobs pile up in queues whose workers run in Kubernetes, or anywhere."""

from __future__ import annotations

DOCUMENTATION = r"""
name: backlog_causes
short_description: Why jobs pile up, one cause for each queue
version_added: 0.7.0
author:
  - The runbook.ops contributors (@runbook-ops)
description:
  - Puts the figures of queues beside those of the workers that fetch from them, and names for each queue with jobs to
    be done the cause that has to be mended first. More workers help against one of them only.
  - What is not known is never taken for 0.
options:
  _input:
    description: The C(queues) of a result of M(runbook.ops.redis_queue_info) with a rate (C(sample_seconds)).
    type: list
    elements: dict
    required: true
  workers:
    description:
      - The workers, each with C(name), and maybe C(kind) (V(deployment) if not given) and C(queues), the names of the
        queues that it fetches from, all if there are none, and C(scale_to), how many pods it may get.
    type: list
    elements: dict
    default: []
  cluster:
    description: A result of M(runbook.ops.k8s_health_info) for their namespace, with pods, workloads and autoscalers.
    type: dict
    default: {}
seealso:
  - plugin: runbook.ops.judge
    plugin_type: filter
  - module: runbook.ops.k8s_scale
"""

EXAMPLES = r"""
- name: Why do mails pile up
  ansible.builtin.debug:
    msg: "{{ [queue] | runbook.ops.backlog_causes }}"
  vars:
    queue:
      name: mail
      exists: true
      backlog: 412
      paused: false
      unconsumed: false
      rate: {growth_per_second: 2.5, departures_per_second: 4.0}
"""

RETURN = r"""
_value:
  description: The causes and the workers as the cluster has them.
  type: dict
  contains:
    causes:
      description: One entry for each queue with jobs to be done.
      type: list
      elements: dict
      contains:
        name:
          description: The queue.
          type: str
        backlog:
          description: Jobs to be done.
          type: int
        cause:
          description:
            - V(paused), V(dead) when nobody fetches, V(stalled) when somebody does and no job ends, V(saturated) when
              jobs end and as many or more come, V(burst) when it empties by itself, or V(unknown).
          type: str
        detail:
          description: The cause as part of a sentence.
          type: str
        workers:
          description: The names of its workers.
          type: list
          elements: str
        ready_count:
          description: How many of their pods are ready. Null when that is not known.
          type: int
        oldest_age_seconds:
          description: The age of the oldest job that waits.
          type: float
        drain_seconds:
          description: How long until it is empty, at this pace. Null when it does not empty.
          type: float
    workers:
      description:
        - The workers as they were given, with what the cluster says of them.
        - C(lacks_pods) says whether one asks for fewer pods than its C(scale_to). It is false where that is not known.
      type: list
      elements: dict
"""

from collections.abc import Callable
from typing import Any

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption
from ansible_collections.runbook.ops.plugins.module_utils.queues import backlog
from ansible_collections.runbook.ops.plugins.plugin_utils.filtering import filter_errors


@filter_errors
def backlog_causes(queues: Any, workers: Any = (), cluster: Any = None) -> dict[str, Any]:
    """Why jobs pile up; see DOCUMENTATION."""
    if not isinstance(queues, list):
        raise InvalidOption("input", type(queues).__name__, "the queues of a result of redis_queue_info")
    for each in queues:
        if not isinstance(each, dict) or "name" not in each:
            raise InvalidOption("input", each, "the queues of a result of redis_queue_info")
    if not isinstance(workers, (list, tuple)):
        raise InvalidOption("workers", workers, "a list of workers")
    for each in workers:
        if not isinstance(each, dict) or not each.get("name"):
            raise InvalidOption("workers", each, "a name, and maybe kind and queues")
        # The letters of a name would be taken for queues.
        if not isinstance(each.get("queues") or [], (list, tuple)):
            raise InvalidOption("workers", each, "queues as a list of names")
        number = each.get("scale_to", 1)
        if not isinstance(number, int) or isinstance(number, bool) or number < 1:
            raise InvalidOption("workers", each, "scale_to as a whole number above 0")
    if not isinstance(cluster or {}, dict):
        raise InvalidOption("cluster", type(cluster).__name__, "a result of k8s_health_info")
    found = backlog.workers_of(workers, cluster or {})
    return {"causes": backlog.backlog_causes(queues, found), "workers": found}


class FilterModule:
    """Filter."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """The filter by its name."""
        return {"backlog_causes": backlog_causes}
