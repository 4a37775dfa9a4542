"""Label and field selectors, with the server's own refusals."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from lab.kubernetes.errors import bad_request
from lab.kubernetes.kinds import Kind, Object

Condition = Callable[[Object], bool]

_SET = re.compile(r"(\S+)\s+(in|notin)\s+\(([^)]*)\)")
_EQUAL = re.compile(r"([^\s=!]+)\s*(==|!=|=)\s*([^\s=!]*)")
_EXISTS = re.compile(r"(!?)\s*([^\s=!()]+)")


def label_condition(text: str) -> Condition:
    """``a=b, c!=d, e in (x, y), f notin (z), g, !h``: all of them hold."""
    conditions = [_label(part.strip()) for part in re.split(r",(?![^(]*\))", text) if part.strip()]
    return lambda each: all(holds(each["metadata"].get("labels") or {}) for holds in conditions)


def _label(part: str) -> Callable[[Mapping[str, str]], bool]:
    if found := _SET.fullmatch(part):
        name, word, inner = found.groups()
        values = {value.strip() for value in inner.split(",")}
        if word == "in":
            return lambda labels: name in labels and labels[name] in values
        return lambda labels: name not in labels or labels[name] not in values
    if found := _EQUAL.fullmatch(part):
        name, sign, value = found.groups()
        return lambda labels: (labels.get(name) == value) != (sign == "!=")
    if found := _EXISTS.fullmatch(part):
        absent, name = found.groups()
        return lambda labels: (name in labels) != bool(absent)
    raise bad_request(f"unable to parse requirement: found {part!r}, expected: !, identifier, or ',' or end of string")


def field_condition(kind: Kind, text: str) -> Condition:
    """``status.phase=Running,spec.nodeName!=a``: only the fields the real server has an index for."""
    conditions = []
    for part in filter(None, (each.strip() for each in text.split(","))):
        found = _EQUAL.fullmatch(part)
        if found is None:
            raise bad_request(f"invalid selector: '{part}'; can't understand '{part}'")
        name, sign, value = found.groups()
        if name not in ("metadata.name", "metadata.namespace", *kind.fields):
            raise bad_request(
                f'Unable to find "{kind.group}/{kind.version}, Resource={kind.plural}" that match label selector "", '
                f'field selector "{text}": field label not supported: {name}'
            )
        conditions.append((name, sign, value))
    return lambda each: all((_field(each, name) == value) != (sign == "!=") for name, sign, value in conditions)


def _field(each: Object, path: str) -> str:
    found: Any = each
    for step in path.split("."):
        found = found.get(step) if isinstance(found, Mapping) else None
    if isinstance(found, bool):
        return str(found).lower()
    if isinstance(found, Mapping):  # an event's source is selected by its component
        found = found.get("component")
    return "" if found is None else str(found)


def selected(selector: Mapping[str, Any] | None, each: Object) -> bool:
    """Whether a LabelSelector of a spec fits: an empty one fits all, none fits nothing."""
    if selector is None:
        return False
    labels = each["metadata"].get("labels") or {}
    return (selector.get("matchLabels") or {}).items() <= labels.items() and all(
        _expressed(rule, labels) for rule in selector.get("matchExpressions") or []
    )


def _expressed(rule: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    name, values = rule["key"], rule.get("values") or []
    return bool(
        {
            "In": name in labels and labels[name] in values,
            "NotIn": name not in labels or labels[name] not in values,
            "Exists": name in labels,
            "DoesNotExist": name not in labels,
        }[rule["operator"]]
    )
