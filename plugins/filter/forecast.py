# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""When something will be full."""

from __future__ import annotations

DOCUMENTATION = r"""
name: forecast
short_description: Tell in how many days series of figures reach their limits
version_added: 0.6.0
author: The runbook.ops contributors (@runbook-ops)
description:
  - Lays a line through the points of each series that single jumps, such as one large file, do not bend, and follows it
    to the limit.
  - Too few points, too short a time, and figures that go up and down without a trend give V(unknown) and no number.
positional: reference_time
options:
  _input:
    description: Series, as M(runbook.ops.figures_history) returns them.
    type: list
    elements: dict
    required: true
  reference_time:
    description: The moment that counts as now, ISO 8601 with its timezone. Now if empty.
    type: str
    default: ""
  days:
    description: Only points of so many days are used.
    type: float
    default: 30
  min_points:
    description: With fewer points the state is unknown. Three are needed in any case.
    type: int
    default: 5
  min_days:
    description: Points that cover fewer days are not enough.
    type: float
    default: 2
"""

EXAMPLES = r"""
- name: Say which disks will be full within two weeks
  ansible.builtin.debug:
    msg: "{{ kept.series | runbook.ops.forecast | selectattr('state', 'eq', 'growing')
             | selectattr('days_until_full', '<', 14) | map(attribute='name') }}"
  vars:
    kept:
      series:
        - name: disk /var
          limit: 1000
          points:
            - {at: "2026-01-01T00:00:00Z", value: 700}
            - {at: "2026-01-02T00:00:00Z", value: 710}
"""

RETURN = r"""
_value:
  description: One entry for each series, in their order.
  type: list
  elements: dict
  contains:
    name:
      description: The series.
      type: str
    value:
      description: Its newest value.
      type: float
    limit:
      description: Its limit.
      type: float
    state:
      description: V(growing), V(steady), V(shrinking), V(full) or V(unknown).
      type: str
    per_day:
      description: How much it changes in a day.
      type: float
    days_until_full:
      description: Days until the limit. Null unless it grows.
      type: float
    days_until_full_least:
      description: The same if it grows as fast as the points allow (95 percent).
      type: float
    days_until_full_most:
      description: The same if it grows as slowly as the points allow.
      type: float
    points_count:
      description: Points that were used.
      type: int
    span_days:
      description: Days that they cover.
      type: float
    reason:
      description: Why nothing can be said.
      type: str
"""

from collections.abc import Callable
from typing import Any

from ansible_collections.runbook.ops.plugins.plugin_utils.filtering import filter_errors
from ansible_collections.runbook.ops.plugins.plugin_utils.forecast import forecast as _forecast


@filter_errors
def forecast(
    series: Any, reference_time: Any = "", days: float = 30, min_points: int = 5, min_days: float = 2
) -> list[dict[str, Any]]:
    """Follow each series to its limit; see DOCUMENTATION."""
    return _forecast(series, reference_time, days=days, min_points=min_points, min_days=min_days)


class FilterModule:
    """The filter C(runbook.ops.forecast)."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """The filter by its name."""
        return {"forecast": forecast}
