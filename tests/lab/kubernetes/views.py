"""Other forms of an answer that clients ask for in Accept: kubectl's tables, and metadata without the rest."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timezone
from typing import Any

from lab.kubernetes.kinds import Kind, Object
from lab.kubernetes.request import Request

_META = "meta.k8s.io/v1"
Column = tuple[str, Callable[[Object], Any]]


def viewed(request: Request, kind: Kind, document: Object) -> Object:
    """The document in the first form of the client's choice that is known here."""
    for choice in request.headers.get("accept", "").split(","):
        parts = (part.partition("=") for part in choice.split(";"))
        parameters = {name.strip(): value.strip() for name, _, value in parts}
        form = parameters.get("as")
        if form is None:
            return document
        if form == "Table":
            return table(request, kind, document)
        if form in ("PartialObjectMetadata", "PartialObjectMetadataList"):
            return _partial(document)
    return document


def _partial(document: Object) -> Object:
    if "items" not in document:
        return {"kind": "PartialObjectMetadata", "apiVersion": _META, "metadata": document["metadata"]}
    items = [_partial(each) for each in document["items"]]
    listed = {"kind": "PartialObjectMetadataList", "apiVersion": _META}
    return {**listed, "metadata": document["metadata"], "items": items}


def table(request: Request, kind: Kind, document: Object) -> Object:
    """What ``kubectl get`` prints."""
    columns = [*_COLUMNS.get(kind.plural, ())]
    if kind.plural != "events":
        columns = [("Name", lambda each: each["metadata"]["name"]), *columns, ("Age", _created)]
    listed = "items" in document
    names = ("resourceVersion", "continue", "remainingItemCount") if listed else ("resourceVersion",)
    metadata = {name: value for name, value in document["metadata"].items() if name in names}
    rows = []
    for each in document["items"] if listed else [document]:
        row: Object = {"cells": [read(each) for _, read in columns]}
        if request.query.get("includeObject") != "None":
            row["object"] = _partial(each)
        rows.append(row)
    definitions = [
        {"name": name, "type": "string", "format": "name" if name == "Name" else "", "description": "", "priority": 0}
        for name, _ in columns
    ]
    table = {"kind": "Table", "apiVersion": _META, "metadata": metadata}
    return {**table, "columnDefinitions": definitions, "rows": rows}


# --- columns
def _created(each: Object) -> str:
    return _age(each["metadata"].get("creationTimestamp"))


def _status(name: str, otherwise: Any = 0) -> Callable[[Object], Any]:
    return lambda each: (each.get("status") or {}).get(name, otherwise)


def _spec(name: str, otherwise: Any = "<none>") -> Callable[[Object], Any]:
    return lambda each: (each.get("spec") or {}).get(name, otherwise)


def _ready(each: Object) -> str:
    return f"{_status('readyReplicas')(each)}/{_spec('replicas', 1)(each)}"


def _pod_ready(pod: Object) -> str:
    statuses = (pod.get("status") or {}).get("containerStatuses") or []
    return f"{sum(bool(each.get('ready')) for each in statuses)}/{len(pod['spec'].get('containers') or [])}"


def pod_status(pod: Object) -> str:
    """The STATUS of ``kubectl get pods``."""
    status = pod.get("status") or {}
    reason = str(status.get("reason") or status.get("phase", "Unknown"))
    scheduled: Object = next(
        (each for each in status.get("conditions") or [] if each.get("type") == "PodScheduled"), {}
    )
    if scheduled.get("reason") == "SchedulingGated":
        reason = "SchedulingGated"
    initial = status.get("initContainerStatuses") or []
    for number, each in enumerate(initial):
        state = each.get("state") or {}
        if (state.get("terminated") or {}).get("exitCode") == 0:
            continue
        why = (state.get("terminated") or state.get("waiting") or {}).get("reason")
        known = why and why != "PodInitializing"
        return f"Init:{why}" if known else f"Init:{number}/{len(pod['spec'].get('initContainers') or [])}"
    running = False
    for each in reversed(status.get("containerStatuses") or []):
        state = each.get("state") or {}
        if (state.get("waiting") or {}).get("reason"):
            reason = state["waiting"]["reason"]
        elif "terminated" in state:
            ended = state["terminated"]
            signalled = f"Signal:{ended['signal']}" if ended.get("signal") else f"ExitCode:{ended.get('exitCode')}"
            reason = ended.get("reason") or signalled
        elif each.get("ready") and "running" in state:
            running = True
    if reason == "Completed" and running:
        reason = "Running"
    return "Terminating" if pod["metadata"].get("deletionTimestamp") else reason


