"""redis_key against real servers and real queues, beside the commands that it replaces."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from lab.node import LIBRARIES, NodeQueue
from lab.process import wait_until
from lab.redis import RedisServer

from ansible_collections.runbook.ops.plugins.module_utils.common.progress import Stopped
from ansible_collections.runbook.ops.plugins.module_utils.redis.client import RedisClient
from ansible_collections.runbook.ops.plugins.module_utils.redis.keys.change import run as redis_key_run
from ansible_collections.runbook.ops.plugins.module_utils.redis.keys.change.plan import Key
from ansible_collections.runbook.ops.plugins.module_utils.redis.keys.change.request import request_from
from ansible_collections.runbook.ops.plugins.module_utils.redis.keys.change.script import change
from ansible_collections.runbook.ops.plugins.module_utils.redis.options import settings_from
from ansible_collections.runbook.ops.plugins.modules import redis_key

Runner = Callable[..., dict[str, Any]]
WRITING = {"unlink", "del", "expire", "pexpire", "eval", "evalsha", "set", "hset", "script"}


def writes(server: RedisServer) -> dict[str, int]:
    """Calls so far of everything that writes, by command."""
    stats = server.client().info("commandstats")
    used = {name.removeprefix("cmdstat_"): each["calls"] for name, each in stats.items()}
    return {name: calls for name, calls in used.items() if calls and name.split("|")[0] in WRITING}


def work(run_module: Runner, server: RedisServer, **options: Any) -> dict[str, Any]:
    """Check, run, and run again: check mode foresees the run and writes nothing, and the second run changes nothing."""
    before = writes(server)
    foreseen = run_module("redis_key", {**server.login(), **options}, check_mode=True)
    assert writes(server) == before
    done = run_module("redis_key", {**server.login(), **options})
    assert not foreseen.get("failed"), foreseen
    assert not done.get("failed"), done
    same = ("changed", "actions", "protected", "before", "freed_bytes", "complete", "refused")
    assert {name: done[name] for name in same} == {name: foreseen[name] for name in same}
    assert foreseen["after"] is None
    again = run_module("redis_key", {**server.login(), **options})
    assert (again["changed"], again["actions"]) == (False, [])
    return done


def refused(run_module: Runner, server: RedisServer, **options: Any) -> dict[str, Any]:
    """A run that a guard ends, with nothing touched, in check mode too."""
    before, keys = writes(server), server.cli("DBSIZE")
    failures = [
        run_module("redis_key", {**server.login(), **options}, check_mode=check_mode) for check_mode in (True, False)
    ]
    assert failures[0]["failed"] is True, failures[0]
    assert failures[0]["msg"] == failures[1]["msg"]
    assert not failures[1].get("changed")
    assert (writes(server), server.cli("DBSIZE")) == (before, keys)
    return failures[1]


def shell(server: RedisServer, line: str) -> subprocess.CompletedProcess[str]:
    """A line of the manual, as it would be pasted."""
    return subprocess.run(
        ["bash", "-c", line.replace("redis-cli", f"redis-cli -p {server.port}")],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def fill_cache(server: RedisServer, count: int = 1200) -> None:
    with server.client() as client, client.pipeline(transaction=False) as pipe:
        for number in range(count):
            pipe.set(f"cache:stock:{number}", "x" * 100, ex=600 if number % 4 == 0 else None)
        pipe.set("cachet:1", "seal")
        pipe.execute()


def test_keys_are_deleted(run_module: Runner, server: RedisServer) -> None:
    fill_cache(server)
    result = work(run_module, server, state="absent", pattern=["cache:*"], max_affected=2000)
    (action,) = result["actions"]
    assert (action["action"], action["pattern"], action["group"], action["count"]) == (
        "unlink",
        "cache:*",
        "cache:",
        1200,
    )
    assert (action["bytes_exact"], action["examples"]) == (False, [])
    # 1,200 values of 100 bytes and what the server needs around them.
    assert 1200 * 100 < action["bytes"] == result["freed_bytes"] < 1200 * 300
    assert result["before"] == {"matching": 1200, "without_ttl": 900, "due": 1200}
    assert result["after"] == {"matching": 0, "without_ttl": 0, "due": 0}
    assert result["outcomes"] == {"done": 1200, "gone": 0, "changed": 0}
    assert result["diff"] == {"before": "cache: (1200 keys of cache:*): there\n", "after": ""}
    assert server.cli("KEYS", "*") == "cachet:1"


def test_only_keys_without_a_time_to_live_get_one(run_module: Runner, server: RedisServer) -> None:
    fill_cache(server)
    result = work(run_module, server, state="expiring", pattern=["cache:*"], ttl="1h", ttl_spread=50, max_affected=2000)
    assert (result["actions"][0]["action"], result["actions"][0]["count"], result["freed_bytes"]) == ("expire", 900, 0)
    assert result["before"] == {"matching": 1200, "without_ttl": 900, "due": 900}
    assert result["after"] == {"matching": 1200, "without_ttl": 0, "due": 0}
    assert int(server.cli("TTL", "cache:stock:0")) <= 600
    given = [int(server.cli("TTL", f"cache:stock:{number}")) for number in (1, 2, 3, 5, 6, 7, 9, 10)]
    assert all(3500 <= ttl <= 5400 for ttl in given)
    # They do not all end at once.
    assert len(set(given)) > 4
    assert server.cli("TTL", "cachet:1") == "-1"


def test_the_manuals_expire_0_deletes_what_lives(run_module: Runner, redis_server: RedisServer) -> None:
    """ "Remove expired keys" with EXPIRE key 0: there is nothing expired to remove, and the whole cache is gone."""
    fill_cache(redis_server, 20)
    shell(redis_server, "redis-cli --scan --pattern 'cache:*' | xargs -I{} redis-cli EXPIRE {} 0")
    assert redis_server.cli("KEYS", "cache:*") == ""
    fill_cache(redis_server, 20)
    work(run_module, redis_server, state="expiring", pattern=["cache:*"], ttl="1d")
    assert len(redis_server.cli("KEYS", "cache:*").splitlines()) == 20


def test_the_manuals_xargs_del_takes_others_keys(run_module: Runner, redis_server: RedisServer) -> None:
    """A space in a name makes two names of it, and nothing to delete makes DEL without names."""
    client = redis_server.client()
    line = "redis-cli KEYS 'cache:*' | xargs redis-cli DEL"
    assert "wrong number of arguments" in shell(redis_server, line).stdout
    names = {"cache:red shoes": "x", "shoes": "an innocent key", "cache:it's": "x"}
    client.mset(names)
    shell(redis_server, line)
    # xargs stumbles over the quote, wherever it stands in the list; without that name it deletes the wrong key.
    assert client.exists("cache:it's") == 1
    client.delete("cache:it's")
    client.mset({name: value for name, value in names.items() if "'" not in name})
    shell(redis_server, line)
    assert (client.exists("cache:red shoes"), client.exists("shoes")) == (1, 0)
    client.mset(names)
    work(run_module, redis_server, state="absent", pattern=["cache:*"])
    assert redis_server.cli("KEYS", "*") == "shoes"
    nothing = run_module("redis_key", {**redis_server.login(), "state": "absent", "pattern": ["cache:*"]})
    assert (nothing["changed"], nothing["before"]["matching"]) == (False, 0)


def test_no_command_looks_at_all_keys_at_once(run_module: Runner, redis_server: RedisServer) -> None:
    """KEYS is one call that walks through everything while everybody waits; SCAN comes back after 2,000 at most."""
    fill_cache(redis_server, 9000)
    redis_server.client().config_resetstat()
    work(run_module, redis_server, state="absent", pattern=["cache:*"], max_affected=9000)
    stats = redis_server.client().info("commandstats")
    assert "cmdstat_keys" not in stats
    assert "cmdstat_del" not in stats
    assert stats["cmdstat_scan"]["calls"] >= 2 * 9000 / 2000
    # 9,000 keys in steps of at most 500.
    assert stats["cmdstat_evalsha"]["calls"] + stats.get("cmdstat_eval", {"calls": 0})["calls"] >= 18


@pytest.fixture(scope="module", params=LIBRARIES)
def real_queue(request: pytest.FixtureRequest, module_redis: RedisServer) -> Iterator[NodeQueue]:
    yield NodeQueue(request.param, module_redis.port, "mail", prefix="shop")


def test_a_queue_under_any_prefix_is_protected(
    run_module: Runner, redis_server: RedisServer, real_queue: NodeQueue
) -> None:
    jobs = [
        {"name": "send", "data": {"to": number}, "opts": {"delay": 60000} if number > 4 else {}} for number in range(8)
    ]
    real_queue.ask("add", jobs=jobs)
    redis_server.client().mset({"shop:cache": "x", "shop:cache:1": "x", "shop:mailing:1": "x"})
    counts = real_queue.ask("counts")
    keys = set(redis_server.cli("KEYS", "shop:mail:*").splitlines())
    result = work(run_module, redis_server, state="absent", pattern=["shop:*"])
    assert sum(action["count"] for action in result["actions"]) == 3
    (protected,) = result["protected"]
    assert (protected["group"], protected["count"]) == ("shop:", len(keys))
    assert protected["reason"].endswith("queue shop:mail")
    assert set(redis_server.cli("KEYS", "*").splitlines()) == keys
    assert real_queue.ask("counts") == counts
    failed = refused(run_module, redis_server, state="absent", pattern=["shop:mail:*"])
    assert failed["msg"].startswith("Everything that the pattern 'shop:mail:*' means is protected, and nothing was")


def test_the_manuals_delete_takes_a_queue_apart(run_module: Runner, redis_server: RedisServer) -> None:
    """ "Delete by pattern" as pasted: waiting jobs, the scheduler and the queue's own settings vanish."""
    queue = NodeQueue("bullmq5", redis_server.port, "data-collection")
    queue.ask("add", jobs=[{"name": "collect", "data": {}}] * 3)
    queue.ask("scheduler")
    failed = refused(run_module, redis_server, state="absent", pattern=["bull:data-collection:*"])
    assert "Bull and BullMQ keep their queues under it" in failed["msg"]
    assert "runbook.ops.redis_queue" in failed["msg"]
    named = refused(run_module, redis_server, state="absent", keys=["bull:data-collection:1"])
    assert named["msg"].startswith("Everything that the key 'bull:data-collection:1' means is protected")
    failed = refused(run_module, redis_server, state="expiring", pattern=["bull:d*:[0-9]*"], ttl="1h")
    assert "is protected" in failed["msg"]
    before = set(redis_server.cli("KEYS", "*").splitlines())
    assert {"bull:data-collection:meta", "bull:data-collection:repeat"} <= before
    shell(redis_server, "redis-cli --scan --pattern 'bull:data-collection:*' | xargs redis-cli DEL")
    assert redis_server.cli("KEYS", "*") == ""


