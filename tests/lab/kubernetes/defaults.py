"""What the server fills in when workloads and services are created.

An object that a test plants with its status stays as it is. Updates are completed only where the object was complete
before, so that a patch of a planted one's labels is no change of its template.
"""

from __future__ import annotations

import copy
from typing import Any

from lab.kubernetes.kinds import Kind, Object
from lab.kubernetes.workload_specs import TEMPLATES, pod_spec_of

_POD: Object = {
    "restartPolicy": "Always",
    "terminationGracePeriodSeconds": 30,
    "dnsPolicy": "ClusterFirst",
    "securityContext": {},
    "schedulerName": "default-scheduler",
}
_CONTAINER: Object = {
    "resources": {},
    "terminationMessagePath": "/dev/termination-log",
    "terminationMessagePolicy": "File",
}
_PROBE = {"timeoutSeconds": 1, "periodSeconds": 10, "successThreshold": 1, "failureThreshold": 3}
_ROLLING = {"maxUnavailable": "25%", "maxSurge": "25%"}
_SPECS: dict[str, Object] = {
    "deployments": {
        "replicas": 1,
        "strategy": {"type": "RollingUpdate"},
        "revisionHistoryLimit": 10,
        "progressDeadlineSeconds": 600,
    },
    "replicasets": {"replicas": 1},
    "statefulsets": {
        "replicas": 1,
        "podManagementPolicy": "OrderedReady",
        "updateStrategy": {"type": "RollingUpdate"},
        "revisionHistoryLimit": 10,
        "persistentVolumeClaimRetentionPolicy": {"whenDeleted": "Retain", "whenScaled": "Retain"},
    },
    "daemonsets": {"updateStrategy": {"type": "RollingUpdate"}, "revisionHistoryLimit": 10},
    "cronjobs": {
        "concurrencyPolicy": "Allow",
        "suspend": False,
        "successfulJobsHistoryLimit": 3,
        "failedJobsHistoryLimit": 1,
    },
    "jobs": {"completions": 1, "parallelism": 1, "backoffLimit": 6, "completionMode": "NonIndexed", "suspend": False},
    "services": {"type": "ClusterIP", "sessionAffinity": "None", "internalTrafficPolicy": "Cluster"},
    "horizontalpodautoscalers": {"minReplicas": 1},
}


def completed(kind: Kind, old: Object | None, new: Object) -> Object:
    """The object with the server's defaults."""
    if kind.plural not in _SPECS and kind.plural not in TEMPLATES:
        return new
    if old is not None and _complete(kind, old) != old:
        return new
    return _complete(kind, new)


def _complete(kind: Kind, manifest: Object) -> Object:
    found = copy.deepcopy(manifest)
    spec = found.get("spec")
    if not isinstance(spec, dict):
        return found
    _fill(spec, _SPECS.get(kind.plural, {}))
    if kind.plural == "deployments" and spec["strategy"].get("type") == "RollingUpdate":
        _fill(spec["strategy"].setdefault("rollingUpdate", {}), _ROLLING)
    if kind.plural == "services":
        for port in spec.get("ports") or []:
            _fill(port, {"protocol": "TCP", "targetPort": port.get("port")})
    pod = pod_spec_of(kind.plural, found)
    if isinstance(pod, dict):
        _complete_pod(pod)
    return found


def _complete_pod(spec: Object) -> None:
    _fill(spec, _POD)
    for each in [*(spec.get("containers") or []), *(spec.get("initContainers") or [])]:
        if not isinstance(each, dict):
            continue
        image = str(each.get("image", ""))
        latest = ":" not in image.rpartition("/")[2] or image.endswith(":latest")
        _fill(each, {**_CONTAINER, "imagePullPolicy": "Always" if latest and "@" not in image else "IfNotPresent"})
        for port in each.get("ports") or []:
            _fill(port, {"protocol": "TCP"})
        for name in ("readinessProbe", "livenessProbe", "startupProbe"):
            if isinstance(each.get(name), dict):
                _fill(each[name], _PROBE)
                if isinstance(each[name].get("httpGet"), dict):
                    _fill(each[name]["httpGet"], {"scheme": "HTTP", "path": "/"})


def _fill(target: Any, values: Object) -> None:
    if isinstance(target, dict):
        for name, value in values.items():
            target.setdefault(name, copy.deepcopy(value))
