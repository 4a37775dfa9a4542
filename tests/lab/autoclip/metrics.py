"""What AutoClip's exporter tells Prometheus. Counters are functions of the time."""

from __future__ import annotations

import time
from collections.abc import Iterator

from lab.exposition import Sample, counted, page

# Requests a second of each pod by status; 0.2 % of them end with a 5xx.
RATES = {"200": 9.2, "404": 0.76, "500": 0.02}
BUCKETS = {"0.1": 0.71, "0.25": 0.93, "0.5": 0.985, "1": 0.997, "2.5": 1.0, "+Inf": 1.0}
PODS = ("autoclip-api-1", "autoclip-api-2", "autoclip-api-3")
# Contents a second, by how they end, and how long one takes.
CONTENTS = {"success": 0.0485, "failed": 0.0012}
MEAN_SECONDS = 84.0
EPOCH = 1_700_000_000.0
TYPES = {
    "http_requests": ("counter", "Requests by status."),
    "http_request_duration_seconds": ("histogram", "How long requests take."),
    "content_generation": ("counter", "Contents by how they ended."),
    "content_generation_duration_seconds": ("summary", "How long a content takes."),
    "bull_waiting_count": ("gauge", "Jobs that wait."),
    "nginx_ingress_controller_nginx_process_connections": ("gauge", "Connections by state."),
}


def samples(at: float) -> Iterator[tuple[str, list[Sample]]]:
    """Every family with its samples at a moment.

    The figures are good in both scenarios: what is wrong in the degraded one is found where it is, once.
    """
    elapsed = at - EPOCH
    service = [{"service": "autoclip-api", "pod": pod} for pod in PODS]
    yield (
        "http_requests",
        [
            ("http_requests_total", {**labels, "status": status}, counted(rate * elapsed))
            for labels in service
            for status, rate in RATES.items()
        ],
    )
    total, name = sum(RATES.values()) * elapsed, "http_request_duration_seconds"
    yield (
        name,
        [
            sample
            for labels in service
            for sample in (
                *[
                    (f"{name}_bucket", {**labels, "le": edge}, counted(share * total))
                    for edge, share in BUCKETS.items()
                ],
                (f"{name}_sum", labels, counted(0.09 * total)),
                (f"{name}_count", labels, counted(total)),
            )
        ],
    )
    made = [
        ("content_generation_total", {"status": status}, counted(rate * elapsed)) for status, rate in CONTENTS.items()
    ]
    yield "content_generation", made
    ended, name = sum(CONTENTS.values()) * elapsed, "content_generation_duration_seconds"
    yield name, [(f"{name}_sum", {}, counted(MEAN_SECONDS * ended)), (f"{name}_count", {}, counted(ended))]
    yield "bull_waiting_count", [("bull_waiting_count", {"queue": "content-generation"}, 12)]
    name = "nginx_ingress_controller_nginx_process_connections"
    yield name, [(name, {"state": state}, count) for state, count in (("active", 41), ("waiting", 30))]


def metrics_text(scenario: str, at: float | None = None) -> str:
    """The exporter's page."""
    assert scenario in ("healthy", "degraded")
    return page(samples(time.time() if at is None else at), TYPES)
