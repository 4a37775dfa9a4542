"""The role's rules: they read what the module documents, and judge at their thresholds as meant."""

from __future__ import annotations

import copy
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.runbook.ops.plugins.filter import pool_budget as pool_budget_filter
from ansible_collections.runbook.ops.plugins.modules import postgresql_health_info
from ansible_collections.runbook.ops.plugins.plugin_utils.judging.judge import judge

REPOSITORY = Path(__file__).resolve().parents[3]
DEFAULTS = yaml.safe_load((REPOSITORY / "roles/check_postgresql/defaults/main.yml").read_text(encoding="utf-8"))
RULES: list[dict[str, Any]] = DEFAULTS["check_postgresql_rules"]
BY_ID = {rule["id"]: rule for rule in RULES}
RETURNED: dict[str, Any] = yaml.safe_load(postgresql_health_info.RETURN)
# The role puts the pools beside the connections they are about.
RETURNED["health"]["contains"]["connections"]["contains"]["pools"] = yaml.safe_load(pool_budget_filter.RETURN)["_value"]
# And the sum of what its poolers may open.
RETURNED["health"]["contains"]["connections"]["contains"]["poolers"] = {
    "type": "dict",
    "contains": {
        **{name: {"type": "int"} for name in ("count", "most", "usable")},
        "most_percent": {"type": "float"},
    },
}

MB, GB = 10**6, 10**9
MIB = 1024**2

# A server with something of everything, and nothing wrong.
HEALTHY: dict[str, Any] = {
    "available": True,
    "reason": None,
    "measured_at": "2026-01-31T00:15:00Z",
    "skipped_sections": [],
    "health": {
        "server": {"major": 16},
        "connections": {
            "used_percent": 12.5,
            "used": 12,
            "usable": 97,
            "prepared": [],
            "pools": {
                "declared_count": 1,
                "peak": 60,
                "usable": 97,
                "peak_percent": 61.86,
                "advice_text": "That fits within 80 %",
                "undeclared": [],
            },
            "poolers": {"count": 1, "most": 60, "usable": 97, "most_percent": 61.86},
        },
        "sessions": {
            "by_application": [
                {
                    "application": "web",
                    "user": "app",
                    "database": "shop",
                    "count": 10,
                    "idle_in_transaction": 0,
                    "idle_in_transaction_oldest_seconds": 0.0,
                }
            ],
            "active": [
                {"application": "web", "user": "app", "database": "shop", "pid": 42, "transaction_age_seconds": 0.2}
            ],
        },
        "locks": {"roots": [], "lock_table_percent": 0.1},
        "databases": {
            "current": {"name": "shop", "size_bytes": 90 * GB},
            "list": [
                {
                    "name": "shop",
                    "is_invalid": False,
                    "deadlocks_total": 4,
                    "deadlocks_per_day": 96.0,
                    "temp_bytes_per_hour": 0.0,
                    "stats_age_seconds": 3600.0 * 24,
                    "stats_since": "2026-01-30T00:15:00Z",
                }
            ],
        },
        "checksums": {"is_enabled": False, "failures_total": None},
        "tables": {
            "dead_rows": [
                {"schema": "s", "name": "t", "dead_rows": 90, "total_bytes": 16384, "dead_percent": 90.0},
                {"schema": "s", "name": "none", "dead_rows": 0, "total_bytes": 0, "dead_percent": None},
            ],
            "autovacuum_disabled_count": 0,
            "never_analyzed": [{"schema": "s", "name": "t", "live_rows": 50, "total_bytes": 8192}],
            "sequential_scans": [
                {
                    "schema": "s",
                    "name": "t",
                    "live_rows": 50,
                    "rows_per_scan": 50.0,
                    "sequential_scans": 10**6,
                    "sequential_scans_per_hour": 10**4,
                    "sequential_percent": 100.0,
                }
            ],
        },
        "indexes": {
            "stats_age_seconds": 60 * 86400.0,
            "is_standby": False,
            "unused": [{"schema": "s", "table": "t", "name": "i", "size_bytes": 8192, "table_writes": 3}],
            "invalid": [{"schema": "s", "table": "t", "name": "new", "size_bytes": 8192, "is_building": True}],
            "duplicates": [{"schema": "s", "table": "t", "name": "i2", "size_bytes": 8192, "duplicate_of": "i"}],
            "unindexed_foreign_keys": [
                {
                    "schema": "s",
                    "table": "t",
                    "name": "fk",
                    "referenced_table": "p",
                    "live_rows": 50,
                    "table_bytes": 8192,
                }
            ],
        },
        "wraparound": {
            "databases": [
                {"name": "shop", "xid_age": 1, "xid_percent": 9.4, "multixact_age": 1, "multixact_percent": 0.1}
            ],
            "horizon_xid_age": 0,
            "horizon": None,
        },
        "sequences": {
            "list": [
                {
                    "schema": "s",
                    "name": "round",
                    "ends_in_error": False,
                    "used_percent": 99.0,
                    "remaining": 1,
                    "limit_source": "sequence",
                },
                {
                    "schema": "s",
                    "name": "q",
                    "ends_in_error": True,
                    "used_percent": 1.0,
                    "remaining": 9,
                    "limit_source": "column",
                },
            ]
        },
        "replication": {
            "is_primary": True,
            "standbys": [{"application": "copy", "state": "backup", "replay_lag_bytes": None}],
            "replay_lag_seconds": None,
            "is_synchronous_missing": False,
            "max_retained_bytes": 0,
            "inactive_slot_count": 0,
            "lost_slot_count": 0,
            "subscriptions": [{"name": "off", "is_enabled": False, "is_running": False}],
        },
        "wal": {
            "archiver": {
                "is_enabled": False,
                "is_failing": False,
                "failing_seconds": 0.0,
                "ready_count": 0,
                "has_command": None,
            },
            "directory_bytes": 16 * MIB,
            "directory_percent": 1.6,
            "checkpoints": {"requested_percent": 100.0, "requested_total": 4},
        },
        "statements": {
            "by_total_time": [
                {"database": "shop", "query_id": "7", "query": "SELECT $1", "calls": 3, "mean_ms": 90000.0}
            ]
        },
        "settings": {"dangerous": [], "advice_count": 9, "pending_restart_count": 0},
        "extensions": {
            "list": [{"name": "plpgsql", "version": "1.0", "available_version": "1.0", "is_outdated": False}]
        },
        "collations": {"drifted_count": 0, "affected_index_count": 0},
        "roles": {
            "superuser_count": 1,
            "dangerous_memberships": [
                {"member": "staff", "role": "pg_write_all_data", "can_login": False, "reason": "writes"},
                {"member": "backup", "role": "pg_read_all_data", "can_login": True, "reason": "reads"},
            ],
            "public_create_schemas": [],
        },
        "rls": {
            "policy_count": 0,
            "without_rls": [{"schema": "public", "name": "t"}],
            "always_true": [],
            "without_policy": [],
        },
    },
}


