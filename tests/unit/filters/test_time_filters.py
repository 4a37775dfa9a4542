"""duration, in_window, business_day."""

from __future__ import annotations

import datetime as dt

import pytest
from ansible.errors import AnsibleFilterError

from ansible_collections.runbook.ops.plugins.filter.business_day import business_day
from ansible_collections.runbook.ops.plugins.filter.duration import duration
from ansible_collections.runbook.ops.plugins.filter.in_window import in_window

ACCEPTED = (
    "Accepted: a number of seconds (90, 0.5), or amounts with the units w, d, h, m, s, ms, "
    "largest first (1h30m, 2d 6h, 250ms)."
)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1h30m", 5400),
        ("90m", 5400),
        ("90", 90),
        ("0.5", 0.5),
        ("1.5h", 5400),
        ("2d 6h", 194400),
        ("1w", 604800),
        ("250ms", 0.25),
        ("1 hour 30 minutes", 5400),
        ("1H30M", 5400),
        ("-1h", -3600),
        ("0s", 0),
        ("1s500ms", 1.5),
    ],
)
def test_text_becomes_seconds(text, seconds):
    found = duration(text)
    assert found == seconds
    assert isinstance(found, int) is isinstance(seconds, int)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (5400, "1h30m"),
        (90, "1m30s"),
        (0, "0s"),
        (0.25, "250ms"),
        (1.5, "1s500ms"),
        (93784, "1d2h3m4s"),
        (604800, "7d"),
        (-90, "-1m30s"),
        (59.9999, "1m"),
    ],
)
def test_seconds_become_text(seconds, text):
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("seconds", "parts", "text"),
    [
        (93784, 1, "1d"),
        (93784, 2, "1d2h"),
        (93784, 3, "1d2h3m"),
        (86404, 2, "1d"),
        (86404, 4, "1d4s"),
        (59, 2, "59s"),
        (0, 1, "0s"),
    ],
)
def test_parts(seconds, parts, text):
    assert duration(seconds, parts=parts) == text


def test_one_direction_can_be_asked_for():
    assert duration(90, to="seconds") == 90
    assert duration("90", to="text") == "1m30s"
    assert duration("90m", to="text") == "1h30m"


@pytest.mark.parametrize(
    "value",
    [
        "",
        "abc",
        "1y",
        "30m1h",
        "1h1h",
        "1h30",
        "h",
        "1..5h",
        "--1h",
        None,
        True,
        [],
        "5 %",
        float("nan"),
        float("inf"),
        "nan",
    ],
)
def test_what_is_no_duration(value):
    with pytest.raises(AnsibleFilterError) as error:
        duration(value)
    assert str(error.value) == f"duration: duration: {value!r} is not accepted. {ACCEPTED}"


@pytest.mark.parametrize("keywords", [{"to": "minutes"}, {"parts": 0}, {"parts": True}, {"parts": "2"}])
def test_bad_arguments_of_duration(keywords):
    with pytest.raises(AnsibleFilterError, match="is not accepted"):
        duration(90, **keywords)


