"""Texts of /proc as kernels of Debian 11, 12 and 13 write them, and the figures they stand for."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.runbook.ops.plugins.module_utils.host import kernel

STAT_12 = """\
cpu  1000 20 300 9000 80 0 10 5 0 0
cpu0 500 10 150 4500 40 0 5 2 0 0
cpu1 500 10 150 4500 40 0 5 3 0 0
intr 1 2 3
ctxt 12345
"""
# Both processors work for two hundred ticks, after a long idle time.
STAT_LATER = "cpu  1160 20 340 9000 80 0 10 5 0 0\ncpu0 1 1 1 1 1 1 1 1 0 0\n"
MEMINFO = """\
MemTotal:       24684092 kB
MemFree:          200000 kB
MemAvailable:   22000000 kB
Buffers:          100000 kB
Cached:         21000000 kB
SwapCached:            0 kB
Dirty:                12 kB
Shmem:              8856 kB
SReclaimable:     500000 kB
SwapTotal:       1000000 kB
SwapFree:         250000 kB
CommitLimit:    12342044 kB
Committed_AS:     903448 kB
HugePages_Total:       4
"""
PRESSURE = """\
some avg10=1.50 avg60=0.20 avg300=0.01 total=123456
full avg10=0.30 avg60=0.10 avg300=0.00 total=1234
"""


def test_the_first_screen_of_top_is_the_average_since_boot() -> None:
    """EX-10: a machine that works as hard as it can looks idle in it."""
    first, second = kernel.read_cpu_times(STAT_12), kernel.read_cpu_times(STAT_LATER)
    now, boot = kernel.cpu_usage(first, second), kernel.since_boot(second)
    assert now is not None
    assert boot is not None
    assert now["used_percent"] == 100
    assert (now["user_percent"], now["system_percent"], now["idle_percent"]) == (80, 20, 0)
    assert boot["used_percent"] < 15


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ({}, {}, None),
        ({"user": 1, "idle": 1}, {"user": 1, "idle": 1}, None),
        # A counter that runs backwards gives no negative share.
        ({"user": 10, "idle": 10, "iowait": 5}, {"user": 20, "idle": 20, "iowait": 4}, 50.0),
        # Waiting for a disk is no work.
        ({"user": 0, "idle": 0, "iowait": 0}, {"user": 10, "idle": 0, "iowait": 90}, 10.0),
        ({"user": 0, "idle": 0, "steal": 0}, {"user": 0, "idle": 50, "steal": 50}, 50.0),
    ],
)
def test_cpu_usage(first: dict[str, int], second: dict[str, int], expected: float | None) -> None:
    usage = kernel.cpu_usage(first, second)
    assert (usage and usage["used_percent"]) == expected


def test_load_is_divided_by_processors() -> None:
    load = kernel.read_load("3.00 2.00 1.00 2/345 6789\n", kernel.count_cpus(STAT_12))
    assert (load["load_1_per_cpu"], load["load_5_per_cpu"], load["cpus_count"]) == (1.5, 1.0, 2)
    assert kernel.read_load("1 1 1 1/1 1", 0)["load_1_per_cpu"] is None


def test_caches_are_free_memory() -> None:
    """EX-08, F64: what drop_caches would free is counted as available already."""
    figures = kernel.memory_figures(kernel.read_meminfo(MEMINFO))
    assert figures["used_percent"] == 10.9
    naive = 100 * (1 - figures["free_bytes"] / figures["total_bytes"])
    assert naive > 99
    dropped = figures["free_bytes"] + figures["cached_bytes"]
    assert dropped < figures["available_bytes"] * 1.01
    assert figures["swap_used_percent"] == 75.0


@pytest.mark.parametrize(
    ("text", "key", "expected"),
    [
        ("MemTotal: 100 kB\nMemFree: 50 kB\n", "used_percent", None),
        ("MemTotal: 100 kB\nMemAvailable: 50 kB\n", "used_percent", 50.0),
        # A lie of lxcfs: more available than there is.
        ("MemTotal: 100 kB\nMemAvailable: 150 kB\n", "used_percent", 0.0),
        ("MemTotal: 100 kB\nMemAvailable: 50 kB\n", "swap_used_percent", None),
        ("SwapTotal: 0 kB\nSwapFree: 0 kB\n", "swap_used_percent", 0.0),
    ],
)
def test_memory_that_is_not_told(text: str, key: str, expected: Any) -> None:
    assert kernel.memory_figures(kernel.read_meminfo(text))[key] == expected


def test_pressure_and_swap_rates() -> None:
    assert kernel.read_pressure(PRESSURE)["full"] == {
        "avg10_percent": 0.3,
        "avg60_percent": 0.1,
        "avg300_percent": 0.0,
    }
    before = kernel.read_counters("pswpin 10\npswpout 100\noom_kill 2\n")
    after = kernel.read_counters("pswpin 10\npswpout 356\noom_kill 2\n")
    rates = kernel.swap_rates(before, after, 2.0, 4096)
    assert rates == {"swap_in_bytes_per_second": 0, "swap_out_bytes_per_second": 524288}
    assert kernel.swap_rates({}, after, 2.0, 4096)["swap_in_bytes_per_second"] is None
