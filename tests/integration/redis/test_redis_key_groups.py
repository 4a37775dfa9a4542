"""The groups of redis_key_info against real servers, beside redis-cli --bigkeys."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from typing import Any

import pytest
from lab.redis import RedisServer
from lab.redis_cluster import RedisCluster

Runner = Callable[..., dict[str, Any]]
Watch = Callable[[RedisServer, Callable[[], Any]], Any]


def plant(server: RedisServer, count: int) -> None:
    """Out of ten keys six are cache, three are sessions that expire, one is a hash."""
    with server.client() as client, client.pipeline(transaction=False) as pipe:
        for number in range(count):
            kind = number % 10
            if kind < 6:
                pipe.set(f"cache:product:{number}", "x" * 300)
            elif kind < 9:
                pipe.set(f"session:{number:08x}", "x" * 50, ex=3600)
            else:
                pipe.hset(f"user:{number}:profile", mapping={"name": "x" * 20, "mail": "y" * 20})
        pipe.execute()


def groups(run_module: Runner, server: RedisServer, **options: Any) -> dict[str, Any]:
    result = run_module("redis_key_info", {**server.login(), "groups": options})
    assert not result.get("failed"), result
    assert (result["available"], result["skipped_sections"], result["keys"]) == (True, [], {})
    found: dict[str, Any] = result["groups"]
    return found


def size_of(server: RedisServer, pattern: str) -> int:
    """The bytes of the keys that match, each of them by itself."""
    names = server.cli("--scan", "--pattern", pattern).splitlines()
    with server.client() as client, client.pipeline(transaction=False) as pipe:
        for name in names:
            pipe.memory_usage(name, samples=5)
        return sum(pipe.execute())


@pytest.mark.parametrize("check_mode", [False, True])
def test_few_keys_are_all_looked_at(run_module: Runner, server: RedisServer, watched: Watch, check_mode: bool) -> None:
    plant(server, 1000)
    arguments = {**server.login(), "groups": {"depth": 2}}
    result = watched(server, lambda: run_module("redis_key_info", arguments, check_mode=check_mode))
    found = result["groups"]
    assert (found["exact"], found["dbsize"], found["samples"], found["note"]) == (True, 1000, 1000, None)
    by_name = {entry["group"]: entry for entry in found["entries"]}
    assert {name: (each["keys"], each["ttl_percent"], each["types"]) for name, each in by_name.items()} == {
        "cache:product:*": (600, 0.0, {"string": 600}),
        "session:*": (300, 100.0, {"string": 300}),
        "user:<id>:*": (100, 0.0, {"hash": 100}),
    }
    assert by_name["cache:product:*"]["bytes"] == size_of(server, "cache:*")
    assert found["bytes"] == size_of(server, "*")
    assert sum(each["bytes_percent"] for each in found["entries"]) == pytest.approx(100, abs=0.1)


def test_many_keys_are_sampled(run_module: Runner, server: RedisServer, watched: Watch) -> None:
    """The true figures lie within what is said of them; a miss of a 95 % interval is allowed ten times its width."""
    plant(server, 6000)
    arguments = {**server.login(), "groups": {"samples": 2000}}
    result = watched(server, lambda: run_module("redis_key_info", arguments))
    found = result["groups"]
    assert (found["exact"], found["dbsize"]) == (False, 6000)
    assert 1900 <= found["samples"] <= 2000
    truth = {"cache:*": 3600, "session:*": 1800, "user:*": 600}
    for entry in found["entries"]:
        low, high = entry["keys_low"], entry["keys_high"]
        assert low < entry["keys"] < high
        assert low - (high - low) < truth[entry["group"]] < high + (high - low)
        size = size_of(server, entry["group"])
        assert abs(entry["bytes"] - size) < 3 * entry["bytes_margin"]
    assert abs(found["bytes"] - size_of(server, "*")) < 0.1 * found["bytes"]


def test_bigkeys_counts_elements_and_misses_the_largest(run_module: Runner, redis_server: RedisServer) -> None:
    client = redis_server.client()
    client.rpush("numbers:small", *range(1000))
    client.rpush("reports:large", "x" * 3_000_000, "y" * 3_000_000)
    line = ["redis-cli", "-p", str(redis_server.port), "--bigkeys"]
    said = subprocess.run(line, capture_output=True, text=True, check=True).stdout
    found = re.search(r"Biggest\s+list found '\"?([^'\"]+)\"?' has (\d+) items", said)
    assert found is not None
    assert found.groups() == ("numbers:small", "1000")
    largest = groups(run_module, redis_server)["biggest"][0]
    assert (largest["key"], largest["type"], largest["group"]) == ("reports:large", "list", "reports:*")
    assert largest["bytes"] > 6_000_000


def test_what_nobody_uses(run_module: Runner, server: RedisServer) -> None:
    client = server.client()
    client.set("old:1", "x")
    client.restore("old:2", 0, client.dump("old:1"), idletime=86400)
    client.delete("old:1")
    found = groups(run_module, server)
    assert found["entries"][0]["idle_median_seconds"] >= 86400
    # Looking is no use of a key.
    assert int(server.cli("OBJECT", "IDLETIME", "old:2")) >= 86400
    client.config_set("maxmemory-policy", "allkeys-lfu")
    assert groups(run_module, server)["entries"][0]["idle_median_seconds"] is None


def test_the_time_is_limited(run_module: Runner, redis_server: RedisServer) -> None:
    plant(redis_server, 30000)
    found = groups(run_module, redis_server, samples=25000, max_seconds=0.1)
    assert found["exact"] is False
    assert found["samples"] < 25000
    assert found["note"] == (f"the time was over after {found['samples']} of 25000 samples; the intervals are wider")


def test_keys_that_may_not_be_read(run_module: Runner, server: RedisServer) -> None:
    server.client().mset({"cache:1": "x", "secret:1": "x"})
    server.cli("ACL", "SETUSER", "g", "reset", "on", ">pw", "~cache:*", "+ping", "+info", "+time")
    login = {**server.login(), "login_user": "g", "login_password": "pw", "groups": {}}
    reason = run_module("redis_key_info", login)["reason"]
    rules = ["+dbsize", "+memory|usage", "+object|idletime", "+pttl", "+randomkey", "+scan", "+type"]
    assert reason.startswith("User 'g' lacks 7 permissions"), reason
    assert all(rule in reason for rule in rules)
    server.cli("ACL", "SETUSER", "g", *rules)
    result = run_module("redis_key_info", login)
    assert [entry["group"] for entry in result["groups"]["entries"]] == ["cache:*"]
    assert result["groups"]["unreadable_count"] == 1
    assert [entry["section"] for entry in result["skipped_sections"]] == ["groups"]
    assert "secret" not in str(result)
    server.cli("ACL", "DELUSER", "g")


def test_an_empty_database(run_module: Runner, redis_server: RedisServer) -> None:
    found = groups(run_module, redis_server)
    assert (found["exact"], found["entries"], found["bytes"]) == (True, [], 0)


def test_neither_keys_nor_groups(run_module: Runner, redis_server: RedisServer) -> None:
    failed = run_module("redis_key_info", redis_server.login())
    assert failed["msg"] == "keys: [] is not accepted. Accepted: at least one question, or groups."


def test_a_cluster_is_one_database(run_module: Runner) -> None:
    """Groups of all primaries; keys of several slots, which DEL refuses, and redis_key takes one by one."""
    with RedisCluster() as cluster:
        client = cluster.client()
        for number in range(400):
            client.set(f"cache:{number}", "x" * 100)
        client.set("{shop}:mail:id", "1")
        client.hset("{shop}:mail:meta", mapping={"version": "bullmq:5.81.5", "opts.maxLenEvents": "10"})
        client.set("{shop}:mail:7", "x")
        node = cluster.primaries[0]
        line = f"redis-cli -p {node.port} DEL cache:1 cache:2 cache:3"
        assert "CROSSSLOT" in subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=False).stdout
        exact = run_module("redis_key_info", {**cluster.login(), "groups": {}})["groups"]
        assert (exact["exact"], exact["dbsize"], exact["entries"][0]["keys"]) == (True, 403, 400)
        sample = run_module("redis_key_info", {**cluster.login(), "groups": {"samples": 300}})["groups"]
        assert (sample["exact"], sample["dbsize"]) == (False, 403)
        assert sample["entries"][0]["keys_low"] <= 400 <= sample["entries"][0]["keys_high"]
        options = {**cluster.login(), "state": "absent", "pattern": ["cache:*", "{shop}*"], "max_affected": 400}
        failed = run_module("redis_key", options)
        assert "BullMQ 5.81.5 queue {shop}:mail" in failed["msg"]
        options["pattern"] = ["cache:*"]
        assert sum(node.client().dbsize() for node in cluster.primaries) == 403
        done = run_module("redis_key", options)
        assert done.get("outcomes") == {"done": 400, "gone": 0, "changed": 0}, done
        assert sum(node.client().dbsize() for node in cluster.primaries) == 3
