"""Servers in trouble and connections that break: one clear sentence, and nothing done twice."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from lab.bench import environment
from lab.cut_proxy import CutProxy
from lab.node import NodeQueue
from lab.ports import free_port
from lab.process import wait_until
from lab.redis import RedisServer

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import Unavailable
from ansible_collections.runbook.ops.plugins.module_utils.redis.client import RedisClient
from ansible_collections.runbook.ops.plugins.module_utils.redis.errors import CommandRefused
from ansible_collections.runbook.ops.plugins.module_utils.redis.options import Settings
from ansible_collections.runbook.ops.plugins.module_utils.redis.scan import Budget, Scan
from ansible_collections.runbook.ops.plugins.module_utils.redis.script import OutcomeUnknown, Script

Runner = Callable[..., dict[str, Any]]
LOOKING: dict[str, dict[str, Any]] = {
    "redis_key_info": {"keys": [{"name": "a", "key": "a"}]},
    "redis_queue_info": {"queues": ["orders"]},
}
CHANGING: dict[str, dict[str, Any]] = {
    "redis_key": {"state": "absent", "pattern": ["cache:*"]},
    "redis_queue": {"queue": "orders", "state": "paused"},
    "redis_queue_retry": {"queue": "orders"},
}
COUNT = Script("count", "return redis.call('INCR', KEYS[1])")
LOST = (
    "Redis at 127.0.0.1:{port} closed the connection. If this port speaks TLS, set tls to true. Whether the last step "
    "(count) was carried out is not known; it was not sent again. Run the task again: it looks at what is there."
)


def settings_of(port: int) -> Settings:
    return Settings(host="127.0.0.1", port=port)


def failed_jobs(server: RedisServer, count: int) -> None:
    """A queue of BullMQ with failed jobs, made by the library."""
    jobs = [{"data": {"fail": f"no answer {number}"}} for number in range(count)]
    NodeQueue("bullmq5", server.port, "orders").batch([{"command": "add", "jobs": jobs}, {"command": "drainByWork"}])


def counts(server: RedisServer) -> dict[str, int]:
    return dict(NodeQueue("bullmq5", server.port, "orders").ask("counts"))


def everywhere(run_module: Runner, server: RedisServer, words: str) -> None:
    """Every module that looks reports it, every one that changes fails with it."""
    for module, options in LOOKING.items():
        result = run_module(module, {**server.login(), **options})
        assert (result["available"], "failed" in result) == (False, False), result
        assert words in result["reason"], result["reason"]
    for module, options in CHANGING.items():
        result = run_module(module, {**server.login(), **options})
        assert result.get("failed") is True, result
        assert words in result["msg"], result["msg"]


# --- servers in trouble


@contextmanager
def busy(server: RedisServer) -> Iterator[None]:
    """A script that does not end by itself, as somebody's mistake would not."""
    client = server.client()
    client.config_set("lua-time-limit", "1")
    runner = threading.Thread(target=_run_for_ever, args=(server,), daemon=True)
    runner.start()
    try:
        assert wait_until(lambda: _is_busy(server), 20)
        yield
    finally:
        server.client().script_kill()
        runner.join(240)


def _run_for_ever(server: RedisServer) -> None:
    import redis

    with pytest.raises(redis.RedisError):
        server.client(socket_timeout=120).eval("while true do end", 0)


def _is_busy(server: RedisServer) -> bool:
    import redis

    try:
        server.client().ping()
    except redis.ResponseError as error:
        return "BUSY" in str(error)
    return False


def test_a_script_that_does_not_end(run_module: Runner, server: RedisServer) -> None:
    with busy(server):
        everywhere(
            run_module, server, "is blocked by a running script. Look at it with redis-cli; SCRIPT KILL ends it."
        )


def test_a_replica_without_its_master(run_module: Runner, redis_server: RedisServer) -> None:
    settings = {"replicaof": f"127.0.0.1 {free_port()}", "replica-serve-stale-data": False}
    with RedisServer(settings=settings) as replica:
        everywhere(run_module, replica, "is a replica that has lost its master and does not serve old data.")


