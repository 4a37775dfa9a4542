# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How queues changed between two looks."""

from __future__ import annotations

DOCUMENTATION = r"""
name: queue_growth
short_description: How queues changed between two looks at them
version_added: 0.3.0
author:
  - The runbook.ops contributors (@runbook-ops)
description:
  - Compares two results of M(runbook.ops.redis_queue_info) or M(runbook.ops.solid_queue_info), for a gate that asks
    whether jobs have begun to fail since an operation.
  - What is not known in one of the two is null. It is never taken for 0.
options:
  _input:
    description: The later result.
    type: dict
    required: true
  earlier:
    description: The earlier result.
    type: dict
    required: true
  retried:
    description:
      - Results of M(runbook.ops.redis_queue_retry) in between. Jobs that it put back and that failed again are new
        failures, although as many are failed as before.
    type: list
    elements: dict
    default: []
seealso:
  - plugin: runbook.ops.judge
    plugin_type: filter
"""

EXAMPLES = r"""
- name: Which queues have new failures
  ansible.builtin.debug:
    msg: "{{ now_facts | runbook.ops.queue_growth(then_facts) | selectattr('failed_new', 'gt', 0) }}"
  vars:
    then_facts: {queues: [], failed_jobs: [{name: batch, failed_count: 3}]}
    now_facts: {queues: [], failed_jobs: [{name: batch, failed_count: 5}]}
"""

RETURN = r"""
_value:
  description: One entry for every queue of the later result that is known by its failures.
  type: list
  elements: dict
  contains:
    name:
      description: The queue, or the system where failures do not name their queue.
      type: str
    failed_before:
      description: Failed jobs in the earlier result.
      type: int
    failed_after:
      description: Failed jobs in the later result.
      type: int
    failed_new:
      description: How many have failed in between, at least; negative when failed jobs became fewer by themselves.
      type: int
    backlog_before:
      description: Jobs to be done in the earlier result.
      type: int
    backlog_after:
      description: Jobs to be done in the later result.
      type: int
"""

from collections.abc import Callable
from typing import Any

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption
from ansible_collections.runbook.ops.plugins.module_utils.queues.growth import growth
from ansible_collections.runbook.ops.plugins.plugin_utils.filtering import filter_errors


@filter_errors
def queue_growth(later: Any, earlier: Any, retried: Any = ()) -> list[dict[str, Any]]:
    """Put the two results side by side."""
    for name, value in (("input", later), ("earlier", earlier)):
        if not isinstance(value, dict) or not isinstance(value.get("failed_jobs"), list):
            raise InvalidOption(name, type(value).__name__, "a result of redis_queue_info or solid_queue_info")
    return growth(earlier, later, retried)


class FilterModule:
    """Filter."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """The filter by its name."""
        return {"queue_growth": queue_growth}
