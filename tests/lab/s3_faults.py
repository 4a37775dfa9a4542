"""A proxy before an S3 server that refuses, breaks, slows down or cuts chosen requests."""

from __future__ import annotations

import contextlib
import fnmatch
import http.client
import socket
import struct
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import unquote, urlsplit

from lab.ports import LOOPBACK
from lab.s3 import S3Server

CHUNK = 65536
CODES = {403: "AccessDenied", 404: "NoSuchKey", 500: "InternalError", 503: "SlowDown"}
_HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "expect"}


@dataclass
class Fault:
    """What happens to which requests; the first of the proxy's faults that fits one is used.

    ``key`` is a pattern (``daily/*.dump``) for the object's key; a listing has the key ``""``. ``methods`` as HTTP
    says them, all without any; ``query`` is a word of the query string (``uploads``, ``partNumber=2``, ``versions``).
    ``skip`` requests pass first, ``times`` are hit then, all without it.

    ``status`` answers with that error in S3's words, ``code`` the word, and the server never sees the request.
    ``delay`` seconds pass before the request goes on, and ``bytes_per_second`` holds back the answer's body.
    ``cut`` hangs up: ``"before"`` the server gets the request, ``"request"`` in the middle of the body, after
    ``after_bytes``, ``"answer"`` so many bytes into the answer's body, ``"done"`` when the server has done it and
    before a word of its answer is passed on.
    """

    key: str = "*"
    methods: Sequence[str] = ()
    query: str = ""
    skip: int = 0
    times: int | None = None
    status: int | None = None
    code: str | None = None
    delay: float = 0.0
    bytes_per_second: int | None = None
    cut: str | None = None
    after_bytes: int = 0
    hits: int = field(default=0, init=False)
    _seen: int = field(default=0, init=False)

    def takes(self, method: str, key: str, query: str) -> bool:
        """Whether this request is hit; counts those that fit."""
        fits = fnmatch.fnmatchcase(key, self.key) and (not self.methods or method in self.methods)
        if not fits or self.query not in query:
            return False
        self._seen += 1
        if self._seen <= self.skip or (self.times is not None and self.hits >= self.times):
            return False
        self.hits += 1
        return True


