# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options of every module that speaks HTTP, once. The doc fragment C(http_client) says the same."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ansible.module_utils.basic import env_fallback

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption
from ansible_collections.runbook.ops.plugins.module_utils.http.urls import secret_parameters, with_query

# Fields of a request that carry nothing secret. Whatever else a person sets may be a credential: it never leaves
# the server it was meant for, and it is never shown.
HARMLESS_FIELDS = frozenset(
    (
        "accept",
        "accept-encoding",
        "accept-language",
        "api-version",
        "cache-control",
        "content-type",
        "user-agent",
        "x-api-version",
        "x-scope-orgid",
    )
)


def http_argument_spec(environment: str | None = None) -> dict[str, dict[str, Any]]:
    """The argument spec of an HTTP client.

    Args:
        environment: Prefix of the environment variables with defaults for the credentials, such as C(PROMETHEUS);
            none without it.

    """

    def fallback(name: str) -> dict[str, Any]:
        return {"fallback": (env_fallback, [f"{environment}_{name}"])} if environment else {}

    return {
        "bearer_token": {"type": "str", "no_log": True, **fallback("BEARER_TOKEN")},
        "url_username": {"type": "str", **fallback("USERNAME")},
        "url_password": {"type": "str", "no_log": True, **fallback("PASSWORD")},
        "headers": {"type": "dict", "no_log": True},
        "validate_certs": {"type": "bool", "default": True},
        "ca_path": {"type": "path"},
        "client_cert": {"type": "path"},
        "client_key": {"type": "path", "no_log": False},
        "use_proxy": {"type": "bool", "default": True},
        "timeout": {"type": "float", "default": 10},
    }


@dataclass(frozen=True)
class Settings:
    """How to speak to servers. The secrets are hidden from C(repr)."""

    authorization: str | None = field(default=None, repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    validate_certs: bool = True
    ca_path: str | None = None
    client_cert: str | None = None
    client_key: str | None = None
    use_proxy: bool = True
    timeout: float = 10.0
    secrets: tuple[str, ...] = field(default=(), repr=False)


def settings_from(params: Mapping[str, Any]) -> Settings:
    """The settings in a module's options; an empty string is an option that was not given."""
    token, user, password = (params.get(name) or None for name in ("bearer_token", "url_username", "url_password"))
    if token and user:
        raise InvalidOption("bearer_token", "together with url_username", "one way to log in, not two")
    if password and not user:
        raise InvalidOption("url_password", "without url_username", "both of them, or none")
    timeout = float(params["timeout"])
    if not 0 < timeout <= 600:
        raise InvalidOption("timeout", params["timeout"], "seconds above 0 and up to 600")
    headers = checked_headers(params.get("headers"), "headers")
    authorization = None
    if token:
        authorization = f"Bearer {token}"
    elif user:
        authorization = "Basic " + base64.b64encode(f"{user}:{password or ''}".encode()).decode("ascii")
    if authorization:
        checked_headers({"Authorization": authorization}, "bearer_token")
        if any(name.lower() == "authorization" for name in headers):
            raise InvalidOption("headers", "Authorization", "no Authorization beside bearer_token or url_username")
    encoded = authorization.split(" ", 1)[1] if authorization else None
    secrets = (token, password, encoded, *secret_values(headers))
    return Settings(
        authorization=authorization,
        headers=headers,
        validate_certs=params["validate_certs"],
        ca_path=params.get("ca_path") or None,
        client_cert=params.get("client_cert") or None,
        client_key=params.get("client_key") or None,
        use_proxy=params["use_proxy"],
        timeout=timeout,
        secrets=tuple(secret for secret in secrets if secret),
    )


def checked_headers(headers: Mapping[str, Any] | None, option: str) -> dict[str, str]:
    """Fields of a request as text that can be sent; the message of a refusal never repeats a value."""
    checked = {}
    for name, value in (headers or {}).items():
        text = str(value)
        if not name or not name.isascii() or any(letter in name for letter in " :\r\n\t"):
            raise InvalidOption(option, name, "names of header fields as in HTTP, such as X-Api-Key")
        if any(ord(letter) < 32 and letter != "\t" for letter in text) or not _is_latin(text):
            raise InvalidOption(
                option, f"the value of {name}", "text of one line without control characters, in Latin-1"
            )
        checked[name] = text
    return checked


def _is_latin(text: str) -> bool:
    try:
        text.encode("latin-1")
    except UnicodeEncodeError:
        return False
    return True


def secret_values(headers: Mapping[str, str]) -> list[str]:
    """The values of header fields that may be credentials."""
    return [value for name, value in headers.items() if name.lower() not in HARMLESS_FIELDS]


def hidden_values(known: Iterable[str], params: Mapping[str, Any]) -> set[str]:
    """What Ansible has to hide wherever it occurs in a result, for C(module.no_log_values).

    Ansible hides every value of a secret option. That is too much for header fields: C(Accept) C(application/json)
    would blot out every content type, and a C(1) every number with a one in it. And it is too little for URLs,
    whose parameters may be credentials.
    """
    probes = params.get("probes") or ()
    headers = [params.get("headers") or {}, *(probe.get("headers") or {} for probe in probes)]
    urls = [params.get("url"), params.get("base_url"), *(probe.get("url") or probe.get("path") for probe in probes)]
    queries = [with_query("/", probe.get("query") or {}) for probe in probes]
    harmless = {str(value) for each in headers for name, value in each.items() if str(name).lower() in HARMLESS_FIELDS}
    secret = {str(value) for each in headers for name, value in each.items()} - harmless
    secret |= {str(params[name]) for name in ("bearer_token", "url_password") if params.get(name)}
    secret |= {value for url in (*urls, *queries) if url for value in secret_parameters(url)}
    # Hiding a word of one or two letters ruins a result and protects nothing.
    return {value for value in (set(known) - harmless) | secret if len(value) > 2}
