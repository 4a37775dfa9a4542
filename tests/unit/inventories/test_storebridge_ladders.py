"""StoreBridge's thresholds: one ladder for one figure, wherever it is measured."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from lab.paths import REPOSITORY

GROUPS = REPOSITORY / "inventories" / "storebridge" / "group_vars"


def variables(group: str, role: str) -> dict[str, Any]:
    return yaml.safe_load((GROUPS / group / f"{role}.yml").read_text(encoding="utf-8"))


def rule(rules: list[dict[str, Any]], rule_id: str) -> dict[str, Any]:
    return next(each for each in rules if each["id"] == rule_id)


def ladder(each: dict[str, Any]) -> tuple[str, ...]:
    """Both steps without units: 85 % and 85 are one number."""
    return tuple(each[step].replace("%", "").strip() for step in ("warning", "critical"))


METRICS = variables("prometheus", "check_metrics")["check_metrics_extra_rules"]
QUEUES = variables("redis", "check_queues")["check_queues_rule_overrides"]
BUSINESS = variables("postgresql", "check_postgresql")["check_postgresql_query_rules"]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (rule(METRICS, "metrics.queue_depth"), QUEUES["queue.backlog"]),
        (rule(METRICS, "metrics.success_rate"), rule(BUSINESS, "business.registration_success")),
    ],
    ids=["queue depth", "success rate"],
)
def test_one_figure_has_one_ladder(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert ladder(one) == ladder(other)
    assert one["priority"] == other["priority"]


@pytest.mark.parametrize(
    ("rule_id", "expected"),
    [
        ("metrics.latency_p95", ("> 2 s", "> 5 s")),
        ("metrics.error_rate", ("> 1", "> 5")),
        ("metrics.success_rate", ("< 85", "< 70")),
        ("metrics.queue_depth", ("> 1000", "> 5000")),
        ("metrics.naver_limit", ("< 20", "< 10")),
    ],
)
def test_the_ladder_runs_from_the_daily_target_to_the_most_urgent_alert(
    rule_id: str, expected: tuple[str, str]
) -> None:
    assert ladder(rule(METRICS, rule_id)) == expected
