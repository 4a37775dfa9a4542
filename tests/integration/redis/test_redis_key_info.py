"""redis_key_info against real servers, compared with redis-cli."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import Any

import pytest
from lab.redis import RedisServer

from ansible_collections.runbook.ops.plugins.module_utils.redis.scan import compile_glob, escape_glob

Runner = Callable[..., dict[str, Any]]
Watch = Callable[[RedisServer, Callable[[], Any]], Any]


def ask(run_module: Runner, server: RedisServer, *keys: dict[str, Any], **options: Any) -> dict[str, Any]:
    result = run_module("redis_key_info", {**server.login(), "keys": list(keys), **options})
    assert not result.get("failed"), result
    assert result["available"] is True, result["reason"]
    return result


def the(result: dict[str, Any], name: str = "a") -> dict[str, Any]:
    answer: dict[str, Any] = result["keys"][name]
    return answer


@pytest.mark.parametrize("check_mode", [False, True])
def test_quota_and_limiter(run_module: Runner, server: RedisServer, watched: Watch, check_mode: bool) -> None:
    client = server.client()
    client.set("domeggook:daily_calls:2026-01-31", "14200")
    for second in range(1769817600, 1769817605):
        client.set(f"naver:ratelimit:{second}", "2", ex=60)
    client.set("naver:other", "100")
    questions = [
        {"name": "quota", "key": "domeggook:daily_calls:2026-01-31"},
        {"name": "tomorrow", "key": "domeggook:daily_calls:2026-02-01"},
        {"name": "limiter", "pattern": "naver:ratelimit:*", "operation": "sum"},
    ]
    result = watched(
        server, lambda: run_module("redis_key_info", {**server.login(), "keys": questions}, check_mode=check_mode)
    )
    assert (result["changed"], result["complete"], result["keys_seen"]) == (False, True, 7)
    assert the(result, "quota")["value"] == int(server.cli("GET", "domeggook:daily_calls:2026-01-31")) == 14200
    # The manual counts the counters (5); the calls are in their values (10).
    limiter = the(result, "limiter")
    assert (limiter["count"], limiter["sum"], limiter["max"], limiter["mean"]) == (5, 10, 2, 2.0)
    # redis-cli prints an empty line and says 0 for that key.
    assert server.cli("GET", "domeggook:daily_calls:2026-02-01") == ""
    tomorrow = the(result, "tomorrow")
    assert (tomorrow["exists"], tomorrow["value"]) == (False, None)
    assert result["skipped_sections"] == [
        {
            "section": "tomorrow",
            "reason": "the key domeggook:daily_calls:2026-02-01 does not exist in database 0 of "
            f"{server.host}:{server.port}",
            "remedy": "Before its first use there may legitimately be no key yet; "
            "otherwise check its name and login_db.",
        }
    ]


@pytest.mark.parametrize(
    ("fill", "type_", "length"),
    [
        (["LPUSH", "k", "1", "2"], "list", 2),
        (["HSET", "k", "f", "1"], "hash", 1),
        (["SADD", "k", "1", "2", "3"], "set", 3),
        (["ZADD", "k", "1", "m"], "zset", 1),
        (["XADD", "k", "*", "f", "v"], "stream", 1),
    ],
)
def test_a_key_of_another_type(
    run_module: Runner, server: RedisServer, fill: list[str], type_: str, length: int
) -> None:
    server.cli(*fill)
    result = ask(run_module, server, {"name": "a", "key": "k"}, {"name": "b", "pattern": "k*", "operation": "sum"})
    answer = the(result)
    assert (answer["exists"], answer["type"], answer["length"], answer["value"]) == (True, type_, length, None)
    assert answer["note"] == f"the key is a {type_}, not a string; its length is {length}"
    pattern = the(result, "b")
    assert (pattern["count"], pattern["sum"], pattern["not_numeric_count"]) == (1, None, 1)


def test_redis_cli_hides_what_we_report(run_module: Runner, redis_server: RedisServer) -> None:
    """A job whose id is "failed" makes that key a hash: redis-cli prints an error and exits 0."""
    import shutil
    import subprocess

    redis_server.cli("HSET", "bull:report:failed", "name", "x")
    program = shutil.which("redis-cli") or str(redis_server.binary.with_name("redis-cli"))
    old_way = subprocess.run(
        [program, "-h", redis_server.host, "-p", str(redis_server.port), "LLEN", "bull:report:failed"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (old_way.returncode, old_way.stdout.split()[0]) == (0, "WRONGTYPE")
    answer = the(ask(run_module, redis_server, {"name": "a", "key": "bull:report:failed"}))
    assert (answer["value"], answer["type"]) == (None, "hash")


@pytest.mark.parametrize(
    ("value", "number"),
    [(b"7.5", 7.5), (b"-3", -3), (b"", None), (b"n/a", None), (b"\xff\xfe", None), (b"9" * 5_000_000, None)],
    ids=["fraction", "negative", "empty", "text", "bytes", "long"],
)
def test_values(run_module: Runner, server: RedisServer, value: bytes, number: float | None) -> None:
    server.client().set("k", value)
    result = ask(run_module, server, {"name": "a", "key": "k"}, {"name": "b", "pattern": "k*", "operation": "sum"})
    answer = the(result)
    assert (answer["exists"], answer["value"], answer["length"]) == (True, number, len(value))
    assert (answer["note"] is None) == (number is not None)
    assert (the(result, "b")["count"], the(result, "b")["sum"]) == (1, number)


def test_times_to_live(run_module: Runner, server: RedisServer) -> None:
    client = server.client()
    client.set("k:1", "1", ex=100)
    client.set("k:2", "1")
    result = ask(
        run_module, server, {"name": "a", "key": "k:1"}, {"name": "b", "pattern": "k:*", "operation": "sample"}
    )
    assert 90 < the(result)["ttl_seconds"] <= 100
    sample = the(result, "b")
    assert sorted((entry["key"], entry["type"], entry["ttl_seconds"] is None) for entry in sample["sample"]) == [
        ("k:1", "string", False),
        ("k:2", "string", True),
    ]
    assert (sample["without_ttl_count"], sample["count"]) == (1, 2)
    assert 90 < sample["min_ttl_seconds"] <= 100


def test_names_of_any_bytes(run_module: Runner, server: RedisServer) -> None:
    client = server.client()
    client.set(b"q:\xff\xfe", "1")
    client.set("q:상품 [a]*?", "2")
    result = ask(
        run_module,
        server,
        {"name": "all", "pattern": "q:*", "operation": "sum"},
        {"name": "one", "key": "q:상품 [a]*?"},
        {"name": "escaped", "pattern": "q:상품 \\[a\\]\\*\\?"},
        {"name": "sample", "pattern": "q:*", "operation": "sample"},
    )
    assert (the(result, "all")["sum"], the(result, "one")["value"], the(result, "escaped")["count"]) == (3, 2, 1)
    assert {entry["key"] for entry in the(result, "sample")["sample"]} == {"q:\\xff\\xfe", "q:상품 [a]*?"}
    json.dumps(result).encode("ascii")


def test_missing_means_zero_only_where_it_is_known_to_be_missing(run_module: Runner, server: RedisServer) -> None:
    question = {"name": "a", "pattern": "limiter:*", "operation": "sum", "missing": "zero"}
    answer = the(ask(run_module, server, question))
    assert (answer["exists"], answer["sum"], answer["max"]) == (False, 0, 0)
    with server.client().pipeline(transaction=False) as pipeline:
        for number in range(5000):
            pipeline.set(f"cache:{number}", "x")
        pipeline.execute()
    answer = the(ask(run_module, server, question, max_keys=100))
    assert (answer["exists"], answer["sum"], answer["count"], answer["complete"]) == (None, None, None, False)


def test_a_hundred_thousand_keys(run_module: Runner, redis_server: RedisServer, watched: Watch) -> None:
    client = redis_server.client()
    with client.pipeline(transaction=False) as pipeline:
        for number in range(100_000):
            pipeline.set(f"cache:{number}", number % 10)
        pipeline.execute()
    client.set("naver:ratelimit:1", "2")
    questions = (
        {"name": "limiter", "pattern": "naver:ratelimit:*", "operation": "sum"},
        {"name": "cache", "pattern": "cache:*"},
    )
    result = watched(redis_server, lambda: ask(run_module, redis_server, *questions))
    assert (result["complete"], result["keys_seen"], result["endpoint"]["dbsize"]) == (True, 100_001, 100_001)
    assert (the(result, "limiter")["sum"], the(result, "cache")["count"]) == (2, 100_000)
    listed = redis_server.cli("--scan", "--pattern", "cache:*")
    assert len(listed.splitlines()) == 100_000
    bounded = ask(run_module, redis_server, *questions, max_keys=3000)
    assert bounded["complete"] is False
    assert 3000 <= bounded["keys_seen"] < 6000
    assert the(bounded, "cache")["count"] is None
    reason = bounded["skipped_sections"][0]["reason"]
    assert reason.startswith("the scan stopped at max_keys (3000) after ")
    assert reason.endswith(" of 100001 keys")
    hurried = ask(run_module, redis_server, *questions, max_seconds=0.001)
    assert (hurried["complete"], the(hurried, "limiter")["sum"]) == (False, None)


def test_an_empty_database_says_where_the_keys_are(run_module: Runner, server: RedisServer) -> None:
    server.client(db=2).set("a", "1")
    result = ask(run_module, server, {"name": "a", "key": "a"})
    assert result["notes"] == [
        f"Database 0 of {server.host}:{server.port} is empty; keys are in database 2 (1 keys). Is login_db right?"
    ]
    result = ask(run_module, server, {"name": "a", "key": "a"}, login_db=2)
    assert (result["notes"], the(result)["value"], result["endpoint"]["db"]) == ([], 1, 2)


def test_every_missing_permission_at_once(run_module: Runner, server: RedisServer) -> None:
    server.cli("ACL", "SETUSER", "watcher", "on", ">geheim", "~quota:*", "nocommands", "+ping", "+info", "+type")
    login = server.login(login_user="watcher", login_password="geheim", login_db=2)
    questions = [{"name": "a", "key": "quota:a"}, {"name": "b", "pattern": "quota:*", "operation": "sum"}]
    result = run_module("redis_key_info", {**login, "keys": questions})
    assert result["available"] is False
    rules = "+dbsize +getrange +pttl +scan +select +strlen +time"
    assert result["reason"] == (
        f"User 'watcher' lacks 7 permissions at Redis {server.host}:{server.port}: {rules}. "
        f"Grant: ACL SETUSER watcher {rules}"
    )
    server.cli("ACL", "SETUSER", "watcher", *rules.split())
    client = server.client(db=2)
    client.set("quota:a", "5")
    client.set("secret:a", "6")
    questions += [{"name": "c", "key": "secret:a"}, {"name": "d", "pattern": "*", "operation": "sum"}]
    result = run_module("redis_key_info", {**login, "keys": questions})
    server.cli("ACL", "DELUSER", "watcher")
    assert result["available"] is True, result["reason"]
    assert (the(result)["value"], the(result, "b")["sum"]) == (5, 5)
    # SCAN shows names that we may not read: a sum without them would be wrong.
    assert (the(result, "d")["count"], the(result, "d")["sum"], the(result, "d")["unreadable_count"]) == (2, None, 1)
    assert (the(result, "c")["exists"], the(result, "c")["value"]) == (None, None)
    assert result["skipped_sections"] == [
        {
            "section": "c",
            "reason": "the ACL does not grant ~secret:a",
            "remedy": "Grant it: ACL SETUSER watcher ~secret:a",
        }
    ]


def test_patterns_mean_what_the_server_means(redis_server: RedisServer) -> None:
    """Patterns are matched here when a scan serves several of them: both must agree, on odd ones above all."""
    client = redis_server.client()
    generator = random.Random(20260131)
    alphabet = b"ab*?[]^-\\:\xff"
    names = {bytes(generator.choices(b"ab[]^-\\:\xff*?", k=generator.randint(1, 4))) for _ignored in range(300)}
    client.mset(dict.fromkeys(names, "1"))
    for _ignored in range(1500):
        pattern = bytes(generator.choices(alphabet, k=generator.randint(1, 6)))
        if b"-\xff" in pattern or b"\xff-" in pattern:
            # Whether such a byte is above or below ASCII depends on the server's processor.
            continue
        theirs = set(client.scan_iter(match=pattern, count=1000))
        compiled = compile_glob(pattern)
        assert {name for name in names if compiled.match(name)} == theirs, pattern
    for name in names:
        assert set(client.scan_iter(match=escape_glob(name), count=1000)) == {name}
