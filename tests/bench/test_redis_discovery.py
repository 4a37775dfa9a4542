"""Finding and reading the queues among many keys, beside what people type for it."""

from __future__ import annotations

import os
import signal
import statistics
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import yaml
from lab.redis import RedisServer

from ansible_collections.runbook.ops.plugins.module_utils.redis.client import RedisClient
from ansible_collections.runbook.ops.plugins.module_utils.redis.options import redis_argument_spec
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.report import queue_report
from ansible_collections.runbook.ops.plugins.module_utils.redis.scan import budget_argument_spec
from ansible_collections.runbook.ops.plugins.modules import redis_queue_info

SIZES = (10_000, 100_000, 1_000_000)
QUEUES = 60
ROUNDS = 5
# What asks for an answer all the time, in a process of its own: how long the longest one took, in seconds.
PINGER = """
import signal, socket, sys, time
longest = 0.0
def end(*_):
    print(longest)
    sys.exit(0)
signal.signal(signal.SIGTERM, end)
with socket.create_connection((sys.argv[1], int(sys.argv[2]))) as connection:
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    print("ready", flush=True)
    while True:
        began = time.perf_counter()
        connection.sendall(b"PING\\r\\n")
        connection.recv(64)
        longest = max(longest, time.perf_counter() - began)
        time.sleep(0.001)
"""


def command(*words: str | int) -> bytes:
    parts = [str(word).encode() for word in words]
    return b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(part), part) for part in parts)


def content(keys: int) -> Iterator[bytes]:
    """Jobs of 60 queues of BullMQ with their states, and sessions and a cache of the application beside them."""
    now = int(time.time() * 1000)
    for number in range(QUEUES):
        base = f"bull:queue-{number:02}:"
        yield command("HSET", base + "meta", "version", "bullmq:5.81.5", "opts.maxLenEvents", 10000)
        yield command("SET", base + "id", keys)
    for number in range(keys - 2 * QUEUES):
        base = f"bull:queue-{number % QUEUES:02}:"
        kind = number // QUEUES % 10
        if kind < 7:
            yield command("HSET", f"{base}{number}", "name", "collect", "data", '{"symbol":"005930"}', "timestamp", now)
            if kind < 5:
                yield command("ZADD", base + "completed", now - number, number)
            elif kind < 6:
                yield command("HSET", f"{base}{number}", "failedReason", f"HTTP 503 from node {number}")
                yield command("ZADD", base + "failed", now - number, number)
            else:
                yield command("LPUSH", base + "wait", number)
        elif kind < 9:
            yield command("SET", f"session:{number:032x}", "x" * 40)
        else:
            yield command("SET", f"cache:product:{number}:price", number)


def fill(server: RedisServer, keys: int) -> None:
    """Mass insertion: the protocol itself, piped."""
    server.client().flushall()
    loading = subprocess.Popen(
        ["redis-cli", "-h", server.host, "-p", str(server.port), "--pipe"],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
    )
    assert loading.stdin is not None
    batch: list[bytes] = []
    for each in content(keys):
        batch.append(each)
        if len(batch) == 10_000:
            loading.stdin.write(b"".join(batch))
            batch = []
    loading.stdin.write(b"".join(batch))
    loading.stdin.close()
    assert loading.wait(600) == 0
    assert server.client().dbsize() >= keys


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    with RedisServer() as running:
        yield running


def parameters(server: RedisServer, **changes: Any) -> dict[str, Any]:
    """The module's options as Ansible hands them over; the budget is no limit here."""
    options: dict[str, Any] = {**redis_argument_spec(), **budget_argument_spec()}
    options.update(yaml.safe_load(redis_queue_info.DOCUMENTATION)["options"])
    defaults = {name: option.get("default") for name, option in options.items()}
    return {**defaults, **server.login(), "max_keys": 10**8, "max_seconds": 600.0, **changes}


def ours(server: RedisServer, **changes: Any) -> dict[str, Any]:
    result = queue_report(parameters(server, **changes))
    assert result["available"], result["reason"]
    assert result["complete"], result["skipped_sections"]
    return result


def by_hand(server: RedisServer) -> str:
    """What a person types in order to see which queues there are."""
    words = ["redis-cli", "-h", server.host, "-p", str(server.port), "--scan", "--pattern", "bull:*:meta"]
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout


def seconds(action: Callable[[], Any]) -> float:
    began = time.perf_counter()
    action()
    return time.perf_counter() - began


