# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the beginning and the end of an RDB file say about it. Pure.

Format: the magic C(REDIS) with four digits or, from Valkey 9 on, C(VALKEY) with three, then auxiliary fields (opcode
0xFA, two strings), then data; the last eight bytes are a CRC-64, all zero with C(rdbchecksum no) (rdb.c).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Optional

from ansible_collections.runbook.ops.plugins.module_utils.backup.errors import Damaged

# So much of a file holds all its auxiliary fields.
HEADER_BYTES = 4096
CHECKSUM_BYTES = 8
_MAGIC = re.compile(rb"REDIS([0-9]{4})|VALKEY([0-9]{3})")
_AUX = 0xFA
# The eight bytes are there from this format on.
_FIRST_WITH_CHECKSUM = 5


@dataclass(frozen=True)
class Header:
    """The format's number, the auxiliary fields by name, and whether the format is Valkey's own (from 9 on)."""

    format: int
    fields: dict[str, str] = field(default_factory=dict)
    is_valkeys_own: bool = False

    @property
    def flavour(self) -> str:
        """C(valkey) or C(redis), whichever wrote it."""
        return "valkey" if "valkey-ver" in self.fields else "redis"

    @property
    def version(self) -> str | None:
        """The version of the server that wrote it."""
        return self.fields.get("valkey-ver") or self.fields.get("redis-ver")

    @property
    def writer(self) -> str:
        """C(Redis 7.0.15), for a sentence."""
        return f"{self.flavour.capitalize()} {self.version or '(unknown version)'}"

    @property
    def created(self) -> int | None:
        """When it was written by the server's clock, epoch seconds."""
        return _number(self.fields.get("ctime"))

    @property
    def used_memory_bytes(self) -> int | None:
        """The server's memory when it was written: about what loading it takes."""
        return _number(self.fields.get("used-mem"))

    @property
    def has_checksum_field(self) -> bool:
        """Whether the format ends with a checksum."""
        return self.format >= _FIRST_WITH_CHECKSUM


def read_header(data: bytes) -> Header:
    """The header of a file that begins with C(data); raises Damaged when it is no RDB file."""
    found = _MAGIC.match(data)
    if found is None:
        what = "it is empty" if not data else f"it begins with {data[:9]!r}"
        raise Damaged(f"this is no RDB file: {what}")
    position = found.end()
    fields: dict[str, str] = {}
    while position < len(data) and data[position] == _AUX:
        name, position = _string(data, position + 1)
        value, position = _string(data, position) if name is not None else (None, position)
        if name is None or value is None:
            break
        fields[name] = value
    return Header(int(found[1] or found[2]), fields, is_valkeys_own=found[2] is not None)


def is_checksummed(header: Header, tail: bytes) -> bool:
    """Whether the last eight bytes are a checksum: zeros mean C(rdbchecksum no)."""
    return header.has_checksum_field and len(tail) == CHECKSUM_BYTES and any(tail)


def _string(data: bytes, position: int) -> tuple[Optional[str], int]:
    """A length-prefixed or number-encoded string; None where it ends early or is compressed."""
    if position >= len(data):
        return None, position
    first = data[position]
    kind = first >> 6
    if kind == 3:
        size = {0: 1, 1: 2, 2: 4}.get(first & 0x3F)
        if size is None or position + 1 + size > len(data):
            return None, position
        number = int.from_bytes(data[position + 1 : position + 1 + size], "little", signed=True)
        return str(number), position + 1 + size
    if kind == 0:
        length, start = first & 0x3F, position + 1
    elif kind == 1 and position + 1 < len(data):
        length, start = (first & 0x3F) << 8 | data[position + 1], position + 2
    else:
        return None, position
    if start + length > len(data):
        return None, position
    return data[start : start + length].decode("utf-8", "backslashreplace"), start + length


def _number(text: str | None) -> int | None:
    return int(text) if text is not None and text.lstrip("-").isdigit() else None
