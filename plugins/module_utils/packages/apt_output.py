# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What apt-get and dpkg say, read. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Optional

from ansible_collections.runbook.ops.plugins.module_utils.packages.model import Installed, Update

# Inst shop-web [1.0] (1.1 Debian-Security:12/stable-security [all])
_INSTALL = re.compile(r"^Inst ([^\s:]+)(?::\S+)?(?: \[([^\]]+)\])? \((\S+) ?([^\[]*)\[([^\]]+)\]\)")
_REMOVE = re.compile(r"^(?:Remv|Purg) ([^\s:]+)(?::\S+)?(?: \[([^\]]+)\])?")
_KEPT_BACK = "have been kept back:"


@dataclass
class Simulated:
    """What a run would do."""

    installs: list[Update] = field(default_factory=list)
    removals: list[str] = field(default_factory=list)
    kept_back: list[str] = field(default_factory=list)


def read_simulation(text: str, held: frozenset[str] = frozenset()) -> Simulated:
    """The lines of C(apt-get --simulate)."""
    found = Simulated()
    in_kept = False
    for line in text.splitlines():
        if line.endswith(_KEPT_BACK):
            in_kept = True
            continue
        in_kept = in_kept and line.startswith(" ")
        if in_kept:
            found.kept_back.extend(line.split())
        elif match := _INSTALL.match(line):
            name, installed, candidate, origin, architecture = match.groups()
            origin = origin.strip().rstrip(",")
            found.installs.append(
                Update(name, installed, candidate, architecture, origin, is_security(origin), name in held)
            )
        elif match := _REMOVE.match(line):
            found.removals.append(match[1])
    return found


def is_security(origin: str) -> bool:
    """Whether a version comes from a security archive: Debian by its label, Ubuntu by its suite."""
    return any(
        "security" in part.split(":", 1)[0].lower() or part.rsplit("/", 1)[-1].endswith("-security")
        for part in origin.replace(",", " ").split()
    )


def read_versions(text: str, native: str) -> dict[str, Installed]:
    """Lines C(status TAB package TAB architecture TAB version) of what is there, also of what is there by half."""
    found = {}
    for line in text.splitlines():
        status, name, architecture, version = (line.split("\t") + [""] * 4)[:4]
        # Not installed and only configuration left have no files.
        if version and status[1:2] not in ("n", "c") and architecture in (native, "all"):
            found[name] = Installed(version, status[1:2] in ("i", "W", "t"))
    return found


def kernels(names: Iterable[str]) -> list[str]:
    """The releases of the kernels whose packages are installed, as C(uname -r) names them."""
    return [
        name[len("linux-image-") :].replace("unsigned-", "")
        for name in names
        if re.match(r"linux-image-(unsigned-)?\d", name) and not name.endswith("-dbg")
    ]


def first_error(text: str) -> Optional[str]:
    """The first line that says what went wrong."""
    return next((line[2:].strip() for line in text.splitlines() if line.startswith("E:")), None)
