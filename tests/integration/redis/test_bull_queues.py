"""redis_queue_info against the real Bull and BullMQ: the same counts as the libraries', and what these do not say."""

from __future__ import annotations

import base64
import json
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from lab.node import LIBRARIES, NodeQueue, version
from lab.process import wait_until
from lab.redis import RedisServer

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import RunbookError
from ansible_collections.runbook.ops.plugins.module_utils.redis.client import RedisClient
from ansible_collections.runbook.ops.plugins.module_utils.redis.options import redis_argument_spec
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.report import queue_report
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.request import QueueRequest
from ansible_collections.runbook.ops.plugins.module_utils.redis.scan import budget_argument_spec
from ansible_collections.runbook.ops.plugins.modules import redis_queue_info

Runner = Callable[..., dict[str, Any]]
Watch = Callable[[RedisServer, Callable[[], Any]], Any]
BULL = ("bull3", "bull4")


def read(ask: Runner, server: RedisServer, **options: Any) -> dict[str, Any]:
    result = ask("redis_queue_info", {**server.login(), **options})
    assert not result.get("failed"), result["msg"]
    assert result["available"] is True, result["reason"]
    return result


def defaults() -> dict[str, Any]:
    """The module's options as Ansible hands them over."""
    options: dict[str, Any] = {**redis_argument_spec(), **budget_argument_spec()}
    options.update(yaml.safe_load(redis_queue_info.DOCUMENTATION)["options"])
    return {name: option.get("default") for name, option in options.items()}


@pytest.fixture
def ask() -> Runner:
    """The module without a process of its own, which most of the questions here do without."""

    def answer(name: str, args: dict[str, Any]) -> dict[str, Any]:
        assert name == "redis_queue_info"
        try:
            return queue_report({**defaults(), **args})
        except RunbookError as error:
            return {"failed": True, "msg": error.message, **error.details}

    return answer


