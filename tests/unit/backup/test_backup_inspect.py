"""Whole or not: real dumps of three majors, cut, flipped, emptied and compressed.

The files in data/ were written by pg_dump 15.18, 16.2 and 18.4 (archive formats 1.14, 1.15 and 1.16).
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import struct
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from isal import isal_zlib

from ansible_collections.runbook.ops.plugins.module_utils.backup.inspect import (
    EMPTY,
    NO_MARKER,
    TAIL_BYTES,
    Inspection,
    ends_with_marker,
    inspect,
    inspect_directory,
    look,
)
from ansible_collections.runbook.ops.plugins.module_utils.backup.streams import Meter
from ansible_collections.runbook.ops.plugins.module_utils.common import gunzip

DATA = Path(__file__).parent / "data"
PLAIN = (DATA / "postgresql-15.sql").read_bytes()
CUSTOM = (DATA / "postgresql-15.dump").read_bytes()
UNCOMPRESSED = (DATA / "postgresql-15.z0.dump").read_bytes()
TAR = (DATA / "postgresql-15.tar").read_bytes()
CLUSTER = (DATA / "cluster-15.sql").read_bytes()

BAD_GZIP = "the gzip data is damaged: its checksum (CRC) or its length does not match"
CUT_GZIP = "the gzip data is cut off: it ends before its end mark"
CUT_DATA = "the archive is cut off inside its data"
CUT_TOC = "the archive is cut off inside its table of contents"
PROVE = "prove it by restoring it"
NOTHING = f"it is nothing that pg_dump or Redis writes, or its beginning is damaged: {PROVE}"


@pytest.fixture(autouse=True, params=[zlib, isal_zlib], ids=["zlib", "isal"])
def _gunzip_library(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything holds with either library."""
    monkeypatch.setattr(gunzip, "_library", request.param)


def chunks(data: bytes, start: int = 0, size: int = 1000) -> Iterator[bytes]:
    for position in range(start, len(data), size):
        yield data[position : position + size]


def read(data: bytes, max_bytes: int = 1 << 40, seconds: float = 3600) -> Inspection:
    return inspect(lambda start: chunks(data, start), len(data), Meter(max_bytes, seconds))


def flipped(data: bytes, position: int) -> bytes:
    changed = bytearray(data)
    changed[position] ^= 0x10
    return bytes(changed)


def plain(rows: int = 0, *, unrestrict: bool = True, complete: bool = True) -> bytes:
    """A plain dump of any length, in the shape of data/postgresql-15.sql."""
    head, tail = PLAIN.split(b"COPY public.orders", 1)
    _rows, after = tail.split(b"\\.\n", 1)
    copied = b"COPY public.orders (id, item) FROM stdin;\n" + b"".join(b"%d\titem\n" % number for number in range(rows))
    if not unrestrict:
        after = after.split(b"\\unrestrict")[0]
    return head + copied + (b"\\.\n" + after if complete else b"")


def without_zlib_crc(data: bytes) -> bytes:
    return flipped(data, len(data) - 6)


