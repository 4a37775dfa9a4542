"""k8s_secret beside the manual's delete and create; what is there afterwards is read with the official client."""

from __future__ import annotations

import base64
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes import client, config
from lab.kubernetes import KubernetesApi
from lab.kubernetes.hammer import Hammer
from lab.kubernetes.module_runs import kill_module, run_here
from lab.play import ansible_playbook
from lab.process import eventually

from ansible_collections.runbook.ops.plugins.filter import k8s_manifest
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.secret import change_secret
from ansible_collections.runbook.ops.plugins.modules import k8s_maintenance, k8s_rbac_info, k8s_secret

pytestmark = pytest.mark.xdist_group("kubernetes")

RunModule = Callable[..., dict[str, Any]]
OLD, NEW, OTHER = "0ld-Sw0rdfish", "N3w-Sw0rdfish", "0ther-Sw0rdfish"


def b64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


class Shop:
    """A namespace with a Secret of two keys and workloads that use it."""

    def __init__(self, api: KubernetesApi, kubeconfig: Path, namespace: str, run_module: RunModule) -> None:
        self.api, self.kubeconfig, self.namespace, self._run = api, kubeconfig, namespace, run_module
        self.core = client.CoreV1Api(config.new_client_from_config(str(kubeconfig)))
        self.outputs: list[str] = []
        self.plant("db")

    def plant(self, name: str, **more: Any) -> None:
        metadata = {"name": name, "namespace": self.namespace, "labels": {"team": "shop"}, **more.pop("metadata", {})}
        data = {"password": b64(OLD), "stripe": b64(OTHER)}
        self.api.create(
            {"apiVersion": "v1", "kind": "Secret", "type": "Opaque", "metadata": metadata, "data": data, **more}
        )

    def workload(self, kind: str, name: str, pod: dict[str, Any]) -> None:
        template = {"metadata": {"labels": {"app": name}}, "spec": pod}
        spec = {"replicas": 0, "selector": {"matchLabels": {"app": name}}, "template": template}
        metadata = {"name": name, "namespace": self.namespace}
        self.api.create({"apiVersion": "apps/v1", "kind": kind, "metadata": metadata, "spec": spec})

    def options(self, **options: Any) -> dict[str, Any]:
        return {"kubeconfig": str(self.kubeconfig), "namespace": self.namespace, "name": "db", **options}

    def run(self, *, check_mode: bool = False, diff: bool = True, **options: Any) -> dict[str, Any]:
        found = self._run("k8s_secret", self.options(**options), check_mode=check_mode, diff=diff)
        self.outputs.append(json.dumps(found))
        return found

    def here(self, *, check_mode: bool = False, **options: Any) -> dict[str, Any]:
        found = run_here(change_secret, k8s_secret, self.options(**options), check_mode=check_mode)
        self.outputs.append(json.dumps(found))
        return found

    def values(self, name: str = "db") -> dict[str, str]:
        found = self.core.read_namespaced_secret(name, self.namespace).data or {}
        return {key: base64.b64decode(value).decode() for key, value in found.items()}

    def assert_silent(self) -> None:
        """No value came out anywhere, neither as it is nor as the server has it."""
        for text in self.outputs:
            for value in (OLD, NEW, OTHER):
                assert (value in text, b64(value) in text) == (False, False), text


@pytest.fixture
def shop(api: KubernetesApi, kubeconfig: Path, namespace: str, run_module: RunModule) -> Shop:
    return Shop(api, kubeconfig, namespace, run_module)


