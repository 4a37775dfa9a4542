# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""pg_dump's archives (-Fc, -Fd, -Ft): header, table of contents, data blocks.

The layout is that of ReadHead and ReadToc in pg_backup_archiver.c and of pg_backup_custom.c, format versions 1.10
(PostgreSQL 8.4) to 1.16 (PostgreSQL 17 and 18). C(pg_restore --list) reads the first two parts only, so it passes on an
archive that lost half of its data; here every block is walked and, where it is compressed with zlib, decoded.
"""

from __future__ import annotations

import datetime as dt
import zlib
from typing import Any, NamedTuple

from ansible_collections.runbook.ops.plugins.module_utils.backup.errors import Damaged, Undecided
from ansible_collections.runbook.ops.plugins.module_utils.backup.streams import Reader

MAGIC = b"PGDMP"
# The toc.dat of a directory dump calls itself tar, on purpose.
FORMATS = {1: "custom", 3: "tar", 5: "directory"}
_OLDEST, _NEWEST = (1, 10), (1, 16)
_ALGORITHMS = {0: "none", 1: "gzip", 2: "lz4", 3: "zstd"}
_BLOCK_DATA, _BLOCK_BLOBS = 1, 3
_OFFSET_NO_DATA = 3
# Beyond these it is damage: no identifier, statement or block of pg_dump comes near.
_MAX_STRING_BYTES = 1 << 30
_MAX_ENTRIES = 50_000_000
_MAX_CHUNK_BYTES = 1 << 30


class Header(NamedTuple):
    """The beginning of an archive. C(created_local) is the wall clock of the machine that ran pg_dump."""

    version: tuple[int, int]
    revision: int
    format: str
    compression: str
    created_local: dt.datetime | None
    database: str | None
    dumped_from: str | None
    dumped_by: str | None
    int_bytes: int
    offset_bytes: int

    @property
    def facts(self) -> dict[str, Any]:
        """For the module's result."""
        return {
            "format_version": f"{self.version[0]}.{self.version[1]}-{self.revision}",
            "compression": self.compression,
            "database": self.database,
            "dumped_from": self.dumped_from,
            "dumped_by": self.dumped_by,
        }


class Member(NamedTuple):
    """Data that the table of contents promises: under an id in -Fc, under a file name in -Fd and -Ft."""

    dump_id: int
    filename: str | None


def read_header(reader: Reader) -> Header:
    """The header of an archive.

    Raises:
        Damaged: it is none, or cut off.
        Undecided: a format version this code does not know.

    """
    try:
        return _read_header(reader)
    except EOFError:
        raise Damaged("the archive is cut off inside its header") from None


def _read_header(reader: Reader) -> Header:
    if reader.read(5) != MAGIC:
        raise Damaged("it does not begin as pg_dump's archives do")
    version = (_byte(reader), _byte(reader))
    revision = _byte(reader)
    if not _OLDEST <= version <= _NEWEST:
        raise Undecided(f"archive format {version[0]}.{version[1]} is not known here: prove it by restoring it")
    int_bytes, offset_bytes = _byte(reader), _byte(reader)
    if not (1 <= int_bytes <= 8 and 1 <= offset_bytes <= 8):
        raise Damaged("the archive's header is damaged")
    archive_format = FORMATS.get(_byte(reader), "unknown")
    if version >= (1, 15):
        compression = _ALGORITHMS.get(_byte(reader), "unknown")
    else:
        compression = "gzip" if _int(reader, int_bytes) else "none"
    second, minute, hour, day, month, year, _dst = (_int(reader, int_bytes) for _number in range(7))
    created: dt.datetime | None
    try:
        created = dt.datetime(year + 1900, month + 1, day, hour, minute, min(second, 59))
    except (ValueError, OverflowError):
        created = None
    database, dumped_from, dumped_by = (_string(reader, int_bytes) for _number in range(3))
    return Header(
        version,
        revision,
        archive_format,
        compression,
        created,
        database,
        dumped_from,
        dumped_by,
        int_bytes,
        offset_bytes,
    )


def read_contents(reader: Reader, header: Header) -> list[Member]:
    """The data that the table of contents promises.

    Raises:
        Damaged: cut off, or not readable.

    """
    try:
        count = _int(reader, header.int_bytes)
        if not 0 <= count <= _MAX_ENTRIES:
            raise Damaged("the archive's table of contents is damaged")
        members = []
        for _number in range(count):
            member = _read_entry(reader, header)
            if member is not None:
                members.append(member)
    except EOFError:
        raise Damaged("the archive is cut off inside its table of contents") from None
    return members


