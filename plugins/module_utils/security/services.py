# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether services that listen ask for a password: one harmless request to each that is known, on this machine only."""

from __future__ import annotations

import base64
import contextlib
import ipaddress
import socket
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Optional
from urllib.parse import urlsplit

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption
from ansible_collections.runbook.ops.plugins.module_utils.security.sockets import Socket

_SECONDS = 2.0
_MAX_BYTES = 4096
_MAX_PROBES = 64


@dataclass(frozen=True)
class Service:
    """A kind of server: by which port and process it is known, what is asked, and what an open one answers."""

    name: str
    ports: tuple[int, ...]
    processes: tuple[str, ...]
    request: bytes
    opened: tuple[bytes, ...]
    closed: tuple[bytes, ...]


def _get(path: str) -> bytes:
    return f"GET {path} HTTP/1.0\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode()


SERVICES = (
    Service(
        "redis",
        (6379,),
        ("redis-server", "valkey-server", "keydb-server"),
        b"PING\r\n",
        (b"+PONG",),
        (b"-NOAUTH", b"-DENIED", b"-ERR operation not permitted"),
    ),
    Service("memcached", (11211,), ("memcached",), b"version\r\n", (b"VERSION ",), (b"CLIENT_ERROR", b"ERROR")),
    Service("elasticsearch", (9200,), (), _get("/"), (b"cluster_name", b"lucene_version"), (b" 401 ", b" 403 ")),
    Service("docker", (2375, 2376), ("dockerd",), _get("/version"), (b"ApiVersion",), (b" 400 ", b" 401 ", b" 403 ")),
    Service("etcd", (2379,), ("etcd",), _get("/version"), (b"etcdserver",), (b" 401 ", b" 403 ")),
    Service("couchdb", (5984,), (), _get("/_all_dbs"), (b'["', b"[]"), (b" 401 ", b" 403 ")),
)


def service_of(listening: Socket) -> Optional[Service]:
    """What a socket is, by its process, else by its port."""
    for service in SERVICES:
        if listening.process and listening.process.split(":")[0] in service.processes:
            return service
    return next((service for service in SERVICES if listening.port in service.ports), None)


def verdict_of(service: Service, answer: bytes) -> Optional[bool]:
    """Whether it let us in without a password; null for an answer that says neither."""
    if any(word in answer for word in service.opened):
        return True
    if any(word in answer for word in service.closed):
        return False
    return None


def probe_services(sockets: Iterable[Socket]) -> list[dict[str, Any]]:
    """One entry for each listening socket of a kind that is known.

    A server may be open to loopback and closed to the network, so that one that listens on all addresses is asked at
    the machine's own.
    """
    found = []
    own = own_address()
    listening = {(each.address, each.port): each for each in sockets if each.protocol == "tcp"}
    for each in [one for one in listening.values() if service_of(one)][:_MAX_PROBES]:
        service = service_of(each)
        if service is None:
            continue
        at = each.address
        if ipaddress.ip_address(at).is_unspecified:
            at = own if ":" not in at else "::1"
            if ":" in each.address and ("0.0.0.0", each.port) in listening:  # noqa: S104 - looked for, not bound
                continue
        answer, reason = converse(at, each.port, service.request)
        opened = None if answer is None else verdict_of(service, answer)
        found.append(
            {
                "service": service.name,
                "address": each.address,
                "asked_at": at,
                "port": each.port,
                "process": each.process,
                "is_public": each.is_public,
                "is_open": opened,
                "reason": reason or (None if opened is not None else "its answer says neither"),
            }
        )
    return found


def own_address() -> str:
    """The address that this machine would send from; nothing is sent. Loopback without a network."""
    with contextlib.suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as made:
        made.connect(("192.0.2.1", 9))
        return str(made.getsockname()[0])
    return "127.0.0.1"


def converse(address: str, port: int, request: bytes) -> tuple[Optional[bytes], Optional[str]]:
    """What a server answers, its beginning; else why there is nothing."""
    received = b""
    try:
        with socket.create_connection((address, port), timeout=_SECONDS) as connection:
            connection.sendall(request)
            while len(received) < _MAX_BYTES:
                piece = connection.recv(_MAX_BYTES)
                received += piece
                if not piece or not request.startswith(b"GET"):
                    break
    except OSError as error:
        if not received:
            return None, f"{address}:{port}: {error.strerror or error}"
    return received, None


def check_logins(logins: Sequence[Mapping[str, Any]]) -> None:
    """Refuse declared logins that go anywhere but to this machine, before anything is sent."""
    for login in logins:
        parts = urlsplit(login["url"])
        if parts.scheme not in ("http", "redis") or not parts.hostname or parts.username:
            raise InvalidOption(
                "default_logins", login["url"], "http://<address>:<port>/<path> or redis://<address>:<port>"
            )
        if not _is_here(parts.hostname):
            raise InvalidOption(
                "default_logins", login["url"], "an address of this machine: passwords are tried nowhere else"
            )


def _is_here(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    if address.is_loopback:
        return True
    # Only an address of this machine can be bound here.
    family = socket.AF_INET6 if address.version == 6 else socket.AF_INET
    with contextlib.suppress(OSError), socket.socket(family, socket.SOCK_STREAM) as made:
        made.bind((host, 0))
        return True
    return False


def try_logins(logins: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Whether each declared default password is still the one; nothing of it is repeated."""
    found = []
    for login in logins:
        parts = urlsplit(login["url"])
        port = parts.port or (6379 if parts.scheme == "redis" else 80)
        answer, reason = converse(parts.hostname or "", port, _login_request(parts.scheme, parts.path, login))
        accepted = None
        if answer is not None:
            accepted = _accepted(parts.scheme, answer)
            reason = None if accepted is not None else "its answer says neither yes nor no"
        found.append(
            {
                "name": login["name"],
                "url": login["url"],
                "user": login["user"],
                "is_accepted": accepted,
                "reason": reason,
            }
        )
    return found


def _login_request(scheme: str, path: str, login: Mapping[str, Any]) -> bytes:
    if scheme == "redis":
        words = [word for word in ("AUTH", login["user"], login["password"]) if word]
        return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(w.encode()), w.encode()) for w in words)
    token = base64.b64encode(f"{login['user']}:{login['password']}".encode()).decode()
    return (
        f"GET {path or '/'} HTTP/1.0\r\nHost: localhost\r\nAuthorization: Basic {token}\r\nConnection: close\r\n\r\n"
    ).encode()


def _accepted(scheme: str, answer: bytes) -> Optional[bool]:
    if scheme == "redis":
        # An error that no password is set is an open door of another kind, which the probe finds.
        return True if answer.startswith(b"+OK") else False if answer.startswith((b"-WRONGPASS", b"-ERR")) else None
    status = answer.split(b" ", 2)[1:2]
    return {b"2": True, b"4": False}.get(status[0][:1]) if status else None
