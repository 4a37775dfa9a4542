# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Everything that is started by the clock on this machine, and what is wrong with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ansible_collections.runbook.ops.plugins.module_utils.common.clock import iso, reference_moment
from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption
from ansible_collections.runbook.ops.plugins.module_utils.common.redaction import redact_text
from ansible_collections.runbook.ops.plugins.module_utils.common.timezones import timezone
from ansible_collections.runbook.ops.plugins.module_utils.common.windows import parse_window
from ansible_collections.runbook.ops.plugins.module_utils.schedule.crontab import Entry
from ansible_collections.runbook.ops.plugins.module_utils.schedule.lint import (
    clock_notes,
    leaves_to_systemd,
    lint_collisions,
    lint_duplicates,
    lint_windows,
    matches,
)
from ansible_collections.runbook.ops.plugins.module_utils.schedule.machine import (
    cron_is_running,
    machine_zone,
    next_start,
    read_machine,
)
from ansible_collections.runbook.ops.plugins.module_utils.services.survey import check_seconds

LEVELS = ("error", "warning", "notice")


def check_windows(windows: list[Mapping[str, Any]]) -> None:
    """Refuse windows that cannot be read; raises InvalidOption."""
    for position, each in enumerate(windows):
        timezone(each.get("timezone") or "UTC")
        given = [*(each.get("window") or []), *(each.get("blocked_window") or [])]
        if not given:
            raise InvalidOption(f"windows[{position}]", "nothing", "a window or a blocked_window")
        for text in given:
            parse_window(text)


def measure_schedule(params: Mapping[str, Any]) -> dict[str, Any]:
    """Everything C(schedule_info) returns; raises InvalidOption."""
    check_windows(params["windows"])
    now = reference_moment(params["reference_time"])
    zone_name, zone = machine_zone()
    found = read_machine(check_seconds(params["timeout"]))
    local = now.astimezone(zone)
    alive = [each for each in found.entries if not each.is_refused]
    problems = [
        *found.problems,
        # A timer that is switched off starts nothing twice; a line that is refused does as soon as it is corrected.
        *lint_duplicates([each for each in found.entries if each.facts.get("active", True)]),
        *lint_collisions(alive, local),
        *lint_windows(found.entries, params["windows"], local, zone),
    ]
    problems.sort(key=lambda each: (LEVELS.index(each.level), each.source, each.line, each.code))
    running = cron_is_running()
    return {
        "available": True,
        "reason": None,
        "measured_at": iso(now),
        "timezone": zone_name,
        "cron_running": running,
        "entries": [_entry(each, now, zone) for each in found.entries],
        "problems": [each.as_dict() for each in problems],
        "cron_entries_count": sum(each.kind == "cron" and not _is_of_systemd(each) for each in found.entries),
        "expected": [_expected(pattern, alive) for pattern in params["expected"]],
        "problems_count": {level: sum(each.level == level for each in problems) for level in LEVELS},
        "notes": clock_notes(alive, local, zone),
        "skipped_sections": found.skipped,
    }


def _is_of_systemd(entry: Entry) -> bool:
    return leaves_to_systemd(entry.command) and Path("/run/systemd/system").is_dir()


def _expected(pattern: str, entries: Sequence[Entry]) -> dict[str, Any]:
    found = [each.object for each in entries if matches(each, pattern) and each.facts.get("active", True)]
    return {"match": pattern, "found": bool(found), "objects": found}


def _entry(entry: Entry, now: Any, zone: Any) -> dict[str, Any]:
    following = next_start(entry, now, zone)
    timer = entry.facts
    return {
        "object": entry.object,
        "source": entry.source,
        "line": entry.line or None,
        "kind": entry.kind,
        "name": entry.name,
        "set": entry.set,
        "schedule": entry.schedule,
        "user": entry.user,
        "command": redact_text(entry.command),
        "refused": entry.is_refused,
        "mail_to": entry.environment.get("MAILTO"),
        "next_at": timer.get("next_at") if timer else iso(following) if following else None,
        "last_at": timer.get("last_at"),
        "last_result": timer.get("last_result"),
        "last_status": timer.get("last_status"),
        "active": timer.get("active") if timer else not entry.is_refused,
        "enablement": timer.get("enablement", ""),
        "unit": timer.get("unit", ""),
    }
