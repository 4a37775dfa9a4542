"""Bodies in Kubernetes' protobuf, of the few small kinds for which kubectl sends nothing else.

https://kubernetes.io/docs/reference/using-api/api-concepts/#protobuf-encoding — four bytes, and then an envelope with
the type and the object. The numbers of the fields are those of the ``generated.proto`` files.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from typing import Any

from lab.kubernetes.errors import ApiError, bad_request
from lab.kubernetes.kinds import Object

MAGIC = b"k8s\x00"
# Of each field its name and what it is: text, flag, bytes, a message, or a map whose values are text or bytes.
Message = Mapping[int, tuple[str, Any]]

_META: Message = {
    1: ("name", "text"),
    2: ("generateName", "text"),
    3: ("namespace", "text"),
    11: ("labels", ("map", "text")),
    12: ("annotations", ("map", "text")),
}
_RESOURCE: Message = {
    number: (name, "text")
    for number, name in enumerate(("namespace", "verb", "group", "version", "resource", "subresource", "name"), 1)
}
_PATH: Message = {1: ("path", "text"), 2: ("verb", "text")}
_ACCESS: Message = {1: ("resourceAttributes", _RESOURCE), 2: ("nonResourceAttributes", _PATH)}
_OBJECTS: Mapping[str, Message] = {
    "SelfSubjectAccessReview": {1: ("metadata", _META), 2: ("spec", _ACCESS)},
    "SelfSubjectRulesReview": {1: ("metadata", _META), 2: ("spec", {1: ("namespace", "text")})},
    "ConfigMap": {
        1: ("metadata", _META),
        2: ("data", ("map", "text")),
        3: ("binaryData", ("map", "bytes")),
        4: ("immutable", "flag"),
    },
    "Secret": {
        1: ("metadata", _META),
        2: ("data", ("map", "bytes")),
        3: ("type", "text"),
        4: ("stringData", ("map", "text")),
        5: ("immutable", "flag"),
    },
}
_ENVELOPE: Message = {1: ("type", {1: ("apiVersion", "text"), 2: ("kind", "text")}), 2: ("raw", "raw")}


def decoded(body: bytes) -> Object:
    """The object in a body; 415 for kinds that are not known here."""
    if not body.startswith(MAGIC):
        raise bad_request("provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]")
    envelope = _read(body[len(MAGIC) :], _ENVELOPE)
    kind = (envelope.get("type") or {}).get("kind", "")
    if kind not in _OBJECTS:
        raise ApiError(415, f"the emulator reads {kind or 'this'} in JSON and YAML, not in protobuf")
    return {**envelope["type"], **_read(envelope.get("raw", b""), _OBJECTS[kind])}


def _read(data: bytes, message: Message) -> Object:
    found: Object = {}
    for number, value in _fields(data):
        name, kind = message.get(number, ("", ""))
        if not name:
            continue
        if isinstance(kind, tuple):
            entry = _read(value, {1: ("key", "text"), 2: ("value", kind[1])})
            found.setdefault(name, {})[entry.get("key", "")] = entry.get("value", "")
        elif isinstance(kind, Mapping):
            found[name] = _read(value, kind)
        elif kind == "text":
            if value:  # what is empty was not given
                found[name] = value.decode()
        else:
            found[name] = base64.b64encode(value).decode() if kind == "bytes" else value
            if kind == "flag":
                found[name] = bool(value)
    return found


def _fields(data: bytes) -> Iterator[tuple[int, Any]]:
    place = 0

    def number() -> int:
        nonlocal place
        value = shift = 0
        while True:
            byte = data[place]
            place += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if not byte & 0x80:
                return value

    while place < len(data):
        tag = number()
        if tag & 7 == 0:
            yield tag >> 3, number()
        elif tag & 7 == 2:
            size = number()
            yield tag >> 3, data[place : place + size]
            place += size
        else:
            raise bad_request(f"proto: illegal wireType {tag & 7}")
