"""PersistentVolumeClaims: bound to a volume of their class, grown in the stages of the real resizer, protected in use.

How a claim grows is chosen by the annotation ``lab.runbook/resize``: ``online`` (the default), ``restart`` (its file
system grows only when a pod that mounts it is started again), ``stuck`` (the storage never answers) or ``fails``.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable

from lab.kubernetes.controllers import Controller
from lab.kubernetes.events import record_event
from lab.kubernetes.kinds import Key, Object
from lab.kubernetes.quantities import amount
from lab.kubernetes.store import Store, now

RESIZE = "lab.runbook/resize"
MOMENT = 0.2  # seconds between two stages
PROTECTION = "kubernetes.io/pvc-protection"
NO_PROVISIONER = "kubernetes.io/no-provisioner"
RESTART_MESSAGE = "Waiting for user to (re-)start a pod to finish file system resize of volume on node."


def mounted_claims(pod: Object) -> set[str]:
    """The names of the claims a pod mounts."""
    volumes = (pod.get("spec") or {}).get("volumes") or []
    return {each["persistentVolumeClaim"]["claimName"] for each in volumes if each.get("persistentVolumeClaim")}


def storage_class(store: Store, claim: Object) -> Object | None:
    name = claim["spec"].get("storageClassName")
    return store.find(store.key("storageclasses", "", name)) if name else None


def claims_of_pod(store: Store, pod: Object) -> Iterable[Key]:
    """What a write of a pod concerns."""
    namespace = pod["metadata"]["namespace"]
    return [store.key("persistentvolumeclaims", namespace, name) for name in mounted_claims(pod)]


def claims_of_class(store: Store, storage: Object) -> Iterable[Key]:
    """What a write of a storage class concerns: claims that waited for it."""
    return [
        store.key("persistentvolumeclaims", claim["metadata"]["namespace"], claim["metadata"]["name"])
        for claim in store.look("persistentvolumeclaims")
        if claim["spec"].get("storageClassName") == storage["metadata"]["name"]
    ]


def claims_of_volume(store: Store, volume: Object) -> Iterable[Key]:
    """What a write of a volume concerns: the claim that names it."""
    return [
        store.key("persistentvolumeclaims", claim["metadata"]["namespace"], claim["metadata"]["name"])
        for claim in store.look("persistentvolumeclaims")
        if claim["spec"].get("volumeName") == volume["metadata"]["name"]
    ]


def reconcile(store: Store, key: Key) -> float | None:
    """One step of one claim."""
    claim = store.get(key)
    phase = (claim.get("status") or {}).get("phase")
    if "deletionTimestamp" in claim["metadata"]:
        _let_go(store, key, claim)
    elif phase == "Bound":
        wanted = claim["spec"]["resources"]["requests"]["storage"]
        if amount(wanted) > amount((claim["status"].get("capacity") or {}).get("storage", wanted)):
            return _grow(store, key, claim)
    elif phase != "Lost":
        _bind(store, key, claim)
    return None


def _let_go(store: Store, key: Key, claim: Object) -> None:
    """A claim in use stays until its last pod is gone, and takes its volume along where the class says Delete."""
    if _pods(store, key):
        return
    finalizers = claim["metadata"].get("finalizers") or []
    claim["metadata"]["finalizers"] = [each for each in finalizers if each != PROTECTION]
    store.replace(key, claim)
    volume = store.find(store.key("persistentvolumes", "", claim["spec"].get("volumeName") or ""))
    if store.find(key) is None and volume is not None:
        place = store.key("persistentvolumes", "", volume["metadata"]["name"])
        if volume["spec"].get("persistentVolumeReclaimPolicy") == "Delete":
            store.delete(place)
        else:
            store.replace(place, {**volume, "status": {"phase": "Released"}})


def _pods(store: Store, key: Key) -> list[Object]:
    """The pods that mount the claim and have not ended."""
    return [
        pod
        for pod in store.look("pods", key.namespace)
        if key.name in mounted_claims(pod) and (pod.get("status") or {}).get("phase") not in ("Succeeded", "Failed")
    ]


def _bind(store: Store, key: Key, claim: Object) -> None:
    named = claim["spec"].get("volumeName")
    volume = store.find(store.key("persistentvolumes", "", named)) if named else _provisioned(store, key, claim)
    if volume is None:
        if (claim.get("status") or {}).get("phase") != "Pending":
            store.replace(key, {**claim, "status": {"phase": "Pending"}})
        return
    reference = {"kind": "PersistentVolumeClaim", "apiVersion": "v1", "uid": claim["metadata"]["uid"]}
    volume["spec"]["claimRef"] = reference | {"namespace": key.namespace, "name": key.name}
    volume["status"] = {"phase": "Bound"}
    store.replace(store.key("persistentvolumes", "", volume["metadata"]["name"]), volume)
    claim["spec"]["volumeName"] = volume["metadata"]["name"]
    claim["status"] = {
        "phase": "Bound",
        "accessModes": claim["spec"].get("accessModes") or ["ReadWriteOnce"],
        "capacity": {"storage": volume["spec"]["capacity"]["storage"]},
    }
    store.replace(key, claim)


def _provisioned(store: Store, key: Key, claim: Object) -> Object | None:
    """A new volume of the claim's class; None where the class cannot make one, or waits for the first pod."""
    storage = storage_class(store, claim)
    if storage is None or storage["provisioner"] == NO_PROVISIONER:
        return None
    if storage.get("volumeBindingMode") == "WaitForFirstConsumer" and not _pods(store, key):
        return None
    name = f"pvc-{claim['metadata']['uid']}"
    return store.create(
        store.key("persistentvolumes", "", name),
        {
            "metadata": {"annotations": {"pv.kubernetes.io/provisioned-by": storage["provisioner"]}},
            "spec": {
                "capacity": {"storage": claim["spec"]["resources"]["requests"]["storage"]},
                "accessModes": claim["spec"].get("accessModes") or ["ReadWriteOnce"],
                "persistentVolumeReclaimPolicy": storage.get("reclaimPolicy") or "Delete",
                "storageClassName": storage["metadata"]["name"],
                "volumeMode": claim["spec"].get("volumeMode") or "Filesystem",
                "csi": {"driver": storage["provisioner"], "volumeHandle": str(uuid.uuid4())},
            },
            "status": {"phase": "Available"},
        },
    )