@pytest.fixture(scope="module")
def with_failures() -> Iterator[RedisServer]:
    """A server with a queue of failed jobs, and one replica's worth of settings to break."""
    with RedisServer(settings={"repl-diskless-sync-delay": 0}) as server:
        failed_jobs(server, 3)
        server.client().set("cache:1", "x")
        yield server


def refused_everywhere(run_module: Runner, server: RedisServer, words: str, *modules: str) -> None:
    for module in modules:
        for check_mode in (True, False):
            result = run_module(module, {**server.login(), **CHANGING[module]}, check_mode=check_mode)
            assert result.get("failed") is True, (module, check_mode, result)
            assert words in result["msg"], result["msg"]


def test_a_full_server(run_module: Runner, with_failures: RedisServer) -> None:
    """What needs memory is refused as a whole; a lone script says so, too."""
    client = with_failures.client()
    client.config_set("maxmemory", "1")
    try:
        words = "has reached maxmemory and evicts nothing, so it takes no writes"
        refused_everywhere(run_module, with_failures, words, "redis_queue_retry")
        with RedisClient(settings_of(with_failures.port)) as connection, pytest.raises(CommandRefused) as caught:
            COUNT.run(connection, ["n"])
    finally:
        client.config_set("maxmemory", "0")
    assert caught.value.message == (
        "EVAL was refused: the server has reached maxmemory and takes no writes. Free memory or raise maxmemory."
    )
    assert (counts(with_failures)["failed"], client.exists("n")) == (3, 0)


def test_a_server_that_cannot_save(run_module: Runner, with_failures: RedisServer) -> None:
    client = with_failures.client()
    # A directory of that name: the snapshot cannot be put in place, whoever runs this.
    (with_failures.base / "dump.rdb" / "x").mkdir(parents=True)
    client.config_set("save", "3600 100000")
    client.set("changed", "x")
    client.bgsave()
    try:
        assert wait_until(lambda: client.info("persistence")["rdb_last_bgsave_status"] == "err", 20, 0.05)
        words = "takes no writes because it could not save its data to disk"
        refused_everywhere(run_module, with_failures, words, *CHANGING)
        with RedisClient(settings_of(with_failures.port)) as connection, pytest.raises(CommandRefused) as caught:
            COUNT.run(connection, ["n"])
    finally:
        client.config_set("save", "")
    assert "the server takes no writes because it cannot save its data to disk." in caught.value.message
    assert (counts(with_failures)["failed"], client.get("cache:1")) == (3, b"x")


def test_too_few_replicas(run_module: Runner, with_failures: RedisServer) -> None:
    client = with_failures.client()
    client.config_set("min-replicas-to-write", "1")
    try:
        refused_everywhere(run_module, with_failures, "has fewer good replicas than min-replicas-to-write", *CHANGING)
    finally:
        client.config_set("min-replicas-to-write", "0")
    assert (counts(with_failures)["failed"], client.get("cache:1")) == (3, b"x")


def test_a_replica_takes_no_changes(run_module: Runner, with_failures: RedisServer) -> None:
    master = f"127.0.0.1 {with_failures.port}"
    with RedisServer(settings={"replicaof": master}) as replica:
        assert wait_until(lambda: replica.client().info("replication")["master_link_status"] == "up", 30, 0.05)
        words = f"is a replica; nothing is changed there. Connect to its master, 127.0.0.1:{with_failures.port}."
        refused_everywhere(run_module, replica, words, *CHANGING)
        with RedisClient(settings_of(replica.port)) as connection, pytest.raises(CommandRefused) as caught:
            connection.call("SET", "cache:1", "y")
    assert (
        caught.value.message == "SET was refused: the server is a replica and takes no writes. Connect to its master."
    )


# --- permissions


