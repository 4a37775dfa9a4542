"""CronJobs as they are defined: what does harm on some night, and what is no fault."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.health.cron_definition import unwatched_pipes
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.health.jobs import cron_jobs_facts

NOW = dt.datetime(2026, 5, 20, 8, 0, tzinfo=dt.timezone.utc)
WRITTEN = "2026-03-20T04:00:00Z"
NIGHTLY = """pg_dump -h postgres -U user -d shop | gzip > /backup/shop-20260320.sql.gz
aws s3 cp /backup/shop-20260320.sql.gz s3://backups/
"""


def cron(command: list[str], name: str = "nightly", schedule: str = "0 2 * * *", **fields: Any) -> dict[str, Any]:
    job = fields.pop("job", {})
    pod = {"restartPolicy": "Never", **fields.pop("pod", {})}
    pod["containers"] = [{"name": "app", "command": command, "env": fields.pop("env", [])}]
    return {
        "metadata": {"name": name, "namespace": "shop", "creationTimestamp": WRITTEN},
        "spec": {"schedule": schedule, **fields, "jobTemplate": {"spec": {**job, "template": {"spec": pod}}}},
        "status": {"lastScheduleTime": "2026-05-20T02:00:00Z"},
    }


def job(begin: str, end: str | None, owner: str = "nightly") -> dict[str, Any]:
    owners = [{"kind": "CronJob", "name": owner, "controller": True}]
    status = {"startTime": begin, "completionTime": end} if end else {"startTime": begin, "active": 1}
    metadata = {"name": begin, "namespace": "shop", "creationTimestamp": begin, "ownerReferences": owners}
    return {"metadata": metadata, "status": status}


def facts(document: dict[str, Any], *jobs: dict[str, Any]) -> dict[str, Any]:
    [found] = cron_jobs_facts([document], jobs, NOW)
    return found


def wrong(found: dict[str, Any]) -> set[str]:
    flags = {"is_zone_assumed", "may_overlap", "is_start_impossible"}
    return {key for key, value in found.items() if (key in flags and value) or (key.endswith("_count") and value)} - {
        "missed_count",
        "active_count",
    }


SOUND = {
    "timeZone": "Asia/Seoul",
    "concurrencyPolicy": "Forbid",
    "startingDeadlineSeconds": 600,
    "job": {"activeDeadlineSeconds": 3600, "backoffLimit": 1},
}


def test_the_manual_and_a_sound_one() -> None:
    manual = facts(cron(["/bin/sh", "-c", NIGHTLY], "postgres-backup", pod={"restartPolicy": "OnFailure"}))
    assert wrong(manual) == {
        *("is_zone_assumed", "may_overlap", "unbounded_count", "lost_traces_count"),
        *("frozen_dates_count", "unwatched_pipes_count"),
    }
    assert (manual["frozen_dates"], manual["unwatched_pipes"], manual["backoff_limit"]) == ("20260320", "pg_dump", 6)
    sound = facts(
        cron(["/bin/sh", "-ec", "set -o pipefail\n" + NIGHTLY.replace("20260320", "$(date +%Y%m%d)")], **SOUND)
    )
    assert (wrong(sound), sound["is_backup"], sound["active_deadline_seconds"]) == (set(), True, 3600)


@pytest.mark.parametrize(
    ("word", "frozen"),
    [
        ("/backup/shop-20250101.sql.gz", "20250101"),
        ("s3://backups/2025-01-01/all.dump", ""),
        ("s3://backups/all-2025-01-01.dump", "2025-01-01"),
        ("/backup/20250101233000_shop.tar", "20250101233000"),
        # Of the day on which it was written, or the one before where that is another zone's.
        ("--label=2026-03-20", "2026-03-20"),
        ("--label=2026-03-19", "2026-03-19"),
        ("--label=2026-03-17", ""),
        ("--since=2020-01-01", ""),
        ("/backup/shop-$(date +%Y%m%d).sql.gz", ""),
        ("--snapshot=120260320", ""),
        ("--day=20261345", ""),
        ("2012-10-17", ""),
    ],
)
def test_dates(word: str, frozen: str) -> None:
    assert facts(cron(["report", word], **SOUND))["frozen_dates"] == frozen


@pytest.mark.parametrize(
    ("script", "programs"),
    [
        ("pg_dump shop | gzip > x", ["pg_dump"]),
        ("PGPASSWORD=$P exec /usr/bin/pg_dump shop 2>&1 | gzip > x", ["pg_dump"]),
        ("if pg_dump shop \\\n  | gzip > x; then echo done; fi", ["pg_dump"]),
        ("kubectl exec postgres-0 -- pg_dump shop | gzip | aws s3 cp - s3://x", ["pg_dump"]),
        ("curl -sf https://x | tar -xz", ["curl"]),
        ("x=$(pg_dump shop | sha256sum)", ["pg_dump"]),
        ("pg_dump shop || exit 1", []),
        ("pg_dump -f x shop && gzip x || echo failed | mail ops", []),
        ("curl -s https://x | grep -q ok", []),
        ("kubectl get pods | grep Evicted | awk '{print $1}' | xargs kubectl delete pod", []),
        ("echo 'pg_dump | gzip'", []),
        ("psql -c 'select 1 | 2'", []),
    ],
)
def test_pipes(script: str, programs: list[str]) -> None:
    assert unwatched_pipes(script) == programs
    for shell in (["bash", "-o", "pipefail", "-c"], ["python", "-c"]):
        assert facts(cron([*shell, script], **SOUND))["unwatched_pipes"] == ""
    assert facts(cron(["bash", "-ec", script], **SOUND))["unwatched_pipes_count"] == len(programs)


def test_two_at_once() -> None:
    def overlap(*jobs: dict[str, Any], name: str = "sync", **fields: Any) -> str:
        return str(facts(cron(["sync"], name, "*/30 * * * *", **fields), *jobs)["overlap"])

    slow = job("2026-05-20T06:00:00Z", "2026-05-20T06:40:00Z", "sync")
    going, quick = (
        job("2026-05-20T07:00:00Z", None, "sync"),
        job("2026-05-20T06:00:00Z", "2026-05-20T06:20:00Z", "sync"),
    )
    assert overlap() == overlap(quick) == overlap(slow, concurrencyPolicy="Forbid") == ""
    assert overlap(slow) == "one took 40 min, and it starts every 30 min"
    assert overlap(going).startswith("one took 60 min")
    assert overlap(job={"activeDeadlineSeconds": 1200}, name="backup") == ""
    assert "backup" in overlap(name="backup")
    several = cron(["sync"], "sync", "*/30 * * * *")
    several["status"]["active"] = [{"name": "a"}, {"name": "b"}]
    assert facts(several)["overlap"] == "2 of its jobs go on at once"


@pytest.mark.parametrize(
    ("schedule", "is_assumed"),
    [
        ("0 2 * * *", True),
        ("0 * * * *", False),
        ("*/5 * * * *", False),
        ("0 * * * mon-fri", True),
        ("@daily", True),
        ("@hourly", False),
        ("@every 6h", False),
        ("TZ=Asia/Seoul 0 2 * * *", False),
        ("at night", None),
    ],
)
def test_zones(schedule: str, is_assumed: bool | None) -> None:
    assert facts(cron(["sync"], schedule=schedule))["is_zone_assumed"] is is_assumed
    assert facts(cron(["sync"], schedule=schedule, timeZone="Etc/UTC"))["is_zone_assumed"] is False


def test_bounds_and_traces() -> None:
    def found(**fields: Any) -> tuple[str, str]:
        result = facts(cron(["sync"], "sync", fields.pop("schedule", "0 2 * * *"), **{**SOUND, **fields}))
        return result["unbounded"], result["lost_traces"]

    assert found() == ("", "")
    assert found(job={}) == ("without activeDeadlineSeconds one that hangs keeps all others off", "")
    assert found(job={}, pod={"activeDeadlineSeconds": 60}) == found(job={}, concurrencyPolicy="Replace") == ("", "")
    assert found(startingDeadlineSeconds=None) == ("", "")
    assert "100 missed starts" in found(startingDeadlineSeconds=None, schedule="*/5 * * * *")[0]
    assert found(failedJobsHistoryLimit=0)[1].startswith("failedJobsHistoryLimit is 0")
    # Whoever starts anew in the same pod has no more than one log; that of a backup is wanted.
    assert found(pod={"restartPolicy": "OnFailure"}) == ("", "")
    assert facts(cron(["sync"], startingDeadlineSeconds=5))["is_start_impossible"] is True


def test_secrets_by_name_only() -> None:
    env = [{"name": "PGPASSWORD", "value": "hunter2"}, {"name": "URL", "value": "postgres://u:hunter2@db/x"}]
    found = facts(cron(["sh", "-c", "set -e; PGPASSWORD=hunter2 psql -f /x.sql"], env=env, **SOUND))
    assert found["plain_secrets"] == (
        "env PGPASSWORD of container app, env URL of container app, command of container app"
    )
    assert "hunter2" not in str(found)
    assert facts(cron(["sh", "-c", "PGPASSWORD=$DATABASE_PASSWORD psql"], **SOUND))["plain_secrets_count"] == 0
