"""The roles check_redis and check_queues as people run them, with StoreBridge's inventory and without."""

from __future__ import annotations

import datetime as dt
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import yaml
from lab.ports import free_port
from lab.process import wait_until
from lab.redis import RedisServer
from lab.redis_cluster import RedisCluster
from lab.redis_sentinel import NAME, SentinelTrio

REPOSITORY = Path(__file__).resolve().parents[3]
PASSWORD = "p@ss:wörd/%41 비밀번호 \"'"
PLAYBOOK = """\
- name: Check
  hosts: redis
  gather_facts: false
  roles:
    - runbook.ops.check_redis
    - runbook.ops.check_queues
  tasks:
    - name: Keep what was found
      ansible.builtin.copy:
        content: "{{ {'findings': check_redis_findings + check_queues_findings,
                      'facts': [check_redis_facts, check_queues_facts]} | to_json }}"
        dest: "{{ output }}"
        mode: "0600"
"""
Finding = dict[str, Any]
LOCAL = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}


@dataclass
class Run:
    returncode: int
    output: str
    findings: list[Finding]

    def severities(self) -> dict[str, set[str]]:
        """Rule ids by severity."""
        found: dict[str, set[str]] = {}
        for finding in self.findings:
            found.setdefault(finding["severity"], set()).add(finding["id"])
        return found

    def one(self, rule_id: str) -> Finding:
        (found,) = (finding for finding in self.findings if finding["id"] == rule_id)
        return found


@pytest.fixture
def play(tmp_path: Path) -> Callable[..., Run]:
    def run(variables: dict[str, Any], *arguments: str, storebridge: bool = False) -> Run:
        hosts = {"redis": {"hosts": {"storebridge-redis": {**LOCAL, **variables}}}}
        (tmp_path / "hosts.yml").write_text(yaml.safe_dump({"all": {"children": hosts}}, allow_unicode=True))
        (tmp_path / "play.yml").write_text(PLAYBOOK)
        output = tmp_path / "out.json"
        output.unlink(missing_ok=True)
        inventories = ["-i", str(REPOSITORY / "inventories/storebridge")] if storebridge else []
        command = [
            *(sys.executable, "-m", "ansible.cli.playbook", str(tmp_path / "play.yml")),
            *(*inventories, "-i", str(tmp_path / "hosts.yml"), "-e", f"output={output}", *arguments),
        ]
        environment = {
            "ANSIBLE_COLLECTIONS_PATH": str(REPOSITORY / "build" / "collections"),
            "ANSIBLE_HOME": str(tmp_path / "home"),
            "ANSIBLE_NOCOLOR": "1",
            "LC_ALL": "C.UTF-8",
        }
        done = subprocess.run(
            command, env={**os.environ, **environment}, cwd=tmp_path, capture_output=True, text=True, check=False
        )
        found = json.loads(output.read_text())["findings"] if output.exists() else []
        return Run(done.returncode, done.stdout + done.stderr, found)

    return run


@pytest.fixture(scope="module")
def locked() -> Iterator[RedisServer]:
    with RedisServer(password=PASSWORD, settings={"save": "3600 1"}) as server:
        yield server
        server.client().config_set("save", "")


@pytest.fixture
def login(locked: RedisServer) -> dict[str, Any]:
    locked.client().flushall()
    return {
        "redis_login_host": locked.host,
        "redis_login_port": locked.port,
        "redis_login_password": PASSWORD,
    }


def today_in_seoul() -> str:
    return dt.datetime.now(ZoneInfo("Asia/Seoul")).date().isoformat()


def queue_up(server: RedisServer, queue: str, count: int) -> None:
    """Messages as Celery writes them; the tests of the module use Celery itself."""
    message = {
        "body": "W1tdLCB7fSwge31d",
        "content-type": "application/json",
        "headers": {"task": "shop.register"},
        "properties": {"delivery_info": {"exchange": "", "routing_key": queue}, "body_encoding": "base64"},
    }
    client = server.client()
    client.sadd("celery:_kombu.binding.normal", f"normal\x06\x16\x06\x16{queue}")
    if count:
        client.lpush(f"celery:{queue}", *[json.dumps(message)] * count)


