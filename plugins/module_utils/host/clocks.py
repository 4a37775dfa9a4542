# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether the clock is kept right, and by whom. Pure but for one system call that only reads."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Mapping
from typing import Any, Optional

# adjtimex(2)
_UNSYNCHRONIZED = 0x0040
_NANOSECONDS = 0x2000
_CLOCK_IN_ERROR = 5


class _Timex(ctypes.Structure):
    _fields_ = [
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("constant", ctypes.c_long),
        ("precision", ctypes.c_long),
        ("tolerance", ctypes.c_long),
        ("rest", ctypes.c_byte * 256),
    ]


def kernel_clock() -> Optional[dict[str, Any]]:
    """What the kernel knows of its own clock (adjtimex(2) with no modes set); None where it does not tell."""
    timex = _Timex()
    try:
        state = ctypes.CDLL(None, use_errno=True).adjtimex(ctypes.byref(timex))
    except (OSError, AttributeError):
        return None
    if state < 0:
        return None
    scale = 1e9 if timex.status & _NANOSECONDS else 1e6
    return {
        "is_synchronized": state != _CLOCK_IN_ERROR and not timex.status & _UNSYNCHRONIZED,
        "offset_seconds": round(timex.offset / scale, 6),
        "max_error_seconds": round(timex.maxerror / 1e6, 6),
    }


def read_timedatectl(text: str) -> dict[str, str]:
    """C(timedatectl show)."""
    return dict(line.split("=", 1) for line in text.splitlines() if "=" in line)


def read_chrony(text: str) -> Optional[dict[str, Any]]:
    """C(chronyc -c tracking): the values of C(tracking) in their order, between commas."""
    words = text.strip().split(",")
    if len(words) < 14:
        return None
    reference, name, stratum, leap = words[0], words[1], words[2], words[13]
    return {
        "service": "chrony",
        "server": name or None,
        "stratum": int(stratum) if stratum.isdigit() else None,
        "offset_seconds": _float(words[4]),
        "is_synchronized": leap != "Not synchronised" and reference not in ("00000000", ""),
    }


def read_ntpq(text: str) -> Optional[dict[str, Any]]:
    """C(ntpq -c rv): names and values between commas; the offset is in milliseconds."""
    pairs = {}
    for part in text.replace("\n", " ").split(","):
        name, separator, value = part.strip().partition("=")
        if separator:
            pairs[name.split()[-1]] = value.strip('" ')
    if "stratum" not in pairs:
        return None
    offset = _float(pairs.get("offset", ""))
    stratum = int(pairs["stratum"]) if pairs["stratum"].isdigit() else None
    return {
        "service": "ntpd",
        "server": pairs.get("refid") or None,
        "stratum": stratum,
        "offset_seconds": None if offset is None else offset / 1000,
        "is_synchronized": "leap_alarm" not in text and stratum is not None and stratum < 16,
    }


def clock_facts(
    kernel: Optional[Mapping[str, Any]],
    timedatectl: Mapping[str, str],
    client: Optional[Mapping[str, Any]],
    container: str,
) -> dict[str, Any]:
    """One picture of three sources: a client that runs knows best, then the kernel, then what systemd remembers."""
    said = timedatectl.get("NTPSynchronized")
    synchronized = (client or {}).get("is_synchronized")
    if synchronized is None and kernel is not None:
        synchronized = kernel["is_synchronized"]
    if synchronized is None and said in ("yes", "no"):
        synchronized = said == "yes"
    offset = (client or {}).get("offset_seconds")
    if offset is None and kernel is not None and kernel["is_synchronized"]:
        offset = kernel["offset_seconds"]
    service = (client or {}).get("service")
    if service is None and timedatectl.get("NTP") == "yes":
        service = "systemd-timesyncd"
    return {
        "is_synchronized": synchronized,
        "offset_seconds": offset,
        "offset_abs_seconds": None if offset is None else abs(offset),
        "max_error_seconds": kernel["max_error_seconds"] if kernel else None,
        "service": service,
        "server": (client or {}).get("server"),
        "stratum": (client or {}).get("stratum"),
        "timezone": timedatectl.get("Timezone") or os.environ.get("TZ") or None,
        # A container has the clock of the machine below: it is that machine's to set.
        "is_own_clock": not container,
    }


def _float(text: str) -> Optional[float]:
    try:
        return float(text)
    except ValueError:
        return None
