"""Update strategies that keep pods from getting what is rolled out."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.held_back import (
    partly_held_back,
    why_nothing_changes,
)

SOME = "S has a partition of 2: its pods 0 to 1 stay as they are until that is lowered."


def workload(replicas: int | None = 3, **strategy: Any) -> dict[str, Any]:
    return {"spec": {"replicas": replicas, "updateStrategy": strategy}}


def partition(number: int, replicas: int | None = 3) -> dict[str, Any]:
    return workload(replicas, type="RollingUpdate", rollingUpdate={"partition": number})


@pytest.mark.parametrize(
    ("kind", "document", "why", "warning"),
    [
        ("statefulset", partition(0), None, None),
        ("statefulset", partition(1), None, "S has a partition of 1: its pod 0 stays as it is until that is lowered."),
        ("statefulset", partition(2), None, SOME),
        ("statefulset", partition(3), "its partition of 3 keeps all of its 3 pods as they are", None),
        ("statefulset", partition(1, None), "its partition of 1 keeps all of its 1 pods as they are", None),
        # Without pods there is nothing to hold back.
        ("statefulset", partition(3, 0), None, None),
        ("statefulset", workload(type="OnDelete"), "its update strategy is OnDelete", None),
        ("daemonset", workload(type="OnDelete"), "its update strategy is OnDelete", None),
        ("daemonset", workload(type="RollingUpdate", rollingUpdate={"maxUnavailable": 1}), None, None),
        ("deployment", {"spec": {"strategy": {"type": "Recreate"}}}, None, None),
    ],
)  # fmt: skip
def test_what_a_strategy_holds_back(kind: str, document: dict[str, Any], why: str | None, warning: str | None) -> None:
    found = why_nothing_changes(kind, document)
    assert (found and found[0], partly_held_back(kind, document, "S")) == (why, warning)
