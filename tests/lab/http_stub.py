"""An HTTP server whose every answer is scripted, and which remembers what it was asked."""

from __future__ import annotations

import contextlib
import json
import re
import socket
import socketserver
import ssl
import struct
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

from lab.certificates import Certificate, make_certificate
from lab.ports import LOOPBACK
from lab.users import scratch_directory


@dataclass
class Request:
    """What a client asked. ``matched`` holds the {names} of the route's path."""

    method: str
    path: str
    query: dict[str, list[str]]
    headers: dict[str, str]
    body: bytes
    matched: dict[str, str] = field(default_factory=dict)

    def json(self) -> Any:
        return json.loads(self.body)

    def argument(self, name: str, default: str | None = None) -> str | None:
        """The first value of a query parameter."""
        return self.query.get(name, [default])[0]  # type: ignore[list-item]

    @property
    def bearer(self) -> str | None:
        """The token of an Authorization header, if there is one."""
        kind, _ignored, token = self.headers.get("authorization", "").partition(" ")
        return token if kind.lower() == "bearer" else None


@dataclass
class Reply:
    """One answer.

    ``body`` of a dict, list or None becomes JSON. ``delay`` seconds pass before the status line; ``hang`` sends
    nothing until the stub stops (after the headers with ``hang_after_headers``); ``drip=(bytes, seconds)``
    sends the body in pieces; ``reset`` breaks the connection; ``close_early`` ends it in the middle of the body.
    """

    status: int = 200
    body: Any = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    delay: float = 0.0
    hang: bool = False
    hang_after_headers: bool = False
    drip: tuple[int, float] | None = None
    reset: bool = False
    close_early: bool = False

    def payload(self) -> tuple[bytes, str]:
        """The bytes to send and their content type."""
        if isinstance(self.body, bytes):
            return self.body, "application/octet-stream"
        if isinstance(self.body, str):
            return self.body.encode(), "text/plain; charset=utf-8"
        return json.dumps(self.body, ensure_ascii=False).encode(), "application/json"


Answer = Any  # a Reply, (status, body), a body, a function of the request, or a list of these for one request each
Routes = Mapping[str, Answer]


