"""The API server emulator against what the official client expects of a real one.

Tests with ``cluster`` hold on any cluster: RUNBOOK_TEST_KUBECONFIG names the kubeconfig of a real one (its own
namespace is made and deleted), RUNBOOK_TEST_STORAGE_CLASS a class of it that can grow volumes. Tests marked
``emulator_only`` are about what no real cluster does on order.
"""

from __future__ import annotations

import base64
import uuid
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
import urllib3
from kubernetes import client
from kubernetes.dynamic import DynamicClient
from lab.kubernetes import CONTROLLERS, Controller, Key, KubernetesApi, Store
from lab.kubernetes.contract import (
    APPLY,
    IMAGE,
    JSON_PATCH,
    MERGE,
    STRATEGIC,
    Cluster,
    claim,
    configmap,
    connect,
    deployment,
    opened,
    pod,
    refusal,
    storage,
    until,
    until_gone,
    wanted,
)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with opened(tmp_path_factory.mktemp("cluster")) as cluster:
        yield cluster


@pytest.fixture
def api(tmp_path: Path) -> Iterator[KubernetesApi]:
    with KubernetesApi() as api:
        api.create(storage("standard", grows=True))
        yield api


@pytest.fixture
def core(api: KubernetesApi, tmp_path: Path) -> client.CoreV1Api:
    return client.CoreV1Api(connect(api, tmp_path))


# --- what any cluster does
def test_discovery_leads_clients_to_every_kind(cluster: Cluster) -> None:
    assert client.VersionApi(cluster.connection).get_code().major == "1"
    assert {"apps", "batch", "storage.k8s.io", "policy"} <= {
        each.name for each in client.ApisApi(cluster.connection).get_api_versions().groups
    }
    resources = {each.name: each for each in cluster.core.get_api_resources().resources}
    assert {"pods/log", "persistentvolumeclaims/status"} <= set(resources)
    assert (resources["persistentvolumeclaims"].short_names, resources["nodes"].namespaced) == (["pvc"], False)
    dynamic = DynamicClient(cluster.connection)
    for version, kind in (("v1", "PersistentVolumeClaim"), ("apps/v1", "Deployment"), ("batch/v1", "CronJob")):
        found = dynamic.resources.get(api_version=version, kind=kind)
        assert found.get(namespace=cluster.namespace).kind == f"{kind}List"
    assert dynamic.resources.get(api_version="apps/v1", kind="Deployment").subresources["scale"].kind == "Scale"


def test_objects_are_created_once_and_carry_the_servers_metadata(cluster: Cluster) -> None:
    made = cluster.core.create_namespaced_config_map(cluster.namespace, configmap("made", {"a": "1"}))
    assert made.metadata.uid
    assert made.metadata.resource_version
    assert made.metadata.namespace == cluster.namespace
    assert abs(made.metadata.creation_timestamp - datetime.now(timezone.utc)) < timedelta(hours=1)
    read = cluster.core.read_namespaced_config_map("made", cluster.namespace)
    assert (read.kind, read.api_version, read.data) == ("ConfigMap", "v1", {"a": "1"})
    twice = refusal(cluster.core.create_namespaced_config_map, cluster.namespace, configmap("made"))
    assert (twice["code"], twice["reason"]) == (409, "AlreadyExists")
    assert twice["message"] == 'configmaps "made" already exists'
    missing = refusal(cluster.apps.read_namespaced_deployment, "none", cluster.namespace)
    assert missing["message"] == 'deployments.apps "none" not found'
    assert missing["details"] == {"name": "none", "group": "apps", "kind": "deployments"}
    nowhere = refusal(cluster.core.create_namespaced_config_map, "no-such-namespace", configmap("a"))
    assert (nowhere["code"], nowhere["message"]) == (404, 'namespaces "no-such-namespace" not found')
    secret = {"metadata": {"name": "folded"}, "stringData": {"password": "a"}}
    folded = cluster.core.create_namespaced_secret(cluster.namespace, secret)
    assert (folded.type, base64.b64decode(folded.data["password"])) == ("Opaque", b"a")


