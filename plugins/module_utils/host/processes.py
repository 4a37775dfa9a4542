# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Processes by /proc: the large, the busy, the dead and the stuck. Reading is apart from choosing."""

from __future__ import annotations

import os
import pwd
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.host.commandline import shown_command

_UNIT = re.compile(r"^[\w@.:\\-]+\.(?:service|scope|socket|mount|slice)$")


@dataclass(frozen=True)
class Process:
    """One process: ticks of processor time, start in ticks after boot, resident bytes."""

    pid: int
    parent: int
    name: str
    state: str
    ticks: int
    started: int
    resident_bytes: int
    argv: tuple[str, ...] = ()
    unit: str = ""
    user: str = ""
    wchan: str = ""


def read_process(text: str, page_bytes: int) -> Process:
    """/proc/<pid>/stat. The name stands in brackets and may hold blanks and brackets itself."""
    head, _separator, tail = text.rpartition(")")
    pid, _separator, name = head.partition(" (")
    words = tail.split()
    return Process(
        pid=int(pid),
        parent=int(words[1]),
        name=name,
        state=words[0],
        ticks=int(words[11]) + int(words[12]),
        started=int(words[19]),
        resident_bytes=int(words[21]) * page_bytes,
    )


def unit_of(cgroup: str) -> str:
    """The systemd unit in /proc/<pid>/cgroup, of both versions; empty outside of any.

    The innermost service counts: a service in a user's session is his own.
    """
    paths = {controller: path for _number, controller, path in _cgroup_lines(cgroup)}
    path = paths.get("name=systemd") or paths.get("") or ""
    units = [part for part in path.split("/") if _UNIT.fullmatch(part)]
    services = [part for part in units if part.endswith(".service")]
    others = [part for part in units if not part.endswith((".slice", ".service"))]
    return (services or others or [""])[-1]


def _cgroup_lines(text: str) -> list[tuple[str, str, str]]:
    found = []
    for line in text.splitlines():
        parts = line.split(":", 2)
        if len(parts) == 3:
            found.append((parts[0], parts[1], parts[2]))
    return found


def all_processes(proc: Path, page_bytes: int) -> dict[int, Process]:
    """Every process that is there now. One that ends while it is read is left out."""
    found: dict[int, Process] = {}
    try:
        names = os.listdir(proc)  # noqa: PTH208 - thousands of names, of which no path is needed
    except OSError:
        return found
    for name in names:
        if name.isdigit():
            text = _read(proc / name / "stat")
            if text:
                found[int(name)] = read_process(text, page_bytes)
    return found


def described(process: Process, proc: Path) -> Process:
    """The process with what takes more reading: its words, unit, user, and where in the kernel it waits."""
    place = proc / str(process.pid)
    words = tuple(word for word in (_read(place / "cmdline") or "").split("\0") if word)
    try:
        user = _user(place.stat().st_uid)
    except OSError:
        user = ""
    return Process(
        **{
            **process.__dict__,
            "argv": words,
            "unit": unit_of(_read(place / "cgroup") or ""),
            "user": user,
            "wchan": (_read(place / "wchan") or "").strip("0\n "),
        }
    )


def cpu_percents(first: Mapping[int, Process], second: Mapping[int, Process], ticks: float) -> dict[int, float]:
    """Percent of one processor by pid, of those that lived through the sample."""
    shares = {}
    for pid, after in second.items():
        before = first.get(pid)
        if before is not None and before.started == after.started and ticks > 0:
            shares[pid] = round(100 * max(after.ticks - before.ticks, 0) / ticks, 1)
    return shares


def top_of(
    processes: Mapping[int, Process], key: Mapping[int, float], count: int, proc: Path, total: Optional[int], hertz: int
) -> list[dict[str, Any]]:
    """The entries of the processes with the largest numbers, described."""
    chosen = sorted(key, key=lambda pid: (-key[pid], pid))[:count]
    uptime = _uptime(proc)
    return [entry(described(processes[pid], proc), total, uptime, hertz) for pid in chosen if key[pid] > 0]


def entry(process: Process, total: Optional[int], uptime: Optional[float], hertz: int) -> dict[str, Any]:
    """What is told of a process."""
    age = None if uptime is None or not hertz else max(round(uptime - process.started / hertz), 0)
    return {
        "pid": process.pid,
        "parent_pid": process.parent,
        "name": process.name,
        "state": process.state,
        "user": process.user,
        "unit": process.unit,
        "resident_bytes": process.resident_bytes,
        "memory_percent": round(100 * process.resident_bytes / total, 1) if total else None,
        "age_seconds": age,
        "waits_in": process.wchan,
        "command": shown_command(process.argv) or f"[{process.name}]",
    }


def states(processes: Mapping[int, Process]) -> dict[str, int]:
    """How many processes there are in each state of interest."""
    letters = [each.state for each in processes.values()]
    return {
        "total_count": len(letters),
        "running_count": letters.count("R"),
        "zombie_count": letters.count("Z"),
        "uninterruptible_count": letters.count("D"),
        "stopped_count": letters.count("T"),
    }


def count_matching(commands: Sequence[str], wanted: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """How many command lines match each declared pattern, and whether that is within what is declared."""
    counted = []
    for each in wanted:
        pattern = re.compile(each["pattern"])
        found = sum(1 for command in commands if pattern.search(command))
        most = each.get("max")
        counted.append(
            {
                "name": each["name"],
                "pattern": each["pattern"],
                "found_count": found,
                "min_count": each["min"],
                "max_count": most,
                "is_met": found >= each["min"] and (most is None or found <= most),
            }
        )
    return counted


def commands_of(processes: Mapping[int, Process], proc: Path, own: int) -> list[str]:
    """The full command lines of all processes but this one and dead ones; never shown, only searched."""
    lines = []
    for pid, process in processes.items():
        if pid == own or process.state == "Z":
            continue
        words = (_read(proc / str(pid) / "cmdline") or "").replace("\0", " ").strip()
        lines.append(words or process.name)
    return lines


def _uptime(proc: Path) -> Optional[float]:
    text = _read(proc / "uptime")
    return float(text.split()[0]) if text else None


def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _read(path: Path) -> Optional[str]:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
