# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The only place that speaks HTTP.

The standard library's C(urllib) and Ansible's C(open_url) tell neither how long a name server or a TLS handshake
took nor when a certificate expires, and their time limit is one per read: a server that sends a byte a second keeps
them for ever. Here one deadline covers the whole request.
"""

from __future__ import annotations

import contextlib
import http.client
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption
from ansible_collections.runbook.ops.plugins.module_utils.common.masking import mask_secrets
from ansible_collections.runbook.ops.plugins.module_utils.http.certificate import Certificate
from ansible_collections.runbook.ops.plugins.module_utils.http.connection import Connection, Timings
from ansible_collections.runbook.ops.plugins.module_utils.http.deadline import Deadline
from ansible_collections.runbook.ops.plugins.module_utils.http.errors import (
    REQUEST,
    RESPONSE,
    TLS,
    HttpFailure,
    describe,
    is_timeout,
)
from ansible_collections.runbook.ops.plugins.module_utils.http.options import HARMLESS_FIELDS, Settings
from ansible_collections.runbook.ops.plugins.module_utils.http.proxies import environment_proxy
from ansible_collections.runbook.ops.plugins.module_utils.http.urls import Hop, Url, display_url, next_hop, parse_url

_AGENT = "runbook.ops"
_MAX_REDIRECTS = 5
_REDIRECTS = (301, 302, 303, 307, 308)
# Methods that may be sent again when a kept connection turns out to be closed.
_REPEATABLE = ("GET", "HEAD", "OPTIONS")
_PIECE = 65536
_OFFERS = "www-authenticate"

NO_REDIRECT, SAME_HOST, ANY_HOST = "none", "same_host", "all"
REDIRECT_POLICIES = (NO_REDIRECT, SAME_HOST, ANY_HOST)


@dataclass
class Response:
    """A complete answer, or the first C(max_body_bytes) of it (then C(is_truncated)).

    C(headers) have lower-case names. C(size_bytes) is the body's size as sent, None when it was cut and the
    server does not tell. C(redirects) are the addresses on the way, C(not_followed) says why a redirect was left.
    """

    status: int
    headers: dict[str, str]
    body: bytes
    url: str
    timings: Timings
    certificate: Certificate | None = None
    size_bytes: int | None = 0
    is_truncated: bool = False
    redirects: list[str] = field(default_factory=list)
    not_followed: str | None = None


class HttpClient:
    """Sends requests; keeps one connection per server open between them. Not for several threads at once."""

    def __init__(
        self, settings: Settings, *, max_body_bytes: int = 1 << 20, context: ssl.SSLContext | None = None
    ) -> None:
        self._settings = settings
        self._max_body_bytes = max_body_bytes
        self._context = context
        self._connections: dict[tuple[str, str, int], Connection] = {}
        # What the last failed request knew: the probe of a broken server still wants its times and its certificate.
        self.last_timings = Timings()
        self.last_certificate: Certificate | None = None

    def __enter__(self) -> HttpClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close every connection."""
        while self._connections:
            self._connections.popitem()[1].abort()

    def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        follow_redirects: str = NO_REDIRECT,
        timeout: float | None = None,
        fresh: bool = False,
        repeatable: bool = False,
    ) -> Response:
        """One request with its redirects, within one deadline.

        Args:
            method: GET, HEAD, POST, OPTIONS.
            url: Absolute, without credentials.
            headers: Further fields; they go to the server of C(url) only, as the credentials do.
            body: Sent as it is.
            follow_redirects: C(none), C(same_host) or C(all).
            timeout: Seconds for everything together, instead of the client's.
            fresh: Open a new connection and close it afterwards, as a new visitor does.
            repeatable: This POST only reads, so it may be sent again when a kept connection turns out to be closed.

        Raises:
            HttpFailure: no complete answer; the message is masked.
            InvalidOption: a URL that cannot be sent.

        """
        deadline = Deadline(timeout or self._settings.timeout)
        started = time.monotonic()
        hop = Hop(parse_url(url), method, leaves_origin=False)
        own = {"User-Agent": _AGENT, "Accept": "*/*", **self._settings.headers, **(headers or {})}
        passed: list[str] = []
        times = Timings()
        self.last_timings, self.last_certificate = times, None
        try:
            while True:
                fields = self._fields(own, hop)
                response = self._once(
                    hop,
                    fields,
                    body if hop.method == method else None,
                    deadline,
                    times,
                    kept=None if fresh else self._connections.pop(hop.url.origin, None),
                    keep=not fresh,
                    repeatable=repeatable or hop.method in _REPEATABLE,
                )
                following = self._follow(response, hop, follow_redirects, passed)
                if not isinstance(following, Hop):
                    response.not_followed = following
                    break
                passed.append(following.url.display)
                # Once a request has left its server, nothing personal comes back into it.
                hop = Hop(following.url, following.method, hop.leaves_origin or following.leaves_origin)
        except HttpFailure as failure:
            message = mask_secrets(failure.message, self._settings.secrets)
            raise HttpFailure(message, failure.phase, status=failure.status, timed_out=failure.timed_out) from None
        finally:
            times.total_seconds = time.monotonic() - started
        response.redirects, response.timings = passed, times
        return response

    def _fields(self, own: Mapping[str, str], hop: Hop) -> dict[str, str]:
        if hop.leaves_origin:
            return {name: value for name, value in own.items() if name.lower() in HARMLESS_FIELDS}
        fields = dict(own)
        if self._settings.authorization and not any(name.lower() == "authorization" for name in fields):
            fields["Authorization"] = self._settings.authorization
        return fields

    def _follow(self, response: Response, hop: Hop, policy: str, passed: list[str]) -> Hop | str | None:
        """The next hop, the reason against it, or None when the answer is no redirect."""
        location = response.headers.get("location")
        if response.status not in _REDIRECTS or not location:
            return None
        if policy == NO_REDIRECT:
            target = parse_safely(hop.url, location)
            return f"it redirects to {target}, and redirects are not followed"
        following = next_hop(hop.url, hop.method, response.status, location)
        if isinstance(following, str):
            return following
        if policy == SAME_HOST and following.url.host != hop.url.host:
            return f"it redirects to another host, {following.url.where}"
        if len(passed) >= _MAX_REDIRECTS:
            return f"it redirects more than {_MAX_REDIRECTS} times, last to {following.url.display}"
        return following

    # --- one request on one connection
    def _once(
        self,
        hop: Hop,
        fields: Mapping[str, str],
        body: bytes | None,
        deadline: Deadline,
        times: Timings,
        *,
        kept: Connection | None,
        keep: bool,
        repeatable: bool,
    ) -> Response:
        if kept is not None:
            try:
                return self._exchange(kept, hop, fields, body, deadline, times)
            except HttpFailure as failure:
                # The server may have closed the idle connection just now; only then nobody has read the request.
                untouched = kept.first_byte_at is None and not failure.timed_out
                if not untouched or not repeatable:
                    raise
        connection = self._connect(hop.url, deadline, times)
        return self._exchange(connection, hop, fields, body, deadline, times, keep=keep)

    def _connect(self, url: Url, deadline: Deadline, times: Timings) -> Connection:
        proxy = environment_proxy(url) if self._settings.use_proxy else None
        connection = Connection(url, context=self._tls_context() if url.scheme == "https" else None, proxy=proxy)
        try:
            connection.open(deadline)
        except HttpFailure as failure:
            times.add(connection.timings)
            if failure.phase == TLS and self._settings.validate_certs and not failure.timed_out:
                self.last_certificate = self._refused_certificate(url, deadline)
            raise
        self.last_certificate = connection.certificate or self.last_certificate
        return connection

    def _exchange(
        self,
        connection: Connection,
        hop: Hop,
        fields: Mapping[str, str],
        body: bytes | None,
        deadline: Deadline,
        times: Timings,
        keep: bool = True,
    ) -> Response:
        connection.use(deadline)
        status: int | None = None
        phase = REQUEST
        sent = time.monotonic()
        answer = None
        try:
            self._send(connection, hop, fields, body)
            sent = time.monotonic()
            phase = RESPONSE
            answer = connection.getresponse()
            status = answer.status
            response = self._read(answer, hop)
        except (OSError, http.client.HTTPException, ValueError) as error:
            connection.abort()
            raise self._failure(error, phase, hop.url, deadline, status) from error
        finally:
            if answer is not None:
                answer.close()
            if connection.first_byte_at is not None:
                connection.timings.first_byte_seconds = max(0.0, connection.first_byte_at - sent)
            times.add(connection.timings)
        response.certificate = connection.certificate
        if keep and connection.is_open and not response.is_truncated:
            self._connections[hop.url.origin] = connection
        else:
            connection.abort()
        return response

    def _send(self, connection: Connection, hop: Hop, fields: Mapping[str, str], body: bytes | None) -> None:
        through_proxy = connection.proxy is not None and hop.url.scheme == "http"
        target = hop.url.text if through_proxy else hop.url.target
        connection.putrequest(hop.method, target, skip_host=True, skip_accept_encoding=True)
        own = {name.lower(): value for name, value in fields.items()}
        fixed = {"host": hop.url.host_header, "accept-encoding": "identity"}
        if through_proxy and connection.proxy and connection.proxy.authorization:
            fixed["proxy-authorization"] = connection.proxy.authorization
        if body is not None or hop.method == "POST":
            fixed["content-length"] = str(len(body or b""))
        for name, value in {**own, **fixed}.items():
            connection.putheader(name.title(), value)
        connection.endheaders(body)

    def _read(self, answer: http.client.HTTPResponse, hop: Hop) -> Response:
        pieces: list[bytes] = []
        received, limit = 0, self._max_body_bytes
        while received <= limit:
            piece = answer.read(min(_PIECE, limit + 1 - received))
            if not piece:
                break
            pieces.append(piece)
            received += len(piece)
        body = b"".join(pieces)
        is_truncated = received > limit
        # http.client closes its file and forgets what was announced, so that is read from the header.
        announced = announced_size(answer, hop.method)
        if announced is not None and received < announced and not is_truncated:
            raise http.client.IncompleteRead(body, announced - received)
        headers = {name.lower(): value for name, value in answer.getheaders()}
        if _OFFERS in headers:
            # Several ways to log in may come in one field each.
            headers[_OFFERS] = answer.getheader(_OFFERS) or ""
        return Response(
            status=answer.status,
            headers=headers,
            body=body[:limit],
            url=hop.url.display,
            timings=Timings(),
            size_bytes=announced if is_truncated else received,
            is_truncated=is_truncated,
        )

    def _failure(
        self, error: BaseException, phase: str, url: Url, deadline: Deadline, status: int | None
    ) -> HttpFailure:
        sentence = describe(error, phase, where=url.where, seconds=deadline.seconds)
        return HttpFailure(f"{sentence}.", phase, status=status, timed_out=is_timeout(error))

    # --- TLS
    def _tls_context(self) -> ssl.SSLContext:
        if self._context is None:
            self._context = tls_context(self._settings)
        return self._context

    def _refused_certificate(self, url: Url, deadline: Deadline) -> Certificate | None:
        """The certificate that was not accepted: when it expired is the very thing to report."""
        lenient = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        lenient.check_hostname = False
        lenient.verify_mode = ssl.CERT_NONE
        proxy = environment_proxy(url) if self._settings.use_proxy else None
        connection = Connection(url, context=lenient, proxy=proxy)
        with contextlib.suppress(HttpFailure, OSError):
            # Only the handshake; no request is ever sent to a server we do not trust.
            connection.open(deadline)
        connection.abort()
        return connection.certificate


