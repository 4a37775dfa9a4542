"""What fills the memory, and deleting many keys: beside what redis-cli offers for it."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from lab.bench import environment, median, ratio
from lab.paths import BUILD
from lab.redis import RedisServer

KEYS = 1_000_000
ROUNDS = 3
DELETED = 100_000
MEMBERS = 500_000
# Of ten thousand keys: how many, and the size of their values. One group is rare and large.
SHARES = {"cache": (6000, 300), "session": (2490, 60), "user": (1000, 120), "job": (500, 700), "export": (10, 40_000)}


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    with RedisServer() as running:
        yield running


def command(*words: str | int) -> bytes:
    parts = [str(word).encode() for word in words]
    return b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(part), part) for part in parts)


def load(server: RedisServer, commands: Iterator[bytes]) -> None:
    """Mass insertion: the protocol itself, piped."""
    loading = subprocess.Popen(
        ["redis-cli", "-p", str(server.port), "--pipe"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL
    )
    assert loading.stdin is not None
    batch: list[bytes] = []
    for each in commands:
        batch.append(each)
        if len(batch) == 5000:
            loading.stdin.write(b"".join(batch))
            batch = []
    loading.stdin.write(b"".join(batch))
    loading.stdin.close()
    assert loading.wait(600) == 0


def content(keys: int) -> Iterator[bytes]:
    kinds = [name for name, (count, _size) in SHARES.items() for _ignored in range(count)]
    for number in range(keys):
        # A step that has no factor in common with the ten thousand goes through all of them.
        kind = kinds[number * 7919 % len(kinds)]
        size = SHARES[kind][1]
        if kind == "user":
            yield command("HSET", f"user:{number}:profile", "name", "x" * (size // 2), "mail", "y" * (size // 2))
        elif kind == "session":
            yield command("SET", f"session:{number:032x}", "x" * size, "EX", 36000)
        else:
            yield command("SET", f"{kind}:{number}", "x" * (size // 2 + number * 31 % size))


def module(name: str, **arguments: Any) -> dict[str, Any]:
    """A module of ours, as a process, as Ansible runs it."""
    completed = subprocess.run(
        [sys.executable, "-m", f"ansible_collections.runbook.ops.plugins.modules.{name}"],
        input=json.dumps({"ANSIBLE_MODULE_ARGS": arguments}),
        env={**environment(), "PYTHONPATH": str(BUILD / "collections")},
        capture_output=True,
        text=True,
        check=False,
    )
    result: dict[str, Any] = json.loads(completed.stdout)
    assert not result.get("failed"), result["msg"]
    return result


def by_hand(server: RedisServer, line: str) -> None:
    subprocess.run(
        ["bash", "-c", line.replace("redis-cli", f"redis-cli -p {server.port}")],
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def test_groups(server: RedisServer, table: Callable[..., Any]) -> None:
    server.client().flushall()
    load(server, content(KEYS))
    unlimited = {"max_seconds": 3600.0, "depth": 1}
    ways: dict[str, Callable[[], Any]] = {
        "redis-cli --bigkeys": lambda: by_hand(server, "redis-cli --bigkeys"),
        "redis-cli --memkeys": lambda: by_hand(server, "redis-cli --memkeys"),
        "redis_key_info, every key": lambda: module(
            "redis_key_info", **server.login(), groups={**unlimited, "samples": KEYS}
        ),
        "redis_key_info, 20,000 keys": lambda: module("redis_key_info", **server.login(), groups=unlimited),
    }
    taken: dict[str, list[float]] = {name: [] for name in ways}
    found: dict[str, Any] = {}
    for _round in range(ROUNDS):
        for name, run in ways.items():
            began = time.perf_counter()
            found[name] = run()
            taken[name].append(time.perf_counter() - began)
    ours = "redis_key_info, 20,000 keys"
    answers = {
        "redis-cli --bigkeys": "the largest key of each type, by elements",
        "redis-cli --memkeys": "the largest keys, by bytes",
        "redis_key_info, every key": "groups, shares, times to live, largest keys",
        ours: "the same, with intervals",
    }
    walls = table(f"What fills the memory of {KEYS:,} keys", "way", "median wall time", "of ours", "answers")
    for name in ways:
        walls.add(name, median(taken[name]), ratio(taken[name], taken[ours]), answers[name])
    truth = {entry["group"]: entry for entry in found["redis_key_info, every key"]["groups"]["entries"]}
    errors = table(
        "Estimates of the last round beside the truth",
        *("group", "keys", "estimate", "95 % interval", "within", "share of bytes", "estimate", "error"),
    )
    for entry in found[ours]["groups"]["entries"]:
        true = truth[entry["group"]]
        errors.add(
            entry["group"],
            f"{true['keys']:,}",
            f"{entry['keys']:,}",
            f"{entry['keys_low']:,} to {entry['keys_high']:,}",
            "yes" if entry["keys_low"] <= true["keys"] <= entry["keys_high"] else "no",
            f"{true['bytes_percent']:.2f} %",
            f"{entry['bytes_percent']:.2f} %",
            f"{entry['bytes_percent'] - true['bytes_percent']:+.2f} points",
        )


def fill(server: RedisServer) -> None:
    server.client().flushall()
    load(server, (command("SET", f"cache:product:{number}", "x" * 100) for number in range(DELETED - 1)))
    load(server, (command("ZADD", "cache:ranking", at, f"member-{at}") for at in range(MEMBERS)))
    load(server, (command("SET", f"other:{number}", "x") for number in range(DELETED)))
    client = server.client()
    client.config_set("slowlog-max-len", 1_000_000)
    client.config_set("slowlog-log-slower-than", 0)
    client.slowlog_reset()


def test_delete(server: RedisServer, table: Callable[..., Any]) -> None:
    arguments = {"state": "absent", "pattern": ["cache:*"], "max_affected": DELETED}
    ways: dict[str, Callable[[], Any]] = {
        "KEYS | xargs DEL": lambda: by_hand(server, "redis-cli KEYS 'cache:*' | xargs redis-cli DEL"),
        "--scan | xargs DEL": lambda: by_hand(server, "redis-cli --scan --pattern 'cache:*' | xargs redis-cli DEL"),
        "redis_key": lambda: module("redis_key", **server.login(), **arguments),
    }
    taken: dict[str, list[float]] = {name: [] for name in ways}
    slowest: dict[str, list[float]] = {name: [] for name in ways}
    which: dict[str, str] = {}
    busy: dict[str, list[float]] = {name: [] for name in ways}
    usual: dict[str, list[float]] = {name: [] for name in ways}
    for _round in range(ROUNDS):
        for name, run in ways.items():
            fill(server)
            began = time.perf_counter()
            run()
            taken[name].append(time.perf_counter() - began)
            client = server.client()
            client.config_set("slowlog-log-slower-than", -1)
            entries = client.slowlog_get(1_000_000)
            worst = max(entries, key=lambda entry: entry["duration"])
            slowest[name].append(worst["duration"] / 1e6)
            which[name] = worst["command"].split()[0].decode()
            writing = [entry for entry in entries if entry["command"].startswith((b"EVAL", b"DEL"))]
            calls = sorted(entry["duration"] for entry in writing)
            usual[name].append(calls[len(calls) // 2] / 1e3)
            busy[name].append(sum(entry["duration"] for entry in entries) / 1e6)
            client.slowlog_reset()
            assert client.dbsize() == DELETED
    rows = table(
        f"Deleting {DELETED:,} of {2 * DELETED:,} keys, one of them a sorted set of {MEMBERS:,} members",
        *("way", "median wall time", "of ours", "slowest call", "which", "of ours", "median call", "server busy"),
    )
    ours = "redis_key"
    for name in ways:
        worst_call = f"{sorted(slowest[name])[ROUNDS // 2] * 1000:.1f} ms"
        rows.add(
            name,
            median(taken[name]),
            ratio(taken[name], taken[ours]),
            worst_call,
            which[name],
            ratio(slowest[name], slowest[ours]),
            f"{sorted(usual[name])[ROUNDS // 2]:.2f} ms",
            median(busy[name]),
        )
