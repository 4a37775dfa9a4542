"""The naming rule: which names are backups, of when, and how they are called."""

from __future__ import annotations

import datetime as dt

import pytest

from ansible_collections.runbook.ops.plugins.module_utils.backup.naming import NamingRule, duration, is_pointer, zone
from ansible_collections.runbook.ops.plugins.module_utils.common.clock import iso
from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption

ACCEPTED = (
    "Accepted: a name with %Y, %m, %d, %H, %M, %S (or %F, %T, %j, %y, %s), such as storebridge-%Y%m%d.sql.gz;"
    " a finer directive needs the coarser ones."
)


def rule(pattern: str, timezone: str = "UTC") -> NamingRule:
    return NamingRule(pattern, zone(timezone))


@pytest.mark.parametrize(
    ("pattern", "timezone", "name", "start", "end"),
    [
        ("shop-%Y%m%d.sql.gz", "UTC", "shop-20260131.sql.gz", "2026-01-31T00:00:00Z", "2026-02-01T00:00:00Z"),
        # A Korean day begins at 15:00 of the day before, in UTC.
        ("shop-%Y%m%d.sql.gz", "Asia/Seoul", "shop-20260131.sql.gz", "2026-01-30T15:00:00Z", "2026-01-31T15:00:00Z"),
        # The day on which the clocks go forward has 23 hours, the one on which they go back 25.
        ("s-%Y%m%d", "Europe/Berlin", "s-20260329", "2026-03-28T23:00:00Z", "2026-03-29T22:00:00Z"),
        ("s-%Y%m%d", "Europe/Berlin", "s-20261025", "2026-10-24T22:00:00Z", "2026-10-25T23:00:00Z"),
        ("%F_%T.dump", "UTC", "2026-01-31_02:00:05.dump", "2026-01-31T02:00:05Z", "2026-01-31T02:00:06Z"),
        ("%Y-%m-%dT%H%M.dump", "UTC", "2026-01-31T0200.dump", "2026-01-31T02:00:00Z", "2026-01-31T02:01:00Z"),
        ("%Y%m%d%H", "UTC", "2026013123", "2026-01-31T23:00:00Z", "2026-02-01T00:00:00Z"),
        ("m-%Y-%m", "UTC", "m-2026-12", "2026-12-01T00:00:00Z", "2027-01-01T00:00:00Z"),
        ("y-%Y", "UTC", "y-2026", "2026-01-01T00:00:00Z", "2027-01-01T00:00:00Z"),
        ("b-%y%m%d", "UTC", "b-260131", "2026-01-31T00:00:00Z", "2026-02-01T00:00:00Z"),
        ("b-%Y.%j", "UTC", "b-2026.031", "2026-01-31T00:00:00Z", "2026-02-01T00:00:00Z"),
        ("b-%s", "UTC", "b-1769824800", "2026-01-31T02:00:00Z", "2026-01-31T02:00:01Z"),
        ("%Y/%m/b-%Y%m%d", "UTC", "2026/01/b-20260131", "2026-01-31T00:00:00Z", "2026-02-01T00:00:00Z"),
        ("재고 %Y%m%d (밤).sql", "UTC", "재고 20260131 (밤).sql", "2026-01-31T00:00:00Z", "2026-02-01T00:00:00Z"),
        ("100%%-%Y%m%d", "UTC", "100%-20260131", "2026-01-31T00:00:00Z", "2026-02-01T00:00:00Z"),
        # Neither dots nor stars mean anything but themselves.
        ("a.b*-%Y", "UTC", "a.b*-2026", "2026-01-01T00:00:00Z", "2027-01-01T00:00:00Z"),
    ],
)
def test_period(pattern: str, timezone: str, name: str, start: str, end: str) -> None:
    period = rule(pattern, timezone).period(name)
    assert period is not None
    assert (iso(period.start), iso(period.end)) == (start, end)


