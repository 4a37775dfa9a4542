"""Options of waiting that cannot work, and selectors against labels."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.labels import matches, selects
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.waiting import check_seconds

GOOD = {"wait_timeout": 600, "wait_sleep": 2, "settle": 0}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"wait_timeout": 0}, "wait_timeout: 0 is not accepted. Accepted: seconds from 1 to 86400"),
        ({"wait_timeout": 86401}, "wait_timeout: 86401 is not accepted"),
        ({"wait_sleep": 0}, "wait_sleep: 0 is not accepted. Accepted: seconds from 0.05 to 86400"),
        ({"settle": -1}, "settle: -1 is not accepted. Accepted: seconds from 0 to 86400"),
    ],
)
def test_seconds_that_cannot_work(options: dict[str, Any], message: str) -> None:
    check_seconds(GOOD, "settle")
    with pytest.raises(InvalidOption) as raised:
        check_seconds({**GOOD, **options}, "settle")
    assert message in raised.value.message


def test_an_option_may_take_longer() -> None:
    check_seconds({**GOOD, "settle": 100_000}, "settle", most=200_000)


@pytest.mark.parametrize(
    ("selector", "labels", "taken"),
    [
        ({"matchLabels": {"app": "web"}}, {"app": "web", "tier": "a"}, True),
        ({"matchLabels": {"app": "web"}}, {"app": "api"}, False),
        ({"matchExpressions": [{"key": "app", "operator": "In", "values": ["web"]}]}, {"app": "web"}, True),
        ({"matchExpressions": [{"key": "app", "operator": "NotIn", "values": ["web"]}]}, {}, True),
        ({"matchExpressions": [{"key": "app", "operator": "Exists"}]}, {}, False),
        ({"matchExpressions": [{"key": "app", "operator": "DoesNotExist"}]}, {}, True),
        # A workload's empty selector takes all of them, and a Service's takes none.
        ({}, {"app": "web"}, True),
    ],
)
def test_selectors(selector: dict[str, Any], labels: dict[str, str], taken: bool) -> None:
    assert matches(selector, labels) is taken
    assert selects({}, labels) is False