@pytest.mark.parametrize("check_mode", [False, True])
def test_a_fresh_redis_is_healthy(play: Callable[..., Run], login: dict[str, Any], check_mode: bool) -> None:
    run = play(login, *(["--check"] if check_mode else []))
    if check_mode:
        # Nothing is written in check mode, also not what was found.
        assert run.returncode == 0, run.output
        return
    severities = run.severities()
    assert set(severities) == {"ok", "unknown"}, [each for each in run.findings if each["severity"] != "ok"]
    # No queue was found: that is not the same as queues without jobs.
    assert severities["unknown"] == {"queue.found", "queue.failed", "queue.unconsumed"}
    assert "no job queue was found in database 0 of" in run.one("queue.found")["summary"]
    assert "changed=1 " in run.output  # the copy of the test itself


def test_storebridge(play: Callable[..., Run], login: dict[str, Any], locked: RedisServer) -> None:
    client = locked.client()
    day = today_in_seoul()
    client.set(f"domeggook:daily_calls:{day}", "14200")
    for second in range(5):
        client.set(f"naver:ratelimit:{1769817600 + second}", "3" if second == 2 else "1", ex=600)
    queue_up(locked, "normal", 2001)
    queue_up(locked, "batch", 0)
    run = play(login, storebridge=True)
    if day != today_in_seoul():
        pytest.fail("midnight in Seoul came in between; run it again")
    severities = run.severities()
    assert severities.get("unknown", set()) == set()
    assert severities["critical"] == {"quota.naver_limiter", "queue.unconsumed"}
    assert severities["warning"] == {"quota.domeggook", "queue.backlog"}
    quota = run.one("quota.domeggook")
    assert (quota["value"], quota["threshold"], quota["priority"]) == (14200, "> 14000", "P2")
    assert quota["ladder"] == {"warning": "> 14000", "critical": ">= 15000"}
    assert quota["summary"].startswith("14,200 of 15,000 calls of Domeggook's API are used today")
    backlog = run.one("queue.backlog")
    assert (backlog["object"], backlog["value"], backlog["host"]) == ("normal", 2001, "storebridge-redis")
    assert run.one("quota.naver_calls")["value"] == 7


def test_a_missing_queue_and_a_missing_counter(
    play: Callable[..., Run], login: dict[str, Any], locked: RedisServer
) -> None:
    queue_up(locked, "normal", 1)
    run = play(login, storebridge=True)
    missing = run.one("queue.missing")
    assert (missing["severity"], missing["object"]) == ("critical", "batch")
    assert "Queue 'batch' does not exist in database 0 of" in missing["summary"]
    assert "Queues there: normal." in missing["summary"]
    quota = run.one("quota.domeggook")
    assert (quota["severity"], quota["value"]) == ("unknown", None)
    assert "Before its first use there may legitimately be no key yet" in quota["summary"]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"redis_login_port": None}, "refuses the connection: nothing listens there"),
        ({"redis_login_password": "wrong-p@ss"}, "refuses the login of user 'default'"),
        ({"redis_login_db": 99}, "has no database with this number"),
    ],
)
def test_a_server_that_cannot_be_measured(
    play: Callable[..., Run], login: dict[str, Any], changes: dict[str, Any], reason: str
) -> None:
    changes = {name: free_port() if value is None else value for name, value in changes.items()}
    run = play({**login, **changes}, storebridge=True)
    assert run.returncode == 0, run.output
    assert run.severities() == {
        "critical": {"redis.available", "queue.available"},
        "unknown": {"redis.not_judged", "queue.not_judged"},
    }
    assert reason in run.one("redis.available")["summary"]
    assert "wrong-p@ss" not in json.dumps(run.findings)


def test_no_secret_in_the_most_verbose_output(
    play: Callable[..., Run], login: dict[str, Any], locked: RedisServer
) -> None:
    queue_up(locked, "normal", 1)
    client = locked.client()
    client.config_set("slowlog-log-slower-than", "0")
    client.set("customer:4711", "planted-card-number")
    client.config_set("slowlog-log-slower-than", "10000")
    failure = {"exc_type": "ValueError", "exc_message": ["postgresql://app:planted-in-message@db/x"]}
    client.set("celery:celery-task-meta-1", json.dumps({"status": "FAILURE", "result": failure}))
    run = play(login, "-vvvv", storebridge=True)
    assert run.returncode == 0, run.output
    assert run.one("queue.failed")["value"] == 1
    for secret in (PASSWORD, json.dumps(PASSWORD)[1:-1], "planted-card-number", "planted-in-message"):
        assert secret not in run.output


