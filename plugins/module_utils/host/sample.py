# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Two looks at counters with a pause between them: rates, not averages since the machine booted."""

from __future__ import annotations

import time
from dataclasses import dataclass

from ansible_collections.runbook.ops.plugins.module_utils.host.kernel import read_counters, read_cpu_times
from ansible_collections.runbook.ops.plugins.module_utils.host.processes import Process, all_processes
from ansible_collections.runbook.ops.plugins.module_utils.host.reading import Machine, page_bytes


@dataclass(frozen=True)
class Sample:
    """The readings, first and second, and the seconds between them."""

    seconds: float
    cpu: tuple[dict[str, int], dict[str, int]]
    counters: tuple[dict[str, int], dict[str, int]]
    processes: tuple[dict[int, Process], dict[int, Process]]


def take_sample(machine: Machine, seconds: float, with_processes: bool) -> Sample:
    """Look twice. Nothing of ours runs in between, so that it is not in the figures."""

    def processes() -> dict[int, Process]:
        return all_processes(machine.path("proc"), page_bytes()) if with_processes else {}

    def counters() -> dict[str, int]:
        return read_counters(machine.optional("proc/vmstat") or "")

    def times() -> dict[str, int]:
        return read_cpu_times(machine.optional("proc/stat") or "")

    first_processes, first_counters, began, first_times = processes(), counters(), time.monotonic(), times()
    time.sleep(seconds)
    second_times, ended = times(), time.monotonic()
    return Sample(
        ended - began, (first_times, second_times), (first_counters, counters()), (first_processes, processes())
    )
