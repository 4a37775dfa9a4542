"""What is wrong with the degraded StoreBridge, and which finding says so: one each, and nothing else."""

from __future__ import annotations

from datetime import datetime, timezone

from lab.kubernetes.systems.storebridge import BACKUP, BEAT, CLAIM, NAMESPACE
from lab.planted import Condition, condition
from lab.storebridge.database import INVALID_INDEX, UNUSED_INDEX
from lab.storebridge.metrics import DOWN_JOB, DOWN_TARGET
from lab.storebridge.objects import backups
from lab.storebridge.sessions import LEAKING


def conditions(now: datetime) -> list[Condition]:
    """The conditions that the daily check finds; names of backups hold the date, hence ``now``."""
    by_fault = {backup.fault: backup.key for backup in reversed(backups("degraded", now))}
    return [
        condition(
            "success_rate",
            "Yesterday in Seoul, 80 of 100 finished registrations succeeded",
            "business.registration_success",
        ),
        condition("manual_review", "100 registrations wait for a person", "business.manual_review"),
        condition("jobs_overdue", "Completed jobs of more than 90 days, with items", "business.jobs_overdue"),
        condition(
            "audit_overdue",
            "100 audit rows are 181 days old; those of 179 days are not overdue",
            "business.audit_logs_overdue",
        ),
        condition(
            "idle_in_transaction",
            "A worker left a transaction open",
            "postgresql.idle_in_transaction",
            f"{LEAKING} (storebridge_app@storebridge)",
        ),
        condition(
            "dead_rows",
            "A third of the audit rows is dead, and the open transaction keeps VACUUM from removing them",
            "postgresql.dead_rows",
            "public.audit_logs",
        ),
        condition(
            "unused_index",
            "An index that nobody used, and that no constraint needs",
            "postgresql.index_unused",
            f"public.{UNUSED_INDEX}",
        ),
        condition(
            "invalid_index",
            "CREATE UNIQUE INDEX CONCURRENTLY failed over duplicates",
            "postgresql.index_invalid",
            f"public.{INVALID_INDEX}",
        ),
        condition("domeggook_quota", "14,200 of 15,000 calls of Domeggook are used", "quota.domeggook"),
        condition("no_worker", "Tasks wait and the only worker was killed", "queue.unconsumed"),
        condition("stuck_tasks", "Tasks that the killed worker held for two hours", "queue.stalled", "batch"),
        condition("rate_limit_lines", "More than a hundred times 'Rate limit exceeded' in an hour", "logs.rate_limit"),
        condition(
            "target_down", "A target that Prometheus cannot scrape", "metrics.target_up", f"{DOWN_JOB} {DOWN_TARGET}"
        ),
        condition("backup_truncated", "The newest backup is cut in half", "backup.newest_complete"),
        condition("backup_stale", "The newest backup that is whole is eight days old", "backup.newest_complete_age"),
        condition("backup_empty", "20 bytes of gzip, and nothing in them", "backup.empty", by_fault["empty"]),
        condition("backup_unfinished", "A complete gzip of half a dump", "backup.incomplete", by_fault["unfinished"]),
        condition("backup_gaps", "Nights without a backup", "backup.gaps"),
        *_cluster(),
    ]


def _cluster() -> list[Condition]:
    """What is wrong in storebridge-prod. Pods are told by workload and reason."""
    pods = [
        ("web_crashes", "A web pod ends with exit code 1", "storebridge-web CrashLoopBackOff"),
        (
            "web_unready",
            "A web pod that is Running, and not ready: fine for kubectl get pods",
            "storebridge-web NotReady",
        ),
        ("worker_memory", "A worker that the kernel ends for want of memory", "storebridge-worker-normal OOMKilled"),
        ("batch_pending", "A batch worker that fits on no node", "storebridge-worker-batch Unschedulable"),
        (
            "batch_key",
            "A batch worker whose Secret lacks a key",
            "storebridge-worker-batch CreateContainerConfigError",
        ),
        ("grafana_image", "A tag with a letter O in place of a zero", "grafana ImagePullBackOff"),
    ]
    # The manual's own CronJob, as its heredoc without quotes makes it.
    nightly = [
        ("frozen_date", "Every night writes the file of the day on which the backup was set up"),
        ("unwatched_pipe", "A failed pg_dump before gzip ends well"),
        ("overlap", "A second backup may start beside one that hangs"),
        ("time_zone", "02:00 of nobody's time zone"),
        ("unbounded", "Nothing ends a backup that hangs"),
        ("traces", "The log of a failed backup goes with its pod"),
    ]
    return [
        *(condition(key, text, "kubernetes.pod_unhealthy", f"{NAMESPACE}/{name}") for key, text, name in pods),
        condition("beat_twice", "Two healthy schedulers", "kubernetes.replicas_not_exact", f"{NAMESPACE}/{BEAT.name}"),
        condition(
            "grafana_gone", "Nobody answers for Grafana", "kubernetes.service_without_endpoints", f"{NAMESPACE}/grafana"
        ),
        condition("claim_full", "The database's volume is 93 % full", "kubernetes.volume_used", f"{NAMESPACE}/{CLAIM}"),
        condition(
            "claim_grows",
            "The database's volume has grown, its file system waits for a restart",
            "kubernetes.claim_resize",
            f"{NAMESPACE}/{CLAIM}",
        ),
        *(
            condition(f"nightly_{key}", text, f"kubernetes.cronjob_{key}", f"{NAMESPACE}/{BACKUP.name}")
            for key, text in nightly
        ),
    ]


CONDITIONS = conditions(datetime.now(timezone.utc))

# Planted beside them: traps, which must give no finding of their own, and faults that other playbooks look for.
TRAPS = {
    "unique_never_scanned": "The index of products_domeggook_item_id_key keeps duplicates out: not an unused index",
    "mixed_case": 'A table "MixedCase", which names put together as text do not find',
    "pooled_idle": "Idle sessions of a pool, and an idle superuser: no leak",
    "naver_limiter": "Counters of at most two calls a second, many of them",
    "cascade": "job_items hang on jobs with ON DELETE CASCADE: archiving jobs would delete them",
    "review_reasons": "60 CATEGORY_MISMATCH, 25 FORBIDDEN_WORD, 15 ATTRIBUTE_MISSING in a week",
    "cache_hit_rate": "38 of 100 reads of the cache find nothing",
    "failed_tasks": "14 failed tasks of three reasons, fewer than a day may have",
    "backup_completed": "Completed pods of the nightly backup: not Running, and nothing is wrong with them",
    "error_budget": "A log line that has the word error in it and tells of none",
}
