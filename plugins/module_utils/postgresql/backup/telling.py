# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the result of postgresql_backup says of backups. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.backup.depot import Depot
from ansible_collections.runbook.ops.plugins.module_utils.common.outcome import outcome
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.backup.manifest import Manifest, manifest_name
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.backup.published import NONE_SHOWN, Published


def facts(manifest: Manifest, depot: Depot, server: str) -> dict[str, Any]:
    """A new backup of a server with this address: its manifest without what is long."""
    census = manifest.census or {}
    tables = [each for each in census["tables"].values() if each["kind"] != "partitioned table"]
    return {
        "name": manifest.name,
        "address": depot.address(manifest.name),
        "manifest": depot.address(manifest_name(manifest.name)),
        "globals": None if manifest.globals is None else depot.address(manifest.globals.name),
        "database": census["database"]["name"],
        "server": server,
        "system_identifier": census["server"].get("system_identifier"),
        "method": manifest.method,
        "taken_at": manifest.taken_at,
        "started_at": manifest.started_at,
        "finished_at": manifest.finished_at,
        "bytes": manifest.bytes,
        "sha256": manifest.sha256,
        "version_id": manifest.version_id,
        "encryption": None if manifest.encryption is None else manifest.encryption["method"],
        "tables": len(tables),
        "rows": sum(each.get("rows") or 0 for each in tables),
        "large_objects": census["large_objects"].get("count"),
        "watermarks": census["watermarks"],
        **manifest.dump,
    }


def result(
    *,
    changed: bool,
    actions: list[dict[str, Any]],
    before: Optional[Published],
    after: Optional[Published],
    backup: Optional[Mapping[str, Any]],
    notes: list[str],
) -> dict[str, Any]:
    """The whole result; C(after) is not told in check mode, where there is a change and no backup."""
    is_planned = changed and backup is None
    shown_before, shown_after = _shown(before), None if is_planned else _shown(after)
    return outcome(
        changed=changed,
        actions=actions,
        before=shown_before,
        after=shown_after,
        backup=None if backup is None else dict(backup),
        notes=list(dict.fromkeys(notes)),
        diff={
            "before": _line(shown_before),
            "after": "a new backup\n" if shown_after is None else _line(shown_after),
        },
    )


def _shown(found: Optional[Published]) -> dict[str, Any]:
    return dict(NONE_SHOWN) if found is None else found.shown()


def _line(backup: Mapping[str, Any]) -> str:
    return "no backup\n" if backup["name"] is None else f"{backup['address']} ({backup['taken_at']})\n"
