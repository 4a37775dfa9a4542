"""What a client sees while something is changed: request after request, each on a connection of its own."""

from __future__ import annotations

import http.client
import json
import threading
from collections import Counter
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

from lab.process import eventually


class Hammer:
    """``with Hammer(url) as hammer:`` — sends until the block ends; ``statuses`` and ``images`` count the answers.

    A request without an answer has the status 0.
    """

    def __init__(self, url: str, *, pause: float = 0.03) -> None:
        self._address = urlsplit(url)
        self._pause = pause
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="hammer", daemon=True)
        self.statuses: Counter[int] = Counter()
        self.images: Counter[str] = Counter()

    def __enter__(self) -> Self:
        self._thread.start()
        eventually(lambda: sum(self.statuses.values()) > 0, "the first request")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping.set()
        self._thread.join(timeout=300)

    @property
    def errors(self) -> int:
        """Requests that were not answered with 200."""
        return sum(count for status, count in self.statuses.items() if status != 200)

    def more(self, count: int = 5) -> None:
        """Wait for some more requests."""
        wanted = sum(self.statuses.values()) + count
        eventually(lambda: sum(self.statuses.values()) >= wanted, "more requests")

    def _run(self) -> None:
        while not self._stopping.wait(self._pause):
            status, document = self._ask()
            self.statuses[status] += 1
            if document.get("image"):
                self.images[document["image"]] += 1

    def _ask(self) -> tuple[int, dict[str, Any]]:
        connection = http.client.HTTPConnection(str(self._address.hostname), self._address.port, timeout=60)
        try:
            connection.request("GET", "/", headers={"Connection": "close"})
            answer = connection.getresponse()
            document = json.loads(answer.read())
            return answer.status, document if isinstance(document, dict) else {}
        except (OSError, http.client.HTTPException, ValueError):
            return 0, {}
        finally:
            connection.close()
