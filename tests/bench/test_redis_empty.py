"""Emptying 100,000 waiting jobs: how long the server is held up at a time, beside the library's own ways."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from lab.bench import Table
from lab.bull_work import Work, jobs
from lab.redis import RedisServer

JOBS = 100_000
LIBRARY = "bullmq5"


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    # Every call of more than 50 µs, so that the slowest one is always among them.
    with RedisServer(settings={"slowlog-log-slower-than": 50, "slowlog-max-len": 100_000}) as server:
        yield server


def fill(work: Work) -> None:
    """Real-shaped jobs, after one that the library itself has added."""
    work.server.client().flushall()
    work.node.ask("add", jobs=jobs(1))
    with work.server.client() as client, client.pipeline(transaction=False) as pipe:
        shape = {"name": "mail", "data": '{"to":"somebody","text":"' + "x" * 150 + '"}', "opts": '{"attempts":3}'}
        for number in range(2, JOBS + 1):
            pipe.hset(work.key(str(number)), mapping={**shape, "timestamp": 1_700_000_000_000 + number, "delay": 0})
            pipe.lpush(work.key("wait"), number)
            if number % 5000 == 0:
                pipe.execute()
        pipe.execute()


def measure(server: RedisServer, doing: Callable[[], object]) -> tuple[float, float, float]:
    """Milliseconds of the slowest call and of the 99th percentile of those above 50 µs, and seconds of the whole.

    The slowest one includes what else the machine was doing, which matters to calls of a millisecond.
    """
    with server.client() as client:
        client.slowlog_reset()
        began = time.perf_counter()
        doing()
        took = time.perf_counter() - began
        calls = sorted(entry["duration"] / 1000 for entry in client.slowlog_get(100_000))
        return calls[-1], calls[int(len(calls) * 0.99)], took


def test_emptying_beside_the_library(server: RedisServer, tmp_path: Path, table: Callable[..., Table]) -> None:
    work = Work(server, LIBRARY, tmp_path)

    def ours() -> None:
        done = work.module("empty", system="bullmq", max_jobs=JOBS)
        assert done["removed"] == {"waiting": JOBS}, done

    ways: dict[str, Callable[[], object]] = {
        "redis_queue, state empty": ours,
        "the library's drain()": lambda: work.node.ask("drain"),
        "the library's obliterate()": lambda: work.node.ask(
            "batch", steps=[{"command": "pause"}, {"command": "obliterate"}]
        ),
        "DEL of the list (manual; the jobs stay)": lambda: server.cli("DEL", work.key("wait")),
    }
    measured = {}
    for name, way in ways.items():
        fill(work)
        measured[name] = (*measure(server, way), len(work.data()))
    report = table(
        f"Emptying {JOBS} waiting jobs of {LIBRARY}",
        *("way", "slowest call", "of ours", "99 in 100 calls", "altogether", "of ours", "data left"),
    )
    call, _percentile, whole, _left = measured["redis_queue, state empty"]
    for name, (longest, percentile, took, left) in measured.items():
        report.add(
            *(name, f"{longest:.1f} ms", f"{longest / call:.1f} times", f"{percentile:.1f} ms"),
            *(f"{took:.2f} s", f"{took / whole:.2f} times", str(left)),
        )
    assert measured["redis_queue, state empty"][-1] == 0
