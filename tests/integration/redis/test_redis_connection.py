"""Getting in, and saying clearly why not: every module, every way."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from lab.certificates import make_certificate
from lab.ports import free_port
from lab.redis import RedisServer

PASSWORD = "p@ss:wörd/%41 비밀번호\"'\\ €"
MODULES = {
    "redis_health_info": {},
    "redis_queue_info": {"queues": ["normal"], "missing_queues": "report"},
    "redis_key_info": {"keys": [{"name": "a", "key": "a"}, {"name": "b", "pattern": "b*", "operation": "sum"}]},
}
PAYLOAD = {"redis_health_info": ("health", {}), "redis_queue_info": ("queues", []), "redis_key_info": ("keys", {})}
EVERY = pytest.mark.parametrize("module", sorted(MODULES))
Runner = Callable[..., dict[str, Any]]


@pytest.fixture(scope="module")
def locked() -> Iterator[RedisServer]:
    with RedisServer(password=PASSWORD) as server:
        yield server


def assert_unavailable(module: str, result: dict[str, Any], words: str) -> None:
    assert not result.get("failed"), result
    assert result["available"] is False
    assert words in result["reason"], result["reason"]
    name, empty = PAYLOAD[module]
    assert result[name] == empty
    assert result["changed"] is False
    assert PASSWORD not in json.dumps(result, ensure_ascii=False)


@EVERY
@pytest.mark.parametrize("check_mode", [False, True])
def test_a_password_of_all_characters(run_module: Runner, locked: RedisServer, module: str, check_mode: bool) -> None:
    result = run_module(module, {**locked.login(), **MODULES[module]}, check_mode=check_mode)
    assert result["available"] is True, result
    assert result["reason"] is None
    assert PASSWORD not in json.dumps(result, ensure_ascii=False)


@EVERY
def test_no_password(run_module: Runner, locked: RedisServer, module: str) -> None:
    login = locked.login() | {"login_password": ""}
    result = run_module(module, {**login, **MODULES[module]})
    assert_unavailable(module, result, "asks for a password and none was given. Set login_password.")


@EVERY
def test_wrong_password(run_module: Runner, locked: RedisServer, module: str) -> None:
    result = run_module(module, {**locked.login(login_password="not it: p@ss"), **MODULES[module]})
    assert_unavailable(module, result, "refuses the login of user 'default'")
    assert "not it" not in result["reason"]


@EVERY
def test_wrong_user(run_module: Runner, locked: RedisServer, module: str) -> None:
    result = run_module(module, {**locked.login(login_user="nobody"), **MODULES[module]})
    assert_unavailable(module, result, "refuses the login of user 'nobody'")


@EVERY
def test_a_password_where_none_is_set(run_module: Runner, redis_server: RedisServer, module: str) -> None:
    result = run_module(module, {**redis_server.login(login_password="anything"), **MODULES[module]})
    assert_unavailable(module, result, "has no password for user 'default', but login_password is given")


@EVERY
def test_server_down(run_module: Runner, module: str) -> None:
    port = free_port()
    result = run_module(module, {"login_host": "127.0.0.1", "login_port": port, **MODULES[module]})
    assert_unavailable(module, result, f"Redis at 127.0.0.1:{port} refuses the connection: nothing listens there.")


@EVERY
def test_unknown_name(run_module: Runner, module: str) -> None:
    result = run_module(module, {"login_host": "no-such-host.invalid", **MODULES[module]})
    assert_unavailable(module, result, "cannot be resolved. Check login_host.")


@EVERY
def test_no_such_database(run_module: Runner, redis_server: RedisServer, module: str) -> None:
    result = run_module(module, {**redis_server.login(login_db=99), **MODULES[module]})
    assert_unavailable(module, result, "has no database with this number")


@contextmanager
def listener(answer: bytes | None) -> Iterator[int]:
    """A port that accepts, says one thing (or nothing), and never anything else."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        done = threading.Event()

        def serve() -> None:
            while not done.is_set():
                try:
                    connection, _ignored = listening.accept()
                except OSError:
                    return
                if answer is None:
                    connections.append(connection)
                else:
                    connection.sendall(answer)
                    connection.recv(65536)
                    connection.close()

        connections: list[socket.socket] = []
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield listening.getsockname()[1]
        finally:
            done.set()
            listening.shutdown(socket.SHUT_RDWR)
            for connection in connections:
                connection.close()


@EVERY
def test_a_server_that_never_answers(run_module: Runner, module: str) -> None:
    with listener(None) as port:
        login = {"login_host": "127.0.0.1", "login_port": port, "socket_timeout": 0.3}
        result = run_module(module, {**login, **MODULES[module]}, timeout=300)
    assert_unavailable(module, result, "stopped answering for 0.3 s (socket_timeout)")