def _read_entry(reader: Reader, header: Header) -> Member | None:
    size = header.int_bytes
    dump_id = _int(reader, size)
    has_data = _int(reader, size) != 0
    # tableoid, oid, tag
    _skip_strings(reader, size, 3)
    description = _string(reader, size)
    if header.version >= (1, 11):
        _int(reader, size)  # section
    # definition, drop statement, copy statement, namespace, tablespace
    _skip_strings(reader, size, 5)
    if header.version >= (1, 14):
        _skip_strings(reader, size, 1)  # table access method
    if header.version >= (1, 16):
        _int(reader, size)  # relkind
    # owner, "with oids"
    _skip_strings(reader, size, 2)
    while _string_bytes(reader, size) is not None:
        pass  # dependencies, ended by a null
    if header.format == "custom":
        flag = _byte(reader)
        reader.skip(header.offset_bytes)
        return Member(dump_id, None) if has_data and flag != _OFFSET_NO_DATA else None
    filename = _string(reader, size)
    if description == "BLOBS" and filename and not filename.startswith("blobs"):
        # The tar writer announces 123.dat for large objects and writes blobs.toc and one file for each.
        return None
    return Member(dump_id, filename) if has_data and filename else None


def walk_blocks(reader: Reader, header: Header, members: list[Member]) -> str:
    """Read the data of a -Fc archive to its end.

    Returns:
        How it was proven.

    Raises:
        Damaged: cut off, damaged, or data that the table of contents promises is missing.

    """
    missing = {member.dump_id for member in members}
    try:
        while not reader.is_at_end():
            kind = _byte(reader)
            dump_id = _int(reader, header.int_bytes)
            if kind == _BLOCK_DATA:
                _walk_chunks(reader, header)
            elif kind == _BLOCK_BLOBS:
                while _int(reader, header.int_bytes):
                    _walk_chunks(reader, header)
            else:
                raise Damaged("the archive's data is damaged: a block of an unknown type")
            missing.discard(dump_id)
    except EOFError:
        raise Damaged("the archive is cut off inside its data") from None
    if missing:
        # Large objects count as one table.
        raise Damaged(f"the archive is cut off: the data of {len(missing)} of its {len(members)} tables is missing")
    if header.compression == "gzip":
        return "every data block decoded"
    return "every data block found; its content carries no checksum"


def _walk_chunks(reader: Reader, header: Header) -> None:
    decoder = zlib.decompressobj() if header.compression == "gzip" else None
    is_empty = True
    while True:
        size = _int(reader, header.int_bytes)
        if not 0 <= size <= _MAX_CHUNK_BYTES:
            raise Damaged("the archive's data is damaged: an impossible length")
        if size == 0:
            break
        is_empty = False
        if decoder is None:
            reader.skip(size)
            continue
        while size:
            piece = reader.read(min(size, 65536))
            size -= len(piece)
            _decode(decoder, piece)
    if decoder is not None and not is_empty and not decoder.eof:
        raise Damaged("the archive's data is damaged: a compressed block ends early")


def _decode(decoder: Any, piece: bytes) -> None:
    try:
        decoder.decompress(piece, 1 << 20)
        while decoder.unconsumed_tail:
            decoder.decompress(decoder.unconsumed_tail, 1 << 20)
    except zlib.error:
        raise Damaged("the archive's data is damaged: a compressed block cannot be decoded") from None


def _byte(reader: Reader) -> int:
    return reader.read(1)[0]


def _int(reader: Reader, size: int) -> int:
    """A sign byte and a little-endian magnitude."""
    data = reader.read(size + 1)
    magnitude = int.from_bytes(data[1:], "little")
    return -magnitude if data[0] else magnitude


def _string_bytes(reader: Reader, size: int) -> bytes | None:
    length = _int(reader, size)
    if length < 0:
        return None
    if length > _MAX_STRING_BYTES:
        raise Damaged("the archive's table of contents is damaged: an impossible length")
    return reader.read(length)


def _string(reader: Reader, size: int) -> str | None:
    data = _string_bytes(reader, size)
    return None if data is None else data.decode("utf-8", "replace")


def _skip_strings(reader: Reader, size: int, count: int) -> None:
    for _number in range(count):
        _string_bytes(reader, size)
