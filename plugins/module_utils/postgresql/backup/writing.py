# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Getting a dump into its repository: streamed, or as the files of a directory."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.backup.depot import Depot, Hashes, Sink
from ansible_collections.runbook.ops.plugins.module_utils.backup.directory_depot import DirectoryDepot
from ansible_collections.runbook.ops.plugins.module_utils.backup.encryption import Encryption, encrypted
from ansible_collections.runbook.ops.plugins.module_utils.common.children import (
    CHUNK_BYTES,
    Child,
    clean_environment,
)
from ansible_collections.runbook.ops.plugins.module_utils.common.errors import RunbookError
from ansible_collections.runbook.ops.plugins.module_utils.common.files import explained as file_explained
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.backup.dump import (
    Chain,
    ContentHash,
    Plan,
    dump_argv,
    private_files,
    warnings_of,
    watch_until_end,
)
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.backup.manifest import Part, members_sha256
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.backup.request import Request

_WORK_PREFIX = "runbook-dump-"
# pg_dump writes a directory's files by itself: their sizes are looked at now and then.
_TOC = "toc.dat"


@dataclass(frozen=True)
class Written:
    """What was written under the artefact's name. C(content) tells of the bytes before they were encrypted."""

    bytes: int
    sha256: str
    blocks: tuple[str, ...] = ()
    version_id: Optional[str] = None
    members: Mapping[str, Part] = field(default_factory=dict)
    content: Optional[Mapping[str, Any]] = None
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Dumping:
    """One dump on its way.

    C(turn) is called about twice a second with the bytes that were written so far; what it raises ends everything.
    """

    depot: Depot
    request: Request
    plan: Plan
    environment: Mapping[str, str]
    turn: Callable[[int], None]

    def stream_to(self, sink: Sink, snapshot: str) -> tuple[Optional[Mapping[str, Any]], tuple[str, ...]]:
        """Dump into a sink, to be committed by the caller: facts of the content if it is encrypted, and warnings."""
        encryption = self.request.encryption
        others: list[tuple[list[str], Mapping[str, str]]] = []
        if self.plan.zstd_argv:
            others.append((list(self.plan.zstd_argv), clean_environment()))
        content = None
        if encryption is not None:
            content = ContentHash()
            others.append((encryption.argv(), encryption.environment()))
        count = 0

        def take(chunk: bytes) -> None:
            nonlocal count
            sink.write(chunk)
            count += len(chunk)

        argv = dump_argv(self.request, self.plan, snapshot)
        with Chain((argv, self.environment), others, content) as chain:
            chain.drain(take, lambda: self.turn(count))
            warnings = warnings_of(chain.words)
        if not count:
            raise RunbookError("pg_dump succeeded and wrote nothing. Nothing was published. Look at the program.")
        facts = None if content is None else {"content_bytes": content.bytes, "content_sha256": content.sha256}
        return facts, tuple(warnings)

    def directory_to(self, artefact: str, snapshot: str) -> Written:
        """Dump into a directory, and publish its files; the table of contents comes last."""
        with self._place(artefact) as place:
            argv = dump_argv(self.request, self.plan, snapshot, place)
            with private_files(), Child(argv, environment=self.environment) as child:
                watch_until_end(child, lambda: self.turn(_bytes_in(place)))
                warnings = tuple(warnings_of(child.words))
            if isinstance(self.depot, DirectoryDepot):
                members = {path.name: self._hashed(path) for path in _files(place)}
                self.depot.adopt(artefact)
            else:
                members = {path.name: self._upload(path, f"{artefact}/{path.name}") for path in _files(place)}
        size = sum(part.bytes for part in members.values())
        return Written(size, members_sha256(members), members=members, warnings=warnings)

    @contextlib.contextmanager
    def _place(self, artefact: str) -> Iterator[Path]:
        """A directory that does not exist yet, gone afterwards unless it was adopted."""
        if isinstance(self.depot, DirectoryDepot):
            place = self.depot.partial(artefact)
            with file_explained("create", place.parent):
                place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        else:
            place = work_place(self.request.work_directory, self.depot.location)
        clear_place(place)
        with file_explained("create", place):
            # By us and now: pg_dump would also take an empty directory that somebody else put there.
            place.mkdir(mode=0o700)
        try:
            yield place
        finally:
            clear_place(place)

    def _hashed(self, path: Path) -> Part:
        hashes = Hashes()
        with file_explained("read", path):
            for chunk in _chunks(path):
                hashes.update(chunk)
                self.turn(0)
        return Part(path.name, hashes.bytes, hashes.sha256)

    def _upload(self, path: Path, name: str) -> Part:
        with self.depot.create(name) as sink:
            for chunk in _chunks(path):
                sink.write(chunk)
                self.turn(0)
            stored = sink.commit()
        return Part(path.name, stored.bytes, stored.sha256, stored.version_id)


def write_small(depot: Depot, name: str, data: bytes, encryption: Optional[Encryption]) -> Part:
    """Write a file that is made in memory, encrypted if wanted."""
    if encryption is not None:
        data = b"".join(encrypted(iter([data]), encryption))
    version = depot.put(name, data)
    return Part(name, len(data), hashlib.sha256(data).hexdigest(), version)


def work_place(directory: Optional[Path], location: str) -> Path:
    """Where a directory dump lies on its way to a bucket: always the same one, so that it is found again."""
    digest = hashlib.sha256(f"{os.geteuid()}\0{location}".encode()).hexdigest()[:16]
    return (directory or Path(tempfile.gettempdir())) / f"{_WORK_PREFIX}{digest}"


def clear_place(place: Path) -> None:
    """Remove a directory that was left there."""
    if place.is_dir() and not place.is_symlink():
        with file_explained("remove", place):
            shutil.rmtree(place)


def _files(place: Path) -> list[Path]:
    found = [path for path in place.iterdir() if path.is_file()]
    return sorted(found, key=lambda path: (path.name == _TOC, path.name))


def _bytes_in(place: Path) -> int:
    total = 0
    with contextlib.suppress(OSError):
        for path in place.iterdir():
            with contextlib.suppress(OSError):
                total += path.stat().st_size
    return total


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as stream:
        while chunk := stream.read(CHUNK_BYTES):
            yield chunk
