"""redis_queue_info against a real Celery application, compared with redis-cli and with Celery's own inspection."""

from __future__ import annotations

import base64
import json
import os
import pickle
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from kombu import Queue
from lab.celery import Shop
from lab.process import wait_until
from lab.redis import RedisServer

Runner = Callable[..., dict[str, Any]]
Watch = Callable[[RedisServer, Callable[[], Any]], Any]
HERE = Path(__file__).parent
SEPARATOR = "\x06\x16"


@pytest.fixture
def shop(redis_server: RedisServer) -> Iterator[Callable[..., Shop]]:
    made: list[Shop] = []

    def make(**settings: Any) -> Shop:
        made.append(Shop(redis_server, **settings))
        return made[-1]

    yield make
    for each in made:
        each.app.close()


def read(run_module: Runner, server: RedisServer, **options: Any) -> dict[str, Any]:
    result = run_module("redis_queue_info", {**server.login(), **options})
    assert not result.get("failed"), result
    assert result["available"] is True, result["reason"]
    return result


def queues(result: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {queue["name"]: queue for queue in result["queues"]}


def fill(shop: Shop) -> None:
    for priority in range(10):
        shop.send("register", priority, queue="normal", priority=priority)
    for number in range(7):
        shop.send("refuse", number, queue="batch")
    # Through exchanges of their own; otherwise Celery publishes to the default exchange.
    shop.send("register", 1, queue="reports", exchange="office", routing_key="paper")
    shop.send("register", 1, queue="alarms", exchange="events", routing_key="alarm.fire.cellar")


PREFIXED = {
    "transport": {"global_keyprefix": "celery:"},
    "result_transport": {"global_keyprefix": "celery:"},
}


@pytest.mark.parametrize("check_mode", [False, True])
@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, {"normal", "batch", "reports", "alarms"}),
        ({"key_prefix": "celery:"}, {"normal", "batch", "reports", "alarms"}),
        ({"key_prefix": "celery:", "queues": ["normal", "reports"]}, {"normal", "reports"}),
    ],
)
def test_waiting_jobs_of_all_priorities(
    run_module: Runner,
    shop: Callable[..., Shop],
    watched: Watch,
    options: dict[str, Any],
    expected: set[str],
    check_mode: bool,
) -> None:
    application = shop(**PREFIXED)
    server = application.server
    fill(application)
    arguments = {**server.login(), **options}
    result = watched(server, lambda: run_module("redis_queue_info", arguments, check_mode=check_mode))
    assert (result["available"], result["changed"], result["complete"], result["skipped_sections"]) == (
        True,
        False,
        True,
        [],
    )
    found = queues(result)
    assert set(found) == expected
    normal = found["normal"]
    assert (normal["counts"]["waiting"], normal["backlog"], normal["prefix"]) == (10, 10, "celery:")
    assert normal["counts"]["waiting"] == application.declared("normal")
    # The manual's LLEN sees the jobs of priority 0, 1 and 2.
    assert int(server.cli("LLEN", "celery:normal")) == 3
    for entry in normal["priorities"]:
        suffix = f"{SEPARATOR}{entry['priority']}" if entry["priority"] else ""
        assert entry["waiting"] == int(server.cli("LLEN", f"celery:normal{suffix}"))
    assert [entry["priority"] for entry in normal["priorities"]] == [0, 3, 6, 9]
    assert (normal["oldest_age_seconds"], normal["oldest_age_exact"]) == (None, False)
    assert normal["oldest_age_note"] == "Celery's messages carry no time of publication"
    assert (normal["tasks"], normal["sampled"]) == ([{"name": "shop.register", "count": 10}], 10)
    assert (normal["paused"], normal["consumers"], normal["library_version"]) == (None, 0, None)
    if "batch" in found:
        assert found["batch"]["counts"]["waiting"] == application.declared("batch") == 7
        assert found["batch"]["tasks"] == [{"name": "shop.refuse", "count": 7}]
        assert found["alarms"]["counts"]["waiting"] == 1
    assert found["reports"]["counts"]["waiting"] == 1
    assert (result["consumers"], result["unconsumed"]) == (0, True)


