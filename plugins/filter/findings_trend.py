# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Development over past runs."""

from __future__ import annotations

DOCUMENTATION = r"""
name: findings_trend
short_description: Compare findings with earlier runs
version_added: 0.1.0
author: The runbook.ops contributors (@runbook-ops)
description:
  - Compares each finding with the same one of earlier runs. The same means the same id, host and object.
positional: history, reference_time
options:
  _input:
    description: The findings, as P(runbook.ops.judge#filter) returns them.
    type: list
    elements: dict
    required: true
  history:
    description: Earlier runs, each a list of findings or a mapping with C(measured_at) and C(findings).
    type: list
    elements: raw
    required: true
  reference_time:
    description: The moment from which the window counts back, ISO 8601 with its timezone. Now if empty.
    type: str
    default: ""
  days:
    description: The length of the window in days.
    type: float
    default: 7
"""

EXAMPLES = r"""
- name: What became worse since last week
  ansible.builtin.debug:
    msg: "{{ trend | selectattr('change', 'number') | selectattr('change', '>', 20) }}"
  vars:
    trend: "{{ findings | runbook.ops.findings_trend(history, runbook_reference_time) }}"
"""

RETURN = r"""
_value:
  description: One entry for each finding, worst first.
  type: list
  elements: dict
  contains:
    id:
      description: The rule's id.
      type: str
    host:
      description: The host.
      type: str
    object:
      description: The object.
      type: str
    severity:
      description: The severity now.
      type: str
    previous_severity:
      description: The severity in the newest earlier run within the window, or null.
      type: str
    value:
      description: The value now. Null when it is no number.
      type: float
    unit:
      description: The unit of the value.
      type: str
    previous:
      description: The newest earlier value within the window, or null.
      type: float
    previous_at:
      description: When that was.
      type: str
    change:
      description: The value less the previous one.
      type: float
    change_percent:
      description: The change in percent of the previous value. Null when that was 0.
      type: float
    baseline:
      description: The oldest value within the window, or null.
      type: float
    baseline_at:
      description: When that was.
      type: str
    baseline_change:
      description: The value less the baseline.
      type: float
    baseline_change_percent:
      description: That change in percent of the baseline. Null when that was 0.
      type: float
    series:
      description: All values within the window, oldest first, this run last.
      type: list
      elements: dict
      contains:
        at:
          description: The moment.
          type: str
        value:
          description: The value.
          type: float
"""

from collections.abc import Callable
from typing import Any

from ansible_collections.runbook.ops.plugins.plugin_utils.filtering import filter_errors
from ansible_collections.runbook.ops.plugins.plugin_utils.trend import trend


@filter_errors
def findings_trend(findings: Any, history: Any, reference_time: Any = "", days: float = 7) -> list[dict[str, Any]]:
    """Compare findings with earlier runs; see DOCUMENTATION."""
    return trend(findings, history, reference_time, days)


class FilterModule:
    """The filter C(runbook.ops.findings_trend)."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """The filter by its name."""
        return {"findings_trend": findings_trend}
