# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where backups lie: a directory of the host, or a bucket. Listing and reading; nothing is ever written."""

from __future__ import annotations

import datetime as dt
import getpass
import os
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

from ansible_collections.runbook.ops.plugins.module_utils.backup.errors import Undecided
from ansible_collections.runbook.ops.plugins.module_utils.backup.model import Entry, Listing
from ansible_collections.runbook.ops.plugins.module_utils.backup.naming import NamingRule
from ansible_collections.runbook.ops.plugins.module_utils.backup.streams import Meter
from ansible_collections.runbook.ops.plugins.module_utils.common.clock import iso
from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption, Unavailable
from ansible_collections.runbook.ops.plugins.module_utils.object_store.client import Store, connect
from ansible_collections.runbook.ops.plugins.module_utils.object_store.errors import PERMISSIONS, StoreError
from ansible_collections.runbook.ops.plugins.module_utils.object_store.model import DeleteMarker, ListedObject, Version

_CHUNK_BYTES = 1024 * 1024
_SCHEME = "s3://"
_ACCEPTED = "an absolute directory such as /var/backups/shop, or s3://bucket/prefix"


class Repository(Protocol):
    """What backups are read through."""

    kind: str
    location: str

    def listing(self, rule: NamingRule, max_entries: int, meter: Meter) -> Listing:
        """Everything in the repository, down to the depth that the naming rule looks at.

        Raises:
            Unavailable: it cannot be listed.

        """

    def open(
        self, entry: Entry, start: int = 0, length: int | None = None, member: str | None = None
    ) -> Iterator[bytes]:
        """The chunks of a file from a position on, or of a member of a directory; C(length) bytes, if given.

        Raises:
            Undecided: it cannot be read; says nothing about the backup.

        """


def open_repository(options: Mapping[str, Any]) -> Repository:
    """The repository that the option C(repository) names.

    Raises:
        InvalidOption: it names none.
        Unavailable: the credentials that were pointed to cannot be had.

    """
    location = str(options["repository"]).strip()
    if location.startswith(_SCHEME):
        bucket, _slash, prefix = location[len(_SCHEME) :].partition("/")
        if not bucket:
            raise InvalidOption("repository", location, _ACCEPTED)
        return BucketRepository(connect(options, connections=options.get("workers", 8)), bucket, prefix)
    path = os.path.expanduser(os.path.expandvars(location))  # noqa: PTH111  (Path would resolve ".." by text)
    if not os.path.isabs(path) or "://" in location:  # noqa: PTH117
        raise InvalidOption("repository", location, _ACCEPTED)
    return DirectoryRepository(Path(path))


class DirectoryRepository:
    """A directory of the host that runs the module."""

    kind = "directory"

    def __init__(self, root: Path) -> None:
        self._root = root
        self.location = str(root)

    def listing(self, rule: NamingRule, max_entries: int, meter: Meter) -> Listing:
        """See C(Repository). Symbolic links to directories are only followed where they are a backup themselves."""
        entries: list[Entry] = []
        skipped: list[dict[str, str]] = []
        stopped: str | None = None
        # The root decides whether the repository is there at all.
        pending = [("", self._scan(self._root))]
        while pending and stopped is None:
            prefix, found = pending.pop()
            for item in found:
                stopped = _limit(len(entries), max_entries, meter)
                if stopped:
                    break
                name = prefix + item.name
                if rule.period(_text(name)) is None and name.count("/") < rule.depth and _is_directory(item):
                    try:
                        pending.append((f"{name}/", self._scan(Path(item.path))))
                    except Unavailable as error:
                        skipped.append(_skip("artefacts", error.message, _READ_REMEDY))
                    continue
                entries.append(self._entry(name, item))
        return Listing(entries, stopped is None, stopped, None, None, skipped)

    def _scan(self, directory: Path) -> list[os.DirEntry[str]]:
        try:
            with os.scandir(directory) as found:
                return list(found)
        except FileNotFoundError:
            raise Unavailable(
                f"The directory {directory} does not exist on this host. Mount it, or correct repository."
            ) from None
        except NotADirectoryError:
            raise Unavailable(f"{directory} is a file, not a directory. Correct repository.") from None
        except PermissionError:
            raise Unavailable(
                f"{_user()} may not list the directory {directory}. Grant it read and execute, or use become."
            ) from None
        except OSError as error:
            raise Unavailable(
                f"The directory {directory} cannot be listed: {error.strerror}. Look at the file system and its mount."
            ) from None

    def _entry(self, name: str, item: os.DirEntry[str]) -> Entry:
        shown = _text(name)
        is_symlink = item.is_symlink()
        target = self._link_target(item.path) if is_symlink else None
        try:
            status = item.stat()
        except OSError as error:
            # A broken link, a loop of links, a file deleted in this moment.
            reason = f"it leads to nothing: {error.strerror}" if is_symlink else f"it cannot be read: {error.strerror}"
            return Entry(shown, None, None, item.path, is_symlink=is_symlink, link_target=target, problem=reason)
        modified = dt.datetime.fromtimestamp(status.st_mtime, dt.timezone.utc)
        size: int | None = status.st_size
        members: dict[str, int] | None = None
        problem: str | None = None
        if stat.S_ISDIR(status.st_mode):
            members, problem = _members(item.path)
            size = sum(members.values()) if problem is None else None
        elif not stat.S_ISREG(status.st_mode):
            size, problem = None, "it is neither a file nor a directory"
        return Entry(
            shown,
            size,
            modified,
            item.path,
            members=members,
            is_symlink=is_symlink,
            link_target=target,
            identity=(status.st_dev, status.st_ino),
            problem=problem,
        )

    def _link_target(self, path: str) -> str | None:
        """The name inside the repository that a link leads to; None for one that leads outside."""
        target = os.path.realpath(path)
        root = os.path.realpath(self._root)
        return _text(os.path.relpath(target, root)) if target.startswith(root + os.sep) else None

    def open(
        self, entry: Entry, start: int = 0, length: int | None = None, member: str | None = None
    ) -> Iterator[bytes]:
        """See C(Repository). A file that changes while it is read is being written: that is no verdict."""
        path = os.path.join(entry.locator, member) if member else entry.locator  # noqa: PTH118  (may be no text)
        try:
            # Without O_NONBLOCK a pipe that took the file's place since the listing would hang us.
            descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except PermissionError:
            raise Undecided(f"{_user()} may not read it: grant it read, or use become") from None
        except OSError as error:
            raise Undecided(f"it cannot be opened: {error.strerror}") from None
        with os.fdopen(descriptor, "rb", buffering=0) as file:
            before = os.fstat(descriptor)
            if not stat.S_ISREG(before.st_mode):
                raise Undecided("it is no longer a file")
            try:
                file.seek(start)
                left = before.st_size if length is None else length
                while True:
                    # One byte more than expected shows the end, or that there is more than there was.
                    chunk = file.read(min(_CHUNK_BYTES, left + (length is None)))
                    left -= len(chunk)
                    # Asked at every chunk: a decoder that stumbles over a half-written file never sees the end.
                    after = os.fstat(descriptor)
                    if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
                        raise Undecided("it is being written at this moment: look again when the job has ended")
                    if not chunk:
                        return
                    yield chunk
            except OSError as error:
                raise Undecided(f"it cannot be read: {error.strerror}. Look at the disk") from None


