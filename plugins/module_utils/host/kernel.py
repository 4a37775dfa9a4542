# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the kernel says of processor, memory and pressure. Pure: texts of /proc in, figures out."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Optional

# /proc/stat, cpu: the names of its columns (proc(5)). guest and guest_nice are part of user and nice.
_COLUMNS = ("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal")
_PAGE_BYTES_OF_KIB = 1024


def read_cpu_times(text: str) -> dict[str, int]:
    """The ticks of all processors together, by column; empty when /proc/stat has no such line."""
    for line in text.splitlines():
        if line.startswith("cpu "):
            numbers = [int(word) for word in line.split()[1:]]
            return dict(zip(_COLUMNS, numbers))
    return {}


def count_cpus(text: str) -> int:
    """How many processors are online, by /proc/stat."""
    return len(re.findall(r"^cpu\d+ ", text, re.MULTILINE))


def cpu_usage(first: Mapping[str, int], second: Mapping[str, int]) -> Optional[dict[str, float]]:
    """Shares of the time between two readings, in percent; None when no time passed, or a counter ran backwards.

    Waiting for a disk is no work: it is neither busy nor idle, as in C(top).
    """
    if not first or set(first) != set(second):
        return None
    # Some counters run backwards by a tick or two on machines that hotplug; a share is never negative.
    passed = {name: max(second[name] - first[name], 0) for name in second}
    total = sum(passed.values())
    if total <= 0:
        return None

    def share(*names: str) -> float:
        return round(100 * sum(passed.get(name, 0) for name in names) / total, 1)

    return {
        "used_percent": share("user", "nice", "system", "irq", "softirq", "steal"),
        "user_percent": share("user", "nice"),
        "system_percent": share("system", "irq", "softirq"),
        "iowait_percent": share("iowait"),
        "steal_percent": share("steal"),
        "idle_percent": share("idle"),
    }


def since_boot(times: Mapping[str, int]) -> Optional[dict[str, float]]:
    """The same shares since the machine booted, which is what the first screen of C(top -b -n1) shows."""
    return cpu_usage(dict.fromkeys(times, 0), times)


def read_load(text: str, cpus: int) -> dict[str, Any]:
    """The three averages of /proc/loadavg, and each for one processor."""
    one, five, fifteen = (float(word) for word in text.split()[:3])
    per = {
        name: round(value / cpus, 2) if cpus else None for name, value in zip(("1", "5", "15"), (one, five, fifteen))
    }
    return {
        "load_1": one,
        "load_5": five,
        "load_15": fifteen,
        "load_1_per_cpu": per["1"],
        "load_5_per_cpu": per["5"],
        "load_15_per_cpu": per["15"],
        "cpus_count": cpus,
    }


def read_pressure(text: str) -> dict[str, dict[str, float]]:
    """/proc/pressure/*: the percentage of time in which some, or all, tasks waited, over 10, 60 and 300 seconds."""
    found: dict[str, dict[str, float]] = {}
    for line in text.splitlines():
        kind, *pairs = line.split()
        values = dict(pair.split("=", 1) for pair in pairs)
        found[kind] = {f"avg{seconds}_percent": float(values[f"avg{seconds}"]) for seconds in (10, 60, 300)}
    return found


def read_meminfo(text: str) -> dict[str, int]:
    """/proc/meminfo in bytes by name; what has no unit (huge pages) is a count."""
    found: dict[str, int] = {}
    for name, number, unit in re.findall(r"^(\S+):\s+(\d+)(?: (kB))?", text, re.MULTILINE):
        found[name] = int(number) * (_PAGE_BYTES_OF_KIB if unit else 1)
    return found


def memory_figures(meminfo: Mapping[str, int]) -> dict[str, Any]:
    """Memory as it can be used.

    C(used_percent) counts what the kernel could not give to a new program without swapping (C(MemAvailable)). Caches
    that it would give are free memory, whatever C(free) says in its column "free".
    """
    total, available = meminfo.get("MemTotal"), meminfo.get("MemAvailable")
    swap_total, swap_free = meminfo.get("SwapTotal"), meminfo.get("SwapFree")
    used = None if total is None or available is None else max(total - available, 0)
    swap_used = None if swap_total is None or swap_free is None else swap_total - swap_free
    return {
        "total_bytes": total,
        "available_bytes": available,
        "used_bytes": used,
        "used_percent": percent(used, total),
        "free_bytes": meminfo.get("MemFree"),
        "cached_bytes": _sum(meminfo, "Cached", "Buffers", "SReclaimable"),
        "dirty_bytes": meminfo.get("Dirty"),
        "shared_bytes": meminfo.get("Shmem"),
        "committed_bytes": meminfo.get("Committed_AS"),
        "commit_limit_bytes": meminfo.get("CommitLimit"),
        "swap_total_bytes": swap_total,
        "swap_used_bytes": swap_used,
        "swap_used_percent": percent(swap_used, swap_total) if swap_total else (None if swap_total is None else 0.0),
    }


def read_counters(text: str) -> dict[str, int]:
    """Lines of a name and a number: /proc/vmstat, memory.events, memory.oom_control."""
    return {name: int(number) for name, number in re.findall(r"^(\w+) (\d+)$", text, re.MULTILINE)}


def swap_rates(first: Mapping[str, int], second: Mapping[str, int], seconds: float, page_bytes: int) -> dict[str, Any]:
    """Bytes that were swapped in and out in a second, between two readings of /proc/vmstat."""
    rates: dict[str, Any] = {}
    for name, counter in (("swap_in_bytes_per_second", "pswpin"), ("swap_out_bytes_per_second", "pswpout")):
        known = counter in first and counter in second and seconds > 0
        rates[name] = round(max(second[counter] - first[counter], 0) * page_bytes / seconds) if known else None
    return rates


def percent(part: Optional[float], whole: Optional[float]) -> Optional[float]:
    """A share in percent, one decimal; None for what is not known, or for a share of nothing."""
    return round(100 * part / whole, 1) if part is not None and whole else None


def _sum(values: Mapping[str, int], *names: str) -> Optional[int]:
    known = [values[name] for name in names if name in values]
    return sum(known) if known else None
