"""The jobs that the labs of StockBoom and AutoClip plant, before any server holds them."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

import pytest
import yaml
from lab.autoclip import conditions as autoclip_conditions
from lab.autoclip import queues as autoclip
from lab.paths import REPOSITORY
from lab.planted import Condition
from lab.stockboom import conditions as stockboom_conditions
from lab.stockboom import queues as stockboom

NOW = datetime(2026, 3, 2, 0, 15, tzinfo=timezone.utc)
PLANTED = {"stockboom": stockboom_conditions, "autoclip": autoclip_conditions}


def test_the_expired_token_is_the_reason_on_top() -> None:
    planned = stockboom.plan("degraded", 1)
    assert list(planned.failures) == sorted(planned.failures, key=lambda reason: -planned.failures[reason])
    assert next(iter(planned.failures)) == stockboom.TOKEN
    assert planned.failures[stockboom.TOKEN] * 2 > planned.failed == 180
    assert planned.urgent < planned.failures[stockboom.TOKEN]


def test_sizes_multiply_what_nobody_counts_by_hand() -> None:
    small, large = (stockboom.plan("degraded", factor) for factor in (1, 20))
    assert large.failed == 20 * small.failed
    assert (large.held, large.held_up, large.flows) == (small.held, small.held_up, small.flows)
    assert autoclip.plan("degraded", 3).failed == 3 * autoclip.plan("degraded", 1).failed


@pytest.mark.parametrize("planned", [stockboom.plan("healthy", 1), autoclip.plan("healthy", 1)], ids=list(PLANTED))
def test_all_is_well(planned: Any) -> None:
    assert (planned.failed, planned.held, planned.worker_stays) == (0, 0, True)


def test_the_same_seed_gives_the_same_jobs_and_another_seed_others() -> None:
    def jobs(seed: int) -> list[Any]:
        made = stockboom.Producer(stockboom.plan("degraded", 1), seed, NOW)
        return [made.settled(), made.pending()]

    assert jobs(1) == jobs(1) != jobs(2)


def test_the_oldest_job_came_when_the_plan_says() -> None:
    made = stockboom.Producer(stockboom.plan("degraded", 1), 1, NOW)
    oldest = min(job["opts"]["timestamp"] for job in made.pending())
    assert NOW.timestamp() - oldest / 1000 == stockboom.OLDEST_SECONDS


def rule_ids(system: str) -> set[str]:
    """Every rule that roles and the system's inventory have."""
    found = set()
    for pattern in ("roles/*/defaults/main.yml", f"inventories/{system}/group_vars/*/*.yml"):
        for path in REPOSITORY.glob(pattern):
            for value in (yaml.safe_load(path.read_text(encoding="utf-8")) or {}).values():
                if isinstance(value, list):
                    found |= {each["id"] for each in value if isinstance(each, dict) and "id" in each}
    return found


@pytest.mark.parametrize("system", PLANTED)
def test_conditions_are_told_apart_and_name_rules_that_exist(system: str) -> None:
    planted: list[Condition] = PLANTED[system].CONDITIONS
    assert {each["finding_id"] for each in planted} <= rule_ids(system)
    keys = [each["key"] for each in planted]
    places = [(each["finding_id"], each["object"]) for each in planted]
    assert len(set(keys)) == len(keys)
    assert len(set(places)) == len(places)
    assert not set(keys) & set(PLANTED[system].TRAPS)
