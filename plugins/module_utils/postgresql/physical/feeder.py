# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Handing WAL to a server that recovers: its C(restore_command) asks, this process fetches.

The command is a few lines of shell that write a name into one pipe and read an answer from another: the server's
account needs neither the archive's credentials nor the right to read it, and no secret stands in any command line.
"""

from __future__ import annotations

import contextlib
import os
import select
import threading
from types import TracebackType
from typing import Optional

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import RunbookError
from ansible_collections.runbook.ops.plugins.module_utils.common.files import explained
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.physical.archive import WalArchive
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.physical.wal import Names
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.scratch.place import ScratchPlace

_HERE, _NONE, _BROKEN = "here", "none", "broken"
_WAIT_SECONDS = 0.2
# Above 125 the server gives up instead of taking the file for one that does not exist (RestoreArchivedFile).
_SCRIPT = """#!/bin/sh
place=${0%/*}
printf '%s\\n' "$1" > "$place/asked" || exit 200
read -r answer < "$place/answer" || exit 200
case "$answer" in
here) mv -f "$place/file" "$2" || exit 200 ;;
none) exit 1 ;;
*) exit 200 ;;
esac
"""


class Feeder:
    """Serves one recovering server from a thread, for as long as the block runs.

    Args:
        place: The scratch place that the server lives in.
        archive: Where WAL comes from; None for a server that must do with what it has.
        names: What the archive holds.

    """

    def __init__(self, place: ScratchPlace, archive: Optional[WalArchive], names: Optional[Names]) -> None:
        self._place = place
        self._archive = archive
        self._names = names
        self._directory = place.directory / "wal"
        self._is_over = threading.Event()
        self._thread: Optional[threading.Thread] = None
        self._descriptors: list[int] = []
        # Why a file that is there could not be handed over: then the server's failure is only a consequence.
        self.problem: Optional[RunbookError] = None
        self.segments = 0

    @property
    def command(self) -> str:
        """The server's C(restore_command)."""
        return f"/bin/sh {self._directory / 'fetch'} %f %p"

    def __enter__(self) -> Feeder:
        self._place.subdirectory("wal")
        script = self._directory / "fetch"
        with explained("write", script):
            script.write_text(_SCRIPT, encoding="ascii")
            script.chmod(0o500)
            self._place.give(script)
            for name in ("asked", "answer"):
                os.mkfifo(self._directory / name, 0o600)
                self._place.give(self._directory / name)
                # For reading and writing: neither side waits for the other to open its end.
                self._descriptors.append(os.open(self._directory / name, os.O_RDWR | os.O_NONBLOCK))
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: Optional[type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        self._is_over.set()
        if self._thread is not None:
            self._thread.join()
        for descriptor in self._descriptors:
            os.close(descriptor)
        self._descriptors = []

    def _serve(self) -> None:
        asked, answer = self._descriptors
        pending = b""
        while not self._is_over.is_set():
            if not select.select([asked], [], [], _WAIT_SECONDS)[0]:
                continue
            with contextlib.suppress(BlockingIOError):
                pending += os.read(asked, 4096)
            while b"\n" in pending:
                line, pending = pending.split(b"\n", 1)
                told = self._answer(line.decode("ascii", "replace"))
                # An answer that nobody fetched was for a command that is gone.
                with contextlib.suppress(BlockingIOError):
                    os.read(answer, 4096)
                os.write(answer, f"{told}\n".encode("ascii"))

    def _answer(self, name: str) -> str:
        if self._archive is None or self._names is None:
            return _NONE
        path = self._names.segments.get(name)
        if path is None and name.endswith(".history"):
            path = self._names.histories.get(int(name[:8], 16))
        if path is None:
            return _NONE
        file = self._directory / "file"
        try:
            with explained("write", file), file.open("wb") as stream:
                for chunk in self._archive.open(path):
                    stream.write(chunk)
                os.fchmod(stream.fileno(), 0o600)
            self._place.give(file)
        except RunbookError as error:
            self.problem = error
            return _BROKEN
        except OSError as error:
            self.problem = RunbookError(f"{path} cannot be handed over: {error.strerror or error}")
            return _BROKEN
        self.segments += 1
        return _HERE
