"""The drivers of the role maintenance_mode for Kubernetes, beside the manual's snippet; users come through a front."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes import client, config
from lab.kubernetes import KubernetesApi
from lab.kubernetes.ingress_front import IngressFront
from lab.kubernetes.module_runs import kill_module, run_here
from lab.play import ansible_playbook
from lab.process import eventually

from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.change_mark import CHANGED
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.maintenance import switch_maintenance
from ansible_collections.runbook.ops.plugins.modules import k8s_maintenance

pytestmark = pytest.mark.xdist_group("kubernetes")

SNIPPET = "nginx.ingress.kubernetes.io/server-snippet"
OTHERS_SNIPPET = "location /metrics { return 403; }"
FLAG = {"config_map": "flags", "key": "MAINTENANCE_MODE", "value": "true"}
BARRIER = {"hosts": ["localhost"], "paths": ["/api/v1/contents"], "service": "maintenance"}


class Clip:
    """A namespace with an API, a worker, a flag, a Service that says that it is closed, and the way in."""

    def __init__(self, api: KubernetesApi, kubeconfig: Path, namespace: str) -> None:
        self.api, self.kubeconfig, self.namespace = api, kubeconfig, namespace
        connection = config.new_client_from_config(str(kubeconfig))
        self.core, self.networking = client.CoreV1Api(connection), client.NetworkingV1Api(connection)
        self.apps = client.AppsV1Api(connection)
        data = {"MAINTENANCE_MODE": "false", "LOG_LEVEL": "info"}
        self.plant("v1", "ConfigMap", "flags", data=data)
        self.serve("api", CLOSED_BY="flags/MAINTENANCE_MODE")
        self.serve("web")
        self.serve("maintenance", ANSWER="503")
        self.serve("worker")
        self.route("api", "/api")
        self.route("web", "/shop", {SNIPPET: OTHERS_SNIPPET})
        self.front = IngressFront(api, namespace)

    def plant(self, api_version: str, kind: str, name: str, **more: Any) -> None:
        metadata = {"name": name, "namespace": self.namespace, **more.pop("metadata", {})}
        self.api.create({"apiVersion": api_version, "kind": kind, "metadata": metadata, **more})

    def serve(self, name: str, **environment: str) -> None:
        """One pod and its Service."""
        labels = {"app": name}
        variables = [{"name": key, "value": value} for key, value in environment.items()]
        pod = {"containers": [{"name": "app", "image": "registry.example.com/app:1", "env": variables}]}
        template = {"metadata": {"labels": labels}, "spec": pod}
        self.plant(
            "apps/v1",
            "Deployment",
            name,
            spec={"replicas": 1, "selector": {"matchLabels": labels}, "template": template},
        )
        self.plant("v1", "Service", name, spec={"selector": labels, "ports": [{"port": 80}]})

    def route(self, name: str, path: str, annotations: dict[str, str] | None = None) -> None:
        backend = {"service": {"name": name, "port": {"number": 80}}}
        rule = {"host": "localhost", "http": {"paths": [{"path": path, "pathType": "Prefix", "backend": backend}]}}
        self.plant(
            "networking.k8s.io/v1", "Ingress", name, spec={"rules": [rule]}, metadata={"annotations": annotations or {}}
        )

    def seen(self) -> dict[str, int]:
        """What users get, by path."""
        return {path: self.front.status(path) for path in ("/api/v1/contents", "/api/v1/users", "/shop", "/shop/cart")}

    def is_ready(self) -> bool:
        names = ("api", "web", "maintenance", "worker")
        pods = [self.apps.read_namespaced_deployment(name, self.namespace).status for name in names]
        slices = client.DiscoveryV1Api(self.core.api_client).list_namespaced_endpoint_slice(self.namespace).items
        return (
            all(each.ready_replicas == 1 for each in pods) and len([each for each in slices if each.endpoints]) == 3 + 1
        )

    def run(self, state: str, *, check_mode: bool = False, **options: Any) -> dict[str, Any]:
        """The module in this process."""
        for name in ("flag", "ingress"):
            if name in options:
                spec = k8s_maintenance.argument_spec()[name]["options"]
                options[name] = {each: spec[each].get("default") for each in spec} | options[name]
        given = {"kubeconfig": str(self.kubeconfig), "namespace": self.namespace, "state": state, **options}
        return run_here(switch_maintenance, k8s_maintenance, given, check_mode=check_mode)

    def ingresses(self) -> list[str]:
        return sorted(each.metadata.name for each in self.networking.list_namespaced_ingress(self.namespace).items)

    def writes(self) -> list[str]:
        mine = f"/namespaces/{self.namespace}/"
        return [
            each.method for each in self.api.requests if each.method != "GET" and mine in each.path and not each.dry_run
        ]


@pytest.fixture
def clip(api: KubernetesApi, kubeconfig: Path, namespace: str) -> Iterator[Clip]:
    clip = Clip(api, kubeconfig, namespace)
    with clip.front:
        eventually(clip.is_ready, "the pods and their endpoints")
        yield clip


ALL_OPEN = {"/api/v1/contents": 200, "/api/v1/users": 200, "/shop": 200, "/shop/cart": 200}


def test_the_manuals_snippet_takes_anothers_with_it(clip: Clip) -> None:
    """Annotating replaces what there was, and removing the annotation afterwards removes both; we touch nothing."""

    def annotate(text: str | None) -> None:
        clip.networking.patch_namespaced_ingress("web", clip.namespace, {"metadata": {"annotations": {SNIPPET: text}}})

    assert clip.front.status("/metrics") == 403
    annotate("location /api/v1/contents { return 503; }")
    assert (clip.front.status("/api/v1/contents"), clip.front.status("/metrics")) == (503, 404)
    annotate(None)
    assert clip.front.status("/metrics") == 404
    annotate(OTHERS_SNIPPET)
    # Where snippets are switched off, as they are by default, a webhook denies it; us it stops before anything changes.
    stop = clip.api.admit(
        "Ingress",
        lambda ingress: "risky annotation" if ingress["metadata"]["namespace"] == clip.namespace else None,
        webhook="validate.nginx.ingress.kubernetes.io",
    )
    with pytest.raises(client.ApiException, match="denied the request"):
        annotate("location /api/v1/contents { return 503; }")
    clip.api.requests.clear()
    denied = clip.run("closed", ingress=BARRIER)
    assert (denied["failed"], "risky annotation" in denied["msg"], clip.writes()) == (True, True, [])
    stop()

    before = clip.networking.read_namespaced_ingress("web", clip.namespace).metadata
    foreseen = clip.run("closed", check_mode=True, ingress=BARRIER)
    assert (foreseen["changed"], foreseen["after"], clip.writes(), clip.seen()) == (True, None, [], ALL_OPEN)
    done = clip.run("closed", ingress=BARRIER)
    place = f"Ingress {clip.namespace}/runbook-maintenance"
    assert done["actions"] == foreseen["actions"] == [
        {"action": "create", "object": place, "from": None, "to": "localhost/api/v1/contents"}
    ]  # fmt: skip
    assert clip.seen() == {**ALL_OPEN, "/api/v1/contents": 503}
    assert clip.run("closed", ingress=BARRIER)["changed"] is False
    wider = clip.run("closed", ingress={**BARRIER, "paths": ["/api/v1/contents", "/shop/cart"]})
    assert ([each["action"] for each in wider["actions"]], clip.seen()["/shop/cart"]) == (["change"], 503)
    assert clip.run("open", ingress=BARRIER)["actions"][0]["action"] == "delete"
    assert (clip.seen(), clip.front.status("/metrics"), clip.ingresses()) == (ALL_OPEN, 403, ["api", "web"])
    assert clip.run("open", ingress=BARRIER)["changed"] is False
    after = clip.networking.read_namespaced_ingress("web", clip.namespace).metadata
    assert (after.resource_version, after.annotations) == (before.resource_version, before.annotations)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"ingress": {**BARRIER, "paths": ["/api"]}}, "has the same path /api of localhost, and the older one wins."),
        ({"ingress": {**BARRIER, "hosts": ["x.example.com"]}}, "no Ingress has the host x.example.com."),
        ({"ingress": {**BARRIER, "service": "gone"}}, "there is no Service gone."),
        ({"ingress": {**BARRIER, "port": 8080}}, "Service maintenance has no port 8080. Name one of its ports"),
        ({"ingress": {**BARRIER, "service": "down"}}, "Service down has no endpoint that is ready."),
        ({"ingress": {**BARRIER, "name": "web"}}, "it was not made by this module."),
        ({"ingress": {**BARRIER, "annotations": {SNIPPET: "x"}}}, f"ingress.annotations: '{SNIPPET}' is not accepted."),
        ({"ingress": {**BARRIER, "paths": ["/a; }"]}}, "ingress.paths: '/a; }' is not accepted."),
        ({"flag": {**FLAG, "config_map": "gone"}}, "it is not there. Correct namespace and flag.config_map."),
        ({"flag": {**FLAG, "config_map": "fixed"}}, "it is immutable."),
        ({"flag": {**FLAG, "config_map": "git"}}, "it belongs to Flux Kustomization apps/clip, which undoes"),
    ],
)
def test_refusals(clip: Clip, options: dict[str, Any], message: str) -> None:
    clip.plant("v1", "Service", "down", spec={"selector": {"app": "down"}, "ports": [{"port": 80}]})
    clip.plant("v1", "ConfigMap", "fixed", immutable=True, data={"MAINTENANCE_MODE": "false"})
    flux = {"kustomize.toolkit.fluxcd.io/name": "clip", "kustomize.toolkit.fluxcd.io/namespace": "apps"}
    clip.plant("v1", "ConfigMap", "git", metadata={"labels": flux}, data={"MAINTENANCE_MODE": "false"})
    clip.api.requests.clear()
    refused = clip.run("closed", **options)
    assert message in refused["msg"]
    assert (clip.writes(), clip.seen()) == ([], ALL_OPEN)


@pytest.mark.parametrize(("status", "times"), [(403, 1), (409, 3), (409, 2), (429, None), (500, None), ("hang", None)])
def test_a_server_that_does_not_take_it(clip: Clip, status: int | str, times: int | None) -> None:
    clip.api.fail("PATCH", f"*/namespaces/{clip.namespace}/configmaps/flags", status, times)
    clip.api.fail("POST", f"*/namespaces/{clip.namespace}/ingresses", status, times)
    try:
        found = [clip.run("closed", read_timeout=0.5, **each) for each in ({"flag": FLAG}, {"ingress": BARRIER})]
    finally:
        clip.api.heal()
    if times == 2:
        assert [each["changed"] for each in found] == [True, True]
    else:
        assert [each["failed"] and bool(each["msg"]) for each in found] == [True, True]
        assert clip.seen() == ALL_OPEN


def play(clip: Clip, directory: Path, state: str, *arguments: str, **more: Any) -> subprocess.CompletedProcess[str]:
    """The playbook, with the drivers of an inventory."""
    probes = [{"name": path.strip("/").replace("/", "_"), "url": f"{clip.front.url}{path}"} for path in ALL_OPEN]
    closed = [{**each, "expected_status": [503]} for each in probes if each["name"].startswith("api")]
    flag = {"namespace": clip.namespace, **FLAG, "writers": ["deployment/worker"], "restart": ["web"]}
    variables = {
        "ansible_connection": "local", "ansible_python_interpreter": sys.executable, "runbook_system": "autoclip",
        "kubernetes_kubeconfig": str(clip.kubeconfig), "confirm": "autoclip", "maintenance": state,
        "maintenance_mode_drivers": [
            {"kubernetes_flag": flag},
            {"kubernetes_ingress": {"namespace": clip.namespace, **BARRIER}},
        ],
        "maintenance_mode_closed_probes": closed,
        "maintenance_mode_open_probes": [each for each in probes if each["name"].startswith("api")],
        "maintenance_mode_bypass_probes": [each for each in probes if each["name"].startswith("shop")],
        "maintenance_mode_attempts": 3, "toggle_maintenance_destination": str(directory / "report"), **more,
    }  # fmt: skip
    (directory / "inventory.yml").write_text(yaml.safe_dump({"maintenance": {"hosts": {"cluster": variables}}}))
    return ansible_playbook(directory, "runbook.ops.toggle_maintenance", "-i", "inventory.yml", *arguments)


def test_the_playbook_closes_parks_proves_and_opens(clip: Clip, tmp_path: Path) -> None:
    def worker() -> int:
        return int(clip.apps.read_namespaced_deployment("worker", clip.namespace).spec.replicas)

    barrier = {"kubernetes_ingress": {"namespace": clip.namespace, **BARRIER}}
    drivers = [{"kubernetes_flag": {"key": "x"}}, barrier, barrier]
    lacking = play(clip, tmp_path, "on", "--check", maintenance_mode_drivers=drivers)
    twice = f"two of kubernetes_ingress are {clip.namespace}/runbook-maintenance, each needs a name of its own"
    assert f"{twice}, kubernetes_flag needs namespace, kubernetes_flag needs config_map. Nothing" in lacking.stdout
    done = play(clip, tmp_path, "on")
    assert done.returncode == 0, done.stdout
    assert clip.seen() == {"/api/v1/contents": 503, "/api/v1/users": 503, "/shop": 200, "/shop/cart": 200}
    assert worker() == 0
    flags = clip.core.read_namespaced_config_map("flags", clip.namespace)
    assert flags.data == {"MAINTENANCE_MODE": "true", "LOG_LEVEL": "info"}
    assert json.loads(flags.metadata.annotations["runbook-ops.github.io/maintenance"]) == {"MAINTENANCE_MODE": "false"}
    # No rolling restart of who reads it by itself, one of who is named.
    generations = {
        name: clip.apps.read_namespaced_deployment(name, clip.namespace).metadata.generation for name in ("api", "web")
    }
    assert generations == {"api": 1, "web": 2}

    done = play(clip, tmp_path, "off")
    assert done.returncode == 0, done.stdout
    assert (clip.seen(), worker(), clip.ingresses()) == (ALL_OPEN, 1, ["api", "web"])
    flags = clip.core.read_namespaced_config_map("flags", clip.namespace)
    assert (flags.data["MAINTENANCE_MODE"], list(flags.metadata.annotations)) == ("false", [CHANGED])
    # Killed before the restart, a run goes on with it; and one that has nothing to do restarts nobody.
    assert clip.run("open", flag=FLAG)["restart_id"] == json.loads(flags.metadata.annotations[CHANGED])["id"]
    restarted = clip.apps.read_namespaced_deployment("web", clip.namespace).metadata.generation
    again = play(clip, tmp_path, "off")
    assert ("0 critical" in again.stdout, restarted) == (True, 3), again.stdout
    assert clip.apps.read_namespaced_deployment("web", clip.namespace).metadata.generation == 3


@pytest.mark.parametrize("is_stuck", [False, True])
def test_what_users_do_not_see_is_taken_back(clip: Clip, tmp_path: Path, is_stuck: bool) -> None:
    """A flag that nobody reads: the page is as it was, so the flag is put back, and those who write come back.

    What cannot be taken back, because the Ingress must not be deleted, is said, and keeps nothing else from it.
    """
    clip.plant("v1", "ConfigMap", "unread", data={"MAINTENANCE_MODE": "false"})
    flag = {"kubernetes_flag": {"namespace": clip.namespace, **FLAG, "config_map": "unread", "writers": ["worker"]}}
    drivers = [flag, {"kubernetes_ingress": {"namespace": clip.namespace, **BARRIER}}]
    if is_stuck:
        clip.api.fail("DELETE", f"*/namespaces/{clip.namespace}/ingresses/*", 403, None)
    try:
        done = play(clip, tmp_path, "on", maintenance_mode_drivers=drivers, maintenance_mode_delay=0.1)
    finally:
        clip.api.heal()
    assert done.returncode != 0
    assert "maintenance on is not proven" in done.stdout, done.stdout
    assert ("maintenance was switched off again, because it was not proven" in done.stdout) is not is_stuck
    assert ("kubernetes_ingress could not be switched off again" in done.stdout) is is_stuck, done.stdout
    assert ("runbook-maintenance" in clip.ingresses()) is is_stuck
    found = clip.core.read_namespaced_config_map("unread", clip.namespace)
    assert (found.data, list(found.metadata.annotations)) == ({"MAINTENANCE_MODE": "false"}, [CHANGED])
    assert clip.apps.read_namespaced_deployment("worker", clip.namespace).spec.replicas == 1


def test_a_killed_run_is_gone_on_with(clip: Clip) -> None:
    path = f"/apis/networking.k8s.io/v1/namespaces/{clip.namespace}/ingresses"
    options = {"kubeconfig": str(clip.kubeconfig), "namespace": clip.namespace, "state": "closed", "ingress": BARRIER}
    clip.api.fail("POST", path, "hang", None)

    def is_asked() -> bool:
        return ("POST", path) in {(each.method, each.path) for each in clip.api.requests}

    try:
        kill_module("k8s_maintenance", {**options, "read_timeout": 600}, is_asked, "the dry run")
    finally:
        clip.api.heal()
    assert clip.seen() == ALL_OPEN
    assert (clip.run("closed", ingress=BARRIER)["changed"], clip.seen()["/api/v1/contents"]) == (True, 503)
