"""StatefulSets, one pod after the other, and DaemonSets, one pod per node; both keep ControllerRevisions."""

from __future__ import annotations

import copy
from collections.abc import Iterable

from lab.kubernetes.admission import admit_claim
from lab.kubernetes.controllers import Controller
from lab.kubernetes.errors import ApiError
from lab.kubernetes.events import record_event
from lab.kubernetes.kinds import Key, Object
from lab.kubernetes.scheduling import accepts
from lab.kubernetes.store import Store
from lab.kubernetes.workloads import (
    DELAY,
    RETRY,
    Count,
    active,
    adopt,
    at_rest,
    hash_of,
    key_of,
    letters,
    new_pod,
    owner_reference,
    owners_of,
    put_status,
    ready_for,
    share,
)

REVISION = "controller-revision-hash"


def revision_of(store: Store, owner: Object) -> str:
    """The name of the ControllerRevision of the template, which is kept for undoing."""
    digest = hash_of(owner["spec"]["template"])
    name = f"{owner['metadata']['name']}-{digest}"
    key = store.key("controllerrevisions", owner["metadata"]["namespace"], name)
    found = store.peek(key)
    others = [int(each.get("revision") or 0) for each in store.owned(owner, "controllerrevisions") if each is not found]
    number = max(others, default=0) + 1
    if found is None:
        labels = {**(owner["spec"].get("selector") or {}).get("matchLabels", {}), REVISION: digest}
        metadata = {"labels": labels, "ownerReferences": [owner_reference(owner)]}
        data = {"spec": {"template": {**owner["spec"]["template"], "$patch": "replace"}}}
        store.create(key, {"metadata": metadata, "data": data, "revision": number})
    elif int(found.get("revision") or 0) < number:
        store.replace(key, {**found, "revision": number})
    return name


def _revision(pod: Object) -> str:
    return str((pod["metadata"].get("labels") or {}).get(REVISION, ""))


def _marked(template: Object, **labels: str) -> Object:
    metadata = template.get("metadata") or {}
    return {**template, "metadata": {**metadata, "labels": {**(metadata.get("labels") or {}), **labels}}}


# --- StatefulSets
def reconcile_stateful(store: Store, key: Key) -> float | None:
    """Make, replace or delete the pod whose turn it is."""
    found = store.peek(key)
    if found is None or at_rest(store, found):
        return None
    spec, status = found["spec"], found.get("status") or {}
    update = revision_of(store, found)
    current = status.get("currentRevision") or update
    by_name = {each["metadata"]["name"]: each for each in adopt(store, found, "pods")}
    wanted = [f"{key.name}-{number}" for number in range(int(spec.get("replicas", 1)))]
    failure = None
    try:
        _one_step(store, found, by_name, wanted, (current, update))
    except ApiError as error:
        failure = error.message
        text = f"create Pod in StatefulSet {key.name} failed error: {failure}"
        record_event(store, found, "Warning", "FailedCreate", text)
    pods = active(store.owned(found, "pods"))
    count = Count.of(store, pods, float(spec.get("minReadySeconds") or 0))
    updated = sum(_revision(each) == update for each in pods)
    if updated == count.total == count.ready == len(wanted):
        current = update
    new: Object = {
        "observedGeneration": found["metadata"]["generation"],
        "replicas": count.total,
        "currentRevision": current,
        "updateRevision": update,
        "collisionCount": 0,
        "availableReplicas": count.available,
    }
    kept = {"readyReplicas": count.ready, "updatedReplicas": updated}
    kept["currentReplicas"] = sum(_revision(each) == current for each in pods)
    put_status(store, key, new | {name: number for name, number in kept.items() if number})
    return min((each for each in (count.wait, RETRY if failure else None) if each is not None), default=None)


