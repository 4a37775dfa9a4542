"""What the generator promises, without a server."""

from __future__ import annotations

import random
from collections import Counter
from datetime import datetime, timedelta, timezone

import pytest
from lab.sizes import factor_of
from lab.storebridge import generator
from lab.storebridge.database import copy_line

# Monday morning, the edges of the business day in Seoul (15:00 UTC), and of the night's backup (17:00 UTC).
MOMENTS = [
    datetime(2026, 3, 2, 0, 15, tzinfo=timezone.utc),
    datetime(2026, 3, 2, 14, 59, 59, tzinfo=timezone.utc),
    datetime(2026, 3, 2, 15, 0, 0, tzinfo=timezone.utc),
    datetime(2026, 3, 2, 15, 0, 1, tzinfo=timezone.utc),
    datetime(2026, 3, 2, 17, 0, 30, tzinfo=timezone.utc),
    datetime(2028, 2, 29, 23, 59, 59, tzinfo=timezone.utc),
]
moments = pytest.mark.parametrize("now", MOMENTS, ids=str)
scenarios = pytest.mark.parametrize("scenario", ["healthy", "degraded"])


def within(rows, start, end):
    return [row for row in rows if start <= row.created_at < end]


def success_percent(rows):
    """Of what is finished."""
    states = Counter(row.state for row in rows)
    return 100 * states["COMPLETED"] / (states["COMPLETED"] + states["FAILED"])


@moments
@scenarios
@pytest.mark.parametrize("seed", [1, 2])
def test_yesterday_in_seoul_is_exactly_what_the_scenario_says(now, scenario, seed):
    today = generator.seoul(generator.business_date(now))
    rows = within(generator.registrations(scenario, seed, now, 3_000), today - timedelta(days=1), today)
    states = Counter(row.state for row in rows)
    expected = {"healthy": (96, 4), "degraded": (80, 20)}[scenario]
    # Registrations that are under way began in the last ten minutes, around midnight perhaps yesterday.
    assert (states["COMPLETED"], states["FAILED"]) == expected


def test_the_wrong_yesterday_and_the_wrong_denominator_give_other_figures():
    now = MOMENTS[0]
    rows = generator.registrations("degraded", 1, now, 3_000)
    today = generator.seoul(generator.business_date(now))
    right = within(rows, today - timedelta(days=1), today)
    assert success_percent(right) == 80
    # CURRENT_DATE of a session in UTC: another day, and it looks well.
    midnight = now.replace(hour=0, minute=0, second=0)
    assert success_percent(within(rows, midnight - timedelta(days=1), midnight)) > 85
    # All rows in the denominator.
    assert 100 * sum(row.state == "COMPLETED" for row in right) / len(right) < 75


@moments
def test_reviews_are_sixty_twentyfive_fifteen_of_the_last_seven_days(now):
    rows = [row for row in generator.registrations("degraded", 3, now, 3_000) if row.state == "MANUAL_REVIEW"]
    assert Counter(row.error_code for row in rows) == {
        "CATEGORY_MISMATCH": 60,
        "FORBIDDEN_WORD": 25,
        "ATTRIBUTE_MISSING": 15,
    }
    assert all(now - timedelta(days=6) <= row.created_at <= now - timedelta(hours=1) for row in rows)
    healthy = [row for row in generator.registrations("healthy", 3, now, 3_000) if row.state == "MANUAL_REVIEW"]
    assert len(healthy) == 12


@moments
@scenarios
def test_nothing_comes_from_the_future_and_order_is_kept(now, scenario):
    rows = generator.registrations(scenario, 1, now, 3_000)
    created = [row.created_at for row in rows]
    assert created == sorted(created)
    assert created[-1] <= now
    jobs = generator.jobs(scenario, 1, now)
    assert all(job.created_at <= now and (job.completed_at or now) <= now for job in jobs)


@pytest.mark.parametrize("seed", range(8))
def test_no_reason_stands_out_in_a_healthy_week(seed):
    now = MOMENTS[0]
    week = within(generator.registrations("healthy", seed, now, 3_000), now - timedelta(days=7), now)
    reasons = Counter(row.error_code for row in week if row.error_code)
    assert max(reasons.values()) < 20


@moments
def test_old_completed_jobs_have_items_and_only_in_the_degraded_scenario(now):
    edge = now - timedelta(days=90)
    jobs = generator.jobs("degraded", 1, now)
    old = [job for job in jobs if job.completed_at and job.completed_at < edge]
    assert len(old) > 100
    assert any((now - job.completed_at).days == 95 for job in old)
    items = Counter(item.job for item in generator.job_items(jobs, 1, 3_000))
    assert all(items[job.id] == generator.ITEMS_PER_JOB for job in old)
    assert not [job for job in generator.jobs("healthy", 1, now) if job.completed_at and job.completed_at < edge]
    # What never completed has no age by completed_at.
    assert "FAILED" in {job.status for job in jobs if job.completed_at is None and job.created_at < edge}


@scenarios
def test_yesterday_has_completed_jobs_of_both_kinds(scenario):
    now = MOMENTS[0]
    today = generator.seoul(generator.business_date(now))
    jobs = within(generator.jobs(scenario, 1, now), today - timedelta(days=1), today)
    assert len(jobs) == generator.JOBS_PER_DAY
    assert {job.type for job in jobs if job.status == "COMPLETED"} == {"bulk_register", "stock_sync"}
    assert max(job.created_at.astimezone(generator.SEOUL).hour for job in jobs) < 9


@scenarios
def test_the_same_seed_gives_the_same_rows_and_another_seed_others(scenario):
    now = MOMENTS[0]

    def everything(seed):
        jobs = generator.jobs(scenario, seed, now)
        return (
            generator.registrations(scenario, seed, now, 3_000),
            jobs,
            list(generator.job_items(jobs, seed, 3_000)),
            generator.mappings(seed),
            generator.product_id(seed, 1),
        )

    random.seed(99)  # nobody else's chance has a say
    assert everything(1) == everything(1)
    assert all(one != other for one, other in zip(everything(1), everything(2)))


@pytest.mark.parametrize(("size", "factor"), [("small", 1), ("medium", 2), ("large", 20), (1, 1), (7, 7)])
def test_sizes(size, factor):
    assert factor_of(size) == factor


@pytest.mark.parametrize("size", ["huge", 0, -1, True, "7", None])
def test_sizes_that_do_not_exist(size):
    with pytest.raises(ValueError, match="There is no size"):
        factor_of(size)


def test_a_scenario_that_does_not_exist():
    with pytest.raises(ValueError, match=r"There is no scenario 'bad'\. There are: healthy, degraded\."):
        generator.figures_of("bad")


@pytest.mark.parametrize(
    ("row", "line"),
    [
        ((1, None, True, False), "1\t\\N\tt\tf\n"),
        (("a\tb\nc\rd\\e",), "a\\tb\\nc\\rd\\\\e\n"),
        (("한글 'x'",), "한글 'x'\n"),
        ((datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone.utc),), "2026-01-02T03:04:05+00:00\n"),
        (("\\N",), "\\\\N\n"),
    ],
)
def test_lines_for_copy(row, line):
    assert copy_line(row) == line
