"""The verbs of the API on the store: GET, LIST, POST, PUT, PATCH, DELETE, and the subresources."""

from __future__ import annotations

import base64
import copy
import json
import uuid
from collections.abc import Mapping
from typing import Any

from lab.kubernetes.admission import RULES, Rule
from lab.kubernetes.bodies import APPLY, fold_string_data, manifest_of, patched
from lab.kubernetes.defaults import completed
from lab.kubernetes.errors import ApiError, already_exists, bad_request, conflict, invalid, not_found
from lab.kubernetes.kinds import Key, Kind, Object
from lab.kubernetes.managers import Manager, applied, updated
from lab.kubernetes.pods import NEW_POD
from lab.kubernetes.request import Address, Request
from lab.kubernetes.scale import scale_of, scaled
from lab.kubernetes.selectors import field_condition, label_condition
from lab.kubernetes.store import Store
from lab.kubernetes.validation import validate, validate_readable
from lab.kubernetes.webhooks import Webhooks

NEW_STATUS: Mapping[str, Object] = {
    "namespaces": {"phase": "Active"},
    "persistentvolumeclaims": {"phase": "Pending"},
    "persistentvolumes": {"phase": "Available"},
    "pods": NEW_POD,
    "horizontalpodautoscalers": {"currentMetrics": None, "desiredReplicas": 0},
    "statefulsets": {"replicas": 0, "availableReplicas": 0},
    "replicasets": {"replicas": 0},
    "daemonsets": dict.fromkeys(
        ("currentNumberScheduled", "desiredNumberScheduled", "numberMisscheduled", "numberReady"), 0
    ),
}


