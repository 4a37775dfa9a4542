"""What the systems' clusters are put together from: workloads that run or are planted, and what is around them."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Any, Literal

from lab import process
from lab.kubernetes.api import KubernetesApi
from lab.kubernetes.kinds import Object
from lab.kubernetes.quantities import amount
from lab.kubernetes.systems.parts import Workload, condition, node, owner_of
from lab.kubernetes.systems.statuses import PodPlan, completed, stamp, status_of

State = Literal["healthy", "degraded"]
STATES: tuple[State, ...] = ("healthy", "degraded")
GIBIBYTE = 1024**3
HASH = "6d4f9c8b57"  # of the planted pods' template


@dataclass
class Place:
    """One namespace of a cluster, and the words to fill it with."""

    api: KubernetesApi
    namespace: str
    nodes: Sequence[str]
    now: datetime = field(default_factory=lambda: datetime.now(timezone.utc).replace(microsecond=0))
    _addresses: int = 10

    def __post_init__(self) -> None:
        for number, name in enumerate(self.nodes):
            if not self.api.exists("Node", "", name):
                self.api.create(node(name, f"10.0.1.{11 + number}", self.now - timedelta(days=90)))

    def add(self, kind: str, name: str, *, version: str = "v1", age: timedelta | None = None, **fields: Any) -> Object:
        """Any object; ``metadata`` in ``fields`` is added to its name and namespace."""
        created = {} if age is None else {"creationTimestamp": stamp(self.now - age)}
        metadata = {"name": name, "namespace": self.namespace, **created, **fields.pop("metadata", {})}
        return self.api.create({"apiVersion": version, "kind": kind, "metadata": metadata, **fields})

    # --- what is around the workloads
    def secret(self, name: str, values: Mapping[str, str]) -> Object:
        data = {key: base64.b64encode(value.encode()).decode() for key, value in values.items()}
        return self.add("Secret", name, type="Opaque", data=data, age=timedelta(days=80))

    def config(self, name: str, values: Mapping[str, str]) -> Object:
        return self.add("ConfigMap", name, data=dict(values), age=timedelta(days=80))

    def service(self, name: str, selector: Mapping[str, str], port: int) -> Object:
        ports = [{"name": "main", "port": port, "targetPort": port, "protocol": "TCP"}]
        spec = {"type": "ClusterIP", "selector": dict(selector), "ports": ports}
        return self.add("Service", name, spec=spec, age=timedelta(days=80))

    def ingress(self, name: str, host: str, service: str, port: int, annotations: Mapping[str, str] | None) -> Object:
        backend = {"service": {"name": service, "port": {"number": port}}}
        rule = {"host": host, "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": backend}]}}
        spec = {"ingressClassName": "nginx", "rules": [rule], "tls": [{"hosts": [host], "secretName": f"{name}-tls"}]}
        metadata = {} if annotations is None else {"annotations": dict(annotations)}
        status: Object = {"loadBalancer": {"ingress": [{"ip": "203.0.113.10"}]}}
        return self.add(
            "Ingress", name, version="networking.k8s.io/v1", spec=spec, status=status, metadata=metadata,
            age=timedelta(days=80),
        )  # fmt: skip

    def certificate(self, name: str, host: str, days: float) -> Object:
        """Ready whatever its end: only ``notAfter`` says when it stops being good for anything."""
        end = self.now + timedelta(days=days)
        status = {
            "conditions": [
                {
                    "type": "Ready",
                    "status": "True",
                    "reason": "Ready",
                    "message": "Certificate is up to date and has not expired",
                    "lastTransitionTime": stamp(end - timedelta(days=90)),
                }
            ],
            "notBefore": stamp(end - timedelta(days=90)),
            "notAfter": stamp(end),
            "renewalTime": stamp(end - timedelta(days=30)),
            "revision": 3,
        }
        issuer = {"name": "letsencrypt", "kind": "ClusterIssuer"}
        spec = {"secretName": f"{name}-tls", "dnsNames": [host], "issuerRef": issuer}
        return self.add("Certificate", name, version="cert-manager.io/v1", spec=spec, status=status)

    def autoscaler(
        self, name: str, target: str, bounds: tuple[int, int], current: int, utilization: int | None
    ) -> Object:
        """An autoscaler by CPU; without a utilization it is blind."""
        lowest, highest = bounds
        wanted = 70
        moment = stamp(self.now - timedelta(hours=3))
        blind = utilization is None
        limited = current == highest and not blind
        message = (
            "the HPA was unable to compute the replica count: failed to get cpu utilization: "
            f"missing request for cpu in container {target} of Pod {target}-6t78mfht8s-gq9sl"
        )
        status: Object = {
            "currentReplicas": current,
            "desiredReplicas": current,
            "conditions": [
                condition("AbleToScale", True, "ReadyForNewScale", "recommended size matches current size", moment),
                condition("ScalingActive", False, "FailedGetResourceMetric", message, moment)
                if blind
                else condition("ScalingActive", True, "ValidMetricFound", "the HPA was able to compute", moment),
                condition(
                    "ScalingLimited", True, "TooManyReplicas", "the desired count is more than the maximum", moment
                )
                if limited
                else condition("ScalingLimited", False, "DesiredWithinRange", "within the acceptable range", moment),
            ],
        }
        if utilization is not None:
            current_cpu = {"averageUtilization": utilization, "averageValue": f"{utilization * 25 // 10}m"}
            status["currentMetrics"] = [{"type": "Resource", "resource": {"name": "cpu", "current": current_cpu}}]
        goal = {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": wanted}}
        spec = {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": target},
            "minReplicas": lowest,
            "maxReplicas": highest,
            "metrics": [{"type": "Resource", "resource": goal}],
        }
        return self.add("HorizontalPodAutoscaler", name, version="autoscaling/v2", spec=spec, status=status)

    # --- workloads
    def run(self, workload: Workload) -> None:
        """Create it as a person would; the controllers bring its pods up."""
        metadata = {"labels": {"app": workload.name}, "annotations": dict(workload.annotations)}
        self.add(workload.kind, workload.name, version="apps/v1", spec=workload.spec(), metadata=metadata)

    def plant(self, workload: Workload, plans: Sequence[PodPlan], *, revision: int = 3) -> list[Object]:
        """Put a workload and its pods there in a state of their own, which no controller corrects: the pods."""
        ready = sum(plan.ready for plan in plans)
        living = [plan for plan in plans if plan.phase not in ("Failed", "Succeeded")]
        counts = {"replicas": len(living), "readyReplicas": ready, "availableReplicas": ready}
        since = stamp(self.now - timedelta(hours=6))
        missing = workload.replicas - ready
        conditions = [
            condition("Progressing", True, "NewReplicaSetAvailable", "has successfully progressed.", since),
            condition("Available", False, "MinimumReplicasUnavailable", "Deployment does not have it.", since)
            if missing * 4 > workload.replicas
            else condition("Available", True, "MinimumReplicasAvailable", "Deployment has it.", since),
        ]
        status: Object = {**counts, "updatedReplicas": len(living), "observedGeneration": 1, "conditions": conditions}
        if missing:
            status["unavailableReplicas"] = missing
        numbered = {"deployment.kubernetes.io/revision": str(revision)}
        metadata = {"labels": {"app": workload.name}, "annotations": {**workload.annotations, **numbered}}
        owner = self.add(
            "Deployment", workload.name, version="apps/v1", spec=workload.spec(), status=status, metadata=metadata,
            age=timedelta(days=60),
        )  # fmt: skip
        newest = self.replica_set(workload, owner, HASH, revision, workload.replicas, counts)
        return [self.pod(workload, plan, newest) for plan in plans]

    def replica_set(
        self, workload: Workload, owner: Object, digest: str, revision: int, replicas: int, counts: Mapping[str, int]
    ) -> Object:
        hashed = {"pod-template-hash": digest}
        template = workload.template()
        template["metadata"]["labels"] |= hashed
        annotations = {
            "deployment.kubernetes.io/revision": str(revision),
            "deployment.kubernetes.io/desired-replicas": str(workload.replicas),
        }
        return self.add(
            "ReplicaSet",
            f"{workload.name}-{digest}",
            version="apps/v1",
            metadata={
                "labels": {**workload.selector(), **hashed},
                "annotations": annotations,
                "ownerReferences": [owner_of(owner)],
            },
            spec={
                "replicas": replicas,
                "selector": {"matchLabels": {**workload.selector(), **hashed}},
                "template": template,
            },
            status={**counts, "fullyLabeledReplicas": counts.get("replicas", 0), "observedGeneration": 1},
            age=timedelta(days=30 - revision),
        )

    def pod(self, workload: Workload, plan: PodPlan, owner: Object | None = None) -> Object:
        template = workload.template()
        self._addresses += 1
        address = f"10.0.2.{self._addresses}"
        created = self.now - timedelta(hours=6)
        container = template["spec"]["containers"][0]
        metadata: Object = {"labels": {**template["metadata"]["labels"], "pod-template-hash": HASH}}
        if owner is not None:
            metadata["ownerReferences"] = [owner_of(owner)]
        spec = {**template["spec"], **({"nodeName": plan.node} if plan.node else {})}
        made = self.add(
            "Pod", plan.name, spec=spec, metadata=metadata, age=timedelta(hours=6),
            status=status_of(plan, container["name"], container["image"], created, address),
        )  # fmt: skip
        for reason, message in plan.events:
            self.api.event("Pod", self.namespace, plan.name, reason, message)
        return made

    def finished_job(self, name: str, cron: Object, workload: Workload, end: datetime) -> None:
        """A Job that a CronJob made, with its completed pod."""
        start = end - timedelta(minutes=4)
        complete = condition("Complete", True, "CompletionsReached", "Reached expected number of pods", stamp(end))
        template = workload.template()
        template["spec"]["restartPolicy"] = "Never"
        job = self.add(
            "Job",
            name,
            version="batch/v1",
            age=self.now - start,
            metadata={"labels": {"app": workload.name}, "ownerReferences": [owner_of(cron)]},
            spec={"backoffLimit": 2, "completions": 1, "parallelism": 1, "template": template},
            status={
                "succeeded": 1,
                "startTime": stamp(start),
                "completionTime": stamp(end),
                "conditions": [complete],
            },
        )
        self.pod(workload, completed(f"{name}-x7k2p", end, self.nodes[0]), job)

    def volume_figures(self, pod: str, claim: str, capacity: int, used: int) -> None:
        """What the kubelet of the pod's node says about a claim's file system, in bytes."""
        found = self.api.get("Pod", self.namespace, pod)
        node = found["spec"]["nodeName"]
        volume = {
            "name": "data",
            "pvcRef": {"name": claim, "namespace": self.namespace},
            "time": stamp(self.now),
            "capacityBytes": capacity,
            "usedBytes": used,
            "availableBytes": capacity - used,
            "inodes": 6553600,
            "inodesUsed": 81920,
            "inodesFree": 6471680,
        }
        reference = {"name": pod, "namespace": self.namespace, "uid": found["metadata"]["uid"]}
        self.api.answer(
            f"/api/v1/nodes/{node}/proxy/stats/summary",
            {"node": {"nodeName": node}, "pods": [{"podRef": reference, "volume": [volume]}]},
        )

    def settle(self, *workloads: Workload) -> None:
        """Wait until these have all of their pods ready."""

        def missing() -> list[str]:
            found = {each.name: self.api.get(each.kind, self.namespace, each.name) for each in workloads}
            return [
                name
                for name, each in found.items()
                if (each.get("status") or {}).get("readyReplicas", 0) != each["spec"]["replicas"]
            ]

        came = process.wait_until(lambda: not missing(), 240, pause=0.05)
        assert came, f"{self.namespace}: {', '.join(missing())} did not come up"

    def measure(self) -> None:
        """A metrics server that finds every running pod at ease."""
        for pod in self.api.list("Pod", self.namespace):
            if pod["status"].get("phase") == "Running":
                limit = amount(pod["spec"]["containers"][0]["resources"]["limits"]["memory"])
                self.api.metrics(self.namespace, pod["metadata"]["name"], "80m", str(int(limit * 2 / 5)))
        for each in self.api.list("Node"):
            self.api.node_metrics(each["metadata"]["name"], "900m", "6Gi")

    def log_of_all(self, app: str, line: str, *, age: timedelta = timedelta(minutes=5)) -> None:
        """One line in the log of every pod of an application that has one."""
        for pod in self.api.list("Pod", self.namespace):
            if (pod["metadata"].get("labels") or {}).get("app") == app:
                name = pod["spec"]["containers"][0]["name"]
                self.api.log(self.namespace, pod["metadata"]["name"], name, line, at=self.now - age)
