"""k8s_switch and k8s_deployment_copy under load, beside the manual's commands; seen as a client of the Service."""

from __future__ import annotations

import contextlib
import json
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from kubernetes import client, config
from lab.kubernetes import KubernetesApi
from lab.kubernetes.hammer import Hammer
from lab.kubernetes.module_runs import run_here
from lab.kubernetes.releases import BETTER, GOOD, deployment, image, images_in, service, wait_until_available
from lab.process import eventually

from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.client import Cluster
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.copy_run import copy_deployment
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.switch_run import switch_service
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.switching import MEMORY
from ansible_collections.runbook.ops.plugins.modules import k8s_deployment_copy, k8s_switch

pytestmark = pytest.mark.xdist_group("kubernetes")

BLUE = {"app": "api", "version": "blue"}


class Pair:
    """A Service that sends to blue, and no green yet."""

    def __init__(self, api: KubernetesApi, kubeconfig: Path, namespace: str) -> None:
        self.api, self.kubeconfig, self.namespace = api, kubeconfig, namespace
        api.create(deployment(namespace, "api-blue", labels=BLUE, sidecar_first=False))
        api.create(service(namespace, "api", BLUE))
        wait_until_available(api, namespace, "api-blue")
        self.url = api.serve(namespace, "api")

    @property
    def login(self) -> dict[str, Any]:
        return {"kubeconfig": str(self.kubeconfig), "namespace": self.namespace, "wait_sleep": 0.1, "wait_timeout": 240}

    def _run(self, function: Any, module: Any, options: dict[str, Any], check_mode: bool) -> dict[str, Any]:
        return run_here(function, module, {**self.login, **options}, check_mode=check_mode)

    def switch(self, state: str = "switched", *, check_mode: bool = False, **options: Any) -> dict[str, Any]:
        to = {"to": "green"} if state == "switched" else {}
        given = {"service": "api", "state": state, **to, **options}
        return self._run(switch_service, k8s_switch, given, check_mode)

    def copy(self, what: str = BETTER, *, check_mode: bool = False, **options: Any) -> dict[str, Any]:
        given = {"name": "api-blue", "copy": "api-green", "labels": {"version": "green"}, "images": {"web": what}}
        return self._run(copy_deployment, k8s_deployment_copy, {**given, **options}, check_mode)

    def value(self) -> str:
        """Where the Service sends, by the official client."""
        core = client.CoreV1Api(config.new_client_from_config(str(self.kubeconfig)))
        return str(core.read_namespaced_service("api", self.namespace).spec.selector["version"])

    def status(self) -> int:
        """What one request gets."""
        try:
            with urllib.request.urlopen(self.url, timeout=300) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code

    def writes(self) -> list[str]:
        place = f"/namespaces/{self.namespace}/"
        asked = [each for each in self.api.requests if place in each.path and each.method != "GET" and not each.dry_run]
        return [f"{each.method} {each.path.rpartition('/')[2]}" for each in asked]


@pytest.fixture
def pair(api: KubernetesApi, kubeconfig: Path, namespace: str) -> Iterator[Pair]:
    made = Pair(api, kubeconfig, namespace)
    api.requests.clear()
    yield made
    api.heal()


def test_the_manuals_way_is_an_outage(pair: Pair) -> None:
    """The selector is patched to a side that is not ready, or not there; blue is deleted at once. Ours refuses both."""
    pair.copy(image("9", "unready"), wait=False)
    core = client.CoreV1Api(config.new_client_from_config(str(pair.kubeconfig)))
    refused = pair.switch()
    assert f"Service {pair.namespace}/api: the rollout of Deployment api-green is not complete" in refused["msg"]
    nobody = pair.switch(to="purple")
    assert "no Deployment makes pods that it would send to with version=purple" in nobody["msg"]
    assert "there are: blue (api-blue), green (api-green)" in nobody["msg"]
    assert pair.status() == 200
    core.patch_namespaced_service("api", pair.namespace, {"spec": {"selector": {"version": "green"}}})
    assert pair.status() == 503
    core.patch_namespaced_service("api", pair.namespace, {"spec": {"selector": {"version": "blue"}}})
    removed = pair.switch("removed", deployment="api-blue", keep_seconds=0)
    assert f"Deployment {pair.namespace}/api-blue: Service api sends to its pods" in removed["msg"]
    assert pair.status() == 200
    client.AppsV1Api(core.api_client).delete_namespaced_deployment("api-blue", pair.namespace)
    eventually(lambda: pair.status() == 503, "deleting blue is an outage")


