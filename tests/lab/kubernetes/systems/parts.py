"""Manifests that every system's cluster has: workloads, nodes, references and conditions. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from lab.kubernetes.kinds import Object
from lab.kubernetes.systems.statuses import stamp


@dataclass
class Workload:
    """A workload as its manifest has it."""

    name: str
    image: str
    replicas: int = 1
    labels: Mapping[str, str] = field(default_factory=dict)
    command: Sequence[str] = ()
    port: int | None = None
    env: Sequence[Object] = ()
    memory: str = "512Mi"
    claim: str | None = None
    kind: str = "Deployment"
    annotations: Mapping[str, str] = field(default_factory=dict)
    # Whether its old pod ends before its new one starts: what there must be one of.
    recreate: bool = False

    def selector(self) -> Object:
        return {"app": self.name, **self.labels}

    def template(self) -> Object:
        container: Object = {
            "name": self.name.rpartition("/")[2],
            "image": self.image,
            "resources": {
                "requests": {"cpu": "250m", "memory": self.memory},
                "limits": {"memory": self.memory},
            },
        }
        if self.command:
            container["command"] = list(self.command)
        if self.env:
            container["env"] = list(self.env)
        if self.port:
            container["ports"] = [{"containerPort": self.port}]
            container["readinessProbe"] = {"httpGet": {"path": "/health", "port": self.port}, "periodSeconds": 10}
        spec: Object = {"containers": [container], "restartPolicy": "Always"}
        if self.claim:
            container["volumeMounts"] = [{"name": "data", "mountPath": "/data"}]
            spec["volumes"] = [{"name": "data", "persistentVolumeClaim": {"claimName": self.claim}}]
        return {"metadata": {"labels": self.selector()}, "spec": spec}

    def spec(self) -> Object:
        spec: Object = {
            "replicas": self.replicas,
            "selector": {"matchLabels": self.selector()},
            "template": self.template(),
        }
        if self.kind == "StatefulSet":
            return {**spec, "serviceName": self.name}
        rolling = {"maxSurge": "25%", "maxUnavailable": "25%"}
        return {
            **spec,
            "revisionHistoryLimit": 10,
            "progressDeadlineSeconds": 600,
            "strategy": {"type": "Recreate"} if self.recreate else {"type": "RollingUpdate", "rollingUpdate": rolling},
        }


def owner_of(document: Object) -> Object:
    """A reference to the controller of an object."""
    return {
        "apiVersion": document["apiVersion"],
        "kind": document["kind"],
        "name": document["metadata"]["name"],
        "uid": document["metadata"]["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }


def from_secret(name: str, secret: str, key: str) -> Object:
    """An environment variable out of a Secret."""
    return {"name": name, "valueFrom": {"secretKeyRef": {"name": secret, "key": key}}}


def from_config(name: str, config: str, key: str) -> Object:
    """An environment variable out of a ConfigMap."""
    return {"name": name, "valueFrom": {"configMapKeyRef": {"name": config, "key": key}}}


def condition(kind: str, holds: bool, reason: str, message: str, moment: str) -> Object:
    return {
        "type": kind,
        "status": "True" if holds else "False",
        "reason": reason,
        "message": message,
        "lastTransitionTime": moment,
        **({"lastUpdateTime": moment} if kind in ("Progressing", "Available") else {}),
    }


def node(name: str, address: str, since: datetime) -> Object:
    pressures = {
        "MemoryPressure": "kubelet has sufficient memory available",
        "DiskPressure": "kubelet has no disk pressure",
        "PIDPressure": "kubelet has sufficient PID available",
    }
    conditions = [condition(kind, False, f"KubeletHasNo{kind}", text, stamp(since)) for kind, text in pressures.items()]
    conditions.append(condition("Ready", True, "KubeletReady", "kubelet is posting ready status", stamp(since)))
    room = {"cpu": "4", "memory": "16Gi", "pods": "110", "ephemeral-storage": "100Gi"}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": name,
            "creationTimestamp": stamp(since),
            "labels": {"kubernetes.io/hostname": name, "kubernetes.io/os": "linux"},
        },
        "spec": {},
        "status": {
            "conditions": conditions,
            "addresses": [{"type": "InternalIP", "address": address}, {"type": "Hostname", "address": name}],
            "capacity": room,
            "allocatable": room,
            "nodeInfo": {
                "kubeletVersion": "v1.33.4",
                "osImage": "Debian GNU/Linux 12 (bookworm)",
                "containerRuntimeVersion": "containerd://2.1.4",
                "kernelVersion": "6.1.0",
                "architecture": "amd64",
                "operatingSystem": "linux",
                "bootID": "",
                "kubeProxyVersion": "",
                "machineID": "",
                "systemUUID": "",
            },
        },
    }