def test_groups_and_the_configuration_file_when_asked_for(
    play: Callable[..., Run], login: dict[str, Any], locked: RedisServer
) -> None:
    locked.client().mset({f"cache:{number}": "x" * 100 for number in range(30)} | {"session:geheim": "x"})
    asked = {"check_redis_key_groups": {"depth": 1}, "check_redis_config_file": "auto"}
    locked.cli("CONFIG", "SET", "tcp-keepalive", "0")
    run = play({**login, **asked})
    locked.cli("CONFIG", "SET", "tcp-keepalive", "300")
    assert run.returncode == 0, run.output
    largest = run.one("redis.largest_group")
    assert (largest["severity"], largest["summary"].split(" of ")[0][:10]) == ("ok", "cache:* ta")
    assert "geheim" not in run.output.replace(PASSWORD, "")
    for rule in ("redis.config_file", "redis.config_lint"):
        found = run.one(rule)
        assert (found["severity"], found["object"]) == ("warning", "tcp-keepalive")
    # The server is gone; its file is still looked at.
    broken = locked.base / "broken.conf"
    broken.write_text("maxmemory 2gb # half\n", encoding="utf-8")
    run = play({**login, "redis_login_port": free_port(), **asked, "check_redis_config_file": str(broken)})
    assert run.one("redis.config_file")["severity"] == "critical"
    assert run.severities()["critical"] == {"redis.config_file", "redis.available", "queue.available"}


def test_the_master_that_sentinels_name_is_judged(play: Callable[..., Run]) -> None:
    secret = "s3ntinel pässwört"
    with SentinelTrio(password=PASSWORD, sentinel_password=secret) as trio:
        queue_up(trio.master, "normal", 1001)
        addresses = [sentinel.address for sentinel in trio.sentinels]
        given = {"redis_sentinels": addresses, "redis_sentinel_master": NAME, "redis_sentinel_password": secret}
        run = play({**given, "redis_login_password": PASSWORD}, "-vvvv")
        assert run.returncode == 0, run.output
        assert [run.one(f"{what}.available")["severity"] for what in ("redis", "queue")] == ["ok", "ok"]
        assert run.one("queue.backlog")["value"] == 1001
        assert secret not in run.output
        run = play({**given, "redis_login_password": PASSWORD, "redis_sentinel_master": "other"})
    assert "No sentinel watches a master of the name 'other'." in run.one("redis.available")["summary"]


def test_a_cluster_is_judged(play: Callable[..., Run]) -> None:
    with RedisCluster(replicas=0) as cluster:
        run = play({"redis_login_host": cluster.nodes[0].host, "redis_login_port": cluster.nodes[0].port})
        assert [run.one(f"redis.cluster_{what}")["severity"] for what in ("state", "slots")] == ["ok", "ok"]
        for node in cluster.nodes:
            node.cli("CLUSTER", "DELSLOTS", 0)
        assert wait_until(lambda: cluster.info(cluster.nodes[0])["cluster_state"] == "fail", 30, 0.05)
        run = play({"redis_login_host": cluster.nodes[0].host, "redis_login_port": cluster.nodes[0].port})
    assert [run.one(f"redis.cluster_{what}")["severity"] for what in ("state", "slots")] == ["critical", "warning"]
    assert run.one("redis.cluster_state")["summary"] == ("the cluster is in state fail: 0 slots failed, 1 have no node")


def test_a_misspelt_override_is_one_clear_error(play: Callable[..., Run], login: dict[str, Any]) -> None:
    run = play({**login, "check_redis_rule_overrides": {"redis.memory_usd": {"warning": "> 70"}}})
    assert run.returncode != 0
    assert "there is no such rule. Did you mean 'redis.memory_used'?" in run.output


def test_rules_for_keys_without_keys(play: Callable[..., Run], login: dict[str, Any]) -> None:
    run = play({**login, "check_redis_key_rules": [{"id": "quota.x", "value": "keys.x.value"}]})
    assert run.returncode != 0
    assert "check_redis_key_rules judge keys, but check_redis_keys and check_redis_key_groups are empty." in run.output


def test_a_queue_named_twice(play: Callable[..., Run], login: dict[str, Any]) -> None:
    run = play({**login, "check_queues_queues": ["normal", "normal"]})
    assert run.returncode != 0
    assert "check_queues_queues must name each queue once" in run.output
