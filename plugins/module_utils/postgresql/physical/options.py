# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options of physical backups, once for writing, proving and restoring. C(postgresql_physical) documents them."""

from __future__ import annotations

from typing import Any

DUMP, BASEBACKUP, PGBACKREST = "dump", "basebackup", "pgbackrest"
METHODS = (DUMP, BASEBACKUP, PGBACKREST)
WAL_METHODS = ("stream", "fetch", "none")
COMPRESSIONS = ("none", "gzip")
BACKUP_TYPES = ("full", "diff", "incr")


def physical_argument_spec() -> dict[str, dict[str, Any]]:
    """What writing, proving and restoring have in common."""
    return {
        "method": {"type": "str", "default": DUMP, "choices": list(METHODS)},
        "wal_archive": {"type": "str"},
        "pgbackrest": {
            "type": "dict",
            "options": {
                "stanza": {"type": "str", "required": True},
                "config": {"type": "path"},
                "repo": {"type": "int"},
                "type": {"type": "str", "default": "incr", "choices": list(BACKUP_TYPES)},
                "label": {"type": "str"},
                "account": {"type": "str", "default": "postgres"},
                "superuser": {"type": "str", "default": "postgres"},
                "program": {"type": "path"},
                "timeout": {"type": "float", "default": 86400.0},
            },
        },
    }


def physical_backup_argument_spec() -> dict[str, dict[str, Any]]:
    """The options of a module that takes physical backups."""
    return {
        **physical_argument_spec(),
        "basebackup": {
            "type": "dict",
            "default": {},
            "options": {
                "wal_method": {"type": "str", "default": "stream", "choices": list(WAL_METHODS)},
                "checkpoint": {"type": "str", "default": "fast", "choices": ["fast", "spread"]},
                "compression": {"type": "str", "default": "gzip", "choices": list(COMPRESSIONS)},
                "compression_level": {"type": "int"},
                "max_rate": {"type": "str"},
                "label": {"type": "str", "default": "runbook.ops"},
            },
            "apply_defaults": True,
        },
    }


def boundary_argument_spec() -> dict[str, dict[str, Any]]:
    """What the recovered server must, and must not, show."""
    entry: dict[str, Any] = {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {
            "db": {"type": "str", "default": "postgres"},
            "query": {"type": "str", "required": True},
        },
    }
    return {"must_see": entry, "must_not_see": {**entry}}


def physical_verify_argument_spec() -> dict[str, dict[str, Any]]:
    """The options of a module that proves physical backups."""
    return {**physical_argument_spec(), **boundary_argument_spec()}


def physical_restore_argument_spec() -> dict[str, dict[str, Any]]:
    """The options of a module that brings a server back to a moment."""
    return {
        **physical_argument_spec(),
        **boundary_argument_spec(),
        "target_time": {"type": "str"},
        "target_inclusive": {"type": "bool", "default": True},
        "target_timeline": {"type": "str", "default": "latest"},
        "data_directory": {"type": "path"},
        "data_owner": {"type": "str", "default": "postgres"},
        "tablespaces": {"type": "dict", "default": {}},
    }