def test_named_queues_need_no_scan(run_module: Runner, shop: Callable[..., Shop]) -> None:
    application = shop()
    fill(application)
    client = application.server.client()
    client.config_resetstat()
    result = read(run_module, application.server, queues=["normal", "batch"], failures=False)
    assert "cmdstat_scan" not in client.info("commandstats")
    assert (result["keys_seen"], result["complete"]) == (0, True)
    assert (result["failed_count"], result["failed_seen"]) == (None, None)


@pytest.fixture
def held(shop: Callable[..., Shop]) -> Iterator[Shop]:
    """A worker that holds a job of each of two queues and two scheduled ones."""
    application = shop(**PREFIXED)
    application.send("register", 1, queue="normal", countdown=600)
    application.send("register", 2, queue="normal", countdown=7200)
    with application.worker("-c", "2", "-Q", "normal,batch,reports") as process:
        client = application.server.client()
        assert wait_until(lambda: client.hlen("celery:unacked") == 2, 60, 0.1)
        application.send("crawl", 600, queue="batch")
        application.send("crawl", 600, queue="reports", exchange="office", routing_key="paper")
        assert wait_until(lambda: client.hlen("celery:unacked") == 4, 60, 0.1)
        application.process = process  # type: ignore[attr-defined]
        yield application


def test_unacknowledged_jobs_belong_to_their_queues(run_module: Runner, held: Shop) -> None:
    server = held.server
    inspection = held.app.control.inspect(timeout=10, limit=1)
    assert wait_until(lambda: sum(map(len, (inspection.active() or {}).values())) == 2, 60, 0.1)
    result = read(run_module, server, key_prefix="celery:", queues=["normal", "batch", "reports"])
    found = queues(result)
    active = [task["delivery_info"]["routing_key"] for tasks in inspection.active().values() for task in tasks]
    scheduled = [entry["request"]["name"] for entries in inspection.scheduled().values() for entry in entries]
    assert sorted(active) == ["batch", "paper"]
    assert scheduled == ["shop.register"] * 2
    assert found["batch"]["counts"] | {"failed": None} == {
        "waiting": 0,
        "active": 1,
        "delayed": 0,
        "blocked": None,
        "retrying": None,
        "failed": None,
        "completed": None,
    }
    assert (found["reports"]["counts"]["active"], found["reports"]["backlog"]) == (1, 1)
    normal = found["normal"]
    assert (normal["counts"]["active"], normal["counts"]["delayed"], normal["backlog"], normal["unacked"]) == (
        0,
        2,
        0,
        2,
    )
    # The one in two hours is delivered a second time after one hour, and then runs twice.
    assert normal["redelivery_risk"] == 1
    assert "further ahead than the visibility timeout of 3600 s" in normal["notes"][0]
    assert sum(queue["unacked"] for queue in result["queues"]) == int(server.cli("HLEN", "celery:unacked")) == 4
    assert result["unattributed"]["unacked"] == 0
    assert result["consumers"] >= 1
    assert result["unconsumed"] is False
    only_batch = read(run_module, server, key_prefix="celery:", queues=["batch"])
    assert (queues(only_batch)["batch"]["unacked"], only_batch["unattributed"]["other_queues"]) == (1, 3)


def test_jobs_of_a_dead_worker_get_stuck(run_module: Runner, held: Shop) -> None:
    os.killpg(held.process.pid, signal.SIGKILL)  # type: ignore[attr-defined]
    held.process.wait(240)  # type: ignore[attr-defined]
    fresh = queues(read(run_module, held.server, key_prefix="celery:"))
    assert {name: queue["stalled"] for name, queue in fresh.items()} == {"normal": 0, "batch": 0, "reports": 0}
    later = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 4000))
    result = read(run_module, held.server, key_prefix="celery:", reference_time=later)
    found = queues(result)
    assert (found["normal"]["stalled"], found["batch"]["stalled"], found["reports"]["stalled"]) == (2, 1, 1)
    assert found["batch"]["oldest_unacked_seconds"] > 3600
    assert "no worker is there to take them back" in found["batch"]["notes"][0]
    # By then the first of the two scheduled jobs is due.
    assert (found["normal"]["counts"]["delayed"], found["normal"]["counts"]["active"]) == (1, 1)
    assert result["consumers"] == 0