def test_blue_green_and_back_and_the_old_side_goes_last(pair: Pair, run_module: Callable[..., dict[str, Any]]) -> None:
    scaler = {"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler"}
    target = {"kind": "Deployment", "apiVersion": "apps/v1", "name": "api-blue"}
    spec = {"scaleTargetRef": target, "minReplicas": 2, "maxReplicas": 4}
    pair.api.create({**scaler, "metadata": {"name": "api", "namespace": pair.namespace}, "spec": spec})
    with Hammer(pair.url) as hammer:
        foreseen = pair.copy(check_mode=True)
        assert (foreseen["changed"], pair.api.exists("Deployment", pair.namespace, "api-green")) == (True, False)
        login = {**pair.login, "name": "api-blue", "copy": "api-green", "labels": {"version": "green"}}
        made = run_module("k8s_deployment_copy", {**login, "images": {"web": BETTER}, "must_not_serve": True})
        assert made["actions"] == foreseen["actions"] and made["diff"] == foreseen["diff"], made
        again = pair.copy(must_not_serve=True)
        assert (again["changed"], again["actions"]) == (False, [])
        planned = pair.switch(check_mode=True)
        assert (planned["changed"], planned["after"], pair.value()) == (True, None, "blue")
        done = run_module("k8s_switch", {**pair.login, "service": "api", "to": "green"}, diff=True)
        assert done["actions"] == planned["actions"] and done["diff"] == planned["diff"], done
        assert (done["value"], done["previous_selector"], pair.value()) == ("green", BLUE, "green")
        said = "Deployment api-green is not scaled by itself: HorizontalPodAutoscaler api is about the other side only."
        assert done["notes"] == [said]
        assert pair.switch()["changed"] is False
        eventually(lambda: hammer.images[BETTER] > 0, "green answers")
        # What serves is not replaced under its clients; and what is not confirmed is the way back.
        assert "Service api sends to its pods" in pair.copy(image("3"), must_not_serve=True)["msg"]
        soaking = pair.switch("removed", deployment="api-blue", keep_seconds=0)
        assert "the switch to green is not confirmed yet, and this is the way back" in soaking["msg"]
        back = pair.switch("returned", leave="green")
        assert ([each["action"] for each in back["actions"]], pair.value()) == (["switch_back"], "blue")
        assert pair.switch("returned", leave="green")["changed"] is False
        assert pair.switch("returned")["changed"] is False
        assert pair.switch()["changed"] and pair.switch("kept")["changed"] and not pair.switch("kept")["changed"]
        early = pair.switch("removed", deployment="api-blue")
        assert "and it is kept for 86400 seconds" in early["msg"]
        assert pair.switch("removed", deployment="api-blue", keep_seconds=0, check_mode=True)["changed"] is True
        assert pair.api.exists("Deployment", pair.namespace, "api-blue")
        gone = pair.switch("removed", deployment="api-blue", keep_seconds=0)
        assert [each["action"] for each in gone["actions"]] == ["remove"]
        assert pair.switch("removed", deployment="api-blue", keep_seconds=0)["changed"] is False
        hammer.more()
    assert hammer.errors == 0, hammer.statuses
    assert set(hammer.images) == {GOOD, BETTER}
    assert not pair.api.exists("Deployment", pair.namespace, "api-blue")


def test_a_side_that_becomes_unready_is_not_switched_to(pair: Pair) -> None:
    """As many as serve now must be ready; and of several lost races the last one is told."""
    pair.copy(replicas=1)
    refused = pair.switch()
    assert "1 pods that match app=api,version=green are ready, and 2 are needed" in refused["msg"]
    pair.api.fail("PATCH", f"*/namespaces/{pair.namespace}/services/api", 409, 1)
    done = pair.switch(min_ready=1)
    assert (done["changed"], pair.value()) == (True, "green")