def _one_step(
    store: Store, found: Object, pods: dict[str, Object], wanted: list[str], revisions: tuple[str, str]
) -> None:
    """In order unless the pods may come and go in parallel: make from the first, delete and replace from the last."""
    spec = found["spec"]
    parallel = spec.get("podManagementPolicy") == "Parallel"
    partition = int(((spec.get("updateStrategy") or {}).get("rollingUpdate") or {}).get("partition") or 0)
    for number, name in enumerate(wanted):
        pod = pods.get(name)
        if pod is not None and (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed"):
            store.delete(key_of(store, pod))
            return
        if pod is None:
            _make(store, found, name, number, revisions[0] if number < partition else revisions[1])
        # One that does not work holds up the rest, also its own repair: it has to be deleted by hand.
        if not parallel and (pod is None or not _well(store, pod)):
            return
    condemned = [each for name, each in pods.items() if name not in wanted and name.rpartition("-")[2].isdigit()]
    for pod in sorted(condemned, key=lambda each: -int(each["metadata"]["name"].rpartition("-")[2])):
        if "deletionTimestamp" not in pod["metadata"]:
            store.delete(key_of(store, pod), grace=None)
        if not parallel:
            return
    if (spec.get("updateStrategy") or {}).get("type") == "OnDelete":
        return
    for name in reversed(wanted[partition:]):
        pod = pods.get(name)
        if pod is None or "deletionTimestamp" in pod["metadata"]:
            return
        if _revision(pod) != revisions[1]:
            store.delete(key_of(store, pod), grace=None)
            return
        if not _well(store, pod):
            return


def _well(store: Store, pod: Object) -> bool:
    return "deletionTimestamp" not in pod["metadata"] and ready_for(store, pod) is not None


def _make(store: Store, found: Object, name: str, number: int, revision: str) -> None:
    spec = found["spec"]
    template = _template_of(store, found, revision)
    marks = {"statefulset.kubernetes.io/pod-name": name, "apps.kubernetes.io/pod-index": str(number)}
    template = _marked(template, **{REVISION: revision}, **marks)
    volumes = [*((template.get("spec") or {}).get("volumes") or [])]
    for claim in spec.get("volumeClaimTemplates") or []:
        own = f"{claim['metadata']['name']}-{name}"
        place = store.key("persistentvolumeclaims", found["metadata"]["namespace"], own)
        if store.peek(place) is None:
            labels = (spec.get("selector") or {}).get("matchLabels") or {}
            content: Object = {"metadata": {"labels": dict(labels)}, "spec": copy.deepcopy(claim["spec"])}
            admit_claim(store, place, None, content)
            store.create(place, {**content, "status": {"phase": "Pending"}})
        volumes.append({"name": claim["metadata"]["name"], "persistentVolumeClaim": {"claimName": own}})
    extra: Object = {"hostname": name, "subdomain": spec.get("serviceName", "")}
    new_pod(store, found, template, name, spec=extra | ({"volumes": volumes} if volumes else {}))


def _template_of(store: Store, found: Object, revision: str) -> Object:
    kept = store.peek(store.key("controllerrevisions", found["metadata"]["namespace"], revision))
    if kept is None:
        current: Object = found["spec"]["template"]
        return current
    return {name: value for name, value in kept["data"]["spec"]["template"].items() if name != "$patch"}


STATEFULSETS = Controller("statefulsets", reconcile_stateful, {"pods": owners_of("statefulsets")}, DELAY)


# --- DaemonSets
def reconcile_daemon(store: Store, key: Key) -> float | None:
    """A pod on every node that fits; old ones are replaced as far as maxUnavailable allows."""
    found = store.peek(key)
    if found is None or at_rest(store, found):
        return None
    revision = revision_of(store, found)
    template = _marked(found["spec"]["template"], **{REVISION: revision.removeprefix(f"{key.name}-")})
    nodes = {each["metadata"]["name"]: each for each in store.look("nodes")}
    fitting = {name for name, node in nodes.items() if accepts(node, template)}
    everything = adopt(store, found, "pods")
    there: dict[str, Object] = {}
    for pod in active(everything):
        node = str(pod["spec"].get("nodeName"))
        if node not in fitting or node in there:
            store.delete(key_of(store, pod), grace=None if node in nodes else 0)
        else:
            there[node] = pod
    occupied = {str(each["spec"].get("nodeName")) for each in everything if "deletionTimestamp" in each["metadata"]}
    failure = _fill(store, found, template, sorted(fitting - there.keys() - occupied))
    _replace_old(store, found, there, len(fitting), template)
    pods = active(store.owned(found, "pods"))
    count = Count.of(store, pods, float(found["spec"].get("minReadySeconds") or 0))
    mark = template["metadata"]["labels"][REVISION]
    status: Object = {
        "observedGeneration": found["metadata"]["generation"],
        "desiredNumberScheduled": len(fitting),
        "currentNumberScheduled": count.total,
        "numberReady": count.ready,
        "numberMisscheduled": 0,
    }
    more = {
        "numberAvailable": count.available,
        "numberUnavailable": len(fitting) - count.available,
        "updatedNumberScheduled": sum(_revision(each) == mark for each in pods),
    }
    put_status(store, key, status | {name: number for name, number in more.items() if number})
    return min((each for each in (count.wait, RETRY if failure else None) if each is not None), default=None)


def _fill(store: Store, found: Object, template: Object, nodes: list[str]) -> str | None:
    name = found["metadata"]["name"]
    for node in nodes:
        try:
            new_pod(store, found, template, f"{name}-{letters(5)}", spec={"nodeName": node})
        except ApiError as error:
            record_event(store, found, "Warning", "FailedCreate", f"Error creating: {error.message}")
            return error.message
    return None


def _replace_old(store: Store, found: Object, there: dict[str, Object], wanted: int, template: Object) -> None:
    strategy = found["spec"].get("updateStrategy") or {}
    if strategy.get("type") == "OnDelete":
        return
    most = max(1, share((strategy.get("rollingUpdate") or {}).get("maxUnavailable", 1), wanted, up=True))
    mark = template["metadata"]["labels"][REVISION]
    room = most - (wanted - sum(_well(store, each) for each in there.values()))
    old = [each for each in there.values() if _revision(each) != mark]
    for pod in sorted(old, key=lambda each: _well(store, each)):
        if not _well(store, pod):
            store.delete(key_of(store, pod), grace=None)
        elif room > 0:
            store.delete(key_of(store, pod), grace=None)
            room -= 1


def daemons_of_node(store: Store, node: Object) -> Iterable[Key]:
    """What a write of a node concerns."""
    return [key_of(store, each) for each in store.look("daemonsets")]


DAEMONSETS = Controller(
    "daemonsets", reconcile_daemon, {"pods": owners_of("daemonsets"), "nodes": daemons_of_node}, DELAY
)