@pytest.mark.parametrize("extended", [False, True])
def test_failures(run_module: Runner, shop: Callable[..., Shop], watched: Watch, extended: bool) -> None:
    application = shop(extended=extended, **PREFIXED)
    server = application.server
    results = [application.send("refuse", number, queue="batch") for number in range(12)]
    results += [application.send("register", 1, queue="normal"), application.send("register", [], queue="normal")]
    with application.worker("-c", "1", "-Q", "normal,batch", "-P", "solo"):
        assert wait_until(lambda: all(result.ready() for result in results), 60, 0.1)
    found = watched(server, lambda: read(run_module, server, key_prefix="celery:"))
    failed = [result for result in results if result.state == "FAILURE"]
    assert found["failed_count"] == found["failed_seen"] == len(failed) == 12
    assert found["results"] == {"FAILURE": 12, "SUCCESS": 2}
    (group,) = found["failures"]
    assert (group["reason"], group["count"]) == (
        "ValueError: product <n> has no category, see redis://app:********@redis/<n>",
        12,
    )
    assert "geheim" not in json.dumps(found)
    assert group["example"].startswith("ValueError: product ")
    batch, normal = queues(found)["batch"], queues(found)["normal"]
    if extended:
        assert (batch["counts"]["failed"], normal["counts"]["failed"]) == (12, 0)
        assert batch["failures"] == found["failures"]
        assert found["unattributed"]["failures"] == 0
    else:
        assert (batch["counts"]["failed"], normal["counts"]["failed"]) == (None, None)
        assert found["unattributed"]["failures"] == 12
        assert "results name it only with the setting result_extended" in found["notes"][0]
    in_an_hour = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 3600))
    older = read(run_module, server, key_prefix="celery:", failed_within=60.0, reference_time=in_an_hour)
    assert (older["failed_count"], older["failures"]) == (0, [])
    elsewhere = read(run_module, server, key_prefix="celery:", result_key_prefix="other")
    assert elsewhere["failed_count"] == 0


def test_results_in_a_database_of_their_own(run_module: Runner, shop: Callable[..., Shop]) -> None:
    redis_url = shop().server.url(2)
    application = shop(backend=redis_url, result_transport={"global_keyprefix": "shop"})
    result = application.send("refuse", 1, queue="batch")
    with application.worker("-c", "1", "-Q", "batch", "-P", "solo"):
        assert wait_until(result.ready, 60, 0.1)
    assert application.server.client(db=2).exists(f"shop_celery-task-meta-{result.id}")
    assert read(run_module, application.server, queues=["batch"])["failed_count"] == 0
    found = read(run_module, application.server, queues=["batch"], result_db=2, result_key_prefix="shop")
    assert (found["failed_count"], found["failures"][0]["count"]) == (1, 1)
    wrong = read(run_module, application.server, queues=["batch"], result_db=99)
    assert wrong["failed_count"] is None
    assert wrong["skipped_sections"][0]["section"] == "failed_count"
    assert "has no database with this number" in wrong["skipped_sections"][0]["reason"]


class Exploding:
    """Unpickling this would leave a file."""

    path = ""

    def __reduce__(self) -> Any:
        return (Path.touch, (Path(self.path),))


