"""Every way of not getting an answer is one sentence with the next step."""

from __future__ import annotations

import errno
import http.client
import socket
import ssl

import pytest

from ansible_collections.runbook.ops.plugins.module_utils.http.errors import (
    CONNECT,
    DNS,
    PROXY,
    REQUEST,
    RESPONSE,
    TLS,
    describe,
    is_timeout,
)


def verification(verdict: str) -> ssl.SSLCertVerificationError:
    error = ssl.SSLCertVerificationError(1, "certificate verify failed")
    error.verify_message = verdict
    return error


def tls_error(reason: str) -> ssl.SSLError:
    error = ssl.SSLError(1, reason)
    error.reason = reason
    return error


@pytest.mark.parametrize(
    ("error", "phase", "sentence"),
    [
        (
            socket.gaierror(-2, "Name or service not known"),
            DNS,
            "the host name of h:443 cannot be resolved. Correct the URL or the name server",
        ),
        (
            TimeoutError(),
            DNS,
            "the name server did not resolve h:443 within 2.5 s. Check the resolver of this machine",
        ),
        (
            socket.timeout(),
            CONNECT,
            "h:443 did not accept the connection within 2.5 s. Check the server and the firewall between",
        ),
        (
            ConnectionRefusedError(),
            CONNECT,
            "h:443 refused the connection: nothing listens there. Start the server or correct the URL",
        ),
        (
            OSError(errno.EHOSTUNREACH, "No route to host"),
            CONNECT,
            "h:443 cannot be reached over the network. Check the URL and the route to it",
        ),
        (
            OSError(errno.EMFILE, "Too many open files"),
            CONNECT,
            "no connection to h:443 (Too many open files). Check the URL and the network",
        ),
        (
            TimeoutError(),
            PROXY,
            "the proxy did not open a tunnel to h:443 within 2.5 s. Check the proxy or set use_proxy to false",
        ),
        (
            TimeoutError(),
            TLS,
            "h:443 did not finish the TLS handshake within 2.5 s. Check that it speaks TLS on this port",
        ),
        (
            verification("certificate has expired"),
            TLS,
            "the certificate of h:443 is not accepted: certificate has expired. "
            "Renew it, or name the authority that signed it in ca_path",
        ),
        (
            verification("Hostname mismatch, certificate is not valid for 'h'."),
            TLS,
            "the certificate of h:443 is not accepted: Hostname mismatch, certificate is not valid for 'h'. "
            "Renew it, or name the authority that signed it in ca_path",
        ),
        (
            tls_error("WRONG_VERSION_NUMBER"),
            TLS,
            "h:443 does not answer in TLS (WRONG_VERSION_NUMBER). Check the port, or use http:// if that is meant",
        ),
        (
            tls_error("SSLV3_ALERT_HANDSHAKE_FAILURE"),
            TLS,
            "h:443 refused the TLS handshake (SSLV3_ALERT_HANDSHAKE_FAILURE). "
            "Check the client certificate and the TLS versions",
        ),
        (
            tls_error("UNSUPPORTED_PROTOCOL"),
            TLS,
            "TLS with h:443 failed (UNSUPPORTED_PROTOCOL). Check its certificate and its TLS versions",
        ),
        (
            TimeoutError(),
            RESPONSE,
            "no complete answer from h:443 within 2.5 s. Check the server's load, or raise timeout",
        ),
        (
            http.client.RemoteDisconnected("x"),
            RESPONSE,
            "h:443 closed the connection without a complete answer. Read the server's log",
        ),
        (
            ConnectionResetError(),
            REQUEST,
            "h:443 closed the connection without a complete answer. Read the server's log",
        ),
        (
            http.client.IncompleteRead(b"x", 9),
            RESPONSE,
            "the answer of h:443 broke off in the middle. Read the server's log",
        ),
        (
            http.client.BadStatusLine("-ERR unknown command"),
            RESPONSE,
            "what h:443 sends is not HTTP (BadStatusLine). Check the port, or use https:// if that is meant",
        ),
        (
            OSError(errno.EIO, "Input/output error"),
            RESPONSE,
            "the connection to h:443 failed (Input/output error). Read the server's log",
        ),
    ],
)
def test_describe(error: BaseException, phase: str, sentence: str) -> None:
    assert describe(error, phase, where="h:443", seconds=2.5) == sentence


def test_both_kinds_of_timeout_are_known() -> None:
    assert is_timeout(TimeoutError())
    assert is_timeout(socket.timeout())
    assert not is_timeout(OSError())
