# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A bucket with backups, or what lies below a prefix of it as below a directory."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from typing import Any

from ansible_collections.runbook.ops.plugins.module_utils.backup.errors import Undecided
from ansible_collections.runbook.ops.plugins.module_utils.backup.model import (
    Entry,
    Listing,
    reached_limit,
    skipped_entry,
)
from ansible_collections.runbook.ops.plugins.module_utils.backup.naming import NamingRule
from ansible_collections.runbook.ops.plugins.module_utils.backup.record import members_identity
from ansible_collections.runbook.ops.plugins.module_utils.backup.streams import Meter
from ansible_collections.runbook.ops.plugins.module_utils.common.clock import iso
from ansible_collections.runbook.ops.plugins.module_utils.object_store.client import Store
from ansible_collections.runbook.ops.plugins.module_utils.object_store.errors import PERMISSIONS, StoreError
from ansible_collections.runbook.ops.plugins.module_utils.object_store.model import DeleteMarker, ListedObject, Version


class BucketRepository:
    """A bucket, or what lies below a prefix of it as below a directory."""

    kind = "s3"

    def __init__(self, store: Store, bucket: str, prefix: str) -> None:
        self._store = store
        self._bucket = bucket
        self._prefix = f"{prefix.rstrip('/')}/" if prefix.strip("/") else ""
        self.location = f"s3://{bucket}/{self._prefix}"

    def listing(self, rule: NamingRule, max_entries: int, meter: Meter) -> Listing:
        """See C(Repository). In a bucket with versions, what deleting and overwriting left behind is seen, too."""
        skipped: list[dict[str, str]] = []
        gathered = _Gathered(rule, self._prefix)
        state: str | None = None
        stopped: str | None = None
        try:
            state = self._store.versioning(self._bucket)
        except StoreError as error:
            if error.is_store_wide or error.kind == "no_such_bucket":
                raise
            skipped.append(_store_skip("versioning", error, "read the versioning state"))
        with_versions = state in ("enabled", "suspended")
        if with_versions:
            try:
                for versions, markers in self._store.version_pages(self._bucket, self._prefix):
                    stopped = reached_limit(gathered.keys, max_entries, meter)
                    if stopped:
                        break
                    gathered.add_versions(versions, markers)
            except StoreError as error:
                if error.is_store_wide or error.kind == "no_such_bucket":
                    raise
                skipped.append(_store_skip("version_count", error, "list versions"))
                with_versions = False
                gathered = _Gathered(rule, self._prefix)
        if not with_versions:
            for page in self._store.object_pages(self._bucket, self._prefix):
                stopped = reached_limit(gathered.keys, max_entries, meter)
                if stopped:
                    break
                for listed in page:
                    gathered.add(listed)
        are_versions_told = with_versions or state == "disabled"
        entries = gathered.entries(with_versions=with_versions, are_versions_told=are_versions_told)
        deleted = gathered.deleted() if with_versions else None
        return Listing(entries, stopped is None, stopped, state, deleted, skipped)

    def open(
        self, entry: Entry, start: int = 0, length: int | None = None, member: str | None = None
    ) -> Iterator[bytes]:
        """See C(Repository)."""
        key = f"{entry.locator}/{member}" if member else entry.locator
        try:
            yield from self._store.read(
                self._bucket,
                key,
                version_id=entry.version_id if not member and entry.version_id != "null" else None,
                # Not the size of another object under the same name: that would look like damage.
                etag=f'"{entry.etag}"' if entry.etag and not member else None,
                start=start,
                length=length,
            )
        except StoreError as error:
            raise Undecided(f"it cannot be read: {error.message}") from None


class _Gathered:
    """The objects of a listing, those of a directory dump put together."""

    def __init__(self, rule: NamingRule, prefix: str) -> None:
        self.keys = 0
        self._rule = rule
        self._prefix = prefix
        self._entries: dict[str, Entry] = {}
        self._directories: dict[str, dict[str, Entry]] = {}
        self._written: dict[str, dt.datetime] = {}
        self._versions: dict[str, int] = {}
        self._deleted: list[DeleteMarker] = []

    def add(self, listed: ListedObject, version_id: str | None = None) -> None:
        self.keys += 1
        name = listed.key[len(self._prefix) :]
        if not name or (name.endswith("/") and not listed.size_bytes):
            return  # what consoles make to show a folder
        artefact = self._rule.artefact_of(name)
        entry = Entry(
            name,
            listed.size_bytes,
            listed.modified_at,
            listed.key,
            version_id=version_id,
            etag=listed.etag,
            checksum_algorithms=listed.checksum_algorithms,
            storage_class=listed.storage_class,
        )
        if artefact is not None and artefact != name:
            self._directories.setdefault(artefact, {})[name[len(artefact) + 1 :]] = entry
            self._written[artefact] = max(self._written.get(artefact, listed.modified_at), listed.modified_at)
            return
        self._entries[name] = entry

    def add_versions(self, versions: list[Version], markers: list[DeleteMarker]) -> None:
        for version in versions:
            name = version.listed.key[len(self._prefix) :]
            self._versions[name] = self._versions.get(name, 0) + 1
            if version.is_latest:
                self.add(version.listed, version.version_id)
            else:
                self.keys += 1
        self.keys += len(markers)
        self._deleted += [marker for marker in markers if marker.is_latest]

    def entries(self, *, with_versions: bool, are_versions_told: bool) -> list[Entry]:
        files = [
            entry._replace(
                version_count=self._versions.get(name, 1) if with_versions else None,
                state=_state(entry, are_versions_told=are_versions_told),
            )
            for name, entry in self._entries.items()
        ]
        directories = []
        for name, members in self._directories.items():
            sizes = {member: entry.size_bytes or 0 for member, entry in members.items()}
            states = {member: _state(entry, are_versions_told=True) for member, entry in members.items()}
            state = {"members": members_identity(states)} if are_versions_told else None
            total = sum(sizes.values())
            directories.append(Entry(name, total, self._written[name], self._prefix + name, members=sizes, state=state))
        return files + directories

    def deleted(self) -> list[dict[str, Any]]:
        """Backups that only a delete marker hides, latest first, with the number of versions behind it."""
        found = []
        for marker in self._deleted:
            name = marker.key[len(self._prefix) :]
            if self._rule.period(name):
                found.append(
                    {
                        "name": name,
                        "deleted_at": iso(marker.modified_at),
                        "recoverable_count": self._versions.get(name, 0),
                    }
                )
        return sorted(found, key=lambda each: str(each["deleted_at"]), reverse=True)


def _state(entry: Entry, *, are_versions_told: bool) -> dict[str, Any]:
    """What C(Stat.identity) will say of an object; of its version only where the listing tells it."""
    state: dict[str, Any] = {"etag": entry.etag, "bytes": entry.size_bytes}
    if are_versions_told:
        state["version_id"] = None if entry.version_id == "null" else entry.version_id
    return state


def _store_skip(section: str, error: StoreError, action: str) -> dict[str, str]:
    return skipped_entry(section, error.message, f"Grant the access key {PERMISSIONS[action]}.")
