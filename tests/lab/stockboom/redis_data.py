"""Fill StockBoom's Redis server: cached prices beside the queues of BullMQ."""

from __future__ import annotations

import random
from datetime import datetime, timezone

from lab.redis import RedisServer
from lab.redis_content import configure, set_keys
from lab.sizes import factor_of
from lab.stockboom import queues

CACHED = 300
# Of the cached ones, those that nobody gave a time to live.
ENDLESS = 30
# The manual's lines of redis.conf. Its policy may throw jobs away, and therefore is the degraded scenario's only.
MAXMEMORY = 2 * 2**30
POLICIES = {"healthy": "noeviction", "degraded": "allkeys-lru"}
SAVE = "900 1 300 10 60 10000"


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
        client.config_set("save", SAVE)
        queues.fill(server, planned, seed, now or datetime.now(timezone.utc))
        chance = random.Random(f"{seed}:stockboom-cache")
        set_keys(client, {
            f"cache:stock:{number:06d}": (
                f'{{"price":{chance.randrange(1_000, 400_000)}}}',
                None if number < ENDLESS else 600 + chance.randrange(3_000),
            )
            for number in range(CACHED)
        })  # fmt: skip
        return {"keys": int(client.dbsize()), "waiting jobs": planned.waiting, "failed jobs": planned.failed}
