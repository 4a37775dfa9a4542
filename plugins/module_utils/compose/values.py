# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Docker's sizes and moments as numbers. Pure."""

from __future__ import annotations

import datetime as dt
import re
from typing import Any, Optional

_SIZE = re.compile(r"\s*([\d.]+(?:e[+-]?\d+)?)\s*([kmgtp]?)(i?)b?\s*", re.IGNORECASE)
_POWER = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4, "p": 5}
# Docker gives nine digits of a second, Python 3.9 takes six.
_MOMENT = re.compile(r"(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d:\d\d)(?:\.\d+)?\s*(Z|[+-]\d\d:?\d\d)")


def size_bytes(text: Any) -> int | None:
    """Bytes of a size as C(docker system df) (decimal: 1.98MB) or C(docker stats) (binary: 668KiB) writes it.

    Compose's own sizes (C(512m)) are binary without the i: see C(memory_bytes). None for what is no size.
    """
    found = _SIZE.fullmatch(str(text))
    if found is None:
        return None
    base = 1024 if found.group(3) else 1000
    return round(float(found.group(1)) * float(base ** _POWER[found.group(2).lower()]))


def memory_bytes(value: Any) -> int | None:
    """Bytes of a limit in a Compose file: a number, or with b, k, m, g as powers of 1024."""
    found = _SIZE.fullmatch(str(value)) if value not in (None, "") else None
    if found is None:
        return None
    return round(float(found.group(1)) * float(1024 ** _POWER[found.group(2).lower()])) or None


def percent(text: Any) -> float | None:
    """The number before a percent sign."""
    try:
        return float(str(text).rstrip("% "))
    except ValueError:
        return None


def moment_of(text: Any) -> Optional[dt.datetime]:
    """A moment as the engine writes it; None for its zero, which means never."""
    found = _MOMENT.match(str(text or ""))
    if found is None or found.group(1).startswith("0001"):
        return None
    zone = "+0000" if found.group(3) == "Z" else found.group(3).replace(":", "")
    return dt.datetime.strptime(f"{found.group(1)} {found.group(2)} {zone}", "%Y-%m-%d %H:%M:%S %z")
