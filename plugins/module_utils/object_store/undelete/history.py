# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a versioned bucket knows of one key: its versions and delete markers, newest first. Pure."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple, Optional

from ansible_collections.runbook.ops.plugins.module_utils.object_store.model import DeleteMarker, Version

Page = tuple[list[Version], list[DeleteMarker]]
# What belongs to older versionless times, or is written while versioning is suspended, has this for an id.
NULL = "null"


class Entry(NamedTuple):
    """One version of a key, or one delete marker, for which size, etag and storage class mean nothing."""

    version_id: str
    modified_at: dt.datetime
    is_latest: bool
    is_marker: bool
    size_bytes: int = 0
    etag: Optional[str] = None
    storage_class: str = ""


class History(NamedTuple):
    """The entries of a key, newest first. C(is_certain) is false when a listing left the order of some open."""

    key: str
    entries: tuple[Entry, ...]
    is_certain: bool = True

    @property
    def markers_on_top(self) -> tuple[Entry, ...]:
        """The delete markers that hide the object, newest first; empty when it is not deleted."""
        count = next((n for n, entry in enumerate(self.entries) if not entry.is_marker), len(self.entries))
        return self.entries[:count]

    @property
    def newest_version(self) -> Optional[Entry]:
        """The newest version with data, hidden or not."""
        return next((entry for entry in self.entries if not entry.is_marker), None)

    def find(self, version_id: str) -> Optional[Entry]:
        """The entry of that id."""
        return next((entry for entry in self.entries if entry.version_id == version_id), None)


def histories(pages: Iterable[Page]) -> Iterator[History]:
    """One history a key, as pages of a listing come in; a key's entries may be spread over pages.

    A store lists keys in their order, so that a key is complete when a later one is seen.
    """
    open_keys: dict[str, Page] = {}
    for versions, markers in pages:
        for version in versions:
            open_keys.setdefault(version.listed.key, ([], []))[0].append(version)
        for marker in markers:
            open_keys.setdefault(marker.key, ([], []))[1].append(marker)
        last = max(open_keys, default="")
        for key in sorted(open_keys):
            if key != last:
                yield merged(key, *open_keys.pop(key))
    for key in sorted(open_keys):
        yield merged(key, *open_keys[key])


def merged(key: str, versions: Sequence[Version], markers: Sequence[DeleteMarker]) -> History:
    """Versions and markers of one key, each newest first, in one order.

    A store gives them in two lists and their times in whole seconds: within a second only the latest is known to be
    above the others. A marker is taken for the newer one then, and the history is not certain.
    """
    data, hidden = [_of_version(each) for each in versions], [_of_marker(each) for each in markers]
    entries: list[Entry] = []
    certain = True
    while data and hidden:
        mine, other = data[0], hidden[0]
        if mine.modified_at == other.modified_at and not (mine.is_latest or other.is_latest):
            certain = False
        is_data_next = mine.is_latest or (not other.is_latest and mine.modified_at > other.modified_at)
        entries.append(data.pop(0) if is_data_next else hidden.pop(0))
    return History(key, (*entries, *data, *hidden), certain)


def single(key: str, pages: Iterable[Page]) -> History:
    """The history of one key from pages of one entry each, whose order is the store's own."""
    entries: list[Entry] = []
    for versions, markers in pages:
        entries += [_of_version(each) for each in versions if each.listed.key == key]
        entries += [_of_marker(each) for each in markers if each.key == key]
        if any(each.listed.key != key for each in versions) or any(each.key != key for each in markers):
            break
    return History(key, tuple(entries))


def _of_version(version: Version) -> Entry:
    listed = version.listed
    return Entry(
        version.version_id,
        listed.modified_at,
        version.is_latest,
        False,
        listed.size_bytes,
        listed.etag,
        listed.storage_class,
    )


def _of_marker(marker: DeleteMarker) -> Entry:
    return Entry(marker.version_id, marker.modified_at, marker.is_latest, True)