@pytest.mark.parametrize(
    ("moment", "window", "zone", "inside"),
    [
        ("2026-01-31T00:00:00+09:00", "00:00-09:00", "Asia/Seoul", True),
        ("2026-01-30T14:59:59Z", "00:00-09:00", "Asia/Seoul", False),
        ("2026-01-30T15:00:00Z", "00:00-09:00", "Asia/Seoul", True),
        ("2026-01-30T23:59:59Z", "00:00-09:00", "Asia/Seoul", True),
        ("2026-01-31T00:00:00Z", "00:00-09:00", "Asia/Seoul", False),
        ("2026-01-31T00:00:00Z", "00:00-09:00", "UTC", True),
        # Sunday 1 February 2026
        ("2026-02-01T02:00:00Z", "Sun 02:00-06:00", "UTC", True),
        ("2026-02-01T06:00:00Z", "Sun 02:00-06:00", "UTC", False),
        ("2026-01-31T03:00:00Z", "Sun 02:00-06:00", "UTC", False),
        ("2026-01-31T18:00:00Z", "sunday 02:00-06:00", "Asia/Seoul", True),
        # market hours: Friday 30 January, Saturday 31
        ("2026-01-30T15:29:59+09:00", "Mon-Fri 09:00-15:30", "Asia/Seoul", True),
        ("2026-01-30T15:30:00+09:00", "Mon-Fri 09:00-15:30", "Asia/Seoul", False),
        ("2026-01-31T10:00:00+09:00", "Mon-Fri 09:00-15:30", "Asia/Seoul", False),
        ("2026-01-31T10:00:00Z", "Fri-Mon 09:00-15:30", "UTC", True),
        ("2026-02-03T10:00:00Z", "Fri-Mon 09:00-15:30", "UTC", False),
        ("2026-01-31T10:00:00Z", "Sat,Sun 00:00-24:00", "UTC", True),
        ("2026-02-01T23:59:59Z", "Sat, Sun 00:00-24:00", "UTC", True),
        ("2026-02-02T00:00:00Z", "Sat,Sun 00:00-24:00", "UTC", False),
        ("2026-01-31T10:00:00Z", "daily 00:00-24:00", "UTC", True),
        # over midnight, belonging to Saturday
        ("2026-01-31T23:30:00Z", "Sat 22:00-02:00", "UTC", True),
        ("2026-02-01T01:59:59Z", "Sat 22:00-02:00", "UTC", True),
        ("2026-02-01T02:00:00Z", "Sat 22:00-02:00", "UTC", False),
        ("2026-02-01T22:00:00Z", "Sat 22:00-02:00", "UTC", False),
        ("2026-01-31T01:00:00Z", "Sat 22:00-02:00", "UTC", False),
        ("2026-02-02T01:00:00Z", "Sun 22:00-02:00", "UTC", True),
        # Berlin, 29 March 2026: 02:00 becomes 03:00 at 01:00 UTC
        ("2026-03-29T00:59:59Z", "02:00-03:00", "Europe/Berlin", False),
        ("2026-03-29T01:00:00Z", "02:00-03:00", "Europe/Berlin", False),
        ("2026-03-29T01:00:00Z", "03:00-04:00", "Europe/Berlin", True),
        # Berlin, 25 October 2026: 03:00 becomes 02:00 at 01:00 UTC; the hour comes twice
        ("2026-10-25T00:30:00Z", "02:00-03:00", "Europe/Berlin", True),
        ("2026-10-25T01:30:00Z", "02:00-03:00", "Europe/Berlin", True),
        ("2026-10-25T02:00:00Z", "02:00-03:00", "Europe/Berlin", False),
    ],
)
def test_windows(moment, window, zone, inside):
    assert in_window(moment, window, zone) is inside
    assert in_window(moment, ["Wed 03:00-03:01", window], zone) is inside


def test_no_window_holds_nothing_and_now_is_the_default():
    assert in_window("2026-01-31T00:00:00Z", [], "UTC") is False
    assert in_window("", "00:00-24:00", "UTC") is True


WINDOWS = (
    "Accepted: windows such as '00:00-09:00', 'Sun 02:00-06:00', 'Mon-Fri 09:00-15:30' or 'Sat,Sun 00:00-24:00'; "
    "22:00-02:00 goes over midnight and belongs to the day it starts on"
)


@pytest.mark.parametrize(
    "window",
    [
        "",
        "02:00",
        "25:00-26:00",
        "02:60-03:00",
        "Su 02:00-03:00",
        "Foo 02:00-03:00",
        "Mon-Tue-Wed 01:00-02:00",
        5,
        None,
        "2-3",
    ],
)
def test_what_is_no_window(window):
    with pytest.raises(AnsibleFilterError) as error:
        in_window("2026-01-31T00:00:00Z", [window], "UTC")
    assert str(error.value) == f"in_window: window: {window!r} is not accepted. {WINDOWS}."