class HttpStub:
    """``HttpStub({"/health": {"status": "ok"}, "GET /v1/jobs": function, "/products/{id}": (404, "no")})``.

    A key is a path, or a method and a path; ``{name}`` stands for one segment, a ``*`` at the end for any rest,
    and ``"*"`` alone for everything. What no route covers is 404. The first matching route in the order given
    answers, exact ones first. An answer is a ``Reply``, ``(status, body)``, a body (dict and list are JSON), a
    function of the ``Request`` that returns one of these, or a list of them, one per request, the last repeated.

    ``tls=True`` (or a ``Certificate``) serves https; ``.ca_cert`` is the authority's certificate. ``token`` asks
    for that bearer token (callable: for the current one) and answers 401 without it.
    """

    def __init__(
        self,
        routes: Routes | None = None,
        *,
        tls: bool | Certificate = False,
        token: str | None = None,
        open_paths: Sequence[str] = (),
        port: int = 0,
        base: Path | None = None,
        keep_requests: bool = True,
    ) -> None:
        self.host = LOOPBACK
        self.port = port
        self.token = token
        self.open_paths = tuple(open_paths)
        self.keep_requests = keep_requests
        self.requests: list[Request] = []
        self.certificate: Certificate | None = None
        self._base = base
        self._own_base: Path | None = None
        self._tls = tls
        self._lock = threading.Lock()
        self._routes: dict[str, Answer] = {}
        self._turns: dict[str, int] = {}
        self._server: _Server | None = None
        self._thread: threading.Thread | None = None
        self.stopping = threading.Event()
        for key, answer in (routes or {}).items():
            self.add(key, answer)

    # --- routes
    def add(self, key: str, answer: Answer) -> Self:
        """Set or replace a route, also while the stub runs."""
        with self._lock:
            self._routes[key] = answer
            self._turns.pop(key, None)
        return self

    def answer_to(self, request: Request) -> Reply:
        """The reply to a request, as the routes say now."""
        if self.token is not None and request.path not in self.open_paths and request.bearer != self.token:
            return Reply(401, {"error": "unauthorized", "message": "a valid bearer token is required"})
        with self._lock:
            key, matched = self._find(request.method, request.path)
            if key is None:
                return Reply(404, {"error": "not found", "path": request.path})
            answer = self._routes[key]
            if isinstance(answer, list) and answer and all(_is_answer(each) for each in answer):
                turn = self._turns.get(key, 0)
                self._turns[key] = turn + 1
                answer = answer[min(turn, len(answer) - 1)]
        request.matched = matched
        return as_reply(answer(request) if callable(answer) else answer)

    def _find(self, method: str, path: str) -> tuple[str | None, dict[str, str]]:
        for key in (f"{method} {path}", path):
            if key in self._routes:
                return key, {}
        for key in self._routes:
            wanted_method, _ignored, pattern = key.rpartition(" ")
            if wanted_method and wanted_method != method:
                continue
            found = re.fullmatch(_expression(pattern), path)
            if found:
                return key, found.groupdict()
        return None, {}

    # --- life
    def start(self) -> Self:
        """Listen on the port (a free one unless one was given)."""
        if self._server is not None:
            return self
        self.stopping.clear()
        self._server = _Server((self.host, self.port), self)
        self.port = self._server.server_address[1]
        if self._tls:
            self._server.tls = self._tls_context()
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, name="http-stub", daemon=True
        )
        self._thread.start()
        return self

    def _tls_context(self) -> ssl.SSLContext:
        if isinstance(self._tls, Certificate):
            self.certificate = self._tls
        elif self.certificate is None:
            if self._base is None:
                self._base = self._own_base = scratch_directory("rbl-")
            self.certificate = make_certificate(self._base)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate.chain, self.certificate.key)
        return context

    def stop(self) -> None:
        """Stop listening; requests that hang are dropped."""
        self.stopping.set()
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None
        if self._thread is not None:
            self._thread.join(timeout=5)
            self._thread = None
        if self._own_base is not None:
            import shutil

            shutil.rmtree(self._own_base, ignore_errors=True)
            self._own_base = self._base = self.certificate = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    # --- use
    @property
    def url(self) -> str:
        """The address without a slash at the end."""
        scheme = "https" if self._tls else "http"
        return f"{scheme}://{'localhost' if self._tls else self.host}:{self.port}"

    @property
    def ca_cert(self) -> str:
        assert self.certificate is not None, "this stub does not speak TLS, or has not started"
        return str(self.certificate.authority)


def as_reply(answer: Answer) -> Reply:
    """Any form of an answer as a ``Reply``."""
    if isinstance(answer, Reply):
        return answer
    if isinstance(answer, tuple):
        return Reply(*answer)
    return Reply(200, answer)


def _is_answer(each: Any) -> bool:
    """Whether an element of a list is an answer of its own; a list of plain data is one JSON body."""
    return isinstance(each, (Reply, tuple)) or callable(each)


