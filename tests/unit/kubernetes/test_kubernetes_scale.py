"""What scaling a workload takes, case by case."""

from __future__ import annotations

import json
from typing import Any, cast

import pytest

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import RunbookError
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.errors import ClusterError
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.memory import PARKED, SCALED
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.parking import Plan, Writer
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.scale_plan import Wish, plan_restore, plan_scale
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.scaled import Scaled
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.scaling import (
    HPA,
    KEDA,
    KEDA_PAUSED,
    KEDA_STOPPED,
    Autoscaler,
    Target,
)


def document(annotations: dict[str, Any] | None = None, **spec: Any) -> Any:
    texts = {name: each if isinstance(each, str) else json.dumps(each) for name, each in (annotations or {}).items()}
    return {
        "metadata": {"name": "web", "namespace": "shop", "resourceVersion": "41", "annotations": texts},
        "spec": spec,
    }


def writer(replicas: int, *scalers: Autoscaler, **annotations: Any) -> Writer:
    return Writer(Target("deployment", "web"), document(annotations, replicas=replicas), scalers)


def hpa(low: int, high: int, memory: dict[str, Any] | None = None) -> Autoscaler:
    return Autoscaler(HPA, document({SCALED: memory} if memory else {}, minReplicas=low, maxReplicas=high))


def keda(low: int | None, high: int | None, **annotations: Any) -> Autoscaler:
    bounds = {name: each for name, each in (("minReplicaCount", low), ("maxReplicaCount", high)) if each is not None}
    return Autoscaler(KEDA, document(annotations, **bounds))


def told(plan: Plan) -> list[tuple[str, str, str, Any]]:
    """The object, what it was and becomes, and the fields that are sent."""
    return [(each.kind, each.was, each.becomes, each.patch.get("spec")) for each in plan.steps]


@pytest.mark.parametrize(
    ("found", "wish", "steps"),
    [
        (writer(2), Wish(5, None, 9), [("deployment", "2 replicas", "5 replicas", {"replicas": 5})]),
        (writer(5), Wish(5, None, 9), []),
        # Only what differs is sent.
        (
            writer(2, hpa(2, 10)),
            Wish(5, None, 9),
            [("horizontalpodautoscaler", "2 to 10 replicas", "5 to 10 replicas", {"minReplicas": 5})],
        ),
        (
            writer(2, hpa(2, 4)),
            Wish(2, 6, 9),
            [("horizontalpodautoscaler", "2 to 4 replicas", "2 to 6 replicas", {"maxReplicas": 6})],
        ),
        (writer(2, hpa(2, 4)), Wish(2, None, 9), []),
        (
            writer(2, keda(None, 4)),
            Wish(3, 5, 9),
            [
                (
                    "scaledobject",
                    "no lower bound to 4 replicas",
                    "3 to 5 replicas",
                    {"minReplicaCount": 3, "maxReplicaCount": 5},
                )
            ],
        ),
    ],
)
def test_scaling(found: Writer, wish: Wish, steps: list[Any]) -> None:
    plan = plan_scale(found, wish)
    assert plan.refusal is None
    assert told(plan) == steps


