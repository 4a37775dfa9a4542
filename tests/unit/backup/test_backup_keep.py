"""Grandfather, father and son over good backups, and everything that must not be deleted."""

from __future__ import annotations

import datetime as dt
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from ansible_collections.runbook.ops.plugins.module_utils.backup.keep import (
    BAD,
    GOOD,
    OPEN,
    Copy,
    KeepPlan,
    Policy,
    copies_of,
    keep_plan,
    state_of,
)
from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption

UTC = dt.timezone.utc
# Saturday, the 31st, 09:00.
NOW = dt.datetime(2026, 1, 31, 9, tzinfo=UTC)


def copy(day: dt.date, state: str = GOOD, hour: int = 2, **more: Any) -> Copy:
    moment = dt.datetime.combine(day, dt.time(hour), tzinfo=UTC)
    return Copy(f"s-{moment:%Y%m%d}" + ("" if hour == 2 else f"-{hour:02}"), moment, state, 100, **more)


def nights(count: int, state: str = GOOD, back: int = 0) -> list[Copy]:
    """So many nights, the newest ``back`` nights ago."""
    return [copy(NOW.date() - dt.timedelta(days=back + number), state) for number in range(count)]


def policy(**more: Any) -> Policy:
    defaults: dict[str, Any] = {
        "daily": 7, "weekly": 0, "monthly": 0, "yearly": 0, "zone": ZoneInfo("UTC"), "rpo_seconds": 26 * 3600,
        "min_keep": 1, "max_deletes": 10_000,
    }  # fmt: skip
    return Policy(**{**defaults, **more})


def names(plan: KeepPlan) -> list[str]:
    return [each.name.removeprefix("s-") for each, _reasons in plan.kept]


def test_grandfather_father_son() -> None:
    plan = keep_plan(nights(800), policy(daily=7, weekly=5, monthly=12, yearly=3), NOW)
    assert names(plan) == [
        # Days.
        "20260131", "20260130", "20260129", "20260128", "20260127", "20260126", "20260125",
        # Weeks: their Sundays; 31 January is the newest of its own week.
        "20260118", "20260111", "20260104",
        # Months and years: their last days.
        "20251231", "20251130", "20251031", "20250930", "20250831", "20250731", "20250630", "20250531", "20250430",
        "20250331", "20250228", "20241231",
    ]  # fmt: skip
    reasons = {each.name: found for each, found in plan.kept}
    assert reasons["s-20260131"] == [
        "the newest good one", "daily 2026-01-31", "weekly 2026-W05", "monthly 2026-01", "yearly 2026",
    ]  # fmt: skip
    assert reasons["s-20251231"] == ["monthly 2025-12", "yearly 2025"]
    assert len(plan.kept) + len(plan.doomed) == 800
    assert {reason for _copy, reason in plan.doomed} == {"no rule keeps it"}
    assert plan.refusal is None


def test_days_without_a_good_one_use_up_no_place() -> None:
    copies = [*nights(2), *nights(10, BAD, back=2), *nights(10, back=12)]
    assert names(keep_plan(copies, policy(daily=4), NOW)) == ["20260131", "20260130", "20260119", "20260118"]


def test_a_plan_that_was_carried_out_has_nothing_to_do() -> None:
    rules = policy(daily=7, weekly=5, monthly=12, yearly=3)
    plan = keep_plan(nights(800), rules, NOW)
    again = keep_plan([each for each, _reasons in plan.kept], rules, NOW)
    assert again.doomed == []


def test_every_night_of_two_years_the_same_is_left_as_by_one_run() -> None:
    """Pruning every night and pruning once at the end agree about the days, weeks and months of the end."""
    rules = policy(daily=7, weekly=4, monthly=6)
    every = list(reversed(nights(400)))
    held: list[Copy] = []
    for each in every:
        held.append(each)
        plan = keep_plan(held, rules, each.taken_at + dt.timedelta(hours=1))
        assert plan.refusal is None
        held = [kept for kept, _reasons in plan.kept]
    assert {each.name for each in held} == {each.name for each, _r in keep_plan(every, rules, NOW).kept}


@pytest.mark.parametrize(
    ("timezone", "kept"),
    [("UTC", ["20260131-20", "20260130-20"]), ("Asia/Seoul", ["20260131-20", "20260131-14"])],
)
def test_days_begin_in_the_timezone(timezone: str, kept: list[str]) -> None:
    day, before = dt.date(2026, 1, 31), dt.date(2026, 1, 30)
    # 20:00 is tomorrow in Seoul, 14:00 is today there.
    copies = [copy(day, hour=20), copy(day, hour=14), copy(before, hour=20)]
    plan = keep_plan(copies, policy(daily=2, zone=ZoneInfo(timezone)), NOW + dt.timedelta(days=1))
    assert names(plan) == kept


