# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Everything about services in one look."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.runbook.ops.plugins.module_utils.common.clock import iso, utc_now
from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption
from ansible_collections.runbook.ops.plugins.module_utils.services.client import Machine
from ansible_collections.runbook.ops.plugins.module_utils.services.dependencies import (
    check_dependencies,
    look_at_dependencies,
)
from ansible_collections.runbook.ops.plugins.module_utils.services.model import COMPOSE, services_from
from ansible_collections.runbook.ops.plugins.module_utils.services.surroundings import surroundings

MOST_LINES = 1000


def measure_services(params: Mapping[str, Any]) -> dict[str, Any]:
    """Everything C(service_info) returns; raises InvalidOption before anything is asked."""
    services = services_from(params["services"])
    check_dependencies(params["dependencies"])
    if not 0 <= params["log_lines"] <= MOST_LINES:
        raise InvalidOption("log_lines", params["log_lines"], f"0 to {MOST_LINES}")
    machine = Machine(seconds=check_seconds(params["timeout"]), docker=params["docker"], lines=params["log_lines"])
    now = utc_now()
    facts = machine.look(services, now)
    unknown = [each for each in facts if each["exists"] is None]
    return {
        "available": len(unknown) < len(facts) or not facts,
        "reason": unknown[0]["reason"] if facts and len(unknown) == len(facts) else None,
        "measured_at": iso(now),
        "services": facts,
        "dependencies": look_at_dependencies(params["dependencies"], machine, seconds=params["timeout"]),
        "machine": surroundings(),
        "skipped_sections": [
            {"section": f"services.{each['label']}", "reason": each["reason"], "remedy": _remedy(each["kind"])}
            for each in unknown
        ],
    }


def check_seconds(seconds: float) -> float:
    """A timeout that makes sense; raises InvalidOption."""
    if not 0 < seconds <= 600:
        raise InvalidOption("timeout", seconds, "seconds above 0 and up to 600")
    return seconds


def _remedy(kind: str) -> str:
    if kind == COMPOSE:
        return "Start Docker, and let the login use it (become, or the group docker)."
    return "Ask a machine whose first process is systemd."
