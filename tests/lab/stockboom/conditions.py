"""What is wrong with the degraded StockBoom, and which finding says so."""

from __future__ import annotations

from lab.planted import Condition, condition
from lab.stockboom import queues

# The rows are the same in both scenarios: what they hold is found in the healthy one, too.
ROWS: list[Condition] = [
    condition("trades_failed", "15 of the orders of the last hour failed", "business.trades_failed"),
    condition(
        "trade_failures", "Most of them, because the KIS token had expired", "business.trade_failures",
        "KIS token expired",
    ),
    condition("candles_overdue", "Candles of 13 months", "business.candles_overdue"),
    condition("notifications_overdue", "Read notifications of 4 months", "business.notifications_overdue"),
    condition("trades_overdue", "Cancelled orders of 7 months", "business.trades_overdue"),
]  # fmt: skip
REDIS: list[Condition] = [
    condition("eviction", "allkeys-lru beside queues, as the manual sets it", "redis.eviction_risk"),
    condition(
        "collection_failed", "Two thirds of the failed jobs met an expired KIS token", "queue.failed",
        queues.COLLECTION,
    ),
    condition(
        "collection_waiting", "The oldest job of the collection came 42 minutes ago", "queue.oldest",
        queues.COLLECTION,
    ),
    condition("no_worker", "Jobs wait in two queues, and the only worker was killed", "queue.unconsumed"),
    condition("orders_held", "Three orders that the killed worker held", "queue.stalled", queues.EXECUTION),
    condition("orders_paused", "Somebody paused the orders, and some wait", "queue.paused", queues.EXECUTION),
]  # fmt: skip
CONDITIONS = [*ROWS, *REDIS]

# Planted beside them: traps, which must give no finding of their own, and faults that other playbooks look for.
TRAPS = {
    "prioritized": "25 jobs that LLEN of the list wait does not count, and 30 failed ones whose priority must stay",
    "flows": "8 analyses that wait for their own collection jobs: neither failed nor stuck",
    "scheduler": "A job of a scheduler waits; who empties the queue must leave its scheduler alone",
    "endless_cache": "30 cached prices without a time to live, among 300",
    "few_failures": "Two failures of data-analysis, fewer than a day may have",
}
