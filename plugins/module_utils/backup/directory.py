# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A directory with backups, read with care: links, pipes, files that change, names that are no text."""

from __future__ import annotations

import datetime as dt
import getpass
import os
import stat
from collections.abc import Iterator
from pathlib import Path
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
from ansible_collections.runbook.ops.plugins.module_utils.common.errors import Unavailable

_CHUNK_BYTES = 1024 * 1024
_READ_REMEDY = "Grant the user read and execute there, or use become."


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
                stopped = reached_limit(len(entries), max_entries, meter)
                if stopped:
                    break
                name = prefix + item.name
                if rule.period(_text(name)) is None and name.count("/") < rule.depth and _is_directory(item):
                    try:
                        pending.append((f"{name}/", self._scan(Path(item.path))))
                    except Unavailable as error:
                        skipped.append(skipped_entry("artefacts", error.message, _READ_REMEDY))
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
        more: dict[str, Any] = {}
        if stat.S_ISDIR(status.st_mode):
            states, problem = _members(item.path)
            members = {name: found["bytes"] for name, found in states.items()}
            size = sum(members.values()) if problem is None else None
            more["members"] = members_identity(states)
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
            state=None if size is None else {**state_of(status, size), **more},
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


def _is_directory(item: os.DirEntry[str]) -> bool:
    try:
        return item.is_dir(follow_symlinks=False)
    except OSError:
        return False


def _members(path: str) -> tuple[dict[str, dict[str, int]], str | None]:
    """Files of a directory, and of those below it, by name; names that are no text cannot be pg_dump's."""
    members: dict[str, dict[str, int]] = {}
    try:
        for place, _directories, files in os.walk(path, onerror=_raise):
            prefix = "" if place == path else os.path.relpath(place, path).replace(os.sep, "/") + "/"
            for name in files:
                status = os.stat(os.path.join(place, name))  # noqa: PTH116, PTH118  (may be no text)
                if stat.S_ISREG(status.st_mode):
                    members[prefix + name] = state_of(status, status.st_size)
    except OSError as error:
        return members, f"it cannot be listed: {error.strerror}"
    return members, None


def _raise(error: OSError) -> None:
    raise error


def state_of(status: os.stat_result, size_bytes: int) -> dict[str, int]:
    """What tells whether anybody has written to a file since, or to the entries of a directory."""
    return {
        "inode": status.st_ino,
        "device": status.st_dev,
        "modified_ns": status.st_mtime_ns,
        "bytes": size_bytes,
    }


def _text(name: str) -> str:
    """A file name as text that JSON can carry: bytes that are no UTF-8 as backslash escapes."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _user() -> str:
    try:
        return f"The user {getpass.getuser()}"
    except (KeyError, OSError, ImportError):
        return f"The user {os.geteuid()}"
