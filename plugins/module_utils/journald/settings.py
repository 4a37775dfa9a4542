# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""journald's limits: which there are, what they may say, and the drop-in that says it. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption

MARK = "# Written by runbook.ops.journald_limits; changes by hand are lost."
SIZES = {
    "system_max_use": "SystemMaxUse",
    "system_keep_free": "SystemKeepFree",
    "system_max_file_size": "SystemMaxFileSize",
    "runtime_max_use": "RuntimeMaxUse",
}
TIMES = {"max_retention": "MaxRetentionSec", "max_file": "MaxFileSec"}
STORAGES = ("auto", "persistent", "volatile")
# So C(systemd-analyze cat-config) says where a file begins.
_HEADER = re.compile(r"# (/\S+\.conf)")
_SIZE = re.compile(r"([1-9]\d*)([KMGT]?)")
_UNITS = {"": 1, "K": 1024, "M": 1024**2, "G": 1024**3, "T": 1024**4}
_TIME = re.compile(r"([1-9]\d*)(s|min|h|day|week|month|year)?")
_SECONDS = {"": 1, "s": 1, "min": 60, "h": 3600, "day": 86400, "week": 604800, "month": 2629800, "year": 31557600}


def size_bytes(option: str, text: str) -> int:
    """Bytes of C(500M); raises InvalidOption."""
    match = _SIZE.fullmatch(text)
    if match is None:
        raise InvalidOption(option, text, "a number with K, M, G or T, such as 500M")
    return int(match.group(1)) * _UNITS[match.group(2)]


def time_seconds(option: str, text: str) -> int:
    """Seconds of C(1month), as systemd counts them; raises InvalidOption."""
    match = _TIME.fullmatch(text)
    if match is None:
        raise InvalidOption(option, text, "a number with s, min, h, day, week, month or year, such as 30day")
    return int(match.group(1)) * _SECONDS[match.group(2) or ""]


def wanted_settings(options: Mapping[str, Any]) -> dict[str, str]:
    """The lines of the drop-in by their names; raises InvalidOption."""
    found: dict[str, str] = {}
    for name, key in SIZES.items():
        if options[name]:
            size_bytes(name, options[name])
            found[key] = options[name]
    for name, key in TIMES.items():
        if options[name]:
            time_seconds(name, options[name])
            found[key] = options[name]
    if options["storage"]:
        found["Storage"] = options["storage"]
    if not found and options["state"] == "present":
        raise InvalidOption("system_max_use", None, "at least one limit with state=present")
    return found


def render(settings: Mapping[str, str]) -> str:
    """The text of the drop-in."""
    return "\n".join([MARK, "[Journal]", *(f"{key}={value}" for key, value in settings.items()), ""])


def effective(text: str) -> dict[str, str]:
    """What holds of all that C(systemd-analyze cat-config) shows: the last line wins, an empty one resets."""
    found: dict[str, str] = {}
    for line in text.splitlines():
        key, sign, value = line.strip().partition("=")
        if sign and not key.startswith(("#", ";")):
            found[key.strip()] = value.strip()
    return {key: value for key, value in found.items() if value}


def uncovered(text: str, path: str, settings: Mapping[str, str]) -> dict[str, str]:
    """What comes into force because a file does not say it any more: by other files, or empty, journald's default.

    Args:
        text: What C(systemd-analyze cat-config) shows.
        path: The file.
        settings: What it will say; nothing if it goes.

    """
    lines: list[str] = []
    is_other = True
    for line in text.splitlines():
        header = _HEADER.fullmatch(line)
        is_other = header.group(1) != path if header else is_other
        if is_other:
            lines.append(line)
    others = effective("\n".join(lines))
    return {
        key: others.get(key, "")
        for key, value in effective(text).items()
        if key not in settings and others.get(key) != value
    }


def default_max_use(file_system_bytes: int) -> int:
    """What journald limits itself to if nobody says anything: a tenth of the file system, at most 4 GiB."""
    return min(max(file_system_bytes // 10, _UNITS["M"]), 4 * _UNITS["G"])


def deleted_bytes(settings: Mapping[str, str], use_bytes: int, default_bytes: Optional[int] = None) -> int:
    """How much of the journal goes as soon as the limit of its size holds; an empty one is the default."""
    limit = settings.get("SystemMaxUse")
    most = size_bytes("SystemMaxUse", limit) if limit else default_bytes
    return max(0, use_bytes - most) if limit is not None and most is not None else 0


def usage_bytes(text: str) -> Optional[int]:
    """What C(journalctl --disk-usage) says, such as C(56.0M)."""
    match = re.search(r"take up ([\d.]+)([BKMGT]?)", text)
    return int(float(match.group(1)) * _UNITS[match.group(2).replace("B", "")]) if match else None
