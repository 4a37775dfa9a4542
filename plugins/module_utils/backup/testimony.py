# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What lies beside a backup and speaks for it: its manifest, and the record of its verification. Pure.

Manifests of all kinds are read here, as far as they have something in common; what a kind alone understands is read
by that kind's own code.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.backup.record import Record
from ansible_collections.runbook.ops.plugins.module_utils.backup.verdict import ERROR, FAILED, VERIFIED
from ansible_collections.runbook.ops.plugins.module_utils.common.clock import iso, parse_moment
from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption

_VERDICTS = (VERIFIED, FAILED, ERROR)
# The artefact that this kind of manifest names in C(name); Redis' manifests have the name of the series there.
_NAMES_ARTEFACT = ("postgresql", "files")


@dataclass(frozen=True)
class Told:
    """What a manifest says, whatever wrote it. None where it does not say.

    C(members) are the files of a directory with size and SHA-256, C(requires) the names of backups that this one cannot
    be restored without.
    """

    kind: str
    taken_at: dt.datetime
    method: Optional[str] = None
    name: Optional[str] = None
    bytes: Optional[int] = None
    sha256: Optional[str] = None
    version_id: Optional[str] = None
    database: Optional[str] = None
    server_version: Optional[str] = None
    tables: Optional[int] = None
    rows: Optional[int] = None
    keys: Optional[int] = None
    files: Optional[int] = None
    is_encrypted: bool = False
    members: Mapping[str, tuple[int, str]] = field(default_factory=dict)
    requires: tuple[str, ...] = ()
    verification: Mapping[str, Any] = field(default_factory=dict)

    def facts(self) -> dict[str, Any]:
        """For results."""
        return {
            "kind": self.kind,
            "method": self.method,
            "taken_at": iso(self.taken_at),
            "bytes": self.bytes,
            "sha256": self.sha256,
            "database": self.database,
            "server_version": self.server_version,
            "tables": self.tables,
            "rows": self.rows,
            "keys": self.keys,
            "files": self.files,
            "encrypted": self.is_encrypted,
            "requires": list(self.requires),
        }


def told_by(data: bytes | None) -> Told | None:
    """What a manifest says; None for nothing, and for what is no manifest of this collection."""
    if not data:
        return None
    try:
        found = json.loads(data)
        kind, taken_at = found["kind"], parse_moment(found["taken_at"])
    except (ValueError, KeyError, TypeError, AttributeError, InvalidOption):
        return None
    if not isinstance(kind, str):
        return None
    census = _mapping(found, "census")
    dump = _mapping(found, "dump")
    tables = _tables(census)
    return Told(
        kind=kind,
        taken_at=taken_at,
        method=_text(found, "method") or _text(dump, "format"),
        name=_text(found, "name") if kind in _NAMES_ARTEFACT else None,
        bytes=_whole(found, "bytes"),
        sha256=_text(found, "sha256"),
        version_id=_text(found, "version_id"),
        database=_text(_mapping(census, "database"), "name"),
        server_version=_server_version(found, dump, census),
        tables=None if tables is None else len(tables),
        rows=None if tables is None else _rows(tables),
        keys=_keys(found) if kind == "redis" else None,
        files=_whole(found, "files") if kind == "files" else None,
        is_encrypted=bool(found.get("encryption")),
        members=_members(found),
        requires=_requires(_mapping(found, "physical")),
        verification=_mapping(found, "verification"),
    )


@dataclass(frozen=True)
class Standing:
    """How far a backup is proven. C(is_current) is None where nothing tells whether it is still the one that was.

    C(is_good_for_itself) is what its record says of a backup that failed: whether only the WAL behind it is bad.
    """

    verdict: str
    level: Optional[str]
    wanted_level: Optional[str]
    reason: Optional[str]
    verified_at: Optional[str]
    is_current: Optional[bool]
    source: str
    is_good_for_itself: bool = False

    @property
    def is_proven(self) -> bool:
        """Whether the backup as it lies there was proven to be good."""
        return self.verdict == VERIFIED and self.is_current is True

    @property
    def is_refuted(self) -> bool:
        """Whether the backup as it lies there was proven to be bad."""
        return self.verdict == FAILED and self.is_current is True

    @property
    def is_restorable(self) -> bool:
        """Whether it can be brought to its own moment at least: proven, or refuted for what is behind it only."""
        return self.is_proven or (self.is_refuted and self.is_good_for_itself)

    def facts(self) -> dict[str, Any]:
        """For results."""
        return {
            "verdict": self.verdict,
            "level": self.level,
            "wanted_level": self.wanted_level,
            "reason": self.reason,
            "verified_at": self.verified_at,
            "is_current": self.is_current,
            "is_proven": self.is_proven,
            "is_restorable": self.is_restorable,
            "source": self.source,
        }


