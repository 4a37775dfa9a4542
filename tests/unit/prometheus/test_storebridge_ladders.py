"""StoreBridge's ladders: one a figure, at its steps and just beyond them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.runbook.ops.plugins.plugin_utils.judging.judge import judge

INVENTORY = Path(__file__).resolve().parents[3] / "inventories" / "storebridge" / "group_vars"


def rules(path: str, name: str) -> list[dict[str, Any]]:
    return yaml.safe_load((INVENTORY / path).read_text(encoding="utf-8"))[name]


def severity(path: str, variable: str, rule: str, facts: dict[str, Any]) -> tuple[str, str | None]:
    [found] = [each for each in judge(facts, rules(path, variable)) if each["id"] == rule]
    return found["severity"], found["priority"]


@pytest.mark.parametrize(
    ("name", "rule", "steps"),
    [
        (
            "latency_p95",
            "metrics.latency_p95",
            {2: ("ok", None), 2.01: ("warning", "P2"), 5: ("warning", "P2"), 5.01: ("critical", "P1")},
        ),
        (
            "error_percent",
            "metrics.error_rate",
            {1: ("ok", None), 1.1: ("warning", "P2"), 5: ("warning", "P2"), 5.1: ("critical", "P0")},
        ),
        (
            "success_percent",
            "metrics.success_rate",
            {85: ("ok", None), 84.9: ("warning", "P2"), 70: ("warning", "P2"), 69.9: ("critical", "P1")},
        ),
        (
            "queue_depth",
            "metrics.queue_depth",
            {1000: ("ok", None), 1001: ("warning", "P2"), 5000: ("warning", "P2"), 5001: ("critical", "P1")},
        ),
        (
            "naver_limit_percent",
            "metrics.naver_limit",
            {20: ("ok", None), 19: ("warning", "P2"), 9.9: ("critical", "P2")},
        ),
        ("request_rate", "metrics.request_rate", {500: ("ok", None), 501: ("warning", "P2")}),
        ("latency_p99", "metrics.latency_p99", {99: ("ok", None), None: ("unknown", None)}),
        ("error_percent", "metrics.error_rate", {None: ("unknown", "P2")}),
    ],
)
def test_metrics(name: str, rule: str, steps: dict[Any, Any]) -> None:
    found = {
        value: severity(
            "prometheus/check_metrics.yml",
            "check_metrics_extra_rules",
            rule,
            {"available": True, "values": {name: value}},
        )
        for value in steps
    }
    assert found == steps


@pytest.mark.parametrize(
    ("name", "rule", "steps"),
    [
        (
            "latency_change_percent",
            "metrics.latency_change",
            {20: "ok", 21: "warning", 51: "critical", None: "unknown"},
        ),
        ("error_difference_percent", "metrics.error_change", {0.5: "ok", 0.6: "warning", 2.1: "critical", -3: "ok"}),
        ("success_difference_percent", "metrics.success_change", {-5: "ok", -6: "warning", -16: "critical", 4: "ok"}),
    ],
)
def test_week_over_week(name: str, rule: str, steps: dict[Any, str]) -> None:
    variable = "review_weekly_metrics_rules"
    found = {
        value: severity("prometheus/check_metrics.yml", variable, rule, {"values": {name: value}})[0] for value in steps
    }
    assert found == steps


@pytest.mark.parametrize(
    ("name", "steps"),
    [
        ("database_connection", {0: "ok", 1: "warning", 11: "critical"}),
        ("redis_timeout", {0: "ok", 1: "warning", 11: "critical"}),
        # Now and then is how a limiter works.
        ("rate_limit", {10: "ok", 11: "warning", 101: "critical"}),
        ("naver_5xx", {5: "ok", 6: "warning", 51: "critical"}),
        ("other_errors", {20: "ok", 21: "warning", 201: "critical", None: "unknown"}),
    ],
)
def test_logs(name: str, steps: dict[Any, str]) -> None:
    found = {
        value: severity("logs/check_logs.yml", "check_logs_extra_rules", f"logs.{name}", {"values": {name: value}})[0]
        for value in steps
    }
    assert found == steps


def test_every_query_has_a_rule() -> None:
    for path, prefix in (("prometheus/check_metrics.yml", "check_metrics"), ("logs/check_logs.yml", "check_logs")):
        asked = {each["name"] for each in rules(path, f"{prefix}_queries")}
        judged = {each["value"].split(".")[1] for each in rules(path, f"{prefix}_extra_rules")}
        assert asked == judged


def test_ladders_of_one_figure_are_not_written_twice() -> None:
    values = [each["value"] for each in rules("prometheus/check_metrics.yml", "check_metrics_extra_rules")]
    assert len(values) == len(set(values))
