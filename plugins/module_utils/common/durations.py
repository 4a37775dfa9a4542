# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Durations in module options: C(1h), C(1h30m), C(7d), or a number of seconds."""

from __future__ import annotations

import re

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption

_SECONDS = {"w": 604800, "d": 86400, "h": 3600, "m": 60, "s": 1}
_AMOUNTS = re.compile(r"(?:(\d+)w)?\s*(?:(\d+)d)?\s*(?:(\d+)h)?\s*(?:(\d+)m)?\s*(?:(\d+)s)?", re.IGNORECASE)
_ACCEPTED = "a whole number of seconds, or amounts with w, d, h, m, s, largest first, such as 1h30m or 7d"


def parse_seconds(text: str, option: str) -> int:
    """Whole seconds, at least one; InvalidOption for anything else."""
    cleaned = text.strip() if text.isascii() else ""
    if cleaned.isdigit():
        seconds = int(cleaned)
    else:
        match = _AMOUNTS.fullmatch(cleaned) if cleaned else None
        if match is None:
            raise InvalidOption(option, text, _ACCEPTED)
        seconds = sum(int(amount or 0) * size for amount, size in zip(match.groups(), _SECONDS.values()))
    if seconds < 1:
        raise InvalidOption(option, text, _ACCEPTED)
    return seconds