@pytest.mark.parametrize(
    ("data", "kind", "complete", "reason", "method"),
    [
        pytest.param(PLAIN, "plain", True, None, "end marker found", id="plain"),
        pytest.param(plain(20_000), "plain", True, None, "end marker found", id="long plain, only its ends read"),
        pytest.param(plain(5, unrestrict=False), "plain", True, None, "end marker found", id="before 15.14"),
        pytest.param(CLUSTER, "plain", True, None, "end marker found", id="pg_dumpall"),
        pytest.param(PLAIN.replace(b"\n", b"\r\n"), "plain", True, None, "end marker found", id="from Windows"),
        pytest.param(CLUSTER + PLAIN, "plain", True, None, "end marker found", id="globals, then a database"),
        pytest.param(plain(20_000, complete=False), "plain", False, NO_MARKER, None, id="cut in COPY"),
        pytest.param(PLAIN[: len(PLAIN) // 2], "plain", False, NO_MARKER, None, id="short plain cut"),
        pytest.param(PLAIN + b"1\tx\n", "plain", False, NO_MARKER, None, id="something after the end"),
        pytest.param(CLUSTER.split(b"dump complete")[0] + b"dump complete\n", "plain", False, NO_MARKER, None,
                     id="pg_dumpall cut after one database"),
        pytest.param(b"", "empty", False, EMPTY, None, id="no bytes"),
        pytest.param(gzip.compress(b"", mtime=0), "empty", False, EMPTY, None, id="20 bytes of gzip"),
        pytest.param(bz2.compress(b""), "empty", False, EMPTY, None, id="empty bzip2"),
        pytest.param(gzip.compress(PLAIN), "plain+gzip", True, None, "gzip decoded, end marker found", id="gzip"),
        pytest.param(bz2.compress(PLAIN), "plain+bzip2", True, None, "bzip2 decoded, end marker found", id="bzip2"),
        pytest.param(lzma.compress(PLAIN), "plain+xz", True, None, "xz decoded, end marker found", id="xz"),
        pytest.param(gzip.compress(PLAIN[:900]) + gzip.compress(PLAIN[900:]), "plain+gzip", True, None,
                     "gzip decoded, end marker found", id="two gzip members"),
        pytest.param(gzip.compress(PLAIN) + bytes(512), "plain+gzip", True, None, "gzip decoded, end marker found",
                     id="padded with zeros"),
        pytest.param(gzip.compress(PLAIN) + b"more", "plain+gzip", False,
                     "something that is not gzip data follows the end of the gzip data", None, id="garbage behind"),
        pytest.param(gzip.compress(PLAIN)[: len(gzip.compress(PLAIN)) // 2], "plain+gzip", False, CUT_GZIP, None,
                     id="gzip cut in half"),
        pytest.param(gzip.compress(PLAIN)[:-1], "plain+gzip", False, CUT_GZIP, None, id="gzip without its last byte"),
        pytest.param(gzip.compress(PLAIN)[:10], "gzip", False, CUT_GZIP, None, id="gzip header alone"),
        pytest.param(bz2.compress(PLAIN)[:-5], "plain+bzip2", False,
                     "the bzip2 data is cut off: it ends before its end mark", None, id="bzip2 cut"),
        pytest.param(lzma.compress(PLAIN)[:-5], "plain+xz", False,
                     "the xz data is cut off: it ends before its end mark", None, id="xz cut"),
        pytest.param(without_zlib_crc(gzip.compress(PLAIN)), "plain+gzip", False,
                     BAD_GZIP, None, id="gzip with a bad CRC"),
        pytest.param(flipped(gzip.compress(PLAIN), -1), "plain+gzip", False,
                     BAD_GZIP, None, id="gzip with a bad length"),
        pytest.param(gzip.compress(plain(5000, complete=False)), "plain+gzip", False, NO_MARKER, None,
                     id="valid gzip of a dump that broke off"),
        pytest.param(CUSTOM, "custom", True, None, "every data block decoded", id="-Fc"),
        pytest.param(gzip.compress(CUSTOM), "custom+gzip", True, None, "gzip decoded, every data block decoded",
                     id="-Fc in gzip"),
        pytest.param(UNCOMPRESSED, "custom", True, None, "every data block found; its content carries no checksum",
                     id="-Fc -Z0"),
        pytest.param(CUSTOM[:-1], "custom", False, CUT_DATA, None, id="-Fc without its last byte"),
        pytest.param(CUSTOM[:-60], "custom", False, CUT_DATA, None, id="-Fc cut at the end"),
        pytest.param(UNCOMPRESSED[:-100], "custom", False, CUT_DATA, None, id="-Z0 cut at the end"),
        pytest.param(CUSTOM[:1000], "custom", False, CUT_TOC, None, id="-Fc cut in its contents"),
        pytest.param(CUSTOM[:30], "custom", False, "the archive is cut off inside its header", None,
                     id="-Fc cut in its header"),
        pytest.param(TAR, "tar", True, None, "every member found; its content carries no checksum", id="-Ft"),
        pytest.param(TAR[:-1024], "tar", False, "the tar archive is cut off", None, id="-Ft without its end mark"),
        pytest.param(TAR[:-512], "tar", False, "the tar archive is cut off", None, id="-Ft with half an end mark"),
        pytest.param(TAR[:5000], "tar", False, "the tar archive is cut off", None, id="-Ft cut"),
        pytest.param(gzip.compress(TAR), "tar+gzip", True, None,
                     "gzip decoded, every member found; its content carries no checksum", id="-Ft in gzip"),
        pytest.param(b"age-encryption.org/v1\n-> X25519 ...", "encrypted", None,
                     f"it is encrypted: {PROVE}, where the key is", None, id="age"),
        pytest.param(b"-----BEGIN PGP MESSAGE-----\n", "encrypted", None,
                     f"it is encrypted: {PROVE}, where the key is", None, id="PGP"),
        pytest.param(b"<html>504 Gateway Time-out</html>", "unknown", None,
                     NOTHING, None, id="HTML"),
        pytest.param(gzip.compress(b"-- MySQL dump 10.13"), "gzip", None,
                     NOTHING, None, id="MySQL"),
        pytest.param(gzip.compress(b"-- MySQL dump 10.13" * 999)[:-9], "gzip", False, CUT_GZIP, None,
                     id="MySQL, cut: that much can be told"),
        pytest.param(b"\x04\x22\x4d\x18....", "lz4", None, f"decoding lz4 needs a tool: {PROVE}", None, id="lz4"),
    ],
)  # fmt: skip
def test_inspect(data: bytes, kind: str, complete: bool | None, reason: str | None, method: str | None) -> None:
    found = read(data)
    assert (found.kind, found.complete, found.reason, found.method) == (kind, complete, reason, method)


@pytest.mark.parametrize(
    ("name", "version", "dumped_by"),
    [("postgresql-15", "1.14-0", "15.18"), ("postgresql-16", "1.15-0", "16."), ("postgresql-18", "1.16-0", "18.")],
)
def test_archives_of_every_format_version(name: str, version: str, dumped_by: str) -> None:
    data = (DATA / f"{name}.dump").read_bytes()
    found = read(data)
    assert (found.kind, found.complete, found.method) == ("custom", True, "every data block decoded")
    assert found.header["format_version"] == version
    assert found.header["compression"] == "gzip"
    assert found.header["database"] == "shop"
    assert found.header["dumped_by"].startswith(dumped_by)
    assert found.written_local is not None
    assert found.written_local.startswith("2026-11-21T09:0")
    assert found.written_zone is None
    # Not one cut, wherever, is taken for whole.
    assert [length for length in range(5, len(data)) if read(data[:length]).complete is not False] == []


def test_a_cut_between_two_blocks_is_noticed() -> None:
    """The archive then ends cleanly, and only the table of contents knows that something is missing."""
    reasons = {read(CUSTOM[:length]).reason for length in range(1000, len(CUSTOM))}
    assert "the archive is cut off: the data of 1 of its 3 tables is missing" in reasons


def test_flipped_bits_in_compressed_archives() -> None:
    """The checksum of zlib covers the data; the table of contents has none."""
    start = next(
        position
        for position in range(len(CUSTOM))
        if CUSTOM[position : position + 1] == b"\x78" and b"item 1" in decoded(CUSTOM[position:])
    )
    missed = [position for position in range(start, start + 100) if read(flipped(CUSTOM, position)).complete]
    assert missed == []


def decoded(data: bytes) -> bytes:
    try:
        return zlib.decompressobj().decompress(data)
    except zlib.error:
        return b""


def test_newer_archive_formats_are_no_verdict() -> None:
    found = read(CUSTOM[:6] + b"\x11" + CUSTOM[7:])
    assert (found.kind, found.complete) == ("custom", None)
    assert found.reason == f"archive format 1.17 is not known here: {PROVE}"


def test_header_of_a_verbose_plain_dump() -> None:
    found = read(PLAIN)
    assert found.header == {
        "format_version": None,
        "compression": None,
        "database": None,
        "dumped_from": "15.18 (Debian 15.18-0+deb12u1)",
        "dumped_by": "15.18 (Debian 15.18-0+deb12u1)",
    }
    assert (found.written_local, found.written_zone) == ("2026-11-21T09:03:58", "UTC")


def test_database_named_by_a_dump_with_create() -> None:
    data = PLAIN.replace(b"SET statement_timeout", b'\\connect "my shop"\nSET statement_timeout', 1)
    assert read(data.replace(b'"my shop"', b"shop")).header["database"] == "shop"


class TestMarker:
    @pytest.mark.parametrize(
        ("tail", "is_cluster", "expected"),
        [
            (b"--\n-- PostgreSQL database dump complete\n--\n\n", False, True),
            (b"--\n-- PostgreSQL database dump complete\n--\n\n\\unrestrict abc\n\n", False, True),
            (b"--\n-- PostgreSQL database cluster dump complete\n--\n", True, True),
            (b"--\n-- PostgreSQL database dump complete\n--\n\n", True, False),
            (b"1\t-- PostgreSQL database dump complete\n", False, False),
            (b"-- PostgreSQL database dump complete\n1\trow\n", False, False),
            (b"-- PostgreSQL database dump complete, almost\n", False, False),
            (b"\\.\n", False, False),
            (b"", False, False),
        ],
    )
    def test_cases(self, tail: bytes, is_cluster: bool, expected: bool) -> None:
        assert ends_with_marker(tail, is_cluster=is_cluster) is expected


class TestLimits:
    def test_budget(self) -> None:
        data = gzip.compress(plain(200_000), 1)
        found = read(data, max_bytes=1000)
        assert (found.kind, found.complete) == ("plain+gzip", None)
        assert found.reason == (
            f"not inspected: {len(data)} bytes are more than is left of the budget of 1000 bytes"
            f" (inspect_max_bytes); {PROVE}"
        )

    def test_plain_dumps_cost_two_ends(self) -> None:
        data = plain(100_000)
        meter = Meter(1 << 20, 3600)
        found = inspect(lambda start: chunks(data, start), len(data), meter)
        assert found.complete is True
        assert meter.bytes_read < 2 * TAIL_BYTES + 2000 < len(data)

    def test_time(self) -> None:
        found = read(gzip.compress(plain(200_000)), seconds=0)
        assert found.complete is None
        assert found.reason == "not read to its end: the limit of 0 seconds (timeout) was reached"

    def test_memory_stays_flat(self) -> None:
        """200 MB of blank lines are 200 kB of gzip: they must not be unpacked at once."""
        import tracemalloc

        buffer = io.BytesIO()
        with gzip.GzipFile(fileobj=buffer, mode="wb", compresslevel=9) as packed:
            packed.write(PLAIN)
            for _number in range(200):
                packed.write(b"\n" * (1 << 20))
        data = buffer.getvalue()
        tracemalloc.start()
        assert inspect(lambda start: chunks(data, start, 1 << 20), len(data), Meter(1 << 40, 3600)).complete is False
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 16 << 20


class TestLook:
    """Kind and header from the first 64 KiB."""

    def test_small_backups_are_inspected(self) -> None:
        data = gzip.compress(PLAIN)
        found = look(data, len(data), Meter(0, 3600))
        assert (found.kind, found.complete) == ("plain+gzip", True)

    @pytest.mark.parametrize(
        ("data", "kind", "version"),
        [
            (plain(50_000), "plain", "15.18 (Debian 15.18-0+deb12u1)"),
            (gzip.compress(plain(50_000), 1), "plain+gzip", "15.18 (Debian 15.18-0+deb12u1)"),
            (lzma.compress(plain(50_000)), "plain+xz", "15.18 (Debian 15.18-0+deb12u1)"),
            (CUSTOM + bytes(100_000), "custom", "15.18 (Debian 15.18-0+deb12u1)"),
            (TAR + bytes(100_000), "tar", None),
        ],
        ids=["plain", "gzip", "xz", "custom", "tar"],
    )
    def test_larger_ones_show_their_head(self, data: bytes, kind: str, version: str | None) -> None:
        found = look(data[:65536], max(len(data), 65537), Meter(0, 3600))
        assert (found.kind, found.complete, found.reason) == (kind, None, f"not inspected: {PROVE}")
        assert found.header.get("dumped_by") == version


def zstd(blocks: list[bytes], *, checksum: bool = True) -> bytes:
    """A zstd frame of raw blocks (RFC 8878)."""
    frame = b"\x28\xb5\x2f\xfd" + bytes([0x04 if checksum else 0, 0x50])
    for number, block in enumerate(blocks):
        frame += struct.pack("<I", len(block) << 3 | (number == len(blocks) - 1))[:3] + block
    return frame + (b"\0\0\0\0" if checksum else b"")


@pytest.mark.parametrize(
    ("data", "complete", "reason"),
    [
        (zstd([b"a", b"b"]), None, f"its zstd frames are whole, but decoding them needs a tool: {PROVE}"),
        (zstd([b"a"], checksum=False), None, f"its zstd frames are whole, but decoding them needs a tool: {PROVE}"),
        (
            zstd([b"a"]) + b"\x50\x2a\x4d\x18\x02\0\0\0xx" + zstd([b"b"]),
            None,
            f"its zstd frames are whole, but decoding them needs a tool: {PROVE}",
        ),
        (zstd([b"a", b"b"])[:-1], False, "the zstd data is cut off"),
        (zstd([b"a" * 1000])[:500], False, "the zstd data is cut off"),
        (zstd([b"a"]) + b"xxxx", False, "something that is not zstd data follows the end of the zstd data"),
    ],
)
def test_zstd_is_walked_by_its_lengths(data: bytes, complete: bool | None, reason: str) -> None:
    found = read(data)
    assert (found.kind, found.complete, found.reason) == ("zstd", complete, reason)


def tar(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def test_tar_with_a_promised_member_missing() -> None:
    with tarfile.open(fileobj=io.BytesIO(TAR)) as archive:
        members = {each.name: archive.extractfile(each).read() for each in archive.getmembers()}  # type: ignore[union-attr]
    assert read(tar(members)).complete is True
    data = [name for name in members if name.endswith(".dat") and name[0].isdigit()]
    del members[data[0]]
    found = read(tar(members))
    assert (found.complete, found.reason) == (
        False,
        f"1 of the {len(data)} data files that toc.dat names are missing",
    )


def test_tar_with_a_damaged_member_header() -> None:
    found = read(flipped(TAR, 5))
    assert found.reason == "the tar archive is damaged: a member's header has a wrong checksum"


class TestDirectory:
    """pg_dump -Fd."""

    @staticmethod
    def members() -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in (DATA / "postgresql-15.dir").iterdir()}

    @staticmethod
    def read(members: dict[str, bytes]) -> Inspection:
        sizes = {name: len(content) for name, content in members.items()}
        return inspect_directory(sizes, lambda name: chunks(members[name]), Meter(1 << 40, 3600))

    def test_whole(self) -> None:
        found = self.read(self.members())
        assert (found.kind, found.complete) == ("directory", True)
        assert found.method == "every data file found, compressed ones decoded"
        assert found.header["database"] == "shop"

    def test_cut_member(self) -> None:
        members = self.members()
        name = next(each for each in members if each[0].isdigit() and each.endswith(".gz"))
        members[name] = members[name][:-4]
        found = self.read(members)
        assert (found.kind, found.complete, found.reason) == ("directory", False, CUT_GZIP)

    def test_missing_member(self) -> None:
        members = self.members()
        del members[next(each for each in members if each[0].isdigit() and each.endswith(".gz"))]
        found = self.read(members)
        assert (found.complete, found.reason) == (False, "1 of the 3 data files that toc.dat names are missing")

    def test_without_contents(self) -> None:
        found = self.read({"readme.txt": b"hello"})
        assert (found.kind, found.complete) == ("unknown", None)
        assert found.reason == f"it is a directory without toc.dat, so not one of pg_dump -Fd: {PROVE}"

    def test_empty(self) -> None:
        found = self.read({})
        assert (found.kind, found.complete, found.reason) == ("empty", False, EMPTY)

    def test_contents_alone_in_a_file(self) -> None:
        found = read(self.members()["toc.dat"])
        assert (found.kind, found.complete) == ("directory", None)
        assert found.reason == "it is the toc.dat of a directory dump (-Fd), without the directory's data files"