@pytest.mark.parametrize(
    ("found", "wish", "reason"),
    [
        (writer(2, **{PARKED: {"replicas": 3}}), Wish(5, None, 9), "it is parked"),
        (writer(0), Wish(5, None, 9), "it has no replicas"),
        (
            writer(2, hpa(1, 4), keda(1, 4)),
            Wish(5, None, 9),
            "several autoscalers work against each other on it (horizontalpodautoscaler/web, scaledobject/web)",
        ),
        (writer(2, keda(1, 4, **{KEDA_PAUSED: "2"})), Wish(5, None, 9), "scaledobject/web is paused at 2 replicas"),
        (writer(2, keda(1, 4, **{KEDA_PAUSED: "two"})), Wish(5, None, 9), "scaledobject/web is paused at 'two'"),
        (writer(2, keda(1, 4, **{KEDA_STOPPED: "true"})), Wish(5, None, 9), "scaledobject/web is paused"),
        (writer(2, keda(1, 9, **{KEDA_STOPPED: "false"})), Wish(5, None, 9), ""),
        # The ceiling is its owner's as long as it stays.
        (writer(2, hpa(1, 20)), Wish(5, None, 9), ""),
        (writer(2, hpa(1, 4)), Wish(5, 20, 9), "20 replicas are more than max_replicas_limit, which is 9"),
        (
            writer(2, hpa(1, 4)),
            Wish(5, None, 9, 10, 9),
            "1 more with 10 database connections each need 10, and 9 are free",
        ),
        # An autoscaler that may have them anyway needs no more connections than it could take before.
        (writer(2, hpa(1, 8)), Wish(5, None, 9, 10, 0), ""),
        (
            writer(2),
            Wish(5, None, 9, 10, None),
            "3 more with 10 database connections each need 30, and how many are free is not known",
        ),
        (writer(5), Wish(2, None, 9, 10, None), ""),
    ],
)
def test_limits(found: Writer, wish: Wish, reason: str) -> None:
    refusal = plan_scale(found, wish).refusal
    assert (refusal.reason if refusal else "") == reason


def test_the_first_of_several_changes_is_gone_back_to() -> None:
    known = {"former": {"minReplicas": 1, "maxReplicas": 4}, "set": {"minReplicas": 3, "maxReplicas": 4}}
    [step] = plan_scale(writer(3, hpa(3, 4, known)), Wish(6, None, 9)).steps
    kept = json.loads(step.patch["metadata"]["annotations"][SCALED])
    assert kept == {"former": known["former"], "set": {"minReplicas": 6, "maxReplicas": 6}}
    restored = plan_restore(writer(6, hpa(6, 6, kept)))
    assert told(restored) == [
        ("horizontalpodautoscaler", "6 to 6 replicas", "1 to 4 replicas", {"minReplicas": 1, "maxReplicas": 4})
    ]
    assert restored.steps[0].patch["metadata"]["annotations"] == {SCALED: None}
    changed = plan_restore(writer(6, hpa(6, 7, kept))).refusal
    assert changed is not None
    assert "somebody has changed it since" in changed.reason


def test_a_bound_that_was_not_there_is_not_there_again() -> None:
    known = {
        "former": {"minReplicaCount": None, "maxReplicaCount": 4},
        "set": {"minReplicaCount": 3, "maxReplicaCount": 4},
    }
    [step] = plan_restore(writer(3, keda(3, 4, **{SCALED: known}))).steps
    assert step.patch["spec"] == {"minReplicaCount": None}
    assert plan_restore(writer(3, keda(3, 4))) == Plan()


@pytest.mark.parametrize("memory", [{"former": 2}, {"set": {"replicas": 2}}, {"former": {"replicas": 2}, "set": None}])
def test_a_memory_that_somebody_edited(memory: dict[str, Any]) -> None:
    with pytest.raises(RunbookError, match=r"annotation runbook-ops.github.io/scaled of .* cannot be read"):
        plan_restore(writer(2, **{SCALED: memory}))


def test_a_memory_of_another_object_is_not_put_back() -> None:
    copied = {"former": {"minReplicas": 1, "maxReplicas": 4}, "set": {"replicas": 2}}
    assert plan_restore(writer(2, **{SCALED: copied})).refusal is not None


def test_a_webhook_that_does_not_rehearse_is_no_refusal() -> None:
    """The API server says no to every dry run then; another no counts."""
    said = ['admission webhook "vpolicy.example.com" does not support dry run', "exceeded quota"]

    class Server:
        def patch(self, *_: Any, dry_run: bool) -> None:
            assert dry_run
            raise ClusterError(said.pop(0), "refused", 400)

    scaled = Scaled(cast(Any, Server()), "shop", "refuse")
    steps = plan_scale(writer(2), Wish(5, None, 9)).steps
    scaled.rehearse(steps)
    assert "Deployment shop/web is not known before: admission webhook" in scaled.warnings[0]
    with pytest.raises(ClusterError, match="exceeded quota"):
        scaled.rehearse(steps)
