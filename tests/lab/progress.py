"""Lines for the person who waits."""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Iterator
from typing import TextIO


class Progress:
    """One line for every step that ends, with the time it took; threads may report at once."""

    def __init__(self, stream: TextIO | None = None, *, quiet: bool = False) -> None:
        self._stream = stream or sys.stdout
        self._quiet = quiet
        self._lock = threading.Lock()
        self._began = time.monotonic()
        encoding = getattr(self._stream, "encoding", None) or "ascii"
        try:
            "✓✗".encode(encoding)
            self._good, self._bad = "✓", "✗"
        except (UnicodeEncodeError, LookupError):
            self._good, self._bad = "ok", "--"

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._began

    def line(self, text: str = "") -> None:
        if not self._quiet:
            with self._lock:
                print(text, file=self._stream, flush=True)

    def done(self, name: str, text: str, seconds: float | None = None) -> None:
        took = f"  {seconds:5.1f} s" if seconds is not None else ""
        self.line(f"  {self._good} {name:<11}{took}  {text}".rstrip())

    def failed(self, name: str, text: str = "") -> None:
        self.line(f"  {self._bad} {name:<11} {text}".rstrip())

    @contextlib.contextmanager
    def step(self, name: str) -> Iterator[list[str]]:
        """Reports what the block appends, with the time it took; a block that raises reports nothing."""
        began = time.monotonic()
        words: list[str] = []
        yield words
        self.done(name, ", ".join(words), time.monotonic() - began)
