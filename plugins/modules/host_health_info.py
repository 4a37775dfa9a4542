#!/usr/bin/python
# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Everything about a Linux host's health in one call, by the standard library alone."""

from __future__ import annotations

DOCUMENTATION = r"""
module: host_health_info
short_description: Measure a Linux host - processors, memory, disks, clock, units, ports, processes
version_added: 0.6.0
description:
  - Reads everything in one go, from C(/proc), C(/sys), C(systemctl) and, where they are, the time services' own
    commands. Nothing needs to be installed but Python.
  - Processor time, swapping and the busiest processes are measured between two looks, and are no averages since the
    machine booted. Memory is what new programs can have, caches included.
  - What cannot be read is listed in RV(skipped_sections) with what would help. Run it with C(become), because only
    root sees whose sockets and files those of others are.
author:
  - The runbook.ops contributors (@runbook-ops)
extends_documentation_fragment:
  - runbook.ops.attributes
  - runbook.ops.attributes.info_module
options:
  sections:
    description:
      - What to measure. All, if not given. V(certificates) and V(large_files) look only at what is declared.
    type: list
    elements: str
    choices: [cpu, load, pressure, memory, disks, time, units, ports, reboot, certificates, large_files, processes, oom]
    default: [cpu, load, pressure, memory, disks, time, units, ports, reboot, certificates, large_files, processes, oom]
  sample_seconds:
    description:
      - Seconds between the two looks at counters, from 0.05 to 60. The sections V(cpu), V(memory) and V(processes) need
        them.
    type: float
    default: 1.0
  top:
    description:
      - How many processes and files are listed, from 1 to 100.
    type: int
    default: 10
  ignore_mounts:
    description:
      - Shell patterns of mount points to leave out, such as V(/var/lib/docker/*).
    type: list
    elements: str
    default: []
  expected_ports:
    description:
      - The ports on which something may listen. Without the option nothing is compared; an empty list allows none.
    type: list
    elements: dict
    suboptions:
      port:
        description:
          - The port.
        type: int
        required: true
      protocol:
        description:
          - The protocol.
        type: str
        choices: [tcp, udp]
        default: tcp
      name:
        description:
          - What it is, for people.
        type: str
      address:
        description:
          - Addresses and networks on which it may listen, such as V(127.0.0.0/8). Any, if not given.
        type: list
        elements: str
        default: []
      process:
        description:
          - The name of the process that may listen. Any, if not given.
        type: str
      unit:
        description:
          - The systemd unit that may listen, such as V(nginx.service). Any, if not given.
        type: str
      required:
        description:
          - Whether something must listen there.
        type: bool
        default: true
  expected_units:
    description:
      - Units that must run. Without a kind in its name, a unit is a service.
    type: list
    elements: str
    default: []
  expected_processes:
    description:
      - Processes of which there must be so many.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description:
          - What it is, for people.
        type: str
        required: true
      pattern:
        description:
          - A regular expression that is searched in the whole command line. Mind that programs rename themselves, as
            Puma does (V(^puma:)).
        type: str
        required: true
      min:
        description:
          - The fewest.
        type: int
        default: 1
      max:
        description:
          - The most. Any number, if not given.
        type: int
  certificates:
    description:
      - Files with certificates, in PEM or DER, or patterns of them.
    type: list
    elements: path
    default: []
  large_files_roots:
    description:
      - Directories below which large files are looked for. Other file systems in them are left out.
    type: list
    elements: path
    default: []
  large_files_min_bytes:
    description:
      - What counts as large, on the disk. The holes of a sparse file do not count.
    type: int
    default: 104857600
  large_files_max_entries:
    description:
      - How many entries are looked at.
    type: int
    default: 200000
  large_files_timeout:
    description:
      - For how many seconds is looked.
    type: float
    default: 20.0
  oom_since:
    description:
      - How far back kills for memory are looked for, such as V(24h).
    type: str
    default: 24h
  command_timeout:
    description:
      - Seconds that one command may take.
    type: float
    default: 15.0
  reference_time:
    description:
      - The moment that the days of certificates are counted from, in ISO 8601 with its timezone. Now, if not given.
    type: str
seealso:
  - module: runbook.ops.disk_usage_info
  - module: runbook.ops.figures_history
"""

