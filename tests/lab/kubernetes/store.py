"""Every object of the cluster under one lock, with the bookkeeping the real server does in metadata."""

from __future__ import annotations

import copy
import threading
import uuid
from collections.abc import Callable, Iterable
from datetime import datetime, timezone

from lab.kubernetes.errors import already_exists, conflict, not_found
from lab.kubernetes.kinds import Key, Kind, Kinds, Object

Listener = Callable[[Key, Object], None]


def now() -> str:
    """The moment as metadata and conditions carry it: RFC 3339 to the second."""
    return datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


class Store:
    """Objects by key. What goes in and what comes out are copies; listeners hear of every write, under the lock."""

    def __init__(self, kinds: Kinds) -> None:
        self.kinds = kinds
        self.lock = threading.RLock()
        self.listeners: list[Listener] = []
        self.memory: dict[str, set[str]] = {}  # what a controller keeps between two looks at an object, by its uid
        self._objects: dict[Key, Object] = {}
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
            found = [key for key in self._objects if key.kind == kind and (not namespace or key.namespace == namespace)]
        return sorted(found, key=lambda key: (key.namespace, key.name))

    def all(self, kind: Kind | str, namespace: str = "") -> list[Object]:
        kind = self.kinds.named(kind) if isinstance(kind, str) else kind
        with self.lock:
            return [copy.deepcopy(self._objects[key]) for key in self.keys(kind, namespace)]

    def key(self, kind: str, namespace: str, name: str) -> Key:
        """By the kind's name or plural; the namespace of a kind of the whole cluster is ignored."""
        found = self.kinds.named(kind)
        return Key(found, namespace if found.namespaced else "", name)

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
            if "deletionTimestamp" in given and not given.get("finalizers") and not dry_run:
                self._forget(key)
                return new
            return self._put(key, new, dry_run)

    def delete(self, key: Key, *, dry_run: bool = False, orphan: bool = False) -> Object:
        """Remove the object and what it owns; one with finalizers is only marked until they are gone."""
        with self.lock:
            old = self.get(key)
            if dry_run:
                return old
            if old["metadata"].get("finalizers"):
                if "deletionTimestamp" not in old["metadata"]:
                    old["metadata"] |= {"deletionTimestamp": now(), "deletionGracePeriodSeconds": 0}
                    return self._put(key, old, False)
                return old
            self._forget(key, orphan)
            return old

    def _put(self, key: Key, new: Object, dry_run: bool) -> Object:
        if not dry_run:
            self._version += 1
            new["metadata"]["resourceVersion"] = self.version
            self._objects[key] = new
            self._tell(key, new)
        return copy.deepcopy(new)

    def _forget(self, key: Key, orphan: bool = False) -> None:
        gone = self._objects.pop(key, None)
        if gone is None:
            return
        self._version += 1
        self._tell(key, gone)
        for dependent in self._dependents(key, gone):
            if orphan:
                self._disown(dependent, gone)
            else:
                self._release(dependent, gone)

    def _dependents(self, key: Key, owner: Object) -> Iterable[Key]:
        if key.kind.name == "Namespace":
            return [each for each in self._objects if each.namespace == key.name]
        uid = owner["metadata"]["uid"]
        return [
            each
            for each, value in self._objects.items()
            if any(reference.get("uid") == uid for reference in value["metadata"].get("ownerReferences") or [])
        ]

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
            self.delete(key)

    def _tell(self, key: Key, value: Object) -> None:
        for listener in self.listeners:
            listener(key, value)
