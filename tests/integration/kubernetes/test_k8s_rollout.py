"""k8s_rollout and k8s_rollout_info while clients send requests; the outcome is read with the official client."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes import client, config
from lab.kubernetes import KubernetesApi
from lab.kubernetes.hammer import Hammer
from lab.kubernetes.module_runs import kill_module, run_here
from lab.process import eventually

from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.rollout import roll
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.rollout_look import look_at_rollout
from ansible_collections.runbook.ops.plugins.modules import k8s_rollout, k8s_rollout_info

# One API server for all of them.
pytestmark = pytest.mark.xdist_group("kubernetes")

RunModule = Callable[..., dict[str, Any]]
REPOSITORY = Path(__file__).resolve().parents[3]
RESTARTED_AT = "kubectl.kubernetes.io/restartedAt"
CAUSE = "kubernetes.io/change-cause"
OWN = {"team": "shop", "example.com/oncall": "a,b", CAUSE: "first"}
WEB = "registry.example.com/shop/web"
SECRET = "pl4in-in-a-manifest"


class Shop:
    """A web server in one namespace with a Service, and the module run on it."""

    def __init__(self, api: KubernetesApi, kubeconfig: Path, namespace: str, run_module: RunModule) -> None:
        self.api, self.kubeconfig, self.namespace, self._run = api, kubeconfig, namespace, run_module
        login = config.new_client_from_config(str(kubeconfig))
        self.apps, self.core = client.AppsV1Api(login), client.CoreV1Api(login)

    # --- arranging
    def web(
        self, image: str = f"{WEB}:1", *, name: str = "web", kind: str = "Deployment", wait: bool = True, **spec: Any
    ) -> str:
        """Two pods behind a Service; the Service's address."""
        labels, place = {"app": name}, {"name": name, "namespace": self.namespace}
        env = [{"name": "PASSWORD", "value": SECRET}]
        template = {
            "metadata": {"labels": labels},
            "spec": {"containers": [{"name": "app", "image": image, "env": env}]},
        }
        spec = {"replicas": 2, "selector": {"matchLabels": labels}, "template": template, **spec}
        if kind == "DaemonSet":
            del spec["replicas"]
        if kind == "Deployment":
            spec.setdefault("strategy", {"rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}})
        metadata = {**place, "annotations": dict(OWN)}
        self.api.create({"apiVersion": "apps/v1", "kind": kind, "metadata": metadata, "spec": spec})
        service = {"selector": labels, "ports": [{"port": 80}]}
        self.api.create({"apiVersion": "v1", "kind": "Service", "metadata": place, "spec": service})
        if wait:
            self.settled(kind.lower(), name)
        return self.api.serve(self.namespace, name)

    def set_image(
        self, image: str, cause: str | None = None, *, name: str = "web", wait: bool = True, **container: Any
    ) -> None:
        """What C(kubectl set image) sends; C(kubectl annotate) notes the cause."""
        change: dict[str, Any] = {"spec": {"template": {"spec": {"containers": [{"name": "app", "image": image}]}}}}
        change["spec"]["template"]["spec"]["containers"][0].update(container)
        if cause:
            change["metadata"] = {"annotations": {CAUSE: cause}}
        self.apps.patch_namespaced_deployment(name, self.namespace, change)
        if wait:
            self.settled(name=name)

    def settled(self, kind: str = "deployment", name: str = "web") -> None:
        eventually(lambda: self.look(kind, name=name)["rollout"]["done"], f"the rollout of {kind} {name}")

    # --- ours
    def options(self, **options: Any) -> dict[str, Any]:
        login = {"kubeconfig": str(self.kubeconfig), "namespace": self.namespace, "name": "web"}
        return {**login, "wait_sleep": 0.1, "wait_timeout": 240, "settle": 0, **options}

    def roll(self, state: str, *, check_mode: bool = False, **options: Any) -> dict[str, Any]:
        return self._run("k8s_rollout", self.options(state=state, **options), check_mode=check_mode)

    def here(self, state: str, *, check_mode: bool = False, **options: Any) -> dict[str, Any]:
        """The same within this process, for what does not depend on how a module is started."""
        return run_here(roll, k8s_rollout, self.options(state=state, **options), check_mode=check_mode)

    def look(self, kind: str = "deployment", **options: Any) -> dict[str, Any]:
        return look_at_rollout({"kind": kind, **self.options(**options)})

    def killed(self, state: str, when: Callable[[], bool], **options: Any) -> None:
        """Start the module as a process of its own, and kill it when something is so."""
        kill_module("k8s_rollout", self.options(state=state, **options), when)

    # --- what is there, by the official client
    def deployment(self) -> Any:
        return self.apps.read_namespaced_deployment("web", self.namespace)

    def own_annotations(self) -> dict[str, str]:
        """Those that are neither ours nor the controller's."""
        found = self.deployment().metadata.annotations
        return {name: value for name, value in found.items() if name in OWN}

    def image(self) -> str:
        return str(self.deployment().spec.template.spec.containers[0].image)

    def revisions(self) -> list[int]:
        return [each["number"] for each in self.look()["revisions"]]

    def pods(self) -> set[str]:
        return {each.metadata.name for each in self.core.list_namespaced_pod(self.namespace).items}

    def serving(self) -> list[str]:
        """The ReplicaSets that have pods."""
        found = self.apps.list_namespaced_replica_set(self.namespace).items
        return [each.metadata.name for each in found if each.spec.replicas]

    def writes(self) -> list[str]:
        """The requests that wrote something in the namespace, dry runs left out."""
        place = f"/namespaces/{self.namespace}/"
        return [
            each.method
            for each in self.api.requests
            if each.method != "GET" and not each.dry_run and place in each.path
        ]


@pytest.fixture
def shop(api: KubernetesApi, kubeconfig: Path, namespace: str, run_module: RunModule) -> Iterator[Shop]:
    api.requests.clear()
    yield Shop(api, kubeconfig, namespace, run_module)
    api.heal()


def test_restart_under_load(shop: Shop) -> None:
    with Hammer(shop.web()) as hammer:
        before, found = shop.pods(), shop.deployment()
        foreseen = shop.roll("restarted", check_mode=True, restart_id="OPS-1")
        assert (foreseen["changed"], foreseen["after"], shop.writes()) == (True, None, [])
        done = shop.roll("restarted", restart_id="OPS-1")
        hammer.more()
    assert (hammer.errors, set(hammer.images)) == (0, {f"{WEB}:1"})
    assert (done["changed"], done["actions"]) == (True, foreseen["actions"])
    assert done["actions"] == [{"action": "restart", "object": f"Deployment {shop.namespace}/web"}]
    assert (done["rollout"]["line"], done["reverted"]) == ("2 of 2 updated, 2 available", False)
    assert shop.writes() == ["PATCH"]
    assert shop.pods().isdisjoint(before)
    # One annotation of the template, and nothing else that is not ours.
    after = shop.deployment()
    assert after.spec.template.metadata.annotations == {RESTARTED_AT: done["after"]["restarted_at"]}
    after.spec.template.metadata.annotations = None
    assert (after.spec, shop.own_annotations()) == (found.spec, OWN)
    assert done["diff"]["after"]["metadata"]["annotations"] == {RESTARTED_AT: done["after"]["restarted_at"]}
    assert SECRET not in str([foreseen, done])

    again = shop.here("restarted", restart_id="OPS-1")
    assert (again["changed"], again["actions"], again["diff"]["before"]) == (False, [], again["diff"]["after"])
    assert shop.here("restarted", unless_restarted_within="1h")["changed"] is False
    assert shop.writes() == ["PATCH"]
    assert shop.here("restarted", wait=False)["changed"] is True


def test_undo_under_load(shop: Shop) -> None:
    """From a version that does not start, to the one before; nobody else notices."""
    url = shop.web()
    shop.set_image(f"{WEB}:2", "second")
    shop.set_image(f"{WEB}/bad-image:3", "third", wait=False)
    eventually(lambda: "ImagePull" in str(shop.look()["rollout"]["reason"]), "the image that cannot be fetched")
    stuck = shop.look()
    assert [(each["number"], each["current"]) for each in stuck["revisions"]] == [(1, False), (2, False), (3, True)]
    assert [each["change_cause"] for each in stuck["revisions"]] == ["first", "second", "third"]

    unconfirmed = shop.here("undone")
    assert "nobody has said that revision 2" in unconfirmed["msg"]
    assert "set schema_compatible to true" in unconfirmed["refused"][0]["remedy"]
    with Hammer(url) as hammer:
        foreseen = shop.here("undone", schema_compatible=True, check_mode=True)
        assert shop.image() == f"{WEB}/bad-image:3"
        done = shop.roll("undone", schema_compatible=True)
        hammer.more()
    assert (hammer.errors, set(hammer.images)) == (0, {f"{WEB}:2"})
    assert (done["changed"], done["actions"]) == (True, foreseen["actions"])
    assert done["actions"][0] | {"object": ""} == {
        "action": "undo",
        "object": "",
        "from_revision": 3,
        "to_revision": 2,
        "from_images": {"app": f"{WEB}/bad-image:3"},
        "to_images": {"app": f"{WEB}:2"},
    }
    assert (shop.image(), shop.own_annotations()) == (f"{WEB}:2", {**OWN, CAUSE: "second"})
    # kubectl rollout undo, run once more, leads back to the version that does not start.
    again = shop.here("undone")
    assert (again["changed"], shop.image(), shop.revisions()) == (False, f"{WEB}:2", [1, 3, 4])

    # The number that it had counts, too; one that nothing has is told with all that there are.
    assert shop.here("undone", revision=2)["changed"] is False
    missing = shop.here("undone", revision=9)
    assert "has no revision 9. There are: 1 (registry.example.com/shop/web:1), 3 (" in missing["msg"]
    assert "4 (registry.example.com/shop/web:2, current)" in missing["msg"]
    further = shop.here("undone", revision=1, schema_compatible=True)
    assert (further["changed"], shop.image(), shop.own_annotations()) == (True, f"{WEB}:1", OWN)
    # Something else was rolled out since: the one before is another one now.
    shop.set_image(f"{WEB}:5", "fifth")
    assert shop.here("undone", schema_compatible=True)["changed"] is True
    assert shop.image() == f"{WEB}:1"

    # The examples of the documentation, one after the other.
    shop.set_image(f"{WEB}:6", "sixth")
    seen = []
    for task in yaml.safe_load(k8s_rollout.EXAMPLES):
        given = {**task["runbook.ops.k8s_rollout"], "namespace": shop.namespace, "name": "web"}
        seen.append((shop.here(**given)["changed"], shop.image(), bool(shop.deployment().spec.paused)))
    assert seen == [(True, f"{WEB}:6", False), (True, f"{WEB}:1", False), (True, f"{WEB}:1", True)]


def test_undo_that_has_to_prove_itself(shop: Shop) -> None:
    """Forward again to the very revision that was left, also after a second one; what was kept stays."""
    url = shop.web()
    shop.set_image(f"{WEB}:2", "second")
    shop.set_image(f"{WEB}:3", "third")
    [left] = shop.serving()
    with Hammer(url) as hammer:
        for number in (2, 1, 1):
            back = shop.here("undone", revision=number, schema_compatible=True, soak=True)
            assert (back["soaking"], back["reverted"], shop.image()) == (True, False, f"{WEB}:{number}")
        assert back["changed"] is False
        foreseen = shop.here("returned", check_mode=True)
        assert (foreseen["soaking"], shop.image()) == (False, f"{WEB}:1")
        done = shop.roll("returned")
        hammer.more()
    assert (hammer.errors, shop.serving(), shop.own_annotations()) == (0, [left], {**OWN, CAUSE: "third"})
    assert (done["changed"], done["soaking"], done["actions"]) == (True, False, foreseen["actions"])
    assert done["actions"][0] | {"object": ""} == {
        "action": "return",
        "object": "",
        "from_revision": 5,
        "to_revision": 3,
        "from_images": {"app": f"{WEB}:1"},
        "to_images": {"app": f"{WEB}:3"},
    }
    assert shop.here("returned")["changed"] is False

    shop.here("undone", revision=4, schema_compatible=True, soak=True)
    assert shop.here("kept", check_mode=True)["actions"] == shop.here("kept")["actions"] != []
    for state in ("kept", "returned"):
        again = shop.here(state)
        assert (again["changed"], again["soaking"], shop.image()) == (False, False, f"{WEB}:2")
    # Somebody has changed it since: that is not taken away from them.
    shop.here("undone", revision=1, schema_compatible=True, soak=True)
    shop.set_image(f"{WEB}:9")
    assert (shop.here("returned")["changed"], shop.image()) == (False, f"{WEB}:9")
    assert "it is for state=undone" in shop.here("restarted", soak=True)["msg"]


MISSING = {"env": [{"name": "KEY", "valueFrom": {"secretKeyRef": {"name": "shop-keys", "key": "API_KEY"}}}]}


@pytest.mark.parametrize(
    ("image", "container", "reason"),
    [
        (f"{WEB}/bad-image:1", {}, "ImagePull"),
        (f"{WEB}/unready:1", {}, "NotReady"),
        (f"{WEB}/crash:1", {}, "exit code 1"),
        (f"{WEB}/pending:1", {}, "Unschedulable"),
        (f"{WEB}:1", MISSING, "shop-keys"),
    ],
    ids=["bad image", "probe", "crash", "no node", "missing key"],
)
def test_undo_to_what_does_not_run(shop: Shop, image: str, container: dict[str, Any], reason: str) -> None:
    """The manual's undo says "rolled back" and ends; the version before is broken, and nobody is told."""
    labels = {"app": "web"}
    broken = {"name": "app", "image": image, **container}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [broken]}}
    url = shop.web(wait=False, template=template)
    eventually(lambda: shop.look()["revisions"], "the first revision")
    shop.set_image(f"{WEB}:2", "second", env=[{"name": "KEY", "value": SECRET, "valueFrom": None}])
    with Hammer(url) as hammer:
        failed = shop.here("undone", schema_compatible=True, wait_timeout=2)
        hammer.more()
    assert failed["failed"] is True
    assert "web: the undo is not rolled out (1 of 2 updated, 2 available, 2 old): " in failed["msg"]
    assert reason in failed["msg"]
    # Forward again, by itself.
    assert "It was taken back to what was before, which runs (2 of 2 updated, 2 available)." in failed["msg"]
    assert (failed["reverted"], [each["action"] for each in failed["actions"]]) == (True, ["undo", "revert"])
    assert (hammer.errors, set(hammer.images), shop.image()) == (0, {f"{WEB}:2"}, f"{WEB}:2")
    assert shop.own_annotations()[CAUSE] == "second"
    assert "runbook-ops.github.io/undo" not in shop.deployment().metadata.annotations
    assert SECRET not in str(failed)


