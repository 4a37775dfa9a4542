"""A client that asks a site again and again, and counts every answer and every failure."""

from __future__ import annotations

import http.client
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from types import TracebackType
from urllib.parse import urlsplit


@dataclass
class Hammer:
    """A context manager: while it is open, threads ask C(url) over new connections.

    C(answers) counts by status and first words of the body; C(failures) has every answer that is no success and
    every connection that broke, with the second in which it happened.
    """

    url: str
    threads: int = 2
    pause: float = 0.02
    timeout: float = 60.0
    answers: Counter[str] = field(default_factory=Counter, init=False)
    failures: list[str] = field(default_factory=list, init=False)
    _end: threading.Event = field(default_factory=threading.Event, init=False)
    _running: list[threading.Thread] = field(default_factory=list, init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False)

    def __enter__(self) -> Hammer:
        for _number in range(self.threads):
            self._running.append(threading.Thread(target=self._work, daemon=True))
            self._running[-1].start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end.set()
        for thread in self._running:
            thread.join()

    @property
    def total(self) -> int:
        return sum(self.answers.values())

    def asked(self, more: int = 50, seconds: float = 240.0) -> None:
        """Wait until so many more requests were made."""
        wanted = self.total + more
        deadline = time.monotonic() + seconds
        while self.total < wanted:
            assert time.monotonic() < deadline, f"{self.url} answered {self.total} times only"
            time.sleep(0.02)

    def _work(self) -> None:
        parts = urlsplit(self.url)
        while not self._end.wait(self.pause):
            connection = http.client.HTTPConnection(parts.hostname or "", parts.port or 80, timeout=self.timeout)
            try:
                connection.request("GET", parts.path or "/", headers={"Connection": "close"})
                answer = connection.getresponse()
                body = answer.read().decode(errors="replace")
                self._note(f"{answer.status} {body[:40]}", failed=not 200 <= answer.status < 300)
            except (OSError, http.client.HTTPException) as error:
                self._note(f"{type(error).__name__}: {error}", failed=True)
            finally:
                connection.close()

    def _note(self, answer: str, *, failed: bool) -> None:
        with self._lock:
            self.answers[answer] += 1
            if failed:
                self.failures.append(f"{time.strftime('%H:%M:%S')} {answer}")
