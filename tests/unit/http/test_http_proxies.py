"""Proxies as the environment names them, and never for this machine itself."""

from __future__ import annotations

import pytest

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption
from ansible_collections.runbook.ops.plugins.module_utils.http.proxies import environment_proxy, parse_proxy
from ansible_collections.runbook.ops.plugins.module_utils.http.urls import parse_url

VARIABLES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*VARIABLES, *(name.upper() for name in VARIABLES), "REQUEST_METHOD"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("environment", "url", "expected"),
    [
        ({}, "http://example.com/", None),
        ({"http_proxy": "http://proxy:8080"}, "http://example.com/", ("proxy", 8080)),
        ({"http_proxy": "proxy"}, "http://example.com/", ("proxy", 3128)),
        ({"http_proxy": "http://proxy:8080"}, "https://example.com/", None),
        ({"https_proxy": "http://proxy:8080"}, "https://example.com/", ("proxy", 8080)),
        ({"all_proxy": "http://proxy:8080"}, "https://example.com/", ("proxy", 8080)),
        ({"http_proxy": "http://proxy:8080", "no_proxy": "example.com"}, "http://api.example.com/", None),
        ({"http_proxy": "http://proxy:8080", "no_proxy": "*"}, "http://example.com/", None),
        ({"http_proxy": "http://proxy:8080"}, "http://localhost:9090/", None),
        ({"http_proxy": "http://proxy:8080"}, "http://127.0.0.1/", None),
        ({"http_proxy": "http://proxy:8080"}, "http://[::1]/", None),
    ],
)
def test_which_proxy(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], url: str, expected: tuple[str, int] | None
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    proxy = environment_proxy(parse_url(url))
    assert (proxy and (proxy.host, proxy.port)) == expected


def test_a_proxys_login_is_sent_and_not_shown() -> None:
    proxy = parse_proxy("http://me:p%40ss@proxy:8080", "http_proxy")
    assert proxy.authorization == "Basic bWU6cEBzcw=="
    assert repr(proxy) == "Proxy(proxy:8080)"


@pytest.mark.parametrize(
    "address", ["socks5://u:hunter2@proxy:1080", "https://u:hunter2@proxy", "http://u:hunter2@proxy:99999"]
)
def test_what_is_not_spoken(address: str) -> None:
    with pytest.raises(InvalidOption) as caught:
        parse_proxy(address, "all_proxy")
    assert caught.value.message.startswith("all_proxy: ")
    assert "hunter2" not in caught.value.message
    assert "set use_proxy to false to go without" in caught.value.message
