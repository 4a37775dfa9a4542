"""StoreBridge's logs: lines that go on for as long as the lab runs.

Each kind of line comes at a fixed pace, counted from 1970, so every window of the same length holds as many of them
(give or take one) whenever it is asked for, and two questions about one window get one answer.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timezone

from lab.http_stub import Answer, Request, Routes
from lab.loki import Entry, LogStore
from lab.loki import loki_routes as routes_of
from lab.storebridge.generator import figures_of

# How far back lines can be read.
KEPT_SECONDS = 2 * 3_600


@dataclass(frozen=True)
class Kind:
    """A line that comes every ``seconds``; ``{n}`` in it is a number that changes."""

    job: str
    seconds: int
    line: str


ALWAYS = (
    Kind("storebridge-web", 7, 'INFO "GET /health HTTP/1.1" 200 in {n} ms'),
    Kind("storebridge-worker-normal", 11, "INFO Task storebridge.register_product[{n}] succeeded in 0.4s"),
    Kind("storebridge-worker-batch", 29, "INFO Task storebridge.sync_stock[{n}] succeeded in 1.2s"),
    Kind("storebridge-beat", 60, "INFO Scheduler: Sending due task sync-stock (storebridge.sync_stock)"),
    # A search for words finds these; they tell of no error.
    Kind("storebridge-web", 600, "INFO error budget of the week: 99.{n} % left"),
)
HEALTHY = (
    Kind("storebridge-worker-normal", 1_200, "WARNING Rate limit exceeded for Naver API, waiting 500 ms (item DG{n})"),
    Kind("storebridge-worker-normal", 1_800, "ERROR Naver API 503 for item DG{n}, retrying"),
)
DEGRADED = (
    # More in an hour than the hundred lines that a query returns unless it says otherwise.
    Kind("storebridge-worker-normal", 30, "ERROR Rate limit exceeded: 429 Too Many Requests from Naver for item DG{n}"),
    Kind("storebridge-worker-batch", 150, "error rate limit exceeded: Domeggook answered 429 for item DG{n}"),
    Kind("storebridge-worker-normal", 1_200, "ERROR Naver API 503 for item DG{n}, retrying"),
)


def kinds(scenario: str) -> tuple[Kind, ...]:
    figures_of(scenario)
    return ALWAYS + (DEGRADED if scenario == "degraded" else HEALTHY)


def lines(scenario: str, start: float, end: float) -> Iterator[Entry]:
    """The lines in [start, end), epoch seconds."""
    for place, kind in enumerate(kinds(scenario)):
        # Not all at once: each kind has a second of its own.
        offset = place * 13 % kind.seconds
        first = -int((offset - start) // kind.seconds)
        number = first
        while (at := number * kind.seconds + offset) < end:
            stamp = datetime.fromtimestamp(at, timezone.utc).isoformat(timespec="milliseconds")
            text = kind.line.replace("{n}", str(100_000 + number % 3_000))
            yield Entry(at * 10**9, (("job", kind.job),), f"{stamp} {text}")
            number += 1


def loki_routes(scenario: str) -> Routes:
    """Loki's routes over the lines of the last two hours, whenever it is asked."""

    def route(path: str) -> Callable[[Request], Answer]:
        def answer(request: Request) -> Answer:
            now = time.time()
            return routes_of(LogStore(list(lines(scenario, now - KEPT_SECONDS, now))))[path](request)

        return answer

    return {path: route(path) if callable(answer) else answer for path, answer in routes_of(LogStore()).items()}
