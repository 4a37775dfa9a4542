# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Putting files in place by renaming only: what was there goes aside, and everything goes back when a step fails."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import RunbookError
from ansible_collections.runbook.ops.plugins.module_utils.common.files import explained, sync_directory

_READABLE = 0o666
_PASSABLE = 0o777


@dataclass(frozen=True)
class Ownership:
    """Whom files belong to, and the mode of a file."""

    user: int
    group: int
    file_mode: int
    directory_mode: int


def ownership_of(directory: Path, dump: Path) -> Ownership:
    """As the dump that is there has it; without one, as the directory has it."""
    with explained("look at", directory):
        status = directory.stat()
        mode = status.st_mode & _READABLE
        with contextlib.suppress(FileNotFoundError):
            there = dump.stat()
            return Ownership(there.st_uid, there.st_gid, there.st_mode & _READABLE, status.st_mode & _PASSABLE)
    return Ownership(status.st_uid, status.st_gid, mode, status.st_mode & _PASSABLE)


def give_to(path: Path, owner: Ownership) -> None:
    """Give a file, or a directory with its files, to the owner of the data; flushed to the disk. Raises "
    "RunbookError."""
    with explained("give to its owner", path):
        if path.is_dir():
            for each in path.iterdir():
                give_to(each, owner)
        path.chmod(owner.directory_mode if path.is_dir() else owner.file_mode)
        status = path.stat()
        if (status.st_uid, status.st_gid) != (owner.user, owner.group):
            os.chown(path, owner.user, owner.group)
        sync_directory(path)


def rename_all(steps: Sequence[tuple[Path, Path]]) -> None:
    """Carry out renames in order; when one fails, take back those before it. Raises RunbookError."""
    done: list[tuple[Path, Path]] = []
    for source, target in steps:
        try:
            if target.exists() or target.is_symlink():
                raise FileExistsError(17, "it is there already", str(target))
            source.rename(target)
        except OSError as error:
            stuck = []
            for before, after in reversed(done):
                try:
                    after.rename(before)
                except OSError:
                    stuck.append(f"{after} (was {before})")
            state = f"These could not be put back: {', '.join(stuck)}." if stuck else "Everything is as it was."
            raise RunbookError(f"Cannot rename {source} to {target}: {error.strerror or error}. {state}") from None
        done.append((source, target))
    for directory in {target.parent for source, target in steps}:
        sync_directory(directory)