def _restarts(pod: Object) -> str:
    statuses = (pod.get("status") or {}).get("containerStatuses") or []
    count = sum(int(each.get("restartCount") or 0) for each in statuses)
    ended = [((each.get("lastState") or {}).get("terminated") or {}).get("finishedAt") for each in statuses]
    last = max(filter(None, ended), default=None)
    return f"{count} ({_age(last)} ago)" if count and last else str(count)


def _last_seen(event: Object) -> str:
    return _age(event.get("lastTimestamp") or event.get("eventTime") or event["metadata"].get("creationTimestamp"))


def _about(event: Object) -> str:
    involved = event.get("involvedObject") or {}
    return f"{str(involved.get('kind', '')).lower()}/{involved.get('name')}"


def _node_status(node: Object) -> str:
    conditions = (node.get("status") or {}).get("conditions") or []
    ready = any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)
    held = ",SchedulingDisabled" if (node.get("spec") or {}).get("unschedulable") else ""
    return ("Ready" if ready else "NotReady") + held


def _capacity(claim: Object) -> str:
    return str(((claim.get("status") or {}).get("capacity") or {}).get("storage", ""))


def _reference(autoscaler: Object) -> str:
    target = autoscaler["spec"].get("scaleTargetRef") or {}
    return f"{target.get('kind')}/{target.get('name')}"


def _completions(job: Object) -> str:
    return f"{_status('succeeded')(job)}/{_spec('completions', 1)(job)}"


_COLUMNS: Mapping[str, tuple[Column, ...]] = {
    "pods": (("Ready", _pod_ready), ("Status", pod_status), ("Restarts", _restarts)),
    "deployments": (
        ("Ready", _ready),
        ("Up-to-date", _status("updatedReplicas")),
        ("Available", _status("availableReplicas")),
    ),
    "statefulsets": (("Ready", _ready),),
    "daemonsets": (
        ("Desired", _status("desiredNumberScheduled")),
        ("Current", _status("currentNumberScheduled")),
        ("Ready", _status("numberReady")),
        ("Up-to-date", _status("updatedNumberScheduled")),
        ("Available", _status("numberAvailable")),
    ),
    "replicasets": (
        ("Desired", _spec("replicas", 1)),
        ("Current", _status("replicas")),
        ("Ready", _status("readyReplicas")),
    ),
    "jobs": (("Completions", _completions),),
    "cronjobs": (
        ("Schedule", _spec("schedule")),
        ("Suspend", _spec("suspend", False)),
        ("Last Schedule", lambda each: _age(_status("lastScheduleTime", None)(each))),
    ),
    "services": (("Type", _spec("type", "ClusterIP")), ("Cluster-IP", _spec("clusterIP"))),
    "namespaces": (("Status", _status("phase", "")),),
    "nodes": (("Status", _node_status),),
    "persistentvolumeclaims": (
        ("Status", _status("phase", "")),
        ("Volume", _spec("volumeName", "")),
        ("Capacity", _capacity),
    ),
    "horizontalpodautoscalers": (
        ("Reference", _reference),
        ("MinPods", _spec("minReplicas", 1)),
        ("MaxPods", _spec("maxReplicas")),
        ("Replicas", _status("currentReplicas")),
    ),
    "poddisruptionbudgets": (
        ("Min Available", _spec("minAvailable", "N/A")),
        ("Max Unavailable", _spec("maxUnavailable", "N/A")),
        ("Allowed Disruptions", _status("disruptionsAllowed")),
    ),
    "events": (
        ("Last Seen", _last_seen),
        ("Type", lambda each: each.get("type")),
        ("Reason", lambda each: each.get("reason")),
        ("Object", _about),
        ("Message", lambda each: each.get("message")),
    ),
    "configmaps": (("Data", lambda each: len(each.get("data") or {})),),
    "secrets": (("Type", lambda each: each.get("type")), ("Data", lambda each: len(each.get("data") or {}))),
}


def _age(moment: str | None) -> str:
    """As kubectl shortens durations."""
    if not moment:
        return "<none>"
    passed = datetime.now(timezone.utc) - datetime.fromisoformat(moment.replace("Z", "+00:00"))
    seconds = max(0, int(passed.total_seconds()))
    minutes, hours, days = seconds // 60, seconds // 3600, seconds // 86400
    if seconds < 120:
        return f"{seconds}s"
    if minutes < 10:
        return f"{minutes}m{seconds % 60}s" if seconds % 60 else f"{minutes}m"
    if hours < 3:
        return f"{minutes}m"
    if hours < 8:
        return f"{hours}h{minutes % 60}m" if minutes % 60 else f"{hours}h"
    if hours < 48:
        return f"{hours}h"
    if days < 8:
        return f"{days}d{hours % 24}h" if hours % 24 else f"{days}d"
    return f"{days}d"
