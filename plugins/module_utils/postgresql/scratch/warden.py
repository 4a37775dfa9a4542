# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ends what works in a scratch place and removes the place, once whoever made it is gone. Runs as a program of its own.

Its standard input is a pipe that only the maker holds open: when the maker ends, however it ends, the pipe ends.
Nothing but the standard library is used, because its text is handed to an interpreter as it is.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import signal
import sys
import time
from pathlib import Path

_PATIENCE_SECONDS = 5.0
_POLL_SECONDS = 0.02
_REMOVE_ATTEMPTS = 50


def main(places: list[str]) -> None:
    """Wait for the end of standard input, then clear the places."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    os.write(1, b"watching\n")
    os.close(1)
    while os.read(0, 512):
        pass
    for place in places:
        clear(Path(place))


def clear(place: Path) -> None:
    """End every process that works below a directory, the server's way first, then remove the directory."""
    for data in _servers(place):
        postmaster = _postmaster(data)
        if postmaster is not None and postmaster in inhabitants(place):
            # An immediate shutdown: the server's processes end and its shared memory is given back.
            _signal(postmaster, signal.SIGQUIT)
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while (left := inhabitants(place)) and time.monotonic() < deadline:
        if not any(_postmaster(data) in left for data in _servers(place)):
            break
        time.sleep(_POLL_SECONDS)
    segments = [segment for data in _servers(place) if (segment := _segment(data)) is not None]
    while left := inhabitants(place):
        for pid in left:
            _signal(pid, signal.SIGKILL)
        if time.monotonic() > deadline + _PATIENCE_SECONDS:
            break
        time.sleep(_POLL_SECONDS)
    for segment in segments:
        _forget_segment(segment)
    for _attempt in range(_REMOVE_ATTEMPTS):
        # A process that is just ending may still make a file.
        shutil.rmtree(place, ignore_errors=True)
        if not place.exists():
            return
        time.sleep(_POLL_SECONDS)


def inhabitants(place: Path) -> set[int]:
    """The processes whose working directory is the place or below it; a server's processes work in its data."""
    found = set()
    prefix = f"{place}/"
    for process in Path("/proc").iterdir():
        if process.name.isdigit() and int(process.name) != os.getpid():
            with contextlib.suppress(OSError):
                if f"{(process / 'cwd').readlink()}/".startswith(prefix):
                    found.add(int(process.name))
    return found


def _servers(place: Path) -> list[Path]:
    return [file.parent for pattern in ("postmaster.pid", "*/postmaster.pid") for file in place.glob(pattern)]


def _postmaster(data: Path) -> int | None:
    with contextlib.suppress(OSError, ValueError, IndexError):
        return int((data / "postmaster.pid").read_text(encoding="utf-8").splitlines()[0])
    return None


def _segment(data: Path) -> int | None:
    """The small segment of System V memory by which a server recognises a second one (CreateLockFile in miscinit.c)."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        return int((data / "postmaster.pid").read_text(encoding="utf-8").splitlines()[6].split()[1])
    return None


def _forget_segment(identifier: int) -> None:
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).shmctl(identifier, 0, None)  # 0 is IPC_RMID; it has no effect on one that is gone.


def _signal(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(OSError):
        os.kill(pid, number)


if __name__ == "__main__":
    main(sys.argv[1:])
