# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Processes that still use files which an update has replaced, by the unit that they belong to."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.common.children import run
from ansible_collections.runbook.ops.plugins.module_utils.common.errors import RunbookError
from ansible_collections.runbook.ops.plugins.module_utils.packages.model import matches

# Where programs and libraries are. What is deleted elsewhere is the program's own affair: temporary files, caches.
_PLACES = ("/usr/", "/lib/", "/lib64/", "/bin/", "/sbin/", "/opt/")
_DELETED = " (deleted)"
_SYSTEM_UNIT = re.compile(r"/system\.slice/(?:[^/]+\.slice/)*([^/]+\.service)")
_ANY_UNIT = re.compile(r"/(init\.scope|user\.slice|machine\.slice)")
# Restarting them takes the machine's other services or sessions along, or is refused: they wait for a reboot.
NOT_RESTARTABLE = (
    *("dbus.service", "dbus-broker.service", "systemd-logind.service", "auditd.service", "user@*.service"),
    *("getty@*.service", "serial-getty@*.service", "console-getty.service", "container-getty@*.service"),
)
INIT = "init.scope"
_ASK_SECONDS = 60.0
# Why a unit runs with replaced files until the machine boots again.
_IN_USE = "cannot be restarted while the machine is in use"
_REFUSES = "refuses to be restarted by hand (RefuseManualStop, RefuseManualStart)"
STUCK = (_IN_USE, _REFUSES)


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


def refusing(units: Sequence[str]) -> frozenset[str]:
    """Those that systemd does not restart when somebody asks (RefuseManualStop, RefuseManualStart)."""
    if not units:
        return frozenset()
    properties = "--property=Id,RefuseManualStop,RefuseManualStart"
    # Without systemd there is nothing that refuses.
    with contextlib.suppress(RunbookError):
        return refused_in(run(["systemctl", "show", properties, "--", *units], seconds=_ASK_SECONDS))
    return frozenset()


def refused_in(shown: str) -> frozenset[str]:
    """The same out of what C(systemctl show) says. Pure."""
    found = set()
    for block in shown.split("\n\n"):
        values = dict(line.split("=", 1) for line in block.splitlines() if "=" in line)
        if "yes" in (values.get("RefuseManualStop"), values.get("RefuseManualStart")):
            found.add(values.get("Id", ""))
    return frozenset(found)


def why_left(unit: Optional[str], hold: Sequence[str], refused: Container[str] = ()) -> Optional[str]:
    """Why a unit is not restarted in passing; None if it can be."""
    if unit is None:
        return "belongs to no unit"
    if matches(unit, NOT_RESTARTABLE):
        return _IN_USE
    if matches(unit, hold):
        return "is on hold"
    if unit in refused:
        return _REFUSES
    return None if unit == INIT or unit.endswith(".service") else "is no service"


def stale_units(
    processes: Iterable[tuple[int, Optional[str], set[str]]],
    hold: Sequence[str],
    ask: Callable[[Sequence[str]], Container[str]] = refusing,
) -> list[dict[str, Any]]:
    """The units with their processes and files, as facts; what belongs to no unit is under the name C(null)."""
    by_unit: dict[str, tuple[list[int], set[str]]] = {}
    for pid, unit, files in processes:
        pids, seen = by_unit.setdefault(unit or "", ([], set()))
        pids.append(pid)
        seen |= files
    refused = ask([unit for unit in sorted(by_unit) if unit.endswith(".service")])
    reasons = {unit: why_left(unit or None, hold, refused) for unit in by_unit}
    return [
        {
            "unit": unit or None,
            "may_restart": reasons[unit] is None,
            "reason": reasons[unit],
            "pids": sorted(pids),
            "files": sorted(files)[:20],
            "files_count": len(files),
        }
        for unit, (pids, files) in sorted(by_unit.items())
    ]
