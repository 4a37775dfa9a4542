# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What k8s_backup wrote, found and read again: its bytes, its content and its objects held against its manifest."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Optional

from ansible.module_utils.basic import missing_required_lib

from ansible_collections.runbook.ops.plugins.module_utils.backup.content import Content
from ansible_collections.runbook.ops.plugins.module_utils.backup.depot import Depot, Stat, open_depot
from ansible_collections.runbook.ops.plugins.module_utils.backup.encryption import Decryption
from ansible_collections.runbook.ops.plugins.module_utils.backup.errors import Damaged, Undecided
from ansible_collections.runbook.ops.plugins.module_utils.backup.naming import MANIFEST_SUFFIX, NamingRule, zone
from ansible_collections.runbook.ops.plugins.module_utils.backup.published import entry_names, published_names
from ansible_collections.runbook.ops.plugins.module_utils.backup.repository import open_repository
from ansible_collections.runbook.ops.plugins.module_utils.common.errors import (
    InvalidOption,
    MissingLibrary,
    RunbookError,
)
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.manifest import left_out, shown
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.yaml_text import IMPORT_ERROR, NOT_YAML, loaded

KIND = "kubernetes"
_MOST_BYTES = 256 * 1024 * 1024
Document = dict[str, Any]


@dataclass(frozen=True)
class ObjectsBackup:
    """One backup: where it lies, and what its manifest says."""

    depot: Depot
    name: str
    entry: Mapping[str, Any]
    stat: Stat
    manifest_sha256: str

    @property
    def address(self) -> str:
        """Its file."""
        return self.depot.address(self.name)

    def documents(self, decryption: Optional[Decryption]) -> list[Document]:
        """Its objects, in the order of applying.

        Raises:
            Damaged: it is not what was written.
            Undecided: it cannot be read, or no key here opens it.

        """
        content = Content(self.depot.open(self.name), decryption=decryption)
        try:
            data = _whole(content)
            content.drain()
        except Undecided:
            # The bytes as they lie there can be compared without a key.
            content.drain()
            self._check("the bytes", content.hashes.sha256, self.entry["sha256"])
            raise
        self._check("the bytes", content.hashes.sha256, self.entry["sha256"])
        self._check("the content", hashlib.sha256(data).hexdigest(), self.entry["content_sha256"])
        documents = _parsed(data)
        kinds = dict(sorted(Counter(str(each["kind"]) for each in documents).items()))
        if (len(documents), kinds) != (self.entry["objects"], self.entry["kinds"]):
            raise Damaged(f"it has {len(documents)} objects, and its manifest says {self.entry['objects']}")
        return documents

    def _check(self, what: str, found: str, wanted: str) -> None:
        if found != wanted:
            raise Damaged(f"{what} are not those that were written: SHA-256 {found} instead of {wanted}")


def _whole(content: Content) -> bytes:
    parts = []
    for chunk in content.chunks():
        if content.bytes_out > _MOST_BYTES:
            raise Undecided(f"it has more than {_MOST_BYTES} bytes")
        parts.append(chunk)
    return b"".join(parts)


def _parsed(data: bytes) -> list[Document]:
    try:
        documents = loaded(data.decode())
    except NOT_YAML as error:
        raise Damaged(f"it cannot be read as YAML: {type(error).__name__}") from None
    for each in documents:
        if not isinstance(each, dict) or not each.get("kind") or not (each.get("metadata") or {}).get("name"):
            raise Damaged("it holds something that is no object of Kubernetes")
        made = each["metadata"].keys() & {"uid", "resourceVersion", "ownerReferences"}
        if made or "status" in each or left_out(each):
            raise Damaged(f"{shown(each)} is not as it can be applied: {', '.join(sorted(made)) or 'status'}")
    return documents


def source_argument_spec() -> dict[str, dict[str, Any]]:
    """Which backup is meant; the fragment C(objects_backup)."""
    return {
        "repository": {"type": "path", "required": True},
        "name_pattern": {"type": "str", "required": True},
        "name": {"type": "str"},
    }


def find_backup(params: Mapping[str, Any]) -> ObjectsBackup:
    """The backup of O(name), or the newest by the naming rule; raises InvalidOption, RunbookError, Undecided."""
    if IMPORT_ERROR is not None:
        raise MissingLibrary(missing_required_lib("PyYAML"), exception=IMPORT_ERROR)
    if not str(params["repository"]).startswith("/"):
        raise InvalidOption("repository", params["repository"], "an absolute directory")
    rule = NamingRule(params["name_pattern"], zone(params["timezone"]))
    depot = open_depot(params)
    there = published_names(entry_names(open_repository(params), rule), rule)
    names: Sequence[str] = [params["name"]] if params["name"] else there
    if params["name"] and params["name"] not in there:
        shown_names = ", ".join(there[:5]) or "none"
        raise InvalidOption("name", params["name"], f"a backup with a manifest in {depot.location}: {shown_names}")
    for name in names:
        data = depot.get(name + MANIFEST_SUFFIX) or b""
        entry: Any = None
        with contextlib.suppress(ValueError):
            entry = json.loads(data)
        stat = depot.stat(name)
        if isinstance(entry, dict) and entry.get("kind") == KIND and stat is not None:
            return ObjectsBackup(depot, name, entry, stat, hashlib.sha256(data).hexdigest())
    raise RunbookError(
        f"{depot.location} has no backup of a cluster's objects by the rule {params['name_pattern']}. Correct"
        " repository and name_pattern; what has no manifest is none."
    )
