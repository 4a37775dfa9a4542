# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options that modules about schedules have in common. The doc fragment C(schedules) says the same."""

from __future__ import annotations

from typing import Any

WINDOW = {
    "match": {"type": "str", "default": "*"},
    "window": {"type": "list", "elements": "str", "default": []},
    "blocked_window": {"type": "list", "elements": "str", "default": []},
    "timezone": {"type": "str", "default": "UTC"},
}


def schedule_argument_spec() -> dict[str, dict[str, Any]]:
    """What was agreed about times, and how systemd is asked."""
    return {
        "windows": {"type": "list", "elements": "dict", "default": [], "options": WINDOW},
        "timeout": {"type": "float", "default": 20},
        "reference_time": {"type": "str"},
    }
