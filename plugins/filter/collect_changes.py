# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The changes of all hosts."""

from __future__ import annotations

DOCUMENTATION = r"""
name: collect_changes
short_description: Collect the changes of all hosts
version_added: 0.2.0
author: The runbook.ops contributors (@runbook-ops)
description:
  - Takes the variables C(*_changes) of every host, as P(runbook.ops.changes#filter) makes them, and makes one list of
    them. What failed, was refused or did not help comes first, then by system and host, in the order in which it
    happened.
  - Only variables that match O(pattern) are read, because every variable is a template that is rendered on access.
  - A host without any has changed nothing. A variable that is undefined, or holds something else beside changes, gives
    one failed change, because what was changed is then not known. A variable that holds no changes at all is not taken
    for one of ours.
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
  pattern:
    description: The regular expression of the variables.
    type: str
    default: ^(?!_|ansible_)\w+_changes$
  system:
    description: The system, for the changes this filter adds.
    type: str
    default: ""
"""

EXAMPLES = r"""
- name: Report what was found and what was changed
  runbook.ops.findings_report:
    findings: "{{ hostvars | runbook.ops.collect_findings(groups['all']) }}"
    changes: "{{ hostvars | runbook.ops.collect_changes(groups['all']) }}"
    destination: /srv/reports
"""

RETURN = r"""
_value:
  description: The changes, in the shape of P(runbook.ops.changes#filter).
  type: list
  elements: dict
"""

from collections.abc import Callable
from typing import Any

from ansible_collections.runbook.ops.plugins.plugin_utils.collecting_changes import PATTERN, collect
from ansible_collections.runbook.ops.plugins.plugin_utils.filtering import filter_errors, sees_undefined


# A variable of one host that is undefined becomes a failed change of that host.
@sees_undefined
@filter_errors
def collect_changes(hosts: Any, names: Any, pattern: str = PATTERN, system: str = "") -> list[dict[str, Any]]:
    """Collect changes; see DOCUMENTATION."""
    return collect(hosts, names, pattern=pattern, system=system)


class FilterModule:
    """The filter C(runbook.ops.collect_changes)."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """The filter by its name."""
        return {"collect_changes": collect_changes}
