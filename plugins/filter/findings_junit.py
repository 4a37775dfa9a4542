# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""JUnit XML."""

from __future__ import annotations

DOCUMENTATION = r"""
name: findings_junit
short_description: Show findings as JUnit XML
version_added: 0.1.0
author: The runbook.ops contributors (@runbook-ops)
description:
  - The findings as JUnit XML, one test suite for each host, one test case for each finding.
  - Unknown findings are errors. What O(fail_on) names is a failure. Everything else passes.
options:
  _input:
    description: The findings, as P(runbook.ops.judge#filter) returns them.
    type: list
    elements: dict
    required: true
  fail_on:
    description: From which severity a finding is a failure.
    type: str
    choices:
      critical: Critical findings fail.
      warning: Critical findings and warnings fail.
      never: Nothing fails.
    default: critical
  name:
    description: The name of the whole.
    type: str
    default: runbook.ops
"""

EXAMPLES = r"""
- name: Write the report
  ansible.builtin.copy:
    content: "{{ findings | runbook.ops.findings_junit(fail_on='warning') }}"
    dest: /var/lib/reports/daily.xml
    mode: "0644"
"""

RETURN = r"""
_value:
  description: The XML text.
  type: str
"""

from collections.abc import Callable
from typing import Any

from ansible_collections.runbook.ops.plugins.plugin_utils.filtering import filter_errors
from ansible_collections.runbook.ops.plugins.plugin_utils.findings import checked_findings
from ansible_collections.runbook.ops.plugins.plugin_utils.rendering import junit


@filter_errors
def findings_junit(findings: Any, fail_on: str = "critical", name: str = "runbook.ops") -> str:
    """Findings as JUnit XML; see DOCUMENTATION."""
    return junit.findings_junit(checked_findings(findings), fail_on=fail_on, name=str(name))


class FilterModule:
    """The filter C(runbook.ops.findings_junit)."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """The filter by its name."""
        return {"findings_junit": findings_junit}