def test_restart_that_is_stuck(shop: Shop) -> None:
    url = shop.web(progressDeadlineSeconds=1)
    quota = {"metadata": {"name": "pods", "namespace": shop.namespace}, "spec": {"hard": {"pods": "2"}}}
    shop.api.create({"apiVersion": "v1", "kind": "ResourceQuota", **quota})
    with Hammer(url) as hammer:
        failed = shop.here("restarted", on_failure="keep", restart_id="OPS-2")
        assert "it made no progress for 1 seconds (progressDeadlineSeconds); pods cannot be created" in failed["msg"]
        assert "exceeded quota: pods" in failed["msg"]
        assert "2 pods serve meanwhile. It stays like that" in failed["msg"]
        # The same task waits on; and then it takes back what the run before has done.
        waited = shop.here("restarted", restart_id="OPS-2")
        assert (waited["reverted"], waited["changed"]) == (True, True)
        assert "It was taken back to what was before, which runs" in waited["msg"]
        hammer.more()
    assert hammer.errors == 0
    assert not (shop.deployment().spec.template.metadata.annotations or {}).get(RESTARTED_AT)
    shop.api.delete("ResourceQuota", shop.namespace, "pods")
    # A slow machine may well stand still for a second.
    shop.apps.patch_namespaced_deployment("web", shop.namespace, {"spec": {"progressDeadlineSeconds": 600}})
    assert shop.here("restarted", restart_id="OPS-2")["changed"] is True