def test_a_stale_replacement_is_a_conflict_and_the_spec_counts_generations(cluster: Cluster) -> None:
    old = cluster.core.create_namespaced_config_map(cluster.namespace, configmap("stale"))
    old.data = {"a": "1"}
    new = cluster.core.replace_namespaced_config_map("stale", cluster.namespace, old)
    assert new.metadata.resource_version != old.metadata.resource_version
    assert new.metadata.uid == old.metadata.uid
    stale = refusal(cluster.core.replace_namespaced_config_map, "stale", cluster.namespace, old)
    assert (stale["code"], stale["reason"]) == (409, "Conflict")
    assert "the object has been modified; please apply your changes to the latest version" in stale["message"]

    made = cluster.apps.create_namespaced_deployment(
        cluster.namespace, deployment("counted") | {"status": {"replicas": 9}}
    )
    assert made.metadata.generation == 1
    assert made.status.replicas is None
    labelled = {"metadata": {"labels": {"a": "b"}}}
    same = cluster.apps.patch_namespaced_deployment("counted", cluster.namespace, labelled, _content_type=MERGE)
    assert same.metadata.generation == 1
    paused = {"spec": {"paused": True}, "status": {"replicas": 9}}
    changed = cluster.apps.patch_namespaced_deployment("counted", cluster.namespace, paused, _content_type=MERGE)
    assert (changed.metadata.generation, changed.status.replicas) == (2, None)


def test_patches_do_what_their_content_type_says(cluster: Cluster) -> None:
    cluster.apps.create_namespaced_deployment(cluster.namespace, deployment("patched"))

    def patch(body: Any, kind: str) -> client.V1PodSpec:
        found = cluster.apps.patch_namespaced_deployment("patched", cluster.namespace, body, _content_type=kind)
        return found.spec.template.spec

    def containers(*each: dict[str, Any]) -> dict[str, Any]:
        return {"spec": {"template": {"spec": {"containers": list(each)}}}}

    environment = [{"name": "B", "value": "3"}, {"name": "C", "value": "4"}, {"name": "A", "$patch": "delete"}]
    spec = patch(containers({"name": "app", "env": environment}, {"name": "side", "image": "b"}), STRATEGIC)
    by_name = {each.name: each for each in spec.containers}
    assert set(by_name) == {"app", "side"}
    assert by_name["app"].image == IMAGE
    assert {each.name: each.value for each in by_name["app"].env} == {"B": "3", "C": "4"}

    spec = patch(containers({"name": "side", "image": "b", "args": ["x", "y"]}), MERGE)
    assert [each.name for each in spec.containers] == ["side"]

    place = "/spec/template/spec/containers/0"
    spec = patch(
        [
            {"op": "test", "path": f"{place}/image", "value": "b"},
            {"op": "replace", "path": f"{place}/image", "value": "c"},
            {"op": "remove", "path": f"{place}/args/0"},
            {"op": "add", "path": f"{place}/args/-", "value": "z"},
            {"op": "add", "path": "/spec/template/metadata/annotations", "value": {"a/b": "1"}},
            {"op": "add", "path": "/metadata/annotations", "value": {}},
            {"op": "copy", "from": "/spec/template/metadata/annotations/a~1b", "path": "/metadata/annotations/copied"},
        ],
        JSON_PATCH,
    )
    assert (spec.containers[0].image, spec.containers[0].args) == ("c", ["y", "z"])
    for operation in (
        {"op": "test", "path": f"{place}/image", "value": "b"},
        {"op": "remove", "path": f"{place}/nothing"},
    ):
        with pytest.raises(client.ApiException) as refused:
            patch([operation], JSON_PATCH)
        assert refused.value.status == 422
    assert refusal(patch, {"metadata": {"resourceVersion": "1"}}, MERGE)["code"] == 409


def test_an_apply_creates_and_then_changes(cluster: Cluster) -> None:
    def apply(body: dict[str, Any], **options: Any) -> client.V1ConfigMap:
        return cluster.core.patch_namespaced_config_map(
            "applied", cluster.namespace, body, _content_type=APPLY, **options
        )

    manager = {"field_manager": "runbook", "force": True}
    assert apply(configmap("applied", {"a": "1"}), **manager).data == {"a": "1"}
    assert apply(configmap("applied", {"a": "2"}), **manager).data == {"a": "2"}
    assert cluster.core.read_namespaced_config_map("applied", cluster.namespace).data == {"a": "2"}
    with pytest.raises(client.ApiException):
        apply(configmap("applied", {"a": "3"}))


