# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a backup is and whether it is whole, found by reading it once from beginning to end.

Nothing is restored and no tool is needed: this is the level of bytes and decoding. That a backup restores, and into
what, only a restore proves.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from ansible_collections.runbook.ops.plugins.module_utils.backup import rdb
from ansible_collections.runbook.ops.plugins.module_utils.backup.archive import (
    MAGIC,
    Header,
    read_contents,
    read_header,
    walk_blocks,
)
from ansible_collections.runbook.ops.plugins.module_utils.backup.errors import Damaged, Undecided
from ansible_collections.runbook.ops.plugins.module_utils.backup.streams import (
    COMPRESSIONS,
    DECODING_ERRORS,
    Meter,
    Reader,
    compression_of,
    decompress,
)
from ansible_collections.runbook.ops.plugins.module_utils.backup.tar import BLOCK, CUT_OFF, NO_END, tar_member

# The first bytes hold every header read here; the last ones the marker and what pg_dump may write after it.
HEAD_BYTES = 65536
TAIL_BYTES = 65536

# Enough to see what is inside a compressed backup: the magic of a tar archive ends at byte 262.
_BEGINNING_BYTES = 512

PROVE = "prove it by restoring it"
EMPTY = "it holds no data: the program that should have written it produced nothing (a failed pg_dump in a pipe?)"
NO_MARKER = 'it ends without "PostgreSQL database dump complete": the dump was cut off'

_ZSTD, _LZ4 = b"\x28\xb5\x2f\xfd", b"\x04\x22\x4d\x18"
_ENCRYPTED = (
    b"age-encryption.org/",
    b"-----BEGIN AGE ENCRYPTED FILE-----",
    b"-----BEGIN PGP MESSAGE-----",
    b"Salted__",  # openssl enc
    # OpenPGP packets that gpg begins with: a session key for a public key, or for a passphrase.
    b"\x84\x5e",
    b"\x85\x01",
    b"\x85\x02",
    b"\x85\x04",
    b"\x8c\x0d",
)
_CUSTOM_FORMAT = 1
_PLAIN = re.compile(rb"^-- PostgreSQL database (cluster )?dump\r?$", re.MULTILINE)
_COMPLETE = re.compile(rb"-- PostgreSQL database (cluster )?dump complete")
_CLUSTER_COMPLETE = re.compile(rb"^-- PostgreSQL database cluster dump complete", re.MULTILINE)
_DUMPED_FROM = re.compile(rb"^-- Dumped from database version ([^\r\n]+)", re.MULTILINE)
_DUMPED_BY = re.compile(rb"^-- Dumped by pg_dump version ([^\r\n]+)", re.MULTILINE)
_STARTED_ON = re.compile(rb"^-- Started on (\d{4}-\d\d-\d\d \d\d:\d\d:\d\d)(?: ([^\r\n]+))?", re.MULTILINE)
_CONNECT = re.compile(rb"^\\connect (?:-reuse-previous=on )?\"?([^\"\s]+)", re.MULTILINE)


class Inspection(NamedTuple):
    """What reading a backup told.

    C(complete) is None where it cannot be told, and C(reason) says why; C(method) is how it was proven.
    C(written_local) is the wall clock in the backup's own header, ISO 8601 without timezone, C(written_zone) the name
    of its timezone where the header has one.
    """

    kind: str | None
    complete: bool | None
    reason: str | None
    method: str | None
    header: dict[str, Any]
    written_local: str | None
    written_zone: str | None


class _Findings:
    """What is learnt on the way; an exception may end the way early."""

    def __init__(self) -> None:
        self.kind: str | None = None
        self.header: dict[str, Any] = {}
        self.written_local: str | None = None
        self.written_zone: str | None = None

    def close(self, complete: bool | None, reason: str | None, method: str | None) -> Inspection:
        return Inspection(self.kind, complete, reason, method, self.header, self.written_local, self.written_zone)


def not_inspected(reason: str, kind: str | None = None) -> Inspection:
    """The inspection that did not take place."""
    return Inspection(kind, None, reason, None, {}, None, None)


def look(head: bytes, size_bytes: int, meter: Meter) -> Inspection:
    """Kind and header from the first C(HEAD_BYTES) alone; a backup that is not longer is inspected completely."""
    if size_bytes <= len(head):
        return inspect(lambda _start: iter((head,) if head else ()), size_bytes, meter)
    findings = _Findings()
    # The head alone is cut off by nature; what was learnt before that stays.
    with contextlib.suppress(Damaged, Undecided):
        _look(head, findings, meter)
    return findings.close(None, f"not inspected: {PROVE}", None)


