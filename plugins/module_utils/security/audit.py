# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""All sections of an audit in one result."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ansible_collections.runbook.ops.plugins.module_utils.common.durations import parse_seconds
from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption
from ansible_collections.runbook.ops.plugins.module_utils.security import logins, surroundings
from ansible_collections.runbook.ops.plugins.module_utils.security.machine import Machine
from ansible_collections.runbook.ops.plugins.module_utils.security.services import check_logins
from ansible_collections.runbook.ops.plugins.module_utils.security.skipping import Skipped

SECTIONS: dict[str, Callable[[Machine], dict[str, Any]]] = {
    "ssh": logins.ssh,
    "sudo": logins.sudo,
    "accounts": logins.accounts,
    "logins": logins.failed_logins,
    "listening": surroundings.listening,
    "updates": surroundings.updates,
    "secrets": surroundings.secrets,
    "files": surroundings.files,
    "kernel": surroundings.kernel,
}


def audit(options: Mapping[str, Any]) -> dict[str, Any]:
    """Measure the sections that are asked for; raises InvalidOption before anything is looked at."""
    check_logins(options["default_logins"])
    for name in ("top", "max_files", "timeout"):
        if options[name] < 1:
            raise InvalidOption(name, options[name], "1 or more")
    parse_seconds(options["logins_since"], "logins_since")
    machine = Machine(options)
    found: dict[str, Any] = {}
    skipped: list[dict[str, str]] = []
    for name in options["sections"]:
        try:
            found[name] = SECTIONS[name](machine)
        except Skipped as why:
            found[name] = None
            skipped.append({"section": name, "reason": why.reason, "remedy": why.remedy})
    available = any(each is not None for each in found.values())
    return {
        "available": available,
        "reason": None if available else "; ".join(each["reason"] for each in skipped) or "no section was asked for",
        "skipped_sections": skipped + [gap.as_dict() for gap in machine.gaps],
        "security": found,
    }