def test_celery_is_protected(run_module: Runner, redis_server: RedisServer) -> None:
    from celery import Celery

    app = Celery("shop", broker=redis_server.url(), backend=redis_server.url())
    app.conf.broker_transport_options = {"global_keyprefix": "shop-"}
    with app.producer_pool.acquire(block=True) as producer:
        for queue, priority in (("orders", 0), ("orders", 9), ("mail", 3)):
            app.send_task("x", queue=queue, priority=priority, producer=producer)
    app.close()
    client = redis_server.client()
    client.set("celery-task-meta-4711", '{"status": "SUCCESS"}')
    client.hset("shop-unacked", "tag", "x")
    client.zadd("shop-unacked_index", {"tag": 1})
    client.rpush("shop-orders-archive", "not a queue")
    client.set("shop-logo", "x")
    queues = {"shop-orders", "shop-orders\\x06\\x169", "shop-mail\\x06\\x163"}
    assert queues <= set(redis_server.cli("--no-raw", "KEYS", "*").replace('"', "").split()), "the broker's own names"
    result = run_module(
        "redis_key",
        {**redis_server.login(), "state": "absent", "pattern": ["shop-*"], "protect": ["shop-lo*"]},
        check_mode=True,
    )
    assert [(each["pattern"], each["count"]) for each in result["actions"]] == [("shop-*", 1)]
    reasons = {entry["reason"] for entry in result["protected"]}
    assert {
        "it is the Celery queue orders",
        "it is the Celery queue mail",
        "Celery's binding tables say which queues there are",
        "Celery keeps the messages in it that workers have taken and not finished",
        "protect names it: shop-lo*",
    } <= reasons
    failed = refused(run_module, redis_server, state="absent", pattern=["celery-*"])
    assert "spell celery-task-meta- out" in failed["msg"]
    work(run_module, redis_server, state="absent", pattern=["celery-task-meta-*"])
    assert client.exists("celery-task-meta-4711") == 0


