"""What a listing means: ages, gaps, duplicates, divergence, pointers."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from ansible_collections.runbook.ops.plugins.module_utils.backup.inspect import Inspection, not_inspected
from ansible_collections.runbook.ops.plugins.module_utils.backup.model import (
    Artefact,
    Clocks,
    Contents,
    Entry,
    Listing,
    artefact_facts,
    content_moment,
    divergence,
    duplicates,
    gaps,
    inventory,
    newest_first,
    pointer_facts,
    same_size,
    sort_out,
    taken_at,
)
from ansible_collections.runbook.ops.plugins.module_utils.backup.naming import NamingRule, zone
from ansible_collections.runbook.ops.plugins.module_utils.common.clock import iso

UTC = dt.timezone.utc
SEOUL = zone("Asia/Seoul")
# Saturday, 31 January, 09:00 in Seoul.
NOW = dt.datetime(2026, 1, 31, 0, 0, tzinfo=UTC)


def clocks(
    pattern: str = "s-%Y%m%d.gz", timezone: str = "Asia/Seoul", now: dt.datetime = NOW, writer: str | None = None
) -> Clocks:
    return Clocks(now, NamingRule(pattern, zone(timezone)), dt.timedelta(hours=6), zone(writer) if writer else None)


CLOCKS = clocks()


def entry(day: int, hour: float = 2, **fields: Any) -> Entry:
    """The dump of a day in January, written in Seoul at that hour."""
    written = dt.datetime(2026, 1, 1, tzinfo=SEOUL) + dt.timedelta(days=day - 1, hours=hour)
    defaults = {"size_bytes": 1000 + day, "modified_at": written.astimezone(UTC)}
    return Entry(f"s-202601{day:02}.gz", **{**defaults, **fields})


def artefact(named: Entry, inspection: Inspection | None = None, at: Clocks = CLOCKS) -> Artefact:
    period = at.rule.period(named.name)
    assert period is not None
    made = Artefact(named, period)
    if inspection:
        made.inspection = inspection
    return made


def inspected(
    complete: bool | None = True, *, local: str | None = None, zone_name: str | None = None, kind: str = "plain+gzip"
) -> Inspection:
    reason = None if complete else "cut"
    return Inspection(kind, complete, reason, "read" if complete else None, {}, local, zone_name)


@pytest.mark.parametrize(
    ("found", "inspection", "writer", "moment", "source"),
    [
        # Written in the night that the name says.
        (entry(31), None, None, "2026-01-30T17:00:00Z", "modified"),
        # Ran past midnight.
        (entry(30, hour=29), None, None, "2026-01-30T20:00:00Z", "modified"),
        # Copied or overwritten ten days later: the name is all that is claimed.
        (entry(20, hour=242), None, None, "2026-01-20T15:00:00Z", "name"),
        # Written long before the date in the name: what is written cannot get younger by a name.
        (entry(31, hour=-200), None, None, "2026-01-22T07:00:00Z", "modified"),
        (entry(31, modified_at=None), None, None, "2026-01-31T15:00:00Z", "name"),
        # The header's timezone is known, so the content counts.
        (entry(31), inspected(local="2026-01-31T01:59:00", zone_name="KST"), None, "2026-01-30T16:59:00Z", "content"),
        (entry(31), inspected(local="2026-01-30T16:59:00", zone_name="UTC"), None, "2026-01-30T16:59:00Z", "content"),
        (entry(31), inspected(local="2026-01-30T22:29:00", zone_name="+0530"), None, "2026-01-30T16:59:00Z", "content"),
        (entry(31), inspected(local="2026-01-30T13:29:00", zone_name="-03:30"), None, "2026-01-30T16:59:00Z",
         "content"),
        (entry(31), inspected(local="2026-01-30T17:59:00"), "Europe/Berlin", "2026-01-30T16:59:00Z", "content"),
        # It is not known: no reason to doubt the file's own time …
        (entry(31), inspected(local="2026-01-31T01:59:00"), None, "2026-01-30T17:00:00Z", "modified"),
        (entry(31), inspected(local="2026-01-30T08:59:00", zone_name="PST"), None, "2026-01-30T17:00:00Z", "modified"),
        # … unless the content is older than any timezone can explain: yesterday's dump under today's name.
        (entry(31), inspected(local="2026-01-28T16:59:00"), None, "2026-01-28T16:59:00Z", "content"),
    ],
)  # fmt: skip
def test_taken_at(found: Entry, inspection: Inspection | None, writer: str | None, moment: str, source: str) -> None:
    at = clocks(writer=writer)
    taken = taken_at(artefact(found, inspection, at), at)
    assert (iso(taken.moment), taken.source) == (moment, source)


@pytest.mark.parametrize(
    ("found", "inspection", "reason"),
    [
        (entry(31), None, None),
        (entry(30, hour=29), None, None),
        (entry(30, hour=31), None,
         "named 2026-01-30, but written 2026-01-30T22:00:00Z: a frozen name that is overwritten, or a later copy"),
        (entry(20, hour=242), None,
         "named 2026-01-20, but written 2026-01-29T17:00:00Z: a frozen name that is overwritten, or a later copy"),
        (entry(31, hour=-7), None, "named 2026-01-31, but written before that, 2026-01-30T08:00:00Z"),
        (entry(31, hour=-5), None, None),
        (entry(31), inspected(local="2026-01-31T02:00:00"), None),
        (entry(31), inspected(local="2026-01-29T02:00:00"),
         "named 2026-01-31, but its content was dumped 2026-01-29T02:00:00Z"),
        (entry(31), inspected(local="2026-01-30T02:00:00", zone_name="KST"),
         "named 2026-01-31, but its content was dumped 2026-01-29T17:00:00Z"),
        (entry(31, modified_at=None), None, None),
    ],
)  # fmt: skip
def test_divergence(found: Entry, inspection: Inspection | None, reason: str | None) -> None:
    assert divergence(artefact(found, inspection), CLOCKS) == reason


def test_a_name_in_the_future() -> None:
    early = clocks(now=dt.datetime(2026, 1, 20, tzinfo=UTC))
    assert divergence(artefact(entry(31)), early) == "its name lies in the future"


def test_a_name_in_the_wrong_timezone_shows() -> None:
    """The job dates in UTC (17:00 of the day before), the inventory says Seoul: still within the tolerance."""
    at = clocks()
    named_in_utc = Entry("s-20260130.gz", 1, dt.datetime(2026, 1, 30, 17, 5, tzinfo=UTC))
    assert divergence(artefact(named_in_utc, at=at), at) is None
    # A job at 22:00 UTC is beyond.
    later = named_in_utc._replace(modified_at=dt.datetime(2026, 1, 30, 22, 0, tzinfo=UTC))
    assert divergence(artefact(later, at=at), at) is not None


@pytest.mark.parametrize(
    ("local", "zone_name", "writer", "expected"),
    [
        ("2026-01-31T02:00:00", None, None, ("2026-01-31T02:00:00Z", 50400)),
        ("2026-01-31T02:00:00", "CST", None, ("2026-01-31T02:00:00Z", 50400)),
        ("2026-01-31T02:00:00", "CST", "America/Chicago", ("2026-01-31T08:00:00Z", 0)),
        ("2026-01-31T02:00:00", "CST", "Asia/Shanghai", ("2026-01-30T18:00:00Z", 0)),
        (None, None, None, None),
    ],
)
def test_content_moment(
    local: str | None, zone_name: str | None, writer: str | None, expected: tuple[str, int] | None
) -> None:
    found = content_moment(inspected(local=local, zone_name=zone_name), clocks(writer=writer))
    assert (found and (iso(found.moment), found.uncertain_seconds)) == expected


DAY = 86400


@pytest.mark.parametrize(
    ("days", "window", "interval", "missing"),
    [
        ([25, 26, 27, 28, 29, 30, 31], 7, DAY, []),
        ([25, 26, 28, 29, 31], 7, DAY, ["2026-01-27", "2026-01-30"]),
        # What is missing at the end is a matter of the newest one's age.
        ([20, 21, 22], 14, DAY, []),
        # Beyond the window older ones may have been thinned out.
        ([1, 8, 15, 22, 24, 25, 26, 27, 28, 29, 30, 31], 7, DAY, []),
        ([1, 8, 15, 22, 24, 25, 26, 27, 28, 29, 30, 31], 10, DAY, ["2026-01-21", "2026-01-23"]),
        ([1, 8, 15, 22, 29], 60, 7 * DAY, []),
        ([1, 8, 29], 60, 7 * DAY, ["2026-01-15", "2026-01-22"]),
        ([1, 3, 9], 60, 2 * DAY, ["2026-01-05", "2026-01-07"]),
        ([], 7, DAY, []),
        ([31], 7, DAY, []),
    ],
)
def test_gaps_by_day(days: list[int], window: int, interval: float, missing: list[str]) -> None:
    found = gaps([artefact(entry(day)) for day in days], CLOCKS, interval, window * DAY)
    assert [gap["date"] for gap in found] == missing
    assert all(gap["name"] == f"s-{str(gap['date']).replace('-', '')}.gz" for gap in found)


def test_gaps_in_spring_and_autumn() -> None:
    """Days are days, whether they have 23 or 25 hours."""
    for first in (dt.date(2026, 3, 25), dt.date(2026, 10, 21)):
        at = clocks(timezone="Europe/Berlin", now=dt.datetime(2026, 12, 1, tzinfo=UTC))
        names = [f"s-{first + dt.timedelta(days=number):%Y%m%d}.gz" for number in range(8)]
        found = [artefact(Entry(name, 1, None), at=at) for name in names]
        assert gaps(found, at, DAY, 400 * DAY) == []
        assert [gap["name"] for gap in gaps(found[:3] + found[4:], at, DAY, 400 * DAY)] == [names[3]]


def test_gaps_by_the_hour() -> None:
    at = clocks("s-%Y%m%d-%H%M.gz", "UTC")
    names = ["s-20260130-0003.gz", "s-20260130-0600.gz", "s-20260130-1805.gz", "s-20260131-0000.gz"]
    found = gaps([artefact(Entry(name, 1, None), at=at) for name in names], at, 6 * 3600, 7 * DAY)
    assert found == [{"date": "2026-01-30T12:00:00Z", "name": None}]


def test_an_old_series_is_not_walked_hour_by_hour() -> None:
    at = clocks("s-%Y.gz", "UTC")
    found = [artefact(Entry(name, 1, None), at=at) for name in ("s-1970.gz", "s-2026.gz")]
    assert len(gaps(found, at, 3600, DAY)) <= 24


def test_sort_out() -> None:
    names = [
        "s-20260131.gz",
        "s-20260131.gz.sha256",
        "s-20260131.gz.manifest.json",
        "s-20260130.gz.sha256",
        "latest.gz",
        "s-20261399.gz",
        "s-20260129.gz.part",
        "lost+found",
        ".runbook.lock",
        ".storebridge-20260131.sql.gz.partial",
    ]
    contents = sort_out([Entry(name, 1, NOW) for name in names], CLOCKS.rule)
    assert [each.name for each in contents.artefacts] == ["s-20260131.gz"]
    assert set(contents.artefacts[0].companions) == {".sha256", ".manifest.json"}
    assert [each.name for each in contents.pointers] == ["latest.gz"]
    assert [each.name for each in contents.unrecognised] == [
        "s-20260130.gz.sha256",
        "s-20261399.gz",
        "s-20260129.gz.part",
    ]


def test_newest_is_the_one_taken_last() -> None:
    """Not the one with the latest date in its name, nor the one written last."""
    copied = artefact(entry(20, hour=262))
    yesterday = artefact(entry(30))
    renamed = artefact(entry(31, hour=-240))
    assert newest_first([copied, renamed, yesterday], CLOCKS) == [yesterday, renamed, copied]


class TestDuplicates:
    def test_by_etag(self) -> None:
        found = duplicates(
            [artefact(entry(day, size_bytes=5, etag=etag)) for day, etag in ((29, "a"), (30, "b"), (31, "a"))]
        )
        assert found == [
            {
                "name": "s-20260129.gz = s-20260131.gz",
                "names": ["s-20260129.gz", "s-20260131.gz"],
                "are_equal": True,
                "size_bytes": 5,
                "evidence": "etag",
            }
        ]

    def test_by_sample(self) -> None:
        first, second = artefact(entry(30, size_bytes=5)), artefact(entry(31, size_bytes=5))
        first.sample = second.sample = "x"
        assert [each["evidence"] for each in duplicates([first, second])] == ["content sample"]

    def test_size_alone_proves_nothing(self) -> None:
        assert duplicates([artefact(entry(day, size_bytes=5)) for day in (30, 31)]) == []

    def test_empty_ones_are_not_duplicates(self) -> None:
        assert duplicates([artefact(entry(day, size_bytes=0, etag="e")) for day in (30, 31)]) == []

    def test_candidates(self) -> None:
        entries = [entry(28), *(entry(day, size_bytes=5) for day in (29, 30)), entry(31, size_bytes=5, etag="x")]
        contents = sort_out(entries, CLOCKS.rule)
        assert [each.name for each in same_size(contents)] == ["s-20260129.gz", "s-20260130.gz"]


@pytest.mark.parametrize(
    ("pointer", "points_to", "is_stale", "reason"),
    [
        ({"link_target": "s-20260131.gz", "is_symlink": True}, "s-20260131.gz", False, None),
        ({"link_target": "s-20260121.gz", "is_symlink": True}, "s-20260121.gz", True,
         "it is s-20260121.gz, and the newest backup is s-20260131.gz"),
        ({"problem": "it leads to nothing: No such file or directory", "is_symlink": True}, None, True,
         "it leads to nothing: No such file or directory"),
        ({"identity": (1, 31)}, "s-20260131.gz", False, None),
        ({"etag": "e31", "size_bytes": 1031}, "s-20260131.gz", False, None),
        ({"etag": "e21", "size_bytes": 1021}, "s-20260121.gz", True,
         "it is s-20260121.gz, and the newest backup is s-20260131.gz"),
        ({"etag": "other", "modified_at": NOW}, None, None, "it equals no backup in the repository"),
        ({"etag": "other", "modified_at": NOW - dt.timedelta(days=9)}, None, True,
         "it is older than the newest backup"),
    ],
)  # fmt: skip
def test_pointers(pointer: dict[str, Any], points_to: str | None, is_stale: bool | None, reason: str | None) -> None:
    ordered = [artefact(entry(day, etag=f"e{day}", identity=(1, day))) for day in (31, 21)]
    facts = pointer_facts(Entry("latest.gz", **{"size_bytes": 9, "modified_at": NOW, **pointer}), ordered, CLOCKS)
    assert (facts["points_to"], facts["is_stale"], facts["reason"]) == (points_to, is_stale, reason)


def survey(entries: list[Entry], inspections: dict[int, Inspection] | None = None, **listing: Any) -> dict[str, Any]:
    contents: Contents = sort_out(entries, CLOCKS.rule)
    for each in contents.artefacts:
        day = int(each.name[8:10])
        each.inspection = (inspections or {}).get(day, not_inspected("not inspected"))
    defaults = {
        "complete": True,
        "incomplete_reason": None,
        "versioning": None,
        "deleted": None,
        "skipped": [],
    }
    return inventory(
        contents,
        Listing(entries=entries, **{**defaults, **listing}),
        CLOCKS,
        interval_seconds=DAY,
        gap_window_seconds=7 * DAY,
        top=5,
    )


class TestInventory:
    def test_a_healthy_week(self) -> None:
        facts = survey([entry(day) for day in range(25, 32)], {31: inspected()})
        assert facts["count"] == 7
        assert facts["total_bytes"] == sum(1000 + day for day in range(25, 32))
        assert facts["newest"]["name"] == "s-20260131.gz"
        assert facts["newest"]["age_seconds"] == 7 * 3600
        assert facts["newest_complete"] == facts["newest"]
        assert facts["newest_is_incomplete"] is False
        assert (facts["previous_median_bytes"], facts["size_change_percent"]) == (1027, 0.3)
        assert facts["gap_count"] == facts["duplicate_count"] == facts["diverging_count"] == 0
        assert facts["unrecognised_newer_count"] == facts["stale_pointer_count"] == facts["empty_count"] == 0
        assert (facts["gap_dates"], facts["unrecognised_newer_names"]) == ("none", "none")
        assert facts["truncated"] is False

    def test_nothing(self) -> None:
        facts = survey([])
        assert facts["count"] == facts["total_bytes"] == 0
        assert facts["newest"] is None
        assert facts["newest_complete"] is None
        assert facts["size_change_percent"] is None
        assert facts["overwritten_count"] is None

    @pytest.mark.parametrize(("size", "change"), [(400, -60.0), (1000, 0.0), (2500, 150.0), (20, -98.0), (None, None)])
    def test_size_against_history(self, size: int | None, change: float | None) -> None:
        entries = [*(entry(day, size_bytes=1000) for day in range(25, 31)), entry(31, size_bytes=size)]
        assert survey(entries)["size_change_percent"] == change

    def test_empty_predecessors_are_no_history(self) -> None:
        entries = [entry(29, size_bytes=1000), entry(30, size_bytes=0), entry(31, size_bytes=1000)]
        assert survey(entries)["size_change_percent"] == 0.0

    def test_only_the_seven_before_are_history(self) -> None:
        entries = [entry(day, size_bytes=10 if day < 24 else 1000) for day in range(1, 32)]
        assert survey(entries)["size_change_percent"] == 0.0

    def test_incomplete_ones(self) -> None:
        empty = Inspection("empty", False, "nothing in it", None, {}, None, None)
        facts = survey([entry(29), entry(30), entry(31)], {31: inspected(False), 30: empty, 29: inspected()})
        assert facts["newest_is_incomplete"] is True
        assert (facts["complete_count"], facts["incomplete_count"], facts["empty_count"]) == (1, 2, 1)
        assert facts["newest_complete"]["name"] == "s-20260129.gz"
        assert facts["incomplete"] == [
            {"name": "s-20260131.gz", "complete": False, "is_empty": False, "is_newest": True, "reason": "cut"},
            {
                "name": "s-20260130.gz",
                "complete": False,
                "is_empty": True,
                "is_newest": False,
                "reason": "nothing in it",
            },
        ]

    def test_strangers_newer_than_every_backup(self) -> None:
        facts = survey(
            [
                entry(30),
                Entry("dump.sql", 5, NOW),
                Entry("a directory", 5, NOW, members={}),
                Entry("old.txt", 5, NOW - dt.timedelta(days=9)),
            ]
        )
        assert (facts["unrecognised_count"], facts["unrecognised_newer_count"]) == (3, 1)
        assert facts["unrecognised_newer_names"] == "dump.sql"
        assert facts["unrecognised"][0]["name"] == "dump.sql"

    def test_lists_are_bounded_and_counts_are_not(self) -> None:
        facts = survey([entry(31), *(Entry(f"x{number}", 1, NOW) for number in range(8))])
        assert facts["unrecognised_count"] == 8
        assert len(facts["unrecognised"]) == 5
        assert facts["unrecognised_newer_names"] == "x0, x1, x2 and 5 more"
        assert facts["truncated"] is True

    def test_versions(self) -> None:
        facts = survey([entry(30, version_count=1), entry(31, version_count=4)], deleted=[{"name": "s-20260129.gz"}])
        assert (facts["overwritten_count"], facts["deleted_count"]) == (1, 1)

    def test_an_unreadable_size_makes_the_total_unknown(self) -> None:
        assert survey([entry(30), entry(31, size_bytes=None)])["total_bytes"] is None


@pytest.mark.parametrize(
    ("inspection", "verdict"),
    [
        (inspected(), "whole: read"),
        (inspected(False), "not whole: cut"),
        (not_inspected("too large"), "unproven: too large"),
    ],
)
def test_verdict(inspection: Inspection, verdict: str) -> None:
    assert artefact_facts(artefact(entry(31), inspection), CLOCKS)["inspected"]["verdict"] == verdict


@pytest.mark.parametrize(("etag", "is_multipart"), [("abc", False), ("abc-12", True), (None, None)])
def test_etags_of_multipart_uploads_are_no_md5(etag: str | None, is_multipart: bool | None) -> None:
    facts = artefact_facts(artefact(entry(31, etag=etag)), CLOCKS)
    assert (facts["etag"], facts["is_multipart"]) == (etag, is_multipart)
