"""A real run of Celery: a producer, a worker process, and what they leave behind in Redis."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lab import process
from lab.errors import LabError
from lab.paths import PACKAGE_PARENT
from lab.redis import RedisServer
from lab.storebridge.celery_app import (
    BATCH,
    BROKER_VARIABLE,
    KEY_PREFIX,
    NORMAL,
    PRIORITY_STEPS,
    VISIBILITY_TIMEOUT,
    make_application,
)

if TYPE_CHECKING:
    from celery import Celery

REGISTER, SYNC = "storebridge.register_product", "storebridge.sync_stock"
START_SECONDS = 240.0
# Below the visibility timeout: later ones would run twice.
ETA_SECONDS = 1_800


@dataclass(frozen=True)
class Message:
    """A task to send."""

    task: str
    queue: str
    arguments: tuple[Any, ...]
    priority: int = 0
    countdown: int | None = None


@dataclass(frozen=True)
class Plan:
    """What is sent, and what becomes of it: the figures that a check must find."""

    # Run by the worker before anything else.
    done: tuple[Message, ...]
    failing: tuple[Message, ...]
    # Taken by the worker and held until their time comes.
    delayed: tuple[Message, ...]
    # Taken by a worker that is then killed: never finished, never given back.
    held: tuple[Message, ...]
    # Never taken.
    waiting: tuple[Message, ...]
    # Whether a worker stays, and does what waits little by little.
    worker_stays: bool

    def waiting_in(self, queue: str) -> dict[int, int]:
        """Messages of a queue that wait, by priority."""
        counts: dict[int, int] = {}
        for each in self.waiting:
            if each.queue == queue:
                counts[each.priority] = counts.get(each.priority, 0) + 1
        return counts


def plan(scenario: str, seed: int) -> Plan:
    chance = random.Random(f"{seed}:celery")

    def items(count: int) -> list[str]:
        return [f"DG{100_000 + chance.randrange(3_000)}" for _ignored in range(count)]

    def several(task: str, queue: str, count: int, *more: Any, countdown: int | None = None) -> tuple[Message, ...]:
        return tuple(Message(task, queue, (item, *more), countdown=countdown) for item in items(count))

    faults = {"rate_limit": 7, "unavailable": 4, "category": 3} if scenario == "degraded" else {"unavailable": 1}
    failing = tuple(each for fault, count in faults.items() for each in several(REGISTER, NORMAL, count, fault))
    priorities = (
        {NORMAL: (40, 25, 15, 10), BATCH: (60, 0, 0, 20)} if scenario == "degraded" else {NORMAL: (12, 4, 2, 2)}
    )
    seconds = 8.0 if scenario == "healthy" else 0.0
    waiting = tuple(
        Message(REGISTER if queue == NORMAL else SYNC, queue, _arguments(queue, item, seconds), priority)
        for queue, counts in priorities.items()
        for priority, count in zip(PRIORITY_STEPS, counts)
        for item in items(count)
    )
    return Plan(
        done=(*several(REGISTER, NORMAL, 20), *several(SYNC, BATCH, 10)),
        failing=failing,
        delayed=several(REGISTER, NORMAL, 5, countdown=ETA_SECONDS),
        # More than the worker has hands: some it works on, the others it has reserved.
        held=several(SYNC, BATCH, 6, 3_600.0) if scenario == "degraded" else (),
        waiting=waiting,
        worker_stays=scenario == "healthy",
    )


def _arguments(queue: str, item: str, seconds: float) -> tuple[Any, ...]:
    return (item, None, seconds) if queue == NORMAL else (item, seconds)


def run_celery(server: RedisServer, scenario: str, seed: int) -> Plan:
    """Produce and consume for a few seconds; afterwards Redis holds what the plan says."""
    planned = plan(scenario, seed)
    application = make_application(server.url())
    client = server.client()
    worker = _Worker(server, (NORMAL, BATCH))
    try:
        sent = _send(application, planned.done + planned.failing)
        _until(client, lambda: _finished(client, sent), "the worker did not finish its tasks", worker)
        _send(application, planned.delayed + planned.held)
        taken = len(planned.delayed) + len(planned.held)
        _until(
            client, lambda: client.hlen(f"{KEY_PREFIX}unacked") == taken, "the worker did not take its tasks", worker
        )
        if not planned.worker_stays:
            worker.kill()
        _send(application, planned.waiting)
        if planned.held:
            _age(client, BATCH)
    except BaseException:
        worker.kill()
        raise
    finally:
        application.close()
        client.close()
    return planned


def _send(application: Celery, messages: tuple[Message, ...]) -> list[str]:
    """Send them over one connection; their ids."""
    with application.producer_pool.acquire(block=True) as producer:
        return [
            application.send_task(
                each.task,
                args=each.arguments,
                queue=each.queue,
                priority=each.priority,
                countdown=each.countdown,
                producer=producer,
            ).id
            for each in messages
        ]


def _finished(client: Any, identifiers: list[str]) -> bool:
    return all(client.mget([f"celery-task-meta-{each}" for each in identifiers])) and not client.hlen(
        f"{KEY_PREFIX}unacked"
    )


def _age(client: Any, queue: str) -> None:
    """As if the killed worker had taken its messages of that queue two visibility timeouts ago.

    Only the moment is moved; waiting for two hours would do the same.
    """
    import json

    index = f"{KEY_PREFIX}unacked_index"
    for tag, raw in client.hgetall(f"{KEY_PREFIX}unacked").items():
        if json.loads(raw)[2] == queue:
            client.zincrby(index, -2 * VISIBILITY_TIMEOUT, tag)


def _until(client: Any, condition: Any, otherwise: str, worker: _Worker) -> None:
    if not process.wait_until(lambda: condition() or not worker.running, START_SECONDS, 0.05) or not worker.running:
        raise LabError(f"{otherwise}. The end of its log:\n{worker.log_tail()}")


class _Worker:
    """A worker process of the application, with two threads."""

    def __init__(self, server: RedisServer, queues: tuple[str, ...]) -> None:
        self._log = server.base / "celery-worker.log"
        self._child: subprocess.Popen[bytes] = process.spawn(
            [
                *(sys.executable, "-m", "celery", "-A", "lab.storebridge.celery_app", "worker"),
                *("-Q", ",".join(queues), "-n", "normal@storebridge", "-P", "threads", "-c", "2"),
                *("--without-gossip", "--without-mingle", "--without-heartbeat", "-l", "WARNING"),
            ],
            log=self._log,
            env={
                **server.environment,
                BROKER_VARIABLE: server.url(),
                "PYTHONPATH": os.pathsep.join([str(PACKAGE_PARENT), os.environ.get("PYTHONPATH", "")]),
                # Asked to stop, it stops at once and does not wait for its tasks.
                "REMAP_SIGTERM": "SIGQUIT",
                "C_FORCE_ROOT": "1",
            },
            cwd=server.base,
            dies_with_parent=not server.detached,
        )

    @property
    def running(self) -> bool:
        return self._child.poll() is None

    def log_tail(self) -> str:
        return process.tail(self._log, 15)

    def kill(self) -> None:
        """End it as a crash or the kernel's memory killer would (the session is its own)."""
        with suppress(ProcessLookupError):
            os.killpg(self._child.pid, signal.SIGKILL)
        self._child.wait()
        # Redis notices the closed connections a moment later.
        time.sleep(0.05)
