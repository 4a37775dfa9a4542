"""k8s_park against an API server with controllers; the outcome is read with the official client."""

from __future__ import annotations

import json
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

from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.memory import PARKED
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.park import park_workloads
from ansible_collections.runbook.ops.plugins.modules import k8s_park

# One API server for all of them.
pytestmark = pytest.mark.xdist_group("kubernetes")

RunModule = Callable[..., dict[str, Any]]
WORKERS = ["cronjob/nightly-sync", "worker-normal", "worker-batch"]
REPOSITORY = Path(__file__).resolve().parents[3]


class Shop:
    """Workers in one namespace, and the module run on them."""

    def __init__(self, api: KubernetesApi, kubeconfig: Path, namespace: str, run_module: RunModule) -> None:
        self.api, self.kubeconfig, self.namespace, self._run = api, kubeconfig, namespace, run_module
        login = config.new_client_from_config(str(kubeconfig))
        self.apps, self.batch, self.core = client.AppsV1Api(login), client.BatchV1Api(login), client.CoreV1Api(login)
        self.scaling = client.AutoscalingV2Api(login)

    def workload(self, name: str, replicas: int, *, image: str = "shop/worker:1", kind: str = "Deployment") -> None:
        labels = {"app": name}
        template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "app", "image": image}]}}
        spec = {"replicas": replicas, "selector": {"matchLabels": labels}, "template": template}
        if kind == "StatefulSet":
            spec["serviceName"] = name
        self.create("apps/v1", kind, name, spec)

    def cronjob(self, name: str) -> None:
        pod = {"restartPolicy": "Never", "containers": [{"name": "app", "image": "shop/worker:1"}]}
        job = {"spec": {"template": {"spec": pod}}}
        self.create("batch/v1", "CronJob", name, {"schedule": "0 3 * * *", "suspend": False, "jobTemplate": job})

    def autoscaler(self, name: str, low: int, high: int) -> None:
        target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": name}
        spec = {"scaleTargetRef": target, "minReplicas": low, "maxReplicas": high}
        self.create("autoscaling/v2", "HorizontalPodAutoscaler", name, spec)

    def create(self, version: str, kind: str, name: str, spec: dict[str, Any], **metadata: Any) -> None:
        place = {"name": name, "namespace": self.namespace, **metadata}
        self.api.create({"apiVersion": version, "kind": kind, "metadata": place, "spec": spec})

    def workers(self) -> None:
        """Those of the manual, of which it forgets one."""
        self.cronjob("nightly-sync")
        self.workload("worker-normal", 4)
        self.workload("worker-batch", 2)
        self.ready("worker-normal", 4)
        self.ready("worker-batch", 2)

    # --- what is there, by the official client
    def ready(self, name: str, replicas: int) -> None:
        def seen() -> bool:
            found = self.apps.read_namespaced_deployment(name, self.namespace)
            return (found.spec.replicas, found.status.ready_replicas or 0) == (replicas, replicas)

        eventually(seen, f"{replicas} ready pods of {name}")

    def replicas(self) -> dict[str, int]:
        found = self.apps.list_namespaced_deployment(self.namespace).items
        return {each.metadata.name: each.spec.replicas for each in found}

    def memories(self) -> dict[str, Any]:
        """What is remembered on any object of the namespace, without the moment."""
        objects = [
            *self.apps.list_namespaced_deployment(self.namespace).items,
            *self.apps.list_namespaced_stateful_set(self.namespace).items,
            *self.batch.list_namespaced_cron_job(self.namespace).items,
            *self.scaling.list_namespaced_horizontal_pod_autoscaler(self.namespace).items,
        ]
        found = {
            each.metadata.name: json.loads(each.metadata.annotations[PARKED])
            for each in objects
            if PARKED in (each.metadata.annotations or {})
        }
        return {name: {key: value for key, value in each.items() if key != "at"} for name, each in found.items()}

    def pods(self) -> int:
        return len(self.core.list_namespaced_pod(self.namespace).items)

    def kubectl_scale(self, name: str, replicas: int) -> None:
        """What C(kubectl scale) sends."""
        self.apps.patch_namespaced_deployment_scale(name, self.namespace, {"spec": {"replicas": replicas}})

    # --- ours
    def options(self, **options: Any) -> dict[str, Any]:
        login = {"kubeconfig": str(self.kubeconfig), "namespace": self.namespace}
        return {**login, "wait_sleep": 0.1, "wait_timeout": 240, **options}

    def park(self, *, check_mode: bool = False, **options: Any) -> dict[str, Any]:
        return self._run("k8s_park", self.options(**options), check_mode=check_mode)

    def here(self, *, check_mode: bool = False, **options: Any) -> dict[str, Any]:
        """The same within this process, for what does not depend on how a module is started."""
        return run_here(park_workloads, k8s_park, self.options(**options), check_mode=check_mode)

    def killed(self, when: Callable[[], bool], **options: Any) -> None:
        """Start the module as a process of its own, and kill it when something is so."""
        kill_module("k8s_park", {**self.options(**options), "read_timeout": 300}, when)

    def writes(self) -> list[str]:
        """The requests that wrote something, dry runs left out."""
        return [
            each.path.rpartition("/")[2]
            for each in self.api.requests
            if each.method != "GET" and not each.dry_run and f"/{self.namespace}/" in each.path
        ]


