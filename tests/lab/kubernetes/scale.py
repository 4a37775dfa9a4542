"""The /scale subresource: a small view of what can be scaled."""

from __future__ import annotations

import copy
from typing import Any

from lab.kubernetes.errors import bad_request
from lab.kubernetes.kinds import Object

_METADATA = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")


def scale_of(workload: Object) -> Object:
    """The Scale of a deployment, a stateful set or a replica set."""
    metadata = {name: value for name, value in workload["metadata"].items() if name in _METADATA}
    spec = workload.get("spec") or {}
    labels = (spec.get("selector") or {}).get("matchLabels") or {}
    status: Object = {"replicas": (workload.get("status") or {}).get("replicas", 0)}
    if labels:
        status["selector"] = ",".join(f"{name}={value}" for name, value in sorted(labels.items()))
    replicas = {"replicas": spec.get("replicas", 1)}
    return {"kind": "Scale", "apiVersion": "autoscaling/v1", "metadata": metadata, "spec": replicas, "status": status}


def scaled(workload: Object, scale: Any) -> Object:
    """The workload with the replicas of a Scale, and its resourceVersion for the comparison."""
    replicas = (scale.get("spec") or {}).get("replicas", 0) if isinstance(scale, dict) else None
    if not isinstance(replicas, int) or replicas < 0:
        raise bad_request("spec.replicas: Invalid value: must be greater than or equal to 0")
    new = copy.deepcopy(workload)
    new["spec"]["replicas"] = replicas
    version = (scale.get("metadata") or {}).get("resourceVersion")
    if version:
        new["metadata"]["resourceVersion"] = version
    return new
