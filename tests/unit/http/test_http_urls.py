"""URLs are checked, joined, compared and shown."""

from __future__ import annotations

import pytest

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption
from ansible_collections.runbook.ops.plugins.module_utils.http.urls import (
    Hop,
    display_url,
    is_loopback,
    join,
    next_hop,
    parse_url,
    secret_parameters,
    with_query,
)

ACCEPTED = "an absolute http:// or https:// URL with a host, such as https://api.example.com/health"


@pytest.mark.parametrize(
    ("text", "sent", "where", "host_header"),
    [
        ("http://h", "http://h/", "h:80", "h"),
        ("https://h/a?b=1#part", "https://h/a?b=1", "h:443", "h"),
        ("http://h:8080/a b".replace(" ", "%20"), "http://h:8080/a%20b", "h:8080", "h:8080"),
        ("http://[::1]:9090/x", "http://[::1]:9090/x", "[::1]:9090", "[::1]:9090"),
        (
            "http://b\u00fccher.example/\uac80\uc218",
            "http://xn--bcher-kva.example/%EA%B2%80%EC%88%98",
            "xn--bcher-kva.example:80",
            "xn--bcher-kva.example",
        ),
        ("HTTP://Host/Path", "http://host/Path", "host:80", "host"),
        ("https://h:443/", "https://h/", "h:443", "h"),
    ],
)
def test_parse(text: str, sent: str, where: str, host_header: str) -> None:
    url = parse_url(text)
    assert (url.text, url.where, url.host_header) == (sent, where, host_header)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", f"url: '' is not accepted. Accepted: {ACCEPTED}."),
        ("ftp://h/", f"url: 'ftp://h/' is not accepted. Accepted: {ACCEPTED}."),
        ("//h/", f"url: '//h/' is not accepted. Accepted: {ACCEPTED}."),
        ("http:///x", f"url: 'http:///x' is not accepted. Accepted: {ACCEPTED}."),
        ("http://h:99999/", f"url: 'http://h:99999/' is not accepted. Accepted: {ACCEPTED}."),
        ("http://h:0/", f"url: 'http://h:0/' is not accepted. Accepted: {ACCEPTED}."),
        (f"http://{'a' * 70}.example/", f"url: 'http://{'a' * 70}.example/' is not accepted. Accepted: {ACCEPTED}."),
        (
            "http://h/\r\nX: y",
            "url: 'http://h/\\r\\nX: y' is not accepted. Accepted: a URL without spaces and control characters.",
        ),
        (
            "http://me:hunter2@h/",
            "url: 'http://********@h/' is not accepted. Accepted: a URL without user and password; "
            "give them as url_username and url_password.",
        ),
    ],
)
def test_parse_refuses(text: str, message: str) -> None:
    with pytest.raises(InvalidOption) as caught:
        parse_url(text)
    assert caught.value.message == message


@pytest.mark.parametrize(
    ("base", "path", "joined"),
    [
        ("https://h", "/v1", "https://h/v1"),
        ("https://h/", "v1", "https://h/v1"),
        ("https://h/api/", "/v1?x=1", "https://h/api/v1?x=1"),
        ("https://h/api", "/", "https://h/api/"),
        ("https://h", "", "https://h/"),
    ],
)
def test_join(base: str, path: str, joined: str) -> None:
    assert join(base, path) == joined


def test_a_plus_in_a_parameter_stays_one() -> None:
    url = with_query("http://h/v1/jobs?a=1", {"created_after": "2026-01-31T00:00:00+09:00", "page_size": 1})
    assert url == "http://h/v1/jobs?a=1&created_after=2026-01-31T00%3A00%3A00%2B09%3A00&page_size=1"
    assert parse_url(url).text == url
    assert with_query("http://h/x", {}) == "http://h/x"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://h/x?page=2&token=abc", "https://h/x?page=2&token=********"),
        ("https://h/x?X-Amz-Signature=1&X-Amz-Date=2", "https://h/x?X-Amz-Signature=********&X-Amz-Date=2"),
        (
            "https://h/x?api_key=1&keyword=fish&sort_key=name",
            "https://h/x?api_key=********&keyword=fish&sort_key=********",
        ),
        ("https://u:p@h/x", "https://********@h/x"),
        ("https://h/x", "https://h/x"),
        ("https://h/x?flag", "https://h/x?flag"),
    ],
)
def test_display(text: str, shown: str) -> None:
    assert display_url(text) == shown


def test_secret_parameters_in_both_spellings() -> None:
    assert secret_parameters("/x?a=1&password=p%40ss&token=t#f") == ["p%40ss", "p@ss", "t"]
    assert secret_parameters("/x") == []


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("localhost", True),
        ("LOCALHOST.", True),
        ("api.localhost", True),
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("10.0.0.1", False),
        ("localhost.example.com", False),
        ("example.com", False),
    ],
)
def test_loopback(host: str, loopback: bool) -> None:
    assert is_loopback(host) is loopback


@pytest.mark.parametrize(
    ("start", "method", "status", "location", "expected"),
    [
        ("http://h/a", "GET", 302, "/b", ("http://h/b", "GET", False)),
        ("http://h/a", "GET", 302, "https://h/b", ("https://h/b", "GET", True)),
        ("http://h/a", "GET", 301, "//other/b", ("http://other/b", "GET", True)),
        ("http://h/a", "HEAD", 303, "/b", ("http://h/b", "HEAD", False)),
        ("http://h/a", "POST", 303, "/b", ("http://h/b", "GET", False)),
        ("http://h/a", "POST", 302, "/b", ("http://h/b", "GET", False)),
        ("http://h/a", "POST", 307, "/b", ("http://h/b", "POST", False)),
        ("http://h/a", "POST", 308, "http://other/", "it redirects a POST with its body to another server, other:80"),
        ("https://h/a", "GET", 302, "http://h/b", "it redirects from https to unencrypted http://h/b"),
        ("http://h/a", "GET", 302, "ftp://h/b", "it redirects to 'ftp://h/b', which is not an http or https URL"),
        (
            "http://h/a",
            "GET",
            302,
            "http://u:p@h/b",
            "it redirects to 'http://********@h/b', which is not an http or https URL",
        ),
    ],
)
def test_next_hop(start: str, method: str, status: int, location: str, expected: object) -> None:
    hop = next_hop(parse_url(start), method, status, location)
    found = (hop.url.text, hop.method, hop.leaves_origin) if isinstance(hop, Hop) else hop
    assert found == expected
