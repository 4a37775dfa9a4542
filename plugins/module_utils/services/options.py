# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options that modules about services have in common. The doc fragment C(services) says the same."""

from __future__ import annotations

from typing import Any

DEPENDENCY = {
    "name": {"type": "str", "required": True},
    "host": {"type": "str", "default": "127.0.0.1"},
    "port": {"type": "int"},
    "url": {"type": "str"},
    "expected_status": {"type": "list", "elements": "int", "default": [200]},
    "unit": {"type": "str"},
    "project": {"type": "str"},
    "service": {"type": "str"},
}


def service_argument_spec() -> dict[str, dict[str, Any]]:
    """How systemd, Docker and dependencies are asked."""
    return {
        "docker": {"type": "list", "elements": "str", "default": ["docker"]},
        "timeout": {"type": "float", "default": 20},
        "dependencies": {"type": "list", "elements": "dict", "default": [], "options": DEPENDENCY},
    }
