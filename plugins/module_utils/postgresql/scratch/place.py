# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A private directory that is removed, with every process that works in it, whatever becomes of us."""

from __future__ import annotations

import contextlib
import fcntl
import inspect
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Optional

from ansible_collections.runbook.ops.plugins.module_utils.backup.errors import Undecided
from ansible_collections.runbook.ops.plugins.module_utils.common.children import clean_environment
from ansible_collections.runbook.ops.plugins.module_utils.common.errors import RunbookError
from ansible_collections.runbook.ops.plugins.module_utils.common.files import explained, free_bytes
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.scratch import warden
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.scratch.account import (
    Account,
    can_enter,
    choose_account,
)

PREFIX = "runbook-scratch-"
# The name of a socket may have 107 bytes at most (unix(7)), and ".s.PGSQL.5432" comes after the directory.
_SOCKET_NAME_BYTES = 107
_SOCKET_FILE = "/.s.PGSQL.5432"
_OWNER = "owner"
_FALLBACKS = ("/var/tmp", "/tmp")  # noqa: S108 - the names of what is made there cannot be guessed
_WARDEN_SECONDS = 15.0
_UNFINISHED_SECONDS = 3600.0


class ScratchPlace:
    """A directory of the account's own below C(parent); it ends with the block, and with this process.

    Where C(parent) is not given it is the directory for temporary files, or C(/var/tmp) where the account cannot
    enter that. Places of runs that were killed together with their wardens are removed first.

    Raises:
        RunbookError: it cannot be made.
        InvalidOption: the account cannot be used.

    """

    def __init__(self, parent: Optional[Path] = None, *, account: str | None = None) -> None:
        self.account: Account = choose_account(account)
        self._parent = _parent_for(parent, self.account)
        self.directory: Path = self._parent / f"{PREFIX}{secrets.token_hex(6)}"
        self.sockets: Path = self.directory / "s"
        self._places = [self.directory]
        if len(os.fsencode(f"{self.sockets}{_SOCKET_FILE}")) > _SOCKET_NAME_BYTES:
            short = next(Path(each) for each in reversed(_FALLBACKS) if Path(each).is_dir())
            self.sockets = short / f"{PREFIX}{secrets.token_hex(6)}"
            self._places.append(self.sockets)
        self._warden: Optional[subprocess.Popen[bytes]] = None
        self._locks: list[int] = []

    def __enter__(self) -> ScratchPlace:
        try:
            for each in {place.parent for place in self._places}:
                clear_leftovers(each, self.account)
            self._warden = _start_warden(self._places)
            for place in self._places:
                self._make(place)
            if self.sockets not in self._places:
                self.subdirectory("s")
        except BaseException:
            self.remove()
            raise
        return self

    def __exit__(
        self, kind: Optional[type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        self.remove()

    def subdirectory(self, name: str) -> Path:
        """A new directory in the place that belongs to the account."""
        made = self.directory / name
        with explained("make", made):
            made.mkdir(mode=0o700)
            self.give(made)
        return made

    def give(self, path: Path) -> None:
        """Make the account the owner of one path."""
        if os.geteuid() == 0:
            os.chown(path, self.account.uid, self.account.gid, follow_symlinks=False)

    def require_bytes(self, needed: int, what: str) -> None:
        """Raise Undecided (code no_space) unless so many bytes are free where the place is."""
        free = free_bytes(self.directory)
        if free < needed:
            raise Undecided(
                f"{what} needs about {needed:,} bytes in {self._parent}, and {free:,} are free there. "
                "Free some, or name a place on a larger disk",
                code="no_space",
            )

    def remove(self) -> None:
        """End what works in it and remove it; nothing happens the second time."""
        for place in self._places:
            if place.exists():
                warden.clear(place)
        for lock in self._locks:
            os.close(lock)
        self._locks = []
        if self._warden is not None:
            # It sees that nothing is left and ends.
            with contextlib.suppress(OSError):
                self._warden.stdin.close()  # type: ignore[union-attr]
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._warden.wait(_WARDEN_SECONDS)
            self._warden = None

    def _make(self, place: Path) -> None:
        with explained("make", place):
            place.mkdir(mode=0o700)
            # Whoever holds this lock lives: process numbers come again, locks do not.
            lock = os.open(place / _OWNER, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            fcntl.flock(lock, fcntl.LOCK_EX)
            self._locks.append(lock)
            os.write(lock, f"{os.getpid()}\n".encode())
            self.give(place)


def clear_leftovers(parent: Path, account: Account) -> list[Path]:
    """Remove the places below C(parent) whose makers are dead, and give their paths.

    Only directories that belong to us or to the account are looked at.
    """
    removed = []
    for place in sorted(parent.glob(f"{PREFIX}*")):
        with contextlib.suppress(OSError):
            status = place.lstat()
            if not place.is_dir() or place.is_symlink() or status.st_uid not in (os.geteuid(), account.uid):
                continue
            if _is_abandoned(place):
                warden.clear(place)
                removed.append(place)
    return removed


def _is_abandoned(place: Path) -> bool:
    """Whether nobody holds the lock of a place."""
    try:
        lock = os.open(place / _OWNER, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        # It is being made or being removed; or somebody was killed at that, and then it grows old.
        return time.time() - place.stat().st_mtime > _UNFINISHED_SECONDS
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    finally:
        os.close(lock)
    return True


def _parent_for(wanted: Optional[Path], account: Account) -> Path:
    if wanted is not None:
        place = wanted.resolve()
        if not place.is_dir() or not os.access(place, os.W_OK | os.X_OK):
            raise RunbookError(
                f"The scratch place {place} is not a directory that can be written to. Name another one."
            )
        if not can_enter(place, account):
            raise RunbookError(
                f"The account {account.name} that runs the scratch server cannot enter {place}. Name a place whose "
                "directories it may pass (chmod o+x), or another account."
            )
        return place
    for each in (tempfile.gettempdir(), *_FALLBACKS):
        place = Path(each).resolve()
        if place.is_dir() and os.access(place, os.W_OK | os.X_OK) and can_enter(place, account):
            return place
    raise RunbookError(f"There is no directory for temporary files that the account {account.name} can enter.")


def _start_warden(places: list[Path]) -> subprocess.Popen[bytes]:
    """Start the warden, before there is anything to remove, and wait until it watches."""
    argv = [sys.executable or shutil.which("python3") or "python3", "-I", "-S", "-c", inspect.getsource(warden)]
    try:
        started = subprocess.Popen(
            [*argv, *map(str, places)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd="/",
            env=clean_environment(),
            start_new_session=True,
        )
    except OSError as error:
        raise RunbookError(f"{argv[0]} cannot be started: {error.strerror or error}.") from None
    with started.stdout as stream:  # type: ignore[union-attr]
        if not stream.readline():
            raise RunbookError(f"{argv[0]} ended at once; it was to watch over the scratch server.")
    return started
