# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Deciding what is brought back, and how: from the history of a key to an action, a refusal, or nothing. Pure."""

from __future__ import annotations

import datetime as dt
import fnmatch
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Optional, Union

from ansible_collections.runbook.ops.plugins.module_utils.common.clock import iso, parse_moment
from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption
from ansible_collections.runbook.ops.plugins.module_utils.common.outcome import Refusal
from ansible_collections.runbook.ops.plugins.module_utils.object_store.undelete.history import Entry, History

DELETED, VERSION = "deleted", "version"
MODES = (DELETED, VERSION)
REMOVE, COPY = "remove_delete_marker", "copy_version"
# CopyObject takes no more: https://docs.aws.amazon.com/AmazonS3/latest/API/API_CopyObject.html
MOST_COPIED_BYTES = 5 * 1024**3
# Must be restored from the archive before they can be read: GLACIER_IR can be read at once.
_ARCHIVED = ("GLACIER", "DEEP_ARCHIVE")


@dataclass(frozen=True)
class Wish:
    """What is to be brought back."""

    mode: str
    prefix: str = ""
    patterns: tuple[str, ...] = ()
    deleted_since: Optional[dt.datetime] = None
    before: Optional[dt.datetime] = None
    # By key: the ids of the delete markers that may be removed. Any, if there are none.
    markers: Mapping[str, frozenset[str]] = field(default_factory=dict)

    @property
    def prefixes(self) -> list[str]:
        """What has to be listed."""
        return sorted(self.markers) if self.markers else [self.prefix]

    def takes(self, key: str) -> bool:
        """Whether it is about this key."""
        if not key.startswith(self.prefix) or (self.markers and key not in self.markers):
            return False
        return not self.patterns or any(fnmatch.fnmatchcase(key, pattern) for pattern in self.patterns)


@dataclass(frozen=True)
class Due:
    """One object that is to be brought back.

    C(markers) are removed, newest first; or C(version) is copied over C(current). C(version) is what comes back.
    """

    key: str
    action: str
    version: Entry
    current: Entry
    markers: tuple[Entry, ...] = ()

    def as_action(self) -> dict[str, Any]:
        """The entry of the module's C(actions)."""
        return {
            "action": self.action,
            "object": self.key,
            "version_id": self.version.version_id,
            "written_at": iso(self.version.modified_at),
            "bytes": self.version.size_bytes,
            "delete_markers": [marker.version_id for marker in self.markers],
            "deleted_at": iso(self.markers[-1].modified_at) if self.markers else None,
            "replaced_version_id": None if self.current.is_marker else self.current.version_id,
        }


Decision = Union[Due, Refusal, None]


def wish_from(params: Mapping[str, Any]) -> Wish:
    """The wish that the options describe; raises InvalidOption."""
    mode, before, since = params["mode"], params["before"], params["deleted_since"]
    if mode == VERSION and not before:
        raise InvalidOption("before", before or "", "with mode=version, the moment whose content comes back")
    if mode == DELETED and before:
        raise InvalidOption("before", before, "nothing with mode=deleted; it belongs to mode=version")
    if mode == VERSION and (since or params["markers"]):
        name = "deleted_since" if since else "markers"
        raise InvalidOption(name, params[name], "nothing with mode=version; it belongs to mode=deleted")
    markers: dict[str, frozenset[str]] = {}
    for entry in params["markers"]:
        markers[entry["key"]] = markers.get(entry["key"], frozenset()) | {entry["version_id"]}
    return Wish(
        mode=mode,
        prefix=params["prefix"] or "",
        patterns=tuple(params["pattern"]),
        deleted_since=parse_moment(since, "deleted_since") if since else None,
        before=parse_moment(before, "before") if before else None,
        markers=markers,
    )


def decide(history: History, wish: Wish) -> Decision:
    """What is done about one key; None when nothing has to be."""
    if wish.mode == VERSION:
        return _older_version(history, wish)
    if wish.markers:
        refusal = _named(history, wish.markers[history.key])
        if refusal is not None:
            return refusal
    return _undelete(history, wish)


def _named(history: History, wanted: frozenset[str]) -> Refusal | None:
    """Why markers that were named are not to be removed."""
    for version_id in sorted(wanted):
        entry = history.find(version_id)
        if entry is not None and not entry.is_marker:
            return Refusal(
                history.key,
                f"{version_id} is not a delete marker but a version with {entry.size_bytes} bytes, written at "
                f"{iso(entry.modified_at)}; deleting it would destroy it for ever",
                "Name the id of the delete marker. To get this version back over a newer one, use mode=version.",
            )
        if entry is None and history.markers_on_top:
            return Refusal(
                history.key,
                f"it has no version {version_id}, and it is deleted",
                "Look at its delete markers with list-object-versions, and name the latest.",
            )
    others = [each.version_id for each in history.markers_on_top if each.version_id not in wanted]
    if others:
        return Refusal(
            history.key,
            f"it would stay deleted: another delete marker, {others[0]}, hides it, too",
            "Name that one as well.",
        )
    return None


def _undelete(history: History, wish: Wish) -> Decision:
    markers, version = history.markers_on_top, history.newest_version
    if not markers or (wish.deleted_since is not None and markers[-1].modified_at < wish.deleted_since):
        return None
    if version is None:
        return Refusal(
            history.key,
            "no version is left below its delete marker",
            "Nothing can bring it back here. Restore it from a backup.",
        )
    return Due(history.key, REMOVE, version, markers[0], markers)


def _older_version(history: History, wish: Wish) -> Decision:
    current = history.entries[0]
    then = next((each for each in history.entries if wish.before is not None and each.modified_at < wish.before), None)
    # There was no object at that moment, or it is still the same.
    if then is None or then.is_marker or then.version_id == current.version_id or is_same(then, current):
        return None
    if then.storage_class in _ARCHIVED:
        return Refusal(
            history.key,
            f"version {then.version_id} lies in {then.storage_class} and cannot be read",
            "Restore it from the archive (aws s3api restore-object --version-id), wait for it, and run this again.",
        )
    if then.size_bytes > MOST_COPIED_BYTES:
        return Refusal(
            history.key,
            f"version {then.version_id} has {then.size_bytes} bytes, and a store copies at most {MOST_COPIED_BYTES}",
            "Copy it in parts (aws s3api upload-part-copy with versionId in --copy-source).",
        )
    return Due(history.key, COPY, then, current)


def is_same(one: Entry, other: Entry) -> bool:
    """Whether two versions are known to have the same content."""
    return not other.is_marker and one.etag is not None and (one.etag, one.size_bytes) == (other.etag, other.size_bytes)


def lines(found: Sequence[Due], *, is_back: bool) -> str:
    """One line an object, for the diff: as it is, or as it will be."""

    def state(due: Due) -> str:
        if is_back:
            return f"version {due.version.version_id} of {iso(due.version.modified_at)}, {due.version.size_bytes} bytes"
        if due.current.is_marker:
            return f"deleted at {iso(due.current.modified_at)}"
        return f"version {due.current.version_id} of {iso(due.current.modified_at)}, {due.current.size_bytes} bytes"

    return "".join(f"{due.key}: {state(due)}\n" for due in found)
