# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Markdown."""

from __future__ import annotations

DOCUMENTATION = r"""
name: findings_markdown
short_description: Show findings as Markdown
version_added: 0.1.0
author: The runbook.ops contributors (@runbook-ops)
description: The findings as a Markdown table, worst first, for tickets and chats.
options:
  _input:
    description: The findings, as P(runbook.ops.judge#filter) returns them.
    type: list
    elements: dict
    required: true
  title:
    description: The heading.
    type: str
    default: Findings
  show_ok:
    description: Whether findings that are ok are listed. By default they are only counted.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: Write the report
  ansible.builtin.copy:
    content: "{{ findings | runbook.ops.findings_markdown(title='Daily check') }}"
    dest: /var/lib/reports/daily.md
    mode: "0644"
"""

RETURN = r"""
_value:
  description: The Markdown text.
  type: str
"""

from collections.abc import Callable
from typing import Any

from ansible_collections.runbook.ops.plugins.plugin_utils.filtering import filter_errors
from ansible_collections.runbook.ops.plugins.plugin_utils.findings import checked_findings
from ansible_collections.runbook.ops.plugins.plugin_utils.rendering import markdown


@filter_errors
def findings_markdown(findings: Any, title: str = "Findings", show_ok: bool = False) -> str:
    """Findings as Markdown; see DOCUMENTATION."""
    return markdown.findings_markdown(checked_findings(findings), title=str(title), show_ok=bool(show_ok))


class FilterModule:
    """The filter C(runbook.ops.findings_markdown)."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """The filter by its name."""
        return {"findings_markdown": findings_markdown}
