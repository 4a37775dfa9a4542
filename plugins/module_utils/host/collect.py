# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""All sections of a host in one go. What cannot be read is named, and the others go on."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from typing import Any

from ansible_collections.runbook.ops.plugins.module_utils.host import sections
from ansible_collections.runbook.ops.plugins.module_utils.host.kernel import cpu_usage, since_boot
from ansible_collections.runbook.ops.plugins.module_utils.host.options import SECTIONS
from ansible_collections.runbook.ops.plugins.module_utils.host.reading import Machine, Unread
from ansible_collections.runbook.ops.plugins.module_utils.host.sample import Sample, take_sample

_SAMPLED = ("cpu", "memory", "processes")


def collect(machine: Machine, now: dt.datetime, certificates_at: dt.datetime) -> dict[str, Any]:
    """The facts of the sections that were asked for, and the figures that are worth a history.

    Args:
        machine: The machine, with its options.
        now: The moment of measurement.
        certificates_at: The moment that the days of certificates are counted from.

    """
    options = machine.options
    asked = [name for name in SECTIONS if name in options["sections"]]
    pause = options["sample_seconds"] if set(_SAMPLED) & set(asked) else 0.0
    sample = take_sample(machine, pause, "processes" in asked)
    readers: Mapping[str, Callable[[], Any]] = {
        "cpu": lambda: _cpu(sample),
        "load": lambda: sections.load(machine),
        "pressure": lambda: sections.pressure(machine),
        "memory": lambda: sections.memory(machine, sample),
        "disks": lambda: sections.disks(machine),
        "time": lambda: sections.time(machine),
        "units": lambda: sections.unit_section(machine),
        "ports": lambda: sections.ports(machine),
        "reboot": lambda: sections.reboot(machine),
        "certificates": lambda: sections.certificate_section(machine, certificates_at),
        "large_files": lambda: sections.large_files(machine),
        "processes": lambda: sections.process_section(machine, sample),
        "oom": lambda: sections.oom(machine, now.timestamp()),
    }
    health: dict[str, Any] = {}
    for name in asked:
        try:
            health[name] = readers[name]()
        except Unread as error:
            machine.skip(name, error.message, error.remedy)
        except (OSError, ValueError, KeyError, IndexError) as error:
            machine.skip(name, f"it could not be understood: {error}", "Please report it with the texts of /proc.")
    return {
        "container": machine.container(),
        "health": health,
        "figures": _figures(health),
        "skipped_sections": machine.skipped,
    }


def _cpu(sample: Sample) -> dict[str, Any]:
    usage = cpu_usage(*sample.cpu)
    if usage is None:
        raise Unread("/proc/stat gave no two readings", "Raise sample_seconds.")
    whole = since_boot(sample.cpu[1])
    return {
        **usage,
        "sample_seconds": round(sample.seconds, 3),
        "since_boot_used_percent": whole["used_percent"] if whole else None,
    }


def _figures(health: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What fills up: name, value, and the limit at which it is full."""
    found = []
    for disk in health.get("disks", []):
        if disk["kind"] in ("disk", "network", "overlay") and disk["used_bytes"] is not None:
            limit = disk["used_bytes"] + disk["available_bytes"]
            found.append({"name": f"disk {disk['mount']}", "value": disk["used_bytes"], "limit": limit})
            if disk["has_inode_limit"]:
                found.append(
                    {
                        "name": f"inodes {disk['mount']}",
                        "value": disk["inodes_used_count"],
                        "limit": disk["inodes_count"],
                    }
                )
    return found
