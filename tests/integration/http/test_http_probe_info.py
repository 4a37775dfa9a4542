"""Probes against servers that behave, and against servers that do not; curl is the second opinion."""

from __future__ import annotations

import json
import socket
import socketserver
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from lab.certificates import make_certificate
from lab.http_stub import HttpStub, Reply, TcpStub

ModuleRunner = Callable[..., dict[str, Any]]
TOKEN = "t0ken-@:/%-\u00e4"
TOTAL = [{"path": "pagination.total"}]


def curl(*arguments: str) -> tuple[int, str]:
    """Exit status and output."""
    completed = subprocess.run(
        ["curl", "-s", "--noproxy", "*", "--max-time", "10", *arguments], capture_output=True, text=True, check=False
    )
    return completed.returncode, completed.stdout


@pytest.fixture
def probe(run_module: ModuleRunner) -> Callable[..., dict[str, Any]]:
    """Run one probe and return its facts, with the whole result under C(result)."""

    def run(url: str, *, module: dict[str, Any] | None = None, **options: Any) -> dict[str, Any]:
        args = {"probes": [{"name": "p", "url": url, **options}], **(module or {})}
        result = run_module("http_probe_info", args)
        assert "msg" not in result, result["msg"]
        assert result["changed"] is False
        return {**result["probes"][0], "result": result}

    return run


ROUTES = {
    "/health": {"status": "ok", "ready": True},
    "/v1/manual-review": {"items": [], "pagination": {"total": 73}},
    "/null": {"pagination": {"total": None}},
    "/other": {"message": "try later"},
    "/html": Reply(200, "<!doctype html><title>Sign in</title>", headers={"Content-Type": "application/json"}),
    "/text": "OK",
    "/empty": Reply(204),
    "/401": Reply(401, {"error": "unauthorized", "pagination": {"total": 0}}),
    "/500": Reply(500, {"message": "database is locked"}),
    "/404html": Reply(404, "<html>nothing here</html>", headers={"Content-Type": "text/html"}),
    "/big": b"x" * 300_000,
    "/chunked": Reply(200, {"a": 1}),
}


@pytest.fixture(scope="module")
def stub() -> Iterator[HttpStub]:
    with HttpStub(ROUTES) as server:
        yield server


@pytest.mark.parametrize(
    ("path", "status", "kind"),
    [
        ("/health", 200, "json"),
        ("/html", 200, "html"),
        ("/text", 200, "text"),
        ("/empty", 204, "empty"),
        ("/401", 401, "json"),
        ("/500", 500, "json"),
        ("/404html", 404, "html"),
        ("/big", 200, "text"),
    ],
)
def test_status_and_size_are_what_curl_sees(stub: HttpStub, probe: Any, path: str, status: int, kind: str) -> None:
    facts = probe(stub.url + path, expected_status=[200, 204])
    _ignored, seen = curl("-o", "/dev/null", "-w", "%{http_code} %{size_download}", stub.url + path)
    assert seen == f"{facts['status']} {facts['size_bytes']}"
    assert (facts["status"], facts["body_kind"]) == (status, kind)
    assert facts["ok"] is (status < 300)


@pytest.mark.parametrize(
    ("path", "value", "reason"),
    [
        ("/v1/manual-review", 73, None),
        ("/null", None, "pagination.total is null where a number is expected"),
        ("/other", None, "pagination is missing in the answer"),
        ("/html", None, "the body is HTML, not JSON"),
        ("/text", None, "the body is text, not JSON"),
        # An error body with a number in it is still an error.
        ("/401", None, "status 401 instead of 200: unauthorized"),
        ("/500", None, "status 500 instead of 200: database is locked"),
    ],
)
def test_a_value_is_known_or_unknown_and_never_zero(
    stub: HttpStub, probe: Any, path: str, value: int | None, reason: str | None
) -> None:
    facts = probe(stub.url + path, json=TOTAL)
    assert facts["values"] == {"total": value}
    assert facts["value_reasons"].get("total") == reason
    assert facts["result"]["values"] == {"p": {"total": value}}
    assert [each["reason"] for each in facts["result"]["skipped_sections"]] == ([reason] if reason else [])