@EVERY
@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (b"-DENIED Redis is running in protected mode because protected mode is enabled\r\n", "runs in protected mode"),
        (b"-ERR max number of clients reached\r\n", "has reached its limit of clients"),
        (b"-LOADING Redis is loading the dataset in memory\r\n", "is still loading its data set"),
        (b"-BUSY Redis is busy running a script. You can only call SCRIPT KILL\r\n", "is blocked by a running script"),
        (
            b"-MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.\r\n",
            "is a replica that has lost its master",
        ),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "does not speak the Redis protocol"),
        (b"", "closed the connection"),
    ],
)
def test_what_else_a_server_may_say(run_module: Runner, module: str, answer: bytes, words: str) -> None:
    with listener(answer) as port:
        result = run_module(module, {"login_host": "127.0.0.1", "login_port": port, **MODULES[module]}, timeout=300)
    assert_unavailable(module, result, words)


@pytest.mark.parametrize(
    ("module", "options", "message"),
    [
        ("redis_health_info", {"login_port": 0}, "login_port: 0 is not accepted."),
        ("redis_health_info", {"ping_samples": 0}, "ping_samples: 0 is not accepted."),
        ("redis_queue_info", {"priority_steps": [3, 0]}, "priority_steps: [3, 0] is not accepted."),
        ("redis_queue_info", {"reference_time": "today"}, "reference_time: 'today' is not accepted."),
        ("redis_key_info", {"keys": [{"name": "a"}]}, "keys: 'a' is not accepted."),
        (
            "redis_key_info",
            {"keys": [{"name": "a", "key": "a"}], "max_seconds": 0},
            "max_seconds: 0.0 is not accepted.",
        ),
    ],
)
def test_bad_options_fail_before_anything_is_touched(
    run_module: Runner, module: str, options: dict[str, Any], message: str
) -> None:
    # Nothing listens there: with a connection first, this would be "not available" instead.
    result = run_module(module, {"login_host": "127.0.0.1", "login_port": free_port(), **options})
    assert result["failed"] is True
    assert result["msg"].startswith(message)


def test_a_socket(run_module: Runner, redis_server: RedisServer) -> None:
    result = run_module("redis_health_info", {"login_unix_socket": str(redis_server.socket)})
    assert result["available"] is True
    assert result["health"]["server"]["port"] == redis_server.port
    result = run_module("redis_health_info", {"login_unix_socket": str(redis_server.base / "no.sock")})
    assert "There is no socket" in result["reason"]


# --- TLS


@contextmanager
def tls_server(directory: Path, **changes: Any) -> Iterator[tuple[RedisServer, int, Any]]:
    certificate = make_certificate(directory, **changes)
    port = free_port()
    settings = {
        "tls-port": port,
        "tls-cert-file": str(certificate.chain),
        "tls-key-file": str(certificate.key),
        "tls-ca-cert-file": str(certificate.authority),
        "tls-auth-clients": False,
    }
    with RedisServer(password=PASSWORD, settings=settings) as server:
        yield server, port, certificate


@pytest.fixture(scope="module")
def encrypted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[RedisServer, int, Any]]:
    with tls_server(tmp_path_factory.mktemp("tls")) as started:
        yield started


@EVERY
def test_tls(run_module: Runner, encrypted: Any, module: str) -> None:
    server, port, certificate = encrypted
    login = server.login(login_port=port, tls=True, ca_certs=str(certificate.authority))
    for host in ("127.0.0.1", "localhost"):
        result = run_module(module, {**login, "login_host": host, **MODULES[module]})
        assert result["available"] is True, result["reason"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "is not signed by an authority we trust. Set ca_certs"),
        ({"ca_certs": "/no/such/file.pem"}, "There is no socket or certificate file"),
        ({"validate_certs": False}, None),
        ({"tls": False}, "closed the connection. If this port speaks TLS, set tls to true."),
    ],
)
def test_tls_options(run_module: Runner, encrypted: Any, options: dict[str, Any], words: str | None) -> None:
    server, port, _ignored = encrypted
    result = run_module("redis_health_info", server.login(**{"login_port": port, "tls": True, **options}))
    if words is None:
        assert result["available"] is True, result["reason"]
    else:
        assert_unavailable("redis_health_info", result, words)


def test_tls_to_a_port_without_it(run_module: Runner, encrypted: Any) -> None:
    server, _ignored, certificate = encrypted
    login = server.login(tls=True, ca_certs=str(certificate.authority), socket_timeout=0.5)
    result = run_module("redis_health_info", login)
    assert result["available"] is False
    assert "speak TLS" in result["reason"]