def tls_context(settings: Settings) -> ssl.SSLContext:
    """A context for these settings; InvalidOption for files that cannot be used."""
    try:
        context = ssl.create_default_context()
        if settings.ca_path:
            is_folder = Path(settings.ca_path).is_dir()
            context.load_verify_locations(
                cafile=None if is_folder else settings.ca_path, capath=settings.ca_path if is_folder else None
            )
    except OSError as error:
        raise InvalidOption("ca_path", settings.ca_path, f"a readable file or folder in PEM ({_why(error)})") from None
    if settings.client_cert:
        try:
            # A callable, so that an encrypted key is an error and not a question at the terminal.
            context.load_cert_chain(settings.client_cert, settings.client_key, password=lambda: b"")
        except OSError as error:
            accepted = f"a certificate in PEM and its unencrypted key in client_key ({_why(error)})"
            raise InvalidOption("client_cert", settings.client_cert, accepted) from None
    if not settings.validate_certs:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _why(error: OSError) -> str:
    return str(error.strerror or getattr(error, "reason", None) or error)


def announced_size(answer: http.client.HTTPResponse, method: str) -> int | None:
    """The length in the header of an answer that has a body and is not chunked, else None."""
    if method == "HEAD" or answer.status in (204, 304) or answer.chunked:
        return None
    text = (answer.getheader("Content-Length") or "").strip()
    return int(text) if text.isdigit() else None


def parse_safely(url: Url, location: str) -> str:
    """Where a redirect leads, for people."""
    hop = next_hop(url, "GET", 302, location)
    return hop.url.display if isinstance(hop, Hop) else display_url(location)
