# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How much directories take: C(du) on one file system, within limits, and what C(du) cannot see."""

from __future__ import annotations

import heapq
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.common.clock import iso_of
from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption
from ansible_collections.runbook.ops.plugins.module_utils.disk.walk import Limits, Walk


def measure_root(root: str, limits: Limits, *, depth: int, top: int, min_file_bytes: int) -> dict[str, Any]:
    """Sizes of a root and of the directories below it to a depth, largest first, and its largest files.

    C(is_complete) false means that the figures are less than there is: a limit was reached, or something could not be
    read.
    """
    sizes: dict[tuple[str, ...], list[int]] = {}
    largest: list[tuple[int, str, float]] = []
    walk = Walk(root, limits)
    files = 0
    for found in walk:
        place = found.parts[:-1] if found.parts and not found.is_directory else found.parts
        for length in range(min(len(place), depth) + 1):
            total = sizes.setdefault(place[:length], [0, 0, 0])
            total[0] += found.allocated_bytes
            total[1] += found.status.st_size if found.is_file else 0
            total[2] += found.is_file
        if found.is_file:
            files += 1
            if found.allocated_bytes >= min_file_bytes:
                entry = (found.allocated_bytes, found.path, found.status.st_mtime)
                (heapq.heappush if len(largest) < top else heapq.heappushpop)(largest, entry)
    whole = sizes.pop((), [0, 0, 0])
    order = sorted(sizes.items(), key=lambda item: (-item[1][0], item[0]))
    return {
        "path": root,
        "bytes": whole[0],
        "apparent_bytes": whole[1],
        "files_count": files,
        "directories": [
            {"path": str(Path(root, *parts)), "bytes": total[0], "apparent_bytes": total[1], "files_count": total[2]}
            for parts, total in order[:top]
        ],
        "directories_count": len(sizes),
        "large_files": [
            {"path": path, "bytes": size, "modified_at": iso_of(modified)}
            for size, path, modified in sorted(largest, reverse=True)
        ],
        "other_file_systems": sorted(walk.other_file_systems)[:100],
        "unreadable": walk.unreadable[:20],
        "unreadable_count": len(walk.unreadable),
        "is_complete": limits.reached is None and not walk.unreadable,
        "reason": _why(limits, walk),
    }


def _why(limits: Limits, walk: Walk) -> Optional[str]:
    if limits.reached:
        return limits.reached
    return f"{len(walk.unreadable)} directories could not be read" if walk.unreadable else None


def deleted_files(proc: Path, min_bytes: int, top: int) -> tuple[list[dict[str, Any]], int, bool]:
    """Files that have no name any more and are still open, largest first; their bytes; and whether all could be seen.

    They take room that no directory shows, until the process closes them.
    """
    found: dict[tuple[int, int], dict[str, Any]] = {}
    complete = True
    for name in sorted((each for each in os.listdir(proc) if each.isdigit()), key=int):  # noqa: PTH208 - names only
        place = proc / name / "fd"
        try:
            descriptors = os.listdir(place)  # noqa: PTH208 - names only
        except PermissionError:
            complete = False
            continue
        except OSError:
            continue
        for descriptor in descriptors:
            entry = _deleted(place / descriptor)
            if entry is None:
                continue
            identity, path, size = entry
            told = found.setdefault(identity, {"path": path, "bytes": size, "processes": []})
            if not any(each["pid"] == int(name) for each in told["processes"]):
                told["processes"].append({"pid": int(name), "name": _name(proc / name), "descriptor": int(descriptor)})
    large = sorted(
        (each for each in found.values() if each["bytes"] >= min_bytes), key=lambda each: (-each["bytes"], each["path"])
    )
    return large[:top], sum(each["bytes"] for each in found.values()), complete


def _deleted(link: Path) -> Optional[tuple[tuple[int, int], str, int]]:
    try:
        target = os.readlink(link)  # noqa: PTH115 - the text of a link into the kernel
        if not target.endswith(" (deleted)") or not target.startswith("/"):
            return None
        # What the link leads to is there, although its name is gone.
        status = link.stat()
    except OSError:
        return None
    # Shared memory and anonymous files live in memory, not on a disk.
    if status.st_nlink or not status.st_blocks or target.startswith(("/memfd:", "/dev/shm/", "/dev/zero", "/SYSV")):  # noqa: S108 - a prefix to leave out
        return None
    return (status.st_dev, status.st_ino), target[: -len(" (deleted)")], status.st_blocks * 512


def _name(place: Path) -> str:
    try:
        return (place / "comm").read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""


def checked(options: Mapping[str, Any]) -> Mapping[str, Any]:
    """The options, which types alone do not check; raises InvalidOption."""
    for name, least, most in (("depth", 0, 10), ("top", 1, 1000), ("min_file_bytes", 0, 1 << 62)):
        if not least <= options[name] <= most:
            raise InvalidOption(name, options[name], f"a number from {least} to {most}")
    if options["max_entries"] < 1 or options["timeout"] <= 0:
        name = "timeout" if options["timeout"] <= 0 else "max_entries"
        raise InvalidOption(name, options[name], "a number above 0")
    if not options["roots"] or not all(Path(root).is_absolute() for root in options["roots"]):
        raise InvalidOption("roots", options["roots"], "absolute paths of directories")
    return options


def usage_report(options: Mapping[str, Any], proc: Path = Path("/proc")) -> dict[str, Any]:
    """Everything that M(runbook.ops.disk_usage_info) tells; one time limit for all roots together."""
    limits = Limits(options["max_entries"], options["timeout"])
    measured, skipped = [], []
    for root in options["roots"]:
        try:
            measured.append(
                measure_root(
                    root, limits, depth=options["depth"], top=options["top"], min_file_bytes=options["min_file_bytes"]
                )
            )
        except OSError as error:
            reason = f"{root}: {error.strerror}"
            skipped.append({"section": "roots", "reason": reason, "remedy": "Correct the path, or run it with become."})
            continue
        if not measured[-1]["is_complete"]:
            reached = limits.reached is not None
            remedy = "Raise max_entries or timeout, or name a root further down." if reached else "Run it with become."
            skipped.append({"section": "roots", "reason": f"{root}: {measured[-1]['reason']}", "remedy": remedy})
    deleted, total, complete = deleted_files(proc, options["min_file_bytes"], options["top"])
    if not complete:
        skipped.append(
            {
                "section": "deleted_open",
                "reason": "processes of other users could not be looked into",
                "remedy": "Run the task with become.",
            }
        )
    return {
        "roots": measured,
        "deleted_open": deleted,
        "deleted_open_bytes": total if complete else None,
        "skipped_sections": skipped,
    }
