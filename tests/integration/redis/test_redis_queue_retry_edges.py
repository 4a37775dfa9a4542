"""redis_queue_retry where something is in the way: odd data, guards, permissions, memory, ends in the middle."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from lab.process import wait_until
from lab.redis import RedisServer
from lab.redis_cluster import RedisCluster

from ansible_collections.runbook.ops.plugins.module_utils.common.outcome import Refused
from ansible_collections.runbook.ops.plugins.module_utils.redis.client import RedisClient
from ansible_collections.runbook.ops.plugins.module_utils.redis.endpoint import survey
from ansible_collections.runbook.ops.plugins.module_utils.redis.options import Settings
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.bull.naming import QueueKeys
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.retry.bull import BullMQRetry
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.retry.bull_jobs import JobReader
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.retry.ordered import Entry, last_entry, pages
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.retry.system import Target

Runner = Callable[..., dict[str, Any]]
COLLECTIONS = Path(__file__).resolve().parents[3] / "build" / "collections"
BASE = b"bull:orders:"
HOUR = 3600_000
# What a queue has by which its library is recognised.
TRACES: dict[str, dict[bytes, Any]] = {
    "bull": {b"id": "9"},
    "bullmq3": {b"meta": {"opts.maxLenEvents": "10000"}},
    "bullmq4": {b"meta": {"version": "bullmq:4.18.3", "opts.maxLenEvents": "10000"}},
    "bullmq5": {b"meta": {"version": "bullmq:5.81.5", "opts.maxLenEvents": "10000"}},
    "nothing": {},
}


def now_of(client: Any) -> int:
    seconds, micros = client.time()
    return int(seconds) * 1000 + micros // 1000


def trace(client: Any, library: str, base: bytes = BASE) -> None:
    for suffix, value in TRACES[library].items():
        if isinstance(value, dict):
            client.hset(base + suffix, mapping=value)
        else:
            client.set(base + suffix, value)


def fail(
    client: Any, identifier: bytes, *, at: int, base: bytes = BASE, score: int | None = None, **fields: Any
) -> None:
    """A failed job as the libraries leave it; ``at`` is when, epoch milliseconds."""
    job: dict[str, Any] = {
        "name": "charge",
        "data": '{"order":1}',
        "opts": '{"attempts":1}',
        "timestamp": str(at - 1000),
        "delay": "0",
        "priority": "0",
        "processedOn": str(at - 10),
        "finishedOn": str(at),
        "failedReason": "Timeout after 3000 ms",
        "stacktrace": '["Error: Timeout after 3000 ms"]',
        "attemptsMade": "1",
        **fields,
    }
    client.hset(base + identifier, mapping={name: value for name, value in job.items() if value is not None})
    client.zadd(base + b"failed", {identifier: at if score is None else score})


def many(client: Any, count: int, base: bytes = BASE, **fields: Any) -> None:
    at = now_of(client) - HOUR
    pipeline = client.pipeline(transaction=False)
    for number in range(count):
        fail(pipeline, b"%d" % number, at=at + number, base=base, **fields)
    pipeline.execute()


def contents(client: Any) -> dict[bytes, bytes]:
    """Everything there is, to be compared."""
    return {key: client.dump(key) for key in client.scan_iter()}


def writing(client: Any) -> set[str]:
    """The commands that were carried out since the statistics began anew and that write, or could."""
    used = {name.removeprefix("cmdstat_") for name, each in client.info("commandstats").items() if each["calls"]}
    flags = {name: {str(flag) for flag in each["flags"]} for name, each in client.command().items()}
    return {name for name in used if "write" in flags[name.split("|")[0]] or name in ("eval", "evalsha", "publish")}


def ids_of(result: dict[str, Any]) -> list[str]:
    return list(result["ids"])


@pytest.fixture
def shop(redis_server: RedisServer) -> Any:
    """Four failed jobs of BullMQ 5, from an hour to a minute old."""
    client = redis_server.client()
    trace(client, "bullmq5")
    now = now_of(client)
    fail(client, b"a", at=now - HOUR, failedReason="connect ECONNREFUSED 10.0.0.1:5432")
    fail(client, b"b", at=now - HOUR // 6)
    fail(client, b"c", at=now - HOUR // 60, failedReason="Timeout after 5000 ms\nand more", name="mail")
    fail(client, b"d", at=now - HOUR // 60 + 1, failedReason=None, name="mail")
    return client


@pytest.mark.parametrize(
    ("options", "chosen", "left"),
    [
        pytest.param({}, "abcd", 0, id="all"),
        pytest.param({"reason": ["*econnrefused*"]}, "a", 0, id="text"),
        pytest.param({"reason": ["timeout after <n> ms"]}, "bc", 0, id="normalised"),
        pytest.param({"reason": ["*and more", "connect*"]}, "ac", 0, id="one-of"),
        pytest.param({"reason": ["Timeout"]}, "", 0, id="whole-text"),
        pytest.param({"job_name": ["MA*"]}, "cd", 0, id="name"),
        pytest.param({"ids": ["d", "zz", "a"]}, "ad", 0, id="ids"),
        pytest.param({"min_age": "5m"}, "ab", 0, id="old"),
        pytest.param({"max_age": "30m"}, "bcd", 0, id="young"),
        pytest.param({"min_age": "5m", "max_age": "30m"}, "b", 0, id="between"),
        pytest.param({"limit": 3, "max_jobs": 3}, "abc", 1, id="limit"),
        pytest.param({"limit": 1, "reason": ["*"], "job_name": ["mail"]}, "c", 1, id="limited-choice"),
    ],
)
def test_the_chosen_ones(
    run_module: Runner, redis_server: RedisServer, shop: Any, options: dict[str, Any], chosen: str, left: int
) -> None:
    planned = run_module("redis_queue_retry", {**redis_server.login(), "queue": "orders", **options}, check_mode=True)
    done = run_module("redis_queue_retry", {**redis_server.login(), "queue": "orders", **options})

    assert "".join(ids_of(done)) == "".join(ids_of(planned)) == chosen
    assert done["actions"] == planned["actions"]
    assert (done["left"], done["complete"]) == (left, left == 0)
    assert [each.decode() for each in shop.lrange(BASE + b"wait", 0, -1)] == list(reversed(chosen))
    assert done["notes"] == (["Not failed, or not any more: zz."] if "ids" in options else [])
    assert done["changed"] is bool(chosen)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        pytest.param(
            {"max_jobs": 3},
            "4 failed jobs of queue orders would be retried, more than max_jobs (3). Nothing was touched. Raise "
            "max_jobs, retry some of them with limit, or choose them by reason.",
            id="max-jobs",
        ),
        pytest.param(
            {"blocked_window": ["Mon-Sun 00:00-24:00"], "reference_time": "2026-01-31T09:00:00Z"},
            "4 failed jobs of queue orders would be retried, but it is Sat 09:00 in UTC, within the hours kept free of "
            "changes (Mon-Sun 00:00-24:00). Run it at another time.",
            id="window",
        ),
        pytest.param(
            {"library_version": "4.12.0"},
            "library_version is 4.12.0, and bull:orders:meta names BullMQ 5.81.5. Leave library_version out, or "
            "correct it.",
            id="version",
        ),
        pytest.param(
            {"system": "bull"},
            "Bull queue 'orders' with prefix 'bull' was looked for in database 0 of {place}. The queue there is BullMQ "
            "5.81.5's: meta names it. Set system to bullmq, or leave it out.",
            id="system",
        ),
        pytest.param(
            {"queue": "ordres", "system": "bullmq"},
            "There is no BullMQ queue 'ordres' with prefix 'bull' in database 0 of {place}: none of "
            "bull:ordres:failed, bull:ordres:wait, bull:ordres:meta, bull:ordres:id exists. Check queue, key_prefix "
            "and login_db.",
            id="queue",
        ),
        pytest.param(
            {"login_db": 3, "system": "bullmq"},
            "There is no BullMQ queue 'orders' with prefix 'bull' in database 3 of {place}: none of "
            "bull:orders:failed, bull:orders:wait, bull:orders:meta, bull:orders:id exists. Database 3 of {place} is "
            "empty; keys are in database 0 (6 keys). Is login_db right? Check queue, key_prefix and login_db.",
            id="database",
        ),
        pytest.param(
            {"batch_size": 101}, "batch_size: 101 is not accepted. Accepted: a number from 1 to 100.", id="batch"
        ),
    ],
)
def test_a_guard_says_no_and_nothing_is_touched(
    run_module: Runner, redis_server: RedisServer, shop: Any, options: dict[str, Any], message: str
) -> None:
    before = contents(shop)

    for check_mode in (True, False):
        result = run_module(
            "redis_queue_retry", {**redis_server.login(), "queue": "orders", **options}, check_mode=check_mode
        )
        assert result["failed"] is True
        assert result["msg"] == message.format(place=f"127.0.0.1:{redis_server.port}")
        assert result.get("changed", False) is False

    assert contents(shop) == before


def test_a_queue_that_no_system_has_is_an_error_that_says_where_it_looked(
    run_module: Runner, redis_server: RedisServer, shop: Any
) -> None:
    result = run_module("redis_queue_retry", {**redis_server.login(), "queue": "ordres"})

    assert result["failed"] is True
    for part in ("bull:ordres:failed", "BullMQ queue 'ordres'", f"database 0 of 127.0.0.1:{redis_server.port}"):
        assert part in result["msg"]


def test_jobs_that_cannot_be_treated_right_are_left_alone_with_the_reason(
    run_module: Runner, redis_server: RedisServer, shop: Any
) -> None:
    now = now_of(shop)
    shop.zadd(BASE + b"failed", {"ghost": now - 5, "walked": now - 4, "stolen": now - 3})
    # What a ghost leaves that a worker has executed.
    shop.hset(BASE + b"walked", mapping={"processedOn": "1", "failedReason": "Cannot read property of undefined"})
    shop.set(BASE + b"stolen", "not a job")
    shop.set(BASE + b"b:lock", "token", px=60_000)

    planned = run_module("redis_queue_retry", {**redis_server.login(), "queue": "orders"}, check_mode=True)
    done = run_module("redis_queue_retry", {**redis_server.login(), "queue": "orders", "on_refusal": "report"})

    assert planned["failed"] is True
    assert planned["refused"] == done["refused"]
    assert [(each["object"], each["reason"]) for each in done["refused"]] == [
        (
            "3 failed jobs of orders (ghost, walked, stolen)",
            "its data is missing, so a worker would execute a job without data",
        ),
        ("1 failed job of orders (b)", "a worker holds a lock on it, so it may still be running"),
    ]
    assert all(each["remedy"] for each in done["refused"])
    assert (done["matched"], done["retried"], done["gone"]) == (7, 3, 0)
    assert shop.lrange(BASE + b"wait", 0, -1) == [b"d", b"c", b"a"]
    assert shop.zrange(BASE + b"failed", 0, -1) == [b"b", b"ghost", b"walked", b"stolen"]
    again = run_module("redis_queue_retry", {**redis_server.login(), "queue": "orders", "on_refusal": "report"})
    assert (again["changed"], again["actions"], len(again["refused"])) == (False, [], 2)


def test_more_ghosts_than_are_remembered_do_not_stand_in_the_way(
    run_module: Runner, redis_server: RedisServer, shop: Any
) -> None:
    shop.zadd(BASE + b"failed", {b"ghost-%d" % number: number for number in range(10_050)})

    done = run_module("redis_queue_retry", {**redis_server.login(), "queue": "orders", "on_refusal": "report"})

    assert (done["matched"], done["retried"], done["gone"]) == (10_054, 4, 0)
    assert [each["object"] for each in done["refused"]] == [
        "10050 failed jobs of orders (ghost-0, ghost-1, ghost-2, ghost-3, ghost-4 and 10045 more)"
    ]
    assert shop.lrange(BASE + b"wait", 0, -1) == [b"d", b"c", b"b", b"a"]


def test_names_and_reasons_that_are_no_text_and_one_of_fifty_megabytes(
    run_module: Runner, redis_server: RedisServer
) -> None:
    client = redis_server.client()
    base = "bull:é*[q]:".encode()
    trace(client, "bullmq5", base)
    now = now_of(client) - HOUR
    fail(client, b"\x00\xffid", at=now, base=base, failedReason=b"kaputt \xc3\x28 \xff")
    fail(client, b"{tag}", at=now + 1, base=base, failedReason="password=hunter2 rejected")
    fail(client, b"huge", at=now + 2, base=base, failedReason="x" * 50_000_000)
    client.config_resetstat()

    done = run_module("redis_queue_retry", {**redis_server.login(), "queue": "é*[q]"})

    assert not done.get("failed"), done
    assert {each["reason"] for each in done["actions"]} == {
        "kaputt \\<n>( \\xff",
        "password=******** rejected",
        "(a message of <n> bytes, too long to be read)",
    }
    assert client.lrange(base + b"wait", 0, -1) == [b"huge", b"{tag}", b"\x00\xffid"]
    assert not client.hexists(base + b"huge", "failedReason")
    assert "hunter2" not in json.dumps(done)
    assert client.info("stats")["total_net_output_bytes"] < 5_000_000


@pytest.mark.parametrize("library", ["bull", "bullmq4", "bullmq5"])
def test_every_server_version_moves_them_and_check_mode_writes_nothing(
    run_module: Runner, server: RedisServer, library: str
) -> None:
    client = server.client()
    trace(client, library)
    many(client, 250)
    pipeline = client.pipeline(transaction=False)
    for number in range(0, 250, 5):
        pipeline.hset(BASE + b"%d" % number, "priority", 2)
    pipeline.execute()
    options = {**server.login(), "queue": "orders"}
    before = contents(client)
    client.config_resetstat()

    planned = run_module("redis_queue_retry", options, check_mode=True)

    assert writing(client) == set()
    assert contents(client) == before
    done = run_module("redis_queue_retry", options)
    assert done["actions"] == planned["actions"]
    assert (done["retried"], client.zcard(BASE + b"failed")) == (250, 0)
    # BullMQ 4 wakes its workers with an entry that is no job.
    jobs = [each for each in client.lrange(BASE + b"wait", 0, -1) if each != b"0:0"]
    waiting = len(jobs) + client.zcard(BASE + b"prioritized")
    assert waiting == 250
    if library == "bull":
        # The next ones are those with a priority, in the order in which they failed.
        assert client.lrange(BASE + b"wait", -3, -1) == [b"10", b"5", b"0"]
        assert client.zcard(BASE + b"priority") == 50
    else:
        assert client.zrange(BASE + b"prioritized", 0, 2) == [b"0", b"5", b"10"]
        assert client.zcard(BASE + b"marker") == (1 if library == "bullmq5" else 0)


def test_priorities_of_a_bullmq_that_tells_no_version_are_refused(
    run_module: Runner, redis_server: RedisServer
) -> None:
    client = redis_server.client()
    trace(client, "bullmq3")
    fail(client, b"plain", at=now_of(client) - HOUR)
    fail(client, b"urgent", at=now_of(client) - HOUR, priority="1")
    options = {**redis_server.login(), "queue": "orders"}

    done = run_module("redis_queue_retry", {**options, "on_refusal": "report"})

    assert done["library"] == "BullMQ"
    assert done["refused"] == [
        {
            "object": "1 failed job of orders (urgent)",
            "reason": "it has a priority, and BullMQ 3 keeps priorities in another form than BullMQ 4 and later",
            "remedy": "The queue does not say which one it belongs to. Set library_version.",
        }
    ]
    assert client.lrange(BASE + b"wait", 0, -1) == [b"plain"]
    told = run_module("redis_queue_retry", {**options, "library_version": "4.15.0"})
    assert (told["retried"], client.zcard(BASE + b"prioritized")) == (1, 1)


def test_a_bullmq_5_without_a_version_is_known_by_its_jobs(run_module: Runner, redis_server: RedisServer) -> None:
    client = redis_server.client()
    trace(client, "bullmq3")
    fail(client, b"urgent", at=now_of(client) - HOUR, priority="1", atm="1", attemptsMade=None)

    done = run_module("redis_queue_retry", {**redis_server.login(), "queue": "orders"})

    assert (done["library"], done["retried"]) == ("BullMQ 5", 1)
    assert client.zrange(BASE + b"marker", 0, -1) == [b"0"]


def test_a_queue_without_traces_needs_the_system(run_module: Runner, redis_server: RedisServer) -> None:
    client = redis_server.client()
    fail(client, b"1", at=now_of(client) - HOUR)
    options = {**redis_server.login(), "queue": "orders"}

    result = run_module("redis_queue_retry", options)

    assert result["failed"] is True
    assert result["msg"] == (
        f"'orders' in database 0 of 127.0.0.1:{redis_server.port} may be a queue of BullMQ or Bull. Say whose it is "
        "with system."
    )
    assert run_module("redis_queue_retry", {**options, "system": "bull"})["retried"] == 1


@pytest.mark.parametrize(("active", "marked"), [pytest.param(1, 1, id="free"), pytest.param(2, 0, id="at-its-limit")])
def test_a_queue_at_its_limit_of_concurrency_is_not_woken(
    run_module: Runner, redis_server: RedisServer, shop: Any, active: int, marked: int
) -> None:
    shop.hset(BASE + b"meta", "concurrency", "2")
    shop.rpush(BASE + b"active", *range(active))

    assert run_module("redis_queue_retry", {**redis_server.login(), "queue": "orders"})["retried"] == 4

    assert shop.zcard(BASE + b"marker") == marked


@pytest.mark.parametrize(
    ("suffix", "command", "found", "wanted"),
    [
        pytest.param(b"wait", ("set", "x"), "a string", "a list", id="wait"),
        pytest.param(b"events", ("set", "x"), "a string", "a stream", id="events"),
        pytest.param(b"failed", ("sadd", "x"), "a set", "a sorted set", id="failed"),
        pytest.param(b"pc", ("set", "many"), "a string without a number", "a number", id="counter"),
    ],
)
def test_a_key_of_another_type_refuses_all(
    run_module: Runner,
    redis_server: RedisServer,
    shop: Any,
    suffix: bytes,
    command: tuple[str, str],
    found: str,
    wanted: str,
) -> None:
    shop.delete(BASE + suffix)
    getattr(shop, command[0])(BASE + suffix, command[1])
    before = contents(shop)

    result = run_module("redis_queue_retry", {**redis_server.login(), "queue": "orders"})

    assert result["failed"] is True
    assert f"{(BASE + suffix).decode()} is {found}, and BullMQ keeps {wanted} there" in result["msg"]
    assert contents(shop) == before


def test_n8n_is_sent_to_its_own_database(run_module: Runner, redis_server: RedisServer) -> None:
    client = redis_server.client()
    base = b"bull:jobs:"
    client.set(base + b"id", "7")
    options = {**redis_server.login(), "queue": "jobs"}

    empty = run_module("redis_queue_retry", options)

    assert (empty["changed"], len(empty["notes"])) == (False, 1)
    assert "If it is n8n's" in empty["notes"][0]
    fail(client, b"5", at=now_of(client), base=base, opts='{"removeOnComplete":true,"removeOnFail":true}')
    result = run_module("redis_queue_retry", options)
    assert result["msg"].startswith("Bull queue 'jobs' with prefix 'bull' looks like n8n's. n8n removes its jobs from")
    assert client.zcard(base + b"failed") == 1


def test_every_missing_permission_is_named_before_anything_happens(run_module: Runner, server: RedisServer) -> None:
    client = server.client()
    trace(client, "bullmq5")
    many(client, 10)
    client.execute_command(
        "ACL", "SETUSER", "ops", "on", ">secret-of-ops", "~bull:*", "+@all", "-xadd", "-linsert", "-incr"
    )
    before = contents(client)

    for check_mode in (True, False):
        result = run_module(
            "redis_queue_retry",
            {**server.login(), "login_user": "ops", "login_password": "secret-of-ops", "queue": "orders"},
            check_mode=check_mode,
        )
        assert result["failed"] is True
        assert result["msg"] == (
            f"User 'ops' lacks 3 permissions at Redis 127.0.0.1:{server.port}: +incr +linsert +xadd. Grant: ACL "
            "SETUSER ops +incr +linsert +xadd"
        )
        assert "secret-of-ops" not in json.dumps({**result, "invocation": None})

    assert contents(client) == before
    client.execute_command("ACL", "DELUSER", "ops")


def test_a_server_out_of_memory_is_not_begun_with(run_module: Runner, server: RedisServer) -> None:
    client = server.client()
    trace(client, "bullmq5")
    many(client, 10)
    before = contents(client)
    client.config_set("maxmemory", "1")

    for check_mode in (True, False):
        result = run_module("redis_queue_retry", {**server.login(), "queue": "orders"}, check_mode=check_mode)
        assert result["msg"] == (
            f"Redis at 127.0.0.1:{server.port} has reached maxmemory and evicts nothing, so it takes no writes. Free "
            "memory or raise maxmemory, then run the task again."
        )

    client.config_set("maxmemory", "0")
    assert contents(client) == before


@pytest.mark.parametrize("fault", ["memory", "replica"])
def test_a_server_that_takes_no_writes_any_more_stops_between_two_steps(server: RedisServer, fault: str) -> None:
    client = server.client()
    trace(client, "bullmq5")
    many(client, 30)
    with RedisClient(Settings(host=server.host, port=server.port)) as ours:
        retry = BullMQRetry(ours, survey(ours, []), Target(b"orders"))
        retry.check()
        jobs = next(retry.failed())
        assert retry.retry(jobs[:10], reset_attempts=False) == ["retried"] * 10
        before = contents(client)
        if fault == "memory":
            client.config_set("maxmemory", "1")
        else:
            client.execute_command("REPLICAOF", "127.0.0.1", "1")
        try:
            with pytest.raises(Refused) as refused:
                retry.retry(jobs[10:20], reset_attempts=False)
        finally:
            client.config_set("maxmemory", "0")
            client.execute_command("REPLICAOF", "NO", "ONE")
        assert {"memory": "has reached maxmemory", "replica": "is a replica"}[fault] in refused.value.message
        assert contents(client) == before
        assert retry.retry(jobs[5:20], reset_attempts=False) == ["gone"] * 5 + ["retried"] * 10


def test_a_replica_is_refused_with_its_masters_address(run_module: Runner, redis_server: RedisServer) -> None:
    with RedisServer(settings={"replicaof": f"127.0.0.1 {redis_server.port}"}) as replica:
        result = run_module("redis_queue_retry", {**replica.login(), "queue": "orders"})

    assert result["msg"] == (
        f"127.0.0.1:{replica.port} is a replica; nothing is changed there. Connect to its master, "
        f"127.0.0.1:{redis_server.port}."
    )


@pytest.fixture
def started(redis_server: RedisServer, tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A retry of 1500 jobs that takes its time, in the middle of it."""
    client = redis_server.client()
    trace(client, "bullmq5")
    many(client, 1500)
    options = {
        **redis_server.login(),
        "queue": "orders",
        "max_jobs": 1500,
        "batch_size": 10,
        "max_per_second": 500,
        "progress_path": str(tmp_path / "progress"),
    }
    module = subprocess.Popen(
        [sys.executable, "-m", "ansible_collections.runbook.ops.plugins.modules.redis_queue_retry"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(COLLECTIONS)},
        text=True,
    )
    assert module.stdin is not None
    module.stdin.write(json.dumps({"ANSIBLE_MODULE_ARGS": options}))
    module.stdin.close()
    assert wait_until(lambda: client.llen(BASE + b"wait") >= 100, 30)
    yield module
    module.kill()
    module.wait()


