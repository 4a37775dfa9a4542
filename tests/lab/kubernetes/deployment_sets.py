"""A Deployment with its ReplicaSets, and what can be done to them: made, scaled, given a revision."""

from __future__ import annotations

from dataclasses import dataclass, field

from lab.kubernetes.events import record_event
from lab.kubernetes.kinds import Key, Object
from lab.kubernetes.store import Store
from lab.kubernetes.workloads import HASH, hash_of, key_of, owner_reference, same_template, share

REVISION = "deployment.kubernetes.io/revision"
HISTORY = "deployment.kubernetes.io/revision-history"
DESIRED = "deployment.kubernetes.io/desired-replicas"
MOST = "deployment.kubernetes.io/max-replicas"
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
        revision = max((revision_of(each) for each in self.old), default=0) + 1
        if self.new is None:
            self.new = self._create(revision)
            self.sets.append(self.new)
            name = self.new["metadata"]["name"]
            self.news = ("NewReplicaSetCreated", f'Created new replica set "{name}"')
        elif revision_of(self.new) < revision:
            self._raise_revision(self.new, revision)
            name = self.new["metadata"]["name"]
            self.news = ("FoundNewReplicaSet", f'Found new replica set "{name}"')
        self._keep_up(self.new)
        current = str(revision_of(self.new))
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
        if revision_of(found):
            annotations[HISTORY] = ",".join([*history, str(revision_of(found))])
        self._swap(found, {**found, "metadata": {**found["metadata"], "annotations": annotations}})


def revision_of(found: Object) -> int:
    return int((found["metadata"].get("annotations") or {}).get(REVISION) or 0)


def specified(found: Object) -> int:
    return int(found["spec"].get("replicas", 1))


def counted(found: Object, name: str = "availableReplicas") -> int:
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
