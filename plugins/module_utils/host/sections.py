# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The sections of a host, each a function that reads a machine and gives facts."""

from __future__ import annotations

import datetime as dt
import glob
import os
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.disk.usage import measure_root
from ansible_collections.runbook.ops.plugins.module_utils.disk.walk import Limits
from ansible_collections.runbook.ops.plugins.module_utils.host import (
    certificates,
    cgroups,
    clocks,
    kernel,
    kills,
    listening,
    mounts,
    processes,
    reboots,
    units,
)
from ansible_collections.runbook.ops.plugins.module_utils.host.reading import (
    AS_ROOT,
    Machine,
    Unread,
    hertz,
    page_bytes,
)
from ansible_collections.runbook.ops.plugins.module_utils.host.sample import Sample

_NETWORK_SECONDS = 5.0


def load(machine: Machine) -> dict[str, Any]:
    """Load averages."""
    return kernel.read_load(machine.text("proc/loadavg"), kernel.count_cpus(machine.text("proc/stat")))


def pressure(machine: Machine) -> dict[str, Any]:
    """Pressure stall information, where the kernel keeps it."""
    found = {}
    for name in ("cpu", "memory", "io"):
        try:
            found[name] = kernel.read_pressure(machine.text(f"proc/pressure/{name}"))
        except (Unread, ValueError, KeyError):
            raise Unread(
                f"/proc/pressure/{name} cannot be read",
                "The kernel keeps it from Linux 4.20 on; on the Red Hat family boot with psi=1.",
            ) from None
    return found


def memory(machine: Machine, sample: Sample) -> dict[str, Any]:
    """Memory, swap, and the limit of the container if this is one."""
    facts = kernel.memory_figures(kernel.read_meminfo(machine.text("proc/meminfo")))
    if facts["available_bytes"] is None:
        machine.skip("memory.used_percent", "the kernel does not tell MemAvailable", "It does from Linux 3.14 on.")
    facts.update(kernel.swap_rates(sample.counters[0], sample.counters[1], sample.seconds, page_bytes()))
    own = cgroups.memory_root(machine.path("sys/fs/cgroup"), machine.optional("proc/1/cgroup") or "")
    nothing = {"limit_bytes": None, "limit_used_bytes": None, "limit_used_percent": None}
    facts.update(cgroups.limit_facts(*own) if own and machine.container() else nothing)
    return facts


def disks(machine: Machine) -> list[dict[str, Any]]:
    """Every real file system once."""
    fstab = mounts.read_fstab(machine.optional("etc/fstab") or "")
    found = mounts.real_mounts(
        (each for each in mounts.read_mountinfo(machine.text("proc/self/mountinfo")) if _is_directory(each)),
        machine.options["ignore_mounts"],
    )
    entries = []
    for each in found:
        room, reason = _room(each.point)
        if reason:
            machine.skip(
                "disks",
                f"{each.point}: {reason}",
                "See whether its server answers, or leave it out with ignore_mounts.",
            )
        entries.append(mounts.disk_facts(each, room, fstab, reason))
    return mounts.without_shadows(sorted(entries, key=lambda entry: str(entry["mount"])))


def _is_directory(mount: mounts.Mount) -> bool:
    # Container engines mount single files (resolv.conf) of the disk below. A share is not asked: it might not answer.
    return mount.kind in ("network", "pseudo") or Path(mount.point).is_dir()


def _room(point: str) -> tuple[Optional[mounts.Room], str]:
    """What statvfs says, in a thread: a share whose server is gone would not let us go on."""
    answer: list[Any] = []

    def ask() -> None:
        try:
            answer.append(os.statvfs(point))
        except OSError as error:
            answer.append(f"statvfs failed: {error.strerror}")

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(_NETWORK_SECONDS)
    if not answer:
        return None, f"the file system did not answer within {_NETWORK_SECONDS:g} s"
    if isinstance(answer[0], str):
        return None, answer[0]
    said = answer[0]
    return (
        mounts.Room(said.f_frsize, said.f_blocks, said.f_bfree, said.f_bavail, said.f_files, said.f_ffree),
        "",
    )


def time(machine: Machine) -> dict[str, Any]:
    """Synchronisation of the clock."""
    shown = machine.answer(["timedatectl", "show"])
    client = None
    for argv, read in (
        (["chronyc", "-c", "tracking"], clocks.read_chrony),
        (["ntpq", "-c", "rv"], clocks.read_ntpq),
    ):
        said = machine.answer(argv)
        client = read(said[1]) if said and said[0] == 0 else None
        if client:
            break
    facts = clocks.clock_facts(
        clocks.kernel_clock(),
        clocks.read_timedatectl(shown[1]) if shown and shown[0] == 0 else {},
        client,
        machine.container(),
    )
    if facts["is_synchronized"] is None:
        machine.skip("time", "neither the kernel nor timedatectl, chronyc or ntpq tell", "Install chrony.")
    return facts


