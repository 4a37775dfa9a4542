# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The last step: everything lies there as it was written, so the manifest is written, and read again."""

from __future__ import annotations

from typing import Optional

from ansible_collections.runbook.ops.plugins.module_utils.backup.depot import Depot
from ansible_collections.runbook.ops.plugins.module_utils.common.errors import RunbookError
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.backup.manifest import (
    Manifest,
    manifest_bytes,
    manifest_name,
)

_AGAIN = "Nothing was published. Look who else writes to this place, and run the task again."


def publish(depot: Depot, manifest: Manifest) -> None:
    """Make a backup of what was written; raises RunbookError when it is not what was written any more."""
    for name, size, version in parts(manifest):
        stat = depot.stat(name, version)
        if stat is None or stat.bytes != size:
            there = "is not there" if stat is None else f"has {stat.bytes} bytes"
            raise RunbookError(f"{depot.address(name)} {there} after {size} bytes were written. {_AGAIN}")
    data, name = manifest_bytes(manifest), manifest_name(manifest.name)
    depot.put(name, data)
    if depot.get(name) != data:
        raise RunbookError(f"{depot.address(name)} does not read as it was written. {_AGAIN}")


def parts(manifest: Manifest) -> list[tuple[str, int, Optional[str]]]:
    """Everything that a backup consists of beside its manifest, with size and version."""
    found = [(f"{manifest.name}/{part.name}", part.bytes, part.version_id) for part in manifest.members.values()]
    if not found:
        found = [(manifest.name, manifest.bytes, manifest.version_id)]
    if manifest.globals is not None:
        found.append((manifest.globals.name, manifest.globals.bytes, manifest.globals.version_id))
    return found
