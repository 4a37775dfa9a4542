# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is short on this machine, in a glance: memory, swap, load, the disks; and who runs in a control group."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Any

from ansible_collections.runbook.ops.plugins.module_utils.host.commandline import shown_command

_GROUPS = ("/sys/fs/cgroup", "/sys/fs/cgroup/systemd", "/sys/fs/cgroup/unified")
_MOST_PROCESSES = 30


def surroundings(places: tuple[str, ...] = ("/", "/var", "/tmp")) -> dict[str, Any]:  # noqa: S108 - looked at only
    """Memory, load and disks; null where it cannot be read."""
    memory = _memory()
    total, available = memory.get("MemTotal"), memory.get("MemAvailable")
    load = None
    with contextlib.suppress(OSError):
        load = round(os.getloadavg()[0], 2)
    return {
        "memory_available_bytes": available,
        "memory_available_percent": round(100 * available / total, 1) if total and available is not None else None,
        "swap_free_bytes": memory.get("SwapFree"),
        "load_1m": load,
        "cpu_count": os.cpu_count(),
        "disks": _disks(places),
    }


def _memory() -> dict[str, int]:
    found = {}
    with contextlib.suppress(OSError, ValueError):
        for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
            name, _separator, rest = line.partition(":")
            found[name] = int(rest.split()[0]) * 1024
    return found


def _disks(places: tuple[str, ...]) -> list[dict[str, Any]]:
    disks: dict[int, dict[str, Any]] = {}
    for place in places:
        with contextlib.suppress(OSError):
            device = Path(place).stat().st_dev
            status = os.statvfs(place)
            usable = status.f_blocks - status.f_bfree + status.f_bavail
            disks.setdefault(
                device,
                {
                    "path": place,
                    "used_percent": round(100 * (1 - status.f_bavail / usable), 1) if usable else None,
                    "free_bytes": status.f_bavail * status.f_frsize,
                    "inodes_used_percent": round(100 * (1 - status.f_favail / status.f_files), 1)
                    if status.f_files
                    else None,
                },
            )
    return list(disks.values())


def processes(control_group: str) -> list[dict[str, Any]]:
    """The processes of a unit, by its control group: what a restart ends, and with it all it could have told."""
    if not control_group:
        return []
    found: list[dict[str, Any]] = []
    for root in _GROUPS:
        listed: list[str] = []
        with contextlib.suppress(OSError):
            listed = (Path(root + control_group) / "cgroup.procs").read_text(encoding="ascii").split()
        if listed:
            found = [facts for pid in listed[:_MOST_PROCESSES] if (facts := _process(Path("/proc") / pid))]
            break
    return found


def _process(place: Path) -> dict[str, Any]:
    facts: dict[str, Any] = {}
    with contextlib.suppress(OSError):
        told = dict(
            line.split(":", 1)
            for line in (place / "status").read_text(encoding="utf-8", errors="replace").splitlines()
            if ":" in line
        )
        argv = (place / "cmdline").read_bytes().decode("utf-8", "replace").rstrip("\0").split("\0")
        size = told.get("VmRSS", "").split()
        facts = {
            "pid": int(place.name),
            "command": shown_command(argv),
            "state": told.get("State", "").strip(),
            "threads_count": int(told.get("Threads", "0")),
            "memory_bytes": int(size[0]) * 1024 if size else None,
            "open_files_count": None,
        }
        with contextlib.suppress(OSError):
            facts["open_files_count"] = len(list((place / "fd").iterdir()))
    return facts