@pytest.fixture
def shop(api: KubernetesApi, kubeconfig: Path, namespace: str, run_module: RunModule) -> Iterator[Shop]:
    api.requests.clear()
    shop = Shop(api, kubeconfig, namespace, run_module)
    known = list(api.store.listeners)
    yield shop
    api.heal()
    api.store.listeners[:] = known
    api.delete("Namespace", "", namespace)


def after_write(shop: Shop, name: str, order: Callable[[], None]) -> None:
    """Order something in the moment in which an object is written, before the answer is sent."""
    done = []

    def written(key: Any, value: Any) -> None:
        place = (key.kind.name, key.namespace, key.name) == ("Deployment", shop.namespace, name)
        if place and not done and PARKED in (value["metadata"].get("annotations") or {}):
            done.append(name)
            order()

    shop.api.store.listeners.append(written)


def test_the_manual_and_ours(shop: Shop) -> None:
    """The manual stops both workers and starts one of them, with a number of its own."""
    shop.workers()
    for name in ("worker-normal", "worker-batch"):
        shop.kubectl_scale(name, 0)
    shop.kubectl_scale("worker-normal", 3)
    assert shop.replicas() == {"worker-normal": 3, "worker-batch": 0}
    # Nobody knows any more what it was. Ours says so, and does nothing until it is told.
    refused = shop.here(state="running", workloads=WORKERS)
    assert refused["failed"] is True
    assert refused["msg"] == (
        f"Deployment {shop.namespace}/worker-batch: it has no replicas, and was not parked by this module, so that"
        ' nobody knows how many it had. Say how many with replicas: {"deployment/worker-batch": 3}, or leave it out.'
    )
    assert [each["object"] for each in refused["refused"]] == [f"Deployment {shop.namespace}/worker-batch"]
    given = shop.here(state="running", workloads=["worker-batch"], replicas={"worker-batch": 2})
    assert (given["changed"], shop.replicas(), shop.memories()) == (True, {"worker-normal": 3, "worker-batch": 2}, {})
    shop.kubectl_scale("worker-normal", 4)
    shop.ready("worker-normal", 4)
    shop.api.requests.clear()

    foreseen = shop.park(workloads=WORKERS, check_mode=True)
    assert (foreseen["changed"], foreseen["after"], shop.writes(), shop.memories()) == (True, None, [], {})
    done = shop.park(workloads=WORKERS)
    assert done["actions"] == foreseen["actions"]
    assert [(each["action"], each["object"], each["from"], each["to"]) for each in done["actions"]] == [
        ("park", f"CronJob {shop.namespace}/nightly-sync", "active", "suspended"),
        ("park", f"Deployment {shop.namespace}/worker-normal", "4 replicas", "0 replicas"),
        ("park", f"Deployment {shop.namespace}/worker-batch", "2 replicas", "0 replicas"),
    ]
    assert done["diff"] == foreseen["diff"]
    assert done["after"] == done["diff"]["after"]
    assert done["after"]["deployment/worker-normal"] == {"replicas": 0, "remembered_replicas": 4, "parked": True}
    # One patch each stops it and remembers; the pods are gone.
    assert shop.writes() == ["nightly-sync", "worker-normal", "worker-batch"]
    remembered = {"nightly-sync": {"suspend": False}, "worker-normal": {"replicas": 4}, "worker-batch": {"replicas": 2}}
    assert (shop.pods(), shop.memories()) == (0, remembered)
    # Parked again, a zero is not remembered.
    again = shop.here(workloads=WORKERS)
    assert (again["changed"], again["actions"], len(shop.writes()), shop.memories()) == (False, [], 3, remembered)

    # One of each; again, which is nothing; and everything, without a list that could forget one.
    first = shop.here(state="running", stage="1")
    assert (first["changed"], shop.replicas()) == (True, {"worker-normal": 1, "worker-batch": 1})
    assert first["workloads"] == ["deployment/worker-batch", "deployment/worker-normal", "cronjob/nightly-sync"]
    assert shop.memories() == remembered
    assert shop.here(state="running", stage="1")["changed"] is False
    foreseen = shop.here(state="running", check_mode=True)
    assert shop.replicas() == {"worker-normal": 1, "worker-batch": 1}
    done = shop.park(state="running")
    assert done["actions"] == foreseen["actions"]
    assert done["diff"] == foreseen["diff"]
    assert (shop.replicas(), shop.memories()) == ({"worker-normal": 4, "worker-batch": 2}, {})
    shop.ready("worker-normal", 4)
    assert shop.batch.read_namespaced_cron_job("nightly-sync", shop.namespace).spec.suspend is False
    again = shop.here(state="running")
    assert (again["changed"], again["workloads"]) == (False, [])

    # The examples of the documentation, one after the other.
    seen = []
    for task in yaml.safe_load(k8s_park.EXAMPLES):
        done = shop.here(**{**task["runbook.ops.k8s_park"], "namespace": shop.namespace})
        seen.append((done["changed"], shop.replicas()["worker-normal"]))
    assert seen == [(True, 0), (True, 1), (True, 4)]