def test_pickles_are_never_opened(
    run_module: Runner, shop: Callable[..., Shop], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Exploding, "path", str(tmp_path / "exploded"))
    application = shop(task_serializer="pickle", result_serializer="pickle")
    client = application.server.client()
    application.send("register", 1, queue="normal")
    (raw,) = client.lrange("normal", 0, 0)
    message = json.loads(raw)
    assert message["content-type"] == "application/x-python-serialize"
    message["body"] = base64.b64encode(pickle.dumps(Exploding())).decode()
    client.lpush("normal", json.dumps(message))
    client.set("celery-task-meta-1", pickle.dumps(Exploding()))
    client.hset("unacked", "tag", json.dumps([message, "", "normal"]))
    client.zadd("unacked_index", {"tag": time.time()})
    found = read(run_module, application.server)
    normal = queues(found)["normal"]
    assert (normal["opaque"], normal["malformed"], normal["unacked"], normal["counts"]["waiting"]) == (3, 0, 1, 2)
    assert normal["tasks"] == [{"name": "shop.register", "count": 2}]
    assert found["failed_count"] is None
    assert found["skipped_sections"][0]["reason"] == "1 result not in JSON (pickle, YAML), whose status is unknown"
    assert not (tmp_path / "exploded").exists()


def test_malformed_messages_are_counted(run_module: Runner, shop: Callable[..., Shop]) -> None:
    application = shop()
    client = application.server.client()
    application.send("register", 1, queue="normal")
    message = json.loads(client.lrange("normal", 0, 0)[0])
    broken = json.dumps(message | {"body": "not base64!"})
    client.rpush("normal", b"\xff\xfe", b"{", b"[" * 50_000, broken, "null")
    for tag, entry in (("a", b"\xff"), ("b", b"[]"), ("c", json.dumps([message, "nowhere", "unknown"]))):
        client.hset("unacked", tag, entry)
        client.zadd("unacked_index", {tag: time.time()})
    client.hset("unacked", "forgotten", json.dumps([message, "", "normal"]))
    found = read(run_module, application.server)
    normal = queues(found)["normal"]
    assert (normal["counts"]["waiting"], normal["malformed"], normal["sampled"]) == (6, 5, 6)
    assert normal["tasks"] == [{"name": "shop.register", "count": 1}]
    assert normal["notes"] == ["5 messages of those looked at cannot be decoded"]
    assert found["unattributed"] == {
        "unacked": 1,
        "malformed": 2,
        "too_large": 0,
        "other_queues": 0,
        "without_index": 1,
        "failures": 0,
    }
    assert "without an entry in the index: nothing ever takes them back" in found["notes"][0]


def test_large_messages_are_not_read(run_module: Runner, shop: Callable[..., Shop]) -> None:
    application = shop()
    client = application.server.client()
    application.send("register", 1, queue="normal")
    message = json.loads(client.lrange("normal", 0, 0)[0])
    large = json.dumps(message | {"body": base64.b64encode(b"x" * 20_000_000).decode()})
    client.delete("normal")
    client.lpush("normal", large)
    client.hset("unacked", "tag", json.dumps([json.loads(large), "", "normal"]))
    client.zadd("unacked_index", {"tag": time.time()})
    client.set("celery-task-meta-1", json.dumps({"status": "SUCCESS", "result": "x" * 20_000_000}))
    client.set("celery-task-meta-2", json.dumps({"status": "FAILURE", "result": {}, "traceback": "x" * 20_000_000}))
    client.config_resetstat()
    before = client.info("stats")["total_net_output_bytes"]
    found = read(run_module, application.server)
    assert client.info("stats")["total_net_output_bytes"] - before < 1_000_000
    normal = queues(found)["normal"]
    assert (normal["counts"]["waiting"], normal["sampled"]) == (1, 0)
    assert "are too large to look into" in normal["notes"][0]
    assert found["unattributed"]["too_large"] == 1
    assert found["results"] == {"SUCCESS": 1, "FAILURE": 1}
    assert found["failures"][0]["reason"] == "(a result too long to read)"