@pytest.mark.parametrize("end", ["kill", "terminate", "disconnect", "shrink"])
def test_an_end_in_the_middle_loses_nothing_and_the_next_run_goes_on(
    run_module: Runner, redis_server: RedisServer, started: subprocess.Popen[str], end: str
) -> None:
    client = redis_server.client()
    if end == "kill":
        started.send_signal(signal.SIGKILL)
    elif end == "terminate":
        started.send_signal(signal.SIGTERM)
    elif end == "disconnect":
        client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    else:
        # Somebody retries from the other end and removes some at the front meanwhile.
        client.zremrangebyrank(BASE + b"failed", -50, -1)
        client.zremrangebyrank(BASE + b"failed", 0, 49)
    assert started.stdout is not None
    said = started.stdout.read()
    started.wait()
    moved = client.lrange(BASE + b"wait", 0, -1)
    left = client.zrange(BASE + b"failed", 0, -1)
    assert len(set(moved)) == len(moved)
    assert set(moved).isdisjoint(left)
    if end == "shrink":
        result = json.loads(said)
        assert not result.get("failed"), result
        assert (len(moved), len(left)) == (result["retried"], 0)
        assert result["retried"] + result["gone"] == 1500
        assert result["retried"] >= 1400
        return
    assert len(moved) + len(left) == 1500
    assert left
    if end != "kill":
        result = json.loads(said)
        assert result["failed"] is True
        assert result["complete"] is False
        assert (result["retried"], result["changed"]) == (len(moved), True)
        assert "Run the task again" in result["msg"]
        assert f"{len(moved)} of 1500 jobs of queue orders were put back." in result["msg"]
    rest = run_module("redis_queue_retry", {**redis_server.login(), "queue": "orders", "max_jobs": 1500})
    assert (rest["retried"], client.zcard(BASE + b"failed")) == (len(left), 0)
    assert sorted(client.lrange(BASE + b"wait", 0, -1), key=int, reverse=True) == client.lrange(BASE + b"wait", 0, -1)


