"""What is wrong with the degraded AutoClip, and which finding says so."""

from __future__ import annotations

from lab.autoclip import queues
from lab.planted import Condition, condition

# The rows are the same in both scenarios: what they hold is found in the healthy one, too.
ROWS: list[Condition] = [
    condition("content_success", "Yesterday in Seoul, 94 of 100 contents succeeded", "business.content_success"),
]
POOLER: list[Condition] = [
    condition(
        "pooler_waiting", "Idle clients keep all connections of the pool, others wait", "pgbouncer.waiting",
        "pgbouncer autoclip/autoclip_app",
    ),
    condition(
        "pooler_full", "The pool is full while the server has connections left", "pgbouncer.pool_full",
        "pgbouncer autoclip/autoclip_app",
    ),
]  # fmt: skip
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
CLUSTER: list[Condition] = [
    condition(
        "api_evicted", "Two pods that their node evicted", "kubernetes.pod_left_over", "autoclip/autoclip-api Evicted"
    ),
    condition(
        "api_failed", "A pod that ended with its node", "kubernetes.pod_left_over", "autoclip/autoclip-api Error"
    ),
    condition(
        "api_saturated",
        "Ten pods of ten, and still too busy",
        "kubernetes.autoscaler_at_ceiling",
        "autoclip/autoclip-api",
    ),
    condition("worker_blind", "An autoscaler that gets no figures", "kubernetes.autoscaler_blind", "autoclip/worker"),
    condition(
        "certificate_api", "READY, and over in five days", "kubernetes.certificate_days_left", "autoclip/autoclip-api"
    ),
    condition("certificate_n8n", "READY, and over in twenty days", "kubernetes.certificate_days_left", "autoclip/n8n"),
    condition("snippet", "An Ingress with a server-snippet", "kubernetes.snippet", "autoclip/autoclip-api"),
    condition(
        "api_errors",
        "Errors in three of ten pods, of which kubectl logs deployment/autoclip-api reads none",
        "logs.workload_errors",
        "autoclip/autoclip-api",
    ),
]
AMAZON: list[Condition] = [
    condition("no_versions", "Versioning was suspended", "object_store.versioning", "autoclip-content-prod"),
    condition("old_snapshot", "The snapshots by hand ended thirty hours ago", "backup.rds_snapshot_age"),
]
CONDITIONS = [*ROWS, *POOLER, *REDIS, *CLUSTER, *AMAZON]

# Planted beside them: traps, which must give no finding of their own, and faults that other playbooks look for.
TRAPS = {
    "n8n": "n8n keeps nothing of what failed: its queue holds no failed job however many workflows failed",
    "n8n_priority": "Every job of n8n has a priority, so that its ids are in two keys; who adds them counts twice",
    "waiting": "bull:content-generation:waiting does not exist: LLEN of it is 0, whatever waits",
    "certificate_www": "READY, and good for sixty days",
    "revisions": "ReplicaSets of the revisions 1, 2 and 5: there is no 3 to go back to, whatever the manual says",
    "tracked": "Argo CD puts back whatever is changed in autoclip-api by hand",
    "sessions": "200 keys session:*, whose names are secrets",
}
