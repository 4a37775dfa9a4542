# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Exported rows as files that are proven before anything is deleted: compressed JSON lines beside a manifest.

A batch has one name, made of policy, cutoff, job and number. Until its rows are deleted, in the commit that counts the
batch in the ledger, the same batch is written under the same name again: at least once, and never under two names.
"""

from __future__ import annotations

import contextlib
import glob
import gzip
import hashlib
import json
import os
import re
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional, Protocol

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption, RunbookError
from ansible_collections.runbook.ops.plugins.module_utils.object_store.client import Store
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.retention.policy import Destination, TableName

_GZIP_LEVEL = 6
_HASH_BYTES = 8


@dataclass(frozen=True)
class Stored:
    """A file that was written and read back."""

    name: str
    place: str
    bytes: int
    sha256: str
    rows: int
    digest: int
    version_id: Optional[str] = None

    def as_dict(self) -> dict[str, Any]:
        """The entry of manifest and result."""
        return {
            "name": self.name,
            "place": self.place,
            "bytes": self.bytes,
            "sha256": self.sha256,
            "rows": self.rows,
            "version_id": self.version_id,
        }


class Writer(Protocol):
    """Somewhere to put files so that they stay."""

    def put(self, name: str, data: bytes) -> str | None:
        """Write, or write again; gives the version, where the place has versions."""

    def get(self, name: str, version_id: str | None) -> bytes:
        """Read back what is there."""

    def place(self, name: str) -> str:
        """The path or address for people."""

    def drop(self, stem: str) -> None:
        """Remove the files of a batch that was not confirmed; where that is impossible, leave them."""


class DirectoryWriter:
    """A directory on this host. A file has its name only once it is complete and on the disk."""

    def __init__(self, directory: str) -> None:
        self._directory = Path(directory)
        if not self._directory.is_absolute():
            raise InvalidOption("export.directory", directory, "an absolute path")

    def prepare(self) -> None:
        """Make the directory, for its owner only, unless it is there."""
        with _explained("create", self._directory):
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)

    def put(self, name: str, data: bytes) -> str | None:
        """Write beside, flush to the disk, rename, flush the directory."""
        path = self._directory / name
        temporary = path.with_name(f".{name}.partial")
        with _explained("write", path):
            try:
                descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
                with os.fdopen(descriptor, "wb") as stream:
                    stream.write(data)
                    stream.flush()
                    os.fsync(stream.fileno())
                if temporary.read_bytes() != data:
                    raise RunbookError(f"What was written to {temporary} reads back differently. Check the disk.")
                temporary.replace(path)
                self._sync()
            finally:
                with contextlib.suppress(OSError):
                    temporary.unlink()
        return None

    def get(self, name: str, _version_id: str | None) -> bytes:
        """The bytes of the file."""
        with _explained("read", self._directory / name):
            return (self._directory / name).read_bytes()

    def place(self, name: str) -> str:
        """Its path."""
        return str(self._directory / name)

    def drop(self, stem: str) -> None:
        """Remove them, if they are there."""
        with _explained("remove files in", self._directory), contextlib.suppress(FileNotFoundError):
            for path in self._directory.glob(f"{glob.escape(stem)}.*"):
                path.unlink()
            self._sync()

    def _sync(self) -> None:
        descriptor = os.open(self._directory, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


class BucketWriter:
    """A bucket of an object store; an object is there completely or not at all."""

    def __init__(self, store: Store, bucket: str, prefix: str) -> None:
        self._store = store
        self._bucket = bucket
        self._prefix = prefix

    def put(self, name: str, data: bytes) -> str | None:
        """Write the object, with its checksum for the store to compare."""
        return self._store.write(self._bucket, self._prefix + name, data)

    def get(self, name: str, version_id: str | None) -> bytes:
        """Download the version that was written: no answer of a store to the upload proves what it holds."""
        return b"".join(self._store.read(self._bucket, self._prefix + name, version_id=version_id))

    def place(self, name: str) -> str:
        """Its address."""
        return f"s3://{self._bucket}/{self._prefix}{name}"

    def drop(self, _stem: str) -> None:
        """Nothing: archives are often written with a key that may not delete. The ledger says what counts."""


@dataclass(frozen=True)
class Batch:
    """What the names of a batch are made of, and what its manifest says beside the files."""

    policy: str
    cutoff: str
    job: str
    number: int

    def file(self, table: TableName) -> str:
        """The name of the rows of one table."""
        return f"{self.stem}.{_plain(str(table))}.jsonl.gz"

    @property
    def manifest(self) -> str:
        """The name of the manifest."""
        return f"{self.stem}.manifest.json"

    @property
    def stem(self) -> str:
        """What all names of the batch begin with."""
        return f"{self.policy}.{_stamp(self.cutoff)}.{self.job}.{self.number:06d}"


def open_writer(destination: Destination, store: Store | None) -> Writer:
    """The place that a policy exports to."""
    if destination.bucket and store is not None:
        return BucketWriter(store, destination.bucket, destination.prefix)
    writer = DirectoryWriter(destination.directory or "")
    writer.prepare()
    return writer


def store_rows(writer: Writer, name: str, lines: Sequence[str]) -> Stored:
    """Write the rows of one table and prove the file: its bytes, and its rows counted and hashed from the file."""
    content = "".join(f"{line}\n" for line in lines).encode("utf-8")
    # Without a time in its header, the same rows make the same bytes.
    data = gzip.compress(content, compresslevel=_GZIP_LEVEL, mtime=0)
    version_id = writer.put(name, data)
    written = hashlib.sha256(data).hexdigest()
    there = writer.get(name, version_id)
    found = hashlib.sha256(there).hexdigest()
    if found != written:
        raise RunbookError(
            f"{writer.place(name)} was written with SHA-256 {written} and reads back as {found}. No row of this batch "
            "was deleted. Check the place it lies in, and run the task again."
        )
    rows, digest = measure_lines(there, writer.place(name))
    if rows != len(lines):
        raise RunbookError(
            f"{writer.place(name)} holds {rows} rows, {len(lines)} were written. No row of this batch was deleted. "
            "Run the task again."
        )
    return Stored(name, writer.place(name), len(data), written, rows, digest, version_id)


def store_manifest(writer: Writer, batch: Batch, manifest: Mapping[str, Any]) -> None:
    """Write the manifest and read it back."""
    data = (json.dumps(manifest, indent=2, sort_keys=True) + "\n").encode("utf-8")
    version_id = writer.put(batch.manifest, data)
    if writer.get(batch.manifest, version_id) != data:
        raise RunbookError(
            f"{writer.place(batch.manifest)} reads back differently. No row of this batch was deleted. "
            "Check the place it lies in, and run the task again."
        )


def measure_lines(data: bytes, place: str) -> tuple[int, int]:
    """Rows and digest of a compressed file, computed from its bytes.

    The digest is the sum of every line's hash, the first 64 bits of its SHA-256 as a signed number; the server computes
    the same from the rows that it deletes.
    """
    try:
        content = gzip.decompress(data)
    except (OSError, EOFError, zlib.error) as error:
        raise RunbookError(f"{place} cannot be decompressed: {error}. No row of this batch was deleted.") from None
    lines = content.split(b"\n")
    if lines.pop() != b"":
        raise RunbookError(f"{place} ends within a line. No row of this batch was deleted. Run the task again.")
    return len(lines), sum(line_hash(line) for line in lines)


def line_hash(line: bytes) -> int:
    """The hash of one line, as Statements has the server compute it."""
    return int.from_bytes(hashlib.sha256(line).digest()[:_HASH_BYTES], "big", signed=True)


def _plain(text: str) -> str:
    """Text as a part of a file name; what was different stays different by a checksum where signs were replaced."""
    plain = re.sub(r"[^A-Za-z0-9_.-]", "_", text)
    return plain if plain == text else f"{plain}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def _stamp(cutoff: str) -> str:
    """A cutoff as a part of a file name: 2026-03-03T000000Z, without Z for a column without time zone."""
    return cutoff.replace(":", "").replace(" ", "T").replace("+00", "Z")


@contextlib.contextmanager
def _explained(action: str, path: Path) -> Any:
    try:
        yield
    except OSError as error:
        raise RunbookError(
            f"Cannot {action} {path}: {error.strerror or error}. No row of this batch was deleted. "
            "Correct the directory, its owner or its disk, and run the task again."
        ) from None