def test_custom_separator_and_steps(run_module: Runner, shop: Callable[..., Shop]) -> None:
    transport = {"sep": ":", "priority_steps": [0, 5], "global_keyprefix": "{app}[1]*"}
    application = shop(transport=transport)
    for priority in (0, 4, 5, 9):
        application.send("register", 1, queue="normal", priority=priority)
    found = read(
        run_module, application.server, separator=":", priority_steps=[0, 5], key_prefix=transport["global_keyprefix"]
    )
    normal = queues(found)["normal"]
    assert normal["counts"]["waiting"] == application.declared("normal") == 4
    assert normal["priorities"] == [{"priority": 0, "waiting": 2}, {"priority": 5, "waiting": 2}]
    assert (normal["unread"], normal["notes"]) == (0, [])
    # With the separator of others the names of the queues cannot even be read.
    other = read(run_module, application.server, key_prefix=transport["global_keyprefix"])
    assert (other["found"], other["queues"]) == (None, [])
    assert "is separator the application's own?" in other["notes"][0]


def test_priorities_that_no_worker_reads(run_module: Runner, shop: Callable[..., Shop]) -> None:
    producer = shop(transport={"priority_steps": list(range(10))})
    for priority in (0, 5, 7, 9):
        producer.send("register", 1, queue="normal", priority=priority)
    normal = queues(read(run_module, producer.server))["normal"]
    # With the default steps a worker counts 2 and would never fetch the others.
    assert shop().declared("normal") == 2
    assert (normal["counts"]["waiting"], normal["unread"]) == (4, 2)
    assert normal["notes"] == ["2 messages of priority 5, 7: workers with priority_steps 0, 3, 6, 9 never fetch them"]


# --- queues that are not there


def old_way(server: RedisServer, *command: str) -> tuple[int, str]:
    """The manual's command: what redis-cli prints, and the status that a script would look at."""
    program = shutil.which("redis-cli") or str(server.binary.with_name("redis-cli"))
    done = subprocess.run(
        [program, "-h", server.host, "-p", str(server.port), *command], capture_output=True, text=True, check=False
    )
    return done.returncode, done.stdout.strip()


def test_a_wrong_name_is_an_error_and_not_a_queue_of_length_zero(run_module: Runner, shop: Callable[..., Shop]) -> None:
    application = shop(**PREFIXED)
    server = application.server
    fill(application)
    assert old_way(server, "LLEN", "celery:waiting") == (0, "0")
    result = run_module(
        "redis_queue_info",
        {**server.login(), "system": ["celery"], "queues": ["normal", "waiting"], "key_prefix": "celery:"},
    )
    place = f"database 0 of {server.host}:{server.port}"
    reason = (
        f"Queue 'waiting' does not exist in {place} with key prefix 'celery:': "
        "it has no list, no binding and no unacknowledged message. Queues there: alarms, batch, normal, reports."
    )
    assert (result["failed"], result["msg"]) == (True, reason)
    assert "queues" not in result
    celery = {"system": ["celery"], "key_prefix": "celery:"}
    reported = read(run_module, server, queues=["normal", "waiting"], missing_queues="report", **celery)
    missing = queues(reported)["waiting"]
    assert (missing["exists"], missing["reason"], missing["backlog"]) == (False, reason, None)
    assert set(missing["counts"].values()) == {None}
    assert queues(reported)["normal"]["backlog"] == 10
    forgotten = run_module("redis_queue_info", {**server.login(), "system": ["celery"], "queues": ["normal"]})
    assert "Queues with key prefix 'celery:': alarms, batch, normal, reports; set key_prefix." in forgotten["msg"]


def test_the_wrong_database_says_where_the_keys_are(run_module: Runner, shop: Callable[..., Shop]) -> None:
    application = shop(db=1)
    server = application.server
    fill(application)
    assert old_way(server, "LLEN", "normal") == (0, "0")
    result = run_module("redis_queue_info", {**server.login(), "system": ["celery"], "queues": ["normal"]})
    assert result["msg"] == (
        f"Queue 'normal' does not exist in database 0 of {server.host}:{server.port} with key prefix '': "
        "it has no list, no binding and no unacknowledged message. No Celery queue was found among 0 keys. "
        f"Database 0 of {server.host}:{server.port} is empty; keys are in database 1 "
        f"({server.cli('DBSIZE', db=1)} keys). Is login_db right?"
    )
    discovered = read(run_module, server)
    assert (discovered["queues"], discovered["found"], discovered["failed_count"]) == ([], None, None)
    assert {entry["section"] for entry in discovered["skipped_sections"]} == {"found", "failed_count", "unconsumed"}
    assert "Is login_db right?" in discovered["skipped_sections"][0]["reason"]
    assert set(queues(read(run_module, server, login_db=1))) == {"normal", "batch", "reports", "alarms"}