def test_killed_at_any_moment(shop: Shop) -> None:
    """Between two workloads, inside a stage, and before the last stage is proven: nothing is lost."""
    shop.workers()

    def hangs(name: str, method: str = "PATCH") -> Callable[[], None]:
        return lambda: shop.api.fail(method, f"*/{shop.namespace}/deployments/{name}", "hang", None)

    after_write(shop, "worker-normal", hangs("worker-batch"))
    shop.killed(lambda: shop.replicas()["worker-normal"] == 0, workloads=WORKERS)
    assert shop.replicas() == {"worker-normal": 0, "worker-batch": 2}
    assert shop.memories() == {"nightly-sync": {"suspend": False}, "worker-normal": {"replicas": 4}}
    shop.api.heal()
    resumed = shop.here(workloads=WORKERS)
    assert [each["object"] for each in resumed["actions"]] == [f"Deployment {shop.namespace}/worker-batch"]
    remembered = shop.memories()
    assert remembered["worker-batch"] == {"replicas": 2}

    # Named in another order than before.
    after_write(shop, "worker-batch", hangs("worker-normal"))
    shop.killed(lambda: shop.replicas()["worker-batch"] == 1, state="running", stage="50%")
    shop.api.heal()
    assert (shop.replicas(), shop.memories()) == ({"worker-normal": 0, "worker-batch": 1}, remembered)
    shop.here(state="running", stage="50%")
    assert (shop.replicas(), shop.memories()) == ({"worker-normal": 2, "worker-batch": 1}, remembered)

    # All replicas are asked for, and it is not known yet whether they come up.
    after_write(shop, "worker-normal", hangs("worker-batch", "GET"))
    shop.killed(lambda: shop.replicas()["worker-normal"] == 4, state="running")
    shop.api.heal()
    del remembered["nightly-sync"]
    assert (shop.replicas(), shop.memories()) == ({"worker-normal": 4, "worker-batch": 2}, remembered)
    assert shop.here(state="running")["changed"] is True
    assert (shop.replicas(), shop.memories()) == ({"worker-normal": 4, "worker-batch": 2}, {})


