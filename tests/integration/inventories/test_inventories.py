"""Every system's inventory as Ansible reads it: complete, parseable, and of one mind with itself."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
import yaml
from lab.inventories import SYSTEMS
from lab.paths import REPOSITORY

from ansible_collections.runbook.ops.plugins.module_utils.common.timezones import timezone
from ansible_collections.runbook.ops.plugins.module_utils.common.windows import in_window, parse_window
from ansible_collections.runbook.ops.plugins.plugin_utils.judging.rules import compile_rules
from ansible_collections.runbook.ops.plugins.plugin_utils.pool_budget import pool_budget

Inventories = dict[str, dict[str, dict[str, Any]]]

DEFAULTS = yaml.safe_load((REPOSITORY / "roles/check_postgresql/defaults/main.yml").read_text(encoding="utf-8"))
HOSTS = {
    "storebridge": ["storebridge-postgres"],
    "stockboom": ["stockboom-postgres"],
    "autoclip": ["autoclip-postgres", "autoclip-postgres-replica"],
    "duly": ["duly-postgres"],
    "excelapp": ["excelapp-postgres"],
}
ROLES_THAT_CHANGE = ("data_retention", "postgresql_maintenance")
# 2026-01-05 was a Monday.
MONDAY = dt.datetime(2026, 1, 5)


def test_every_inventory_is_among_them() -> None:
    assert sorted(path.parent.name for path in REPOSITORY.glob("inventories/*/hosts.yml")) == sorted(SYSTEMS)


@pytest.mark.parametrize("system", SYSTEMS)
def test_hosts_have_what_the_roles_need(system: str, inventories: Inventories) -> None:
    assert list(inventories[system]) == HOSTS[system]
    for variables in inventories[system].values():
        assert variables["runbook_system"] == system
        assert variables["runbook_timezone"] == "Asia/Seoul"
        assert variables["postgresql_login_db"]
        # A name that means another database on another machine is no name.
        assert variables["postgresql_login_host"] not in ("", "localhost", "127.0.0.1", "::1")
        assert "{{" not in variables["postgresql_login_host"]
        assert {"postgresql", "business"} <= set(variables["runbook_capabilities"])
        for role in ROLES_THAT_CHANGE:
            for name in ("window", "blocked_window", "timezone"):
                assert f"{role}_{name}" in variables, f"{role}_{name}"
        for name in ("users", "applications", "databases"):
            protected = variables[f"incident_response_protect_{name}"]
            assert all(isinstance(each, str) and each for each in protected), name
        assert isinstance(variables["postgresql_pools"], list)
        assert isinstance(variables["data_retention_policies"], list)


@pytest.mark.parametrize("system", SYSTEMS)
def test_who_checks_cannot_change(system: str, inventories: Inventories) -> None:
    for variables in inventories[system].values():
        assert variables["postgresql_login_user"] == "runbook_monitor"
        assert variables["postgresql_admin_user"] != variables["postgresql_login_user"]
        assert variables["postgresql_login_password"] == f"{system} postgresql_password"
        assert variables["postgresql_admin_password"] == f"{system} postgresql_admin_password"


# --- windows
def minutes() -> list[dt.datetime]:
    """Every quarter of an hour of a week."""
    return [MONDAY + dt.timedelta(minutes=minute) for minute in range(0, 7 * 24 * 60, 15)]


def allowed(variables: dict[str, Any], role: str, at: dt.datetime) -> bool:
    zone = variables[f"{role}_timezone"]
    moment = at.replace(tzinfo=timezone(zone)).isoformat()
    window, blocked = variables[f"{role}_window"], variables[f"{role}_blocked_window"]
    return (not window or in_window(moment, window, zone)) and not (blocked and in_window(moment, blocked, zone))


@pytest.mark.parametrize("role", ROLES_THAT_CHANGE)
@pytest.mark.parametrize("system", SYSTEMS)
def test_windows_can_be_read_and_leave_time(system: str, role: str, inventories: Inventories) -> None:
    for variables in inventories[system].values():
        for name in (f"{role}_window", f"{role}_blocked_window"):
            for each in variables[name]:
                parse_window(each)
        zone = variables[f"{role}_timezone"]
        window, blocked = variables[f"{role}_window"], variables[f"{role}_blocked_window"]
        open_at = [at for at in minutes() if allowed(variables, role, at)]
        assert open_at, "never is no window"
        # A window that overlaps the blocked hours would end in the middle of something.
        moments = [at.replace(tzinfo=timezone(zone)).isoformat() for at in minutes()]
        assert not [at for at in moments if in_window(at, window, zone) and blocked and in_window(at, blocked, zone)]


@pytest.mark.parametrize(
    ("system", "role", "day", "clock", "expected"),
    [
        # Bulk registration from 00:00, stock synchronisation until 09:00.
        ("storebridge", "data_retention", 0, "00:00", False),
        ("storebridge", "data_retention", 3, "05:59", False),
        ("storebridge", "data_retention", 3, "08:59", False),
        ("storebridge", "data_retention", 3, "23:00", True),
        ("storebridge", "data_retention", 3, "23:45", False),
        ("storebridge", "postgresql_maintenance", 6, "02:00", False),
        ("storebridge", "postgresql_maintenance", 6, "22:30", True),
        # The market is open from Monday to Friday, 09:00 to 15:30.
        ("stockboom", "data_retention", 0, "04:00", True),
        ("stockboom", "data_retention", 0, "09:00", False),
        ("stockboom", "data_retention", 4, "15:29", False),
        ("stockboom", "postgresql_maintenance", 2, "10:00", False),
        ("stockboom", "postgresql_maintenance", 5, "06:30", True),
        ("autoclip", "postgresql_maintenance", 6, "04:00", True),
        ("autoclip", "postgresql_maintenance", 0, "12:00", False),
        # Sunday from 02:00 to 06:00.
        ("duly", "postgresql_maintenance", 6, "02:00", True),
        ("duly", "postgresql_maintenance", 6, "05:59", True),
        ("duly", "postgresql_maintenance", 6, "06:00", False),
        ("duly", "data_retention", 0, "10:00", False),
        # Not while the backups of 01:00 and 02:00 run.
        ("excelapp", "data_retention", 6, "01:30", False),
        ("excelapp", "data_retention", 2, "02:30", False),
        ("excelapp", "data_retention", 2, "04:00", True),
        ("excelapp", "postgresql_maintenance", 6, "04:00", True),
        ("excelapp", "postgresql_maintenance", 3, "04:00", False),
    ],
)
def test_when_changes_are_made(
    system: str, role: str, day: int, clock: str, expected: bool, inventories: Inventories
) -> None:
    hour, minute = map(int, clock.split(":"))
    at = MONDAY + dt.timedelta(days=day, hours=hour, minutes=minute)
    assert allowed(inventories[system][HOSTS[system][0]], role, at) is expected


# --- ladders
@pytest.mark.parametrize("system", SYSTEMS)
def test_ladders_rise(system: str, inventories: Inventories) -> None:
    """The linter refuses a critical step before the warning, a unit that does not fit, an id that does not exist."""
    for variables in inventories[system].values():
        rules = DEFAULTS["check_postgresql_rules"] + variables.get("check_postgresql_extra_rules", [])
        compiled = compile_rules(rules, variables.get("check_postgresql_rule_overrides", {}))
        assert len(compiled) == len(rules)
        queries = {query["name"] for query in variables.get("check_postgresql_queries", [])}
        for rule in compile_rules(variables.get("check_postgresql_query_rules", []), {}):
            assert rule.id.startswith("business.")
            path = rule.each or rule.value
            assert path[:2] == ("queries", path[1])
            assert path[1] in queries, rule.id


@pytest.mark.parametrize(
    ("system", "rule", "warning", "critical"),
    [
        ("storebridge", "postgresql.database_size", "> 80 GB", None),
        ("storebridge", "postgresql.connections", "> 80 %", "> 90 %"),
        # Less than 80 % in use; fewer than 5 of 97 free.
        ("stockboom", "postgresql.connections", "> 80 %", "> 95 %"),
        ("stockboom", "postgresql.slow_statements", "> 5 s", "> 5 m"),
        ("autoclip", "postgresql.connections", "> 80 %", "> 90 %"),
        # 5 s in one place, 10 s in another.
        ("autoclip", "postgresql.slow_statements", "> 5 s", "> 10 s"),
        # 80 % in one list of alerts, 90 % in the other.
        ("duly", "postgresql.connections", "> 80 %", "> 90 %"),
        ("duly", "postgresql.statements_slowest", "> 500 ms", "> 1 s"),
        ("duly", "postgresql.long_transactions", "> 5 m", "> 1 h"),
        ("duly", "postgresql.database_size", "> 170.0 GB", "> 180.0 GB"),
        ("duly", "postgresql.rls_missing", None, "!= ''"),
    ],
)
def test_one_figure_has_one_ladder_of_the_manuals_steps(
    system: str, rule: str, warning: str | None, critical: str | None, inventories: Inventories
) -> None:
    variables = inventories[system][HOSTS[system][0]]
    rules = DEFAULTS["check_postgresql_rules"] + variables.get("check_postgresql_extra_rules", [])
    [found] = [
        each for each in compile_rules(rules, variables.get("check_postgresql_rule_overrides", {})) if each.id == rule
    ]
    assert (found.warning and found.warning.text, found.critical and found.critical.text) == (warning, critical)


# --- pools
@pytest.mark.parametrize(
    ("system", "peak", "max_connections"),
    [
        # 3 + 1 web pods with 30 each, 20 + 6 worker processes, beat. A server as installed has 97 for them.
        ("storebridge", 147, 187),
        # connection_limit=20, twice.
        ("stockboom", 40, None),
        ("autoclip", 214, 271),
        ("duly", 0, None),
        # 4 processes with 16 threads, and the background.
        ("excelapp", 71, None),
    ],
)
def test_pools(system: str, peak: int, max_connections: int | None, inventories: Inventories) -> None:
    installed = {"max": 100, "usable": 97}
    found = pool_budget(inventories[system][HOSTS[system][0]]["postgresql_pools"], installed)
    assert (found["peak"], found["fitting_max_connections"]) == (peak, max_connections)
    assert found["incomplete"] == []


# --- who is never ended
@pytest.mark.parametrize(
    ("system", "users"),
    [
        ("autoclip", {"rdsadmin"}),
        ("duly", {"supabase_*", "authenticator"}),
        ("storebridge", {"postgres"}),
    ],
)
def test_the_platforms_own_sessions_are_protected(system: str, users: set[str], inventories: Inventories) -> None:
    for variables in inventories[system].values():
        assert users <= set(variables["incident_response_protect_users"])


@pytest.mark.parametrize("system", SYSTEMS)
def test_maintenance_ends_no_pooled_session(system: str, inventories: Inventories) -> None:
    """Idle is what a pool's connections are; the manuals end them, and often those of all databases."""
    for variables in inventories[system].values():
        criteria = variables["postgresql_maintenance_session_criteria"]
        assert criteria["session_state"] == ["idle_in_transaction", "idle_in_transaction_aborted"]
        assert criteria["database"] == [variables["postgresql_login_db"]]
        assert criteria["min_state_age"] == "30m"
        assert variables["postgresql_maintenance_session_max"] == 5


@pytest.mark.parametrize("system", SYSTEMS)
def test_backups_are_protected(system: str, inventories: Inventories) -> None:
    for variables in inventories[system].values():
        assert {"pg_dump", "pg_restore"} <= set(variables["incident_response_protect_applications"])