def test_rq_and_sidekiq_are_protected(run_module: Runner, redis_server: RedisServer) -> None:
    import rq

    client = redis_server.client()
    rq.Queue("default", connection=client).enqueue("os.getcwd")
    # Names as Sidekiq 8 writes them; without the set of queues they are anybody's.
    client.lpush("queue:default", "{}")
    client.zadd("retry", {"{}": 1})
    client.set("stat:processed", 5)
    client.set("queue-length-yesterday", 5)
    failed = refused(run_module, redis_server, state="absent", pattern=["rq:*"])
    assert "RQ keeps its queues and jobs under it" in failed["msg"]
    client.sadd("queues", "default")
    failed = refused(run_module, redis_server, state="absent", keys=["retry"])
    assert "it is one of Sidekiq's keys beside queues" in failed["msg"]
    result = run_module(
        "redis_key", {**redis_server.login(), "state": "absent", "pattern": ["queue*", "stat*x"]}, check_mode=True
    )
    assert [action["count"] for action in result["actions"]] == [1]
    client.delete("queues")
    work(run_module, redis_server, state="absent", pattern=["stat:*"], keys=["retry", "queue:default"])
    assert client.exists("retry", "stat:processed", "queue:default") == 0


def test_what_only_looks_like_a_queue_is_not_protected(run_module: Runner, redis_server: RedisServer) -> None:
    client = redis_server.client()
    client.set("user:42:id", "42")
    client.set("user:42:name", "Kim")
    client.set("bull-report:daily:meta", '{"a": "JSON string"}')
    client.hset("article:5:meta", "title", "x")
    client.set("article:5:text", "x")
    result = work(run_module, redis_server, state="absent", pattern=["user:*", "article:*", "bull-*"])
    assert (result["protected"], redis_server.cli("DBSIZE")) == ([], "0")


