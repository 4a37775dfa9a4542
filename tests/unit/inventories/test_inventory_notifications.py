"""Who is told of the five systems: every route can be meant, and nobody is told while nothing is set."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml
from lab.paths import REPOSITORY

from ansible_collections.runbook.ops.plugins.filter.notification_plan import notification_plan
from ansible_collections.runbook.ops.plugins.plugin_utils.findings import finding

SYSTEMS = sorted(path.parents[2].name for path in REPOSITORY.glob("inventories/*/group_vars/all/notification.yml"))
MONDAY = "2026-05-04T02:00:00Z"  # 11:00 in Seoul
LOOKUP = re.compile(r"\{\{ lookup\('ansible.builtin.env', '(\w+)'(?:, default='[^']*')?\) \}\}")


def given(system: str, *, is_set: bool) -> dict[str, Any]:
    path = REPOSITORY / "inventories" / system / "group_vars" / "all" / "notification.yml"
    text, secrets = LOOKUP.subn("https://set.example.com/x" if is_set else "", path.read_text(encoding="utf-8"))
    assert secrets
    found: dict[str, Any] = yaml.safe_load(text)
    return found


def test_all_systems() -> None:
    assert SYSTEMS == ["autoclip", "duly", "excelapp", "stockboom", "storebridge"]


@pytest.mark.parametrize("system", SYSTEMS)
def test_routes(system: str) -> None:
    findings = [
        finding(f"http.{priority}", severity, "x", host="h", priority=priority, source="x")
        for priority, severity in (("P0", "critical"), ("P1", "critical"), ("P2", "warning"), ("P3", "unknown"))
    ]

    def told(is_set: bool) -> dict[str, Any]:
        variables = given(system, is_set=is_set)
        return notification_plan(
            findings, variables["notification_channels"], variables["notification_routes"],
            contacts=variables["notification_contacts"], reference_time=MONDAY,
        )  # fmt: skip

    unset = told(False)
    assert unset["messages"] == []
    assert set(unset["inactive"]) <= set(given(system, is_set=False)["notification_channels"])
    plan = told(True)
    assert plan["inactive"] == []
    reached = {
        rule for message in plan["messages"] for key in message["remembered"] for rule in re.findall(r"P\d", key)
    }
    assert reached == {"P0", "P1", "P2", "P3"}
    # The worst of all reaches more than one.
    assert len({message["channel"] for message in plan["messages"] if "http.P0" in str(message["remembered"])}) >= (
        1 if system == "stockboom" else 2
    )