@pytest.mark.parametrize(
    ("module", "options"),
    [
        ("redis_key", CHANGING["redis_key"]),
        ("redis_queue_retry", {"queue": "orders", "system": "bullmq"}),
        ("redis_queue", {"queue": "orders", "system": "bullmq", "state": "paused"}),
        ("redis_queue_info", {"system": ["bullmq"]}),
        ("redis_key_info", {"keys": [{"name": "a", "pattern": "a*"}]}),
    ],
)
def test_missing_permissions_are_named_at_once(
    run_module: Runner, redis_server: RedisServer, module: str, options: dict[str, Any]
) -> None:
    """Once they are granted, as the message says, nothing more is missing."""
    rules = ["+@all", "-select", "-scan", "-eval", "-evalsha", "-type"]
    changes = module in CHANGING
    redis_server.cli("ACL", "SETUSER", "lacking", "reset", "on", ">pw", "~*", "&*", *rules)
    redis_server.client(db=2).set("cache:1", "x")
    given = {**redis_server.login(login_user="lacking", login_password="pw", login_db=2), **options}
    result = run_module(module, given)
    message = result.get("msg") or result["reason"]
    wanted = {"+select", *(["+eval", "+evalsha"] if changes else []), *([] if "queue" in options else ["+scan"])}
    granted = message.partition("Grant: ACL SETUSER lacking ")[2].split()
    assert wanted <= set(granted)
    redis_server.cli("ACL", "SETUSER", "lacking", *granted)
    result = run_module(module, given)
    # The queue is not there, which is no matter of permissions.
    assert "permission" not in (result.get("msg") or result.get("reason") or ""), result
    assert ("failed" in result, result.get("available", True)) == ("queue" in options, True)
    redis_server.cli("ACL", "DELUSER", "lacking")


# --- connections that break


@pytest.mark.parametrize(("delivered", "times"), [(True, 1), (False, 0)])
@pytest.mark.parametrize("word", ["EVAL\r\n", "EVALSHA\r\n"])
def test_a_script_is_never_sent_twice(redis_server: RedisServer, word: str, delivered: bool, times: int) -> None:
    """Whether it was carried out nobody can know; it was, at most once."""
    client = redis_server.client()
    client.script_flush()
    if word.startswith("EVALSHA"):
        client.script_load(COUNT.source)
    with CutProxy(redis_server.port, word.encode(), delivered=delivered) as proxy:
        with RedisClient(settings_of(proxy.port)) as connection:
            with pytest.raises(OutcomeUnknown) as caught:
                COUNT.run(connection, ["n"])
            # The connection is gone for good: a new one would be in database 0 again.
            with pytest.raises(Unavailable, match="is closed"):
                connection.ask("GET", "n")
        assert caught.value.message == LOST.format(port=proxy.port)
        assert proxy.count(word.encode()) == times
    assert int(client.get("n") or 0) == times


def test_a_connection_that_breaks_in_the_middle_of_an_answer(redis_server: RedisServer) -> None:
    script = Script("list", "redis.call('INCR', KEYS[1]) return {1, 2, 3}")
    with (
        CutProxy(redis_server.port, b"EVAL\r\n", after_bytes=2) as proxy,
        RedisClient(settings_of(proxy.port)) as connection,
        pytest.raises(OutcomeUnknown),
    ):
        script.run(connection, ["n"])
    assert redis_server.client().get("n") == b"1"


def test_a_scan_that_breaks_gives_no_figures(run_module: Runner, redis_server: RedisServer) -> None:
    pipeline = redis_server.client().pipeline(transaction=False)
    for number in range(5000):
        pipeline.set(f"k:{number}", number)
    pipeline.execute()
    request = {"keys": [{"name": "sum", "pattern": "k:*", "operation": "sum"}]}
    # The first SCAN is the preflight's.
    with CutProxy(redis_server.port, b"SCAN\r\n", occurrence=3, after_bytes=50) as proxy:
        result = run_module("redis_key_info", {"login_host": "127.0.0.1", "login_port": proxy.port, **request})
        assert proxy.count(b"SCAN\r\n") == 3
    assert (result["available"], result["keys"], result["complete"]) == (False, {}, False)
    assert result["reason"].startswith(f"Redis at 127.0.0.1:{proxy.port} closed the connection.")
    with (
        CutProxy(redis_server.port, b"SCAN\r\n", occurrence=2) as proxy,
        RedisClient(settings_of(proxy.port)) as connection,
    ):
        scan = Scan(connection, [b"k:*"], Budget())
        with pytest.raises(Unavailable):
            list(scan)
    assert scan.complete is False