@pytest.mark.parametrize(
    ("pattern", "name"),
    [
        ("shop-%Y%m%d.sql.gz", "shop-20261399.sql.gz"),
        ("shop-%Y%m%d.sql.gz", "shop-20260230.sql.gz"),
        ("shop-%Y%m%d.sql.gz", "shop-20260131.sql.gz.part"),
        ("shop-%Y%m%d.sql.gz", "old-shop-20260131.sql.gz"),
        ("shop-%Y%m%d.sql.gz", "Shop-20260131.sql.gz"),
        ("shop-%Y%m%d.sql.gz", "shop-latest.sql.gz"),
        ("shop-%Y%m%d.sql.gz", "shop-20260131xsql.gz"),
        ("shop-%Y%m%d.sql.gz", "shop-٢٠٢٦٠١٣١.sql.gz"),
        ("shop-%Y%m%d.sql.gz", "shop-20260131.sql.gz\n"),
        ("%Y/%m/b-%Y%m%d", "2026/02/b-20260131"),
        ("b-%Y.%j", "b-2026.366"),
        ("b-%Y.%j", "b-2026.000"),
        ("%Y%m%d-%H%M", "20260131-2460"),
    ],
)
def test_other_names_are_no_backups(pattern: str, name: str) -> None:
    assert rule(pattern).period(name) is None


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("latest.sql.gz", f"name_pattern: 'latest.sql.gz' is not accepted. {ACCEPTED}"),
        ("shop-%d.sql", f"name_pattern: 'shop-%d.sql' is not accepted. {ACCEPTED}"),
        ("shop-%Y%d.sql", f"name_pattern: 'shop-%Y%d.sql' is not accepted. {ACCEPTED}"),
        ("shop-%Y%m%d-%M.sql", f"name_pattern: 'shop-%Y%m%d-%M.sql' is not accepted. {ACCEPTED}"),
        ("shop-%a.sql", f"name_pattern: 'shop-%a.sql' is not accepted. {ACCEPTED}"),
        ("shop-%Y%y.sql", f"name_pattern: 'shop-%Y%y.sql' is not accepted. {ACCEPTED}"),
        ("shop-%Y%m%j.sql", f"name_pattern: 'shop-%Y%m%j.sql' is not accepted. {ACCEPTED}"),
        ("shop-%", f"name_pattern: 'shop-%' is not accepted. {ACCEPTED}"),
        ("%s-%Y", "name_pattern: '%s-%Y' is not accepted. Accepted: either %s or calendar directives, not both."),
    ],
)
def test_patterns_that_date_nothing(pattern: str, message: str) -> None:
    with pytest.raises(InvalidOption) as error:
        rule(pattern)
    assert error.value.message == message


@pytest.mark.parametrize(
    ("pattern", "timezone", "expected"),
    [
        ("storebridge-%Y%m%d.sql.gz", "UTC", "storebridge-20260130.sql.gz"),
        # 17:00 UTC is 02:00 of the next day in Seoul: writer and restorer have to agree on whose day it is.
        ("storebridge-%Y%m%d.sql.gz", "Asia/Seoul", "storebridge-20260131.sql.gz"),
        ("b-%s", "Asia/Seoul", "b-1769792400"),
        ("%F_%T", "UTC", "2026-01-30_17:00:00"),
    ],
)
def test_name_is_what_period_reads(pattern: str, timezone: str, expected: str) -> None:
    moment = dt.datetime(2026, 1, 30, 17, tzinfo=dt.timezone.utc)
    naming = rule(pattern, timezone)
    assert naming.name(moment) == expected
    period = naming.period(expected)
    assert period is not None
    assert period.start <= moment < period.end


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("shop-20260131", "shop-20260131"),
        ("shop-20260131/toc.dat", "shop-20260131"),
        ("shop-20260131/a/b", "shop-20260131"),
        ("other/toc.dat", None),
        ("other/shop-20260131", None),
    ],
)
def test_artefact_of_a_path(path: str, expected: str | None) -> None:
    assert rule("shop-%Y%m%d").artefact_of(path) == expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("s-20260131.gz.sha256", ("s-20260131.gz", ".sha256")),
        ("s-20260131.gz.manifest.json", ("s-20260131.gz", ".manifest.json")),
        ("s-20260131.gz.part", None),
        ("s-2026.gz.sha256", None),
    ],
)
def test_companions(name: str, expected: tuple[str, str] | None) -> None:
    assert rule("s-%Y%m%d.gz").companion_of(name) == expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("latest.sql.gz", True),
        ("storebridge-LATEST.sql.gz", True),
        ("daily/current", True),
        ("newest.dump", True),
        ("latest/readme.txt", False),
        ("currently.txt", False),
        ("translatest.gz", False),
    ],
)
def test_pointers(name: str, expected: bool) -> None:
    assert is_pointer(name) is expected


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("26h", 93600), ("1d", 86400), ("7d", 604800), ("1w", 604800), ("1h 30m", 5400), ("90", 90), (" 1.5H ", 5400)],
)
def test_durations(text: str, seconds: float) -> None:
    assert duration(text, "interval") == seconds


@pytest.mark.parametrize("text", ["", "0", "0h", "-1d", "daily", "1 month", "d", "1d!"])
def test_durations_that_are_none(text: str) -> None:
    with pytest.raises(InvalidOption) as error:
        duration(text, "interval")
    assert error.value.message == (
        f"interval: {text!r} is not accepted. Accepted: a duration above 0, such as 26h, 7d or 30m."
    )


@pytest.mark.parametrize("name", ["KST+9:00", "Asia", "../etc/passwd", "", "Asia/Söul"])
def test_timezones_that_are_none(name: str) -> None:
    with pytest.raises(InvalidOption) as error:
        zone(name)
    assert error.value.message == (
        f"timezone: {name!r} is not accepted. Accepted: an IANA timezone such as Asia/Seoul or UTC, known to the host."
    )
