# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The frame of a tar archive: headers of 512 bytes, members padded to 512, two blocks of zeros at the end. Pure.

The layout is that of ustar (POSIX.1-2017, pax, "ustar Interchange Format").
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ansible_collections.runbook.ops.plugins.module_utils.backup.errors import Damaged

BLOCK = 512
CUT_OFF = "the tar archive is cut off"
NO_END = "the tar archive is damaged: its end mark is not whole"


def tar_member(block: bytes) -> tuple[str, int]:
    """Name and bytes of the member that a header is before; raises Damaged."""
    field = block[124:136]
    try:
        checksum = int(block[148:156].strip(b"\0 ") or b"0", 8)
        # GNU tar writes sizes above 8 GiB in base 256, marked by the first bit.
        size = int.from_bytes(field[1:], "big") if field[0] & 0x80 else int(field.strip(b"\0 ") or b"0", 8)
    except ValueError:
        raise Damaged("the tar archive is damaged: a member's header is not readable", code="decode_failed") from None
    if sum(block[:148]) + 8 * 32 + sum(block[156:]) != checksum:
        raise Damaged("the tar archive is damaged: a member's header has a wrong checksum", code="decode_failed")
    return block[:100].rstrip(b"\0").decode("utf-8", "replace"), size


def whole_tar(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """The chunks of a tar archive as they come, for a reader that does not notice by itself where they end too early.

    Raises:
        Damaged: after the last chunk, that the archive is cut off; before a chunk, that its frame is damaged. The
            details hold C(code).

    """
    header = bytearray()
    skip, zeros = 0, 0
    for chunk in chunks:
        at = 0
        while zeros < 2 and at < len(chunk):
            if skip:
                step = min(skip, len(chunk) - at)
                skip, at = skip - step, at + step
                continue
            piece = chunk[at : at + BLOCK - len(header)]
            header += piece
            at += len(piece)
            if len(header) < BLOCK:
                break
            zeros, skip = _next(bytes(header), zeros)
            header.clear()
        yield chunk
    if zeros < 2:
        raise Damaged(CUT_OFF, code="decode_truncated")


def _next(block: bytes, zeros: int) -> tuple[int, int]:
    """How many blocks of zeros there were up to this one, and how many bytes are to be passed over after it."""
    if not block.strip(b"\0"):
        return zeros + 1, 0
    if zeros:
        raise Damaged(NO_END, code="decode_failed")
    size = tar_member(block)[1]
    return 0, size + -size % BLOCK
