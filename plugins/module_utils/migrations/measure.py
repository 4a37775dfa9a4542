# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The facts about a release's migrations, from its files and from a database's answer."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.commands.private import (
    command_from,
    failure_of,
    run_command,
)
from ansible_collections.runbook.ops.plugins.module_utils.common.clock import iso, utc_now
from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption, RunbookError
from ansible_collections.runbook.ops.plugins.module_utils.migrations.compare import applied_versions, compare
from ansible_collections.runbook.ops.plugins.module_utils.migrations.files import KINDS, Migration, find_migrations

_UNKNOWN = (
    *("files_count", "applied_count", "pending_count", "destructive_count", "unreadable_count"),
    *("schema_compatible", "pending_compatible"),
)
_EMPTY = ("pending", "out_of_order", "duplicates", "unknown_to_files", "schema_reasons", "pending_reasons")


def measure_migrations(params: Mapping[str, Any]) -> dict[str, Any]:
    """The whole result of the module; raises InvalidOption."""
    kind, skipped = params["kind"], list[dict[str, str]]()
    files, reason = _files(params["path"], kind)
    applied: Optional[list[str]] = None
    if reason is None:
        applied, reason = _applied(params)
    later, no_later = _files(params["later_path"], kind) if params["later_path"] else (None, None)
    if no_later:
        remedy = "Correct later_path, or give the directory of the release that applied them."
        skipped.append({"section": "later_path", "reason": no_later, "remedy": remedy})
    facts: dict[str, Any] = {**dict.fromkeys(_UNKNOWN), **{name: [] for name in _EMPTY}}
    if reason is None:
        facts = compare(files or [], applied or [], later)
    return {
        "available": reason is None,
        "reason": reason,
        "measured_at": iso(utc_now()),
        "skipped_sections": skipped,
        "kind": kind,
        **facts,
    }


def _files(path: str, kind: str) -> tuple[Optional[list[Migration]], Optional[str]]:
    try:
        return find_migrations(Path(path), kind), None
    except OSError as error:
        return None, f"the migrations in {path} cannot be read: {error.strerror or error}"


def _applied(params: Mapping[str, Any]) -> tuple[Optional[list[str]], Optional[str]]:
    """The versions that were applied, or why they are unknown; no answer is not an empty one."""
    kind = params["kind"]
    if params["applied"] is not None:
        return applied_versions("\n".join(str(each) for each in params["applied"]), kind), None
    if params["applied_output"] is not None:
        return applied_versions(params["applied_output"], kind), None
    if not params["command"]:
        wanted = "one of applied, applied_output and command; the versions come from " + KINDS[kind].query
        raise InvalidOption("applied", None, wanted)
    command = command_from(
        {**params, "argv": params["command"], "codes": {"0": "done"}, "stdin": None, "max_output_bytes": 1 << 20}
    )
    try:
        ended = run_command(command)
        failure = failure_of(command, ended)
        if failure is None and ended["truncated"]:
            failure = f"{command.argv[0]} wrote more than 1 MiB"
        return (None, failure) if failure else (applied_versions(ended["stdout"], kind), None)
    except RunbookError as error:
        return None, error.message
