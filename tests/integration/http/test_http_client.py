"""The client itself: connections that are kept, connections that go away, tunnels."""

from __future__ import annotations

import contextlib
import socket
import socketserver
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from lab.certificates import make_certificate
from lab.http_stub import HttpStub, Reply

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import Unavailable
from ansible_collections.runbook.ops.plugins.module_utils.http.api import ApiError, JsonApi, NotTheApi
from ansible_collections.runbook.ops.plugins.module_utils.http.client import HttpClient
from ansible_collections.runbook.ops.plugins.module_utils.http.errors import HttpFailure
from ansible_collections.runbook.ops.plugins.module_utils.http.options import Settings

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Server(socketserver.ThreadingTCPServer):
    """Answers ``per_connection`` requests on each connection and then closes it without a word."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, per_connection: int) -> None:
        self.per_connection = per_connection
        self.connections = 0
        self.requests: list[bytes] = []
        self.closed = threading.Event()
        super().__init__(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/"

    def __exit__(self, *arguments: object) -> None:
        self.shutdown()
        super().__exit__(*arguments)


class Handler(socketserver.BaseRequestHandler):
    server: Server

    def handle(self) -> None:
        self.server.connections += 1
        for _ignored in range(self.server.per_connection):
            received = self.request.recv(65536)
            if not received:
                return
            self.server.requests.append(received.split(b" ", 1)[0])
            self.request.sendall(ANSWER)
        with contextlib.suppress(OSError):
            self.request.shutdown(socket.SHUT_RDWR)
        self.server.closed.set()


def test_one_connection_for_many_requests() -> None:
    with Server(10) as server, HttpClient(Settings()) as client:
        first, second = client.request("GET", server.url), client.request("GET", server.url)
        assert server.connections == 1
    assert (first.body, second.body) == (b"ok", b"ok")
    assert first.timings.connect_seconds is not None
    # The second request connected nowhere, and says so.
    assert (second.timings.dns_seconds, second.timings.connect_seconds) == (None, None)


def test_a_fresh_request_has_its_own_connection() -> None:
    with Server(10) as server, HttpClient(Settings()) as client:
        for _ignored in range(2):
            assert client.request("GET", server.url, fresh=True).timings.connect_seconds is not None
        assert server.connections == 2


@pytest.mark.parametrize(("method", "again"), [("GET", True), ("HEAD", True), ("POST", False)])
def test_a_kept_connection_that_was_closed_is_opened_again(method: str, again: bool) -> None:
    with Server(1) as server, HttpClient(Settings(timeout=20)) as client:
        client.request("GET", server.url)
        assert server.closed.wait(240)
        if again:
            client.request(method, server.url)
            assert server.requests == [b"GET", method.encode()]
        else:
            # It may have arrived: a POST is never sent twice.
            with pytest.raises(HttpFailure, match="closed the connection without a complete answer"):
                client.request(method, server.url, body=b"x")


def test_a_cut_answer_does_not_spoil_the_next() -> None:
    with HttpStub({"/big": b"x" * 5000, "/": "ok"}) as stub, HttpClient(Settings(), max_body_bytes=100) as client:
        assert client.request("GET", f"{stub.url}/big").is_truncated
        assert client.request("GET", stub.url).body == b"ok"


def test_a_name_with_two_addresses_where_only_one_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    with HttpStub({"/": "ok"}) as stub, HttpClient(Settings(timeout=20)) as client:
        address = (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", stub.port))
        dead = (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 1))
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [dead, address])
        assert client.request("GET", f"http://two.example:{stub.port}/").body == b"ok"


def test_a_name_server_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    release = threading.Event()

    def wait(*_: object, **__: object) -> list[object]:
        release.wait(60)
        return []

    monkeypatch.setattr(socket, "getaddrinfo", wait)
    with HttpClient(Settings(timeout=0.3)) as client, pytest.raises(HttpFailure) as caught:
        client.request("GET", "http://slow.example/")
    release.set()
    assert caught.value.message == (
        "the name server did not resolve slow.example:80 within 0.3 s. Check the resolver of this machine."
    )


class Tunnel(socketserver.BaseRequestHandler):
    """A proxy that knows CONNECT and leads everywhere to ``target``."""

    target: tuple[str, int]
    asked: list[bytes]

    def handle(self) -> None:
        self.asked.append(self.request.recv(65536))
        with socket.create_connection(self.target) as onward:
            self.request.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            back = threading.Thread(target=self._copy, args=(onward, self.request), daemon=True)
            back.start()
            self._copy(self.request, onward)
            back.join(5)

    @staticmethod
    def _copy(source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while piece := source.recv(65536):
                target.sendall(piece)
            target.shutdown(socket.SHUT_WR)


@pytest.fixture
def tunnel(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Tunnel]]:
    handler = type("Handler", (Tunnel,), {"asked": []})
    server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    monkeypatch.setenv("https_proxy", f"http://me:pw@127.0.0.1:{server.server_address[1]}")
    monkeypatch.delenv("no_proxy", raising=False)
    yield handler
    server.shutdown()
    server.server_close()


def test_tls_through_a_proxy_is_verified_at_its_end(tmp_path: Path, tunnel: type[Tunnel]) -> None:
    with HttpStub({"/": "ok"}, tls=make_certificate(tmp_path, names=("shop.example",))) as stub:
        tunnel.target = (stub.host, stub.port)
        with HttpClient(Settings(ca_path=stub.ca_cert, authorization="Bearer t0ken")) as client:
            response = client.request("GET", "https://shop.example/")
            with pytest.raises(HttpFailure, match="Hostname mismatch"):
                client.request("GET", "https://other.example/")
    assert (response.status, response.body) == (200, b"ok")
    assert tunnel.asked[0] == (
        b"CONNECT shop.example:443 HTTP/1.1\r\nHost: shop.example:443\r\nProxy-Authorization: Basic bWU6cHc=\r\n\r\n"
    )
    # The token is for the server behind the tunnel only.
    assert not any(b"t0ken" in each for each in tunnel.asked)
    assert [request.bearer for request in stub.requests] == ["t0ken"]


OK = {"status": "success", "data": {}}


@pytest.mark.parametrize(
    ("reply", "kind", "message"),
    [
        (
            Reply(400, {"status": "error", "errorType": "bad_data", "error": "parse error"}),
            ApiError,
            "parse error (bad_data)",
        ),
        (Reply(400, "parse error at line 1\n"), ApiError, "parse error at line 1"),
        (Reply(429, "too many outstanding requests"), ApiError, "too many outstanding requests"),
        (
            Reply(503, {"status": "error", "errorType": "timeout", "error": "timed out"}),
            ApiError,
            "timed out (timeout)",
        ),
        (
            Reply(401, {"message": "token abc123 is wrong"}),
            Unavailable,
            "Thing at {url} does not let us in (status 401, token ******** is wrong). "
            "Correct bearer_token, or url_username and url_password.",
        ),
        (
            Reply(502, "<html>Bad Gateway</html>"),
            Unavailable,
            "Thing at {url} is not available (status 502). Read its log, or that of the proxy.",
        ),
        (
            Reply(200, "<html>Sign in</html>", headers={"Content-Type": "text/html; charset=utf-8"}),
            NotTheApi,
            "what answers at {url} is not Thing's API (status 200, text/html). "
            "Correct url: it is the address without /api, with the path prefix if there is one.",
        ),
        (
            Reply(200, {"hello": "world"}),
            NotTheApi,
            "what answers at {url} is not Thing's API (status 200, application/json).",
        ),
        (
            Reply(302, headers={"Location": "/login"}),
            NotTheApi,
            "Thing at {url} is not there: it redirects to {url}/login, and redirects are not followed. Correct url.",
        ),
    ],
)
def test_every_refusal_has_its_sentence(reply: Reply, kind: type[Exception], message: str) -> None:
    with HttpStub({"/q": reply}) as stub, JsonApi("Thing", stub.url, Settings(secrets=("abc123",))) as api:
        with pytest.raises(kind) as caught:
            api.get("/q", {})
        assert str(caught.value).startswith(message.format(url=stub.url))


def test_a_late_answer_fails_alone_once_the_server_was_there() -> None:
    with HttpStub({"/q": [Reply(200, OK), Reply(hang=True)], "/r": OK}) as stub:
        with JsonApi("Thing", stub.url, Settings(timeout=0.5)) as api:
            api.get("/q", {})
            with pytest.raises(ApiError) as caught:
                api.get("/q", {})
            assert caught.value.timed_out
            assert api.get("/r", {}) == OK
        stub.add("/q", Reply(hang=True))
        with (
            JsonApi("Thing", stub.url, Settings(timeout=0.5)) as api,
            pytest.raises(Unavailable, match="is not available: no"),
        ):
            api.get("/q", {})


def test_a_long_question_is_posted() -> None:
    with HttpStub({"/q": OK}) as stub, JsonApi("Thing", stub.url, Settings()) as api:
        api.get("/q", {"query": "short"})
        api.get("/q", {"query": "x" * 5000})
    assert [(request.method, len(request.body)) for request in stub.requests] == [("GET", 0), ("POST", 5006)]
