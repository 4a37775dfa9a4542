# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From pending updates to those that are approved."""

from __future__ import annotations

DOCUMENTATION = r"""
name: patch_approval
short_description: Which pending updates a policy of approvals lets through
version_added: 0.6.0
author: The runbook.ops contributors (@runbook-ops)
description:
  - Takes the C(updates) of M(runbook.ops.package_updates_info) and a policy, and returns the exact versions that may be
    installed, for M(runbook.ops.package_updates), and what may not, with the reason.
  - A class that the policy does not name is not approved. What is on hold is in neither list.
options:
  _input:
    description: The pending updates.
    type: list
    elements: dict
    required: true
  policy:
    description:
      - Rules by class, V(security), V(minor), V(major). A rule may have C(requires) (a list of V(ticket) and
        V(approver), which must be given), C(approvers) (the names of which one must have approved), and C(window)
        (times in which updates of the class may be installed). An empty rule lets everything through.
    type: dict
    required: true
  approver:
    description: Who approved.
    type: str
    default: ""
  ticket:
    description: The number of the change.
    type: str
    default: ""
  reference_time:
    description: The moment that counts as now, ISO 8601 with time zone. Now, if empty.
    type: str
    default: ""
  timezone:
    description: The time zone of the windows.
    type: str
    default: UTC
"""

EXAMPLES = r"""
- name: Security at once, minor updates on Sundays, major ones only with the chief's word
  ansible.builtin.set_fact:
    approval: >-
      {{ packages.updates | runbook.ops.patch_approval(
           {'security': {}, 'minor': {'window': ['Sun 02:00-06:00']},
            'major': {'approvers': ['cto'], 'requires': ['ticket']}},
           approver=approver | default(''), ticket=ticket | default('')) }}
"""

RETURN = r"""
_value:
  description: The decision.
  type: dict
  contains:
    versions:
      description: The versions that may be installed, by name.
      type: dict
    refused:
      description: What may not be installed, with C(object), C(version), C(class), C(reason) and C(remedy).
      type: list
      elements: dict
"""

from collections.abc import Callable
from typing import Any

from ansible_collections.runbook.ops.plugins.plugin_utils.filtering import filter_errors
from ansible_collections.runbook.ops.plugins.plugin_utils.patch_approval import approved


@filter_errors
def patch_approval(
    updates: Any, policy: Any, approver: str = "", ticket: str = "", reference_time: str = "", timezone: str = "UTC"
) -> dict[str, Any]:
    """Which updates are approved; see DOCUMENTATION."""
    return approved(
        updates, policy, approver=str(approver), ticket=str(ticket), moment=reference_time, timezone=timezone
    )


class FilterModule:
    """The filter C(runbook.ops.patch_approval)."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """The filter by its name."""
        return {"patch_approval": patch_approval}
