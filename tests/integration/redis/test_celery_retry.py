"""Failed tasks of Celery are sent again and its queues emptied, proven by real workers; what cannot be is refused."""

from __future__ import annotations

import base64
import json
import os
import pickle
import shutil
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from lab.celery import Shop
from lab.process import wait_until
from lab.redis import RedisServer
from lab.written import writes

Runner = Callable[..., dict[str, Any]]
THREADS = ("-P", "threads", "-c", "4")
REASON = "ValueError: product <n> is broken, token=********"


class Desk:
    """Everything about one server."""

    def __init__(self, server: RedisServer, run_module: Runner) -> None:
        self.server = server
        self.client = server.client()
        self.run_module = run_module
        self.shops: list[Shop] = []

    def shop(self, **settings: Any) -> Shop:
        self.shops.append(Shop(self.server, **{"extended": True, **settings}))
        return self.shops[-1]

    def retry(self, *, check_mode: bool = False, **options: Any) -> dict[str, Any]:
        return self.run_module(
            "redis_queue_retry", {**self.server.login(), "queue": "batch", **options}, check_mode=check_mode
        )

    def control(self, state: str, *, check_mode: bool = False, **options: Any) -> dict[str, Any]:
        arguments = {**self.server.login(), "queue": "batch", "state": state, **options}
        return self.run_module("redis_queue", arguments, check_mode=check_mode)

    def result(self, identifier: str, prefix: str = "", **changes: Any) -> None:
        """A result as a worker leaves it."""
        meta = {
            "status": "FAILURE",
            "result": {"exc_type": "ValueError", "exc_message": ["product 7 is broken"], "exc_module": "builtins"},
            "traceback": None,
            "children": [],
            "date_done": "2026-01-31T00:00:00+00:00",
            "name": "shop.mend",
            "args": [7],
            "kwargs": {},
            "worker": "celery@w1",
            "retries": 0,
            "queue": "batch",
            "task_id": identifier,
        }
        self.client.set(f"{prefix}celery-task-meta-{identifier}", json.dumps({**meta, **changes}))

    def declare(self, queue: str = "batch", key_prefix: str = "") -> None:
        """An empty queue of an application that has run."""
        self.client.sadd(f"{key_prefix}_kombu.binding.celery", f"{queue}\x06\x16\x06\x16{queue}")


@pytest.fixture
def desk(redis_server: RedisServer, run_module: Runner) -> Iterator[Desk]:
    made = Desk(redis_server, run_module)
    yield made
    for each in made.shops:
        each.app.close()


PLAIN: dict[str, Any] = {}
ELSEWHERE: dict[str, Any] = {
    "transport": {"global_keyprefix": "shop.", "sep": ":", "priority_steps": [0, 5]},
    "result_transport": {"global_keyprefix": "shop"},
}


@pytest.mark.parametrize(
    ("settings", "result_db", "options"),
    [
        (PLAIN, 0, {}),
        (
            ELSEWHERE,
            1,
            {
                **{"key_prefix": "shop.", "separator": ":", "priority_steps": [0, 5]},
                **{"result_db": 1, "result_key_prefix": "shop"},
            },
        ),
    ],
    ids=["plain", "elsewhere"],
)
def test_twice_at_once_under_a_live_worker_every_task_runs_once(
    desk: Desk, settings: dict[str, Any], result_db: int, options: dict[str, Any]
) -> None:
    count = 200
    shop = desk.shop(backend=desk.server.url(result_db), **settings)
    results = desk.server.client(db=result_db)
    results.flushdb()
    sent = [shop.send("mend", number, queue="batch") for number in range(count)]
    other = shop.send("mend", 999, queue="normal")
    with shop.worker(*THREADS, "-Q", "batch,normal"):
        assert wait_until(lambda: len(results.keys("*celery-task-meta-*")) == count + 1, 60)
        # The worker's own writes are not ours: it does not run scripts.
        before = writes(desk.server)
        planned = desk.retry(check_mode=True, **options)
        assert (planned["changed"], planned["actions"]) == (
            True,
            [
                {
                    **{"action": "retry", "queue": "batch", "reason": REASON, "count": count},
                    "example_ids": planned["ids"][:5],
                }
            ],
        )
        assert {
            name: calls for name, calls in writes(desk.server).items() if name in ("eval", "evalsha", "unlink")
        } == {name: calls for name, calls in before.items() if name in ("eval", "evalsha", "unlink")}
        results.set("repaired", 1)
        with ThreadPoolExecutor() as pool:
            runs = list(pool.map(lambda _: desk.retry(**options), range(2)))
        assert [run.get("msg") for run in runs] == [None, None]
        assert sum(run["retried"] for run in runs) == count
        assert wait_until(lambda: results.llen("done") >= count, 60)
        assert wait_until(lambda: len(results.keys("*celery-task-meta-*")) == count + 1, 60)
    done = [int(each) for each in results.lrange("done", 0, -1)]
    assert sorted(done) == list(range(count))
    # Its application still knows it by the same id.
    assert {each.state for each in sent} == {"SUCCESS"}
    assert [each.result for each in sent] == list(range(count))
    assert other.state == "FAILURE"
    assert desk.retry(**options)["changed"] is False
    assert "geheim" not in json.dumps(runs)


