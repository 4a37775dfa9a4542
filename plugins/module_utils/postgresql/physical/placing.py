# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Giving a finished cluster its place, so that a run that is killed at any step leaves nothing undecided.

One rename is atomic, and a cluster with tablespaces needs several. So its data directory waits beside its place, under
a name that no server has, with a journal in it that names the tablespaces; these bear its mark when they get their
places; the data directory's own rename comes last and decides. As long as it waits, nothing of it was ever in use, and
the next run takes all of it away; once it has its place, only the marks are left to be removed.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible_collections.runbook.ops.plugins.module_utils.common.files import explained, sync_directory, write_file
from ansible_collections.runbook.ops.plugins.module_utils.common.outcome import Refused
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.scratch.account import Account
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.scratch.warden import inhabitants

# Of a data directory that waits for its place, beside it.
WAITING = ".runbook-waiting"
# In the data directory: which tablespaces belong to it; in a tablespace: to which data directory it belongs.
JOURNAL = "runbook-placing.json"
_BLOCK_BYTES = 512


@dataclass(frozen=True)
class Leftover:
    """What a run that was killed while it gave a cluster its place has left.

    Args:
        data: The data directory, which still waits.
        tablespaces: Directories that got their places already; they bear its mark, so they are its own.
        bytes: What C(data) takes on its disk.

    """

    data: Path
    tablespaces: tuple[Path, ...]
    bytes: int


def put_in_place(
    data: Path, final: Path, tablespaces: Mapping[Path, Path], give: Callable[[Path], None] = lambda _path: None
) -> None:
    """Give a data directory its place, and each tablespace (by where it lies) its own.

    Args:
        data: The data directory, finished and flushed, on the disk of its place.
        final: Its place, which does not exist or is empty.
        tablespaces: The place of each tablespace, by the directory that it is now.
        give: Makes the cluster's account the owner of a path.

    Raises:
        RunbookError: a rename failed; nothing is left in place.

    """
    if not tablespaces:
        _move(data, final)
        return
    token = secrets.token_hex(16)
    for source in tablespaces:
        _write(source / JOURNAL, {"token": token}, give)
    _write(data / JOURNAL, {"token": token, "tablespaces": [str(path) for path in tablespaces.values()]}, give)
    waiting = _waiting(final)
    with _held(data):
        try:
            _move(data, waiting)
            for source, path in tablespaces.items():
                _move(source, path)
            # Last: with it the server is there.
            _move(waiting, final)
        except BaseException:
            if waiting.exists():
                _remove(_read(waiting))
            raise
    settle(final)


def settle(data: Path) -> None:
    """Remove the marks of a data directory that has its place; nothing happens when there are none."""
    journal = _journal(data)
    with explained("finish", data):
        for path in _marked(journal):
            (path / JOURNAL).unlink(missing_ok=True)
        (data / JOURNAL).unlink(missing_ok=True)


def leftovers(place: Path, account: Account) -> list[Leftover]:
    """What killed runs left of clusters whose data directories were to lie in C(place).

    What belongs to somebody else, or to a run that goes on, is left out.
    """
    found = []
    for path in sorted(place.glob(f".*{WAITING}")):
        with contextlib.suppress(OSError):
            status = path.lstat()
            if path.is_symlink() or not path.is_dir() or status.st_uid not in (os.geteuid(), account.uid):
                continue
            with _held(path):
                found.append(_read(path))
    return found


def clear(place: Path, account: Account) -> list[Leftover]:
    """Remove what C(leftovers) tells of, and give it; raises Refused while somebody works in it."""
    removed = []
    for each in leftovers(place, account):
        for path in (each.data, *each.tablespaces):
            if inhabitants(path):
                raise Refused(
                    f"A restore that was killed left {path}, and processes work in it. Nothing was touched. End them, "
                    "or move it away, and run this again."
                )
        _remove(each)
        removed.append(each)
    return removed


def _waiting(final: Path) -> Path:
    return final.with_name(f".{final.name}{WAITING}")


def _move(source: Path, target: Path) -> None:
    with explained("put in place", target):
        # An empty directory of that name is replaced.
        source.rename(target)
        sync_directory(target.parent)


def _write(path: Path, content: Mapping[str, Any], give: Callable[[Path], None]) -> None:
    write_file(path, (json.dumps(content, sort_keys=True) + "\n").encode("utf-8", "surrogateescape"))
    with explained("write", path):
        # A server that copies its own directory reads every file in it.
        give(path)


@contextlib.contextmanager
def _held(directory: Path) -> Iterator[None]:
    """Hold the lock of a directory, which stays with it when it is renamed; raises OSError when it is held."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(descriptor)


def _read(waiting: Path) -> Leftover:
    size = 0
    for directory, _directories, files in os.walk(waiting):
        for name in files:
            with contextlib.suppress(OSError):
                size += (Path(directory) / name).lstat().st_blocks * _BLOCK_BYTES
    return Leftover(waiting, tuple(_marked(_journal(waiting))), size)


def _journal(directory: Path) -> Mapping[str, Any]:
    """What a directory's journal says; nothing without one."""
    try:
        found = json.loads((directory / JOURNAL).read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _marked(journal: Mapping[str, Any]) -> list[Path]:
    """The tablespaces of a journal that bear its mark: a directory of the same name may be somebody else's."""
    token = journal.get("token")
    places = [Path(each) for each in journal.get("tablespaces") or ()]
    return [path for path in places if token and not path.is_symlink() and _journal(path).get("token") == token]


def _remove(left: Leftover) -> None:
    """Take everything away, the journals last: a run that is killed here is made good by the next one, too."""
    for directory in (*left.tablespaces, left.data):
        with explained("remove", directory):
            for path in directory.iterdir():
                if path.name == JOURNAL:
                    continue
                if path.is_dir() and not path.is_symlink():
                    shutil.rmtree(path)
                else:
                    path.unlink()
            (directory / JOURNAL).unlink(missing_ok=True)
            directory.rmdir()
