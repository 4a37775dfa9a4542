"""The server's side of a websocket (RFC 6455), as far as Kubernetes' channels need it."""

from __future__ import annotations

import base64
import hashlib
import struct
from collections.abc import Mapping
from typing import Any

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10


class WebSocket:
    """Frames on an open connection; nothing is compressed."""

    def __init__(self, rfile: Any, wfile: Any) -> None:
        self._rfile = rfile
        self._wfile = wfile
        self._closed = False

    def shake_hands(self, headers: Mapping[str, str], protocol: str) -> None:
        """Answer the upgrade."""
        digest = hashlib.sha1(headers["sec-websocket-key"].encode() + _GUID).digest()
        lines = (
            "HTTP/1.1 101 Switching Protocols",
            "Upgrade: websocket",
            "Connection: Upgrade",
            f"Sec-WebSocket-Accept: {base64.b64encode(digest).decode()}",
            f"Sec-WebSocket-Protocol: {protocol}",
        )
        self._wfile.write("".join(f"{line}\r\n" for line in (*lines, "")).encode())

    def send(self, payload: bytes, code: int = BINARY) -> None:
        if len(payload) < 126:
            size = bytes([len(payload)])
        elif len(payload) < 1 << 16:
            size = b"\x7e" + struct.pack(">H", len(payload))
        else:
            size = b"\x7f" + struct.pack(">Q", len(payload))
        self._wfile.write(bytes([0x80 | code]) + size + payload)

    def receive(self) -> bytes | None:
        """The next message; None when the client closed."""
        message = b""
        while not self._closed:
            head = self._rfile.read(2)
            if len(head) < 2:
                break
            code, size = head[0] & 0x0F, head[1] & 0x7F
            if size == 126:
                (size,) = struct.unpack(">H", self._rfile.read(2))
            elif size == 127:
                (size,) = struct.unpack(">Q", self._rfile.read(8))
            mask = self._rfile.read(4) if head[1] & 0x80 else b"\0\0\0\0"
            payload = bytes(byte ^ mask[place % 4] for place, byte in enumerate(self._rfile.read(size)))
            if code == CLOSE:
                break
            if code == PING:
                self.send(payload, PONG)
            elif code != PONG:
                message += payload
                if head[0] & 0x80:
                    return message
        self._closed = True
        return None

    def close(self) -> None:
        """Say goodbye, and wait for the client's."""
        self.send(struct.pack(">H", 1000), CLOSE)
        while self.receive() is not None:
            pass
