"""Who owns which field: metadata.managedFields, and what server-side apply makes of it.

https://kubernetes.io/docs/reference/using-api/server-side-apply/ — a field is a path of steps as FieldsV1 writes
them: ``f:spec``, ``k:{"name":"app"}``, ``v:"a"``. Without schemas, lists have the keys that strategic patches know.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from lab.kubernetes.errors import ApiError
from lab.kubernetes.kinds import Kind, Object
from lab.kubernetes.patches import SETS, merge_key, merge_patch, strategic_patch
from lab.kubernetes.store import now

Path = tuple[str, ...]
Fields = frozenset[Path]
_ATOMIC = ("selector", "nodeSelector", "labelSelector", "scaleTargetRef", "securityContext")
_UNOWNED = ("name", "namespace", "uid", "resourceVersion", "generation", "creationTimestamp", "managedFields")
_UNOWNED_TOO = ("deletionTimestamp", "deletionGracePeriodSeconds", "selfLink", "generateName")
_MISSING = object()


@dataclass(frozen=True)
class Manager:
    """Who writes, and how: ``Apply`` or ``Update``."""

    name: str
    operation: str
    api_version: str
    subresource: str = ""

    def __str__(self) -> str:
        part = f' with subresource "{self.subresource}"' if self.subresource else ""
        return f'"{self.name}"{part}'

    @classmethod
    def of(cls, entry: Object) -> Manager:
        return cls(entry["manager"], entry["operation"], entry["apiVersion"], entry.get("subresource", ""))

    def entry(self, fields: Fields, moment: str) -> Object:
        part = {"subresource": self.subresource} if self.subresource else {}
        written: Object = {"manager": self.name, "operation": self.operation, "apiVersion": self.api_version}
        return {**written, "time": moment, "fieldsType": "FieldsV1", "fieldsV1": _tree(fields), **part}


def updated(old: Object | None, new: Object, manager: Manager) -> list[Object]:
    """The managedFields after a write that is no apply: what changed is the writer's."""
    status = manager.subresource == "status"
    after = _fields(new, status)
    changed = frozenset(path for path in after if _value(old or {}, path) != _value(new, path))
    claimed: dict[Manager, Fields] = {}
    for owner, fields in _owned(old):
        kept = fields if (owner.subresource == "status") != status else fields & after
        claimed[owner] = kept if owner == manager else kept - changed
    claimed[manager] = claimed.get(manager, frozenset()) | changed
    return _entries(claimed, old)


def applied(old: Object | None, config: Object, manager: Manager, kind: Kind, *, force: bool) -> Object:
    """The object after an apply: the config's fields set, those of this manager's last apply that it lacks removed.

    Raises:
        ApiError: 409, when another manager owns a field and wants something else of it.
    """
    config = copy.deepcopy(config)
    config.pop("status", None)
    config.setdefault("metadata", {}).pop("managedFields", None)
    wanted: Fields = _fields(config, False)
    live = copy.deepcopy(old) if old else {}
    claimed = dict(_owned(old))
    conflicts: dict[Manager, Fields] = {}
    for owner, fields in claimed.items():
        theirs = frozenset(path for path in wanted & fields if _value(live, path) != _value(config, path))
        if theirs and owner != manager:
            conflicts[owner] = theirs
    if conflicts and not force:
        raise _conflict(conflicts, {Manager.of(each): each["time"] for each in _managed(old)})
    for owner, theirs in conflicts.items():
        claimed[owner] -= theirs
    gone = claimed.get(manager, frozenset()) - wanted
    others = {path for owner, fields in claimed.items() if owner != manager for path in fields}
    for path in sorted(gone, key=len):  # an element before its fields, which name it
        if not any(other[: len(path)] == path for other in (*others, *wanted)):
            _remove(live, path)
    _clear_atomic(live, wanted)
    new: Object = merge_patch(live, config) if kind.custom else strategic_patch(live, config)
    claimed[manager] = wanted
    new["metadata"]["managedFields"] = _entries(claimed, old)
    return new


def _conflict(conflicts: dict[Manager, Fields], times: dict[Manager, str]) -> ApiError:
    causes: list[Object] = []
    lines = []
    for owner, paths in conflicts.items():
        shown = str(owner)
        if owner.operation == "Update":
            shown += f" using {owner.api_version} at {times[owner]}"
        fields = sorted(_shown(path) for path in paths)
        causes += [
            {"reason": "FieldManagerConflict", "message": f"conflict with {shown}", "field": field} for field in fields
        ]
        lines.append(f"conflicts with {shown}:\n" + "\n".join(f"- {field}" for field in fields))
    if len(causes) == 1:
        text = f"Apply failed with 1 conflict: {causes[0]['message']}: {causes[0]['field']}"
    else:
        text = f"Apply failed with {len(causes)} conflicts: " + "\n".join(lines)
    return ApiError(409, text, details={"causes": causes})


