# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pending updates as the package manager's own dry run lists them. Pure."""

from __future__ import annotations

import re
from typing import Any

_INST = re.compile(r"^Inst (\S+)(?: \[(\S+)\])? \((\S+)(?: ([^\[\)]*?))?(?: \[[^\]]*\])?\)")


def pending_of(text: str) -> list[dict[str, Any]]:
    """The lines C(Inst) of C(apt-get -s dist-upgrade): what would be updated, and whether for security.

    What has no version yet is new, and no update.
    """
    found = []
    for line in text.splitlines():
        match = _INST.match(line)
        if match and match[2]:
            origin = (match[4] or "").lower()
            found.append(
                {
                    "name": match[1],
                    "installed": match[2],
                    "candidate": match[3],
                    "is_security": "-security" in origin or "security:" in origin,
                }
            )
    return found
