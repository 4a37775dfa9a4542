"""k8s_image under load: all workloads or none, back by itself, resumed; seen with kubernetes.core and as a client."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from kubernetes import client, config
from lab.kubernetes import KubernetesApi
from lab.kubernetes.hammer import Hammer
from lab.kubernetes.module_runs import kill_module, run_here
from lab.kubernetes.releases import (
    BETTER,
    GOOD,
    SIDECAR,
    deployment,
    image,
    images_in,
    service,
    wait_until_available,
)
from lab.process import eventually

from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.client import Cluster
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.image_change import set_images
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.images import MEMORY
from ansible_collections.runbook.ops.plugins.modules import k8s_image

pytestmark = pytest.mark.xdist_group("kubernetes")

NAMES = ("web", "worker")
WORKLOADS = [{"name": name, "kind": "deployment", "containers": ["web"]} for name in NAMES]


class Shop:
    """Two workloads with one image, and the module."""

    def __init__(self, api: KubernetesApi, kubeconfig: Path, namespace: str) -> None:
        self.api, self.kubeconfig, self.namespace = api, kubeconfig, namespace
        for name in NAMES:
            api.create(deployment(namespace, name, sidecar_first=name == "worker"))
        api.create(service(namespace, "web", {"app": "web"}))
        wait_until_available(api, namespace, *NAMES)
        self.url = api.serve(namespace, "web")

    def options(self, **options: Any) -> dict[str, Any]:
        given = {"kubeconfig": str(self.kubeconfig), "namespace": self.namespace, "workloads": WORKLOADS}
        return {**given, "wait_sleep": 0.1, "wait_timeout": 240, **options}

    def set(self, image: str | None, *, check_mode: bool = False, **options: Any) -> dict[str, Any]:
        return run_here(set_images, k8s_image, self.options(image=image, **options), check_mode=check_mode)

    def images(self) -> set[str]:
        """What the named containers have, by the official client."""
        apps = client.AppsV1Api(config.new_client_from_config(str(self.kubeconfig)))
        found = [apps.read_namespaced_deployment(name, self.namespace) for name in NAMES]
        containers = [each for one in found for each in one.spec.template.spec.containers]
        assert {each.image for each in containers if each.name == "proxy"} == {SIDECAR}
        return {each.image for each in containers if each.name == "web"}

    def writes(self) -> int:
        place = f"/namespaces/{self.namespace}/"
        return sum(place in each.path and each.method != "GET" and not each.dry_run for each in self.api.requests)

    def fail(self, method: str, path: str, *arguments: Any, **more: Any) -> None:
        self.api.fail(method, f"*/namespaces/{self.namespace}/{path}", *arguments, **more)


@pytest.fixture
def shop(api: KubernetesApi, kubeconfig: Path, namespace: str) -> Iterator[Shop]:
    api.requests.clear()
    yield Shop(api, kubeconfig, namespace)
    api.heal()


def test_check_release_again_and_back(shop: Shop, run_module: Callable[..., dict[str, Any]]) -> None:
    """The old line sets containers[0], which is the sidecar; nobody waits, and the workers keep the old image."""
    with Hammer(shop.url) as hammer:
        foreseen = shop.set(BETTER, check_mode=True)
        assert (foreseen["changed"], foreseen["after"], shop.images(), shop.writes()) == (True, None, {GOOD}, 0)
        done = run_module("k8s_image", shop.options(image=BETTER), diff=True)
        assert done["actions"] == foreseen["actions"] and done["diff"] == foreseen["diff"], done
        assert [(each["object"], each["container"]) for each in done["actions"]] == [
            (f"Deployment {shop.namespace}/{name}", "web") for name in NAMES
        ]
        assert shop.images() == {BETTER}
        assert [(each["proven"], each["pods_count"]) for each in done["running"]] == [(True, 2)] * 2
        written = shop.writes()
        again = shop.set(BETTER)
        assert (again["changed"], again["actions"], shop.writes()) == (False, [], written)
        hammer.more()
        assert hammer.images[BETTER] > 0
        # And back, once.
        back = shop.set(BETTER, state="previous")
        assert ([each["action"] for each in back["actions"]], shop.images()) == (["return_image"] * 2, {GOOD})
        assert shop.set(BETTER, state="previous")["changed"] is False
        assert shop.set(None, state="previous")["changed"] is False
        hammer.more()
    assert hammer.errors == 0, hammer.statuses
    found = shop.api.get("Deployment", shop.namespace, "web")
    assert found["metadata"]["annotations"]["team"] == "shop"
    assert found["metadata"]["annotations"]["kubernetes.io/change-cause"] == f"back to image {GOOD} (runbook.ops)"
    # The manual's way: its index is the sidecar's.
    naive = [{"op": "replace", "path": "/spec/template/spec/containers/0/image", "value": BETTER}]
    apps = client.AppsV1Api(config.new_client_from_config(str(shop.kubeconfig)))
    apps.patch_namespaced_deployment("worker", shop.namespace, naive)
    assert images_in(shop.api.get("Deployment", shop.namespace, "worker")) == {"proxy": BETTER, "web": GOOD}


@pytest.mark.parametrize("what", ["bad-image", "crash", "unready"])
def test_what_does_not_run_goes_back(shop: Shop, what: str) -> None:
    reasons = {"bad-image": "ImagePull", "crash": "exit code 1", "unready": "pod web-"}
    with Hammer(shop.url) as hammer:
        failed = shop.set(image("2", what), wait_timeout=2)
        hammer.more()
    assert (failed["failed"], failed["changed"], failed["rolled_back"]) == (True, True, True), failed["msg"]
    assert f"Deployment {shop.namespace}/web is not rolled out: " in failed["msg"]
    assert reasons[what] in failed["msg"] and "Everything is back at the images before" in failed["msg"]
    assert (hammer.errors, set(hammer.images), shop.images()) == (0, {GOOD}, {GOOD})
    assert [each["action"] for each in failed["actions"]] == ["set_image"] * 2 + ["undo_image"] * 2


def test_a_missing_key_of_a_secret(shop: Shop) -> None:
    """The image needs a key that the Secret does not have; its name is told, and no value."""
    secret = {"metadata": {"name": "login", "namespace": shop.namespace}, "stringData": {"user": "s3cret-user"}}
    shop.api.create({"apiVersion": "v1", "kind": "Secret", **secret})
    env = [{"name": "PASSWORD", "valueFrom": {"secretKeyRef": {"name": "login", "key": "password"}}}]
    shop.api.create({**deployment(shop.namespace, "api", env=env)})
    workloads = [{"name": "api", "kind": "deployment", "containers": ["web"]}]
    kept = shop.set(BETTER, workloads=workloads, wait_timeout=2, on_failure="keep")
    assert kept["failed"] is True and "CreateContainerConfigError" in kept["msg"] and "password" in kept["msg"]
    assert "left as it is (on_failure is keep)" in kept["msg"] and "s3cret-user" not in str(kept)
    # The run that went on finds the cause removed.
    shop.api.change("Secret", shop.namespace, "login", {"data": {"password": "eA=="}})
    done = shop.set(BETTER, workloads=workloads)
    assert (done.get("failed"), done["changed"]) == (None, False), done.get("msg")


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"image": "shop/web:v1.2.3"}, "the tag v1.2.3 can be given to another image at any time"),
        ({"image": "shop/web:latest", "allow_tags": True}, "the tag latest is another image with every build"),
        ({"workloads": [{**WORKLOADS[0], "containers": ["app"]}]}, "web: it has no container app. Name one of its"),
        ({"workloads": [*WORKLOADS, {**WORKLOADS[0], "name": "gone"}]}, "deployments.apps gone in namespace"),
        ({"workloads": [{**WORKLOADS[0], "containers": []}]}, "a sidecar that is not named is not touched"),
    ],
)
def test_refusals(shop: Shop, options: dict[str, Any], says: str) -> None:
    refused = shop.set(**{"image": BETTER, **options})
    assert says in refused["msg"] and refused["failed"] is True
    assert (shop.images(), shop.writes()) == ({GOOD}, 0)


def test_what_belongs_to_argo_cd(shop: Shop) -> None:
    """Argo CD would put it back within minutes; all of the release is refused, not the second half of it."""
    tracking = {"argocd.argoproj.io/tracking-id": f"shop:apps/Deployment:{shop.namespace}/worker"}
    shop.api.change("Deployment", shop.namespace, "worker", {"metadata": {"annotations": tracking}})
    refused = shop.set(BETTER)
    assert "worker: it belongs to Argo CD application shop, which undoes what is changed here" in refused["msg"]
    assert (shop.images(), shop.writes()) == ({GOOD}, 0)
    warned = shop.set(BETTER, gitops="warn")
    assert (warned["changed"], shop.images()) == (True, {BETTER})
    assert "belongs to Argo CD application shop" in warned["notes"][0]


@pytest.mark.parametrize(
    ("status", "says"),
    [
        (403, "Grant the user the verb patch on deployments.apps"),
        (409, "was changed by somebody else meanwhile"),
        (429, "HTTP status 429"),
        (500, "HTTP status 500"),
        ("hang", "does not answer in time when asked to patch deployments.apps worker"),
    ],
)
def test_an_api_that_fails_in_the_middle(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, status: int | str, says: str
) -> None:
    """The first workload is changed, the second cannot be: both have the image before, and it serves."""
    patch = Cluster.patch

    def fails_for_the_second(self: Cluster, kind: str, place: Any, name: str, body: Any, **more: Any) -> Any:
        # The dry run of the plan has passed.
        if name == "worker" and not more.get("dry_run"):
            shop.fail("PATCH", "deployments/worker", status, None)
        return patch(self, kind, place, name, body, **more)

    monkeypatch.setattr(Cluster, "patch", fails_for_the_second)
    with Hammer(shop.url) as hammer:
        failed = shop.set(BETTER, read_timeout=1)
        hammer.more()
    assert failed["failed"] is True and says in failed["msg"], failed["msg"]
    assert "Everything is back at the images before" in failed["msg"]
    assert (failed["rolled_back"], shop.images(), hammer.errors) == (True, {GOOD}, 0)


def test_killed_half_way(shop: Shop) -> None:
    """What a killed run began is gone on with; when it does not run, it goes back to what was before that run."""
    bad = image("3", "unready")
    with Hammer(shop.url) as hammer:
        kill_module("k8s_image", shop.options(image=bad), lambda: shop.images() == {bad}, "both have the image")
        memory = json.loads(shop.api.get("Deployment", shop.namespace, "web")["metadata"]["annotations"][MEMORY])
        assert (memory["from"], memory["to"], memory["state"]) == ({"web": GOOD}, {"web": bad}, "rolling")
        failed = shop.set(bad, wait_timeout=2)
        assert (failed["rolled_back"], shop.images()) == (True, {GOOD}), failed["msg"]
        hammer.more()
    assert (hammer.errors, set(hammer.images)) == (0, {GOOD})


def test_a_webhook_that_sends_images_to_a_mirror(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is stored is another name than the one that was asked for: known again, taken back, and gone back from."""
    patch = Cluster.patch

    def admits(self: Cluster, kind: str, place: Any, name: str, body: Any, **more: Any) -> Any:
        text = json.dumps(body)
        spec = json.loads(text.replace("registry.example.com", "mirror.example.com"))["spec"] if "spec" in body else {}
        return patch(self, kind, place, name, {**body, **({"spec": spec} if spec else {})}, **more)

    monkeypatch.setattr(Cluster, "patch", admits)
    bad, mirrored = image("2", "bad-image"), BETTER.replace("registry", "mirror")
    # Long before the time is over, and without a deadline of the rollout.
    failed = shop.set(bad, give_up_after=1)
    assert (failed["rolled_back"], "(give_up_after)" in failed["msg"]) == (True, True), failed["msg"]
    assert {each.partition("/")[2] for each in shop.images()} == {GOOD.partition("/")[2]}
    done = shop.set(BETTER)
    assert (done["changed"], shop.images()) == (True, {mirrored}) and "(admission)" in done["notes"][0]
    assert [each["proven"] for each in done["running"]] == [True, True]
    assert shop.set(BETTER)["changed"] is False
    assert shop.set(BETTER, state="previous")["changed"] is True and shop.images() != {mirrored}