def queues(result: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {queue["name"]: queue for queue in result["queues"]}


def jobs(count: int, name: str = "job", data: dict[str, Any] | None = None, **opts: Any) -> list[dict[str, Any]]:
    return [{"name": name, "data": data or {}, "opts": opts} for _number in range(count)]


@contextmanager
def worker(queue: NodeQueue, server: RedisServer, folder: Path, **options: Any) -> Iterator[subprocess.Popen[bytes]]:
    """A worker that is at work on one job, however long that takes."""
    process = queue.worker(folder / "worker.log", **options)
    try:
        active = f"bull:{queue.common['queue']}:active"
        assert wait_until(lambda: server.client().llen(active) == 1, 30, 0.05)
        yield process
    finally:
        process.kill()
        process.wait(240)


def fill(queue: NodeQueue) -> None:
    """Finished, failed, waiting (with priorities), delayed and, in BullMQ, waiting for a child."""
    steps: list[dict[str, Any]] = [
        {"command": "add", "jobs": [*jobs(3, "good"), *jobs(2, "bad", {"fail": "HTTP 503 from 10.0.0.7"})]},
        {"command": "drainByWork"},
        {"command": "add", "jobs": jobs(1, "long", {"milliseconds": 600_000})},
    ]
    queue.batch(steps)


def fill_further(queue: NodeQueue) -> list[Any]:
    name = queue.common["queue"]
    steps: list[dict[str, Any]] = [
        {"command": "add", "jobs": [*jobs(4, "plain"), *jobs(2, "urgent", priority=5), *jobs(3, "later", delay=10**7)]}
    ]
    if queue.common["library"] not in BULL:
        children = [{"name": "child", "queueName": f"{name}-children", "data": {}}]
        flow = {"name": "parent", "queueName": name, "data": {}, "children": children}
        steps.append({"command": "flow", "flow": flow})
    return queue.batch(steps)


@pytest.mark.parametrize("library", LIBRARIES)
def test_counts_are_the_librarys_own(
    run_module: Runner, redis_server: RedisServer, watched: Watch, tmp_path: Path, library: str
) -> None:
    queue = NodeQueue(library, redis_server.port, "mail")
    fill(queue)
    with worker(queue, redis_server, tmp_path):
        fill_further(queue)
        before = watched(redis_server, lambda: read(run_module, redis_server, queues=["mail"], failed_within=3600.0))
        own = queue.ask("counts")
        after = read(run_module, redis_server)
        paused_counts = queue.batch([{"command": "pause"}, {"command": "counts"}])[1]
        paused = queues(read(run_module, redis_server, queues=["mail"]))["mail"]
    is_bull = library in BULL
    found = queues(before)["mail"]
    assert found["states"] == queues(after)["mail"]["states"] == own
    assert found["counts"] == {
        "waiting": 6,
        "active": 1,
        "delayed": 3,
        "blocked": None if is_bull else 1,
        "retrying": None,
        "failed": 2,
        "completed": 3,
    }
    assert sum(found["states"].values()) == (15 if is_bull else 16)
    assert (found["system"], found["exists"], found["paused"], found["backlog"]) == (
        "bull" if is_bull else "bullmq",
        True,
        False,
        7,
    )
    assert found["library_version"] == (None if is_bull else version(library))
    # The one worker names its connection; a producer of Bull 3 does, too, and is none.
    assert (found["consumers"], found["unconsumed"], before["consumers"]) == (1, False, 1)
    assert (found["stalled"], found["ghosts"], found["overdue"]) == (0, 0, 0)
    assert {each["name"]: each["count"] for each in found["tasks"]} == {"plain": 4, "urgent": 2}
    assert (found["oldest_age_exact"], found["oldest_age_note"]) == (True, None)
    assert 0 < found["oldest_age_seconds"] < 60
    (group,) = found["failures"]
    assert (group["reason"], group["count"], group["example"]) == ("HTTP <n> from <ip>", 2, "HTTP 503 from 10.0.0.7")
    assert sorted(group["example_ids"]) == ["4", "5"]
    assert group["first_at"] <= group["last_at"]
    assert (before["failed_count"], before["failed_seen"], found["failures_sampled"]) == (2, 2, False)
    assert before["skipped_sections"] == []
    # Paused: the same jobs wait, only up to BullMQ 5 in another list.
    assert paused["states"] == paused_counts
    assert (paused["paused"], paused["counts"]["waiting"], paused["unconsumed"]) == (True, 6, False)


@pytest.mark.parametrize("library", ["bull3", "bullmq4", "bullmq6"])
def test_a_worker_that_died(ask: Runner, redis_server: RedisServer, tmp_path: Path, library: str) -> None:
    queue = NodeQueue(library, redis_server.port, "mail")
    queue.ask("add", jobs=[*jobs(1, "long", {"milliseconds": 600_000}), *jobs(1)])
    with worker(queue, redis_server, tmp_path):
        client = redis_server.client()
        (job,) = client.lrange("bull:mail:active", 0, -1)
        lock = b"bull:mail:%s:lock" % job
        assert wait_until(lambda: client.pttl(lock) > 0, 10, 0.02)
        assert queues(read(ask, redis_server))["mail"]["stalled"] == 0
    client.delete(lock)
    found = queues(read(ask, redis_server))["mail"]
    assert (found["stalled"], found["consumers"], found["unconsumed"]) == (1, 0, True)
    assert "1 active job without a lock" in found["notes"][0]
    # A lock with a millisecond left is none a second later.
    client.set(lock, "token", px=1)
    assert queues(read(ask, redis_server))["mail"]["stalled"] == 1
    # It comes, or comes back, between the two looks.
    looks = int(client.info("commandstats")["cmdstat_pttl"]["calls"])
    answer: list[dict[str, Any]] = []
    look = threading.Thread(target=lambda: answer.append(read(ask, redis_server)))
    look.start()
    assert wait_until(lambda: int(client.info("commandstats")["cmdstat_pttl"]["calls"]) >= looks + 2, 30, 0.01)
    client.set(lock, "token", px=60_000)
    look.join(240)
    assert queues(answer[0])["mail"]["stalled"] == 0


@pytest.mark.parametrize("library", ["bull3", "bullmq4", "bullmq6"])
def test_nothing_is_odd_about_a_busy_queue(
    ask: Runner, redis_server: RedisServer, tmp_path: Path, library: str
) -> None:
    """Jobs end and vanish while they are looked at; none of them is stalled, a ghost or an orphan."""
    queue = NodeQueue(library, redis_server.port, "mail")
    queue.ask("add", jobs=jobs(1, data={"milliseconds": 1}, removeOnComplete=True), times=6000)
    process = queue.worker(tmp_path / "worker.log", concurrency=20)
    client = redis_server.client()
    looks = 0
    try:
        assert wait_until(lambda: client.llen("bull:mail:active") > 0, 30, 0.01)
        while client.llen("bull:mail:wait"):
            found = queues(read(ask, redis_server, orphans=True))["mail"]
            assert (found["stalled"], found["ghosts"], found["orphans"]) == (0, 0, 0), looks
            looks += 1
    finally:
        process.kill()
        process.wait(240)
    assert looks


# --- what is there and what is not


def test_each_queue_belongs_to_one_library(ask: Runner, redis_server: RedisServer) -> None:
    for library in LIBRARIES:
        NodeQueue(library, redis_server.port, library).ask("add", jobs=jobs(1))
    found = read(ask, redis_server)
    systems = {name: queue["system"] for name, queue in queues(found).items()}
    assert systems == {library: "bull" if library in BULL else "bullmq" for library in LIBRARIES}
    assert (found["queue_count"], found["systems"]) == (6, ["bull", "bullmq"])
    assert [queue["name"] for queue in read(ask, redis_server, system=["bull"])["queues"]] == list(BULL)
    assert len(read(ask, redis_server, system=["bullmq"])["queues"]) == 4
    wrong = ask("redis_queue_info", {**redis_server.login(), "system": ["bull"], "queues": ["bullmq5"]})
    assert f"Queue 'bullmq5' of BullMQ {version('bullmq5')} is there with key prefix 'bull'." in wrong["msg"]


def test_keys_of_others_are_no_queues(ask: Runner, redis_server: RedisServer) -> None:
    client = redis_server.client()
    client.set("bull:report:meta", json.dumps({"rows": 17}))
    client.set("bull:report:id", "no number")
    client.hset("user:17:meta", mapping={"version": "3", "name": "x"})
    client.set("user:17:id", "17")
    client.xadd("orders:events", {"a": "b"})
    NodeQueue("bull4", redis_server.port, "mail").ask("add", jobs=jobs(1))
    found = read(ask, redis_server)
    assert (list(queues(found)), found["notes"], found["skipped_sections"]) == (["mail"], [], [])
    missing = ask("redis_queue_info", {**redis_server.login(), "system": ["bull"], "queues": ["report"]})
    place = f"database 0 of {redis_server.host}:{redis_server.port}"
    assert missing["msg"] == (
        f"Queue 'report' of Bull does not exist in {place}: there is neither bull:report:meta nor bull:report:id. "
        "Queues with key prefix 'bull': mail."
    )


def test_many_keys_of_others_are_passed_over(ask: Runner, redis_server: RedisServer) -> None:
    client = redis_server.client()
    client.mset({f"user:{number}:id": str(number) for number in range(1500)})
    NodeQueue("bull4", redis_server.port, "mail", prefix="shop").ask("add", jobs=jobs(2))
    found = read(ask, redis_server)
    assert [(queue["name"], queue["prefix"], queue["counts"]["waiting"]) for queue in found["queues"]] == [
        ("mail", "shop", 2)
    ]
    assert found["notes"] == [
        "500 more keys like user:*:id or user:*:meta not taken for queues without a look; if they are Bull's, set "
        "key_prefix"
    ]


@pytest.mark.parametrize("prefix", [None, "{bull}", "shop", "shop:eu"])
def test_prefixes(ask: Runner, redis_server: RedisServer, prefix: str | None) -> None:
    more = {} if prefix is None else {"prefix": prefix}
    NodeQueue("bullmq5", redis_server.port, "mail", **more).ask("add", jobs=jobs(2))
    given = {} if prefix is None else {"key_prefix": prefix}
    named = read(ask, redis_server, queues=["mail"], system=["bullmq"], **given)
    assert (queues(named)["mail"]["prefix"], queues(named)["mail"]["counts"]["waiting"]) == (prefix or "bull", 2)
    assert queues(read(ask, redis_server, **given))["mail"]["counts"]["waiting"] == 2
    # Without it the prefix ends at the first colon, and the keys are the same.
    (found,) = read(ask, redis_server)["queues"]
    assert (found["prefix"] + ":" + found["name"], found["counts"]["waiting"]) == (f"{prefix or 'bull'}:mail", 2)
    if prefix in ("shop", "shop:eu"):
        absent = ask("redis_queue_info", {**redis_server.login(), "system": ["bullmq"], "queues": ["mail"]})
        assert "There are queues with key prefix 'shop'; set key_prefix." in absent["msg"]


@pytest.mark.parametrize("name", ["a:b", "a*", "a[b]", "a?c", "큐 1", "a\\b", "x:wait", "x" * 200])
def test_odd_names(ask: Runner, redis_server: RedisServer, name: str) -> None:
    NodeQueue("bull4", redis_server.port, name).ask("add", jobs=jobs(2))
    redis_server.client().rpush("bull:ab:wait", "not ours")
    for options in ({}, {"queues": [name]}, {"key_prefix": "bull"}):
        found = queues(read(ask, redis_server, **options))
        assert {each: queue["counts"]["waiting"] for each, queue in found.items()} == {name: 2}


def test_a_name_that_is_not_utf8(ask: Runner, redis_server: RedisServer) -> None:
    NodeQueue("bullmq5", redis_server.port, "mail").ask("add", jobs=jobs(1, "häufig"))
    client = redis_server.client()
    for key in client.keys("bull:mail:*"):
        client.rename(key, key.replace(b"mail", b"ma\xffil"))
    client.hset("bull:ma\udcffil:1".encode("utf-8", "surrogateescape"), "data", b"\xff\xfe")
    for options in ({}, {"queues": ["ma\udcffil"]}):
        (found,) = read(ask, redis_server, **options)["queues"]
        assert (found["name"], found["counts"]["waiting"], found["tasks"][0]["name"]) == ("ma\\xffil", 1, "häufig")


def test_a_job_whose_id_is_the_name_of_a_state(ask: Runner, redis_server: RedisServer) -> None:
    queue = NodeQueue("bull4", redis_server.port, "mail")
    queue.ask("add", jobs=[*jobs(1, jobId="failed"), *jobs(2)])
    assert redis_server.client().type("bull:mail:failed") == b"hash"
    found = read(ask, redis_server)
    mail = queues(found)["mail"]
    assert (mail["counts"]["failed"], mail["counts"]["waiting"], found["failed_count"]) == (None, 3, None)
    assert mail["notes"][0] == (
        "key bull:mail:failed is not what Bull keeps there, so its jobs cannot be counted; a job with the id 'failed' "
        "overwrites it"
    )


# --- the manual's commands


def old_way(server: RedisServer, *command: str) -> tuple[int, str]:
    """What redis-cli prints, and the status that a script would look at."""
    done = subprocess.run(
        ["redis-cli", "-h", server.host, "-p", str(server.port), *command], capture_output=True, text=True, check=False
    )
    return done.returncode, done.stdout.strip()


def test_the_manuals_commands_say_nothing_is_wrong(run_module: Runner, redis_server: RedisServer) -> None:
    queue = NodeQueue("bullmq5", redis_server.port, "data-collection")
    queue.batch(
        [
            {"command": "add", "jobs": jobs(3, "collect", {"fail": "token expired"})},
            {"command": "drainByWork"},
            {"command": "add", "jobs": [*jobs(2), *jobs(5, priority=1)]},
            {"command": "pause"},
        ]
    )
    # A key that does not exist has length 0, and a wrong type is an error that redis-cli's status keeps to itself.
    assert old_way(redis_server, "LLEN", "bull:data-collection:waiting") == (0, "0")
    wrong_type = "WRONGTYPE Operation against a key holding the wrong kind of value"
    assert old_way(redis_server, "LLEN", "bull:data-collection:failed") == (0, wrong_type)
    assert old_way(redis_server, "LRANGE", "bull:data-collection:failed", "0", "10") == (0, wrong_type)
    # Jobs with a priority, and those of a paused queue, are elsewhere.
    assert old_way(redis_server, "LLEN", "bull:data-collection:wait") == (0, "0")
    assert old_way(redis_server, "LLEN", "bull:no-such-queue:wait") == (0, "0")
    found = queues(read(run_module, redis_server, queues=["data-collection"]))["data-collection"]
    assert (found["counts"]["waiting"], found["counts"]["failed"], found["paused"]) == (7, 3, True)
    assert found["failures"][0]["reason"] == "token expired"
    absent = run_module("redis_queue_info", {**redis_server.login(), "system": ["bullmq"], "queues": ["no-such-queue"]})
    assert absent["failed"] is True
    assert absent["msg"].endswith("Queues with key prefix 'bull': data-collection.")


def test_the_wrong_database_says_where_the_keys_are(ask: Runner, redis_server: RedisServer) -> None:
    NodeQueue("bull4", redis_server.port, "mail", db=2).ask("add", jobs=jobs(1))
    absent = ask("redis_queue_info", {**redis_server.login(), "system": ["bull"], "queues": ["mail"]})
    place = f"atabase 0 of {redis_server.host}:{redis_server.port}"
    assert absent["msg"] == (
        f"Queue 'mail' of Bull does not exist in d{place}: there is neither bull:mail:meta nor bull:mail:id. "
        f"No queue of Bull or BullMQ was found among 0 keys. D{place} is empty; keys are in database 2 "
        f"({redis_server.cli('DBSIZE', db=2)} keys). Is login_db right?"
    )
    empty = read(ask, redis_server, system=["bull", "bullmq"])
    assert (empty["queues"], empty["found"], empty["failed_count"]) == ([], None, None)
    assert "Is login_db right?" in empty["skipped_sections"][0]["reason"]
    reported = read(ask, redis_server, queues=["mail"], missing_queues="report")
    assert [(queue["exists"], queue["backlog"]) for queue in reported["queues"]] == [(False, None)]


def test_n8n(ask: Runner, redis_server: RedisServer) -> None:
    opts = {"priority": 100, "removeOnComplete": True, "removeOnFail": True}
    queue = NodeQueue("bull4", redis_server.port, "jobs")
    queue.batch([{"command": "add", "jobs": jobs(2, data={"fail": "workflow"}, **opts)}, {"command": "drainByWork"}])
    found = queues(read(ask, redis_server))["jobs"]
    assert (found["system"], found["counts"]["failed"]) == ("bull", 0)
    assert found["notes"] == [
        "if 'jobs' is n8n's queue: n8n removes failed jobs at once, so that none are found here; failed executions are "
        "in n8n's database"
    ]


# --- jobs


def test_failures(ask: Runner, redis_server: RedisServer) -> None:
    reasons = ["cannot reach redis://app:geheim@cache:6379", "product 17 not found", "product 18 not found"]
    queue = NodeQueue("bullmq5", redis_server.port, "mail")
    queue.batch(
        [
            {"command": "add", "jobs": [job for reason in reasons for job in jobs(1, data={"fail": reason})]},
            {"command": "drainByWork"},
        ]
    )
    found = read(ask, redis_server)
    mail = queues(found)["mail"]
    assert {each["reason"]: each["count"] for each in mail["failures"]} == {
        "product <n> not found": 2,
        "cannot reach redis://app:********@cache:<n>": 1,
    }
    assert "geheim" not in json.dumps(found)
    assert mail["failures"][0]["example_ids"] == ["2", "3"]
    assert found["failures"] == mail["failures"]
    newest = queues(read(ask, redis_server, max_failed=1))["mail"]
    assert (newest["counts"]["failed"], newest["failures_sampled"]) == (3, True)
    assert [(each["count"], each["example_ids"]) for each in newest["failures"]] == [(1, ["3"])]
    client = redis_server.client()
    client.zadd("bull:mail:failed", {"1": (time.time() - 7200) * 1000})
    lately = queues(read(ask, redis_server, failed_within=3600.0))["mail"]
    assert (lately["counts"]["failed"], lately["states"]["failed"], lately["failure_reasons_count"]) == (2, 3, 1)
    assert not lately["failures_sampled"]
    without = queues(read(ask, redis_server, failures=False))["mail"]
    assert (without["counts"]["failed"], without["failures"]) == (3, [])


def test_large_fields_are_not_read(ask: Runner, redis_server: RedisServer) -> None:
    queue = NodeQueue("bullmq5", redis_server.port, "mail")
    queue.batch(
        [
            {"command": "add", "jobs": jobs(1, data={"fail": "no"})},
            {"command": "drainByWork"},
            {"command": "add", "jobs": jobs(2)},
        ]
    )
    client = redis_server.client()
    large = b"x" * 50_000_000
    for field in ("failedReason", "stacktrace", "data", "returnvalue"):
        client.hset("bull:mail:1", field, large)
    client.hset("bull:mail:2", mapping={"name": large, "data": large})
    before = client.info("stats")["total_net_output_bytes"]
    found = queues(read(ask, redis_server))["mail"]
    assert client.info("stats")["total_net_output_bytes"] - before < 1_000_000
    assert [(each["reason"], each["count"], each["example_ids"]) for each in found["failures"]] == [
        ("(a reason too long to read)", 1, ["1"])
    ]
    assert found["tasks"] == [{"name": "job", "count": 1}]


@pytest.mark.parametrize("library", ["bull4", "bullmq5"])
def test_ghosts_and_orphans(ask: Runner, redis_server: RedisServer, watched: Watch, library: str) -> None:
    queue = NodeQueue(library, redis_server.port, "mail")
    queue.batch(
        [
            {"command": "add", "jobs": [*jobs(2, data={"fail": "no"}), *jobs(2)]},
            {"command": "drainByWork"},
            {"command": "add", "jobs": [*jobs(4), *jobs(2, delay=10**7), *jobs(1, priority=2)]},
        ]
    )
    scheduled = queue.ask("scheduler")
    NodeQueue(library, redis_server.port, "mail-2").ask("add", jobs=jobs(3))
    client = redis_server.client()
    whole = watched(redis_server, lambda: read(ask, redis_server, orphans=True))
    assert {name: (each["ghosts"], each["orphans"]) for name, each in queues(whole).items()} == {
        "mail": (0, 0),
        "mail-2": (0, 0),
    }, scheduled
    assert client.delete("bull:mail:1", "bull:mail:5", "bull:mail:9") == 3
    # The manual's way to empty a queue leaves the jobs.
    assert redis_server.cli("DEL", "bull:mail-2:wait") == "1"
    found = queues(read(ask, redis_server, orphans=True))
    assert (found["mail"]["ghosts"], found["mail"]["orphans"]) == (3, 0)
    assert (found["mail-2"]["ghosts"], found["mail-2"]["orphans"]) == (0, 3)
    assert "3 jobs in no state, which nobody runs or removes: 1, 2, 3" in found["mail-2"]["notes"]
    assert found["mail"]["counts"]["failed"] == 2
    bounded = read(ask, redis_server, queues=["mail", "mail-2"], orphans=True, max_keys=1)
    assert {each["orphans"] for each in bounded["queues"]} == {None}
    assert (bounded["complete"], [entry["section"] for entry in bounded["skipped_sections"]]) == (False, ["orphans"])
    assert queues(read(ask, redis_server))["mail"]["orphans"] is None


def test_delayed_jobs_that_nobody_moves_on(ask: Runner, redis_server: RedisServer) -> None:
    for library in LIBRARIES:
        NodeQueue(library, redis_server.port, library).ask("add", jobs=[*jobs(2, delay=1), *jobs(1, delay=10**7)])
    later = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 60))
    found = queues(read(ask, redis_server, reference_time=later))
    assert {name: each["overdue"] for name, each in found.items()} == dict.fromkeys(LIBRARIES, 2)
    assert {name: each["counts"]["delayed"] for name, each in found.items()} == dict.fromkeys(LIBRARIES, 3)


