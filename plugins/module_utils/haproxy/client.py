# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The stats socket of a haproxy: one command, one answer."""

from __future__ import annotations

import socket
from dataclasses import dataclass

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption, RunbookError

DEFAULT_SOCKET = "/run/haproxy/admin.sock"
_MAX_BYTES = 64 * 1024 * 1024


class Unavailable(RunbookError):
    """The socket gives no answer."""


@dataclass(frozen=True)
class Haproxy:
    """A haproxy by its stats socket, a path or C(host:port). Every command has a connection of its own."""

    address: str = DEFAULT_SOCKET
    timeout: float = 10.0

    def ask(self, command: str) -> str:
        """The answer to a command.

        Raises:
            InvalidOption: the command would be more than one.
            Unavailable: there is no answer in time.

        """
        if any(sign in command for sign in "\n\r;"):
            raise InvalidOption("command", command, "one command of haproxy's, without line breaks and semicolons")
        received = bytearray()
        try:
            with self._connected() as connection:
                connection.sendall(command.encode() + b"\n")
                while piece := connection.recv(65536):
                    received += piece
                    if len(received) > _MAX_BYTES:
                        raise Unavailable(f"haproxy answers {command.split(maxsplit=1)[0]!r} with more than 64 MiB.")
        except OSError as error:
            reason = "no answer in time" if "timed out" in str(error) else error.strerror or str(error)
            raise Unavailable(
                f"haproxy's stats socket {self.address} does not answer: {reason}. See whether haproxy runs, and "
                "whether its configuration has this socket with level admin."
            ) from None
        return received.decode("utf-8", "replace").strip("\n")

    def order(self, command: str) -> str:
        """Like C(ask), for commands that change something: those say nothing when it is done.

        Raises:
            RunbookError: haproxy said something.

        """
        answer = self.ask(command).strip()
        if answer:
            raise RunbookError(f"haproxy refused {command!r}: {answer}")
        return answer

    def _connected(self) -> socket.socket:
        host, separator, port = self.address.rpartition(":")
        if separator and port.isdigit() and "/" not in host:
            return socket.create_connection((host.strip("[]"), int(port)), self.timeout)
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.settimeout(self.timeout)
        try:
            connection.connect(self.address)
        except OSError:
            connection.close()
            raise
        return connection
