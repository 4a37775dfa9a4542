"""Watches, access, evictions, commands, field managers and refusals: as test_emulator_contract.py, which see."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kubernetes import client, watch
from kubernetes.stream import stream
from lab.kubernetes import KubernetesApi, kubectl
from lab.kubernetes.cli import main as command_line
from lab.kubernetes.contract import (
    APPLY,
    IMAGE,
    MERGE,
    STRATEGIC,
    Cluster,
    configmap,
    connect,
    deployment,
    opened,
    pod,
    refusal,
    until,
    until_gone,
)
from lab.kubernetes.exec import Executed
from lab.process import run_as

KUBECTL = kubectl.find()


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with opened(tmp_path_factory.mktemp("cluster")) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def api() -> Iterator[KubernetesApi]:
    with KubernetesApi() as api:
        yield api


@pytest.fixture(scope="module")
def connection(api: KubernetesApi, tmp_path_factory: pytest.TempPathFactory) -> client.ApiClient:
    return connect(api, tmp_path_factory.mktemp("protocol"))


@pytest.fixture(scope="module")
def core(connection: client.ApiClient) -> client.CoreV1Api:
    return client.CoreV1Api(connection)


def send(
    connection: client.ApiClient, method: str, path: str, body: Any = None, **headers: str
) -> tuple[int, Any, dict[str, str]]:
    """What the server answers at a path, as it comes: status, document, headers."""
    settings = connection.configuration
    login = {each["key"]: each["value"] for each in settings.auth_settings().values() if each["in"] == "header"}
    answer = connection.rest_client.pool_manager.request(
        method,
        settings.host + path,
        body=None if body is None else json.dumps(body),
        headers={**login, "Content-Type": "application/json", **headers},
    )
    return answer.status, json.loads(answer.data), {name.lower(): value for name, value in answer.headers.items()}


# --- what any cluster does
def test_a_watch_tells_every_change_of_what_is_selected(cluster: Cluster) -> None:
    core, namespace = cluster.core, cluster.namespace
    core.create_namespaced_config_map(namespace, configmap("seen", labels={"watched": "yes"}))
    start = core.list_namespaced_config_map(namespace, label_selector="watched=yes").metadata.resource_version

    def write() -> None:
        core.create_namespaced_config_map(namespace, configmap("other"))
        core.create_namespaced_config_map(namespace, configmap("new", labels={"watched": "yes"}))
        core.patch_namespaced_config_map("new", namespace, {"data": {"a": "1"}}, _content_type=MERGE)
        core.patch_namespaced_config_map(
            "seen", namespace, {"metadata": {"labels": {"watched": "no"}}}, _content_type=MERGE
        )
        core.delete_namespaced_config_map("new", namespace)

    writer = threading.Thread(target=write)
    writer.start()
    told, listener = [], watch.Watch()
    options = {"label_selector": "watched=yes", "resource_version": start, "timeout_seconds": 200}
    for event in listener.stream(core.list_namespaced_config_map, namespace, **options):
        told.append((event["type"], event["object"].metadata.name))
        if len(told) == 4:
            listener.stop()
    writer.join()
    assert told == [("ADDED", "new"), ("MODIFIED", "new"), ("DELETED", "seen"), ("DELETED", "new")]
    first = next(watch.Watch().stream(core.list_namespaced_config_map, namespace, field_selector="metadata.name=other"))
    assert (first["type"], first["raw_object"]["metadata"]["name"]) == ("ADDED", "other")


def test_an_apply_owns_its_fields_and_removes_those_it_no_longer_has(cluster: Cluster) -> None:
    namespace = cluster.namespace

    def apply(manager: str, *, force: bool = False, **container: Any) -> dict[str, Any]:
        body = deployment("owned")
        del body["spec"]["replicas"]
        body["spec"]["template"]["spec"]["containers"] = [{"name": "app", **container}]
        cluster.apps.patch_namespaced_deployment(
            "owned", namespace, body, field_manager=manager, force=force, _content_type=APPLY
        )
        found = cluster.apps.read_namespaced_deployment("owned", namespace)
        return client.ApiClient().sanitize_for_serialization(found)

    apply("first", image=IMAGE, env=[{"name": "A", "value": "1"}, {"name": "B", "value": "2"}])
    with pytest.raises(client.ApiException) as conflict:
        apply("second", image="other:1")
    refused = json.loads(conflict.value.body)
    field = '.spec.template.spec.containers[name="app"].image'
    assert (refused["code"], refused["reason"]) == (409, "Conflict")
    assert refused["message"] == f'Apply failed with 1 conflict: conflict with "first": {field}'
    cause = {"reason": "FieldManagerConflict", "message": 'conflict with "first"', "field": field}
    assert refused["details"]["causes"] == [cause]
    forced = apply("second", force=True, image="other:1")
    assert {each["manager"] for each in forced["metadata"]["managedFields"]} >= {"first", "second"}
    # What it lacks goes; what is another's, and what the server filled in, stays.
    after = apply("first", env=[{"name": "B", "value": "2"}])["spec"]["template"]["spec"]["containers"][0]
    assert (after["env"], after["image"]) == ([{"name": "B", "value": "2"}], "other:1")
    again = apply("first", env=[{"name": "B", "value": "2"}])
    assert again["metadata"]["generation"] == forced["metadata"]["generation"] + 1
    # An autoscaler writes the scale; an apply with replicas then meets its owner.
    cluster.apps.patch_namespaced_deployment_scale(
        "owned", namespace, {"spec": {"replicas": 0}}, field_manager="autoscaler", _content_type=MERGE
    )
    cluster.apps.patch_namespaced_deployment_scale(
        "owned", namespace, {"spec": {"replicas": 2}}, field_manager="autoscaler", _content_type=MERGE
    )
    whole = deployment("owned")
    whole["spec"]["template"]["spec"]["containers"] = [{"name": "app", "env": [{"name": "B", "value": "2"}]}]
    scaled = refusal(
        cluster.apps.patch_namespaced_deployment, "owned", namespace, whole, field_manager="first", _content_type=APPLY
    )
    assert 'conflict with "autoscaler" with subresource "scale" using apps/v1' in scaled["message"]
    assert scaled["details"]["causes"][0]["field"] == ".spec.replicas"


def with_container(**container: Any) -> dict[str, Any]:
    return {"spec": {"template": {"spec": {"containers": [{"name": "a", **container}]}}}}


FIELD = "Go struct field EnvVar.spec.template.spec.containers.env.value of type string"
WRONG: list[tuple[Any, int, str]] = [
    ({"metadata": {"name": "Web"}}, 422, "metadata.name: Invalid value"),
    ({"spec": {"selector": {"matchLabels": {"app": "x"}}}}, 422, "`selector` does not match template `labels`"),
    ({"spec": {"selector": None}}, 422, "spec.selector: Required value"),
    ({"spec": {"replicas": -1}}, 422, "spec.replicas: Invalid value: -1: must be greater than or equal to 0"),
    (with_container(), 422, "containers[0].image: Required value"),
    (
        with_container(image="a", volumeMounts=[{"name": "v", "mountPath": "/a"}]),
        422,
        'containers[0].volumeMounts[0].name: Not found: "v"',
    ),
    (
        with_container(image="a", env=[{"name": "A", "value": 1}]),
        400,
        f"json: cannot unmarshal number into {FIELD}",
    ),
    ({"kind": "Job"}, 400, "cannot be handled as a Deployment"),
]


def wrong_manifest(change: Any) -> Any:
    def merged(old: Any, new: Any) -> Any:
        if not (isinstance(old, dict) and isinstance(new, dict)):
            return new
        return {**old, **{name: merged(old.get(name), value) for name, value in new.items()}}

    return merged(deployment("wrong"), change)


def refused_of(connection: client.ApiClient, namespace: str, change: Any) -> Any:
    """Sent as it is: the typed client would refuse some of them itself."""
    path = f"/apis/apps/v1/namespaces/{namespace}/deployments?dryRun=All"
    status, document, _headers = send(connection, "POST", path, wrong_manifest(change))
    assert status >= 400, document
    return document


def test_wrong_manifests_are_refused_with_the_field(cluster: Cluster) -> None:
    for change, code, text in WRONG:
        refused = refused_of(cluster.connection, cluster.namespace, change)
        assert (refused["code"], text in refused["message"]) == (code, True), refused
    apps, namespace = cluster.apps, cluster.namespace
    status, document, _ = send(cluster.connection, "POST", f"/apis/apps/v9/namespaces/{namespace}/deployments", {})
    assert (status, document["reason"]) == (404, "NotFound")
    apps.create_namespaced_deployment(namespace, deployment("fixed"))
    moved = deployment("fixed")
    moved["spec"]["selector"]["matchLabels"] = moved["spec"]["template"]["metadata"]["labels"] = {"app": "moved"}
    refused = refusal(apps.replace_namespaced_deployment, "fixed", namespace, moved)
    assert (refused["code"], "spec.selector" in refused["message"]) == (422, True)
    assert refused["message"].endswith("field is immutable")
    made = apps.read_namespaced_deployment("fixed", namespace).spec
    assert (made.strategy.rolling_update.max_surge, made.progress_deadline_seconds) == ("25%", 600)
    assert made.template.spec.containers[0].termination_message_policy == "File"


def test_answers_come_in_the_form_that_is_asked_for(cluster: Cluster) -> None:
    cluster.core.create_namespaced_config_map(cluster.namespace, configmap("formed", {"a": "1"}))
    path = f"/api/v1/namespaces/{cluster.namespace}/configmaps"
    form = "application/json;as={};g=meta.k8s.io;v=v1,application/json"
    _, partial, _ = send(cluster.connection, "GET", path, Accept=form.format("PartialObjectMetadataList"))
    assert partial["kind"] == "PartialObjectMetadataList"
    assert {"formed"} <= {each["metadata"]["name"] for each in partial["items"]}
    assert not any("data" in each for each in partial["items"])
    _, table, _ = send(cluster.connection, "GET", f"{path}/formed", Accept=form.format("Table"))
    assert [each["name"] for each in table["columnDefinitions"]] == ["Name", "Data", "Age"]
    assert [str(cell) for cell in table["rows"][0]["cells"]][:2] == ["formed", "1"]


def test_what_may_be_done_is_asked_before(cluster: Cluster) -> None:
    reviews = client.AuthorizationV1Api(cluster.connection)
    asked = {"verb": "create", "resource": "pods", "subresource": "exec", "namespace": cluster.namespace}
    review = reviews.create_self_subject_access_review({"spec": {"resourceAttributes": asked}})
    assert (review.status.allowed, review.spec.resource_attributes.subresource) == (True, "exec")
    rules = reviews.create_self_subject_rules_review({"spec": {"namespace": cluster.namespace}}).status.resource_rules
    assert any({"get", "*"} & set(each.verbs) for each in rules)


def test_a_disruption_budget_keeps_pods(cluster: Cluster) -> None:
    core, namespace = cluster.core, cluster.namespace
    for name in ("kept-0", "kept-1"):
        body = pod(name)
        body["metadata"]["labels"] = {"app": "kept"}
        core.create_namespaced_pod(namespace, body)

    def ready() -> bool:
        conditions = [
            {each.type: each.status for each in found.status.conditions or []}
            for found in core.list_namespaced_pod(namespace, label_selector="app=kept").items
        ]
        return [each.get("Ready") for each in conditions] == ["True", "True"]

    until(ready)
    budget = {"minAvailable": 1, "selector": {"matchLabels": {"app": "kept"}}}
    policy = client.PolicyV1Api(cluster.connection)
    policy.create_namespaced_pod_disruption_budget(namespace, {"metadata": {"name": "kept"}, "spec": budget})
    evictions = f"/api/v1/namespaces/{namespace}/pods/{{}}/eviction"

    def evict(name: str) -> tuple[int, Any]:
        body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name}}
        return send(cluster.connection, "POST", evictions.format(name), body)[:2]

    until(lambda: evict("kept-0")[0] == 201)  # a real budget is counted a moment later
    until_gone(core.read_namespaced_pod, "kept-0", namespace)
    status, refused = evict("kept-1")
    assert (status, refused["reason"]) == (429, "TooManyRequests")
    assert refused["message"] == "Cannot evict pod as it would violate the pod's disruption budget."
    assert refused["details"]["causes"] == [
        {
            "reason": "DisruptionBudget",
            "message": "The disruption budget kept needs 1 healthy pods and has 1 currently",
        }
    ]
    assert core.read_namespaced_pod("kept-1", namespace).metadata.name


# --- what only a real cluster can prove
@pytest.mark.real_cluster_only
def test_the_emulator_refuses_what_the_real_server_does_and_as_it_says(
    cluster: Cluster, connection: client.ApiClient
) -> None:
    def causes(refused: Any) -> set[tuple[str, str]]:
        found = (refused.get("details") or {}).get("causes") or []
        return {(each["field"], each["message"]) for each in found} or {("", refused["message"].partition(": ")[2])}

    for change, code, _text in WRONG[:-1]:
        theirs = refused_of(cluster.connection, cluster.namespace, change)
        ours = refused_of(connection, "default", change)
        assert (ours["code"], theirs["code"]) == (code, code), change
        assert causes(ours) <= causes(theirs), change


@pytest.mark.real_cluster_only
def test_the_emulator_fills_in_what_the_real_server_does(cluster: Cluster, connection: client.ApiClient) -> None:
    def given_only(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: given_only(each) for name, each in value.items() if each is not None}
        return [given_only(each) for each in value] if isinstance(value, list) else value

    def made(where: client.ApiClient, namespace: str) -> Any:
        path = f"/apis/apps/v1/namespaces/{namespace}/deployments?dryRun=All"
        return given_only(send(where, "POST", path, deployment("filled"))[1]["spec"])

    assert made(connection, "default") == made(cluster.connection, cluster.namespace)


# --- what only the emulator does on order
@pytest.mark.emulator_only
def test_a_watch_from_too_long_ago_ends_in_410(api: KubernetesApi, core: client.CoreV1Api) -> None:
    start = core.list_namespaced_config_map("default").metadata.resource_version
    core.create_namespaced_config_map("default", configmap("late"))
    api.forget_versions()
    listener = watch.Watch()
    with pytest.raises(client.ApiException) as expired:
        list(listener.stream(core.list_namespaced_config_map, "default", resource_version=start, timeout_seconds=200))
    assert expired.value.status == 410
    core.delete_namespaced_config_map("late", "default")


@pytest.mark.emulator_only
def test_a_denial_is_in_the_review_and_in_the_answer(api: KubernetesApi, connection: client.ApiClient) -> None:
    reviews = client.AuthorizationV1Api(connection)
    attributes = {"verb": "patch", "group": "apps", "resource": "deployments", "subresource": "scale"}
    api.create({"apiVersion": "apps/v1", "kind": "Deployment", **deployment("held"), "status": {"replicas": 0}})

    def allowed(namespace: str) -> bool:
        asked = {"spec": {"resourceAttributes": {**attributes, "namespace": namespace}}}
        return bool(reviews.create_self_subject_access_review(asked).status.allowed)

    api.deny("patch", "deployments.apps/scale", "default")
    assert (allowed("default"), allowed("other")) == (False, True)
    apps = client.AppsV1Api(connection)
    refused = refusal(
        apps.patch_namespaced_deployment_scale, "held", "default", {"spec": {"replicas": 1}}, _content_type=MERGE
    )
    assert refused["message"] == (
        'deployments.apps "held" is forbidden: User "runbook" cannot patch resource "deployments/scale" in API group '
        '"apps" in the namespace "default"'
    )
    apps.patch_namespaced_deployment("held", "default", {"metadata": {"labels": {"a": "b"}}}, _content_type=STRATEGIC)
    api.allow("patch", "deployments.apps/scale", "default")
    assert allowed("default")


@pytest.mark.emulator_only
def test_commands_webhooks_metrics_and_warnings(api: KubernetesApi, connection: client.ApiClient) -> None:
    core = client.CoreV1Api(connection)
    core.create_namespaced_pod("default", pod("shell"))
    until(lambda: core.read_namespaced_pod("shell", "default").status.phase == "Running")
    api.execute("default", "shell", lambda session: Executed(f"ran {' '.join(session.command)}\n", "and said\n", 3))
    options = {"stdout": True, "stderr": True, "_preload_content": False}
    ran = stream(core.connect_get_namespaced_pod_exec, "shell", "default", command=["ls", "-l"], **options)
    ran.run_forever()
    assert (ran.read_stdout(), ran.read_stderr(), ran.returncode) == ("ran ls -l\n", "and said\n", 3)
    api.execute("default", "sh*", lambda session: "".join(session.input()).upper())
    typed = stream(core.connect_get_namespaced_pod_exec, "shell", "default", command=["cat"], stdin=True, **options)
    typed.write_stdin("a" * 200_000)
    typed.close_channel(0)
    typed.run_forever()
    assert (typed.read_stdout(), typed.returncode) == ("A" * 200_000, 0)

    annotation = "nginx.ingress.kubernetes.io/server-snippet"
    why = f"{annotation} annotation cannot be used. Snippet directives are disabled by the Ingress administrator"

    def judge(ingress: dict[str, Any]) -> str | None:
        return why if annotation in (ingress["metadata"].get("annotations") or {}) else None

    forget = api.admit("Ingress", judge, webhook="validate.nginx.ingress.kubernetes.io")
    networking = client.NetworkingV1Api(connection)
    ingress = {"metadata": {"name": "a", "annotations": {annotation: "return 503;"}}, "spec": {"rules": []}}
    denied = refusal(networking.create_namespaced_ingress, "default", ingress)
    webhook = 'admission webhook "validate.nginx.ingress.kubernetes.io" denied the request'
    assert (denied["code"], denied["message"]) == (400, f"{webhook}: {why}")
    forget()
    networking.create_namespaced_ingress("default", ingress)

    def groups() -> set[str]:
        return {each.name for each in client.ApisApi(connection).get_api_versions().groups}

    assert "metrics.k8s.io" not in groups()
    api.metrics("default", "shell", "250m", "128Mi")
    found = client.CustomObjectsApi(connection).list_namespaced_custom_object(
        "metrics.k8s.io", "v1beta1", "default", "pods"
    )
    assert found["items"][0]["containers"] == [{"name": "app", "usage": {"cpu": "250m", "memory": "128Mi"}}]
    api.no_metrics()
    assert "metrics.k8s.io" not in groups()
    assert api.get("pods", "default", "shell")["kind"] == "Pod"  # and not what has the same plural

    _, _, headers = send(connection, "GET", "/api/v1/namespaces/default/endpoints")
    assert headers["warning"] == ('299 - "v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice"')
    names = {"plural": "robots", "kind": "Robot", "shortNames": ["rb"]}
    spec = {"group": "lab.example.com", "scope": "Namespaced", "names": names}
    spec["versions"] = [{"name": "v1", "served": True, "storage": True, "subresources": {"status": {}}}]
    definition = {"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "spec": spec}
    api.create({**definition, "metadata": {"name": "robots.lab.example.com"}})
    robots = ("lab.example.com", "v1", "default", "robots")
    custom = client.CustomObjectsApi(connection)
    custom.create_namespaced_custom_object(*robots, {"metadata": {"name": "r"}, "spec": {"arms": 2}})
    assert custom.list_namespaced_custom_object(*robots)["items"][0]["spec"] == {"arms": 2}
    patch = f"/apis/{robots[0]}/v1/namespaces/default/robots/r"
    assert send(connection, "PATCH", patch, {}, **{"Content-Type": STRATEGIC})[0] == 415


@pytest.mark.emulator_only
@pytest.mark.parametrize("tool", ["kubectl" if KUBECTL else "typed-client"])
def test_a_cluster_as_a_process_with_a_door(tmp_path: Path, tool: str) -> None:
    kubeconfig, pid, begin = tmp_path / "kubeconfig", tmp_path / "pid", tmp_path / "begin.json"
    begin.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": [
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": "shop"}, "data": {"x": "1"}}
    ]}))  # fmt: skip
    place = ("--pid-file", str(pid))
    assert command_line(["--kubeconfig", str(kubeconfig), "--load", str(begin), "--detach", *place]) == 0
    try:
        from kubernetes import config

        connection = config.new_client_from_config(str(kubeconfig))
        door = {"X-Lab": "1"}
        broken = {"method": "GET", "path_pattern": "*/shop/configmaps/a", "status": 503, "times": 1}
        assert send(connection, "POST", "/lab/fail", broken)[0] == 404  # without the header there is no door
        assert send(connection, "POST", "/lab/fail", broken, **door)[0] == 200
        assert send(connection, "GET", "/api/v1/namespaces/shop/configmaps/a")[0] == 503
        new = {"apiVersion": "apps/v1", **deployment("web")}
        new["metadata"]["namespace"] = "shop"
        new["spec"]["replicas"] = 2
        assert send(connection, "POST", "/lab/create", new, **door)[0] == 200
        assert send(connection, "POST", "/lab/none", {}, **door)[0] == 404
        if tool == "kubectl":
            done = kubectl.kubectl(kubeconfig, "rollout", "status", "deployment/web", "-n", "shop", "--timeout=240s")
            assert (done.returncode, "successfully rolled out" in done.stdout) == (0, True), done
            shown = kubectl.kubectl(kubeconfig, "get", "pods,configmaps", "-n", "shop", "--no-headers")
            assert shown.stdout.count("1/1") == 2, shown
            assert "configmap/a" in shown.stdout
            denial = {"verb": "delete", "resource": "pods", "namespace": "shop"}
            assert send(connection, "POST", "/lab/deny", denial, **door)[0] == 200
            assert kubectl.kubectl(kubeconfig, "auth", "can-i", "delete", "pods", "-n", "shop").stdout == "no\n"
            for changed in ("created", "unchanged"):
                manifest = tmp_path / "settings.json"
                settings = {"apiVersion": "v1", **configmap("settings", {"a": "1"}, namespace="shop")}
                manifest.write_text(json.dumps(settings), encoding="utf-8")
                done = kubectl.kubectl(kubeconfig, "apply", "--validate=false", "-f", str(manifest))
                assert (done.returncode, done.stdout) == (0, f"configmap/settings {changed}\n"), done
        else:
            apps = client.AppsV1Api(connection)
            until(lambda: apps.read_namespaced_deployment("web", "shop").status.available_replicas == 2)
    finally:
        assert command_line(["--stop", *place]) == 0
    assert not kubeconfig.exists()
    assert run_as(None, ["pgrep", "-f", str(kubeconfig)]).stdout == ""
