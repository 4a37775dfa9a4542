# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What lies below a prefix of a bucket, added up as it is listed. Pure: entries in, facts out."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from typing import Any, NamedTuple

from ansible_collections.runbook.ops.plugins.module_utils.common.clock import iso
from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption


class ListedObject(NamedTuple):
    """One object, or one version of it, as a listing shows it. C(etag) comes without its quotes."""

    key: str
    size_bytes: int
    modified_at: dt.datetime
    storage_class: str
    etag: str | None
    checksum_algorithms: tuple[str, ...]


class Version(NamedTuple):
    """One version of an object; the version id C(null) belongs to objects older than the versioning."""

    listed: ListedObject
    version_id: str
    is_latest: bool


class DeleteMarker(NamedTuple):
    """What a versioned bucket keeps in place of a deleted object."""

    key: str
    modified_at: dt.datetime
    is_latest: bool
    version_id: str = "null"


class ObjectStat(NamedTuple):
    """One object, or one version of it, as the store describes it. C(etag) comes without its quotes."""

    size_bytes: int
    modified_at: dt.datetime
    etag: str | None
    version_id: str | None
    storage_class: str
    metadata: dict[str, str]


class Upload(NamedTuple):
    """A multipart upload that was begun and neither completed nor aborted; C(begun_at) where the store says it."""

    key: str
    upload_id: str
    begun_at: dt.datetime | None


class Place(NamedTuple):
    """A prefix of a bucket and the name that findings give it."""

    name: str
    bucket: str
    prefix: str


def places(bucket: str | None, prefixes: Iterable[dict[str, Any]]) -> list[Place]:
    """The prefixes to measure, from the options C(bucket) and C(prefixes); without prefixes, the whole bucket.

    Raises:
        InvalidOption: neither names a bucket, or two prefixes have the same name.

    """
    found = []
    for entry in list(prefixes) or [{}]:
        where = entry.get("bucket") or bucket
        if not where:
            raise InvalidOption("bucket", bucket or "", "a bucket for all prefixes, or one in each of them")
        prefix = entry.get("prefix") or ""
        found.append(Place(entry.get("name") or f"{where}/{prefix}".rstrip("/"), where, prefix))
    names = [place.name for place in found]
    for name in names:
        if names.count(name) > 1:
            raise InvalidOption("prefixes", name, "different prefixes with different names")
    return found


class UploadTally:
    """Unfinished multipart uploads of one prefix; their parts are paid for and no listing of objects shows them."""

    def __init__(self) -> None:
        self.count = 0
        self._bytes: int | None = 0
        self._oldest: Upload | None = None
        self._begun_at: dt.datetime | None = None

    def add(self, upload: Upload, size_bytes: int | None) -> None:
        """One upload; its size is None when its parts could not be listed."""
        self.count += 1
        if size_bytes is None or self._bytes is None:
            self._bytes = None
        else:
            self._bytes += size_bytes
        if upload.begun_at and (self._begun_at is None or upload.begun_at < self._begun_at):
            self._oldest, self._begun_at = upload, upload.begun_at

    @property
    def size_bytes(self) -> int | None:
        """Bytes of all parts; None when one is unknown."""
        return self._bytes

    def facts(self, now: dt.datetime) -> dict[str, Any]:
        """Count, bytes, and the oldest one with its age in seconds."""
        begun_at = self._begun_at
        # Without an upload there is no age; 0 lets a rule say that all is well, as there is none that is old.
        age = _age(begun_at, now) if begun_at else (None if self.count else 0)
        return {
            "count": self.count,
            "bytes": self._bytes,
            "oldest_key": self._oldest.key if self._oldest else None,
            "oldest_begun_at": iso(begun_at) if begun_at else None,
            "oldest_age_seconds": age,
        }


class Tally:
    """The sum of one prefix, a page at a time, in constant memory."""

    def __init__(self) -> None:
        self.keys_seen = 0
        self._count = 0
        self._bytes = 0
        self._noncurrent_count = 0
        self._noncurrent_bytes = 0
        self._markers = 0
        self._deleted = 0
        self._classes: dict[str, list[int]] = {}
        self._newest: ListedObject | None = None
        self._oldest: ListedObject | None = None
        self._largest: ListedObject | None = None

    @property
    def bytes_seen(self) -> int:
        """Bytes of the current objects and the noncurrent versions seen so far."""
        return self._bytes + self._noncurrent_bytes

    def add_object(self, entry: ListedObject) -> None:
        """A current object."""
        self.keys_seen += 1
        self._count += 1
        self._bytes += entry.size_bytes
        self._add_class(entry)
        if self._newest is None or entry.modified_at > self._newest.modified_at:
            self._newest = entry
        if self._oldest is None or entry.modified_at < self._oldest.modified_at:
            self._oldest = entry
        if self._largest is None or entry.size_bytes > self._largest.size_bytes:
            self._largest = entry

    def add_version(self, version: Version) -> None:
        """A version: the latest of its key is the current object, the others are what overwriting left behind."""
        if version.is_latest:
            self.add_object(version.listed)
            return
        self.keys_seen += 1
        self._noncurrent_count += 1
        self._noncurrent_bytes += version.listed.size_bytes
        self._add_class(version.listed)

    def add_marker(self, marker: DeleteMarker) -> None:
        """A delete marker; as the latest of its key it hides the object."""
        self.keys_seen += 1
        self._markers += 1
        self._deleted += marker.is_latest

    def _add_class(self, entry: ListedObject) -> None:
        entry_class = self._classes.setdefault(entry.storage_class, [0, 0])
        entry_class[0] += 1
        entry_class[1] += entry.size_bytes

    def facts(self, now: dt.datetime, *, with_versions: bool) -> dict[str, Any]:
        """What was seen. Without a listing of versions, everything about versions is None."""
        return {
            "object_count": self._count,
            "total_bytes": self._bytes,
            "newest": _entry(self._newest, now),
            "oldest": _entry(self._oldest, now),
            "largest": _entry(self._largest, now),
            "noncurrent_count": self._noncurrent_count if with_versions else None,
            "noncurrent_bytes": self._noncurrent_bytes if with_versions else None,
            "delete_marker_count": self._markers if with_versions else None,
            "deleted_count": self._deleted if with_versions else None,
            "delete_marker_percent": self._marker_percent() if with_versions else None,
            "storage_classes": [
                {"name": name, "count": count, "bytes": size} for name, (count, size) in sorted(self._classes.items())
            ],
        }

    def _marker_percent(self) -> float:
        return round(100.0 * self._markers / self.keys_seen, 1) if self.keys_seen else 0.0


def _entry(entry: ListedObject | None, now: dt.datetime) -> dict[str, Any] | None:
    if entry is None:
        return None
    return {
        "key": entry.key,
        "size_bytes": entry.size_bytes,
        "modified_at": iso(entry.modified_at),
        "age_seconds": _age(entry.modified_at, now),
        "storage_class": entry.storage_class,
    }


def _age(moment: dt.datetime, now: dt.datetime) -> int:
    return int((now - moment).total_seconds())
