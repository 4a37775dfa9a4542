# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A table for the terminal."""

from __future__ import annotations

DOCUMENTATION = r"""
name: findings_table
short_description: Show findings as a table for a terminal
version_added: 0.1.0
author: The runbook.ops contributors (@runbook-ops)
description:
  - The findings as text, worst first, with the columns severity, what, value, threshold and remedy.
  - Nothing is cut; long cells take several lines. Wide (East Asian) characters are measured as two columns.
options:
  _input:
    description: The findings, as P(runbook.ops.judge#filter) returns them.
    type: list
    elements: dict
    required: true
  width:
    description: The width of the table in columns, at least 60.
    type: int
    default: 100
  color:
    description: Whether severities are coloured with terminal escape sequences.
    type: bool
    default: false
  show_ok:
    description: Whether findings that are ok are listed. By default they are only counted.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: Show the findings
  ansible.builtin.debug:
    msg: "{{ (findings | runbook.ops.findings_table(width=120)).splitlines() }}"
"""

RETURN = r"""
_value:
  description: The table.
  type: str
"""

from collections.abc import Callable
from typing import Any

from ansible_collections.runbook.ops.plugins.plugin_utils.filtering import filter_errors
from ansible_collections.runbook.ops.plugins.plugin_utils.findings import checked_findings
from ansible_collections.runbook.ops.plugins.plugin_utils.rendering import table


@filter_errors
def findings_table(findings: Any, width: int = 100, color: bool = False, show_ok: bool = False) -> str:
    """Findings as a table; see DOCUMENTATION."""
    return table.findings_table(checked_findings(findings), columns=width, color=bool(color), show_ok=bool(show_ok))


class FilterModule:
    """The filter C(runbook.ops.findings_table)."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """The filter by its name."""
        return {"findings_table": findings_table}
