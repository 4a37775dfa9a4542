# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The secrets of all hosts, to keep them out of reports."""

from __future__ import annotations

DOCUMENTATION = r"""
name: collect_secrets
short_description: Collect the secrets of all hosts, to mask them
version_added: 0.1.0
author: The runbook.ops contributors (@runbook-ops)
description:
  - Takes the values of the named variables of every host, so that they can be masked wherever they turn up.
  - Values of fewer than four characters are left out, because masking them would make text unreadable.
positional: names, variables
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
  variables:
    description: The variables that hold secrets. Hosts that do not have one are skipped.
    type: list
    elements: str
    required: true
"""

EXAMPLES = r"""
- name: Nothing that was used to log in may be reported
  runbook.ops.findings_report:
    findings: "{{ hostvars | runbook.ops.collect_findings(groups['all']) }}"
    known_secrets: "{{ hostvars | runbook.ops.collect_secrets(groups['all'], ['postgresql_login_password']) }}"
    destination: /srv/reports
"""

RETURN = r"""
_value:
  description: The secrets, each once.
  type: list
  elements: str
"""

from collections.abc import Callable
from typing import Any

from ansible_collections.runbook.ops.plugins.plugin_utils.filtering import filter_errors, sees_undefined
from ansible_collections.runbook.ops.plugins.plugin_utils.report.gathering import gather_secrets


# A password that is undefined on one host is no secret of that host.
@sees_undefined
@filter_errors
def collect_secrets(hosts: Any, names: Any, variables: Any) -> list[str]:
    """Collect secrets; see DOCUMENTATION."""
    return gather_secrets(hosts, names, variables)


class FilterModule:
    """The filter C(runbook.ops.collect_secrets)."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """The filter by its name."""
        return {"collect_secrets": collect_secrets}
