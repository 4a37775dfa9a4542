"""What is wrong with the degraded AutoClip, and which finding says so."""

from __future__ import annotations

from lab.autoclip import queues
from lab.planted import Condition, condition

# The rows are the same in both scenarios: what they hold is found in the healthy one, too.
ROWS: list[Condition] = [
    condition("content_success", "Yesterday in Seoul, 94 of 100 contents succeeded", "business.content_success"),
]
REDIS: list[Condition] = [
    condition("eviction", "volatile-lru beside queues, as the service comes", "redis.eviction_risk"),
    condition(
        "content_failed", "Half of the failed jobs met an overloaded model", "queue.failed", queues.CONTENT
    ),
    condition("content_backlog", "More than a hundred jobs wait", "queue.backlog", queues.CONTENT),
    condition("content_waiting", "The oldest of them came 50 minutes ago", "queue.oldest", queues.CONTENT),
    condition("no_worker", "Jobs wait, and the only worker was killed", "queue.unconsumed"),
    condition("content_held", "Two jobs that the killed worker held", "queue.stalled", queues.CONTENT),
]  # fmt: skip
CONDITIONS = [*ROWS, *REDIS]

# Planted beside them: traps, which must give no finding of their own, and faults that other playbooks look for.
TRAPS = {
    "n8n": "n8n keeps nothing of what failed: its queue holds no failed job however many workflows failed",
    "n8n_priority": "Every job of n8n has a priority, so that its ids are in two keys; who adds them counts twice",
    "waiting": "bull:content-generation:waiting does not exist: LLEN of it is 0, whatever waits",
    "sessions": "200 keys session:*, whose names are secrets",
}
