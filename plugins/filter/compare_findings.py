# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Findings before and after."""

from __future__ import annotations

DOCUMENTATION = r"""
name: compare_findings
short_description: Compare the findings of the same rules before and after something was done
version_added: 0.2.0
author: The runbook.ops contributors (@runbook-ops)
description:
  - Says of every finding that was not ok, before or after, what has become of it.
  - An object that is no longer named is cured, unless its rule could not be judged any more. Then it is unknown.
positional: after
options:
  _input:
    description: The findings before, as P(runbook.ops.judge#filter) returns them.
    type: list
    elements: dict
    required: true
  after:
    description: The findings of the same rules afterwards.
    type: list
    elements: dict
    required: true
"""

EXAMPLES = r"""
- name: Say what the remedy has not cured
  ansible.builtin.debug:
    msg: "{{ before | runbook.ops.compare_findings(after) | rejectattr('outcome', 'eq', 'cured') }}"
"""

RETURN = r"""
_value:
  description: What has become of the findings, in the order in which they were found, new ones last.
  type: list
  elements: dict
  contains:
    id:
      description: The rule's id.
      type: str
    host:
      description: The inventory host.
      type: str
    object:
      description: The thing inside the host. Empty for the host itself.
      type: str
    before:
      description: The severity before. Null when the object was not named.
      type: str
    after:
      description: The severity afterwards. Null when the object is no longer named.
      type: str
    before_value:
      description: The value before.
      type: raw
    after_value:
      description: The value afterwards.
      type: raw
    unit:
      description: The unit of both values.
      type: str
    outcome:
      description: V(cured), V(better), V(same), V(worse), V(new), or V(unknown) when it could not be judged again.
      type: str
    summary:
      description: The newer summary.
      type: str
"""

from collections.abc import Callable
from typing import Any

from ansible_collections.runbook.ops.plugins.plugin_utils.comparing import compare
from ansible_collections.runbook.ops.plugins.plugin_utils.filtering import filter_errors
from ansible_collections.runbook.ops.plugins.plugin_utils.findings import checked_findings


@filter_errors
def compare_findings(before: Any, after: Any) -> list[dict[str, Any]]:
    """Compare findings; see DOCUMENTATION."""
    return compare(checked_findings(before), checked_findings(after, "after"))


class FilterModule:
    """The filter C(runbook.ops.compare_findings)."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """The filter by its name."""
        return {"compare_findings": compare_findings}
