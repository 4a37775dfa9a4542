"""Throw-away Redis servers for the tests of this folder."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from lab.redis import ENVIRONMENT, RedisServer, binaries

# Everything that modules which only look may send; above all not KEYS, and nothing that writes.
ALLOWED = {
    *("auth", "select", "ping", "info", "dbsize", "time", "scan", "type", "pttl"),
    *("getrange", "strlen", "llen", "lrange", "hlen", "hstrlen", "hget"),
    *("scard", "smembers", "zcard", "zrange", "xlen", "hmget", "lindex", "lpos", "zcount", "zscore"),
    *("exists", "hkeys", "xrevrange", "zrevrange", "zrangebyscore", "sscan", "get"),
    *("config|get", "slowlog|len", "slowlog|get", "memory|usage", "client|list", "object|idletime", "randomkey"),
    *("latency|latest", "latency"),
    # Redis 6.2 does not count subcommands; the client of the test itself introduces itself.
    *("config", "slowlog", "memory", "client", "object", "client|setinfo", "hello"),
}


def commands_used(server: RedisServer) -> dict[str, int]:
    """Calls by command since the start; container commands with their subcommand."""
    stats = server.client().info("commandstats")
    return {name.removeprefix("cmdstat_"): each["calls"] for name, each in stats.items()}


@pytest.fixture
def watched() -> Callable[[RedisServer, Callable[[], Any]], Any]:
    """Run something and fail if it made the server execute any command but those that only look."""

    def watch(server: RedisServer, action: Callable[[], Any]) -> Any:
        before = commands_used(server)
        result = action()
        after = commands_used(server)
        used = {name for name, calls in after.items() if calls > before.get(name, 0)}
        assert used <= ALLOWED, used - ALLOWED
        return result

    return watch


@pytest.fixture(autouse=True)
def systems_programs(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a wheel put beside Python is not this host's server: a module would take it for one."""
    folders = [each for each in os.environ["PATH"].split(os.pathsep) if Path(each) != ENVIRONMENT]
    monkeypatch.setenv("PATH", os.pathsep.join(folders))


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
