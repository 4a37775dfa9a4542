# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The sections about the machine itself: listening services, updates, secrets, modes of files, the kernel."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import RunbookError
from ansible_collections.runbook.ops.plugins.module_utils.packages.manager import manager_of
from ansible_collections.runbook.ops.plugins.module_utils.security.commands import search_path
from ansible_collections.runbook.ops.plugins.module_utils.security.hba import open_lines
from ansible_collections.runbook.ops.plugins.module_utils.security.machine import BECOME, Machine, expand, read_text
from ansible_collections.runbook.ops.plugins.module_utils.security.modes import (
    CRON,
    TRUSTED,
    readable_keys,
    writable_files,
)
from ansible_collections.runbook.ops.plugins.module_utils.security.readable import Walk
from ansible_collections.runbook.ops.plugins.module_utils.security.services import probe_services, try_logins
from ansible_collections.runbook.ops.plugins.module_utils.security.skipping import Skipped

_SYSCTLS = (
    "kernel.randomize_va_space",
    "kernel.kptr_restrict",
    "kernel.dmesg_restrict",
    "kernel.yama.ptrace_scope",
    "kernel.unprivileged_bpf_disabled",
    "fs.protected_hardlinks",
    "fs.protected_symlinks",
    "fs.suid_dumpable",
    "net.ipv4.tcp_syncookies",
    "net.ipv4.ip_forward",
    "net.ipv4.conf.all.rp_filter",
    "net.ipv4.conf.all.accept_redirects",
    "net.ipv4.conf.all.accept_source_route",
)
# Only read: nothing of these is written or waited for.
_PACKAGES = {"manager": "auto", "query_timeout": "5m", "lock_timeout": "1m", "state_directory": "/nonexistent"}


def listening(machine: Machine) -> dict[str, Any]:
    """What listens, whether it asks for a password, and declared default passwords."""
    sockets = [each for each in machine.sockets if each.state == "listening"]
    if os.geteuid() != 0 and any(each.pid is None for each in sockets):
        machine.gap("listening.process", "processes of other users cannot be seen", BECOME)
    lines = []
    for pattern in machine.options["pg_hba_paths"]:
        for path in expand(pattern):
            text = read_text(path)
            if text is None:
                machine.gap("listening.pg_hba", f"{path} cannot be read", BECOME)
            else:
                lines += open_lines(text, path)
    return {
        "sockets": [each.facts() for each in sorted(sockets, key=lambda one: (one.port, one.protocol, one.address))],
        "services": probe_services(sockets) if machine.options["probe_services"] else [],
        "default_logins": try_logins(machine.options["default_logins"]),
        "pg_hba": lines,
    }


def updates(machine: Machine) -> dict[str, Any]:
    """Updates that are pending by the lists that are there, how old those are, and whether they come by themselves."""
    manager = manager_of(_PACKAGES)
    if manager is None:
        raise Skipped("there is neither apt-get nor dnf", "Leave the section updates out on other systems.")
    try:
        pending = [each for each in manager.pending().installs if each.installed]
    except RunbookError as error:
        raise Skipped(error.message, "Correct what it says.") from None
    read_at = manager.lists_at()
    if read_at is None:
        # Without lists nothing is pending, and that means nothing.
        machine.gap("updates", "there are no package lists", "Run apt-get update, or dnf makecache.")
    secure = [each for each in pending if each.security]
    return {
        "pending_count": len(pending) if read_at else None,
        "security_count": len(secure) if read_at else None,
        "security": [each.facts() for each in secure],
        "lists_age_seconds": round(max(0.0, time.time() - read_at)) if read_at else None,
        "unattended": _unattended(machine) if manager.name == "apt" else None,
        "reboot_required": any(Path(path).exists() for path in ("/run/reboot-required", "/var/run/reboot-required")),
    }


def _unattended(machine: Machine) -> dict[str, Any]:
    program = shutil.which("unattended-upgrade", path=search_path())
    configured = machine.run(["apt-config", "dump", "APT::Periodic"])
    settings = dict(line.rstrip(";").split(" ", 1) for line in configured.out.splitlines() if " " in line)
    wanted = settings.get("APT::Periodic::Unattended-Upgrade", '"0"').strip('"') not in ("", "0")
    timer = machine.run(["systemctl", "is-enabled", "apt-daily-upgrade.timer"])
    enabled = None if timer.code is None else timer.out.strip() in ("enabled", "static", "enabled-runtime")
    return {
        "is_installed": program is not None,
        "is_configured": wanted,
        "timer_enabled": enabled,
        "is_active": None if enabled is None else bool(program) and wanted and enabled,
    }


def secrets(machine: Machine) -> dict[str, Any]:
    """Secrets that everybody can read, under the declared roots."""
    options = machine.options
    walk = Walk(options["max_files"], float(options["timeout"]), options["top"], options["secret_ignore"])
    found = walk.run(options["secret_roots"])
    if not walk.is_complete:
        machine.gap("secrets", walk.reason, "Name narrower secret_roots, or raise max_files or timeout.")
    return found


def files(machine: Machine) -> dict[str, Any]:
    """Modes of private files and of those that root trusts."""
    return {
        "readable_keys": readable_keys(machine.options["key_files"]),
        "writable": writable_files(TRUSTED.split()),
        "writable_cron": writable_files(CRON.split()),
    }


def kernel(machine: Machine) -> dict[str, Any]:
    """Settings of the kernel by their name with underscores; null where the kernel has none of that name."""
    found: dict[str, Any] = {name.replace(".", "_"): _sysctl(name) for name in _SYSCTLS}
    guards = {}
    for unit in ("auditd", "fail2ban", "apparmor"):
        answer = machine.run(["systemctl", "is-active", unit])
        guards[unit] = None if answer.code is None else answer.out.strip() == "active"
    return {"settings": found, "guards": guards}


def _sysctl(name: str) -> Optional[int]:
    text = (read_text("/proc/sys/" + name.replace(".", "/")) or "").strip()
    return int(text) if text.lstrip("-").isdigit() else None