def test_autoscalers_and_what_clients_of_others_see(shop: Shop) -> None:
    """An HPA is kept at the stage and has its bounds again at the end; KEDA's is paused. Nobody else notices."""
    for name in ("web", "worker"):
        shop.workload(name, 2)
        shop.ready(name, 2)
    shop.workload("import", 2, kind="StatefulSet")
    shop.autoscaler("worker", 2, 6)
    ports = {"selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": 8080}]}
    shop.create("v1", "Service", "web", ports)
    reference = {"kind": "StatefulSet", "name": "import"}
    paused = {"autoscaling.keda.sh/paused-replicas": "2"}
    shop.create("keda.sh/v1alpha1", "ScaledObject", "import", {"scaleTargetRef": reference}, annotations=paused)
    shop.api.load(shop.namespace, "worker", 160)
    shop.ready("worker", 4)

    def bounds() -> tuple[int, int]:
        spec = shop.scaling.read_namespaced_horizontal_pod_autoscaler("worker", shop.namespace).spec
        return spec.min_replicas, spec.max_replicas

    def keda() -> dict[str, str]:
        found = shop.api.get("ScaledObject", shop.namespace, "import")["metadata"]["annotations"]
        return {key.rpartition("/")[2]: value for key, value in found.items() if key != PARKED}

    with Hammer(shop.api.serve(shop.namespace, "web")) as hammer:
        shop.park(workloads=["worker", "statefulset/import"])
        assert (shop.replicas(), bounds(), keda()) == ({"web": 2, "worker": 0}, (2, 6), {"paused-replicas": "0"})
        assert shop.memories() == {"worker": {"replicas": 4}, "import": {"replicas": 2}}
        shop.here(state="running", stage="1")
        assert (shop.replicas()["worker"], bounds(), keda()) == (1, (1, 1), {"paused-replicas": "1"})
        # Without that it would not stay at one: there is work for four and more.
        shop.here(state="running", stage="50%")
        assert (shop.replicas()["worker"], bounds()) == (2, (2, 2))
        done = shop.here(state="running")
        assert [each["action"] for each in done["actions"]] == [
            "release_autoscaler", "unpark", "release_autoscaler", "unpark",
        ]  # fmt: skip
        assert (bounds(), keda(), shop.memories()) == ((2, 6), {"paused-replicas": "2"}, {})
        hammer.more()
    assert hammer.errors == 0
    assert shop.apps.read_namespaced_stateful_set("import", shop.namespace).status.ready_replicas == 2
    assert shop.replicas()["worker"] >= 4


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (403, "Grant the user the verb patch on deployments.apps in namespace"),
        (429, "HTTP status 429. Try again"),
        (500, "HTTP status 500. Try again"),
        ("hang", "does not answer in time when asked to patch deployments.apps worker-batch"),
    ],
)
def test_a_server_that_says_no(shop: Shop, status: int | str, said: str) -> None:
    """It says so before the first workload is touched; and when it fails on the way, what was done is told."""
    shop.workload("worker-normal", 2)
    shop.workload("worker-batch", 1)
    shop.ready("worker-normal", 2)
    place = f"*/{shop.namespace}/deployments/worker-batch"
    shop.api.fail("PATCH", place, status, None)
    failed = shop.here(workloads=["worker-normal", "worker-batch"], read_timeout=0.3)
    assert (failed["failed"], shop.writes(), shop.replicas()) == (True, [], {"worker-normal": 2, "worker-batch": 1})
    assert said in failed["msg"]
    shop.api.heal()
    after_write(shop, "worker-normal", lambda: shop.api.fail("PATCH", place, status, None))
    failed = shop.here(workloads=["worker-normal", "worker-batch"], read_timeout=0.3)
    assert (failed["changed"], shop.replicas()) == (True, {"worker-normal": 0, "worker-batch": 1})
    assert [each["object"] for each in failed["actions"]] == [f"Deployment {shop.namespace}/worker-normal"]
    assert said in failed["msg"]
    assert shop.memories() == {"worker-normal": {"replicas": 2}}


