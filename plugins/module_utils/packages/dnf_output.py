# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What dnf and rpm say, read. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Set

from ansible_collections.runbook.ops.plugins.module_utils.packages.apt_output import Simulated
from ansible_collections.runbook.ops.plugins.module_utils.packages.model import Installed, Update

_SECTIONS = {
    "Installing:": "install",
    "Upgrading:": "install",
    "Downgrading:": "install",
    "Reinstalling:": "install",
    "Installing dependencies:": "install",
    "Installing weak dependencies:": "install",
    "Removing:": "remove",
    "Removing dependent packages:": "remove",
    "Removing unused dependencies:": "remove",
}


def with_epoch(version: str) -> str:
    """The version with its epoch, as rpm compares it: C(1.2-3) is C(0:1.2-3)."""
    return version if ":" in version else f"0:{version}"


def read_rpm(text: str) -> dict[str, Installed]:
    """Lines C(name TAB epoch:version-release TAB architecture); of several versions the last that is listed."""
    found = {}
    for line in text.splitlines():
        name, version, _architecture = [*line.split("\t"), "", ""][:3]
        if name and version:
            found[name] = Installed(version)
    return found


def read_check_update(text: str, installed: Mapping[str, Installed], security: Set[str]) -> list[Update]:
    """The lines of C(dnf check-update), up to what it says about obsolete packages."""
    found = []
    for line in text.splitlines():
        if line.startswith("Obsoleting"):
            break
        fields = line.split()
        if len(fields) != 3 or "." not in fields[0]:
            continue
        name, _separator, architecture = fields[0].rpartition(".")
        version = with_epoch(fields[1])
        now = installed.get(name)
        if now is not None:
            advised = f"{name}-{version.split(':', 1)[1]}.{architecture}" in security
            found.append(Update(name, now.version, version, architecture, fields[2], advised))
    return found


def read_security(text: str) -> set[str]:
    """The packages in lines C(RHSA-2026:0001 Important/Sec. name-version-release.arch), without their epoch."""
    found = set()
    for line in text.splitlines():
        fields = line.split()
        if len(fields) == 3 and fields[1].lower().endswith("sec."):
            head, separator, tail = fields[2].rpartition(":")
            # name-1:2.3-4.x86_64
            found.add(f"{head.rpartition('-')[0]}-{tail}" if separator else fields[2])
    return found


def read_transaction(text: str, installed: Mapping[str, Installed]) -> Simulated:
    """The table that dnf shows before it asks: package, architecture, version, repository, size."""
    found = Simulated()
    section = ""
    for line in text.splitlines():
        if line.strip() in _SECTIONS:
            section = _SECTIONS[line.strip()]
        elif line.startswith("Transaction Summary"):
            break
        elif section and line.startswith(" ") and len(fields := line.split()) >= 4:
            name, architecture, version, origin = fields[:4]
            if section == "remove":
                found.removals.append(name)
            else:
                now = installed.get(name)
                found.installs.append(
                    Update(name, now.version if now else None, with_epoch(version), architecture, origin)
                )
    return found
