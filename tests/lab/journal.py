"""A journald of one's own, with its files in a directory of the test.

It runs as a namespace of journald with the machine's places for journals hidden behind that directory, so that nothing
is left on the machine.
"""

from __future__ import annotations

import os
import socket
import subprocess
import time
import uuid
from pathlib import Path
from types import TracebackType

PROGRAM = "/usr/lib/systemd/systemd-journald"
_SECONDS = 120.0


class Journal:
    """Starts with the block; C(directory) is where the files are."""

    def __init__(self, place: Path) -> None:
        self._name = f"lab{uuid.uuid4().hex[:8]}"
        self._run = place / "run"
        self._log = place / "journal"
        for each in (self._run, self._log):
            each.mkdir()

    def __enter__(self) -> Journal:
        script = (
            f"mount --bind '{self._run}' /run/systemd && mkdir -p /var/log/journal && "
            f"mount --bind '{self._log}' /var/log/journal && exec {PROGRAM} {self._name}"
        )
        self._process = subprocess.Popen(["unshare", "--mount", "sh", "-c", script], stderr=subprocess.DEVNULL)
        self._wait(self._socket.exists)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.terminate()
        self._process.wait(_SECONDS)

    @property
    def _socket(self) -> Path:
        return self._run / f"journal.{self._name}" / "socket"

    @property
    def directory(self) -> Path:
        """With the files, once anything was written."""
        return next(self._log.glob(f"*.{self._name}"))

    def write(self, *records: dict[str, str | bytes]) -> None:
        """Log records, and wait until they are in the files."""
        # A path that is too long for a socket is reached through its directory.
        descriptor = os.open(self._socket.parent, os.O_RDONLY | os.O_DIRECTORY)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as client:
            client.connect(f"/proc/self/fd/{descriptor}/socket")
            for record in records:
                client.send(b"".join(_field(name, value) for name, value in record.items()))
        os.close(descriptor)
        last = str(records[-1]["SYSLOG_IDENTIFIER"])
        self._wait(lambda: last in self.journalctl(f"--identifier={last}", "--output=with-unit"))

    def journalctl(self, *arguments: str) -> str:
        """What journalctl says about it."""
        found = next(self._log.glob(f"*.{self._name}"), None)
        if found is None:
            return ""
        command = ["journalctl", f"--directory={found}", "--no-pager", "--quiet", *arguments]
        return subprocess.run(command, capture_output=True, check=False).stdout.decode("utf-8", "replace")

    def _wait(self, condition: object) -> None:
        deadline = time.monotonic() + _SECONDS
        while not condition():  # type: ignore[operator]
            assert self._process.poll() is None, "journald ended"
            assert time.monotonic() < deadline, "journald does not answer"
            time.sleep(0.05)


def _field(name: str, value: str | bytes) -> bytes:
    raw = value.encode() if isinstance(value, str) else value
    return name.encode() + b"\n" + len(raw).to_bytes(8, "little") + raw + b"\n"
