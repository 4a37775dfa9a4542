# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options of postgresql_vacuum, and what of them is refused before anything is touched. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.maintenance.options import check_guards
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.vacuum.names import parse_name

INDEX_CLEANUP = ["auto", "on", "off"]

_SIZE = re.compile(r"(\d+)\s*(kB|MB|GB)", re.IGNORECASE)
_SIZE_KILOBYTES = {"kb": 1, "mb": 1024, "gb": 1024 * 1024}
_RANGES: tuple[tuple[str, float, float], ...] = (
    ("due_percent", 1, 1000),
    ("min_dead_rows", 0, 10**15),
    ("freeze_age_percent", 1, 100),
    ("max_holder_age", 0, 10**9),
    ("max_tables", 0, 10**9),
    ("max_seconds", 1, 10**9),
    ("min_bloat_percent", 1, 100),
    ("disk_free_bytes", 0, 2**63 - 1),
    ("parallel", 0, 1024),
    ("cost_delay", 0, 100),
)


def vacuum_argument_spec() -> dict[str, dict[str, Any]]:
    """The module's own options."""
    return {
        "tables": {"type": "list", "elements": "str", "default": []},
        "schemas": {"type": "list", "elements": "str", "default": []},
        "exclude_tables": {"type": "list", "elements": "str", "default": []},
        "force": {"type": "bool", "default": False},
        "analyze": {"type": "bool", "default": True},
        "due_percent": {"type": "float", "default": 100.0},
        "min_dead_rows": {"type": "int", "default": 0},
        "freeze_age_percent": {"type": "float", "default": 80.0},
        "max_holder_age": {"type": "float", "default": 3600.0},
        "ignore_horizon": {"type": "bool", "default": False},
        "max_tables": {"type": "int"},
        "max_seconds": {"type": "float"},
        "full": {"type": "bool", "default": False},
        "allow_exclusive_lock": {"type": "bool", "default": False},
        "min_bloat_percent": {"type": "float", "default": 30.0},
        "disk_free_bytes": {"type": "int"},
        "parallel": {"type": "int"},
        "buffer_usage_limit": {"type": "str"},
        "cost_delay": {"type": "float"},
        "index_cleanup": {"type": "str", "choices": list(INDEX_CLEANUP)},
        "process_toast": {"type": "bool", "default": True},
        "truncate": {"type": "bool"},
    }


@dataclass(frozen=True)
class Rules:
    """What decides which tables are due, and how they are treated; percentages as given, ages in seconds.

    C(max_holder_age) 0 means that only certainty counts. C(major) is the server's.
    """

    major: int = 18
    user: str = "postgres"
    database: str = "postgres"
    analyze: bool = True
    force: bool = False
    min_dead_rows: int = 0
    freeze_age_percent: float = 80.0
    max_holder_age: float = 3600.0
    ignore_horizon: bool = False
    full: bool = False
    min_bloat_percent: float = 30.0
    parallel: Optional[int] = None
    buffer_usage_limit: Optional[str] = None
    index_cleanup: Optional[str] = None
    process_toast: bool = True
    truncate: Optional[bool] = None


_RULE_OPTIONS = (
    "analyze",
    "force",
    "min_dead_rows",
    "freeze_age_percent",
    "max_holder_age",
    "ignore_horizon",
    "full",
    "min_bloat_percent",
    "parallel",
    "index_cleanup",
    "process_toast",
    "truncate",
)


def rules_from(options: Mapping[str, Any], *, major: int, quoted_user: str, database: str) -> Rules:
    """The rules of this run."""
    return Rules(
        major=major,
        user=quoted_user,
        database=database,
        buffer_usage_limit=options["buffer_usage_limit"] or None,
        **{name: options[name] for name in _RULE_OPTIONS},
    )


def check_options(options: Mapping[str, Any]) -> None:
    """Refuse what cannot work.

    Raises:
        InvalidOption: naming the option and what would be accepted.

    """
    check_guards(options)
    for name, least, most in _RANGES:
        value = options[name]
        if value is not None and not least <= value <= most:
            raise InvalidOption(name, value, f"a number from {least:g} to {most:g}")
    for name in ("tables", "exclude_tables"):
        for each in options[name]:
            parse_name(name, each)
    if options["buffer_usage_limit"]:
        _check_size(options["buffer_usage_limit"])
    for name in ("full", "force"):
        if options[name] and not options["tables"]:
            raise InvalidOption(name, True, "only together with tables, which names the tables it is meant for")
    if options["schemas"] and options["tables"]:
        raise InvalidOption("schemas", options["schemas"], "either schemas or tables, since a table names its own")


def _check_size(text: str) -> None:
    """The server's own limits: the manual, vacuum_buffer_usage_limit."""
    match = _SIZE.fullmatch(text.strip())
    kilobytes = int(match[1]) * _SIZE_KILOBYTES[match[2].lower()] if match else -1
    if text.strip() != "0" and not 128 <= kilobytes <= 16 * 1024 * 1024:
        raise InvalidOption("buffer_usage_limit", text, "0, or a size from 128kB to 16GB such as 2MB")


def ignored_options(options: Mapping[str, Any], major: int) -> list[dict[str, str]]:
    """Options that this server does not know, so that nobody believes they were used."""
    found = []
    if options["buffer_usage_limit"] and major < 16:
        found.append({"option": "buffer_usage_limit", "reason": f"PostgreSQL {major} does not know it; 16 does."})
    if not options["process_toast"] and major < 14:
        found.append({"option": "process_toast", "reason": f"PostgreSQL {major} does not know it; 14 does."})
    return found
