"""A connection that breaks at a chosen moment: a TCP proxy that hangs up at a word."""

from __future__ import annotations

import contextlib
import select
import socket
import threading
from collections.abc import Sequence
from typing import Self

from lab.ports import LOOPBACK

CHUNK = 65536


class CutProxy:
    """Passes bytes on between clients and a server, until a client sends ``word`` for the ``occurrence``-th time.

    Then it hangs up on the client. ``delivered`` says what becomes of the word: the server gets it and its answer is
    lost (the worst case: done, and nobody knows), or the server does not get it. ``after_bytes`` cuts the server's
    answer instead, so many bytes after the word. Later connections are passed on untouched.
    """

    def __init__(
        self,
        port: int,
        word: bytes,
        *,
        occurrence: int = 1,
        delivered: bool = True,
        after_bytes: int | None = None,
        host: str = LOOPBACK,
    ) -> None:
        self.target = (host, port)
        self.word = word
        self.occurrence = occurrence
        self.delivered = delivered
        self.after_bytes = after_bytes
        self.host = LOOPBACK
        self.port = 0
        # What clients sent, without what was never delivered.
        self.sent = b""
        self.cut = threading.Event()
        self._seen = 0
        self._listening: socket.socket | None = None
        self._open: list[socket.socket] = []

    def __enter__(self) -> Self:
        self._listening = socket.create_server((self.host, 0))
        self.port = self._listening.getsockname()[1]
        threading.Thread(target=self._accept, args=(self._listening,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._listening is not None:
            with contextlib.suppress(OSError):
                self._listening.shutdown(socket.SHUT_RDWR)
            self._listening.close()
        _hang_up(self._open)

    def count(self, word: bytes) -> int:
        """How often clients sent a word, as far as it was delivered."""
        return self.sent.upper().count(word.upper())

    def _accept(self, listening: socket.socket) -> None:
        while True:
            try:
                client, _address = listening.accept()
            except OSError:
                return
            server = socket.create_connection(self.target)
            self._open += [client, server]
            threading.Thread(target=self._serve, args=(client, server), daemon=True).start()

    def _serve(self, client: socket.socket, server: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                readable, _writable, _broken = select.select([client, server], [], [])
                for source in readable:
                    data = source.recv(CHUNK)
                    if not data:
                        return _hang_up([client, server])
                    if source is server:
                        client.sendall(data)
                    elif self._is_the_moment(data):
                        self._break(data, client, server)
                        return _hang_up([client, server])
                    else:
                        server.sendall(data)
                        self.sent += data
        return _hang_up([client, server])

    def _is_the_moment(self, data: bytes) -> bool:
        if self.cut.is_set():
            return False
        self._seen += data.upper().count(self.word.upper())
        return self._seen >= self.occurrence

    def _break(self, data: bytes, client: socket.socket, server: socket.socket) -> None:
        self.cut.set()
        if not self.delivered:
            return
        readable: list[socket.socket] = []
        # The command may come in several pieces. Once the answer is there, the server has done it.
        while server not in readable:
            server.sendall(data)
            self.sent += data
            readable, _writable, _broken = select.select([client, server], [], [])
            data = client.recv(CHUNK) if client in readable and server not in readable else b""
        answer = server.recv(CHUNK)
        if self.after_bytes is not None:
            client.sendall(answer[: self.after_bytes])


def _hang_up(sockets: Sequence[socket.socket]) -> None:
    for each in sockets:
        with contextlib.suppress(OSError):
            each.shutdown(socket.SHUT_RDWR)
        each.close()
