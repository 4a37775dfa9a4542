"""RQ's queues: read, retried, paused and emptied, compared with RQ itself and with redis-cli."""

from __future__ import annotations

import base64
import datetime as dt
import os
import pickle
import sys
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from lab.process import wait_until
from lab.redis import RedisServer
from lab.rq import SOURCES, drain, worker
from lab.written import writes
from rq import Queue, Retry
from rq.job import Job
from rq.rate_limit import RateLimit
from rq.registry import FailedJobRegistry
from rq.suspension import is_suspended

Runner = Callable[..., dict[str, Any]]
Watch = Callable[[RedisServer, Callable[[], Any]], Any]


class Shop:
    """The jobs of tests/lab/rq/rq_shop.py against one server."""

    def __init__(self, server: RedisServer, run_module: Runner) -> None:
        self.server = server
        self.client = server.client()
        self.run_module = run_module

    def queue(self, name: str = "normal") -> Queue:
        return Queue(name, connection=self.client)

    def info(self, **options: Any) -> dict[str, Any]:
        result = self.run_module("redis_queue_info", {**self.server.login(), "system": ["rq"], **options})
        assert not result.get("failed"), result
        assert result["available"] is True, result["reason"]
        return result

    def one(self, **options: Any) -> dict[str, Any]:
        queues: list[dict[str, Any]] = self.info(**options)["queues"]
        assert len(queues) == 1
        return queues[0]

    def retry(self, *, check_mode: bool = False, **options: Any) -> dict[str, Any]:
        return self.run_module(
            "redis_queue_retry", {**self.server.login(), "queue": "normal", **options}, check_mode=check_mode
        )

    def control(self, state: str, *, check_mode: bool = False, **options: Any) -> dict[str, Any]:
        arguments = {**self.server.login(), "queue": "normal", "state": state, **options}
        return self.run_module("redis_queue", arguments, check_mode=check_mode)

    def fail(self, count: int, name: str = "normal", **options: Any) -> list[Job]:
        """Jobs that were executed and failed."""
        jobs = [self.queue(name).enqueue("rq_shop.refuse", number, **options) for number in range(count)]
        drain(self.server, name)
        return jobs

    def done(self) -> list[str]:
        return [each.decode() for each in self.client.lrange("done", 0, -1)]


@pytest.fixture
def shop(redis_server: RedisServer, run_module: Runner) -> Iterator[Shop]:
    sys.path.insert(0, str(SOURCES))
    yield Shop(redis_server, run_module)
    sys.path.remove(str(SOURCES))


def test_every_state_is_counted_as_rq_counts_it(shop: Shop, watched: Watch) -> None:
    queue = shop.queue()
    shop.fail(4)
    for number in range(2):
        queue.enqueue("rq_shop.register", number)
    drain(shop.server, "normal")
    waiting = [queue.enqueue("rq_shop.register", number) for number in range(5)]
    queue.enqueue("rq_shop.refuse", 9, at_front=True)
    now = dt.datetime.now(dt.timezone.utc)
    for hours in (1, 2):
        queue.enqueue_at(now + dt.timedelta(hours=hours), "rq_shop.register", hours)
    queue.enqueue_at(now - dt.timedelta(hours=1), "rq_shop.register", 0)
    queue.enqueue("rq_shop.register", 1, depends_on=waiting[0])
    waiting[4].cancel()
    for number in range(3):
        queue.enqueue("rq_shop.register", number, rate_limit=RateLimit("mailer", 1))
    found = watched(shop.server, shop.one)
    expected = {
        "queued": queue.count,
        "failed": queue.failed_job_registry.count,
        "finished": queue.finished_job_registry.count,
        "deferred": queue.deferred_job_registry.count,
        "scheduled": queue.scheduled_job_registry.count,
        "canceled": queue.canceled_job_registry.count,
        "ready": queue.ready_job_registry.count,
        "started": queue.started_job_registry.count,
        "rate_limited": 2,
    }
    assert found["states"] == expected
    assert expected == {
        **{"queued": 6, "failed": 4, "finished": 2, "deferred": 1, "scheduled": 3, "canceled": 1},
        **{"ready": 0, "started": 0, "rate_limited": 2},
    }
    assert found["counts"] == {
        **{"waiting": 6, "active": 0, "delayed": 3, "blocked": 3, "retrying": 0, "failed": 4, "completed": 2},
    }
    assert (found["backlog"], found["overdue"], found["stalled"], found["ghosts"]) == (6, 1, 0, 0)
    assert found["tasks"] == [{"name": "rq_shop.register", "count": 5}, {"name": "rq_shop.refuse", "count": 1}]
    assert [(each["reason"], each["count"]) for each in found["failures"]] == [
        ("ValueError: product <n> has no category, see redis://app:********@redis/<n>", 4)
    ]
    assert found["failures_sampled"] is False
    part = shop.one(max_failed=3)
    assert (part["failures_sampled"], part["failures"][0]["count"], part["counts"]["failed"]) == (True, 3, 4)
    assert "1 scheduled job overdue: is a worker with --with-scheduler running?" in found["notes"]


