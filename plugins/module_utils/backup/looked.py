# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An artefact as it lies in a repository, a file or a directory of files, before it is read."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.backup.depot import Depot, Stat
from ansible_collections.runbook.ops.plugins.module_utils.backup.record import members_identity


@dataclass(frozen=True)
class Looked:
    """What a repository says of an artefact: C(stat) is None for one that is not there.

    C(members) are the bytes of the files of a directory, by name. C(identity) is another one after every writing.
    """

    stat: Optional[Stat] = None
    members: Mapping[str, int] = field(default_factory=dict)
    identity: Mapping[str, Any] = field(default_factory=dict)


def look_at_artefact(depot: Depot, name: str) -> Looked:
    """Look at an artefact; raises Undecided when it cannot be told."""
    stat = depot.stat(name)
    members: Mapping[str, int] = {}
    if stat is None:
        members = depot.members(name)
        stat = _of_prefix(name, members)
    elif stat.is_directory:
        members = depot.members(name)
    if stat is None:
        return Looked()
    return Looked(stat, members, {**stat.identity, **_of_members(depot, stat, members)})


def _of_prefix(name: str, members: Mapping[str, int]) -> Optional[Stat]:
    """A store has no directories, only names that begin alike."""
    if not members:
        return None
    return Stat(name, sum(members.values()), dt.datetime.fromtimestamp(0, dt.timezone.utc), {}, is_directory=True)


def _of_members(depot: Depot, stat: Stat, members: Mapping[str, int]) -> dict[str, str]:
    """A directory is the same only if nobody has written to any of its files."""
    if not stat.is_directory:
        return {}
    found = {member: depot.stat(f"{stat.name}/{member}") for member in members}
    identities = {member: None if each is None else each.identity for member, each in found.items()}
    return {"members": members_identity(identities)}
