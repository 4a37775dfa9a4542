# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The facts of all hosts."""

from __future__ import annotations

DOCUMENTATION = r"""
name: collect_facts
short_description: Collect the facts behind the findings of all hosts
version_added: 0.1.0
author: The runbook.ops contributors (@runbook-ops)
description:
  - Takes the variables C(check_*_facts) of every host and sorts them by the module they come from, which the findings
    in C(check_*_findings) name.
  - Hosts without such variables are left out.
positional: names
options:
  _input:
    description: C(hostvars).
    type: dict
    required: true
  names:
    description: The hosts.
    type: list
    elements: str
    required: true
"""

EXAMPLES = r"""
- name: Report everything that was measured
  runbook.ops.findings_report:
    findings: "{{ hostvars | runbook.ops.collect_findings(groups['all']) }}"
    facts: "{{ hostvars | runbook.ops.collect_facts(groups['all']) }}"
    destination: /srv/reports
"""

RETURN = r"""
_value:
  description: The facts by host and source, as M(runbook.ops.findings_report) takes them.
  type: dict
"""

from collections.abc import Callable
from typing import Any

from ansible_collections.runbook.ops.plugins.plugin_utils.filtering import filter_errors, sees_undefined
from ansible_collections.runbook.ops.plugins.plugin_utils.report.gathering import gather_facts


# Facts of one host that are undefined are facts that are missing, no reason to report nothing at all.
@sees_undefined
@filter_errors
def collect_facts(hosts: Any, names: Any) -> dict[str, dict[str, Any]]:
    """Collect facts; see DOCUMENTATION."""
    return gather_facts(hosts, names)


class FilterModule:
    """The filter C(runbook.ops.collect_facts)."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """The filter by its name."""
        return {"collect_facts": collect_facts}
