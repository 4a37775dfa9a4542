# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The worst severity."""

from __future__ import annotations

DOCUMENTATION = r"""
name: worst_severity
short_description: The worst severity of findings
version_added: 0.1.0
author: The runbook.ops contributors (@runbook-ops)
description: The worst severity of findings, in the order V(critical), V(warning), V(unknown), V(ok).
options:
  _input:
    description: The findings, as P(runbook.ops.judge#filter) returns them.
    type: list
    elements: dict
    required: true
"""

EXAMPLES = r"""
- name: Stop here when something is critical
  ansible.builtin.assert:
    that: check_redis_findings | runbook.ops.worst_severity != 'critical'
"""

RETURN = r"""
_value:
  description: The worst severity. V(unknown) for an empty list, because nothing was judged then.
  type: str
  sample: warning
"""

from collections.abc import Callable
from typing import Any

from ansible_collections.runbook.ops.plugins.plugin_utils import findings as shape
from ansible_collections.runbook.ops.plugins.plugin_utils.filtering import filter_errors


@filter_errors
def worst_severity(findings: Any) -> str:
    """The worst severity; see DOCUMENTATION."""
    return shape.worst_severity(shape.checked_findings(findings))


class FilterModule:
    """The filter C(runbook.ops.worst_severity)."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """The filter by its name."""
        return {"worst_severity": worst_severity}
