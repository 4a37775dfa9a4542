# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Timers of systemd, from their properties. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping

from ansible_collections.runbook.ops.plugins.module_utils.common.clock import iso
from ansible_collections.runbook.ops.plugins.module_utils.schedule.crontab import Entry, Problem
from ansible_collections.runbook.ops.plugins.module_utils.services.model import parse_timestamp

TIMER_PROPERTIES = (
    *("Id", "Unit", "ActiveState", "UnitFileState", "NextElapseUSecRealtime", "LastTriggerUSec", "Persistent"),
    *("TimersCalendar", "TimersMonotonic", "FragmentPath", "LoadState", "ConditionResult"),
    "ConditionTimestampMonotonic",
)
TRIGGERED_PROPERTIES = (
    *("Id", "LoadState", "ActiveState", "Result", "ExecMainStatus", "ExecMainExitTimestamp", "ExecStart", "User"),
    "ActiveEnterTimestamp",
)
_CALENDAR = re.compile(r"OnCalendar=(.*?) ; next_elapse")
_MONOTONIC = re.compile(r"(On\w+)=(.*?) ; next_elapse")
_ARGV = re.compile(r"argv\[\]=(.*?) ; ignore_errors")


def timer_entry(timer: Mapping[str, str], triggered: Mapping[str, str] | None) -> Entry:
    """A timer with the unit it starts."""
    name = timer.get("Id", "")
    calendar = [found.strip() for found in _CALENDAR.findall(timer.get("TimersCalendar", ""))]
    monotonic = [f"{kind}={value}" for kind, value in _MONOTONIC.findall(timer.get("TimersMonotonic", ""))]
    unit = triggered or {}
    commands = _ARGV.findall(unit.get("ExecStart", ""))
    following, last = (parse_timestamp(timer.get(key, "")) for key in ("NextElapseUSecRealtime", "LastTriggerUSec"))
    entry = Entry(name, "timer", ", ".join(calendar + monotonic), "; ".join(commands), unit.get("User", "") or "root")
    entry.name = name.rsplit(".", 1)[0]
    ended = parse_timestamp(unit.get("ExecMainExitTimestamp", ""))
    entry.facts = {
        "unit": timer.get("Unit", ""),
        "path": timer.get("FragmentPath", ""),
        "active": timer.get("ActiveState") == "active",
        "held_back": is_held_back(timer),
        "enablement": timer.get("UnitFileState", ""),
        "persistent": timer.get("Persistent") == "yes",
        "next_at": iso(following) if following else None,
        "last_at": iso(last) if last else None,
        "last_result": (unit.get("Result") or None) if last and ended else None,
        "last_status": int(unit["ExecMainStatus"]) if ended and unit.get("ExecMainStatus", "").isdigit() else None,
    }
    return entry


def is_held_back(timer: Mapping[str, str]) -> bool:
    """Whether systemd did not start it because its unit file's conditions do not hold here, as is meant."""
    looked = timer.get("ConditionTimestampMonotonic", "0")
    return looked not in ("", "0") and timer.get("ConditionResult") == "no"


def lint_timer(entry: Entry, triggered: Mapping[str, str] | None) -> list[Problem]:
    """A timer that starts nothing, is not running, or whose last run failed."""
    unit = entry.facts["unit"]
    problems = []
    if triggered is None or triggered.get("LoadState") in ("not-found", "error", "bad-setting", "masked"):
        state = (triggered or {}).get("LoadState") or "not there"
        problems.append(
            Problem("missing_unit", "error", entry.source, 0, f"it starts {unit}, which is {state}", "Write the unit.")
        )
    if entry.facts["enablement"] == "enabled" and not entry.facts["active"] and not entry.facts["held_back"]:
        problems.append(
            Problem(
                "timer_stopped", "error", entry.source, 0, "it is enabled and not running",
                f"systemctl start {entry.source}",
            )
        )  # fmt: skip
    if entry.facts["last_result"] not in (None, "success"):
        status = entry.facts["last_status"]
        problems.append(
            Problem(
                "last_run_failed", "warning", entry.source, 0,
                f"its last run ended with {entry.facts['last_result']} (status {status})",
                f"journalctl --unit={unit}",
            )
        )  # fmt: skip
    return problems