class BucketRepository:
    """A bucket, or what lies below a prefix of it as below a directory."""

    kind = "s3"

    def __init__(self, store: Store, bucket: str, prefix: str) -> None:
        self._store = store
        self._bucket = bucket
        self._prefix = f"{prefix.rstrip('/')}/" if prefix.strip("/") else ""
        self.location = f"{_SCHEME}{bucket}/{self._prefix}"

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
                    stopped = _limit(gathered.keys, max_entries, meter)
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
                stopped = _limit(gathered.keys, max_entries, meter)
                if stopped:
                    break
                for listed in page:
                    gathered.add(listed)
        entries = gathered.entries(with_versions=with_versions)
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
        self._directories: dict[str, dict[str, int]] = {}
        self._written: dict[str, dt.datetime] = {}
        self._versions: dict[str, int] = {}
        self._deleted: list[DeleteMarker] = []

    def add(self, listed: ListedObject, version_id: str | None = None) -> None:
        self.keys += 1
        name = listed.key[len(self._prefix) :]
        if not name or (name.endswith("/") and not listed.size_bytes):
            return  # what consoles make to show a folder
        artefact = self._rule.artefact_of(name)
        if artefact is not None and artefact != name:
            self._directories.setdefault(artefact, {})[name[len(artefact) + 1 :]] = listed.size_bytes
            self._written[artefact] = max(self._written.get(artefact, listed.modified_at), listed.modified_at)
            return
        self._entries[name] = Entry(
            name,
            listed.size_bytes,
            listed.modified_at,
            listed.key,
            version_id=version_id,
            etag=listed.etag,
            checksum_algorithms=listed.checksum_algorithms,
            storage_class=listed.storage_class,
        )

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

    def entries(self, *, with_versions: bool) -> list[Entry]:
        files = [
            entry._replace(version_count=self._versions.get(name, 1)) if with_versions else entry
            for name, entry in self._entries.items()
        ]
        directories = [
            Entry(name, sum(members.values()), self._written[name], self._prefix + name, members=members)
            for name, members in self._directories.items()
        ]
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


_READ_REMEDY = "Grant the user read and execute there, or use become."


def _limit(count: int, max_entries: int, meter: Meter) -> str | None:
    if count >= max_entries:
        return f"the limit of {max_entries} entries (max_entries)"
    if meter.is_over:
        return f"the limit of {meter.timeout_seconds:g} seconds (timeout)"
    return None


def _is_directory(item: os.DirEntry[str]) -> bool:
    try:
        return item.is_dir(follow_symlinks=False)
    except OSError:
        return False


def _members(path: str) -> tuple[dict[str, int], str | None]:
    """Files of a directory by name; names that are no text cannot be pg_dump's."""
    members: dict[str, int] = {}
    try:
        with os.scandir(path) as found:
            for item in found:
                if item.is_file():
                    members[item.name] = item.stat().st_size
    except OSError as error:
        return members, f"it cannot be listed: {error.strerror}"
    return members, None


def _text(name: str) -> str:
    """A file name as text that JSON can carry: bytes that are no UTF-8 as backslash escapes."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _user() -> str:
    try:
        return f"The user {getpass.getuser()}"
    except (KeyError, OSError, ImportError):
        return f"The user {os.geteuid()}"


def _skip(section: str, reason: str, remedy: str) -> dict[str, str]:
    return {"section": section, "reason": reason, "remedy": remedy}


def _store_skip(section: str, error: StoreError, action: str) -> dict[str, str]:
    return _skip(section, error.message, f"Grant the access key {PERMISSIONS[action]}.")
