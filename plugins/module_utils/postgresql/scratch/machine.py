# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How much memory and how many processors a server may use here: the system's figures and the control group's."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

_UNKNOWN_BYTES = 512 * 1024 * 1024


def available_bytes(root: Path = Path("/")) -> int:
    """The memory that may still be used: the least of what the system and the control group leave.

    Sources: C(MemAvailable) in proc(5); C(memory.max) and C(memory.current) of cgroup v2, the C(_in_bytes) files of v1.
    C(root) is where C(proc) and C(sys) are.
    """
    figures = [_of_system(root), *_of_groups(root)]
    known = [figure for figure in figures if figure is not None]
    return max(0, min(known)) if known else _UNKNOWN_BYTES


def processors(root: Path = Path("/")) -> int:
    """The processors that may be used: those this process may run on, less when the control group gives less time."""
    count = len(os.sched_getaffinity(0))
    for group in _groups(root):
        with contextlib.suppress(OSError, ValueError):
            quota, period = (group / "cpu.max").read_text(encoding="utf-8").split()
            if quota != "max":
                count = min(count, max(1, round(int(quota) / int(period))))
    return max(1, count)


def _of_system(root: Path) -> int | None:
    with contextlib.suppress(OSError, ValueError, IndexError):
        for line in (root / "proc/meminfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    return None


def _of_groups(root: Path) -> list[int]:
    found = []
    for group in _groups(root):
        for limit, used in (("memory.max", "memory.current"), ("memory.limit_in_bytes", "memory.usage_in_bytes")):
            with contextlib.suppress(OSError, ValueError):
                found.append(_number(group / limit) - _number(group / used))
    return found


def _groups(root: Path) -> list[Path]:
    """The directories of this process's control groups and of all above them."""
    base = root / "sys/fs/cgroup"
    found = []
    with contextlib.suppress(OSError):
        for line in (root / "proc/self/cgroup").read_text(encoding="utf-8").splitlines():
            _number_of_hierarchy, controllers, path = line.split(":", 2)
            if not controllers:
                tops = [base, base / "unified"]
            else:
                tops = [base / controllers] if {"memory", "cpu"} & set(controllers.split(",")) else []
            for top in tops:
                group = top / path.lstrip("/")
                found += [each for each in (group, *group.parents) if each == top or top in each.parents]
    return [group for group in found if group.is_dir()]


def _number(path: Path) -> int:
    return int(path.read_text(encoding="utf-8"))  # "max" is no number: then there is no limit.
