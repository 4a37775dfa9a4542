"""An SMTP server that takes every mail and keeps it."""

from __future__ import annotations

import contextlib
import email
import email.policy
import socketserver
import threading
from email.message import EmailMessage
from typing import Self, cast

from lab.ports import LOOPBACK


class _Handler(socketserver.StreamRequestHandler):
    """RFC 5321, as far as a client without extensions needs it."""

    def handle(self) -> None:
        # A client that tries TLS first hangs up on a greeting in plain text.
        with contextlib.suppress(OSError):
            self._talk()

    def _talk(self) -> None:
        self._say("220 sink")
        while line := self.rfile.readline():
            word = line.decode("ascii", "replace").strip().upper()
            if word == "DATA":
                self._say("354 go on")
                self._keep()
                self._say("250 kept")
            elif word == "QUIT":
                self._say("221 bye")
                return
            else:
                self._say("250 sink")

    def _say(self, line: str) -> None:
        self.wfile.write(line.encode() + b"\r\n")

    def _keep(self) -> None:
        lines = []
        while (line := self.rfile.readline()) not in (b".\r\n", b""):
            lines.append(line[1:] if line.startswith(b"..") else line)
        found = email.message_from_bytes(b"".join(lines), policy=email.policy.default)
        cast(_Server, self.server).mails.append(found)


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True

    def __init__(self) -> None:
        super().__init__((LOOPBACK, 0), _Handler)
        self.mails: list[EmailMessage] = []


class SmtpSink:
    """C(with SmtpSink() as sink); C(sink.port), and C(sink.mails) in the order in which they came."""

    def __enter__(self) -> Self:
        self._server = _Server()
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_ignored: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def host(self) -> str:
        """Where it listens."""
        return LOOPBACK

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._server.server_address[1])

    @property
    def mails(self) -> list[EmailMessage]:
        """What came."""
        return self._server.mails
