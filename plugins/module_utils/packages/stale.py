# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Processes that still use files which an update has replaced, by the unit that they belong to."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.packages.model import matches

# Where programs and libraries are. What is deleted elsewhere is the program's own affair: temporary files, caches.
_PLACES = ("/usr/", "/lib/", "/lib64/", "/bin/", "/sbin/", "/opt/")
_DELETED = " (deleted)"
_SYSTEM_UNIT = re.compile(r"/system\.slice/(?:[^/]+\.slice/)*([^/]+\.service)")
_ANY_UNIT = re.compile(r"/(init\.scope|user\.slice|machine\.slice)")
# Restarting them takes the machine's other services along: they wait for a reboot.
NOT_RESTARTABLE = ("dbus.service", "dbus-broker.service", "systemd-logind.service", "getty@*.service", "user@*.service")
INIT = "init.scope"


def replaced_files(maps: Iterable[str]) -> set[str]:
    """The files of programs and libraries in C(/proc/PID/maps) that are not there any more."""
    found = set()
    for line in map(str.rstrip, maps):
        if line.endswith(_DELETED):
            fields = line[: -len(_DELETED)].split(None, 5)
            if len(fields) == 6 and fields[5].startswith(_PLACES):
                found.add(fields[5])
    return found


def unit_of(cgroup: str) -> Optional[str]:
    """The unit out of C(/proc/PID/cgroup); C(user.slice) for sessions of people. None is no unit."""
    for line in cgroup.splitlines():
        _number, controllers, path = [*line.split(":", 2), "", ""][:3]
        if controllers not in ("", "name=systemd"):
            continue
        if match := _SYSTEM_UNIT.search(path) or _ANY_UNIT.search(path):
            return match[1]
    return None


def stale_processes(proc: Path = Path("/proc")) -> Iterator[tuple[int, Optional[str], set[str]]]:
    """Every process of this machine's own files that uses replaced ones: its number, its unit, the files.

    A process in a container has a root of its own, whose files no update of this machine has replaced.
    """
    own_root = Path("/").stat()
    for entry in proc.iterdir():
        if not entry.name.isdigit():
            continue
        # It may have ended meanwhile.
        with contextlib.suppress(OSError):
            with (entry / "maps").open(encoding="utf-8", errors="replace") as maps:
                files = replaced_files(maps)
            root = (entry / "root").stat()
            if files and (root.st_dev, root.st_ino) == (own_root.st_dev, own_root.st_ino):
                yield int(entry.name), unit_of((entry / "cgroup").read_text(encoding="utf-8")), files


def may_restart(unit: Optional[str], hold: Sequence[str]) -> bool:
    """Whether a unit can be restarted in passing."""
    if unit is None or matches(unit, [*NOT_RESTARTABLE, *hold]):
        return False
    return unit == INIT or unit.endswith(".service")


def stale_units(processes: Iterable[tuple[int, Optional[str], set[str]]], hold: Sequence[str]) -> list[dict[str, Any]]:
    """The units with their processes and files, as facts; what belongs to no unit is under the name C(null)."""
    by_unit: dict[str, tuple[list[int], set[str]]] = {}
    for pid, unit, files in processes:
        pids, seen = by_unit.setdefault(unit or "", ([], set()))
        pids.append(pid)
        seen |= files
    return [
        {
            "unit": unit or None,
            "may_restart": may_restart(unit or None, hold),
            "pids": sorted(pids),
            "files": sorted(files)[:20],
            "files_count": len(files),
        }
        for unit, (pids, files) in sorted(by_unit.items())
    ]