def test_ages(ask: Runner, redis_server: RedisServer) -> None:
    queue = NodeQueue("bullmq5", redis_server.port, "mail")
    queue.ask("add", jobs=[*jobs(1200), *jobs(3, priority=9)])
    client = redis_server.client()
    client.hset("bull:mail:1", "timestamp", int((time.time() - 7200) * 1000))
    found = queues(read(ask, redis_server, sample=10))["mail"]
    # Jobs are pushed on the left: the first one is at the end, which a sample always holds.
    assert (round(found["oldest_age_seconds"] / 60), found["oldest_age_exact"]) == (120, False)
    assert found["oldest_age_note"] == "of 12 of 1203 waiting jobs"
    assert found["sampled"] == 10
    client.ltrim("bull:mail:wait", -900, -1)
    # Among those of low priority is one that is older than all others.
    client.hset("bull:mail:1203", "timestamp", int((time.time() - 10800) * 1000))
    exact = queues(read(ask, redis_server))["mail"]
    assert (round(exact["oldest_age_seconds"] / 60), exact["oldest_age_exact"]) == (180, True)
    none = queues(read(ask, redis_server, sample=0))["mail"]
    assert (none["oldest_age_seconds"], none["oldest_age_note"], none["sampled"]) == (None, "sample is 0", 0)
    client.hset("bull:mail:1203", "timestamp", int((time.time() + 3600) * 1000))
    client.hset("bull:mail:1", "timestamp", int((time.time() + 3600) * 1000))
    ahead = queues(read(ask, redis_server))["mail"]
    assert 0 <= ahead["oldest_age_seconds"] < 120
    assert ahead["notes"][0].startswith("the producers' clock is 3")
    client.hdel("bull:mail:1", "timestamp")
    assert queues(read(ask, redis_server))["mail"]["oldest_age_exact"] is False