def test_weeks_over_the_new_year() -> None:
    # 29 December 2025 to 4 January 2026 is one week.
    copies = [copy(dt.date(2026, 1, 4)), copy(dt.date(2025, 12, 29)), copy(dt.date(2025, 12, 28))]
    plan = keep_plan(copies, policy(daily=0, weekly=2), dt.datetime(2026, 1, 4, 9, tzinfo=UTC))
    assert names(plan) == ["20260104", "20251228"]


@pytest.mark.parametrize(
    ("copies", "rules", "reason"),
    [
        ([], {}, None),
        (nights(20), {}, None),
        # Case 40: failures that last longer than the retention.
        ([*nights(31, BAD), *nights(2, back=31)], {},
         "the backups after the newest good one, s-20251231, are bad: s-20260131, s-20260130, s-20260129 and 28 more "
         "(cut)"),
        ([*nights(1, BAD), *nights(20, back=1)], {},
         "the backups after the newest good one, s-20260130, are bad: s-20260131 (cut)"),
        (nights(40, OPEN), {}, "of 40 backups none is proven to be good"),
        (nights(40, BAD), {"is_proof_required": False}, "of 40 backups none is good"),
        ([*nights(3, OPEN), *nights(20, back=3)], {},
         "the newest backup that is proven to be good, s-20260128, is older (3.3 days) than the RPO allows "
         "(26.0 hours)"),
        (nights(20, back=2), {"is_proof_required": False},
         "the newest backup that is good, s-20260129, is older (2.3 days) than the RPO allows (26.0 hours)"),
        (nights(20, back=-1), {}, "the newest good backup, s-20260201, was taken 2026-02-01T02:00:00Z, which is still "
         "to come"),
        (nights(20), {"max_deletes": 12}, "13 backups would be deleted, more than max_deletes=12"),
        (nights(20), {"max_deletes": 13}, None),
    ],
    ids=["nothing", "healthy", "month-of-failures", "one-failure", "nothing-proven", "all-bad", "proof-too-old",
         "too-old", "future", "too-many", "just-so-many"],
)  # fmt: skip
def test_refusals(copies: list[Copy], rules: dict[str, Any], reason: str | None) -> None:
    plan = keep_plan([bad(each) if each.state == BAD else each for each in copies], policy(**rules), NOW)
    assert (plan.refusal or (None,))[0] == reason
    assert plan.is_refused is (reason is not None)


def bad(each: Copy) -> Copy:
    return Copy(each.name, each.taken_at, each.state, each.bytes, why_bad="cut")


@pytest.mark.parametrize(
    ("copies", "is_refused"),
    [
        # The first backup of a new system, which nobody could verify yet.
        (nights(1, OPEN), False),
        ([*nights(3, OPEN), *nights(5, back=3)], False),
        (nights(1), False),
        # Bad news is told even so.
        ([*nights(1, BAD), *nights(5, back=1)], True),
        (nights(1, BAD), True),
    ],
    ids=["first", "late-proof", "good", "failure", "first-failure"],
)
def test_nothing_is_due(copies: list[Copy], is_refused: bool) -> None:
    plan = keep_plan(copies, policy(keep_within_seconds=99 * 86400.0), NOW)
    assert plan.doomed == []
    assert plan.is_refused is is_refused


def test_what_is_newer_than_the_newest_good_one_stays() -> None:
    copies = [*nights(1, OPEN), *nights(9, back=1), *nights(2, OPEN, back=10)]
    plan = keep_plan(copies, policy(daily=3), NOW)
    assert names(plan) == ["20260131", "20260130", "20260129", "20260128"]
    assert {each.name: found for each, found in plan.kept}["s-20260131"] == ["newer than the newest good one"]
    assert [reason for _copy, reason in plan.doomed][-1] == (
        "it is not proven to be good, and there is a newer one that is"
    )


@pytest.mark.parametrize(
    ("rules", "kept"),
    [
        ({"daily": 1, "min_keep": 3}, ["20260131", "20260130", "20260129"]),
        ({"daily": 1, "keep_within_seconds": 2 * 86400.0}, ["20260131", "20260130"]),
        ({"daily": 1}, ["20260131"]),
    ],
)
def test_least(rules: dict[str, Any], kept: list[str]) -> None:
    assert names(keep_plan(nights(9), policy(**rules), NOW)) == kept


def test_the_last_good_one_is_never_deleted() -> None:
    for state in (BAD, OPEN):
        for good_at in range(40):
            copies = [*nights(good_at, state), *nights(1, back=good_at), *nights(40 - good_at, state, back=good_at + 1)]
            plan = keep_plan(copies, policy(daily=1, rpo_seconds=1e9), NOW)
            assert copies[good_at].name in {each.name for each, _reasons in plan.kept}


def test_chains() -> None:
    days = [NOW.date() - dt.timedelta(days=number) for number in range(9)]
    copies = [copy(day, method="basebackup") for day in days]
    # The newest is incremental, on one that is incremental itself.
    copies[0] = copy(days[0], method="basebackup", requires=(copies[4].name,))
    copies[4] = copy(days[4], method="basebackup", requires=(copies[6].name, "s-19700101"))
    plan = keep_plan(copies, policy(daily=1), NOW)
    assert names(plan) == ["20260131", "20260127", "20260125"]
    assert plan.kept[2][1] == ["s-20260127 is not restored without it"]


