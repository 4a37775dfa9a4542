"""What parking and bringing back take, case by case."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption, RunbookError
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.memory import PARKED
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.parking import (
    Plan,
    Writer,
    plan_park,
    plan_unpark,
    stage_of,
)
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.scaling import (
    HPA,
    KEDA,
    KEDA_PAUSED,
    Autoscaler,
    Target,
    autoscalers_of,
    target_of,
)

NOW = "2026-01-31T08:00:00Z"


def document(annotations: dict[str, str] | None = None, memory: dict[str, Any] | None = None, **spec: Any) -> Any:
    kept = {**(annotations or {}), **({PARKED: json.dumps(memory)} if memory else {})}
    return {
        "metadata": {"name": "web", "namespace": "shop", "resourceVersion": "41", "annotations": kept},
        "spec": spec,
    }


def writer(replicas: int | None, memory: dict[str, Any] | None = None, *scalers: Autoscaler) -> Writer:
    return Writer(Target("deployment", "web"), document(memory=memory, replicas=replicas), scalers)


def hpa(low: int | None, high: int, memory: dict[str, Any] | None = None) -> Autoscaler:
    return Autoscaler(HPA, document(memory=memory, minReplicas=low, maxReplicas=high))


def keda(paused: str | None = None, memory: dict[str, Any] | None = None) -> Autoscaler:
    return Autoscaler(KEDA, document({KEDA_PAUSED: paused} if paused else {}, memory))


def told(plan: Plan) -> list[str]:
    return [f"{each.action} {each.kind}: {each.was} -> {each.becomes}" for each in plan.shown]


def memories(plan: Plan) -> list[Any]:
    """What each patch does to the memory: nothing is C(-), None forgets it."""
    steps = [*plan.steps, *([plan.ending] if plan.ending else [])]
    found = [each.patch["metadata"].get("annotations", {}).get(PARKED, "-") for each in steps]
    return [each if each in (None, "-") else without_set({**json.loads(each), "at": ""}) for each in found]


def without_set(memory: dict[str, Any]) -> dict[str, Any]:
    """What autoscalers were set to is in a test of its own."""
    return {name: value for name, value in memory.items() if name != "set"}


@pytest.mark.parametrize(
    ("found", "actions", "kept"),
    [
        (writer(4), ["park deployment: 4 replicas -> 0 replicas"], [{"at": "", "replicas": 4}]),
        # What does not say how many it has, has one.
        (writer(None), ["park deployment: 1 replica -> 0 replicas"], [{"at": "", "replicas": 1}]),
        # Parked already: not a byte. A zero would be remembered otherwise.
        (writer(0, {"replicas": 4}), [], []),
        # In the middle of coming back: the memory of four stays.
        (writer(2, {"replicas": 4}), ["park deployment: 2 replicas -> 0 replicas"], ["-"]),
        # More than were remembered: a deployment meanwhile, or a rollback to a ReplicaSet with an old annotation.
        (
            writer(6, {"replicas": 4}),
            ["park deployment: 6 replicas -> 0 replicas"],
            [{"at": "", "replicas": 6}],
        ),
        (writer(0), ["park deployment: 0 replicas -> 0 replicas"], [{"at": "", "replicas": 0}]),
        # Kubernetes itself disables an autoscaler at 0 replicas, but not one that may go to 0.
        (writer(4, None, hpa(2, 10)), ["park deployment: 4 replicas -> 0 replicas"], [{"at": "", "replicas": 4}]),
        (
            writer(4, None, hpa(0, 10)),
            [
                "limit_autoscaler horizontalpodautoscaler: 0 to 10 -> 1 to 10",
                "park deployment: 4 replicas -> 0 replicas",
            ],
            [{"at": "", "minReplicas": 0, "maxReplicas": 10}, {"at": "", "replicas": 4}],
        ),
        (
            writer(4, None, keda()),
            ["limit_autoscaler scaledobject: not paused -> paused at 0", "park deployment: 4 replicas -> 0 replicas"],
            [{"at": "", "paused-replicas": None}, {"at": "", "replicas": 4}],
        ),
        # Killed between the two.
        (
            writer(4, None, keda("0", {"paused-replicas": "7"})),
            ["park deployment: 4 replicas -> 0 replicas"],
            [{"at": "", "replicas": 4}],
        ),
    ],
)
def test_parking(found: Writer, actions: list[str], kept: list[Any]) -> None:
    plan = plan_park(found, NOW)
    assert (told(plan), memories(plan)) == (actions, kept)
    assert all(each.patch["metadata"]["resourceVersion"] == "41" for each in plan.steps)


@pytest.mark.parametrize(
    ("found", "stage", "actions", "kept"),
    [
        (writer(0, {"replicas": 4}), "1", ["unpark deployment: 0 replicas -> 1 of 4 replicas"], ["-"]),
        (writer(1, {"replicas": 4}), "1", [], []),
        (writer(1, {"replicas": 3}), "50%", ["unpark deployment: 1 replica -> 2 of 3 replicas"], ["-"]),
        (writer(0, {"replicas": 4}), "1%", ["unpark deployment: 0 replicas -> 1 of 4 replicas"], ["-"]),
        # A number never ends it, however large.
        (writer(0, {"replicas": 4}), "9", ["unpark deployment: 0 replicas -> 4 replicas"], ["-"]),
        (writer(0, {"replicas": 4}), "100%", ["unpark deployment: 0 replicas -> 4 replicas"], ["-", None]),
        (writer(4, {"replicas": 4}), "100%", ["unpark deployment: 4 replicas, parked -> 4 replicas"], [None]),
        # Somebody has started more meanwhile: never fewer.
        (writer(6, {"replicas": 4}), "100%", ["unpark deployment: 6 replicas, parked -> 6 replicas"], [None]),
        (writer(0, {"replicas": 0}), "100%", ["unpark deployment: 0 replicas, parked -> 0 replicas"], [None]),
        (writer(3), "100%", [], []),
        # An autoscaler must not run away beyond the stage, nor pull it up to its lower bound.
        (
            writer(0, {"replicas": 4}, hpa(2, 10)),
            "1",
            [
                "limit_autoscaler horizontalpodautoscaler: 2 to 10 -> 1 to 1",
                "unpark deployment: 0 replicas -> 1 of 4 replicas",
            ],
            [{"at": "", "minReplicas": 2, "maxReplicas": 10}, "-"],
        ),
        (
            writer(1, {"replicas": 4}, hpa(1, 1, {"minReplicas": 2, "maxReplicas": 10})),
            "50%",
            [
                "limit_autoscaler horizontalpodautoscaler: 1 to 1 -> 2 to 2",
                "unpark deployment: 1 replica -> 2 of 4 replicas",
            ],
            [{"at": "", "minReplicas": 2, "maxReplicas": 10}, "-"],
        ),
        # Its bounds come first: the limit of the last stage would take the replicas away again.
        (
            writer(2, {"replicas": 4}, hpa(2, 2, {"minReplicas": 2, "maxReplicas": 10})),
            "100%",
            [
                "release_autoscaler horizontalpodautoscaler: 2 to 2 -> 2 to 10",
                "unpark deployment: 2 replicas -> 4 replicas",
            ],
            [None, "-", None],
        ),
        (
            writer(0, {"replicas": 4}, keda("0", {"paused-replicas": None})),
            "1",
            [
                "limit_autoscaler scaledobject: paused at 0 -> paused at 1",
                "unpark deployment: 0 replicas -> 1 of 4 replicas",
            ],
            [{"at": "", "paused-replicas": None}, "-"],
        ),
        (
            writer(4, {"replicas": 4}, keda("4", {"paused-replicas": "7"})),
            "100%",
            [
                "release_autoscaler scaledobject: paused at 4 -> paused at 7",
                "unpark deployment: 4 replicas, parked -> 4 replicas",
            ],
            [None, None],
        ),
        # Parking was killed after the first of its two patches.
        (
            writer(4, None, keda("0", {"paused-replicas": None})),
            "1",
            ["release_autoscaler scaledobject: paused at 0 -> not paused"],
            [None],
        ),
    ],
)
def test_bringing_back(found: Writer, stage: str, actions: list[str], kept: list[Any]) -> None:
    plan = plan_unpark(found, stage_of(stage), NOW)
    assert (told(plan), memories(plan)) == (actions, kept)


def test_without_waiting_one_patch_starts_and_forgets() -> None:
    plan = plan_unpark(writer(0, {"replicas": 4}), stage_of("100%"), NOW, waits=False)
    assert (told(plan), memories(plan)) == (["unpark deployment: 0 replicas -> 4 replicas"], [None])


def test_what_nobody_remembers_is_refused_until_it_is_said() -> None:
    plan = plan_unpark(writer(0), stage_of("100%"), NOW)
    assert plan.refusal is not None
    assert plan.refusal.reason.startswith("it has no replicas, and was not parked by this module")
    assert plan.refusal.remedy == 'Say how many with replicas: {"deployment/web": 3}, or leave it out.'
    plan = plan_unpark(writer(0), stage_of("1"), NOW, named=3)
    assert memories(plan) == [{"at": "", "replicas": 3}]
    assert told(plan) == ["unpark deployment: 0 replicas -> 1 of 3 replicas"]
    # What is remembered is not changed by a number.
    plan = plan_unpark(writer(0, {"replicas": 4}), stage_of("100%"), NOW, named=9)
    assert told(plan) == ["unpark deployment: 0 replicas -> 4 replicas"]


def test_bounds_that_somebody_has_set_since_are_kept() -> None:
    limited = plan_unpark(writer(0, {"replicas": 4}, hpa(2, 10)), stage_of("1"), NOW).steps[0]
    kept = json.loads(limited.patch["metadata"]["annotations"][PARKED])
    assert kept["set"] == {"minReplicas": 1, "maxReplicas": 1}
    assert limited.patch["spec"] == {"minReplicas": 1, "maxReplicas": 1}
    # A deployment brings an autoscaler with other bounds: they come back, and not those before it.
    deployed = writer(1, {"replicas": 4}, hpa(3, 20, kept))
    plan = plan_unpark(deployed, stage_of("50%"), NOW)
    assert memories(plan)[0] == {"at": "", "minReplicas": 3, "maxReplicas": 20}
    assert told(plan)[0] == "limit_autoscaler horizontalpodautoscaler: 3 to 20 -> 2 to 2"
    released = plan_unpark(deployed, stage_of("100%"), NOW)
    assert told(released)[0] == "release_autoscaler horizontalpodautoscaler: 3 to 20 -> 3 to 20"
    # Somebody has taken the pause of KEDA away.
    plan = plan_unpark(
        writer(1, {"replicas": 4}, keda(None, {"paused-replicas": "7", "set": {"paused-replicas": "1"}})),
        stage_of("100%"),
        NOW,
    )
    assert told(plan)[0] == "release_autoscaler scaledobject: not paused -> not paused"


def test_what_comes_to_an_end_is_said() -> None:
    assert plan_park(writer(4), NOW).note == (
        "deployment/web: what its pods do is cut off after 30 seconds (terminationGracePeriodSeconds)."
    )
    long = {"spec": {"terminationGracePeriodSeconds": 600}}
    found = Writer(Target("deployment", "web"), document(replicas=4, template=long))
    assert "cut off after 600 seconds" in plan_park(found, NOW).note
    said = plan_unpark(cronjob(True, {"suspend": False}), stage_of("100%"), NOW).note
    assert said.startswith("cronjob/web: Kubernetes starts a job at once if one was due while it was suspended")
    assert plan_unpark(cronjob(True, {"suspend": True}), stage_of("100%"), NOW).note == ""


def cronjob(suspend: bool | None, memory: dict[str, Any] | None = None) -> Writer:
    return Writer(Target("cronjob", "web"), document(memory=memory, suspend=suspend))


def test_cronjobs() -> None:
    assert told(plan_park(cronjob(None), NOW)) == ["park cronjob: active -> suspended"]
    assert memories(plan_park(cronjob(True), NOW)) == [{"at": "", "suspend": True}]
    assert told(plan_park(cronjob(True, {"suspend": False}), NOW)) == []
    assert told(plan_unpark(cronjob(True, {"suspend": False}), stage_of("50%"), NOW)) == []
    assert told(plan_unpark(cronjob(True, {"suspend": False}), stage_of("100%"), NOW)) == [
        "unpark cronjob: suspended -> active"
    ]
    # It was suspended before.
    assert told(plan_unpark(cronjob(True, {"suspend": True}), stage_of("100%"), NOW)) == [
        "unpark cronjob: suspended -> suspended"
    ]
    assert plan_unpark(cronjob(True), stage_of("100%"), NOW).refusal is not None
    assert plan_unpark(cronjob(False), stage_of("100%"), NOW) == Plan()


@pytest.mark.parametrize("text", ["0", "0%", "101%", "-1", "half", "", "1.5"])
def test_stages_that_are_none(text: str) -> None:
    with pytest.raises(InvalidOption) as raised:
        stage_of(text)
    assert raised.value.message.startswith(f"stage: {text!r} is not accepted. Accepted: a number of replicas such as 1")


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("web", Target("deployment", "web")),
        ("StatefulSet/db", Target("statefulset", "db")),
        ("daemonset/agent", None),
        ("deployment/", None),
        ("a/b/c", None),
    ],
)
def test_names(text: str, target: Target | None) -> None:
    if target is None:
        with pytest.raises(InvalidOption, match=r"workloads: .* is not accepted"):
            target_of(text, "workloads")
    else:
        assert target_of(text, "workloads") == target


def test_a_memory_that_somebody_edited() -> None:
    found = Writer(Target("deployment", "web"), document({PARKED: "three"}, replicas=0))
    with pytest.raises(RunbookError, match=r"annotation runbook-ops.github.io/parked of .* cannot be read"):
        plan_park(found, NOW)


@pytest.mark.parametrize("memory", [{"at": NOW}, {"replicas": "4"}, {"replicas": -1}, {"replicas": True}])
def test_a_memory_without_a_number(memory: dict[str, Any]) -> None:
    for plan in (
        lambda: plan_park(writer(0, memory), NOW),
        lambda: plan_unpark(writer(0, memory), stage_of("1"), NOW),
        lambda: plan_unpark(writer(1, {"replicas": 2}, hpa(1, 1, memory)), stage_of("1"), NOW),
    ):
        with pytest.raises(RunbookError, match=r"annotation runbook-ops.github.io/parked of .* cannot be read"):
            plan()


def test_the_autoscaler_that_keda_makes_is_not_counted_twice() -> None:
    reference = {"scaleTargetRef": {"kind": "Deployment", "name": "web"}}
    made = {"metadata": {"name": "keda-hpa-web", "ownerReferences": [{"kind": "ScaledObject"}]}, "spec": reference}
    own = {"metadata": {"name": "web"}, "spec": reference}
    other = {"metadata": {"name": "api"}, "spec": {"scaleTargetRef": {"kind": "Deployment", "name": "api"}}}
    found = autoscalers_of(
        Target("deployment", "web"), [made, other], [{**own, "spec": {"scaleTargetRef": {"name": "web"}}}]
    )
    assert [each.key for each in found] == ["scaledobject/web"]


def test_what_was_stopped_for_something_else_stays_so() -> None:
    ours, others = {"replicas": 4, "purpose": "restore"}, {"replicas": 4}
    assert memories(plan_park(writer(4), NOW, "restore")) == [{"at": "", "purpose": "restore", "replicas": 4}]
    assert told(plan_park(writer(0, others), NOW, "restore")) == []
    assert told(plan_unpark(writer(0, ours), stage_of("100%"), NOW, purpose="restore")) == [
        "unpark deployment: 0 replicas -> 4 replicas"
    ]
    for stopped in (writer(0, others), writer(0)):
        plan = plan_unpark(stopped, stage_of("100%"), NOW, purpose="restore")
        assert (told(plan), plan.refusal) == ([], None)
        assert plan.note == "deployment/web stays as it is: it was stopped before, for something else."
    # Without a purpose everything comes back.
    assert told(plan_unpark(writer(0, ours), stage_of("100%"), NOW)) == ["unpark deployment: 0 replicas -> 4 replicas"]
    # One of four runs again: parking it would forget how far it had come.
    refused = plan_park(writer(1, others), NOW, "restore").refusal
    assert refused is not None
    assert refused.reason == "it was parked for something else, and is on its way back in stages"
