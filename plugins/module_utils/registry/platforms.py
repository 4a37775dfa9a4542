# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Platforms that images are made for: read, named and compared. Pure.

Variants are compared as containerd does (https://github.com/containerd/platforms): arm64 is arm64/v8, amd64 is
amd64/v1, arm is arm/v7, and a processor runs what was made for an older variant of its architecture.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption

_ARCHITECTURES = {
    "x86_64": "amd64",
    "x86-64": "amd64",
    "aarch64": "arm64",
    "armhf": "arm",
    "i386": "386",
    "i686": "386",
}
_USUAL = {"arm64": "v8", "amd64": "v1", "arm": "v7"}
_WORD = re.compile(r"^[a-z0-9_.-]+$")
_NUMBER = re.compile(r"^v([0-9]+)$")


@dataclass(frozen=True)
class Platform:
    """C(variant) is empty where it is the usual one of its architecture, or not told."""

    os: str
    architecture: str
    variant: str = ""

    @property
    def shown(self) -> str:
        """As Docker writes it."""
        return "/".join(part for part in (self.os, self.architecture, self.variant) if part)

    def runs(self, made_for: Platform) -> bool:
        """Whether a machine of this platform runs an image that was made for another."""
        if (self.os, self.architecture) != (made_for.os, made_for.architecture):
            return False
        if self.variant == made_for.variant:
            return True
        # Kubernetes says of a node that it is arm, and not which.
        if self.architecture == "arm" and not self.variant:
            return True
        mine, its = (_number(each.variant or _USUAL.get(self.architecture, "")) for each in (self, made_for))
        return mine is not None and its is not None and its <= mine


def _number(variant: str) -> Optional[int]:
    found = _NUMBER.match(variant)
    return int(found.group(1)) if found else None


def platform_of(os: str, architecture: str, variant: str = "") -> Platform:
    """A platform by one of its names."""
    architecture = _ARCHITECTURES.get(architecture.lower(), architecture.lower())
    variant = variant.lower()
    if variant and not variant.startswith("v") and variant.isdigit():
        variant = f"v{variant}"
    is_usual = architecture != "arm" and variant == _USUAL.get(architecture)
    return Platform(os.lower(), architecture, "" if is_usual else variant)


def platform_in(document: Any) -> Optional[Platform]:
    """The platform in an entry of an index or in a configuration; None where there is none.

    Attestations that builders put beside images say C(unknown/unknown).
    """
    if not isinstance(document, dict):
        return None
    words = [document.get(name) for name in ("os", "architecture")]
    if not all(isinstance(word, str) and word and word != "unknown" for word in words):
        return None
    return platform_of(str(words[0]), str(words[1]), str(document.get("variant") or ""))


def parse_platform(text: str, option: str = "platforms") -> Platform:
    """Read C(os/architecture) or C(os/architecture/variant); raises InvalidOption."""
    parts = text.split("/")
    if len(parts) not in (2, 3) or not all(_WORD.match(part.lower()) for part in parts):
        raise InvalidOption(option, text, "os/architecture, such as linux/amd64, linux/arm64 or linux/arm/v7")
    return platform_of(*parts)
