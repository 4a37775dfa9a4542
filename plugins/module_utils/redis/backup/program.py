# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The server program that loads copies, and its checking tools, which are the same program under another name."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption, RunbookError

_NAMES = ("redis-server", "valkey-server")
_PLACES = ("/usr/bin", "/usr/local/bin", "/usr/sbin", "/opt/redis/bin")
_VERSION = re.compile(r"(Redis|Valkey|KeyDB)\s+server\s+v=(\d+(?:\.\d+)*)", re.IGNORECASE)
_VERSION_SECONDS = 20


@dataclass(frozen=True)
class Program:
    """A server program: its path, C(redis) or C(valkey), and its version."""

    path: str
    flavour: str
    version: str

    @property
    def label(self) -> str:
        """C(Redis 7.0.15)."""
        return f"{self.flavour.capitalize()} {self.version}"


def find_program(path: str | None) -> Program:
    """The server program at C(path), else the first that the host has; raises InvalidOption or RunbookError."""
    if path:
        if not os.access(path, os.X_OK) or not Path(path).is_file():
            raise InvalidOption("server_binary", path, "the path of a redis-server or valkey-server that may be run")
        return _described(path)
    folders = os.pathsep.join([*os.environ.get("PATH", "").split(os.pathsep), *_PLACES])
    for name in _NAMES:
        found = shutil.which(name, path=folders)
        if found:
            return _described(found)
    raise RunbookError(
        "A backup is proven by loading it, and this host has no redis-server or valkey-server. Install one (its "
        "service need not run), name it with server_binary, or run this where there is one."
    )


def is_older(version: str, other: str) -> bool:
    """Whether a version comes before another, by their numbers."""
    return _numbers(version) < _numbers(other)


def check_tool(program: Program, kind: str, path: Path, seconds: float) -> subprocess.CompletedProcess[str]:
    """Run C(redis-check-rdb) or C(redis-check-aof) over a file; C(kind) is C(rdb) or C(aof).

    The server program is the tool when it is called by the tool's name (main() in server.c), so both always fit
    together, and a host without the tools package has them too. Its output does not go through a pipe to another
    program, so that its exit status is not lost.
    """
    return run([f"redis-check-{kind}", str(path)], seconds, executable=program.path)


def run(command: Sequence[str], seconds: float, executable: str | None = None) -> subprocess.CompletedProcess[str]:
    """Run a program to its end; raises RunbookError when it cannot be run or takes longer than C(seconds)."""
    try:
        return subprocess.run(
            list(command),
            executable=executable,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="backslashreplace",
            timeout=seconds,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise RunbookError(f"{command[0]} did not end within {seconds:g} s (verify_timeout).") from None
    except OSError as error:
        raise RunbookError(f"{executable or command[0]} cannot be run: {error.strerror or error}.") from None


def _described(path: str) -> Program:
    answer = run([path, "--version"], _VERSION_SECONDS)
    found = _VERSION.search(answer.stdout)
    if found is None:
        raise InvalidOption("server_binary", path, "a redis-server or valkey-server")
    return Program(path, found[1].lower(), found[2])


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version)[:3])