def test_rates(ask: Runner, redis_server: RedisServer) -> None:
    queue = NodeQueue("bullmq5", redis_server.port, "mail")
    queue.ask("add", jobs=jobs(3))
    client = redis_server.client()
    client.config_resetstat()
    answer: list[dict[str, Any]] = []
    look = threading.Thread(target=lambda: answer.append(read(ask, redis_server, sample_seconds=2)))
    look.start()
    # Two for the figures, one for the first of the two looks at the counters.
    assert wait_until(
        lambda: int(client.info("commandstats").get("cmdstat_getrange", {}).get("calls", 0)) >= 3, 30, 0.01
    )
    queue.ask("add", jobs=jobs(30))
    look.join(240)
    rate = queues(answer[0])["mail"]["rate"]
    assert rate["arrivals_per_second"] == rate["growth_per_second"] > 0
    assert round(rate["arrivals_per_second"] * rate["sample_seconds"]) == 30
    assert (rate["departures_per_second"], rate["drain_seconds"]) == (0.0, None)


@pytest.mark.parametrize("library", LIBRARIES)
def test_what_keeps_workers_from_fetching(ask: Runner, redis_server: RedisServer, library: str) -> None:
    queue = NodeQueue(library, redis_server.port, "mail")
    queue.ask("add", jobs=jobs(2))
    client = redis_server.client()
    client.hset("bull:mail:meta", "paused", 1)
    client.set("bull:mail:limiter", 5, px=60_000)
    found = queues(read(ask, redis_server))["mail"]
    notes = " ".join(found["notes"])
    assert "a rate limiter counts 5 jobs" in notes
    if library in BULL:
        assert (found["paused"], "Bull's workers look at meta-paused" in notes) == (False, True)
    else:
        still = library in ("bullmq3", "bullmq4")
        assert (found["paused"], "still fetch them" in notes) == (True, still)
    client.hdel("bull:mail:meta", "paused")
    client.hset("bull:mail:meta", mapping={"concurrency": 3, "max": 10, "duration": 1000})
    client.rename("bull:mail:wait", "bull:mail:paused")
    found = queues(read(ask, redis_server))["mail"]
    notes = " ".join(found["notes"])
    assert (found["counts"]["waiting"], found["paused"]) == (2, False)
    assert "2 jobs in the list 'paused', from where no worker fetches" in notes
    assert "at most 3 jobs run at once, over all workers (meta.concurrency)" in notes
    assert "at most 10 jobs start in 1000 ms (meta.max, meta.duration)" in notes


