"""A running ansible-playbook, for tests that look while it works, or interrupt it."""

from __future__ import annotations

import contextlib
import queue
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

# Seconds until something that should happen counts as not happening.
DEADLINE = 240.0


class PlaybookRun:
    """A running ansible-playbook whose output is read as it comes."""

    def __init__(self, command: Sequence[str], environ: Mapping[str, str]) -> None:
        self.lines: list[str] = []
        self._queue: queue.Queue[str | None] = queue.Queue()
        self.process = subprocess.Popen(
            list(command),
            # Ansible leaves it to Python to flush what it prints, which for a pipe is after thousands of bytes.
            env={**environ, "PYTHONUNBUFFERED": "1"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            bufsize=1,
        )
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for each in self.process.stdout:
            self._queue.put(each.rstrip("\n"))
        self._queue.put(None)

    def line(self, *wanted: str) -> str:
        """The next line that holds all of these."""
        deadline = time.monotonic() + DEADLINE
        while True:
            with contextlib.suppress(queue.Empty):
                found = self._queue.get(timeout=max(0.0, deadline - time.monotonic()))
                if found is None:
                    raise AssertionError(f"no line with {wanted} in\n{self.output}")
                self.lines.append(found)
                if all(each in found for each in wanted):
                    return found
                continue
            raise AssertionError(f"no line with {wanted} in time, in\n{self.output}")

    def end(self) -> int:
        """Read to the end: the return code."""
        while (found := self._queue.get(timeout=DEADLINE)) is not None:
            self.lines.append(found)
        return self.process.wait(timeout=DEADLINE)

    @property
    def output(self) -> str:
        return "\n".join(self.lines)


def eventually(holds: Callable[[], bool], what: Callable[[], object]) -> None:
    """Wait until something holds."""
    deadline = time.monotonic() + DEADLINE
    while not holds():
        assert time.monotonic() < deadline, f"not in time: {what()}"
        time.sleep(0.05)


def is_alive(pid: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    except OSError:
        return False
