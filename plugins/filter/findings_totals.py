# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Totals."""

from __future__ import annotations

DOCUMENTATION = r"""
name: findings_totals
short_description: Count findings by severity
version_added: 0.1.0
author: The runbook.ops contributors (@runbook-ops)
description: Counts findings by severity, ready for M(ansible.builtin.set_stats).
options:
  _input:
    description: The findings, as P(runbook.ops.judge#filter) returns them.
    type: list
    elements: dict
    required: true
"""

EXAMPLES = r"""
- name: Publish the totals
  ansible.builtin.set_stats:
    data: "{{ {'runbook_totals': findings | runbook.ops.findings_totals} }}"
"""

RETURN = r"""
_value:
  description: The counts.
  type: dict
  contains:
    ok:
      description: How many are ok.
      type: int
    warning:
      description: How many are warnings.
      type: int
    critical:
      description: How many are critical.
      type: int
    unknown:
      description: How many are unknown.
      type: int
    total:
      description: How many there are.
      type: int
    worst:
      description: The worst severity. V(unknown) when there is no finding.
      type: str
"""

from collections.abc import Callable
from typing import Any

from ansible_collections.runbook.ops.plugins.plugin_utils import findings as shape
from ansible_collections.runbook.ops.plugins.plugin_utils.filtering import filter_errors


@filter_errors
def findings_totals(findings: Any) -> dict[str, Any]:
    """Count findings; see DOCUMENTATION."""
    return shape.totals(shape.checked_findings(findings))


class FilterModule:
    """The filter C(runbook.ops.findings_totals)."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """The filter by its name."""
        return {"findings_totals": findings_totals}
