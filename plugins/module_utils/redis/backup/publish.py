# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keeping a proven backup: under its name in a directory, and as an object in a bucket."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.backup.errors import Undecided
from ansible_collections.runbook.ops.plugins.module_utils.common.errors import RunbookError
from ansible_collections.runbook.ops.plugins.module_utils.common.files import (
    explained,
    sync_directory,
    write_file,
)
from ansible_collections.runbook.ops.plugins.module_utils.common.progress import Progress
from ansible_collections.runbook.ops.plugins.module_utils.object_store.client import Store
from ansible_collections.runbook.ops.plugins.module_utils.redis.backup.manifest import (
    Manifest,
    path_of,
    read_manifest,
)

SUFFIX = ".rdb"
# The moment in a name, for humans and for strptime: shop-20260131T001500Z.rdb.
STAMP = "%Y%m%dT%H%M%SZ"
_SHA256 = "sha256"


@dataclass(frozen=True)
class Bucket:
    """Where objects go."""

    store: Store
    name: str
    prefix: str

    def key(self, file: str) -> str:
        """The object of a file."""
        return f"{self.prefix}{file}"

    def address(self, file: str) -> str:
        """Its address for people."""
        return f"s3://{self.name}/{self.key(file)}"


def publish(partial: Path, target: Path, manifest: bytes) -> None:
    """Give a complete file its name, then its manifest: a backup is one that has a manifest. Raises RunbookError."""
    if target.exists():
        raise RunbookError(f"{target} is there already. Run this again.")
    with explained("publish", target):
        partial.replace(target)
        sync_directory(target.parent)
    write_file(path_of(target), manifest)


def upload(bucket: Bucket, backup: Path, sha256: str, progress: Progress) -> list[dict[str, Any]]:
    """Upload a backup and then its manifest, and ask the store for what it has: the objects. Raises RunbookError."""
    objects = []
    manifest = path_of(backup)
    for path, digest in ((backup, sha256), (manifest, "")):
        size = path.stat().st_size
        progress.phase("upload", bucket.address(path.name), total=size, unit="bytes")
        metadata = {_SHA256: digest} if digest else {}
        version = bucket.store.upload_file(
            bucket.name, bucket.key(path.name), path, metadata=metadata, on_bytes=progress.at
        )
        there, kept = bucket.store.head(bucket.name, bucket.key(path.name), version_id=version)
        if there != size or kept.get(_SHA256, "") != digest:
            raise RunbookError(
                f"{bucket.address(path.name)} has {there} bytes and SHA-256 {kept.get(_SHA256) or 'none'} after the "
                f"upload of {size} bytes with {digest or 'none'}. The backup is safe in {backup}; upload it again by "
                "hand, and look who else writes to this bucket."
            )
        objects.append({"address": bucket.address(path.name), "bytes": there, "version_id": version})
    return objects


def newest(directory: Path, name: str) -> tuple[Path, Manifest] | None:
    """The newest backup of a name that has a readable manifest and the size that it says; None without one."""
    found: Optional[tuple[Path, Manifest]] = None
    for path in sorted(directory.glob(f"*{SUFFIX}")):
        if not is_of(path.name, name):
            continue
        try:
            manifest = read_manifest(path_of(path))
            is_whole = manifest is not None and path.stat().st_size == manifest.bytes
        except (Undecided, OSError):
            continue
        if manifest is not None and is_whole and (found is None or manifest.taken_at > found[1].taken_at):
            found = (path, manifest)
    return found


def is_of(file: str, name: str) -> bool:
    """Whether a file's name is that of a backup of this name: C(name-<moment>.rdb)."""
    if not (file.startswith(f"{name}-") and file.endswith(SUFFIX)):
        return False
    stamp = file[len(name) + 1 : -len(SUFFIX)]
    return len(stamp) == 16 and stamp[8] == "T" and stamp[15] == "Z" and (stamp[:8] + stamp[9:15]).isdigit()


def shown(found: tuple[Path, Manifest] | None) -> dict[str, Any]:
    """A backup as C(before) and C(after) tell of it."""
    if found is None:
        return {"path": None, "taken_at": None, "verdict": None, "bytes": None}
    path, manifest = found
    entry: Mapping[str, Any] = manifest.entry
    return {
        "path": str(path),
        "taken_at": entry["taken_at"],
        "verdict": manifest.verdict,
        "bytes": manifest.bytes,
    }