def test_the_manuals_way_loses_keys_and_ours_does_not(shop: Shop) -> None:
    """The manual deletes it, then creates it with --from-literal and what a lookup gave: here, nothing."""
    shop.plant("theirs")
    shop.core.delete_namespaced_secret("theirs", shop.namespace)
    gone = shop.api.exists("Secret", shop.namespace, "theirs")
    body = {"metadata": {"name": "theirs"}, "data": {"password": b64("")}}
    shop.core.create_namespaced_secret(shop.namespace, body)
    # A moment without it, the other key lost, and an empty password.
    assert (gone, shop.values("theirs")) == (False, {"password": ""})

    foreseen = shop.run(check_mode=True, data={"password": NEW, "token": NEW})
    # The change has its name already, so that the restarts after it are foreseen as well.
    assert (foreseen["changed"], foreseen["after"], bool(foreseen["restart_id"])) == (True, None, True)
    assert shop.values() == {"password": OLD, "stripe": OTHER}

    done = shop.run(data={"password": NEW, "token": NEW})
    place = f"Secret {shop.namespace}/db"
    assert done["actions"] == foreseen["actions"]
    assert done["actions"] == [
        {"action": "change", "object": place, "key": "password"},
        {"action": "add", "object": place, "key": "token"},
    ]
    assert done["diff"] == foreseen["diff"]
    assert done["diff"] == {
        "before": {"password": "present", "stripe": "present"},
        "after": {"password": "changed", "stripe": "present", "token": "added"},
    }
    assert shop.values() == {"password": NEW, "stripe": OTHER, "token": NEW}
    assert shop.core.read_namespaced_secret("db", shop.namespace).metadata.labels == {"team": "shop"}
    assert done["after"]["resource_version"] != done["before"]["resource_version"]

    again = shop.run(data={"password": NEW}, absent_keys=["never"])
    assert (again["changed"], again["actions"], again["after"]) == (False, [], done["after"])
    removed = shop.here(absent_keys=["token"])
    assert ([each["action"] for each in removed["actions"]], sorted(shop.values())) == (
        ["remove"],
        ["password", "stripe"],
    )
    shop.assert_silent()


def test_who_has_to_be_restarted(shop: Shop) -> None:
    key = {"secretKeyRef": {"name": "db", "key": "password"}}
    other = {"secretKeyRef": {"name": "db", "key": "stripe"}}
    volume = {"name": "v", "secret": {"secretName": "db"}}

    def pod(**more: Any) -> dict[str, Any]:
        return {"containers": [{"name": "app", "image": "x", **more.pop("container", {})}], **more}

    shop.workload("Deployment", "api", pod(container={"env": [{"name": "P", "valueFrom": key}]}))
    shop.workload("Deployment", "billing", pod(container={"env": [{"name": "P", "valueFrom": other}]}))
    shop.workload("StatefulSet", "worker", pod(volumes=[volume]))
    mounts = [{"name": "v", "mountPath": "/p", "subPath": "password"}]
    shop.workload("DaemonSet", "agent", pod(container={"volumeMounts": mounts}, volumes=[volume]))
    done = shop.here(data={"password": NEW})
    assert [(each["kind"], each["name"], each["needs_restart"]) for each in done["used_by"]] == [
        ("deployment", "api", True), ("statefulset", "worker", False), ("daemonset", "agent", True),
    ]  # fmt: skip
    # A run that was killed before the restarts goes on with them: the same name, and who needs it.
    again = shop.here(data={"password": NEW})
    assert (again["changed"], again["used_by"], again["restart_id"]) == (False, done["used_by"], done["restart_id"])
    assert done["restart_id"]
    shop.api.fail("GET", f"*/namespaces/{shop.namespace}/deployments", 403)
    done = shop.here(data={"password": OLD})
    assert done["restart_id"] != again["restart_id"]
    assert (done["changed"], done["used_by"], done["skipped_sections"][0]["section"]) == (True, None, "used_by")


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("db", {"data": {"password": ""}}, "data.password: '(empty)' is not accepted"),
        ("db", {"data": {"password": " \n"}}, "data.password: '(empty)' is not accepted"),
        ("db", {"data": {"password": 5}}, "data.password: '(int)' is not accepted"),
        ("db", {"data": {"a b": NEW}}, "data: 'a b' is not accepted"),
        ("db", {"data": {"password": NEW}, "encoded": True}, "data.password: '(given)' is not accepted."),
        ("db", {}, "data: '(nothing)' is not accepted"),
        ("db", {"data": {"a": NEW}, "absent_keys": ["a"]}, "absent_keys: ['a'] is not accepted"),
        ("dv", {"data": {"password": NEW}}, "there is no such Secret. Correct namespace and name"),
        ("fixed", {"data": {"password": NEW}}, "it is immutable. Make a Secret of another name"),
        ("synced", {"data": {"password": NEW}}, "ExternalSecret db writes it and would undo this."),
        ("git", {"data": {"password": NEW}}, "it belongs to Argo CD application shop, which undoes"),
    ],
)  # fmt: skip
def test_refusals(shop: Shop, name: str, options: dict[str, Any], message: str) -> None:
    if name == "fixed":
        shop.plant(name, immutable=True)
    if name == "synced":
        owner = {"apiVersion": "x/v1", "kind": "ExternalSecret", "name": "db", "uid": "1", "controller": True}
        shop.plant(name, metadata={"ownerReferences": [owner]})
    if name == "git":
        shop.plant(name, metadata={"labels": {"argocd.argoproj.io/instance": "shop"}})
    shop.api.requests.clear()
    refused = shop.here(name=name, **options)
    assert message in refused["msg"]
    assert [each for each in shop.api.requests if each.method != "GET"] == []
    shop.assert_silent()


