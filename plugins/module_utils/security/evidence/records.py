# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Logins as the kernel's neighbours record them: the binary format of utmp, wtmp and btmp. Pure."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ansible_collections.runbook.ops.plugins.module_utils.common.clock import iso_of

# utmp(5) of glibc on Linux: the same on all 64-bit machines that keep 32-bit times, which are x86-64 and its kin.
_RECORD = struct.Struct("<h2xi32s4s32s256shhiii4I20x")
_KINDS = {2: "boot", 6: "login", 7: "session", 8: "ended"}


@dataclass(frozen=True)
class Record:
    """One line of them."""

    kind: str
    user: str
    terminal: str
    host: str
    pid: int
    seconds: int

    def facts(self) -> dict[str, Any]:
        """The entry."""
        return {
            "kind": self.kind,
            "user": self.user,
            "terminal": self.terminal,
            "from": self.host,
            "pid": self.pid,
            "at": iso_of(self.seconds),
        }


def records_of(data: bytes) -> Iterator[Record]:
    """All records of the kinds that matter, oldest first."""
    whole = len(data) - len(data) % _RECORD.size
    for fields in _RECORD.iter_unpack(data[:whole]):
        kind = _KINDS.get(fields[0])
        if kind is None:
            continue
        host = _text(fields[5])
        if not host and any(fields[11:15]):
            host = _address(fields[11:15])
        yield Record(kind, _text(fields[4]), _text(fields[2]), host, fields[1], fields[9])


def _text(raw: bytes) -> str:
    return raw.split(b"\0", 1)[0].decode("utf-8", "replace")


def _address(words: tuple[int, ...]) -> str:
    packed = struct.pack("<4I", *words)
    if not any(words[1:]):
        return socket.inet_ntop(socket.AF_INET, packed[:4])
    return socket.inet_ntop(socket.AF_INET6, packed)