def _look(head: bytes, findings: _Findings, meter: Meter) -> None:
    findings.kind = identify(head)
    compression = compression_of(head)
    if compression:
        findings.kind = compression
        # One piece: asking for more would meet the end of the head and take it for the end of the backup.
        inner = next(decompress(compression, Reader(iter((head,))), meter), b"")
        findings.kind = _inside(identify(inner), compression)
        _read_head(inner, findings)
        return
    _read_head(head, findings)


def inspect(open_at: Callable[[int], Iterator[bytes]], size_bytes: int, meter: Meter) -> Inspection:
    """Read a backup that is one file.

    Args:
        open_at: The file's chunks from a position on.
        size_bytes: Its length.
        meter: What reading may cost.

    Raises:
        Nothing of its own; what C(open_at) raises other than Damaged and Undecided passes through.

    """
    findings = _Findings()
    if size_bytes == 0:
        findings.kind = "empty"
        return findings.close(False, EMPTY, None)
    try:
        method = _inspect(open_at, size_bytes, findings, meter)
    except Damaged as damage:
        return findings.close(False, damage.message, None)
    except Undecided as doubt:
        return findings.close(None, doubt.message, None)
    return findings.close(True, None, method)


def _inspect(open_at: Callable[[int], Iterator[bytes]], size_bytes: int, findings: _Findings, meter: Meter) -> str:
    chunks = meter.count(open_at(0))
    reader = Reader(chunks)
    head = reader.peek(HEAD_BYTES)
    findings.kind = identify(head)
    if findings.kind == "plain" and size_bytes > HEAD_BYTES + TAIL_BYTES:
        # A plain dump carries no checksum: reading its middle would prove nothing that its two ends do not.
        chunks.close()
        _read_head(head, findings)
        tail = b"".join(meter.count(open_at(size_bytes - TAIL_BYTES)))
        return _check_marker(head, tail)
    compression = compression_of(head)
    if compression is None:
        _check_budget(size_bytes, meter, len(head))
        return _inspect_content(reader, findings, meter)
    findings.kind = _inside(identify(_beginning(head, compression)), compression)
    _check_budget(size_bytes, meter, len(head))
    content = Reader(decompress(compression, reader, meter))
    inner = content.peek(HEAD_BYTES)
    findings.kind = _inside(identify(inner), compression)
    if findings.kind == "empty":
        raise Damaged(EMPTY)
    try:
        return f"{compression} decoded, {_inspect_content(content, findings, meter, is_decoded=True)}"
    finally:
        # To the end, so that the checksum behind the last byte is verified whatever the content was.
        for _piece in content.rest():
            meter.check_time()


def _beginning(head: bytes, compression: str) -> bytes:
    """The first few decoded bytes, before damage further on ends the decoding; a null byte when there are none."""
    try:
        return bytes(COMPRESSIONS[compression][1]().decompress(head, _BEGINNING_BYTES)) or b"\0"
    except DECODING_ERRORS:
        return b"\0"


def _check_budget(size_bytes: int, meter: Meter, already_read: int) -> None:
    wanted = size_bytes - already_read
    if wanted > meter.remaining_bytes:
        raise Undecided(
            f"not inspected: {size_bytes} bytes are more than is left of the budget of {meter.max_bytes} bytes"
            f" (inspect_max_bytes); {PROVE}"
        )


def _inspect_content(reader: Reader, findings: _Findings, meter: Meter, *, is_decoded: bool = False) -> str:
    """Read what is not compressed, or not any more; returns how it was proven."""
    head = reader.peek(HEAD_BYTES)
    kind = identify(head)
    if kind == "plain":
        _read_head(head, findings)
        return _check_marker(head, _tail(reader, meter))
    if kind == "custom":
        header = read_header(reader)
        _take_header(header, findings)
        return walk_blocks(reader, header, read_contents(reader, header))
    if kind == "tar":
        return _walk_tar(reader, findings, meter)
    if kind == "redis":
        _read_head(head, findings)
        return rdb.check(reader, meter, is_decoded=is_decoded)
    if kind == "zstd":
        _walk_zstd(reader)
        raise Undecided(f"its zstd frames are whole, but decoding them needs a tool: {PROVE}")
    if kind == "encrypted":
        raise Undecided(f"it is encrypted: {PROVE}, where the key is")
    if kind == "lz4":
        raise Undecided(f"decoding lz4 needs a tool: {PROVE}")
    if kind == "directory":
        raise Undecided("it is the toc.dat of a directory dump (-Fd), without the directory's data files")
    raise Undecided(f"it is nothing that pg_dump or Redis writes, or its beginning is damaged: {PROVE}")


