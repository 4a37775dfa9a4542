# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Updates of packages as facts, and what their version numbers say. Pure."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Optional

SECURITY, MINOR, MAJOR = "security", "minor", "major"
CLASSES = (SECURITY, MINOR, MAJOR)
KERNELS = ("linux-image-*", "linux-headers-*", "linux-modules-*", "kernel", "kernel-core", "kernel-modules*")
_NUMBERS = re.compile(r"\d+|[^\d]+")


@dataclass(frozen=True)
class Installed:
    """A package that is there; C(whole) is false when an installation broke off, or its script failed."""

    version: str
    whole: bool = True


@dataclass(frozen=True)
class Update:
    """A newer version of a package; C(installed) None is a package that comes in beside it."""

    name: str
    installed: Optional[str]
    candidate: str
    architecture: str = ""
    origin: str = ""
    security: bool = False
    held: bool = False

    @property
    def kind(self) -> str:
        """Its class for an approval: security whatever the number says, else by the first number of the version."""
        if self.security:
            return SECURITY
        return MAJOR if self.installed and leading(self.installed) != leading(self.candidate) else MINOR

    def facts(self) -> dict[str, Any]:
        """The entry of a module's C(updates)."""
        return {
            "name": self.name,
            "installed": self.installed,
            "candidate": self.candidate,
            "architecture": self.architecture,
            "origin": self.origin,
            "is_security": self.security,
            "is_held": self.held,
            "is_kernel": matches(self.name, KERNELS),
            "class": self.kind,
        }


def leading(version: str) -> str:
    """The first number of an upstream version, without the epoch: C(1:9.18.2-1) has 9."""
    upstream = version.split(":", 1)[-1]
    found = re.search(r"\d+", upstream)
    return found[0].lstrip("0") if found else upstream


def matches(name: str, patterns: Iterable[str]) -> bool:
    """Whether a package or a unit has one of the names, in which C(*) stands for anything."""
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)


def natural(version: str) -> list[tuple[int, Any]]:
    """A key that sorts 6.1.0-9 before 6.1.0-10, for releases of kernels."""
    return [(1, int(part)) if part.isdigit() else (0, part) for part in _NUMBERS.findall(version)]


def newest(releases: Sequence[str]) -> Optional[str]:
    """The newest kernel of those that are installed."""
    return max(releases, key=natural) if releases else None
