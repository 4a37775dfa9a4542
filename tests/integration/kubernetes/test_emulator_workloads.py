"""The emulator's controllers against what the official client and kubernetes.core expect of real ones.

Tests that are not ``emulator_only`` hold on any cluster: RUNBOOK_TEST_KUBECONFIG names the kubeconfig of a real one (a
namespace is made and deleted in it). The others are about images that only the emulator knows.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes import client, config
from lab.kubernetes import KubernetesApi
from lab.kubernetes.contract import IMAGE, KUBECONFIG, Cluster
from lab.kubernetes.hammer import Hammer
from lab.play import ansible_playbook
from lab.process import eventually

REVISION = "deployment.kubernetes.io/revision"
HASH = "pod-template-hash"


class Place(Cluster):
    """What these tests do with their namespace."""

    def deploy(self, manifest: dict[str, Any]) -> str:
        self.apps.create_namespaced_deployment(self.namespace, manifest)
        return str(manifest["metadata"]["name"])

    def deployment(self, name: str) -> client.V1Deployment:
        return self.apps.read_namespaced_deployment(name, self.namespace)

    def patch(self, name: str, spec: dict[str, Any]) -> client.V1Deployment:
        return self.apps.patch_namespaced_deployment(name, self.namespace, {"spec": spec})

    def release(self, name: str, **container: Any) -> client.V1Deployment:
        containers = [{"name": "app", **container}]
        return self.patch(name, {"template": {"spec": {"containers": containers}}})

    def rolled_out(self, name: str) -> None:
        """As kubectl rollout status waits."""

        def done() -> bool:
            found = self.deployment(name)
            status, wanted = found.status, found.spec.replicas
            counts = [status.replicas or 0, status.updated_replicas or 0, status.available_replicas or 0]
            return status.observed_generation == found.metadata.generation and counts == [wanted] * 3

        eventually(done, f"the rollout of {name}")

    def condition(self, name: str, kind: str) -> tuple[str, str]:
        conditions = self.deployment(name).status.conditions or []
        return next(((each.status, each.reason) for each in conditions if each.type == kind), ("", ""))

    def sets(self, name: str) -> dict[str, int]:
        """Replicas by the value of V in the template."""
        found = self.apps.list_namespaced_replica_set(self.namespace, label_selector=f"app={name}").items
        return {each.spec.template.spec.containers[0].env[0].value: each.spec.replicas for each in found}

    def pods(self, name: str) -> list[client.V1Pod]:
        return self.core.list_namespaced_pod(self.namespace, label_selector=f"app={name}").items

    def revision(self, name: str) -> str:
        return str(self.deployment(name).metadata.annotations[REVISION])

    def reasons(self) -> set[tuple[str, str, str]]:
        """Events as (object, type, reason)."""
        events = self.core.list_namespaced_event(self.namespace).items
        return {(each.involved_object.name, each.type, each.reason) for each in events}


@pytest.fixture(scope="module")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KubernetesApi]:
    with KubernetesApi() as api:
        yield api


@pytest.fixture(scope="module")
def kubeconfig(emulator: KubernetesApi, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return emulator.kubeconfig(tmp_path_factory.mktemp("workloads") / "kubeconfig")


@pytest.fixture
def place(request: pytest.FixtureRequest) -> Iterator[Place]:
    given = os.environ.get(KUBECONFIG)
    found = config.new_client_from_config(given or str(request.getfixturevalue("kubeconfig")))
    place = Place(found, f"runbook-{uuid.uuid4().hex[:8]}")
    place.core.create_namespace({"metadata": {"name": place.namespace}})
    yield place
    place.core.delete_namespace(place.namespace)


@pytest.fixture
def api(emulator: KubernetesApi) -> KubernetesApi:
    return emulator


def pod_spec(image: str, value: str = "1", **spec: Any) -> dict[str, Any]:
    return {"containers": [{"name": "app", "image": image, "env": [{"name": "V", "value": value}]}], **spec}


def deployment(name: str, image: str = IMAGE, *, pods: dict[str, Any] | None = None, **spec: Any) -> dict[str, Any]:
    template = {"metadata": {"labels": {"app": name}}, "spec": pods or pod_spec(image)}
    return {
        "metadata": {"name": name},
        "spec": {"replicas": 3, "selector": {"matchLabels": {"app": name}}, "template": template, **spec},
    }


def service(name: str, **selector: str) -> dict[str, Any]:
    ports = [{"port": 80, "targetPort": 8080}]
    return {"metadata": {"name": name}, "spec": {"selector": selector or {"app": name}, "ports": ports}}


def ask(url: str) -> tuple[int, dict[str, Any]]:
    try:
        with urllib.request.urlopen(url, timeout=300) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


# --- on any cluster
def test_a_deployment_goes_through_revisions_and_back(place: Place) -> None:
    name = place.deploy(deployment("shop", revisionHistoryLimit=1))
    place.rolled_out(name)
    assert place.condition(name, "Progressing") == ("True", "NewReplicaSetAvailable")
    assert place.condition(name, "Available") == ("True", "MinimumReplicasAvailable")
    [first] = place.apps.list_namespaced_replica_set(place.namespace).items
    digest = first.metadata.labels[HASH]
    assert first.metadata.name == f"{name}-{digest}"
    assert first.spec.selector.match_labels == first.spec.template.metadata.labels == {"app": name, HASH: digest}
    assert {each.metadata.owner_references[0].uid for each in place.pods(name)} == {first.metadata.uid}
    assert first.metadata.annotations[REVISION] == place.revision(name) == "1"

    patched = place.release(name, env=[{"name": "V", "value": "2"}])
    assert patched.metadata.generation == 2
    place.rolled_out(name)
    assert (place.revision(name), place.sets(name)) == ("2", {"1": 0, "2": 3})

    place.release(name, env=[{"name": "V", "value": "1"}])  # as an undo does
    place.rolled_out(name)
    assert (place.revision(name), place.sets(name)) == ("3", {"1": 3, "2": 0})
    again = place.apps.read_namespaced_replica_set(first.metadata.name, place.namespace)
    assert (again.metadata.uid, again.metadata.annotations[REVISION]) == (first.metadata.uid, "3")

    place.release(name, env=[{"name": "V", "value": "4"}])
    place.rolled_out(name)
    eventually(lambda: place.sets(name) == {"1": 0, "4": 3}, "a history of one revision")


def test_paused_recreated_and_scaled(place: Place) -> None:
    name = place.deploy(deployment("shop", replicas=2, paused=True, strategy={"type": "Recreate"}))
    eventually(lambda: place.condition(name, "Progressing") == ("Unknown", "DeploymentPaused"), "the pause")
    assert place.sets(name) == {}
    place.patch(name, {"paused": False})
    place.rolled_out(name)
    old = {each.metadata.uid for each in place.pods(name)}
    place.patch(name, {"paused": True})
    place.release(name, env=[{"name": "V", "value": "2"}])
    place.apps.patch_namespaced_deployment_scale(name, place.namespace, {"spec": {"replicas": 3}})
    eventually(lambda: place.deployment(name).status.ready_replicas == 3, "a scale of what is paused")
    assert place.sets(name) == {"1": 3}
    place.patch(name, {"paused": False})
    place.rolled_out(name)
    assert place.sets(name) == {"1": 0, "2": 3}
    assert not old & {each.metadata.uid for each in place.pods(name)}


def test_endpoints_follow_the_pods(place: Place) -> None:
    discovery = client.DiscoveryV1Api(place.connection)
    name = place.deploy(deployment("shop", replicas=2))
    place.core.create_namespaced_service(place.namespace, service(name))

    def ready() -> set[str]:
        slices = discovery.list_namespaced_endpoint_slice(
            place.namespace, label_selector=f"kubernetes.io/service-name={name}"
        ).items
        endpoints = [each for found in slices for each in found.endpoints or []]
        return {each.target_ref.name for each in endpoints if each.conditions.ready}

    place.rolled_out(name)
    names = {each.metadata.name for each in place.pods(name)}
    eventually(lambda: ready() == names, "both pods in the slice")
    victim = sorted(names)[0]
    gone = place.core.delete_namespaced_pod(victim, place.namespace)
    assert gone.metadata.deletion_grace_period_seconds == 30
    eventually(lambda: victim not in ready(), "the pod out of the slice")
    eventually(lambda: len(ready()) == 2, "another pod in its place")


# --- what images do
EXPECTED = {
    "bad-image": ("Pending", {"ErrImagePull", "ImagePullBackOff"}, "Failed"),
    "crash": ("Running", {"CrashLoopBackOff"}, "BackOff"),
    "oom": ("Running", {"CrashLoopBackOff"}, "BackOff"),
    "unready": ("Running", set(), "Unhealthy"),
    "pending": ("Pending", set(), "FailedScheduling"),
    "config": ("Pending", {"CreateContainerConfigError"}, "Failed"),
}


@pytest.mark.emulator_only
def test_pods_do_what_their_images_say(api: KubernetesApi, place: Place) -> None:
    """Also those that nobody controls; and what lacked a key runs when it has it."""
    reference = {"name": "K", "valueFrom": {"secretKeyRef": {"name": "login", "key": "password"}}}
    for name in EXPECTED:
        spec = pod_spec(f"registry.example.com/{name}/app:1")
        if name == "config":
            spec["containers"][0]["env"].append(reference)
        place.core.create_namespaced_pod(place.namespace, {"metadata": {"name": name}, "spec": spec})

    def seen(name: str) -> bool:
        phase, reasons, event = EXPECTED[name]
        pod = place.core.read_namespaced_pod(name, place.namespace)
        waiting = {each.state.waiting.reason for each in pod.status.container_statuses or [] if each.state.waiting}
        ready = {each.status for each in pod.status.conditions or [] if each.type == "Ready"}
        known = (name, "Warning", event) in place.reasons()
        return (
            pod.status.phase == phase
            and waiting <= reasons
            and bool(waiting or not reasons)
            and known
            and ("True" not in ready)
        )

    for name in EXPECTED:
        eventually(lambda name=name: seen(name), f"the state of {name}")

    def container(name: str) -> client.V1ContainerStatus:
        return place.core.read_namespaced_pod(name, place.namespace).status.container_statuses[0]

    for name, code, reason in (("crash", 1, "Error"), ("oom", 137, "OOMKilled")):
        eventually(lambda name=name: container(name).restart_count >= 3, f"{name} is started again and again")
        ended = container(name).last_state.terminated
        assert (ended.exit_code, ended.reason) == (code, reason)
    unplaced = place.core.read_namespaced_pod("pending", place.namespace).status.conditions[0]
    assert (unplaced.type, unplaced.status, unplaced.reason) == ("PodScheduled", "False", "Unschedulable")
    assert unplaced.message.startswith("0/1 nodes are available: 1 Insufficient cpu.")

    assert container("config").state.waiting.message == 'secret "login" not found'
    place.core.create_namespaced_secret(place.namespace, {"metadata": {"name": "login"}, "stringData": {"user": "a"}})
    lacks = f"couldn't find key password in Secret {place.namespace}/login"
    eventually(lambda: container("config").state.waiting.message == lacks, "the key that is missing")
    place.core.patch_namespaced_secret("login", place.namespace, {"stringData": {"password": "hunter2"}})
    eventually(lambda: container("config").ready, "the pod that has its key")


@pytest.mark.emulator_only
def test_a_stuck_rollout_says_why_and_the_old_version_serves(api: KubernetesApi, place: Place) -> None:
    rolling = {"rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}
    name = place.deploy(deployment("shop", "x/shop:1", progressDeadlineSeconds=1, strategy=rolling))
    place.core.create_namespaced_service(place.namespace, service(name))
    place.rolled_out(name)
    with Hammer(api.serve(place.namespace, name)) as hammer:
        place.release(name, image="x/unready/shop:2")
        exceeded = ("False", "ProgressDeadlineExceeded")
        eventually(lambda: place.condition(name, "Progressing") == exceeded, "the deadline")
        status = place.deployment(name).status
        assert (status.updated_replicas, status.available_replicas, status.unavailable_replicas) == (1, 3, 1)
        assert place.condition(name, "Available")[0] == "True"
        place.release(name, image="x/shop:3")
        place.rolled_out(name)
        hammer.more()
    assert hammer.errors == 0
    assert set(hammer.images) == {"x/shop:1", "x/shop:3"}

    quota = {"metadata": {"name": "few"}, "spec": {"hard": {"pods": "3"}}}
    place.core.create_namespaced_resource_quota(place.namespace, quota)
    place.release(name, image="x/shop:4")
    eventually(lambda: place.condition(name, "ReplicaFailure") == ("True", "FailedCreate"), "the quota")
    assert "FailedCreate" in {reason for _, _, reason in place.reasons()}
    place.core.delete_namespaced_resource_quota("few", place.namespace)
    place.rolled_out(name)
    eventually(lambda: place.condition(name, "ReplicaFailure") == ("", ""), "the quota's end")


@pytest.mark.emulator_only
def test_a_service_is_answered_by_what_is_ready_now(api: KubernetesApi, place: Place) -> None:
    place.core.create_namespaced_config_map(place.namespace, {"metadata": {"name": "c"}, "data": {"MODE": "open"}})
    place.core.create_namespaced_secret(
        place.namespace, {"metadata": {"name": "s"}, "stringData": {"TOKEN": "hunter2"}}
    )
    pods = pod_spec("x/shop:1")
    pods["containers"][0]["envFrom"] = [{"configMapRef": {"name": "c"}}, {"secretRef": {"name": "s"}}]
    url = api.serve(place.namespace, "shop")
    assert ask(url)[0] == 503
    place.deploy(deployment("blue", pods=pods, replicas=1))
    place.deploy(deployment("green", "x/errors/shop:2", replicas=1))
    place.core.create_namespaced_service(place.namespace, service("shop", app="blue"))
    for name in ("blue", "green"):
        place.rolled_out(name)
    status, answer = ask(url)
    assert (status, answer["image"], answer["labels"]["app"]) == (200, "x/shop:1", "blue")
    assert answer["env"] == {"V": "1", "MODE": "open", "TOKEN": "set"}

    place.core.patch_namespaced_service("shop", place.namespace, {"spec": {"selector": {"app": "green"}}})
    assert (ask(url)[0], ask(url)[1]["image"]) == (500, "x/errors/shop:2")
    place.core.patch_namespaced_service("shop", place.namespace, {"spec": {"selector": {"app": "blue"}}})

    answers: list[tuple[int, dict[str, Any]]] = []
    under_way = threading.Thread(target=lambda: answers.append(ask(f"{url}?delay=1")))
    under_way.start()
    uid = place.pods("blue")[0].metadata.uid
    eventually(lambda: api.store.notes[uid].get("serving"), "the request has arrived")
    place.apps.patch_namespaced_deployment_scale("blue", place.namespace, {"spec": {"replicas": 0}})
    eventually(lambda: ask(url)[0] == 503, "no new requests")
    under_way.join(timeout=300)
    assert [status for status, _ in answers] == [200]
    eventually(lambda: not place.pods("blue"), "the pod ends after its last request")


# --- the other kinds
@pytest.mark.emulator_only
def test_sets_and_jobs(api: KubernetesApi, place: Place) -> None:
    batch = client.BatchV1Api(place.connection)
    labels = {"app": "db"}
    stateful = deployment("db", "x/db:1", serviceName="db")
    place.apps.create_namespaced_stateful_set(place.namespace, stateful)
    place.apps.create_namespaced_daemon_set(
        place.namespace,
        {
            "metadata": {"name": "agent"},
            "spec": {
                "selector": {"matchLabels": {"app": "agent"}},
                "template": {"metadata": {"labels": {"app": "agent"}}, "spec": pod_spec("x/agent:1")},
            },
        },
    )
    for name, image in (("well", "x/batch:1"), ("bad", "x/fail-job/batch:1")):
        template = {"spec": pod_spec(image, restartPolicy="Never")}
        job = {"metadata": {"name": name}, "spec": {"backoffLimit": 1, "template": template}}
        batch.create_namespaced_job(place.namespace, job)

    def stateful_status() -> client.V1StatefulSetStatus:
        return place.apps.read_namespaced_stateful_set("db", place.namespace).status

    eventually(lambda: stateful_status().ready_replicas == 3, "three pods in order")
    first = stateful_status().current_revision
    assert sorted(each.metadata.name for each in place.pods("db")) == ["db-0", "db-1", "db-2"]
    patch = {"spec": {"template": {"spec": {"containers": [{"name": "app", "image": "x/db:2"}]}}}}
    place.apps.patch_namespaced_stateful_set("db", place.namespace, patch)
    eventually(
        lambda: stateful_status().current_revision == stateful_status().update_revision != first, "the new revision"
    )
    assert {each.spec.containers[0].image for each in place.pods("db")} == {"x/db:2"}
    revisions = place.apps.list_namespaced_controller_revision(place.namespace, label_selector="app=db").items
    assert (len(revisions), labels.items() <= revisions[0].metadata.labels.items()) == (2, True)

    def daemon_status() -> client.V1DaemonSetStatus:
        return place.apps.read_namespaced_daemon_set("agent", place.namespace).status

    eventually(lambda: daemon_status().number_available == 1, "a pod on the node")
    another = f"node-{uuid.uuid4().hex[:6]}"
    place.core.create_node({"metadata": {"name": another}, "spec": {}})
    eventually(lambda: daemon_status().number_available == 2, "a pod on the new node")
    place.core.delete_node(another)
    eventually(lambda: daemon_status().desired_number_scheduled == 1, "one node")

    def ends(name: str) -> list[tuple[str, str]]:
        conditions = batch.read_namespaced_job(name, place.namespace).status.conditions or []
        return [(each.type, each.reason) for each in conditions][-1:]

    eventually(lambda: ends("well") == [("Complete", "CompletionsReached")], "the job that ends well")
    eventually(lambda: ends("bad") == [("Failed", "BackoffLimitExceeded")], "the job that fails")


@pytest.mark.emulator_only
def test_an_autoscaler_follows_the_load(api: KubernetesApi, place: Place) -> None:
    scaling = client.AutoscalingV2Api(place.connection)
    name = place.deploy(deployment("shop", "x/shop:1", replicas=1))
    target = {"type": "Utilization", "averageUtilization": 50}
    spec = {
        "minReplicas": 2,
        "maxReplicas": 5,
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": name},
        "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": target}}],
    }
    scaling.create_namespaced_horizontal_pod_autoscaler(place.namespace, {"metadata": {"name": name}, "spec": spec})

    def replicas() -> int:
        return int(place.deployment(name).spec.replicas)

    def reason(kind: str) -> str:
        found = scaling.read_namespaced_horizontal_pod_autoscaler(name, place.namespace).status
        return next((each.reason for each in found.conditions or [] if each.type == kind), "")

    eventually(lambda: replicas() == 2, "the minimum")
    api.load(place.namespace, name, 100)
    eventually(lambda: replicas() == 4, "ceil(2 * 100 / 50)")
    measured = scaling.read_namespaced_horizontal_pod_autoscaler(name, place.namespace).status
    eventually(lambda: reason("ScalingActive") == "ValidMetricFound", "a measurement")
    assert measured.desired_replicas == 4
    api.load(place.namespace, name, 200)
    eventually(lambda: (replicas(), reason("ScalingLimited")) == (5, "TooManyReplicas"), "the maximum")
    api.load(place.namespace, name, None)
    eventually(lambda: reason("ScalingActive") == "FailedGetResourceMetric", "no measurement")
    place.patch(name, {"replicas": 0})
    eventually(lambda: reason("ScalingActive") == "ScalingDisabled", "nothing to scale")
    assert replicas() == 0


@pytest.mark.emulator_only
def test_what_was_planted_stays_until_its_spec_changes(api: KubernetesApi, place: Place) -> None:
    namespace = place.namespace
    planted = deployment("shop", "x/shop:1")
    planted |= {"apiVersion": "apps/v1", "kind": "Deployment", "status": {"observedGeneration": 1, "replicas": 3}}
    planted["metadata"]["namespace"] = namespace
    owner = api.create(planted)
    reference = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "shop", "uid": owner["metadata"]["uid"]}
    template = {**planted["spec"]["template"], "metadata": {"labels": {"app": "shop", HASH: "abc"}}}
    labels = template["metadata"]["labels"]
    metadata = {"name": "shop-abc", "namespace": namespace, "labels": labels, "annotations": {REVISION: "7"}}
    metadata["ownerReferences"] = [{**reference, "controller": True}]
    spec = {"replicas": 3, "selector": {"matchLabels": labels}, "template": template}
    replica_set = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": metadata, "spec": spec}
    api.create({**replica_set, "status": {"replicas": 3}})
    pod = {"name": "shop-abc-evicted", "namespace": namespace, "labels": labels}
    evicted = {"phase": "Failed", "reason": "Evicted", "message": "The node was low on resource: memory."}
    api.create({"apiVersion": "v1", "kind": "Pod", "metadata": pod, "spec": template["spec"], "status": evicted})
    probe = place.deploy(deployment("probe", "x/probe:1"))  # the controllers have come by when this one is ready
    place.rolled_out(probe)
    assert api.get("Deployment", namespace, "shop")["status"] == planted["status"]
    assert [each.metadata.name for each in place.pods("shop")] == ["shop-abc-evicted"]

    place.apps.patch_namespaced_deployment_scale("shop", namespace, {"spec": {"replicas": 2}})
    place.rolled_out("shop")
    assert place.apps.read_namespaced_replica_set("shop-abc", namespace).spec.replicas == 2
    assert place.revision("shop") == "7"
    phases = sorted(each.status.phase for each in place.pods("shop"))
    assert phases == ["Failed", "Running", "Running"]


# --- kubernetes.core
PLAY = """
- name: Do what playbooks do
  hosts: localhost
  gather_facts: false
  module_defaults:
    group/kubernetes.core.k8s:
      kubeconfig: "{{ kubeconfig }}"
  tasks:
    - name: Deploy and wait
      kubernetes.core.k8s:
        namespace: "{{ place }}"
        definition: "{{ manifest }}"
        wait: true
        wait_sleep: 1
      register: first
    - name: Deploy another image and wait
      kubernetes.core.k8s:
        namespace: "{{ place }}"
        definition: "{{ manifest | combine(newer, recursive=true) }}"
        wait: true
        wait_sleep: 1
    - name: Go back
      kubernetes.core.k8s_rollback:
        kubeconfig: "{{ kubeconfig }}"
        api_version: apps/v1
        kind: Deployment
        namespace: "{{ place }}"
        name: web
      register: back
    - name: Scale and wait
      kubernetes.core.k8s_scale:
        api_version: apps/v1
        kind: Deployment
        namespace: "{{ place }}"
        name: web
        replicas: 3
        wait: true
        wait_sleep: 1
    - name: Empty a node
      kubernetes.core.k8s_drain:
        name: "{{ node }}"
        state: drain
        delete_options:
          wait_sleep: 1
          wait_timeout: 240