def unit_section(machine: Machine) -> dict[str, Any]:
    """Systemd's units."""
    expected = machine.options["expected_units"]
    text = machine.command(
        units.show_command([units.full_name(name) for name in expected]), "Is systemd the first process here?"
    )
    return units.unit_facts(units.read_units(text), machine.uptime(), expected)


def ports(machine: Machine) -> dict[str, Any]:
    """Sockets that listen, with owners, against the declared list."""
    sockets = []
    for name, protocol in (("tcp", "tcp"), ("tcp6", "tcp"), ("udp", "udp"), ("udp6", "udp")):
        text = machine.optional(f"proc/net/{name}")
        if text is None and not name.endswith("6"):
            raise Unread(f"/proc/net/{name} cannot be read", AS_ROOT)
        sockets += listening.read_sockets(text or "", protocol)
    proc = machine.path("proc")
    owners, complete = listening.socket_owners(proc, (each.inode for each in sockets))
    if not complete and any(each.inode not in owners for each in sockets):
        machine.skip("ports.process", "processes of other users could not be looked into", AS_ROOT)
    ephemeral = [
        int(word) for word in (machine.optional("proc/sys/net/ipv4/ip_local_port_range") or "32768 60999").split()
    ]
    told: dict[tuple[str, str, int], dict[str, Any]] = {}
    for each in sorted(sockets, key=lambda one: (one.port, one.protocol, one.address)):
        key = (each.protocol, each.address, each.port)
        if key not in told:
            told[key] = _port(machine, each, owners.get(each.inode, []), ephemeral)
    listed = list(told.values())
    # A resolver's or a clock's question goes out from such a port and is gone a moment later.
    lasting = [each for each in listed if not (each["protocol"] == "udp" and each["is_ephemeral"])]
    return {"listening": listed, **listening.compare(lasting, machine.options["expected_ports"])}


def _port(machine: Machine, each: listening.Listener, pids: Sequence[int], ephemeral: Sequence[int]) -> dict[str, Any]:
    pid = listening.holder(pids)
    name = unit = None
    if pid is not None:
        name = (machine.optional(f"proc/{pid}/comm") or "").strip() or None
        unit = processes.unit_of(machine.optional(f"proc/{pid}/cgroup") or "") or None
    return {
        "protocol": each.protocol,
        "address": each.address,
        "port": each.port,
        "reach": listening.reach(each.address),
        "pid": pid,
        "process": name,
        "unit": unit,
        "is_ephemeral": ephemeral[0] <= each.port <= ephemeral[1],
        "name": f"{each.port}/{each.protocol} on {each.address}",
    }


def reboot(machine: Machine) -> dict[str, Any]:
    """Whether a restart of the machine is due."""
    flag: Optional[bool] = None
    if machine.path("run/reboot-required").exists():
        flag = True
    elif machine.path("usr/share/update-notifier/notify-reboot-required").exists():
        # Only with this helper Debian's packages leave a note: without it, no note means nothing.
        flag = False
    packages = (machine.optional("run/reboot-required.pkgs") or "").split()
    said = machine.answer(["needs-restarting", "-r"]) if machine.path("usr/bin/needs-restarting").exists() else None
    restarting = (said[0] == 1, "needs-restarting says so") if said and said[0] in (0, 1) else None
    modules = machine.path("lib/modules")
    # A directory is left behind when modules were built for a kernel that is removed.
    installed = (
        sorted(each.name for each in modules.iterdir() if (each / "modules.dep").exists()) if modules.is_dir() else []
    )
    facts = reboots.reboot_facts(
        os.uname().release, installed, flag, sorted(set(packages)), restarting, machine.container()
    )
    if facts["is_needed"] is None:
        machine.skip(
            "reboot",
            "nothing here tells whether a reboot is due",
            "Install needrestart or update-notifier-common (Debian), yum-utils or dnf-utils (Red Hat).",
        )
    return facts


def certificate_section(machine: Machine, now: dt.datetime) -> list[dict[str, Any]]:
    """Certificates in declared files."""
    entries = []
    for pattern in machine.options["certificates"]:
        paths = sorted(glob.glob(pattern)) or [pattern]  # noqa: PTH207 - absolute patterns
        entries += [certificates.certificate_facts(Path(path), now) for path in paths if not Path(path).is_dir()]
    return entries


def large_files(machine: Machine) -> dict[str, Any]:
    """The largest files below declared directories."""
    options = machine.options
    limits = Limits(options["large_files_max_entries"], options["large_files_timeout"])
    files: list[dict[str, Any]] = []
    complete = True
    for root in options["large_files_roots"]:
        try:
            found = measure_root(
                root, limits, depth=0, top=options["top"], min_file_bytes=options["large_files_min_bytes"]
            )
        except OSError as error:
            machine.skip("large_files", f"{root}: {error.strerror}", "Correct large_files_roots.")
            complete = False
            continue
        files += found["large_files"]
        if not found["is_complete"]:
            complete = False
            machine.skip(
                "large_files", f"{root}: {found['reason']}", "Raise the limits, or name directories further down."
            )
    files.sort(key=lambda entry: (-entry["bytes"], entry["path"]))
    return {"files": files[: options["top"]], "is_complete": complete, "entries_count": limits.entries}


