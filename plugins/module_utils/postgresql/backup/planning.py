# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a database will be dumped: by which program, compressed how, how large, in which steps."""

from __future__ import annotations

from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.backup.depot import Depot
from ansible_collections.runbook.ops.plugins.module_utils.backup.room import expected_bytes
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.backup.compression import (
    ZSTD,
    chosen,
    program_argv,
)
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.backup.dump import Plan
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.backup.globals import globals_name
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.backup.manifest import (
    DUMP,
    Manifest,
    manifest_name,
)
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.backup.published import Published
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.backup.request import Request
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.backup.source import Source
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.tools import choose_installation, installations


def plan_for(request: Request, source: Source) -> Plan:
    """The programs for it; raises InvalidOption, Refused or RunbookError when the host does not have them."""
    installation = choose_installation(installations(request.bin_directory), source.version_num)
    if request.globals:
        installation.program("pg_dumpall")
    if not request.is_plain:
        return Plan(installation, chosen(request.compression, installation))
    argv = tuple(program_argv(request.level)) if request.compression == ZSTD else ()
    return Plan(installation, request.compression, argv)


def version_note(plan: Plan, source: Source) -> Optional[str]:
    """What a reader must know of a client that is newer than the server; None of one that fits."""
    client = plan.installation
    if client.major == source.version_num // 10000:
        return None
    return (
        f"pg_dump {client.version} dumps PostgreSQL {source.version}: such a dump may need PostgreSQL {client.major} "
        "to be restored."
    )


def expected_size(request: Request, source: Source, plan: Plan, last: Optional[Published]) -> int:
    """About how many bytes the backup will have."""
    is_like = last is not None and _is_like(last.manifest, request, plan)
    return expected_bytes(
        source.bytes,
        source.heap_bytes,
        compressed=plan.is_compressed,
        last_bytes=last.bytes if last is not None and is_like else None,
    )


def actions_for(request: Request, depot: Depot, source: Source, plan: Plan) -> list[dict[str, Any]]:
    """What is done, in this order; the moment in a name is not foretold."""
    target = depot.address(request.rule.pattern)
    how = [f"format {request.format}", f"compression {plan.compression}"]
    if request.encryption is not None:
        how.append(f"encrypted by {request.encryption.method}")
    if request.selection.is_partial:
        how.append("in part")
    database = f"{source.database} at {source.server}"
    what = "rows and digests" if request.digests else "rows"
    actions = [
        {"action": "dump", "object": database, "reason": f"to {target}, {', '.join(how)}"},
        {"action": "count", "object": database, "reason": f"{what} of every table in the same snapshot"},
    ]
    if request.globals:
        reason = "with the roles' passwords" if request.role_passwords else "without the roles' passwords"
        actions.append({"action": "globals", "object": globals_name(target, request.encryption), "reason": reason})
    actions.append({"action": "publish", "object": manifest_name(target), "reason": "last, when all else is there"})
    return actions


def _is_like(manifest: Manifest, request: Request, plan: Plan) -> bool:
    """Whether a backup was taken in the way in which the new one will be, so that it tells the size."""
    known = {"format": request.format, "compression": plan.compression, **request.selection.as_dict()}
    return manifest.method == DUMP and all(manifest.dump.get(name) == value for name, value in known.items())