def _conditions(claim: Object) -> dict[str, Object]:
    return {each["type"]: each for each in claim["status"].get("conditions") or []}


def _condition(kind: str, message: str = "") -> Object:
    moment = now()
    condition = {"type": kind, "status": "True", "lastProbeTime": None, "lastTransitionTime": moment}
    return {**condition, **({"message": message} if message else {})}


def _grow(store: Store, key: Key, claim: Object) -> float | None:
    """The resizer's stages: Resizing; the volume has its new size; the file system, at once or with the next pod."""
    mode = (claim["metadata"].get("annotations") or {}).get(RESIZE, "online")
    conditions = _conditions(claim)
    if "FileSystemResizePending" in conditions:
        _finish_with_a_pod(store, key, claim)
        return None
    wanted = claim["spec"]["resources"]["requests"]["storage"]
    if "Resizing" not in conditions or claim["status"].get("allocatedResources", {}).get("storage") != wanted:
        record_event(store, claim, "Normal", "Resizing", f"External resizer is resizing volume {_volume_name(claim)}")
        _set(store, key, claim, [_condition("Resizing")], wanted, "ControllerResizeInProgress")
        return MOMENT
    if mode == "stuck":
        return None
    if mode == "fails":
        message = f'resize volume "{_volume_name(claim)}" failed: rpc error: code = OutOfRange desc = the pool is full'
        record_event(store, claim, "Warning", "VolumeResizeFailed", message)
        if "ControllerResizeError" not in conditions:
            error = _condition("ControllerResizeError", message)
            _set(store, key, claim, [conditions["Resizing"], error], wanted, "ControllerResizeInfeasible")
        return MOMENT * 4
    _grow_volume(store, claim, wanted)
    if mode == "restart":
        record_event(store, claim, "Normal", "FileSystemResizeRequired", "Require file system resize of volume on node")
        store.memory[claim["metadata"]["uid"]] = {pod["metadata"]["uid"] for pod in _pods(store, key)}
        pending = _condition("FileSystemResizePending", RESTART_MESSAGE)
        _set(store, key, claim, [pending], wanted, "NodeResizePending")
        return None
    _finish(store, key, claim)
    return None


def _finish_with_a_pod(store: Store, key: Key, claim: Object) -> None:
    """Done when a pod that was not there before mounts the claim and runs."""
    before = store.memory.get(claim["metadata"]["uid"], set())
    for pod in _pods(store, key):
        if pod["metadata"]["uid"] not in before and (pod.get("status") or {}).get("phase") == "Running":
            store.memory.pop(claim["metadata"]["uid"], None)
            _finish(store, key, claim)
            return


def _finish(store: Store, key: Key, claim: Object) -> None:
    size = claim["status"]["allocatedResources"]["storage"]
    claim["status"]["capacity"] = {**claim["status"]["capacity"], "storage": size}
    record_event(store, claim, "Normal", "FileSystemResizeSuccessful", "MountVolume.NodeExpandVolume succeeded")
    _set(store, key, claim, [], size)


def _set(store: Store, key: Key, claim: Object, conditions: list[Object], size: str, stage: str = "") -> None:
    """Write where the growth to ``size`` is; without conditions and a stage it has ended."""
    status = claim["status"]
    status["allocatedResources"] = {"storage": size}
    status["conditions"] = conditions
    status["allocatedResourceStatuses"] = {"storage": stage}
    if not conditions:
        del status["conditions"], status["allocatedResourceStatuses"]
    store.replace(key, claim)


def _volume_name(claim: Object) -> str:
    return str(claim["spec"].get("volumeName"))


def _grow_volume(store: Store, claim: Object, size: str) -> None:
    key = store.key("persistentvolumes", "", _volume_name(claim))
    volume = store.find(key)
    if volume is not None:
        volume["spec"]["capacity"] = {**volume["spec"].get("capacity", {}), "storage": size}
        store.replace(key, volume)


CLAIMS = Controller(
    "persistentvolumeclaims",
    reconcile,
    {"pods": claims_of_pod, "storageclasses": claims_of_class, "persistentvolumes": claims_of_volume},
)
