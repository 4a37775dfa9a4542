# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The base backups of a repository: what has a manifest, and follows the naming rule."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.backup.depot import Depot
from ansible_collections.runbook.ops.plugins.module_utils.backup.errors import Undecided
from ansible_collections.runbook.ops.plugins.module_utils.backup.naming import MANIFEST_SUFFIX, NamingRule
from ansible_collections.runbook.ops.plugins.module_utils.common.clock import parse_moment
from ansible_collections.runbook.ops.plugins.module_utils.common.errors import RunbookError
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.backup.manifest import (
    BASEBACKUP,
    Manifest,
    manifest_name,
    parse_manifest,
)


@dataclass(frozen=True)
class Found:
    """A backup and its manifest."""

    name: str
    manifest: Manifest

    @property
    def stopped_at(self) -> dt.datetime:
        """The earliest moment that it can be brought to."""
        return parse_moment(self.manifest.taken_at)


def every(depot: Depot, rule: Optional[NamingRule]) -> list[Found]:
    """The base backups that follow a rule (all, without one), the oldest first.

    Raises:
        Undecided: the repository cannot be listed.

    """
    found = []
    for path in depot.members(""):
        name = path.removesuffix(MANIFEST_SUFFIX)
        if name == path or (rule is not None and rule.period(name) is None):
            continue
        # What is no manifest of ours, or of another method, is somebody else's.
        data = depot.get(path)
        try:
            manifest = parse_manifest(data or b"", path)
        except Undecided:
            continue
        if manifest.method == BASEBACKUP:
            found.append(Found(name, manifest))
    return sorted(found, key=lambda each: (each.stopped_at, each.name))


def newest(depot: Depot, rule: Optional[NamingRule]) -> Found | None:
    """The newest one; None if there is none, or no repository yet."""
    found = every(depot, rule)
    return found[-1] if found else None


def named(depot: Depot, name: str) -> Found:
    """The backup of a name; raises RunbookError when it is none."""
    place = manifest_name(name)
    data = depot.get(place)
    if data is None:
        raise RunbookError(
            f"{depot.address(name)} has no manifest ({place}): it is no complete backup. Choose another one, or "
            "take one "
            "with runbook.ops.postgresql_backup."
        )
    manifest = parse_manifest(data, depot.address(place))
    if manifest.method != BASEBACKUP or manifest.physical is None:
        raise RunbookError(f"{depot.address(name)} is a backup by method {manifest.method}, not a base backup.")
    return Found(name, manifest)


def shown(depot: Depot, found: Optional[Found]) -> dict[str, Any]:
    """A backup as C(before) and C(after) tell of it."""
    if found is None:
        return {"name": None, "address": None, "taken_at": None, "bytes": None}
    return {
        "name": found.name,
        "address": depot.address(found.name),
        "taken_at": found.manifest.taken_at,
        "bytes": found.manifest.bytes,
    }


def facts(depot: Depot, found: Found) -> dict[str, Any]:
    """A new backup as the result tells of it."""
    manifest = found.manifest
    return {
        **shown(depot, found),
        "manifest": depot.address(manifest_name(found.name)),
        "method": manifest.method,
        "started_at": manifest.started_at,
        "finished_at": manifest.finished_at,
        "sha256": manifest.sha256,
        "encryption": (manifest.encryption or {}).get("method"),
        "members": sorted(manifest.members),
        "physical": dict(manifest.physical or {}),
    }