def test_an_api_server_in_trouble(shop: Shop) -> None:
    url = shop.web()
    path = f"*/namespaces/{shop.namespace}/deployments/web"
    pods = shop.pods()

    def tried(method: str, status: int | str, times: int | None, **options: Any) -> dict[str, Any]:
        shop.api.heal()
        shop.api.fail(method, path, status, times)
        return shop.here("restarted", **options)

    with Hammer(url) as hammer:
        forbidden = tried("PATCH", 403, 1)
        assert f"Grant the user the verb patch on deployments.apps in namespace {shop.namespace}." in forbidden["msg"]
        conflict = tried("PATCH", 409, None)
        assert "was changed by somebody else meanwhile" in conflict["msg"]
        for status in (429, 500):
            assert f"HTTP status {status}" in tried("PATCH", status, None, wait_timeout=1)["msg"]
        silent = tried("PATCH", "hang", None, wait_timeout=1, read_timeout=0.3)
        assert "does not answer in time when asked to patch deployments.apps web" in silent["msg"]
        missing = shop.here("restarted", name="none")
        assert "deployments.apps none in namespace" in missing["msg"]
        assert (shop.pods(), hammer.errors) == (pods, 0)
        assert all(each["failed"] and not each.get("changed") for each in (forbidden, conflict, silent, missing))

        # What passes is waited for: two conflicts, a busy server while deciding, and again while waiting.
        shop.api.heal()
        shop.api.fail("PATCH", path, 409, 2)
        shop.api.fail("PATCH", path, 500, 2)
        done = shop.here("restarted")
        assert (done["changed"], done["rollout"]["done"]) == (True, True)
        # It was asked for, and then nobody answers: that is the reason then, and nothing is lost.
        shop.api.fail("GET", path, 429, 1)
        assert shop.here("restarted", wait=False, restart_id="OPS-3")["changed"] is True
        shop.api.fail("GET", path, 500, None)
        lost = shop.here("restarted", restart_id="OPS-3", wait_timeout=1)
        assert "HTTP status 500" in lost["msg"]
        # A hang ends with the wait, and not with the read_timeout of 20 seconds, twice for each request.
        shop.api.heal()
        shop.api.fail("GET", path, "hang", None)
        silent = shop.here("restarted", restart_id="OPS-3", wait_timeout=1, read_timeout=900)
        assert "does not answer in time when asked to get deployments.apps web" in silent["msg"]
        shop.api.heal()
        assert shop.here("restarted", restart_id="OPS-3", settle=1)["rollout"]["done"] is True
        hammer.more()
    assert hammer.errors == 0
    # Reading says it as data.
    shop.api.fail("GET", path, 403, 1)
    assert "Grant the user the verb get" in shop.look()["reason"]
    shop.api.fail("GET", f"*/namespaces/{shop.namespace}/replicasets", 403, 1)
    blind = shop.look()
    assert (blind["revisions"], [each["section"] for each in blind["skipped_sections"]]) == (None, ["revisions"])


