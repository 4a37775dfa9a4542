"""redis_health_info against real servers, compared with redis-cli."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from lab.ports import accepts, free_port
from lab.process import wait_until
from lab.redis import RedisServer

Runner = Callable[..., dict[str, Any]]
Watch = Callable[[RedisServer, Callable[[], Any]], Any]


def info_of(server: RedisServer, section: str) -> dict[str, str]:
    """INFO as redis-cli prints it."""
    return dict(line.split(":", 1) for line in server.cli("INFO", section).splitlines() if ":" in line)


def measure(run_module: Runner, server: RedisServer, **options: Any) -> dict[str, Any]:
    result = run_module("redis_health_info", {**server.login(), **options})
    assert result["available"] is True, result
    assert result["skipped_sections"] == []
    health: dict[str, Any] = result["health"]
    return health


@pytest.mark.parametrize("check_mode", [False, True])
def test_a_fresh_server(run_module: Runner, server: RedisServer, watched: Watch, check_mode: bool) -> None:
    result = watched(server, lambda: run_module("redis_health_info", server.login(), check_mode=check_mode))
    assert (result["available"], result["reason"], result["changed"], result["skipped_sections"]) == (
        True,
        None,
        False,
        [],
    )
    health = result["health"]
    said = info_of(server, "server")
    assert health["server"]["version"] == said.get("valkey_version", said["redis_version"])
    assert health["server"]["role"] == "master"
    # 0 of 0 lookups is no hit rate, and an idle server's allocator is not fragmented.
    assert (health["stats"]["hit_percent"], health["stats"]["lookups_count"]) == (None, 0)
    assert (health["memory"]["fragmentation_meaningful"], health["memory"]["fragmentation_ratio"]) == (False, None)
    assert (health["memory"]["limited"], health["memory"]["used_percent"]) == (False, None)
    assert health["clients"]["max_count"] == int(info_of(server, "clients").get("maxclients", 10000))
    assert (health["persistence"]["kind"], health["persistence"]["writes_refused"]) == ("none", False)
    assert (health["config"]["queues_present"], health["config"]["jobs_not_persisted"]) == (False, False)
    assert (health["config"]["auth_required"], health["config"]["exposed_without_auth"]) == (False, False)
    assert health["slowlog"]["slowest_last_day_seconds"] == 0.0
    assert health["latency"]["samples_count"] == 5


def test_figures_agree_with_redis_cli(run_module: Runner, server: RedisServer) -> None:
    client = server.client()
    client.config_set("maxmemory", "64mb")
    client.config_set("maxmemory-policy", "volatile-lru")
    client.set("a", "x" * 1_000_000)
    client.set("b", "x", ex=100)
    server.client(db=3).set("c", "x")
    for _ignored in range(3):
        client.get("a")
    client.get("nothing")
    health = measure(run_module, server)
    memory = info_of(server, "memory")
    assert health["memory"]["maxmemory_bytes"] == int(memory["maxmemory"]) == 64 * 1024 * 1024
    assert health["memory"]["policy"] == memory["maxmemory_policy"] == "volatile-lru"
    assert 1.5 < health["memory"]["used_percent"] < 10
    assert health["memory"]["used_bytes"] >= 1_000_000
    stats = info_of(server, "stats")
    assert health["stats"]["hits_count"] == int(stats["keyspace_hits"]) == 3
    assert health["stats"]["misses_count"] == int(stats["keyspace_misses"]) == 1
    assert (health["stats"]["hit_percent"], health["stats"]["hit_basis"]) == (75.0, "lifetime")
    assert health["stats"]["dbsize"] == int(server.cli("DBSIZE")) == 2
    assert health["stats"]["keys_count"] == 3
    assert [(entry["db"], entry["keys"], entry["expires"]) for entry in health["stats"]["databases"]] == [
        (0, 2, 1),
        (3, 1, 0),
    ]


def test_measuring_does_not_move_the_hit_rate(run_module: Runner, server: RedisServer) -> None:
    before = info_of(server, "stats")
    measure(run_module, server)
    after = info_of(server, "stats")
    for name in ("keyspace_hits", "keyspace_misses"):
        assert after[name] == before[name]


def test_the_hit_rate_of_now(run_module: Runner, server: RedisServer) -> None:
    client = server.client()
    client.set("a", "x")
    for _ignored in range(100):
        client.get("a")
    health = measure(run_module, server, sample_seconds=0.2)
    # Ninety-nine percent over its life, but nothing at all in this moment.
    assert (health["stats"]["hit_percent"], health["stats"]["hit_basis"]) == (None, "sample")
    assert health["stats"]["sample_seconds"] >= 0.2
    assert measure(run_module, server)["stats"]["hit_percent"] == 100.0


def test_slow_commands_without_their_arguments(run_module: Runner, server: RedisServer) -> None:
    client = server.client()
    client.config_set("slowlog-log-slower-than", "0")
    client.set("customer:4711", "geheim-4111111111111111")
    client.config_set("slowlog-log-slower-than", "10000")
    result = run_module("redis_health_info", server.login())
    slowlog = result["health"]["slowlog"]
    assert slowlog["length"] == int(server.cli("SLOWLOG", "LEN")) > 0
    assert "SET" in {entry["command"] for entry in slowlog["commands"]}
    assert slowlog["slowest_last_day_seconds"] > 0
    assert "geheim" not in json.dumps(result)
    assert "customer:4711" not in json.dumps(result)
    bounded = measure(run_module, server, slowlog_entries=1)["slowlog"]
    assert (bounded["entries_read"], bounded["truncated"]) == (1, True)
    left_alone = measure(run_module, server, slowlog_entries=0)["slowlog"]
    assert (left_alone["length"], left_alone["slowest_last_day_seconds"]) == (None, None)


@pytest.mark.parametrize(
    ("policy", "maxmemory", "risk"),
    [
        ("allkeys-lru", "100mb", "any"),
        ("volatile-ttl", "100mb", "expiring"),
        ("noeviction", "100mb", "none"),
        ("allkeys-lru", "0", "none"),
    ],
)
def test_queues_next_to_eviction(
    run_module: Runner, server: RedisServer, policy: str, maxmemory: str, risk: str
) -> None:
    client = server.client()
    client.config_set("maxmemory", maxmemory)
    client.config_set("maxmemory-policy", policy)
    assert measure(run_module, server)["config"]["eviction_risk"] == "none"
    client.brpop(["celery"], timeout=0.01)
    config = measure(run_module, server)["config"]
    assert config["eviction_risk"] == risk
    assert config["queue_evidence"] == ["BRPOP was called 1 times"]
    assert config["jobs_not_persisted"] is True
    client.config_set("save", "3600 1")
    assert measure(run_module, server)["config"]["jobs_not_persisted"] is False


def test_queue_keys_are_evidence_before_the_first_worker(run_module: Runner, server: RedisServer) -> None:
    server.client().sadd("rq:queues", "rq:queue:default")
    assert measure(run_module, server)["config"]["queue_evidence"] == ["key rq:queues exists"]


def test_snapshots(run_module: Runner, server: RedisServer) -> None:
    client = server.client()
    client.config_set("save", "3600 100000")
    client.set("a", "x")
    persistence = measure(run_module, server)["persistence"]
    assert (persistence["kind"], persistence["rdb_enabled"]) == ("rdb", True)
    assert persistence["rdb_changes_count"] == int(info_of(server, "persistence")["rdb_changes_since_last_save"]) > 0
    assert persistence["rdb_unsaved_seconds"] >= 0
    client.bgsave()
    assert wait_until(lambda: client.info("persistence")["rdb_bgsave_in_progress"] == 0, 20, 0.05)
    persistence = measure(run_module, server)["persistence"]
    assert (persistence["rdb_saved_since_start"], persistence["rdb_unsaved_seconds"]) == (True, 0)
    assert persistence["rdb_last_status"] == "ok"


def test_a_server_that_cannot_save_refuses_writes(run_module: Runner, tmp_path: Path) -> None:
    with RedisServer(settings={"save": "3600 100000", "dbfilename": "dump.rdb"}) as server:
        client = server.client()
        client.set("a", "x")
        # A directory of that name: the snapshot cannot be put in place, whoever runs this.
        (server.base / "dump.rdb").mkdir()
        (server.base / "dump.rdb" / "x").touch()
        client.bgsave()
        assert wait_until(lambda: client.info("persistence")["rdb_last_bgsave_status"] == "err", 20, 0.05)
        persistence = measure(run_module, server)["persistence"]
        # Otherwise it would not even stop without having saved.
        client.config_set("save", "")
    assert persistence["rdb_last_status"] == "err"
    assert persistence["writes_refused"] is True
    assert "unable to persist" in persistence["writes_refused_reason"]


def test_a_server_that_is_loading(run_module: Runner) -> None:
    with RedisServer(settings={"save": "3600 1", "rdbcompression": False}) as server:
        client = server.client()
        with client.pipeline(transaction=False) as pipeline:
            for number in range(200):
                pipeline.set(f"key:{number}", "x" * 200_000)
            pipeline.execute()
        client.bgsave()
        assert wait_until(lambda: client.info("persistence")["rdb_bgsave_in_progress"] == 0, 20, 0.05)
        server.stop()
        # Ten seconds of loading, in which it looks at its clients every 2 MB, and the lab would only wait.
        server.settings |= {"key-load-delay": 50_000}
        server.port = free_port()
        process = server._spawn()
        try:
            assert wait_until(lambda: accepts(server.port, server.host), 20, 0.02)
            for module, options in (
                ("redis_health_info", {}),
                ("redis_queue_info", {"queues": ["a"]}),
                ("redis_key_info", {"keys": [{"name": "a", "key": "a"}]}),
            ):
                result = run_module(module, {**server.login(), **options})
                assert result["available"] is False, result
                assert "is still loading its data set (" in result["reason"]
        finally:
            process.kill()
            process.wait(240)


def test_append_only_file(run_module: Runner, server: RedisServer) -> None:
    client = server.client()
    client.config_set("appendonly", "yes")
    try:
        persistence = measure(run_module, server)["persistence"]
        assert (persistence["kind"], persistence["aof_last_write_status"]) == ("aof", "ok")
        assert persistence["aof_size_bytes"] is not None
    finally:
        client.config_set("appendonly", "no")


def test_clients(run_module: Runner, server: RedisServer) -> None:
    others = [server.client() for _ignored in range(5)]
    for other in others:
        other.ping()
    server.client().config_set("maxclients", "100")
    clients = measure(run_module, server)["clients"]
    server.client().config_set("maxclients", "10000")
    assert clients["max_count"] == 100
    assert clients["used_percent"] == clients["connected_count"]
    assert clients["connected_count"] >= 6


def test_a_password_is_required_or_not(run_module: Runner) -> None:
    with RedisServer(password="geheim", settings={"bind": "127.0.0.1 -::1"}) as server:
        result = run_module("redis_health_info", server.login())
        assert result["health"]["config"]["auth_required"] is True
        assert result["health"]["config"]["exposed_without_auth"] is False
        # A user of its own, while everybody else needs no password at all.
        server.cli("ACL", "SETUSER", "ops", "on", ">geheim2", "~*", "+@all")
        server.cli("CONFIG", "SET", "protected-mode", "no")
        server.cli("ACL", "SETUSER", "default", "nopass")
        login = server.login(login_user="ops", login_password="geheim2")
        assert run_module("redis_health_info", login)["health"]["config"]["auth_required"] is False


def test_open_to_the_network(run_module: Runner) -> None:
    # 127.0.0.2 is loopback, too: the address is one that a server listens on, not one that strangers reach.
    with RedisServer(settings={"bind": "0.0.0.0", "protected-mode": False}) as server:
        config = measure(run_module, server)["config"]
    assert (config["bind"], config["exposed_without_auth"]) == ("0.0.0.0", True)


def test_everything_missing_is_reported_at_once(run_module: Runner, server: RedisServer) -> None:
    server.cli("ACL", "SETUSER", "watcher", "on", ">geheim", "resetkeys", "nocommands", "+ping", "+info")
    result = run_module("redis_health_info", server.login(login_user="watcher", login_password="geheim"))
    server.cli("ACL", "DELUSER", "watcher")
    assert result["available"] is True
    reasons = {(entry["section"], entry["reason"]) for entry in result["skipped_sections"]}
    assert reasons == {
        ("stats", "the ACL does not grant +dbsize"),
        ("server", "the ACL does not grant +time"),
        ("persistence", "the ACL does not grant +time"),
        ("slowlog", "the ACL does not grant +time"),
        ("persistence", "the ACL does not grant +config|get"),
        ("config", "the ACL does not grant +config|get"),
        ("config_lint", "the ACL does not grant +config|get"),
        ("latency.events", "the ACL does not grant +latency|latest"),
        ("slowlog", "the ACL does not grant +slowlog|len"),
        ("slowlog", "the ACL does not grant +slowlog|get"),
    }
    assert {entry["remedy"] for entry in result["skipped_sections"] if "slowlog|get" in entry["reason"]} == {
        "Grant it: ACL SETUSER watcher +slowlog|get"
    }
    health = result["health"]
    assert health["memory"]["used_bytes"] > 0
    assert (health["config"]["exposed_without_auth"], health["persistence"]["kind"]) == (None, None)
    assert health["slowlog"]["slowest_last_day_seconds"] is None
    assert (health["config_lint"]["entries"], health["latency"]["events"]) == (None, None)


def test_a_user_who_may_do_nothing(run_module: Runner, server: RedisServer) -> None:
    server.cli("ACL", "SETUSER", "nothing", "on", ">geheim", "nocommands")
    result = run_module("redis_health_info", server.login(login_user="nothing", login_password="geheim"))
    server.cli("ACL", "DELUSER", "nothing")
    assert result["available"] is True
    assert result["health"]["memory"]["used_bytes"] is None
    skipped = {(entry["section"], entry["reason"]) for entry in result["skipped_sections"]}
    assert {("memory", "the ACL does not grant +info"), ("latency", "the ACL does not grant +ping")} <= skipped


def test_a_managed_service_hides_commands(run_module: Runner) -> None:
    with RedisServer(settings={"rename-command": ['CONFIG ""', 'SLOWLOG ""']}) as server:
        result = run_module("redis_health_info", server.login())
    assert result["available"] is True
    assert ("config", "the server does not offer CONFIG GET; managed services switch it off or rename it") in {
        (entry["section"], entry["reason"]) for entry in result["skipped_sections"]
    }
    assert result["health"]["slowlog"]["slowest_last_day_seconds"] is None
    # The policy is in INFO, which they leave.
    assert result["health"]["memory"]["policy"] == "noeviction"


def test_a_blocked_server_does_not_hang_us(run_module: Runner, redis_server: RedisServer) -> None:
    server = redis_server
    sleeper = threading.Thread(target=lambda: server.client().execute_command("DEBUG", "SLEEP", "2"))
    sleeper.start()
    time.sleep(0.3)
    try:
        result = run_module("redis_health_info", server.login(socket_timeout=0.3), timeout=30)
    finally:
        sleeper.join()
    assert result["available"] is False
    assert "stopped answering for 0.3 s (socket_timeout)" in result["reason"]