def test_a_dry_run_answers_as_if_and_stores_nothing(cluster: Cluster) -> None:
    core, namespace = cluster.core, cluster.namespace
    assert core.create_namespaced_config_map(namespace, configmap("dry"), dry_run="All").metadata.uid
    assert refusal(core.read_namespaced_config_map, "dry", namespace)["reason"] == "NotFound"
    kept = core.create_namespaced_config_map(namespace, configmap("dry", {"a": "1"}))
    patch = {"data": {"a": "2"}}
    assert (
        core.patch_namespaced_config_map("dry", namespace, patch, dry_run="All", _content_type=MERGE).data["a"] == "2"
    )
    core.delete_namespaced_config_map("dry", namespace, dry_run="All")
    read = core.read_namespaced_config_map("dry", namespace)
    assert (read.data, read.metadata.resource_version) == ({"a": "1"}, kept.metadata.resource_version)
    assert refusal(core.create_namespaced_config_map, namespace, configmap("other"), dry_run="Some")["code"] in (
        400,
        422,
    )


def test_lists_are_selected_and_come_in_pages(cluster: Cluster) -> None:
    core, namespace = cluster.core, cluster.namespace
    for number in range(5):
        labels = {"set": "listed", "number": str(number), **({"odd": ""} if number % 2 else {})}
        core.create_namespaced_config_map(namespace, configmap(f"listed-{number}", labels=labels))

    def names(**selectors: Any) -> str:
        return "".join(each.metadata.name[-1] for each in core.list_namespaced_config_map(namespace, **selectors).items)

    for selector, found in (
        ("set=listed", "01234"),
        ("set=listed,odd", "13"),
        ("set=listed,!odd", "024"),
        ("set==listed,number!=0", "1234"),
        ("number in (0, 3),set", "03"),
        ("set=listed,number notin (0,3)", "124"),
        ("set=none", ""),
    ):
        assert names(label_selector=selector) == found, selector
    assert names(field_selector="metadata.name=listed-2") == "2"
    assert names(field_selector="metadata.name!=listed-2", label_selector="set=listed") == "0134"
    refused = refusal(core.list_namespaced_persistent_volume_claim, namespace, field_selector="spec.volumeName=a")
    assert (refused["code"], "field label not supported: spec.volumeName" in refused["message"]) == (400, True)

    page = core.list_namespaced_config_map(namespace, label_selector="set=listed", limit=2)
    assert page.kind == "ConfigMapList"
    seen = [each.metadata.name for each in page.items]
    assert len(seen) == 2
    while page.metadata._continue:
        page = core.list_namespaced_config_map(
            namespace, label_selector="set=listed", limit=2, _continue=page.metadata._continue
        )
        seen += [each.metadata.name for each in page.items]
    assert seen == [f"listed-{number}" for number in range(5)]
    assert {each.metadata.namespace for each in core.list_config_map_for_all_namespaces().items} >= {namespace}
    core.delete_collection_namespaced_config_map(namespace, label_selector="set=listed,odd")
    assert names(label_selector="set=listed") == "024"


def test_a_deletion_takes_along_what_is_owned(cluster: Cluster) -> None:
    core, namespace = cluster.core, cluster.namespace

    def family(name: str) -> client.V1ConfigMap:
        owner = core.create_namespaced_config_map(namespace, configmap(name))
        reference = {"apiVersion": "v1", "kind": "ConfigMap", "name": name, "uid": owner.metadata.uid}
        core.create_namespaced_config_map(namespace, configmap(f"{name}-child", ownerReferences=[reference]))
        return owner

    owner = family("owner")
    expected = {"preconditions": {"uid": str(uuid.uuid4())}}
    assert refusal(core.delete_namespaced_config_map, "owner", namespace, body=expected)["code"] == 409
    core.delete_namespaced_config_map("owner", namespace, body={"preconditions": {"uid": owner.metadata.uid}})
    until_gone(core.read_namespaced_config_map, "owner-child", namespace)
    family("orphaned")
    core.delete_namespaced_config_map("orphaned", namespace, body={"propagationPolicy": "Orphan"})
    until_gone(core.read_namespaced_config_map, "orphaned", namespace)
    assert core.read_namespaced_config_map("orphaned-child", namespace).metadata.name
    assert refusal(core.delete_namespaced_config_map, "owner", namespace)["code"] == 404


