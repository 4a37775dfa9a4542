"""Sidekiq, for real producers and workers in tests."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lab import process
from lab.errors import LabError, MissingServer
from lab.redis import RedisServer

SOURCES = Path(__file__).parent / "sidekiq"
HOW_TO_INSTALL = "Install the package 'ruby-sidekiq' (Debian, Ubuntu)."


def sidekiq_binary() -> str:
    found = shutil.which("sidekiq")
    if found is None:
        raise MissingServer(f"Sidekiq was not found. {HOW_TO_INSTALL}")
    return found


class SidekiqShop:
    """The jobs of tests/lab/sidekiq/jobs.rb against one database of a server."""

    def __init__(self, server: RedisServer, db: int = 0) -> None:
        self.environment = {**os.environ, "REDIS_URL": server.url(db), "RUBYOPT": "-W0"}
        self.log = server.base / "sidekiq.log"

    def ask(self, *steps: Mapping[str, Any]) -> list[Any]:
        """Carry out steps in one process of Ruby: the answer of each."""
        sidekiq_binary()
        done = subprocess.run(
            ["ruby", SOURCES / "queue.rb", json.dumps(steps)],
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
            env=self.environment,
        )
        if done.returncode:
            raise LabError(f"queue.rb failed: {(done.stderr or done.stdout).strip()[-2000:]}")
        # Sidekiq's own lines go to the same place.
        return list(json.loads(done.stdout.splitlines()[-1]))

    @contextmanager
    def worker(self, queues: Sequence[str], concurrency: int = 5) -> Iterator[subprocess.Popen[bytes]]:
        """A process of Sidekiq on these queues; it is ended without mercy, as a crash would."""
        command = [sidekiq_binary(), "-r", str(SOURCES / "jobs.rb"), "-c", str(concurrency), "-t", "1"]
        command += [word for queue in queues for word in ("-q", queue)]
        running = process.spawn(command, log=self.log, cwd=SOURCES, env=self.environment)
        try:
            yield running
        finally:
            running.kill()
            running.wait(10)
