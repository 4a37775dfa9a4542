"""The rules that come with the roles and with StoreBridge: sound, and right at their edges."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.runbook.ops.plugins.module_utils.queues.model import QueueFacts
from ansible_collections.runbook.ops.plugins.module_utils.redis.health.model import Snapshot, health
from ansible_collections.runbook.ops.plugins.plugin_utils.judging.judge import judge
from ansible_collections.runbook.ops.plugins.plugin_utils.judging.rules import compile_rules

REPOSITORY = Path(__file__).resolve().parents[3]


def load(path: str) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((REPOSITORY / path).read_text(encoding="utf-8"))
    return loaded


REDIS_RULES = load("roles/check_redis/defaults/main.yml")["check_redis_rules"]
# As the role uses them where nobody looks for jobs in no state.
QUEUE_RULES = [
    rule for rule in load("roles/check_queues/defaults/main.yml")["check_queues_rules"] if rule["id"] != "queue.lost"
]
STOREBRIDGE = {
    **load("inventories/storebridge/group_vars/redis/check_redis.yml"),
    **load("inventories/storebridge/group_vars/redis/check_queues.yml"),
}
KEY_RULES = STOREBRIDGE["check_redis_key_rules"]


@pytest.mark.parametrize(
    ("rules", "overrides"),
    [
        (REDIS_RULES, {}),
        (QUEUE_RULES, {}),
        (REDIS_RULES + KEY_RULES, STOREBRIDGE["check_redis_rule_overrides"]),
        (QUEUE_RULES, STOREBRIDGE["check_queues_rule_overrides"]),
    ],
)
def test_rules_pass_the_linter(rules: list[dict[str, Any]], overrides: dict[str, Any]) -> None:
    assert len(compile_rules(rules, overrides)) == len(rules)


@pytest.mark.parametrize("rule", REDIS_RULES + QUEUE_RULES + KEY_RULES, ids=lambda rule: str(rule["id"]))
def test_rules_say_what_to_do(rule: dict[str, Any]) -> None:
    assert rule["description"]
    assert rule["summary"]
    if "warning" in rule or "critical" in rule:
        assert rule["remedy"]
        assert rule["priority"]


def queue_facts(**changes: Any) -> dict[str, Any]:
    queue = QueueFacts("normal", "celery", counts={"waiting": 0, "active": 0, "delayed": 0})
    queue.stalled = queue.redelivery_risk = queue.unread = queue.malformed = queue.unacked = 0
    for name, value in changes.items():
        setattr(queue, name, value)
    return {
        "available": True,
        "reason": None,
        "found": True,
        "queue_count": 1,
        "queues": [queue.facts()],
        "unconsumed": False,
        "consumers": 1,
        "unconsumed_queues": [],
        "failed_jobs": [{"name": "celery", "failed_count": 0, "most_frequent_failure": "none"}],
        "unattributed": {"without_index": 0},
        "complete": True,
        "keys_seen": 5,
        "skipped_sections": [],
    }


def severity(findings: list[Any], rule_id: str) -> str:
    return str(next(finding["severity"] for finding in findings if finding["id"] == rule_id))


@pytest.mark.parametrize(
    ("waiting", "expected"),
    [
        (0, "ok"),
        (1000, "ok"),
        (1001, "warning"),
        (5000, "warning"),
        (5001, "critical"),
        (None, "unknown"),
    ],
)
def test_storebridge_has_one_ladder_for_the_queue_depth(waiting: int | None, expected: str) -> None:
    facts = queue_facts(counts={"waiting": waiting, "active": 0, "delayed": 0})
    findings = judge(facts, QUEUE_RULES, overrides=STOREBRIDGE["check_queues_rule_overrides"])
    assert severity(findings, "queue.backlog") == expected


def test_a_missing_queue_is_one_critical_finding_and_no_backlog_of_zero() -> None:
    facts = queue_facts()
    facts["queues"].append(QueueFacts("batch", "celery", exists=False, reason="Queue 'batch' does not exist").facts())
    findings = judge(facts, QUEUE_RULES)
    bad = [finding for finding in findings if finding["severity"] != "ok"]
    assert [(finding["id"], finding["object"], finding["severity"]) for finding in bad] == [
        ("queue.missing", "batch", "critical")
    ]
    assert bad[0]["summary"] == "Queue 'batch' does not exist"


@pytest.mark.parametrize(
    ("calls", "expected"),
    [(0, "ok"), (14000, "ok"), (14001, "warning"), (14999, "warning"), (15000, "critical"), (None, "unknown")],
)
def test_storebridge_quota(calls: int | None, expected: str) -> None:
    facts = {
        "available": True,
        "keys": {"domeggook_today": {"value": calls, "key": "k"}, "naver_limiter": {"max": 2, "sum": 9, "count": 5}},
    }
    assert severity(judge(facts, KEY_RULES), "quota.domeggook") == expected


def test_a_missing_quota_counter_says_that_it_may_be_early() -> None:
    facts = {
        "available": True,
        "keys": {"domeggook_today": {"value": None, "key": "k"}},
        "skipped_sections": [
            {
                "section": "domeggook_today",
                "reason": "the key k does not exist in database 0 of redis:6379",
                "remedy": "Before its first use there may legitimately be no key yet",
            }
        ],
    }
    (finding,) = judge(facts, KEY_RULES[:1])
    assert finding["severity"] == "unknown"
    assert finding["summary"] == (
        "not measured: the key k does not exist in database 0 of redis:6379; "
        "Before its first use there may legitimately be no key yet"
    )


def test_nothing_known_is_never_ok() -> None:
    facts = {"available": True, "health": health(Snapshot()), "skipped_sections": []}
    findings = judge(facts, REDIS_RULES)
    known = {"redis.available", "redis.replica_state", "redis.replica_lag"}
    assert {finding["severity"] for finding in findings if finding["id"] not in known} == {"unknown"}


@pytest.mark.parametrize(
    ("path", "value", "rule_id", "expected"),
    [
        ("cluster.state", "ok", "redis.cluster_state", "ok"),
        ("cluster.state", "fail", "redis.cluster_state", "critical"),
        ("cluster.state", None, "redis.cluster_state", "unknown"),
        ("cluster.slots_ok_count", 16384, "redis.cluster_slots", "ok"),
        ("cluster.slots_ok_count", 16383, "redis.cluster_slots", "warning"),
        ("persistence.writes_refused", True, "redis.writes_refused", "critical"),
        ("memory.used_percent", 90.5, "redis.memory_used", "critical"),
        ("clients.used_percent", 81, "redis.clients_used", "warning"),
        ("persistence.rdb_last_status", "err", "redis.rdb_status", "critical"),
        ("persistence.rdb_unsaved_seconds", 7201, "redis.rdb_age", "warning"),
        ("config.eviction_risk", "any", "redis.eviction_risk", "critical"),
        ("config.eviction_risk", "expiring", "redis.eviction_risk", "warning"),
        ("config.exposed_without_auth", True, "redis.exposed", "critical"),
        ("config.jobs_not_persisted", True, "redis.jobs_persisted", "warning"),
        ("latency.ping_median_milliseconds", 600, "redis.latency", "critical"),
        ("slowlog.slowest_last_day_seconds", 1.5, "redis.slow_commands", "warning"),
        ("persistence.aof_delayed_fsync_total", 101, "redis.aof_delays", "warning"),
        ("persistence.aof_delayed_fsync_total", 100, "redis.aof_delays", "ok"),
        ("persistence.last_fork_milliseconds", 501, "redis.fork_time", "warning"),
        ("persistence.last_fork_milliseconds", 2001, "redis.fork_time", "critical"),
    ],
)
def test_what_the_redis_rules_find(path: str, value: Any, rule_id: str, expected: str) -> None:
    facts: dict[str, Any] = {"available": True, "health": copy.deepcopy(health(Snapshot()))}
    facts["health"]["memory"]["limited"] = True
    facts["health"]["cluster"]["enabled"] = True
    facts["health"]["persistence"].update(rdb_enabled=True, aof_enabled=True, forked=True)
    section, name = path.split(".")
    facts["health"][section][name] = value
    assert severity(judge(facts, REDIS_RULES), rule_id) == expected


def lint_entry(setting: str, severity_: str, also_in: str = "") -> dict[str, str]:
    return {"setting": setting, "value": "x", "severity": severity_, "reason": "why", "remedy": "", "also_in": also_in}


def test_settings_are_reported_once_and_hints_are_no_findings() -> None:
    facts: dict[str, Any] = {"available": True, "health": copy.deepcopy(health(Snapshot()))}
    facts["health"]["config_lint"]["entries"] = [
        lint_entry("maxmemory-policy", "warning", "config.eviction_risk"),
        lint_entry("tcp-keepalive", "warning"),
        lint_entry("maxmemory", "hint"),
    ]
    found = [finding for finding in judge(facts, REDIS_RULES) if finding["id"] == "redis.config_lint"]
    assert [(finding["object"], finding["severity"], finding["summary"]) for finding in found] == [
        ("tcp-keepalive", "warning", "tcp-keepalive: why")
    ]


def test_a_file_with_a_mistake_is_told_of_a_server_that_is_not_there() -> None:
    facts = {
        "available": False,
        "reason": "down",
        "health": {},
        "config_file": {"entries": [lint_entry("save", "critical"), lint_entry("include", "hint")]},
    }
    found = [(finding["id"], finding["object"], finding["severity"]) for finding in judge(facts, REDIS_RULES)]
    assert found[:2] == [("redis.config_file", "save", "critical"), ("redis.available", "", "critical")]


def test_the_largest_group_is_told_and_not_judged() -> None:
    largest = {"group": "cache:*", "bytes_percent": 61.5, "bytes": 2048, "keys": 12, "ttl_percent": 75.0}
    facts = {"available": True, "key_groups": {"largest": largest}}
    (found,) = (finding for finding in judge(facts, REDIS_RULES) if finding["id"] == "redis.largest_group")
    assert (found["severity"], found["summary"]) == (
        "ok",
        "cache:* takes 61.5 % of the memory of all keys (2.05 kB in 12 keys, 75 % of which expire)",
    )