def test_guards(run_module: Runner, redis_server: RedisServer) -> None:
    fill_cache(redis_server)
    failed = refused(run_module, redis_server, state="absent", pattern=["cache:*"])
    assert failed["msg"] == (
        "1200 keys would be deleted, and max_affected is 1000: nothing was touched. If that many are meant, raise "
        "max_affected, or set limit to work on some at a time."
    )
    assert failed["before"]["due"] == 1200
    failed = refused(run_module, redis_server, state="expiring", pattern=["cache:*"], ttl="1h", max_affected=5)
    assert failed["msg"].startswith("900 keys would be given a time to live")
    failed = refused(run_module, redis_server, state="absent", pattern=["cache:*"], max_affected=5000, max_keys=500)
    assert (
        "Not all keys could be looked at, and nothing was touched: the scan stopped at max_keys (500)" in failed["msg"]
    )
    assert failed["before"] == {"matching": None, "without_ttl": None, "due": None}
    failed = refused(
        run_module,
        redis_server,
        state="absent",
        pattern=["cachet:*"],
        window=["Sun 02:00-04:00"],
        reference_time="2026-01-28T12:00:00Z",
    )
    assert failed["msg"].startswith("1 keys would be changed, but it is Wed 12:00 in UTC, outside the window")


def test_a_limit_works_on_a_part(run_module: Runner, redis_server: RedisServer) -> None:
    fill_cache(redis_server)
    options = {**redis_server.login(), "state": "absent", "pattern": ["cache:*"], "limit": 500, "show_names": True}
    counts = []
    while True:
        foreseen = run_module("redis_key", options, check_mode=True)
        done = run_module("redis_key", options)
        assert done["actions"] == foreseen["actions"]
        if not done["changed"]:
            break
        counts.append((done["actions"][0]["count"], done["after"]["matching"]))
    assert counts == [(500, 700), (500, 200), (200, 0)]
    fill_cache(redis_server)
    part = run_module("redis_key", {**options, "limit": 10, "max_keys": 600})
    assert (part["complete"], part["before"]["matching"], part["outcomes"]["done"]) == (False, None, 10)
    assert redis_server.cli("DBSIZE") == "1191"


