# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""systemd's units by C(systemctl show): failed ones, those that restart in a loop, and their memory. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.host.kernel import percent

PROPERTIES = (
    *("Id", "Description", "LoadState", "ActiveState", "SubState", "UnitFileState", "Result", "NRestarts", "MainPID"),
    *("ExecMainCode", "ExecMainStatus", "MemoryCurrent", "MemoryMax", "MemoryLimit", "TasksCurrent"),
    *("ActiveEnterTimestampMonotonic", "InactiveEnterTimestampMonotonic", "StateChangeTimestampMonotonic"),
    *("NeedDaemonReload", "Type"),
)
# "infinity" and "[not set]" of older versions: the largest numbers there are.
_UNLIMITED = 1 << 62
_LOOPING_RESTARTS = 3
_LOOPING_SECONDS = 600.0


def show_command(extra: Sequence[str] = ()) -> list[str]:
    """All units in memory, and the named ones even if they are not."""
    return ["systemctl", "show", "--no-pager", f"--property={','.join(PROPERTIES)}", "--", "*", *extra]


def read_units(text: str) -> dict[str, dict[str, str]]:
    """The properties of each unit by its name."""
    found: dict[str, dict[str, str]] = {}
    for block in text.split("\n\n"):
        properties = dict(line.split("=", 1) for line in block.splitlines() if "=" in line)
        if properties.get("Id"):
            found[properties["Id"]] = properties
    return found


def unit_facts(
    units: Mapping[str, Mapping[str, str]], uptime: Optional[float], expected: Sequence[str]
) -> dict[str, Any]:
    """What is wrong with units, and which are the largest."""
    told = {name: _unit(name, properties, uptime) for name, properties in units.items()}
    services = [each for each in told.values() if each["name"].endswith(".service")]
    return {
        "total_count": len(told),
        "failed": [each for each in told.values() if each["active_state"] == "failed"],
        "restarting": [each for each in services if each["is_restarting"]],
        "restarted": sorted(
            (each for each in services if each["restarts_count"]), key=lambda each: -int(each["restarts_count"])
        )[:10],
        "changed_on_disk": [name for name, properties in units.items() if properties.get("NeedDaemonReload") == "yes"],
        "memory": sorted(
            (each for each in services if each["memory_bytes"]), key=lambda each: -int(each["memory_bytes"])
        )[:10],
        "expected": list(_expected(told, expected)),
    }


def _unit(name: str, properties: Mapping[str, str], uptime: Optional[float]) -> dict[str, Any]:
    restarts = _number(properties, "NRestarts")
    limit = _number(properties, "MemoryMax")
    if limit is None:
        limit = _number(properties, "MemoryLimit")
    used = _number(properties, "MemoryCurrent")
    changed = _number(properties, "StateChangeTimestampMonotonic")
    ago = None if uptime is None or not changed else max(round(uptime - changed / 1e6, 1), 0.0)
    waits = properties.get("SubState") == "auto-restart"
    return {
        "name": name,
        "description": properties.get("Description", ""),
        "load_state": properties.get("LoadState", ""),
        "active_state": properties.get("ActiveState", ""),
        "sub_state": properties.get("SubState", ""),
        "enabled": properties.get("UnitFileState", ""),
        "result": properties.get("Result", ""),
        "exit_status": _number(properties, "ExecMainStatus"),
        "main_pid": _number(properties, "MainPID") or None,
        "restarts_count": restarts,
        "state_age_seconds": ago,
        # Started again by itself several times, and a moment ago: it will not stay.
        "is_restarting": waits
        or bool(restarts and restarts >= _LOOPING_RESTARTS and ago is not None and ago < _LOOPING_SECONDS),
        "memory_bytes": used,
        "memory_limit_bytes": limit,
        "memory_used_percent": percent(used, limit),
    }


def _expected(told: Mapping[str, Mapping[str, Any]], names: Sequence[str]) -> Iterator[dict[str, Any]]:
    for name in names:
        full = full_name(name)
        unit = told.get(full)
        state = unit["active_state"] if unit else "unknown"
        yield {
            "name": full,
            "load_state": unit["load_state"] if unit else "not-found",
            "active_state": state,
            "enabled": unit["enabled"] if unit else "",
            "is_active": state in ("active", "reloading"),
        }


def full_name(name: str) -> str:
    """A unit's name with its kind."""
    return name if "." in name else f"{name}.service"


def _number(properties: Mapping[str, str], key: str) -> Optional[int]:
    text = properties.get(key, "")
    if not text.isdigit():
        return None
    number = int(text)
    return None if number >= _UNLIMITED else number
