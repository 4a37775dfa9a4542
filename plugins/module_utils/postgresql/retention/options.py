# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options of the module that are not policies, and all that is checked before anything is touched. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption
from ansible_collections.runbook.ops.plugins.module_utils.object_store.options import object_store_argument_spec
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.maintenance.options import check_guards
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.retention.pace import THROTTLES, pace_options
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.retention.policy import (
    ACTIONS,
    AFTER_DETACH,
    CHILD_ACTIONS,
    OPERATORS,
    Policy,
    parse_policies,
    parse_table,
)
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.retention.pressure import check_limits


def retention_argument_spec() -> dict[str, dict[str, Any]]:
    """The argument spec beside connection and guards."""
    return {
        "policies": {"type": "list", "elements": "dict", "required": True, "options": _policy_spec()},
        "ledger": {"type": "str", "default": "runbook_ops.retention_ledger"},
        "throttle": {"type": "str", "default": "off", "choices": list(THROTTLES)},
        "batch_rows": {"type": "int"},
        "max_batch_rows": {"type": "int", "default": 20000},
        "batch_seconds": {"type": "float"},
        "pause_ratio": {"type": "float"},
        "max_rows_per_second": {"type": "float"},
        "max_replica_lag_bytes": {"type": "int", "default": 268435456},
        "max_replica_lag_seconds": {"type": "float"},
        "max_slot_wal_bytes": {"type": "int"},
        "max_archive_backlog": {"type": "int", "default": 64},
        "max_lock_waiters": {"type": "int", "default": 20},
        "min_disk_free_bytes": {"type": "int"},
        "disk_free_bytes": {"type": "int"},
        "max_pause_seconds": {"type": "float", "default": 600},
        "vacuum": {"type": "bool", "default": True},
        "s3": {"type": "dict", "options": object_store_argument_spec()},
    }


def _policy_spec() -> dict[str, dict[str, Any]]:
    return {
        "name": {"type": "str", "required": True},
        "table": {"type": "str", "required": True},
        "column": {"type": "str", "required": True},
        "keep": {"type": "str", "required": True},
        "column_timezone": {"type": "str"},
        "where": {
            "type": "list",
            "elements": "dict",
            "default": [],
            "options": {
                "column": {"type": "str", "required": True},
                "operator": {"type": "str", "default": "=", "choices": list(OPERATORS)},
                "value": {"type": "raw"},
            },
        },
        "action": {"type": "str", "required": True, "choices": list(ACTIONS)},
        "archive_table": {"type": "str"},
        "export": {
            "type": "dict",
            "options": {
                "directory": {"type": "path"},
                "bucket": {"type": "str"},
                "prefix": {"type": "str", "default": ""},
            },
        },
        "children": {
            "type": "list",
            "elements": "dict",
            "default": [],
            "options": {
                "table": {"type": "str", "required": True},
                # The name of a constraint is no secret.
                "foreign_key": {"type": "str", "no_log": False},
                "references": {"type": "dict", "default": {}},
                "action": {"type": "str", "choices": list(CHILD_ACTIONS)},
                "archive_table": {"type": "str"},
            },
        },
        "require_archive": {"type": "bool", "default": False},
        # The columns that tell rows apart are no secret.
        "key": {"type": "list", "elements": "str", "default": [], "no_log": False},
        "max_rows": {"type": "int"},
        "allow_triggers": {"type": "bool", "default": False},
        "allow_sequential": {"type": "bool", "default": False},
        "after_detach": {"type": "str", "default": "drop", "choices": list(AFTER_DETACH)},
    }


def check_options(options: Mapping[str, Any]) -> list[Policy]:
    """The policies; InvalidOption for whatever cannot work."""
    check_guards(options)
    pace_options(options)
    check_limits(options)
    parse_table(options["ledger"], "ledger")
    if not options["policies"]:
        raise InvalidOption("policies", [], "at least one policy")
    return parse_policies(options["policies"])