def test_types_and_idle_times(run_module: Runner, server: RedisServer) -> None:
    client = server.client()
    for name, idle in (("cart:old", 90 * 86400), ("cart:young", 60)):
        client.set("template", name)
        client.restore(name, 0, client.dump("template"), idletime=idle)
    client.hset("cart:hash", "a", 1)
    assert int(server.cli("OBJECT", "IDLETIME", "cart:old")) >= 90 * 86400
    work(run_module, server, state="absent", pattern=["cart:*"], min_idle="30d")
    assert set(server.cli("KEYS", "cart:*").splitlines()) == {"cart:young", "cart:hash"}
    work(run_module, server, state="absent", pattern=["cart:*"], type=["hash"])
    assert server.cli("KEYS", "cart:*") == "cart:young"
    client.config_set("maxmemory-policy", "allkeys-lfu")
    failed = refused(run_module, server, state="absent", pattern=["cart:*"], min_idle="30d")
    assert failed["msg"] == (
        "min_idle needs the times that keys were last used, which the server does not keep under maxmemory-policy "
        "allkeys-lfu. Leave min_idle out."
    )


@pytest.mark.parametrize("state", ["absent", "expiring"])
def test_what_changes_after_the_plan_is_left_alone(server: RedisServer, state: str) -> None:
    client = server.client()
    client.mset({"a:same": "x", "a:typed": "x", "a:used": "x"})
    client.rpush("a:retyped", "x")
    client.set("a:expiring", "x", ex=100)
    request = request_from(options(state=state, pattern=["a:*"], ttl="1h" if state == "expiring" else None))
    (pattern,) = request.patterns
    names = [b"a:same", b"a:retyped", b"a:gone", b"a:expiring"]
    keys = [Key(name, "string", -1, pattern) for name in names]
    with RedisClient(settings_from(options(**server.login()))) as connection:
        verdicts = change(connection, keys, request, one_by_one=False)
        alone = change(connection, keys, request, one_by_one=True)
    assert verdicts == ["done", "changed", "gone", "changed" if state == "expiring" else "done"]
    assert alone[1:3] == ["changed", "gone"]
    assert server.cli("TYPE", "a:retyped") == "list"
    assert server.cli("TTL", "a:retyped") == "-1"
    if state == "expiring":
        assert int(server.cli("TTL", "a:expiring")) <= 100


def test_a_key_in_use_again_is_left_alone(server: RedisServer) -> None:
    server.client().set("a:1", "x")
    request = request_from(options(state="absent", pattern=["a:*"], min_idle="1h"))
    with RedisClient(settings_from(options(**server.login()))) as connection:
        assert change(connection, [Key(b"a:1", "string", -1, request.patterns[0])], request, one_by_one=False) == [
            "changed"
        ]


def options(**given: Any) -> dict[str, Any]:
    """All options of the module, as Ansible fills them in."""
    return {name: spec.get("default") for name, spec in redis_key.argument_spec().items()} | given


def test_names_of_any_kind(run_module: Runner, redis_server: RedisServer) -> None:
    client = redis_server.client()
    names = [b"odd:a*", b"odd:a?c", b"odd:a[b]", b"odd:\xff\xfe", b"odd:new\nline", "odd:장바구니".encode()]
    for name in [*names, b"odd:abc", b"odd:aXc"]:
        client.set(name, "x")
    exact = ["odd:a*", "odd:a?c", "odd:a[b]"]
    work(run_module, redis_server, state="absent", keys=exact)
    assert client.exists(*names[:3]) == 0
    assert client.exists("odd:abc", "odd:aXc") == 2
    client.set("odd:a*", "x")
    work(run_module, redis_server, state="absent", pattern=["odd:a\\*"])
    assert redis_server.cli("DBSIZE") == "5"
    work(run_module, redis_server, state="absent", pattern=["odd:*"])
    assert redis_server.cli("DBSIZE") == "0"


def test_names_are_kept_secret(run_module: Runner, redis_server: RedisServer) -> None:
    token = "8f3a9c1d2e"
    redis_server.client().mset({f"session:{token}": "x", f"{token}:cart": "x", f"s{token}": "x", f"sess{token}:x": "x"})
    options = {**redis_server.login(), "state": "absent", "pattern": ["session:*", "*:cart", "s*"]}
    result = run_module("redis_key", options)
    assert {action["group"] for action in result["actions"]} == {"session:", "*:cart", "s*"}
    assert token not in str(result)
    redis_server.client().set(f"session:{token}", "x")
    shown = run_module("redis_key", {**options, "show_names": True}, check_mode=True)
    assert shown["actions"][0]["examples"] == [f"session:{token}"]


