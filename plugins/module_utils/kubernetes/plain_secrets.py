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


def plain_secrets(manifest: Mapping[str, Any]) -> list[str]:
    """Where they are, such as C(env DB_PASSWORD of container app in Deployment shop/api)."""
    if manifest.get("kind") == "Secret":
        return []
    if manifest.get("kind") == "ConfigMap":
        found = [f"key {key}" for key, value in (manifest.get("data") or {}).items() if _is_secret(key, value)]
    else:
        found = list(_of_containers(pod_spec_of(manifest)))
    return [f"{each} in {shown(manifest)}" for each in found]


def _of_containers(pod_spec: Mapping[str, Any]) -> Iterator[str]:
    for section in ("initContainers", "containers"):
        for container in pod_spec.get(section) or ():
            for variable in container.get("env") or ():
                if _is_secret(str(variable.get("name")), variable.get("value")):
                    yield f"env {variable.get('name')} of container {container.get('name')}"


def _is_secret(name: str, value: Any) -> bool:
    if not isinstance(value, str) or not value or _PLAIN_WORD.fullmatch(value):
        return False
    # $(NAME) is put together from other variables.
    if _IN_VALUE.search(re.sub(r"\$\([^)]*\)", "", value)):
        return True
    is_reference = re.fullmatch(r"\$\([^)]*\)|\$\{[^}]*\}", value) is not None
    return bool(_TELLING.search(name)) and not _HARMLESS.search(name) and not is_reference