def test_guards_and_what_does_not_become_so(shop: Shop) -> None:
    shop.workload("worker", 2)
    shop.workload("other", 1)
    shop.ready("worker", 2)
    shop.ready("other", 1)

    def change(name: str, patch: dict[str, Any]) -> None:
        shop.api.change("Deployment", shop.namespace, name, patch)

    change("worker", {"metadata": {"labels": {"argocd.argoproj.io/instance": "shop"}}})
    refused = shop.here(workloads=["worker"])
    assert "it belongs to Argo CD application shop, which undoes what is changed here" in refused["msg"]
    told = shop.here(workloads=["worker"], on_refusal="report", blocked_window=["Mon-Sun 00:00-24:00"])
    assert (len(told["refused"]), told["changed"], shop.writes()) == (2, False, [])
    # Somebody else changes the second one between the look and the patch: decided on anew.
    after_write(shop, "worker", lambda: change("other", {"spec": {"replicas": 3}}))
    warned = shop.park(workloads=["worker", "other"], gitops="warn")
    assert "belongs to Argo CD application shop, which may undo this" in str(warned["warnings"])
    assert (warned["changed"], shop.memories()) == (True, {"worker": {"replicas": 2}, "other": {"replicas": 3}})

    # It does not come up: why, and what it had is still known.
    broken = {"spec": {"containers": [{"name": "app", "image": "shop/bad-image:1"}]}}
    change("worker", {"spec": {"template": broken}})
    failed = shop.here(state="running", workloads=["worker"], gitops="ignore", wait_timeout=1)
    assert (failed["failed"], failed["changed"]) == (True, True)
    assert f"Deployment {shop.namespace}/worker does not come up: " in failed["msg"]
    assert "ImagePull" in failed["msg"]
    assert shop.memories()["worker"] == {"replicas": 2}
    shop.here(gitops="ignore", workloads=["worker"])
    assert (shop.replicas()["worker"], shop.memories()["worker"]) == (0, {"replicas": 2})

    # Whether KEDA scales it is not known: said, and no reason to stop.
    shop.api.fail("GET", f"*/{shop.namespace}/scaledobjects", 403, None)
    skipped = shop.here(state="running", workloads=["other"])["skipped_sections"]
    assert [each["section"] for each in skipped] == ["scaledobjects"]
    assert "Grant the user the verb list on scaledobjects.keda.sh in namespace" in skipped[0]["reason"]
    # Unless it is known that it does.
    shop.autoscaler("other", 1, 9)
    owner = {"apiVersion": "keda.sh/v1alpha1", "kind": "ScaledObject", "name": "other", "uid": "1"}
    patch = {"metadata": {"ownerReferences": [owner]}}
    shop.api.change("HorizontalPodAutoscaler", shop.namespace, "other", patch)
    assert "Grant the user the verb list on scaledobjects.keda.sh" in shop.here(workloads=["other"])["msg"]
    shop.api.delete("HorizontalPodAutoscaler", shop.namespace, "other")
    shop.api.heal()

    # Something starts it again as soon as it is parked.
    after_write(shop, "other", lambda: change("other", {"spec": {"replicas": 1}}))
    failed = shop.here(workloads=["other"])
    assert "was parked, and it has 1 replicas again. Something else decides" in failed["msg"]
    missing = shop.here(workloads=["nobody"])
    assert f"deployments.apps nobody in namespace {shop.namespace} is not there on" in missing["msg"]


def test_what_feeds_the_others_comes_back_last(shop: Shop) -> None:
    """By its name beat would come first, and fill the queues of workers that are not there yet."""
    for name in ("beat", "worker", "stray"):
        shop.workload(name, 1)
        shop.ready(name, 1)
    shop.here(workloads=["beat", "worker"])
    # Scaled by hand: a number is as good as a memory.
    shop.kubectl_scale("stray", 0)
    back = shop.here(state="running", replicas={"stray": 2})
    assert back["workloads"] == ["deployment/worker", "deployment/beat", "deployment/stray"]
    assert (shop.replicas(), shop.memories()) == ({"beat": 1, "worker": 1, "stray": 2}, {})
    for options in ({"replicas": {"other": 1}, "workloads": ["beat"]}, {"replicas": {"cronjob/nightly": 1}}):
        assert "Accepted: Deployments and StatefulSets" in shop.here(state="running", **options)["msg"]
