"""k8s_volume_claim against an API server that grows volumes in stages; the outcome is read with the official client."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from kubernetes import client, config
from lab.kubernetes import KubernetesApi
from lab.kubernetes.module_runs import run_here
from lab.ports import free_port

from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.growth import grow_claim
from ansible_collections.runbook.ops.plugins.modules import k8s_volume_claim

# One API server for all of them.
pytestmark = pytest.mark.xdist_group("kubernetes")

RunModule = Callable[..., dict[str, Any]]
GIB = 1024**3


class Shop:
    """The module, run on claims of one namespace."""

    def __init__(self, api: KubernetesApi, kubeconfig: Path, namespace: str, run_module: RunModule) -> None:
        self.api, self.kubeconfig, self.namespace, self._run = api, kubeconfig, namespace, run_module

    def claim(self, name: str, size: str = "100Gi", storage_class: str = "fast") -> None:
        """A claim with a volume of its size."""
        self.api.create(
            {
                "apiVersion": "v1",
                "kind": "PersistentVolumeClaim",
                "metadata": {"name": name, "namespace": self.namespace},
                "spec": {"storageClassName": storage_class, "resources": {"requests": {"storage": size}}},
                "status": {"phase": "Bound", "capacity": {"storage": size}},
            }
        )

    def grow(self, name: str, size: str, *, check_mode: bool = False, **options: Any) -> dict[str, Any]:
        login = {"kubeconfig": str(self.kubeconfig), "namespace": self.namespace, "wait_sleep": 0.1}
        return self._run("k8s_volume_claim", {**login, "name": name, "size": size, **options}, check_mode=check_mode)

    def here(self, name: str, size: str, *, check_mode: bool = False, **options: Any) -> dict[str, Any]:
        """The same within this process, for what does not depend on how a module is started."""
        login = {"kubeconfig": str(self.kubeconfig), "namespace": self.namespace, "wait_sleep": 0.1}
        given = {**login, "name": name, "size": size, **options}
        return run_here(grow_claim, k8s_volume_claim, given, check_mode=check_mode)

    def sizes(self, name: str) -> tuple[str, str]:
        """What is requested and what is there, by the official client."""
        api = client.CoreV1Api(config.new_client_from_config(str(self.kubeconfig)))
        found = api.read_namespaced_persistent_volume_claim(name, self.namespace)
        return found.spec.resources.requests["storage"], found.status.capacity["storage"]

    def writes(self) -> list[str]:
        """The requests that wrote something, dry runs left out."""
        return [f"{each.method} {each.path}" for each in self.api.requests if each.method != "GET" and not each.dry_run]


@pytest.fixture
def shop(api: KubernetesApi, kubeconfig: Path, namespace: str, run_module: RunModule) -> Shop:
    api.requests.clear()
    return Shop(api, kubeconfig, namespace, run_module)


def test_check_grow_check_again(shop: Shop) -> None:
    """The old way patches without a look; a second growth and a shrink are sent as well, and nobody waits."""
    shop.claim("data")
    foreseen = shop.grow("data", "200Gi", check_mode=True)
    assert (foreseen["changed"], foreseen["after"], shop.sizes("data")) == (True, None, ("100Gi", "100Gi"))
    assert shop.writes() == []

    done = shop.grow("data", "200Gi", max_size="200Gi")
    assert done["changed"] is True
    assert done["actions"] == foreseen["actions"]
    assert done["actions"] == [
        {"action": "grow", "claim": f"{shop.namespace}/data", "from": "100Gi", "to": "200Gi"},
    ]
    assert done["diff"] == foreseen["diff"] == {"before": {"requested": "100Gi"}, "after": {"requested": "200Gi"}}
    assert (done["before"]["capacity_bytes"], done["after"]["capacity_bytes"]) == (100 * GIB, 200 * GIB)
    assert (done["needs_pod_restart"], done["pods"], done["skipped_sections"]) == (False, [], [])
    assert shop.sizes("data") == ("200Gi", "200Gi")
    place = f"/api/v1/namespaces/{shop.namespace}/persistentvolumeclaims/data"
    assert shop.writes() == [f"PATCH {place}"]

    # Once more, in another notation; and a shrink.
    again = shop.grow("data", str(200 * GIB))
    assert (again["changed"], again["actions"], again["before"]) == (False, [], again["after"])
    refused = shop.grow("data", "150Gi")
    assert refused["failed"] is True
    assert refused["msg"] == (
        f"PersistentVolumeClaim {shop.namespace}/data: it has 200Gi, and 150Gi is less; a volume cannot shrink."
        " Ask for 200Gi or more. A smaller volume has to be a new one that the data are copied to."
    )
    assert shop.writes() == [f"PATCH {place}"]


@pytest.mark.parametrize(
    ("storage_class", "options", "reason"),
    [
        ("fixed", {}, "its StorageClass fixed does not allow expansion"),
        ("gone", {}, "its StorageClass gone is missing"),
        ("fast", {"max_size": "150Gi"}, "200Gi is more than max_size, which is 150Gi"),
    ],
)
def test_refusals(shop: Shop, storage_class: str, options: dict[str, Any], reason: str) -> None:
    shop.claim("data", storage_class=storage_class)
    refused = shop.here("data", "200Gi", **options)
    assert refused["failed"] is True
    assert f"{shop.namespace}/data: {reason}." in refused["msg"]
    assert [each["reason"] for each in refused["refused"]] == [reason]
    assert (shop.writes(), shop.sizes("data")) == ([], ("100Gi", "100Gi"))


def test_a_pod_that_has_to_be_restarted(shop: Shop, make_pod: Callable[..., Any]) -> None:
    shop.claim("data")
    make_pod("db-0", {"postgres": {}}, claim="data")
    make_pod("web-0", {"web": {}}, claim="other")
    shop.api.resize_needs_restart(shop.namespace, "data")
    for changed in (True, False):
        result = (shop.grow if changed else shop.here)("data", "200Gi", filesystem_timeout=0.3)
        assert result["changed"] is changed
        assert result["needs_pod_restart"] is True
        assert result["pods"] == [{"name": "db-0", "node": "a", "owner": None}]
        assert shop.sizes("data") == ("200Gi", "100Gi")
    assert result["after"]["conditions"][0]["type"] == "FileSystemResizePending"
    assert len(shop.writes()) == 1
    assert shop.api.exists("Pod", shop.namespace, "db-0")
    # Whoever may not list pods is told that there may be some.
    shop.api.fail("GET", f"*/namespaces/{shop.namespace}/pods", 403, 1)
    blind = shop.here("data", "200Gi", filesystem_timeout=0)
    assert (blind["needs_pod_restart"], blind["pods"]) == (True, None)
    assert "Grant the user the verb list on pods in namespace" in blind["skipped_sections"][0]["reason"]
    shop.api.delete("Pod", shop.namespace, "db-0")
    make_pod("db-0", {"postgres": {}}, claim="data")
    done = shop.here("data", "200Gi")
    assert (done["changed"], done["needs_pod_restart"], shop.sizes("data")) == (False, False, ("200Gi", "200Gi"))


def test_storage_that_does_not_answer(shop: Shop) -> None:
    """Patching alone says nothing; the same task waits on, and a further growth is refused meanwhile."""
    shop.claim("data")
    shop.api.resize(shop.namespace, "data", "stuck")
    # Somebody else wins the first race: the claim is read and decided on anew.
    shop.api.fail("PATCH", f"*/namespaces/{shop.namespace}/persistentvolumeclaims/data", 409, 1)
    failed = shop.grow("data", "200Gi", wait_timeout=1)
    assert failed["failed"] is True
    assert failed["changed"] is True
    assert "asks for 200Gi, but after 1 seconds (wait_timeout) it still has 100Gi" in failed["msg"]
    assert (failed["before"]["requested"], failed["after"]["requested"]) == ("100Gi", "200Gi")
    assert "a growth from 100Gi to 200Gi is still under way" in shop.here("data", "300Gi")["msg"]
    shop.api.change("PersistentVolumeClaim", shop.namespace, "data", {"status": {"capacity": {"storage": "200Gi"}}})
    assert shop.here("data", "200Gi")["changed"] is False


def test_storage_that_cannot(shop: Shop) -> None:
    """It is told at once, not at the end of the waiting."""
    shop.claim("data")
    shop.api.resize(shop.namespace, "data", "fails")
    failed = shop.here("data", "200Gi", wait_timeout=240)
    assert (failed["failed"], failed["changed"], shop.sizes("data")) == (True, True, ("200Gi", "100Gi"))
    assert "asks for 200Gi, but the storage says that it cannot be done (ControllerResizeInfeasible)" in failed["msg"]
    assert "ControllerResizeError: " in failed["msg"]


def test_failures_name_what_was_tried(shop: Shop) -> None:
    shop.claim("data")
    path = f"*/namespaces/{shop.namespace}/persistentvolumeclaims/data"
    shop.api.fail("PATCH", path, 403, 1, message="exceeded quota: disks, requested: requests.storage=100Gi")
    # The dry run of the check mode tells it beforehand.
    quota = shop.here("data", "200Gi", check_mode=True)
    assert "(exceeded quota: disks, requested: requests.storage=100Gi)" in quota["msg"]
    missing = shop.here("none", "200Gi")
    assert f"persistentvolumeclaims none in namespace {shop.namespace} is not there on" in missing["msg"]
    token = shop.here("data", "200Gi", kubeconfig="", host=shop.api.url, api_key="wr0ng-t0ken")
    assert "does not accept the login. Correct api_key" in token["msg"]
    down = shop.grow("data", "200Gi", kubeconfig="", host=f"http://127.0.0.1:{free_port()}", api_key="wr0ng-t0ken")
    assert "cannot be reached" in down["msg"]
    assert "wr0ng" not in str([token, down])
    assert (shop.writes(), shop.sizes("data")) == ([], ("100Gi", "100Gi"))
