"""A master that its sentinels name: found, verified, and found again after a failover."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from lab.certificates import make_certificate
from lab.ports import free_port
from lab.process import wait_until
from lab.redis import RedisServer
from lab.redis_sentinel import NAME, RedisSentinel, SentinelTrio

from ansible_collections.runbook.ops.plugins.module_utils.redis.connection import connect
from ansible_collections.runbook.ops.plugins.module_utils.redis.errors import CommandRefused
from ansible_collections.runbook.ops.plugins.module_utils.redis.options import Settings
from ansible_collections.runbook.ops.plugins.module_utils.redis.script import Script

Runner = Callable[..., dict[str, Any]]
PASSWORD = "m@ster:/% pässwört"
SENTINEL_PASSWORD = "s3ntinel pässwört"
KEYS = {"keys": [{"name": "a", "key": "a"}]}
COUNT = Script("count", "return redis.call('INCR', KEYS[1])")


@pytest.fixture(scope="module")
def trio() -> Iterator[SentinelTrio]:
    with SentinelTrio(password=PASSWORD, sentinel_password=SENTINEL_PASSWORD) as running:
        yield running


def settings_of(trio: SentinelTrio) -> Settings:
    return Settings(
        sentinels=tuple((sentinel.host, sentinel.port) for sentinel in trio.sentinels),
        sentinel_master=NAME,
        password=PASSWORD,
        sentinel_password=SENTINEL_PASSWORD,
    )


def test_the_master_is_found(run_module: Runner, trio: SentinelTrio) -> None:
    trio.master.client().set("a", 7)
    result = run_module("redis_key_info", {**trio.login(), **KEYS})
    assert result["available"] is True, result["reason"]
    assert (result["endpoint"]["role"], result["keys"]["a"]["value"]) == ("master", 7)
    assert result["endpoint"]["address"] == f"127.0.0.1:{trio.master.port}"
    health = run_module("redis_health_info", trio.login())
    assert (health["health"]["server"]["port"], health["health"]["config"]["auth_required"]) == (trio.master.port, True)
    for secret in (PASSWORD, SENTINEL_PASSWORD):
        assert secret not in json.dumps([result, health], ensure_ascii=False)


def test_a_sentinel_that_is_down_is_passed_over(run_module: Runner, trio: SentinelTrio) -> None:
    down = f"127.0.0.1:{free_port()}"
    sentinels = [down, *trio.login()["sentinels"]]
    result = run_module("redis_key_info", {**trio.login(), "sentinels": sentinels, **KEYS})
    assert result["available"] is True, result["reason"]


def test_no_sentinel_at_all(run_module: Runner, trio: SentinelTrio) -> None:
    """Each is named with what is wrong with it."""
    down, master = f"127.0.0.1:{free_port()}", f"127.0.0.1:{trio.master.port}"
    given = {**trio.login(), "sentinels": [down, master, trio.sentinels[0].address], "sentinel_password": "not it"}
    result = run_module("redis_key_info", {**given, **KEYS})
    assert result["available"] is False
    assert result["reason"] == (
        f"No sentinel could be asked for the master of 'mymaster'. "
        f"The sentinel at {down} refuses the connection: nothing listens there. Is the server running, and is it this "
        f"port? "
        f"The sentinel at {master} refuses the login of user 'default': wrong user name or password, or the user is "
        f"disabled. Check sentinel_user and sentinel_password. "
        f"The sentinel at {trio.sentinels[0].address} refuses the login of user 'default': wrong user name or "
        f"password, or the user is disabled. Check sentinel_user and sentinel_password."
    )


def test_a_server_that_is_no_sentinel(run_module: Runner, redis_server: RedisServer) -> None:
    given = {"sentinels": [f"127.0.0.1:{redis_server.port}"], "sentinel_master": NAME}
    result = run_module("redis_key_info", {**given, **KEYS})
    assert result["reason"] == (
        f"No sentinel could be asked for the master of 'mymaster'. The server at 127.0.0.1:{redis_server.port} is no "
        "Redis Sentinel; is it the master's own port?"
    )


def test_an_unknown_name(run_module: Runner, trio: SentinelTrio) -> None:
    given = {**trio.login(), "sentinels": [trio.sentinels[0].address], "sentinel_master": "other"}
    result = run_module("redis_key_info", {**given, **KEYS})
    assert result["reason"] == (
        "No sentinel watches a master of the name 'other'. "
        f"The one at {trio.sentinels[0].address} watches mymaster at 127.0.0.1:{trio.master.port}."
    )


def test_the_masters_password_is_wrong(run_module: Runner, trio: SentinelTrio) -> None:
    result = run_module("redis_key_info", {**trio.login(login_password="not it"), **KEYS})
    assert result["available"] is False
    assert result["reason"].startswith(f"Redis at 127.0.0.1:{trio.master.port} refuses the login of user 'default'")
    assert "The sentinel at 127.0.0.1:" in result["reason"]
    assert "not it" not in result["reason"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"sentinels": ["a:0"], "sentinel_master": "m"},
            "sentinels: 'a:0' is not accepted. Accepted: host:port, or a host alone for port 26379.",
        ),
        (
            {"sentinels": ["a"]},
            "sentinel_master: None is not accepted. Accepted: the name of a master, as sentinel monitor gives it.",
        ),
        ({"sentinel_master": "m"}, "sentinel_master: 'm' is not accepted. Accepted: together with sentinels."),
        (
            {"sentinels": ["a"], "sentinel_master": "m", "login_unix_socket": "/run/redis.sock"},
            "login_unix_socket: '/run/redis.sock' is not accepted. Accepted: nothing together with sentinels.",
        ),
    ],
)
def test_bad_options(run_module: Runner, options: dict[str, Any], message: str) -> None:
    result = run_module("redis_key_info", {**options, **KEYS})
    assert (result["failed"], result["msg"]) == (True, message)


def test_a_failover_between_two_calls(run_module: Runner, trio: SentinelTrio) -> None:
    """The second call goes to the new master, which does not know the script yet."""
    before = trio.master
    before.client().delete("n")
    with connect(settings_of(trio)) as client:
        assert [COUNT.run(client, ["n"]) for _call in range(2)] == [1, 2]
    assert wait_until(lambda: trio.replica.client().get("n") == b"2", 30)
    trio.fail_over()
    after = trio.master
    assert after is not before
    evals = after.client().info("commandstats").get("cmdstat_eval", {}).get("calls", 0)
    with connect(settings_of(trio)) as client:
        assert client.where == f"127.0.0.1:{after.port}"
        # NOSCRIPT, and then the whole script: once.
        assert [COUNT.run(client, ["n"]) for _call in range(2)] == [3, 4]
    assert after.client().info("commandstats")["cmdstat_eval"]["calls"] == evals + 1
    assert after.client().get("n") == b"4"
    result = run_module("redis_key_info", {**trio.login(), "keys": [{"name": "n", "key": "n"}]})
    assert (result["endpoint"]["address"], result["keys"]["n"]["value"]) == (f"127.0.0.1:{after.port}", 4)


def test_a_connection_that_lives_through_a_failover_writes_nothing(trio: SentinelTrio) -> None:
    """The old master is a replica then: what it would take, the new master would make it forget."""
    with connect(settings_of(trio)) as client:
        COUNT.run(client, ["lives"])
        trio.fail_over()
        with pytest.raises(CommandRefused) as caught:
            COUNT.run(client, ["lives"])
    assert caught.value.message == (
        "EVALSHA was refused: the server is a replica and takes no writes. Connect to its master."
    )
    assert [server.client().get("lives") for server in trio.servers] == [b"1", b"1"]


def test_a_master_that_is_none_any_more(run_module: Runner) -> None:
    """The sentinels have not noticed yet: what they name is not written to."""
    with SentinelTrio(down_after_milliseconds=60000) as trio:
        old, new = trio.servers
        new.cli("REPLICAOF", "NO", "ONE")
        old.cli("REPLICAOF", new.host, new.port)
        result = run_module("redis_key_info", {**trio.login(), **KEYS})
    assert result["available"] is False
    assert result["reason"] == (
        f"The sentinel at {trio.sentinels[0].address} calls 127.0.0.1:{old.port} the master of 'mymaster', but that "
        "server is a replica: a failover is going on. Wait until it is over, then run again."
    )


def test_a_master_that_died(run_module: Runner) -> None:
    """Before the sentinels know they cannot say more; afterwards the replica is found."""
    with SentinelTrio(down_after_milliseconds=1500) as trio:
        old, new = trio.servers
        old.client().set("a", 5)
        assert wait_until(lambda: new.client().get("a") == b"5", 30)
        old.kill()
        result = run_module("redis_key_info", {**trio.login(), **KEYS})
        if not result["available"]:
            assert f"Redis at 127.0.0.1:{old.port} refuses the connection" in result["reason"]
            assert "calls it the master of 'mymaster'" in result["reason"]
        trio.wait_for_another_master(old)
        result = run_module("redis_key_info", {**trio.login(), **KEYS})
    assert (result["endpoint"]["address"], result["keys"]["a"]["value"]) == (f"127.0.0.1:{new.port}", 5)


def test_tls_for_the_sentinels_and_the_master(run_module: Runner, tmp_path_factory: pytest.TempPathFactory) -> None:
    """TLS, a client's certificate and a user of its own at both."""
    certificate = make_certificate(tmp_path_factory.mktemp("sentinel-tls"))
    files = {
        "tls-cert-file": str(certificate.chain),
        "tls-key-file": str(certificate.key),
        "tls-ca-cert-file": str(certificate.authority),
        "tls-auth-clients": True,
    }
    tls_port, sentinel_port = free_port(), free_port()
    user = 'user ops on ">watch me" ~* +@all'
    settings = {**files, "tls-port": tls_port, "user": user.removeprefix("user ")}
    lines = [f"{name} {'yes' if value is True else value}" for name, value in files.items()]
    lines += [f"tls-port {sentinel_port}", user, "tls-replication yes"]
    lines.append(f"sentinel monitor {NAME} 127.0.0.1 {tls_port} 1")
    with RedisServer(settings=settings) as server, RedisSentinel(lines):
        server.client().set("a", 3)
        given = {
            "sentinels": [f"localhost:{sentinel_port}"],
            "sentinel_master": NAME,
            "sentinel_user": "ops",
            "sentinel_password": "watch me",
            "login_user": "ops",
            "login_password": "watch me",
            "tls": True,
            "ca_certs": str(certificate.authority),
            "client_cert_file": str(certificate.chain),
            "client_key_file": str(certificate.key),
        }
        result = run_module("redis_key_info", {**given, **KEYS})
        plain = run_module("redis_key_info", {**given, "tls": False, "connect_timeout": 1, "socket_timeout": 1, **KEYS})
    assert result["available"] is True, result["reason"]
    assert (result["endpoint"]["address"], result["keys"]["a"]["value"]) == (f"127.0.0.1:{tls_port}", 3)
    assert plain["available"] is False
    assert "If this port speaks TLS, set tls to true." in plain["reason"]
