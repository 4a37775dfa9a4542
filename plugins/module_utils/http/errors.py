# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What goes wrong between a request and its answer, in sentences for the person on call. Pure: errors in, text out."""

from __future__ import annotations

import errno
import http.client
import socket
import ssl

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import Unavailable

# The stations of a request, in order.
DNS, CONNECT, PROXY, TLS, REQUEST, RESPONSE = "dns", "connect", "proxy", "tls", "request", "response"

_UNREACHABLE = (errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EHOSTDOWN, errno.EADDRNOTAVAIL)


class HttpFailure(Unavailable):
    """A request without a complete answer.

    C(phase) says how far it came, C(status) is the status if the headers had arrived, C(timed_out) whether it
    was our deadline that ended it. The message is one sentence without the address, ending in the next step.
    """

    def __init__(self, message: str, phase: str, *, status: int | None = None, timed_out: bool = False) -> None:
        super().__init__(message, phase=phase)
        self.phase = phase
        self.status = status
        self.timed_out = timed_out


def is_timeout(error: BaseException) -> bool:
    """Whether an error means that time ran out (two unrelated classes before Python 3.10)."""
    return isinstance(error, (TimeoutError, socket.timeout))


def describe(error: BaseException, phase: str, *, where: str, seconds: float) -> str:
    """An error of a socket, of TLS or of the protocol as one sentence with the next step.

    Args:
        error: What was raised.
        phase: The station it was raised at.
        where: Host and port that were spoken to.
        seconds: The deadline of the request, for the sentence.

    """
    if is_timeout(error):
        return _describe_timeout(phase, where, seconds)
    if phase == DNS:
        return f"the host name of {where} cannot be resolved. Correct the URL or the name server"
    if isinstance(error, ssl.SSLError):
        return describe_tls(error, where)
    if phase == CONNECT:
        return _describe_connect(error, where)
    return _describe_protocol(error, where)


def _describe_timeout(phase: str, where: str, seconds: float) -> str:
    limit = f"{seconds:g} s"
    sentences = {
        DNS: f"the name server did not resolve {where} within {limit}. Check the resolver of this machine",
        CONNECT: f"{where} did not accept the connection within {limit}. Check the server and the firewall between",
        PROXY: f"the proxy did not open a tunnel to {where} within {limit}. Check the proxy or set use_proxy to false",
        TLS: f"{where} did not finish the TLS handshake within {limit}. Check that it speaks TLS on this port",
    }
    fallback = f"no complete answer from {where} within {limit}. Check the server's load, or raise timeout"
    return sentences.get(phase, fallback)


def describe_tls(error: ssl.SSLError, where: str) -> str:
    """Why TLS failed; certificates are judged by OpenSSL, whose words are kept."""
    if isinstance(error, ssl.SSLCertVerificationError):
        verdict = str(error.verify_message or "not trusted").rstrip(".")
        return (
            f"the certificate of {where} is not accepted: {verdict}. "
            "Renew it, or name the authority that signed it in ca_path"
        )
    reason = str(error.reason or error.args[-1] if error.args else error)
    if reason in ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "UNEXPECTED_EOF_WHILE_READING", "RECORD_LAYER_FAILURE"):
        return f"{where} does not answer in TLS ({reason}). Check the port, or use http:// if that is meant"
    if "ALERT" in reason:
        return f"{where} refused the TLS handshake ({reason}). Check the client certificate and the TLS versions"
    return f"TLS with {where} failed ({reason}). Check its certificate and its TLS versions"


def _describe_connect(error: BaseException, where: str) -> str:
    if isinstance(error, ConnectionRefusedError):
        return f"{where} refused the connection: nothing listens there. Start the server or correct the URL"
    if isinstance(error, OSError) and error.errno in _UNREACHABLE:
        return f"{where} cannot be reached over the network. Check the URL and the route to it"
    return f"no connection to {where} ({_text(error)}). Check the URL and the network"


def _describe_protocol(error: BaseException, where: str) -> str:
    if isinstance(error, http.client.IncompleteRead):
        return f"the answer of {where} broke off in the middle. Read the server's log"
    # RemoteDisconnected is also a BadStatusLine, so it comes first.
    if isinstance(error, (http.client.RemoteDisconnected, ConnectionError)):
        return f"{where} closed the connection without a complete answer. Read the server's log"
    if isinstance(error, (http.client.HTTPException, ValueError)):
        kind = type(error).__name__
        return f"what {where} sends is not HTTP ({kind}). Check the port, or use https:// if that is meant"
    return f"the connection to {where} failed ({_text(error)}). Read the server's log"


def _text(error: BaseException) -> str:
    return (error.strerror if isinstance(error, OSError) and error.strerror else str(error)) or type(error).__name__