def changed(path: str, value: Any) -> dict[str, Any]:
    """The healthy facts with one value replaced."""
    facts = copy.deepcopy(HEALTHY)
    node: Any = facts["health"]
    *steps, last = path.split(".")
    for step in steps:
        node = node[int(step)] if step.isdigit() else node[step]
    node[int(last) if last.isdigit() else last] = value
    return facts


def bad(facts: dict[str, Any]) -> list[tuple[str, str, str]]:
    found = judge(facts, RULES, overrides={})
    return [(each["severity"], each["id"], each["object"]) for each in found if each["severity"] != "ok"]


def test_healthy_is_quiet() -> None:
    assert bad(HEALTHY) == []


WEB = "web (app@shop)"
ROOT = {"application": "web", "user": "app", "database": "shop", "pid": 7, "state": "idle in transaction"}
UNDECLARED = {"application": "report", "connections": 9, "declared": 0, "undeclared": 9}
PREPARED = {"gid": "g", "owner": "app", "database": "shop"}
DEAD = {"schema": "s", "name": "t", "dead_rows": 10001, "total_bytes": 10 * MB + 1}
SCANNED = {
    "schema": "s",
    "name": "t",
    "live_rows": 10001,
    "rows_per_scan": 10001.0,
    "sequential_scans": 101,
    "sequential_percent": 60.0,
}
UNUSED = {"schema": "s", "table": "t", "name": "i", "table_writes": 3}
KEY = {"schema": "s", "table": "t", "name": "fk", "referenced_table": "p"}
STANDBY = {"application": "copy", "state": "streaming"}
SEQUENCE = {"schema": "s", "name": "q", "ends_in_error": True, "remaining": 9, "limit_source": "column"}
ARCHIVER = {"is_enabled": True, "is_failing": False, "failing_seconds": 0.0, "ready_count": 0, "has_command": True}


