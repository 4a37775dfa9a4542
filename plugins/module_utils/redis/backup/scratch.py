# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A server of our own that loads a copy: reachable through a socket in a private directory, and by nobody else."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Optional

from ansible_collections.runbook.ops.plugins.module_utils.backup.errors import Damaged, Undecided
from ansible_collections.runbook.ops.plugins.module_utils.common.children import end_with_parent
from ansible_collections.runbook.ops.plugins.module_utils.common.errors import RunbookError, Unavailable
from ansible_collections.runbook.ops.plugins.module_utils.common.progress import Progress
from ansible_collections.runbook.ops.plugins.module_utils.redis.backup.program import Program
from ansible_collections.runbook.ops.plugins.module_utils.redis.client import RedisClient
from ansible_collections.runbook.ops.plugins.module_utils.redis.errors import Refusal
from ansible_collections.runbook.ops.plugins.module_utils.redis.info import flag, number, parse_info
from ansible_collections.runbook.ops.plugins.module_utils.redis.options import Settings

_POLL_SECONDS = 0.05
_STOP_SECONDS = 10.0
_LOG_BYTES = 20_000
# What the server says of a file that is newer than it is; nothing is wrong with the file.
_TOO_NEW = ("can't handle rdb format version",)
_NOTHING_TO_LOG = "it ended without a word"

# A replica deletes no expired keys when it loads or afterwards (rdbLoadRio() in rdb.c), so that a copy can be counted
# to the key. Nobody listens at its master's address; the data set is left as it is.
KEEPS_EXPIRED = ("--replicaof", "127.0.0.1", "1")


class ScratchServer:
    """A server without a port whose data lies in a directory; it ends with the block, and with this process.

    Raises:
        Damaged: the files in the directory cannot be loaded.
        Undecided: the server ended for another reason, or takes too long.

    """

    def __init__(
        self, program: Program, directory: Path, arguments: Sequence[str], seconds: float, progress: Progress
    ) -> None:
        """C(arguments) are settings as on the server's command line; C(seconds) is for loading."""
        self._program = program
        self._directory = directory
        self._arguments = list(arguments)
        self._seconds = seconds
        self._progress = progress
        self._process: Optional[subprocess.Popen[bytes]] = None
        # The name of a socket may have 107 bytes at most, whatever the directory of the data is called.
        self._private = Path(tempfile.mkdtemp(prefix="runbook-redis-"))
        self._log = self._private / "log"
        self.settings = Settings(unix_socket=str(self._private / "s"), socket_timeout=seconds)

    def __enter__(self) -> ScratchServer:
        try:
            self._spawn()
            self._wait()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: Optional[type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """End the process without saving anything, and remove the private directory."""
        if self._process is not None and self._process.poll() is None:
            # Nothing is to be saved, so there is nothing to wait for; but an AOF is flushed in a polite end.
            self._process.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(_STOP_SECONDS)
            if self._process.poll() is None:
                self._process.kill()
                self._process.wait()
        self._process = None
        shutil.rmtree(self._private, ignore_errors=True)

    def _spawn(self) -> None:
        command = [
            *(self._program.path, "--port", "0", "--unixsocket", str(self._private / "s"), "--unixsocketperm", "700"),
            *("--dir", str(self._directory), "--save", "", "--daemonize", "no", "--logfile", str(self._log)),
            *("--loglevel", "notice", "--maxmemory", "0", "--databases", "10000"),
            *self._arguments,
        ]
        try:
            self._process = subprocess.Popen(
                command,
                cwd=self._directory,
                env={"PATH": os.environ.get("PATH", ""), "LC_ALL": "C"},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                preexec_fn=end_with_parent(),  # noqa: PLW1509 - modules have no threads
            )
        except OSError as error:
            raise RunbookError(f"{self._program.path} cannot be started: {error.strerror or error}.") from None

    def _wait(self) -> None:
        deadline = time.monotonic() + self._seconds
        while True:
            note = self._look()
            if note is None:
                return
            if self._process is not None and self._process.poll() is not None:
                raise self._ended(self._process.returncode)
            if time.monotonic() > deadline:
                raise Undecided(
                    f"a scratch server did not load it within {self._seconds:g} s ({note}). Raise verify_timeout"
                )
            self._progress.at(0, note)
            time.sleep(_POLL_SECONDS)

    def _look(self) -> str | None:
        """None once everything is loaded, else how far it is."""
        if not (self._private / "s").exists():
            return "starting"
        try:
            with RedisClient(self.settings) as client:
                reply = client.pipeline([("INFO",)], tolerant=True)[0]
        except Unavailable:
            return "starting"
        if isinstance(reply, Refusal):
            return "loading"
        info = parse_info(reply)
        if not flag(info, "loading"):
            return None
        return f"loading, {number(info, 'loading_loaded_perc') or 0:.0f} %"

    def _ended(self, code: int) -> RunbookError:
        words = self._last_words()
        if code == -signal.SIGKILL:
            return Undecided("the scratch server was killed, perhaps for lack of memory. The system's log may say")
        if any(phrase in words.lower() for phrase in _TOO_NEW):
            return Undecided(
                f"{self._program.label} is older than the backup's format ({words}). Name a newer server_binary"
            )
        return Damaged(f"{self._program.label} does not load it: {words}")

    def _last_words(self) -> str:
        """The last lines of the log that say something, without their times, as one clause."""
        try:
            with self._log.open("rb") as stream:
                stream.seek(max(0, self._log.stat().st_size - _LOG_BYTES))
                text = stream.read().decode("utf-8", "backslashreplace")
        except OSError:
            return _NOTHING_TO_LOG
        lines = [line.split(" # ", 1)[1].strip() for line in text.splitlines() if " # " in line]
        told = [line for line in lines if not line.startswith(("WARNING", "Warning"))]
        return "; ".join(dict.fromkeys(told[-3:])) or _NOTHING_TO_LOG
