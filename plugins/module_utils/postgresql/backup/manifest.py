# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The manifest beside a backup: what it is of, what its bytes are, and what must be in it. Pure.

It is written last: an artefact without one is no backup. It holds no password and no address of a server.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.backup.errors import Undecided
from ansible_collections.runbook.ops.plugins.module_utils.backup.naming import MANIFEST_SUFFIX
from ansible_collections.runbook.ops.plugins.module_utils.common.clock import parse_moment
from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption

KIND = "postgresql"
FORMAT = 1
DUMP, BASEBACKUP, PGBACKREST = "dump", "basebackup", "pgbackrest"
METHODS = (DUMP, BASEBACKUP, PGBACKREST)
GLOBALS_SUFFIX = ".globals.sql"


@dataclass(frozen=True)
class Part:
    """A file that belongs to a backup: a member of a directory, or the globals beside the artefact.

    C(name) is that of the file in the repository, for a member below the artefact's.
    """

    name: str
    bytes: int
    sha256: str
    version_id: Optional[str] = None

    def as_dict(self) -> dict[str, Any]:
        """For the manifest."""
        return {"name": self.name, "bytes": self.bytes, "sha256": self.sha256, "version_id": self.version_id}


@dataclass(frozen=True)
class Manifest:
    """What is known of a backup since it was written.

    Args:
        name: The artefact's name in its repository.
        method: C(dump), C(basebackup) or C(pgbackrest).
        taken_at: The moment of the data, ISO 8601 in UTC: that of the snapshot, by the server's clock.
        started_at: When the run began, by the writer's clock.
        finished_at: When the last byte was written.
        bytes: The artefact's size as it lies in the repository; of a directory, that of its members together.
        sha256: Its SHA-256 as it lies there; of a directory, that of its members' list (C(members_sha256)).
        blocks: The SHA-256 of each block of C(depot.BLOCK_BYTES); empty for a directory.
        version_id: The version of the object, where there are versions.
        encryption: C(method) and C(recipients), public keys only; None for an artefact that is not encrypted.
        members: The files of a directory by their name below the artefact's.
        globals: The file with roles and tablespaces, encrypted as the artefact is; None when there is none.
        dump: How it was taken: C(format), C(compression), C(client_version), C(server_version), C(schemas),
            C(exclude_schemas), C(exclude_table_data), C(partial), C(jobs).
        census: What must be in it (C(census.model.census_from) reads it); None for methods that take none.
        physical: What a physical backup needs beside; None for a dump.
        verification: How it was proven when it was written (C(Verification.as_dict)); None when it was not.

    """

    name: str
    method: str
    taken_at: str
    started_at: str
    finished_at: str
    bytes: int
    sha256: str
    blocks: tuple[str, ...] = ()
    version_id: Optional[str] = None
    encryption: Optional[Mapping[str, Any]] = None
    members: Mapping[str, Part] = field(default_factory=dict)
    globals: Optional[Part] = None
    dump: Mapping[str, Any] = field(default_factory=dict)
    census: Optional[Mapping[str, Any]] = None
    physical: Optional[Mapping[str, Any]] = None
    verification: Optional[Mapping[str, Any]] = None

    @property
    def is_partial(self) -> bool:
        """Whether parts of the database were left out on purpose."""
        return bool(self.dump.get("partial"))

    @property
    def is_directory(self) -> bool:
        """Whether the artefact is a directory of files."""
        return bool(self.members)

    def as_dict(self) -> dict[str, Any]:
        """As it is written."""
        return {
            "format": FORMAT,
            "kind": KIND,
            "method": self.method,
            "name": self.name,
            "taken_at": self.taken_at,
            "started_at": self.started_at,
            "finished_at": self.finished_at,
            "bytes": self.bytes,
            "sha256": self.sha256,
            "blocks": list(self.blocks),
            "version_id": self.version_id,
            "encryption": _mapping(self.encryption),
            "members": {name: part.as_dict() for name, part in sorted(self.members.items())},
            "globals": None if self.globals is None else self.globals.as_dict(),
            "dump": dict(self.dump),
            "census": _mapping(self.census),
            "physical": _mapping(self.physical),
            "verification": _mapping(self.verification),
        }

    def with_verification(self, verification: Mapping[str, Any]) -> Manifest:
        """The same backup, proven."""
        return replace(self, verification=verification)


def manifest_name(artefact: str) -> str:
    """Where the manifest of an artefact lies."""
    return artefact + MANIFEST_SUFFIX


def manifest_bytes(manifest: Manifest) -> bytes:
    """A manifest as it is written."""
    # Not sorted: the order of a table's columns is part of the census.
    return (json.dumps(manifest.as_dict(), indent=1, ensure_ascii=True) + "\n").encode("ascii")


def members_sha256(members: Mapping[str, Part]) -> str:
    """One SHA-256 for a directory: that of C(sha256sum)'s list of its files, sorted by name."""
    digest = hashlib.sha256()
    for name in sorted(members):
        digest.update(f"{members[name].sha256}  {name}\n".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def parse_manifest(data: bytes, name: str) -> Manifest:
    """The manifest in C(data), which lies under C(name).

    Raises:
        Undecided: it is none, or one that this collection does not understand.

    """
    try:
        found = json.loads(data)
        kind, written = found["kind"], found["format"]
    except (ValueError, KeyError, TypeError):
        raise Undecided(f"{name} is damaged: it is not a manifest as this collection writes it") from None
    if kind != KIND or written != FORMAT:
        raise Undecided(
            f"{name} is a manifest of {kind!r} in format {written!r}, not of {KIND!r} in format {FORMAT}. "
            "Use the collection's version that wrote it, or a newer one"
        )
    try:
        return _manifest(found)
    except (ValueError, KeyError, TypeError, AttributeError, InvalidOption) as error:
        raise Undecided(
            f"{name} is damaged: it is not a manifest as this collection writes it ({type(error).__name__}: {error})"
        ) from None


def _manifest(found: Mapping[str, Any]) -> Manifest:
    if found["method"] not in METHODS:
        raise ValueError(found["method"])
    for name in ("taken_at", "started_at", "finished_at"):
        parse_moment(found[name], name)
    blocks = found.get("blocks") or []
    return Manifest(
        name=_text(found["name"]),
        method=found["method"],
        taken_at=found["taken_at"],
        started_at=found["started_at"],
        finished_at=found["finished_at"],
        bytes=int(found["bytes"]),
        sha256=_sha256(found["sha256"]),
        blocks=tuple(_sha256(each) for each in blocks),
        version_id=found.get("version_id"),
        encryption=_mapping(found.get("encryption")),
        members={name: _part(part) for name, part in (found.get("members") or {}).items()},
        globals=None if found.get("globals") is None else _part(found["globals"]),
        dump=_mapping(found.get("dump")) or {},
        census=_mapping(found.get("census")),
        physical=_mapping(found.get("physical")),
        verification=_mapping(found.get("verification")),
    )


def _part(found: Mapping[str, Any]) -> Part:
    return Part(_text(found["name"]), int(found["bytes"]), _sha256(found["sha256"]), found.get("version_id"))


def _mapping(value: Optional[Mapping[str, Any]]) -> Optional[dict[str, Any]]:
    if value is not None and not isinstance(value, Mapping):
        raise TypeError("a mapping was expected")
    return None if value is None else dict(value)


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise TypeError("a text was expected")
    return value


def _sha256(value: Any) -> str:
    if not isinstance(value, str) or len(value) != 64 or set(value) - set("0123456789abcdef"):
        raise ValueError("no SHA-256")
    return value
