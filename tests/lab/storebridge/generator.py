"""The rows of StoreBridge, computed: no server is needed to know what will be in the tables."""

from __future__ import annotations

import random
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta, timezone
from zoneinfo import ZoneInfo

SEOUL = ZoneInfo("Asia/Seoul")

REVIEW_REASONS = {
    "CATEGORY_MISMATCH": "category {number} is not mapped to a Naver category",
    "FORBIDDEN_WORD": "the name of item DG{number} holds a forbidden word",
    "ATTRIBUTE_MISSING": "attribute 'origin' of item DG{number} is missing",
}
FAILURE_REASONS = {
    "NAVER_5XX": "Naver API answered 503 for item DG{number}",
    "RATE_LIMIT": "429 Too Many Requests for item DG{number}",
}

ITEMS_PER_JOB = 8
JOBS_PER_DAY = 12
HISTORY_DAYS = 30
# Of the registrations of any other day.
USUAL_FAILURES = 0.012
ARCHIVE_AFTER_DAYS = 90
AUDIT_KEPT_DAYS = 180


@dataclass(frozen=True)
class Figures:
    """What a scenario promises; every check's known-good and known-bad value."""

    # Registrations of yesterday (Seoul's business day) that came to an end.
    yesterday_completed: int
    yesterday_failed: int
    # Open manual reviews of the last six days, by reason.
    reviews: dict[str, int]
    # How many days back completed jobs and audit rows reach.
    jobs_days: int
    audit_days: int
    domeggook_calls: int
    # Share of cache reads that find something.
    cache_hit_share: float

    @property
    def open_reviews(self) -> int:
        return sum(self.reviews.values())


FIGURES = {
    "healthy": Figures(
        yesterday_completed=96,
        yesterday_failed=4,
        reviews={"CATEGORY_MISMATCH": 7, "FORBIDDEN_WORD": 3, "ATTRIBUTE_MISSING": 2},
        jobs_days=88,
        audit_days=178,
        domeggook_calls=6_100,
        cache_hit_share=0.93,
    ),
    "degraded": Figures(
        yesterday_completed=80,
        yesterday_failed=20,
        reviews={"CATEGORY_MISMATCH": 60, "FORBIDDEN_WORD": 25, "ATTRIBUTE_MISSING": 15},
        jobs_days=110,
        audit_days=181,
        domeggook_calls=14_200,
        cache_hit_share=0.62,
    ),
}


def figures_of(scenario: str) -> Figures:
    if scenario not in FIGURES:
        raise ValueError(f"There is no scenario {scenario!r}. There are: {', '.join(FIGURES)}.")
    return FIGURES[scenario]


def stream(seed: int, name: str) -> random.Random:
    """A source of chance of its own for each table, so that one may grow without changing the others."""
    return random.Random(f"{seed}:{name}")


def product_id(seed: int, number: int) -> uuid.UUID:
    return uuid.uuid5(uuid.NAMESPACE_URL, f"storebridge:{seed}:product:{number}")


def business_date(now: datetime, days: int = 0) -> date:
    """The date in Seoul, ``days`` later."""
    return now.astimezone(SEOUL).date() + timedelta(days=days)


def seoul(day: date, hour: int = 0, minute: int = 0, second: int = 0) -> datetime:
    """A wall-clock moment in Seoul, as UTC."""
    return datetime.combine(day, time(hour, minute, second), tzinfo=SEOUL).astimezone(timezone.utc)


@dataclass(frozen=True)
class Registration:
    product: int
    state: str
    error_code: str | None
    error_message: str | None
    naver_product_id: str | None
    attempts: int
    created_at: datetime
    updated_at: datetime


