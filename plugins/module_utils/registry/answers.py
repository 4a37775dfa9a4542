# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What registries answer, read: manifests, indexes, configurations, errors, and the login they ask for. Pure."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.registry.platforms import Platform, platform_in
from ansible_collections.runbook.ops.plugins.module_utils.registry.reference import is_digest

INDEXES = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)
MANIFESTS = (
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)
ACCEPT = ", ".join((*INDEXES, *MANIFESTS))
_CONFIGURATIONS = (
    "application/vnd.oci.image.config.v1+json",
    "application/vnd.docker.container.image.v1+json",
)
_CREATED = "org.opencontainers.image.created"
# RFC 9110, 11.6.1: a scheme, then its parameters; the next scheme comes after a comma.
_SCHEME = re.compile(r"(?:^|,)\s*([A-Za-z][A-Za-z0-9-]*)(?=\s+[A-Za-z_]+\s*=|\s*(?:,|$))")
_PARAMETER = re.compile(r'([A-Za-z_]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s",]+))')
_LONGEST_SAID = 200


class Unreadable(Exception):
    """What was sent is not what it should be; the text says why."""


def check_digest(body: bytes, wanted: Optional[str], told: Optional[str]) -> str:
    """The digest of what was sent, computed from its bytes.

    Args:
        body: The bytes.
        wanted: The digest that was asked for, if it was one.
        told: The header C(Docker-Content-Digest).

    Raises:
        Unreadable: the bytes are others.

    """
    for digest, who in ((wanted, "was asked for"), (told, "its header says")):
        if is_digest(digest) and digest_like(str(digest), body) != digest:
            raise Unreadable(
                f"the digest of what the registry sends is {digest_like(str(digest), body)}, and {who} {digest}"
            )
    return str(wanted) if is_digest(wanted) else digest_like("sha256:", body)


def digest_like(digest: str, body: bytes) -> str:
    """The digest of bytes, by the algorithm of another digest."""
    algorithm = digest.partition(":")[0]
    return f"{algorithm}:{hashlib.new(algorithm, body).hexdigest()}"


@dataclass(frozen=True)
class Entry:
    """One manifest that an index names, or the only one. C(size_bytes) is what has to be fetched for it."""

    digest: str
    platform: Optional[Platform] = None
    os_version: Optional[str] = None
    configuration: Optional[str] = None
    size_bytes: Optional[int] = None
    created: Optional[str] = None


@dataclass(frozen=True)
class Manifest:
    """An index with its entries, or one manifest as its only entry. C(artifact) is set for what no engine runs."""

    media_type: str
    is_index: bool
    entries: Sequence[Entry] = field(default_factory=tuple)
    created: Optional[str] = None
    artifact: Optional[str] = None


def parse_manifest(body: bytes, content_type: str, digest: str) -> Manifest:
    """Read a manifest or an index.

    Raises:
        Unreadable: it is neither.

    """
    document = _object(body)
    media_type = str(document.get("mediaType") or content_type.partition(";")[0].strip())
    created = _created(document.get("annotations"))
    if media_type in INDEXES:
        found = [_entry(each) for each in _list(document, "manifests")]
        return Manifest(media_type, True, tuple(each for each in found if each is not None), created)
    if media_type not in MANIFESTS:
        raise Unreadable(
            f"the registry sends {media_type or 'something without a type'}, which current engines do not run"
        )
    configuration = document.get("config")
    if not isinstance(configuration, dict) or not is_digest(configuration.get("digest")):
        raise Unreadable("the manifest names no configuration")
    kind = str(document.get("artifactType") or configuration.get("mediaType") or "")
    if configuration.get("mediaType") not in _CONFIGURATIONS:
        return Manifest(media_type, False, (), created, kind or "something without a type")
    size = _size([configuration, *_list(document, "layers")])
    entry = Entry(digest, configuration=configuration["digest"], size_bytes=size, created=created)
    return Manifest(media_type, False, (entry,), created)


def _entry(document: Any) -> Optional[Entry]:
    """An entry of an index; None for attestations and for indexes within indexes, which engines do not choose."""
    if not isinstance(document, dict) or not is_digest(document.get("digest")):
        raise Unreadable("an entry of the index has no digest")
    if document.get("mediaType") not in MANIFESTS or "vnd.docker.reference.type" in (document.get("annotations") or {}):
        return None
    told = document.get("platform")
    platform = platform_in(told)
    if platform is None and told:
        return None
    version = told.get("os.version") if isinstance(told, dict) else None
    return Entry(document["digest"], platform, str(version) if version else None)


def _size(descriptors: Sequence[Any]) -> Optional[int]:
    sizes = [each.get("size") if isinstance(each, dict) else None for each in descriptors]
    known = [each for each in sizes if isinstance(each, int) and each >= 0]
    return sum(known) if len(known) == len(sizes) else None


def _created(values: Any) -> Optional[str]:
    found = values.get(_CREATED) if isinstance(values, dict) else None
    return found if isinstance(found, str) and found else None


def parse_configuration(body: bytes) -> tuple[Optional[Platform], Optional[str], Optional[str]]:
    """Platform, version of the system and moment of the build that an image's configuration tells."""
    document = _object(body)
    created, version = document.get("created"), document.get("os.version")
    return platform_in(document), str(version) if version else None, created if isinstance(created, str) else None


def _object(body: bytes) -> dict[str, Any]:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        raise Unreadable("what the registry sends is no JSON object")
    return document


def _list(document: Mapping[str, Any], name: str) -> list[Any]:
    found = document.get(name)
    if found is None:
        return []
    if not isinstance(found, list):
        raise Unreadable(f"{name} in the manifest is no list")
    return found


@dataclass(frozen=True)
class Refusal:
    """The errors of an answer: their codes, and what is said for people. No codes: it is no answer of a registry."""

    codes: Sequence[str]
    said: str


def parse_refusal(body: bytes) -> Refusal:
    """Read the body of an answer that is a refusal."""
    try:
        document = json.loads(body)
        errors = [each for each in document["errors"] if isinstance(each, dict)]
    except (ValueError, RecursionError, TypeError, KeyError):
        return Refusal((), "")
    codes = [str(each.get("code") or "") for each in errors]
    texts = [" ".join(str(each.get("message") or each.get("code") or "").split()) for each in errors]
    return Refusal(tuple(code for code in codes if code), "; ".join(text for text in texts if text)[:_LONGEST_SAID])


@dataclass(frozen=True)
class Challenge:
    """One way to log in that a server offers; C(scheme) is in lower case."""

    scheme: str
    parameters: Mapping[str, str]


def parse_challenges(header: str) -> list[Challenge]:
    """Read C(WWW-Authenticate), which may offer several ways."""
    # Commas and equals signs within quotes are the values' own.
    plain = re.sub(r'"(?:[^"\\]|\\.)*"', lambda quoted: f'"{"x" * (len(quoted.group()) - 2)}"', header)
    starts = list(_SCHEME.finditer(plain))
    found = []
    for number, start in enumerate(starts):
        end = starts[number + 1].start() if number + 1 < len(starts) else len(header)
        given = _PARAMETER.findall(header[start.end() : end])
        parameters = {name.lower(): re.sub(r"\\(.)", r"\1", quoted) or bare for name, quoted, bare in given}
        found.append(Challenge(start.group(1).lower(), parameters))
    return found
