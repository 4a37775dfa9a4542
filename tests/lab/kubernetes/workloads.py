"""What all controllers of workloads share: the pods they own, made from a template, and counted."""

from __future__ import annotations

import copy
import json
import math
import time
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from lab.kubernetes.controllers import Concerned
from lab.kubernetes.errors import ApiError, forbidden
from lab.kubernetes.events import record_event
from lab.kubernetes.kinds import Key, Object
from lab.kubernetes.pods import NEW_POD, is_ready
from lab.kubernetes.selectors import selected
from lab.kubernetes.store import Store, now

RETRY = 1.0  # seconds until pods that could not be made are tried again
DELAY = 0.02  # seconds a controller lets pass after a write
HASH = "pod-template-hash"
_LETTERS = "bcdfghjklmnpqrstvwxz2456789"  # those of Kubernetes' generated names


def letters(count: int, seed: int | None = None) -> str:
    """Random letters, or those that always follow from a seed."""
    number = uuid.uuid4().int if seed is None else seed
    found = ""
    for _ in range(count):
        number, place = divmod(number, len(_LETTERS))
        found += _LETTERS[place]
    return found


def hash_of(template: Object) -> str:
    """What tells templates apart, the same for equal ones."""
    text = json.dumps(_without_hash(template), sort_keys=True)
    return letters(10, uuid.uuid5(uuid.NAMESPACE_OID, text).int)


def same_template(one: Object, other: Object) -> bool:
    return _without_hash(one) == _without_hash(other)


def _without_hash(template: Object) -> Object:
    metadata = template.get("metadata") or {}
    labels = {name: value for name, value in (metadata.get("labels") or {}).items() if name != HASH}
    kept = {name: value for name, value in metadata.items() if value and name not in ("labels", "creationTimestamp")}
    return {**template, "metadata": {**kept, "labels": labels}}


def at_rest(store: Store, found: Object) -> bool:
    """Whether a controller leaves a workload alone: it is planted, it is being deleted, or it has no template."""
    spec = found.get("spec") or {}
    return store.planted(found) or "deletionTimestamp" in found["metadata"] or not spec.get("template")


def key_of(store: Store, value: Object) -> Key:
    metadata = value["metadata"]
    return store.key(value["kind"], metadata.get("namespace", ""), metadata["name"])


def owner_reference(owner: Object) -> Object:
    return {
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }


def owner_keys(store: Store, value: Object) -> Iterable[Key]:
    """What a write of an owned object concerns: its owners, of the kinds there are."""
    for each in value["metadata"].get("ownerReferences") or []:
        try:
            yield store.key(each["kind"], value["metadata"].get("namespace", ""), each["name"])
        except LookupError:
            continue


def owners_of(plural: str) -> Concerned:
    """``owner_keys`` of one kind."""

    def concerned(store: Store, value: Object) -> Iterable[Key]:
        return [key for key in owner_keys(store, value) if key.kind.plural == plural]

    return concerned


def adopt(store: Store, owner: Object, kind: str) -> list[Object]:
    """What an owner controls, oldest first, with what its selector takes and nobody controls."""
    selector = owner["spec"].get("selector") or None
    for orphan in store.look(kind, owner["metadata"]["namespace"]):
        metadata = orphan["metadata"]
        if metadata.get("ownerReferences") or "deletionTimestamp" in metadata:
            continue
        if selected(selector, orphan):
            adopted = {**orphan, "metadata": {**metadata, "ownerReferences": [owner_reference(owner)]}}
            store.replace(key_of(store, orphan), adopted)
    return store.owned(owner, kind)


def active(pods: Iterable[Object]) -> list[Object]:
    """Those that are neither ending nor over."""
    return [
        each
        for each in pods
        if "deletionTimestamp" not in each["metadata"]
        and (each.get("status") or {}).get("phase") not in ("Succeeded", "Failed")
    ]


def ready_for(store: Store, pod: Object) -> float | None:
    """For how many seconds a pod has been ready; None when it is not."""
    if not is_ready(pod):
        return None
    since = store.notes.get(pod["metadata"]["uid"], {}).get("ready")
    if since is not None:
        return float(time.monotonic() - since)
    for each in pod["status"]["conditions"]:
        if each["type"] == "Ready" and each.get("lastTransitionTime"):
            moment = datetime.fromisoformat(each["lastTransitionTime"].replace("Z", "+00:00"))
            return (datetime.now(timezone.utc) - moment).total_seconds()
    return float("inf")


