# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether an RDB file of Redis or Valkey is whole, by its ends and, where it is small, its checksum.

No server is needed for it. What a file holds only a server that loads it tells.
"""

from __future__ import annotations

from typing import Any

from ansible_collections.runbook.ops.plugins.module_utils.backup.errors import Damaged, Undecided
from ansible_collections.runbook.ops.plugins.module_utils.backup.streams import Meter, Reader
from ansible_collections.runbook.ops.plugins.module_utils.redis.backup.rdb import (
    CHECKSUM_BYTES,
    HEADER_BYTES,
    Header,
    is_checksummed,
    read_header,
)

# A CRC-64 in Python costs a second for so many bytes.
CHECKED_BYTES = 32 * 1024 * 1024
_END = 0xFF
# The polynomial of redis/src/crc64.c ("Jones"), its bits reversed.
_POLYNOMIAL = 0x95AC9329AC4BC9B5


def is_rdb(head: bytes) -> bool:
    """Whether a file that begins so is an RDB file."""
    try:
        read_header(head[:16])
    except Damaged:
        return False
    return True


def facts_of(head: bytes) -> tuple[dict[str, Any], Header]:
    """What the beginning of an RDB file says, in the shape of C(archive.Header.facts); and the header itself."""
    header = read_header(head[:HEADER_BYTES])
    return {
        "format_version": str(header.format),
        "compression": None,
        "database": None,
        "dumped_from": header.version,
        "dumped_by": header.flavour,
    }, header


def check(reader: Reader, meter: Meter, *, is_decoded: bool) -> str:
    """Read an RDB file to its end: how it was proven.

    Args:
        reader: At its beginning.
        meter: What reading may cost.
        is_decoded: Whether a compression around it has a checksum of its own, which its reader verifies.

    Raises:
        Damaged: it is cut off, or its checksum does not match.
        Undecided: it is too large for its checksum to be computed here.

    """
    header = read_header(reader.peek(HEADER_BYTES))
    kept = CHECKSUM_BYTES if header.has_checksum_field else 0
    tail, size, checksum, last = b"", 0, 0, _END + 1
    for chunk in reader.rest():
        size += len(chunk)
        data = tail + chunk
        # The last bytes are the checksum itself, which it is not of.
        tail = data[max(0, len(data) - kept) :]
        checked = data[: len(data) - len(tail)]
        if checked:
            last = checked[-1]
            checksum = crc64(checked, checksum) if size <= CHECKED_BYTES else checksum
        meter.check_time()
    if last != _END:
        raise Damaged("it ends without the end mark of an RDB file: it was cut off")
    if not is_checksummed(header, tail):
        return "end mark found; it carries no checksum (rdbchecksum no)"
    if size <= CHECKED_BYTES:
        if checksum != int.from_bytes(tail, "little"):
            raise Damaged("the checksum (CRC-64) does not match")
        return "end mark found, checksum (CRC-64) verified"
    if is_decoded:
        return "end mark found"
    raise Undecided(
        f"its end mark is there, but checksums of RDB files above {CHECKED_BYTES} bytes are not computed here: "
        "prove it with redis_backup_verify"
    )


def crc64(data: bytes, value: int = 0) -> int:
    """The CRC-64 at the end of an RDB file, of what comes before it (redis/src/crc64.c); C(value) is that so far."""
    table = _TABLE
    for byte in data:
        value = table[(value ^ byte) & 0xFF] ^ (value >> 8)
    return value


def _entry(number: int) -> int:
    for _bit in range(8):
        number = (number >> 1) ^ (_POLYNOMIAL if number & 1 else 0)
    return number


_TABLE = tuple(_entry(number) for number in range(256))
