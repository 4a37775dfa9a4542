"""A worker of Bull or BullMQ that is killed at work, as the kernel's memory killer does it."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from lab import process
from lab.errors import LabError
from lab.node import NodeQueue
from lab.redis import RedisServer

START_SECONDS = 240.0
# How long a job stays locked after its worker has gone.
LOCK_MILLISECONDS = 1_000


@contextmanager
def doomed_worker(server: RedisServer, queue: NodeQueue, holding: int, **arguments: Any) -> Iterator[None]:
    """A worker that is killed once the block has ended and it holds that many jobs: they stay active, without locks."""
    prefix = f"{queue.common.get('prefix', 'bull')}:{queue.common['queue']}"
    worker = queue.worker_of(server, concurrency=holding, **arguments)
    client: Any = server.client()
    try:
        yield
        until = f"the worker did not take {holding} jobs of {prefix}"
        _wait(lambda: client.llen(f"{prefix}:active") == holding or worker.poll() is not None, until, server)
        held = [identifier.decode() for identifier in client.lrange(f"{prefix}:active", 0, -1)]
        if len(held) != holding:
            raise LabError(f"{until}. The end of its log:\n{process.tail(server.base / 'queue-worker.log')}")
        # Its work goes on for an hour: nothing is half done at this moment.
        with suppress(ProcessLookupError):
            os.killpg(worker.pid, signal.SIGKILL)
        worker.wait()
        locks = [f"{prefix}:{identifier}:lock" for identifier in held]
        _wait(lambda: not client.exists(*locks), f"the locks of {prefix} did not expire", server)
    finally:
        if worker.poll() is None:
            with suppress(ProcessLookupError):
                os.killpg(worker.pid, signal.SIGKILL)
            worker.wait()
        client.close()
    # Redis notices the closed connections a moment later.
    time.sleep(0.05)


def _wait(condition: Callable[[], bool], otherwise: str, server: RedisServer) -> None:
    if not process.wait_until(condition, START_SECONDS, 0.05):
        raise LabError(f"{otherwise}. The end of its log:\n{process.tail(server.base / 'queue-worker.log')}")
