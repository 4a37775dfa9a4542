# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Time windows."""

from __future__ import annotations

DOCUMENTATION = r"""
name: in_window
short_description: Whether a moment lies in a time window
version_added: 0.1.0
author: The runbook.ops contributors (@runbook-ops)
description:
  - Whether a moment lies in one of several windows on the wall clock of a timezone.
  - The start belongs to a window, the end does not. A window over midnight belongs to the day it starts on.
  - When the clocks go forward, the hour left out is in no window. When they go back, both passes of the hour are.
positional: windows, timezone
options:
  _input:
    description: The moment, ISO 8601 with its timezone. Now if empty.
    type: str
    required: true
  windows:
    description: A window or a list of windows, such as V(00:00-09:00), V(Sun 02:00-06:00), V(Mon-Fri 09:00-15:30).
    type: list
    elements: str
    required: true
  timezone:
    description: The timezone of the windows, such as V(Asia/Seoul).
    type: str
    required: true
"""

EXAMPLES = r"""
- name: Refuse maintenance while the bulk registration runs
  ansible.builtin.assert:
    that: not (runbook_reference_time | runbook.ops.in_window(['00:00-09:00'], 'Asia/Seoul'))
"""

RETURN = r"""
_value:
  description: Whether it does.
  type: bool
"""

from collections.abc import Callable
from typing import Any

from ansible_collections.runbook.ops.plugins.module_utils.common import windows as clock_windows
from ansible_collections.runbook.ops.plugins.plugin_utils.filtering import filter_errors


@filter_errors
def in_window(reference_time: Any, windows: Any, timezone: str) -> bool:
    """Whether a moment lies in a window; see DOCUMENTATION."""
    return clock_windows.in_window(reference_time, windows, timezone)


class FilterModule:
    """The filter C(runbook.ops.in_window)."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """The filter by its name."""
        return {"in_window": in_window}