@pytest.mark.parametrize("window", ["02:00-02:00", "24:00-02:00"])
def test_an_empty_window_is_refused(window):
    with pytest.raises(AnsibleFilterError, match="For the whole day write 00:00-24:00"):
        in_window("2026-01-31T00:00:00Z", window, "UTC")


def test_the_timezone_must_exist():
    with pytest.raises(AnsibleFilterError) as error:
        in_window("2026-01-31T00:00:00Z", "00:00-09:00", "Asia/Soul")
    assert str(error.value) == (
        "in_window: timezone: 'Asia/Soul' is not accepted. "
        "Accepted: the name of a timezone, such as Asia/Seoul, Europe/Berlin or UTC; did you mean Asia/Seoul?."
    )
    for zone in ("", None, "../etc/passwd", 9):
        with pytest.raises(AnsibleFilterError, match="the name of a timezone"):
            in_window("2026-01-31T00:00:00Z", "00:00-09:00", zone)


@pytest.mark.parametrize("moment", ["2026-01-31T00:00:00", "yesterday", 5, dt.datetime(2026, 1, 1)])
def test_the_moment_needs_its_timezone(moment):
    with pytest.raises(AnsibleFilterError, match="an ISO 8601 moment with timezone"):
        in_window(moment, "00:00-09:00", "UTC")


@pytest.mark.parametrize(
    ("moment", "zone", "days", "date", "start", "end"),
    [
        # 00:15 UTC is 09:15 in Seoul: yesterday there is not yesterday in UTC's sense
        ("2026-01-31T00:15:00Z", "Asia/Seoul", -1, "2026-01-30", "2026-01-29T15:00:00Z", "2026-01-30T15:00:00Z"),
        ("2026-01-31T00:15:00Z", "Asia/Seoul", 0, "2026-01-31", "2026-01-30T15:00:00Z", "2026-01-31T15:00:00Z"),
        ("2026-01-30T15:00:00Z", "Asia/Seoul", 0, "2026-01-31", "2026-01-30T15:00:00Z", "2026-01-31T15:00:00Z"),
        ("2026-01-30T14:59:59Z", "Asia/Seoul", 0, "2026-01-30", "2026-01-29T15:00:00Z", "2026-01-30T15:00:00Z"),
        ("2026-01-31T00:15:00Z", "UTC", -1, "2026-01-30", "2026-01-30T00:00:00Z", "2026-01-31T00:00:00Z"),
        # 23 and 25 hours
        ("2026-03-29T10:00:00Z", "Europe/Berlin", 0, "2026-03-29", "2026-03-28T23:00:00Z", "2026-03-29T22:00:00Z"),
        ("2026-10-25T10:00:00Z", "Europe/Berlin", 0, "2026-10-25", "2026-10-24T22:00:00Z", "2026-10-25T23:00:00Z"),
        # midnight is left out: the day begins at 01:00
        ("2024-04-26T10:00:00Z", "Africa/Cairo", 0, "2024-04-26", "2024-04-25T22:00:00Z", "2024-04-26T21:00:00Z"),
        # midnight happens twice: the day begins at the first
        ("2025-11-02T12:00:00Z", "America/Havana", 0, "2025-11-02", "2025-11-02T04:00:00Z", "2025-11-03T05:00:00Z"),
        ("2026-03-01T00:00:00Z", "UTC", -1, "2026-02-28", "2026-02-28T00:00:00Z", "2026-03-01T00:00:00Z"),
        ("2026-01-31T00:15:00+09:00", "Asia/Seoul", 7, "2026-02-07", "2026-02-06T15:00:00Z", "2026-02-07T15:00:00Z"),
    ],
)
def test_business_days(moment, zone, days, date, start, end):
    assert business_day(moment, zone, days=days) == {"date": date, "start": start, "end": end, "timezone": zone}


@pytest.mark.parametrize("days", ["-1", 1.5, True, None, 10**9])
def test_days_must_be_whole(days):
    with pytest.raises(AnsibleFilterError, match=r"business_day: days: .* is not accepted"):
        business_day("2026-01-31T00:00:00Z", "UTC", days=days)
