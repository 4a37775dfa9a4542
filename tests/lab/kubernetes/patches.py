"""PATCH in its four forms; every function returns a new object."""

from __future__ import annotations

import copy
from typing import Any

from lab.kubernetes.errors import ApiError, bad_request
from lab.kubernetes.kinds import Object

MERGE_KEYS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("containers", "initContainers", "ephemeralContainers", "volumes", "env"), ("name",)),
    **dict.fromkeys(("imagePullSecrets", "secrets"), ("name",)),
    "volumeMounts": ("mountPath",),
    "volumeDevices": ("devicePath",),
    "ports": ("containerPort", "port"),
    "conditions": ("type",),
    "addresses": ("type",),
    "ownerReferences": ("uid",),
    "hostAliases": ("ip",),
    "topologySpreadConstraints": ("topologyKey",),
}
SETS = ("finalizers",)
_DIRECTIVES = ("$patch", "$retainKeys")


def merge_patch(target: Any, patch: Any) -> Any:
    """RFC 7396: null removes, lists are replaced as a whole."""
    if not isinstance(patch, dict):
        return copy.deepcopy(patch)
    result = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = merge_patch(result.get(name), value)
    return result


def strategic_patch(target: Any, patch: Any) -> Any:
    """Kubernetes' own: lists of named things are merged by their key, ``$patch`` deletes and replaces."""
    if not isinstance(patch, dict):
        return copy.deepcopy(patch)
    if patch.get("$patch") == "replace":
        return {name: copy.deepcopy(value) for name, value in patch.items() if name != "$patch"}
    if patch.get("$patch") == "delete":
        return {}
    result = dict(target) if isinstance(target, dict) else {}
    if "$retainKeys" in patch:
        result = {name: value for name, value in result.items() if name in patch["$retainKeys"]}
    for name, value in patch.items():
        if name in _DIRECTIVES or name.startswith("$setElementOrder/"):
            continue
        if name.startswith("$deleteFromPrimitiveList/"):
            field = name.partition("/")[2]
            result[field] = [each for each in result.get(field) or [] if each not in value]
        elif value is None:
            result.pop(name, None)
        elif isinstance(value, list):
            result[name] = _strategic_list(name, result.get(name) or [], value)
        else:
            result[name] = strategic_patch(result.get(name), value)
    return result


def _strategic_list(name: str, target: list[Any], patch: list[Any]) -> list[Any]:
    if name in SETS:
        return [*target, *(each for each in patch if each not in target)]
    key = merge_key(name, patch)
    if key is None:
        return copy.deepcopy(patch)
    if any(each.get("$patch") == "replace" for each in patch):
        return [copy.deepcopy(each) for each in patch if each.get("$patch") != "replace"]
    result = list(target)
    for each in patch:
        if key not in each:
            raise ApiError(500, f"map: {each} does not contain declared merge key: {key}")
        place = next((index for index, old in enumerate(result) if old.get(key) == each[key]), None)
        if each.get("$patch") == "delete":
            if place is not None:
                del result[place]
        elif place is None:
            result.append(strategic_patch({}, each))
        else:
            result[place] = strategic_patch(result[place], each)
    return result


def merge_key(name: str, patch: list[Any]) -> str | None:
    """The key that says which elements are the same; None where the list is replaced as a whole."""
    keys = MERGE_KEYS.get(name)
    if keys is None or not all(isinstance(each, dict) for each in patch):
        return None
    return next((key for key in keys if any(key in each for each in patch)), keys[0])


def json_patch(target: Object, operations: Any) -> Object:
    """RFC 6902; an operation that cannot be done, or a test that fails, refuses the whole patch."""
    if not isinstance(operations, list):
        raise bad_request("json: cannot unmarshal object into Go value of type jsonpatch.Patch")
    result = copy.deepcopy(target)
    for operation in operations:
        try:
            _operate(result, operation)
        except (LookupError, ValueError, TypeError):
            raise ApiError(422, "the server rejected our request due to an error in our request") from None
    return result


def _operate(document: Object, operation: Object) -> None:
    name, path = operation["op"], operation["path"]
    if name in ("move", "copy"):
        value = copy.deepcopy(_value(document, operation["from"]))
        if name == "move":
            _remove(document, operation["from"])
        _add(document, path, value)
    elif name == "add":
        _add(document, path, copy.deepcopy(operation["value"]))
    elif name == "remove":
        _remove(document, path)
    elif name == "replace":
        _value(document, path)
        parent, last = _parent(document, path)
        parent[_index(parent, last)] = copy.deepcopy(operation["value"])
    elif name == "test":
        if _value(document, path) != operation["value"]:
            raise ValueError(path)
    else:
        raise ValueError(name)


def _steps(path: str) -> list[str]:
    if not path.startswith("/"):
        raise ValueError(path)
    return [step.replace("~1", "/").replace("~0", "~") for step in path[1:].split("/")]


def _index(container: Any, step: str) -> Any:
    return int(step) if isinstance(container, list) else step


def _value(document: Any, path: str) -> Any:
    for step in _steps(path):
        document = document[_index(document, step)]
    return document


def _parent(document: Any, path: str) -> tuple[Any, str]:
    *steps, last = _steps(path)
    for step in steps:
        document = document[_index(document, step)]
    return document, last


def _add(document: Any, path: str, value: Any) -> None:
    parent, last = _parent(document, path)
    if isinstance(parent, list):
        place = len(parent) if last == "-" else int(last)
        if place > len(parent):
            raise IndexError(path)
        parent.insert(place, value)
    else:
        parent[last] = value


def _remove(document: Any, path: str) -> None:
    parent, last = _parent(document, path)
    del parent[_index(parent, last)]
