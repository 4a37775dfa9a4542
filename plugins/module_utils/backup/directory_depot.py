# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Backups in a directory of the host: for their owner only, flushed to the disk, renamed when they are whole."""

from __future__ import annotations

import contextlib
import datetime as dt
import os
import shutil
import stat as modes
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from ansible_collections.runbook.ops.plugins.module_utils.backup.depot import BLOCK_BYTES, Hashes, Stat, Stored
from ansible_collections.runbook.ops.plugins.module_utils.backup.directory import state_of
from ansible_collections.runbook.ops.plugins.module_utils.backup.errors import Undecided
from ansible_collections.runbook.ops.plugins.module_utils.backup.naming import LOCK_NAME, PARTIAL_SUFFIX
from ansible_collections.runbook.ops.plugins.module_utils.common.files import (
    CHUNK_BYTES,
    PRIVATE,
    explained,
    free_bytes,
    locked,
    sync_directory,
    write_file,
)
from ansible_collections.runbook.ops.plugins.module_utils.common.outcome import Refused


class DirectoryDepot:
    """A directory of the host that runs the module."""

    kind = "directory"

    def __init__(self, root: Path) -> None:
        self._root = root
        self.location = str(root)

    def address(self, name: str) -> str:
        """Its path."""
        return str(self._root / name)

    def prepare(self) -> None:
        """Make the directory, for its owner only, unless it is there."""
        with explained("create", self._root):
            self._root.mkdir(mode=0o700, parents=True, exist_ok=True)

    def create(self, name: str) -> FileSink:
        """Begin a file beside its later name."""
        path = self._root / name
        with explained("create", path.parent):
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if path.exists():
            raise Refused(f"{path} is there already. Nothing was written. Choose another name, or move it away.")
        return FileSink(path, name)

    def partial(self, name: str) -> Path:
        """Where a directory that a program writes by itself lies until it is complete; C(adopt) gives it its name."""
        path = self._root / name
        return path.with_name(f".{path.name}{PARTIAL_SUFFIX}")

    def adopt(self, name: str) -> None:
        """Give a complete partial directory its name."""
        target = self._root / name
        with explained("publish", target):
            self.partial(name).replace(target)
            sync_directory(target.parent)

    def put(self, name: str, data: bytes) -> str | None:
        """Write or replace a small file."""
        path = self._root / name
        with explained("create", path.parent):
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_file(path, data)
        return None

    def get(self, name: str, most_bytes: int = BLOCK_BYTES) -> bytes | None:
        """A small file; None when there is none."""
        path = self._root / name
        try:
            if path.stat().st_size > most_bytes:
                raise Undecided(f"{path} is larger than {most_bytes} bytes")
            return path.read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise Undecided(f"{path} cannot be read: {error.strerror or error}") from None

    def stat(self, name: str, version_id: str | None = None) -> Stat | None:  # noqa: ARG002 - a directory has none
        """Size, time of writing and identity."""
        path = self._root / name
        try:
            found = path.stat()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise Undecided(f"{path} cannot be looked at: {error.strerror or error}") from None
        is_directory = modes.S_ISDIR(found.st_mode)
        size = sum(self.members(name).values()) if is_directory else found.st_size
        return Stat(
            name,
            size,
            dt.datetime.fromtimestamp(found.st_mtime, dt.timezone.utc),
            state_of(found, size),
            is_directory=is_directory,
        )

    def recoverable(self, name: str) -> str | None:  # noqa: ARG002 - a directory keeps no versions
        """What is deleted is gone."""
        return None

    def members(self, name: str) -> dict[str, int]:
        """The files of a directory and their bytes."""
        root = self._root / name
        try:
            return {
                each.relative_to(root).as_posix(): each.stat().st_size
                for each in sorted(root.rglob("*"))
                if each.is_file()
            }
        except OSError as error:
            raise Undecided(f"{root} cannot be listed: {error.strerror or error}") from None

    def open(
        self,
        name: str,
        start: int = 0,
        length: int | None = None,
        version_id: str | None = None,  # noqa: ARG002 - a directory has none
    ) -> Iterator[bytes]:
        """The chunks of a file. One that changes while it is read is being written: that is no verdict."""
        path = self._root / name
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except FileNotFoundError:
            raise Undecided(f"{path} is not there (any more)") from None
        except OSError as error:
            raise Undecided(f"{path} cannot be opened: {error.strerror or error}") from None
        with os.fdopen(descriptor, "rb", buffering=0) as stream:
            before = os.fstat(descriptor)
            if not modes.S_ISREG(before.st_mode):
                raise Undecided(f"{path} is no file")
            left = before.st_size - start if length is None else length
            try:
                stream.seek(start)
                while left > 0 and (chunk := stream.read(min(CHUNK_BYTES, left))):
                    left -= len(chunk)
                    yield chunk
            except OSError as error:
                raise Undecided(f"{path} cannot be read: {error.strerror or error}. Look at the disk") from None
            after = os.fstat(descriptor)
            if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
                raise Undecided(f"{path} is being written at this moment: look again when the job has ended")

    def delete(self, name: str) -> None:
        """Delete a file or a directory."""
        path = self._root / name
        with explained("delete", path), contextlib.suppress(FileNotFoundError):
            if path.is_dir() and not path.is_symlink():
                # Under its own name half a directory would still look like a backup.
                doomed = path.with_name(f".{path.name}{PARTIAL_SUFFIX}")
                path.replace(doomed)
                shutil.rmtree(doomed)
            else:
                path.unlink()
            sync_directory(path.parent)

    def free_bytes(self) -> int | None:
        """What the file system has left for us."""
        return free_bytes(self._root)

    def sweep(self, is_ours: Callable[[str], bool]) -> list[str]:
        """Remove what killed runs left."""
        removed = []
        for path in sorted(self._root.rglob(f".*{PARTIAL_SUFFIX}")):
            name = path.relative_to(self._root).with_name(path.name[1 : -len(PARTIAL_SUFFIX)]).as_posix()
            if is_ours(name):
                with explained("remove", path):
                    if path.is_dir():
                        shutil.rmtree(path)
                    else:
                        path.unlink(missing_ok=True)
                removed.append(name)
        return removed

    @contextlib.contextmanager
    def lock(self, what: str) -> Iterator[None]:
        """Keep a second run away."""
        with locked(self._root / LOCK_NAME, what):
            yield


