"""Connection options: checked before anything is touched, and documented as they are."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from ansible_collections.runbook.ops.plugins.doc_fragments.redis import ModuleDocFragment
from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption
from ansible_collections.runbook.ops.plugins.module_utils.redis.options import redis_argument_spec, settings_from
from ansible_collections.runbook.ops.plugins.module_utils.redis.scan import budget_argument_spec, budget_from


def params(**changes: Any) -> dict[str, Any]:
    return {name: option.get("default") for name, option in redis_argument_spec().items()} | changes


@pytest.mark.parametrize(
    ("spec", "fragment"),
    [
        (redis_argument_spec(), ModuleDocFragment.DOCUMENTATION),
        (budget_argument_spec(), ModuleDocFragment.SCAN),
    ],
)
def test_the_fragment_documents_the_spec(spec: dict[str, dict[str, Any]], fragment: str) -> None:
    documented = yaml.safe_load(fragment)["options"]
    assert list(documented) == list(spec)
    for name, option in spec.items():
        assert documented[name]["type"] == option["type"], name
        assert documented[name].get("default") == option.get("default"), name
        for variable in (option.get("fallback") or (None, []))[1]:
            assert f"E({variable})" in " ".join(documented[name]["description"]), name


def test_passwords_are_secret() -> None:
    spec = redis_argument_spec()
    assert [spec[name]["no_log"] for name in ("login_password", "sentinel_password")] == [True, True]
    watched = {"sentinels": ["a"], "sentinel_master": "m"}
    assert "hidden" not in repr(settings_from(params(login_password="hidden", sentinel_password="hidden", **watched)))


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("sentinel.internal", ("sentinel.internal", 26379)),
        ("sentinel.internal:5000", ("sentinel.internal", 5000)),
        ("10.0.0.7:26379", ("10.0.0.7", 26379)),
        ("[2001:db8::1]:26380", ("2001:db8::1", 26380)),
        ("[::1]", ("::1", 26379)),
    ],
)
def test_addresses_of_sentinels(text: str, address: tuple[str, int]) -> None:
    settings = settings_from(params(sentinels=[text, text, ""], sentinel_master="main"))
    assert (settings.sentinels, settings.sentinel_master) == ((address,), "main")


def test_no_sentinels() -> None:
    """Empty, as a role's variables are when nothing was given."""
    settings = settings_from(params(sentinels=[""], sentinel_master="", sentinel_user="", sentinel_password=""))
    assert (settings.sentinels, settings.sentinel_master) == ((), "")
    assert (settings.sentinel_user, settings.sentinel_password) == (None, None)


@pytest.mark.parametrize(
    ("changes", "address"),
    [
        ({}, "localhost:6379"),
        ({"login_host": ""}, "localhost:6379"),
        ({"login_host": "10.0.0.7", "login_port": 6380}, "10.0.0.7:6380"),
        ({"login_host": "::1"}, "[::1]:6379"),
        ({"login_unix_socket": "/run/redis.sock"}, "/run/redis.sock"),
        ({"login_unix_socket": ""}, "localhost:6379"),
    ],
)
def test_address(changes: dict[str, Any], address: str) -> None:
    assert settings_from(params(**changes)).address == address


def test_empty_means_not_given() -> None:
    empty = dict.fromkeys(("login_user", "login_password", "ca_certs", "client_cert_file", "client_key_file"), "")
    settings = settings_from(params(**empty))
    assert (settings.user, settings.password, settings.ca_certs, settings.client_cert_file) == (None, None, None, None)
    assert settings.acl_user == "default"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"login_port": 0}, "login_port: 0 is not accepted. Accepted: a port number from 1 to 65535."),
        ({"login_port": 70000}, "login_port: 70000 is not accepted. Accepted: a port number from 1 to 65535."),
        ({"login_db": -1}, "login_db: -1 is not accepted. Accepted: 0 or a positive number."),
        (
            {"connect_timeout": 0.0},
            "connect_timeout: 0.0 is not accepted. Accepted: a number of seconds greater than 0.",
        ),
        (
            {"socket_timeout": float("nan")},
            "socket_timeout: nan is not accepted. Accepted: a number of seconds greater than 0.",
        ),
        (
            {"login_unix_socket": "/run/redis.sock", "tls": True},
            "tls: True is not accepted. Accepted: false together with login_unix_socket.",
        ),
        (
            {"client_cert_file": "/c.pem"},
            "client_cert_file: '/c.pem' is not accepted. Accepted: together with client_key_file.",
        ),
        (
            {"sentinels": ["a:70000"], "sentinel_master": "m"},
            "sentinels: 'a:70000' is not accepted. Accepted: host:port, or a host alone for port 26379.",
        ),
        (
            {"sentinels": ["::1"], "sentinel_master": "m"},
            "sentinels: '::1' is not accepted. Accepted: host:port, or a host alone for port 26379.",
        ),
        (
            {"sentinels": ["a"]},
            "sentinel_master: None is not accepted. Accepted: the name of a master, as sentinel monitor gives it.",
        ),
        (
            {"sentinel_master": "m"},
            "sentinel_master: 'm' is not accepted. Accepted: together with sentinels.",
        ),
        (
            {"sentinels": ["a"], "sentinel_master": "m", "login_unix_socket": "/s"},
            "login_unix_socket: '/s' is not accepted. Accepted: nothing together with sentinels.",
        ),
        (
            {"client_key_file": "/k.pem"},
            "client_key_file: '/k.pem' is not accepted. Accepted: together with client_cert_file.",
        ),
    ],
)
def test_bad_options(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidOption) as caught:
        settings_from(params(**changes))
    assert caught.value.message == message


@pytest.mark.parametrize("name", ["max_keys", "max_seconds"])
def test_bad_budget(name: str) -> None:
    with pytest.raises(InvalidOption) as caught:
        budget_from({"max_keys": 1, "max_seconds": 1.0, name: 0})
    assert caught.value.message == f"{name}: 0 is not accepted. Accepted: a number greater than 0."
