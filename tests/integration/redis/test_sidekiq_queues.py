"""Sidekiq's queues: read, retried and emptied, compared with Sidekiq's own API and with redis-cli."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from lab.process import wait_until
from lab.redis import RedisServer
from lab.sidekiq import SidekiqShop
from lab.written import writes

Runner = Callable[..., dict[str, Any]]
Watch = Callable[[RedisServer, Callable[[], Any]], Any]

REASON = "KeyError: no product <n>, token=********"


class Shop:
    """The jobs of tests/lab/sidekiq/jobs.rb against one server."""

    def __init__(self, server: RedisServer, run_module: Runner) -> None:
        self.server = server
        self.client = server.client()
        self.run_module = run_module
        self.ruby = SidekiqShop(server)

    def info(self, **options: Any) -> dict[str, Any]:
        result = self.run_module("redis_queue_info", {**self.server.login(), "system": ["sidekiq"], **options})
        assert not result.get("failed"), result
        assert result["available"] is True, result["reason"]
        return result

    def queues(self, **options: Any) -> dict[str, dict[str, Any]]:
        return {queue["name"]: queue for queue in self.info(**options)["queues"]}

    def retry(self, *, check_mode: bool = False, **options: Any) -> dict[str, Any]:
        return self.run_module(
            "redis_queue_retry", {**self.server.login(), "queue": "low", **options}, check_mode=check_mode
        )

    def control(self, state: str, *, check_mode: bool = False, **options: Any) -> dict[str, Any]:
        arguments = {**self.server.login(), "queue": "low", "state": state, **options}
        return self.run_module("redis_queue", arguments, check_mode=check_mode)

    def counts(self) -> dict[str, Any]:
        counts: dict[str, Any] = self.ruby.ask({"command": "counts"})[0]
        return counts

    def die(self, numbers: Sequence[int], queue: str = "low") -> None:
        """Jobs that were executed and are dead."""
        before = self.client.zcard("dead")
        self.ruby.ask({"command": "push", "class": "Give", "queue": queue, "numbers": list(numbers)})
        with self.ruby.worker([queue]):
            assert wait_until(lambda: self.client.zcard("dead") == before + len(numbers), 60)

    def bury(self, **changes: Any) -> bytes:
        """A dead job as a Sidekiq of another version would have written it."""
        job = {"class": "Give", "args": [1], "queue": "low", "jid": "b1", "retry": 0, "retry_count": 0, **changes}
        raw = json.dumps({**job, "error_class": "KeyError", "error_message": "no product 1"}).encode()
        self.client.zadd("dead", {raw: time.time()})
        return raw

    def dead(self) -> list[bytes]:
        return list(self.client.zrange("dead", 0, -1))

    def done(self) -> list[str]:
        return [each.decode() for each in self.client.lrange("done", 0, -1)]


@pytest.fixture
def shop(redis_server: RedisServer, run_module: Runner) -> Iterator[Shop]:
    yield Shop(redis_server, run_module)


def test_every_state_is_counted_as_sidekiq_counts_it(shop: Shop, watched: Watch) -> None:
    later = time.time() + 5000
    shop.ruby.ask(
        {"command": "push", "class": "Give", "queue": "low", "numbers": [1, 2, 3]},
        {"command": "push", "class": "Refuse", "queue": "high", "numbers": [1, 2]},
        {"command": "push", "class": "Register", "queue": "low", "numbers": [1, 2, 3, 4], "at": later},
        {"command": "push", "class": "Register", "queue": "high", "numbers": [1], "at": later},
    )
    with shop.ruby.worker(["low", "high"]):
        assert wait_until(lambda: (shop.client.zcard("dead"), shop.client.zcard("retry")) == (3, 2), 60)
        shop.ruby.ask({"command": "push", "class": "Linger", "queue": "low", "numbers": [7]})
        # A process tells with its heartbeat what it works on.
        assert wait_until(lambda: bool(shop.client.keys("*:workers")), 60)
        shop.ruby.ask({"command": "push", "class": "Register", "queue": "idle", "numbers": [1, 2, 3, 4, 5]})
        shop.client.sadd("paused", "idle")
        result = shop.info()
        theirs, latency = shop.ruby.ask({"command": "counts"}, {"command": "latency", "queue": "idle"})
    ours = {queue["name"]: queue for queue in result["queues"]}
    assert {name: queue["states"]["enqueued"] for name, queue in ours.items()} == theirs["queues"]
    assert theirs["queues"] == {"low": 0, "high": 0, "idle": 5}
    for state, name in (("retry", "retry"), ("schedule", "scheduled"), ("dead", "dead"), ("work", "busy")):
        assert {each: queue["states"][name] for each, queue in ours.items() if queue["states"][name]} == theirs[state]
    assert ours["low"]["counts"] == {
        **{"waiting": 0, "active": 1, "delayed": 4, "blocked": 0, "retrying": 0, "failed": 3, "completed": None},
    }
    assert ours["high"]["counts"] == {
        **{"waiting": 0, "active": 0, "delayed": 1, "blocked": 0, "retrying": 2, "failed": 0, "completed": None},
    }
    assert (result["consumers"], theirs["processes"]) == (1, 1)
    assert [ours[name]["consumers"] for name in ("low", "high", "idle")] == [1, 1, 0]
    assert [ours[name]["paused"] for name in ("low", "high", "idle")] == [False, False, True]
    assert ours["idle"]["oldest_age_exact"] is True
    assert 0 <= ours["idle"]["oldest_age_seconds"] <= latency
    assert ours["idle"]["tasks"] == [{"name": "Register", "count": 5}]
    assert ours["low"]["failures"][0]["reason"] == REASON
    assert (result["failed_count"], result["failed_seen"], result["complete"]) == (5, 5, True)
    assert "geheim" not in json.dumps(result)
    # Without a worker it is seen that nothing is written.
    watched(shop.server, shop.info)


def test_jobs_of_a_process_that_was_killed(shop: Shop) -> None:
    shop.ruby.ask({"command": "push", "class": "Linger", "queue": "low", "numbers": [7]})
    with shop.ruby.worker(["low"]):
        assert wait_until(lambda: bool(shop.client.keys("*:workers")), 60)
    # Its key lives for a minute after the last heartbeat; half of that is over.
    identity = next(iter(shop.client.smembers("processes")))
    shop.client.pexpire(identity, 20_000)
    result = shop.info()
    queue = result["queues"][0]
    assert (queue["counts"]["active"], queue["stalled"], queue["consumers"]) == (1, 1, 0)
    assert "they are lost unless it is Sidekiq Pro's super_fetch" in queue["notes"][0]
    assert "1 process of Sidekiq registered and without heartbeat" in result["notes"]


def test_what_versions_7_and_8_write(shop: Shop) -> None:
    """Their formats, as their sources say; the one at hand is 6."""
    now = int(time.time() * 1000)
    job = {
        "class": "Register",
        "args": [1],
        "queue": "low",
        "jid": "a1",
        "created_at": now,
        "enqueued_at": now - 90_000,
    }
    shop.client.sadd("queues", "low")
    shop.client.lpush("queue:low", json.dumps(job))
    shop.bury(created_at=now, failed_at=now - 60_000)
    for identity, version in (("host:1:aa", "8.1.2"), ("host:2:bb", "8.1.2")):
        info = {"capsules": {"default": {"weights": {"low": 1}}}, "version": version}
        shop.client.sadd("processes", identity)
        shop.client.hset(identity, mapping={"info": json.dumps(info), "quiet": "true" if "bb" in identity else "false"})
        shop.client.expire(identity, 60)
        work = {"queue": "low", "run_at": now // 1000, "payload": json.dumps(job)}
        shop.client.hset(f"{identity}:work", "t1", json.dumps(work))
    result = shop.info()
    queue = result["queues"][0]
    assert (queue["counts"]["waiting"], queue["counts"]["active"], queue["counts"]["failed"]) == (1, 2, 1)
    assert (queue["library_version"], queue["consumers"], result["consumers"]) == ("8.1.2", 1, 1)
    assert 90 <= queue["oldest_age_seconds"] < 150
    assert queue["failures"][0]["first_at"] is not None
    assert queue["failures"][0]["first_at"].startswith("20")
    # Times go on in milliseconds.
    assert shop.retry()["retried"] == 1
    again = json.loads(shop.client.lindex("queue:low", 0))
    assert again["enqueued_at"] >= now
    assert again["retry_count"] == -1


def test_a_namespace(shop: Shop) -> None:
    shop.die([1, 2])
    for key in shop.client.keys("*"):
        shop.client.rename(key, b"shop:" + key)
    assert shop.info()["found"] is None
    assert shop.queues(key_prefix="shop")["low"]["counts"]["failed"] == 2
    assert shop.retry(key_prefix="shop")["retried"] == 2
    assert shop.client.llen("shop:queue:low") == 2


def test_more_dead_jobs_than_may_be_read(shop: Shop) -> None:
    shop.client.sadd("queues", "low", "high")
    for number in range(30):
        shop.bury(jid=f"b{number}", queue="low" if number % 2 else "high")
    result = shop.info(max_unacked=10)
    assert result["complete"] is False
    assert result["failed_count"] is None
    assert {queue["counts"]["failed"] for queue in result["queues"]} == {None}
    assert "only the latest 10 of 30 jobs were read" in json.dumps(result["skipped_sections"])
    assert shop.queues()["low"]["counts"]["failed"] == 15


def test_overdue_and_odd_entries(shop: Shop) -> None:
    shop.ruby.ask({"command": "push", "class": "Register", "queue": "low", "numbers": [1], "at": time.time() + 9000})
    job = shop.client.zrange("schedule", 0, 0)[0]
    shop.client.zadd("schedule", {job: time.time() - 3600})
    shop.client.sadd("queues", "low")
    for odd in (b"\xff\xfe", b"[]", b'{"class": "X"}'):
        shop.client.zadd("schedule", {odd: 1})
    result = shop.info()
    assert result["queues"][0]["overdue"] == 1
    assert result["queues"][0]["counts"]["delayed"] == 1
    assert "in schedule: 3 members that no queue can be told of" in result["notes"]


def test_a_set_called_queues_of_somebody_else(shop: Shop) -> None:
    shop.client.sadd("queues", "north", "south")
    assert shop.info()["found"] is None
    shop.client.delete("queues")
    shop.client.set("queues", "theirs")
    result = shop.info()
    assert result["found"] is None
    assert "key queues is of another type than Sidekiq's and was left alone" in result["notes"]


def test_a_missing_queue_says_where_it_was_looked_for(shop: Shop) -> None:
    shop.ruby.ask({"command": "push", "class": "Register", "queue": "low", "numbers": [1]})
    result = shop.run_module("redis_queue_info", {**shop.server.login(), "system": ["sidekiq"], "queues": ["nope"]})
    assert "Queue 'nope' does not exist in database 0 of" in result["msg"]
    assert "Its queues: low." in result["msg"]
    for result in (shop.retry(queue="nope", system="sidekiq"), shop.control("empty", queue="nope", system="sidekiq")):
        assert "There is no Sidekiq queue 'nope' in database 0 of" in result["msg"]


# --- retry


def test_twice_at_once_under_a_live_worker_every_job_runs_once(shop: Shop) -> None:
    count = 1000
    shop.die(range(count))
    shop.die(range(5), queue="high")
    assert shop.counts()["dead"] == {"low": count, "high": 5}
    shop.client.set("repaired", 1)
    before = writes(shop.server)
    planned = shop.retry(check_mode=True)
    assert (planned["changed"], planned["actions"][0]["count"]) == (True, count)
    assert writes(shop.server) == before
    with shop.ruby.worker(["low", "high"]):
        with ThreadPoolExecutor() as pool:
            runs = list(pool.map(lambda _: shop.retry(), range(2)))
        assert [run.get("msg") for run in runs] == [None, None]
        assert sum(run["retried"] for run in runs) == count
        assert wait_until(lambda: len(shop.done()) >= count, 60)
    assert len(shop.done()) == len(set(shop.done())) == count
    assert shop.counts()["dead"] == {"high": 5}
    assert shop.retry()["changed"] is False


def test_a_job_is_written_as_sidekiq_itself_writes_it(shop: Shop) -> None:
    shop.ruby.ask({"command": "push", "class": "Give", "queue": "low", "numbers": [1]})
    with shop.ruby.worker(["low"]):
        assert wait_until(lambda: shop.client.zcard("dead") == 1, 60)
    kept = shop.client.zrange("dead", 0, -1, withscores=True)
    shop.ruby.ask({"command": "retry_all"})
    theirs = json.loads(shop.client.lpop("queue:low"))
    shop.client.zadd("dead", dict(kept))
    assert shop.retry()["retried"] == 1
    ours = json.loads(shop.client.lpop("queue:low"))
    assert ours.pop("enqueued_at") > theirs.pop("enqueued_at")
    assert ours == theirs
    # With all attempts it is as it was before it failed.
    shop.client.zadd("dead", dict(kept))
    assert shop.retry(reset_attempts=True)["retried"] == 1
    anew = json.loads(shop.client.lpop("queue:low"))
    assert set(theirs) - set(anew) == {"retry_count", "failed_at", "error_class", "error_message"}


def test_only_what_was_meant(shop: Shop) -> None:
    shop.client.sadd("queues", "low")
    one = shop.bury(jid="b1")
    shop.bury(jid="b2", args=[2**70, "낮음"])
    other = shop.bury(jid="b3", queue="high")
    odd = [b"\xff\xfe", b"[]", b'{"queue": "low"}']
    for raw in odd:
        shop.client.zadd("dead", {raw: time.time()})
    result = shop.retry(ids=["b2"])
    assert (result["retried"], result["ids"]) == (1, ["b2"])
    assert sorted(shop.dead()) == sorted([one, other, *odd])
    assert json.loads(shop.client.lindex("queue:low", 0))["args"] == [2**70, "낮음"]
    result = shop.retry(on_refusal="report")
    assert result["retried"] == 1
    assert [each["reason"] for each in result["refused"]] == ["it has no jid, so it cannot be told from others"]
    assert sorted(shop.dead()) == sorted([other, *odd])
    # What is put back later runs later.
    assert [json.loads(raw)["jid"] for raw in shop.client.lrange("queue:low", 0, -1)] == ["b1", "b2"]


def test_keys_of_somebody_else(shop: Shop) -> None:
    shop.bury()
    shop.client.set("queue:low", "theirs")
    for result in (shop.retry(system="sidekiq"), shop.control("empty", system="sidekiq")):
        assert "queue:low is of type string, and Sidekiq keeps a list there" in result["msg"]
    assert shop.client.zcard("dead") == 1


# --- pause, empty


def test_only_pro_pauses(shop: Shop) -> None:
    shop.ruby.ask({"command": "push", "class": "Register", "queue": "low", "numbers": [1]})
    assert "only Sidekiq Pro can do that" in shop.control("paused")["msg"]
    assert "only Sidekiq Pro can pause a queue and resume it" in shop.control("resumed")["msg"]


def test_emptying_takes_one_queue_only(shop: Shop) -> None:
    later = time.time() + 5000
    for queue, count in (("low", 250), ("high", 3)):
        shop.ruby.ask(
            {"command": "push", "class": "Register", "queue": queue, "numbers": list(range(count))},
            {"command": "push", "class": "Register", "queue": queue, "numbers": list(range(count)), "at": later},
        )
    for number in range(120):
        shop.bury(jid=f"b{number}", queue="low" if number < 110 else "high")
    states = ["waiting", "delayed", "retrying", "failed"]
    before = writes(shop.server)
    planned = shop.control("empty", states=states, check_mode=True)
    assert writes(shop.server) == before
    assert planned["removed"] == {"delayed": 250, "waiting": 250, "failed": 110}
    # The oldest first.
    assert shop.control("empty", limit=1)["removed"] == {"waiting": 1}
    assert json.loads(shop.client.lindex("queue:low", -1))["args"] == [1]
    assert shop.control("empty", states=states)["removed"] == {"delayed": 250, "waiting": 249, "failed": 110}
    counts = shop.counts()
    assert (counts["queues"], counts["schedule"], counts["dead"]) == ({"low": 0, "high": 3}, {"high": 3}, {"high": 10})
    assert shop.control("empty", states=states)["changed"] is False
    assert "min_age cannot be kept" in shop.control("empty", min_age="1h")["msg"]
    assert shop.control("empty", queue="high", states=["failed"], min_age="1h")["changed"] is False
    assert "Sidekiq keeps no jobs that are completed." in shop.control("empty", states=["completed"])["msg"]
