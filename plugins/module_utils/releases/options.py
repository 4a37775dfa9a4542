# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options that say where an application's releases are, once. The doc fragment C(releases) says the same."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def layout_argument_spec() -> dict[str, dict[str, Any]]:
    """The argument spec of the layout."""
    return {
        "path": {"type": "path", "required": True},
        "current_name": {"type": "str", "default": "current"},
        "releases_name": {"type": "str", "default": "releases"},
        "shared_name": {"type": "str", "default": "shared"},
    }


def hidden_values(secrets: Mapping[str, Any]) -> set[str]:
    """The values that Ansible hides in everything the module says; short ones would hide half of every word."""
    return {str(value) for value in secrets.values() if len(str(value)) > 3}