@pytest.mark.parametrize(
    ("status", "times", "message"),
    [
        (403, 1, "patch secrets"),
        (409, 3, "was changed by somebody else meanwhile"),
        (409, 2, None),
        (429, None, "patch secrets"),
        (500, None, "patch secrets"),
        ("hang", None, "patch secrets"),
    ],
)
def test_a_server_that_does_not_take_it(shop: Shop, status: int | str, times: int | None, message: str | None) -> None:
    """The server's own words may hold what it was sent."""
    pattern = f"*/namespaces/{shop.namespace}/secrets/db"
    said = None if status == "hang" else f"rejected {b64(NEW)} and {NEW}"
    shop.api.fail("PATCH", pattern, status, times, message=said)
    try:
        found = shop.here(data={"password": NEW}, read_timeout=0.5)
    finally:
        shop.api.heal()
    if message is None:
        assert (found["changed"], shop.values()["password"]) == (True, NEW)
    else:
        assert message in found["msg"]
        assert shop.values() == {"password": OLD, "stripe": OTHER}
        assert shop.here(data={"password": NEW})["changed"] is True
    shop.assert_silent()


def test_a_new_secret_and_a_killed_run(shop: Shop) -> None:
    made = shop.here(name="fresh", data={"password": b64(NEW)}, encoded=True, create=True)
    assert ([each["action"] for each in made["actions"]], shop.values("fresh")) == (["add"], {"password": NEW})
    assert shop.here(name="fresh", data={"password": b64(NEW)}, encoded=True, create=True)["changed"] is False

    pattern = f"*/namespaces/{shop.namespace}/secrets/db"
    shop.api.fail("PATCH", pattern, "hang", None)
    begun = f"/api/v1/namespaces/{shop.namespace}/secrets/db"

    def is_asked() -> bool:
        return ("PATCH", begun) in {(each.method, each.path) for each in shop.api.requests}

    try:
        kill_module("k8s_secret", shop.options(data={"password": NEW}, read_timeout=600), is_asked, "the patch")
    finally:
        shop.api.heal()
    assert shop.values() == {"password": OLD, "stripe": OTHER}
    assert shop.here(data={"password": NEW})["changed"] is True
    shop.assert_silent()


def neighbours(shop: Shop, directory: Path) -> list[dict[str, Any]]:
    """The examples of the filter, of k8s_maintenance and of k8s_rbac_info, with what they need."""
    backend = {"service": {"name": "api", "port": {"number": 80}}}
    paths = [{"path": "/", "pathType": "Prefix", "backend": backend}]
    rule = {"host": "api.autoclip.example", "http": {"paths": paths}}
    tls = [{"hosts": ["api.autoclip.example"], "secretName": "api-tls"}]
    named = {"kubernetes.io/service-name": "maintenance"}
    ready = {"addresses": ["10.9.8.7"], "conditions": {"ready": True}}
    for api_version, kind, name, more in (
        ("v1", "ConfigMap", "autoclip-flags", {"data": {"MAINTENANCE_MODE": "false"}}),
        ("v1", "Service", "maintenance", {"spec": {"ports": [{"port": 80}]}}),
        ("discovery.k8s.io/v1", "EndpointSlice", "maintenance-1", {"addressType": "IPv4", "endpoints": [ready]}),
        (
            "networking.k8s.io/v1",
            "Ingress",
            "api",
            {"spec": {"ingressClassName": "nginx", "rules": [rule], "tls": tls}},
        ),
    ):
        metadata = {"name": name, "namespace": shop.namespace, "labels": named if kind == "EndpointSlice" else {}}
        shop.api.create({"apiVersion": api_version, "kind": kind, "metadata": metadata, **more})
    texts = [each.EXAMPLES for each in (k8s_manifest, k8s_maintenance, k8s_rbac_info)]
    tasks: list[dict[str, Any]] = yaml.safe_load("\n".join(texts).replace("/var/backups", str(directory)))
    for task in tasks:
        for options in task.values():
            if isinstance(options, dict) and "namespace" in options:
                options["namespace"] = shop.namespace
    return tasks