class Verbs:
    """Answers to requests for objects: (status, document)."""

    def __init__(self, store: Store, rules: Mapping[str, Rule] = RULES) -> None:
        self._store = store
        self._rules = rules
        self.webhooks = Webhooks()

    def answer(self, request: Request, address: Address) -> tuple[int, Any]:
        with self._store.lock:
            if request.method == "GET":
                return 200, self._get(request, address)
            if request.method == "POST" and not address.name:
                return 201, self._post(request, address)
            if request.method == "PUT" and address.name:
                return 200, self._put(request, address)
            if request.method == "PATCH" and address.name:
                return self._patch(request, address)
            if request.method == "DELETE":
                return 200, self._delete(request, address)
        raise ApiError(405, "the server does not allow this method on the requested resource")

    # --- reading
    def _get(self, request: Request, address: Address) -> Object:
        if not address.name:
            return self._list(request, address)
        found = self._store.get(address.key)
        return scale_of(found) if address.subresource == "scale" else found

    def _list(self, request: Request, address: Address) -> Object:
        kind = address.kind
        found = self._selected(request, address)
        metadata: Object = {"resourceVersion": self._store.version}
        after = _continued(request.query.get("continue"))
        if after is not None:
            found = [each for each in found if _place(each) > after]
        limit = request.number("limit")
        if limit and len(found) > limit:
            if not (request.query.get("labelSelector") or request.query.get("fieldSelector")):
                metadata["remainingItemCount"] = len(found) - limit
            found = found[:limit]
            metadata["continue"] = base64.urlsafe_b64encode(json.dumps(_place(found[-1])).encode()).decode()
        items = [{name: value for name, value in each.items() if name not in ("kind", "apiVersion")} for each in found]
        return {"kind": f"{kind.name}List", "apiVersion": kind.api_version, "metadata": metadata, "items": items}

    def _selected(self, request: Request, address: Address) -> list[Object]:
        labels = label_condition(request.query.get("labelSelector", ""))
        fields = field_condition(address.kind, request.query.get("fieldSelector", ""))
        return [each for each in self._store.look(address.kind, address.namespace) if labels(each) and fields(each)]

    # --- writing
    def admit(self, key: Key, old: Object | None, new: Object) -> None:
        """Refuse or complete what is to be stored."""
        rule = self._rules.get(key.kind.plural)
        if rule is not None:
            rule(self._store, key, old, new)

    def _post(self, request: Request, address: Address) -> Object:
        manifest = manifest_of(request.content(), address)
        metadata = manifest["metadata"]
        name = metadata.get("name") or _generated(metadata)
        if not name:
            raise invalid(address.kind, "", "metadata.name", "Required value", "name or generateName is required")
        key = Key(address.kind, address.namespace, name)
        return self.create(key, manifest, dry_run=request.dry_run, manager=_manager(request, address))

    def create(
        self,
        key: Key,
        manifest: Object,
        *,
        dry_run: bool = False,
        status: bool = False,
        manager: Manager | None = None,
    ) -> Object:
        """Store something new; only the cluster itself (``status``) says how it is, and is asked no questions."""
        if key.namespace and self._store.find(self._store.key("namespaces", "", key.namespace)) is None:
            raise not_found(self._store.kinds.named("namespaces"), key.namespace)
        manifest = copy.deepcopy(manifest)
        planted = bool(status and manifest.get("status"))
        if key.kind.has_status and not status:
            manifest.pop("status", None)
        if key.kind.has_status:
            manifest.setdefault("status", copy.deepcopy(NEW_STATUS.get(key.kind.plural, {})))
        if status:
            if key.kind.name == "Secret":
                fold_string_data(manifest)
            if not planted:
                manifest = completed(key.kind, None, manifest)
            self.admit(key, None, manifest)
        else:
            manifest = self._checked(key, None, manifest)
        if manager is not None and manager.operation == "Update":
            manifest["metadata"]["managedFields"] = updated(None, manifest, manager)
        return self._store.create(key, manifest, dry_run=dry_run)

    def _checked(self, key: Key, old: Object | None, new: Object) -> Object:
        """What clients write, completed and looked at as the server does."""
        if key.kind.name == "Secret":
            fold_string_data(new)
        if old is None and self._store.find(key) is not None:
            raise already_exists(key.kind, key.name)
        validate_readable(key.kind, new)
        new = completed(key.kind, old, new)
        self.webhooks.ask(key, old, new)
        self.admit(key, old, new)
        validate(key, old, new)
        return new

    def _put(self, request: Request, address: Address) -> Object:
        manifest = request.content()
        old = self._store.get(address.key)
        manager = _manager(request, address)
        if address.subresource == "scale":
            return scale_of(self._change(address, old, scaled(old, manifest), request.dry_run, manager))
        return self._change(address, old, manifest_of(manifest, address), request.dry_run, manager)

    def _patch(self, request: Request, address: Address) -> tuple[int, Object]:
        manager = _manager(request, address)
        if request.content_type in APPLY:
            if not request.query.get("fieldManager"):
                raise ApiError(422, "fieldManager: Required value: is required for apply patch")
            if not address.subresource:
                return self._apply(request, address, manager)
        elif request.flag("force"):
            raise ApiError(
                422,
                'PatchOptions.meta.k8s.io "" is invalid: force: Forbidden: may not be specified for non-apply patch',
            )
        old = self._store.get(address.key)
        if address.subresource == "scale":
            new = scaled(old, patched(request, address.kind, scale_of(old)))
            return 200, scale_of(self._change(address, old, new, request.dry_run, manager))
        new = patched(request, address.kind, old)
        return 200, self._change(address, old, new, request.dry_run, manager)

    def _apply(self, request: Request, address: Address, manager: Manager) -> tuple[int, Object]:
        config = manifest_of(request.content(), address)
        old = self._store.find(address.key)
        new = applied(old, config, manager, address.kind, force=request.flag("force"))
        if old is None:
            return 201, self.create(address.key, new, dry_run=request.dry_run, manager=manager)
        if not _version_of(config):
            new["metadata"].pop("resourceVersion", None)
        return 200, self._change(address, old, new, request.dry_run, manager)

    def _change(self, address: Address, old: Object, new: Object, dry_run: bool, manager: Manager) -> Object:
        """Only the status through /status, never the status where there is one."""
        key = address.key
        if address.subresource == "status":
            new = {**old, "status": new.get("status"), "metadata": {**old["metadata"], **_version_of(new)}}
        elif key.kind.has_status:
            new = {**new, "status": old["status"]} if "status" in old else _without_status(new)
        if address.subresource != "status":
            new = self._checked(key, old, new)
        if manager.operation == "Update":
            cleared = (new.get("metadata") or {}).get("managedFields") in ([], [{}])
            entries = [] if cleared else updated(old, new, manager)
            new = {**new, "metadata": {**(new.get("metadata") or {}), "managedFields": entries}}
            if not entries:
                del new["metadata"]["managedFields"]
        return self._store.replace(key, new, dry_run=dry_run)

    # --- deleting
    def _delete(self, request: Request, address: Address) -> Object:
        options = request.content() if request.body else {}
        dry_run = request.dry_run or options.get("dryRun") == ["All"]
        policy = options.get("propagationPolicy") or request.query.get("propagationPolicy")
        orphan = policy == "Orphan"
        grace = options.get("gracePeriodSeconds", request.number("gracePeriodSeconds"))
        if address.name:
            self._same_as_expected(address, options.get("preconditions") or {})
            gone = self._store.delete(address.key, dry_run=dry_run, orphan=orphan, grace=grace)
            return gone if address.kind.returned else _deleted(address.kind, gone)
        found = self._selected(request, address)
        for each in found:
            metadata = each["metadata"]
            key = Key(address.kind, metadata.get("namespace", ""), metadata["name"])
            self._store.delete(key, dry_run=dry_run, orphan=orphan, grace=grace)
        kind = f"{address.kind.name}List"
        version = {"resourceVersion": self._store.version}
        return {"kind": kind, "apiVersion": address.kind.api_version, "metadata": version, "items": found}

    def _same_as_expected(self, address: Address, expected: Object) -> None:
        metadata = self._store.get(address.key)["metadata"]
        for name, title in (("uid", "UID"), ("resourceVersion", "ResourceVersion")):
            if expected.get(name) not in (None, metadata[name]):
                why = f"the {title} in the precondition ({expected[name]}) does not match the {title} in record "
                raise conflict(address.kind, address.name, f"{why}({metadata[name]})")


