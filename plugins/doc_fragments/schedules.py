# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options of the modules about schedules; module_utils/schedule/options.py says the same."""

from __future__ import annotations


class ModuleDocFragment:
    """What was agreed about times."""

    DOCUMENTATION = r"""
options:
  windows:
    description:
      - What was agreed about times. Every entry that O(windows[].match) fits is held against it, for eight days.
    type: list
    elements: dict
    default: []
    suboptions:
      match:
        description: A pattern for the name, the command or the file of entries, such as V(*backup*).
        type: str
        default: "*"
      window:
        description: Times in which they may start, such as V(Sun 02:00-06:00). Any, if empty.
        type: list
        elements: str
        default: []
      blocked_window:
        description: Times that are kept free of them. They win over O(windows[].window).
        type: list
        elements: str
        default: []
      timezone:
        description: The time zone of both.
        type: str
        default: UTC
  timeout:
    description:
      - Seconds that one question to systemd may take.
    type: float
    default: 20
  reference_time:
    description:
      - The moment that counts as now, ISO 8601 with time zone. Now, if not given.
    type: str
"""
