"""Node and its queue libraries: Bull 3 and 4, BullMQ 3 to 6, for real producers and workers in tests."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from lab import process
from lab.errors import LabError, MissingServer
from lab.installations import exclusive
from lab.paths import BUILD
from lab.redis import RedisServer

SOURCES = Path(__file__).parent / "node"
CACHE = BUILD / "cache" / "node"
# Where a script finds its arguments when its command line has none.
ARGUMENTS = "RUNBOOK_LAB_QUEUE"
# The names of package.json, by library and major version.
LIBRARIES = ("bull3", "bull4", "bullmq3", "bullmq4", "bullmq5", "bullmq6")


def node_binary() -> str:
    found = shutil.which("node") or shutil.which("nodejs")
    if found is None:
        raise MissingServer("The queue libraries need Node. Install the package 'nodejs'.")
    return found


@cache
def installed() -> Path:
    """A directory whose node_modules hold the libraries; installed once per lock file."""
    lock = SOURCES / "package-lock.json"
    target = CACHE / hashlib.sha256(lock.read_bytes()).hexdigest()[:12]
    CACHE.mkdir(parents=True, exist_ok=True)
    with exclusive(CACHE / ".lock"):
        if not (target / ".complete").exists():
            shutil.rmtree(target, ignore_errors=True)
            target.mkdir()
            for name in ("package.json", "package-lock.json"):
                shutil.copy(SOURCES / name, target / name)
            npm = shutil.which("npm")
            if npm is None:
                raise MissingServer("The queue libraries are installed with npm. Install the package 'npm'.")
            command = [npm, "ci", "--no-audit", "--no-fund", "--ignore-scripts"]
            done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False, cwd=target)
            if done.returncode:
                raise LabError(f"npm ci failed: {done.stderr.strip()[-1000:]}")
            (target / ".complete").touch()
    return target


def version(library: str) -> str:
    """The version of a library, such as 5.81.5."""
    described = json.loads((installed() / "node_modules" / library / "package.json").read_text(encoding="utf-8"))
    return str(described["version"])


def environment() -> dict[str, str]:
    """What a script of ours needs in order to find the libraries by ``require``."""
    return {**os.environ, "NODE_PATH": str(installed() / "node_modules")}


def run(script: Path, arguments: Mapping[str, Any], timeout: float = 300) -> Any:
    """Run a script with one JSON argument to its end: the JSON it prints."""
    command = [node_binary(), str(script), json.dumps(arguments)]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=timeout, check=False, env=environment(), cwd=script.parent
    )
    if done.returncode:
        raise LabError(f"{script.name} failed: {(done.stderr or done.stdout).strip()[-2000:]}")
    return json.loads(done.stdout or "null")


def start(
    script: Path,
    arguments: Mapping[str, Any],
    log: Path,
    *,
    extra: Mapping[str, str] | None = None,
    detached: bool = False,
) -> subprocess.Popen[bytes]:
    """A script that keeps running, such as a worker; it dies with us unless ``detached``.

    It gets its arguments in the environment, because the command line of what keeps running is read by everybody.
    """
    return process.spawn(
        [node_binary(), str(script)],
        log=log,
        cwd=script.parent,
        env={**environment(), **(extra or {}), ARGUMENTS: json.dumps(arguments)},
        dies_with_parent=not detached,
    )


QUEUE_SCRIPT = SOURCES / "queue.js"


class NodeQueue:
    """A queue of Bull or BullMQ as the library itself sees and fills it."""

    def __init__(self, library: str, port: int, queue: str, **more: Any) -> None:
        """C(library) is one of LIBRARIES; ``more`` are C(password), C(db), C(prefix) and the like."""
        self.common: dict[str, Any] = {"library": library, "port": port, "queue": queue, **more}

    def ask(self, command: str, **arguments: Any) -> Any:
        """Carry out one of the script's commands: its answer."""
        return run(QUEUE_SCRIPT, {**self.common, "command": command, **arguments})

    def batch(self, steps: Sequence[Mapping[str, Any]]) -> list[Any]:
        """Carry out several commands, also of other queues, in one process: their answers."""
        return list(self.ask("batch", steps=list(steps)))

    def producer(self, log: Path, **arguments: Any) -> subprocess.Popen[bytes]:
        """A producer that adds jobs until the file ``stop`` is there; then it prints how many into ``log``."""
        return start(QUEUE_SCRIPT, {**self.common, "command": "produce", **arguments}, log)

    def worker(self, log: Path, **arguments: Any) -> subprocess.Popen[bytes]:
        """A worker that runs until it is ended; its standard output and errors go to ``log``."""
        return start(QUEUE_SCRIPT, {**self.common, "command": "work", **arguments}, log)

    def worker_of(self, server: RedisServer, **arguments: Any) -> subprocess.Popen[bytes]:
        """A worker that lives as long as a lab's server does."""
        log = server.base / "queue-worker.log"
        given = {**self.common, "command": "work", **arguments}
        return start(QUEUE_SCRIPT, given, log, extra=server.environment, detached=server.detached)