def test_jobs_of_one_moment_are_gone_through_once_whoever_removes_some(redis_server: RedisServer) -> None:
    client = redis_server.client()
    members = [b"%05d" % number for number in range(1000)]
    client.zadd("failed", dict.fromkeys(members, 1))
    client.zadd("failed", {b"early": 0, b"late": 2})
    seen: list[bytes] = []
    with RedisClient(Settings(host=redis_server.host, port=redis_server.port)) as ours:
        until = last_entry(ours, b"failed")
        assert until == Entry(2.0, b"late")
        for number, page in enumerate(pages(ours, b"failed", until, lambda: 0, size=70)):
            seen += [entry.member for entry in page]
            # Some that were seen go, and some that were not; new ones come at both ends.
            client.zrem("failed", *[entry.member for entry in page[:30]], b"%05d" % (990 - number))
            client.zadd("failed", {b"new-%d" % number: 0, b"newest-%d" % number: 3})

    removed = {b"%05d" % (990 - number) for number in range(20)}
    assert len(seen) == len(set(seen))
    assert {b"early", b"late", *members} - removed <= set(seen) <= {b"early", b"late", *members}


def test_what_somebody_puts_back_while_it_is_looked_at_is_not_refused(redis_server: RedisServer) -> None:
    """The page was read; then a worker got one of its jobs, and completed another without keeping it."""
    client = redis_server.client()
    at = now_of(client) - HOUR
    for identifier in (b"1", b"2", b"3", b"4"):
        fail(client, identifier, at=at)
    entries = [Entry(float(at), identifier) for identifier in (b"1", b"2", b"3", b"4")]
    client.set(BASE + b"1:lock", "a worker's, and failed all the same")
    client.set(BASE + b"2:lock", "a worker's")
    client.zrem(BASE + b"failed", b"2", b"3")
    client.delete(BASE + b"3")
    with RedisClient(Settings(host=redis_server.host, port=redis_server.port)) as ours:
        reader = JobReader(ours, QueueKeys(b"bull", b"orders"), flows=True, major_known=True, names=False)
        jobs = {job.id: job.refusal for job in reader.read(entries)}
    assert jobs == {b"1": "a worker holds a lock on it, so it may still be running", b"4": None}


def test_on_a_cluster_a_hash_tag_is_needed(run_module: Runner) -> None:
    with RedisCluster(replicas=0) as cluster:
        client = cluster.client()
        login = {"login_host": cluster.nodes[0].host, "login_port": cluster.nodes[0].port}
        for base in (BASE, b"{bull}:orders:"):
            trace(client, "bullmq5", base)
            for number in range(30):
                fail(client, b"%d" % number, at=1_700_000_000_000 + number, base=base)

        refused = run_module("redis_queue_retry", {**login, "queue": "orders"})
        done = run_module("redis_queue_retry", {**login, "queue": "orders", "key_prefix": "{bull}"})

        assert refused["failed"] is True
        assert "is a Redis Cluster, and BullMQ's keys are in different slots there" in refused["msg"]
        assert client.zcard(BASE + b"failed") == 30
        assert not done.get("failed"), done
        assert done["retried"] == 30
        assert client.lrange(b"{bull}:orders:wait", -1, -1) == [b"0"]
