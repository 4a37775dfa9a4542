# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The writing side of a backup repository: what is put there is there completely or not at all.

C(backup/repository.py) lists and reads whatever it finds; a depot writes, reads and deletes by name.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import hashlib
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional, Protocol

from ansible_collections.runbook.ops.plugins.module_utils.backup.repository import split_location
from ansible_collections.runbook.ops.plugins.module_utils.common.files import locked

# The hashes of blocks of this size let a later look at a part of a large artefact prove that part.
BLOCK_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True)
class Stored:
    """An artefact that was written: its name, size, SHA-256 as a whole and of every block, its version if any."""

    name: str
    bytes: int
    sha256: str
    blocks: tuple[str, ...]
    version_id: Optional[str] = None


@dataclass(frozen=True)
class Stat:
    """What a repository says of an artefact without reading it.

    C(identity) is equal as long as nobody has written to it: that of a file is its inode, size and time of writing,
    that of an object its ETag and version.
    """

    name: str
    bytes: int
    modified_at: dt.datetime
    identity: Mapping[str, Any]
    version_id: Optional[str] = None
    storage_class: Optional[str] = None
    is_directory: bool = False


class Hashes:
    """Size, SHA-256 and the SHA-256 of every block, of bytes that pass by."""

    def __init__(self) -> None:
        self.bytes = 0
        self._whole = hashlib.sha256()
        self._block = hashlib.sha256()
        self._left = BLOCK_BYTES
        self._blocks: list[str] = []

    def update(self, data: bytes) -> None:
        """Take the next bytes in."""
        self.bytes += len(data)
        self._whole.update(data)
        view = memoryview(data)
        while len(view) >= self._left:
            self._block.update(view[: self._left])
            view = view[self._left :]
            self._blocks.append(self._block.hexdigest())
            self._block, self._left = hashlib.sha256(), BLOCK_BYTES
        self._block.update(view)
        self._left -= len(view)

    @property
    def sha256(self) -> str:
        """The SHA-256 of everything so far."""
        return self._whole.hexdigest()

    @property
    def blocks(self) -> tuple[str, ...]:
        """The SHA-256 of every block so far; the last one may be shorter."""
        return (*self._blocks, self._block.hexdigest()) if self._left < BLOCK_BYTES else tuple(self._blocks)


class Sink(Protocol):
    """An artefact that is being written. Leaving its block without C(commit) leaves nothing."""

    def __enter__(self) -> Sink: ...

    def __exit__(self, *_details: object) -> None: ...

    def write(self, data: bytes) -> None:
        """Take the next bytes; raises RunbookError when the place cannot."""

    @property
    def sha256(self) -> str:
        """The SHA-256 of everything that was written so far: to be compared before it gets its name."""

    def commit(self) -> Stored:
        """Give it its name."""


class Depot(Protocol):
    """Where artefacts are written, read and deleted by name. Names are relative, with slashes."""

    kind: str
    location: str

    def address(self, name: str) -> str:
        """The path or address of an artefact, for people."""

    def create(self, name: str) -> Sink:
        """Begin an artefact, which appears when it is committed; raises Refused when there is one of that name."""

    def put(self, name: str, data: bytes) -> str | None:
        """Write a small file, or replace it, atomically; its version, where there are versions."""

    def get(self, name: str, most_bytes: int = BLOCK_BYTES) -> bytes | None:
        """A small file; None when there is none. Raises Undecided when it cannot be read or is larger."""

    def stat(self, name: str, version_id: str | None = None) -> Stat | None:
        """What is known of an artefact without reading it; None when there is none.

        Raises:
            Undecided: it cannot be told.

        """

    def open(
        self, name: str, start: int = 0, length: int | None = None, version_id: str | None = None
    ) -> Iterator[bytes]:
        """The chunks of an artefact; raises Undecided when it cannot be read."""

    def recoverable(self, name: str) -> str | None:
        """The newest version of an artefact that was deleted and can be brought back; None when there is none."""

    def members(self, name: str) -> dict[str, int]:
        """The files of an artefact that is a directory, by name, with their bytes."""

    def delete(self, name: str) -> None:
        """Delete an artefact; nothing happens when it is not there."""

    def free_bytes(self) -> int | None:
        """How much may still be written; None where nobody knows."""

    def prepare(self) -> None:
        """Make the place, for its owner only, unless it is there."""

    def sweep(self, is_ours: Callable[[str], bool]) -> list[str]:
        """Remove what runs that were killed left half-written, under names that are ours. Only with the lock held."""

    def lock(self, what: str) -> contextlib.AbstractContextManager[None]:
        """Keep a second run away from the place; raises Refused. C(what) completes "Another run is …"."""


def open_depot(options: Mapping[str, Any]) -> Depot:
    """The depot that the option C(repository) names.

    Raises:
        InvalidOption: it names none.
        Unavailable: the credentials that were pointed to cannot be had.

    """
    bucket, rest = split_location(options["repository"])
    if bucket is not None:
        # Here, so that a directory on a database server does not wait for a library that it has no use for.
        from ansible_collections.runbook.ops.plugins.module_utils.backup.bucket_depot import (  # noqa: PLC0415
            BucketDepot,
        )
        from ansible_collections.runbook.ops.plugins.module_utils.object_store.client import connect  # noqa: PLC0415

        return BucketDepot(connect(options, connections=4), bucket, rest)
    from ansible_collections.runbook.ops.plugins.module_utils.backup.directory_depot import (  # noqa: PLC0415
        DirectoryDepot,
    )

    return DirectoryDepot(Path(rest))


@contextlib.contextmanager
def host_lock(location: str, what: str) -> Iterator[None]:
    """A lock among the runs of this host and account, for places that have no locks of their own."""
    digest = hashlib.sha256(location.encode()).hexdigest()[:16]
    path = Path(tempfile.gettempdir()) / f".runbook-{os.geteuid()}-{digest}.lock"
    with locked(path, what):
        yield
