"""What StoreBridge's exporter tells Prometheus, now and in the past.

Counters are functions of the time: the history that Prometheus is given and what it scrapes later fit together.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from datetime import datetime

from lab.exposition import Sample, counted, page, past
from lab.storebridge.generator import figures_of

# Requests a second by status; 0.35 % of them end with a 5xx.
RATES = {"200": 41.2, "201": 3.1, "404": 0.9, "429": 0.35, "500": 0.12, "503": 0.04}
# The share of requests that take at most so many seconds: a 95th percentile of about 0.8 s.
BUCKETS = {
    "0.05": 0.32, "0.1": 0.55, "0.25": 0.79, "0.5": 0.905, "1": 0.972, "2": 0.994, "3": 0.998, "5": 0.9995, "10": 1.0,
    "+Inf": 1.0,
}  # fmt: skip
MEAN_SECONDS = 0.21
# Counters began here; any moment before the first scrape will do, as long as it stays the same.
EPOCH = 1_700_000_000.0
NAVER_LIMIT = 120
# Nobody listens on the port for multiplexing TCP (IANA: tcpmux).
DOWN_JOB, DOWN_TARGET = "storebridge-worker", "127.0.0.1:1"
# A few samples a day are enough to compare weeks, and promtool writes a block for each two hours that have any.
HISTORY_DAYS = 15
HISTORY_STEP = 600
SAMPLES_A_DAY = 3

TYPES = {
    "http_requests": ("counter", "Requests by status."),
    "http_request_duration_seconds": ("histogram", "How long requests take."),
    "storebridge_registration_success_rate": ("gauge", "Share of the registrations of the last hour that succeeded."),
    "storebridge_queue_depth": ("gauge", "Tasks that wait."),
    "storebridge_rate_limit_remaining": ("gauge", "Calls that are left in this window."),
    "storebridge_rate_limit_limit": ("gauge", "Calls that a window has."),
}


def samples(scenario: str, at: float) -> Iterator[tuple[str, list[Sample]]]:
    """Every family with its samples at a moment (epoch seconds).

    The figures are good in both scenarios: what is wrong in the degraded one is found where it is, once.
    """
    figures_of(scenario)
    elapsed = at - EPOCH
    total = sum(RATES.values()) * elapsed
    # A day's rhythm without chance: the same moment gives the same figure.
    wave = math.sin(at / 86_400 * 2 * math.pi)
    yield (
        "http_requests",
        [("http_requests_total", {"status": status}, counted(rate * elapsed)) for status, rate in RATES.items()],
    )
    buckets: list[Sample] = [
        ("http_request_duration_seconds_bucket", {"le": edge}, counted(share * total))
        for edge, share in BUCKETS.items()
    ]
    summed: list[Sample] = [
        ("http_request_duration_seconds_sum", {}, round(MEAN_SECONDS * total, 3)),
        ("http_request_duration_seconds_count", {}, counted(total)),
    ]
    yield "http_request_duration_seconds", buckets + summed
    gauges: dict[str, list[tuple[dict[str, str], float]]] = {
        "storebridge_registration_success_rate": [({}, round(0.94 + 0.01 * wave, 4))],
        "storebridge_queue_depth": [
            ({"queue": "normal"}, round(140 + 40 * wave)),
            ({"queue": "batch"}, round(60 - 20 * wave)),
        ],
        "storebridge_rate_limit_remaining": [({"api_name": "naver"}, round(84 + 10 * wave))],
        "storebridge_rate_limit_limit": [({"api_name": "naver"}, NAVER_LIMIT)],
    }
    for name, values in gauges.items():
        yield name, [(name, labels, value) for labels, value in values]


def metrics_text(scenario: str, at: float | None = None) -> str:
    """The exporter's page, in Prometheus' text format 0.0.4."""
    return page(samples(scenario, time.time() if at is None else at), TYPES)


def metrics_history(scenario: str, now: datetime, labels: dict[str, str]) -> str:
    """Two weeks of the same in OpenMetrics, for comparisons with last week; ``labels`` are the target's."""
    end = now.timestamp()
    moments = [
        end - day * 86_400 - place * HISTORY_STEP
        for day in range(HISTORY_DAYS, 0, -1)
        for place in range(SAMPLES_A_DAY - 1, -1, -1)
    ]
    return past(lambda at: samples(scenario, at), TYPES, moments, labels)


def scrape_targets(scenario: str, exporter: str) -> dict[str, list[str]]:
    """What Prometheus watches; in the degraded scenario a worker's exporter does not answer."""
    targets = {"storebridge": [exporter]}
    return {**targets, DOWN_JOB: [DOWN_TARGET]} if scenario == "degraded" else targets
