# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files that are there completely or not at all: streamed with their SHA-256, flushed, renamed."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import RunbookError
from ansible_collections.runbook.ops.plugins.module_utils.common.outcome import Refused
from ansible_collections.runbook.ops.plugins.module_utils.common.progress import Progress

CHUNK_BYTES = 1024 * 1024
PRIVATE = 0o600


def stream_to(source: BinaryIO, target: Path, progress: Progress) -> tuple[int, str]:
    """Copy an open file to a new one that is only ours, flushed to the disk: its bytes and its SHA-256."""
    digest = hashlib.sha256()
    size = 0
    with explained("write", target), new_file(target) as stream:
        while chunk := source.read(CHUNK_BYTES):
            stream.write(chunk)
            digest.update(chunk)
            size += len(chunk)
            progress.at(size)
    return size, digest.hexdigest()


def copy_file(source: Path, target: Path, progress: Progress) -> tuple[int, str]:
    """Copy a file by its name; see C(stream_to)."""
    with explained("read", source):
        stream = source.open("rb")
    with stream:
        return stream_to(stream, target, progress)


def hash_file(path: Path, progress: Progress) -> tuple[int, str]:
    """Bytes and SHA-256 of a file."""
    digest = hashlib.sha256()
    size = 0
    with explained("read", path), path.open("rb") as stream:
        while chunk := stream.read(CHUNK_BYTES):
            digest.update(chunk)
            size += len(chunk)
            progress.at(size)
    return size, digest.hexdigest()


@contextlib.contextmanager
def new_file(path: Path) -> Iterator[BinaryIO]:
    """A file for its owner only that is on the disk when the block ends, and gone when it fails."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, PRIVATE)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            os.fchmod(stream.fileno(), PRIVATE)
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
    except BaseException:
        with contextlib.suppress(OSError):
            path.unlink()
        raise


def write_file(path: Path, data: bytes) -> None:
    """Replace a file by new content, atomically."""
    partial = path.with_name(f".{path.name}.partial")
    with explained("write", path):
        with new_file(partial) as stream:
            stream.write(data)
        partial.replace(path)
        sync_directory(path.parent)


def sync_directory(directory: Path) -> None:
    """Flush the names in a directory to the disk."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def free_bytes(directory: Path) -> int:
    """The bytes that can still be written where a directory is, or will be."""
    place = directory
    while not place.exists() and place != place.parent:
        place = place.parent
    with explained("look at", place):
        status = os.statvfs(place)
    return status.f_bavail * status.f_frsize


@contextlib.contextmanager
def locked(path: Path, what: str) -> Iterator[None]:
    """Keep a second run of the same work away; raises Refused while another one holds the lock."""
    with explained("lock", path):
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, PRIVATE)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise Refused(f"Another run is {what}. Wait for it to end, then run this again.") from None
        yield
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def explained(action: str, path: Path) -> Iterator[None]:
    """Put the failure of a file operation into a sentence."""
    try:
        yield
    except OSError as error:
        raise RunbookError(
            f"Cannot {action} {path}: {error.strerror or error}. Correct the place, its owner or its disk, and run the "
            "task again."
        ) from None


@contextlib.contextmanager
def private_directory(prefix: str, place: Path | None = None) -> Iterator[Path]:
    """A directory for us alone that is gone afterwards."""
    made = Path(tempfile.mkdtemp(prefix=prefix, dir=place))
    try:
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)
