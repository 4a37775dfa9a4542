"""Fill AutoClip's Redis server: sessions and cached lists beside the queues of Bull."""

from __future__ import annotations

import random
from datetime import datetime, timezone

from lab.autoclip import queues
from lab.redis import RedisServer
from lab.redis_content import configure, set_keys
from lab.sizes import factor_of

SESSIONS = 200
CACHED = 120
MAXMEMORY = 512 * 2**20
# ElastiCache comes with volatile-lru: sessions have an end and may be thrown away, jobs have none and may not.
POLICIES = {"healthy": "noeviction", "degraded": "volatile-lru"}
CACHED_LIST = "cache:contents:list"


def populate_redis(
    server: RedisServer,
    scenario: str = "healthy",
    size: str | int = "small",
    seed: int = 1,
    now: datetime | None = None,
) -> dict[str, int]:
    """Fill it as the scenario says; how many keys there are, how many jobs wait and how many failed."""
    planned = queues.plan(scenario, factor_of(size))
    with server.client() as client:
        configure(client, MAXMEMORY, POLICIES[scenario])
        queues.fill(server, planned, seed, now or datetime.now(timezone.utc))
        chance = random.Random(f"{seed}:autoclip-cache")
        sessions = {
            f"session:{chance.getrandbits(128):032x}": (f'{{"userId":{1 + number % 20}}}', 3_600 + number)
            for number in range(SESSIONS)
        }
        cached = {f"cache:contents:{number}": (f'{{"id":{number}}}', 300 + number) for number in range(CACHED)}
        set_keys(client, {**sessions, **cached, CACHED_LIST: ("[1,2,3]", 300)})
        return {"keys": int(client.dbsize()), "waiting jobs": planned.waiting, "failed jobs": planned.failed}
