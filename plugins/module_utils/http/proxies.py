# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which proxy a request goes through, by the environment variables that every tool understands."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies_environment, proxy_bypass_environment  # type: ignore[attr-defined]

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption
from ansible_collections.runbook.ops.plugins.module_utils.http.urls import Url, is_loopback


@dataclass(frozen=True)
class Proxy:
    """An HTTP proxy; C(authorization) is the value of its Proxy-Authorization field, if it wants one."""

    host: str
    port: int
    authorization: str | None = None

    def __repr__(self) -> str:
        return f"Proxy({self.host}:{self.port})"


def environment_proxy(url: Url) -> Proxy | None:
    """The proxy of C(http_proxy), C(https_proxy) or C(all_proxy) for a URL.

    None without one, for what C(no_proxy) names, and always for this machine itself.
    """
    if is_loopback(url.host):
        return None
    proxies = getproxies_environment()
    address = proxies.get(url.scheme) or proxies.get("all")
    if not address or proxy_bypass_environment(f"{url.host}:{url.port}", proxies):
        return None
    return parse_proxy(address, f"{url.scheme}_proxy")


def parse_proxy(address: str, variable: str) -> Proxy:
    """Read the address in a proxy variable; InvalidOption without its credentials for what cannot be spoken."""
    accepted = "an http:// proxy with host and port; set use_proxy to false to go without"
    try:
        split = urlsplit(address if "://" in address else f"http://{address}")
        host, port = split.hostname, split.port or 3128
    except ValueError:
        raise InvalidOption(variable, "an address that cannot be read", accepted) from None
    if split.scheme != "http" or not host:
        raise InvalidOption(variable, f"{split.scheme}://{host or ''}", accepted)
    authorization = None
    if split.username is not None:
        login = f"{unquote(split.username)}:{unquote(split.password or '')}"
        authorization = "Basic " + base64.b64encode(login.encode()).decode("ascii")
    return Proxy(host, port, authorization)
