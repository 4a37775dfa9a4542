"""Durations as numbers."""

from __future__ import annotations

import pytest

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption
from ansible_collections.runbook.ops.plugins.module_utils.logs.durations import READERS, Histogram, own_reader

TAIL = b'"GET / HTTP/1.1" 200 12 "-" "curl"'


@pytest.mark.parametrize(
    ("reader", "line", "milliseconds"),
    [
        ("rails", b"Completed 200 OK in 12ms (Views: 600.1ms | ActiveRecord: 2.0ms)", 12),
        ("rails", b"Completed 500 Internal Server Error in 2300ms (ActiveRecord: 2.0ms)", 2300),
        ("rails", b"Rendered show.html.erb (Duration: 900.0ms)", None),
        ("nginx", b'1.1.1.1 - - [31/Jan/2026:09:00:01 +0900] "GET / HTTP/1.1" 200 12 "-" "curl" 1.234', 1234),
        ("nginx", b'1.1.1.1 - - [x] "GET / HTTP/1.1" 200 12 "-" "curl" rt=0.007 urt="0.001"', 7),
        ("nginx", b'{"request_time": "0.250"}', 250),
        ("nginx", b'{"request_time":0.250,"status":200}', 250),
        ("nginx", b"1.1.1.1 - - [x] " + TAIL, None),
        ("json", b'{"duration_ms": 12.5}', 12.5),
        ("json", b'{"durationMs":7}', 7),
        ("json", b'{"responseTime":3}', 3),
        ("json", b'{"request_time": 1.5}', 1500),
        ("json", b'{"elapsed_seconds": 2}', 2000),
        ("json", b'{"duration":"1.5s"}', 1500),
        ("json", b'{"latency":"250\xc2\xb5s"}', 0.25),
        # Without a unit it could be anything.
        ("json", b'{"duration": 12}', None),
    ],
)
def test_readers(reader: str, line: bytes, milliseconds: float | None) -> None:
    found = [value for each in READERS[reader] if (value := each.milliseconds(line)) is not None]
    assert (found[0] if found else None) == (None if milliseconds is None else pytest.approx(milliseconds))
    if milliseconds is not None:
        assert any(needle in line for each in READERS[reader] for needle in each.needles)


def test_a_pattern_of_ones_own() -> None:
    reader = own_reader(r"took (\d+) us", "us", ())
    assert reader.milliseconds(b"took 1500 us") == 1.5
    with pytest.raises(InvalidOption) as raised:
        own_reader("took", "us", ())
    assert raised.value.message == (
        "durations: 'took' is not accepted. Accepted: a regular expression whose first group is the number."
    )


def test_percentiles_are_of_numbers() -> None:
    histogram = Histogram()
    for value in (2300, 12, 900, 1200, 45, 100, 7, 8, 9, 10):
        histogram.add(value)
    assert histogram.percentiles() == {"p50_ms": 12.0, "p90_ms": 1200.0, "p95_ms": 2300.0, "p99_ms": 2300.0}
    assert histogram.highest == 2300


def test_percentiles_of_nothing() -> None:
    assert Histogram().percentiles((50,)) == {"p50_ms": None}


def test_values_are_kept_to_three_digits() -> None:
    histogram = Histogram()
    for number in range(100_000):
        histogram.add(1000 + number / 7)
    assert len(histogram._values) < 1000
    assert histogram.percentiles((50,))["p50_ms"] == pytest.approx(1000 + 50_000 / 7, rel=0.005)
