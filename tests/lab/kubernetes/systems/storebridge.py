"""StoreBridge's cluster: namespace storebridge-prod on three nodes, its claim for PostgreSQL, its nightly backup."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, time, timedelta, timezone, tzinfo
from typing import Any
from zoneinfo import ZoneInfo

from lab.kubernetes.api import KubernetesApi
from lab.kubernetes.kinds import Object
from lab.kubernetes.systems import statuses
from lab.kubernetes.systems.building import GIBIBYTE, Place, State
from lab.kubernetes.systems.parts import Workload, from_config, from_secret
from lab.kubernetes.systems.statuses import stamp

NAMESPACE = "storebridge-prod"
NODES = ("storebridge-node-1", "storebridge-node-2", "storebridge-node-3")
CLAIM = "postgres-pvc"
SECRET = "storebridge-secrets"
MISSING_KEY = "NAVER_CLIENT_SECRET"
# What must be in no output.
SECRET_VALUES = {
    "database-password": "lab-d4tabase-of-storebridge",
    "DATABASE_URL": "postgresql://storebridge_app:lab-d4tabase-of-storebridge@postgres:5432/storebridge",
    "NAVER_CLIENT_ID": "lab-naver-cl1ent",
    MISSING_KEY: "lab-naver-s3cret",
    "DOMEGGOOK_API_KEY": "lab-domeggook-k3y",
}
IMAGE = "registry.storebridge.example/storebridge:1.8.2"  # of the web server, the workers and beat
SEOUL = ZoneInfo("Asia/Seoul")

_ENVIRONMENT = (
    from_secret("DATABASE_URL", SECRET, "DATABASE_URL"),
    from_secret("DOMEGGOOK_API_KEY", SECRET, "DOMEGGOOK_API_KEY"),
    from_config("REDIS_URL", "storebridge-config", "REDIS_URL"),
)
_NAVER = (from_secret("NAVER_CLIENT_SECRET", SECRET, MISSING_KEY),)
_CELERY = ("celery", "-A", "app.worker")
WEB = Workload("storebridge-web", IMAGE, 3, port=8000, env=_ENVIRONMENT)
NORMAL = Workload(
    "storebridge-worker-normal", IMAGE, 4,
    command=(*_CELERY, "worker", "-Q", "normal", "-c", "4"), env=(*_ENVIRONMENT, *_NAVER),
)  # fmt: skip
BATCH = Workload(
    "storebridge-worker-batch", IMAGE, 2,
    command=(*_CELERY, "worker", "-Q", "batch", "-c", "2"), env=(*_ENVIRONMENT, *_NAVER),
)  # fmt: skip
BEAT = Workload(
    "storebridge-beat", IMAGE, command=(*_CELERY, "beat"), env=_ENVIRONMENT,
    memory="128Mi", recreate=True,
)  # fmt: skip
GRAFANA = Workload("grafana", "grafana/grafana:12.1.1", port=3000)
PROMETHEUS = Workload("prometheus", "prom/prometheus:v3.5.0", port=9090, memory="2Gi")
POSTGRES = Workload(
    "postgres", "postgres:15.14-alpine", port=5432, claim=CLAIM, kind="StatefulSet",
    env=(from_secret("POSTGRES_PASSWORD", SECRET, "database-password"),), memory="4Gi",
)  # fmt: skip
BACKUP = Workload(
    "postgres-backup", "postgres:15.14-alpine", command=("/scripts/backup",),
    env=(from_secret("PGPASSWORD", SECRET, "database-password"),),
)  # fmt: skip


def build(api: KubernetesApi, state: State) -> Place:
    """Fill a cluster with StoreBridge as it should be, or as it is after a bad night."""
    place = Place(api, NAMESPACE, NODES)
    _around(place, state)
    _backups(place, state)
    if state == "healthy":
        workloads = (WEB, NORMAL, BATCH, BEAT, GRAFANA, PROMETHEUS, POSTGRES)
        _claim(place)
        for workload in workloads:
            place.run(workload)
        place.settle(*workloads)
        place.volume_figures("postgres-0", CLAIM, 100 * GIBIBYTE, 45 * GIBIBYTE)
    else:
        place.run(PROMETHEUS)
        place.settle(PROMETHEUS)
        _growing_claim(place)
        _degraded(place)
        place.volume_figures("postgres-0", CLAIM, 100 * GIBIBYTE, 93 * GIBIBYTE)
    place.measure()
    place.log_of_all(WEB.name, '{"level": "INFO", "message": "GET /health 200"}')
    place.log_of_all(BEAT.name, "[INFO/MainProcess] Scheduler: Sending due task sync-stock (app.tasks.sync_stock)")
    return place


def _around(place: Place, state: State) -> None:
    values = {key: value for key, value in SECRET_VALUES.items() if state == "healthy" or key != MISSING_KEY}
    place.secret(SECRET, values)
    config = {"REDIS_URL": "redis://redis:6379/0", "LOG_LEVEL": "INFO", "MAINTENANCE_MODE": "false"}
    place.config("storebridge-config", config)
    for workload in (WEB, GRAFANA, PROMETHEUS, POSTGRES):
        assert workload.port is not None
        place.service(workload.name, workload.selector(), workload.port)
    place.ingress("storebridge", "api.storebridge.com", WEB.name, 8000, None)
    place.certificate("storebridge", "api.storebridge.com", 60.5)
    if not place.api.exists("StorageClass", "", "gp3"):
        place.add(
            "StorageClass", "gp3", version="storage.k8s.io/v1", provisioner="ebs.csi.aws.com",
            allowVolumeExpansion=True, reclaimPolicy="Retain", volumeBindingMode="Immediate",
        )  # fmt: skip


def _backups(place: Place, state: State) -> None:
    """A CronJob that has run at two in the morning, and the completed pods of three nights."""
    template = BACKUP.template()
    template["spec"]["restartPolicy"] = "Never"
    zone: tzinfo = SEOUL
    spec: Object = {
        "schedule": "0 2 * * *",
        "timeZone": "Asia/Seoul",
        "startingDeadlineSeconds": 3600,
        "concurrencyPolicy": "Forbid",
        "suspend": False,
        "successfulJobsHistoryLimit": 3,
        "failedJobsHistoryLimit": 3,
        "jobTemplate": {"spec": {"backoffLimit": 2, "activeDeadlineSeconds": 7200, "template": template}},
    }
    age = timedelta(days=60)
    if state == "degraded":
        # As it comes from a heredoc without quotes: with the date of the day on which it was applied, and in UTC.
        zone = timezone.utc
        file = f"storebridge-{place.now - age:%Y%m%d}.sql.gz"
        script = (
            f"pg_dump -h postgres -U user -d storebridge | gzip > /backup/{file}\n"
            f"aws s3 cp /backup/{file} s3://storebridge-backups/\n"
        )
        template["spec"]["restartPolicy"] = "OnFailure"
        template["spec"]["containers"][0]["command"] = ["/bin/sh", "-c", script]
        spec = {"schedule": "0 2 * * *", "jobTemplate": {"spec": {"template": template}}}
    last = datetime.combine(place.now.astimezone(zone).date(), time(2), zone).astimezone(timezone.utc)
    if last + timedelta(minutes=5) > place.now:
        last -= timedelta(days=1)
    status = {"lastScheduleTime": stamp(last), "lastSuccessfulTime": stamp(last + timedelta(minutes=4))}
    cron = place.add("CronJob", BACKUP.name, version="batch/v1", age=age, spec=spec, status=status)
    for night in range(3):
        start = last - timedelta(days=night)
        name = f"{BACKUP.name}-{int(start.timestamp()) // 60}"
        place.finished_job(name, cron, BACKUP, start + timedelta(minutes=4))


def _claim(place: Place, size: str = "100Gi", **fields: Any) -> Object:
    resources = {"requests": {"storage": size}}
    spec = {"accessModes": ["ReadWriteOnce"], "storageClassName": "gp3", "resources": resources}
    return place.add("PersistentVolumeClaim", CLAIM, spec=spec, **fields)


def _growing_claim(place: Place) -> None:
    """Nearly full; its volume has grown, its file system waits for the next start of the pod."""
    api = place.api
    with api.store.lock:  # before the resizer looks at it
        counts = ("replicas", "readyReplicas", "availableReplicas", "currentReplicas", "updatedReplicas")
        status = {**dict.fromkeys(counts, 1), "observedGeneration": 1}
        database = place.add(
            "StatefulSet", POSTGRES.name, version="apps/v1", spec=POSTGRES.spec(), status=status,
            age=timedelta(days=80),
        )  # fmt: skip
        pod = place.pod(POSTGRES, statuses.well("postgres-0", place.now - timedelta(days=9), NODES[0]), database)
        pending = {
            "type": "FileSystemResizePending",
            "status": "True",
            "lastTransitionTime": stamp(place.now - timedelta(hours=2)),
            "message": "Waiting for user to (re-)start a pod to finish file system resize of volume on node.",
        }
        claim = _claim(
            place,
            "200Gi",
            metadata={"annotations": {"lab.runbook/resize": "restart"}},
            status={
                "phase": "Bound",
                "accessModes": ["ReadWriteOnce"],
                "capacity": {"storage": "100Gi"},
                "allocatedResources": {"storage": "200Gi"},
                "allocatedResourceStatuses": {"storage": "NodeResizePending"},
                "conditions": [pending],
            },
        )
        api.store.memory[claim["metadata"]["uid"]] = {pod["metadata"]["uid"]}


def _degraded(place: Place) -> None:
    now, (first, second, third) = place.now, NODES
    day = now - timedelta(days=1)
    place.plant(
        WEB,
        [
            statuses.well("storebridge-web-6d4f9c8b57-4kq8z", day, first),
            statuses.crashing("storebridge-web-6d4f9c8b57-c7m2x", now, second),
            statuses.unready(
                "storebridge-web-6d4f9c8b57-p9w5d", day, third,
                "Readiness probe failed: HTTP probe failed with statuscode: 503",
            ),
        ],
    )  # fmt: skip
    place.plant(
        NORMAL,
        [
            *(statuses.well(f"storebridge-worker-normal-6d4f9c8b57-{each}", day, first) for each in ("2v8xk", "h5n4t")),
            statuses.well("storebridge-worker-normal-6d4f9c8b57-q6r9j", day, second),
            statuses.out_of_memory("storebridge-worker-normal-6d4f9c8b57-z3b7f", now, third),
        ],
    )
    crowded = (
        "0/3 nodes are available: 3 Insufficient memory. preemption: 0/3 nodes are available: "
        "3 No preemption victims found for incoming pod."
    )
    without = f"couldn't find key {MISSING_KEY} in Secret {NAMESPACE}/{SECRET}"
    batch = replace(BATCH, replicas=3, memory="12Gi")
    place.plant(
        batch,
        [
            statuses.well("storebridge-worker-batch-6d4f9c8b57-8d2wl", day, second),
            statuses.unschedulable("storebridge-worker-batch-6d4f9c8b57-k4t6g", crowded),
            statuses.without_key("storebridge-worker-batch-6d4f9c8b57-m9s3v", third, without),
        ],
    )
    # Two of them, both in the best of health: every task is sent twice.
    twice = replace(BEAT, replicas=2)
    place.plant(
        twice,
        [statuses.well(f"storebridge-beat-6d4f9c8b57-{each}", day, first) for each in ("f8h2c", "w5x9n")],
    )
    image = "grafana/grafana:12.1.1O"
    place.plant(
        replace(GRAFANA, image=image),
        [statuses.without_image("grafana-6d4f9c8b57-t7j4s", second, image)],
    )
