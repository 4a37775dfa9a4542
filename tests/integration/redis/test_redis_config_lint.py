"""The lint of redis_health_info against real servers: what it says of a file, the server does at its start."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from lab.ports import free_port
from lab.process import wait_until
from lab.redis import RedisServer, binaries, version

from ansible_collections.runbook.ops.plugins.module_utils.redis.health.config_file import lint_file

Runner = Callable[..., dict[str, Any]]

# The manual's settings, as it prints them (memory policy, save points, append-only file).
MANUALS = """\
maxmemory 2gb                # half of the machine
maxmemory-policy allkeys-lru # throw out the least used
save 900 1     # after 15 minutes, if 1 key changed
save 300 10    # after 5 minutes, if 10 keys changed
appendonly yes # every write
appendfsync everysec
"""
# Keeps the server busy for 50 ms.
BUSY = """
local began = redis.call('TIME')
repeat local now = redis.call('TIME') until (now[1] - began[1]) * 1e6 + now[2] - began[2] > 50000
"""
CORRECTED = "\n".join(line.split("#")[0].strip() for line in MANUALS.splitlines()) + "\n"


def start(binary: Path, text: str, folder: Path) -> tuple[int, str]:
    """What a server says about a file with one more line that no server accepts: the number of the first bad line."""
    path = folder / "redis.conf"
    lines = text.rstrip("\n").count("\n") + 1
    path.write_text(text.rstrip("\n") + "\ndatabases none\n", encoding="utf-8")
    done = subprocess.run([binary, path], capture_output=True, text=True, timeout=300, check=False, cwd=folder)
    output = done.stdout + done.stderr
    found = re.search(r"at line (\d+)", output)
    assert done.returncode != 0, output
    assert found is not None, output
    return (0 if int(found[1]) == lines + 1 else int(found[1])), output


@pytest.mark.parametrize("name", sorted(binaries()))
def test_the_manuals_settings_keep_the_server_from_starting(run_module: Runner, tmp_path: Path, name: str) -> None:
    binary = binaries()[name]
    bad, output = start(binary, MANUALS, tmp_path)
    assert bad == 1
    assert "wrong number of arguments" in output
    saves = "\n".join(line for line in MANUALS.splitlines() if line.startswith("save"))
    bad, output = start(binary, saves, tmp_path)
    # Redis 6.2 starts, and takes none of the snapshots.
    assert (bad, "Invalid save parameters" in output) == ((1, True) if version(binary) >= (7,) else (0, False))
    assert start(binary, CORRECTED, tmp_path)[0] == 0
    # Nobody has noticed yet: the server that ought to run is not there, and the file says why.
    path = tmp_path / "manual.conf"
    path.write_text(MANUALS, encoding="utf-8")
    result = run_module("redis_health_info", {"login_port": free_port(), "config_file": str(path)})
    assert (result["available"], result["config_file"]["critical_count"]) == (False, 5)
    assert [entry["setting"] for entry in result["config_file"]["entries"]] == [
        *("maxmemory", "maxmemory-policy", "save", "save", "appendonly")
    ]
    assert all("there are no comments behind a value" in entry["reason"] for entry in result["config_file"]["entries"])


@pytest.mark.parametrize("name", sorted(binaries()))
@pytest.mark.parametrize(
    "line",
    [
        *(
            "maxmemory 2gb # x",
            "save 900 1 # x",
            "save 900 # x",
            "appendonly yes # x",
            "appendonly yes #",
            "port 6379 # x",
        ),
        *("dir /tmp # x", "requirepass geheim # x", "maxmemory 2 gb", "maxmemory 2gib", "appendonly true", "save 900"),
        *("save 900 one", "save 0 1", "appendfsync every", "maxmemory-policy lru", "port redis", 'dir "/tmp'),
        *("dir '/tmp'x", "tcp-keepalive 5m", "loglevel loud"),
        "client-output-buffer-limit pubsub 32mb 8mb 60 # x",
    ],
)
def test_we_and_the_server_agree_about_lines(tmp_path: Path, name: str, line: str) -> None:
    binary = binaries()[name]
    starts = start(binary, line, tmp_path)[0] == 0
    # Before 7.0 it passes over a save line that it does not understand, and takes no snapshots.
    assert starts == (version(binary) < (7,) and line.startswith("save 900"))
    assert [entry.severity for entry in lint_file(line)] == ["critical"]


@pytest.mark.parametrize("name", sorted(binaries()))
def test_we_and_the_server_agree_about_good_lines(tmp_path: Path, name: str) -> None:
    lines = [
        *("maxmemory 2GB", "maxmemory 100mb", 'save ""', "save 900 1", "requirepass #x", 'requirepass "a # b"'),
        *("APPENDONLY YES", "MaxMemory-Policy AllKeys-LRU", "  # x", 'dir "/tmp"', "requirepass 'it\\'s'", "hz 10"),
        *("client-output-buffer-limit pubsub 32mb 8mb 60", "protected-mode no", "", "\ttimeout\t0"),
    ]
    assert start(binaries()[name], "\n".join(lines), tmp_path)[0] == 0
    assert lint_file("\n".join(lines)) == []


def test_what_the_next_restart_would_change(run_module: Runner, every_redis: RedisServer) -> None:
    with RedisServer(binary=every_redis.binary, settings={"maxmemory": "64mb", "save": "900 1"}) as server:
        path = str(server.base / "redis.conf")
        for chosen in ("auto", path):
            file = run_module("redis_health_info", server.login(config_file=chosen))["config_file"]
            assert (file["path"], file["reason"], file["entries"]) == (path, None, [])
        server.cli("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
        server.cli("CONFIG", "SET", "maxmemory", "128mb")
        file = run_module("redis_health_info", server.login(config_file="auto"))["config_file"]
        assert {entry["setting"]: entry["severity"] for entry in file["entries"]} == {
            "maxmemory": "warning",
            "maxmemory-policy": "warning",
        }
        assert file["warning_count"] == 2
        # A restart without CONFIG REWRITE proves it.
        server.stop()
        server.start()
        assert server.cli("CONFIG", "GET", "maxmemory-policy").splitlines()[1] == "noeviction"
        server.cli("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
        server.cli("CONFIG", "REWRITE")
        assert run_module("redis_health_info", server.login(config_file="auto"))["config_file"]["entries"] == []


def test_a_file_that_cannot_be_read_is_not_a_good_one(run_module: Runner, redis_server: RedisServer) -> None:
    result = run_module("redis_health_info", redis_server.login(config_file="/nowhere/redis.conf"))
    assert result["config_file"] == {
        "path": "/nowhere/redis.conf",
        "reason": "/nowhere/redis.conf could not be read: No such file or directory",
        "entries": None,
        "critical_count": None,
        "warning_count": None,
    }
    assert [entry["section"] for entry in result["skipped_sections"]] == ["config_file"]
    gone = run_module("redis_health_info", {"login_port": free_port(), "config_file": "auto"})
    assert gone["config_file"]["reason"].startswith("the server is not available")
    unasked = run_module("redis_health_info", redis_server.login())
    assert (unasked["config_file"]["entries"], unasked["skipped_sections"]) == ([], [])


def test_settings_of_a_server_with_queues(run_module: Runner, server: RedisServer) -> None:
    """allkeys-lru as the manual has it, where jobs are: each finding is a setting that redis-cli shows."""
    client = server.client()
    client.sadd("rq:queues", "rq:queue:default")
    settings = {"maxmemory": "64mb", "maxmemory-policy": "allkeys-lru", "tcp-keepalive": "0", "appendonly": "no"}
    before = {name: client.config_get(name)[name] for name in ("tcp-keepalive", "latency-monitor-threshold")}
    for name, value in settings.items():
        server.cli("CONFIG", "SET", name, value)
    lint = run_module("redis_health_info", server.login())["health"]["config_lint"]
    warnings = {entry["setting"]: entry["value"] for entry in lint["entries"] if entry["severity"] == "warning"}
    assert warnings == {"maxmemory-policy": "allkeys-lru", "save": '""', "tcp-keepalive": "0"}
    assert lint["warnings_count"] == 3
    for name, value in before.items():
        client.config_set(name, value)


def test_what_the_server_noticed_itself(run_module: Runner, server: RedisServer) -> None:
    client = server.client()
    off = run_module("redis_health_info", server.login())["health"]["latency"]
    assert (off["monitored"], off["events"]) == (False, None)
    client.config_set("latency-monitor-threshold", "20")
    client.eval(BUSY, 0)
    health = run_module("redis_health_info", server.login())["health"]
    said = server.cli("LATENCY", "LATEST").splitlines()
    event = next(each for each in health["latency"]["events"] if each["event"] == "command")
    assert event["longest_milliseconds"] >= 50
    assert str(int(event["longest_milliseconds"])) in said
    if server.version >= (7,):
        assert health["latency"]["commands"][0]["command"] == "EVAL"
        assert health["latency"]["commands"][0]["p99_milliseconds"] >= 50
    client.execute_command("LATENCY", "RESET")
    client.config_set("latency-monitor-threshold", "0")


def test_copies_and_the_append_only_file(run_module: Runner, server: RedisServer) -> None:
    persistence = run_module("redis_health_info", server.login())["health"]["persistence"]
    assert persistence["aof_delayed_fsync_total"] is None
    client = server.client()
    client.config_set("appendonly", "yes")
    assert wait_until(lambda: client.info("persistence")["aof_rewrite_in_progress"] == 0, 15)
    persistence = run_module("redis_health_info", server.login())["health"]["persistence"]
    said = client.info("all")
    assert persistence["aof_delayed_fsync_total"] == said["aof_delayed_fsync"]
    assert persistence["last_fork_milliseconds"] == pytest.approx(said["latest_fork_usec"] / 1000, abs=0.001)
    assert persistence["aof_base_size_bytes"] == said["aof_base_size"]
    memory = run_module("redis_health_info", server.login())["health"]["memory"]
    assert memory["overhead_bytes"] > memory["startup_bytes"] > 0


def test_waiting_workers_are_no_lookups(run_module: Runner, server: RedisServer) -> None:
    """What a queue's traffic does to the hit rate: waiting does nothing, looking does."""
    client = server.client()
    client.brpop("queue", timeout=0.01)
    stats = run_module("redis_health_info", server.login())["health"]["stats"]
    assert (stats["lookups_count"], stats["hit_includes_queues"]) == (0, True)
    client.llen("queue")
    client.eval("return redis.call('HGET', KEYS[1], 'x')", 1, "queue:1")
    stats = run_module("redis_health_info", server.login())["health"]["stats"]
    assert (stats["misses_count"], stats["hit_percent"]) == (2, 0.0)