def registrations(scenario: str, seed: int, now: datetime, products: int) -> list[Registration]:
    """A month of registrations, oldest first.

    Yesterday holds exactly what the scenario promises. The days around it are good in both scenarios, so a
    check that takes UTC's yesterday, or that counts what has not ended, sees another figure.
    """
    figures, chance = figures_of(scenario), stream(seed, "registrations")
    rows: list[Registration] = []
    for back in range(HISTORY_DAYS, -1, -1):
        start = seoul(business_date(now, -back))
        end = min(seoul(business_date(now, 1 - back)), now)
        seconds = int((end - start).total_seconds())
        if seconds < 1:
            continue
        if back == 1:
            states = ["COMPLETED"] * figures.yesterday_completed + ["FAILED"] * figures.yesterday_failed
        else:
            number = max(1, chance.randint(180, 240) * seconds // 86_400)
            states = ["FAILED" if chance.random() < USUAL_FAILURES else "COMPLETED" for _ignored in range(number)]
        rows += [
            _registration(chance, state, start + timedelta(seconds=chance.randrange(seconds)), products)
            for state in states
        ]
    rows += _reviews(figures, chance, now, products)
    rows += [
        _registration(chance, state, now - timedelta(seconds=chance.randint(5, 600)), products)
        for state in ("PENDING", "PENDING", "PENDING", "PROCESSING", "PROCESSING")
    ]
    return sorted(rows, key=lambda row: row.created_at)


def _reviews(figures: Figures, chance: random.Random, now: datetime, products: int) -> list[Registration]:
    reasons = [reason for reason, count in figures.reviews.items() for _ignored in range(count)]
    chance.shuffle(reasons)
    # All within six days: "the last seven days" holds them however its edges are drawn.
    return [
        _registration(
            chance, "MANUAL_REVIEW", now - timedelta(seconds=chance.randint(3_600, 6 * 86_400)), products, reason
        )
        for reason in reasons
    ]


def _registration(
    chance: random.Random, state: str, created: datetime, products: int, reason: str | None = None
) -> Registration:
    product = chance.randrange(products)
    if state == "FAILED":
        reason = chance.choice(list(FAILURE_REASONS))
    text = {**REVIEW_REASONS, **FAILURE_REASONS}.get(reason or "")
    return Registration(
        product=product,
        state=state,
        error_code=reason,
        error_message=text.format(number=100_000 + product) if text else None,
        naver_product_id=str(7_000_000_000 + chance.randrange(10**8)) if state == "COMPLETED" else None,
        attempts=chance.randint(1, 3) if reason else 1,
        created_at=created,
        updated_at=created + timedelta(seconds=chance.randint(1, 4)),
    )


@dataclass(frozen=True)
class Job:
    id: uuid.UUID
    type: str
    status: str
    created_at: datetime
    completed_at: datetime | None


def jobs(scenario: str, seed: int, now: datetime) -> list[Job]:
    """Bulk registrations between 00:00 and 06:00 and stock synchronisations between 06:00 and 09:00 in Seoul."""
    figures, chance = figures_of(scenario), stream(seed, "jobs")
    rows: list[Job] = []
    for back in range(figures.jobs_days, -1, -1):
        day = business_date(now, -back)
        for number in range(JOBS_PER_DAY):
            minute = number * 45 + chance.randrange(40)
            created = seoul(day, minute // 60, minute % 60, chance.randrange(60))
            completed = created + timedelta(seconds=chance.randint(60, 1_500))
            identifier = uuid.UUID(int=chance.getrandbits(128), version=4)
            ended = chance.random()
            if created > now:
                continue
            kind = "bulk_register" if minute < 360 else "stock_sync"
            if completed > now:
                rows.append(Job(identifier, kind, "RUNNING", created, None))
            elif ended < 0.02:
                # Never completed, however old: a clean-up by completed_at does not see these.
                rows.append(Job(identifier, kind, "FAILED" if ended < 0.015 else "CANCELLED", created, None))
            else:
                rows.append(Job(identifier, kind, "COMPLETED", created, completed))
    return rows


@dataclass(frozen=True)
class JobItem:
    id: int
    job: uuid.UUID
    product: int
    status: str
    error: str | None


def job_items(rows: list[Job], seed: int, products: int) -> Iterator[JobItem]:
    """The items of the jobs; every job has some, the oldest too."""
    chance = stream(seed, "job_items")
    number = 0
    for job in rows:
        for _ignored in range(ITEMS_PER_JOB):
            number += 1
            failed = job.status == "FAILED" or chance.random() < 0.03
            status = "PENDING" if job.status == "RUNNING" else "FAILED" if failed else "DONE"
            error = "Naver API answered 503" if status == "FAILED" else None
            yield JobItem(number, job.id, chance.randrange(products), status, error)


def mappings(seed: int) -> tuple[list[tuple[str, str, bool]], list[tuple[str, str]], list[tuple[str, str, str]]]:
    """Category mappings, forbidden words with their replacements, attribute defaults."""
    chance = stream(seed, "mappings")
    categories = [
        (f"DC{number:04}", f"500{chance.randrange(10**5):05}", chance.random() < 0.95) for number in range(120)
    ]
    words = [
        ("최저가", "좋은 가격"),
        ("무료배송", "배송비 포함"),
        ("100%", "매우"),
        ("정품보장", "정품"),
        ("특가", "할인"),
    ]
    defaults = [(f"DC{number:04}", "origin", chance.choice(["국산", "중국", "베트남"])) for number in range(0, 120, 3)]
    return categories, words, defaults