def inspect_directory(
    members: Mapping[str, int], open_member: Callable[[str], Iterator[bytes]], meter: Meter
) -> Inspection:
    """Read a directory dump (-Fd): its table of contents, and every file that it names.

    Args:
        members: Name and size of the files in the directory.
        open_member: The chunks of one of them.
        meter: What reading may cost.

    """
    findings = _Findings()
    findings.kind = "directory"
    try:
        method = _inspect_directory(members, open_member, findings, meter)
    except Damaged as damage:
        return findings.close(False, damage.message, None)
    except Undecided as doubt:
        return findings.close(None, doubt.message, None)
    return findings.close(True, None, method)


def _inspect_directory(
    members: Mapping[str, int], open_member: Callable[[str], Iterator[bytes]], findings: _Findings, meter: Meter
) -> str:
    if not members:
        findings.kind = "empty"
        raise Damaged(EMPTY)
    contents = next((name for name in ("toc.dat", "toc.dat.gz") if name in members), None)
    if contents is None:
        findings.kind = "unknown"
        raise Undecided(f"it is a directory without toc.dat, so not one of pg_dump -Fd: {PROVE}")
    _check_budget(sum(members.values()), meter, 0)
    reader = Reader(meter.count(open_member(contents)))
    if contents.endswith(".gz"):
        reader = Reader(decompress("gzip", reader, meter))
    header = read_header(reader)
    _take_header(header, findings)
    expected = read_contents(reader, header)
    present = {_bare(name): name for name in members}
    missing = [each for each in expected if each.filename not in present]
    if missing:
        raise Damaged(f"{len(missing)} of the {len(expected)} data files that toc.dat names are missing")
    undecoded = False
    for name in sorted(members):
        if name.endswith(".gz") and name != contents:
            for _piece in decompress("gzip", Reader(meter.count(open_member(name))), meter):
                pass
        elif name.endswith((".lz4", ".zst")):
            undecoded = True
            if members[name] == 0:
                raise Damaged(f"{name} is empty")
    if undecoded:
        return "every data file found; its content carries no checksum that can be read here"
    return "every data file found, compressed ones decoded"


def _bare(name: str) -> str:
    return re.sub(r"\.(gz|lz4|zst)$", "", name)


def identify(head: bytes) -> str:
    """The kind of what begins with these bytes, compression left out.

    C(empty), C(plain), C(custom), C(directory) (its toc.dat alone), C(tar), C(redis), C(zstd), C(lz4), C(gzip),
    C(bzip2), C(xz), C(encrypted) or C(unknown).
    """
    if not head:
        return "empty"
    compression = compression_of(head)
    if compression:
        return compression
    if head.startswith(MAGIC):
        # The byte after three of version and two of sizes names the format.
        return "custom" if len(head) <= 10 or head[10] == _CUSTOM_FORMAT else "directory"
    for kind, magics in (("zstd", (_ZSTD,)), ("lz4", (_LZ4,)), ("encrypted", _ENCRYPTED)):
        if head.startswith(magics):
            return kind
    if head[257:262] == b"ustar":
        return "tar"
    if rdb.is_rdb(head):
        return "redis"
    return "plain" if _PLAIN.search(head) and b"\0" not in head else "unknown"


def _inside(inner: str, compression: str) -> str:
    if inner == "empty":
        return "empty"
    return compression if inner == "unknown" else f"{inner}+{compression}"


def _read_head(head: bytes, findings: _Findings) -> None:
    """The facts that the beginning of a plain dump or an archive states."""
    if head.startswith(MAGIC):
        _take_header(read_header(Reader(iter((head,)))), findings)
        return
    kind = identify(head)
    if kind == "redis":
        findings.header, header = rdb.facts_of(head)
        if header.created is not None:
            written = dt.datetime.fromtimestamp(header.created, dt.timezone.utc)
            findings.written_local, findings.written_zone = written.replace(tzinfo=None).isoformat(), "UTC"
        return
    if kind != "plain":
        return
    findings.header = {
        "format_version": None,
        "compression": None,
        # A whole cluster has many, so none is named.
        "database": None if b"-- PostgreSQL database cluster dump" in head else _group(_CONNECT, head),
        "dumped_from": _group(_DUMPED_FROM, head),
        "dumped_by": _group(_DUMPED_BY, head),
    }
    started = _STARTED_ON.search(head)
    if started:
        findings.written_local = started.group(1).decode().replace(" ", "T")
        findings.written_zone = (started.group(2) or b"").decode("utf-8", "replace").strip() or None