class S3Faults:
    """``with S3Faults(s3_server, Fault("daily/*", methods=["GET"], status=403)) as store: module(**store.login())``.

    ``faults`` can be changed at any moment; ``requests`` remembers method, key and query of each request.
    """

    def __init__(self, server: S3Server, *faults: Fault) -> None:
        self.server = server
        self.faults: list[Fault] = list(faults)
        self.requests: list[tuple[str, str, str]] = []
        self.stopped = threading.Event()
        self._lock = threading.Lock()
        self._listening: _Server | None = None

    def __enter__(self) -> Self:
        self._listening = _Server((LOOPBACK, 0), _Handler)
        self._listening.proxy = self
        threading.Thread(target=self._listening.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stopped.set()
        if self._listening is not None:
            self._listening.shutdown()
            self._listening.server_close()

    @property
    def port(self) -> int:
        if self._listening is None:
            raise RuntimeError("The proxy listens inside its 'with' block only.")
        return int(self._listening.server_address[1])

    @property
    def endpoint_url(self) -> str:
        return f"http://{LOOPBACK}:{self.port}"

    def login(self) -> dict[str, Any]:
        """The connection options of the collection's modules, through this proxy."""
        return {**self.server.login(), "endpoint_url": self.endpoint_url}

    def fault_for(self, method: str, key: str, query: str) -> Fault | None:
        with self._lock:
            self.requests.append((method, key, query))
            return next((fault for fault in self.faults if fault.takes(method, key, query)), None)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    # A request that is being held back must not hold back the end of a test.
    block_on_close = False
    proxy: S3Faults

    def handle_error(self, *_: Any) -> None:
        """A client that hung up is not worth a traceback."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def log_message(self, *_: Any) -> None:
        """Nobody reads it."""

    def _pass_on(self) -> None:
        address = urlsplit(self.path)
        _bucket, _slash, key = unquote(address.path).lstrip("/").partition("/")
        fault = self.server.proxy.fault_for(self.command, key, address.query) or Fault()
        if fault.delay and self.server.proxy.stopped.wait(fault.delay):
            return self._hang_up()
        if fault.status is not None:
            return self._refuse(fault.status, fault.code or CODES.get(fault.status, "InternalError"), key)
        if fault.cut == "before":
            return self._hang_up()
        upstream = http.client.HTTPConnection(self.server.proxy.server.host, self.server.proxy.server.port, timeout=120)
        try:
            if not self._send(upstream, fault):
                return self._hang_up()
            answer = upstream.getresponse()
            if fault.cut == "done":
                answer.read()
                return self._hang_up()
            return self._answer(answer, fault)
        finally:
            upstream.close()

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _pass_on

    def _send(self, upstream: http.client.HTTPConnection, fault: Fault) -> bool:
        """Send the request; whether all of it was sent."""
        upstream.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
        chunked = self._is_chunked
        for name, value in self.headers.items():
            if name.lower() not in _HOP_BY_HOP:
                upstream.putheader(name, value)
        if chunked:
            upstream.putheader("Transfer-Encoding", "chunked")
        upstream.endheaders()
        sent = 0
        for piece in self._body():
            if fault.cut == "request" and sent + len(piece) > fault.after_bytes:
                rest = piece[: fault.after_bytes - sent]
                upstream.send(_framed(rest) if chunked else rest)
                return False
            upstream.send(_framed(piece) if chunked else piece)
            sent += len(piece)
        if chunked:
            upstream.send(b"0\r\n\r\n")
        return fault.cut != "request"

    @property
    def _is_chunked(self) -> bool:
        return "chunked" in self.headers.get("Transfer-Encoding", "").lower()

    def _body(self) -> Iterator[bytes]:
        return self._chunked_body() if self._is_chunked else self._plain_body()

    def _plain_body(self) -> Iterator[bytes]:
        left = int(self.headers.get("Content-Length") or 0)
        while left:
            piece = self.rfile.read(min(CHUNK, left))
            if not piece:
                raise ConnectionError("The client hung up in the middle of its request.")
            left -= len(piece)
            yield piece

    def _chunked_body(self) -> Iterator[bytes]:
        while size := int(self.rfile.readline().split(b";")[0], 16):
            yield self.rfile.read(size)
            self.rfile.readline()
        while self.rfile.readline().strip():
            """Trailers, if there are any."""

    def _answer(self, answer: http.client.HTTPResponse, fault: Fault) -> None:
        self.send_response(answer.status, answer.reason)
        whole = self.command == "HEAD" or answer.length is not None
        for name, value in answer.getheaders():
            if name.lower() not in _HOP_BY_HOP | {"date", "server"}:
                self.send_header(name, value)
        if not whole:
            self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        passed = 0
        while piece := answer.read(CHUNK if fault.bytes_per_second is None else max(1, fault.bytes_per_second // 20)):
            if fault.cut == "answer" and passed + len(piece) > fault.after_bytes:
                rest = piece[: fault.after_bytes - passed]
                self.wfile.write(rest if whole else _framed(rest))
                return self._hang_up()
            self.wfile.write(piece if whole else _framed(piece))
            passed += len(piece)
            if fault.bytes_per_second is not None:
                self.wfile.flush()
                if self.server.proxy.stopped.wait(len(piece) / fault.bytes_per_second):
                    return self._hang_up()
        if fault.cut == "answer":
            return self._hang_up()
        if not whole:
            self.wfile.write(b"0\r\n\r\n")
        return None

    def _refuse(self, status: int, code: str, key: str) -> None:
        # A client that is still sending would see a reset instead of the answer.
        for _piece in self._body():
            """Thrown away."""
        body = (
            '<?xml version="1.0" encoding="UTF-8"?>\n'
            f"<Error><Code>{code}</Code><Message>The lab says so.</Message><Key>{key}</Key></Error>"
        ).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/xml")
        self.send_header("Content-Length", "0" if self.command == "HEAD" else str(len(body)))
        self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
        self.close_connection = True

    def _hang_up(self) -> None:
        """End the connection with a reset, as a machine that vanishes does."""
        self.close_connection = True
        with contextlib.suppress(OSError):
            self.wfile.flush()
        with contextlib.suppress(OSError):
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()


def _framed(piece: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(piece), piece) if piece else b""