def test_a_certificate_for_another_name(run_module: Runner, tmp_path: Path) -> None:
    with tls_server(tmp_path, names=["redis.example"]) as (server, port, certificate):
        login = server.login(login_port=port, tls=True, ca_certs=str(certificate.authority))
        result = run_module("redis_health_info", login)
    assert_unavailable("redis_health_info", result, "is not for this name")


def test_an_expired_certificate(run_module: Runner, tmp_path: Path) -> None:
    with tls_server(tmp_path, days=-2, issued_days_ago=30) as (server, port, certificate):
        login = server.login(login_port=port, tls=True, ca_certs=str(certificate.authority))
        result = run_module("redis_health_info", login)
    assert_unavailable("redis_health_info", result, "has expired. Renew it.")


def test_a_client_certificate(run_module: Runner, tmp_path: Path) -> None:
    with tls_server(tmp_path) as (server, port, certificate):
        server.client().config_set("tls-auth-clients", "yes")
        login = server.login(login_port=port, tls=True, ca_certs=str(certificate.authority))
        refused = run_module("redis_health_info", login)
        files = {"client_cert_file": str(certificate.chain), "client_key_file": str(certificate.key)}
        accepted = run_module("redis_health_info", {**login, **files})
    assert refused["available"] is False
    assert "client certificate" in refused["reason"] or "closed the connection" in refused["reason"]
    assert accepted["available"] is True, accepted["reason"]


# --- other kinds of server


def test_a_sentinel_names_its_masters(run_module: Runner, redis_server: RedisServer, tmp_path: Path) -> None:
    import shutil
    import subprocess
    import time

    port = free_port()
    configuration = tmp_path / "sentinel.conf"
    configuration.write_text(
        f"port {port}\nbind 127.0.0.1\ndir {tmp_path}\nsentinel monitor mymaster 127.0.0.1 {redis_server.port} 1\n"
    )
    program = shutil.which("redis-server") or str(redis_server.binary)
    process = subprocess.Popen([program, str(configuration), "--sentinel"], stdout=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 240
        while time.monotonic() < deadline:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.05)
        login = {"login_host": "127.0.0.1", "login_port": port}
        for module in ("redis_queue_info", "redis_key_info"):
            for database in (0, 3):
                result = run_module(module, {**login, "login_db": database, **MODULES[module]})
                assert_unavailable(module, result, "is a Redis Sentinel, which holds no keys.")
                assert f"mymaster at 127.0.0.1:{redis_server.port}" in result["reason"]
        result = run_module("redis_health_info", login)
        assert (result["available"], result["health"]["server"]["mode"]) == (True, "sentinel")
    finally:
        process.terminate()
        process.wait(240)


def test_a_node_that_has_no_cluster_yet(run_module: Runner) -> None:
    node = RedisServer(settings={"cluster-enabled": True})
    # The nodes' own port is 10000 higher.
    node.port = next(port for port in iter(free_port, None) if port < 55536)
    with node as server:
        for module in ("redis_queue_info", "redis_key_info"):
            result = run_module(module, {**server.login(), **MODULES[module]})
            assert_unavailable(module, result, "serves no slot: it holds no keys and takes none.")
            result = run_module(module, {**server.login(login_db=1), **MODULES[module]})
            assert_unavailable(module, result, "is a node of a Redis Cluster, which has only database 0")
        result = run_module("redis_health_info", server.login())
        assert result["health"]["server"]["mode"] == "cluster"


def test_a_replica_says_that_it_is_one(run_module: Runner, redis_server: RedisServer) -> None:
    redis_server.client().set("a", "5")
    with RedisServer(settings={"replicaof": f"127.0.0.1 {redis_server.port}"}) as replica:
        client = replica.client()
        from lab.process import wait_until

        assert wait_until(lambda: client.info("replication")["master_link_status"] == "up", 30, 0.05)
        result = run_module("redis_key_info", {**replica.login(), **MODULES["redis_key_info"]})
        assert result["notes"][0] == f"127.0.0.1:{replica.port} is a replica: figures may lag behind its master."
        assert (result["endpoint"]["role"], result["keys"]["a"]["value"]) == ("replica", 5)
        health = run_module("redis_health_info", replica.login())["health"]["replication"]
        assert (health["role"], health["link_status"], health["master"]) == (
            "replica",
            "up",
            f"127.0.0.1:{redis_server.port}",
        )
        master = run_module("redis_health_info", redis_server.login())["health"]["replication"]
        assert master["replicas_count"] == 1
        assert [entry["state"] for entry in master["replicas"]] == ["online"]
        client.replicaof("127.0.0.1", str(free_port()))
        result = run_module("redis_key_info", {**replica.login(), **MODULES["redis_key_info"]})
        assert "The replica's link to its master is down" in result["notes"][1]