def test_a_scale_is_read_and_set_through_its_subresource(cluster: Cluster) -> None:
    apps, namespace = cluster.apps, cluster.namespace
    apps.create_namespaced_deployment(namespace, deployment("scaled"))
    scale = apps.read_namespaced_deployment_scale("scaled", namespace)
    assert (scale.kind, scale.spec.replicas, scale.status.selector) == ("Scale", 0, "app=scaled")
    paused = {"spec": {"paused": True}}
    apps.patch_namespaced_deployment("scaled", namespace, paused, _content_type=MERGE)
    two = {"spec": {"replicas": 2}}
    apps.patch_namespaced_deployment_scale("scaled", namespace, two, dry_run="All", _content_type=MERGE)
    assert apps.read_namespaced_deployment("scaled", namespace).spec.replicas == 0
    apps.patch_namespaced_deployment_scale("scaled", namespace, two, _content_type=MERGE)
    assert apps.read_namespaced_deployment("scaled", namespace).spec.replicas == 2


def test_a_claim_grows_and_never_shrinks(cluster: Cluster) -> None:
    core, namespace = cluster.core, cluster.namespace
    core.create_namespaced_persistent_volume_claim(namespace, claim("data", storage_class=cluster.storage_class))
    core.create_namespaced_pod(namespace, pod("database", mounts="data"))

    def read() -> client.V1PersistentVolumeClaim:
        return core.read_namespaced_persistent_volume_claim("data", namespace)

    def grow(size: str, **options: Any) -> client.V1PersistentVolumeClaim:
        return core.patch_namespaced_persistent_volume_claim("data", namespace, wanted(size), **options)

    until(lambda: read().status.phase == "Bound")
    until(lambda: core.read_namespaced_pod("database", namespace).status.phase == "Running")
    grow("3Gi", dry_run="All")
    assert read().spec.resources.requests["storage"] == "1Gi"
    grow("2Gi")
    until(lambda: read().status.capacity["storage"] == "2Gi" and not read().status.conditions)
    assert core.read_persistent_volume(read().spec.volume_name).spec.capacity["storage"] == "2Gi"
    assert "Resizing" in {
        each.reason for each in core.list_namespaced_event(namespace, field_selector="involvedObject.name=data").items
    }
    smaller = refusal(grow, "1Gi")
    assert (smaller["code"], smaller["reason"]) == (422, "Invalid")
    field = "spec.resources.requests.storage: Forbidden: field can not be less than"
    assert smaller["message"].startswith(f'PersistentVolumeClaim "data" is invalid: {field}')
    moved = refusal(
        core.patch_namespaced_persistent_volume_claim, "data", namespace, {"spec": {"storageClassName": "other"}}
    )
    assert (moved["code"], "spec is immutable after creation" in moved["message"]) == (422, True)
    # In use it is only marked; it goes with the last pod.
    core.delete_namespaced_persistent_volume_claim("data", namespace)
    assert read().metadata.deletion_timestamp
    assert read().metadata.finalizers == ["kubernetes.io/pvc-protection"]
    core.delete_namespaced_pod("database", namespace)
    until_gone(core.read_namespaced_persistent_volume_claim, "data", namespace)


