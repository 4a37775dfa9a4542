# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The findings of all hosts."""

from __future__ import annotations

DOCUMENTATION = r"""
name: collect_findings
short_description: Collect the findings of all hosts
version_added: 0.1.0
author: The runbook.ops contributors (@runbook-ops)
description:
  - Takes the variables C(check_*_findings) of every host and makes one list of them, worst first.
  - A host without any gives one V(unknown) finding C(host.not_measured). A domain in O(domains) for which no host has
    a finding gives one V(unknown) finding C(<domain>.not_configured).
  - Only variables that match O(pattern) are read, because every variable is a template that is rendered on access.
positional: names
options:
  _input:
    description: C(hostvars), or a list with the variables of each host in O(names).
    type: raw
    required: true
  names:
    description: The hosts.
    type: list
    elements: str
    required: true
  domains:
    description: Domains that should have been checked, such as V(postgresql) or V(kubernetes).
    type: list
    elements: str
    default: []
  pattern:
    description: The regular expression of the variables.
    type: str
    default: ^(?!_)\w+_findings$
  system:
    description: The system, for the findings this filter adds.
    type: str
    default: ""
  measured_at:
    description: The moment, for the findings this filter adds. By default now.
    type: str
  purpose:
    description:
      - What should have been done on the hosts, such as V(to be backed up).
      - Where no host has findings or changes of any role, not even empty ones, that gives one V(unknown) finding
        C(playbook.not_configured).
    type: str
    default: ""
    version_added: 0.7.0
  needs:
    description: What has to be configured for it, which becomes the remedy of that finding.
    type: str
    default: ""
    version_added: 0.7.0
"""

EXAMPLES = r"""
- name: Gather everything
  ansible.builtin.set_fact:
    report_findings: "{{ hostvars | runbook.ops.collect_findings(ansible_play_hosts_all, domains=['kubernetes']) }}"
  run_once: true
"""

RETURN = r"""
_value:
  description: The findings, in the shape of P(runbook.ops.judge#filter).
  type: list
  elements: dict
"""

from collections.abc import Callable
from typing import Any

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption
from ansible_collections.runbook.ops.plugins.plugin_utils.collecting import PATTERN, collect
from ansible_collections.runbook.ops.plugins.plugin_utils.filtering import filter_errors, sees_undefined


# A variable of one host that is undefined becomes a finding about that host.
@sees_undefined
@filter_errors
def collect_findings(
    hosts: Any,
    names: Any,
    domains: Any = (),
    pattern: str = PATTERN,
    system: str = "",
    measured_at: str | None = None,
    purpose: str = "",
    needs: str = "",
) -> list[dict[str, Any]]:
    """Collect findings; see DOCUMENTATION."""
    if not isinstance(domains, (list, tuple)) or not all(isinstance(each, str) for each in domains):
        raise InvalidOption("domains", domains, "a list of domains such as kubernetes")
    return collect(
        hosts,
        names,
        domains=domains,
        pattern=pattern,
        system=system,
        measured_at=measured_at or None,
        purpose=purpose,
        needs=needs,
    )


class FilterModule:
    """The filter C(runbook.ops.collect_findings)."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """The filter by its name."""
        return {"collect_findings": collect_findings}
