"""redis_queue_retry against queues of the real libraries, whose own workers and counts say whether it was right."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from lab.node import LIBRARIES, NodeQueue
from lab.process import wait_until
from lab.redis import RedisServer

Runner = Callable[..., dict[str, Any]]
BULLMQ = [library for library in LIBRARIES if library.startswith("bullmq")]
BULL = [library for library in LIBRARIES if library not in BULLMQ]
# BullMQ 3 leaves no trace by which its priorities could be told from those of BullMQ 4.
VERSIONS = {"bullmq3": {"library_version": "3"}}
QUEUE = "orders"
# Both libraries put what has a priority in a list in these; in the others it waits behind the rest.
PRIORITY_FIRST = {"bull3", "bull4", "bullmq3"}
COLLECTIONS = Path(__file__).resolve().parents[3] / "build" / "collections"
WRITES = ("set", "hset", "hdel", "lpush", "rpush", "linsert", "zadd", "zrem", "sadd", "xadd", "incr", "publish", "eval")


def failing(reason: str = "connect ECONNREFUSED 10.0.0.7:5432", **options: Any) -> dict[str, Any]:
    return {"data": {"fail": reason}, "opts": options}


def step(command: str, **arguments: Any) -> dict[str, Any]:
    return {"command": command, **arguments}


def node(server: RedisServer, library: str, queue: str = QUEUE) -> NodeQueue:
    return NodeQueue(library, server.port, queue)


def executed(log: Path) -> list[str]:
    """The ids of the jobs that a worker executed, in its order."""
    return [json.loads(line)["id"] for line in log.read_text(encoding="utf-8").splitlines()] if log.exists() else []


def options_for(server: RedisServer, library: str, **options: Any) -> dict[str, Any]:
    return {**server.login(), "queue": QUEUE, **VERSIONS.get(library, {}), **options}


def retry(run_module: Runner, server: RedisServer, library: str, **options: Any) -> dict[str, Any]:
    result = run_module("redis_queue_retry", options_for(server, library, **options))
    assert not result.get("failed"), result
    return result


def calls(server: RedisServer) -> dict[str, int]:
    stats = server.client().info("commandstats")
    return {name.removeprefix("cmdstat_"): each["calls"] for name, each in stats.items()}


def written(server: RedisServer, before: dict[str, int]) -> dict[str, int]:
    """Calls of commands that write, or may, since then."""
    after = calls(server)
    found = {name: after.get(name, 0) - before.get(name, 0) for name in after}
    return {name: count for name, count in found.items() if count and name.startswith(WRITES)}


@pytest.mark.parametrize("library", LIBRARIES)
def test_every_job_runs_once_in_its_order_and_check_mode_knew_it(
    run_module: Runner, redis_server: RedisServer, tmp_path: Path, library: str
) -> None:
    queue, log = node(redis_server, library), tmp_path / "log"
    priorities = [5, 1, 3]
    # Bull, and BullMQ before 4, count places from the end of the list, where those that came last and run first lie:
    # among these, priorities have no order that anybody could promise.
    late = 0 if library in PRIORITY_FIRST else 2
    jobs = [
        *(failing(f"timeout of {number} ms") for number in range(3)),
        *(failing("declined", priority=each) for each in priorities),
        *(failing("late", lifo=True) for _number in range(late)),
        failing("delayed", delay=20, attempts=2),
    ]
    ids, counts = queue.ask(
        "several",
        steps=[
            step("add", jobs=jobs),
            step(
                "drainByWork",
                states=["waiting", "active", "delayed", "prioritized"][: 3 if library in PRIORITY_FIRST else 4],
            ),
        ],
    )
    assert counts["failed"] == len(jobs), counts
    client = redis_server.client()
    order = [member.decode() for member in client.zrange(f"bull:{QUEUE}:failed", 0, -1)]
    before = calls(redis_server)
    planned = run_module("redis_queue_retry", options_for(redis_server, library), check_mode=True)
    assert written(redis_server, before) == {}
    assert planned["after"] is None
    # BullMQ 3 and 4 announce their own second attempts in the same way.
    seen = client.xrevrange(f"bull:{QUEUE}:events", count=1) if library in BULLMQ else []
    listener = client.pubsub()
    listener.psubscribe(f"bull:{QUEUE}:waiting@*")
    assert listener.get_message(timeout=5)["type"] == "psubscribe"

    done = retry(run_module, redis_server, library)

    assert done["changed"] is planned["changed"] is True
    assert done["actions"] == planned["actions"]
    assert done["diff"] == planned["diff"]
    assert done["ids"] == planned["ids"] == order
    assert [(each["reason"], each["count"]) for each in done["actions"]] == [
        ("declined", 3),
        ("timeout of <n> ms", 3),
        *([("late", late)] if late else []),
        ("delayed", 1),
    ]
    assert done["before"] == {"failed": len(jobs), "waiting": 0, "paused": 0}
    assert done["after"] == {"failed": 0, "waiting": len(jobs), "paused": 0}
    assert (done["matched"], done["retried"], done["gone"], done["left"]) == (len(jobs), len(jobs), 0, 0)
    if library in BULL:
        told = [listener.get_message(timeout=5)["data"].decode() for _number in jobs]
    else:
        events = client.xrange(f"bull:{QUEUE}:events", min=b"(" + seen[0][0])
        told = [
            each[b"jobId"].decode()
            for _id, each in events
            if each.get(b"prev") == b"failed" and each[b"event"] == b"waiting"
        ]
    listener.close()
    assert told == order
    found, counts, ran = queue.ask(
        "several",
        steps=[step("jobs", ids=ids), step("counts"), step("drainByWork", healed=True, log=str(log))],
    )
    states = {job: each["state"] for job, each in found.items()}
    prioritized = {} if library in PRIORITY_FIRST else dict.fromkeys(ids[3:6], "prioritized")
    assert states == {**dict.fromkeys(ids, "waiting"), **prioritized}
    assert all(not each.get("failedReason") and not each.get("finishedOn") for each in found.values())
    assert sum(counts.values()) == len(jobs)
    assert ran["completed"] == len(jobs)
    by_priority = [ids[3 + priorities.index(each)] for each in sorted(priorities)]
    plain = [job for job in order if job in (*ids[:3], ids[-1])]
    last_in_first = [job for job in reversed(order) if job in ids[6 : 6 + late]]
    if library in PRIORITY_FIRST:
        # The end of the list is next, whoever pushed there.
        assert executed(log)[-len(plain) :] == plain
        assert [job for job in executed(log) if job in by_priority] == by_priority
    else:
        assert executed(log) == [*last_in_first, *plain, *by_priority]
    assert Counter(executed(log)) == Counter(ids)

    again = retry(run_module, redis_server, library)

    assert (again["changed"], again["actions"], again["before"]) == (
        False,
        [],
        {"failed": 0, "waiting": 0, "paused": 0},
    )


@pytest.mark.parametrize("library", sorted(PRIORITY_FIRST))
def test_what_came_last_and_runs_first_still_does(
    run_module: Runner, redis_server: RedisServer, tmp_path: Path, library: str
) -> None:
    queue, log = node(redis_server, library), tmp_path / "log"
    jobs = [*(failing("boom") for _number in range(2)), *(failing("late", lifo=True) for _number in range(2))]
    ids, _counts = queue.ask("several", steps=[step("add", jobs=jobs), step("drainByWork")])
    order = [member.decode() for member in redis_server.client().zrange(f"bull:{QUEUE}:failed", 0, -1)]
    assert retry(run_module, redis_server, library)["retried"] == 4
    queue.ask("drainByWork", healed=True, log=str(log))
    late = [job for job in reversed(order) if job in ids[2:]]
    assert executed(log) == [*late, *(job for job in order if job in ids[:2])]


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_paused_queue_stays_paused_and_attempts_begin_anew_if_wanted(
    run_module: Runner, redis_server: RedisServer, tmp_path: Path, library: str
) -> None:
    queue, log = node(redis_server, library), tmp_path / "log"
    jobs = [failing(attempts=2), failing(attempts=2, priority=2)]
    ids, ran, _paused = queue.ask("several", steps=[step("add", jobs=jobs), step("drainByWork"), step("pause")])
    assert ran["failed"] == 2

    done = retry(run_module, redis_server, library, reset_attempts=True)

    assert done["paused"] is True
    found, is_paused, counts, _resumed, ran = queue.ask(
        "several",
        steps=[
            step("jobs", ids=ids),
            step("isPaused"),
            step("counts"),
            step("resume"),
            step("drainByWork", healed=True, log=str(log)),
        ],
    )
    assert is_paused is True
    assert all(each["attemptsMade"] == 0 for each in found.values())
    apart = {"bull3": 2, "bull4": 2, "bullmq3": 2, "bullmq4": 1, "bullmq5": 1}.get(library, 0)
    assert counts.get("paused", 0) == apart
    assert done["after"] == {"failed": 0, "waiting": 2 - apart, "paused": apart}
    assert ran["completed"] == 2
    assert Counter(executed(log)) == Counter(ids)


@pytest.mark.parametrize("library", BULLMQ)
def test_children_go_back_to_their_parents(
    run_module: Runner, redis_server: RedisServer, tmp_path: Path, library: str
) -> None:
    log = tmp_path / "log"
    children = [
        {"name": "part", "queueName": "parts", "data": {"fail": "no stock"}, "opts": {"jobId": "plain"}},
        {"name": "part", "queueName": "parts", "data": {}, "opts": {"jobId": "fine"}},
    ]
    flow = {"name": "order", "queueName": QUEUE, "data": {}, "opts": {"jobId": "whole"}, "children": children}
    node(redis_server, library).ask(
        "several", steps=[step("flow", flow=flow), step("drainByWork", queue="parts"), step("drainByWork")]
    )

    retry(run_module, redis_server, library, queue="parts")

    parts, orders, jobs = node(redis_server, library).ask(
        "several",
        steps=[
            step("drainByWork", queue="parts", healed=True, log=str(log)),
            step("drainByWork", healed=True, log=str(log)),
            step("jobs", ids=["whole"]),
        ],
    )
    assert (parts["completed"], parts["failed"]) == (2, 0)
    assert orders["completed"] == 1
    assert jobs["whole"]["state"] == "completed"
    assert executed(log) == ["plain", "whole"]


@pytest.mark.parametrize("library", BULLMQ)
def test_a_parent_that_failed_over_a_child_waits_for_it_again(
    run_module: Runner, redis_server: RedisServer, tmp_path: Path, library: str
) -> None:
    log = tmp_path / "log"
    needed = {"jobId": "needed", "failParentOnFailure": True}
    children = [{"name": "part", "queueName": "parts", "data": {"fail": "no stock"}, "opts": needed}]
    flow = {"name": "order", "queueName": QUEUE, "data": {}, "opts": {"jobId": "whole"}, "children": children}
    ran = node(redis_server, library).ask(
        "several", steps=[step("flow", flow=flow), step("drainByWork", queue="parts"), step("drainByWork")]
    )[-1]
    assert ran["failed"] == 1

    blocked = run_module("redis_queue_retry", options_for(redis_server, library))

    assert blocked["failed"] is True
    assert blocked["changed"] is False
    assert blocked["refused"] == [
        {
            "object": "1 failed job of orders (whole)",
            "reason": "children of it failed and were not retried, so it would fail over them again",
            "remedy": "Retry the failed children first, then run the task again.",
        }
    ]
    retry(run_module, redis_server, library, queue="parts")
    retry(run_module, redis_server, library)
    waits, parts, orders = node(redis_server, library).ask(
        "several",
        steps=[
            step("jobs", ids=["whole"]),
            step("drainByWork", queue="parts", healed=True, log=str(log)),
            step("drainByWork", healed=True, log=str(log)),
        ],
    )
    assert waits["whole"]["state"] == "waiting-children"
    assert (parts["completed"], orders["completed"]) == (1, 1)
    assert executed(log) == ["needed", "whole"]


@pytest.mark.parametrize(
    ("library", "count"),
    [(library, 10_000) for library in LIBRARIES],
)
def test_two_retries_at_once_under_a_live_worker_move_each_job_once(
    run_module: Runner, redis_server: RedisServer, tmp_path: Path, library: str, count: int
) -> None:
    queue, log = node(redis_server, library), tmp_path / "log"
    # Every tenth has a priority.
    jobs = [failing(priority=3), *(failing() for _number in range(9))]
    ids, ran = queue.ask(
        "several", steps=[step("add", jobs=jobs, times=count // 10), step("drainByWork", concurrency=100)]
    )
    assert ran["failed"] == count
    working = NodeQueue(library, redis_server.port, QUEUE, log=str(log), healed=True, concurrency=20)
    worker = working.worker(tmp_path / "worker.log")
    try:
        payload = {"ANSIBLE_MODULE_ARGS": options_for(redis_server, library, max_jobs=count)}
        runs = [
            subprocess.Popen(
                [sys.executable, "-m", "ansible_collections.runbook.ops.plugins.modules.redis_queue_retry"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env={**os.environ, "PYTHONPATH": str(COLLECTIONS)},
                text=True,
            )
            for _number in range(2)
        ]
        for each in runs:
            assert each.stdin is not None
            each.stdin.write(json.dumps(payload))
            each.stdin.close()
        results = [json.loads(each.stdout.read()) for each in runs if each.stdout is not None]
        for each in runs:
            each.wait()
        assert not any(each.get("failed") for each in results), results
        client = redis_server.client()
        assert wait_until(lambda: client.zcard(f"bull:{QUEUE}:completed") == count, 60), client.info("keyspace")
    finally:
        worker.terminate()
        worker.wait()
    assert sum(each["retried"] for each in results) == count
    assert all(each["retried"] + each["gone"] == each["matched"] for each in results)
    assert Counter(executed(log)) == Counter(ids)
    again = retry(run_module, redis_server, library)
    assert again["changed"] is False


@pytest.mark.parametrize("library", ["bull4", "bullmq5"])
def test_what_fails_again_at_once_is_another_runs(
    run_module: Runner, redis_server: RedisServer, tmp_path: Path, library: str
) -> None:
    queue, log = node(redis_server, library), tmp_path / "log"
    ids, _ran = queue.ask("several", steps=[step("add", jobs=[failing()], times=200), step("drainByWork")])
    broken = NodeQueue(library, redis_server.port, QUEUE, log=str(log), concurrency=5).worker(tmp_path / "worker.log")
    try:
        done = retry(run_module, redis_server, library, batch_size=10, max_per_second=400)
        client = redis_server.client()
        assert wait_until(lambda: client.zcard(f"bull:{QUEUE}:failed") == 200, 30)
    finally:
        broken.terminate()
        broken.wait()
    assert (done["matched"], done["retried"]) == (200, 200)
    assert Counter(executed(log)) == Counter(ids)


def test_the_librarys_own_retry_executes_ghosts_and_forgets_priorities(
    run_module: Runner, redis_server: RedisServer, tmp_path: Path
) -> None:
    theirs, ours = tmp_path / "theirs", tmp_path / "ours"
    jobs = [failing(jobId="lost"), failing(jobId="urgent", priority=1)]
    queue = node(redis_server, "bullmq5")
    for log in (theirs, ours):
        redis_server.client().flushall()
        queue.ask("several", steps=[step("add", jobs=jobs), step("drainByWork")])
        redis_server.client().delete(f"bull:{QUEUE}:lost")
        if log == theirs:
            after, _ran = queue.ask("several", steps=[step("retryAll"), step("drainByWork", healed=True, log=str(log))])
            assert (after["waiting"], after["prioritized"]) == (2, 0)
        else:
            done = run_module("redis_queue_retry", options_for(redis_server, "bullmq5"))
            assert done["failed"] is True
            assert [each["object"] for each in done["refused"]] == ["1 failed job of orders (lost)"]
            assert done["msg"] == (
                "1 failed job of orders (lost): its data is missing, so a worker would execute a job without data. "
                "Find out what removed the data (an eviction, DEL, a job id used twice) and add the job anew from its "
                "source."
            )
            after, _ran = queue.ask("several", steps=[step("counts"), step("drainByWork", healed=True, log=str(log))])
            assert (after["waiting"], after["prioritized"], after["failed"]) == (0, 1, 1)
    assert next(json.loads(line) for line in theirs.read_text().splitlines()) == {"id": "lost", "data": {}}
    assert executed(ours) == ["urgent"]


def test_a_job_called_failed_takes_the_place_of_all_failed_ones(run_module: Runner, redis_server: RedisServer) -> None:
    node(redis_server, "bull4").ask("add", jobs=[{"opts": {"jobId": "failed"}}])

    # What the manual says of a list of failed jobs, with a status of 0.
    with suppress(Exception):
        redis_server.cli("LLEN", f"bull:{QUEUE}:failed")
    result = run_module("redis_queue_retry", options_for(redis_server, "bull4"))

    assert result["failed"] is True
    assert result["msg"] == (
        "bull:orders:failed is a hash, and Bull keeps a sorted set there, so nothing was touched. A job whose id is "
        "'failed' overwrites it. Such a queue has to be repaired by hand: see what the key holds, and add the lost "
        "jobs anew."
    )


def test_the_manuals_command_for_failed_jobs_says_wrongtype_and_succeeds(
    run_module: Runner, redis_server: RedisServer
) -> None:
    node(redis_server, "bullmq5").ask("several", steps=[step("add", jobs=[failing()]), step("drainByWork")])
    said = subprocess.run(
        ["redis-cli", "-p", str(redis_server.port), "LLEN", f"bull:{QUEUE}:failed"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (said.returncode, said.stdout.split()[0]) == (0, "WRONGTYPE")

    planned = run_module("redis_queue_retry", options_for(redis_server, "bullmq5"), check_mode=True)

    assert planned["matched"] == 1
