"""What the server refuses or fills in before it stores: one function per kind, ``rule(store, old, new)``."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping

from lab.kubernetes.claims import PROTECTION, storage_class
from lab.kubernetes.errors import forbidden, invalid
from lab.kubernetes.kinds import Key, Object
from lab.kubernetes.quantities import amount
from lab.kubernetes.store import Store

Rule = Callable[[Store, Key, Object | None, Object], None]

_SIZE = "spec.resources.requests.storage"
_DEFAULT_CLASS = "storageclass.kubernetes.io/is-default-class"


def admit_claim(store: Store, key: Key, old: Object | None, new: Object) -> None:
    """A claim may only grow, only when bound, only where its class allows it; nothing else of it may change."""
    spec = new.get("spec") or {}
    new["spec"] = spec
    wanted = ((spec.get("resources") or {}).get("requests") or {}).get("storage")
    if wanted is None:
        raise invalid(key.kind, key.name, _SIZE, "Required value", "")
    try:
        size = amount(wanted)
    except ValueError as error:
        raise invalid(key.kind, key.name, _SIZE, f'Invalid value: "{wanted}"', str(error)) from None
    if size <= 0:
        raise invalid(key.kind, key.name, _SIZE, f'Invalid value: "{wanted}"', "must be greater than zero")
    if old is None:
        _complete_claim(store, new)
        return
    _same_but_for_the_size(key, old, new)
    before = amount(old["spec"]["resources"]["requests"]["storage"])
    status = old.get("status") or {}
    if size < before and size <= amount((status.get("capacity") or {}).get("storage", 0)):
        raise invalid(key.kind, key.name, _SIZE, "Forbidden", "field can not be less than status.capacity")
    if size > before:
        _may_grow(store, key, old)


def _complete_claim(store: Store, new: Object) -> None:
    spec = new["spec"]
    spec.setdefault("accessModes", ["ReadWriteOnce"])
    spec.setdefault("volumeMode", "Filesystem")
    finalizers = new["metadata"].setdefault("finalizers", [])
    if PROTECTION not in finalizers:
        finalizers.append(PROTECTION)
    if "storageClassName" not in spec:
        for each in store.all("storageclasses"):
            if (each["metadata"].get("annotations") or {}).get(_DEFAULT_CLASS) == "true":
                spec["storageClassName"] = each["metadata"]["name"]


def _same_but_for_the_size(key: Key, old: Object, new: Object) -> None:
    before, after = copy.deepcopy(old["spec"]), copy.deepcopy(new["spec"])
    bound = (old.get("status") or {}).get("phase") == "Bound"
    for spec in (before, after):
        spec.pop("volumeAttributesClassName", None)
        if bound:
            spec["resources"]["requests"].pop("storage")
    if not bound and not before.get("volumeName"):  # the binder writes it once
        after.pop("volumeName", None)
        before.pop("volumeName", None)
    if before != after:
        raise invalid(
            key.kind,
            key.name,
            "spec",
            "Forbidden",
            "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims",
        )


def _may_grow(store: Store, key: Key, old: Object) -> None:
    storage = storage_class(store, old)
    if storage is None or not storage.get("allowVolumeExpansion"):
        raise forbidden(
            key.kind,
            key.name,
            "only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must "
            "support resize",
        )


def admit_storage_class(store: Store, key: Key, old: Object | None, new: Object) -> None:
    """A class names its provisioner; the defaults are the server's."""
    if not new.get("provisioner"):
        raise invalid(key.kind, key.name, "provisioner", "Required value", "")
    new.setdefault("reclaimPolicy", "Delete")
    new.setdefault("volumeBindingMode", "Immediate")


RULES: Mapping[str, Rule] = {
    "persistentvolumeclaims": admit_claim,
    "storageclasses": admit_storage_class,
}
