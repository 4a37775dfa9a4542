# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Backups in a bucket, or below a prefix of it as below a directory: streamed in parts, without a temporary file."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Optional

from ansible_collections.runbook.ops.plugins.module_utils.backup.depot import (
    BLOCK_BYTES,
    Hashes,
    Stat,
    Stored,
    host_lock,
)
from ansible_collections.runbook.ops.plugins.module_utils.backup.errors import Undecided
from ansible_collections.runbook.ops.plugins.module_utils.common.outcome import Refused
from ansible_collections.runbook.ops.plugins.module_utils.object_store.client import MultipartUpload, Store
from ansible_collections.runbook.ops.plugins.module_utils.object_store.errors import StoreError

_PART_BYTES = 16 * 1024 * 1024
# S3 takes 10,000 parts: after so many of one size, parts are twice as large, which suffices for five terabytes.
_PARTS_OF_ONE_SIZE = 1500


class BucketDepot:
    """A bucket, or what lies below a prefix of it as below a directory."""

    kind = "s3"

    def __init__(self, store: Store, bucket: str, prefix: str) -> None:
        self._store = store
        self._bucket = bucket
        self._prefix = f"{prefix.rstrip('/')}/" if prefix.strip("/") else ""
        self.location = f"s3://{bucket}/{self._prefix}"

    def address(self, name: str) -> str:
        """Its address."""
        return f"{self.location}{name}"

    def prepare(self) -> None:
        """A prefix needs no making; that the bucket is there shows with the first request."""

    def create(self, name: str) -> ObjectSink:
        """Begin an object; it appears when it is complete."""
        if self.stat(name) is not None:
            raise Refused(f"{self.address(name)} is there already. Nothing was written. Choose another name.")
        return ObjectSink(self._store, self._bucket, self._prefix + name, name)

    def put(self, name: str, data: bytes) -> str | None:
        """Write or replace a small object."""
        return self._store.write(self._bucket, self._prefix + name, data)

    def get(self, name: str, most_bytes: int = BLOCK_BYTES) -> bytes | None:
        """A small object; None when there is none."""
        found = self.stat(name)
        if found is None:
            return None
        if found.bytes > most_bytes:
            raise Undecided(f"{self.address(name)} is larger than {most_bytes} bytes")
        return b"".join(self.open(name, version_id=found.version_id))

    def stat(self, name: str, version_id: str | None = None) -> Stat | None:
        """Size, time of writing, ETag and version."""
        try:
            found = self._store.stat(self._bucket, self._prefix + name, version_id=version_id)
        except StoreError as error:
            raise Undecided(f"{self.address(name)} cannot be looked at: {error.message}") from None
        if found is None:
            return None
        return Stat(
            name,
            found.size_bytes,
            found.modified_at,
            {"etag": found.etag, "version_id": found.version_id, "bytes": found.size_bytes},
            version_id=found.version_id,
            storage_class=found.storage_class,
        )

    def open(
        self, name: str, start: int = 0, length: int | None = None, version_id: str | None = None
    ) -> Iterator[bytes]:
        """The chunks of an object, or of one version of it."""
        try:
            yield from self._store.read(
                self._bucket, self._prefix + name, version_id=version_id, start=start, length=length
            )
        except StoreError as error:
            raise Undecided(f"{self.address(name)} cannot be read: {error.message}") from None

    def recoverable(self, name: str) -> str | None:
        """The newest version that a delete marker hides."""
        key = self._prefix + name
        try:
            for versions, _markers in self._store.version_pages(self._bucket, key):
                # Newest first within a key; keys that only begin alike come after it.
                for version in versions:
                    if version.listed.key == key:
                        return version.version_id
        except StoreError as error:
            raise Undecided(f"the versions of {self.address(name)} cannot be listed: {error.message}") from None
        return None

    def members(self, name: str) -> dict[str, int]:
        """The objects below a name and their bytes; all of the depot's with an empty name."""
        root = f"{self._prefix}{name}/" if name else self._prefix
        try:
            return {
                listed.key[len(root) :]: listed.size_bytes
                for page in self._store.object_pages(self._bucket, root)
                for listed in page
            }
        except StoreError as error:
            raise Undecided(f"{self.address(name)} cannot be listed: {error.message}") from None

    def delete(self, name: str) -> None:
        """Delete an object, or the objects below a name; where there are versions, hide them."""
        self._store.delete(self._bucket, self._prefix + name)
        for member in self.members(name):
            self._store.delete(self._bucket, f"{self._prefix}{name}/{member}")

    def free_bytes(self) -> int | None:
        """Nobody knows."""
        return None

    def sweep(self, is_ours: Callable[[str], bool]) -> list[str]:
        """Drop uploads that killed runs left unfinished."""
        removed = []
        for page in self._store.upload_pages(self._bucket, self._prefix):
            for upload in page:
                name = upload.key[len(self._prefix) :]
                if is_ours(name):
                    self._store.abort_upload(self._bucket, upload)
                    removed.append(name)
        return removed

    @contextlib.contextmanager
    def lock(self, what: str) -> Iterator[None]:
        """Keep a second run of this host away. Buckets have no locks: runs of other hosts are told by names only."""
        with host_lock(self.location, what):
            yield


class ObjectSink:
    """An object on its way, a part at a time: while one is being sent, whoever writes fills the next one."""

    def __init__(self, store: Store, bucket: str, key: str, name: str) -> None:
        self._store = store
        self._bucket = bucket
        self._key = key
        self._name = name
        self._hashes = Hashes()
        self._buffer = bytearray()
        self._upload: Optional[MultipartUpload] = None
        self._parts = 0
        self._sender = ThreadPoolExecutor(max_workers=1)
        self._on_its_way: Optional[Future[None]] = None

    def __enter__(self) -> ObjectSink:
        return self

    def __exit__(self, *_details: object) -> None:
        self._sender.shutdown()
        if self._upload is not None:
            self._upload.abort()

    def write(self, data: bytes) -> None:
        """Take the next bytes; a full part is sent. What went wrong with one is raised with the next."""
        self._hashes.update(data)
        self._buffer += data
        while len(self._buffer) >= self._part_bytes:
            part, self._buffer = bytes(self._buffer[: self._part_bytes]), self._buffer[self._part_bytes :]
            self._send(part)

    @property
    def _part_bytes(self) -> int:
        return int(_PART_BYTES * 2 ** (self._parts // _PARTS_OF_ONE_SIZE))

    def _send(self, part: bytes) -> None:
        if self._upload is None:
            self._upload = self._store.begin_upload(self._bucket, self._key)
        self._settle()
        self._on_its_way = self._sender.submit(self._upload.send, part)
        self._parts += 1

    def _settle(self) -> None:
        """Wait for the part that is being sent."""
        sent, self._on_its_way = self._on_its_way, None
        if sent is not None:
            sent.result()

    @property
    def sha256(self) -> str:
        """The SHA-256 of everything that was written so far."""
        return self._hashes.sha256

    def commit(self) -> Stored:
        """Send what is left, and have the object appear."""
        if self._upload is None:
            version = self._store.write(self._bucket, self._key, bytes(self._buffer))
        else:
            if self._buffer:
                self._send(bytes(self._buffer))
            self._settle()
            version = self._upload.complete()
        return Stored(self._name, self._hashes.bytes, self._hashes.sha256, self._hashes.blocks, version)