@pytest.mark.parametrize(
    ("window_days", "anchor"),
    # The newest one that is older than the window's beginning; or the oldest, when none is.
    [(2, "20260129"), (5, "20260126"), (60, "20260123")],
)
def test_the_window_of_the_wal_archive_keeps_its_beginning(window_days: int, anchor: str) -> None:
    copies = [
        copy(NOW.date() - dt.timedelta(days=number), method="basebackup" if number % 2 == 0 else "dump")
        for number in range(9)
    ]
    if window_days == 5:
        copies[5] = copy(NOW.date() - dt.timedelta(days=5), method="basebackup")
    plan = keep_plan(copies, policy(daily=1, wal_window_seconds=window_days * 86400.0), NOW)
    assert names(plan) == ["20260131", anchor]
    assert plan.kept[1][1][0].startswith("moments since 2026-01-")


def test_a_base_backup_with_a_gap_behind_it_is_good_for_its_own_moment() -> None:
    gap = {"method": "basebackup", "why_bad": "decode: 000000010000000000000007 is missing"}
    copies = [copy(NOW.date()), copy(NOW.date() - dt.timedelta(days=1), **gap), *nights(2, back=2)]
    plan = keep_plan(copies, policy(daily=2, wal_window_seconds=86400.0), NOW)
    assert plan.refusal is None
    assert plan.kept[1][1] == [
        "daily 2026-01-30",
        "moments since 2026-01-30T09:00:00Z are reached from it, as far as the WAL behind it goes",
        "good for its own moment only (decode: 000000010000000000000007 is missing)",
    ]
    assert [each.name for each, _reason in plan.doomed] == ["s-20260129", "s-20260128"]


def test_pgbackrest_expires_its_own() -> None:
    copies = [*nights(1), *(copy(NOW.date() - dt.timedelta(days=number), OPEN, method="pgbackrest")
                            for number in range(1, 5))]  # fmt: skip
    assert keep_plan(copies, policy(daily=1), NOW).doomed == []


@pytest.mark.parametrize(
    ("facts", "proof", "state"),
    [
        ({"verified": {"is_proven": True, "verdict": "verified"}}, True, (GOOD, None)),
        ({"verified": {"is_proven": False, "verdict": "verified", "is_current": False}}, True, (OPEN, None)),
        ({"verified": {"is_proven": False, "verdict": "failed", "is_current": True, "is_restorable": True,
                       "reason": "a gap"}}, True, (GOOD, "a gap")),
        ({"verified": {"is_proven": False, "verdict": "failed", "is_current": True, "is_restorable": False,
                       "reason": "a gap"}}, False, (BAD, "a gap")),
        ({"verified": {"is_proven": False, "verdict": "failed", "is_current": True, "reason": "r"}}, True, (BAD, "r")),
        ({"verified": {"is_proven": False, "verdict": "failed", "is_current": True, "reason": "r"}}, False, (BAD, "r")),
        ({"verified": {"is_proven": False, "verdict": "failed", "is_current": None, "reason": "r"}}, True,
         (OPEN, None)),
        ({"verified": {"is_proven": False, "verdict": "error", "is_current": True}}, True, (OPEN, None)),
        ({"verified": None}, True, (OPEN, None)),
        ({}, False, (GOOD, None)),
        ({"inspected": {"complete": None}}, False, (GOOD, None)),
        ({"inspected": {"complete": False, "reason": "cut"}}, False, (BAD, "cut")),
        # It was proven once, and now it cannot even be read to its end.
        ({"verified": {"is_proven": True}, "inspected": {"complete": False, "reason": "cut"}}, True, (BAD, "cut")),
    ],
)  # fmt: skip
def test_states(facts: dict[str, Any], proof: bool, state: tuple[str, str | None]) -> None:
    assert state_of(facts, is_proof_required=proof) == state


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        ({"daily": 0},
         "daily: 0 is not accepted. Accepted: at least one of daily, weekly, monthly and yearly above 0."),
        ({"weekly": -1}, "weekly: -1 is not accepted. Accepted: 0 or more."),
        ({"max_deletes": -1}, "max_deletes: -1 is not accepted. Accepted: 0 or more."),
        ({"min_keep": 0},
         "min_keep: 0 is not accepted. Accepted: 1 or more; the last good backup is never deleted."),
    ],
)  # fmt: skip
def test_policies_that_cannot_be_meant(rules: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidOption) as caught:
        keep_plan([], policy(**rules), NOW)
    assert caught.value.message == message


@pytest.mark.parametrize("facts", [{}, {"name": "a"}, {"name": "a", "taken_at": "yesterday"}, "a"])
def test_facts_that_are_none(facts: Any) -> None:
    with pytest.raises(InvalidOption, match=r"the artefacts of runbook.ops.backup_info, with name and taken_at"):
        copies_of([facts], is_proof_required=True)
