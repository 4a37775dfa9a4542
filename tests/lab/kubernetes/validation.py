"""What the server refuses of clients' manifests: a part of its rules, the part that people run into.

What cannot be read is 400 (a number where text belongs), what can be read and is wrong is 422 with every cause.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Callable, Iterator
from typing import Any

from lab.kubernetes.errors import ApiError, bad_request, invalid_fields
from lab.kubernetes.kinds import Key, Kind, Object
from lab.kubernetes.selectors import selected
from lab.kubernetes.workload_specs import TEMPLATES, place_of, pod_spec_of, template_of

Cause = tuple[str, str, str]  # field, kind of error, detail
_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_SERVICE = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_LABEL_TEXT = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with "
    "an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is "
    "'[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
)
_SERVICE_TEXT = (
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, "
    "and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is "
    "'[a-z]([-a-z0-9]*[a-z0-9])?')"
)
_SUBDOMAIN_TEXT = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and "
    "end with an alphanumeric character (e.g. 'example.com', regex used for validation is "
    "'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
)
_STATEFUL_MAY_CHANGE = (
    "replicas",
    "ordinals",
    "template",
    "updateStrategy",
    "revisionHistoryLimit",
    "persistentVolumeClaimRetentionPolicy",
    "minReadySeconds",
)
_REQUIRED, _IMMUTABLE = "Required value", "field is immutable"
_WITH_SELECTOR = ("deployments", "replicasets", "statefulsets", "daemonsets")


def validate(key: Key, old: Object | None, new: Object) -> None:
    """Refuse a manifest that the real server would refuse."""
    causes = [*_named(key)] if old is None else []
    plural = key.kind.plural
    if plural in TEMPLATES and not key.kind.custom:
        causes += _workload(plural, old, new)
    rule = _RULES.get(plural)
    if rule is not None:
        causes += rule(old, new)
    if causes:
        raise invalid_fields(key.kind, key.name, causes)


# --- what cannot be read
def validate_readable(kind: Kind, new: Object) -> None:
    """Refuse what is of another type than the field (400)."""
    for name in ("data", "stringData") if kind.name in ("ConfigMap", "Secret") else ():
        for value in (new.get(name) or {}).values():
            if not isinstance(value, str):
                raise _unreadable(kind, value, f"Go struct field {kind.name}.{name} of type string")
    for name in ("labels", "annotations"):
        for value in (new["metadata"].get(name) or {}).values():
            if not isinstance(value, str):
                raise _unreadable(kind, value, f"Go struct field ObjectMeta.metadata.{name} of type string")
    if kind.name == "Secret":
        for value in (new.get("data") or {}).values():
            try:
                base64.b64decode(value, validate=True)
            except (binascii.Error, ValueError):
                raise bad_request(
                    f'{kind.name} in version "{kind.version}" cannot be handled as a {kind.name}: illegal base64 data '
                    "at input byte 0"
                ) from None
    spec = new.get("spec")
    replicas = spec.get("replicas") if isinstance(spec, dict) else None
    if kind.plural in _WITH_SELECTOR and replicas is not None and not _whole(replicas):
        raise _unreadable(kind, replicas, f"Go struct field {kind.name}Spec.spec.replicas of type int32")
    if kind.plural in TEMPLATES and not kind.custom:
        pod = pod_spec_of(kind.plural, new)
        for container in (pod.get("containers") or []) if isinstance(pod, dict) else []:
            for each in (container.get("env") or []) if isinstance(container, dict) else []:
                if not isinstance(each.get("value", ""), (str, type(None))):
                    field = f"{place_of(kind.plural)}.containers.env.value"
                    raise _unreadable(kind, each["value"], f"Go struct field EnvVar.{field} of type string")


def _unreadable(kind: Kind, value: Any, target: str) -> ApiError:
    name = {bool: "bool", int: "number", float: "number", dict: "object", list: "array", str: "string"}.get(
        type(value), "null"
    )
    return bad_request(
        f'{kind.name} in version "{kind.version}" cannot be handled as a {kind.name}: json: cannot unmarshal {name} '
        f"into {target}"
    )


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


# --- what is wrong
def _named(key: Key) -> Iterator[Cause]:
    if key.kind.group == "rbac.authorization.k8s.io":
        return
    pattern, text = _SUBDOMAIN, _SUBDOMAIN_TEXT
    if key.kind.plural == "namespaces":
        pattern, text = _LABEL, _LABEL_TEXT
    elif key.kind.plural == "services":
        pattern, text = _SERVICE, _SERVICE_TEXT
    limit = 253 if pattern is _SUBDOMAIN else 63
    if not pattern.fullmatch(key.name):
        yield "metadata.name", f"Invalid value: {json.dumps(key.name)}", text
    if len(key.name) > limit:
        yield "metadata.name", f"Invalid value: {json.dumps(key.name)}", f"must be no more than {limit} characters"


def _workload(plural: str, old: Object | None, new: Object) -> Iterator[Cause]:
    spec = new.get("spec")
    if not isinstance(spec, dict):
        spec = {}
    if plural in _WITH_SELECTOR:
        yield from _selects(plural, old, spec, template_of(plural, new))
    elif plural == "jobs" and old is not None and old["spec"].get("template") != spec.get("template"):
        yield "spec.template", "Invalid value: {…}", _IMMUTABLE
    elif plural == "cronjobs" and not spec.get("schedule"):
        yield "spec.schedule", _REQUIRED, ""
    if plural == "pods" and old is not None:
        yield from _pod_stays(old, new)
        return
    yield from _pod(place_of(plural), pod_spec_of(plural, new) or {})


def _selects(plural: str, old: Object | None, spec: Object, template: Any) -> Iterator[Cause]:
    selector, labels = spec.get("selector"), ((template or {}).get("metadata") or {}).get("labels") or {}
    if not selector:
        yield "spec.selector", _REQUIRED, ""
    elif not selected(selector, {"metadata": {"labels": labels}}):
        shown = f"Invalid value: {json.dumps(labels, separators=(',', ':'))}"
        yield "spec.template.metadata.labels", shown, "`selector` does not match template `labels`"
    replicas = spec.get("replicas")
    if _whole(replicas) and int(str(replicas)) < 0:
        yield "spec.replicas", f"Invalid value: {replicas}", "must be greater than or equal to 0"
    if old is None:
        return
    if plural == "statefulsets":
        before, after = (
            {n: v for n, v in each.items() if n not in _STATEFUL_MAY_CHANGE} for each in (old["spec"], spec)
        )
        if before != after:
            named = ", ".join(f"'{each}'" for each in _STATEFUL_MAY_CHANGE[:-1])
            text = f"updates to statefulset spec for fields other than {named} and 'minReadySeconds' are forbidden"
            yield "spec", "Forbidden", text
    elif old["spec"].get("selector") != selector:
        shown = f"Invalid value: {json.dumps(selector, separators=(',', ':'))}"
        yield "spec.selector", shown, _IMMUTABLE


def _pod_stays(old: Object, new: Object) -> Iterator[Cause]:
    def fixed(value: Object) -> Object:
        spec = {name: each for name, each in value["spec"].items() if name not in _POD_MAY_CHANGE}
        for name in ("containers", "initContainers"):
            spec[name] = [{key: each for key, each in one.items() if key != "image"} for one in spec.get(name) or []]
        return spec

    if fixed(old) != fixed(new):
        yield (
            "spec",
            "Forbidden",
            "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,"
            "`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),"
            "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)",
        )


_POD_MAY_CHANGE = ("activeDeadlineSeconds", "tolerations", "terminationGracePeriodSeconds", "nodeName")


def _pod(place: str, spec: Object) -> Iterator[Cause]:
    volumes = {each.get("name") for each in spec.get("volumes") or []}
    if not spec.get("containers"):
        yield f"{place}.containers", _REQUIRED, ""
    for part in ("initContainers", "containers"):
        seen: set[str] = set()
        for number, each in enumerate(spec.get(part) or []):
            where = f"{place}.{part}[{number}]"
            name = each.get("name")
            if not name:
                yield f"{where}.name", _REQUIRED, ""
            elif not _LABEL.fullmatch(name):
                yield f"{where}.name", f"Invalid value: {json.dumps(name)}", _LABEL_TEXT
            elif name in seen:
                yield f"{where}.name", f"Duplicate value: {json.dumps(name)}", ""
            seen.add(name)
            if not each.get("image"):
                yield f"{where}.image", _REQUIRED, ""
            yield from _container(where, each, volumes)


def _container(where: str, container: Object, volumes: set[Any]) -> Iterator[Cause]:
    for number, each in enumerate(container.get("env") or []):
        if not each.get("name"):
            yield f"{where}.env[{number}].name", _REQUIRED, ""
    for number, each in enumerate(container.get("volumeMounts") or []):
        if each.get("name") not in volumes:
            yield f"{where}.volumeMounts[{number}].name", f"Not found: {json.dumps(each.get('name'))}", ""
    for number, each in enumerate(container.get("ports") or []):
        port = each.get("containerPort")
        if not _whole(port) or not 0 < int(str(port)) < 65536:
            shown = _REQUIRED if port is None else f"Invalid value: {json.dumps(port)}"
            detail = "" if port is None else "must be between 1 and 65535, inclusive"
            yield f"{where}.ports[{number}].containerPort", shown, detail


def _service(_old: Object | None, new: Object) -> Iterator[Cause]:
    spec = new.get("spec") or {}
    if not spec.get("ports") and spec.get("type") != "ExternalName" and spec.get("clusterIP") != "None":
        yield "spec.ports", _REQUIRED, ""


def _autoscaler(_old: Object | None, new: Object) -> Iterator[Cause]:
    spec = new.get("spec") or {}
    least, most = spec.get("minReplicas", 1), spec.get("maxReplicas")
    if not spec.get("scaleTargetRef"):
        yield "spec.scaleTargetRef.kind", _REQUIRED, ""
    if not isinstance(most, int) or most < 1:
        yield "spec.maxReplicas", f"Invalid value: {json.dumps(most or 0)}", "must be greater than 0"
    elif least < 1:
        yield "spec.minReplicas", f"Invalid value: {least}", "must be greater than or equal to 1"
    elif most < least:
        yield "spec.maxReplicas", f"Invalid value: {most}", "must be greater than or equal to `minReplicas`"


def _budget(_old: Object | None, new: Object) -> Iterator[Cause]:
    spec = new.get("spec") or {}
    if spec.get("minAvailable") is not None and spec.get("maxUnavailable") is not None:
        shown = "Invalid value: {…}"
        yield "spec", shown, "minAvailable and maxUnavailable cannot be both set"


def _kept(old: Object | None, new: Object) -> Iterator[Cause]:
    if old is not None and old.get("immutable"):
        if not new.get("immutable"):
            yield "immutable", "Forbidden", "field is immutable when `immutable` is set"
        if old.get("data") != new.get("data"):
            yield "data", "Forbidden", "field is immutable when `immutable` is set"


def _secret(old: Object | None, new: Object) -> Iterator[Cause]:
    yield from _kept(old, new)
    if old is not None and old.get("type") != new.get("type"):
        yield "type", f"Invalid value: {json.dumps(new.get('type'))}", _IMMUTABLE


_RULES: dict[str, Callable[[Object | None, Object], Iterator[Cause]]] = {
    "services": _service,
    "horizontalpodautoscalers": _autoscaler,
    "poddisruptionbudgets": _budget,
    "configmaps": _kept,
    "secrets": _secret,
}
