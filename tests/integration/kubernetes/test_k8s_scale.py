"""k8s_scale against an API server with an autoscaler; the outcome is read with the official client."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes import client, config
from lab.kubernetes import KubernetesApi
from lab.kubernetes.module_runs import kill_module, run_here
from lab.process import eventually

from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.memory import SCALED
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.scale import scale_workload
from ansible_collections.runbook.ops.plugins.modules import k8s_scale

# One API server for all of them.
pytestmark = pytest.mark.xdist_group("kubernetes")

HPA = "HorizontalPodAutoscaler"
RunModule = Callable[..., dict[str, Any]]


class Shop:
    """A worker in one namespace, and the module run on it."""

    def __init__(self, api: KubernetesApi, kubeconfig: Path, namespace: str, run_module: RunModule) -> None:
        self.api, self.kubeconfig, self.namespace, self._run = api, kubeconfig, namespace, run_module
        login = config.new_client_from_config(str(kubeconfig))
        self.apps, self.scaling = client.AppsV1Api(login), client.AutoscalingV2Api(login)

    def create(self, version: str, kind: str, name: str, spec: dict[str, Any]) -> None:
        metadata = {"name": name, "namespace": self.namespace}
        self.api.create({"apiVersion": version, "kind": kind, "metadata": metadata, "spec": spec})

    def worker(self, replicas: int, name: str = "worker") -> None:
        labels = {"app": name}
        template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "app", "image": "shop/worker:1"}]}}
        spec = {"replicas": replicas, "selector": {"matchLabels": labels}, "template": template}
        self.create("apps/v1", "Deployment", name, spec)

    def autoscaler(self, low: int, high: int, name: str = "worker") -> None:
        target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "worker"}
        spec = {"scaleTargetRef": target, "minReplicas": low, "maxReplicas": high}
        self.create("autoscaling/v2", "HorizontalPodAutoscaler", name, spec)

    def replicas(self, name: str = "worker") -> int:
        found: int = self.apps.read_namespaced_deployment(name, self.namespace).spec.replicas
        return found

    def bounds(self) -> tuple[int | None, int, bool]:
        """With whether it remembers what it was."""
        found = self.api.get("HorizontalPodAutoscaler", self.namespace, "worker")
        kept = SCALED in (found["metadata"].get("annotations") or {})
        return found["spec"].get("minReplicas"), found["spec"]["maxReplicas"], kept

    def options(self, **options: Any) -> dict[str, Any]:
        login = {"kubeconfig": str(self.kubeconfig), "namespace": self.namespace, "name": "worker"}
        return {**login, "wait_sleep": 0.1, "wait_timeout": 240, "max_replicas_limit": 10, **options}

    def scale(self, *, check_mode: bool = False, **options: Any) -> dict[str, Any]:
        return self._run("k8s_scale", self.options(**options), check_mode=check_mode)

    def here(self, *, check_mode: bool = False, **options: Any) -> dict[str, Any]:
        """The same within this process, for what does not depend on how a module is started."""
        return run_here(scale_workload, k8s_scale, self.options(**options), check_mode=check_mode)

    def killed(self, when: Callable[[], bool], what: str, **options: Any) -> None:
        """Start the module as a process of its own, and kill it when something is so."""
        kill_module("k8s_scale", {**self.options(**options), "read_timeout": 300}, when, what)

    def asked(self, method: str, *, dry_run: bool = False) -> bool:
        """Whether the autoscaler was asked for in this way."""
        place = f"/{self.namespace}/horizontalpodautoscalers/worker"
        return any(
            each.method == method and each.dry_run is dry_run and each.path.endswith(place)
            for each in self.api.requests
        )

    def writes(self) -> int:
        return sum(
            1
            for each in self.api.requests
            if each.method != "GET" and not each.dry_run and f"/{self.namespace}/" in each.path
        )


@pytest.fixture
def shop(api: KubernetesApi, kubeconfig: Path, namespace: str, run_module: RunModule) -> Iterator[Shop]:
    known = list(api.store.listeners)
    yield Shop(api, kubeconfig, namespace, run_module)
    api.heal()
    api.store.listeners[:] = known
    api.delete("Namespace", "", namespace)


def test_the_autoscaler_reverts_the_manual_and_follows_ours(shop: Shop) -> None:
    shop.worker(2)
    shop.autoscaler(1, 4)
    shop.api.load(shop.namespace, "worker", 80)
    # The manual: five replicas. Within a moment there are two again.
    shop.apps.patch_namespaced_deployment_scale("worker", shop.namespace, {"spec": {"replicas": 5}})
    eventually(lambda: shop.replicas() == 2, "the autoscaler to take them back")
    begun = shop.writes()

    foreseen = shop.here(replicas=5, check_mode=True)
    assert (foreseen["after"], shop.writes(), shop.bounds()) == (None, begun, (1, 4, False))
    done = shop.scale(replicas=5)
    assert done["actions"] == foreseen["actions"]
    assert done["actions"] == [
        {
            "action": "scale",
            "object": f"HorizontalPodAutoscaler {shop.namespace}/worker",
            "from": "1 to 4 replicas",
            "to": "5 to 5 replicas",
        }
    ]
    assert done["diff"] == foreseen["diff"]
    assert done["after"]["horizontalpodautoscaler/worker"] == {"min_replicas": 5, "max_replicas": 5, "scaled": True}
    assert (shop.replicas(), shop.bounds()) == (5, (5, 5, True))
    assert shop.apps.read_namespaced_deployment("worker", shop.namespace).status.ready_replicas == 5
    assert (shop.here(replicas=5)["changed"], shop.writes()) == (False, begun + 1)

    # Further; and the way back is to what was there at first.
    shop.here(replicas=6, max_replicas=8)
    assert (shop.replicas(), shop.bounds()) == (6, (6, 8, True))
    restored = shop.scale(state="restored")
    assert (restored["actions"][0]["from"], restored["actions"][0]["to"]) == ("6 to 8 replicas", "1 to 4 replicas")
    assert restored["diff"]["after"]["horizontalpodautoscaler/worker"]["max_replicas"] == 4
    assert shop.bounds() == (1, 4, False)
    assert shop.here(state="restored")["changed"] is False
    shop.here(replicas=3)
    shop.api.change("HorizontalPodAutoscaler", shop.namespace, "worker", {"spec": {"maxReplicas": 7}})
    refused = shop.here(state="restored")
    assert "has 3 to 7 replicas, and was set to 3 to 4 replicas: somebody has changed it since" in refused["msg"]
    assert shop.bounds() == (3, 7, True)


def test_without_an_autoscaler_the_replicas_are_set(shop: Shop) -> None:
    shop.worker(2)
    assert shop.here(replicas=4)["actions"][0]["to"] == "4 replicas"
    assert (shop.here(replicas=4)["changed"], shop.replicas()) == (False, 4)
    assert shop.here(state="restored")["changed"] is True
    assert (shop.here(state="restored")["changed"], shop.replicas()) == (False, 2)
    # The examples of the documentation, one after the other.
    seen = []
    for task in yaml.safe_load(k8s_scale.EXAMPLES):
        done = shop.here(**{**task["runbook.ops.k8s_scale"], "namespace": shop.namespace})
        seen.append((done["changed"], shop.replicas()))
    assert seen == [(True, 6), (True, 2)]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"replicas": 11}, "11 replicas are more than max_replicas_limit, which is 10. Raise it if that is meant."),
        ({"replicas": 3, "max_replicas": 12}, "12 replicas are more than max_replicas_limit, which is 10"),
        ({"replicas": 6, "max_replicas": 5}, "replicas (6) is more than max_replicas (5)"),
        (
            {"replicas": 8, "connections_per_replica": 20, "connections_free": 75},
            "4 more with 20 database connections each need 80, and 75 are free",
        ),
        ({"replicas": 8, "connections_per_replica": 20}, "each need 80, and how many are free is not known"),
        ({"replicas": 0}, "replicas: 0 is not accepted. Accepted: a whole number from 1 to 100000"),
        ({}, "replicas: None is not accepted. Accepted: a number of pods, with state scaled"),
    ],
)
def test_limits(shop: Shop, options: dict[str, Any], said: str) -> None:
    shop.worker(2)
    shop.autoscaler(2, 4)
    begun = shop.writes()
    failed = shop.here(**options)
    assert (failed["failed"], shop.writes(), shop.bounds()) == (True, begun, (2, 4, False))
    assert said in failed["msg"]


def test_what_works_against_it(shop: Shop) -> None:
    """Two autoscalers, a parked worker, pods that do not come, and a server that does not answer."""
    shop.worker(2)
    place = f"*/{shop.namespace}/*"
    try:
        for status, said in (
            (403, "Grant the user the verb patch"),
            (429, "HTTP status 429"),
            (500, "HTTP status 500"),
            (409, "changed by somebody else meanwhile"),
            ("hang", "does not answer in time"),
        ):
            shop.api.fail("PATCH", place, status, None)
            assert said in shop.here(replicas=3, read_timeout=0.3)["msg"]
            shop.api.heal()
        assert shop.replicas() == 2
    finally:
        shop.api.heal()
    broken = {"containers": [{"name": "app", "image": "shop/pending:1"}]}
    shop.api.change("Deployment", shop.namespace, "worker", {"spec": {"template": {"spec": broken}}})
    failed = shop.here(replicas=3, wait_timeout=1)
    assert f"Deployment {shop.namespace}/worker does not get its pods: " in failed["msg"]
    assert (failed["changed"], shop.here(state="restored")["changed"], shop.replicas()) == (True, True, 2)
    shop.autoscaler(2, 4)
    shop.autoscaler(1, 9, name="second")
    assert "several autoscalers work against each other" in shop.here(replicas=3)["msg"]
    shop.api.change("Deployment", shop.namespace, "worker", {"spec": {"replicas": 0}})
    assert "it has no replicas. Bring it back with k8s_park" in shop.here(replicas=3)["msg"]


def blind_after_write(shop: Shop) -> None:
    """From the moment in which the autoscaler is written, looks at the worker hang; the answer is still sent."""
    done = []

    def written(key: Any, value: Any) -> None:
        bounds = value["spec"] if (key.kind.name, key.namespace) == (HPA, shop.namespace) else None
        if bounds and not done and (bounds.get("minReplicas"), bounds["maxReplicas"]) != begun[:2]:
            done.append(key)
            shop.api.fail("GET", f"*/{shop.namespace}/deployments/worker", "hang", None)

    begun = shop.bounds()
    shop.api.store.listeners.append(written)


def test_killed_at_any_moment(shop: Shop) -> None:
    """While it tries, while it waits, and on the way back: the same task goes on, and what there was is remembered."""
    shop.worker(2)
    shop.autoscaler(1, 4)
    shop.api.load(shop.namespace, "worker", 80)
    # Nobody has answered what the server would take: nothing was done.
    shop.api.requests.clear()
    shop.api.fail("PATCH", f"*/{shop.namespace}/*", "hang", None)
    shop.killed(lambda: shop.asked("PATCH", dry_run=True), "the rehearsal", replicas=5)
    shop.api.heal()
    assert (shop.bounds(), shop.replicas()) == ((1, 4, False), 2)

    # The bounds are set, and nobody has seen a pod yet; twice, so that what the first run found must be kept.
    for bounds, options in (((5, 5, True), {"replicas": 5}), ((6, 8, True), {"replicas": 6, "max_replicas": 8})):
        blind_after_write(shop)
        shop.killed(lambda wanted=bounds: shop.bounds() == wanted, "the new bounds", **options)
        shop.api.heal()
    done = shop.scale(replicas=6, max_replicas=8)
    assert (done["changed"], shop.replicas(), shop.bounds()) == (False, 6, (6, 8, True))
    assert shop.apps.read_namespaced_deployment("worker", shop.namespace).status.ready_replicas == 6

    # On the way back, before and after the one write.
    shop.api.requests.clear()
    shop.api.fail("PATCH", f"*/{shop.namespace}/*", "hang", None)
    shop.killed(lambda: shop.asked("PATCH", dry_run=True), "the way back", state="restored")
    shop.api.heal()
    assert shop.bounds() == (6, 8, True)
    blind_after_write(shop)
    shop.killed(lambda: shop.bounds() == (1, 4, False), "what was there", state="restored")
    shop.api.heal()
    assert (shop.here(state="restored")["changed"], shop.bounds()) == (False, (1, 4, False))