@pytest.mark.parametrize(
    ("status", "says"),
    [
        (403, "Grant the user the verb patch on services in namespace"),
        (409, "was changed by somebody else meanwhile"),
        (429, "HTTP status 429"),
        (500, "HTTP status 500"),
        ("hang", "does not answer in time when asked to patch services api"),
    ],
)
def test_an_api_that_fails(pair: Pair, status: int | str, says: str) -> None:
    pair.copy()
    pair.api.fail("PATCH", f"*/namespaces/{pair.namespace}/services/api", status, None)
    failed = pair.switch(read_timeout=1)
    assert failed["failed"] is True and says in failed["msg"]
    assert (pair.value(), pair.status()) == ("blue", 200)


def test_endpoints_that_do_not_follow(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    """The controller of the endpoints is dead: the Service is switched back, in time and with the reason."""
    pair.copy()
    listed = Cluster.list

    def is_dead(self: Cluster, kind: str, place: Any = None, **more: Any) -> Any:
        return [] if kind == "endpointslice" else listed(self, kind, place, **more)

    with monkeypatch.context() as patched:
        patched.setattr(Cluster, "list", is_dead)
        failed = pair.switch(wait_timeout=1)
    assert (
        failed["switched_back"] is True
        and "its endpoints are still none. It was switched back to blue" in failed["msg"]
    )
    assert pair.value() == "blue"
    memory = json.loads(pair.api.get("Service", pair.namespace, "api")["metadata"]["annotations"][MEMORY])
    assert (memory["from"], memory["to"], memory["state"]) == ("blue", "green", "returned")
    # Who may not see the endpoints is told so, and is not sent back.
    pair.api.fail("GET", f"*/namespaces/{pair.namespace}/endpointslices", 403, None)
    blind = pair.switch()
    assert (blind["changed"], [each["section"] for each in blind["skipped_sections"]]) == (True, ["endpointslices"])


def test_a_canary(pair: Pair) -> None:
    """Beside two pods one of three: it gets its share, is scaled, never shrinks by a run that goes on, and goes."""
    options = {"copy": "api-canary", "labels": {"runbook-ops.github.io/track": "canary"}, "share": 10}
    with Hammer(pair.url) as hammer:
        made = pair.copy(**options)
        assert (made["share_percent"], made["after"]) == (33.3, {"replicas": 1, "images": made["after"]["images"]})
        eventually(lambda: hammer.images[BETTER] > 0, "the canary answers")
        assert pair.copy(**{**options, "share": 50})["after"]["replicas"] == 2
        assert pair.copy(**options)["changed"] is False
        absent = {"copy": "api-canary", "state": "absent"}
        assert pair.copy(**absent, check_mode=True)["changed"] is True
        assert [each["action"] for each in pair.copy(**absent)["actions"]] == ["remove_copy"]
        assert pair.copy(**absent)["changed"] is False
        hammer.more()
    assert hammer.errors == 0, hammer.statuses
    stable = pair.api.get("Deployment", pair.namespace, "api-blue")
    assert (images_in(stable)["web"], stable["spec"]["replicas"]) == (GOOD, 2)
    # What is no copy of it is not deleted.
    pair.api.create(deployment(pair.namespace, "other"))
    refused = pair.copy(copy="other", state="absent")
    assert "it is no copy of Deployment api-blue that was made here" in refused["msg"]


def test_a_canary_that_does_not_run(pair: Pair) -> None:
    options = {"copy": "api-canary", "labels": {"track": "canary"}, "share": 10}
    with Hammer(pair.url) as hammer:
        failed = pair.copy(image("2", "crash"), **options, wait_timeout=2)
        hammer.more()
    assert "Deployment api-blue was not touched" in failed["msg"] and "exit code 1" in failed["msg"]
    assert (hammer.errors, set(hammer.images)) == (0, {GOOD})
    quota = "exceeded quota: pods, requested: pods=1, used: pods=2, limited: pods=2"
    pair.api.fail("POST", f"*/namespaces/{pair.namespace}/deployments", 403, 1, message=quota)
    with contextlib.suppress(KeyError):
        pair.api.delete("Deployment", pair.namespace, "api-canary")
    told = pair.copy(**{**options, "copy": "api-second"})
    assert quota in told["msg"] and not pair.api.exists("Deployment", pair.namespace, "api-second")
