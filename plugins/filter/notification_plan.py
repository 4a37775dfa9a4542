# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Messages about findings, and what is remembered of them."""

from __future__ import annotations

DOCUMENTATION = r"""
name: notification_plan
short_description: Decide who is told what about findings
version_added: 0.7.0
author: The runbook.ops contributors (@runbook-ops)
description:
  - Holds the findings of a run against what was told already, and makes the messages for each route - what is new, what
    became worse, what is due for a reminder, and what is gone.
  - What a run did not look at is neither gone nor told again. What nobody looked at for O(forget_days) is taken back.
  - No secret of a channel is in what it returns.
options:
  _input:
    description: The findings, redacted.
    type: list
    elements: dict
    required: true
  channels:
    description: The channels by name, as the role P(runbook.ops.notification#role) takes them.
    type: dict
    required: true
  routes:
    description: The routes, as the role P(runbook.ops.notification#role) takes them.
    type: list
    elements: dict
    required: true
  memory:
    description: What an earlier run remembered, as P(runbook.ops.notification_memory#filter) returns it.
    type: str
    default: ""
  system:
    description: The system.
    type: str
    default: ""
  contacts:
    description: Who answers a priority, and how fast.
    type: dict
    default: {}
  limit:
    description: How many findings a message tells whole, and a pager is given one by one.
    type: int
    default: 10
  forget_days:
    description: After how many days what was not looked at any more is taken back.
    type: float
    default: 40
  report:
    description: Where to read on.
    type: str
    default: ""
  reference_time:
    description: The moment that counts as now, in ISO 8601 with its timezone; empty for now.
    type: str
    default: ""
seealso:
  - plugin: runbook.ops.notification_memory
    plugin_type: filter
  - plugin: runbook.ops.compare_findings
    plugin_type: filter
"""

EXAMPLES = r"""
- name: What would be said
  ansible.builtin.debug:
    msg: "{{ plan.messages | map(attribute='subject') }}"
  vars:
    plan: "{{ findings | runbook.ops.notification_plan(channels, routes) }}"
    channels:
      team: {type: webhook, url: "https://chat.example.com/hooks/1"}
    routes:
      - {channel: team, severities: [critical]}
"""

RETURN = r"""
_value:
  description: The plan.
  type: dict
  contains:
    messages:
      description: The messages, with C(number), C(route), C(channel), C(type), C(about), C(subject) and C(body).
      type: list
      elements: dict
    memory:
      description: What is remembered whatever arrives.
      type: dict
    inactive:
      description: Channels of routes that lack their secret or address.
      type: list
      elements: str
    problem:
      description: Why O(memory) could not be read, and everything is told again.
      type: str
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ansible_collections.runbook.ops.plugins.module_utils.common.clock import reference_moment
from ansible_collections.runbook.ops.plugins.plugin_utils.filtering import filter_errors
from ansible_collections.runbook.ops.plugins.plugin_utils.findings import checked_findings
from ansible_collections.runbook.ops.plugins.plugin_utils.notification.planning import make_plan


@filter_errors
def notification_plan(
    findings: Any,
    channels: Mapping[str, Any],
    routes: Sequence[Mapping[str, Any]],
    memory: str = "",
    system: str = "",
    contacts: Mapping[str, Any] | None = None,
    limit: int = 10,
    forget_days: float = 40,
    report: str = "",
    reference_time: str = "",
) -> dict[str, Any]:
    """Decide; see DOCUMENTATION."""
    return make_plan(
        checked_findings(findings),
        channels,
        routes,
        reference_moment(reference_time or None),
        memory=memory,
        system=system,
        contacts=contacts,
        limit=int(limit),
        forget_days=float(forget_days),
        report=report,
    )


class FilterModule:
    """The filter C(runbook.ops.notification_plan)."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """The filter by its name."""
        return {"notification_plan": notification_plan}
