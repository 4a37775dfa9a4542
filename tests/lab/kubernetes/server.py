"""The HTTP side: reads requests, hands them on, and sends what comes back."""

from __future__ import annotations

import json
import select
import socket
import socketserver
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Protocol, Self
from urllib.parse import parse_qsl, unquote, urlsplit

from lab.kubernetes.request import Request
from lab.ports import LOOPBACK


class Connection(Protocol):
    """What a protocol of its own needs of a connection."""

    rfile: Any
    wfile: Any

    def gone(self) -> bool: ...


@dataclass(frozen=True)
class Reply:
    """A document (JSON), or text; ``hang`` sends nothing until the server stops or the client gives up.

    ``events`` are sent one by one, a line each, until they end; they are told when nobody hears them any more.
    ``talk`` takes the connection over.
    """

    status: int = 200
    document: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    hang: bool = False
    events: Callable[[Callable[[], bool]], Iterator[Any]] | None = None
    talk: Callable[[Connection], None] | None = None

    def payload(self) -> tuple[bytes, str]:
        if isinstance(self.document, str):
            return self.document.encode(), "text/plain"
        return json.dumps(self.document).encode(), "application/json"


Respond = Callable[[Request], Reply]


class ApiServer:
    """Listens on a free port of 127.0.0.1 while it runs."""

    def __init__(self, respond: Respond) -> None:
        self.stopping = threading.Event()
        self._server = _Server(respond, self.stopping)
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, name="kubernetes-api", daemon=True
        )

    @property
    def host(self) -> str:
        return f"{LOOPBACK}:{self._server.server_address[1]}"

    def start(self) -> Self:
        self._thread.start()
        return self

    def stop(self) -> None:
        self.stopping.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(timeout=5)


class QuietServer(ThreadingHTTPServer):
    """Listens on an address of this machine, and lets clients go away."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, handler: type[BaseHTTPRequestHandler]) -> None:
        super().__init__((LOOPBACK, 0), handler)

    def server_bind(self) -> None:
        # The inherited one asks the resolver for our name, which can take seconds.
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), self.server_address[1]

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that go away are part of the tests."""


class _Server(QuietServer):
    def __init__(self, respond: Respond, stopping: threading.Event) -> None:
        self.respond = respond
        self.stopping = stopping
        super().__init__(_Handler)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Head and body are two writes: without this the second waits 40 ms for the client's acknowledgement.
    disable_nagle_algorithm = True
    server: _Server

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: the requests are recorded."""

    def handle_one_request(self) -> None:
        self.raw_requestline = self.rfile.readline(65537)
        if not self.raw_requestline:
            self.close_connection = True
        elif self.parse_request():
            self._send(self.server.respond(self._request()))

    def _request(self) -> Request:
        split = urlsplit(self.path)
        length = int(self.headers.get("Content-Length") or 0)
        pairs = parse_qsl(split.query, keep_blank_values=True)
        return Request(
            self.command,
            unquote(split.path),
            dict(pairs),
            {name.lower(): value for name, value in self.headers.items()},
            self.rfile.read(length) if length else b"",
            tuple(pairs),
        )

    def _send(self, reply: Reply) -> None:
        if reply.hang:
            self._wait_for_the_end()
            return
        if reply.events is not None:
            self._send_events(reply)
            return
        if reply.talk is not None:
            self.close_connection = True
            reply.talk(self)
            return
        payload, content_type = reply.payload()
        self.send_response(reply.status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(payload)))
        for name, value in reply.headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(payload)

    def _send_events(self, reply: Reply) -> None:
        self.close_connection = True
        self.send_response(reply.status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Transfer-Encoding", "chunked")
        for name, value in reply.headers.items():
            self.send_header(name, value)
        self.end_headers()
        for event in reply.events(self.gone) if reply.events else ():
            line = json.dumps(event).encode() + b"\n"
            self.wfile.write(b"%x\r\n%s\r\n" % (len(line), line))
        self.wfile.write(b"0\r\n\r\n")

    def gone(self) -> bool:
        """Whether the client hung up, or the server stops."""
        if self.server.stopping.is_set():
            return True
        readable, _, _ = select.select([self.connection], [], [], 0)
        try:
            return bool(readable) and not self.connection.recv(1, socket.MSG_PEEK)
        except OSError:
            return True

    def _wait_for_the_end(self) -> None:
        self.close_connection = True
        self.connection.settimeout(0.2)
        while not self.server.stopping.is_set():
            try:
                if not self.connection.recv(1):
                    return
            except TimeoutError:
                continue
            except OSError:
                return