def test_an_empty_queue_exists(run_module: Runner, shop: Callable[..., Shop]) -> None:
    """Redis drops empty lists; the binding tables still know the queue, under the name of its exchange."""
    application = shop()
    server = application.server
    fill(application)
    server.client().delete("reports", "normal", *(f"normal{SEPARATOR}{step}" for step in (3, 6, 9)))
    found = queues(read(run_module, server, queues=["normal", "reports"]))
    for queue in found.values():
        assert (queue["exists"], queue["counts"]["waiting"], queue["backlog"]) == (True, 0, 0)


def test_keys_of_another_type(run_module: Runner, redis_server: RedisServer) -> None:
    client = redis_server.client()
    client.hset("normal", "a", "b")
    client.set("_kombu.binding.normal", "a foreign text")
    client.lpush("unacked", "x")
    client.set("celery-task-meta-1", "{}")
    client.lpush("celery-task-meta-2", "{}")
    assert old_way(redis_server, "LLEN", "normal")[0] == 0
    found = read(run_module, redis_server, queues=["normal"])
    normal = queues(found)["normal"]
    assert (normal["counts"]["waiting"], normal["backlog"], normal["unacked"]) == (None, None, None)
    assert normal["notes"][0].startswith("priority 0 could not be read: LLEN was refused: WRONGTYPE")
    assert "key unacked is of another type than Celery's and was left alone" in found["notes"]


@pytest.mark.parametrize("name", ["a:b", "a*", "a[b]", "a?c", "큐 1", "a\\b", "x" * 200])
def test_odd_names(run_module: Runner, shop: Callable[..., Shop], name: str) -> None:
    application = shop()
    server = application.server
    application.app.amqp.queues.add(Queue(name))
    for priority in (0, 9):
        application.send("register", 1, queue=name, priority=priority)
    server.client().lpush("ab", "not ours")
    for options in ({}, {"queues": [name]}):
        found = queues(read(run_module, server, **options))
        assert found[name]["counts"]["waiting"] == 2


def test_remote_control_and_events_are_no_queues(run_module: Runner, held: Shop) -> None:
    client = held.server.client()
    assert client.exists("celery:_kombu.binding.celery.pidbox")
    assert client.exists("celery:_kombu.binding.celeryev")
    assert set(queues(read(run_module, held.server))) == {"normal", "batch", "reports"}


def test_two_applications_in_one_database(run_module: Runner, shop: Callable[..., Shop]) -> None:
    first, second = shop(transport={"global_keyprefix": "a:"}), shop(transport={"global_keyprefix": "b:"})
    first.send("register", 1, queue="normal")
    for _ignored in range(3):
        second.send("register", 1, queue="normal")
    found = read(run_module, first.server)
    assert sorted((queue["prefix"], queue["name"], queue["backlog"]) for queue in found["queues"]) == [
        ("a:", "normal", 1),
        ("b:", "normal", 3),
    ]
    assert queues(read(run_module, first.server, key_prefix="b:"))["normal"]["backlog"] == 3


def test_versions(run_module: Runner, server: RedisServer, watched: Watch) -> None:
    """The same figures from every server that is here."""
    application = Shop(server, **PREFIXED)
    try:
        fill(application)
        found = watched(server, lambda: read(run_module, server))
        assert {name: queue["backlog"] for name, queue in queues(found).items()} == {
            "normal": 10,
            "batch": 7,
            "reports": 1,
            "alarms": 1,
        }
        assert (found["complete"], found["keys_seen"], found["endpoint"]["dbsize"]) == (
            True,
            int(server.cli("DBSIZE")),
            int(server.cli("DBSIZE")),
        )
    finally:
        application.app.close()


