"""Messages that Celery's workers hold, counted while the workers acknowledge them."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from typing import Any

import pytest
from lab.redis import RedisServer

from ansible_collections.runbook.ops.plugins.module_utils.redis.client import RedisClient
from ansible_collections.runbook.ops.plugins.module_utils.redis.options import Settings
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.celery.tables import Tables
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.celery.unacked import read_unacked
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.request import QueueRequest

HELD = [f"tag{number}" for number in range(20)]


@pytest.mark.parametrize("before", ["HSTRLEN", "HGET"])
def test_what_is_acknowledged_between_two_looks_is_no_orphan(redis_server: RedisServer, before: str) -> None:
    """Kombu removes a message from the hash and from the index in one transaction."""
    client = redis_server.client()
    message = json.dumps([{"body": "", "headers": {}, "properties": {}}, "", "normal"])
    for tag in HELD:
        client.hset("unacked", tag, message)
        client.zadd("unacked_index", {tag: time.time()})
    # In one of them only, which is how messages are lost, and how indexes grow.
    client.hset("unacked", "forgotten", message)
    client.zadd("unacked_index", {"stale": time.time()})

    class Watched(RedisClient):
        def pipeline(self, commands: Sequence[Any], **more: Any) -> list[Any]:
            if commands and commands[0][0] == before:
                with redis_server.client().pipeline() as acknowledged:
                    acknowledged.zrem("unacked_index", *HELD[3:6]).hdel("unacked", *HELD[3:6]).execute()
            return super().pipeline(commands, **more)

    with Watched(Settings(host=redis_server.host, port=redis_server.port)) as ours:
        found = read_unacked(ours, b"", Tables(), [b"normal"], QueueRequest(), time.time())
    assert client.hlen("unacked") == len(HELD) - 3 + 1
    assert found.without_index == 1
