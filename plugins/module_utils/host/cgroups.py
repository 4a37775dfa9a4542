# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Control groups of both versions: memory limits, and who was killed within them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.host.kernel import percent, read_counters

_MOST_GROUPS = 5000
# cgroup v1 says "no limit" with the largest number of pages.
_UNLIMITED = 1 << 60


def memory_root(mount: Path, membership: str) -> Optional[tuple[Path, int]]:
    """The directory of the first process's own group for memory, and the version; None where there is none.

    Args:
        mount: C(/sys/fs/cgroup).
        membership: C(/proc/1/cgroup). In a container without a namespace of its own the mount shows the whole machine,
            and only what lies below this group is ours.

    """
    for line in membership.splitlines():
        parts = line.split(":", 2)
        if len(parts) == 3 and "memory" in parts[1].split(","):
            return _existing(mount / "memory", parts[2], "memory.usage_in_bytes", 1)
    for line in membership.splitlines():
        if line.startswith("0::"):
            return _existing(mount, line[3:], "cgroup.controllers", 2)
    return None


def _existing(base: Path, path: str, proof: str, version: int) -> Optional[tuple[Path, int]]:
    # systemd puts itself into a group beside those of its units.
    below = path[: -len("/init.scope")] if path.endswith("/init.scope") else path
    for place in (base / below.strip("/"), base):
        if (place / proof).exists():
            return place, version
    return None


def limit_facts(place: Path, version: int) -> dict[str, Any]:
    """The limit of a group and what is used of it; null without a limit."""
    names = ("memory.max", "memory.current") if version == 2 else ("memory.limit_in_bytes", "memory.usage_in_bytes")
    limit, used = (_number(place / name) for name in names)
    if limit is not None and limit >= _UNLIMITED:
        limit = None
    return {"limit_bytes": limit, "limit_used_bytes": used, "limit_used_percent": percent(used, limit)}


def killed_groups(place: Path, version: int) -> list[dict[str, Any]]:
    """The groups that still exist and in which processes were killed because their limit was reached."""
    # memory.events counts those of the groups below as well; memory.events.local, from Linux 5.2 on, does not.
    names = ("memory.events.local", "memory.events") if version == 2 else ("memory.oom_control",)
    found = []
    for group in _groups(place):
        for name in names:
            try:
                counters = read_counters((group / name).read_text(encoding="utf-8"))
            except OSError:
                continue
            count = counters.get("oom_kill", 0)
            if count:
                told = str(group.relative_to(place))
                found.append(
                    {"group": told, "unit": _unit(told), "oom_kills_count": count, **limit_facts(group, version)}
                )
            break
    return found


def _groups(place: Path) -> Iterator[Path]:
    for seen, (directory, _names, _files) in enumerate(os.walk(place)):
        if seen >= _MOST_GROUPS:
            return
        yield Path(directory)


def _unit(path: str) -> str:
    names = [part for part in path.split("/") if part.endswith((".service", ".scope"))]
    return names[-1] if names else ""


def _number(path: Path) -> Optional[int]:
    try:
        text = path.read_text(encoding="utf-8").strip()
    except OSError:
        return None
    return int(text) if text.isdigit() else None
