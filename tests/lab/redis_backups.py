"""What the tests of Redis backups share: servers with queues in them, backups, and looks with other tools."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lab.node import NodeQueue
from lab.redis import RedisServer

REPOSITORY = Path(__file__).resolve().parents[2]
DEADLINE = 240.0
PASSWORD = "open sesame & more"
# What changes data, files or the flow of replication; none of it belongs into check mode.
CHANGING = ("bgsave", "save", "bgrewriteaof", "sync", "psync", "replconf", "config|set", "shutdown", "replicaof")


def eventually(holds: Callable[[], bool], what: str) -> None:
    """Wait until something holds."""
    deadline = time.monotonic() + DEADLINE
    while not holds():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


def queue(server: RedisServer, name: str = "mail", library: str = "bullmq5") -> NodeQueue:
    return NodeQueue(library, server.port, name, password=server.password)


def backup_options(server: RedisServer, dest: Path, **more: Any) -> dict[str, Any]:
    return {**server.login(), "name": "shop", "dest": str(dest), "server_binary": str(server.binary), **more}


def backups_in(directory: Path) -> list[str]:
    """Every name in a directory but that of the lock, which stays."""
    return sorted(path.name for path in directory.iterdir() if path.name != ".shop.lock") if directory.exists() else []


def manifest_of(path: str | Path) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(Path(f"{path}.manifest.json").read_text(encoding="utf-8"))
    return loaded


def changing_commands(server: RedisServer) -> dict[str, int]:
    """Calls of commands that change something, since the start: by the server's own flags, and CHANGING."""
    client = server.client()
    stats = {name.removeprefix("cmdstat_"): each["calls"] for name, each in client.info("commandstats").items()}
    flags = {name: each["flags"] for name, each in client.command().items()}
    return {
        name: calls for name, calls in stats.items() if name in CHANGING or "write" in flags.get(name.split("|")[0], ())
    }


def run_limited(name: str, args: dict[str, Any], *, file_bytes: int) -> dict[str, Any]:
    """Run a module that may write no file larger than this, as on a disk that fills up."""
    completed = subprocess.run(
        [
            *("prlimit", f"--fsize={file_bytes}", "--", sys.executable, "-m"),
            f"ansible_collections.runbook.ops.plugins.modules.{name}",
        ],
        input=json.dumps({"ANSIBLE_MODULE_ARGS": args}),
        env={**os.environ, "PYTHONPATH": str(REPOSITORY / "build" / "collections"), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert "Traceback" not in completed.stderr, completed.stderr
    found: dict[str, Any] = json.loads(completed.stdout)
    return found


def start_module(name: str, args: dict[str, Any]) -> subprocess.Popen[str]:
    """A module that runs while the test does something else."""
    process = subprocess.Popen(
        [sys.executable, "-m", f"ansible_collections.runbook.ops.plugins.modules.{name}"],
        env={**os.environ, "PYTHONPATH": str(REPOSITORY / "build" / "collections")},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    process.stdin.write(json.dumps({"ANSIBLE_MODULE_ARGS": args}))
    process.stdin.close()
    process.stdin = None
    return process


def result_of(process: subprocess.Popen[str]) -> dict[str, Any]:
    output, errors = process.communicate(timeout=DEADLINE)
    assert "Traceback" not in errors, errors
    found: dict[str, Any] = json.loads(output)
    return found
