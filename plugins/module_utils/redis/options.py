# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The connection options of every Redis module, once. The doc fragment C(redis) says the same."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ansible.module_utils.basic import env_fallback

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption

# Plain REDIS_HOST and REDIS_PORT are not read: Kubernetes sets them to an URL for every service named redis.
DEFAULT_USER = "default"
SENTINEL_PORT = 26379
_HOST_AND_PORT = re.compile(r"(?:\[(?P<address>[0-9a-fA-F:.]+)\]|(?P<host>[^\s:\[\]]+))(?::(?P<port>\d{1,5}))?\Z")


def redis_argument_spec() -> dict[str, dict[str, Any]]:
    """The argument spec of the connection.

    An empty string means "not given", so that role variables may default to it.
    """
    return {
        "login_host": {"type": "str", "default": "localhost", "fallback": (env_fallback, ["REDIS_LOGIN_HOST"])},
        "login_port": {"type": "int", "default": 6379, "fallback": (env_fallback, ["REDIS_LOGIN_PORT"])},
        "login_user": {"type": "str", "fallback": (env_fallback, ["REDIS_LOGIN_USER"])},
        "login_password": {
            "type": "str",
            "no_log": True,
            "fallback": (env_fallback, ["REDIS_LOGIN_PASSWORD", "REDISCLI_AUTH"]),
        },
        "login_db": {"type": "int", "default": 0, "fallback": (env_fallback, ["REDIS_LOGIN_DB"])},
        "login_unix_socket": {"type": "path"},
        "sentinels": {"type": "list", "elements": "str", "default": []},
        "sentinel_master": {"type": "str"},
        "sentinel_user": {"type": "str", "fallback": (env_fallback, ["REDIS_SENTINEL_USER"])},
        "sentinel_password": {
            "type": "str",
            "no_log": True,
            "fallback": (env_fallback, ["REDIS_SENTINEL_PASSWORD"]),
        },
        "tls": {"type": "bool", "default": False, "fallback": (env_fallback, ["REDIS_TLS"])},
        "validate_certs": {"type": "bool", "default": True},
        "ca_certs": {"type": "path", "fallback": (env_fallback, ["REDIS_CA_CERTS"])},
        "client_cert_file": {"type": "path"},
        "client_key_file": {"type": "path", "no_log": False},
        "connect_timeout": {"type": "float", "default": 5.0},
        "socket_timeout": {"type": "float", "default": 10.0},
    }


@dataclass(frozen=True)
class Settings:
    """A checked set of connection options. Times are in seconds."""

    host: str = "localhost"
    port: int = 6379
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    db: int = 0
    unix_socket: str | None = None
    tls: bool = False
    validate_certs: bool = True
    ca_certs: str | None = None
    client_cert_file: str | None = None
    client_key_file: str | None = None
    connect_timeout: float = 5.0
    socket_timeout: float = 10.0
    # Where to ask for the address of the master of that name; empty for a server that is given by its own address.
    sentinels: tuple[tuple[str, int], ...] = ()
    sentinel_master: str = ""
    sentinel_user: str | None = None
    sentinel_password: str | None = field(default=None, repr=False)

    @property
    def address(self) -> str:
        """Where the server is, as people write it: host and port, or the socket's path."""
        if self.unix_socket:
            return self.unix_socket
        return show_address(self.host, self.port)

    @property
    def acl_user(self) -> str:
        """The name the server knows us by."""
        return self.user or DEFAULT_USER


def show_address(host: str, port: int) -> str:
    """A host and a port as people write them."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def settings_from(params: Mapping[str, Any]) -> Settings:
    """Check the connection options of a module; raises InvalidOption before anything is touched."""
    port = params["login_port"]
    if not 1 <= port <= 65535:
        raise InvalidOption("login_port", port, "a port number from 1 to 65535")
    if params["login_db"] < 0:
        raise InvalidOption("login_db", params["login_db"], "0 or a positive number")
    for name in ("connect_timeout", "socket_timeout"):
        # Zero would mean "do not wait" or "wait for ever", depending on the layer that reads it.
        if not params[name] > 0:
            raise InvalidOption(name, params[name], "a number of seconds greater than 0")
    unix_socket = params["login_unix_socket"] or None
    if unix_socket and params["tls"]:
        raise InvalidOption("tls", True, "false together with login_unix_socket")
    sentinels = _sentinels(params)
    if unix_socket and sentinels:
        raise InvalidOption("login_unix_socket", unix_socket, "nothing together with sentinels")
    if bool(params["client_cert_file"]) != bool(params["client_key_file"]):
        given, lacking = (
            ("client_cert_file", "client_key_file")
            if params["client_cert_file"]
            else ("client_key_file", "client_cert_file")
        )
        raise InvalidOption(given, params[given], f"together with {lacking}")
    return Settings(
        host=params["login_host"] or "localhost",
        port=port,
        user=params["login_user"] or None,
        password=params["login_password"] or None,
        db=params["login_db"],
        unix_socket=unix_socket,
        tls=params["tls"],
        validate_certs=params["validate_certs"],
        ca_certs=params["ca_certs"] or None,
        client_cert_file=params["client_cert_file"] or None,
        client_key_file=params["client_key_file"] or None,
        connect_timeout=params["connect_timeout"],
        socket_timeout=params["socket_timeout"],
        sentinels=sentinels,
        sentinel_master=params["sentinel_master"] or "",
        sentinel_user=params["sentinel_user"] or None,
        sentinel_password=params["sentinel_password"] or None,
    )


def _sentinels(params: Mapping[str, Any]) -> tuple[tuple[str, int], ...]:
    """The sentinels to ask, in order; raises InvalidOption."""
    found = tuple(dict.fromkeys(_sentinel(text) for text in params["sentinels"] or [] if text))
    master = params["sentinel_master"]
    if found and not master:
        raise InvalidOption("sentinel_master", master, "the name of a master, as sentinel monitor gives it")
    if master and not found:
        raise InvalidOption("sentinel_master", master, "together with sentinels")
    return found


def _sentinel(text: str) -> tuple[str, int]:
    matched = _HOST_AND_PORT.match(text)
    port = int(matched["port"] or SENTINEL_PORT) if matched else 0
    if not matched or not 1 <= port <= 65535:
        raise InvalidOption("sentinels", text, "host:port, or a host alone for port 26379")
    return matched["address"] or matched["host"], port
