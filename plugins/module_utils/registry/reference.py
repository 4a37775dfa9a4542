# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The names of images, read and completed as Docker does. Pure.

The grammar is that of https://github.com/distribution/reference, which Docker, containerd and the registries share.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Optional

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption

DOCKER_HUB = "docker.io"
_HUB_HOST = "registry-1.docker.io"
_HUB_NAMES = (DOCKER_HUB, "index.docker.io", _HUB_HOST, "registry.hub.docker.com")
# What Docker writes into its configuration for it.
HUB_LOGIN = "index.docker.io"
_LONGEST_NAME = 255

_REGISTRY = re.compile(r"^(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?)(?::[0-9]{1,5})?$")
_COMPONENT = r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*"
_REPOSITORY = re.compile(rf"^{_COMPONENT}(?:/{_COMPONENT})*$")
_TAG = re.compile(r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$")
_DIGEST = re.compile(r"^(?:sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})$")
_IDENTIFIER = re.compile(r"^[0-9a-f]{64}$")
_ACCEPTED = (
    "names of images such as nginx:1.27, registry.example.com/shop/web:1.4 or "
    "registry.example.com/shop/web@sha256:<64 hex digits>"
)


@dataclass(frozen=True)
class Reference:
    """An image by its whole name. At least one of C(tag) and C(digest) is there; the digest is what counts."""

    registry: str
    repository: str
    tag: Optional[str] = None
    digest: Optional[str] = None

    @property
    def host(self) -> str:
        """The server to ask; that of Docker Hub has another name than the registry."""
        return _HUB_HOST if self.registry == DOCKER_HUB else self.registry

    @property
    def name(self) -> str:
        """Registry and repository."""
        return f"{self.registry}/{self.repository}"

    @property
    def wanted(self) -> str:
        """What the registry is asked for: engines take the digest, and do not look at a tag beside it."""
        return self.digest or self.tag or "latest"

    def pinned(self, digest: str) -> str:
        """The name that means the same bytes tomorrow."""
        return f"{self.name}@{digest}"


def is_digest(text: object) -> bool:
    """Whether something is a digest of a kind that can be computed here."""
    return isinstance(text, str) and bool(_DIGEST.match(text))


def parse_reference(text: str, option: str = "images") -> Reference:
    """Read the name of an image.

    Raises:
        InvalidOption: it is none that Docker would take.

    """
    name, mark, digest = text.partition("@")
    if mark and not _DIGEST.match(digest):
        raise InvalidOption(option, text, f"{_ACCEPTED}; a digest is sha256 with 64 hex digits, or sha512 with 128")
    head, slash, tail = name.rpartition("/")
    last, colon, tag = tail.partition(":")
    if colon and not _TAG.match(tag):
        raise InvalidOption(
            option, text, f"{_ACCEPTED}; a tag has up to 128 letters, digits, dots, dashes and underscores"
        )
    registry, repository = _split(f"{head}{slash}{last}")
    if not _REGISTRY.match(registry):
        raise InvalidOption(option, text, f"{_ACCEPTED}; {registry!r} is no host with a port")
    if not _REPOSITORY.match(repository) or len(repository) > _LONGEST_NAME:
        why = "a repository is written in lower case, in parts with slashes between"
        raise InvalidOption(option, text, f"{_ACCEPTED}; {why}")
    if _IDENTIFIER.match(name):
        raise InvalidOption(option, text, f"{_ACCEPTED}; this is the id of an image, which registries do not know")
    tag_or_none = tag if colon else None
    return Reference(registry, repository, tag_or_none or (None if mark else "latest"), digest if mark else None)


def _split(name: str) -> tuple[str, str]:
    """Registry and repository. The first part is a registry if it looks like a host; otherwise it is Docker Hub's."""
    first, slash, rest = name.partition("/")
    is_host = bool(slash) and (any(sign in first for sign in ".:[") or first == "localhost" or first != first.lower())
    registry, repository = (first, rest) if is_host else (DOCKER_HUB, name)
    if registry in _HUB_NAMES:
        registry = DOCKER_HUB
        if "/" not in repository:
            repository = f"library/{repository}"
    return registry, repository