def test_killed_half_way(shop: Shop) -> None:
    """By SIGKILL, while pods are being replaced; the same task goes on, and does nothing twice."""
    url = shop.web(f"{WEB}/slow:1")
    with Hammer(url) as hammer:
        shop.killed("restarted", lambda: len(shop.revisions()) == 2, restart_id="OPS-4")
        assert shop.look()["rollout"]["done"] is False
        again = shop.here("restarted", restart_id="OPS-4")
        assert (again["changed"], again["rollout"]["done"], shop.revisions()) == (False, True, [1, 2])
        # A restart is no version that one could go back from; kubectl does, to the very same image.
        assert "has no revision before the current one" in shop.here("undone", schema_compatible=True)["msg"]
        shop.set_image(f"{WEB}/slow:2")
        shop.killed("undone", lambda: shop.revisions() == [1, 3, 4], schema_compatible=True)
        again = shop.here("undone", schema_compatible=True)
        assert (again["changed"], again["rollout"]["done"], shop.revisions()) == (False, True, [1, 3, 4])
        assert shop.image() == f"{WEB}/slow:1"
        hammer.more()
    assert hammer.errors == 0


def test_stateful_sets_and_daemon_sets(shop: Shop) -> None:
    """A StatefulSet waits for a pod that never becomes ready, also when it is told to go back."""
    shop.web(kind="StatefulSet", serviceName="web")
    change = {"spec": {"template": {"spec": {"containers": [{"name": "app", "image": f"{WEB}/crash:2"}]}}}}
    shop.apps.patch_namespaced_stateful_set("web", shop.namespace, change)
    eventually(lambda: "exit code 1" in str(shop.look("statefulset")["rollout"]["reason"]), "the pod that crashes")
    done = shop.here("undone", kind="statefulset", schema_compatible=True)
    assert [each["action"] for each in done["actions"]] == ["undo", "delete_pod"]
    assert (done["actions"][1]["object"], done["rollout"]["line"]) == ("web-1", "2 of 2 updated, 2 available")
    again = shop.here("undone", kind="statefulset", schema_compatible=True)
    assert (again["changed"], again["after"]["images"]) == (False, {"app": f"{WEB}:1"})
    assert [each["current"] for each in shop.look("statefulset")["revisions"]] == [False, True]
    shop.apps.patch_namespaced_stateful_set("web", shop.namespace, {"spec": {"updateStrategy": {"type": "OnDelete"}}})
    assert "its update strategy is OnDelete" in shop.here("restarted", kind="statefulset")["msg"]
    shop.api.delete("StatefulSet", shop.namespace, "web")
    shop.api.delete("Service", shop.namespace, "web")

    shop.web(kind="DaemonSet")
    assert shop.here("restarted", kind="daemonset")["rollout"]["done"] is True
    change["spec"]["template"]["spec"]["containers"][0]["image"] = f"{WEB}:2"
    shop.apps.patch_namespaced_daemon_set("web", shop.namespace, change)
    undone = shop.here("undone", kind="daemonset", schema_compatible=True)
    assert (undone["changed"], undone["after"]["images"]) == (True, {"app": f"{WEB}:1"})
    assert "deployment, because nothing else can be paused" in shop.here("paused", kind="daemonset")["msg"]