def _group(pattern: re.Pattern[bytes], head: bytes) -> str | None:
    found = pattern.search(head)
    return found.group(1).decode("utf-8", "replace").strip() if found else None


def _take_header(header: Header, findings: _Findings) -> None:
    findings.header = header.facts
    findings.written_local = header.created_local.isoformat() if header.created_local else None


def _tail(reader: Reader, meter: Meter) -> bytes:
    tail = b""
    for chunk in reader.rest():
        tail = (tail + chunk)[-TAIL_BYTES:]
        meter.check_time()
    return tail


def _check_marker(head: bytes, tail: bytes) -> str:
    header = _PLAIN.search(head)
    # pg_dumpall ends with a marker of its own, after one for each database. Globals in front of a database
    # (pg_dumpall --globals-only, then pg_dump, into one file) have it near the beginning.
    is_cluster = bool(header and header.group(1)) and not _CLUSTER_COMPLETE.search(head)
    if not ends_with_marker(tail, is_cluster=is_cluster):
        raise Damaged(NO_MARKER)
    return "end marker found"


def ends_with_marker(tail: bytes, *, is_cluster: bool) -> bool:
    r"""Whether only what pg_dump writes after it follows the marker: comments, blank lines, C(\\unrestrict).

    The marker is not the last line since 15.14 and 17.6. C(is_cluster) asks for pg_dumpall's own.
    """
    for line in reversed(tail.splitlines()):
        text = line.strip()
        found = _COMPLETE.fullmatch(text)
        if found:
            return bool(found.group(1)) or not is_cluster
        if text and not text.startswith((b"--", b"\\unrestrict ")):
            return False
    return False


def _walk_tar(reader: Reader, findings: _Findings, meter: Meter) -> str:
    """Members of a tar archive up to its two closing blocks of zeros; pg_dump -Ft hangs or passes where they miss."""
    names: list[str] = []
    expected: list[str | None] = []
    try:
        while True:
            block = reader.read(BLOCK)
            if not block.strip(b"\0"):
                if reader.read(BLOCK).strip(b"\0"):
                    raise Damaged(NO_END)
                break
            name, size = tar_member(block)
            names.append(name)
            if name == "toc.dat" and size:
                data = Reader(_take(reader, size))
                header = read_header(data)
                _take_header(header, findings)
                expected = [each.filename for each in read_contents(data, header)]
                for _piece in data.rest():
                    pass
            else:
                reader.skip(size)
            reader.skip(-size % BLOCK)
            meter.check_time()
    except EOFError:
        raise Damaged(CUT_OFF) from None
    missing = set(expected) - set(names)
    if missing:
        raise Damaged(f"{len(missing)} of the {len(expected)} data files that toc.dat names are missing")
    return "every member found; its content carries no checksum"


def _take(reader: Reader, size: int) -> Iterator[bytes]:
    while size:
        step = min(size, 65536)
        yield reader.read(step)
        size -= step


def _walk_zstd(reader: Reader) -> None:
    """Frames and blocks by their lengths (RFC 8878, section 3.1); tells a cut, not a flipped bit."""
    try:
        while not reader.is_at_end():
            magic = int.from_bytes(reader.read(4), "little")
            if 0x184D2A50 <= magic <= 0x184D2A5F:  # skippable
                reader.skip(int.from_bytes(reader.read(4), "little"))
                continue
            if magic != int.from_bytes(_ZSTD, "little"):
                raise Damaged("something that is not zstd data follows the end of the zstd data")
            descriptor = reader.read(1)[0]
            is_single_segment = bool(descriptor & 0x20)
            content_size = (int(is_single_segment), 2, 4, 8)[descriptor >> 6]
            reader.skip((0 if is_single_segment else 1) + (0, 1, 2, 4)[descriptor & 3] + content_size)
            is_last = False
            while not is_last:
                block = int.from_bytes(reader.read(3), "little")
                is_last = bool(block & 1)
                kind, size = (block >> 1) & 3, block >> 3
                if kind == 3:
                    raise Damaged("the zstd data is damaged: a block of an unknown type")
                reader.skip(1 if kind == 1 else size)
            if descriptor & 4:
                reader.skip(4)
    except EOFError:
        raise Damaged("the zstd data is cut off") from None


# The kinds that a result may show, for documentation and tests.
KINDS = (
    "empty",
    "plain",
    "custom",
    "directory",
    "tar",
    "redis",
    "zstd",
    "lz4",
    "encrypted",
    "unknown",
    *(f"{inner}+{outer}" for outer in COMPRESSIONS for inner in ("plain", "custom", "tar", "redis")),
    *COMPRESSIONS,
)
