"""The frame of tar archives, against those that Python writes, whole and cut, in pieces of every size."""

from __future__ import annotations

import io
import tarfile

import pytest

from ansible_collections.runbook.ops.plugins.module_utils.backup.errors import Damaged
from ansible_collections.runbook.ops.plugins.module_utils.backup.tar import BLOCK, whole_tar


def archive(*sizes: int) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w", format=tarfile.USTAR_FORMAT) as writer:
        for number, size in enumerate(sizes):
            entry = tarfile.TarInfo(f"{number}.dat")
            entry.size = size
            writer.addfile(entry, io.BytesIO(b"\0x" * size))
    return made.getvalue()


def through(data: bytes, step: int) -> bytes:
    return b"".join(whole_tar(data[at : at + step] for at in range(0, len(data), step)))


@pytest.mark.parametrize("step", [1, 100, 511, 512, 513, 4096, 1 << 20])
@pytest.mark.parametrize("sizes", [(), (0,), (1, 511, 512, 513), (5000, 0, 3)], ids=str)
def test_a_whole_archive_passes_as_it_is(sizes: tuple[int, ...], step: int) -> None:
    assert through(archive(*sizes), step) == archive(*sizes)
    # What follows its end is nobody's.
    assert through(archive(*sizes) + b"more", step) == archive(*sizes) + b"more"


@pytest.mark.parametrize(
    ("end", "message", "code"),
    [
        (0, "the tar archive is cut off", "decode_truncated"),
        (100, "the tar archive is cut off", "decode_truncated"),
        (BLOCK, "the tar archive is cut off", "decode_truncated"),
        (BLOCK + 700, "the tar archive is cut off", "decode_truncated"),
        # Both members are there, and half of what says that nothing comes after them.
        (4 * BLOCK, "the tar archive is cut off", "decode_truncated"),
        (5 * BLOCK, "the tar archive is cut off", "decode_truncated"),
    ],
)
def test_a_cut_is_told_at_its_end(end: int, message: str, code: str) -> None:
    data = archive(1000, 0)[:end]
    passed = []
    with pytest.raises(Damaged) as caught:
        passed += list(whole_tar(data[at : at + 300] for at in range(0, len(data), 300)))
    assert (caught.value.message, caught.value.details["code"]) == (message, code)


@pytest.mark.parametrize(
    ("at", "byte", "message"),
    [
        (0, b"X", "the tar archive is damaged: a member's header has a wrong checksum"),
        (148, b"X", "the tar archive is damaged: a member's header is not readable"),
        (5 * BLOCK, b"X", "the tar archive is damaged: its end mark is not whole"),
    ],
)
def test_a_damaged_frame_is_told_where_it_is(at: int, byte: bytes, message: str) -> None:
    data = archive(1000, 0)
    with pytest.raises(Damaged) as caught:
        through(data[:at] + byte + data[at + 1 :], 300)
    assert (caught.value.message, caught.value.details["code"]) == (message, "decode_failed")
