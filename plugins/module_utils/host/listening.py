# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ports that programs listen on, by /proc/net: with their process and unit, held against a declared list."""

from __future__ import annotations

import ipaddress
import os
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional

_LISTEN, _UNCONNECTED = "0A", "07"
_SOCKET = re.compile(r"socket:\[(\d+)\]")


@dataclass(frozen=True)
class Listener:
    """A socket that waits for others."""

    protocol: str
    address: str
    port: int
    inode: int


def read_sockets(text: str, protocol: str) -> list[Listener]:
    """/proc/net/{tcp,tcp6,udp,udp6}: sockets that listen.

    A UDP socket has no such state; one that is bound and sends to nobody in particular receives from everybody.
    """
    state = _LISTEN if protocol == "tcp" else _UNCONNECTED
    found = []
    for line in text.splitlines()[1:]:
        words = line.split()
        if len(words) < 10 or words[3] != state:
            continue
        host, _separator, port = words[1].rpartition(":")
        remote_port = words[2].rpartition(":")[2]
        if int(port, 16) == 0 or (protocol == "udp" and int(remote_port, 16) != 0):
            continue
        found.append(Listener(protocol, read_address(host), int(port, 16), int(words[9])))
    return found


def read_address(text: str, byte_order: str = sys.byteorder) -> str:
    """An address as the kernel writes it: 32-bit words in the machine's own order."""
    packed = bytes.fromhex(text)
    if byte_order == "little":
        packed = b"".join(packed[at : at + 4][::-1] for at in range(0, len(packed), 4))
    address = ipaddress.ip_address(packed)
    mapped = getattr(address, "ipv4_mapped", None)
    return str(mapped or address)


def socket_owners(proc: Path, inodes: Iterable[int]) -> tuple[dict[int, list[int]], bool]:
    """The processes that hold each socket, oldest number first, and whether all processes could be looked into."""
    wanted = set(inodes)
    owners: dict[int, list[int]] = {}
    complete = True
    for name in sorted((each for each in os.listdir(proc) if each.isdigit()), key=int):  # noqa: PTH208 - names only
        try:
            descriptors = os.listdir(proc / name / "fd")  # noqa: PTH208 - names only
        except PermissionError:
            complete = False
            continue
        except OSError:
            continue
        for descriptor in descriptors:
            try:
                match = _SOCKET.fullmatch(os.readlink(proc / name / "fd" / descriptor))  # noqa: PTH115 - no file
            except OSError:
                continue
            if match and int(match[1]) in wanted:
                held = owners.setdefault(int(match[1]), [])
                if int(name) not in held:
                    held.append(int(name))
    return owners, complete


def holder(pids: Sequence[int]) -> Optional[int]:
    """The process that answers: behind a socket of systemd, which keeps it open as well, the service."""
    return next((pid for pid in pids if pid != 1), 1 if pids else None)


def reach(address: str) -> str:
    """Who can connect: everybody who reaches the machine (C(any)), itself alone (C(local)), or one network."""
    parsed = ipaddress.ip_address(address)
    if parsed.is_unspecified:
        return "any"
    return "local" if parsed.is_loopback else "address"


def compare(ports: Sequence[Mapping[str, Any]], declared: Optional[Sequence[Mapping[str, Any]]]) -> dict[str, Any]:
    """Listening ports against the declared ones.

    A declared port may say on which addresses it may listen (C(address), a network or an address) and who it belongs
    to (C(process), C(unit)): another program on the port is as undeclared as another port.
    """
    if declared is None:
        return {"is_compared": False, "undeclared": [], "missing": [], "exposed": []}
    undeclared: list[dict[str, Any]] = []
    exposed: list[dict[str, Any]] = []
    for port in ports:
        same = [each for each in declared if _is_same(each, port)]
        if not same:
            undeclared.append({**port, "reason": "it is not declared"})
            continue
        reasons = [_mismatch(each, port) for each in same]
        if all(reasons):
            (exposed if all(kind == "address" for kind, _why in filter(None, reasons)) else undeclared).append(
                {**port, "reason": next(why for _kind, why in filter(None, reasons))}
            )
    missing = [
        {
            "port": each["port"],
            "protocol": each["protocol"],
            "name": each.get("name") or f"{each['port']}/{each['protocol']}",
            "reason": "nothing listens there",
        }
        for each in declared
        if each.get("required", True) and not any(_is_same(each, port) for port in ports)
    ]
    return {"is_compared": True, "undeclared": undeclared, "missing": missing, "exposed": exposed}


def _is_same(declared: Mapping[str, Any], port: Mapping[str, Any]) -> bool:
    return bool(declared["port"] == port["port"] and declared["protocol"] == port["protocol"])


def _mismatch(declared: Mapping[str, Any], port: Mapping[str, Any]) -> Optional[tuple[str, str]]:
    for key in ("process", "unit"):
        wanted, found = declared.get(key), port.get(key)
        if wanted and found and wanted != found:
            return key, f"the {key} is {found}, declared is {wanted}"
    networks = declared.get("address") or []
    if networks and not any(_is_within(port["address"], network) for network in networks):
        return "address", f"it listens on {port['address']}, declared is {', '.join(networks)}"
    return None


def _is_within(address: str, network: str) -> bool:
    parsed, wanted = ipaddress.ip_address(address), ipaddress.ip_network(network, strict=False)
    if parsed.version != wanted.version:
        return False
    # Everybody's address lies in no network but the one that is everybody's.
    if parsed.is_unspecified:
        return wanted.prefixlen == 0 or wanted.network_address == parsed
    return parsed in wanted