@pytest.mark.parametrize("path", ["/401", "/500", "/null", "/other"])
def test_the_manuals_way_calls_the_same_answers_fine(stub: HttpStub, path: str) -> None:
    # curl without -f ends well whatever the status, and a total that is not there is not above 50.
    code, body = curl(stub.url + path)
    assert code == 0
    total = (json.loads(body).get("pagination") or {}).get("total")
    assert not (total or 0) > 50


def test_stations_and_percentiles(probe: Any) -> None:
    with HttpStub({"/": [Reply(200, "a"), Reply(200, "b", delay=0.3), Reply(200, "c")]}) as server:
        facts = probe(server.url, samples=3)
    latency = facts["latency"]
    assert facts["samples_count"] == facts["answered_count"] == 3
    assert (
        0 < latency["p50_seconds"] < 0.3 <= latency["p95_seconds"] == latency["p99_seconds"] == latency["max_seconds"]
    )
    assert all(facts[name] is not None for name in ("dns_seconds", "connect_seconds", "first_byte_seconds"))
    assert facts["tls_seconds"] is None
    assert len(server.requests) == 3


def test_one_bad_answer_of_three_is_told(probe: Any) -> None:
    with HttpStub({"/": [Reply(200, "a"), Reply(503, {"message": "overloaded"}), Reply(200, "c")]}) as server:
        facts = probe(server.url, samples=3)
    assert (facts["ok"], facts["failed_count"], facts["failed_percent"], facts["status"]) == (False, 1, 33.3, 503)
    assert facts["reason"] == "1 of 3 requests failed: status 503 instead of 200: overloaded"


# --- servers that do not answer, or not to the end


