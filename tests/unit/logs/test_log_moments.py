"""When lines were written, in the layouts that programs use."""

from __future__ import annotations

import datetime as dt
from zoneinfo import ZoneInfo

import pytest

from ansible_collections.runbook.ops.plugins.module_utils.common.clock import iso_of
from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption
from ansible_collections.runbook.ops.plugins.module_utils.logs.moments import Clock, custom_layout, layout_of

SEOUL = ZoneInfo("Asia/Seoul")
REFERENCE = dt.datetime(2026, 1, 31, 12, tzinfo=dt.timezone.utc).timestamp()


def read(line: bytes, zone: dt.tzinfo = SEOUL, reference: float = REFERENCE) -> tuple[str | None, str | None]:
    layout = layout_of([line], zone, reference)
    if layout is None:
        return None, None
    moment = Clock(layout, zone, reference).moment(line)
    return layout.name, None if moment is None else iso_of(moment)


@pytest.mark.parametrize(
    ("line", "layout", "moment"),
    [
        (b"2026-01-31T09:00:01.5Z INFO x", "iso8601", "2026-01-31T09:00:01Z"),
        (b"2026-01-31 09:00:01,123 INFO x", "iso8601", "2026-01-31T00:00:01Z"),
        (b"2026-01-31T09:00:01+01:00 x", "iso8601", "2026-01-31T08:00:01Z"),
        (b"2026-01-31T09:00:01-0330 x", "iso8601", "2026-01-31T12:30:01Z"),
        (b"[2026-01-31T09:00:01] x", "iso8601", "2026-01-31T00:00:01Z"),
        (b"<34>1 2026-01-31T09:00:01.003Z web1 su - ID47 - x", "iso8601", "2026-01-31T09:00:01Z"),
        (b"2026/01/31 09:00:01 [error] 12#12: *3 x", "iso8601", "2026-01-31T00:00:01Z"),
        (b"E, [2026-01-31T09:00:01.123456 #77] ERROR -- : x", "iso8601", "2026-01-31T00:00:01Z"),
        (b"2026-01-31 09:00:01.123 UTC [77] ERROR:  x", "iso8601", "2026-01-31T09:00:01Z"),
        (b"2026-01-31 09:00:01.123 KST [77] ERROR:  x", "iso8601", "2026-01-31T00:00:01Z"),
        # A zone that is not the one given is not guessed; a level is no zone.
        (b"2026-01-31 09:00:01.123 CEST [77] ERROR:  x", None, None),
        (b"2026-01-31 09:00:01 INFO [77] x", "iso8601", "2026-01-31T00:00:01Z"),
        (b"2026-02-30 09:00:01 x", None, None),
        (b"Jan 31 09:00:01 web1 app[1]: x", "rfc3164", "2026-01-31T00:00:01Z"),
        (b"<13>Jan  5 09:00:01 web1 app: x", "rfc3164", "2026-01-05T00:00:01Z"),
        # The year before, because it would be in the future; and the last leap year.
        (b"Dec 31 23:59:59 web1 app: x", "rfc3164", "2025-12-31T14:59:59Z"),
        (b"Feb 29 09:00:00 web1 app: x", "rfc3164", "2024-02-29T00:00:00Z"),
        (b'10.0.0.1 - bob [31/Jan/2026:09:00:01 +0900] "GET / HTTP/1.1" 200 1', "access", "2026-01-31T00:00:01Z"),
        (b"[Sat Jan 31 09:00:01.123456 2026] [core:error] [pid 1] x", "apache_error", "2026-01-31T00:00:01Z"),
        (b'{"level":50,"time":1769850001123,"msg":"x"}', "json", "2026-01-31T09:00:01Z"),
        (b'{"ts":1769850001.25}', "json", "2026-01-31T09:00:01Z"),
        (b'{"@timestamp":"2026-01-31T09:00:01Z","time":1}', "json", "2026-01-31T09:00:01Z"),
        (b'{"payload":{"time":1769850001}}', None, None),
        (b"1769850001 x", "epoch", "2026-01-31T09:00:01Z"),
        (b"[1769850001.123] x", "epoch", "2026-01-31T09:00:01Z"),
        (b"1769850001123 x", "epoch", "2026-01-31T09:00:01Z"),
        (b"17698500011 x", None, None),
        (b"    at frame (file.js:1)", None, None),
        (b"\xff\xfe\x00", None, None),
    ],
)
def test_layouts(line: bytes, layout: str | None, moment: str | None) -> None:
    assert read(line) == (layout, moment)


def test_the_hour_that_comes_twice_is_the_first() -> None:
    line = b"2025-10-26 02:30:00 x"
    assert read(line, ZoneInfo("Europe/Berlin"))[1] == "2025-10-26T00:30:00Z"


def test_a_layout_of_ones_own() -> None:
    layout = custom_layout(r"at=(\S+)", "%d.%m.%Y_%H:%M:%S")
    clock = Clock(layout, SEOUL, REFERENCE)
    assert iso_of(clock.moment(b"n=1 at=31.01.2026_09:00:01 x") or 0) == "2026-01-31T00:00:01Z"
    assert clock.moment(b"n=1 at=nonsense x") is None


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("at=", "time_pattern: 'at=' is not accepted. Accepted: a regular expression whose first group is the moment."),
        (
            "(",
            "time_pattern: '(' is not accepted. Accepted: a regular expression (missing ), unterminated subpattern at "
            "position 3).",
        ),
    ],
)
def test_a_wrong_layout_of_ones_own(pattern: str, message: str) -> None:
    with pytest.raises(InvalidOption) as raised:
        custom_layout(pattern, "%s")
    assert raised.value.message == message