class FileSink:
    """A file that is being written beside its later name."""

    def __init__(self, path: Path, name: str) -> None:
        self._path = path
        self._partial = path.with_name(f".{path.name}{PARTIAL_SUFFIX}")
        self._name = name
        self._hashes = Hashes()
        with explained("write", self._partial):
            descriptor = os.open(self._partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, PRIVATE)
            os.fchmod(descriptor, PRIVATE)
            self._stream: BinaryIO = os.fdopen(descriptor, "wb")

    def __enter__(self) -> FileSink:
        return self

    def __exit__(self, *_details: object) -> None:
        with contextlib.suppress(OSError):
            self._stream.close()
        with contextlib.suppress(OSError):
            self._partial.unlink()

    def write(self, data: bytes) -> None:
        """Take the next bytes."""
        with explained("write", self._partial):
            self._stream.write(data)
        self._hashes.update(data)

    @property
    def sha256(self) -> str:
        """The SHA-256 of everything that was written so far."""
        return self._hashes.sha256

    def commit(self) -> Stored:
        """Flush it to the disk and give it its name."""
        with explained("write", self._partial):
            self._stream.flush()
            os.fsync(self._stream.fileno())
            self._stream.close()
            self._partial.replace(self._path)
            sync_directory(self._path.parent)
        return Stored(self._name, self._hashes.bytes, self._hashes.sha256, self._hashes.blocks)
