# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What postgresql_backup is asked, checked. Pure, but for the directories and programs that options name."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.backup.encryption import Encryption, encryption_from
from ansible_collections.runbook.ops.plugins.module_utils.backup.naming import NamingRule, zone
from ansible_collections.runbook.ops.plugins.module_utils.common.clock import reference_moment
from ansible_collections.runbook.ops.plugins.module_utils.common.durations import parse_seconds
from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.backup.compression import (
    ALGORITHMS,
    AUTO,
    GZIP,
    NONE,
    ZSTD,
    by_suffix,
    highest_level,
)
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.backup.selection import Selection, selection_from
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.census.model import Watermark

CUSTOM, DIRECTORY, PLAIN = "custom", "directory", "plain"
FORMATS = (CUSTOM, DIRECTORY, PLAIN)
_MOST_JOBS = 64
_MOST_LOCK_SECONDS = 3600.0


def dump_argument_spec() -> dict[str, dict[str, Any]]:
    """The options of C(method=dump) beside connection, guards, encryption and repository."""
    texts: dict[str, Any] = {"type": "list", "elements": "str", "default": []}
    return {
        "format": {"type": "str", "default": CUSTOM, "choices": list(FORMATS)},
        "compression": {"type": "str", "default": AUTO, "choices": [AUTO, *ALGORITHMS]},
        "compression_level": {"type": "int"},
        "jobs": {"type": "int", "default": 1},
        "globals": {"type": "bool", "default": True},
        "role_passwords": {"type": "bool", "default": False, "no_log": False},
        "schemas": {**texts},
        "exclude_schemas": {**texts},
        "exclude_table_data": {**texts},
        "digests": {"type": "bool", "default": True},
        "watermarks": {**texts},
        "lock_timeout": {"type": "float", "default": 60.0},
        "min_free_bytes": {"type": "int", "default": 0},
        "work_directory": {"type": "path"},
    }


def place_argument_spec() -> dict[str, dict[str, Any]]:
    """Where backups go, whatever the method: C(timezone) is among the guards."""
    return {
        "repository": {"type": "str"},
        "name_pattern": {"type": "str"},
        "max_age": {"type": "str"},
        "bin_directory": {"type": "path"},
    }


@dataclass(frozen=True)
class Request:
    """Checked options; times are in seconds, C(now) is what names are made of."""

    rule: NamingRule
    format: str
    compression: str
    level: Optional[int]
    jobs: int
    globals: bool
    role_passwords: bool
    selection: Selection
    digests: bool
    watermarks: tuple[Watermark, ...]
    encryption: Optional[Encryption]
    lock_seconds: float
    min_free_bytes: int
    work_directory: Optional[Path]
    bin_directory: Optional[str]
    max_age: Optional[int]
    now: dt.datetime

    @property
    def is_plain(self) -> bool:
        """Whether SQL is written."""
        return self.format == PLAIN

    @property
    def is_directory(self) -> bool:
        """Whether pg_dump writes a directory by itself."""
        return self.format == DIRECTORY


def request_from(params: Mapping[str, Any]) -> Request:
    """Check the options of postgresql_backup with C(method=dump); raises InvalidOption before anything is touched."""
    rule = NamingRule(params["name_pattern"], zone(params["timezone"]))
    encryption = encryption_from(params)
    if encryption is not None and params["format"] == DIRECTORY:
        raise InvalidOption(
            "encryption",
            encryption.method,
            "with format custom or plain: the files of a directory are written by pg_dump itself, as they are",
        )
    if not 1 <= params["jobs"] <= _MOST_JOBS:
        raise InvalidOption("jobs", params["jobs"], f"a number from 1 to {_MOST_JOBS}")
    if params["jobs"] > 1 and params["format"] != DIRECTORY:
        raise InvalidOption("jobs", params["jobs"], "more than 1 with format directory only")
    if not 0.1 <= params["lock_timeout"] <= _MOST_LOCK_SECONDS:
        raise InvalidOption("lock_timeout", params["lock_timeout"], f"seconds from 0.1 to {_MOST_LOCK_SECONDS:g}")
    if params["min_free_bytes"] < 0:
        raise InvalidOption("min_free_bytes", params["min_free_bytes"], "a number of bytes, 0 or more")
    work = params["work_directory"] or None
    if work and not Path(work).is_dir():
        raise InvalidOption("work_directory", work, "a directory that exists on the host")
    if params["role_passwords"] and not params["globals"]:
        raise InvalidOption("role_passwords", True, "together with globals")
    return Request(
        rule=rule,
        format=params["format"],
        compression=_compression(params),
        level=_level(params),
        jobs=params["jobs"],
        globals=params["globals"],
        role_passwords=params["role_passwords"],
        selection=selection_from(params),
        digests=params["digests"],
        watermarks=tuple(_watermark(each) for each in params["watermarks"]),
        encryption=encryption,
        lock_seconds=params["lock_timeout"],
        min_free_bytes=params["min_free_bytes"],
        work_directory=Path(work) if work else None,
        bin_directory=params["bin_directory"] or None,
        max_age=parse_seconds(params["max_age"], "max_age") if params["max_age"] else None,
        now=reference_moment(params["reference_time"]).replace(microsecond=0),
    )


def _compression(params: Mapping[str, Any]) -> str:
    """What the options and the name say together: a name that ends in .gz must not hold anything else."""
    wanted: str = params["compression"]
    if params["format"] != PLAIN:
        return wanted
    named = by_suffix(re.sub(r"\.(age|gpg|asc)$", "", params["name_pattern"]))
    if wanted == AUTO:
        return named or NONE
    if named is not None and named != wanted:
        raise InvalidOption("compression", wanted, f"{AUTO} or {named}, because name_pattern ends like {named}")
    return wanted


def _level(params: Mapping[str, Any]) -> Optional[int]:
    level: Optional[int] = params["compression_level"]
    if level is None:
        return None
    most = highest_level(params["compression"])
    if params["compression"] == NONE or not 1 <= level <= most:
        raise InvalidOption(
            "compression_level",
            level,
            f"1 to {highest_level(GZIP)} with {GZIP}, 1 to {highest_level(ZSTD)} with {ZSTD}, none without compression",
        )
    return level


def _watermark(text: str) -> Watermark:
    parts = text.split(".")
    if len(parts) != 3 or not all(parts):
        raise InvalidOption("watermarks", text, "columns with table and schema, such as public.orders.created_at")
    return Watermark(*parts)