# --- limits and permissions


def test_budgets(run_module: Runner, shop: Callable[..., Shop]) -> None:
    application = shop()
    server = application.server
    fill(application)
    client = server.client()
    with client.pipeline(transaction=False) as pipeline:
        for number in range(20000):
            pipeline.set(f"celery-task-meta-{number:06}", json.dumps({"status": "FAILURE", "result": {}}))
        pipeline.execute()
    complete = read(run_module, server)
    assert (complete["complete"], complete["failed_count"]) == (True, 20000)
    bounded = read(run_module, server, queues=["normal"], max_keys=1000)
    assert (bounded["complete"], bounded["failed_count"], bounded["keys_seen"]) == (False, None, 1000)
    assert 0 < bounded["failed_seen"] < 20000
    assert queues(bounded)["normal"]["backlog"] == 10
    assert bounded["skipped_sections"][0]["section"] == "failed_count"
    message = client.lrange("normal", 0, 0)[0].decode()
    for number in range(30):
        client.hset("unacked", f"tag{number}", json.dumps([json.loads(message), "", "normal"]))
        client.zadd("unacked_index", {f"tag{number}": time.time()})
    assert queues(read(run_module, server))["normal"]["unacked"] == 30
    few = read(run_module, server, max_unacked=10)
    normal = queues(few)["normal"]
    assert (normal["unacked"], normal["backlog"], few["complete"]) == (None, None, False)
    assert "only the oldest 10 of 30 unacknowledged messages were read" in {
        entry["reason"] for entry in few["skipped_sections"]
    }


def test_permissions(run_module: Runner, shop: Callable[..., Shop]) -> None:
    application = shop()
    server = application.server
    fill(application)
    server.cli("ACL", "SETUSER", "watcher", "on", ">geheim", "~*", "nocommands", "+ping", "+info", "+llen")
    login = server.login(login_user="watcher", login_password="geheim", system=["celery"])
    try:
        result = run_module("redis_queue_info", {**login, "queues": ["normal"]})
        assert result["available"] is False
        # Everything, also what would only cost a figure: nobody has to come back for the next one.
        rules = "+client|list +dbsize +getrange +hget +hlen +hstrlen +lrange +memory|usage +scan +smembers +time"
        rules += " +zcard +zrange"
        assert result["reason"].endswith(f"Grant: ACL SETUSER watcher {rules}")
        needed = "+hget +hlen +hstrlen +lrange +smembers +zcard +zrange"
        server.cli("ACL", "SETUSER", "watcher", *needed.split())
        result = run_module("redis_queue_info", {**login, "queues": ["normal"]})
        assert result["available"] is True, result["reason"]
        assert queues(result)["normal"]["backlog"] == 10
        assert (result["failed_count"], result["consumers"], result["unconsumed"]) == (None, None, None)
        assert {(entry["section"], entry["reason"].rsplit(" ", 1)[1]) for entry in result["skipped_sections"]} == {
            ("endpoint", "+dbsize"),
            ("endpoint", "+time"),
            ("consumers", "+client|list"),
            ("unconsumed", "+client|list"),
            ("tasks", "+memory|usage"),
            ("failed_count", "+getrange"),
            ("failed_count", "+scan"),
        }
        missing = run_module("redis_queue_info", {**login, "queues": ["nope"]})
        assert "Queue 'nope' does not exist" in missing["msg"]
        server.cli("ACL", "SETUSER", "watcher", "resetkeys", "~normal*", "~_kombu*", "~unacked*")
        result = run_module("redis_queue_info", {**login, "queues": ["normal", "batch"]})
        assert (queues(result)["normal"]["backlog"], queues(result)["batch"]["backlog"]) == (10, None)
        assert "the ACL does not grant ~batch" in {entry["reason"] for entry in result["skipped_sections"]}
    finally:
        server.cli("ACL", "DELUSER", "watcher")
