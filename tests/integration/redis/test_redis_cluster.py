"""Six nodes on loopback: every module sees the whole cluster, also while slots move."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from lab.certificates import make_certificate
from lab.errors import LabError
from lab.node import NodeQueue
from lab.process import wait_until
from lab.redis import RedisServer, binaries
from lab.redis_cluster import RedisCluster

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import Unavailable
from ansible_collections.runbook.ops.plugins.module_utils.redis.client import RedisClient
from ansible_collections.runbook.ops.plugins.module_utils.redis.cluster.slots import hash_slot
from ansible_collections.runbook.ops.plugins.module_utils.redis.connection import connect, connect_server
from ansible_collections.runbook.ops.plugins.module_utils.redis.endpoint import survey
from ansible_collections.runbook.ops.plugins.module_utils.redis.errors import CommandRefused, Refusal
from ansible_collections.runbook.ops.plugins.module_utils.redis.options import Settings
from ansible_collections.runbook.ops.plugins.module_utils.redis.scan import Budget, Scan
from ansible_collections.runbook.ops.plugins.module_utils.redis.script import Script

Runner = Callable[..., dict[str, Any]]
PASSWORD = "clüster @:/% pässwört"
COUNT = Script("count", "redis.call('INCR', KEYS[1]) return redis.call('RPUSH', KEYS[2], ARGV[1])")


@pytest.fixture(scope="module")
def running() -> Iterator[RedisCluster]:
    with RedisCluster() as cluster:
        yield cluster


@pytest.fixture
def cluster(running: RedisCluster) -> RedisCluster:
    """The cluster, empty; slots may be where an earlier test left them."""
    for node in running.primaries:
        node.client().flushall()
    return running


def settings_of(cluster: RedisCluster, **changes: Any) -> Settings:
    node = cluster.nodes[0]
    return Settings(**{"host": node.host, "port": node.port, "password": cluster.password, **changes})


def fill(cluster: RedisCluster, count: int, prefix: str = "k:") -> None:
    """Keys with their number as value, spread over the cluster by the redis library."""
    client = cluster.client()
    for start in range(0, count, 1000):
        pipeline = client.pipeline(transaction=False)
        for number in range(start, min(start + 1000, count)):
            pipeline.set(f"{prefix}{number}", number)
        pipeline.execute()


def another(cluster: RedisCluster, slot: int) -> Any:
    """A primary that does not serve the slot."""
    owner = cluster.owner(slot)
    return next(node for node in cluster.primaries if node is not owner)


# --- slots


def test_slots_are_the_servers_own(cluster: RedisCluster) -> None:
    """redis-cli says which slot a key has; ours says the same."""
    generator = random.Random(4)
    keys = [b"", b"{}", b"{}a", b"a{b}c{d}", b"{{a}}", b"}{a}", b"a{b", "작업:{큐}:1".encode()]
    keys += [bytes(generator.choices(b"ab{}:", k=generator.randint(1, 8))) for _number in range(200)]
    keys += [bytes(generator.choices(range(256), k=generator.randint(1, 30))) for _number in range(200)]
    client = cluster.nodes[0].client()
    assert [hash_slot(key) for key in keys] == [client.execute_command("CLUSTER KEYSLOT", key) for key in keys]


# --- modules that look


def test_keys_of_all_nodes_are_counted(run_module: Runner, cluster: RedisCluster) -> None:
    fill(cluster, 900)
    shares = [node.client().dbsize() for node in cluster.primaries]
    assert min(shares) > 0
    requests = [
        {"name": "all", "pattern": "k:*", "operation": "count"},
        {"name": "sum", "pattern": "k:*", "operation": "sum"},
        {"name": "one", "key": "k:77"},
        {"name": "none", "key": "k:none"},
    ]
    result = run_module("redis_key_info", {**cluster.login(), "keys": requests})
    assert result["available"] is True, result["reason"]
    assert (result["complete"], result["keys_seen"], result["endpoint"]["dbsize"]) == (True, 900, 900)
    assert result["endpoint"]["databases"] == [{"db": 0, "keys": 900}]
    keys = result["keys"]
    assert (keys["all"]["count"], keys["sum"]["sum"], keys["one"]["value"]) == (900, sum(range(900)), 77)
    assert keys["none"]["exists"] is False
    listed = ", ".join(f"{node.host}:{node.port}" for node in cluster.primaries)
    assert result["notes"] == [
        f"{cluster.nodes[0].host}:{cluster.nodes[0].port} belongs to a Redis Cluster; "
        f"the figures are those of its 3 primaries: {listed}."
    ]


@pytest.mark.parametrize("position", [1, 4])
def test_any_node_will_do(run_module: Runner, cluster: RedisCluster, position: int) -> None:
    """Another primary, and a replica."""
    fill(cluster, 30)
    node = cluster.nodes[position]
    request = {"name": "all", "pattern": "*", "operation": "sum"}
    result = run_module("redis_key_info", {**node.login(), "keys": [request]})
    assert (result["keys"]["all"]["sum"], result["endpoint"]["role"]) == (sum(range(30)), "master")


def test_an_empty_cluster_is_called_empty(run_module: Runner, cluster: RedisCluster) -> None:
    result = run_module("redis_key_info", {**cluster.login(), "keys": [{"name": "a", "pattern": "*"}]})
    assert result["notes"][0] == f"The Redis Cluster of 127.0.0.1:{cluster.nodes[0].port} is empty."


def test_only_database_0(run_module: Runner, cluster: RedisCluster) -> None:
    result = run_module("redis_key_info", {**cluster.login(login_db=1), "keys": [{"name": "a", "pattern": "*"}]})
    assert (result["available"], result.get("failed", False)) == (False, False)
    assert result["reason"] == (
        f"Redis at 127.0.0.1:{cluster.nodes[0].port} is a node of a Redis Cluster, which has only database 0. "
        "Leave login_db out."
    )


def test_health_is_of_one_node_and_says_so(run_module: Runner, cluster: RedisCluster) -> None:
    result = run_module("redis_health_info", cluster.login())
    assert (result["available"], result["skipped_sections"]) == (True, [])
    said = cluster.info(cluster.nodes[0])
    assert result["health"]["cluster"] == {
        "enabled": True,
        "state": "ok",
        "slots_assigned_count": 16384,
        "slots_ok_count": 16384,
        "slots_suspected_count": 0,
        "slots_failed_count": 0,
        "slots_unserved_count": 0,
        "nodes_count": int(said["cluster_known_nodes"]),
        "primaries_count": int(said["cluster_size"]),
    }
    assert (result["health"]["cluster"]["nodes_count"], result["health"]["cluster"]["primaries_count"]) == (6, 3)
    assert result["notes"] == [
        f"127.0.0.1:{cluster.nodes[0].port} is one node of a Redis Cluster with 3 primaries; apart from section "
        "cluster the figures are its own. Measure every node."
    ]


def test_health_of_a_single_server_has_no_cluster(run_module: Runner, redis_server: Any) -> None:
    result = run_module("redis_health_info", redis_server.login())
    assert (result["health"]["cluster"]["enabled"], result["health"]["cluster"]["state"]) == (False, None)
    assert result["notes"] == []


# --- commands and scripts


def test_replies_come_back_in_order(cluster: RedisCluster) -> None:
    fill(cluster, 1200)
    with connect(settings_of(cluster)) as client:
        assert client.is_cluster
        numbers = random.Random(1).sample(range(1200), 1200)
        replies = client.pipeline([("GET", f"k:{number}") for number in numbers])
        assert replies == [str(number).encode() for number in numbers]
        assert client.call("DBSIZE") == 1200
        assert client.call("PING") == b"PONG"
        assert client.call("CLIENT", "LIST").count(b"cmd=client") >= 3
        assert [node.where for node in client.nodes()] == [f"127.0.0.1:{node.port}" for node in cluster.primaries]


def test_a_script_goes_where_its_keys_are(cluster: RedisCluster) -> None:
    with connect(settings_of(cluster)) as client:
        for queue in ("{a}", "{b}", "{c}", "{d}"):
            assert COUNT.run(client, [f"{queue}:n", f"{queue}:list"], ["x"]) == 1
            assert COUNT.run(client, [f"{queue}:n", f"{queue}:list"], ["y"]) == 2
    read = cluster.client()
    assert [read.get(f"{{{name}}}:n") for name in "abcd"] == [b"2"] * 4
    assert len({cluster.owner(hash_slot(name.encode())).port for name in "abcd"}) > 1


def test_keys_of_several_slots_are_refused_before_anything_is_touched(cluster: RedisCluster) -> None:
    before = [node.client().info("commandstats") for node in cluster.primaries]
    with connect(settings_of(cluster)) as client:
        with pytest.raises(CommandRefused) as caught:
            COUNT.run(client, ["a", "b"], ["x"])
        mixed = client.pipeline([("SET", "a", 1), ("UNLINK", "a", "b"), ("GET", "a")])
        assert (mixed[0], mixed[1].code, mixed[2]) == (b"OK", "CROSSSLOT", b"1")
        # A transaction would hold on one node only.
        assert isinstance(client.ask("MULTI"), Refusal)
    assert caught.value.message == (
        "EVALSHA was refused: its keys are in several slots of the Redis Cluster, and nothing was done. "
        "What belongs together needs names with a common part in braces, such as {bull}:queue:wait."
    )
    after = [node.client().info("commandstats") for node in cluster.primaries]
    for name in ("eval", "evalsha", "unlink", "multi"):
        calls = [[stats.get(f"cmdstat_{name}", {}).get("calls", 0) for stats in each] for each in (before, after)]
        assert calls[0] == calls[1], name


# --- modules that change


def carry(source: Any, target: Any) -> None:
    """Copy every key, as it is."""
    for key in source.scan_iter(count=1000):
        target.restore(key, max(0, source.pttl(key)), source.dump(key), replace=True)


@pytest.mark.parametrize("prefix", ["{shop}", "shop"])
def test_a_queue_of_a_library(
    run_module: Runner, cluster: RedisCluster, redis_server: RedisServer, prefix: str
) -> None:
    """With a hash tag its keys are together, and everything works as on one server; without, nothing is touched."""
    queue = NodeQueue("bullmq5", redis_server.port, "orders", prefix=prefix)
    jobs = [{"data": {"fail": f"no answer {number}"}} for number in range(7)]
    queue.batch([{"command": "add", "jobs": jobs}, {"command": "drainByWork"}])
    carry(redis_server.client(), cluster.client())
    held = {node.port: node.client().dbsize() for node in cluster.primaries}
    seen = run_module("redis_queue_info", cluster.login())
    assert (seen["available"], seen["complete"], seen["found"]) == (True, True, 1), seen
    (entry,) = seen["queues"]
    assert (entry["name"], entry["prefix"], entry["counts"]["failed"]) == ("orders", prefix, 7)
    options = {**cluster.login(), "queue": "orders", "key_prefix": prefix}
    planned = run_module("redis_queue_retry", options, check_mode=True)
    done = run_module("redis_queue_retry", options)
    if prefix == "shop":
        for result in (planned, done):
            assert result["failed"] is True
            assert "slots" in result["msg"], result["msg"]
        assert {node.port: node.client().dbsize() for node in cluster.primaries} == held
        return
    assert not done.get("failed"), done
    assert (planned["actions"], planned["changed"]) == (done["actions"], True)
    assert run_module("redis_queue_retry", options)["changed"] is False
    paused = run_module("redis_queue", {**options, "state": "paused"})
    assert (paused.get("failed", False), paused["changed"]) == (False, True), paused
    # The library sees what it would have made itself.
    redis_server.client().flushall()
    carry(cluster.client(), redis_server.client())
    counts = queue.ask("counts")
    assert (counts["failed"], counts["waiting"] + counts["paused"], queue.ask("isPaused")) == (0, 7, True)


def test_keys_of_all_nodes_are_deleted(run_module: Runner, cluster: RedisCluster) -> None:
    fill(cluster, 700, "cache:")
    cluster.client().set("other", 1)
    options = {**cluster.login(), "state": "absent", "pattern": ["cache:*"]}
    planned = run_module("redis_key", options, check_mode=True)
    done = run_module("redis_key", options)
    assert not done.get("failed"), done
    assert (planned["actions"], done["outcomes"]["done"]) == (done["actions"], 700)
    assert sum(node.client().dbsize() for node in cluster.primaries) == 1
    assert run_module("redis_key", options)["changed"] is False


# --- slots that move


def test_a_slot_that_moved_is_followed(cluster: RedisCluster) -> None:
    slot = hash_slot(b"m")
    with connect(settings_of(cluster)) as client:
        assert client.call("INCR", "m") == 1
        cluster.move(slot, another(cluster, slot))
        # Not carried out where it was, and once where it is.
        assert client.pipeline([("INCR", "m"), ("INCR", "{m}2"), ("INCR", "m")]) == [2, 1, 3]
        assert COUNT.run(client, ["m", "{m}list"], ["x"]) == 1
    assert cluster.client().get("m") == b"4"


def test_a_slot_on_its_way_is_asked_for_in_both_places(cluster: RedisCluster) -> None:
    slot = hash_slot(b"w")
    target = another(cluster, slot)
    with connect(settings_of(cluster)) as client:
        client.call("SET", "w", 1)
        source = cluster.begin_move(slot, target)
        cluster.move_keys(slot, source, target)
        client.call("SET", "{w}new", 5)
        assert client.pipeline([("INCR", "w"), ("GET", "{w}new"), ("INCR", "w")]) == [2, b"5", 3]
        cluster.finish_move(slot, target)
        assert client.call("GET", "w") == b"3"


def test_a_command_between_two_nodes_waits_and_is_refused(cluster: RedisCluster) -> None:
    slot = hash_slot(b"t")
    target = another(cluster, slot)
    writer = cluster.client()
    writer.mset({"{t}1": 1, "{t}2": 2})
    source = cluster.begin_move(slot, target)
    source.client().execute_command("MIGRATE", target.host, target.port, "", 0, 5000, "KEYS", "{t}1")
    with connect(settings_of(cluster)) as client:
        refusal = client.ask("MGET", "{t}1", "{t}2")
        assert isinstance(refusal, Refusal)
        assert refusal.reason == "its keys are on their way to another node of the Redis Cluster, and nothing was done"
        # Each by itself is found.
        assert client.pipeline([("GET", "{t}1"), ("GET", "{t}2")]) == [b"1", b"2"]
        cluster.move_keys(slot, source, target)
        cluster.finish_move(slot, target)
        assert client.call("MGET", "{t}1", "{t}2") == [b"1", b"2"]


def names_with(client: RedisClient, at_first_batch: Callable[[], None]) -> tuple[Scan, set[bytes]]:
    scan = Scan(client, [b"k:*"], Budget(), dbsize=client.call("DBSIZE"))
    found: set[bytes] = set()
    for number, batch in enumerate(scan):
        found |= set(batch)
        if number == 0:
            at_first_batch()
        # What the scan names is read while the slots move.
        assert None not in client.pipeline([("GET", name) for name in batch])
    return scan, found


def test_a_scan_without_moves_is_complete(cluster: RedisCluster) -> None:
    fill(cluster, 5000)
    with connect(settings_of(cluster)) as client:
        scan, found = names_with(client, lambda: None)
    assert (scan.complete, scan.keys_seen, len(found)) == (True, 5000, 5000)


def test_a_slot_that_moves_behind_the_scan_makes_it_incomplete(cluster: RedisCluster) -> None:
    """The keys go from the last node to the first, which was walked through: without a warning they would be missed."""
    fill(cluster, 5000)
    last = cluster.primaries[-1]
    slot = next(slot for slot in range(16383, 0, -1) if _keys_in(last, slot))
    moved = {f"k:{number}".encode() for number in range(5000) if hash_slot(f"k:{number}".encode()) == slot}
    with connect(settings_of(cluster)) as client:
        nodes = client.nodes()
        scan = Scan(client, [b"k:*"], Budget())
        found: set[bytes] = set()
        # Everything of the first node, then the move, then the rest.
        original = nodes[1].timed

        def move_first(*command: Any) -> tuple[Any, float]:
            if cluster.owner(slot) is last:
                cluster.move(slot, cluster.primaries[0])
            return original(*command)

        nodes[1].timed = move_first  # type: ignore[method-assign]
        for batch in scan:
            found |= set(batch)
    assert found == {f"k:{number}".encode() for number in range(5000)} - moved
    assert scan.complete is False
    assert scan.incomplete_reason() == (
        "slots of the cluster changed their server during the scan, so that keys may have been missed; "
        "run it again when no slot moves any more"
    )


def _keys_in(node: Any, slot: int) -> int:
    return int(node.client().execute_command("CLUSTER COUNTKEYSINSLOT", slot))


def test_moved_in_the_middle_of_a_scan(cluster: RedisCluster) -> None:
    fill(cluster, 5000)
    slot = hash_slot(b"k:1")
    with connect(settings_of(cluster)) as client:
        scan, found = names_with(client, lambda: cluster.move(slot, another(cluster, slot)))
    assert scan.complete is False
    assert len(found) >= 5000 - 10


def test_a_module_says_that_slots_are_moving(run_module: Runner, cluster: RedisCluster) -> None:
    fill(cluster, 100)
    slot = hash_slot(b"k:1")
    target = another(cluster, slot)
    cluster.begin_move(slot, target)
    result = run_module("redis_key_info", {**cluster.login(), "keys": [{"name": "all", "pattern": "k:*"}]})
    cluster.finish_move(slot, cluster.owner(slot))
    assert (result["available"], result["complete"], result["keys"]["all"]["count"]) == (True, False, None)
    (skipped,) = result["skipped_sections"]
    assert skipped["reason"].startswith(f"slot {slot} of the cluster is being moved, so that keys may have been missed")


# --- trouble


def test_a_failover_between_two_calls() -> None:
    """The old primary says where its slots are now; the new one does not know the script yet, and runs it once."""
    with RedisCluster() as own, connect(settings_of(own)) as client:
        old = own.owner(hash_slot(b"f"))
        new = own.replica_of(old)
        before = client.topology()
        assert COUNT.run(client, ["f", "{f}list"], ["x"]) == 1
        new.cli("CLUSTER", "FAILOVER")
        assert wait_until(lambda: old.cli("ROLE").startswith("slave"), 30, 0.05)
        assert COUNT.run(client, ["f", "{f}list"], ["y"]) == 2
        assert client.pipeline([("GET", "f"), ("LLEN", "{f}list")]) == [b"2", 2]
        assert client.disturbance(before) == "slots of the cluster changed their server during the scan"
        assert f"127.0.0.1:{new.port}" in [node.where for node in client.nodes()]


@pytest.mark.parametrize("name", sorted(binaries()))
def test_every_version(run_module: Runner, name: str) -> None:
    with RedisCluster(primaries=2, replicas=0, binary=name) as each:
        fill(each, 300)
        slot = hash_slot(b"k:1")
        with connect(settings_of(each)) as client:
            each.move(slot, another(each, slot))
            assert client.call("GET", "k:1") == b"1"
        request = {"name": "sum", "pattern": "k:*", "operation": "sum"}
        result = run_module("redis_key_info", {**each.login(), "keys": [request]})
        health = run_module("redis_health_info", each.login())
    assert (result["complete"], result["keys"]["sum"]["sum"]) == (True, sum(range(300)))
    assert (health["health"]["cluster"]["state"], health["skipped_sections"]) == ("ok", [])


def test_a_primary_that_is_down_is_named(run_module: Runner, cluster: RedisCluster) -> None:
    fill(cluster, 30)
    node = cluster.primaries[1]
    node.kill()
    try:
        result = run_module("redis_key_info", {**cluster.login(), "keys": [{"name": "all", "pattern": "*"}]})
    finally:
        node.start()
        cluster.wait_until_ok()
    assert result["available"] is False
    assert f"Redis at 127.0.0.1:{node.port} refuses the connection" in result["reason"]
    assert f"It belongs to the Redis Cluster of 127.0.0.1:{cluster.nodes[0].port}." in result["reason"]


def test_a_cluster_that_is_down(run_module: Runner) -> None:
    """Two of three primaries are gone: the rest knows that it may not answer."""
    with RedisCluster(replicas=0, settings={"cluster-node-timeout": 500}) as broken:
        for node in broken.primaries[1:]:
            node.kill()
        assert wait_until(lambda: broken.info(broken.nodes[0])["cluster_state"] == "fail", 30, 0.05)
        health = run_module("redis_health_info", broken.login())
        result = run_module("redis_key_info", {**broken.login(), "keys": [{"name": "a", "key": "a"}]})
    assert (health["available"], health["health"]["cluster"]["state"]) == (True, "fail")
    assert health["health"]["cluster"]["slots_suspected_count"] > 0
    assert result["available"] is False
    assert result["reason"].startswith("Redis at 127.0.0.1:")
    assert "It belongs to the Redis Cluster of" in result["reason"]


def test_slots_that_nobody_serves(run_module: Runner) -> None:
    """A cluster that answers for what it has: what lies in the rest is missing, and that is said."""
    with RedisCluster(primaries=2, replicas=0, settings={"cluster-require-full-coverage": False}) as holed:
        slot = next(slot for slot in range(8191, 0, -1) if slot != hash_slot(b"runbook.ops"))
        for node in holed.nodes:
            node.cli("CLUSTER", "DELSLOTS", slot)
        result = run_module("redis_key_info", {**holed.login(), "keys": [{"name": "a", "pattern": "*"}]})
        with connect(settings_of(holed)) as client:
            key = next(f"x{number}" for number in range(10**6) if hash_slot(f"x{number}".encode()) == slot)
            with pytest.raises(Unavailable, match="is down: Hash slot not served"):
                client.ask("GET", key)
    assert "1 of the cluster's 16384 slots are served by nobody; keys in them are missing." in result["notes"]


def test_a_node_without_a_cluster(run_module: Runner) -> None:
    with RedisCluster(primaries=1, replicas=0) as lonely:
        lonely.nodes[0].cli("CLUSTER", "FLUSHSLOTS")
        result = run_module("redis_key_info", {**lonely.login(), "keys": [{"name": "a", "key": "a"}]})
    assert result["available"] is False
    assert "serves no slot: it holds no keys and takes none." in result["reason"]


# --- TLS, client certificates and ACL users, once


@pytest.fixture(scope="module")
def locked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[RedisCluster, dict[str, Any]]]:
    certificate = make_certificate(tmp_path_factory.mktemp("cluster-tls"))
    tls = {
        "tls-cert-file": str(certificate.chain),
        "tls-key-file": str(certificate.key),
        "tls-ca-cert-file": str(certificate.authority),
        "tls-auth-clients": True,
    }
    users = [
        f'ops on ">{PASSWORD}" ~* +@read +@connection +info +dbsize +time +scan +cluster|slots +cluster|nodes',
        f'mute on ">{PASSWORD}" ~* +@connection +info +time',
        f'half on ">{PASSWORD}" ~* +@read +@connection +info +dbsize +time +cluster|slots +cluster|nodes',
    ]
    quoted = [json.dumps(user, ensure_ascii=False)[1:-1].replace('\\"', '"') for user in users]
    with RedisCluster(replicas=0, password=PASSWORD, tls=tls, settings={"user": quoted}) as cluster:
        login = {
            "login_host": "127.0.0.1",
            "login_port": cluster.tls_ports[0],
            "tls": True,
            "ca_certs": str(certificate.authority),
            "client_cert_file": str(certificate.chain),
            "client_key_file": str(certificate.key),
        }
        yield cluster, login


def test_tls_certificates_and_users(run_module: Runner, locked: Any) -> None:
    cluster, login = locked
    fill(cluster, 90)
    requests = [{"name": "all", "pattern": "k:*", "operation": "sum"}]
    result = run_module("redis_key_info", {**login, "login_user": "ops", "login_password": PASSWORD, "keys": requests})
    assert result["available"] is True, result["reason"]
    assert (result["complete"], result["keys"]["all"]["sum"]) == (True, sum(range(90)))
    listed = ", ".join(f"127.0.0.1:{port}" for port in cluster.tls_ports)
    assert f"its 3 primaries: {listed}." in result["notes"][0]
    assert PASSWORD not in json.dumps(result, ensure_ascii=False)


def test_every_missing_permission_is_named_at_once(run_module: Runner, locked: Any) -> None:
    cluster, login = locked
    requests = [{"name": "all", "pattern": "k:*", "operation": "sum"}]
    result = run_module("redis_key_info", {**login, "login_user": "mute", "login_password": PASSWORD, "keys": requests})
    assert result["available"] is False
    where = f"127.0.0.1:{cluster.tls_ports[0]}"
    rules = "+cluster|nodes +cluster|slots +dbsize +getrange +pttl +scan +type"
    assert result["reason"] == (
        f"User 'mute' lacks 7 permissions at Redis {where}: {rules}. Grant: ACL SETUSER mute {rules}"
    )


def test_a_permission_that_one_node_lacks(run_module: Runner, locked: Any) -> None:
    """Users are each node's own: one that was forgotten is found before anything is counted."""
    cluster, login = locked
    for node in cluster.primaries[:2]:
        node.cli("ACL", "SETUSER", "half", "+scan")
    cluster.primaries[2].cli("ACL", "SETUSER", "half", "-scan")
    requests = [{"name": "all", "pattern": "k:*", "operation": "sum"}]
    result = run_module("redis_key_info", {**login, "login_user": "half", "login_password": PASSWORD, "keys": requests})
    assert result["available"] is False
    assert "lacks 1 permission at Redis" in result["reason"]
    assert result["reason"].endswith("+scan. Grant: ACL SETUSER half +scan")


def test_the_preflight_of_a_lone_node(cluster: RedisCluster) -> None:
    """What asks one node for the whole is told so."""
    with connect_server(settings_of(cluster)) as client, pytest.raises(Unavailable, match="holds only a part of the"):
        survey(client, [])


def test_the_lab_knows_who_serves_what(running: RedisCluster, tmp_path: Path) -> None:
    with pytest.raises(LabError):
        running.owner(16384)
