# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sockets of a machine with the processes that hold them, as the kernel lists them under F(/proc)."""

from __future__ import annotations

import contextlib
import ipaddress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.host.listening import holder, read_address, socket_owners

_STATES = {"01": "established", "0A": "listening"}
PROC = Path("/proc")


@dataclass(frozen=True)
class Socket:
    """One socket; C(pid) and C(process) are null where they could not be seen."""

    protocol: str
    address: str
    port: int
    peer: str
    peer_port: int
    state: str
    inode: int
    uid: int
    pid: Optional[int] = None
    process: Optional[str] = None

    @property
    def is_public(self) -> bool:
        """Whether others than this machine can reach it."""
        return not ipaddress.ip_address(self.address).is_loopback

    def facts(self) -> dict[str, Any]:
        """The listening socket, one entry."""
        return {
            "protocol": self.protocol,
            "address": self.address,
            "port": self.port,
            "is_public": self.is_public,
            "pid": self.pid,
            "process": self.process,
        }


def sockets_of(text: str, protocol: str) -> list[Socket]:
    """The lines of C(/proc/net/tcp) and its kin that listen or are established."""
    found = []
    for line in text.splitlines()[1:]:
        parts = line.split()
        if len(parts) < 10:
            continue
        state = _STATES.get(parts[3])
        # A bound UDP socket without a peer is in state 07 and takes what comes.
        if protocol.startswith("udp"):
            state = "listening" if parts[3] == "07" else state
        if state is None:
            continue
        (address, port), (peer, peer_port) = _end(parts[1]), _end(parts[2])
        found.append(Socket(protocol[:3], address, port, peer, peer_port, state, int(parts[9]), int(parts[7])))
    return found


def _end(text: str) -> tuple[str, int]:
    address, _separator, port = text.partition(":")
    return read_address(address), int(port, 16)


def read_sockets(proc: Path = PROC) -> list[Socket]:
    """All of them, with their processes as far as we may look."""
    found = []
    for protocol in ("tcp", "tcp6", "udp", "udp6"):
        with contextlib.suppress(OSError):
            found += sockets_of((proc / "net" / protocol).read_text(encoding="ascii"), protocol)
    owners, _unseen = socket_owners(proc, [each.inode for each in found])
    named = []
    for each in found:
        pid = holder(owners.get(each.inode, []))
        name = None
        if pid is not None:
            with contextlib.suppress(OSError):
                name = (proc / str(pid) / "comm").read_text(encoding="utf-8", errors="replace").strip()
        named.append(replace(each, pid=pid, process=name))
    return named
