"""Putting failed jobs back, up to a million, beside the library's own bulk retry: how long, how busy the server is."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from lab.bench import Table, environment
from lab.node import NodeQueue
from lab.paths import BUILD
from lab.redis import RedisServer

QUEUE = "orders"
MODULE = "ansible_collections.runbook.ops.plugins.modules.redis_queue_retry"
SIZES = (10_000, 100_000, 1_000_000)
BUSY_MICROSECONDS = 10_000


@dataclass
class Run:
    """One way of putting them back: wall seconds, and what others saw of the server meanwhile."""

    seconds: float
    slow_calls: int
    slowest_ms: float
    longest_ping_ms: float
    # Processor seconds, which a busy machine does not stretch as it does the wall's.
    client_cpu: float
    server_cpu: float
    memory_mb: float = 0.0


def fill(server: RedisServer, count: int, priority: int = 0) -> None:
    """Jobs as BullMQ 5 leaves them when they have failed."""
    client = server.client()
    client.flushall()
    base = f"bull:{QUEUE}:"
    client.hset(f"{base}meta", mapping={"version": "bullmq:5.81.5", "opts.maxLenEvents": "10000"})
    at = int(client.time()[0]) * 1000 - 3_600_000
    data = json.dumps({"order": 1, "lines": ["x" * 40] * 8})
    for start in range(0, count, 5000):
        pipeline = client.pipeline(transaction=False)
        for number in range(start, min(start + 5000, count)):
            pipeline.hset(
                f"{base}{number}",
                mapping={
                    "name": "charge",
                    "data": data,
                    "opts": '{"attempts":3,"backoff":{"type":"exponential","delay":1000}}',
                    "timestamp": at,
                    "delay": 0,
                    "priority": priority,
                    "processedOn": at,
                    "finishedOn": at + number,
                    "atm": 3,
                    "ats": 3,
                    "failedReason": f"connect ECONNREFUSED 10.0.{number % 250}.7:5432",
                    "stacktrace": json.dumps(["Error: connect ECONNREFUSED\n    at f (g.js:1:2)" * 4]),
                },
            )
            pipeline.zadd(f"{base}failed", {str(number): at + number})
        pipeline.execute()


def watched(server: RedisServer, action: Callable[[], float]) -> Run:
    """Run it, with SLOWLOG on and somebody who pings all the time."""
    client = server.client()
    client.config_set("slowlog-log-slower-than", BUSY_MICROSECONDS)
    client.config_set("slowlog-max-len", 10_000)
    client.slowlog_reset()
    longest, done = 0.0, threading.Event()

    def ping() -> None:
        nonlocal longest
        other = server.client()
        while not done.is_set():
            began = time.perf_counter()
            other.ping()
            longest = max(longest, time.perf_counter() - began)
            # Not so often that it takes the server's processor away.
            done.wait(0.002)

    pinging = threading.Thread(target=ping)
    pinging.start()
    before, began = _cpu(client), time.perf_counter()
    try:
        memory = action()
        seconds = time.perf_counter() - began
    finally:
        done.set()
        pinging.join()
    after = _cpu(client)
    slow = client.slowlog_get(10_000)
    slowest = max((each["duration"] for each in slow), default=0) / 1000
    return Run(seconds, len(slow), slowest, longest * 1000, after[0] - before[0], after[1] - before[1], memory)


def _cpu(client: Any) -> tuple[float, float]:
    """Processor seconds of the processes that were run from here and have ended, and of the server."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    info = client.info("cpu")
    return children.ru_utime + children.ru_stime, info["used_cpu_user"] + info["used_cpu_sys"]


def ours(server: RedisServer, count: int) -> float:
    """The module in a process of its own: the most memory it had, in MB."""
    options: dict[str, Any] = {**server.login(), "queue": QUEUE, "max_jobs": count}
    process = subprocess.Popen(
        [sys.executable, "-m", MODULE],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**environment(), "PYTHONPATH": str(BUILD / "collections")},
    )
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(json.dumps({"ANSIBLE_MODULE_ARGS": options}).encode())
    process.stdin.close()
    result = json.loads(process.stdout.read())
    _pid, _status, usage = os.wait4(process.pid, 0)
    process.returncode = 0
    assert result.get("retried") == count, result
    return usage.ru_maxrss / 1024


def theirs(server: RedisServer, count: int, batch: int) -> float:
    """BullMQ's Queue.retryJobs."""
    after = NodeQueue("bullmq5", server.port, QUEUE).ask("retryAll", count=batch)
    assert after["failed"] == 0, after
    assert sum(after.values()) == count, after
    return 0.0


def test_retry_of_failed_jobs(table: Callable[..., Table]) -> None:
    rows = table(
        "Failed jobs of BullMQ 5 put back",
        "jobs",
        "how",
        "wall",
        "processor, client + server",
        "calls over 10 ms",
        "slowest call",
        "longest PING",
        "memory",
        "ours : theirs",
    )
    with RedisServer() as server:
        memories = []
        for count in SIZES:
            fill(server, count)
            mine = watched(server, lambda count=count: ours(server, count))  # type: ignore[misc]
            assert server.client().llen(f"bull:{QUEUE}:wait") == count
            memories.append(mine.memory_mb)
            for label, batch in (("retryJobs, 1000 a call (default)", 1000), ("retryJobs, all in one call", count)):
                fill(server, count)
                other = watched(server, lambda count=count, batch=batch: theirs(server, count, batch))  # type: ignore[misc]
                rows.add(f"{count:,}", label, *_cells(other), "–", f"{mine.seconds / other.seconds:.1f} times")
            rows.add(f"{count:,}", "redis_queue_retry", *_cells(mine), f"{mine.memory_mb:.0f} MB", "1")
        fill(server, SIZES[-1], priority=7)
        mine = watched(server, lambda: ours(server, SIZES[-1]))
        rows.add(f"{SIZES[-1]:,}", "redis_queue_retry, with priorities", *_cells(mine), f"{mine.memory_mb:.0f} MB", "")
    assert memories[-1] < memories[0] * 1.3, memories


def _cells(run: Run) -> tuple[str, str, str, str, str]:
    slowest = f"{run.slowest_ms:.0f} ms" if run.slow_calls else "under 10 ms"
    cpu = f"{run.client_cpu:.1f} + {run.server_cpu:.1f} s"
    return f"{run.seconds:.1f} s", cpu, str(run.slow_calls), slowest, f"{run.longest_ping_ms:.0f} ms"