def test_missing_permissions_are_named_before_anything_is_touched(run_module: Runner, server: RedisServer) -> None:
    server.client().mset({"cache:1": "x", "cache:2": "x", "other:1": "x"})
    server.cli("ACL", "SETUSER", "f", "reset", "on", ">pw", "~cache:*", "+@read", "+@connection", "+info", "+time")
    login = {"login_user": "f", "login_password": "pw"}
    failed = run_module(
        "redis_key", {**server.login(), **login, "state": "absent", "pattern": ["cache:*"]}, check_mode=True
    )
    assert failed["failed"] is True
    assert "+multi" in failed["msg"]
    server.cli("ACL", "SETUSER", "f", "+multi", "+discard")
    failed = run_module("redis_key", {**server.login(), **login, "state": "absent", "pattern": ["cache:*"]})
    for rule in ("+eval", "+evalsha", "+unlink"):
        assert rule in failed["msg"]
    server.cli("ACL", "SETUSER", "f", "+eval", "+evalsha", "+unlink")
    other = {**server.login(), **login, "state": "absent", "pattern": ["cache:*", "other:*"], "on_refusal": "report"}
    result = run_module("redis_key", other)
    assert not result.get("failed"), result
    assert result["outcomes"]["done"] == 2
    assert result["refused"] == [
        {
            "object": "other:*",
            "reason": "the ACL keeps user f from 1 keys that match",
            "remedy": "Grant it: ACL SETUSER f ~other:*",
        }
    ]
    server.cli("ACL", "DELUSER", "f")


def test_a_full_server_can_be_relieved(run_module: Runner, server: RedisServer) -> None:
    """Noeviction refuses writes that need memory; deleting is what then helps."""
    fill_cache(server)
    server.client().config_set("maxmemory", "1mb")
    with pytest.raises(Exception, match="maxmemory"):
        server.client().set("one", "more")
    result = run_module(
        "redis_key", {**server.login(), "state": "absent", "pattern": ["cache:*"], "max_affected": 2000}
    )
    assert result["outcomes"] == {"done": 1200, "gone": 0, "changed": 0}, result


def test_a_replica_is_refused(run_module: Runner, redis_server: RedisServer) -> None:
    redis_server.client().set("cache:1", "x")
    with RedisServer(settings={"replicaof": f"{redis_server.host} {redis_server.port}"}) as replica:
        assert wait_until(lambda: replica.client().exists("cache:1") == 1, 15)
        failed = refused(run_module, replica, state="absent", pattern=["cache:*"])
    assert failed["msg"].startswith(f"{replica.host}:{replica.port} is a replica")
    assert failed["msg"].endswith(f"Connect to its master, {redis_server.host}:{redis_server.port}.")


def test_the_wrong_database_says_so(run_module: Runner, redis_server: RedisServer) -> None:
    redis_server.client(db=3).set("cache:1", "x")
    result = run_module("redis_key", {**redis_server.login(), "state": "absent", "pattern": ["cache:*"]})
    assert result["changed"] is False
    assert result["notes"] == [
        f"Database 0 of {redis_server.host}:{redis_server.port} is empty; keys are in database 3 (1 keys). "
        "Is login_db right?"
    ]


def test_a_run_can_be_interrupted(redis_server: RedisServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill_cache(redis_server)
    path = tmp_path / "progress"
    steps = 0

    def change_and_stop(*given: Any, **more: Any) -> list[str]:
        nonlocal steps
        steps += 1
        Path(f"{path}.stop").write_text("Stopped because somebody said so")
        return change(*given, **more)

    monkeypatch.setattr(redis_key_run, "change", change_and_stop)
    given = options(
        **redis_server.login(), state="absent", pattern=["cache:*"], max_affected=2000, progress_path=str(path)
    )
    with pytest.raises(Stopped) as stopped:
        redis_key_run.change_keys(given, check_mode=False)
    assert steps == 1
    done = stopped.value.details["outcomes"]["done"]  # type: ignore[index]
    assert 0 < done <= 500
    assert int(redis_server.cli("DBSIZE")) == 1201 - done
    assert stopped.value.message == (
        f"Stopped because somebody said so. {done} of 1200 keys had been handled by then, each of them wholly or not "
        "at all. Run the task again to go on."
    )
