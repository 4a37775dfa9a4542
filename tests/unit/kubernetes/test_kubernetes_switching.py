"""Whether a Service may be switched, what a copy of a Deployment looks like, and when the old side may go."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

import pytest

from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.copying import (
    COPY_OF,
    copy_of,
    patch_of,
    plan_copy,
    replicas_for,
)
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.switching import (
    Memory,
    companions,
    left_behind,
    memory_of,
    refusal_to_remove,
    refusal_to_switch,
    sides_of,
)

NOW = datetime(2026, 1, 31, 12, tzinfo=timezone.utc)


def deployment(colour: str, replicas: int = 2, **status: Any) -> dict[str, Any]:
    labels = {"app": "api", "version": colour}
    ports = [{"name": "http", "containerPort": 8080}]
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {
            "name": f"api-{colour}",
            "namespace": "shop",
            "uid": "7",
            "resourceVersion": "41",
            "generation": 1,
            "labels": {**labels, "argocd.argoproj.io/instance": "api"},
            "annotations": {
                "team": "api",
                "meta.helm.sh/release-name": "api",
                "deployment.kubernetes.io/revision": "3",
            },
        },
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {"containers": [{"name": "api", "image": "one", "ports": ports}]},
            },
        },
        "status": {
            "observedGeneration": 1,
            **dict.fromkeys(("replicas", "updatedReplicas", "readyReplicas", "availableReplicas"), replicas),
            **status,
        },
    }


def pods(colour: str, count: int, ready: bool = True, app: str = "api", **labels: str) -> list[dict[str, Any]]:
    status = {"conditions": [{"type": "Ready", "status": str(ready)}]}
    made = {"app": app, "version": colour, **labels}
    return [{"metadata": {"name": f"{colour}-{n}", "labels": made}, "status": status} for n in range(count)]


def service(
    colour: str = "blue", port: Any = "http", memory: Memory | None = None, name: str = "api"
) -> dict[str, Any]:
    annotations = {"runbook-ops.github.io/switch": memory.text()} if memory else {}
    return {
        "metadata": {"name": name, "namespace": "shop", "annotations": annotations},
        "spec": {"selector": {"app": "api", "version": colour}, "ports": [{"port": 80, "targetPort": port}]},
    }


GREEN = deployment("green")


@pytest.mark.parametrize(
    ("target", "found", "port", "min_ready", "reason"),
    [
        (GREEN, pods("green", 2), "http", 2, None),
        (GREEN, pods("green", 2), 8080, 2, None),
        (GREEN, [], "http", 1, "0 pods that match app=api,version=green are ready, and 1 are needed"),
        (GREEN, pods("green", 2, ready=False), "http", 1, "0 pods that match app=api,version=green are ready"),
        (GREEN, pods("green", 1), "http", 2, "1 pods that match app=api,version=green are ready, and 2 are needed"),
        (deployment("green", availableReplicas=1), pods("green", 2), "http", 1, "is not complete (2 of 2 updated, 1"),
        (GREEN, pods("green", 2), "web", 1, "the pods of Deployment api-green have no port named web"),
    ],
)
def test_switching(target: Any, found: Any, port: Any, min_ready: int, reason: str | None) -> None:
    refusal = refusal_to_switch(service(port=port), "version", "green", target, found, min_ready)
    assert (refusal is None) if reason is None else (refusal is not None and reason in refusal.reason)


def test_pods_of_somebody_else() -> None:
    target = deployment("green")
    target["spec"]["selector"] = {"matchLabels": {"app": "api", "tier": "web"}}
    refusal = refusal_to_switch(service(), "version", "green", target, pods("green", 2), 1)
    assert refusal is not None
    assert (
        refusal.reason
        == "app=api,version=green also matches pods that are not of Deployment api-green: green-0, green-1"
    )


def test_sides() -> None:
    other = deployment("green")
    other["spec"]["template"]["metadata"]["labels"] = {"app": "admin", "version": "green"}
    found = sides_of(service(), "version", [deployment("blue"), deployment("green"), other], pods("blue", 2))
    told = [(each["deployment"], each["value"], each["serving"], each["ready"]) for each in found]
    assert told == [("api-blue", "blue", True, 2), ("api-green", "green", False, 0)]


def test_companions() -> None:
    scaler = {
        "metadata": {"name": "api"},
        "spec": {"scaleTargetRef": {"kind": "Deployment", "name": "api-blue"}},
    }
    budget = {"metadata": {"name": "api"}, "spec": {"selector": {"matchLabels": {"app": "api", "version": "blue"}}}}
    blue = [deployment("blue")]
    assert "api-green is not scaled by itself: HorizontalPodAutoscaler api is about the other side only" in str(
        companions("HorizontalPodAutoscaler", blue, GREEN, [scaler])
    )
    assert "is not protected" in str(companions("PodDisruptionBudget", blue, GREEN, [budget]))
    both = {"metadata": {"name": "all"}, "spec": {"selector": {"matchLabels": {"app": "api"}}}}
    assert companions("PodDisruptionBudget", blue, GREEN, [budget, both]) is None
    assert companions("HorizontalPodAutoscaler", blue, GREEN, []) is None


def test_the_way_back_needs_ready_pods_and_nothing_else() -> None:
    short = deployment("green", 3, availableReplicas=1, readyReplicas=1)
    back = {"is_return": True}
    assert refusal_to_switch(service(port="web"), "version", "green", short, pods("green", 1), 1, **back) is None
    refusal = refusal_to_switch(service(), "version", "green", short, [], 1, **back)
    assert refusal is not None and "0 pods that match app=api,version=green are ready" in refusal.reason


def test_what_is_left_behind() -> None:
    scaler = {"metadata": {"name": "api"}, "spec": {"scaleTargetRef": {"kind": "Deployment", "name": "api-blue"}}}
    own = {"metadata": {"name": "blue"}, "spec": {"selector": {"matchLabels": {"app": "api", "version": "blue"}}}}
    both = {"metadata": {"name": "both"}, "spec": {"selector": {"matchLabels": {"app": "api"}}}}
    told = [each.split(" is about")[0] for each in left_behind(deployment("blue"), [scaler], [own, both])]
    assert told == ["HorizontalPodAutoscaler api", "PodDisruptionBudget blue"]
    assert left_behind(GREEN, [scaler], [own, both]) == []


def test_workers_of_the_same_colour_are_no_side() -> None:
    worker = deployment("blue")
    worker["spec"]["template"]["metadata"]["labels"] = {"app": "worker", "version": "blue"}
    found = service("green", memory=switched("kept"))
    refusal = refusal_to_remove(found, memory_of(found, "version"), worker, [found], keep_seconds=0, now=NOW)
    assert refusal is not None and "it is not the side that the last switch" in refusal.reason


def switched(state: str, at: str = "2026-01-31T10:00:00Z") -> Memory:
    return Memory("version", "blue", "green", at, state)


@pytest.mark.parametrize(
    ("serves", "memory", "old", "keep", "reason"),
    [
        ("green", switched("kept"), "blue", 3600, None),
        ("blue", switched("returned"), "green", 3600, None),
        ("green", switched("kept"), "blue", 86400, "was switched 7200 seconds ago, and it is kept for 86400 seconds"),
        ("green", switched("kept", "yesterday"), "blue", 1, "was switched at an unknown moment"),
        ("green", switched("soaking"), "blue", 0, "the switch to green is not confirmed yet, and this is the way back"),
        ("blue", switched("kept"), "blue", 0, "Service api sends to its pods"),
        ("green", None, "blue", 0, "Service api remembers no switch"),
        ("green", switched("kept"), "red", 0, "it is not the side that the last switch (blue to green) left"),
    ],
)
def test_removing(serves: str, memory: Memory | None, old: str, keep: float, reason: str | None) -> None:
    found = service(serves, memory=memory)
    refusal = refusal_to_remove(
        found, memory_of(found, "version"), deployment(old), [found], keep_seconds=keep, now=NOW
    )
    assert (refusal is None) if reason is None else (refusal is not None and reason in refusal.reason)


def test_a_copy_has_what_the_original_has_and_no_owner() -> None:
    blue = deployment("blue")
    made = copy_of(blue, "api-green", labels={"version": "green"}, images={"api": "two"}, replicas=3)
    assert made["metadata"] == {
        "name": "api-green",
        "namespace": "shop",
        "labels": {"app": "api", "version": "green"},
        "annotations": {"team": "api", COPY_OF: '"api-blue"'},
    }
    assert made["spec"]["selector"]["matchLabels"] == {"app": "api", "version": "green"}
    assert made["spec"]["template"]["spec"]["containers"][0]["image"] == "two"
    assert (made["spec"]["replicas"], "status" in made) == (3, False)
    assert blue["spec"]["template"]["spec"]["containers"][0]["image"] == "one"


def test_pods_of_a_copy_keep_away_from_each_other() -> None:
    def spread(colour: str) -> dict[str, Any]:
        away = {"topologyKey": "zone", "labelSelector": {"matchLabels": {"version": colour}}}
        others = {"topologyKey": "zone", "labelSelector": {"matchLabels": {"app": "cache", "version": "9"}}}
        affinity = {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [away, others]}}
        return {"affinity": affinity, "topologySpreadConstraints": [away]}

    blue = deployment("blue")
    blue["spec"]["template"]["spec"].update(spread("blue"))
    made = copy_of(blue, "api-green", labels={"version": "green"}, images={}, replicas=1)["spec"]["template"]["spec"]
    assert {key: made[key] for key in spread("green")} == spread("green")
    assert blue["spec"]["template"]["spec"]["affinity"] == spread("blue")["affinity"]


@pytest.mark.parametrize(
    ("share", "others", "replicas"), [(10, 3, 1), (10, 9, 1), (10, 10, 2), (50, 3, 3), (1, 0, 1), (90, 1, 9)]
)
def test_shares(share: float, others: int, replicas: int) -> None:
    assert replicas_for(share, others) == replicas


def test_plans_of_copies() -> None:
    wanted = copy_of(deployment("blue"), "api-green", labels={"version": "green"}, images={"api": "two"}, replicas=2)
    labels = {"source_labels": {"app": "api", "version": "blue"}}
    plain: dict[str, Any] = {**labels, "never_shrink": False, "must_not_serve": True, "keep_replicas": False}
    assert plan_copy(wanted, None, [], **plain).step == "create"
    there = {**wanted, "metadata": {**wanted["metadata"], "resourceVersion": "9"}}
    assert plan_copy(wanted, there, [], **plain).step == "nothing"
    more = {**there, "spec": {**wanted["spec"], "replicas": 5}}
    assert plan_copy(wanted, more, [], **plain).step == "update"
    assert plan_copy(wanted, more, [], **{**plain, "never_shrink": True}).step == "nothing"
    # An autoscaler's number is no lower limit, and no way to nobody.
    scaled = {**plain, "keep_replicas": True}
    assert plan_copy(wanted, more, [], **scaled).step == "nothing"
    for fewer in (0, 1):
        idle = plan_copy(wanted, {**there, "spec": {**wanted["spec"], "replicas": fewer}}, [], **scaled)
        assert (idle.step, idle.wanted["spec"]["replicas"]) == ("update", 2)
    # Two Deployments whose selectors take each other's pods.
    alike = copy_of(deployment("blue"), "api-green", labels={"version": "blue"}, images={}, replicas=2)
    refusal = plan_copy(alike, None, [], **plain).refusal
    assert refusal is not None and "the labels do not tell its pods from those" in refusal.reason
    old = deployment("green")
    assert plan_copy(wanted, old, [service("blue")], **plain).step == "update"
    assert [each["op"] for each in patch_of(old, wanted)] == ["test", "replace", "add"]
    refused = plan_copy(wanted, old, [service("green")], **plain).refusal
    assert refused is not None and "Service api sends to its pods" in refused.reason
    foreign = plan_copy(wanted, {**old, "spec": deployment("red")["spec"]}, [], **plain).refusal
    assert foreign is not None and foreign.reason == "it is there with another selector, which cannot be changed"
