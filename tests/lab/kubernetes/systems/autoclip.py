"""AutoClip's cluster: the API behind an autoscaler, n8n with its workers, and the namespaces around them."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from lab.kubernetes.api import KubernetesApi
from lab.kubernetes.systems import statuses
from lab.kubernetes.systems.building import Place, State
from lab.kubernetes.systems.parts import Workload, from_config, from_secret

NAMESPACE = "autoclip"
NAMESPACES = (NAMESPACE, "monitoring", "ingress-nginx", "cert-manager")
NODES = ("autoclip-node-1", "autoclip-node-2", "autoclip-node-3")
SECRET = "autoclip-secrets"
# What must be in no output.
SECRET_VALUES = {
    "DB_PASSWORD": "lab-d4tabase-of-autoclip",
    "REDIS_PASSWORD": "lab-r3dis-of-autoclip",
    "GEMINI_API_KEY": "lab-gemini-k3y",
    "ELEVENLABS_API_KEY": "lab-elevenlabs-k3y",
}
REGISTRY = "123456789012.dkr.ecr.ap-northeast-2.amazonaws.com"
TRACKING = "autoclip-api:apps/Deployment:autoclip/autoclip-api"
SNIPPET = 'more_set_headers "X-Frame-Options: DENY";'

_ENVIRONMENT = (
    from_secret("DB_PASSWORD", SECRET, "DB_PASSWORD"),
    from_secret("REDIS_PASSWORD", SECRET, "REDIS_PASSWORD"),
    from_config("MAINTENANCE_MODE", "autoclip-config", "MAINTENANCE_MODE"),
)
API = Workload(
    "autoclip-api", f"{REGISTRY}/autoclip-api:v1.4.0", 3, labels={"version": "blue"}, port=3000, env=_ENVIRONMENT,
)  # fmt: skip
N8N = Workload("n8n", "n8nio/n8n:1.110.1", 3, port=5678, env=_ENVIRONMENT[:2])
N8N_WORKER = Workload("n8n-worker", "n8nio/n8n:1.110.1", 2, command=("n8n", "worker"), env=_ENVIRONMENT[:2])
WORKER = Workload(
    "worker", f"{REGISTRY}/autoclip-worker:v1.4.0", 2,
    env=(*_ENVIRONMENT, from_secret("GEMINI_API_KEY", SECRET, "GEMINI_API_KEY")),
)  # fmt: skip
PGBOUNCER = Workload("pgbouncer", "bitnami/pgbouncer:1.24.1", 2, port=6432, env=_ENVIRONMENT[:1])
ELSEWHERE = (
    ("monitoring", Workload("prometheus", "prom/prometheus:v3.5.0", port=9090)),
    ("monitoring", Workload("grafana", "grafana/grafana:12.1.1", port=3000)),
    ("ingress-nginx", Workload("ingress-nginx-controller", "registry.k8s.io/ingress-nginx/controller:v1.13.2", 2)),
    ("cert-manager", Workload("cert-manager", "quay.io/jetstack/cert-manager-controller:v1.18.2")),
)


def build(api: KubernetesApi, state: State) -> Place:
    """Fill a cluster with AutoClip as it should be, or with a saturated API and certificates that end soon."""
    place = Place(api, NAMESPACE, NODES)
    _around(place)
    workloads = [N8N, N8N_WORKER, WORKER, PGBOUNCER, *([API] if state == "healthy" else [])]
    for workload in workloads:
        place.run(workload)
    for namespace, workload in ELSEWHERE:
        Place(api, namespace, NODES, place.now).run(workload)
    place.settle(*workloads)
    for namespace, workload in ELSEWHERE:
        Place(api, namespace, NODES, place.now).settle(workload)
    if state == "healthy":
        _scaled_and_certified(place)
    else:
        _degraded(place)
    place.measure()
    for namespace in NAMESPACES[1:]:
        Place(api, namespace, NODES, place.now).measure()
    place.log_of_all(N8N.name, "info: Workflow execution finished successfully")
    return place


def _around(place: Place) -> None:
    place.secret(SECRET, SECRET_VALUES)
    place.config("autoclip-config", {"MAINTENANCE_MODE": "false", "LOG_LEVEL": "info"})
    for colour in ("blue", "green"):
        place.service(f"autoclip-api-{colour}", {"app": API.name, "version": colour}, 3000)
    place.service(API.name, {"app": API.name, "version": "blue"}, 3000)
    place.service(N8N.name, N8N.selector(), 5678)
    place.service(PGBOUNCER.name, PGBOUNCER.selector(), 6432)
    postgres = {"type": "ExternalName", "externalName": "autoclip-prod.xxxxx.ap-northeast-2.rds.amazonaws.com"}
    place.add("Service", "autoclip-postgres", spec=postgres)


def _scaled_and_certified(place: Place) -> None:
    place.autoscaler(API.name, API.name, (3, 10), 3, 46)
    place.autoscaler(WORKER.name, WORKER.name, (2, 5), 2, 38)
    place.ingress(API.name, "api.autoclip.io", API.name, 3000, None)
    for name, host in (("autoclip-api", "api.autoclip.io"), ("n8n", "n8n.autoclip.io"), ("www", "autoclip.io")):
        place.certificate(name, host, 60.5)
    place.log_of_all(API.name, '{"level":"info","requestId":"req-1","msg":"GET /health 200"}')


def _degraded(place: Place) -> None:
    """The API is at its ceiling and still too busy; its history has gaps; a third autoscaler sees nothing."""
    now, day = place.now, place.now - timedelta(days=1)
    full = replace(API, replicas=10, annotations={"argocd.argoproj.io/tracking-id": TRACKING})
    well = [
        statuses.well(f"autoclip-api-6d4f9c8b57-{each}", day, NODES[number % 3])
        for number, each in enumerate(
            ("2bq7x", "4dk9m", "5fw3n", "7hs6p", "8jv2r", "9ld5t", "cng8w", "fqj4z", "htm7b", "kwp9d")
        )
    ]
    gone = [
        statuses.evicted(
            f"autoclip-api-6d4f9c8b57-{each}", NODES[2],
            "The node was low on resource: ephemeral-storage. Threshold quantity: 10Gi, available: 8Gi.",
        )
        for each in ("mzr2f", "pbt5h")
    ]  # fmt: skip
    gone.append(statuses.failed("autoclip-api-6d4f9c8b57-rdx8k", now, NODES[1], 1))
    place.plant(full, [*well, *gone], revision=5)
    owner = place.api.get("Deployment", NAMESPACE, API.name)
    for revision, digest, tag in ((1, "58c7d9f6b4", "v1.1.0"), (2, "7b9f5c6d48", "v1.2.3")):
        older = replace(full, image=f"{REGISTRY}/autoclip-api:{tag}")
        place.replica_set(older, owner, digest, revision, 0, {"replicas": 0})
    place.autoscaler(API.name, API.name, (3, 10), 10, 96)
    place.autoscaler(WORKER.name, WORKER.name, (2, 5), 2, None)
    snippet = {"nginx.ingress.kubernetes.io/server-snippet": SNIPPET}
    place.ingress(API.name, "api.autoclip.io", API.name, 3000, snippet)
    for name, host, days in (
        ("autoclip-api", "api.autoclip.io", 5.5),
        ("n8n", "n8n.autoclip.io", 20.5),
        ("www", "autoclip.io", 60.5),
    ):
        place.certificate(name, host, days)
    # In the logs of the pods that kubectl logs deployment/autoclip-api does not read.
    for plan in well[3:6]:
        for number in range(4):
            line = f"Error: connect ETIMEDOUT generativelanguage.googleapis.com:443 job {number}"
            place.api.log(NAMESPACE, plan.name, API.name, line, at=now - timedelta(minutes=20))
