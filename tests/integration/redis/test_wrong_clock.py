"""Ages are counted by the server's clock: a controller that is an hour ahead or behind chooses the same jobs."""

from __future__ import annotations

import datetime as dt
import time
from typing import Any

import pytest
from lab.node import NodeQueue
from lab.redis import RedisServer

from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.retry.run import retry_jobs
from ansible_collections.runbook.ops.plugins.modules import redis_queue_retry

DEFAULTS = {name: each.get("default") for name, each in redis_queue_retry.argument_spec().items()}


@pytest.mark.parametrize("ahead", [0, 3600, -3600])
def test_ages_of_failures(redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch, ahead: int) -> None:
    queue = NodeQueue("bullmq5", redis_server.port, "mail", password=redis_server.password)
    queue.batch([{"command": "add", "jobs": [{"data": {"fail": "boom"}}] * 3}, {"command": "drainByWork"}])

    class Clock(dt.datetime):
        @classmethod
        def now(cls, tz: dt.tzinfo | None = None) -> dt.datetime:
            return dt.datetime.fromtimestamp(real() + ahead, tz)

    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + ahead)
    monkeypatch.setattr(dt, "datetime", Clock)

    def matched(**options: Any) -> int:
        found: int = retry_jobs({**DEFAULTS, **redis_server.login(), "queue": "mail", **options}, check_mode=True)[
            "matched"
        ]
        return found

    assert matched(min_age="30m") == 0
    assert matched(max_age="30m") == 3