def test_a_claim_grows_only_where_its_class_allows_it(cluster: Cluster) -> None:
    core, namespace = cluster.core, cluster.namespace
    fixed = f"{namespace}-fixed"
    classes = client.StorageV1Api(cluster.connection)
    given = classes.read_storage_class(cluster.storage_class)
    classes.create_storage_class(storage(fixed, grows=False) | {"provisioner": given.provisioner})
    try:
        core.create_namespaced_persistent_volume_claim(namespace, claim("fixed", storage_class="none-such"))
        unbound = refusal(core.patch_namespaced_persistent_volume_claim, "fixed", namespace, wanted("2Gi"))
        assert unbound["code"] in (403, 422)
        core.create_namespaced_persistent_volume_claim(namespace, claim("set", storage_class=fixed))
        until(lambda: core.read_namespaced_persistent_volume_claim("set", namespace).status.phase == "Bound")
        refused = refusal(core.patch_namespaced_persistent_volume_claim, "set", namespace, wanted("2Gi"))
        assert (refused["code"], refused["reason"]) == (403, "Forbidden")
        assert refused["message"] == (
            'persistentvolumeclaims "set" is forbidden: only dynamically provisioned pvc can be resized and the '
            "storageclass that provisions the pvc must support resize"
        )
    finally:
        classes.delete_storage_class(fixed)


# --- what only the emulator can do
@pytest.mark.emulator_only
def test_a_claim_can_wait_for_a_restart_or_for_ever(api: KubernetesApi, core: client.CoreV1Api) -> None:
    for name in ("slow", "dead"):
        core.create_namespaced_persistent_volume_claim("default", claim(name))
        core.create_namespaced_pod("default", pod(f"{name}-0", mounts=name))
    until(
        lambda: all(
            each.status.phase == "Bound" for each in core.list_persistent_volume_claim_for_all_namespaces().items
        )
    )
    until(lambda: all(each.status.phase == "Running" for each in core.list_namespaced_pod("default").items))
    api.resize_needs_restart("default", "slow")
    api.resize("default", "dead", "fails")
    for name in ("slow", "dead"):
        core.patch_namespaced_persistent_volume_claim(name, "default", wanted("2Gi"))

    def conditions(name: str) -> list[str]:
        status = core.read_namespaced_persistent_volume_claim(name, "default").status
        return [each.type for each in status.conditions or []]

    until(lambda: conditions("slow") == ["FileSystemResizePending"])
    slow = core.read_namespaced_persistent_volume_claim("slow", "default")
    assert slow.status.capacity["storage"] == "1Gi"
    assert slow.status.conditions[0].message.startswith("Waiting for user to (re-)start a pod")
    assert core.read_persistent_volume(slow.spec.volume_name).spec.capacity["storage"] == "2Gi"
    core.delete_namespaced_pod("slow-0", "default")
    core.create_namespaced_pod("default", pod("slow-0", mounts="slow"))
    until(lambda: conditions("slow") == [])
    assert api.get("PersistentVolumeClaim", "default", "slow")["status"]["capacity"] == {"storage": "2Gi"}

    warnings = "involvedObject.name=dead,type=Warning"
    until(lambda: core.list_namespaced_event("default", field_selector=warnings).items)
    assert conditions("dead") == ["Resizing", "ControllerResizeError"]
    stages = api.get("PersistentVolumeClaim", "default", "dead")["status"]["allocatedResourceStatuses"]
    assert stages == {"storage": "ControllerResizeInfeasible"}
    back = core.patch_namespaced_persistent_volume_claim("dead", "default", wanted("1500Mi"))
    assert back.spec.resources.requests["storage"] == "1500Mi"  # a resize that failed may be taken back in part
    api.resize("default", "dead", "online")
    until(lambda: not conditions("dead"))
    assert api.get("PersistentVolumeClaim", "default", "dead")["status"]["capacity"] == {"storage": "1500Mi"}


