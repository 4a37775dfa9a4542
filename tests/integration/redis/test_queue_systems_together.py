"""Celery, RQ and Sidekiq in one database: each queue is its own system's, and none is taken for another's."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from lab.redis import RedisServer
from redis import Redis
from rq import Queue

Runner = Callable[..., dict[str, Any]]


def sidekiq_job(number: int, queue: str) -> bytes:
    job = {"class": "Give", "args": [number], "queue": queue, "jid": f"j{number}", "enqueued_at": time.time()}
    return json.dumps(job).encode()


@pytest.fixture
def client(redis_server: RedisServer) -> Redis:
    """A database that three applications share."""
    client = redis_server.client()
    Queue("reports", connection=client).enqueue("rq_shop.register", 1)
    client.sadd("queues", "low")
    client.lpush("queue:low", sidekiq_job(1, "low"), sidekiq_job(2, "low"))
    client.sadd("_kombu.binding.celery", "batch\x06\x16\x06\x16batch")
    client.lpush("batch", "{}", "{}", "{}")
    return client


def info(run_module: Runner, server: RedisServer, **options: Any) -> dict[str, Any]:
    return run_module("redis_queue_info", {**server.login(), **options})


def test_all_of_them_in_one_call(run_module: Runner, redis_server: RedisServer, client: Redis) -> None:
    result = info(run_module, redis_server)
    assert {(queue["system"], queue["name"]): queue["backlog"] for queue in result["queues"]} == {
        ("rq", "reports"): 1,
        ("sidekiq", "low"): 2,
        ("celery", "batch"): 3,
    }
    assert result["systems"] == ["celery", "rq", "sidekiq"]
    named = info(run_module, redis_server, queues=["low", "reports"])
    assert {(queue["system"], queue["name"]) for queue in named["queues"]} == {("sidekiq", "low"), ("rq", "reports")}
    assert client.dbsize() == 7


@pytest.mark.usefixtures("client")
def test_a_queue_that_none_of_them_has(run_module: Runner, redis_server: RedisServer) -> None:
    message = info(run_module, redis_server, queues=["low", "nope"])["msg"]
    assert "'low'" not in message
    for part in ("key prefix ''", "for RQ", "for Sidekiq"):
        assert part in message
    kept = info(run_module, redis_server, queues=["low", "nope"], missing_queues="report")
    assert {queue["name"]: queue["exists"] for queue in kept["queues"]} == {"low": True, "nope": False}


@pytest.mark.parametrize("module", ["redis_queue", "redis_queue_retry"])
def test_a_name_that_two_of_them_use_must_be_told_apart(
    run_module: Runner, redis_server: RedisServer, client: Redis, module: str
) -> None:
    Queue("low", connection=client).enqueue("rq_shop.register", 1)
    more = {"state": "empty"} if module == "redis_queue" else {}
    result = run_module(module, {**redis_server.login(), "queue": "low", **more})
    assert "'low' in database 0 of" in result["msg"]
    assert "may be a queue of RQ or Sidekiq. Say whose it is with system." in result["msg"]
    result = run_module(module, {**redis_server.login(), "queue": "low", "system": "sidekiq", **more})
    assert result["system"] == "sidekiq"
    assert client.llen("rq:queue:low") == 1


def test_how_fast_they_fill(run_module: Runner, redis_server: RedisServer, client: Redis) -> None:
    client.set("stat:processed", 100)
    ended = threading.Event()

    def produce() -> None:
        number = 10
        while not ended.wait(0.02):
            number += 1
            client.lpush("queue:low", sidekiq_job(number, "low"))
            client.rpush("rq:queue:reports", f"r{number}")
            client.incr("stat:processed")

    producer = threading.Thread(target=produce)
    producer.start()
    try:
        result = info(run_module, redis_server, system=["rq", "sidekiq"], sample_seconds=1.0)
    finally:
        ended.set()
        producer.join()
    rates = {queue["name"]: queue["rate"] for queue in result["queues"]}
    for rate in rates.values():
        assert rate["growth_per_second"] > 0
        # It never drains while it grows.
        assert rate["drain_seconds"] is None
    # RQ counts nothing; Sidekiq counts what was processed, of all queues together, and there is one.
    assert rates["reports"]["departures_per_second"] is None
    assert rates["low"]["departures_per_second"] > 0
    assert rates["low"]["arrivals_per_second"] > rates["low"]["departures_per_second"]


def test_a_login_made_for_one_system_reads_that_one(run_module: Runner, redis_server: RedisServer) -> None:
    """It need not have the commands of all; what could not be looked for is said, and nothing is called complete."""
    client = redis_server.client()
    client.sadd("_kombu.binding.normal", "normal\x06\x16\x06\x16normal")
    client.lpush("normal", "{}")
    commands = "+ping +info +dbsize +time +llen +smembers +hlen +zcard +hstrlen +hget +zrange +lrange +scan"
    redis_server.cli("ACL", "SETUSER", "celery-only", "on", ">geheim", "~*", "nocommands", *commands.split())
    try:
        login = {**redis_server.login(), "login_user": "celery-only", "login_password": "geheim"}
        found = run_module("redis_queue_info", login)
        named = run_module("redis_queue_info", {**login, "system": ["celery"]})
        redis_server.cli("ACL", "SETUSER", "celery-only", "-llen")
        nothing = run_module("redis_queue_info", login)
    finally:
        redis_server.cli("ACL", "DELUSER", "celery-only")
    assert found["available"] is True, found["reason"]
    assert [(queue["name"], queue["system"]) for queue in found["queues"]] == [("normal", "celery")]
    assert (found["complete"], named["complete"]) == (False, True)
    unread = [entry for entry in found["skipped_sections"] if entry["section"] == "systems"]
    assert [entry["reason"].split()[0] for entry in unread] == ["BullMQ", "Bull", "RQ", "Sidekiq"]
    assert unread[0]["remedy"].startswith("Grant it: ACL SETUSER celery-only +")
    assert nothing["available"] is False
    assert "+llen" in nothing["reason"]
