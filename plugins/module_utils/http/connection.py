# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One connection to one server: how long each station took, and no wait beyond the deadline.

The protocol itself is the standard library's C(http.client); its sockets know a limit per read only, so they are
wrapped here in one that counts down.
"""

from __future__ import annotations

import contextlib
import http.client
import io
import ipaddress
import socket
import ssl
import threading
import time
from dataclasses import dataclass
from typing import Any

from ansible_collections.runbook.ops.plugins.module_utils.http.certificate import Certificate, parse_certificate
from ansible_collections.runbook.ops.plugins.module_utils.http.deadline import Deadline
from ansible_collections.runbook.ops.plugins.module_utils.http.errors import (
    CONNECT,
    DNS,
    PROXY,
    TLS,
    HttpFailure,
    describe,
)
from ansible_collections.runbook.ops.plugins.module_utils.http.proxies import Proxy
from ansible_collections.runbook.ops.plugins.module_utils.http.urls import Url


@dataclass
class Timings:
    """Seconds of each station, as durations and not as moments; None where a station was not needed."""

    dns_seconds: float | None = None
    connect_seconds: float | None = None
    tls_seconds: float | None = None
    first_byte_seconds: float | None = None
    total_seconds: float | None = None

    def add(self, other: Timings) -> None:
        """Count the stations of a further request of the same probe (a redirect) in."""
        for name in ("dns_seconds", "connect_seconds", "tls_seconds", "first_byte_seconds"):
            mine, theirs = getattr(self, name), getattr(other, name)
            if theirs is not None:
                setattr(self, name, (mine or 0.0) + theirs)


class _Wire:
    """A connected socket as http.client needs it, whose every wait ends at the current deadline."""

    def __init__(self, sock: socket.socket, deadline: Deadline) -> None:
        self.sock = sock
        self.deadline = deadline
        self.first_byte_at: float | None = None
        self._readers = 0
        self._closing = False

    def sendall(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            self.sock.settimeout(self.deadline.remaining())
            view = view[self.sock.send(view) :]

    def receive_into(self, buffer: Any) -> int:
        self.sock.settimeout(self.deadline.remaining())
        count = self.sock.recv_into(buffer)
        if count and self.first_byte_at is None:
            self.first_byte_at = time.monotonic()
        return count

    def makefile(self, *_: Any, **__: Any) -> io.BufferedReader:
        self._readers += 1
        return io.BufferedReader(_WireReader(self))

    def reader_closed(self) -> None:
        self._readers -= 1
        if self._closing and self._readers <= 0:
            self.sock.close()

    def close(self) -> None:
        # http.client closes the socket of a "Connection: close" answer before its body is read.
        self._closing = True
        if self._readers <= 0:
            self.sock.close()

    def abort(self) -> None:
        """Close it now, whoever still reads."""
        self._readers, self._closing = 0, True
        with contextlib.suppress(OSError):
            self.sock.close()


class _WireReader(io.RawIOBase):
    def __init__(self, wire: _Wire) -> None:
        super().__init__()
        self._wire = wire

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        return self._wire.receive_into(buffer)

    def close(self) -> None:
        if not self.closed:
            super().close()
            self._wire.reader_closed()


class Connection(http.client.HTTPConnection):
    """A connection to the server of C(url), opened by C(open) within a deadline; with C(context) in TLS."""

    def __init__(self, url: Url, *, context: ssl.SSLContext | None, proxy: Proxy | None) -> None:
        super().__init__(url.host, url.port)
        self.url = url
        self.proxy = proxy
        self.timings = Timings()
        self.certificate: Certificate | None = None
        self.used = False
        self._context = context
        self._wire: _Wire | None = None

    # http.client would reconnect behind our back when a kept connection was closed; the client decides that.
    auto_open = 0

    def open(self, deadline: Deadline) -> None:
        """Resolve, connect and shake hands.

        Raises:
            HttpFailure: with the station that failed; C(certificate) is set when the server's was not accepted.

        """
        raw = self._connect(deadline)
        try:
            if self._context is not None:
                if self.proxy:
                    self._open_tunnel(raw, self.proxy, deadline)
                raw = self._shake_hands(raw, self._context, deadline)
        except BaseException:
            raw.close()
            raise
        self._wire = _Wire(raw, deadline)
        self.sock = self._wire  # type: ignore[assignment]

    def use(self, deadline: Deadline) -> None:
        """Start the next request on this connection: its deadline, its timings."""
        if self._wire is not None:
            self._wire.deadline = deadline
            self._wire.first_byte_at = None
        if self.used:
            self.timings = Timings()
        self.used = True

    @property
    def first_byte_at(self) -> float | None:
        """The moment (monotonic) the first byte of the current answer arrived."""
        return self._wire.first_byte_at if self._wire else None

    @property
    def is_open(self) -> bool:
        """Whether another request may be sent."""
        return self.sock is not None

    def abort(self) -> None:
        """Give the connection up, whatever is still on its way."""
        if self._wire is not None:
            self._wire.abort()
        with contextlib.suppress(Exception):
            self.close()

    def _failure(self, error: BaseException, phase: str, deadline: Deadline) -> HttpFailure:
        where = f"the proxy {self.proxy.host}:{self.proxy.port}" if self.proxy and phase in (DNS, CONNECT) else ""
        sentence = describe(error, phase, where=where or self.url.where, seconds=deadline.seconds)
        timed_out = isinstance(error, (TimeoutError, socket.timeout))
        return HttpFailure(f"{sentence}.", phase, timed_out=timed_out)

    def _connect(self, deadline: Deadline) -> socket.socket:
        host, port = (self.proxy.host, self.proxy.port) if self.proxy else (self.url.host, self.url.port)
        started = time.monotonic()
        try:
            addresses = resolve(host, port, deadline)
        except (OSError, UnicodeError) as error:
            raise self._failure(error, DNS, deadline) from error
        self.timings.dns_seconds = time.monotonic() - started
        started = time.monotonic()
        last: OSError = OSError("no address")
        for position, (family, kind, protocol, _name, address) in enumerate(addresses):
            sock = None
            try:
                sock = socket.socket(family, kind, protocol)
                # An address that swallows packets must leave time for the next one.
                sock.settimeout(deadline.remaining() / (len(addresses) - position))
                sock.connect(address)
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            except OSError as error:
                last = error
                if sock is not None:
                    sock.close()
            else:
                self.timings.connect_seconds = time.monotonic() - started
                return sock
        raise self._failure(last, CONNECT, deadline) from last

    def _open_tunnel(self, raw: socket.socket, proxy: Proxy, deadline: Deadline) -> None:
        lines = [f"CONNECT {self.url.where} HTTP/1.1", f"Host: {self.url.where}"]
        if proxy.authorization:
            lines.append(f"Proxy-Authorization: {proxy.authorization}")
        wire = _Wire(raw, deadline)
        try:
            wire.sendall("\r\n".join([*lines, "", ""]).encode("ascii"))
            answer = http.client.HTTPResponse(wire, method="CONNECT")  # type: ignore[arg-type]
            answer.begin()
        except (OSError, http.client.HTTPException) as error:
            raise self._failure(error, PROXY, deadline) from error
        if answer.status != 200:
            raise HttpFailure(
                f"the proxy {proxy.host}:{proxy.port} opens no tunnel to {self.url.where} "
                f"(status {answer.status}). Correct the proxy variables or set use_proxy to false.",
                PROXY,
            )

    def _shake_hands(self, raw: socket.socket, context: ssl.SSLContext, deadline: Deadline) -> socket.socket:
        started = time.monotonic()
        try:
            raw.settimeout(deadline.remaining())
            secured = context.wrap_socket(raw, server_hostname=self.url.host)
        except (OSError, ValueError) as error:
            raise self._failure(error, TLS, deadline) from error
        self.timings.tls_seconds = time.monotonic() - started
        self.certificate = parse_certificate(secured.getpeercert(binary_form=True))
        return secured


def resolve(host: str, port: int, deadline: Deadline) -> list[Any]:
    """The addresses of a host, as getaddrinfo gives them, within the deadline.

    The system's resolver takes no limit and can wait half a minute for a dead name server, so it waits in a
    thread of its own, which is left behind.
    """
    with contextlib.suppress(ValueError):
        ipaddress.ip_address(host)
        return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    outcome: list[Any] = []

    def look_up() -> None:
        try:
            outcome.append(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
        except (OSError, UnicodeError) as error:
            outcome.append(error)

    thread = threading.Thread(target=look_up, name=f"resolve {host}", daemon=True)
    thread.start()
    thread.join(deadline.remaining())
    if not outcome:
        raise TimeoutError
    if isinstance(outcome[0], Exception):
        raise outcome[0]
    addresses: list[Any] = outcome[0]
    return addresses