def test_what_others_decide(shop: Shop) -> None:
    shop.web()
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}
    scaler = {"metadata": {"name": "web", "namespace": shop.namespace}, "status": {"desiredReplicas": 2}}
    spec = {"scaleTargetRef": target, "minReplicas": 1, "maxReplicas": 2}
    shop.api.create({"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", **scaler, "spec": spec})
    paused = shop.here("paused")
    assert (paused["changed"], paused["diff"]) == (True, {"before": {"paused": False}, "after": {"paused": True}})
    assert (shop.here("paused")["changed"], shop.deployment().spec.paused) == (False, True)
    refused = shop.here("restarted")
    assert "it is paused, so that nothing would be restarted. Resume it first." in refused["msg"]
    shop.set_image(f"{WEB}:2", wait=False)
    resumed = shop.here("resumed")
    assert (resumed["changed"], resumed["rollout"]["done"], shop.image()) == (True, True, f"{WEB}:2")
    assert resumed["autoscaler"]["name"] == "HorizontalPodAutoscaler web"
    assert "is at its ceiling of 2" in resumed["warnings"][0]
    assert shop.here("resumed")["changed"] is False

    tracking = {"argocd.argoproj.io/tracking-id": f"shop-web:apps/Deployment:{shop.namespace}/web"}
    shop.apps.patch_namespaced_deployment("web", shop.namespace, {"metadata": {"annotations": tracking}})
    assert shop.look()["gitops_owner"] == "Argo CD application shop-web"
    shop.api.requests.clear()
    assert shop.here("restarted", check_mode=True)["warnings"][0].startswith("HorizontalPodAutoscaler web is at its")
    owned = shop.here("undone", check_mode=True, schema_compatible=True)
    assert "it belongs to Argo CD application shop-web, which undoes what is changed here." in owned["msg"]
    assert (owned["changed"], shop.writes(), owned["refused"][0]["object"][:10]) == (False, [], "Deployment")
    warned = shop.here("undone", gitops="warn", schema_compatible=True)
    assert (warned["changed"], "may undo this" in warned["warnings"][0]) == (True, True)


