# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether there is room: on disks for files, in memory for the snapshot's child and for the scratch server."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

from ansible_collections.runbook.ops.plugins.module_utils.common.outcome import Refused
from ansible_collections.runbook.ops.plugins.module_utils.redis.info import integer

_MEMINFO = Path("/proc/meminfo")
_OVERCOMMIT = Path("/proc/sys/vm/overcommit_memory")
# Limits of the control group that this process lives in, version 2 and 1.
_LIMITS = (
    (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory.current")),
    (Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"), Path("/sys/fs/cgroup/memory/memory.usage_in_bytes")),
)
_MARGIN = 1.1
_MEBIBYTE = 1024 * 1024
# What a server needs for itself, whatever it holds.
SERVER_BYTES = 32 * _MEBIBYTE


@dataclass(frozen=True)
class Memory:
    """Bytes that new processes can have; None when nobody knows. C(overcommit) is the kernel's vm.overcommit_memory."""

    available_bytes: Optional[int]
    overcommit: Optional[int] = None


def memory_here() -> Memory:
    """The memory of this host, or of the container that this runs in if that is less."""
    available = None
    for line in _read(_MEMINFO).splitlines():
        if line.startswith("MemAvailable:"):
            available = int(line.split()[1]) * 1024
    for limit, usage in _LIMITS:
        most, used = _number(_read(limit)), _number(_read(usage))
        if most is not None and used is not None:
            left = max(0, most - used)
            available = left if available is None else min(available, left)
    return Memory(available, _number(_read(_OVERCOMMIT)))


def memory_of_server(info: Mapping[str, str]) -> Memory:
    """The memory of another host, as far as its Redis tells: at most what it does not use itself."""
    total, used = integer(info, "total_system_memory"), integer(info, "used_memory_rss")
    return Memory(None if total is None or used is None else max(0, total - used))


def expected_bytes(info: Mapping[str, str], last_bytes: int | None, last_memory: int | None) -> int:
    """How large the next RDB file is going to be, at most.

    The last one tells, grown as the server's memory has grown since; without one the memory of the data set does.
    """
    used = integer(info, "used_memory") or 0
    if last_bytes and last_memory:
        return int(last_bytes * max(1.0, used / last_memory) * _MARGIN)
    return int((integer(info, "used_memory_dataset") or used) * _MARGIN)


def check_disk(place: str, free: int, needed: int, what: str) -> None:
    """Raise Refused when a file system has not enough room."""
    if free < needed:
        raise Refused(
            f"{place} has {_size(free)} free, and {what} needs up to {_size(needed)}. Nothing was touched. Make room, "
            "or choose another place."
        )


def check_fork(info: Mapping[str, str], memory: Memory, percent: float) -> str | None:
    """Raise Refused when the snapshot's child could cost the server its memory; a note, if there is one.

    The child shares the server's memory; of what is written to while it works, a copy is made. C(percent) of the
    server's memory must be free for that.
    """
    used = integer(info, "used_memory_rss") or integer(info, "used_memory") or 0
    needed = int(used * percent / 100)
    if memory.available_bytes is not None and memory.available_bytes < needed:
        raise Refused(
            f"The server uses {_size(used)} and only {_size(memory.available_bytes)} of memory are free. While a "
            f"snapshot is taken, what is written to is copied; {percent:g} % (copy_on_write_percent) would be "
            f"{_size(needed)}, and the kernel may kill the server. Nothing was touched. Take the backup from a "
            "replica, or at a quiet hour with a lower copy_on_write_percent."
        )
    if memory.overcommit == 0 and memory.available_bytes is not None and memory.available_bytes < used:
        return (
            "vm.overcommit_memory is 0 and less memory is free than the server uses: the kernel may refuse the fork. "
            "Redis recommends 1."
        )
    return None


def missing_memory(needed: int, memory: Memory) -> str | None:
    """Why a scratch server must not be started: it would not fit; None when it does, or nobody knows."""
    needed += SERVER_BYTES
    if memory.available_bytes is None or memory.available_bytes >= needed:
        return None
    return (
        f"loading it takes about {_size(needed)} of memory and {_size(memory.available_bytes)} are free on this host. "
        "Verify it on another host"
    )


def _size(count: int) -> str:
    if count < _MEBIBYTE:
        return f"{count / 1024:.0f} KiB"
    return f"{count / _MEBIBYTE:.1f} MiB" if count < 1024 * _MEBIBYTE else f"{count / 1024 / _MEBIBYTE:.1f} GiB"


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii", errors="replace")
    except OSError:
        return ""


def _number(text: str) -> int | None:
    return int(text) if text.strip().isdigit() else None