def test_the_example_changes_the_secret_and_restarts_who_needs_it_once(shop: Shop, tmp_path: Path) -> None:
    """As the documentation has it; users notice nothing, and afterwards every pod has the new value."""
    key = {"secretKeyRef": {"name": "db", "key": "password"}}
    container = {"name": "app", "image": "registry.example.com/api:1", "env": [{"name": "P", "valueFrom": key}]}
    labels = {"app": "api"}
    spec: dict[str, Any] = {"replicas": 2, "selector": {"matchLabels": labels}}
    spec["template"] = {"metadata": {"labels": labels}, "spec": {"containers": [container]}}
    for api_version, kind, more in (
        ("apps/v1", "Deployment", spec),
        ("v1", "Service", {"selector": labels, "ports": [{"port": 80}]}),
    ):
        metadata = {"name": "api", "namespace": shop.namespace}
        shop.api.create({"apiVersion": api_version, "kind": kind, "metadata": metadata, "spec": more})
    apps = client.AppsV1Api(shop.core.api_client)
    eventually(lambda: apps.read_namespaced_deployment("api", shop.namespace).status.ready_replicas == 2, "two pods")

    text = k8s_secret.EXAMPLES.replace("storebridge-secrets", "db").replace("storebridge", shop.namespace)
    tasks = yaml.safe_load(text.replace("DB_PASSWORD", "password")) + neighbours(shop, tmp_path)
    login = {"kubeconfig": str(shop.kubeconfig)}
    play = {
        "hosts": "localhost", "gather_facts": False, "tasks": tasks,
        "vars": {"ansible_python_interpreter": sys.executable, "new_password": NEW},
        "module_defaults": {"group/runbook.ops.k8s": login, "kubernetes.core.k8s_info": login},
    }  # fmt: skip
    (tmp_path / "play.yml").write_text(yaml.safe_dump([play]))
    with Hammer(shop.api.serve(shop.namespace, "api")) as hammer:
        done = [ansible_playbook(tmp_path, "play.yml", "-vvv", "--diff") for _round in range(2)]
    shop.outputs += [each.stdout.replace(f'"new_password": "{NEW}"', "") for each in done]
    assert [each.returncode for each in done] == [0, 0], done[0].stdout
    assert set(hammer.statuses) == {200}
    # Once for the change, and not again by the second run.
    assert apps.read_namespaced_deployment("api", shop.namespace).metadata.generation == 2
    pods = shop.core.list_namespaced_pod(shop.namespace, label_selector="app=api").items
    changed_at = shop.core.read_namespaced_secret("db", shop.namespace).metadata.annotations
    assert "runbook-ops.github.io/changed" in changed_at
    assert len({each.metadata.owner_references[0].name for each in pods if not each.metadata.deletion_timestamp}) == 1
    (kept,) = yaml.safe_load((tmp_path / "deployments.yaml").read_text())
    assert (kept["metadata"]["name"], "status" in kept, "uid" in kept["metadata"]) == ("api", False, False)
    closed = client.NetworkingV1Api(shop.core.api_client).read_namespaced_ingress("runbook-maintenance", shop.namespace)
    assert (closed.spec.tls[0].secret_name, closed.spec.ingress_class_name) == ("api-tls", "nginx")
    assert shop.core.read_namespaced_config_map("autoclip-flags", shop.namespace).data == {"MAINTENANCE_MODE": "true"}
    shop.assert_silent()