def test_the_oldest_job_is_found_behind_those_put_in_front(shop: Shop) -> None:
    queue = shop.queue()
    jobs = [queue.enqueue("rq_shop.register", number, at_front=number > 2) for number in range(5)]
    for minutes, job in zip((50, 40, 30, 20, 10), jobs):
        moment = dt.datetime(2026, 1, 31, 12, tzinfo=dt.timezone.utc) - dt.timedelta(minutes=minutes)
        shop.client.hset(job.key, "enqueued_at", moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ"))
    found = shop.one(reference_time="2026-01-31T12:00:00Z")
    assert (found["oldest_age_seconds"], found["oldest_age_exact"]) == (3000.0, True)
    # Only the two in front are looked at.
    found = shop.one(reference_time="2026-01-31T12:00:00Z", sample=2)
    assert (found["oldest_age_seconds"], found["oldest_age_exact"]) == (1200.0, False)
    assert found["oldest_age_note"] == "only the 2 jobs that run next were looked at"


def test_counting_does_not_clean_up_as_rq_does(shop: Shop) -> None:
    jobs = shop.fail(2, failure_ttl=3600)
    shop.client.zadd("rq:failed:normal", {jobs[0].id: 1})
    found = shop.one()
    assert (found["counts"]["failed"], found["ghosts"]) == (1, 0)
    assert "1 finished or failed job expired and not yet cleaned up by RQ" in found["notes"]
    assert shop.server.cli("ZCARD", "rq:failed:normal") == "2"
    # The library's own count writes: that is how it comes to the same figure.
    assert shop.queue().failed_job_registry.count == 1
    assert shop.server.cli("ZCARD", "rq:failed:normal") == "1"


def test_a_worker_and_the_job_it_leaves_when_it_is_killed(shop: Shop) -> None:
    queue = shop.queue()
    queue.enqueue("rq_shop.linger", 7)
    with worker(shop.server, "normal"):
        assert wait_until(lambda: shop.done() == ["lingering:7"], 30)
        found = shop.one()
        assert (found["counts"]["active"], found["stalled"], found["consumers"]) == (1, 0, 1)
        assert found["library_version"] == __import__("rq").VERSION
        assert found["unconsumed"] is False
    queue.enqueue("rq_shop.register", 1)
    # The worker's own key lives for minutes after it; this is what it looks like later.
    for key in shop.client.keys("rq:worker:*"):
        shop.client.delete(key)
    found = shop.one(reference_time=(dt.datetime.now(dt.timezone.utc) + dt.timedelta(hours=1)).isoformat())
    assert (found["counts"]["active"], found["stalled"], found["consumers"]) == (1, 1, 0)
    assert found["unconsumed"] is True
    assert any(note.startswith("1 job whose worker has not been heard of in time") for note in found["notes"])


def test_ghosts_and_orphans(shop: Shop) -> None:
    queue = shop.queue()
    jobs = [queue.enqueue("rq_shop.register", number) for number in range(5)]
    shop.client.delete(jobs[0].key)
    # What DEL of the list, or a crash between two steps, leaves behind.
    shop.client.lrem("rq:queue:normal", 1, jobs[1].id)
    shop.client.hset("rq:job:lost", mapping={"data": b"x", "origin": "elsewhere", "created_at": "2026-01-01T00:00:00Z"})
    found = shop.one()
    assert (found["ghosts"], found["orphans"]) == (1, None)
    later = (dt.datetime.now(dt.timezone.utc) + dt.timedelta(minutes=5)).isoformat()
    result = shop.info(orphans=True, reference_time=later)
    assert (result["queues"][0]["ghosts"], result["queues"][0]["orphans"]) == (1, 1)
    assert "1 job of RQ in no state that belong to no queue read here" in result["notes"]
    # A job that was saved a moment ago is about to be queued.
    assert shop.one(orphans=True)["orphans"] == 0


@pytest.mark.parametrize("name", ["a:b", "a*", "a[b]", "a?c", "낮음"])
def test_odd_names(shop: Shop, name: str) -> None:
    shop.queue(name).enqueue("rq_shop.register", 1)
    shop.queue("axc").enqueue("rq_shop.register", 1)
    shop.queue("axc").enqueue("rq_shop.register", 2)
    assert {queue["name"]: queue["backlog"] for queue in shop.info()["queues"]} == {name: 1, "axc": 2}
    assert shop.one(queues=[name])["backlog"] == 1
    assert shop.control("empty", queue=name)["removed"] == {"waiting": 1}
    assert shop.queue("axc").count == 2


def test_another_key_prefix(shop: Shop) -> None:
    shop.fail(2)
    for key in shop.client.keys("rq:*"):
        shop.client.rename(key, b"shop" + key[2:])
    shop.client.delete("shop:queues")
    shop.client.sadd("shop:queues", "shop:queue:normal")
    assert shop.info()["found"] is None
    assert shop.one(key_prefix="shop")["counts"]["failed"] == 2
    shop.client.set("repaired", 1)
    assert shop.retry(key_prefix="shop")["retried"] == 2
    drain(shop.server, "normal", more={"RQ_KEY_PREFIX": "shop"})
    assert sorted(shop.done()) == ["refuse:0", "refuse:1"]


def test_a_missing_queue_says_where_it_was_looked_for(shop: Shop) -> None:
    shop.queue().enqueue("rq_shop.register", 1)
    result = shop.run_module("redis_queue_info", {**shop.server.login(), "system": ["rq"], "queues": ["nope"]})
    assert result["failed"] is True
    assert "Queue 'nope' does not exist in database 0 of" in result["msg"]
    assert "Its queues: normal." in result["msg"]
    for result in (shop.retry(queue="nope", system="rq"), shop.control("empty", queue="nope", system="rq")):
        assert "There is no RQ queue 'nope' in database 0 of" in result["msg"]


def test_keys_of_somebody_else(shop: Shop) -> None:
    shop.queue().enqueue("rq_shop.register", 1)
    shop.client.set("rq:failed:normal", "theirs")
    result = shop.info()
    assert (result["queues"][0]["counts"]["waiting"], result["queues"][0]["counts"]["failed"]) == (1, None)
    assert result["failed_count"] is None
    assert "key rq:failed:normal is of another type than RQ's and was left alone" in result["notes"]
    for result in (shop.retry(system="rq"), shop.control("empty", system="rq", states=["failed"])):
        assert "rq:failed:normal is of type string, and RQ keeps a zset there" in result["msg"]
    assert shop.client.get("rq:failed:normal") == b"theirs"
    shop.client.delete("rq:queues")
    shop.client.set("rq:queues", "theirs")
    assert shop.info()["found"] is None


class Touch:
    """Unpickling this leaves a file behind."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.path),)


def test_pickles_are_never_opened_and_bombs_do_not_go_off(shop: Shop, tmp_path: Path) -> None:
    jobs = shop.fail(3)
    mark = tmp_path / "opened"
    evil = pickle.dumps(Touch(mark))
    shop.client.hset(jobs[0].key, mapping={"data": zlib.compress(evil), "meta": evil, "result": evil})
    bomb = base64.b64encode(zlib.compress(bytes(100 * 1024 * 1024)))
    shop.client.xadd(f"rq:results:{jobs[1].id}", {"type": "2", "exc_string": bomb, "return_value": evil})
    # Fifty megabytes that nobody reads.
    shop.client.hset(jobs[2].key, "description", bytes(50 * 1024 * 1024))
    found = shop.one()
    assert {each["reason"]: each["count"] for each in found["failures"]} == {
        "ValueError: product <n> has no category, see redis://app:********@redis/<n>": 2,
        "(an error text too long to read)": 1,
    }
    assert shop.retry()["retried"] == 3
    assert not mark.exists()
    # It would have been, by anybody who trusts it.
    pickle.loads(evil)
    assert mark.exists()


# --- retry


def test_twice_at_once_under_a_live_worker_every_job_runs_once(shop: Shop) -> None:
    count = 500
    shop.fail(count)
    assert shop.queue().failed_job_registry.count == count
    shop.client.set("repaired", 1)
    before = writes(shop.server)
    planned = shop.retry(check_mode=True)
    assert (planned["changed"], planned["actions"][0]["count"]) == (True, count)
    assert writes(shop.server) == before
    with worker(shop.server, "normal"):
        with ThreadPoolExecutor() as pool:
            runs = list(pool.map(lambda _: shop.retry(), range(2)))
        assert [run.get("msg") for run in runs] == [None, None]
        assert sum(run["retried"] for run in runs) == count
        assert wait_until(lambda: len(shop.done()) >= count, 60)
        assert wait_until(lambda: shop.queue().finished_job_registry.get_job_count(cleanup=False) == count, 30)
    assert len(shop.done()) == len(set(shop.done())) == count
    assert shop.client.zcard("rq:failed:normal") == 0
    assert shop.retry()["changed"] is False


def test_a_retried_job_does_not_vanish_while_it_waits(shop: Shop) -> None:
    """RQ's own requeue leaves the expiry that the failure had set."""
    theirs, ours = shop.fail(2, failure_ttl=600)
    FailedJobRegistry("normal", connection=shop.client).requeue(theirs.id)
    assert shop.client.ttl(theirs.key) > 0
    assert shop.retry(ids=[ours.id])["retried"] == 1
    assert shop.client.ttl(ours.key) == -1
    again = {job.id: job for job in (Job.fetch(each.id, connection=shop.client) for each in (theirs, ours))}
    mine, its = again[ours.id], again[theirs.id]
    # All else as RQ does it.
    for field in ("origin", "timeout", "ended_at", "started_at", "retries_left", "failure_ttl"):
        assert getattr(mine, field) == getattr(its, field), field
    assert mine.get_status() == its.get_status() == "queued"
    assert mine.enqueued_at is not None
    assert mine.enqueued_at > its.enqueued_at
    assert shop.queue().job_ids == [theirs.id, ours.id]


def test_a_time_to_live_of_its_own_counts_from_now(shop: Shop) -> None:
    shop.fail(1, ttl=500, failure_ttl=9000)
    job = shop.queue().failed_job_registry.get_job_ids()[0]
    assert shop.retry()["retried"] == 1
    assert 0 < shop.client.ttl(f"rq:job:{job}") <= 500


def test_jobs_that_wait_for_a_failed_one_run_after_its_retry(shop: Shop) -> None:
    queue = shop.queue()
    parent = queue.enqueue("rq_shop.refuse", 1, failure_ttl=600)
    queue.enqueue("rq_shop.register", 2, depends_on=parent)
    drain(shop.server, "normal")
    assert (queue.failed_job_registry.count, queue.deferred_job_registry.count) == (1, 1)
    assert shop.client.ttl(parent.dependents_key) > 0
    shop.client.set("repaired", 1)
    assert shop.retry()["retried"] == 1
    assert shop.client.ttl(parent.dependents_key) == -1
    drain(shop.server, "normal")
    assert shop.done() == ["refuse:1", "register:2"]


def test_retries_of_their_own_go_on_where_they_were(shop: Shop) -> None:
    job = shop.fail(1, retry=Retry(max=2))[0]
    drain(shop.server, "normal")
    job.refresh()
    assert (job.retries_left, shop.queue().failed_job_registry.count) == (0, 1)
    result = shop.retry()
    assert (result["retried"], result["notes"]) == (1, [])
    drain(shop.server, "normal")
    # One attempt, as with RQ's own requeue.
    assert shop.queue().failed_job_registry.count == 1


def test_what_is_left_alone(shop: Shop) -> None:
    ghost, limited, moved, running, fine = shop.fail(5)
    shop.client.delete(ghost.key)
    shop.client.hset(limited.key, "rate_limit_key", "mailer")
    shop.client.hset(moved.key, "origin", "elsewhere")
    shop.client.zadd(f"rq:executions:{running.id}", {"x": 9_000_000_000})
    planned, done = shop.retry(check_mode=True), shop.retry()
    assert done["ids"] == planned["ids"] == [fine.id]
    reasons = {each["reason"]: each["object"] for each in done["refused"]}
    assert {reason[:30]: ids.partition("(")[2] for reason, ids in reasons.items()} == {
        "its data is missing, so a work": f"{ghost.id})",
        "it has a rate limit, and RQ le": f"{limited.id})",
        "it says that it belongs to ano": f"{moved.id})",
        "a worker holds a lock on it, s": f"{running.id})",
    }
    assert shop.client.zcard("rq:failed:normal") == 4


def test_a_full_server_refuses_before_anything_is_moved(shop: Shop) -> None:
    shop.fail(3)
    shop.client.config_set("maxmemory", 1)
    try:
        result = shop.retry()
        removed = shop.control("empty", states=["failed"], limit=1)
    finally:
        shop.client.config_set("maxmemory", 0)
    assert "has reached maxmemory and evicts nothing" in result["msg"]
    assert shop.queue().count == 0
    # Emptying is what helps then.
    assert removed["removed"] == {"failed": 1}, removed


# --- pause, resume, empty


def test_pause_and_resume_with_a_live_worker(shop: Shop) -> None:
    queue = shop.queue()
    queue.enqueue("rq_shop.linger", 1)
    with worker(shop.server, "normal"):
        assert wait_until(lambda: shop.done() == ["lingering:1"], 30)
        before = writes(shop.server)
        assert shop.control("paused", check_mode=True)["changed"] is True
        # The worker's own heartbeats, and nothing of ours.
        assert "set" not in {name for name, calls in writes(shop.server).items() if calls > before.get(name, 0)}
        paused = shop.control("paused")
        assert (paused["changed"], paused["paused"]) == (True, True)
        assert is_suspended(shop.client)
        assert shop.control("paused")["changed"] is False
        assert shop.one()["paused"] is True
        queue.enqueue("rq_shop.register", 2)
        shop.client.set("leave", 1)
        # What it has is finished; then it looks, and fetches nothing.
        assert wait_until(lambda: b"suspended" in _states(shop), 30)
        assert (shop.done(), queue.count) == (["lingering:1", "linger:1"], 1)
        assert shop.control("resumed")["changed"] is True
        assert wait_until(lambda: shop.done()[2:] == ["register:2"], 30)
    assert shop.control("resumed")["changed"] is False


def test_an_idle_worker_takes_one_job_more(shop: Shop) -> None:
    """So does RQ's own suspend; whoever pauses is told."""
    shop.queue().enqueue("rq_shop.register", 1)
    with worker(shop.server, "normal"):
        assert wait_until(lambda: len(shop.done()) == 1, 30)
        assert wait_until(lambda: "idle" in {state.decode() for state in _states(shop) if state}, 30)
        notes = shop.control("paused")["notes"]
        assert any("waits for a job when the pause begins takes one more" in note for note in notes)
        shop.queue().enqueue("rq_shop.register", 2)
        assert wait_until(lambda: len(shop.done()) == 2, 30)
        shop.queue().enqueue("rq_shop.register", 3)
        assert wait_until(lambda: b"suspended" in _states(shop), 30)
    assert len(shop.done()) == 2


def _states(shop: Shop) -> set[Any]:
    keys = shop.client.keys("rq:worker:*")
    return {shop.client.hget(key, "state") for key in keys if shop.client.type(key) == b"hash"}


def test_one_pause_for_all_is_asked_for(shop: Shop) -> None:
    shop.queue().enqueue("rq_shop.register", 1)
    shop.queue("mail").enqueue("rq_shop.register", 1)
    refused = shop.control("paused")
    assert "RQ has one pause for all its queues: with 'normal' also mail would be paused." in refused["msg"]
    assert not is_suspended(shop.client)
    assert shop.control("paused", all_queues=True)["changed"] is True
    assert "with 'normal' also mail would be resumed" in shop.control("resumed")["msg"]
    assert shop.control("resumed", all_queues=True)["changed"] is True


def test_emptying_takes_every_key_and_leaves_what_others_wait_for(shop: Shop) -> None:
    queue = shop.queue()
    jobs = [queue.enqueue("rq_shop.register", number) for number in range(250)]
    first = queue.enqueue("rq_shop.register", 300, depends_on=jobs[3])
    queue.enqueue("rq_shop.register", 301, depends_on=first)
    shop.client.delete(jobs[9].key)
    before = writes(shop.server)
    planned = shop.control("empty", check_mode=True)
    assert writes(shop.server) == before
    done = shop.control("empty")
    assert (
        done["actions"]
        == planned["actions"]
        == [{"action": "remove", "queue": "normal", "state": "waiting", "jobs": 249}]
    )
    assert done["ghosts"] == planned["ghosts"] == 1
    assert [(each["state"], each["jobs"], each["examples"]) for each in done["kept"]] == [("waiting", 1, [jobs[3].id])]
    assert queue.job_ids == [jobs[3].id]
    assert shop.control("empty")["changed"] is False
    # With those that wait it goes, too, the last of them first.
    planned = shop.control("empty", states=["waiting", "blocked"], check_mode=True)
    done = shop.control("empty", states=["waiting", "blocked"])
    assert done["removed"] == planned["removed"] == {"blocked": 2, "waiting": 1}
    assert (done["kept"], planned["kept"]) == ([], [])
    assert shop.client.keys("*") == [b"rq:queues"]


def test_old_failures_go_and_their_results_with_them(shop: Shop) -> None:
    jobs = shop.fail(6)
    for job in jobs[:4]:
        shop.client.hset(job.key, "ended_at", "2026-01-01T00:00:00.000000Z")
    assert shop.control("empty", states=["failed"], min_age="1d", limit=3)["removed"] == {"failed": 3}
    assert shop.control("empty", states=["failed"], min_age="1d")["removed"] == {"failed": 1}
    assert {key.decode() for key in shop.client.keys("rq:job:*")} == {job.key for job in jobs[4:]}
    assert len(shop.client.keys("rq:results:*")) == 2
    assert "min_age cannot be kept" in shop.control("empty", min_age="1d")["msg"]
    assert "more than max_jobs (1)" in shop.control("empty", states=["failed"], max_jobs=1)["msg"]
    assert shop.queue().failed_job_registry.count == 2
