# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What holds for an entry: logrotate's defaults, then the global directives before it, then its own. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from ansible_collections.runbook.ops.plugins.module_utils.rotation.syntax import Directive

FREQUENCIES = ("hourly", "daily", "weekly", "monthly", "yearly")
_UNITS = {"": 1, "k": 1024, "m": 1024**2, "g": 1024**3}
_SIZE = re.compile(r"(\d+)\s*([kmg]?)", re.IGNORECASE)
_MODE = re.compile(r"[0-7]{3,4}")


@dataclass(frozen=True)
class Settings:
    """The directives that decide what happens to a file. Of C(create) the parts that are not given are None."""

    frequency: str | None = None
    size_bytes: int | None = None
    min_size_bytes: int | None = None
    max_size_bytes: int | None = None
    rotate: int = 0
    max_age_days: int | None = None
    is_compressed: bool = False
    is_compression_delayed: bool = False
    is_copy_truncate: bool = False
    is_copy: bool = False
    is_created: bool = False
    create_mode: str | None = None
    create_owner: str | None = None
    create_group: str | None = None
    su_user: str | None = None
    su_group: str | None = None
    has_shared_scripts: bool = False
    is_missing_ok: bool = False
    is_empty_rotated: bool = True
    has_date: bool = False
    old_directory: str | None = None
    compress_extension: str = ".gz"


def parse_size(text: str) -> int | None:
    """Bytes of C(100k), C(10M) or C(1G); None if it is none of them."""
    match = _SIZE.fullmatch(text.strip().lstrip("=").strip())
    return int(match.group(1)) * _UNITS[match.group(2).lower()] if match else None


def applied(settings: Settings, directive: Directive) -> Settings:
    """The settings after one more directive; unknown ones change nothing here, logrotate itself complains of them."""
    name, argument = directive.name, directive.argument
    if name in FREQUENCIES:
        # The last one wins: a frequency after a size makes the size void, and the other way round.
        return replace(settings, frequency=name, size_bytes=None)
    if name in _FLAGS:
        return replace(settings, **_FLAGS[name])
    reader = _VALUES.get(name)
    return replace(settings, **reader(argument)) if reader else settings


_FLAGS: dict[str, dict[str, Any]] = {
    "compress": {"is_compressed": True},
    "nocompress": {"is_compressed": False},
    "delaycompress": {"is_compression_delayed": True},
    "nodelaycompress": {"is_compression_delayed": False},
    "copytruncate": {"is_copy_truncate": True},
    "nocopytruncate": {"is_copy_truncate": False},
    "copy": {"is_copy": True},
    "nocopy": {"is_copy": False},
    "nocreate": {"is_created": False},
    "sharedscripts": {"has_shared_scripts": True},
    "nosharedscripts": {"has_shared_scripts": False},
    "missingok": {"is_missing_ok": True},
    "nomissingok": {"is_missing_ok": False},
    "ifempty": {"is_empty_rotated": True},
    "notifempty": {"is_empty_rotated": False},
    "dateext": {"has_date": True},
    "nodateext": {"has_date": False},
    "noolddir": {"old_directory": None},
}


def _number(key: str) -> Callable[[str], dict[str, Any]]:
    return lambda argument: {key: int(argument)} if argument.lstrip("-").isdigit() else {}


def _create(argument: str) -> dict[str, Any]:
    words = argument.split()
    mode = words.pop(0) if words and _MODE.fullmatch(words[0]) else None
    owner, group = [*words, None, None][:2]
    return {"is_created": True, "create_mode": mode, "create_owner": owner, "create_group": group}


def _su(argument: str) -> dict[str, Any]:
    user, group = [*argument.split(), None, None][:2]
    return {"su_user": user, "su_group": group}


_VALUES: dict[str, Callable[[str], dict[str, Any]]] = {
    "rotate": _number("rotate"),
    "maxage": _number("max_age_days"),
    "size": lambda argument: {"size_bytes": parse_size(argument), "frequency": None},
    "minsize": lambda argument: {"min_size_bytes": parse_size(argument)},
    "maxsize": lambda argument: {"max_size_bytes": parse_size(argument)},
    "create": _create,
    "su": _su,
    "olddir": lambda argument: {"old_directory": argument.strip("\"'")},
    "compressext": lambda argument: {"compress_extension": argument.strip("\"'")},
}
