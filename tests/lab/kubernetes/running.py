"""A system's emulated cluster as one of the lab's servers: a process of its own with a token of its own."""

from __future__ import annotations

import importlib
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

from lab.kubernetes.api import KubernetesApi
from lab.ports import LOOPBACK
from lab.serve import ServedProcess, announce, wait_for_the_end
from lab.server import Server


class KubernetesServer(ServedProcess):
    """The cluster of a system (a module of ``lab.kubernetes.systems``) in a state."""

    label: ClassVar[str] = "Kubernetes"
    kind: ClassVar[str] = "kubernetes"

    def __init__(
        self,
        system: str,
        state: str,
        base: Path | None = None,
        *,
        detached: bool = False,
        on_spawn: Callable[[Server], None] | None = None,
        environment: dict[str, str] | None = None,
    ) -> None:
        super().__init__(base, detached=detached, on_spawn=on_spawn, environment=environment)
        self.token = secrets.token_urlsafe(24)
        self.kubeconfig = self.base / "kubeconfig"
        self.specification = {
            "system": system,
            "state": state,
            "token": self.token,
            "kubeconfig": str(self.kubeconfig),
        }

    @property
    def url(self) -> str:
        return f"http://{LOOPBACK}:{self.port}"


def run_kubernetes(settings: dict[str, Any], ready_file: Path) -> None:
    """The process's side: the cluster, filled, until the end."""
    module = importlib.import_module(f"lab.kubernetes.systems.{settings['system']}")
    with KubernetesApi(token=settings["token"]) as api:
        place = module.build(api, settings["state"])
        api.kubeconfig(Path(settings["kubeconfig"]), namespace=place.namespace)
        announce(ready_file, int(api.url.rpartition(":")[2]))
        wait_for_the_end()