EXAMPLES = r"""
- name: Everything about a host
  runbook.ops.host_health_info:
    expected_ports:
      - {port: 22, unit: ssh.service}
      - {port: 5432, address: [127.0.0.0/8, "::1"], name: PostgreSQL}
    expected_units: [ssh, cron]
    expected_processes:
      - {name: puma, pattern: "^puma", min: 2}
    certificates: [/etc/ssl/certs/app.pem]
  become: true
  register: host

- name: Memory and its victims alone
  runbook.ops.host_health_info:
    sections: [memory, processes, oom]
    oom_since: 7d
"""

RETURN = r"""
available:
  description: Always V(true).
  returned: success
  type: bool
reason:
  description: Always V(null).
  returned: success
  type: str
measured_at:
  description: When it was measured, in ISO 8601 UTC.
  returned: success
  type: str
container:
  description: What kind of container this is. Empty for a machine of its own.
  returned: success
  type: str
skipped_sections:
  description: What could not be read, or only in part.
  returned: success
  type: list
  elements: dict
  contains:
    section:
      description: The section, or the part of it.
      type: str
    reason:
      description: Why.
      type: str
    remedy:
      description: What would help.
      type: str
figures:
  description: What fills up, for M(runbook.ops.figures_history).
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: What it is.
      type: str
    value:
      description: How much of it is used.
      type: int
    limit:
      description: When it is full.
      type: int
health:
  description: The sections that were asked for and could be read.
  returned: success
  type: dict
  contains:
    cpu:
      description: The processors, over O(sample_seconds).
      type: dict
      contains:
        used_percent:
          description: Time that was neither idle nor waiting for a disk.
          type: float
        user_percent:
          description: Programs.
          type: float
        system_percent:
          description: The kernel.
          type: float
        iowait_percent:
          description: Waiting for disks.
          type: float
        steal_percent:
          description: Taken by other virtual machines.
          type: float
        idle_percent:
          description: Nothing to do.
          type: float
        sample_seconds:
          description: How long was looked.
          type: float
        since_boot_used_percent:
          description: The average since the machine booted, which is what the first screen of C(top -b) shows.
          type: float
    load:
      description: Load averages.
      type: dict
      contains:
        load_1:
          description: Over a minute.
          type: float
        load_5:
          description: Over five minutes.
          type: float
        load_15:
          description: Over fifteen minutes.
          type: float
        load_1_per_cpu:
          description: The first, for one processor.
          type: float
        load_5_per_cpu:
          description: The second, for one processor.
          type: float
        load_15_per_cpu:
          description: The third, for one processor.
          type: float
        cpus_count:
          description: Processors.
          type: int
    pressure:
      description: How long tasks waited (pressure stall information).
      type: dict
      contains:
        cpu:
          description: For a processor.
          type: dict
          contains:
            some:
              description: Percent of the time in which some task waited.
              type: dict
              contains:
                avg10_percent:
                  description: Over ten seconds.
                  type: float
                avg60_percent:
                  description: Over a minute.
                  type: float
                avg300_percent:
                  description: Over five minutes.
                  type: float
            full:
              description: Percent of the time in which all tasks waited. Not there for the processor on older kernels.
              type: dict
              contains:
                avg10_percent:
                  description: Over ten seconds.
                  type: float
                avg60_percent:
                  description: Over a minute.
                  type: float
                avg300_percent:
                  description: Over five minutes.
                  type: float
        memory:
          description: For memory.
          type: dict
          contains:
            some:
              description: Percent of the time in which some task waited.
              type: dict
              contains:
                avg10_percent:
                  description: Over ten seconds.
                  type: float
                avg60_percent:
                  description: Over a minute.
                  type: float
                avg300_percent:
                  description: Over five minutes.
                  type: float
            full:
              description: Percent of the time in which all tasks waited. Not there for the processor on older kernels.
              type: dict
              contains:
                avg10_percent:
                  description: Over ten seconds.
                  type: float
                avg60_percent:
                  description: Over a minute.
                  type: float
                avg300_percent:
                  description: Over five minutes.
                  type: float
        io:
          description: For disks.
          type: dict
          contains:
            some:
              description: Percent of the time in which some task waited.
              type: dict
              contains:
                avg10_percent:
                  description: Over ten seconds.
                  type: float
                avg60_percent:
                  description: Over a minute.
                  type: float
                avg300_percent:
                  description: Over five minutes.
                  type: float
            full:
              description: Percent of the time in which all tasks waited. Not there for the processor on older kernels.
              type: dict
              contains:
                avg10_percent:
                  description: Over ten seconds.
                  type: float
                avg60_percent:
                  description: Over a minute.
                  type: float
                avg300_percent:
                  description: Over five minutes.
                  type: float
    memory:
      description: Memory and swap.
      type: dict
      contains:
        total_bytes:
          description: All memory.
          type: int
        available_bytes:
          description: What new programs can have without swapping (C(MemAvailable)), caches included.
          type: int
        used_bytes:
          description: The rest.
          type: int
        used_percent:
          description: The same in percent.
          type: float
        free_bytes:
          description: What is used for nothing at all, not even as a cache.
          type: int
        cached_bytes:
          description: Caches.
          type: int
        dirty_bytes:
          description: What waits to be written to disks.
          type: int
        shared_bytes:
          description: Shared memory and tmpfs.
          type: int
        committed_bytes:
          description: What was promised to programs.
          type: int
        commit_limit_bytes:
          description: What may be promised.
          type: int
        swap_total_bytes:
          description: Swap space.
          type: int
        swap_used_bytes:
          description: Swap in use.
          type: int
        swap_used_percent:
          description: The same in percent, V(0) without any swap.
          type: float
        swap_in_bytes_per_second:
          description: Read from swap during the sample.
          type: int
        swap_out_bytes_per_second:
          description: Written to swap during the sample.
          type: int
        limit_bytes:
          description: The limit of the container, where this is one and has one.
          type: int
        limit_used_bytes:
          description: What the container uses, its files' cache included.
          type: int
        limit_used_percent:
          description: The same of the limit.
          type: float
    disks:
      description: File systems, each once. Bind mounts and the overlays of other containers are left out.
      type: list
      elements: dict
      contains:
        mount:
          description: Where it is mounted.
          type: str
        also_at:
          description: Other places where the same file system is mounted.
          type: list
          elements: str
        kind:
          description:
            - V(disk), V(network), V(memory) (tmpfs), V(overlay) (the root of a container), or V(image) (always
              full).
          type: str
        fstype:
          description: Its type.
          type: str
        device:
          description: Its device or server.
          type: str
        size_bytes:
          description: Its size.
          type: int
        used_bytes:
          description: What is used.
          type: int
        available_bytes:
          description: What others than root can still write.
          type: int
        used_percent:
          description: What is used, of what can be used, as C(df) computes it.
          type: float
        inodes_count:
          description: Its inodes. V(null) for file systems without a fixed number.
          type: int
        inodes_used_count:
          description: Inodes in use.
          type: int
        inodes_used_percent:
          description: The same in percent.
          type: float
        has_inode_limit:
          description: Whether it has a fixed number of inodes.
          type: bool
        is_read_only:
          description: Whether it cannot be written to.
          type: bool
        is_unexpectedly_read_only:
          description: Whether it should be writable by C(/etc/fstab), or became read-only by an error.
          type: bool
        is_judged:
          description: Whether it can become full. Images and read-only pseudo file systems cannot.
          type: bool
        reason:
          description: Why its sizes are not known.
          type: str
    time:
      description: The clock.
      type: dict
      contains:
        is_synchronized:
          description: Whether it is kept right. V(null) if nobody tells.
          type: bool
        offset_seconds:
          description: How far it is off.
          type: float
        offset_abs_seconds:
          description: The same without its sign.
          type: float
        max_error_seconds:
          description: How far it may be off, by the kernel.
          type: float
        service:
          description: Who keeps it.
          type: str
        server:
          description: The server that it follows.
          type: str
        stratum:
          description: The server's distance from a reference clock.
          type: int
        timezone:
          description: The time zone.
          type: str
        is_own_clock:
          description: V(false) in a container, whose clock is the machine's below.
          type: bool
    units:
      description: systemd's units.
      type: dict
      contains:
        total_count:
          description: Units in memory.
          type: int
        failed:
          description: Those that failed.
          type: list
          elements: dict
          contains:
            name:
              description: The unit.
              type: str
            description:
              description: What it says of itself.
              type: str
            load_state:
              description: Whether its file was read.
              type: str
            active_state:
              description: Its state.
              type: str
            sub_state:
              description: Its state in more detail.
              type: str
            enabled:
              description: Whether it starts with the machine.
              type: str
            result:
              description: How its last run ended, such as V(exit-code) or V(oom-kill).
              type: str
            exit_status:
              description: The exit status of its main process.
              type: int
            main_pid:
              description: The number of its main process.
              type: int
            restarts_count:
              description: How often systemd started it again by itself since somebody started it.
              type: int
            state_age_seconds:
              description: Seconds since its state changed.
              type: float
            is_restarting:
              description: Whether it starts again and again.
              type: bool
            memory_bytes:
              description: Memory of all its processes and their files' cache, where systemd counts it.
              type: int
            memory_limit_bytes:
              description: Its limit (C(MemoryMax)). V(null) without one.
              type: int
            memory_used_percent:
              description: Use of the limit.
              type: float
        restarting:
          description: Services that start again and again, whatever their state is at the moment.
          type: list
          elements: dict
          contains:
            name:
              description: The unit.
              type: str
            description:
              description: What it says of itself.
              type: str
            load_state:
              description: Whether its file was read.
              type: str
            active_state:
              description: Its state.
              type: str
            sub_state:
              description: Its state in more detail.
              type: str
            enabled:
              description: Whether it starts with the machine.
              type: str
            result:
              description: How its last run ended, such as V(exit-code) or V(oom-kill).
              type: str
            exit_status:
              description: The exit status of its main process.
              type: int
            main_pid:
              description: The number of its main process.
              type: int
            restarts_count:
              description: How often systemd started it again by itself since somebody started it.
              type: int
            state_age_seconds:
              description: Seconds since its state changed.
              type: float
            is_restarting:
              description: Whether it starts again and again.
              type: bool
            memory_bytes:
              description: Memory of all its processes and their files' cache, where systemd counts it.
              type: int
            memory_limit_bytes:
              description: Its limit (C(MemoryMax)). V(null) without one.
              type: int
            memory_used_percent:
              description: Use of the limit.
              type: float
        restarted:
          description: The ten services that were started again most often.
          type: list
          elements: dict
          contains:
            name:
              description: The unit.
              type: str
            description:
              description: What it says of itself.
              type: str
            load_state:
              description: Whether its file was read.
              type: str
            active_state:
              description: Its state.
              type: str
            sub_state:
              description: Its state in more detail.
              type: str
            enabled:
              description: Whether it starts with the machine.
              type: str
            result:
              description: How its last run ended, such as V(exit-code) or V(oom-kill).
              type: str
            exit_status:
              description: The exit status of its main process.
              type: int
            main_pid:
              description: The number of its main process.
              type: int
            restarts_count:
              description: How often systemd started it again by itself since somebody started it.
              type: int
            state_age_seconds:
              description: Seconds since its state changed.
              type: float
            is_restarting:
              description: Whether it starts again and again.
              type: bool
            memory_bytes:
              description: Memory of all its processes and their files' cache, where systemd counts it.
              type: int
            memory_limit_bytes:
              description: Its limit (C(MemoryMax)). V(null) without one.
              type: int
            memory_used_percent:
              description: Use of the limit.
              type: float
        changed_on_disk:
          description: Units whose file is newer than what systemd knows.
          type: list
          elements: str
        memory:
          description: The ten services with most memory.
          type: list
          elements: dict
          contains:
            name:
              description: The unit.
              type: str
            description:
              description: What it says of itself.
              type: str
            load_state:
              description: Whether its file was read.
              type: str
            active_state:
              description: Its state.
              type: str
            sub_state:
              description: Its state in more detail.
              type: str
            enabled:
              description: Whether it starts with the machine.
              type: str
            result:
              description: How its last run ended, such as V(exit-code) or V(oom-kill).
              type: str
            exit_status:
              description: The exit status of its main process.
              type: int
            main_pid:
              description: The number of its main process.
              type: int
            restarts_count:
              description: How often systemd started it again by itself since somebody started it.
              type: int
            state_age_seconds:
              description: Seconds since its state changed.
              type: float
            is_restarting:
              description: Whether it starts again and again.
              type: bool
            memory_bytes:
              description: Memory of all its processes and their files' cache, where systemd counts it.
              type: int
            memory_limit_bytes:
              description: Its limit (C(MemoryMax)). V(null) without one.
              type: int
            memory_used_percent:
              description: Use of the limit.
              type: float
        expected:
          description: The units of O(expected_units).
          type: list
          elements: dict
          contains:
            name:
              description: The unit.
              type: str
            load_state:
              description: Whether systemd knows it.
              type: str
            active_state:
              description: Its state.
              type: str
            enabled:
              description: Whether it starts with the machine.
              type: str
            is_active:
              description: Whether it runs.
              type: bool
    ports:
      description: Sockets that listen.
      type: dict
      contains:
        listening:
          description: All of them.
          type: list
          elements: dict
          contains:
            protocol:
              description: V(tcp) or V(udp).
              type: str
            address:
              description: The address it listens on. V(0.0.0.0) and V(::) are all addresses.
              type: str
            port:
              description: The port.
              type: int
            reach:
              description: V(any) for all addresses, V(local) for this machine alone, V(address) for one address.
              type: str
            pid:
              description: The process. V(null) if it is not known.
              type: int
            process:
              description: Its name.
              type: str
            unit:
              description: Its systemd unit.
              type: str
            is_ephemeral:
              description: Whether the port is one of those that the kernel gives to clients.
              type: bool
            name:
              description: Port, protocol and address, for people.
              type: str
        is_compared:
          description: Whether O(expected_ports) was given.
          type: bool
        undeclared:
          description: Those that are not in it, or belong to another process or unit.
          type: list
          elements: dict
          contains:
            protocol:
              description: V(tcp) or V(udp).
              type: str
            address:
              description: The address it listens on. V(0.0.0.0) and V(::) are all addresses.
              type: str
            port:
              description: The port.
              type: int
            reach:
              description: V(any) for all addresses, V(local) for this machine alone, V(address) for one address.
              type: str
            pid:
              description: The process. V(null) if it is not known.
              type: int
            process:
              description: Its name.
              type: str
            unit:
              description: Its systemd unit.
              type: str
            is_ephemeral:
              description: Whether the port is one of those that the kernel gives to clients.
              type: bool
            name:
              description: Port, protocol and address, for people.
              type: str
            reason:
              description: What is wrong with it.
              type: str
        missing:
          description: Declared ones on which nothing listens.
          type: list
          elements: dict
          contains:
            port:
              description: The port.
              type: int
            protocol:
              description: The protocol.
              type: str
            name:
              description: The declared name.
              type: str
            reason:
              description: What is wrong with it.
              type: str
        exposed:
          description: Declared ones that listen on more than the declared addresses.
          type: list
          elements: dict
          contains:
            protocol:
              description: V(tcp) or V(udp).
              type: str
            address:
              description: The address it listens on. V(0.0.0.0) and V(::) are all addresses.
              type: str
            port:
              description: The port.
              type: int
            reach:
              description: V(any) for all addresses, V(local) for this machine alone, V(address) for one address.
              type: str
            pid:
              description: The process. V(null) if it is not known.
              type: int
            process:
              description: Its name.
              type: str
            unit:
              description: Its systemd unit.
              type: str
            is_ephemeral:
              description: Whether the port is one of those that the kernel gives to clients.
              type: bool
            name:
              description: Port, protocol and address, for people.
              type: str
            reason:
              description: What is wrong with it.
              type: str
    reboot:
      description: Whether the machine must be restarted for what was installed.
      type: dict
      contains:
        is_needed:
          description: Whether it must. V(null) if nothing tells.
          type: bool
        reasons:
          description: Why.
          type: list
          elements: str
        reason:
          description: The same as one text.
          type: str
        packages:
          description: Packages that asked for it.
          type: list
          elements: str
        running_kernel:
          description: The kernel that runs.
          type: str
        newest_kernel:
          description: The newest installed one of its flavour.
          type: str
    certificates:
      description: The certificates of O(certificates).
      type: list
      elements: dict
      contains:
        path:
          description: The file.
          type: str
        count:
          description: How many certificates are in it.
          type: int
        subject:
          description: The name in the one that ends first.
          type: str
        issuer:
          description: Who signed it.
          type: str
        not_after:
          description: When it ends, in ISO 8601 UTC.
          type: str
        days_left:
          description: Days until then, negative afterwards. V(null) if there is none to be read.
          type: float
        reason:
          description: Why there is none.
          type: str
    large_files:
      description: The largest files.
      type: dict
      contains:
        files:
          description: Largest first.
          type: list
          elements: dict
          contains:
            path:
              description: The file.
              type: str
            bytes:
              description: What it takes of the disk.
              type: int
            modified_at:
              description: When it was changed.
              type: str
        is_complete:
          description: Whether everything was looked at.
          type: bool
        entries_count:
          description: How many entries were looked at.
          type: int
    processes:
      description: Processes.
      type: dict
      contains:
        total_count:
          description: All.
          type: int
        running_count:
          description: Those that run or wait for a processor.
          type: int
        zombie_count:
          description: Those that ended and whose parent does not care.
          type: int
        uninterruptible_count:
          description: Those that wait for a device at this moment.
          type: int
        stopped_count:
          description: Stopped ones.
          type: int
        by_memory:
          description: The largest.
          type: list
          elements: dict
          contains:
            pid:
              description: Its number.
              type: int
            parent_pid:
              description: Its parent's number.
              type: int
            name:
              description: Its short name.
              type: str
            state:
              description: The kernel's letter for its state.
              type: str
            user:
              description: Who it belongs to.
              type: str
            unit:
              description: Its systemd unit, or empty.
              type: str
            resident_bytes:
              description: Memory that it has.
              type: int
            memory_percent:
              description: That memory, of the machine's.
              type: float
            age_seconds:
              description: Seconds since it started.
              type: int
            waits_in:
              description: Where in the kernel it waits, or empty.
              type: str
            command:
              description: Its command line without what looks like a secret, at most 300 characters.
              type: str
        by_cpu:
          description: The busiest during the sample.
          type: list
          elements: dict
          contains:
            pid:
              description: Its number.
              type: int
            parent_pid:
              description: Its parent's number.
              type: int
            name:
              description: Its short name.
              type: str
            state:
              description: The kernel's letter for its state.
              type: str
            user:
              description: Who it belongs to.
              type: str
            unit:
              description: Its systemd unit, or empty.
              type: str
            resident_bytes:
              description: Memory that it has.
              type: int
            memory_percent:
              description: That memory, of the machine's.
              type: float
            age_seconds:
              description: Seconds since it started.
              type: int
            waits_in:
              description: Where in the kernel it waits, or empty.
              type: str
            command:
              description: Its command line without what looks like a secret, at most 300 characters.
              type: str
            cpu_percent:
              description: Percent of one processor.
              type: float
        zombies:
          description: Dead ones.
          type: list
          elements: dict
          contains:
            pid:
              description: Its number.
              type: int
            parent_pid:
              description: Its parent's number.
              type: int
            name:
              description: Its short name.
              type: str
            state:
              description: The kernel's letter for its state.
              type: str
            user:
              description: Who it belongs to.
              type: str
            unit:
              description: Its systemd unit, or empty.
              type: str
            resident_bytes:
              description: Memory that it has.
              type: int
            memory_percent:
              description: That memory, of the machine's.
              type: float
            age_seconds:
              description: Seconds since it started.
              type: int
            waits_in:
              description: Where in the kernel it waits, or empty.
              type: str
            command:
              description: Its command line without what looks like a secret, at most 300 characters.
              type: str
            parent_name:
              description: The parent that should have taken note.
              type: str
        uninterruptible:
          description: Those that waited for a device at both ends of the sample.
          type: list
          elements: dict
          contains:
            pid:
              description: Its number.
              type: int
            parent_pid:
              description: Its parent's number.
              type: int
            name:
              description: Its short name.
              type: str
            state:
              description: The kernel's letter for its state.
              type: str
            user:
              description: Who it belongs to.
              type: str
            unit:
              description: Its systemd unit, or empty.
              type: str
            resident_bytes:
              description: Memory that it has.
              type: int
            memory_percent:
              description: That memory, of the machine's.
              type: float
            age_seconds:
              description: Seconds since it started.
              type: int
            waits_in:
              description: Where in the kernel it waits, or empty.
              type: str
            command:
              description: Its command line without what looks like a secret, at most 300 characters.
              type: str
        expected:
          description: The processes of O(expected_processes).
          type: list
          elements: dict
          contains:
            name:
              description: The declared name.
              type: str
            pattern:
              description: The pattern.
              type: str
            found_count:
              description: Processes that match.
              type: int
            min_count:
              description: The fewest that there must be.
              type: int
            max_count:
              description: The most that there may be.
              type: int
            is_met:
              description: Whether the number is within both.
              type: bool
    oom:
      description: Programs that the kernel killed for memory.
      type: dict
      contains:
        kills:
          description: Kills within O(oom_since), oldest first, by the journal or the kernel's own messages.
          type: list
          elements: dict
          contains:
            at:
              description: When.
              type: str
            pid:
              description: The process. V(null) when only systemd told of it.
              type: int
            name:
              description: Its name.
              type: str
            unit:
              description: Its unit, where the kernel named it.
              type: str
            scope:
              description:
                - V(limit) when the limit of a group was reached, V(machine) when the machine had no memory
                  left, or V(unknown).
              type: str
            limited_by:
              description: The group whose limit it was.
              type: str
            resident_bytes:
              description: Memory that it had.
              type: int
            message:
              description: The message.
              type: str
        recent_count:
          description: >-
            How many. V(null) if the messages cannot be read, or if those that were read name none and do not reach back
            so far.
          type: int
        since_seconds:
          description: How far back was looked.
          type: int
        since_boot_count:
          description: The kernel's counter, of the whole machine since it booted.
          type: int
        groups:
          description: Control groups that exist and in which somebody was killed.
          type: list
          elements: dict
          contains:
            group:
              description: The control group.
              type: str
            unit:
              description: Its unit.
              type: str
            oom_kills_count:
              description: How many were killed.
              type: int
            limit_bytes:
              description: Its limit.
              type: int
            limit_used_bytes:
              description: What is used.
              type: int
            limit_used_percent:
              description: The same in percent.
              type: float
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.runbook.ops.plugins.module_utils.common.clock import iso, reference_moment, utc_now
from ansible_collections.runbook.ops.plugins.module_utils.common.errors import RunbookError
from ansible_collections.runbook.ops.plugins.module_utils.host.collect import collect
from ansible_collections.runbook.ops.plugins.module_utils.host.options import checked, host_argument_spec
from ansible_collections.runbook.ops.plugins.module_utils.host.reading import Machine


def argument_spec() -> dict[str, Any]:
    return host_argument_spec()


def main() -> None:
    module = AnsibleModule(argument_spec=argument_spec(), supports_check_mode=True)
    try:
        options = checked(module.params)
        moment = reference_moment(options["reference_time"])
        now = utc_now()
        facts = collect(Machine(options), now, moment)
    except RunbookError as error:
        module.fail_json(msg=error.message, **error.details)
    module.exit_json(changed=False, available=True, reason=None, measured_at=iso(now), **facts)


if __name__ == "__main__":
    main()
