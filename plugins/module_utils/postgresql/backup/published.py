# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which of PostgreSQL's backups are published: those with a manifest that names what lies there."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.backup.depot import Depot
from ansible_collections.runbook.ops.plugins.module_utils.backup.errors import Undecided
from ansible_collections.runbook.ops.plugins.module_utils.backup.naming import NamingRule
from ansible_collections.runbook.ops.plugins.module_utils.backup.published import entry_names, published_names
from ansible_collections.runbook.ops.plugins.module_utils.backup.repository import Repository
from ansible_collections.runbook.ops.plugins.module_utils.common.clock import parse_moment
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.backup.manifest import (
    Manifest,
    manifest_name,
    parse_manifest,
)


@dataclass(frozen=True)
class Published:
    """A backup with its manifest; C(bytes) is what lies there."""

    manifest: Manifest
    address: str
    bytes: int

    @property
    def taken_at(self) -> dt.datetime:
        """The moment of its data."""
        return parse_moment(self.manifest.taken_at)

    def shown(self) -> dict[str, Any]:
        """As C(before) and C(after) tell of it."""
        return {
            "name": self.manifest.name,
            "address": self.address,
            "taken_at": self.manifest.taken_at,
            "bytes": self.bytes,
        }


NONE_SHOWN: Mapping[str, Any] = {"name": None, "address": None, "taken_at": None, "bytes": None}


def read_manifest(depot: Depot, artefact: str) -> Optional[Manifest]:
    """The manifest of an artefact; None when there is none. Raises Undecided when it cannot be read or understood."""
    name = manifest_name(artefact)
    data = depot.get(name)
    return None if data is None else parse_manifest(data, depot.address(name))


def read_published(depot: Depot, artefact: str) -> Optional[Published]:
    """An artefact whose manifest is sound and names the size that it has; None for anything else.

    Raises:
        Undecided: it cannot be read.

    """
    manifest = read_manifest(depot, artefact)
    if manifest is None:
        return None
    if manifest.is_directory:
        size = sum(depot.members(artefact).values())
    else:
        stat = depot.stat(artefact)
        size = -1 if stat is None else stat.bytes
    return Published(manifest, depot.address(artefact), size) if size == manifest.bytes else None


def newest_published(repository: Repository, depot: Depot, rule: NamingRule) -> Optional[Published]:
    """The newest backup that is published; None without one. Raises Unavailable."""
    for name in published_names(entry_names(repository, rule), rule):
        try:
            found = read_published(depot, name)
        except Undecided:
            continue
        if found is not None:
            return found
    return None
