# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Business days."""

from __future__ import annotations

DOCUMENTATION = r"""
name: business_day
short_description: The day of a timezone as UTC instants
version_added: 0.1.0
author: The runbook.ops contributors (@runbook-ops)
description: The day a moment falls on in a timezone, or one some days away, as the UTC instants it begins and ends.
positional: timezone
options:
  _input:
    description: The moment, ISO 8601 with its timezone. Now if empty.
    type: str
    required: true
  timezone:
    description: The timezone of the business, such as V(Asia/Seoul).
    type: str
    required: true
  days:
    description: How many days later; V(-1) is the day before.
    type: int
    default: 0
"""

EXAMPLES = r"""
- name: Yesterday in Seoul, for a query
  ansible.builtin.debug:
    msg: "created_at >= {{ yesterday.start }} and created_at < {{ yesterday.end }}"
  vars:
    yesterday: "{{ runbook_reference_time | runbook.ops.business_day('Asia/Seoul', days=-1) }}"
"""

RETURN = r"""
_value:
  description: The day.
  type: dict
  contains:
    date:
      description: The date in the timezone.
      type: str
      sample: "2026-01-30"
    start:
      description: Its first instant in UTC.
      type: str
      sample: "2026-01-29T15:00:00Z"
    end:
      description: The first instant of the next day in UTC.
      type: str
      sample: "2026-01-30T15:00:00Z"
    timezone:
      description: The timezone.
      type: str
      sample: Asia/Seoul
"""

from collections.abc import Callable
from typing import Any

from ansible_collections.runbook.ops.plugins.plugin_utils import business_day as business
from ansible_collections.runbook.ops.plugins.plugin_utils.filtering import filter_errors


@filter_errors
def business_day(reference_time: Any, timezone: str, days: int = 0) -> dict[str, str]:
    """The business day of a moment; see DOCUMENTATION."""
    return business.business_day(reference_time, timezone, days)


class FilterModule:
    """The filter C(runbook.ops.business_day)."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """The filter by its name."""
        return {"business_day": business_day}
