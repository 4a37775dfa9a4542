"""A real Prometheus with two targets, one of them down, and a history to ask for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timezone

import pytest
from lab.http_stub import HttpStub, Reply
from lab.prometheus import PrometheusServer

EXPORTER = """\
# TYPE queue_tasks gauge
queue_tasks{queue="normal"} 12
queue_tasks{queue="batch"} 30
# TYPE nothing gauge
nothing NaN
# TYPE endless gauge
endless +Inf
# TYPE ratio gauge
ratio 0.0125
# TYPE big gauge
big 123456789012
"""


@dataclass(frozen=True)
class Metrics:
    """The server, and what it scrapes."""

    server: PrometheusServer
    exporter: HttpStub

    @property
    def url(self) -> str:
        return self.server.url


def exposition(text: str) -> Reply:
    return Reply(200, text, headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"})


@pytest.fixture(scope="session")
def metrics() -> Iterator[Metrics]:
    exporter = HttpStub({"/metrics": exposition(EXPORTER)})
    with exporter, PrometheusServer({"app": [f"127.0.0.1:{exporter.port}"], "gone": ["127.0.0.1:1"]}) as server:
        assert server.wait_for_scrapes()
        assert server.wait_for_samples("queue_tasks")
        yield Metrics(server, exporter)


# --- two weeks of StoreBridge: this week is slower than the last

NOW = datetime(2026, 1, 30, 0, 0, tzinfo=timezone.utc)
WEEK = 604_800
BUCKETS = ("0.5", "1", "2.5", "5", "10", "+Inf")
# Requests an hour by the time they take: 100 in all, so that shares can be counted on the fingers.
LAST_WEEK = (90, 6, 2, 1, 1, 0)
THIS_WEEK = (60, 20, 10, 8, 2, 0)


def history() -> str:
    """OpenMetrics: one sample a minute for the last hour, one an hour before, counters that never reset."""
    end = int(NOW.timestamp())
    moments = [*range(end - 2 * WEEK - 3600, end - 3600, 3600), *range(end - 3600, end + 1, 60)]
    series: dict[str, list[str]] = {}

    def add(name: str, value: float, at: int) -> None:
        series.setdefault(name, []).append(f"{name} {value} {at}")

    for at in moments:
        first = max(0, min(at, end - WEEK) - (end - 2 * WEEK - 3600)) / 3600
        second = max(0, at - (end - WEEK)) / 3600
        requests = 100 * (first + second)
        add('http_requests_total{status="200",pod="a"}', 0.995 * requests, at)
        add('http_requests_total{status="500",pod="a"}', 0.005 * requests, at)
        total = 0.0
        for bucket, before, after in zip(BUCKETS, LAST_WEEK, THIS_WEEK, strict=True):
            total += before * first + after * second
            add(f'http_request_duration_seconds_bucket{{le="{bucket}",pod="a"}}', total, at)
        add("storebridge_registration_success_rate", 0.95 if at < end - WEEK else 0.75, at)
        add('storebridge_queue_depth{queue="normal"}', 4000, at)
        add('storebridge_queue_depth{queue="batch"}', 1500, at)
        add('storebridge_rate_limit_remaining{api_name="naver"}', 18, at)
    types = {
        "http_requests": "counter",
        "http_request_duration_seconds": "histogram",
        "storebridge_registration_success_rate": "gauge",
        "storebridge_queue_depth": "gauge",
        "storebridge_rate_limit_remaining": "gauge",
    }
    lines = []
    for family, kind in types.items():
        lines.append(f"# TYPE {family} {kind}")
        for name, samples in series.items():
            if name.split("{")[0] in (family, f"{family}_total", f"{family}_bucket"):
                lines += samples
    return "\n".join([*lines, "# EOF"]) + "\n"


@pytest.fixture(scope="session")
def past() -> Iterator[PrometheusServer]:
    """A server that knows the two weeks before NOW, and scrapes nothing but what is down."""
    with PrometheusServer({"gone": ["127.0.0.1:1"]}, backfill=history()) as server:
        assert server.wait_for_scrapes()
        yield server
