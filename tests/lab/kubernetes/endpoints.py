"""EndpointSlices and Endpoints: which pods a Service has, as other tools read it."""

from __future__ import annotations

from collections.abc import Iterable

from lab.kubernetes.controllers import Controller
from lab.kubernetes.kinds import Key, Object
from lab.kubernetes.pods import is_ready
from lab.kubernetes.store import Store
from lab.kubernetes.workloads import DELAY, key_of, letters, owner_reference

SERVICE = "kubernetes.io/service-name"
MANAGED = "endpointslice.kubernetes.io/managed-by"
MANAGER = "endpointslice-controller.k8s.io"


def services_of_pod(store: Store, pod: Object) -> Iterable[Key]:
    """The Services a pod belongs to now, or did when their slices were written."""
    metadata = pod["metadata"]
    labels = metadata.get("labels") or {}
    for service in store.look("services", metadata["namespace"]):
        selector = (service.get("spec") or {}).get("selector")
        listed = store.notes.get(service["metadata"]["uid"], {}).get("pods", ())
        if selector and (selector.items() <= labels.items() or metadata["uid"] in listed):
            yield key_of(store, service)


def reconcile(store: Store, key: Key) -> float | None:
    """Write the slice of one Service; slices that somebody else manages are left alone, and are enough."""
    service = store.peek(key)
    selector = ((service or {}).get("spec") or {}).get("selector")
    if service is None or not selector:
        return None
    slices = store.look("endpointslices", key.namespace, {SERVICE: key.name})
    mine = [each for each in slices if each["metadata"]["labels"].get(MANAGED) == MANAGER]
    if slices and not mine:
        return None
    pods = [each for each in store.look("pods", key.namespace, selector) if (each.get("status") or {}).get("podIP")]
    pods = [each for each in pods if each["status"].get("phase") not in ("Succeeded", "Failed")]
    store.note(service)["pods"] = {each["metadata"]["uid"] for each in pods}
    content: Object = {
        "addressType": "IPv4",
        "endpoints": [_endpoint(pod) for pod in pods],
        "ports": [_port(each) for each in service["spec"].get("ports") or []],
    }
    if not mine:
        labels = {**(service["metadata"].get("labels") or {}), SERVICE: key.name, MANAGED: MANAGER}
        metadata = {"labels": labels, "ownerReferences": [owner_reference(service)]}
        name = f"{key.name}-{letters(5)}"
        store.create(store.key("endpointslices", key.namespace, name), {"metadata": metadata, **content})
    elif any(mine[0].get(name) != content[name] for name in content):
        store.replace(key_of(store, mine[0]), {**mine[0], **content})
    _write_endpoints(store, key, service, pods)
    return None


def _endpoint(pod: Object) -> Object:
    ending, ready = "deletionTimestamp" in pod["metadata"], is_ready(pod)
    metadata = pod["metadata"]
    target = {"kind": "Pod", "namespace": metadata["namespace"], "name": metadata["name"], "uid": metadata["uid"]}
    return {
        "addresses": [pod["status"]["podIP"]],
        "conditions": {"ready": ready and not ending, "serving": ready, "terminating": ending},
        "nodeName": pod["spec"].get("nodeName"),
        "targetRef": target,
    }


def _port(port: Object) -> Object:
    target = port.get("targetPort", port.get("port"))
    number = target if isinstance(target, int) else port.get("port")
    return {"name": port.get("name", ""), "port": number, "protocol": port.get("protocol", "TCP")}


def _write_endpoints(store: Store, key: Key, service: Object, pods: list[Object]) -> None:
    """The older form, which some tools still read."""
    ports = [_port(each) for each in service["spec"].get("ports") or []]
    ready = [_endpoint(each) for each in pods]
    subset: Object = {"ports": ports}
    for word, wanted in (("addresses", True), ("notReadyAddresses", False)):
        found = [
            {"ip": each["addresses"][0], "nodeName": each["nodeName"], "targetRef": each["targetRef"]}
            for each in ready
            if each["conditions"]["ready"] is wanted and not each["conditions"]["terminating"]
        ]
        if found:
            subset[word] = found
    subsets = [subset] if len(subset) > 1 else []
    place = store.key("endpoints", key.namespace, key.name)
    old = store.peek(place)
    if old is None:
        labels = {**(service["metadata"].get("labels") or {}), MANAGED: "endpoint-controller"}
        metadata = {"labels": labels, "ownerReferences": [owner_reference(service)]}
        store.create(place, {"metadata": metadata, "subsets": subsets})
    elif old.get("subsets") != subsets and (old["metadata"].get("labels") or {}).get(MANAGED):
        store.replace(place, {**old, "subsets": subsets})


ENDPOINTS = Controller("services", reconcile, {"pods": services_of_pod}, DELAY)