"""


@pytest.mark.emulator_only
def test_kubernetes_core_waits_scales_rolls_back_and_drains(
    api: KubernetesApi, place: Place, kubeconfig: Path, tmp_path: Path
) -> None:
    node = f"node-{uuid.uuid4().hex[:6]}"
    place.core.create_node({"metadata": {"name": node, "labels": {"drained": "yes"}}, "spec": {}})
    manifest = {"apiVersion": "apps/v1", "kind": "Deployment", **deployment("web", "x/web:1", replicas=2)}
    newer = {"spec": {"template": {"spec": pod_spec("x/web:2")}}}
    here = {"spec": {**pod_spec("x/web:1"), "nodeName": node}, "metadata": {"name": "last"}}
    here["metadata"]["ownerReferences"] = [
        {"apiVersion": "v1", "kind": "X", "name": "x", "uid": "x", "controller": True}
    ]
    place.core.create_namespaced_pod(place.namespace, here)
    (tmp_path / "play.yml").write_text(PLAY, encoding="utf-8")
    values = {"kubeconfig": str(kubeconfig), "place": place.namespace, "manifest": manifest, "newer": newer}
    values |= {"node": node, "ansible_python_interpreter": sys.executable}
    (tmp_path / "values.yml").write_text(yaml.safe_dump(values), encoding="utf-8")
    completed = ansible_playbook(tmp_path, "-i", "localhost,", "-c", "local", "play.yml", "-e", "@values.yml")
    assert completed.returncode == 0, completed.stdout
    assert "changed=5" in completed.stdout
    place.rolled_out("web")
    assert (place.revision("web"), place.deployment("web").spec.replicas) == ("3", 3)
    assert {each.spec.containers[0].image for each in place.pods("web")} == {"x/web:1"}
    left = place.core.list_namespaced_pod(place.namespace, field_selector=f"spec.nodeName={node}").items
    assert left == []
    place.core.delete_node(node)