@contextmanager
def pinging(server: RedisServer) -> Iterator[list[float]]:
    """The longest answer meanwhile, in seconds, once it is over."""
    found: list[float] = []
    process = subprocess.Popen(
        [sys.executable, "-c", PINGER, server.host, str(server.port)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline().strip() == "ready"
    yield found
    process.send_signal(signal.SIGTERM)
    found.append(float(process.stdout.read()))
    process.wait(10)


@contextmanager
def slowlog(server: RedisServer) -> Iterator[list[tuple[str, float]]]:
    """Every command meanwhile, with the milliseconds that the server took for it, once it is over."""
    client = server.client()
    found: list[tuple[str, float]] = []
    client.config_set("slowlog-max-len", 1_000_000)
    client.slowlog_reset()
    client.config_set("slowlog-log-slower-than", 0)
    yield found
    client.config_set("slowlog-log-slower-than", -1)
    entries = client.slowlog_get(10**6)
    found += [(entry["command"].split()[0].decode().upper(), entry["duration"] / 1000) for entry in entries]
    client.slowlog_reset()


class Trips:
    """The round trips of our client."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.sizes: list[int] = []
        exchange = RedisClient._exchange

        def count(client: RedisClient, commands: Any) -> Any:
            self.sizes.append(len(commands))
            return exchange(client, commands)

        monkeypatch.setattr(RedisClient, "_exchange", count)


def percentile(values: list[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


def peak_mebibytes(action: Callable[[], Any]) -> float:
    tracemalloc.start()
    try:
        action()
        return tracemalloc.get_traced_memory()[1] / 2**20
    finally:
        tracemalloc.stop()


def test_discovery(server: RedisServer, table: Callable[..., Any]) -> None:
    """60 queues among 10,000, 100,000 and a million keys: found and read by us, found only by hand."""
    growth = table(
        f"{QUEUES} queues of BullMQ among many keys",
        *("keys", "redis-cli --scan --pattern (names only)", "redis_queue_info (everything)", "of redis-cli's time"),
        *("discovery and counts", "of redis-cli's time", "p99 of SCAN", "p99 of all commands", "longest command"),
        "memory of the module",
    )
    pings = table(
        "The longest answer to a PING meanwhile, median of rounds",
        *("keys", "idle", "KEYS bull:*", "redis-cli --scan", "redis_queue_info", "of that under KEYS"),
    )
    for keys in SIZES:
        fill(server, keys)
        assert {len(ours(server)["queues"]), len(by_hand(server).split())} == {QUEUES}
        slow, fast, scan = [], [], []
        for _round in range(ROUNDS):
            slow.append(seconds(lambda: by_hand(server)))
            fast.append(seconds(lambda: ours(server)))
            scan.append(seconds(lambda: ours(server, failures=False, sample=0)))
        with slowlog(server) as log:
            ours(server)
        durations = [took for name, took in log]
        scans = [took for name, took in log if name == "SCAN"]
        growth.add(
            f"{keys:,}",
            f"{statistics.median(slow):.2f} s",
            f"{statistics.median(fast):.2f} s",
            f"{statistics.median(a / b for a, b in zip(fast, slow, strict=True)):.2f}",
            f"{statistics.median(scan):.2f} s",
            f"{statistics.median(a / b for a, b in zip(scan, slow, strict=True)):.2f}",
            f"{percentile(scans, 0.99):.2f} ms of {len(scans):,}",
            f"{percentile(durations, 0.99):.2f} ms of {len(durations):,}",
            f"{max(durations):.2f} ms ({max(log, key=lambda entry: entry[1])[0]})",
            f"{peak_mebibytes(lambda: ours(server)):.1f} MiB",
        )
        longest: dict[str, list[float]] = {}
        actions: dict[str, Callable[[], Any]] = {
            "idle": lambda: time.sleep(1),
            "keys": lambda: server.client(socket_timeout=60).execute_command("KEYS", "bull:*"),
            "cli": lambda: by_hand(server),
            "ours": lambda: ours(server),
        }
        for _round in range(ROUNDS):
            for name, action in actions.items():
                with pinging(server) as found:
                    action()
                longest.setdefault(name, []).append(found[0] * 1000)
        medians = {name: statistics.median(values) for name, values in longest.items()}
        pings.add(
            f"{keys:,}",
            *(f"{medians[name]:.1f} ms" for name in ("idle", "keys", "cli", "ours")),
            f"1/{medians['keys'] / medians['ours']:.0f}",
        )


def test_200_named_queues(server: RedisServer, table: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Named queues need no scan: the same few round trips for one as for 200."""
    names = [f"named-{number:03}" for number in range(200)]
    server.client().flushall()
    with server.client().pipeline(transaction=False) as pipeline:
        for name in names:
            pipeline.hset(f"bull:{name}:meta", mapping={"version": "bullmq:5.81.5", "opts.maxLenEvents": 10000})
            for number in range(20):
                pipeline.hset(f"bull:{name}:{number}", mapping={"name": "collect", "timestamp": 1_700_000_000_000})
                pipeline.lpush(f"bull:{name}:wait", number)
        pipeline.execute()
    shell = " ".join(f"redis-cli -h {server.host} -p {server.port} LLEN bull:{name}:wait;" for name in names)

    def by_hand_each() -> None:
        subprocess.run(["sh", "-c", shell], stdout=subprocess.DEVNULL, check=True)

    slow = [seconds(by_hand_each) for _round in range(3)]
    rows = table("Named queues", "what", "median wall time", "round trips", "commands", "of redis-cli's time")
    rows.add("200 times redis-cli LLEN …:wait (one figure)", f"{statistics.median(slow):.2f} s", "200", "200", "1")
    for what, count, changes in (
        ("redis_queue_info, counts only", 200, {"sample": 0, "failures": False}),
        ("redis_queue_info, everything", 200, {}),
        ("redis_queue_info, everything, one queue", 1, {}),
    ):
        asked: dict[str, Any] = {"queues": names[:count], "system": ["bullmq"], **changes}
        fast = [seconds(lambda asked=asked: ours(server, **asked)) for _ignored in range(3)]
        with monkeypatch.context() as patch:
            trips = Trips(patch)
            ours(server, **asked)
        rows.add(
            what,
            f"{statistics.median(fast):.2f} s",
            # The first two are of every module: what server it is, what is allowed, how far it is.
            f"{len(trips.sizes)}, the figures in {sum(size > 20 * count for size in trips.sizes)}",
            f"{sum(trips.sizes):,}",
            f"{statistics.median(fast) / statistics.median(slow):.2f}",
        )


def test_processes(server: RedisServer, table: Callable[..., Any]) -> None:
    """The load of the machine, so that the figures can be judged."""
    rows = table("Machine", "processors", "load (1, 5, 15 minutes)", "Redis")
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    rows.add(str(os.cpu_count()), load, ".".join(map(str, server.version)))