def standing_of(
    record: Record | None, told: Told | None, size_bytes: int | None, identity: Mapping[str, Any] | None
) -> Standing | None:
    """How far a backup is proven: by its record, else by the proof in its manifest; None when neither says anything.

    Args:
        record: Of its last verification.
        told: What its manifest says.
        size_bytes: Its size in the repository; None when that could not be read.
        identity: What the repository says of it, as C(depot.Stat.identity); None where that is not known.

    """
    of_record = None if record is None or record.verdict not in _VERDICTS else _by_record(record, size_bytes, identity)
    if of_record is not None and of_record.is_current is not False:
        return of_record
    of_manifest = _by_manifest(told, size_bytes, identity) if told is not None else None
    return of_manifest or of_record


def _by_record(record: Record, size_bytes: int | None, identity: Mapping[str, Any] | None) -> Standing:
    is_current: bool | None = None
    if size_bytes is not None and record.size_bytes != size_bytes:
        is_current = False
    elif size_bytes is not None and identity is not None:
        # A listing may know less of it than the look at it that the record was written after.
        is_current = all(record.identity.get(name) == value for name, value in identity.items())
    return Standing(
        record.verdict,
        record.level,
        record.wanted_level,
        record.reason,
        record.verified_at,
        is_current,
        "record",
        record.is_restorable is True,
    )


def _by_manifest(told: Told, size_bytes: int | None, identity: Mapping[str, Any] | None) -> Standing | None:
    proof = told.verification
    verdict = proof.get("verdict")
    if verdict not in _VERDICTS:
        return None
    moment = proof.get("verified_at")
    return Standing(
        verdict,
        _text(proof, "level"),
        _text(proof, "wanted_level"),
        _text(proof, "reason"),
        # It was proven before it was published, within the run that took it.
        moment if isinstance(moment, str) else iso(told.taken_at),
        fits(told, size_bytes, identity),
        "manifest",
    )


def fits(told: Told, size_bytes: int | None, identity: Mapping[str, Any] | None) -> bool | None:
    """Whether a manifest is about the artefact that it lies beside, as far as size and version tell."""
    if told.bytes is None or size_bytes is None:
        return None
    version = (identity or {}).get("version_id")
    if told.version_id and version and told.version_id != version:
        return False
    return told.bytes == size_bytes


def _mapping(found: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = found.get(name)
    return value if isinstance(value, Mapping) else {}


def _text(found: Mapping[str, Any], name: str) -> str | None:
    value = found.get(name)
    return value if isinstance(value, str) and value else None


def _whole(found: Mapping[str, Any], name: str) -> int | None:
    value = found.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _rows(tables: Mapping[str, Any]) -> int | None:
    counted = [_whole(each, "rows") for each in tables.values() if isinstance(each, Mapping)]
    known = [rows for rows in counted if rows is not None]
    return sum(known) if known else None


def _tables(census: Mapping[str, Any]) -> Mapping[str, Any] | None:
    value = census.get("tables")
    return value if isinstance(value, Mapping) else None


def _server_version(found: Mapping[str, Any], dump: Mapping[str, Any], census: Mapping[str, Any]) -> str | None:
    number = _whole(_mapping(census, "server"), "version_num")
    if number is not None:
        return f"{number // 10000}.{number % 10000}"
    return _text(dump, "server_version") or _text(found, "version")


def _keys(found: Mapping[str, Any]) -> int | None:
    """The keys of all databases of a Redis backup, where they were counted exactly."""
    databases = found.get("databases")
    if not isinstance(databases, list):
        return None
    total = 0
    for each in databases:
        bounds = each.get("keys") if isinstance(each, Mapping) else None
        if not isinstance(bounds, list) or len(bounds) != 2 or bounds[0] != bounds[1]:
            return None
        total += int(bounds[0])
    return total


def _members(found: Mapping[str, Any]) -> dict[str, tuple[int, str]]:
    members = {}
    for name, part in _mapping(found, "members").items():
        size, digest = (_whole(part, "bytes"), _text(part, "sha256")) if isinstance(part, Mapping) else (None, None)
        if size is not None and digest is not None:
            members[str(name)] = (size, digest)
    return members


def _requires(physical: Mapping[str, Any]) -> tuple[str, ...]:
    value = physical.get("requires")
    return tuple(str(each) for each in value) if isinstance(value, list) else ()