@pytest.mark.emulator_only
def test_logs_are_read_as_the_parameters_say(api: KubernetesApi, core: client.CoreV1Api) -> None:
    api.create({**pod("web", containers=("app", "side")), "status": {"phase": "Running"}})
    now = datetime.now(timezone.utc)
    api.log("default", "web", "app", "old 1\nold 2", at=now - timedelta(hours=1))
    api.log("default", "web", "app", "new 1\nnew ü")
    api.log("default", "web", "app", "crashed", previous=True)

    def log(**parameters: Any) -> str:
        return str(core.read_namespaced_pod_log("web", "default", **parameters))

    assert log(container="app") == "old 1\nold 2\nnew 1\nnew ü\n"
    assert log(container="app", tail_lines=3) == "old 2\nnew 1\nnew ü\n"
    assert log(container="app", since_seconds=600) == "new 1\nnew ü\n"
    assert log(container="app", since_seconds=600, limit_bytes=8) == "new 1\nne"
    assert log(container="app", previous=True) == "crashed\n"
    assert log(container="side") == ""
    moment, _blank, text = log(container="app", tail_lines=1, timestamps=True).partition(" ")
    assert (text, datetime.fromisoformat(moment[:19] + "+00:00") >= now.replace(microsecond=0)) == ("new ü\n", True)
    for parameters, message in (
        ({}, "a container name must be specified for pod web, choose one of: [app side]"),
        ({"container": "db"}, "container db is not valid for pod web"),
        ({"container": "side", "previous": True}, 'previous terminated container "side" in pod "web" not found'),
    ):
        refused = refusal(log, **parameters)
        assert (refused["code"], refused["message"]) == (400, message)


@pytest.mark.emulator_only
def test_failures_come_on_order_and_every_request_is_recorded(api: KubernetesApi, core: client.CoreV1Api) -> None:
    core.create_namespaced_config_map("default", configmap("a"))
    api.requests.clear()
    api.fail("PATCH", "*/configmaps/a", 409, 2)
    body = {"data": {"a": "1"}}
    for _attempt in range(2):
        refused = refusal(core.patch_namespaced_config_map, "a", "default", body, _content_type=MERGE)
        assert (refused["code"], refused["reason"]) == (409, "Conflict")
    core.patch_namespaced_config_map("a", "default", body, _content_type=MERGE)
    assert [(each.method, each.path) for each in api.requests] == [
        ("PATCH", "/api/v1/namespaces/default/configmaps/a")
    ] * 3
    api.fail("GET", "*", 403, None)
    refused = refusal(core.list_namespaced_config_map, "default", limit=5)
    assert refused["message"] == (
        'configmaps is forbidden: User "runbook" cannot list resource "configmaps" in API group "" in the namespace '
        '"default"'
    )
    assert api.requests[-1].query == {"limit": "5"}
    api.heal()
    api.fail("GET", "*", 429, 1, retry_after=0)
    assert core.list_namespaced_config_map("default").items  # the client waits as told and asks again
    api.fail("GET", "*", 500)
    assert refusal(core.list_namespaced_config_map, "default")["reason"] == "InternalError"
    api.fail("GET", "*", "hang", None)
    with pytest.raises(urllib3.exceptions.HTTPError):
        core.list_namespaced_config_map("default", _request_timeout=0.1)


@pytest.mark.emulator_only
def test_only_the_token_opens_the_server(tmp_path: Path) -> None:
    with KubernetesApi(token="right") as api:
        core = client.CoreV1Api(connect(api, tmp_path))
        assert core.list_namespace().items
        api.token = "another"
        refused = refusal(core.list_namespace)
        assert (refused["code"], refused["reason"]) == (401, "Unauthorized")
        assert (tmp_path / "kubeconfig").stat().st_mode & 0o777 == 0o600


@pytest.mark.emulator_only
def test_a_kind_gets_a_controller_by_a_hook(tmp_path: Path) -> None:
    def reconcile(store: Store, key: Key) -> None:
        found = store.get(key)
        found["status"] = {"replicas": found["spec"]["replicas"], "observedGeneration": found["metadata"]["generation"]}
        store.replace(key, found)

    with KubernetesApi(controllers=(*CONTROLLERS, Controller("deployments", reconcile))) as api:
        apps = client.AppsV1Api(connect(api, tmp_path))
        apps.create_namespaced_deployment("default", deployment("web"))
        apps.patch_namespaced_deployment_scale("web", "default", {"spec": {"replicas": 3}}, _content_type=MERGE)
        until(lambda: apps.read_namespaced_deployment("web", "default").status.replicas == 3)
        assert apps.read_namespaced_deployment("web", "default").status.observed_generation == 2