def process_section(machine: Machine, sample: Sample) -> dict[str, Any]:
    """Processes: the largest, the busiest, the dead and the stuck, and the declared ones."""
    proc = machine.path("proc")
    found, top, ticks = sample.processes[1], machine.options["top"], hertz()
    if not found:
        raise Unread("/proc shows no processes", AS_ROOT)
    total = kernel.read_meminfo(machine.optional("proc/meminfo") or "").get("MemTotal")
    shares = processes.cpu_percents(sample.processes[0], found, sample.seconds * ticks)
    memory_use = {pid: float(each.resident_bytes) for pid, each in found.items()}
    busy = processes.top_of(found, shares, top, proc, total, ticks)
    uptime = machine.uptime()

    def of_state(letter: str, both: bool = False) -> list[dict[str, Any]]:
        chosen = [
            each
            for pid, each in sorted(found.items())
            if each.state == letter and (not both or sample.processes[0].get(pid, each).state == letter)
        ]
        return [processes.entry(processes.described(each, proc), total, uptime, ticks) for each in chosen[:top]]

    zombies = of_state("Z")
    for each in zombies:
        parent = found.get(each["parent_pid"])
        each["parent_name"] = parent.name if parent else None
    commands = processes.commands_of(found, proc, os.getpid()) if machine.options["expected_processes"] else []
    return {
        **processes.states(found),
        "by_memory": processes.top_of(found, memory_use, top, proc, total, ticks),
        "by_cpu": [{**each, "cpu_percent": shares[each["pid"]]} for each in busy],
        "zombies": zombies,
        # Waiting for a disk for a moment is ordinary; who waits at both ends of the sample is stuck.
        "uninterruptible": of_state("D", both=True),
        "expected": processes.count_matching(commands, machine.options["expected_processes"]),
    }


def oom(machine: Machine, now: float) -> dict[str, Any]:
    """Out of memory: kills by the kernel's messages, and by its counters."""
    seconds = machine.options["oom_seconds"]
    container = machine.container()
    messages, heard, reaches_back = _kernel_told(machine, now, now - seconds)
    counted = kernel.read_counters(machine.optional("proc/vmstat") or "").get("oom_kill")
    if container and not messages:
        machine.skip(
            "oom.kills", "the kernel's messages belong to the machine below this container", "Check that machine."
        )
        heard = False
    elif not heard:
        machine.skip("oom.kills", "neither the journal nor /dev/kmsg can be read", AS_ROOT)
    elif not reaches_back and not (counted == 0 and (machine.uptime() or 0) >= seconds):
        machine.skip(
            "oom.kills",
            f"the newest messages of the kernel that were read do not reach back over {machine.options['oom_since']}",
            "Shorten oom_since, and find what floods the kernel's log.",
        )
        heard = False
    own = cgroups.memory_root(machine.path("sys/fs/cgroup"), machine.optional("proc/1/cgroup") or "")
    found = kills.find_kills(messages)
    return {
        "kills": found,
        "recent_count": len(found) if heard or found else None,
        "since_seconds": seconds,
        # Of the whole machine, containers included, since it booted.
        "since_boot_count": counted,
        "groups": cgroups.killed_groups(*own) if own else [],
    }


def _kernel_told(machine: Machine, now: float, since: float) -> tuple[list[kills.Message], bool, bool]:
    """What the kernel said since then, whether anybody tells, and whether that is all of it."""
    said = machine.answer(kills.journal_command(since))
    heard = said is not None and said[0] == 0
    messages = kills.read_journal(said[1]) if said is not None and heard else []
    if said is not None and messages:
        return messages, True, not kills.is_cut(said[1])
    records = _kernel_messages(machine.path("dev/kmsg"))
    if records is None:
        return [], heard, True
    told = kills.read_kmsg(records, now - (machine.uptime() or 0))
    reaches_back = heard or not kills.is_overwritten(records, told, since)
    return [each for each in told if (each[0] or 0) >= since], True, reaches_back


def _kernel_messages(path: Path) -> Optional[list[str]]:
    """The records of /dev/kmsg that are there now; None when they may not be read."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except OSError:
        return None
    records: list[str] = []
    try:
        while len(records) < 100_000:
            try:
                data = os.read(descriptor, 8192)
            except BlockingIOError:
                break
            except BrokenPipeError:
                # Messages were overwritten while we read: go on with the oldest that is left.
                continue
            if not data:
                break
            records.append(data.decode("utf-8", "replace").rstrip("\n"))
    except OSError:
        return None
    finally:
        os.close(descriptor)
    return records
