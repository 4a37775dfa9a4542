"""RQ workers of our own, for tests."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from lab import process
from lab.redis import RedisServer

# The jobs, importable by workers and by tests: rq_shop.py.
SOURCES = Path(__file__).parent / "rq"
# Without a process for each job, which is most of a job's time.
SIMPLE = "rq.SimpleWorker"


def _command(server: RedisServer, queues: Sequence[str], *options: str) -> list[str]:
    return [
        sys.executable,
        "-m",
        "rq.cli",
        "worker",
        "--url",
        server.url(),
        "--worker-class",
        SIMPLE,
        *options,
        *queues,
    ]


def _environment(more: Mapping[str, str] | None) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(SOURCES), **(more or {})}


def drain(server: RedisServer, *queues: str, more: Mapping[str, str] | None = None) -> None:
    """Let a worker carry out what waits, and end."""
    command = _command(server, queues, "--burst", "--logging_level", "ERROR")
    subprocess.run(command, check=True, timeout=300, env=_environment(more), capture_output=True)


@contextmanager
def worker(server: RedisServer, *queues: str) -> Iterator[subprocess.Popen[bytes]]:
    """A worker that runs meanwhile; it is ended without mercy, as a crash would."""
    log = server.base / "rq.log"
    running = process.spawn(_command(server, queues), log=log, cwd=SOURCES, env=_environment(None))
    try:
        yield running
    finally:
        running.kill()
        running.wait(10)
