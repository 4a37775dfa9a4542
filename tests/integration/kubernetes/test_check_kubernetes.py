"""The role check_kubernetes over AutoClip's cluster: the planted faults, and nothing else."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from lab.kubernetes import KubernetesApi
from lab.kubernetes.systems import autoclip
from lab.paths import REPOSITORY
from lab.play import ansible_playbook, run_role
from lab.process import eventually

from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.memory import PARKED

pytestmark = pytest.mark.xdist_group("kubernetes")

PLANTED = {
    ("kubernetes.autoscaler_at_ceiling", "autoclip/autoclip-api"),
    ("kubernetes.autoscaler_blind", "autoclip/worker"),
    ("kubernetes.certificate_days_left", "autoclip/autoclip-api"),
    ("kubernetes.certificate_days_left", "autoclip/n8n"),
    ("kubernetes.pod_left_over", "autoclip/autoclip-api Error"),
    ("kubernetes.pod_left_over", "autoclip/autoclip-api Evicted"),
    ("kubernetes.service_selects_nothing", "autoclip/worker"),
    ("kubernetes.service_without_endpoints", "autoclip/sick"),
    ("kubernetes.snippet", "autoclip/autoclip-api"),
    ("kubernetes.workload_parked", "autoclip/resting"),
}
# Without an endpoint, and meant so: parked, of the other side, and for names that nobody has.
MEANT_SO = ("resting", "autoclip-api-green", "names")


def plant_services(api: KubernetesApi) -> None:
    """One is mistyped, one has a pod that does not start; the others are without endpoints on purpose."""

    def add(version: str, kind: str, name: str, spec: dict[str, Any], **metadata: Any) -> None:
        metadata = {"name": name, "namespace": "autoclip", **metadata}
        api.create({"apiVersion": version, "kind": kind, "metadata": metadata, "spec": spec})

    ports = [{"port": 80}]
    add("v1", "Service", "worker", {"selector": {"app": "wroker"}, "ports": ports})
    add("v1", "Service", "sick", {"selector": {"app": "sick"}, "ports": ports})
    containers = [{"name": "app", "image": "shop/pending:1"}]
    add("v1", "Pod", "sick", {"containers": containers}, labels={"app": "sick"})
    add("v1", "Service", "names", {"selector": {"app": "etcd"}, "clusterIP": "None", "ports": ports})
    add("v1", "Service", "resting", {"selector": {"app": "resting"}, "ports": ports})
    template = {"metadata": {"labels": {"app": "resting"}}, "spec": {"containers": containers}}
    spec = {"replicas": 0, "selector": {"matchLabels": {"app": "resting"}}, "template": template}
    add("apps/v1", "Deployment", "resting", spec, annotations={PARKED: '{"at": "2026-01-31T08:00:00Z", "replicas": 2}'})


@pytest.fixture(scope="module")
def clip() -> Iterator[KubernetesApi]:
    with KubernetesApi() as api:
        autoclip.build(api, "degraded")
        plant_services(api)
        label = "kubernetes.io/service-name"
        eventually(
            lambda: any(
                each["metadata"]["labels"][label] == "autoclip-api" and len(each["endpoints"]) == 10
                for each in api.list("endpointslices", "autoclip")
            ),
            "the API's endpoints",
        )
        yield api


def test_exactly_the_planted_faults_are_found(clip: KubernetesApi, tmp_path: Path) -> None:
    given: dict[str, Any] = {
        "kubernetes_kubeconfig": str(clip.kubeconfig(tmp_path / "kubeconfig")),
        "kubernetes_namespaces": list(autoclip.NAMESPACES),
        "kubernetes_workloads": [{"name": "autoclip-api", "namespace": "autoclip"}],
    }
    run = run_role(tmp_path, "check_kubernetes", given, "--check")
    assert set(run.of("critical", "warning")) == PLANTED, run.of("critical", "warning")
    assert len(run.of("critical", "warning")) == len(PLANTED)
    assert run.of("unknown") == []
    # READY is True for the one that ends in five days.
    ends = run.finding("kubernetes.certificate_days_left", "autoclip/autoclip-api")
    assert (ends["severity"], ends["value"], ends["threshold"], ends["priority"]) == ("critical", 5.5, "< 7", "P0")
    mistyped = run.finding("kubernetes.service_selects_nothing", "autoclip/worker")["summary"]
    assert "no pod has app=wroker" in mistyped and "the pods of deployment worker have app=worker" in mistyped
    # To kubectl get endpoints they are all the same: there are none.
    eventually(lambda: all(clip.exists("Endpoints", "autoclip", each) for each in (*MEANT_SO, "worker")), "endpoints")
    assert [clip.get("Endpoints", "autoclip", each)["subsets"] for each in (*MEANT_SO, "worker")] == [[], [], [], []]
    told = run.output + json.dumps(run.findings) + json.dumps(run.facts)
    assert [value for value in autoclip.SECRET_VALUES.values() if value in told] == []


def test_what_is_not_asked_for_is_not_judged(clip: KubernetesApi, tmp_path: Path) -> None:
    given = {
        "kubernetes_kubeconfig": str(clip.kubeconfig(tmp_path / "kubeconfig")),
        "kubernetes_namespace": "autoclip",
        "check_kubernetes_sections": ["pods", "autoscalers", "usage"],
    }
    clip.deny("list", "horizontalpodautoscalers.autoscaling")
    # As a cluster without a metrics server answers: what it does not have is no fault, and not unknown every day.
    clip.fail("GET", "/apis/metrics.k8s.io/*", 404, None)
    try:
        run = run_role(tmp_path, "check_kubernetes", given)
    finally:
        clip.allow()
        clip.heal()
    assert run.of("unknown") == [
        (f"kubernetes.autoscaler_{each}", "")
        for each in ("at_ceiling", "held", "blind", "partly_blind", "fixed", "disabled")
    ]
    blind = run.finding("kubernetes.autoscaler_blind", "")["summary"]
    assert "Grant the user the verb list on horizontalpodautoscalers.autoscaling" in blind
    judged = {each["id"] for each in run.findings}
    assert not judged & {"kubernetes.certificate_days_left", "kubernetes.job_failed", "kubernetes.memory_limit"}
    skipped = {each["section"]: each["is_absent"] for each in run.facts["skipped_sections"]}
    assert skipped == {"autoscalers": False, "usage": True}


def test_the_example_of_the_readme(clip: KubernetesApi, tmp_path: Path) -> None:
    """It speaks of a namespace that is not there, and says so."""
    readme = (REPOSITORY / "roles" / "check_kubernetes" / "README.md").read_text(encoding="utf-8")
    [play] = yaml.safe_load(re.findall(r"```yaml\n(.*?)```", readme, re.DOTALL)[-1])
    shown = {"name": "Show", "ansible.builtin.debug": {"var": "check_kubernetes_findings"}}
    (tmp_path / "play.yml").write_text(json.dumps([{**play, "post_tasks": [shown]}]), encoding="utf-8")
    host = {
        "ansible_connection": "local",
        "ansible_python_interpreter": sys.executable,
        "kubernetes_kubeconfig": str(clip.kubeconfig(tmp_path / "kubeconfig")),
    }
    (tmp_path / "inventory.yml").write_text(
        json.dumps({"all": {"children": {"kubernetes": {"hosts": {"shop": host}}}}}), encoding="utf-8"
    )
    run = ansible_playbook(tmp_path, "-i", "inventory.yml", "play.yml")
    assert run.returncode == 0, run.stdout
    for text in ("the namespace shop does not exist", "deployment shop/beat does not exist", "shop/web does not exist"):
        assert text in run.stdout
