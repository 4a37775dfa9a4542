# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a server still runs over the data that is about to be replaced."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterable
from pathlib import Path

from ansible_collections.runbook.ops.plugins.module_utils.common.outcome import Refused

_CONNECT_SECONDS = 3.0
_PROC = Path("/proc")
_PROGRAMS = ("redis", "valkey", "keydb", "dragonfly")
_REMEDY = "Stop it first; nothing was touched."


def check_stopped(
    directory: Path, addresses: Iterable[tuple[str, int]], sockets: Iterable[str], pidfiles: Iterable[str]
) -> None:
    """Raise Refused while a server answers, is named by a pid file, or works in the data directory."""
    for host, port in dict.fromkeys(addresses):
        with contextlib.suppress(OSError), socket.create_connection((host, port), timeout=_CONNECT_SECONDS):
            raise Refused(f"A server answers at {host}:{port}. {_REMEDY}")
    for path in dict.fromkeys(sockets):
        if _answers(path):
            raise Refused(f"A server answers at {path}. {_REMEDY}")
    for name in dict.fromkeys(pidfiles):
        pid = _pid_in(Path(name))
        if pid is not None and _is_server(pid):
            raise Refused(f"The server of {name} runs as process {pid}. {_REMEDY}")
    for pid in _working_in(directory):
        raise Refused(f"Process {pid} ({_command(pid)}) works in {directory}. {_REMEDY}")


def _answers(path: str) -> bool:
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as line:
        line.settimeout(_CONNECT_SECONDS)
        line.connect(path)
        return True
    return False


def _pid_in(path: Path) -> int | None:
    try:
        return int(path.read_text(encoding="ascii", errors="replace").strip())
    except (OSError, ValueError):
        return None


def _working_in(directory: Path) -> Iterable[int]:
    """Servers whose working directory is this one: a server changes into its data directory (config.c).

    Directories are compared by device and number, so that a server in a container is seen, too.
    """
    try:
        wanted = directory.stat()
    except OSError:
        return
    for entry in _PROC.iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            there = (entry / "cwd").stat()
        except OSError:
            continue
        is_same = (there.st_dev, there.st_ino) == (wanted.st_dev, wanted.st_ino)
        if is_same and _is_server(int(entry.name)):
            yield int(entry.name)


def _is_server(pid: int) -> bool:
    """Whether a living process is a server by the name of its program."""
    try:
        state = (_PROC / str(pid) / "stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    # An ended process that nobody has collected holds no files any more.
    if state.rpartition(")")[2].split()[0] in ("Z", "X"):
        return False
    return any(program in _command(pid).lower() for program in _PROGRAMS)


def _command(pid: int) -> str:
    try:
        return (_PROC / str(pid) / "comm").read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return "?"
