"""The systems' inventories as they are written: one shape, no secrets, and one duration for one kind of rows."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from lab.paths import REPOSITORY

from ansible_collections.runbook.ops.plugins.module_utils.postgresql.retention.keep import parse_keep
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.retention.policy import parse_policies

SYSTEMS = sorted(path.parent.name for path in REPOSITORY.glob("inventories/*/hosts.yml"))
POSTGRESQL = (
    "check_postgresql",
    "data_retention",
    "incident_response",
    "pools",
    "postgresql_maintenance",
)


def load(system: str, *parts: str) -> dict[str, Any]:
    path = REPOSITORY.joinpath("inventories", system, *parts)
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def variables(system: str, name: str) -> dict[str, Any]:
    return load(system, "group_vars", "postgresql", f"{name}.yml")


@pytest.mark.parametrize("system", SYSTEMS)
def test_all_have_one_shape(system: str) -> None:
    groups = REPOSITORY / "inventories" / system / "group_vars"
    assert {path.stem for path in (groups / "all").glob("*.yml")} >= {"credentials", "main"}
    assert {path.stem for path in (groups / "postgresql").glob("*.yml")} == set(POSTGRESQL)
    for path in Path(groups).rglob("*.yml"):
        assert path.read_text(encoding="utf-8").startswith("---\n"), path


@pytest.mark.parametrize("system", SYSTEMS)
def test_secrets_come_from_the_environment(system: str) -> None:
    found = {
        name: value
        for name, value in load(system, "group_vars", "all", "credentials.yml").items()
        if re.search("password|token|key", name)
    }
    assert {"postgresql_login_password", "postgresql_admin_password"} <= set(found)
    for name, value in found.items():
        wanted = rf"\{{\{{ lookup\('ansible\.builtin\.env', '{system.upper()}_[A-Z0-9_]+'\) \}}\}}"
        assert re.fullmatch(wanted, value), name


@pytest.mark.parametrize("system", SYSTEMS)
def test_policies_can_be_read(system: str) -> None:
    policies = parse_policies(variables(system, "data_retention")["data_retention_policies"])
    assert [policy.destroys for policy in policies if policy.require_archive] == [False] * sum(
        policy.require_archive for policy in policies
    )


# What the daily check counts as overdue, by the policy that is to remove it: (query, parameter, policy).
COUNTED = {
    "storebridge": [("jobs_overdue", "keep", "jobs"), ("audit_logs_overdue", "keep", "audit_logs")],
    "stockboom": [
        ("overdue", "candles", "candles_1m"),
        ("overdue", "notifications", "notifications_read"),
        ("overdue", "trades", "trades_cancelled"),
    ],
    "autoclip": [],
    "duly": [],
    "excelapp": [("overdue", "usage", "ai_usage_records"), ("overdue", "messages", "chat_messages")],
}


@pytest.mark.parametrize("system", SYSTEMS)
def test_what_is_counted_as_overdue_is_what_the_policies_remove(system: str) -> None:
    queries = {
        query["name"]: query for query in variables(system, "check_postgresql").get("check_postgresql_queries", [])
    }
    policies = {
        policy.name: policy for policy in parse_policies(variables(system, "data_retention")["data_retention_policies"])
    }
    for query, parameter, name in COUNTED[system]:
        assert policies[name].keep == parse_keep(queries[query]["parameters"][parameter]), name
