# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lines of pg_hba.conf that let somebody in without a password. Pure."""

from __future__ import annotations

from typing import Any

_KINDS = ("local", "host", "hostssl", "hostnossl", "hostgssenc", "hostnogssenc")


def open_lines(text: str, path: str) -> list[dict[str, Any]]:
    """Lines whose method is C(trust), or C(password), which sends it readable; C(is_network) unless loopback."""
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        words = line.split("#", 1)[0].split()
        if len(words) < 4 or words[0] not in _KINDS:
            continue
        local = words[0] == "local"
        address = "" if local else words[3]
        rest = words[3:] if local else words[4:]
        # The address may be followed by its mask in a word of its own.
        method = next((word for word in rest if word.isalpha() or "-" in word), "")
        if method in ("trust", "password"):
            found.append(
                {
                    "path": path,
                    "line": number,
                    "kind": words[0],
                    "database": words[1],
                    "user": words[2],
                    "address": address,
                    "method": method,
                    "is_network": not local and not address.startswith(("127.", "::1", "localhost")),
                }
            )
    return found
