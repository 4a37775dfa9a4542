"""Events as the cluster's own components write them."""

from __future__ import annotations

import uuid

from lab.kubernetes.kinds import Object
from lab.kubernetes.store import Store, now


def record_event(store: Store, about: Object, kind: str, reason: str, message: str) -> Object:
    """An event of ``kind`` Normal or Warning about an object; the same one again only counts up."""
    metadata = about["metadata"]
    namespace = metadata.get("namespace") or "default"
    for old in store.look("events", namespace):
        involved = old.get("involvedObject") or {}
        if (involved.get("uid"), old.get("reason"), old.get("message")) == (metadata["uid"], reason, message):
            again = {**old, "count": old.get("count", 1) + 1, "lastTimestamp": now()}
            return store.replace(store.key("events", namespace, old["metadata"]["name"]), again)
    moment = now()
    name = f"{metadata['name']}.{uuid.uuid4().hex[:16]}"
    return store.create(
        store.key("events", namespace, name),
        {
            "involvedObject": {
                "apiVersion": about["apiVersion"],
                "kind": about["kind"],
                "name": metadata["name"],
                "uid": metadata["uid"],
                **({"namespace": metadata["namespace"]} if "namespace" in metadata else {}),
            },
            "type": kind,
            "reason": reason,
            "message": message,
            "count": 1,
            "firstTimestamp": moment,
            "lastTimestamp": moment,
            "source": {"component": "runbook-lab"},
        },
    )
