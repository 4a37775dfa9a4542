# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""URLs: checked before anything is sent, joined, compared by origin, shown without secrets. Pure."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl, quote, urlencode, urljoin, urlsplit, urlunsplit

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption
from ansible_collections.runbook.ops.plugins.module_utils.common.masking import MASK

_PORTS = {"http": 80, "https": 443}
_ACCEPTED = "an absolute http:// or https:// URL with a host, such as https://api.example.com/health"
# Query parameters whose value is a credential; the rest of a URL is worth reading in a report.
_SECRET_PARAMETER = re.compile(
    r"token|secret|passw|pwd|api[-_]?key|apikey|access[-_]?key|auth|credential|signature|(^|[-_])(sig|key|code|session|sid)$",
    re.IGNORECASE,
)
# Everything a URL may hold unescaped, and the percent sign of what is escaped already.
_SAFE_PATH = "/%:@!$&'()*+,;=~-._"
_SAFE_QUERY = _SAFE_PATH + "?"


@dataclass(frozen=True)
class Url:
    """A URL taken apart. C(host) is without brackets and in ASCII, C(target) is path and query as sent."""

    scheme: str
    host: str
    port: int
    target: str

    @property
    def origin(self) -> tuple[str, str, int]:
        """What a credential belongs to (RFC 6454): scheme, host, port."""
        return (self.scheme, self.host, self.port)

    @property
    def where(self) -> str:
        """Host and port for people."""
        return f"{self._bracketed}:{self.port}"

    @property
    def host_header(self) -> str:
        """The Host field: the port only when it is not the scheme's own."""
        return self._bracketed if self.port == _PORTS[self.scheme] else self.where

    @property
    def text(self) -> str:
        """The URL as sent."""
        return f"{self.scheme}://{self.host_header}{self.target}"

    @property
    def display(self) -> str:
        """The URL for a report, without the values of secret parameters."""
        return display_url(self.text)

    @property
    def _bracketed(self) -> str:
        return f"[{self.host}]" if ":" in self.host else self.host


def parse_url(text: str, option: str = "url") -> Url:
    """Take a URL apart and make it sendable: IDNA host, escaped path, no fragment.

    Credentials inside a URL are refused: they would be shown wherever the URL is.
    """
    if re.search(r"[\x00-\x20\x7f]", text):
        raise InvalidOption(option, display_url(text), "a URL without spaces and control characters")
    try:
        split = urlsplit(text)
        host, port = split.hostname or "", split.port
        ascii_host = host if ":" in host else host.encode("idna").decode("ascii")
    except (ValueError, UnicodeError):
        raise InvalidOption(option, display_url(text), _ACCEPTED) from None
    if split.username is not None or split.password is not None:
        raise InvalidOption(
            option, display_url(text), "a URL without user and password; give them as url_username and url_password"
        )
    if split.scheme not in _PORTS or not ascii_host or port == 0:
        raise InvalidOption(option, display_url(text), _ACCEPTED)
    target = quote(split.path or "/", safe=_SAFE_PATH)
    if split.query:
        target += "?" + quote(split.query, safe=_SAFE_QUERY)
    return Url(split.scheme, ascii_host, port or _PORTS[split.scheme], target)


def join(base: str, path: str) -> str:
    """C(path) below C(base), whose own path is kept: C(https://h/api) and C(/v1) give C(https://h/api/v1)."""
    if not path.strip("/"):
        return base.rstrip("/") + "/"
    return f"{base.rstrip('/')}/{path.lstrip('/')}"


def with_query(text: str, parameters: Mapping[str, object]) -> str:
    """The URL with parameters added, each encoded (a plus sign in a moment's offset is not a space)."""
    if not parameters:
        return text
    split = urlsplit(text)
    added = urlencode([(name, str(value)) for name, value in parameters.items()])
    return urlunsplit(split._replace(query=f"{split.query}&{added}" if split.query else added))


def display_url(text: str) -> str:
    """A URL for people: secret parameters and user information masked, everything else as it is."""
    shown = re.sub(r"(?<=//)[^/?#@]*@", f"{MASK}@", text)
    head, mark, query = shown.partition("?")
    if not mark:
        return shown
    pairs = [_masked_pair(pair) for pair in query.split("&")]
    return f"{head}?{'&'.join(pairs)}"


def _masked_pair(pair: str) -> str:
    name = pair.partition("=")[0]
    return f"{name}={MASK}" if "=" in pair and _SECRET_PARAMETER.search(name) else pair


def secret_parameters(text: str) -> list[str]:
    """The values that C(display_url) hides, so that the caller can hide them elsewhere too."""
    query = text.partition("?")[2].partition("#")[0]
    raw = [pair.partition("=")[2] for pair in query.split("&") if _SECRET_PARAMETER.search(pair.partition("=")[0])]
    decoded = [value for name, value in parse_qsl(query) if _SECRET_PARAMETER.search(name)]
    return sorted({value for value in (*raw, *decoded) if value})


def is_loopback(host: str) -> bool:
    """Whether a host is this machine itself; a proxy can never reach that."""
    if host.lower().rstrip(".") == "localhost" or host.lower().rstrip(".").endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        return False


@dataclass(frozen=True)
class Hop:
    """The next request of a redirect. C(leaves_origin) means that nothing personal may go with it."""

    url: Url
    method: str
    leaves_origin: bool


def next_hop(url: Url, method: str, status: int, location: str) -> Hop | str:
    """Where a redirect leads, or the reason why it is not followed.

    Methods change as browsers and the Fetch standard have it: 303 always to GET, 301 and 302 after a POST.
    """
    try:
        following = parse_url(urljoin(url.text, location), "Location")
    except InvalidOption:
        return f"it redirects to {display_url(location)!r}, which is not an http or https URL"
    if url.scheme == "https" and following.scheme == "http":
        return f"it redirects from https to unencrypted {following.display}"
    if method not in ("GET", "HEAD", "OPTIONS"):
        if status == 303 or status in (301, 302):
            method = "GET"
        elif following.origin != url.origin:
            return f"it redirects a {method} with its body to another server, {following.where}"
    return Hop(following, method, following.origin != url.origin)
