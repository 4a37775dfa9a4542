"""What a client asked, and the place in the API it asked about."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

from lab.kubernetes.errors import ApiError, bad_request
from lab.kubernetes.kinds import Key, Kind, Kinds
from lab.kubernetes.protobuf import decoded


@dataclass(frozen=True)
class Request:
    """One request as it came in. ``query`` has the last value of each parameter, ``pairs`` has all."""

    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    pairs: tuple[tuple[str, str], ...] = ()

    @property
    def content_type(self) -> str:
        return self.headers.get("content-type", "application/json").partition(";")[0].strip().lower()

    @property
    def dry_run(self) -> bool:
        """Whether nothing is to be stored; anything but ``All`` is refused."""
        value = self.query.get("dryRun")
        if value not in (None, "", "All"):
            raise ApiError(422, f'dryRun: Unsupported value: "{value}": supported values: "All"')
        return value == "All"

    def flag(self, name: str) -> bool:
        return self.query.get(name, "").lower() in ("true", "1")

    def number(self, name: str) -> int | None:
        """A parameter that counts something."""
        text = self.query.get(name)
        if text in (None, ""):
            return None
        try:
            return int(str(text))
        except ValueError:
            raise bad_request(f'strconv.ParseInt: parsing "{text}": invalid syntax') from None

    def content(self) -> Any:
        """The body, JSON or YAML."""
        if "protobuf" in self.content_type:
            return decoded(self.body)
        try:
            return yaml.safe_load(self.body) if "yaml" in self.content_type else json.loads(self.body or b"{}")
        except (ValueError, yaml.YAMLError) as error:
            raise bad_request(f"the body could not be read: {error}") from None


@dataclass(frozen=True)
class Address:
    """A path under ``/api`` or ``/apis`` taken apart; without a name it is a collection."""

    kind: Kind
    namespace: str
    name: str
    subresource: str

    @property
    def key(self) -> Key:
        return Key(self.kind, self.namespace, self.name)


def address_of(path: str, kinds: Kinds) -> Address | None:
    """Where a path points; None for what is not served."""
    steps = [step for step in path.split("/") if step]
    if steps[:1] == ["api"] and len(steps) >= 3:
        group, version, rest = "", steps[1], steps[2:]
    elif steps[:1] == ["apis"] and len(steps) >= 4:
        group, version, rest = steps[1], steps[2], steps[3:]
    else:
        return None
    namespace = ""
    if rest[0] == "namespaces" and len(rest) >= 3 and rest[2] not in ("status", "finalize"):
        namespace, rest = rest[1], rest[2:]
    kind = kinds.served(group, version, rest[0])
    if kind is None or len(rest) > 3 or (namespace and not kind.namespaced):
        return None
    name, subresource = (*rest[1:], "", "")[:2]
    if subresource and subresource not in kind.subresources:
        return None
    return Address(kind, namespace, name, subresource)