def _generated(metadata: Object) -> str:
    prefix = metadata.get("generateName")
    return f"{prefix}{uuid.uuid4().hex[:5]}" if prefix else ""


def _manager(request: Request, address: Address) -> Manager:
    """By the parameter, or by the first word of the program's name."""
    name = request.query.get("fieldManager") or request.headers.get("user-agent", "unknown").partition("/")[0]
    operation = "Apply" if request.content_type in APPLY else "Update"
    return Manager(name, operation, address.kind.api_version, address.subresource)


def _version_of(new: Object) -> Object:
    version = (new.get("metadata") or {}).get("resourceVersion")
    return {"resourceVersion": version} if version else {}


def _without_status(new: Object) -> Object:
    return {name: value for name, value in new.items() if name != "status"}


def _place(each: Object) -> list[str]:
    return [each["metadata"].get("namespace", ""), each["metadata"]["name"]]


def _continued(token: str | None) -> list[str] | None:
    if not token:
        return None
    try:
        return [str(part) for part in json.loads(base64.urlsafe_b64decode(token))]
    except ValueError:
        raise bad_request("continue key is not valid") from None


def _deleted(kind: Kind, gone: Object) -> Object:
    details = {"name": gone["metadata"]["name"], "kind": kind.plural, "uid": gone["metadata"]["uid"]}
    if kind.group:
        details["group"] = kind.group
    return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details}