def test_a_statefulset_goes_back_from_a_pod_that_never_is_ready(shop: Shop) -> None:
    """It waits for that pod for ever, also when it is told to have the image before, until the pod is deleted."""
    made = deployment(shop.namespace, "store", sidecar_first=False)
    del made["spec"]["strategy"]
    shop.api.create({**made, "kind": "StatefulSet", "spec": {**made["spec"], "serviceName": "store"}})
    workloads = [{"name": "store", "kind": "statefulset", "containers": ["web"]}]
    available = {"wait_timeout": 240, "workloads": workloads}
    shop.set(GOOD, **available)
    eventually(
        lambda: (shop.api.get("StatefulSet", shop.namespace, "store").get("status") or {}).get("readyReplicas") == 2,
        "the store runs",
    )
    failed = shop.set(image("2", "crash"), **available, give_up_after=1)
    assert failed["rolled_back"] is True, failed["msg"]
    deleted = [each["object"] for each in failed["actions"] if each["action"] == "delete_pod"]
    assert deleted == [f"Pod {shop.namespace}/store-1"]
    found = shop.api.get("StatefulSet", shop.namespace, "store")
    assert (images_in(found)["web"], found["status"]["readyReplicas"]) == (GOOD, 2)
    # kubectl says "partitioned roll out complete" when not one pod has got the image; ours sets none.
    for strategy, said in (
        ({"type": "RollingUpdate", "rollingUpdate": {"partition": 2}}, "its partition of 2 keeps all of its 2 pods"),
        ({"type": "OnDelete", "rollingUpdate": None}, "its update strategy is OnDelete, so that no pod would get"),
    ):
        shop.api.change("StatefulSet", shop.namespace, "store", {"spec": {"updateStrategy": strategy}})
        refused = shop.set(BETTER, **available)
        assert said in refused["msg"], refused["msg"]
        assert images_in(shop.api.get("StatefulSet", shop.namespace, "store"))["web"] == GOOD
    strategy = {"type": "RollingUpdate", "rollingUpdate": {"partition": 1}}
    shop.api.change("StatefulSet", shop.namespace, "store", {"spec": {"updateStrategy": strategy}})
    partly = shop.set(BETTER, **available, check_mode=True)
    assert "has a partition of 1: its pod 0 stays as it is until that is lowered." in partly["notes"][0]
