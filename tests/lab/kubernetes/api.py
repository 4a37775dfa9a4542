"""The emulator put together: what clients reach by HTTP, and what tests arrange behind their back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Self

import yaml

from lab.kubernetes.access import REVIEWS
from lab.kubernetes.arrangements import Arrangements
from lab.kubernetes.autoscaler import AUTOSCALERS, set_load
from lab.kubernetes.claims import CLAIMS, RESIZE
from lab.kubernetes.control import answer_at_the_door, asked_at_the_door
from lab.kubernetes.controllers import Controller, ControllerLoop
from lab.kubernetes.dataplane import DataPlane
from lab.kubernetes.discovery import discovery
from lab.kubernetes.endpoints import ENDPOINTS
from lab.kubernetes.errors import ApiError
from lab.kubernetes.events import record_event
from lab.kubernetes.eviction import evict
from lab.kubernetes.failures import HANG, Failure, Failures
from lab.kubernetes.jobs import JOBS
from lab.kubernetes.kinds import Kinds, Object
from lab.kubernetes.logs import Logs
from lab.kubernetes.metrics import GROUP as METRICS
from lab.kubernetes.openapi import openapi
from lab.kubernetes.patches import strategic_patch
from lab.kubernetes.pods import NODE, PODS
from lab.kubernetes.replicas import REPLICASETS
from lab.kubernetes.request import Address, Request, address_of
from lab.kubernetes.rollout import DEPLOYMENTS
from lab.kubernetes.server import ApiServer, Reply
from lab.kubernetes.sets import DAEMONSETS, STATEFULSETS
from lab.kubernetes.store import Store
from lab.kubernetes.views import viewed

CONTROLLERS = (PODS, REPLICASETS, DEPLOYMENTS, STATEFULSETS, DAEMONSETS, JOBS, AUTOSCALERS, ENDPOINTS, CLAIMS)


class KubernetesApi(Arrangements):
    """``with KubernetesApi() as api:`` — an API server at ``api.url``, all of it in this process.

    With ``token`` every request needs that bearer token. ``controllers`` are what happens by itself.
    """

    def __init__(self, *, token: str | None = None, controllers: Sequence[Controller] = CONTROLLERS) -> None:
        self.kinds = Kinds()
        self.store = Store(self.kinds)
        super().__init__(self.store, self.kinds)
        self.requests: list[Request] = []
        self.token = token
        self._logs = Logs()
        self._failures = Failures(self.kinds)
        self._documents: dict[str, Any] = {}
        self._data_plane = DataPlane(self.store)
        self._loop = ControllerLoop(self.store, controllers)
        self.store.graceful = PODS in controllers
        self._server = ApiServer(self._respond)
        for namespace in ("default", "kube-system"):
            self.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})
        self.create({"apiVersion": "v1", "kind": "Node", "metadata": {"name": NODE}, "spec": {}, "status": _READY})

    def __enter__(self) -> Self:
        self._loop.start()
        self._server.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._data_plane.stop()
        self._server.stop()
        self._loop.stop()
        if self._loop.failures:
            raise self._loop.failures[0]

    # --- how clients reach it
    @property
    def url(self) -> str:
        return f"http://{self._server.host}"

    def kubeconfig(self, path: Path | str, *, namespace: str = "default") -> Path:
        """Write a kubeconfig with one context, ``lab``."""
        path = Path(path)
        content = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "lab", "cluster": {"server": self.url}}],
            "users": [{"name": "lab", "user": {"token": self.token} if self.token else {}}],
            "contexts": [{"name": "lab", "context": {"cluster": "lab", "user": "lab", "namespace": namespace}}],
            "current-context": "lab",
        }
        path.write_text(yaml.safe_dump(content))
        path.chmod(0o600)
        return path

    def serve(self, namespace: str, service: str) -> str:
        """Where a Service's clients reach it: each request is answered by one of its pods that is ready, or 503."""
        return self._data_plane.serve(namespace, service)

    # --- what tests arrange and look at; nothing of it is recorded, nothing of it fails on order
    def create(self, manifest: Object) -> Object:
        """Store an object as it is; its namespace comes with it.

        With a status it is planted: it stays as it is, and no controller touches it before its spec changes. Without
        one the controllers take it up, as what clients create.
        """
        kind = self.kinds.of(manifest)
        metadata = manifest["metadata"]
        key = self.store.key(kind.name, metadata.get("namespace", "default"), metadata["name"])
        with self.store.lock:
            if key.namespace and self.store.find(self.store.key("namespaces", "", key.namespace)) is None:
                self.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": key.namespace}})
            created = self._verbs.create(key, manifest, status=True)
            if manifest.get("status"):
                self.store.plant(created)
            return created

    def get(self, kind: str, namespace: str, name: str) -> Object:
        """The object as it is now; ``ApiError`` where there is none. ``kind`` is ``Pod`` or ``pods``."""
        return self.store.get(self.store.key(kind, namespace, name))

    def exists(self, kind: str, namespace: str, name: str) -> bool:
        return self.store.find(self.store.key(kind, namespace, name)) is not None

    def list(self, kind: str, namespace: str = "") -> list[Object]:
        """All objects of a kind, of one namespace or of all."""
        return self.store.all(kind, namespace)

    def change(self, kind: str, namespace: str, name: str, patch: Object) -> Object:
        """Change an object past every rule: a strategic merge patch. A status in it is planted as with ``create``."""
        key = self.store.key(kind, namespace, name)
        with self.store.lock:
            changed = self.store.replace(key, strategic_patch(self.store.get(key), patch))
            if "status" in patch:
                self.store.plant(changed)
            return changed

    def delete(self, kind: str, namespace: str, name: str) -> None:
        self.store.delete(self.store.key(kind, namespace, name))

    def event(self, kind: str, namespace: str, name: str, reason: str, message: str, *, type: str = "Warning") -> None:
        """Record an event about an object."""
        record_event(self.store, self.get(kind, namespace, name), type, reason, message)

    def log(
        self,
        namespace: str,
        pod: str,
        container: str,
        text: str,
        previous: bool = False,
        *,
        at: datetime | None = None,
    ) -> None:
        """Add lines to a container's log, all written ``at`` one moment (now); ``previous`` is its run before."""
        self._logs.add((namespace, pod, container, previous), text, at or datetime.now(timezone.utc))

    def fail(
        self,
        method: str,
        path_pattern: str,
        status: int | str,
        times: int | None = 1,
        *,
        message: str | None = None,
        retry_after: int | None = None,
    ) -> None:
        """Answer the next ``times`` requests (None: all) that fit with a status, or with nothing (``"hang"``).

        Both patterns know ``*``: ``fail("PATCH", "*/persistentvolumeclaims/data", 409, 2)``. Clients wait by
        themselves when ``retry_after`` seconds are given.
        """
        self._failures.add(Failure(method, path_pattern, status, times, message, retry_after))

    def heal(self) -> None:
        """Forget every failure on order."""
        self._failures.clear()

    def answer(self, path: str, document: Any) -> None:
        """Serve a document at a path of its own, such as a kubelet's ``/api/v1/nodes/a/proxy/stats/summary``."""
        self._documents[path] = document

    def resize_needs_restart(self, namespace: str, name: str) -> None:
        """This claim's file system grows only when a pod that mounts it is started again."""
        self.resize(namespace, name, "restart")

    def resize(self, namespace: str, name: str, how: str) -> None:
        """How this claim grows: ``online``, ``restart``, ``stuck`` or ``fails``."""
        self.change("persistentvolumeclaims", namespace, name, {"metadata": {"annotations": {RESIZE: how}}})

    def load(self, namespace: str, autoscaler: str, percent: int | None) -> None:
        """There is as much to do as uses this share of what the autoscaler's pods request; None: it is blind."""
        self._loop.look_at(set_load(self.store, namespace, autoscaler, percent))

    # --- answers
    def _respond(self, request: Request) -> Reply:
        try:
            if asked_at_the_door(request):
                return Reply(200, answer_at_the_door(self, request))
            self.requests.append(request)
            self._authenticate(request)
            failure = self._failures.take(request)
            if failure is not None and failure.status == HANG:
                return Reply(hang=True)
            if failure is not None:
                wait = {} if failure.retry_after is None else {"Retry-After": str(failure.retry_after)}
                error = self._failures.error(failure, request)
                return Reply(error.code, error.status(), wait)
            return self._answer(request)
        except ApiError as error:
            return Reply(error.code, error.status())
        except Exception as error:
            broken = ApiError(500, f"the emulator failed: {error!r}")
            return Reply(500, broken.status())

    def _authenticate(self, request: Request) -> None:
        if self.token is not None and request.headers.get("authorization") != f"Bearer {self.token}":
            raise ApiError(401, "Unauthorized")

    def _answer(self, request: Request) -> Reply:
        if request.path in self._documents:
            return Reply(200, self._documents[request.path])
        if request.path in ("/healthz", "/livez", "/readyz"):
            return Reply(200, "ok")
        path = request.path.rstrip("/")
        found = discovery(path, self.kinds, self._server.host) or openapi(path, self.kinds)
        if found is not None:
            return Reply(200, found)
        address = address_of(request.path, self.kinds)
        if address is None:
            raise ApiError(404, "the server could not find the requested resource")
        self._access.check(request, address)
        if address.kind.group == METRICS:
            return Reply(200, self._metrics.answer(request, address))
        if address.kind.plural in REVIEWS and request.method == "POST":
            return Reply(201, self._access.review(request, address.kind))
        if address.subresource == "exec":
            return self._executions.reply(self.store.get(address.key), request)
        if address.subresource == "eviction" and request.method == "POST":
            return Reply(201, evict(self.store, address.key, request.content(), dry_run=request.dry_run))
        if address.subresource == "log":
            return Reply(200, self._logs.read(self.store.get(address.key), request))
        if request.method == "GET" and not address.name and request.flag("watch"):
            return Reply(events=self._watches.stream(request, address), headers=_warning(address))
        status, document = self._verbs.answer(request, address)
        if request.method == "GET" and not address.subresource:
            document = viewed(request, address.kind, document)
        return Reply(status, document, _warning(address))


def _warning(address: Address) -> Mapping[str, str]:
    text = address.kind.deprecated
    return {"Warning": f'299 - "{text}"'} if text else {}


_READY: Object = {
    "conditions": [{"type": "Ready", "status": "True", "reason": "KubeletReady"}],
    "capacity": {"cpu": "4", "memory": "16Gi", "pods": "110"},
    "allocatable": {"cpu": "4", "memory": "16Gi", "pods": "110"},
    # Typed clients take a node for broken that lacks one of them.
    "nodeInfo": {
        "kubeletVersion": "v1.33.4",
        "kubeProxyVersion": "v1.33.4",
        "operatingSystem": "linux",
        "architecture": "amd64",
        "containerRuntimeVersion": "containerd://2.1.4",
        "osImage": "Debian GNU/Linux 13 (trixie)",
        "kernelVersion": "6.12.0-1-amd64",
        "machineID": "lab",
        "systemUUID": "lab",
        "bootID": "lab",
    },
}
