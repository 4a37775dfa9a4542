# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A base backup read in one pass: hashed, decrypted, unpacked, every file held against PostgreSQL's own manifest.

What C(pg_verifybackup) does for a directory is done here while the archives stream by, be they encrypted or in a
bucket.
"""

from __future__ import annotations

import hashlib
import os
import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, Optional, cast

from ansible_collections.runbook.ops.plugins.module_utils.backup.content import Content
from ansible_collections.runbook.ops.plugins.module_utils.backup.depot import Depot
from ansible_collections.runbook.ops.plugins.module_utils.backup.encryption import Decryption
from ansible_collections.runbook.ops.plugins.module_utils.backup.errors import Damaged
from ansible_collections.runbook.ops.plugins.module_utils.common.files import explained
from ansible_collections.runbook.ops.plugins.module_utils.common.progress import Progress
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.backup.manifest import Part
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.physical.basebackup import (
    BACKUP_MANIFEST,
    read_backup_manifest,
)
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.physical.found import Found
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.physical.recover import Target
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.physical.subject import Fault

_CHUNK = 1024 * 1024
_MOST_MANIFEST_BYTES = 1024 * 1024 * 1024
_WAL = "pg_wal"


class Unpacking:
    """One pass over a backup.

    Args:
        depot: Where it lies.
        found: The backup.
        decryption: The recovery side's keys.
        progress: Told of the bytes that were read.
        target: Where to unpack it; without one it is only read.

    """

    def __init__(
        self,
        depot: Depot,
        found: Found,
        decryption: Optional[Decryption],
        progress: Progress,
        target: Optional[Target] = None,
    ) -> None:
        self._depot = depot
        self._found = found
        self._decryption = decryption
        self._progress = progress
        self._target = target
        self._expected: dict[str, Mapping[str, Any]] = {}
        self._done = 0
        self.faults: list[Fault] = []
        self.files = 0

    def run(self, *, decode: bool = True) -> list[Fault]:
        """What is wrong with it; nothing for a good one. Without C(decode) its bytes are only hashed.

        Raises:
            Undecided: it cannot be read, or there is no key for it.

        """
        manifest = self._found.manifest
        self._progress.phase("read", self._depot.address(self._found.name), total=manifest.bytes, unit="bytes")
        # The list comes first: everything else is held against it.
        for name in sorted(manifest.members, key=lambda each: (not each.startswith(BACKUP_MANIFEST), each)):
            self._member(name, manifest.members[name], decode=decode)
        if decode and not self.faults:
            self.faults += [
                Fault("decode_failed", path, "it is in PostgreSQL's backup_manifest and not in the backup")
                for path in list(self._expected)[:5]
            ]
        return self.faults

    def _member(self, name: str, part: Part, *, decode: bool) -> None:
        path = f"{self._found.name}/{name}"
        stat = self._depot.stat(path, part.version_id)
        if stat is None:
            self.faults.append(Fault("size_mismatch", path, "the file is missing", part.bytes, None))
            return
        chunks = self._depot.open(path, version_id=part.version_id)
        content = Content(chunks, decryption=self._decryption, on_bytes=self._told)
        damage: Optional[str] = None
        try:
            if decode:
                self._decode(name, content)
        except Damaged as error:
            damage = error.message
        except tarfile.TarError as error:
            damage = f"the archive is cut off or damaged: {error}"
        content.drain()
        self._done += content.hashes.bytes
        if content.hashes.bytes != part.bytes:
            self.faults.append(
                Fault("size_mismatch", path, "its size is not the manifest's", part.bytes, content.hashes.bytes)
            )
        elif content.hashes.sha256 != part.sha256:
            self.faults.append(
                Fault("digest_mismatch", path, "its SHA-256 is not the manifest's", part.sha256, content.hashes.sha256)
            )
        elif damage is not None:
            self.faults.append(Fault("decode_failed", path, damage))

    def _told(self, count: int) -> None:
        self._progress.at(self._done + count)

    def _decode(self, name: str, content: Content) -> None:
        stem = name.split(".", 1)[0]
        if stem == BACKUP_MANIFEST:
            self._read_list(content.chunks())
            return
        prefix = {"base": "", _WAL: f"{_WAL}/"}.get(stem, f"pg_tblspc/{stem}/")
        root = None
        if self._target is not None:
            root = self._target.tablespaces[stem] if prefix.startswith("pg_tblspc") else self._target.data
            root = root / _WAL if stem == _WAL else root
        stream = cast(BinaryIO, _Stream(content.chunks()))
        with tarfile.open(fileobj=stream, mode="r|") as archive:
            for entry in archive:
                self._entry(archive, entry, prefix, root)
        # The archive's end is not the end of what it was packed in, whose checksum comes last.
        while stream.read(_CHUNK):
            pass

    def _read_list(self, chunks: Iterator[bytes]) -> None:
        data = b""
        for chunk in chunks:
            data += chunk
            if len(data) > _MOST_MANIFEST_BYTES:
                raise Damaged("its backup_manifest is too large")
        listed = read_backup_manifest(data)
        own = data.rfind(b'"Manifest-Checksum"')
        if own < 0 or hashlib.sha256(data[:own]).hexdigest() != listed.get("Manifest-Checksum"):
            raise Damaged("its backup_manifest was changed: it does not have the checksum that it states")
        for each in listed["Files"]:
            path = each.get("Path") or bytes.fromhex(each["Encoded-Path"]).decode("utf-8", "surrogateescape")
            self._expected[path] = each

    def _entry(self, archive: tarfile.TarFile, entry: tarfile.TarInfo, prefix: str, root: Optional[Path]) -> None:
        relative = PurePosixPath(entry.name)
        if relative.is_absolute() or ".." in relative.parts:
            raise Damaged(f"its archive leads out of its directory: {entry.name!r}")
        place = None if root is None else root / relative
        if entry.isdir():
            if place is not None:
                self._make_directory(place, entry.mode)
            return
        if not entry.isreg():
            # Links to tablespaces are made anew, to where they are now.
            return
        source = archive.extractfile(entry)
        listed = self._expected.pop(prefix + str(relative), None)
        digest = hashlib.sha256()
        size = self._copy(source, place, entry.mode, digest)
        self.files += 1
        if listed is None:
            return
        if size != listed["Size"]:
            raise Damaged(f"{prefix}{relative} has {size} bytes instead of the {listed['Size']} of its backup_manifest")
        if listed.get("Checksum-Algorithm") == "SHA256" and digest.hexdigest() != listed["Checksum"]:
            raise Damaged(f"{prefix}{relative} does not have the checksum of its backup_manifest")

    def _copy(self, source: Any, place: Optional[Path], mode: int, digest: Any) -> int:
        size = 0
        if place is None:
            while chunk := source.read(_CHUNK):
                digest.update(chunk)
                size += len(chunk)
            return size
        with explained("write", place):
            if not place.parent.is_dir():
                self._make_directory(place.parent, 0o700)
            with place.open("xb", buffering=0) as stream:
                while chunk := source.read(_CHUNK):
                    stream.write(chunk)
                    digest.update(chunk)
                    size += len(chunk)
                os.fchmod(stream.fileno(), mode & 0o740)
            self._give(place)
        return size

    def _make_directory(self, place: Path, mode: int) -> None:
        with explained("make", place):
            place.mkdir(mode=0o700, parents=True, exist_ok=True)
            place.chmod(mode & 0o750 | 0o700)
            self._give(place)

    def _give(self, place: Path) -> None:
        if self._target is not None:
            self._target.give(place)


class _Stream:
    """Chunks as a file, as far as tarfile reads one."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._rest = b""

    def read(self, size: int) -> bytes:
        parts, length = [self._rest], len(self._rest)
        while length < size:
            chunk = next(self._chunks, b"")
            if not chunk:
                break
            parts.append(chunk)
            length += len(chunk)
        data = b"".join(parts)
        self._rest = data[size:]
        return data[:size]