def _expression(pattern: str) -> str:
    if pattern == "*":
        return ".*"
    parts = re.split(r"(\{\w+\}|\*$)", pattern)
    return "".join(
        f"(?P<{part[1:-1]}>[^/]+)" if part.startswith("{") else ".*" if part == "*" else re.escape(part)
        for part in parts
    )


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    allow_reuse_address = True
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], stub: HttpStub) -> None:
        self.stub = stub
        self.tls: ssl.SSLContext | None = None
        super().__init__(address, _Handler)

    def server_bind(self) -> None:
        # The inherited one asks the resolver for our name, which can take seconds.
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), self.server_address[1]

    def finish_request(self, request: Any, client_address: Any) -> None:
        if self.tls is not None:  # in the request's own thread: a client that never shakes hands blocks nobody
            request.settimeout(10)
            request = self.tls.wrap_socket(request, server_side=True)
            request.settimeout(None)
        try:
            super().finish_request(request, client_address)
        finally:
            if self.tls is not None:
                with contextlib.suppress(OSError):
                    request.close()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that go away or refuse our certificate are part of the tests."""


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
            return
        if self.parse_request():
            self._answer()

    def _answer(self) -> None:
        stub = self.server.stub
        split = urlsplit(self.path)
        length = int(self.headers.get("Content-Length") or 0)
        request = Request(
            self.command,
            split.path,
            parse_qs(split.query, keep_blank_values=True),
            {name.lower(): value for name, value in self.headers.items()},
            self.rfile.read(length) if length else b"",
        )
        if stub.keep_requests:
            stub.requests.append(request)
        try:
            reply = stub.answer_to(request)
        except Exception as error:
            reply = Reply(500, {"error": f"the stub's route failed: {error!r}"})
        self._send(stub, reply)

    def _send(self, stub: HttpStub, reply: Reply) -> None:
        if reply.delay:
            stub.stopping.wait(reply.delay)
        if reply.reset:
            # An immediate reset instead of an orderly end (socket(7), SO_LINGER).
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()
            self.close_connection = True
            return
        if reply.hang:
            self._wait_for_the_end(stub)
            return
        payload, content_type = reply.payload()
        names = {name.lower() for name in reply.headers}
        self.send_response(reply.status)
        for name, value in reply.headers.items():
            self.send_header(name, value)
        if "content-type" not in names:
            self.send_header("Content-Type", content_type)
        if "content-length" not in names and reply.status not in (204, 304):
            self.send_header("Content-Length", str(len(payload)))
        self.end_headers()
        if reply.hang_after_headers:
            self._wait_for_the_end(stub)
            return
        if self.command == "HEAD" or reply.status in (204, 304):
            return
        if reply.close_early:
            self.wfile.write(payload[: len(payload) // 2])
            self.close_connection = True
        elif reply.drip:
            size, pause = reply.drip
            for start in range(0, len(payload), size):
                self.wfile.write(payload[start : start + size])
                self.wfile.flush()
                if stub.stopping.wait(pause):
                    break
        else:
            self.wfile.write(payload)

    def _wait_for_the_end(self, stub: HttpStub) -> None:
        """Until the stub stops or the client gives up."""
        self.close_connection = True
        self.connection.settimeout(0.2)
        while not stub.stopping.is_set():
            try:
                if not self.connection.recv(1):
                    return
            except TimeoutError:
                continue
            except OSError:
                return


class TcpStub:
    """A listener that speaks no protocol: it accepts, sends ``greeting``, and then is silent, or closes.

    For clients of PostgreSQL and Redis that must not wait for ever.
    """

    def __init__(self, greeting: bytes = b"", *, close: bool = False) -> None:
        self.host = LOOPBACK
        self.port = 0
        self._greeting = greeting
        self._close = close
        self._listener: socket.socket | None = None
        self._accepted: list[socket.socket] = []

    def start(self) -> Self:
        self._listener = socket.create_server((self.host, 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, args=(self._listener,), name="tcp-stub", daemon=True).start()
        return self

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                accepted, _ignored = listener.accept()
                if self._greeting:
                    accepted.sendall(self._greeting)
                if self._close:
                    accepted.close()
                else:
                    self._accepted.append(accepted)
            except OSError:
                if self._listener is None:
                    return
                time.sleep(0.01)

    def stop(self) -> None:
        listener, self._listener = self._listener, None
        if listener is not None:
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            listener.close()
        for each in self._accepted:
            each.close()
        self._accepted.clear()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()


RouteFunction = Callable[[Request], Answer]
