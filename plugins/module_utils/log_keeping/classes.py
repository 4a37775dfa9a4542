# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Retention classes: what is kept for how long, where, and what may only go when it is proven elsewhere. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.common.durations import parse_seconds
from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption
from ansible_collections.runbook.ops.plugins.module_utils.rotation.logs import is_database_own

# What holds for a class by its name, unless it says otherwise.
KEEP = {"real_time": "7d", "error": "30d", "audit": "365d", "security": "1095d"}
# Never deleted without the proof that they lie in the object store.
PROTECTED = ("audit", "security")


def class_argument_spec() -> dict[str, dict[str, Any]]:
    """The suboptions of one class."""
    return {
        "name": {"type": "str", "required": True},
        "paths": {"type": "list", "elements": "str", "required": True},
        "keep": {"type": "str"},
        "keep_local": {"type": "str"},
        "export": {"type": "bool"},
        "redact": {"type": "bool", "default": False},
    }


@dataclass(frozen=True)
class RetentionClass:
    """One class; times in seconds."""

    name: str
    paths: tuple[str, ...]
    keep_seconds: int
    keep_local_seconds: Optional[int]
    is_exported: bool
    is_redacted: bool


def retention_classes(given: Iterable[Mapping[str, Any]]) -> list[RetentionClass]:
    """The classes of the option; raises InvalidOption for what would lose records."""
    found: list[RetentionClass] = []
    for number, each in enumerate(given):
        found.append(_class(f"classes[{number}]", each))
    names = [each.name for each in found]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InvalidOption("classes", ", ".join(twice), "each name once")
    return found


def _class(where: str, given: Mapping[str, Any]) -> RetentionClass:
    name = given["name"]
    keep = given["keep"] or KEEP.get(name)
    if not keep:
        raise InvalidOption(
            f"{where}.keep", None, f"a duration such as 90d; only {', '.join(KEEP)} have one of their own"
        )
    if name in PROTECTED and given["export"] is False:
        raise InvalidOption(
            f"{where}.export", False, f"true: {name} records are never deleted without a copy elsewhere"
        )
    for path in given["paths"]:
        _check_path(f"{where}.paths", path)
    if not given["paths"]:
        raise InvalidOption(f"{where}.paths", [], "at least one path")
    keep_seconds = parse_seconds(keep, f"{where}.keep")
    local = parse_seconds(given["keep_local"], f"{where}.keep_local") if given["keep_local"] else None
    exported = given["export"] if given["export"] is not None else name in PROTECTED
    if local is not None and (not exported or local > keep_seconds):
        raise InvalidOption(f"{where}.keep_local", given["keep_local"], "at most keep, and only with export=true")
    return RetentionClass(name, tuple(given["paths"]), keep_seconds, local, exported, given["redact"])


def _check_path(where: str, path: str) -> None:
    parts = path.split("/")
    if not path.startswith("/") or ".." in parts:
        raise InvalidOption(where, path, "an absolute path without ..")
    if is_database_own(path):
        raise InvalidOption(where, path, "logs; this directory is the database's own, and without it it is lost")
    if len(parts) < 4 or any(each in parts[1] for each in "*?["):
        raise InvalidOption(where, path, "files at least two directories below the root, such as /var/log/shop.log*")