class RawServer(socketserver.ThreadingTCPServer):
    """Sends what ``script`` yields to whoever connects."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, script: Callable[[], Iterator[bytes]]) -> None:
        self.script = script
        self.stopping = threading.Event()
        super().__init__(("127.0.0.1", 0), RawHandler)
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/"

    def __exit__(self, *arguments: object) -> None:
        self.stopping.set()
        self.shutdown()
        super().__exit__(*arguments)


class RawHandler(socketserver.BaseRequestHandler):
    server: RawServer

    def handle(self) -> None:
        self.request.recv(4096)
        try:
            for piece in self.server.script():
                if piece == b"wait":
                    if self.server.stopping.wait(0.1):
                        return
                else:
                    self.request.sendall(piece)
        except OSError:
            return


def dripping_headers() -> Iterator[bytes]:
    yield b"HTTP/1.1 200 OK\r\n"
    while True:
        yield b"X-Slow: x\r\n"
        yield b"wait"


def dripping_status() -> Iterator[bytes]:
    for each in b"HTTP/1.1 200 OK" * 100:
        yield bytes([each])
        yield b"wait"


def endless_chunks() -> Iterator[bytes]:
    yield b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    while True:
        yield b"1\r\nx\r\n"
        yield b"wait"


def endless_continue() -> Iterator[bytes]:
    while True:
        yield b"HTTP/1.1 100 Continue\r\n\r\n"
        yield b"wait"


@pytest.mark.parametrize("script", [dripping_headers, dripping_status, endless_chunks, endless_continue])
def test_a_server_that_drips_meets_the_deadline(probe: Any, script: Callable[[], Iterator[bytes]]) -> None:
    started = time.monotonic()
    with RawServer(script) as server:
        facts = probe(server.url, timeout=1)
    # No claim about speed: without one deadline for all reads this would never end.
    assert time.monotonic() - started < 60
    assert facts["ok"] is False
    assert facts["reason"].startswith("no complete answer from 127.0.0.1:")
    assert facts["reason"].endswith(" within 1 s. Check the server's load, or raise timeout.")
    assert facts["answered_count"] == 0


@pytest.mark.parametrize(
    ("reply", "status", "reason"),
    [
        (Reply(hang=True), None, "no complete answer from "),
        (Reply(200, b"x" * 100, hang_after_headers=True), 200, "no complete answer from "),
        (Reply(200, b"x" * 1000, drip=(1, 0.1)), 200, "no complete answer from "),
        (Reply(reset=True), None, "closed the connection without a complete answer. Read the server's log."),
        (Reply(200, b"x" * 1000, close_early=True), 200, "broke off in the middle. Read the server's log."),
    ],
)
def test_half_an_answer_is_none(probe: Any, reply: Reply, status: int | None, reason: str) -> None:
    with HttpStub({"/": reply}) as server:
        facts = probe(server.url, timeout=1)
    assert (facts["ok"], facts["status"], facts["reachable"]) == (False, status, status is not None)
    assert reason in facts["reason"]
    assert set(facts["latency"].values()) == {None}
    assert facts["result"]["available"] is (status is not None)


def test_a_silent_server_is_asked_twice_at_most(probe: Any) -> None:
    with HttpStub({"/": Reply(hang=True)}) as server:
        facts = probe(server.url, timeout=0.5, samples=50)
        assert len(server.requests) == 2
    assert (facts["samples_count"], facts["failed_count"]) == (2, 2)


@pytest.mark.parametrize(
    ("greeting", "reason"),
    [
        (b"-ERR unknown command 'GET'\r\n", "is not HTTP (BadStatusLine). Check the port"),
        (b"HTTP/1.1 abc\r\n\r\n", "is not HTTP (BadStatusLine). Check the port"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"y" * 70_000 + b"\r\n\r\n", "is not HTTP (LineTooLong). Check the port"),
        (b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200 + b"\r\n", "is not HTTP (HTTPException). Check the port"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "broke off in the middle"),
        (b"", "closed the connection without a complete answer"),
    ],
)
def test_what_is_not_http(probe: Any, greeting: bytes, reason: str) -> None:
    with RawServer(lambda: iter([greeting])) as server:
        facts = probe(server.url, timeout=5)
    assert facts["ok"] is False
    assert reason in facts["reason"]


def test_nobody_there(probe: Any) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        facts = probe(f"http://127.0.0.1:{port}/")
    reason = f"127.0.0.1:{port} refused the connection: nothing listens there. Start the server or correct the URL."
    assert facts["reason"] == reason
    result = facts["result"]
    assert (result["available"], result["reason"]) == (False, f"No probe got an answer: {reason}")


def test_no_such_name(probe: Any) -> None:
    facts = probe("http://no-such-host.invalid/", timeout=20)
    assert facts["reason"] == (
        "the host name of no-such-host.invalid:80 cannot be resolved. Correct the URL or the name server."
    )


def test_one_of_two_servers_is_enough_to_be_available(stub: HttpStub, run_module: ModuleRunner) -> None:
    probes = [{"name": "up", "url": f"{stub.url}/health"}, {"name": "down", "url": "http://127.0.0.1:1/"}]
    result = run_module("http_probe_info", {"probes": probes})
    assert (result["available"], result["reason"]) == (True, None)
    assert [each["reachable"] for each in result["probes"]] == [True, False]


# --- bodies


def test_a_big_body_is_cut_and_says_so(stub: HttpStub, probe: Any) -> None:
    facts = probe(f"{stub.url}/big", json=TOTAL, module={"max_body_bytes": 1024})
    assert (facts["body_truncated"], facts["size_bytes"], facts["ok"]) == (True, 300_000, True)
    assert facts["value_reasons"] == {"total": "the body is larger than max_body_bytes"}


def test_an_endless_body_ends(probe: Any) -> None:
    def script() -> Iterator[bytes]:
        yield b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n"
        while True:
            yield b"x" * 65536

    with RawServer(script) as server:
        facts = probe(server.url, module={"max_body_bytes": 100_000})
    assert (facts["body_truncated"], facts["size_bytes"]) == (True, None)


def test_values_of_other_types(stub: HttpStub, probe: Any) -> None:
    wanted = [{"path": "status", "type": "text"}, {"path": "ready", "type": "bool"}, {"path": "status", "name": "n"}]
    facts = probe(f"{stub.url}/health", json=wanted)
    assert facts["values"] == {"status": "ok", "ready": True, "n": None}
    assert facts["value_reasons"] == {"n": "status is text where a number is expected"}


def test_head_has_no_body(stub: HttpStub, probe: Any) -> None:
    facts = probe(f"{stub.url}/big", method="HEAD")
    assert (facts["ok"], facts["size_bytes"], facts["body_kind"]) == (True, 0, "empty")


# --- redirects and credentials


@pytest.mark.parametrize(
    ("policy", "status", "ok", "reason"),
    [
        (
            "none",
            302,
            False,
            "status 302 instead of 200: it redirects to {url}/login?token=********, and redirects are not followed",
        ),
        ("same_host", 200, True, None),
        ("all", 200, True, None),
    ],
)
def test_redirects(probe: Any, policy: str, status: int, ok: bool, reason: str | None) -> None:
    with HttpStub({"/": Reply(302, headers={"Location": "/login?token=abc"}), "/login": "sign in"}) as server:
        facts = probe(server.url, follow_redirects=policy)
        assert (facts["status"], facts["ok"]) == (status, ok)
        assert facts["reason"] == (reason and reason.format(url=server.url))
    assert facts["redirects"] == ([] if policy == "none" else [f"{server.url}/login?token=********"])


def test_redirects_in_a_circle_end(probe: Any) -> None:
    with HttpStub({"/": Reply(301, headers={"Location": "/"})}) as server:
        facts = probe(server.url, follow_redirects="all")
    assert facts["reason"].startswith("status 301 instead of 200: it redirects more than 5 times")
    assert len(server.requests) == 6


@pytest.mark.parametrize(
    "login",
    [
        {"bearer_token": "abc123secret"},
        {"url_username": "me", "url_password": "hunter2"},
        {"headers": {"X-Api-Key": "k3y", "Cookie": "sid=9"}},
    ],
)
def test_credentials_never_follow_to_another_server(run_module: ModuleRunner, login: dict[str, Any]) -> None:
    with HttpStub({"/back": "here"}) as other, HttpStub({}) as server:
        other.add("/steal", Reply(302, headers={"Location": f"{server.url}/again"}))
        server.add("/go", Reply(302, headers={"Location": f"{other.url}/steal"})).add("/again", "end")
        args = {
            "base_url": server.url,
            **login,
            "probes": [
                {"name": "away", "path": "/go", "follow_redirects": "all", "headers": {"X-Own": "0wn"}},
                # An address elsewhere does not get the credentials of base_url either.
                {"name": "elsewhere", "url": f"{other.url}/back"},
            ],
        }
        result = run_module("http_probe_info", args)
    assert [each["status"] for each in result["probes"]] == [200, 200]
    private = {"authorization", "x-api-key", "cookie", "x-own"}
    sent = {request.path: private & set(request.headers) for request in (*server.requests, *other.requests)}
    assert sent["/go"] >= {"x-own"}
    assert len(sent["/go"]) > 1
    # Nor is anything personal brought back in by the server elsewhere.
    assert (sent["/steal"], sent["/back"], sent["/again"]) == (set(), set(), set())


def test_same_host_does_not_follow_elsewhere(run_module: ModuleRunner) -> None:
    with HttpStub({"/": Reply(302, headers={"Location": "http://other.invalid/"})}) as server:
        result = run_module(
            "http_probe_info", {"probes": [{"name": "p", "url": server.url, "follow_redirects": "same_host"}]}
        )
    assert result["probes"][0]["reason"] == "status 302 instead of 200: it redirects to another host, other.invalid:80"


@pytest.mark.parametrize(
    ("login", "header"),
    [
        ({"bearer_token": "abc"}, "Bearer abc"),
        ({"url_username": "me", "url_password": "p@:/%\u00e4"}, "Basic bWU6cEA6LyXDpA=="),
        ({"bearer_token": "", "url_username": ""}, None),
    ],
)
def test_logins(stub: HttpStub, probe: Any, login: dict[str, Any], header: str | None) -> None:
    probe(f"{stub.url}/health", module=login)
    assert stub.requests[-1].headers.get("authorization") == header


# --- TLS


def test_a_trusted_certificate_and_its_days(tmp_path: Path, probe: Any) -> None:
    with HttpStub({"/": "ok"}, tls=make_certificate(tmp_path, days=5)) as server:
        facts = probe(server.url, module={"ca_path": server.ca_cert})
        _ignored, seen = curl(
            "--cacert", server.ca_cert, "-w", "%{certs}%{ssl_verify_result}", "-o", "/dev/null", server.url
        )
    assert (facts["ok"], facts["tls"], facts["tls_days_left"]) == (True, True, 5.0)
    assert facts["tls_seconds"] > 0
    assert (facts["tls_subject"], facts["tls_issuer"]) == ("localhost", "runbook.ops lab authority")
    assert seen.endswith("0")


@pytest.mark.parametrize(
    ("days", "names", "trusted", "verdict"),
    [
        (-3, ("localhost",), True, "certificate has expired"),
        (90, ("other.example",), True, "Hostname mismatch, certificate is not valid for 'localhost'"),
        (90, ("localhost",), False, "self-signed certificate in certificate chain"),
    ],
)
def test_a_certificate_that_is_not_accepted(
    tmp_path: Path, probe: Any, days: int, names: tuple[str, ...], trusted: bool, verdict: str
) -> None:
    with HttpStub({"/": "ok"}, tls=make_certificate(tmp_path, days=days, names=names)) as server:
        facts = probe(server.url, module={"ca_path": server.ca_cert} if trusted else {})
        code, _ignored = curl(*(["--cacert", server.ca_cert] if trusted else []), server.url)
        # No request was sent to a server that is not who it should be.
        assert server.requests == []
    assert code == 60
    assert (facts["ok"], facts["reachable"], facts["tls_days_left"]) == (False, False, float(days))
    assert verdict.replace("self-signed", "self") in facts["reason"].replace("self-signed", "self").replace(
        "self signed", "self"
    )


def test_without_verification_the_days_are_still_known(tmp_path: Path, probe: Any) -> None:
    with HttpStub({"/": "ok"}, tls=make_certificate(tmp_path, days=-3)) as server:
        facts = probe(server.url, module={"validate_certs": False})
    assert (facts["ok"], facts["tls_days_left"]) == (True, -3.0)


def test_neither_side_speaks_the_others_language(stub: HttpStub, probe: Any) -> None:
    facts = probe(stub.url.replace("http:", "https:"))
    assert "does not answer in TLS (" in facts["reason"]
    with TcpStub() as silent:
        facts = probe(f"https://127.0.0.1:{silent.port}/", timeout=1)
    assert facts["reason"] == (
        f"127.0.0.1:{silent.port} did not finish the TLS handshake within 1 s. Check that it speaks TLS on this port."
    )


@pytest.mark.parametrize("option", ["ca_path", "client_cert"])
def test_files_that_are_not_there(run_module: ModuleRunner, option: str) -> None:
    result = run_module(
        "http_probe_info", {option: "/no/such/file.pem", "probes": [{"name": "p", "url": "https://127.0.0.1:1/"}]}
    )
    assert result["failed"] is True
    assert result["msg"].startswith(f"{option}: '/no/such/file.pem' is not accepted. Accepted: ")
    assert "No such file or directory" in result["msg"]


# --- proxies


def test_loopback_never_goes_through_a_proxy(stub: HttpStub, probe: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    assert probe(f"{stub.url}/health")["ok"] is True


@pytest.mark.parametrize("no_proxy", ["", "example.invalid"])
def test_a_proxy_is_asked_for_others(probe: Any, monkeypatch: pytest.MonkeyPatch, no_proxy: str) -> None:
    with HttpStub({"*": {"from": "proxy"}}) as proxy:
        monkeypatch.setenv("http_proxy", f"http://me:pw@127.0.0.1:{proxy.port}")
        monkeypatch.setenv("no_proxy", no_proxy)
        facts = probe("http://example.invalid:8080/x?a=1", timeout=20)
        seen = [
            (request.path, request.headers.get("host"), request.headers.get("proxy-authorization"))
            for request in proxy.requests
        ]
    if no_proxy:
        assert (facts["reachable"], seen) == (False, [])
    else:
        assert (facts["ok"], seen) == (True, [("/x", "example.invalid:8080", "Basic bWU6cHc=")])


def test_a_tunnel_that_is_refused(probe: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with RawServer(lambda: iter([b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n"])) as proxy:
        monkeypatch.setenv("https_proxy", proxy.url)
        facts = probe("https://example.invalid/")
    assert facts["reason"] == (
        f"the proxy 127.0.0.1:{proxy.server_address[1]} opens no tunnel to example.invalid:443 (status 407). "
        "Correct the proxy variables or set use_proxy to false."
    )


# --- everything together


def test_probes_go_side_by_side(run_module: ModuleRunner) -> None:
    # Answers only once all four are there: one after the other, the first would wait for the second for ever.
    together = threading.Barrier(4)

    def answer(_ignored: Any) -> Reply:
        together.wait(20)
        return Reply(200, "x")

    with HttpStub({"*": answer}) as server:
        probes = [{"name": f"p{number}", "path": f"/{number}", "timeout": 30} for number in range(4)]
        result = run_module("http_probe_info", {"base_url": server.url, "threads": 4, "probes": probes})
    assert [each["name"] for each in result["probes"]] == ["p0", "p1", "p2", "p3"]
    assert all(each["ok"] for each in result["probes"])


@pytest.mark.parametrize("check_mode", [False, True])
def test_check_mode_sends_no_post(run_module: ModuleRunner, check_mode: bool) -> None:
    with HttpStub({"GET /": "ok", "POST /validate": {"n": 1}}) as server:
        probes = [
            {"name": "get", "path": "/"},
            {"name": "post", "path": "/validate", "method": "POST", "body": "{}", "json": [{"path": "n"}]},
        ]
        result = run_module("http_probe_info", {"base_url": server.url, "probes": probes}, check_mode=check_mode)
        assert [request.method for request in server.requests].count("POST") == (0 if check_mode else 1)
    assert [each["name"] for each in result["probes"]] == (["get"] if check_mode else ["get", "post"])
    assert result["skipped_sections"] == (
        [{"section": "post", "reason": "a POST is not sent in check mode", "remedy": "Run without --check"}]
        if check_mode
        else []
    )


def test_no_secret_in_the_result(stub: HttpStub, run_module: ModuleRunner) -> None:
    secrets = ["b3arer-secret", "h3ader-secret", "pr0be-secret", "qu3ry-secret", "b0dy-secret", "p@ram/secret"]
    with HttpStub({"*": lambda request: Reply(500, {"message": f"no {request.bearer} {request.headers}"})}) as server:
        result = run_module(
            "http_probe_info",
            {
                "base_url": server.url,
                "bearer_token": secrets[0],
                "headers": {"X-Key": secrets[1], "Accept": "application/json"},
                "probes": [
                    {
                        "name": "p",
                        "path": f"/x?token={secrets[3]}",
                        "method": "POST",
                        "headers": {"X-Own": secrets[2]},
                        "body": secrets[4],
                        "query": {"api_key": secrets[5], "page": 2},
                    }
                ],
            },
        )
        [request] = server.requests
    # They were sent …
    assert (request.bearer, request.headers["x-key"], request.headers["x-own"]) == tuple(secrets[:3])
    assert (request.argument("token"), request.argument("api_key"), request.body) == (
        secrets[3],
        secrets[5],
        b"b0dy-secret",
    )
    # … and none of them, in no spelling, is in what Ansible prints at any verbosity.
    text = json.dumps(result)
    assert [secret for secret in (*secrets, "p%40ram") if secret in text] == []
    assert "page=2" in text
    assert result["invocation"]["module_args"]["headers"]["Accept"] == "application/json"


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ({"probes": []}, "probes: [] is not accepted. Accepted: at least one probe."),
        (
            {"probes": [{"name": "p", "url": "http://me:hunter2@h/"}]},
            "probes[p].url: 'http://********@h/' is not accepted. Accepted: a URL without user and password; "
            "give them as url_username and url_password.",
        ),
        (
            {"probes": [{"name": "p", "url": "http://h"}], "threads": 0},
            "threads: 0 is not accepted. Accepted: 1 to 32.",
        ),
        (
            {"probes": [{"name": "p", "url": "http://h"}], "reference_time": "today"},
            "reference_time: 'today' is not accepted. Accepted: an ISO 8601 moment with timezone, such as "
            "2026-01-31T09:00:00+09:00.",
        ),
        (
            {"probes": [{"name": "a", "url": "http://a"}, {"name": "b", "url": "http://b"}], "bearer_token": "t0k"},
            "base_url: None is not accepted. Accepted: the server that the credentials are for, when probes go to "
            "several servers.",
        ),
    ],
)
def test_bad_options_fail_before_anything_is_sent(run_module: ModuleRunner, args: dict[str, Any], message: str) -> None:
    result = run_module("http_probe_info", args)
    assert result["failed"] is True
    assert result["msg"] == message