@pytest.mark.parametrize(
    ("rule", "path", "good", "warning", "critical", "name"),
    [
        ("connections", "connections.used_percent", 80, 80.1, 90.1, ""),
        ("pool_budget", "connections.pools.peak_percent", 80, 80.1, 100.1, ""),
        ("pooler_budget", "connections.poolers.most_percent", 80, 80.1, 100.1, ""),
        (
            "pool_undeclared",
            "connections.pools.undeclared",
            [{**UNDECLARED, "usable_percent": 5.0}],
            [{**UNDECLARED, "usable_percent": 5.1}],
            None,
            "report",
        ),
        (
            "idle_in_transaction",
            "sessions.by_application.0.idle_in_transaction_oldest_seconds",
            300,
            300.1,
            1800.1,
            WEB,
        ),
        ("long_transactions", "sessions.active.0.transaction_age_seconds", 3600, 3600.1, 21600.1, WEB),
        (
            "prepared_transactions",
            "connections.prepared",
            [{**PREPARED, "age_seconds": 900}],
            [{**PREPARED, "age_seconds": 901}],
            [{**PREPARED, "age_seconds": 7201}],
            "g",
        ),
        (
            "locks",
            "locks.roots",
            [{**ROOT, "blocked_count": 1, "longest_wait_seconds": 30}],
            [{**ROOT, "blocked_count": 1, "longest_wait_seconds": 31}],
            [{**ROOT, "blocked_count": 1, "longest_wait_seconds": 301}],
            WEB,
        ),
        ("lock_table", "locks.lock_table_percent", 60, 61, 86, ""),
        ("database_invalid", "databases.list.0.is_invalid", False, True, None, "shop"),
        ("deadlocks", "databases.list.0.deadlocks_total", 4, 5, None, "shop"),
        ("temp_files", "databases.list.0.temp_bytes_per_hour", 10 * GB, 10 * GB + 1, None, "shop"),
        (
            "checksum_failures",
            "checksums",
            {"is_enabled": True, "failures_total": 0},
            None,
            {"is_enabled": True, "failures_total": 1},
            "",
        ),
        (
            "dead_rows",
            "tables.dead_rows",
            [{**DEAD, "dead_percent": 25.0}],
            [{**DEAD, "dead_percent": 25.1}],
            [{**DEAD, "dead_percent": 50.1}],
            "s.t",
        ),
        ("autovacuum_disabled", "tables.autovacuum_disabled_count", 0, 1, None, ""),
        (
            "never_analyzed",
            "tables.never_analyzed",
            [{"schema": "s", "name": "t", "live_rows": 10001, "total_bytes": 10 * MB}],
            [{"schema": "s", "name": "t", "live_rows": 10001, "total_bytes": 10 * MB + 1}],
            None,
            "s.t",
        ),
        (
            "sequential_scans",
            "tables.sequential_scans",
            [{**SCANNED, "sequential_scans_per_hour": 60.0}],
            [{**SCANNED, "sequential_scans_per_hour": 60.1}],
            None,
            "s.t",
        ),
        (
            "index_unused",
            "indexes.unused",
            [{**UNUSED, "size_bytes": 10 * MB}],
            [{**UNUSED, "size_bytes": 10 * MB + 1}],
            None,
            "s.i",
        ),
        ("index_invalid", "indexes.invalid.0.is_building", True, False, None, "s.new"),
        ("index_duplicate", "indexes.duplicates.0.size_bytes", 10 * MB, 10 * MB + 1, None, "s.i2"),
        (
            "foreign_key_unindexed",
            "indexes.unindexed_foreign_keys",
            [{**KEY, "live_rows": 10000, "table_bytes": 90 * MB}],
            [{**KEY, "live_rows": 10001, "table_bytes": 90 * MB}],
            None,
            "s.t.fk",
        ),
        ("wraparound", "wraparound.databases.0.xid_percent", 40, 40.1, 70.1, "shop"),
        ("multixact", "wraparound.databases.0.multixact_percent", 40, 40.1, 70.1, "shop"),
        ("xmin_horizon", "wraparound.horizon_xid_age", 10**6, 10**6 + 1, 10**8 + 1, ""),
        (
            "sequences",
            "sequences.list",
            [{**SEQUENCE, "used_percent": 75.0}],
            [{**SEQUENCE, "used_percent": 75.1}],
            [{**SEQUENCE, "used_percent": 90.1}],
            "s.q",
        ),
        (
            "replication_lag",
            "replication.standbys",
            [{**STANDBY, "replay_lag_bytes": 256 * MB}],
            [{**STANDBY, "replay_lag_bytes": 256 * MB + 1}],
            [{**STANDBY, "replay_lag_bytes": 2 * GB + 1}],
            "copy",
        ),
        ("synchronous_missing", "replication.is_synchronous_missing", False, None, True, ""),
        ("slots", "replication.max_retained_bytes", 5 * GB, 5 * GB + 1, 20 * GB + 1, ""),
        ("slots_inactive", "replication.inactive_slot_count", 0, 1, None, ""),
        ("slots_lost", "replication.lost_slot_count", 0, None, 1, ""),
        (
            "subscriptions",
            "replication.subscriptions",
            [{"name": "in", "is_enabled": True, "is_running": True}],
            None,
            [{"name": "in", "is_enabled": True, "is_running": False}],
            "in",
        ),
        (
            "archiver",
            "wal.archiver",
            ARCHIVER,
            {**ARCHIVER, "is_failing": True, "failing_seconds": 1.0, "ready_count": 5000},
            {**ARCHIVER, "is_failing": True, "failing_seconds": 1801.0, "ready_count": 5000},
            "",
        ),
        (
            "archiver_backlog",
            "wal.archiver",
            {**ARCHIVER, "ready_count": 100},
            {**ARCHIVER, "ready_count": 101},
            {**ARCHIVER, "ready_count": 1001},
            "",
        ),
        ("archiver_command", "wal.archiver", ARCHIVER, None, {**ARCHIVER, "has_command": False}, ""),
        ("wal_size", "wal.directory_percent", 300, 301, None, ""),
        (
            "checkpoints",
            "wal.checkpoints",
            {"requested_percent": 50.0, "requested_total": 101},
            {"requested_percent": 50.1, "requested_total": 101},
            None,
            "",
        ),
        (
            "statements_slowest",
            "statements.by_total_time",
            [{"database": "shop", "query_id": "7", "query": "SELECT $1", "calls": 99, "mean_ms": 1000.1}],
            [{"database": "shop", "query_id": "7", "query": "SELECT $1", "calls": 100, "mean_ms": 1000.1}],
            None,
            "shop 7",
        ),
        (
            "settings_dangerous",
            "settings.dangerous",
            [],
            None,
            [{"name": "fsync", "value": "off", "reason": "A crash corrupts."}],
            "fsync",
        ),
        ("settings_pending", "settings.pending_restart_count", 0, 1, None, ""),
        ("extensions", "extensions.list.0.is_outdated", False, True, None, "plpgsql"),
        ("collations", "collations.drifted_count", 0, 1, None, ""),
        ("superusers", "roles.superuser_count", 3, 4, None, ""),
        ("role_memberships", "roles.dangerous_memberships.0.can_login", False, True, None, "staff"),
        ("public_create", "roles.public_create_schemas", [], ["public"], None, "public"),
        ("rls_missing", "rls.policy_count", 0, 1, None, "public.t"),
        (
            "rls_always_true",
            "rls.always_true",
            [],
            [{"schema": "s", "table": "t", "name": "p", "command": "ALL", "clause": "USING"}],
            None,
            "s.t.p",
        ),
        ("rls_without_policy", "rls.without_policy", [], [{"schema": "s", "name": "t"}], None, "s.t"),
    ],
    ids=lambda value: value if isinstance(value, str) and re.fullmatch(r"[a-z_]+", value) else "",
)
def test_ladder(rule: str, path: str, good: Any, warning: Any, critical: Any, name: str) -> None:
    assert bad(changed(path, good)) == []
    for severity, value in (("warning", warning), ("critical", critical)):
        if value is not None:
            assert bad(changed(path, value)) == [(severity, f"postgresql.{rule}", name)]
        else:
            assert severity not in BY_ID[f"postgresql.{rule}"]


