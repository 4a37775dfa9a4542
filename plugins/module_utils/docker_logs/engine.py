# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The dockerd that answers: which of the machine's it is, which file it reads, and what its command line says."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.common.children import clean_environment, first_words
from ansible_collections.runbook.ops.plugins.module_utils.common.errors import Unavailable
from ansible_collections.runbook.ops.plugins.module_utils.common.outcome import Refused
from ansible_collections.runbook.ops.plugins.module_utils.compose.client import Docker, DockerFailed

DEFAULT_FILE = "/etc/docker/daemon.json"
_DEFAULT_ROOT = "/var/lib/docker"
_PROC = Path("/proc")


@dataclass(frozen=True)
class Daemon:
    """A dockerd of this host."""

    pid: int
    program: str
    config_file: str
    data_root: str
    flags: tuple[str, ...]
    started_seconds: float


@dataclass(frozen=True)
class Engine:
    """What an engine says of itself."""

    version: str
    data_root: str
    has_live_restore: bool
    driver: str


def ask(docker: Docker) -> Engine:
    """The engine that answers; raises Unavailable."""
    try:
        found: dict[str, Any] = json.loads(docker.run("info", "--format", "{{json .}}"))
    except DockerFailed as error:
        raise Unavailable(f"The Docker engine does not answer: {error.words or error.message}") from None
    if not found.get("DockerRootDir"):
        reasons = "; ".join(found.get("ServerErrors") or ["it says nothing of itself"])
        raise Unavailable(f"The Docker engine does not answer: {reasons}")
    return Engine(
        str(found.get("ServerVersion")),
        str(found["DockerRootDir"]),
        bool(found.get("LiveRestoreEnabled")),
        str(found.get("LoggingDriver")),
    )


def daemon_of(engine: Engine) -> Optional[Daemon]:
    """The process of an engine, found by its data directory; None if it is not on this host or cannot be seen.

    Raises:
        Refused: there are several with that directory.

    """
    wanted = os.path.realpath(engine.data_root)
    found = [each for each in daemons() if os.path.realpath(each.data_root) == wanted]
    if len(found) > 1:
        raise Refused(
            f"Several dockerd processes have the data directory {engine.data_root} "
            f"({', '.join(str(each.pid) for each in found)}). Nothing was changed. End the one that should not run."
        )
    return found[0] if found else None


def daemons() -> Iterator[Daemon]:
    """The dockerd processes of this host, without those inside of containers, which have files of their own."""
    own = _root(_PROC / "self")
    for process in _PROC.iterdir():
        if not process.name.isdigit():
            continue
        try:
            if (process / "comm").read_text(encoding="utf-8").strip() != "dockerd":
                continue
            words = (process / "cmdline").read_bytes().decode("utf-8", "replace").rstrip("\0").split("\0")
            program = str((process / "exe").readlink())
            started = _started(process)
        except OSError:
            continue
        if _root(process) == own:
            config_file = value_of(words, "--config-file") or DEFAULT_FILE
            root = value_of(words, "--data-root", "-g", "--graph") or _root_in(config_file) or _DEFAULT_ROOT
            yield Daemon(int(process.name), program, config_file, root, tuple(words[1:]), started)


def value_of(words: Sequence[str], *names: str) -> Optional[str]:
    """The value of an option on a command line, in both ways of writing it."""
    for number, word in enumerate(words):
        name, sign, value = word.partition("=")
        if name in names:
            return value if sign else next(iter(words[number + 1 : number + 2]), None)
    return None


def accepts(daemon: Optional[Daemon], path: Path) -> Optional[list[str]]:
    """What dockerd itself says against a file; an empty list if nothing, None where it cannot be asked."""
    program = daemon.program if daemon else shutil.which("dockerd")
    if not program or not _can_validate(program):
        return None
    ended = _run([program, "--validate", "--config-file", str(path)])
    return [] if ended.returncode == 0 else [first_words(ended.stderr or ended.stdout) or "no reason given"]


def _can_validate(program: str) -> bool:
    try:
        return "--validate" in _run([program, "--help"]).stdout
    except (OSError, subprocess.TimeoutExpired):
        return False


def _run(argv: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        argv, env=clean_environment(), capture_output=True, text=True, errors="replace", timeout=60, check=False
    )


def _started(process: Path) -> float:
    """When a process began, in seconds since the epoch."""
    ticks = int((process / "stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[19])
    boot = next(line for line in (_PROC / "stat").read_text(encoding="ascii").splitlines() if line.startswith("btime "))
    return int(boot.split()[1]) + ticks / os.sysconf("SC_CLK_TCK")


def _root(process: Path) -> Optional[tuple[int, int]]:
    try:
        found = (process / "root").stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _root_in(config_file: str) -> Optional[str]:
    try:
        found = json.loads(Path(config_file).read_text(encoding="utf-8"))
        root = found.get("data-root") or found.get("graph")
    except (OSError, ValueError, AttributeError):
        return None
    return str(root) if root else None