# --- fields of an object
def _fields(value: Object, status: bool) -> Fields:
    if status:
        return frozenset(_leaves(value.get("status"), "status", ("f:status",))) if value.get("status") else frozenset()
    found: set[Path] = set()
    for name, each in value.items():
        if name in ("apiVersion", "kind", "status"):
            continue
        if name == "metadata":
            each = {key: inner for key, inner in each.items() if key not in (*_UNOWNED, *_UNOWNED_TOO)}
            if not each:
                continue
        found |= set(_leaves(each, name, (f"f:{name}",)))
    return frozenset(found)


def _leaves(value: Any, name: str, path: Path) -> Iterator[Path]:
    if isinstance(value, dict) and value and name not in _ATOMIC:
        for key, each in value.items():
            yield from _leaves(each, key, (*path, f"f:{key}"))
        return
    if isinstance(value, list) and value:
        key_name = merge_key(name, value)
        if key_name and all(key_name in each for each in value):
            for each in value:
                step = (*path, f"k:{json.dumps({key_name: each[key_name]}, separators=(',', ':'))}")
                yield step
                for key, inner in each.items():
                    yield from _leaves(inner, key, (*step, f"f:{key}"))
            return
        if name in SETS:
            for each in value:
                yield (*path, f"v:{json.dumps(each)}")
            return
    yield path


def _value(value: Any, path: Path) -> Any:
    """What is at a path; an element of a keyed list only exists, or does not."""
    for place, step in enumerate(path):
        kind, _, rest = step.partition(":")
        if kind == "f":
            value = value.get(rest, _MISSING) if isinstance(value, dict) else _MISSING
        elif not isinstance(value, list):
            value = _MISSING
        elif kind == "v":
            return json.loads(rest) in value
        else:
            value = _element(value, json.loads(rest))
            if place == len(path) - 1:
                return value is not _MISSING
        if value is _MISSING:
            break
    return value


def _element(value: list[Any], key: Object) -> Any:
    return next((each for each in value if isinstance(each, dict) and key.items() <= each.items()), _MISSING)


def _remove(value: Any, path: Path) -> None:
    *steps, last = path
    parents = [value]
    for step in steps:
        kind, _, rest = step.partition(":")
        parent = parents[-1]
        if kind == "f":
            parent = parent.get(rest, _MISSING) if isinstance(parent, dict) else _MISSING
        else:
            parent = _element(parent, json.loads(rest)) if isinstance(parent, list) else _MISSING
        if parent is _MISSING:
            return
        parents.append(parent)
    kind, _, rest = last.partition(":")
    parent = parents[-1]
    if kind == "f" and isinstance(parent, dict):
        parent.pop(rest, None)
    elif kind == "v" and isinstance(parent, list):
        parent[:] = [each for each in parent if each != json.loads(rest)]
    elif isinstance(parent, list):
        found = _element(parent, json.loads(rest))
        parent[:] = [each for each in parent if each is not found]
    # What has become empty by this goes too.
    if steps and not parent and isinstance(parent, (dict, list)):
        _remove(value, tuple(steps))


def _clear_atomic(value: Object, wanted: Fields) -> None:
    """Maps that are replaced as a whole are not to be merged into."""
    for path in wanted:
        if path[-1].removeprefix("f:") in _ATOMIC:
            _remove(value, path)


# --- the list in the metadata
def _managed(value: Object | None) -> list[Object]:
    return ((value or {}).get("metadata") or {}).get("managedFields") or []


def _owned(value: Object | None) -> list[tuple[Manager, Fields]]:
    return [(Manager.of(each), frozenset(_paths(each["fieldsV1"]))) for each in _managed(value)]


def _entries(claimed: dict[Manager, Fields], old: Object | None) -> list[Object]:
    """Entries whose fields are as they were keep their time."""
    before = {Manager.of(each): each for each in _managed(old)}
    moment = now()
    entries = []
    for manager, fields in claimed.items():
        if fields:
            entry = before.get(manager)
            same = entry is not None and entry["fieldsV1"] == _tree(fields)
            entries.append(entry if entry is not None and same else manager.entry(fields, moment))
    return entries


def _tree(fields: Fields) -> Object:
    tree: Object = {}
    for path in sorted(fields):
        place = tree
        for step in path:
            place = place.setdefault(step, {})
    for path in fields:
        place = tree
        for step in path:
            place = place[step]
        if place:
            place.setdefault(".", {})
    return tree


def _paths(tree: Object, path: Path = ()) -> Iterator[Path]:
    for step, inner in tree.items():
        if step == ".":
            yield path
        elif inner:
            yield from _paths(inner, (*path, step))
        else:
            yield (*path, step)


def _shown(path: Path) -> str:
    """``.spec.template.spec.containers[name="app"].image``."""
    text = ""
    for step in path:
        kind, _, rest = step.partition(":")
        if kind == "f":
            text += f".{rest}"
        elif kind == "v":
            text += f"[={rest}]"
        else:
            text += "[" + ",".join(f"{name}={json.dumps(each)}" for name, each in json.loads(rest).items()) + "]"
    return text
