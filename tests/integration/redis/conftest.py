"""Throw-away Redis servers for the tests of this folder."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from lab.redis import RedisServer, binaries

# Commands that change data or freeze a server; none of them may ever be sent by a module that only looks.
FORBIDDEN = {
    *("keys", "monitor", "save", "bgsave", "flushall", "flushdb", "debug", "sort", "smembers_all"),
    *("set", "setex", "incr", "decr", "append", "getset", "getdel", "mset", "del", "unlink", "expire", "pexpire"),
    *("persist", "rename", "lpush", "rpush", "lpop", "rpop", "rpoplpush", "lmove", "brpop", "blpop", "lrem", "ltrim"),
    *("hset", "hdel", "hincrby", "sadd", "srem", "spop", "zadd", "zrem", "zpopmin", "zpopmax", "eval", "evalsha"),
    *("publish", "config|set", "config|rewrite", "config|resetstat", "client|kill", "client|pause", "script|load"),
    *("slowlog|reset", "acl|setuser", "object", "restore", "migrate", "copy", "getex", "multi", "exec", "touch"),
}


def commands_used(server: RedisServer) -> dict[str, int]:
    """Calls by command since the start; container commands with their subcommand."""
    stats = server.client().info("commandstats")
    return {name.removeprefix("cmdstat_"): each["calls"] for name, each in stats.items()}


@pytest.fixture
def watched() -> Callable[[RedisServer, Callable[[], Any]], Any]:
    """Run something and fail if it made the server execute a forbidden command."""

    def watch(server: RedisServer, action: Callable[[], Any]) -> Any:
        before = commands_used(server)
        result = action()
        after = commands_used(server)
        used = {name for name, calls in after.items() if calls > before.get(name, 0)}
        assert not used & FORBIDDEN, used & FORBIDDEN
        return result

    return watch


@pytest.fixture(scope="session", params=sorted(binaries()))
def every_redis(request: pytest.FixtureRequest) -> Iterator[RedisServer]:
    """One server of each version that this machine has."""
    with RedisServer(binary=request.param) as server:
        yield server


@pytest.fixture
def server(every_redis: RedisServer) -> RedisServer:
    """A server of each version, empty."""
    client = every_redis.client()
    client.flushall()
    for setting, value in (("maxmemory", "0"), ("maxmemory-policy", "noeviction"), ("save", ""), ("appendonly", "no")):
        client.config_set(setting, value)
    client.config_resetstat()
    client.slowlog_reset()
    return every_redis


@pytest.fixture(scope="module")
def module_redis() -> Iterator[RedisServer]:
    """The preferred server, once a module."""
    with RedisServer() as server:
        yield server


@pytest.fixture
def redis_server(module_redis: RedisServer) -> RedisServer:
    """The preferred server, empty."""
    module_redis.client().flushall()
    return module_redis
