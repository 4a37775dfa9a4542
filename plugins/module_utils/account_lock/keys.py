# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An account's files of keys, moved aside and back without following a link that the account has put in the way.

A link is moved itself. That closes the way that it opens, and leaves what it points to, which may be somebody else's.
"""

from __future__ import annotations

import contextlib
import os
import re
import stat
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Optional

from ansible_collections.runbook.ops.plugins.module_utils.account_lock.plan import ASIDE
from ansible_collections.runbook.ops.plugins.module_utils.security.accounts import Account


@dataclass(frozen=True)
class Place:
    """A file of keys: C(base) is a directory that root gave the account, the rest is the account's own."""

    base: str
    names: tuple[str, ...]

    @property
    def paths(self) -> list[str]:
        """The way from the base to the file."""
        return [f"{self.base.rstrip('/')}/{'/'.join(self.names[: n + 1])}" for n in range(len(self.names))]


def place_of(pattern: str, account: Account) -> Optional[Place]:
    """Where a pattern of sshd's C(AuthorizedKeysFile) leads; None if it is nowhere, or a file for everybody."""
    values = {"h": account.home, "u": account.name, "U": str(account.uid), "%": "%"}

    def expanded(text: str) -> str:
        return re.sub(r"%([huU%])", lambda found: values[found[1]], text)

    whole = expanded(pattern)
    if pattern == "none":
        return None
    if not whole.startswith("/"):
        return Place(account.home, _names(whole))
    parts = pattern.split("/")
    own = [number for number, part in enumerate(parts) if re.search(r"%[huU]", part)]
    # A file for everybody cannot be moved away for one.
    if not own:
        return None
    rest = _names(expanded("/".join(parts[own[-1] + 1 :])))
    if rest:
        return Place(expanded("/".join(parts[: own[-1] + 1])), rest)
    base, _slash, name = whole.rpartition("/")
    return Place(base or "/", (name,))


def _names(path: str) -> tuple[str, ...]:
    return tuple(name for name in path.split("/") if name not in ("", "."))


def look(place: Place) -> tuple[list[str], list[str]]:
    """What is to be moved aside there, and what was."""
    keys: list[str] = []
    aside: list[str] = []
    with contextlib.suppress(OSError), contextlib.ExitStack() as opened:
        folder = opened.enter_context(_folder(place.base))
        for name, path in zip(place.names, place.paths):
            is_file = path == place.paths[-1]
            if _is_movable(name + ASIDE, folder, is_file=is_file):
                aside.append(path + ASIDE)
            if _is_movable(name, folder, is_file=is_file):
                keys.append(path)
                break
            folder = opened.enter_context(_folder(name, folder))
    return keys, aside


def move_aside(place: Place, path: str) -> None:
    """Give it the ending; raises OSError."""
    with _parent(place, path) as (folder, name):
        target = name + ASIDE
        with contextlib.suppress(FileNotFoundError):
            os.stat(target, dir_fd=folder, follow_symlinks=False)
            # Keys that came after the first lock are evidence, too.
            target = f"{target}-{int(time.time())}"
        os.rename(name, target, src_dir_fd=folder, dst_dir_fd=folder)


def move_back(place: Place, path: str) -> None:
    """Take the ending away; raises OSError."""
    with _parent(place, path) as (folder, name):
        os.rename(name + ASIDE, name, src_dir_fd=folder, dst_dir_fd=folder)


def _is_movable(name: str, folder: int, *, is_file: bool) -> bool:
    """Whether it is a link, wherever it leads, or at the end of the way a file."""
    with contextlib.suppress(FileNotFoundError):
        mode = os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode
        return stat.S_ISLNK(mode) or (is_file and stat.S_ISREG(mode))
    return False


@contextlib.contextmanager
def _parent(place: Place, path: str) -> Iterator[tuple[int, str]]:
    number = place.paths.index(path)
    with contextlib.ExitStack() as opened:
        folder = opened.enter_context(_folder(place.base))
        for name in place.names[:number]:
            folder = opened.enter_context(_folder(name, folder))
        yield folder, place.names[number]


@contextlib.contextmanager
def _folder(name: str, parent: Optional[int] = None) -> Iterator[int]:
    """A directory, open; one below another is no link."""
    flags = os.O_RDONLY | os.O_DIRECTORY | (0 if parent is None else os.O_NOFOLLOW)
    opened = os.open(name, flags, dir_fd=parent)
    try:
        yield opened
    finally:
        os.close(opened)
