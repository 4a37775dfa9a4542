"""A whole AutoClip: up, its queues counted by their own library, and gone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg2
import pytest
import redis
from lab.autoclip import queues
from lab.autoclip.redis_data import CACHED_LIST, SESSIONS
from lab.node import NodeQueue
from lab.running import Running, running_lab

pytestmark = pytest.mark.xdist_group("lab-autoclip")


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running_lab("autoclip", "degraded", tmp_path_factory.mktemp("lab") / "degraded") as lab:
        yield lab


@pytest.fixture
def client(running: Running) -> Iterator[Any]:
    login = running.hosts["autoclip-redis"]
    with redis.Redis(
        host=login["redis_login_host"],
        port=login["redis_login_port"],
        password=login["redis_login_password"],
        decode_responses=True,
    ) as made:
        yield made


def test_the_library_counts_what_was_planted(running: Running) -> None:
    login = running.hosts["autoclip-redis"]
    queue = NodeQueue(queues.LIBRARY, login["redis_login_port"], queues.CONTENT, password=login["redis_login_password"])
    names = (queues.CONTENT, queues.N8N)
    answers = queue.batch([{"queue": name, "command": "counts"} for name in names])
    found = {
        name: {state: count for state, count in answer.items() if count}
        for name, answer in zip(names, answers, strict=True)
    }
    assert found == queues.plan("degraded", 1).counts()


def test_content_of_redis(client: Any) -> None:
    planned = queues.plan("degraded", 1)
    held = client.lrange(f"bull:{queues.CONTENT}:active", 0, -1)
    assert len(held) == planned.held
    assert client.exists(*[f"bull:{queues.CONTENT}:{identifier}:lock" for identifier in held]) == 0
    # n8n gives every job a priority: Bull keeps the ids in two keys, which must not be added up.
    assert client.llen(f"bull:{queues.N8N}:wait") == client.zcard(f"bull:{queues.N8N}:priority") == planned.workflows
    assert client.exists(f"bull:{queues.N8N}:failed") == 0
    sessions = list(client.scan_iter("session:*", count=1000))
    assert len(sessions) == SESSIONS
    assert min(client.ttl(key) for key in sessions) > 0
    assert client.exists(CACHED_LIST) == 1
    # The manual's command asks for a key that Bull does not have: 0, whatever waits.
    assert client.llen(f"bull:{queues.CONTENT}:waiting") == 0


def test_the_replica_follows(running: Running) -> None:
    for host, follows in (("autoclip-postgres", False), ("autoclip-postgres-replica", True)):
        login = running.hosts[host]
        connection = psycopg2.connect(
            host=login["postgresql_login_host"],
            port=login["postgresql_login_port"],
            user=login["postgresql_login_user"],
            password=login["postgresql_login_password"],
            dbname=login["postgresql_login_db"],
            sslmode=login["postgresql_ssl_mode"],
        )
        with connection, connection.cursor() as cursor:
            cursor.execute("SELECT pg_is_in_recovery(), count(*) FROM contents")
            assert cursor.fetchone() == (follows, 325)
        connection.close()


def test_a_worker_lives_where_all_is_well(tmp_path: Any) -> None:
    with running_lab("autoclip", "healthy", tmp_path / "lab") as lab:
        names = {member["name"] for member in lab.status()["members"]}
        assert names == {
            *("postgresql", "replica", "redis", "node", "pgbouncer", "clients", "kubernetes"),
            *("s3", "api", "exporter", "prometheus"),
        }
        login = lab.hosts["autoclip-redis"]
        queue = NodeQueue(
            queues.LIBRARY, login["redis_login_port"], queues.CONTENT, password=login["redis_login_password"]
        )
        counts, planned = queue.ask("counts"), queues.plan("healthy", 1)
        assert counts["failed"] == 0
        assert sum(counts.values()) == planned.completed + planned.waiting + planned.delayed
