"""What the tests of the emulator's contract share: a cluster to run against, real or emulated, and small manifests."""

from __future__ import annotations

import contextlib
import json
import os
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from kubernetes import client, config

from lab.kubernetes.api import KubernetesApi
from lab.process import wait_until

DEADLINE = 240
STRATEGIC = "application/strategic-merge-patch+json"
MERGE = "application/merge-patch+json"
JSON_PATCH = "application/json-patch+json"
APPLY = "application/apply-patch+yaml"
IMAGE = os.environ.get("RUNBOOK_TEST_IMAGE", "registry.k8s.io/pause:3.10")


KUBECONFIG, STORAGE_CLASS = "RUNBOOK_TEST_KUBECONFIG", "RUNBOOK_TEST_STORAGE_CLASS"


@dataclass
class Cluster:
    """A connection and a namespace of the tests' own."""

    connection: client.ApiClient
    namespace: str
    storage_class: str = "standard"

    @property
    def core(self) -> client.CoreV1Api:
        return client.CoreV1Api(self.connection)

    @property
    def apps(self) -> client.AppsV1Api:
        return client.AppsV1Api(self.connection)


def connect(api: KubernetesApi, directory: Path) -> client.ApiClient:
    return _client(api.kubeconfig(directory / "kubeconfig"))


def _client(kubeconfig: Path | str) -> client.ApiClient:
    found: client.ApiClient = config.new_client_from_config(str(kubeconfig))  # type: ignore[no-untyped-call]
    return found


def _named(name: str) -> Any:
    return {"metadata": {"name": name}}


@contextlib.contextmanager
def opened(directory: Path) -> Iterator[Cluster]:
    """The real cluster of RUNBOOK_TEST_KUBECONFIG in a namespace made for this, or an emulated one."""
    namespace = f"runbook-{uuid.uuid4().hex[:8]}"
    given = os.environ.get(KUBECONFIG)
    if given:
        storage_class = os.environ.get(STORAGE_CLASS, "standard")
        found = Cluster(_client(given), namespace, storage_class)
        found.core.create_namespace(_named(namespace))
        try:
            yield found
        finally:
            found.core.delete_namespace(namespace)
        return
    with KubernetesApi(token="a token") as api:
        found = Cluster(connect(api, directory), namespace)
        found.core.create_namespace(_named(namespace))
        client.StorageV1Api(found.connection).create_storage_class(storage("standard", grows=True))
        yield found


def storage(name: str, *, grows: bool) -> Any:
    return {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {"name": name},
        "provisioner": "lab.runbook/disks",
        "allowVolumeExpansion": grows,
    }


def configmap(name: str, data: dict[str, str] | None = None, **metadata: Any) -> Any:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, **metadata}, "data": data or {}}


def deployment(name: str) -> Any:
    container = {"name": "app", "image": IMAGE, "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}]}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {
            "replicas": 0,
            "selector": {"matchLabels": {"app": name}},
            "template": {"metadata": {"labels": {"app": name}}, "spec": {"containers": [container]}},
        },
    }


def claim(name: str, size: str = "1Gi", storage_class: str = "standard") -> Any:
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": size}}}
    spec["storageClassName"] = storage_class
    return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": name}, "spec": spec}


def pod(name: str, *, mounts: str | None = None, containers: tuple[str, ...] = ("app",)) -> Any:
    volume = {"name": "data", "persistentVolumeClaim": {"claimName": mounts}}
    mounted = {"volumeMounts": [{"name": "data", "mountPath": "/data"}]} if mounts else {}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name},
        "spec": {
            "containers": [{"name": each, "image": IMAGE, **mounted} for each in containers],
            "volumes": [volume] if mounts else [],
            "terminationGracePeriodSeconds": 0,
        },
    }


def wanted(size: str) -> Any:
    return {"spec": {"resources": {"requests": {"storage": size}}}}


def refusal(call: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """The Status object a call is refused with."""
    with pytest.raises(client.ApiException) as refused:
        call(*args, **kwargs)
    status: dict[str, Any] = json.loads(refused.value.body or "")
    assert (status["kind"], status["status"], status["code"]) == ("Status", "Failure", refused.value.status)
    return status


def until(condition: Callable[[], Any]) -> None:
    """Wait until the condition is true, with a real cluster's patience."""
    assert wait_until(lambda: bool(condition()), DEADLINE, pause=0.03), f"still {condition()!r} after {DEADLINE} s"


def until_gone(read: Callable[..., Any], *args: Any) -> None:
    def gone() -> bool:
        try:
            read(*args)
        except client.ApiException as error:
            return bool(error.status == 404)
        return False

    until(gone)
