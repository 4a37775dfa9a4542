"""A whole StockBoom: up, its queues counted by their own library, and gone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg2
import pytest
import redis
from lab.node import NodeQueue
from lab.running import Running, running_lab
from lab.stockboom import queues
from lab.stockboom.redis_data import CACHED, ENDLESS, POLICIES

pytestmark = pytest.mark.xdist_group("lab-stockboom")


@pytest.fixture(scope="module", params=["healthy", "degraded"])
def running(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running_lab("stockboom", request.param, tmp_path_factory.mktemp("lab") / request.param) as lab:
        yield lab


@pytest.fixture
def client(running: Running) -> Iterator[Any]:
    login = running.hosts["stockboom-redis"]
    with redis.Redis(
        host=login["redis_login_host"],
        port=login["redis_login_port"],
        password=login["redis_login_password"],
        decode_responses=True,
    ) as made:
        yield made


def counted(running: Running) -> dict[str, dict[str, int]]:
    """What the library counts, without what is 0."""
    login = running.hosts["stockboom-redis"]
    queue = NodeQueue(
        queues.LIBRARY, login["redis_login_port"], queues.COLLECTION, password=login["redis_login_password"]
    )
    answers = queue.batch([{"queue": name, "command": "counts"} for name in queues.QUEUES])
    return {
        name: {state: count for state, count in answer.items() if count}
        for name, answer in zip(queues.QUEUES, answers, strict=True)
    }


def test_everything_runs(running: Running) -> None:
    facts = running.status()
    assert facts["condition"] == "running"
    worker = {"node"} if running.scenario == "healthy" else set()
    assert {member["name"] for member in facts["members"]} == {"postgresql", "redis", *worker}
    # What keeps running shows its command line to everybody.
    secret = running.hosts["stockboom-redis"]["redis_login_password"]
    assert len(secret) >= 20
    for member in facts["members"]:
        words = Path(f"/proc/{member['pid']}/cmdline").read_text(encoding="utf-8", errors="replace")
        assert secret not in words


def test_the_library_counts_what_was_planted(running: Running) -> None:
    planned, found = queues.plan(running.scenario, 1), counted(running)
    if running.scenario == "degraded":
        assert found == planned.counts()
        return
    # A worker is at them: jobs move, none is lost, none fails.
    assert {name: sum(states.values()) for name, states in found.items()} == {
        queues.COLLECTION: sum(planned.counts()[queues.COLLECTION].values()) + _scheduled_again(found),
        queues.ANALYSIS: 24,
        queues.EXECUTION: 30,
        queues.NOTIFICATION: 50,
    }
    assert not any("failed" in states for states in found.values())


def _scheduled_again(found: dict[str, dict[str, int]]) -> int:
    """Once its first job has been taken, the scheduler has added the next one to the delayed ones."""
    return found[queues.COLLECTION]["delayed"] - queues.plan("healthy", 1).delayed


def test_failures_are_of_the_planned_reasons(running: Running, client: Any) -> None:
    planned = queues.plan(running.scenario, 1)
    failed = client.zrange(f"bull:{queues.COLLECTION}:failed", 0, -1)
    jobs = [client.hmget(f"bull:{queues.COLLECTION}:{identifier}", "failedReason", "priority") for identifier in failed]
    for reason, count in planned.failures.items():
        begin = reason.split("{symbol}")[0]
        assert sum(text.startswith(begin) for text, _priority in jobs) == count
    assert sum(priority == "1" for _text, priority in jobs) == planned.urgent


def test_orders_are_held_by_nobody_and_paused(running: Running, client: Any) -> None:
    held = client.lrange(f"bull:{queues.EXECUTION}:active", 0, -1)
    assert len(held) == queues.plan(running.scenario, 1).held
    assert client.exists(*[f"bull:{queues.EXECUTION}:{identifier}:lock" for identifier in [*held, "none"]]) == 0
    assert client.hexists(f"bull:{queues.EXECUTION}:meta", "paused") == (running.scenario == "degraded")


def test_cache_and_policy(running: Running, client: Any) -> None:
    assert client.config_get("maxmemory-policy")["maxmemory-policy"] == POLICIES[running.scenario]
    cached = list(client.scan_iter("cache:stock:*", count=1000))
    endless = [key for key in cached if client.ttl(key) == -1]
    assert (len(cached), len(endless)) == (CACHED, ENDLESS)
    assert client.info("persistence")["aof_enabled"] == 1


def test_the_manuals_commands(running: Running, client: Any) -> None:
    """Beside what the library counts: an error for what failed, and a number that is a part of what waits."""
    failed, waiting = f"bull:{queues.COLLECTION}:failed", f"bull:{queues.COLLECTION}:wait"
    if running.scenario == "healthy":
        # Without a failure there is no such key, and its length is 0.
        assert client.llen(failed) == 0
        return
    with pytest.raises(redis.exceptions.ResponseError, match="WRONGTYPE"):
        client.llen(failed)
    planned = queues.plan("degraded", 1)
    assert client.llen(waiting) == planned.counts()[queues.COLLECTION]["waiting"]
    # Those with a priority are elsewhere, and so are those of a paused queue.
    assert client.zcard(f"bull:{queues.COLLECTION}:prioritized") == planned.prioritized
    assert client.llen(f"bull:{queues.EXECUTION}:wait") == 0


def test_the_database(running: Running) -> None:
    login = running.hosts["stockboom-postgres"]
    connection = psycopg2.connect(
        host=login["postgresql_login_host"],
        port=login["postgresql_login_port"],
        user=login["postgresql_login_user"],
        password=login["postgresql_login_password"],
        dbname=login["postgresql_login_db"],
    )
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM trades WHERE failure_reason = 'KIS token expired'")
        assert cursor.fetchone() == (12,)
        with pytest.raises(psycopg2.errors.InsufficientPrivilege):
            cursor.execute("DELETE FROM trades")
    connection.close()
    assert login["runbook_system"] == "stockboom"
