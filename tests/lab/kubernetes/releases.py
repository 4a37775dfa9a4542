"""Applications to release: a web server with a sidecar in front, a pair of Deployments, and images of all sorts."""

from __future__ import annotations

from typing import Any

from lab.kubernetes.kinds import Object
from lab.process import eventually


def image(word: str, what: str = "shop") -> str:
    """An image with its digest; ``what`` says what it does, such as ``crash`` (see ``images.py``)."""
    digest = "".join(format(ord(letter), "02x") for letter in f"{what}{word}").ljust(64, "0")[:64]
    return f"registry.example.com/{what}/web@sha256:{digest}"


GOOD, BETTER = image("1"), image("2")
SIDECAR = "registry.example.com/mesh/proxy:3"


def deployment(
    namespace: str,
    name: str,
    *,
    labels: dict[str, str] | None = None,
    replicas: int = 2,
    container: str = "web",
    env: list[Object] | None = None,
    sidecar_first: bool = True,
    what: str = GOOD,
) -> Object:
    """A Deployment with a sidecar, which is the first container where the order has become so."""
    labels = labels or {"app": name}
    own: Object = {
        "name": container,
        "image": what,
        "ports": [{"name": "http", "containerPort": 8080}],
        "env": env or [],
    }
    proxy: Object = {"name": "proxy", "image": SIDECAR}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": namespace, "labels": labels, "annotations": {"team": "shop"}},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
            "template": {
                "metadata": {"labels": labels},
                "spec": {"containers": [proxy, own] if sidecar_first else [own, proxy]},
            },
        },
    }


def service(namespace: str, name: str, selector: dict[str, str]) -> Object:
    """A Service that names the port of its pods."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"selector": selector, "ports": [{"port": 80, "targetPort": "http"}]},
    }


def wait_until_available(api: Any, namespace: str, *names: str) -> None:
    """Wait until Deployments have all their pods."""

    def available(name: str) -> bool:
        found = api.get("Deployment", namespace, name)
        status = found.get("status") or {}
        return bool(status.get("availableReplicas", 0) >= found["spec"]["replicas"])

    for name in names:
        eventually(lambda name=name: available(name), f"{namespace}/{name} is available")  # type: ignore[misc]


def images_in(found: Object) -> dict[str, str]:
    """The images in the template of a workload."""
    return {each["name"]: each["image"] for each in found["spec"]["template"]["spec"]["containers"]}