def share(value: int | str, of: int, *, up: bool) -> int:
    """A number, or a percentage rounded up or down."""
    if isinstance(value, str) and value.endswith("%"):
        return (math.ceil if up else math.floor)(of * int(value[:-1]) / 100)
    return int(value)


@dataclass(frozen=True)
class Count:
    """How many pods there are; ``wait`` is the time until one more is available."""

    total: int
    ready: int
    available: int
    wait: float | None

    @classmethod
    def of(cls, store: Store, pods: list[Object], needed: float) -> Count:
        ages = [age for age in (ready_for(store, pod) for pod in pods) if age is not None]
        left = [needed - age for age in ages if age < needed]
        return cls(len(pods), len(ages), len(ages) - len(left), min(left) + 0.01 if left else None)


def surplus(store: Store, pods: list[Object], count: int) -> list[Object]:
    """Which to delete: those without a node, not running, not ready, cheap, then the youngest."""

    def rank(numbered: tuple[int, Object]) -> tuple[Any, ...]:
        number, pod = numbered
        status = pod.get("status") or {}
        cost = (pod["metadata"].get("annotations") or {}).get("controller.kubernetes.io/pod-deletion-cost", "0")
        age = ready_for(store, pod)
        running = status.get("phase") == "Running"
        return (bool(pod["spec"].get("nodeName")), running, age is not None, int(cost), age or 0.0, -number)

    return [pod for _, pod in sorted(enumerate(pods), key=rank)[:count]]


def new_pod(store: Store, owner: Object, template: Object, name: str, *, spec: Object | None = None) -> Object:
    """Make a pod of a template; ``ApiError`` where a quota forbids it."""
    namespace = owner["metadata"]["namespace"]
    metadata = copy.deepcopy(template.get("metadata") or {})
    metadata = {part: metadata[part] for part in ("labels", "annotations") if metadata.get(part)}
    metadata |= {"generateName": name.rsplit("-", 1)[0] + "-", "ownerReferences": [owner_reference(owner)]}
    key = store.key("pods", namespace, name)
    within_quota(store, key)
    content = {**copy.deepcopy(template.get("spec") or {}), **(spec or {})}
    content.setdefault("restartPolicy", "Always")
    content.setdefault("terminationGracePeriodSeconds", 30)
    return store.create(key, {"metadata": metadata, "spec": content, "status": dict(NEW_POD)})


def within_quota(store: Store, key: Key) -> None:
    """403 in the server's words when one more pod is more than a ResourceQuota of the namespace allows."""
    for quota in store.look("resourcequotas", key.namespace):
        hard = (quota.get("spec") or {}).get("hard") or {}
        limit = hard.get("pods", hard.get("count/pods"))
        used = len(active(store.look("pods", key.namespace)))
        if limit is not None and used + 1 > int(limit):
            name = quota["metadata"]["name"]
            why = f"exceeded quota: {name}, requested: pods=1, used: pods={used}, limited: pods={limit}"
            raise forbidden(key.kind, key.name, why)


def make_pods(store: Store, owner: Object, template: Object, names: Iterable[str]) -> str | None:
    """Make these pods; what went wrong, as an event and in return."""
    for name in names:
        try:
            new_pod(store, owner, template, name)
        except ApiError as error:
            record_event(store, owner, "Warning", "FailedCreate", f"Error creating: {error.message}")
            return error.message
    return None


def put_status(store: Store, key: Key, status: Object) -> None:
    """Store a status, where it differs."""
    old = store.peek(key)
    if old is not None and old.get("status") != status:
        store.replace(key, {**old, "status": status})


def condition(
    conditions: Iterable[Object], kind: str, status: str, reason: str, message: str, *, renew: bool = False
) -> Object:
    """A condition, with the times of the one of its kind that said the same."""
    before: Object = next((each for each in conditions if each["type"] == kind), {})
    same = (before.get("status"), before.get("reason")) == (status, reason) and not renew
    moment = now()
    return {
        "type": kind,
        "status": status,
        "lastUpdateTime": before["lastUpdateTime"] if same and "lastUpdateTime" in before else moment,
        "lastTransitionTime": before.get("lastTransitionTime", moment) if before.get("status") == status else moment,
        "reason": reason,
        "message": message,
    }
