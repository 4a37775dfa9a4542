"""Deployments: one ReplicaSet per template, and the way from the old ones to the new one."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from lab.kubernetes.controllers import Controller
from lab.kubernetes.events import record_event
from lab.kubernetes.kinds import Key, Object
from lab.kubernetes.store import Store
from lab.kubernetes.workloads import (
    HASH,
    adopt,
    at_rest,
    condition,
    hash_of,
    key_of,
    owner_reference,
    owners_of,
    put_status,
    same_template,
    share,
)

REVISION = "deployment.kubernetes.io/revision"
HISTORY = "deployment.kubernetes.io/revision-history"
DESIRED = "deployment.kubernetes.io/desired-replicas"
MOST = "deployment.kubernetes.io/max-replicas"
LAG = 0.05  # seconds until a changed spec is observed
_NOT_COPIED = ("kubectl.kubernetes.io/last-applied-configuration", REVISION, HISTORY, DESIRED, MOST)


@dataclass
class Rollout:
    """One look at one Deployment: it, its ReplicaSets oldest first, the one of its template, and what was done."""

    store: Store
    key: Key
    deployment: Object
    sets: list[Object]
    new: Object | None = None
    news: tuple[str, str] | None = None  # reason and message of a progress made here
    old: list[Object] = field(default_factory=list)
    waits_for_pods: bool = False  # of the old sets, to be gone

    @property
    def spec(self) -> Object:
        found: Object = self.deployment["spec"]
        return found

    @property
    def wanted(self) -> int:
        return int(self.spec.get("replicas", 1))

    def sort(self) -> None:
        """Find the new set among all of them."""
        self.new = next((each for each in self.sets if same_template(each["spec"]["template"], self.template)), None)
        self.old = [each for each in self.sets if each is not self.new]

    @property
    def template(self) -> Object:
        found: Object = self.spec["template"]
        return found

    def scale(self, replica_set: Object, replicas: int) -> Object:
        """Tell a ReplicaSet how many; the events say so as kubectl describe shows them."""
        before = replica_set["spec"].get("replicas", 0)
        annotations = {**(replica_set["metadata"].get("annotations") or {}), **self._sizes()}
        changed = {
            **replica_set,
            "metadata": {**replica_set["metadata"], "annotations": annotations},
            "spec": {**replica_set["spec"], "replicas": replicas},
        }
        stored = self.store.replace(key_of(self.store, replica_set), changed)
        if before != replicas:
            way = "up" if replicas > before else "down"
            name = replica_set["metadata"]["name"]
            text = f"Scaled {way} replica set {name} from {before} to {replicas}"
            record_event(self.store, self.deployment, "Normal", "ScalingReplicaSet", text)
        self.sets = [stored if each is replica_set else each for each in self.sets]
        self.sort()
        return stored

    def _sizes(self) -> dict[str, str]:
        return {DESIRED: str(self.wanted), MOST: str(self.wanted + limits(self.spec)[0])}

    def make_new(self) -> Object:
        """The set of this template, made where there is none, with the highest revision on it and the Deployment."""
        revision = max((_revision(each) for each in self.old), default=0) + 1
        if self.new is None:
            self.new = self._create(revision)
            self.sets.append(self.new)
            name = self.new["metadata"]["name"]
            self.news = ("NewReplicaSetCreated", f'Created new replica set "{name}"')
        elif _revision(self.new) < revision:
            self._raise_revision(self.new, revision)
            name = self.new["metadata"]["name"]
            self.news = ("FoundNewReplicaSet", f'Found new replica set "{name}"')
        self._keep_up(self.new)
        current = str(_revision(self.new))
        annotations = self.deployment["metadata"].get("annotations") or {}
        if annotations.get(REVISION) != current:
            metadata = {**self.deployment["metadata"], "annotations": {**annotations, REVISION: current}}
            self.deployment = self.store.replace(self.key, {**self.deployment, "metadata": metadata})
        return self.new

    def _keep_up(self, found: Object) -> None:
        """What of the Deployment is no part of its template, and still concerns its set."""
        mine = self.deployment["metadata"].get("annotations") or {}
        theirs = found["metadata"].get("annotations") or {}
        annotations = {**theirs, **{name: value for name, value in mine.items() if name not in _NOT_COPIED}}
        spec = {name: value for name, value in found["spec"].items() if name != "minReadySeconds"}
        if self.spec.get("minReadySeconds"):
            spec["minReadySeconds"] = self.spec["minReadySeconds"]
        if annotations != theirs or spec != found["spec"]:
            changed = {**found, "metadata": {**found["metadata"], "annotations": annotations}, "spec": spec}
            self._swap(found, changed)

    def _swap(self, found: Object, changed: Object) -> None:
        self.new = self.store.replace(key_of(self.store, found), changed)
        self.sets = [self.new if each is found else each for each in self.sets]

    def _create(self, revision: int) -> Object:
        found = hash_of(self.template)
        name, count = f"{self.key.name}-{found}", 0
        while self.store.peek(self.store.key("replicasets", self.key.namespace, name)) is not None:
            count += 1
            name = f"{self.key.name}-{found[count:]}"
        metadata = self.template.get("metadata") or {}
        labels = {**(metadata.get("labels") or {}), HASH: found}
        selector = self.spec.get("selector") or {}
        mine = self.deployment["metadata"].get("annotations") or {}
        annotations = {name: value for name, value in mine.items() if name not in _NOT_COPIED}
        manifest: Object = {
            "metadata": {
                "labels": labels,
                "annotations": {**annotations, **self._sizes(), REVISION: str(revision)},
                "ownerReferences": [owner_reference(self.deployment)],
            },
            "spec": {
                "replicas": 0,
                "selector": {**selector, "matchLabels": {**(selector.get("matchLabels") or {}), HASH: found}},
                "template": {**self.template, "metadata": {**metadata, "labels": labels}},
            },
            "status": {"replicas": 0},
        }
        if self.spec.get("minReadySeconds"):
            manifest["spec"]["minReadySeconds"] = self.spec["minReadySeconds"]
        return self.store.create(self.store.key("replicasets", self.key.namespace, name), manifest)

    def _raise_revision(self, found: Object, revision: int) -> None:
        annotations = {**(found["metadata"].get("annotations") or {}), REVISION: str(revision)}
        history = [each for each in annotations.get(HISTORY, "").split(",") if each]
        if _revision(found):
            annotations[HISTORY] = ",".join([*history, str(_revision(found))])
        self._swap(found, {**found, "metadata": {**found["metadata"], "annotations": annotations}})


def _revision(found: Object) -> int:
    return int((found["metadata"].get("annotations") or {}).get(REVISION) or 0)


def _specified(found: Object) -> int:
    return int(found["spec"].get("replicas", 1))


def _counted(found: Object, name: str = "availableReplicas") -> int:
    return int((found.get("status") or {}).get(name) or 0)


def limits(spec: Object) -> tuple[int, int]:
    """maxSurge, rounded up, and maxUnavailable, rounded down, in pods; not both may be nothing."""
    if (spec.get("strategy") or {}).get("type") == "Recreate":
        return 0, 0
    rolling = (spec.get("strategy") or {}).get("rollingUpdate") or {}
    wanted = int(spec.get("replicas", 1))
    surge = share(rolling.get("maxSurge", "25%"), wanted, up=True)
    unavailable = share(rolling.get("maxUnavailable", "25%"), wanted, up=False)
    return (surge, unavailable) if surge or unavailable else (0, 1)


def reconcile(store: Store, key: Key) -> float | None:
    """One look at one Deployment."""
    found = store.peek(key)
    if found is None or at_rest(store, found):
        return None
    rollout = Rollout(store, key, found, list(adopt(store, found, "replicasets")))
    rollout.sort()
    if rollout.spec.get("paused"):
        _resize(rollout)
    elif (rollout.spec.get("strategy") or {}).get("type") == "Recreate":
        _recreate(rollout)
    else:
        _roll(rollout)
    waits = (_report(rollout), LAG if rollout.waits_for_pods else None)
    if _complete(store.peek(key) or found):
        _clean_up(rollout)
    return min((each for each in waits if each is not None), default=None)


def _resize(rollout: Rollout) -> None:
    """A paused Deployment is still scaled: all of the difference goes to its newest set that has pods."""
    running = [each for each in rollout.sets if _specified(each)] or ([rollout.new] if rollout.new else [])
    if not running:
        return
    desired = (running[-1]["metadata"].get("annotations") or {}).get(DESIRED)
    if desired is not None and int(desired) != rollout.wanted:
        for each in running[:-1]:
            rollout.scale(each, _specified(each))
        rollout.scale(running[-1], max(0, _specified(running[-1]) + rollout.wanted - int(desired)))


def _recreate(rollout: Rollout) -> None:
    for each in rollout.old:
        if _specified(each):
            rollout.scale(each, 0)
    left = [pod for each in rollout.old for pod in rollout.store.owned(each, "pods")]
    if any((pod.get("status") or {}).get("phase") not in ("Succeeded", "Failed") for pod in left):
        rollout.waits_for_pods = True
        return
    new = rollout.make_new()
    if _specified(new) != rollout.wanted:
        rollout.scale(new, rollout.wanted)


def _roll(rollout: Rollout) -> None:
    new = rollout.make_new()
    surge, unavailable = limits(rollout.spec)
    total = sum(_specified(each) for each in rollout.sets)
    if _specified(new) > rollout.wanted:
        rollout.scale(new, rollout.wanted)
    elif _specified(new) < rollout.wanted and total < rollout.wanted + surge:
        more = min(rollout.wanted + surge - total, rollout.wanted - _specified(new))
        rollout.scale(new, _specified(new) + more)
    else:
        _shrink(rollout, new, rollout.wanted - unavailable)


def _shrink(rollout: Rollout, new: Object, least: int) -> None:
    """Take pods from the old sets: first those that do not work, then as many as are not needed."""
    total = sum(_specified(each) for each in rollout.sets)
    room = total - least - (_specified(new) - _counted(new))
    for each in list(rollout.old):
        broken = min(room, _specified(each) - _counted(each))
        if broken > 0:
            rollout.scale(each, _specified(each) - broken)
            room -= broken
    if room <= 0:
        return
    spare = sum(_counted(each) for each in rollout.sets) - least
    for each in list(rollout.old):
        less = min(spare, _specified(each))
        if less > 0:
            rollout.scale(each, _specified(each) - less)
            spare -= less


def _report(rollout: Rollout) -> float | None:
    """Write the status; the seconds until the deadline passes."""
    store, new = rollout.store, rollout.new
    deployment = store.peek(rollout.key) or rollout.deployment
    before = deployment.get("status") or {}
    status: Object = {"observedGeneration": deployment["metadata"]["generation"]}
    total = sum(_specified(each) for each in rollout.sets)
    counts = {
        "replicas": sum(_counted(each, "replicas") for each in rollout.sets),
        "updatedReplicas": _counted(new, "replicas") if new else 0,
        "readyReplicas": sum(_counted(each, "readyReplicas") for each in rollout.sets),
        "availableReplicas": sum(_counted(each) for each in rollout.sets),
    }
    counts["unavailableReplicas"] = max(0, total - counts["availableReplicas"])
    status |= {name: count for name, count in counts.items() if count}
    conditions = before.get("conditions") or []
    _, unavailable = limits(rollout.spec)
    if counts["availableReplicas"] >= rollout.wanted - unavailable:
        available = ("True", "MinimumReplicasAvailable", "Deployment has minimum availability.")
    else:
        available = ("False", "MinimumReplicasUnavailable", "Deployment does not have minimum availability.")
    found = [condition(conditions, "Available", *available)]
    progress, wait = _progress(rollout, before, counts)
    found += [progress] if progress else []
    failed = [each for every in rollout.sets for each in (every.get("status") or {}).get("conditions") or []]
    found += [condition(conditions, "ReplicaFailure", "True", each["reason"], each["message"]) for each in failed[-1:]]
    status["conditions"] = found
    put_status(store, rollout.key, status)
    return wait


def _progress(rollout: Rollout, before: Object, counts: dict[str, int]) -> tuple[Object | None, float | None]:
    """The condition Progressing, and the time it has left."""
    conditions = before.get("conditions") or []
    old: Object = next((each for each in conditions if each["type"] == "Progressing"), {})
    note = rollout.store.note(rollout.deployment)
    if rollout.spec.get("paused"):
        note.pop("deadline", None)
        return condition(conditions, "Progressing", "Unknown", "DeploymentPaused", "Deployment is paused"), None
    deadline = rollout.spec.get("progressDeadlineSeconds", 600)
    name = rollout.new["metadata"]["name"] if rollout.new else rollout.key.name
    if old.get("reason") == "NewReplicaSetAvailable" and counts["replicas"] == counts["updatedReplicas"]:
        return (old, None) if rollout.news is None else _moved(rollout, conditions, rollout.news, deadline)
    if counts["updatedReplicas"] == counts["replicas"] == counts["availableReplicas"] == rollout.wanted:
        note.pop("deadline", None)
        text = f'ReplicaSet "{name}" has successfully progressed.'
        return condition(conditions, "Progressing", "True", "NewReplicaSetAvailable", text), None
    if rollout.news is not None:
        return _moved(rollout, conditions, rollout.news, deadline)
    if _has_moved(before, counts) or not old or "deadline" not in note:
        reason = ("ReplicaSetUpdated", f'ReplicaSet "{name}" is progressing.')
        return _moved(rollout, conditions, reason, deadline)
    left = note["deadline"] - time.monotonic()
    if left > 0:
        return old, left + 0.01
    text = f'ReplicaSet "{name}" has timed out progressing.'
    return condition(conditions, "Progressing", "False", "ProgressDeadlineExceeded", text), None


def _has_moved(before: Object, counts: dict[str, int]) -> bool:
    names = ("updatedReplicas", "readyReplicas", "availableReplicas")
    gained = any(counts[name] > before.get(name, 0) for name in names)
    old_before = before.get("replicas", 0) - before.get("updatedReplicas", 0)
    return gained or counts["replicas"] - counts["updatedReplicas"] < old_before


def _moved(
    rollout: Rollout, conditions: list[Object], reason: tuple[str, str], deadline: float
) -> tuple[Object, float]:
    note = rollout.store.note(rollout.deployment)
    note["deadline"] = time.monotonic() + deadline
    return condition(conditions, "Progressing", "True", *reason, renew=True), deadline + 0.01


def _complete(deployment: Object) -> bool:
    status, wanted = deployment.get("status") or {}, int(deployment["spec"].get("replicas", 1))
    counts = [status.get(name, 0) for name in ("replicas", "updatedReplicas", "availableReplicas")]
    return counts == [wanted] * 3


def _clean_up(rollout: Rollout) -> None:
    """Keep as many empty sets as the history may be long."""
    empty = [each for each in rollout.old if not _specified(each) and not _counted(each, "replicas")]
    over = len(empty) - int(rollout.spec.get("revisionHistoryLimit", 10))
    for each in sorted(empty, key=_revision)[: max(0, over)]:
        rollout.store.delete(key_of(rollout.store, each))


DEPLOYMENTS = Controller("deployments", reconcile, {"replicasets": owners_of("deployments")}, LAG)
