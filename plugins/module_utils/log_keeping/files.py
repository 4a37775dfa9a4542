# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rotated files of a class: which are finished, what they hold, and in which form they leave the host."""

from __future__ import annotations

import bz2
import contextlib
import datetime as dt
import glob
import gzip
import hashlib
import lzma
import os
import re
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Optional

from ansible_collections.runbook.ops.plugins.module_utils.common.clock import iso_of
from ansible_collections.runbook.ops.plugins.module_utils.common.errors import RunbookError
from ansible_collections.runbook.ops.plugins.module_utils.common.files import explained, new_file
from ansible_collections.runbook.ops.plugins.module_utils.common.outcome import Refusal
from ansible_collections.runbook.ops.plugins.module_utils.common.redaction import redact_text
from ansible_collections.runbook.ops.plugins.module_utils.log_keeping.classes import PROTECTED, RetentionClass
from ansible_collections.runbook.ops.plugins.module_utils.rotation.logs import (
    LogFile,
    is_database_own,
    is_rotated_name,
    look,
)
from ansible_collections.runbook.ops.plugins.module_utils.rotation.writers import Writers, find_writers

_CHUNK_BYTES = 1024 * 1024
_OPENERS: dict[str, Callable[..., Any]] = {".gz": gzip.open, ".xz": lzma.open, ".bz2": bz2.open}
# Compressed, but not by anything that the standard library of every host reads.
_OPAQUE = (".zst", ".lz4", ".Z")
_SUFFIX = re.compile(r"(?:\.\d{1,4}|[-_.]\d{8}(?:\d{2})?(?:-\d+)?)?(?:\.(?:gz|xz|bz2|zst|lz4|Z))?$")


@dataclass(frozen=True)
class Kept:
    """A rotated file of a class."""

    log: LogFile
    of: RetentionClass

    @property
    def ending(self) -> str:
        """Of its compression; empty without one."""
        ending = os.path.splitext(self.log.path)[1]  # noqa: PTH122 - the path is text
        return ending if ending in _OPENERS or ending in _OPAQUE else ""


def rotated_files(classes: Iterable[RetentionClass]) -> list[Kept]:
    """The rotated files of the classes, each once, the oldest first. Logs that are written are none.

    Links are passed over: what is deleted or sent away must be what was declared. What is a record for one class is
    not debug output for another, whichever was declared first.
    """
    found: dict[tuple[int, int], Kept] = {}
    for each in sorted(classes, key=lambda one: one.name not in PROTECTED):
        for pattern in each.paths:
            for path in sorted(glob.glob(pattern)):  # noqa: PTH207 - the patterns are absolute
                place = Path(path)
                log = None if place.is_symlink() or not is_rotated_name(place.name) else look(path)
                if log is not None and not is_database_own(os.path.realpath(path)):
                    found.setdefault(log.identity, Kept(log, each))
    return sorted(found.values(), key=lambda kept: (kept.log.modified_seconds, kept.log.path))


def split_written(files: list[Kept], now: dt.datetime, quiet_seconds: float) -> tuple[list[Kept], list[Refusal]]:
    """Those that nobody writes to any more, and the others with the reason."""
    writers = find_writers({kept.log.identity: kept.log.path for kept in files})
    finished: list[Kept] = []
    refused: list[Refusal] = []
    for kept in files:
        reason = _why_not(kept, writers, now, quiet_seconds)
        if reason:
            refused.append(Refusal(kept.log.path, *reason))
        else:
            finished.append(kept)
    return finished, refused


def _why_not(kept: Kept, writers: Writers, now: dt.datetime, quiet_seconds: float) -> Optional[tuple[str, str]]:
    if not writers.is_known(kept.log.identity):
        return "it cannot be seen whether a process still writes to it", "Use become."
    holding = writers.of(kept.log.identity)
    if holding:
        return (
            f"{holding[0].name} (process {holding[0].pid}) still writes to it",
            "Make it reopen its log, see log_rotate.",
        )
    age = now.timestamp() - kept.log.modified_seconds
    if 0 <= age < quiet_seconds:
        return f"it was written {age:.0f} s ago", f"Wait: it is taken after {quiet_seconds:g} quiet seconds."
    return None