def test_a_standby_is_judged_by_its_own_delay() -> None:
    def standby(delay: float | None) -> list[tuple[str, str, str]]:
        facts = changed("replication.is_primary", False)
        facts["health"]["replication"]["replay_lag_seconds"] = delay
        return bad(facts)

    assert standby(300) == []
    assert standby(301) == [("warning", "postgresql.standby_delay", "")]
    assert standby(1801) == [("critical", "postgresql.standby_delay", "")]
    assert standby(None) == [("unknown", "postgresql.standby_delay", "")]


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        ("indexes.stats_age_seconds", 13 * 86400.0, []),
        ("indexes.is_standby", True, []),
        ("indexes.stats_age_seconds", None, [("unknown", "postgresql.index_unused", "s.i")]),
    ],
)
def test_unused_proves_nothing_on_young_statistics_or_a_standby(path: str, value: Any, expected: Any) -> None:
    facts = changed(path, value)
    facts["health"]["indexes"]["unused"] = [{**UNUSED, "size_bytes": GB}]
    assert bad(facts) == expected


def test_schema_public_is_open_by_default_before_15() -> None:
    facts = changed("roles.public_create_schemas", ["public"])
    facts["health"]["server"]["major"] = 14
    assert bad(facts) == []


@pytest.mark.parametrize("rule", ["pool_budget", "pool_undeclared"])
def test_pools_are_judged_when_they_are_declared(rule: str) -> None:
    facts = changed("connections.pools.peak_percent", 500)
    facts["health"]["connections"]["pools"]["undeclared"] = [{**UNDECLARED, "usable_percent": 90.0}]
    assert f"postgresql.{rule}" in {found for _severity, found, _name in bad(facts)}
    facts["health"]["connections"]["pools"]["declared_count"] = 0
    assert bad(facts) == []


