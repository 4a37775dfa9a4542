"""What the sections of k8s_health_info make of the server's documents, case by case."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.health.autoscalers import autoscaler_facts
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.health.claims import (
    budget_facts,
    certificate_facts,
    claim_facts,
)
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.health.common import controller_of, workload_of
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.health.deprecated import (
    deprecated_facts,
    snippet_facts,
)
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.health.events import event_groups, newest_texts
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.health.jobs import (
    cron_jobs_facts,
    due_times,
    jobs_facts,
    settled_jobs,
)
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.health.nodes import nodes_facts, requested
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.health.pods import (
    Pods,
    look_at,
    pods_facts,
    with_events,
)
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.health.usage import usage_facts
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.health.volumes import (
    mounted_claims,
    used_claims,
    volumes_facts,
)
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.health.workloads import (
    Expected,
    workloads_facts,
)
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.pod_state import Times

# A Saturday.
NOW = dt.datetime(2026, 1, 31, 8, 0, tzinfo=dt.timezone.utc)


def ago(seconds: float) -> str:
    return (NOW - dt.timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")


def thing(name: str = "web", *, owner: tuple[str, str] | None = None, **more: Any) -> dict[str, Any]:
    """An object of the namespace shop; metadata, spec and status as given."""
    metadata: dict[str, Any] = {"name": name, "namespace": "shop", "creationTimestamp": ago(86400)}
    if owner:
        metadata["ownerReferences"] = [{"kind": owner[0], "name": owner[1], "controller": True}]
    metadata.update(more.pop("metadata", {}))
    return {"metadata": metadata, **more}


def true(kind: str, **more: Any) -> dict[str, Any]:
    return {"type": kind, "status": "True", **more}


def pod(name: str, owner: tuple[str, str] | None = ("ReplicaSet", "web-5c6d7f8b9"), **more: Any) -> dict[str, Any]:
    labels = {"pod-template-hash": "5c6d7f8b9"}
    status = {"phase": "Running", "conditions": [true("Ready")], **more.pop("status", {})}
    spec = {"nodeName": "node-1", "containers": [{"name": "app", **more.pop("container", {})}], **more.pop("spec", {})}
    return thing(name, owner=owner, metadata={"labels": labels}, spec=spec, status=status)


def look(*documents: dict[str, Any]) -> Pods:
    return look_at(documents, NOW, Times())


CRASH = {
    "conditions": [],
    "containerStatuses": [
        {"name": "app", "restartCount": 4, "state": {"waiting": {"reason": "CrashLoopBackOff"}}, "lastState": {}}
    ],
}
RESTARTED = {
    "containerStatuses": [
        {
            "name": "app",
            "restartCount": 9,
            "ready": True,
            "state": {"running": {}},
            "lastState": {"terminated": {"exitCode": 1, "reason": "Error", "finishedAt": ago(600)}},
            "imageID": "docker-pullable://registry/web@sha256:1ab",
        }
    ]
}


@pytest.mark.parametrize(
    ("document", "found"),
    [
        (pod("web-5c6d7f8b9-x2v8k"), ("deployment", "web")),
        # Somebody's own ReplicaSet.
        (pod("x", ("ReplicaSet", "own")), ("replicaset", "own")),
        (pod("db-0", ("StatefulSet", "db")), ("statefulset", "db")),
        (pod("alone", None), None),
    ],
)
def test_who_made_a_pod(document: dict[str, Any], found: tuple[str, str] | None) -> None:
    assert controller_of(document) == found


def test_pods_are_grouped_and_each_counts_once() -> None:
    failed = {"phase": "Failed", "reason": "Evicted", "message": "low on memory"}
    done = pod("backup-1", ("Job", "backup"), status={"phase": "Failed"})
    pods = look(
        *(pod(f"web-{number}", status=CRASH) for number in range(3)),
        pod("web-3", status=failed),
        pod("web-4", status=RESTARTED),
        pod("web-5"),
        pod("ok-1", ("Job", "ok"), status={"phase": "Succeeded"}),
        done,
    )
    settled = frozenset({("job", "shop", "backup")})
    facts = pods_facts(pods, settled_jobs=settled, restart_window=3600, limit=2)
    assert [(each["reason"], each["effect"], each["pods_count"]) for each in facts["groups"]] == [
        ("CrashLoopBackOff", "broken", 3),
        ("Evicted", "left_over", 1),
    ]
    group = facts["groups"][0]
    assert [group[key] for key in ("name", "workload_pods_count", "workload_ready_count", "restarts")] == [
        "shop/web",
        5,
        2,
        12,
    ]
    assert (facts["unhealthy_count"], len(facts["unhealthy"]), facts["completed_count"]) == (4, 2, 1)
    assert facts["by_phase"] == {"Failed": 2, "Running": 5, "Succeeded": 1}
    [restarted] = facts["restarted"]
    assert [restarted[key] for key in ("pods", "last_seconds", "last_ending")] == [
        ["web-4"],
        600,
        "ended with exit code 1",
    ]
    # Before a window of five minutes it was nothing.
    assert pods_facts(pods, settled_jobs=settled, restart_window=300, limit=2)["restarted"] == []


def deployment(replicas: int = 2, available: int = 2, **more: Any) -> dict[str, Any]:
    status = {"replicas": replicas, "updatedReplicas": replicas, "readyReplicas": available}
    return thing(
        metadata={"generation": 3, **more.pop("metadata", {})},
        spec={"replicas": replicas, "template": {"spec": {"containers": [{"name": "app", "image": "web:1"}]}}},
        status={**status, "availableReplicas": available, "observedGeneration": 3, **more},
    )


def one(document: dict[str, Any], pods: Pods | None = None, exactly: int | None = None) -> dict[str, Any]:
    expected = [Expected("deployment", "shop", "web", exactly)] if exactly is not None else []
    [facts] = workloads_facts({"deployment": [document]}, pods, expected, NOW)
    return facts


def test_workloads() -> None:
    crashing = look(pod("web-1", status=CRASH), pod("web-2", status=RESTARTED))
    found = one(deployment(2, 1), crashing)
    assert [found[key] for key in ("unavailable_count", "unexplained_count", "is_down")] == [1, 0, False]
    assert found["images"] == [{"container": "app", "image": "web:1", "digests": ["registry/web@sha256:1ab"]}]
    # It is on its way.
    starts = {"phase": "Pending", "conditions": [], "startTime": ago(20)}
    assert one(deployment(2, 1), look(pod("web-1"), pod("web-2", status=starts)))["unexplained_count"] == 0
    # No pod says why.
    failure = true("ReplicaFailure", reason="FailedCreate", message="exceeded quota: compute")
    found = one(deployment(2, 0, conditions=[failure]), look())
    assert [found[key] for key in ("unexplained_count", "is_down", "reason")] == [2, True, "exceeded quota: compute"]
    behind = one({**deployment(), "status": {"observedGeneration": 1, "availableReplicas": 2}})
    assert behind["generation_lag"] == 2
    parked = one(deployment(0, 0, metadata={"annotations": {"runbook-ops.github.io/parked": "{}"}}))
    assert [parked[key] for key in ("is_parked", "is_scaled_to_zero", "is_down")] == [True, True, False]
    stuck = {"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"}
    document = deployment(2, 1, conditions=[stuck])
    document["status"]["updatedReplicas"] = 1
    assert one(document)["is_stuck"] is True


@pytest.mark.parametrize(
    ("replicas", "pods", "exactly", "is_exact"),
    [(1, 1, 1, True), (2, 2, 1, False), (1, 2, 1, False), (0, 0, 1, False), (2, 2, None, None)],
)
def test_exactly_so_many(replicas: int, pods: int, exactly: int | None, is_exact: bool | None) -> None:
    seen = look(*(pod(f"web-{number}") for number in range(pods)))
    found = one(deployment(replicas, replicas), seen, exactly)
    assert (found["is_exact"], found["may_overlap"]) == (is_exact, exactly == 1)


def test_missing_workloads_are_told_where_the_kind_was_listed() -> None:
    expected = [Expected("deployment", "shop", "web"), Expected("statefulset", "shop", "db")]
    found = workloads_facts({"deployment": [], "statefulset": None}, None, expected, NOW)
    # Where they could not be, nobody knows.
    assert [(each["workload"], each["is_missing"]) for each in found] == [("web", True), ("db", None)]


def sts(pods: Pods, ready: int = 0, **spec: Any) -> dict[str, Any]:
    """A StatefulSet of three."""
    status = {"replicas": len(pods.seen), "readyReplicas": ready, "observedGeneration": 1}
    document = thing("db", metadata={"generation": 1}, spec={"replicas": 3, **spec}, status={**status, **REVISIONS})
    [facts] = workloads_facts({"statefulset": [document]}, pods, [], NOW)
    return facts


REVISIONS = {"currentRevision": "db-1", "updateRevision": "db-2"}
STARTS = {"phase": "Pending", "conditions": [], "startTime": ago(20)}
LEAVES = {"deletionTimestamp": ago(-20)}


def test_what_is_on_its_way_is_no_lack() -> None:
    """Nobody is called at night for a rollout that goes on."""
    db = ("StatefulSet", "db")
    # One after the other: the second one is not even made.
    assert sts(look(pod("db-0", db, status=STARTS)))["unexplained_count"] == 0
    assert sts(look(pod("db-0", db, status=CRASH)))["unexplained_count"] == 0
    assert sts(look(pod("db-0", db)), 1, podManagementPolicy="Parallel")["unexplained_count"] == 2
    assert sts(look())["unexplained_count"] == 3
    # The old one has until its grace period ends.
    old = pod("web-1")
    old["metadata"] |= LEAVES
    recreated = deployment(1, 0)
    recreated["spec"]["strategy"] = {"type": "Recreate"}
    assert one(recreated, look(old))["unexplained_count"] == 0
    assert one(deployment(1, 0), look(old))["unexplained_count"] == 1
    # Ready, and not yet for minReadySeconds; or ready since the workload was listed.
    assert one(deployment(2, 0), look(pod("web-1"), pod("web-2")))["unexplained_count"] == 0
    # An autoscaler has asked for more since the pods were listed.
    scaled = deployment(metadata={"managedFields": [{"subresource": "scale", "time": ago(2)}]})
    told = deployment(metadata={"managedFields": [{"subresource": "status", "time": ago(2)}]})
    assert [one(each)["is_settling"] for each in (scaled, told, deployment(metadata={"managedFields": None}))] == [
        True,
        False,
        False,
    ]
    # Two that a quota forbids.
    assert one(deployment(4, 2), look(pod("web-1"), pod("web-2")))["unexplained_count"] == 2


def test_a_strategy_is_no_fault() -> None:
    found = sts(look(), 3, updateStrategy={"type": "OnDelete"})
    assert (found["waits_for_deletion"], found["is_stuck"]) == (True, False)
    # One that no node is to have shows nothing.
    agent = thing("agent", metadata={"generation": 1}, spec={}, status={"observedGeneration": 1})
    [found] = workloads_facts({"daemonset": [agent]}, look(), [], NOW)
    assert found["is_scaled_to_zero"] is True


def test_pods_of_a_node_are_their_own() -> None:
    document = pod("etcd-node-1", ("Node", "node-1"))
    assert workload_of(document) == ("pod", "shop", "etcd-node-1")


def test_events_tell_what_a_pod_waits_for() -> None:
    created = {"name": "app", "state": {"waiting": {"reason": "ContainerCreating"}}}
    waits = {"phase": "Pending", "conditions": [], "startTime": ago(900), "containerStatuses": [created]}
    events = [
        event("web-1", "FailedMount", seconds=60) | {"message": 'MountVolume.SetUp failed: secret "tls" not found'},
        event("web-1", "FailedScheduling", seconds=600) | {"message": "no room"},
        event("web-1", "Odd") | {"message": None, "involvedObject": None},
    ]
    pods = with_events(look(pod("web-1", status=waits), pod("web-2")), newest_texts(events, NOW))
    told = pods.seen[0].state.problem
    assert told is not None
    assert told.detail == 'container app has waited for 15 min: MountVolume.SetUp failed: secret "tls" not found'
    assert pods.seen[1].state.problem is None


def job(name: str, *conditions: dict[str, Any], age: int = 3600, **status: Any) -> dict[str, Any]:
    return thing(
        name,
        owner=("CronJob", "backup"),
        metadata={"creationTimestamp": ago(age)},
        status={"conditions": list(conditions), "startTime": ago(age), **status},
    )


FAILED = true("Failed", reason="BackoffLimitExceeded", message="Job has reached the limit", lastTransitionTime=ago(60))


def test_jobs() -> None:
    ended = {"name": "app", "state": {"terminated": {"exitCode": 3, "reason": "Error", "finishedAt": ago(60)}}}
    pods = look(pod("b-2-x", ("Job", "b-2"), status={"phase": "Failed", "containerStatuses": [ended]}))
    jobs = [job("b-0", FAILED, age=9000), job("b-1", true("Complete"), age=5000), job("b-2", FAILED), job("b-3")]
    found = {each["job"]: each for each in jobs_facts(jobs, pods, NOW)}
    assert [(each["is_failed"], each["is_superseded"]) for each in found.values()] == [
        (True, True),
        (False, False),
        (True, False),
        (False, False),
    ]
    assert [found["b-2"][key] for key in ("reason", "failed_seconds", "cron_job")] == [
        "BackoffLimitExceeded",
        60,
        "backup",
    ]
    assert found["b-2"]["detail"] == "Job has reached the limit; Error: container app ended with exit code 3"
    assert [(each["is_active"], each["active_seconds"]) for each in found.values()][2:] == [(False, None), (True, 3600)]
    assert {name for _kind, _namespace, name in settled_jobs(jobs)} == {"b-0", "b-1", "b-2"}
    # The job that went well since then is gone; its CronJob remembers it.
    cron = thing("backup", spec={}, status={"lastSuccessfulTime": ago(30)})
    assert {each["is_superseded"] for each in jobs_facts([job("b-2", FAILED)], pods, NOW, [cron])} == {True}
    [found] = cron_jobs_facts([{**cron, "spec": {"schedule": "@daily"}}], [job("b-2", FAILED)], NOW)
    assert found["is_last_failed"] is False
    # No pod was ever made of it.
    starved = [
        each["is_starved"] for each in jobs_facts([job("b-3"), job("b-4", age=60), job("b-5", active=1)], pods, NOW)
    ]
    assert starved == [True, False, False]


@pytest.mark.parametrize(
    ("schedule", "zone", "last_seconds", "late", "missed", "interval"),
    [
        # Due at 02:00 every day, and done six hours ago.
        ("0 2 * * *", None, 6 * 3600, 0, 0, 86400),
        ("0 2 * * *", None, 30 * 3600, 6 * 3600, 1, 86400),
        ("0 2 * * *", None, 54 * 3600, 30 * 3600, 2, 86400),
        # In Seoul it was 02:00 at 17:00 of the day before.
        ("0 2 * * *", "Asia/Seoul", 15 * 3600, 0, 0, 86400),
        ("0 2 * * *", "Asia/Seoul", 39 * 3600, 15 * 3600, 1, 86400),
        ("*/15 * * * *", None, 900, 0, 1, 900),
        ("@hourly", None, 3600 * 2, 3600, 2, 3600),
        # Nothing is missed over a weekend.
        ("0 9 * * mon-fri", None, 23 * 3600, 0, 0, 3 * 86400),
        ("0 0 1 1 *", None, 30 * 86400, 0, 0, 365 * 86400),
        ("every day", None, 60, None, None, None),
        # What github.com/robfig/cron reads besides.
        ("@every 1h30m", None, 2 * 3600, 1800, 1, 5400),
        ("5/15 * * * ?", None, 900, 600, 1, 900),
        ("TZ=Asia/Seoul 0 2 * * *", None, 39 * 3600, 15 * 3600, 1, 86400),
        ("@every fortnight", None, 60, None, None, None),
        ("0 2 * * *", "Mars/Base", 60, None, None, None),
    ],
)
def test_what_a_schedule_has_missed(
    schedule: str, zone: str | None, last_seconds: int, late: int | None, missed: int | None, interval: int | None
) -> None:
    found = due_times(schedule, zone, NOW - dt.timedelta(seconds=last_seconds), NOW)
    assert (found.late_seconds, found.missed_count, found.interval_seconds) == (late, missed, interval)


def test_an_hour_that_does_not_exist_is_not_missed() -> None:
    # On 2026-03-29 the clocks of Berlin go from 02:00 to 03:00.
    now = dt.datetime(2026, 3, 29, 8, 0, tzinfo=dt.timezone.utc)
    found = due_times("30 2 * * *", "Europe/Berlin", dt.datetime(2026, 3, 28, 1, 30, tzinfo=dt.timezone.utc), now)
    assert (found.late_seconds, found.missed_count) == (0, 0)


def test_starts_before_a_deadline_or_a_change_are_not_missed() -> None:
    spec = {"schedule": "0 * * * *", "startingDeadlineSeconds": 200}
    resumed = {"managedFields": [{"manager": "kubectl", "time": ago(600)}, {"subresource": "status", "time": ago(1)}]}
    cron = thing("backup", metadata=resumed, spec=spec, status={"lastScheduleTime": ago(9 * 86400)})
    [found] = cron_jobs_facts([cron], [], NOW)
    assert (found["late_seconds"], found["missed_count"]) == (0, 1)
    # A job of every minute may take two.
    cron = thing("tick", spec={"schedule": "* * * * *"}, status={"lastSuccessfulTime": ago(180)})
    assert cron_jobs_facts([cron], [], NOW)[0]["success_age_intervals"] == 0.2


def test_cron_jobs() -> None:
    status = {"lastScheduleTime": ago(6 * 3600), "lastSuccessfulTime": ago(78 * 3600)}
    cron = thing("backup", spec={"schedule": "0 2 * * *"}, status=status)
    [found] = cron_jobs_facts([cron], [job("b-1", FAILED)], NOW)
    assert [found[key] for key in ("late_seconds", "success_age_intervals", "is_last_failed", "has_succeeded")] == [
        0,
        3.25,
        True,
        True,
    ]
    # It has run, and never gone well since it is there.
    never = thing("backup", spec={"schedule": "0 2 * * *"}, status={"lastScheduleTime": ago(6 * 3600)})
    [found] = cron_jobs_facts([never], [], NOW)
    assert [found[key] for key in ("last_success_age_seconds", "has_succeeded", "is_last_failed")] == [
        86400,
        False,
        None,
    ]
    suspended = thing("backup", spec={"schedule": "0 2 * * *", "suspend": True}, status={})
    [found] = cron_jobs_facts([suspended], [], NOW)
    assert [found[key] for key in ("is_suspended", "late_seconds", "last_success_age_seconds")] == [True, 0, None]


def scaler(current: int, utilization: int | None, *conditions: dict[str, Any], least: int = 2) -> dict[str, Any]:
    target = {"type": "Utilization", "averageUtilization": 70}
    status: dict[str, Any] = {"currentReplicas": current, "conditions": list(conditions)}
    if utilization is not None:
        now = {"averageUtilization": utilization}
        status["currentMetrics"] = [{"type": "Resource", "resource": {"name": "cpu", "current": now}}]
    metrics = [{"type": "Resource", "resource": {"name": "cpu", "target": target}}]
    return thing(spec={"minReplicas": least, "maxReplicas": 5, "metrics": metrics}, status=status)


BLIND = {"type": "ScalingActive", "status": "False", "reason": "FailedGetResourceMetric", "message": "no metrics."}


NO_TARGET = {"type": "AbleToScale", "status": "False", "reason": "FailedGetScale", "lastTransitionTime": ago(900)}


@pytest.mark.parametrize(
    ("document", "true_ones"),
    [
        (scaler(3, 50), set()),
        (scaler(5, 60), {"is_at_ceiling"}),
        # Within the tolerance it does nothing, and is content.
        (scaler(5, 75), {"is_at_ceiling"}),
        (scaler(5, 90), {"is_at_ceiling", "is_saturated"}),
        (scaler(5, None, true("ScalingLimited", reason="TooManyReplicas")), {"is_at_ceiling", "is_saturated"}),
        (scaler(3, None, true("ScalingLimited", reason="TooFewReplicas")), set()),
        (scaler(3, None, BLIND), {"is_blind"}),
        # Its pods have just come.
        (scaler(3, None, {**BLIND, "lastTransitionTime": ago(60)}), set()),
        (scaler(3, None, true("ScalingActive"), NO_TARGET), {"is_blind"}),
        (scaler(0, None, {**BLIND, "reason": "ScalingDisabled"}), {"is_disabled"}),
        (scaler(5, 50, least=5), {"is_at_ceiling", "is_fixed"}),
    ],
)
def test_autoscalers(document: dict[str, Any], true_ones: set[str]) -> None:
    found = autoscaler_facts(document, NOW)
    assert {name for name, value in found.items() if value is True} == true_ones
    assert (found["blind_reason"] is not None) == ("is_blind" in true_ones)


def test_metrics_in_quantities() -> None:
    metric = {"name": "queue_length"}
    document = scaler(3, None)
    document["spec"]["metrics"] = [
        {"type": "External", "external": {"metric": metric, "target": {"type": "AverageValue", "averageValue": "30"}}}
    ]
    document["status"]["currentMetrics"] = [
        {"type": "External", "external": {"metric": metric, "current": {"averageValue": "45500m"}}}
    ]
    [found] = autoscaler_facts(document, NOW)["metrics"]
    assert found == {"name": "queue_length", "target": "30", "current": "45500m", "target_percent": 151.7}


@pytest.mark.parametrize(
    ("pods", "percent", "policy", "held"),
    [(3, 96, "Disabled", True), (3, 96, "Max", False), (3, 50, "Disabled", False), (10, 96, "Disabled", False)],
    ids=["held", "free", "idle", "at its ceiling"],
)
def test_an_autoscaler_that_may_not_grow(pods: int, percent: int, policy: str, held: bool) -> None:
    document = scaler(pods, percent, true("ScalingActive"))
    document["spec"]["behavior"] = {"scaleUp": {"selectPolicy": policy}}
    assert autoscaler_facts(document, NOW)["is_held"] is held


def test_figures_that_an_autoscaler_lacks() -> None:
    # Nobody has ever looked at it.
    assert autoscaler_facts(thing(spec={"maxReplicas": 3}, status=None), NOW)["is_blind"] is None
    new = thing(metadata={"creationTimestamp": ago(5)}, spec={"maxReplicas": 3, "metrics": None})
    assert autoscaler_facts(new, NOW)["is_blind"] is False
    document = scaler(3, 50, true("ScalingActive"))
    target = {"type": "Value", "value": "30"}
    document["spec"]["metrics"] += [
        {"type": "Object", "object": {"metric": {"name": "rate"}, "describedObject": {"name": name}, "target": target}}
        for name in ("a", "b")
    ]
    document["status"]["currentMetrics"] += [
        {"type": ""},
        {
            "type": "Object",
            "object": {"metric": {"name": "rate"}, "describedObject": {"name": "b"}, "current": {"value": "15"}},
        },
    ]
    found = autoscaler_facts(document, NOW)
    assert [found[key] for key in ("is_blind", "blind_metrics", "blind_metrics_count")] == [False, ["rate"], 1]
    assert [each["target_percent"] for each in found["metrics"]] == [71.4, None, 50.0]


def node(*conditions: dict[str, Any], **spec: Any) -> dict[str, Any]:
    room = {"cpu": "4", "memory": "8Gi", "pods": "110"}
    return thing("node-1", spec=spec, status={"conditions": list(conditions), "allocatable": room})


def test_nodes() -> None:
    asks = {"resources": {"requests": {"cpu": "500m", "memory": "2Gi"}}}
    pods = look(
        pod("a", container=asks), pod("b", container=asks), pod("c", container=asks, status={"phase": "Failed"})
    )
    [found] = nodes_facts([node(true("Ready"), true("DiskPressure"), unschedulable=True)], pods, NOW)
    assert [found[key] for key in ("is_ready", "pressures", "is_schedulable", "reason")] == [
        True,
        ["DiskPressure"],
        False,
        None,
    ]
    assert [found[key] for key in ("pods_count", "requested_cpu_percent", "requested_memory_percent")] == [
        2,
        25.0,
        50.0,
    ]
    gone = {"type": "Ready", "status": "Unknown", "reason": "NodeStatusUnknown", "message": "Kubelet stopped."}
    [found] = nodes_facts([node({**gone, "lastTransitionTime": ago(300)})], None, NOW)
    assert [found[key] for key in ("is_ready", "reason", "not_ready_seconds", "requested_cpu_percent")] == [
        False,
        "NodeStatusUnknown: Kubelet stopped",
        300,
        None,
    ]
    [found] = nodes_facts([node()], None, NOW)
    assert found["is_ready"] is None
    joins = node({**gone, "status": "False", "reason": "KubeletNotReady"})
    joins["metadata"]["creationTimestamp"] = ago(40)
    [found] = nodes_facts([joins], None, NOW)
    assert (found["is_ready"], found["is_joining"]) == (False, True)
    closed = node(true("Ready"), unschedulable=True, taints=[{"key": CLOSED, "timeAdded": ago(7200)}, {"key": "x"}])
    assert nodes_facts([closed], None, NOW)[0]["closed_seconds"] == 7200
    closed["status"]["nodeInfo"] = {"operatingSystem": "linux", "architecture": "arm64"}
    [told] = nodes_facts([closed], None, NOW)
    assert (told["platform"], found["platform"]) == ("linux/arm64", None)


CLOSED = "node.kubernetes.io/unschedulable"


def test_what_a_pod_asks_for_as_the_scheduler_counts() -> None:
    def asks(cpu: str, **more: Any) -> dict[str, Any]:
        return {"name": "x", "resources": {"requests": {"cpu": cpu}, "limits": None}, **more}

    sidecar = asks("100m", restartPolicy="Always")
    spec = {"initContainers": [sidecar, asks("2")], "containers": [asks("1")], "overhead": {"cpu": "10m"}}
    assert float(requested(pod("a", spec=spec), "cpu")) == 2.11
    assert float(requested(pod("a", spec={"initContainers": [sidecar], "containers": [asks("1")]}), "cpu")) == 1.1
    assert float(requested(pod("a", spec={"containers": None, "resources": {"requests": {"cpu": "3"}}}), "cpu")) == 3


def test_claims_budgets_and_certificates() -> None:
    growing = thing(
        "data",
        spec={"resources": {"requests": {"storage": "2Gi"}}},
        status={
            "phase": "Bound",
            "capacity": {"storage": "1Gi"},
            "conditions": [true("FileSystemResizePending", message="Waiting for user to restart a pod.")],
        },
    )
    found = claim_facts(growing, NOW)
    assert [found[key] for key in ("is_growing", "is_resize_failed", "capacity_bytes")] == [True, False, 2**30]
    assert found["resize"].endswith("when a pod mounts it again: Waiting for user to restart a pod")
    pending = claim_facts(thing("data", spec={}, status={"phase": "Pending"}), NOW)
    assert [pending[key] for key in ("phase", "is_growing", "capacity_bytes")] == ["Pending", False, None]

    # A class that waits for a pod gives it no volume before.
    unused = claim_facts(thing("data", spec={}, status={"phase": "Pending"}), NOW, frozenset())
    wanted = claim_facts(thing("data", spec={}, status={"phase": "Pending"}), NOW, frozenset({("shop", "data")}))
    assert [(each["is_unused"], each["is_waiting"]) for each in (pending, unused, wanted)] == [
        (None, False),
        (True, True),
        (False, False),
    ]

    assert budget_facts(thing(status={"expectedPods": 1, "disruptionsAllowed": 0}))["is_blocking"] is True
    assert budget_facts(thing(status={"expectedPods": 0, "disruptionsAllowed": 0}))["is_blocking"] is False

    ends = {"notAfter": "2026-02-05T20:00:00Z", "renewalTime": ago(86400), "conditions": [true("Ready")]}
    found = certificate_facts(thing(spec={"secretName": "web-tls"}, status=ends), NOW)
    assert [found[key] for key in ("days_left", "is_ready", "is_issued", "renewal_overdue_seconds")] == [
        5.5,
        True,
        True,
        86400,
    ]
    never = certificate_facts(thing(status={}), NOW)
    assert [never[key] for key in ("days_left", "is_ready", "is_issued", "reason")] == [
        None,
        None,
        False,
        "it was never issued",
    ]
    short = {"notBefore": ago(86400), "notAfter": ago(-86400), "renewalTime": ago(-3600), "conditions": None}
    found = certificate_facts(thing(status=short), NOW)
    assert [found[key] for key in ("lifetime_days", "is_short_lived", "lifetime_left_percent", "is_new")] == [
        2.0,
        True,
        50.0,
        False,
    ]
    new = certificate_facts(thing(metadata={"creationTimestamp": ago(20)}, status={}), NOW)
    assert (new["is_new"], new["is_short_lived"], new["lifetime_left_percent"]) == (True, False, None)


def event(name: str, reason: str, count: int = 1, seconds: int = 60, **more: Any) -> dict[str, Any]:
    involved = {"kind": more.pop("kind", "Pod"), "name": name, "namespace": "shop"}
    return thing(
        f"{name}.{reason}",
        type=more.pop("type", "Warning"),
        reason=reason,
        count=count,
        message="password=hunter2 did not work",
        lastTimestamp=ago(seconds),
        involvedObject=involved,
        **more,
    )


def test_events_are_grouped() -> None:
    pods = look(pod("web-1"))
    events = [
        event("web-1", "BackOff", 30),
        # Of a pod that is gone.
        event("web-5c6d7f8b9-x2v8k", "BackOff", 12, 30),
        event("web-5c6d7f8b9", "FailedCreate", kind="ReplicaSet"),
        event("old-1", "BackOff", 99, 9000),
        event("web-1", "Pulled", 5, type="Normal"),
        event("data", "ProvisioningFailed", kind="PersistentVolumeClaim", series={"count": 7}),
    ]
    found = event_groups(events, pods, frozenset({"shop/web"}), NOW, 3600)
    assert [(each["reason"], each["kind"], each["name"], each["count"], each["objects_count"]) for each in found] == [
        ("BackOff", "deployment", "shop/web", 42, 2),
        ("ProvisioningFailed", "persistentvolumeclaim", "shop/data", 7, 1),
        ("FailedCreate", "deployment", "shop/web", 1, 1),
    ]
    assert [each["is_explained"] for each in found] == [True, False, True]
    assert (found[0]["last_seconds"], "hunter2" in found[0]["message"]) == (30, False)


def test_deprecated_objects_once_each() -> None:
    applied = "kubectl.kubernetes.io/last-applied-configuration"
    old = thing("old", metadata={"annotations": {applied: '{"apiVersion": "extensions/v1beta1"}'}})
    operator = thing(
        "by-operator", metadata={"managedFields": [{"manager": "operator", "apiVersion": "batch/v1beta1"}]}
    )
    # Its author writes the new version by now.
    mended = thing(
        "mended",
        metadata={
            "annotations": {applied: '{"apiVersion": "apps/v1"}'},
            "managedFields": [{"manager": "kubectl-client-side-apply", "apiVersion": "extensions/v1beta1"}],
        },
    )
    odd = thing("odd", metadata={"annotations": {applied: "{"}})
    # Only Ingresses left that version.
    policy = thing("policy", metadata={"managedFields": [{"manager": "x", "apiVersion": "networking.k8s.io/v1beta1"}]})
    assert [each["name"] for each in deprecated_facts([("ingress", policy), ("networkpolicy", policy)])] == [
        "shop/policy"
    ]
    documents = [("deployment", old), ("cronjob", operator), ("deployment", mended), ("deployment", odd)]
    found = deprecated_facts(documents)
    assert [(each["name"], each["api_version"], each["author"], each["replaced_by"]) for each in found] == [
        ("shop/by-operator", "batch/v1beta1", "operator", "batch/v1"),
        ("shop/old", "extensions/v1beta1", "kubectl apply", "apps/v1 or networking.k8s.io/v1"),
    ]
    annotations = {"nginx.ingress.kubernetes.io/server-snippet": "x", "nginx.ingress.kubernetes.io/rewrite-target": "/"}
    [snippet] = snippet_facts([thing("in", metadata={"annotations": annotations}), thing("out")])
    assert (snippet["name"], snippet["annotations"]) == ("shop/in", ["nginx.ingress.kubernetes.io/server-snippet"])


def test_volumes() -> None:
    claim = {"volumes": [{"persistentVolumeClaim": {"claimName": "data"}}, {"name": "tmp", "ephemeral": {}}]}
    pods = look(pod("db-0", spec=claim), pod("new", spec={**claim, "nodeName": None}))
    mounted = mounted_claims(pods.seen)
    assert set(mounted) <= used_claims(pods.seen)
    assert mounted == {("shop", "data"): "node-1", ("shop", "db-0-tmp"): "node-1"}
    said = {"pvcRef": {"namespace": "shop", "name": "data"}, "usedBytes": 9, "capacityBytes": 10, "inodesUsed": 1}
    summary = {"pods": [{"volume": [{**said, "inodes": 4, "availableBytes": 1}, {"name": "token"}]}, {}]}
    full, unknown = volumes_facts(mounted, {"node-1": summary})
    assert [full[key] for key in ("claim", "used_percent", "inodes_used_percent", "available_bytes")] == [
        "data",
        90.0,
        25.0,
        1,
    ]
    assert (unknown["claim"], unknown["used_percent"], unknown["inodes_used_percent"]) == ("db-0-tmp", None, None)
    assert [each["used_percent"] for each in volumes_facts(mounted, {"node-1": None})] == [None, None]


def test_usage_is_that_of_the_container_nearest_to_its_limit() -> None:
    limited = {"resources": {"requests": {"cpu": "1", "memory": "1Gi"}, "limits": {"memory": "2Gi"}}}
    pods = look(pod("web-1", container=limited), pod("web-2", container=limited), pod("free-1", None))
    metrics = [
        thing("web-1", containers=[{"name": "app", "usage": {"cpu": "500m", "memory": "1Gi"}}]),
        thing("web-2", containers=[{"name": "app", "usage": {"cpu": "1", "memory": "1945Mi"}}]),
        thing("free-1", containers=[{"name": "app", "usage": {"cpu": "1n", "memory": "5Mi"}}]),
        thing("gone", containers=[]),
    ]
    web, free = usage_facts(metrics, pods)
    assert [web[key] for key in ("pods_count", "cpu_cores", "cpu_request_percent", "memory_limit_percent")] == [
        2,
        1.5,
        75.0,
        95.0,
    ]
    assert (web["memory_limit_container"], web["has_memory_limit"]) == ("app", True)
    assert (free["has_memory_limit"], free["memory_request_percent"], free["memory_bytes"]) == (False, None, 5 * 2**20)