def content_digest(kept: Kept) -> str:
    """The SHA-256 of the uncompressed content, which stays when rotation compresses a file."""
    found = hashlib.sha256()
    with _opened(kept) as stream:
        while chunk := stream.read(_CHUNK_BYTES):
            found.update(chunk)
    check_unchanged(kept)
    return found.hexdigest()


def check_unchanged(kept: Kept) -> None:
    """Raise RunbookError if a file is not what it was when it was found."""
    now = look(kept.log.path)
    if now is None or (now.identity, now.size_bytes, now.modified_seconds) != (
        kept.log.identity,
        kept.log.size_bytes,
        kept.log.modified_seconds,
    ):
        raise RunbookError(f"{kept.log.path} changed while it was read: it was rotated meanwhile. Run it again.")


@contextlib.contextmanager
def _opened(kept: Kept) -> Iterator[BinaryIO]:
    opener = _OPENERS.get(kept.ending, open)
    try:
        with explained("read", Path(kept.log.path)), opener(kept.log.path, "rb") as stream:
            yield stream
    except (EOFError, lzma.LZMAError, zlib.error) as error:
        raise RunbookError(f"{kept.log.path} is damaged: {error}. Look at the disk; it is left alone.") from None


def object_key(prefix: str, host: str, kept: Kept, content_sha256: str) -> str:
    """The key: by class, host and day, with the log's own name and its content, so that it never clashes."""
    moment = iso_of(kept.log.modified_seconds)
    stem = _SUFFIX.sub("", Path(kept.log.path).name) or "log"
    ending = kept.ending if kept.ending in _OPAQUE or (kept.ending and not kept.of.is_redacted) else ".gz"
    day = moment[:10].replace("-", "/")
    name = f"{stem}-{moment[11:19].replace(':', '')}-{content_sha256[:16]}{ending}"
    parts = [prefix.strip("/"), kept.of.name, host, day, name]
    return "/".join(part for part in parts if part)


def packed(kept: Kept, place: Path) -> tuple[Path, str]:
    """The file as it leaves the host, compressed and, where declared, redacted; its path and its SHA-256.

    The same content gives the same bytes.

    Raises:
        RunbookError: it cannot be read, not be redacted, or was rotated meanwhile.

    """
    if kept.ending and not kept.of.is_redacted:
        sha256 = _digest(Path(kept.log.path))
        # By now another file may have this name, and what was read was that one.
        check_unchanged(kept)
        return Path(kept.log.path), sha256
    if kept.ending in _OPAQUE:
        raise RunbookError(
            f"{kept.log.path} cannot be redacted: {kept.ending} is not read here. "
            "Rotate with gzip, or set redact=false."
        )
    made = place / "packed.gz"
    with new_file(made) as target, gzip.GzipFile("", "wb", 6, target, mtime=0) as stream, _opened(kept) as source:
        for piece in _redacted(source) if kept.of.is_redacted else iter(lambda: source.read(_CHUNK_BYTES), b""):
            stream.write(piece)
    check_unchanged(kept)
    return made, _digest(made)


def _redacted(source: BinaryIO) -> Iterator[bytes]:
    for line in source:
        yield redact_text(line.decode("utf-8", "surrogateescape")).encode("utf-8", "surrogateescape")


def _digest(path: Path) -> str:
    found = hashlib.sha256()
    with explained("read", path), path.open("rb") as stream:
        while chunk := stream.read(_CHUNK_BYTES):
            found.update(chunk)
    return found.hexdigest()


def figures(files: Iterable[Kept]) -> Mapping[str, dict[str, int]]:
    """Files and bytes by class."""
    found: dict[str, dict[str, int]] = {}
    for kept in files:
        sums = found.setdefault(kept.of.name, {"files": 0, "bytes": 0})
        sums["files"] += 1
        sums["bytes"] += kept.log.size_bytes
    return found
