"""The scripted HTTP server, asked with the standard library's client."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
import urllib.error
import urllib.request
from datetime import datetime, timezone
from pathlib import Path

import pytest
from lab.certificates import make_certificate
from lab.http_stub import HttpStub, Reply, Request, TcpStub


def get(url: str, timeout: float = 5, **headers: str) -> tuple[int, bytes]:
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=timeout) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def by_name(request: Request) -> tuple[int, dict[str, object]]:
    return 200, {"id": request.matched["id"], "page": request.argument("page", "1")}


ROUTES = {
    "/json": {"status": "ok"},
    "/list": [{"a": 1}, {"a": 2}],
    "/text": "grüß",
    "/status": (503, {"error": "maintenance"}),
    "/turns": [(200, "first"), (500, "second")],
    "POST /json": (201, "made"),
    "/products/{id}": by_name,
    "/products/new": "exact wins",
    "/files/*": "any file",
    "/broken": lambda _: 1 / 0,
}


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/json", (200, b'{"status": "ok"}')),
        ("/list", (200, b'[{"a": 1}, {"a": 2}]')),
        ("/text", (200, "grüß".encode())),
        ("/status", (503, b'{"error": "maintenance"}')),
        ("/products/7?page=3", (200, b'{"id": "7", "page": "3"}')),
        ("/products/new", (200, b"exact wins")),
        ("/products/7/more", (404, b'{"error": "not found", "path": "/products/7/more"}')),
        ("/files/a/b.txt", (200, b"any file")),
        ("/nothing", (404, b'{"error": "not found", "path": "/nothing"}')),
    ],
)
def test_routes_answer_as_scripted(path: str, expected: tuple[int, bytes]) -> None:
    with HttpStub(ROUTES) as stub:
        assert get(stub.url + path) == expected


def test_a_list_answers_one_request_each_and_repeats_the_last() -> None:
    with HttpStub(ROUTES) as stub:
        assert [get(f"{stub.url}/turns")[1] for _ignored in range(3)] == [b"first", b"second", b"second"]


def test_a_route_that_fails_is_an_error_of_the_stub_not_a_hang() -> None:
    with HttpStub(ROUTES) as stub:
        status, body = get(f"{stub.url}/broken")
    assert status == 500
    assert b"the stub's route failed: ZeroDivisionError" in body


def test_requests_are_remembered_with_method_query_headers_and_body() -> None:
    with HttpStub(ROUTES) as stub:
        urllib.request.urlopen(
            urllib.request.Request(f"{stub.url}/json?a=1&a=2", data=b'{"x": 1}', headers={"X-Kind": "test"}), timeout=5
        ).close()
    (request,) = stub.requests
    assert (request.method, request.path, request.query) == ("POST", "/json", {"a": ["1", "2"]})
    assert (request.headers["x-kind"], request.json()) == ("test", {"x": 1})


def test_a_token_is_asked_for_except_on_open_paths() -> None:
    with HttpStub({"*": "in"}, token="s3cret", open_paths=("/health",)) as stub:
        assert get(f"{stub.url}/health")[0] == 200
        assert get(f"{stub.url}/data")[0] == 401
        assert get(f"{stub.url}/data", Authorization="Bearer wrong")[0] == 401
        assert get(f"{stub.url}/data", Authorization="Bearer s3cret") == (200, b"in")


@pytest.mark.parametrize("reply", [Reply(hang=True), Reply(body="never", hang_after_headers=True)])
def test_a_hanging_answer_lets_the_client_wait_and_the_stub_stop(reply: Reply) -> None:
    with HttpStub({"/": reply}) as stub, pytest.raises(TimeoutError):
        get(stub.url + "/", timeout=0.3)


def test_a_dripping_answer_arrives_whole() -> None:
    with HttpStub({"/": Reply(body=b"0123456789", drip=(3, 0.01))}) as stub:
        assert get(stub.url + "/") == (200, b"0123456789")


def test_a_connection_can_be_reset_or_closed_early() -> None:
    with HttpStub({"/reset": Reply(reset=True), "/early": Reply(body=b"0123456789", close_early=True)}) as stub:
        with pytest.raises((urllib.error.URLError, ConnectionResetError)):
            get(f"{stub.url}/reset")
        with pytest.raises(http.client.IncompleteRead):
            get(f"{stub.url}/early")


def test_https_is_served_with_a_certificate_of_its_own_authority() -> None:
    with HttpStub({"/": "secure"}, tls=True) as stub:
        trusting = ssl.create_default_context(cafile=stub.ca_cert)
        assert urllib.request.urlopen(f"{stub.url}/", context=trusting, timeout=5).read() == b"secure"
        with pytest.raises(urllib.error.URLError, match="CERTIFICATE_VERIFY_FAILED"):
            get(f"{stub.url}/")
        # A client that never shakes hands does not keep others out.
        with socket.create_connection((stub.host, stub.port)):
            assert urllib.request.urlopen(f"{stub.url}/", context=trusting, timeout=5).read() == b"secure"


@pytest.mark.parametrize(("days", "problem"), [(-1, "certificate has expired"), (5, None)])
def test_certificates_have_the_dates_asked_for(tmp_path: Path, days: float, problem: str | None) -> None:
    certificate = make_certificate(tmp_path, days=days)
    assert round((certificate.not_after - datetime.now(timezone.utc)).total_seconds() / 86400) == days
    assert certificate.key.stat().st_mode & 0o777 == 0o600
    with HttpStub({"/": "in"}, tls=certificate) as stub:
        trusting = ssl.create_default_context(cafile=stub.ca_cert)
        if problem:
            with pytest.raises(urllib.error.URLError, match=problem):
                urllib.request.urlopen(f"{stub.url}/", context=trusting, timeout=5)
        else:
            assert urllib.request.urlopen(f"{stub.url}/", context=trusting, timeout=5).status == 200


def test_a_stub_can_be_stopped_started_and_changed() -> None:
    stub = HttpStub({"/": "one"}).start()
    address = stub.url
    assert get(f"{address}/")[1] == b"one"
    stub.add("/", {"now": "two"})
    assert json.loads(get(f"{address}/")[1]) == {"now": "two"}
    stub.stop()
    with pytest.raises(urllib.error.URLError):
        get(f"{address}/", timeout=1)
    with stub:
        assert stub.url == address
        assert get(f"{address}/")[0] == 200


def test_a_listener_can_be_silent_or_talk_nonsense() -> None:
    with TcpStub() as silent, socket.create_connection((silent.host, silent.port)) as client:
        client.settimeout(0.2)
        with pytest.raises(TimeoutError):
            client.recv(1)
    with TcpStub(b"nonsense\r\n", close=True) as chatty, socket.create_connection((chatty.host, chatty.port)) as client:
        client.settimeout(5)
        assert client.makefile("rb").read() == b"nonsense\r\n"
