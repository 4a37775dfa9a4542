"""An API server for the folder, and namespaces for single tests."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from lab.kubernetes import KubernetesApi
from lab.kubernetes.api import CONTROLLERS
from lab.kubernetes.contract import KUBECONFIG

TOKEN = "k8s-t0ken-of-ops"


@pytest.fixture(scope="session")
def api() -> Iterator[KubernetesApi]:
    with KubernetesApi(token=TOKEN, controllers=CONTROLLERS) as api:
        for name, expands in (("fast", True), ("fixed", False)):
            api.create(
                {
                    "apiVersion": "storage.k8s.io/v1",
                    "kind": "StorageClass",
                    "metadata": {"name": name},
                    "provisioner": "ebs.csi.aws.com",
                    "allowVolumeExpansion": expands,
                }
            )
        yield api


@pytest.fixture(scope="session")
def kubeconfig(api: KubernetesApi, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return api.kubeconfig(tmp_path_factory.mktemp("kubernetes") / "kubeconfig")


@pytest.fixture
def namespace() -> str:
    return f"shop-{uuid.uuid4().hex[:8]}"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Tests of the other kind of cluster are deselected, which pytest counts, and not skipped."""
    other = "emulator_only" if os.environ.get(KUBECONFIG) else "real_cluster_only"
    left_out = [each for each in items if each.get_closest_marker(other)]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [each for each in items if each not in left_out]


def pytest_report_header() -> str:
    given = os.environ.get(KUBECONFIG)
    if given:
        return f"kubernetes: the cluster of {given}; tests marked emulator_only are deselected"
    return f"kubernetes: emulated; tests marked real_cluster_only are deselected ({KUBECONFIG} names a real cluster)"


MakePod = Callable[..., dict[str, Any]]


@pytest.fixture
def make_pod(api: KubernetesApi, namespace: str) -> MakePod:
    """A pod with containers, their statuses and volumes."""

    def make(
        name: str,
        containers: dict[str, dict[str, Any]],
        *,
        namespace: str = namespace,
        claim: str | None = None,
        labels: dict[str, str] | None = None,
    ) -> dict[str, Any]:
        volumes = [{"name": "data", "persistentVolumeClaim": {"claimName": claim}}] if claim else []
        statuses = [
            {"name": each, "restartCount": 0, "state": {"running": {}}, **status} for each, status in containers.items()
        ]
        return api.create(
            {
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {"name": name, "namespace": namespace, "labels": labels or {}},
                "spec": {"containers": [{"name": each} for each in containers], "volumes": volumes, "nodeName": "a"},
                "status": {"phase": "Running", "containerStatuses": statuses},
            }
        )

    return make