def test_tasks_of_a_queue_behind_an_exchange(desk: Desk) -> None:
    """A result names the routing key, not the queue."""
    desk.client.sadd("_kombu.binding.office", "paper\x06\x16\x06\x16reports")
    desk.declare()
    desk.result("r1", queue="paper")
    desk.result("b1", queue="batch")
    assert desk.retry(queue="reports")["ids"] == ["r1"]
    assert (desk.client.llen("reports"), desk.client.llen("batch")) == (1, 0)
    assert desk.retry()["ids"] == ["b1"]


def test_what_is_refused_and_what_to_do(desk: Desk) -> None:
    desk.declare()
    desk.result("fine")
    desk.result("bare", name=None, args=None, kwargs=None, queue=None)
    desk.result("odd", args="(<Basket>,)")
    desk.result("chord", group_id="g1")
    desk.result("long", traceback="x" * 1_100_000)
    desk.result("other", queue="normal")
    desk.result("well", status="SUCCESS")
    before = {key: desk.client.get(key) for key in desk.client.keys("celery-task-meta-*")}
    planned, done = desk.retry(check_mode=True), desk.retry()
    assert planned["ids"] == done["ids"] == ["fine"]
    assert planned["refused"] == done["refused"]
    assert {each["object"].partition("(")[2][:-1]: each["reason"] for each in done["refused"]} == {
        "bare": "its result does not keep name, args, kwargs and queue",
        "odd": "its result does not keep args",
        "chord": "it belongs to a group or chord, whose count of finished tasks would not be right afterwards",
        "long": "its result is longer than 1048576 bytes and was not read",
    }
    assert "set result_extended" in json.dumps(done["refused"])
    assert desk.client.llen("batch") == 1
    # The others are as they were.
    assert {key: desk.client.get(key) for key in before if key != b"celery-task-meta-fine"} == {
        key: value for key, value in before.items() if key != b"celery-task-meta-fine"
    }
    assert any("ignore_result leave no trace" in note for note in done["notes"])
    assert desk.retry()["msg"].startswith("1 failed job of batch (")


def test_without_result_extended_nothing_is_sent(desk: Desk) -> None:
    shop = desk.shop(extended=False, backend=desk.server.url())
    shop.send("mend", 1, queue="batch")
    with shop.worker(*THREADS, "-Q", "batch"):
        assert wait_until(lambda: bool(desk.client.keys("celery-task-meta-*")), 60)
    result = desk.retry()
    assert "its result does not keep name, args, kwargs and queue" in result["msg"]
    assert desk.client.llen("batch") == 0


