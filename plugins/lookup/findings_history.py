# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Past runs, for filters and templates."""

from __future__ import annotations

DOCUMENTATION = r"""
name: findings_history
short_description: Read the findings of past runs
version_added: 0.1.0
author: The runbook.ops contributors (@runbook-ops)
description:
  - Reads the files that M(runbook.ops.findings_report) keeps in its
    O(runbook.ops.findings_report#module:history_directory).
  - A file that cannot be used is left out with a warning.
options:
  _terms:
    description: The directories to read. One that does not exist is an empty history.
    type: list
    elements: path
    required: true
  days:
    description: Only runs of so many days before O(reference_time).
    type: float
    default: 7
  reference_time:
    description: The moment to count back from, ISO 8601 with a timezone. Now if empty.
    type: str
    default: ""
"""

EXAMPLES = r"""
- name: Compare this run with those of the last week
  ansible.builtin.set_fact:
    trend: "{{ findings | runbook.ops.findings_trend(runs) }}"
  vars:
    runs: "{{ query('runbook.ops.findings_history', '/srv/reports/storebridge/history', days=7) }}"
"""

RETURN = r"""
_list:
  description: The runs, oldest first.
  type: list
  elements: dict
  contains:
    measured_at:
      description: The moment of the run, ISO 8601 in UTC.
      type: str
    findings:
      description: What was kept of its findings.
      type: list
      elements: dict
"""

import datetime as dt
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleLookupError
from ansible.plugins.lookup import LookupBase
from ansible.utils.display import Display

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption, RunbookError
from ansible_collections.runbook.ops.plugins.module_utils.common.timezones import moment
from ansible_collections.runbook.ops.plugins.plugin_utils.report.history import Run, read_runs


class LookupModule(LookupBase):  # type: ignore[misc]  # Ansible carries no types.
    """Past runs."""

    def run(self, terms: list[Any], variables: dict[str, Any] | None = None, **kwargs: Any) -> list[Run]:
        """Read the runs of every directory; see DOCUMENTATION."""
        self.set_options(var_options=variables, direct=kwargs)
        runs: list[Run] = []
        try:
            days = self.get_option("days")
            if not days > 0:
                raise InvalidOption("days", days, "a number of days above 0")
            now = moment(self.get_option("reference_time"))
            for term in terms:
                found, problems = read_runs(
                    Path(str(term)).expanduser(), before=now, since=now - dt.timedelta(days=days)
                )
                runs += found
                for problem in problems:
                    Display().warning(problem)
        except RunbookError as error:
            raise AnsibleLookupError(f"findings_history: {error.message}") from error
        return sorted(runs, key=lambda run: str(run["measured_at"]))
