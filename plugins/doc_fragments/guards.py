# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The guards of changing modules; module_utils/common/guards.py says the same."""

from __future__ import annotations


class ModuleDocFragment:
    """When something is changed, and what a refusal means."""

    DOCUMENTATION = r"""
options:
  window:
    description:
      - Times in which changes are allowed, such as V(Sun 02:00-06:00) or V(Mon-Fri 22:00-02:00), on the wall clock of
        O(timezone). Any time, if empty.
    type: list
    elements: str
    default: []
  blocked_window:
    description:
      - Times in which nothing is changed, in the same notation. They win over O(window).
    type: list
    elements: str
    default: []
  timezone:
    description:
      - The time zone of O(window) and O(blocked_window), such as V(Asia/Seoul).
    type: str
    default: UTC
  reference_time:
    description:
      - The moment that counts as now for windows and ages, ISO 8601 with time zone. Now, if not given.
    type: str
  on_refusal:
    description:
      - What happens when something that is due was refused. With V(fail) the task fails after everything else is done,
        and the failure carries the whole result.
      - With V(report) it succeeds, and RV(refused) is for the caller to judge.
    type: str
    choices: [fail, report]
    default: fail
  progress_path:
    description:
      - File that the module keeps up to date with where it is. The collection's action sets it, in order to print
        progress; there is no need to set it by hand.
    type: path
notes:
  - The run can be interrupted at any time. What was done stays consistent; running the task again goes on from there.
"""

    # Of modules that read dates in the names of backups, too.
    DATED = r"""
options:
  timezone:
    description:
      - The time zone of dates in names, and of O(window) and O(blocked_window), as IANA calls it, such as
        V(Asia/Seoul).
    type: str
    default: UTC
"""
