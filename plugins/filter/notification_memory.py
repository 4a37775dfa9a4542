# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is remembered of messages that arrived."""

from __future__ import annotations

DOCUMENTATION = r"""
name: notification_memory
short_description: Remember what was told
version_added: 0.7.0
author: The runbook.ops contributors (@runbook-ops)
description:
  - Makes the text that the next run gives to P(runbook.ops.notification_plan#filter).
  - What did not arrive is told again.
positional: arrived
options:
  _input:
    description: The plan of P(runbook.ops.notification_plan#filter).
    type: dict
    required: true
  arrived:
    description: The numbers of the messages that arrived.
    type: list
    elements: int
    required: true
  current:
    description: What the file says now, which another round may have changed since the plan was made.
    type: str
    default: ""
"""

EXAMPLES = r"""
- name: Remember what was told
  ansible.builtin.copy:
    dest: notifications.json
    content: "{{ plan | runbook.ops.notification_memory(arrived) }}"
    mode: "0600"
"""

RETURN = r"""
_value:
  description: The text of a file.
  type: str
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ansible_collections.runbook.ops.plugins.plugin_utils.filtering import filter_errors
from ansible_collections.runbook.ops.plugins.plugin_utils.notification.planning import remember


@filter_errors
def notification_memory(plan: Mapping[str, Any], arrived: Sequence[int], current: str = "") -> str:
    """Remember; see DOCUMENTATION."""
    return remember(plan, [int(each) for each in arrived], current)


class FilterModule:
    """The filter C(runbook.ops.notification_memory)."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """The filter by its name."""
        return {"notification_memory": notification_memory}
