"""Fill a Redis server: counters, cache, and the queues that a real run of Celery leaves."""

from __future__ import annotations

import random
from datetime import datetime, timezone
from typing import Any

from lab.redis import RedisServer
from lab.redis_content import configure
from lab.storebridge.celery_app import BATCH, NORMAL
from lab.storebridge.generator import Figures, business_date, figures_of
from lab.storebridge.queues import run_celery

CACHED = 400
READS = 2_000
LIMITER_SECONDS = 60
MAXMEMORY = 256 * 2**20


def populate_redis(
    server: RedisServer, scenario: str = "healthy", seed: int = 1, now: datetime | None = None
) -> dict[str, int]:
    """Fill it as the scenario says; how many keys there are and how many messages wait."""
    figures = figures_of(scenario)
    moment = now or datetime.now(timezone.utc).replace(microsecond=0)
    with server.client() as client:
        # A server with queues as it should be: they survive a restart, and nothing is evicted.
        configure(client, MAXMEMORY)
        # Celery first: the hit ratio counts the reads of everybody, and the cache's shall prevail.
        planned = run_celery(server, scenario, seed)
        _counters(client, figures, moment)
        _cache(client, figures, random.Random(f"{seed}:cache"))
        return {
            "keys": int(client.dbsize()),
            "waiting tasks": sum(sum(planned.waiting_in(queue).values()) for queue in (NORMAL, BATCH)),
            "failed tasks": len(planned.failing),
        }


def _counters(client: Any, figures: Figures, now: datetime) -> None:
    """Calls of Domeggook by the business day in the key, and calls of Naver by the second."""
    today, yesterday = business_date(now), business_date(now, -1)
    client.set(f"domeggook:daily_calls:{yesterday}", 9_876, ex=2 * 86_400)
    client.set(f"domeggook:daily_calls:{today}", figures.domeggook_calls, ex=2 * 86_400)
    second = int(now.timestamp())
    for back in range(20):
        # Never more than the two calls a second that are allowed, in both scenarios.
        client.set(f"naver:ratelimit:{second - back}", 1 + back % 2, ex=LIMITER_SECONDS)


def _cache(client: Any, figures: Figures, chance: random.Random) -> None:
    with client.pipeline(transaction=False) as pipe:
        for number in range(CACHED):
            ttl = None if number % 50 == 0 else 600 + chance.randrange(3_000)
            pipe.set(f"cache:product:{number}", f'{{"id":{number},"stock":{chance.randrange(100)}}}', ex=ttl)
        pipe.execute()
    client.config_resetstat()
    hits = round(READS * figures.cache_hit_share)
    reads = [chance.randrange(CACHED) for _ignored in range(hits)] + [
        CACHED + chance.randrange(CACHED) for _ignored in range(READS - hits)
    ]
    chance.shuffle(reads)
    with client.pipeline(transaction=False) as pipe:
        for number in reads:
            pipe.get(f"cache:product:{number}")
        pipe.execute()