def test_beside_what_is_there(shop: Shop, tmp_path: Path) -> None:
    """The version before does not run. k8s_rollback says that it went back, ours why not, and goes forward again."""
    login = {"kubeconfig": str(shop.kubeconfig), "namespace": shop.namespace}
    for name in ("web", "theirs"):
        shop.web(f"{WEB}/bad-image:1", name=name, wait=False)
        eventually(lambda name=name: bool(shop.look(name=name)["revisions"]), "the first revision")
        shop.set_image(f"{WEB}:2", "second", name=name)
    theirs = {**login, "name": "theirs", "api_version": "apps/v1", "kind": "Deployment"}
    ours = {**login, "name": "web", "state": "undone", "schema_compatible": True, "wait_timeout": 3}
    look, say = yaml.safe_load(k8s_rollout_info.EXAMPLES)
    tasks = [
        {"kubernetes.core.k8s_rollback": theirs},
        {"runbook.ops.k8s_rollout": ours, "register": "undo", "ignore_errors": True},
        {"ansible.builtin.debug": {"var": "undo.msg"}},
        # The documentation's, of this Deployment.
        {**look, "runbook.ops.k8s_rollout_info": {**login, "name": "web"}},
        say,
    ]
    book = tmp_path / "undo.yml"
    book.write_text(json.dumps([{"hosts": "localhost", "gather_facts": False, "tasks": tasks}]))
    completed = subprocess.run(
        [
            "ansible-playbook", "-i", "localhost,", "-c", "local", "-e", "runbook_progress_interval=0.5",
            "-e", f"ansible_python_interpreter={sys.executable}", str(book),
        ],
        env={**os.environ, "ANSIBLE_COLLECTIONS_PATH": str(REPOSITORY / "build" / "collections")},
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    out = completed.stdout
    assert completed.returncode == 0, out + completed.stderr
    assert "undo Deployment" in out, out
    assert "0 failed" in out.replace("failed=0", "0 failed"), out
    assert "web: the undo is not rolled out (1 of 2 updated, 2 available, 2 old): pod web-" in out
    assert "which runs (2 of 2 updated, 2 available)." in out
    assert "2 of 2 updated, 2 available; deployed 20" in out
    assert shop.deployment().spec.template.spec.containers[0].image == f"{WEB}:2"
    assert shop.own_annotations() == {**OWN, CAUSE: "second"}
    left = shop.apps.read_namespaced_deployment("theirs", shop.namespace)
    assert left.spec.template.spec.containers[0].image == f"{WEB}/bad-image:1"
    assert "team" not in left.metadata.annotations
