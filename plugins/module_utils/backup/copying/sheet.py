# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a manifest says of the files of a backup, which is all that copying it needs to know. Pure.

C(postgresql/backup/manifest.py), C(redis/backup/manifest.py) and C(kubernetes/backup.py) write what is read here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.backup.errors import Undecided
from ansible_collections.runbook.ops.plugins.module_utils.common.clock import iso, parse_moment
from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption
from ansible_collections.runbook.ops.plugins.module_utils.common.outcome import Refused

_KINDS = ("postgresql", "redis", "kubernetes")
_KINDS_SHOWN = f"{', '.join(_KINDS[:-1])} and {_KINDS[-1]}"
_FORMAT = 1
_PGBACKREST = "pgbackrest"
# What a program looks for first in a directory that it wrote: without it nothing there passes for a backup.
_LAST = ("toc.dat", "backup_manifest")
_HEX = frozenset("0123456789abcdef")


@dataclass(frozen=True)
class Piece:
    """A file of a backup, by its name in the repository."""

    name: str
    bytes: int
    sha256: str
    version_id: Optional[str] = None


@dataclass(frozen=True)
class Sheet:
    """A manifest that was read: C(raw) as it lies there, C(pieces) in the order in which they are copied.

    C(requires) are the backups that this one cannot be restored without.
    """

    artefact: str
    raw: bytes
    found: Mapping[str, Any]
    pieces: tuple[Piece, ...]
    taken_at: str
    is_directory: bool
    requires: tuple[str, ...] = ()

    @property
    def bytes(self) -> int:
        """The size of everything that is copied."""
        return sum(piece.bytes for piece in self.pieces)


def read_sheet(raw: bytes, artefact: str, address: str) -> Sheet:
    """The manifest of an artefact, which lies at C(address).

    Raises:
        Undecided: it is none, or it is damaged.
        Refused: it is of a kind that is not copied file by file.

    """
    try:
        found = json.loads(raw)
        kind, written = found["kind"], found["format"]
    except (ValueError, KeyError, TypeError):
        raise Undecided(f"{address} is damaged: it is not a manifest as this collection writes it") from None
    _check_kind(found, kind, written, address)
    try:
        members = found.get("members") or {}
        inside = [_piece(f"{artefact}/{name}", part) for name, part in members.items()]
        inside.sort(key=lambda piece: (piece.name.rsplit("/", 1)[-1] in _LAST, piece.name))
        pieces = inside or [_piece(artefact, found)]
        if found.get("globals"):
            pieces.append(_piece(found["globals"]["name"], found["globals"]))
        return Sheet(
            artefact,
            raw,
            found,
            tuple(pieces),
            iso(parse_moment(found["taken_at"])),
            bool(inside),
            tuple(str(each) for each in (found.get("physical") or {}).get("requires") or ()),
        )
    except (ValueError, KeyError, TypeError, AttributeError, InvalidOption) as error:
        raise Undecided(
            f"{address} is damaged: it is not a manifest as this collection writes it ({type(error).__name__}: {error})"
        ) from None


def _check_kind(found: Mapping[str, Any], kind: object, written: object, address: str) -> None:
    if kind not in _KINDS or written != _FORMAT:
        raise Refused(
            f"{address} is a manifest of {kind!r} in format {written!r}; copied are backups of {_KINDS_SHOWN} "
            f"in format {_FORMAT}"
        )
    if found.get("method") == _PGBACKREST:
        raise Refused(f"{address} is about a backup in a repository of pgBackRest, which writes to several by itself")


def _piece(name: str, part: Mapping[str, Any]) -> Piece:
    size, digest = int(part["bytes"]), part["sha256"]
    if not isinstance(digest, str) or len(digest) != 64 or set(digest) - _HEX:
        raise ValueError("no SHA-256")
    if ".." in name.split("/") or name.startswith("/"):
        raise ValueError(f"{name} leads out of the repository")
    return Piece(name, size, digest, part.get("version_id"))


def manifest_for(sheet: Sheet, versions: Mapping[str, Optional[str]]) -> bytes:
    """The manifest of a copy: the same, but for the versions that the copy's files have there, by their names."""
    if all(versions.get(piece.name) == piece.version_id for piece in sheet.pieces):
        return sheet.raw
    if "version_id" not in sheet.found:
        return sheet.raw
    found = dict(sheet.found)
    if sheet.is_directory:
        found["members"] = {
            name: {**part, "version_id": versions.get(f"{sheet.artefact}/{name}")}
            for name, part in sheet.found["members"].items()
        }
    else:
        found["version_id"] = versions.get(sheet.artefact)
    if found.get("globals"):
        found["globals"] = {**found["globals"], "version_id": versions.get(found["globals"]["name"])}
    # Not sorted: the order of a table's columns is part of the census.
    return (json.dumps(found, indent=1, ensure_ascii=True) + "\n").encode("ascii")


def is_same_backup(one: Sheet, other: Sheet) -> bool:
    """Whether two manifests are about the same backup, wherever each lies, and however far it is proven."""
    return _essence(one.found, "verification") == _essence(other.found, "verification")


def says_the_same(one: Sheet, other: Sheet) -> bool:
    """Whether two manifests of one backup say the same, but for where it lies."""
    return _essence(one.found) == _essence(other.found)


def _essence(found: Mapping[str, Any], *without: str) -> dict[str, Any]:
    """A manifest without what another place changes."""
    essence = {name: value for name, value in found.items() if name not in ("version_id", *without)}
    for name in ("members", "globals"):
        essence[name] = _unversioned(found.get(name))
    return essence


def _unversioned(value: Any) -> Any:
    if not isinstance(value, Mapping):
        return value
    return {name: _unversioned(each) for name, each in value.items() if name != "version_id"}
