"""Every object of the cluster under one lock, with the bookkeeping the real server does in metadata."""

from __future__ import annotations

import copy
import threading
import uuid
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta, timezone
from typing import Any

from lab.kubernetes.errors import already_exists, conflict, not_found
from lab.kubernetes.kinds import Key, Kind, Kinds, Object

Listener = Callable[[Key, Object], None]
GRACE = 30  # seconds a pod is given to end when nobody says otherwise


def now(after: float = 0) -> str:
    """The moment, or one some seconds away, as metadata and conditions carry it: RFC 3339 to the second."""
    return (datetime.now(timezone.utc) + timedelta(seconds=after)).strftime("%Y-%m-%dT%H:%M:%SZ")


class Store:
    """Objects by key. What goes in and what comes out are copies; listeners hear of every write, under the lock.

    A stored object is never changed, only replaced. So ``peek`` and ``look`` may hand out what is stored itself, to
    those who only read: two thousand pods are listed without two thousand copies.
    """

    def __init__(self, kinds: Kinds) -> None:
        self.kinds = kinds
        self.lock = threading.RLock()
        self.listeners: list[Listener] = []
        self.memory: dict[str, set[str]] = {}  # what a controller keeps between two looks at an object, by its uid
        self.notes: dict[str, dict[str, Any]] = {}  # the same for what is no set of names; both go with the object
        self.graceful = False  # whether somebody ends the pods that are asked to end
        self._planted: dict[str, Any] = {}  # the spec that a planted status speaks of, by uid
        self._objects: dict[Key, Object] = {}
        self._shelves: dict[Kind, dict[str, dict[str, tuple[Key, Object]]]] = {}
        self._owned: dict[str, dict[Key, None]] = {}  # what an object owns, by its uid, oldest first
        self._version = 1000

    @property
    def version(self) -> str:
        return str(self._version)

    # --- reading
    def find(self, key: Key) -> Object | None:
        with self.lock:
            return copy.deepcopy(self._objects.get(key))

    def get(self, key: Key) -> Object:
        """The object, or 404."""
        found = self.find(key)
        if found is None:
            raise not_found(key.kind, key.name)
        return found

    def keys(self, kind: Kind, namespace: str = "") -> list[Key]:
        """In the order of a LIST: by namespace and name; no namespace means all of them."""
        with self.lock:
            return [key for key, _ in self._shelf(kind, namespace)]

    def all(self, kind: Kind | str, namespace: str = "") -> list[Object]:
        kind = self.kinds.named(kind) if isinstance(kind, str) else kind
        with self.lock:
            return [copy.deepcopy(value) for _, value in self._shelf(kind, namespace)]

    def peek(self, key: Key) -> Object | None:
        """What is stored itself, to be read only."""
        return self._objects.get(key)

    def look(self, kind: Kind | str, namespace: str = "", labels: Mapping[str, str] | None = None) -> list[Object]:
        """``all``, those with these labels only, and not copied: to be read only."""
        kind = self.kinds.named(kind) if isinstance(kind, str) else kind
        with self.lock:
            found = [value for _, value in self._shelf(kind, namespace)]
        if labels is None:
            return found
        return [each for each in found if labels.items() <= (each["metadata"].get("labels") or {}).items()]

    def owned(self, owner: Object, kind: str) -> list[Object]:
        """What names this object as an owner, oldest first, to be read only."""
        with self.lock:
            keys = self._owned.get(owner["metadata"]["uid"], ())
            return [self._objects[key] for key in keys if key.kind.plural == kind]

    def _shelf(self, kind: Kind, namespace: str) -> list[tuple[Key, Object]]:
        """Of one kind, by namespace and name."""
        shelf = self._shelves.get(kind, {})
        names = (namespace,) if namespace else sorted(shelf)
        return [place[name] for place in (shelf.get(each, {}) for each in names) for name in sorted(place)]

    def key(self, kind: str, namespace: str, name: str) -> Key:
        """By the kind's name or plural; the namespace of a kind of the whole cluster is ignored."""
        found = self.kinds.named(kind)
        return Key(found, namespace if found.namespaced else "", name)

    # --- planted objects: their status was given, and holds until somebody changes what it speaks of
    def plant(self, value: Object) -> None:
        """No controller touches this object before its spec changes."""
        self._planted[value["metadata"]["uid"]] = copy.deepcopy(value.get("spec"))

    def unplant(self, value: Object) -> None:
        self._planted.pop(value["metadata"]["uid"], None)

    def planted(self, value: Object) -> bool:
        uid = value["metadata"]["uid"]
        if uid not in self._planted:
            return False
        if value["kind"] != "Pod" and self._planted[uid] != value.get("spec"):
            del self._planted[uid]
            return False
        return True

    def note(self, value: Object) -> dict[str, Any]:
        """A controller's notes about an object."""
        return self.notes.setdefault(value["metadata"]["uid"], {})

    # --- writing
    def create(self, key: Key, manifest: Object, *, dry_run: bool = False) -> Object:
        with self.lock:
            if key in self._objects:
                raise already_exists(key.kind, key.name)
            new = copy.deepcopy(manifest)
            new = {"apiVersion": key.kind.api_version, "kind": key.kind.name, **new}
            metadata = {**(new.get("metadata") or {}), "name": key.name}
            if key.namespace:
                metadata["namespace"] = key.namespace
            metadata.setdefault("creationTimestamp", now())
            metadata["uid"] = str(uuid.uuid4())
            if key.kind.generation:
                metadata["generation"] = 1
            new["metadata"] = metadata
            return self._put(key, new, dry_run)

    def replace(self, key: Key, new: Object, *, dry_run: bool = False) -> Object:
        """Store a new state; a resourceVersion in it that is not the current one is a conflict.

        An object that is being deleted goes with its last finalizer.
        """
        with self.lock:
            old = self._objects.get(key)
            if old is None:
                raise not_found(key.kind, key.name)
            new = copy.deepcopy(new)
            kept, given = old["metadata"], {**(new.get("metadata") or {})}
            if given.get("resourceVersion") not in (None, "", kept["resourceVersion"]):
                raise conflict(key.kind, key.name)
            for name in ("name", "namespace", "uid", "creationTimestamp", "generation", "resourceVersion"):
                given.pop(name, None)
                if name in kept:
                    given[name] = kept[name]
            for name in ("deletionTimestamp", "deletionGracePeriodSeconds"):
                given.pop(name, None)
                if name in kept:
                    given[name] = kept[name]
            new |= {"apiVersion": key.kind.api_version, "kind": key.kind.name, "metadata": given}
            if new == old:
                return new
            if key.kind.generation and new.get("spec") != old.get("spec"):
                given["generation"] = kept.get("generation", 1) + 1
            if kept.get("finalizers") and not given.get("finalizers") and self._is_over(kept) and not dry_run:
                self._forget(key)
                return new
            return self._put(key, new, dry_run)

    def delete(self, key: Key, *, dry_run: bool = False, orphan: bool = False, grace: int | None = 0) -> Object:
        """Remove the object and what it owns; one with finalizers is only marked until they are gone.

        A pod is given ``grace`` seconds (None: as many as it says) to end what it has begun.
        """
        with self.lock:
            old = self.get(key)
            if dry_run:
                return old
            if grace != 0 and self.graceful and _may_end(old):
                return self._end(key, old, grace)
            if old["metadata"].get("finalizers"):
                if "deletionTimestamp" not in old["metadata"]:
                    old["metadata"] |= {"deletionTimestamp": now(), "deletionGracePeriodSeconds": 0}
                    return self._put(key, old, False)
                return old
            self._forget(key, orphan)
            return old

    def _end(self, key: Key, pod: Object, grace: int | None) -> Object:
        """Ask a pod to end; asked again, only a shorter time counts."""
        if grace is None:
            grace = (pod.get("spec") or {}).get("terminationGracePeriodSeconds")
        grace = GRACE if grace is None else grace
        before = pod["metadata"].get("deletionGracePeriodSeconds")
        if before is not None and before <= grace and self.note(pod).get("asked"):
            return pod
        self.note(pod)["asked"] = True
        pod["metadata"] |= {"deletionTimestamp": now(grace), "deletionGracePeriodSeconds": grace}
        return self._put(key, pod, False)

    def _is_over(self, metadata: Object) -> bool:
        """Marked as deleted, and if it is a pod, ended."""
        note = self.notes.get(metadata["uid"], {})
        return "deletionTimestamp" in metadata and (not note.get("asked") or bool(note.get("ended")))

    def _put(self, key: Key, new: Object, dry_run: bool) -> Object:
        if not dry_run:
            self._version += 1
            new["metadata"]["resourceVersion"] = self.version
            self._file(key, new)
            self._tell(key, new)
        return copy.deepcopy(new)

    def _file(self, key: Key, new: Object) -> None:
        before, after = _owners(self._objects.get(key)), _owners(new)
        for uid in before - after:
            self._owned.get(uid, {}).pop(key, None)
        for uid in after - before:
            self._owned.setdefault(uid, {})[key] = None
        self._objects[key] = new
        self._shelves.setdefault(key.kind, {}).setdefault(key.namespace, {})[key.name] = (key, new)

    def _unfile(self, key: Key, gone: Object) -> None:
        for uid in _owners(gone):
            self._owned.get(uid, {}).pop(key, None)
        self._shelves[key.kind][key.namespace].pop(key.name, None)
        for kept in (self.notes, self.memory, self._planted):
            kept.pop(gone["metadata"]["uid"], None)

    def _forget(self, key: Key, orphan: bool = False) -> None:
        gone = self._objects.pop(key, None)
        if gone is None:
            return
        dependents = self._dependents(key, gone)
        self._unfile(key, gone)
        self._version += 1
        self._tell(key, gone)
        for dependent in dependents:
            if orphan:
                self._disown(dependent, gone)
            else:
                self._release(dependent, gone)

    def _dependents(self, key: Key, owner: Object) -> Iterable[Key]:
        if key.kind.name == "Namespace":
            return [each for each in self._objects if each.namespace == key.name]
        return list(self._owned.pop(owner["metadata"]["uid"], ()))

    def _disown(self, key: Key, owner: Object) -> None:
        value = copy.deepcopy(self._objects[key])
        references = value["metadata"].get("ownerReferences") or []
        value["metadata"]["ownerReferences"] = [
            each for each in references if each.get("uid") != owner["metadata"]["uid"]
        ]
        self._put(key, value, False)

    def _release(self, key: Key, owner: Object) -> None:
        """What is owned by others too stays, as the garbage collector leaves it."""
        value = self._objects.get(key)
        if value is None:
            return
        references = value["metadata"].get("ownerReferences") or []
        if owner["kind"] != "Namespace" and len(references) > 1:
            self._disown(key, owner)
        else:
            self.delete(key, grace=0 if owner["kind"] == "Namespace" else None)

    def _tell(self, key: Key, value: Object) -> None:
        for listener in self.listeners:
            listener(key, value)


def _owners(value: Object | None) -> set[str]:
    references = (value or {}).get("metadata", {}).get("ownerReferences") or []
    return {str(each["uid"]) for each in references if each.get("uid")}


def _may_end(value: Object) -> bool:
    """A pod that has been started on a node ends by itself; others are removed at once."""
    ended = (value.get("status") or {}).get("phase") in ("Succeeded", "Failed")
    return bool(value["kind"] == "Pod" and (value.get("spec") or {}).get("nodeName") and not ended)