def test_workers_without_names(ask: Runner, redis_server: RedisServer) -> None:
    NodeQueue("bullmq5", redis_server.port, "mail").ask("add", jobs=jobs(1))
    waiting = redis_server.client()
    nameless = threading.Thread(target=lambda: waiting.bzpopmin("elsewhere", 30), daemon=True)
    nameless.start()
    client = redis_server.client()
    assert wait_until(lambda: any(each["cmd"] == "bzpopmin" for each in client.client_list()), 10, 0.01)
    found = queues(read(ask, redis_server))["mail"]
    assert (found["consumers"], found["unconsumed"]) == (None, None)
    assert "1 of the connections that wait for jobs have no name" in found["notes"][0]
    named = redis_server.client()
    named.client_setname("bull:" + base64.b64encode(b"mail").decode() + ":w:first")
    assert queues(read(ask, redis_server))["mail"]["consumers"] == 1
    client.zadd("elsewhere", {"x": 1})
    nameless.join(240)


# --- limits


class Counted:
    """Round trips of a client."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.commands: list[list[tuple[Any, ...]]] = []
        exchange = RedisClient._exchange

        def count(client: RedisClient, commands: Any) -> Any:
            self.commands.append(list(commands))
            return exchange(client, commands)

        monkeypatch.setattr(RedisClient, "_exchange", count)


@pytest.mark.parametrize("library", ["bullmq5"])
def test_200_named_queues_take_one_round_trip(
    ask: Runner, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch, library: str
) -> None:
    names = [f"queue-{number:03}" for number in range(200)]
    steps = [{"command": "add", "queue": name, "jobs": jobs(1 + number % 3)} for number, name in enumerate(names)]
    NodeQueue(library, redis_server.port, names[0]).batch(steps)
    trips = {}
    for count in (1, 200):
        with monkeypatch.context() as patch:
            counted = Counted(patch)
            result = ask("redis_queue_info", {**redis_server.login(), "queues": names[:count], "system": ["bullmq"]})
        assert [queue["counts"]["waiting"] for queue in result["queues"]] == [1 + number % 3 for number in range(count)]
        trips[count] = counted.commands
    assert len(trips[200]) == len(trips[1])
    # Everything that the counts come from is in one of them.
    (whole,) = [commands for commands in trips[200] if len(commands) > 200 * 20]
    assert {command[0] for command in whole} >= {"TYPE", "LLEN", "ZCARD", "HMGET"}
    assert not any(command[0] in ("SCAN", "KEYS") for commands in trips[200] for command in commands)


def test_every_server(run_module: Runner, server: RedisServer, watched: Watch) -> None:
    for library in ("bull4", "bullmq5"):
        queue = NodeQueue(library, server.port, library)
        queue.batch(
            [
                {"command": "add", "jobs": jobs(2, data={"fail": "no"})},
                {"command": "drainByWork"},
                {"command": "add", "jobs": jobs(3)},
            ]
        )
        server.client().lpush(f"bull:{library}:active", "1")
    found = watched(server, lambda: read(run_module, server, orphans=True))
    for library in ("bull4", "bullmq5"):
        each = queues(found)[library]
        assert (each["counts"]["waiting"], each["counts"]["failed"], each["stalled"]) == (3, 2, 1)
        assert (each["orphans"], each["ghosts"], each["consumers"]) == (0, 0, 0)


def test_permissions(run_module: Runner, redis_server: RedisServer) -> None:
    NodeQueue("bullmq5", redis_server.port, "mail").ask("add", jobs=jobs(1))
    redis_server.cli("ACL", "SETUSER", "watcher", "on", ">geheim", "~*", "nocommands", "+ping", "+info", "+llen")
    login = redis_server.login(login_user="watcher", login_password="geheim", system=["bullmq"])
    try:
        result = run_module("redis_queue_info", {**login, "queues": ["mail"]})
        needed = "+getrange +hmget +hstrlen +lindex +lpos +lrange +pttl {scan}+type +zcard +zcount +zrange +zscore"
        rules = "+client|list +dbsize " + needed.format(scan="").replace("+type", "+time +type")
        assert result["available"] is False
        assert result["reason"].endswith(f"Grant: ACL SETUSER watcher {rules}")
        redis_server.cli("ACL", "SETUSER", "watcher", *needed.format(scan="").split())
        result = run_module("redis_queue_info", {**login, "queues": ["mail"]})
        mail = queues(result)["mail"]
        assert (mail["counts"]["waiting"], mail["consumers"], mail["unconsumed"]) == (1, None, None)
        assert {entry["section"] for entry in result["skipped_sections"]} == {"endpoint", "consumers", "unconsumed"}
        missing = run_module("redis_queue_info", {**login, "queues": ["nope"]})
        assert missing["msg"].endswith("nor bull:nope:id. No queue of Bull or BullMQ was found.")
        redis_server.cli("ACL", "SETUSER", "watcher", "resetkeys", "~bull:mail:*", "+scan")
        result = run_module("redis_queue_info", {**login, "queues": ["mail"]})
        assert queues(result)["mail"]["backlog"] == 1
    finally:
        redis_server.cli("ACL", "DELUSER", "watcher")


def test_options_are_checked_first(run_module: Runner) -> None:
    result = run_module("redis_queue_info", {"login_host": "192.0.2.1", "max_failed": 0})
    assert result["msg"] == "max_failed: 0 is not accepted. Accepted: a number from 1 to 100000."
    assert QueueRequest().max_failed == 1000
