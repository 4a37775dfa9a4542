# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where manifests have what looks like a secret in plain text, outside of a Secret. Pure; names only."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.manifest import shown
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.references import pod_spec_of

_TELLING = re.compile(
    r"passw|passwd|pwd$|passphrase|secret|token|api[-_.]?key|access[-_.]?key|private[-_.]?key|credential", re.IGNORECASE
)
# DB_PASSWORD_FILE and TOKEN_TTL say where a secret is and how long it lives.
_HARMLESS = re.compile(r"(?:file|path|dir|name|ttl|seconds|expir\w*|length|url|enabled)$", re.IGNORECASE)
_PLAIN_WORD = re.compile(r"(?:true|false|[0-9]*)", re.IGNORECASE)
_IN_VALUE = re.compile(
    r"\b[a-z][a-z0-9+.-]*://[^\s/:@'\"]*:[^\s/@'\"]+@|-----BEGIN [A-Z ]*PRIVATE KEY-----", re.IGNORECASE
)


# A line of a file in a ConfigMap, or an argument of a program. The word has to be the last of the name.
_LINE = re.compile(
    r"""(?:^|[{,])[ \t]*(?:export\s+)?["']?(?:--?)?([\w.-]*(?:passw(?:or)?d|pwd|passphrase|secret|token|api[-_.]?key"""
    r"""|access[-_.]?key|private[-_.]?key|credentials?))["']?[ \t]*[:=][ \t]*["']?([^\s"',]+)""",
    re.IGNORECASE | re.MULTILINE,
)
_SEPARATORS = re.compile(r"[\s;&|]+")
_PLACEHOLDER = re.compile(r"[$%{<*|>]|null$|none$|vault:|ref\+", re.IGNORECASE)


def plain_secrets(manifest: Mapping[str, Any]) -> list[str]:
    """Where they are, such as C(env DB_PASSWORD of container app in Deployment shop/api)."""
    if manifest.get("kind") == "Secret":
        return []
    if manifest.get("kind") == "ConfigMap":
        data = (manifest.get("data") or {}).items()
        found = [f"key {key}" for key, value in data if _is_secret(key, value) or _has_secret(value)]
    else:
        found = list(_of_containers(pod_spec_of(manifest)))
        if not found and not pod_spec_of(manifest).get("containers"):
            # Such as an address with a password in a trigger of KEDA.
            found = [path for path, text in _texts(manifest.get("spec"), "spec") if _IN_VALUE.search(text)]
    annotations = (manifest.get("metadata") or {}).get("annotations") or {}
    found += [f"annotation {name}" for name, text in annotations.items() if _IN_VALUE.search(str(text))]
    return [f"{each} in {shown(manifest)}" for each in found]


def _of_containers(pod_spec: Mapping[str, Any]) -> Iterator[str]:
    for section in ("initContainers", "containers"):
        for container in pod_spec.get(section) or ():
            for variable in container.get("env") or ():
                if _is_secret(str(variable.get("name")), variable.get("value")):
                    yield f"env {variable.get('name')} of container {container.get('name')}"
            for field in ("command", "args"):
                words = [str(each) for each in container.get(field) or ()]
                # PGPASSWORD=... may stand anywhere in a script.
                parts = [part for each in words for part in (each, *_SEPARATORS.split(each))]
                if any(_has_secret(part) or _IN_VALUE.search(part) for part in parts):
                    yield f"{field} of container {container.get('name')}"


def _has_secret(text: Any) -> bool:
    """Whether a line of it gives a value to a name that tells of a secret."""
    if not isinstance(text, str):
        return False
    found = ((name, value) for name, value in _LINE.findall(text) if not _PLACEHOLDER.match(value))
    return any(not _PLAIN_WORD.fullmatch(value) for _name, value in found)


def _texts(value: Any, path: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        for key, each in value.items():
            yield from _texts(each, f"{path}.{key}")
    elif isinstance(value, list):
        for number, each in enumerate(value):
            yield from _texts(each, f"{path}[{number}]")
    elif isinstance(value, str):
        yield path, value


def _is_secret(name: str, value: Any) -> bool:
    if not isinstance(value, str) or not value or _PLAIN_WORD.fullmatch(value):
        return False
    # $(NAME) is put together from other variables.
    if _IN_VALUE.search(re.sub(r"\$\([^)]*\)", "", value)):
        return True
    is_reference = re.fullmatch(r"\$\([^)]*\)|\$\{[^}]*\}", value) is not None
    return bool(_TELLING.search(name)) and not _HARMLESS.search(name) and not is_reference
