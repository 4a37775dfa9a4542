"""The inventories of systems on Kubernetes: nobody is forgotten, wherever workloads are named."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from lab.kubernetes.systems import autoclip, storebridge
from lab.kubernetes.systems.parts import Workload
from lab.paths import REPOSITORY

CLUSTERS = {
    "storebridge": (
        storebridge.WEB,
        storebridge.NORMAL,
        storebridge.BATCH,
        storebridge.BEAT,
        storebridge.GRAFANA,
        storebridge.PROMETHEUS,
        storebridge.POSTGRES,
    ),
    "autoclip": (autoclip.API, autoclip.N8N, autoclip.N8N_WORKER, autoclip.WORKER, autoclip.PGBOUNCER),
}


def variables(system: str, group: str, name: str) -> dict[str, Any]:
    path = REPOSITORY / "inventories" / system / "group_vars" / group / f"{name}.yml"
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def expected(system: str) -> dict[str, dict[str, Any]]:
    return {each["name"]: each for each in variables(system, "kubernetes", "cluster")["kubernetes_workloads"]}


@pytest.mark.parametrize("system", CLUSTERS)
def test_every_workload_is_expected(system: str) -> None:
    """A Deployment that somebody deleted shows nothing in a list of pods."""
    found = expected(system)
    for workload in CLUSTERS[system]:
        assert found[workload.name].get("kind", "deployment") == workload.kind.lower(), workload.name


@pytest.mark.parametrize("system", CLUSTERS)
def test_the_context_is_named(system: str) -> None:
    """The current context of a kubeconfig is whatever somebody used last."""
    cluster = variables(system, "kubernetes", "cluster")
    for name, variable in (("kubernetes_kubeconfig", "KUBECONFIG"), ("kubernetes_context", "KUBE_CONTEXT")):
        assert f"'{system.upper()}_{variable}'" in cluster[name]
    assert "default=" in cluster["kubernetes_context"]


def test_beat_is_exactly_one() -> None:
    assert [name for name, each in expected("storebridge").items() if each.get("exactly") == 1] == [
        storebridge.BEAT.name
    ]


@pytest.mark.parametrize("system", CLUSTERS)
def test_a_release_names_containers_that_exist(system: str) -> None:
    by_name: dict[str, Workload] = {each.name: each for each in CLUSTERS[system]}
    for each in variables(system, "kubernetes", "deploy_kubernetes")["deploy_kubernetes_workloads"]:
        containers = by_name[each["name"]].template()["spec"]["containers"]
        assert each["containers"] == [container["name"] for container in containers]


def test_a_release_is_everybody_with_the_image() -> None:
    """The manual rolls the web server and one of the two workers; beat and the batch workers stay what they were."""
    released = {
        each["name"]
        for each in variables("storebridge", "kubernetes", "deploy_kubernetes")["deploy_kubernetes_workloads"]
    }
    assert released == {each.name for each in CLUSTERS["storebridge"] if each.image == storebridge.IMAGE}


def test_everybody_who_writes_is_known() -> None:
    """Whoever writes to the database stops for a restore, and is in the namespace."""
    [writers] = variables("storebridge", "all", "recovery")["runbook_writers"]
    assert set(writers["kubernetes"]["workloads"]) == {
        each.name for each in CLUSTERS["storebridge"] if each.image == storebridge.IMAGE
    }
    argo, others = variables("autoclip", "all", "recovery")["runbook_writers"]
    using = {each.name for each in CLUSTERS["autoclip"] if "DB_PASSWORD" in str(each.env)}
    assert (argo["name"], set(others["kubernetes"]["workloads"])) == ("Argo CD", using)


def test_every_worker_is_throttled_and_comes_back() -> None:
    operations = variables("storebridge", "redis", "queue_operations")
    workers = set(operations["__storebridge_workers"])
    assert workers == {each.name for each in CLUSTERS["storebridge"] if "worker" in each.command}
    assert workers <= set(expected("storebridge"))
    # The last stage names nobody: whatever is still parked.
    assert "workloads" not in operations["queue_operations_plans"]["resume"][-1]["unpark"]


def test_maintenance_parks_everybody_but_the_api() -> None:
    [driver] = variables("autoclip", "maintenance", "maintenance_mode")["maintenance_mode_drivers"]
    flag = driver["kubernetes_flag"]
    writing = {each.name for each in CLUSTERS["autoclip"] if "DB_PASSWORD" in str(each.env)}
    assert set(flag["writers"]) | set(flag["restart"]) == writing - {autoclip.PGBOUNCER.name}


def test_the_logs_of_everybody_who_works_are_read() -> None:
    read = {each["name"] for each in variables("autoclip", "logs", "check_logs")["check_logs_workloads"]}
    assert read == {each.name for each in CLUSTERS["autoclip"]} - {autoclip.PGBOUNCER.name}


def test_a_release_is_held_to_the_ladder_of_the_daily_check() -> None:
    rules = variables("storebridge", "prometheus", "check_metrics")["check_metrics_extra_rules"]
    [daily] = [each for each in rules if each["id"] == "metrics.error_rate"]
    [gate] = variables("storebridge", "kubernetes", "deploy_kubernetes")["deploy_kubernetes_metric_rules"]
    assert gate["critical"] == daily["warning"]
