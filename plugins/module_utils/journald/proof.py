# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Numbered lines sent to the journal while its daemon is restarted, and counted afterwards."""

from __future__ import annotations

import contextlib
import secrets
import socket
import threading
import time
from collections.abc import Callable
from typing import Optional

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import RunbookError

_SOCKET = "/run/systemd/journal/socket"
_EVERY_SECONDS = 0.01


class Stream:
    """Sends a numbered line every hundredth of a second between C(start) and C(stop)."""

    def __init__(self) -> None:
        self.tag = f"runbook-proof-{secrets.token_hex(4)}"
        self.sent = 0
        self._failed: Optional[str] = None
        self._ends = threading.Event()
        self._thread = threading.Thread(target=self._send, daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End, and say if a line could not be sent."""
        self._ends.set()
        self._thread.join(60.0)
        if self._failed:
            raise RunbookError(
                f"The journal's socket took no more lines: {self._failed}. Look at systemd-journald.socket."
            )

    def _send(self) -> None:
        with contextlib.closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as sender:
            # While nobody reads, the socket fills and sending waits, as it does for every program.
            sender.settimeout(60.0)
            try:
                while not self._ends.wait(_EVERY_SECONDS):
                    number = self.sent + 1
                    text = f"SYSLOG_IDENTIFIER={self.tag}\nPRIORITY=7\nMESSAGE=line {number}\n"
                    sender.sendto(text.encode(), _SOCKET)
                    self.sent = number
            except OSError as error:
                self._failed = str(error)


def count_lost(stream: Stream, read: Callable[[str], str], seconds: float = 60.0) -> int:
    """How many of the lines are not in the journal, after waiting for the last of them."""
    deadline = time.monotonic() + seconds
    while True:
        found = {line.rpartition(" ")[2] for line in read(stream.tag).splitlines() if " " in line}
        lost = stream.sent - len(found & {str(number) for number in range(1, stream.sent + 1)})
        if not lost or time.monotonic() > deadline:
            return lost
        time.sleep(0.1)
