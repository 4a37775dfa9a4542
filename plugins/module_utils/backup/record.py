# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is known of an artefact from its last verification, kept beside it. Pure.

An artefact that is still the same has not become worse than its record says, except by the decay of what it lies on:
that is why parts of it are read again from time to time.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.backup.verdict import VERIFIED

if TYPE_CHECKING:
    from ansible_collections.runbook.ops.plugins.module_utils.backup.depot import Stat

RECORD_SUFFIX = ".verified.json"
FORMAT = 1


@dataclass(frozen=True)
class Record:
    """The outcome of a verification.

    C(identity) is what the repository said of the artefact (C(Stat.identity)), C(sampled) the blocks (of a directory,
    the files) that were read again since, with the moment. C(census) is what was found in an artefact that has no
    manifest, C(members) the SHA-256 of the files of a directory that has none, C(demands) a fingerprint, by level, of
    what it had to satisfy. C(is_restorable) says of a base backup whose verdict is failed whether only what is behind
    it is bad: then it is a good backup of its own moment.
    """

    artefact: str
    size_bytes: int
    sha256: str
    identity: Mapping[str, Any]
    verdict: str
    level: Optional[str]
    wanted_level: str
    reason: Optional[str]
    verified_at: str
    manifest_sha256: Optional[str] = None
    content_at: Optional[str] = None
    seconds: float = 0.0
    blocks: tuple[str, ...] = ()
    sampled: Mapping[str, str] = field(default_factory=dict)
    levels: tuple[Mapping[str, str], ...] = ()
    notes: tuple[str, ...] = ()
    findings: tuple[Mapping[str, Any], ...] = ()
    members: Mapping[str, str] = field(default_factory=dict)
    census: Optional[Mapping[str, Any]] = None
    demands: Mapping[str, str] = field(default_factory=dict)
    is_restorable: bool = False

    @property
    def is_verified(self) -> bool:
        """Whether the artefact was proven to be good."""
        return self.verdict == VERIFIED

    def is_about(self, stat: Stat) -> bool:
        """Whether the artefact is still the one that was verified, as far as the repository tells."""
        return self.size_bytes == stat.bytes and dict(self.identity) == dict(stat.identity)

    def as_bytes(self) -> bytes:
        """As it is written."""
        whole = {"format": FORMAT, "kind": "verification", **asdict(self)}
        # Not sorted: the order of a table's columns is part of a census.
        return (json.dumps(whole, indent=2, default=str) + "\n").encode("ascii")


def parse_record(data: bytes | None) -> Record | None:
    """A record that was read; None for nothing, and for what is none: then there is no record."""
    if not data:
        return None
    try:
        found = json.loads(data)
        if found["kind"] != "verification" or found["format"] != FORMAT:
            return None
        known = {name: found[name] for name in Record.__dataclass_fields__ if name in found}
        for name in ("blocks", "levels", "notes", "findings"):
            known[name] = tuple(known.get(name) or ())
        return Record(**known)
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def members_identity(identities: Mapping[str, Optional[Mapping[str, Any]]]) -> str:
    """The identity of a directory in one word: that of its files, C(Stat.identity) by name; None for one that is gone.

    A directory is the same only if nobody has written to any of its files, which its own time of writing does not tell.
    """
    digest = hashlib.sha256()
    for name in sorted(identities):
        digest.update(json.dumps([name, identities[name]], sort_keys=True, default=str).encode())
    return digest.hexdigest()


def record_name(artefact: str) -> str:
    """Where the record of an artefact lies."""
    return artefact + RECORD_SUFFIX