def test_a_pool_without_numbers_is_unknown() -> None:
    facts = changed("connections.pools.peak_percent", None)
    assert bad(facts) == [("unknown", "postgresql.pool_budget", "")]


def test_what_is_not_measured_is_unknown() -> None:
    facts = copy.deepcopy(HEALTHY)
    facts["health"] = dict.fromkeys(facts["health"])
    found = bad(facts)
    assert {severity for severity, _rule, _name in found} == {"unknown"}
    assert {rule for _severity, rule, _name in found} == set(BY_ID) - {"postgresql.available"}


def test_a_closed_gate_is_two_findings() -> None:
    facts = {"available": False, "reason": "It is down.", "health": {}, "skipped_sections": []}
    found = judge(facts, RULES)
    assert [(each["severity"], each["id"], each["summary"]) for each in found] == [
        ("critical", "postgresql.available", "It is down."),
        ("unknown", "postgresql.not_judged", f"{len(RULES) - 1} more checks could not be made: It is down."),
    ]


def documented(path: str, item: dict[str, Any] | None) -> dict[str, Any] | None:
    """The documentation of a fact by its path; of an item first, then of the whole result."""
    for level in (item or {}, RETURNED):
        node: Any = {"contains": level, "description": ""}
        for segment in path.split("."):
            node = (node.get("contains") or _like(node)).get(segment)
            if node is None:
                break
        else:
            return dict(node)
    return None


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["id"])
def test_rules_read_what_is_documented(rule: dict[str, Any]) -> None:
    item = None
    if "each" in rule:
        holder = documented(rule["each"], None)
        assert holder is not None, rule["each"]
        assert holder["type"] == "list", rule["each"]
        item = holder.get("contains") or _like(holder)
    paths = [rule["value"]]
    where = rule.get("where", [])
    paths += [re.split(r"\s*(?:[<>=!]=?)", each)[0] for each in ([where] if isinstance(where, str) else where)]
    for text in (rule.get("summary", ""), rule.get("name", "")):
        paths += re.findall(r"\{([a-z_.]+)(?:\|[a-z]+)?\}", text)
    for path in paths:
        if path not in ("value", "object", "threshold", "item") or path in (item or {}):
            assert documented(path, item) is not None, path


def _like(holder: dict[str, Any]) -> dict[str, Any]:
    """Lists documented as "Keys as in C(active)" have that list's keys."""
    text = " ".join([holder["description"]] if isinstance(holder.get("description"), str) else holder["description"])
    match = re.search(r"[Kk]eys as in C\((\w+)\)", text)
    if not match:
        return {}
    for section in RETURNED["health"]["contains"].values():
        for name, fact in section["contains"].items():
            if name == match.group(1) and fact.get("contains"):
                return dict(fact["contains"])
    return {}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["id"])
def test_every_judging_rule_says_what_to_do(rule: dict[str, Any]) -> None:
    assert rule["description"]
    assert rule["summary"]
    assert rule["id"].startswith("postgresql.")
    if "warning" in rule or "critical" in rule:
        assert rule["remedy"]
        assert rule["priority"]