class Touch:
    """Unpickling this leaves a directory behind."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.path),)


def test_pickles_are_never_opened(desk: Desk, tmp_path: Path) -> None:
    mark = tmp_path / "opened"
    evil = pickle.dumps(Touch(mark))
    desk.declare()
    desk.client.set("celery-task-meta-evil", evil)
    desk.result("fine")
    result = desk.retry(limit=1)
    assert result["retried"] == 1
    assert any(note.startswith("1 result not in JSON (pickle, YAML): not opened") for note in result["notes"])
    # An application that speaks pickle may throw JSON away.
    desk.result("more")
    envelope = json.loads(desk.client.lpop("batch"))
    envelope["body"], envelope["content-type"] = base64.b64encode(evil).decode(), "application/x-python-serialize"
    desk.client.lpush("batch", json.dumps(envelope))
    refused = desk.retry()
    assert "Messages in queue 'batch' are not JSON but another format (pickle, YAML)" in refused["msg"]
    found = desk.run_module("redis_queue_info", {**desk.server.login(), "system": ["celery"], "queues": ["batch"]})
    assert found["queues"][0]["opaque"] == 1
    assert desk.control("empty")["removed"] == {"waiting": 1}
    assert not mark.exists()
    # It would have been, by anybody who trusts it.
    pickle.loads(evil)
    assert mark.exists()


def test_broken_messages_are_no_hindrance(desk: Desk) -> None:
    desk.declare()
    for body in ("not base64!", "aGVsbG8", None):
        message = {"body": body, "content-type": "application/json", "headers": {}, "properties": {}}
        message["properties"] = {"body_encoding": "base64", "delivery_info": {}}
        desk.client.lpush("batch", json.dumps(message))
    desk.client.lpush("batch", b"\xff\xfe", b"{")
    desk.result("fine")
    assert desk.retry()["retried"] == 1
    assert desk.client.llen("batch") == 6


def test_a_result_that_changed_meanwhile_is_left(desk: Desk) -> None:
    """The application itself was quicker, and the task has failed anew: that is another failure."""
    desk.declare()
    desk.result("b1")
    planned = desk.retry(check_mode=True)
    assert planned["ids"] == ["b1"]
    desk.result("b1", date_done="2026-01-31T00:10:00+00:00", status="STARTED")
    assert desk.retry()["changed"] is False


def test_a_list_of_somebody_else(desk: Desk) -> None:
    desk.declare()
    desk.result("b1")
    desk.client.set("batch", "theirs")
    assert "WRONGTYPE" in desk.retry(system="celery")["msg"]
    assert desk.client.exists("celery-task-meta-b1") == 1


def test_a_missing_queue_says_where_it_was_looked_for(desk: Desk) -> None:
    desk.declare("mail")
    for result in (desk.retry(system="celery"), desk.control("empty", system="celery")):
        assert "Queue 'batch' does not exist in database 0 of" in result["msg"]
        assert "Queues there: mail." in result["msg"]


def test_all_priorities_are_emptied_and_what_workers_hold_stays(desk: Desk) -> None:
    shop = desk.shop(transport={"global_keyprefix": "celery:"})
    for priority in range(10):
        for number in range(30):
            shop.send("register", number, queue="batch", priority=priority)
    desk.client.hset("celery:unacked", "tag", json.dumps([{}, "", "batch"]))
    # The manual's DEL, and its LLEN before it, know the first of the lists only.
    cli = shutil.which("redis-cli") or "redis-cli"
    told = subprocess.run(
        [cli, "-p", str(desk.server.port), "LLEN", "celery:batch"], capture_output=True, text=True, check=True
    )
    assert told.stdout.strip() == "90"
    assert shop.declared("batch") == 300
    before = writes(desk.server)
    planned = desk.control("empty", key_prefix="celery:", check_mode=True)
    assert writes(desk.server) == before
    assert planned["removed"] == {"waiting": 300}
    # Those of the highest priority first.
    assert desk.control("empty", key_prefix="celery:", limit=95)["removed"] == {"waiting": 95}
    assert (desk.client.llen("celery:batch"), desk.client.llen("celery:batch\x06\x163")) == (0, 85)
    assert desk.control("empty", key_prefix="celery:")["removed"] == {"waiting": 205}
    assert shop.declared("batch") == 0
    assert desk.client.hlen("celery:unacked") == 1
    assert desk.control("empty", key_prefix="celery:")["changed"] is False
    assert "Celery keeps no failed jobs" in desk.control("empty", key_prefix="celery:", states=["failed"])["msg"]


def test_pausing_is_the_workers_affair(desk: Desk) -> None:
    desk.declare()
    assert "celery -A APP control cancel_consumer batch" in desk.control("paused")["msg"]
    assert "celery -A APP control add_consumer batch" in desk.control("resumed")["msg"]