def test_a_retry_that_loses_its_connection_moves_no_job_twice(run_module: Runner, redis_server: RedisServer) -> None:
    """The step was carried out and nobody knows; the next run does the rest."""
    failed_jobs(redis_server, 25)
    options = {**CHANGING["redis_queue_retry"], "batch_size": 10}
    # The first is rehearsed, the second not known to the server yet.
    with CutProxy(redis_server.port, b"EVALSHA\r\n", occurrence=3) as proxy:
        lost = run_module("redis_queue_retry", {"login_host": "127.0.0.1", "login_port": proxy.port, **options})
        cut = proxy.cut.is_set()
    assert cut
    assert lost["failed"] is True
    assert "is not known; it was not sent again." in lost["msg"]
    assert counts(redis_server)["failed"] == 5
    again = run_module("redis_queue_retry", {**redis_server.login(), **options})
    assert not again.get("failed"), again
    assert counts(redis_server)["failed"] == 0
    waiting = redis_server.client().lrange("bull:orders:wait", 0, -1)
    assert sorted(map(int, waiting)) == list(range(1, 26))
    last = run_module("redis_queue_retry", {**redis_server.login(), **options})
    assert last["changed"] is False


def test_deleting_keys_that_loses_its_connection(run_module: Runner, redis_server: RedisServer) -> None:
    redis_server.client().mset({f"cache:{number}": "x" for number in range(900)})
    options = CHANGING["redis_key"]
    with CutProxy(redis_server.port, b"EVAL\r\n", occurrence=3) as proxy:
        lost = run_module("redis_key", {"login_host": "127.0.0.1", "login_port": proxy.port, **options})
        cut = proxy.cut.is_set()
    assert cut
    assert lost["failed"] is True
    assert "is not known; it was not sent again." in lost["msg"]
    again = run_module("redis_key", {**redis_server.login(), **options})
    assert not again.get("failed"), again
    assert redis_server.client().dbsize() == 0
    assert run_module("redis_key", {**redis_server.login(), **options})["changed"] is False


@pytest.mark.parametrize("direct", [True, False])
def test_no_secret_in_the_most_verbose_output(redis_server: RedisServer, tmp_path: Path, direct: bool) -> None:
    """A module that looks, inside the worker and in a process of its own, and one that changes."""
    secrets = {"login_password": "hidden @:/% öne", "sentinel_password": "hidden @:/% twö"}
    given = {"sentinels": [f"127.0.0.1:{redis_server.port}"], "sentinel_master": "m", **secrets}
    names = ("redis_key_info", "redis_queue")
    tasks = [
        {f"runbook.ops.{name}": {**given, **{**LOOKING, **CHANGING}[name]}, "ignore_errors": True} for name in names
    ]
    play = {"hosts": "localhost", "gather_facts": False, "tasks": tasks, "vars": {"runbook_direct": direct}}
    playbook = tmp_path / "play.yml"
    playbook.write_text(yaml.safe_dump([play]), encoding="utf-8")
    done = subprocess.run(
        [str(Path(sys.executable).with_name("ansible-playbook")), "-vvvv", "--diff", str(playbook)],
        env={**environment(), "ANSIBLE_HOME": str(tmp_path / "home")},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "No sentinel could be asked for the master of 'm'." in done.stdout
    assert "hidden @" not in done.stdout + done.stderr


def test_json_is_all_that_is_left_of_a_secret(run_module: Runner, redis_server: RedisServer) -> None:
    """Secrets of a connection that fails are in no field of a result."""
    secrets = {"login_password": "hidden @:/% one", "sentinel_password": "hidden @:/% two"}
    given = {"sentinels": [f"127.0.0.1:{redis_server.port}"], "sentinel_master": "m", **secrets}
    for module, options in {**LOOKING, **CHANGING}.items():
        result = run_module(module, {**given, **options})
        assert "hidden @" not in json.dumps(result), module
