"""What a metrics server knows: what tests say that pods and nodes use. Without a word there is no metrics server."""

from __future__ import annotations

from collections.abc import Mapping

from lab.kubernetes.errors import ApiError, not_found
from lab.kubernetes.kinds import METRICS, Kind, Kinds, Object
from lab.kubernetes.request import Address, Request
from lab.kubernetes.selectors import label_condition
from lab.kubernetes.store import Store, now

GROUP = "metrics.k8s.io"
Usage = dict[str, str]


class Metrics:
    """Usage by (namespace, pod) and container, and by node."""

    def __init__(self, store: Store, kinds: Kinds) -> None:
        self._store = store
        self._kinds = kinds
        self._pods: dict[tuple[str, str], dict[str, Usage]] = {}
        self._nodes: dict[str, Usage] = {}

    def set_pod(self, namespace: str, pod: str, container: str | None, usage: Usage) -> None:
        self._kinds.add(METRICS)
        if container is None:
            found = self._store.find(self._store.key("Pod", namespace, pod))
            containers = (found or {}).get("spec", {}).get("containers") or [{"name": "app"}]
            container = str(containers[0]["name"])
        self._pods.setdefault((namespace, pod), {})[container] = usage

    def set_node(self, node: str, usage: Usage) -> None:
        self._kinds.add(METRICS)
        self._nodes[node] = usage

    def remove(self) -> None:
        """As on a cluster with no metrics server."""
        self._pods.clear()
        self._nodes.clear()
        self._kinds.remove(GROUP)

    def of_pod(self, namespace: str, pod: str) -> Mapping[str, Usage] | None:
        """By container; None where nothing is known."""
        return self._pods.get((namespace, pod))

    def answer(self, request: Request, address: Address) -> Object:
        """One object, or the list; usage of a pod that has gone is not told."""
        kind = address.kind
        if request.method != "GET":
            raise ApiError(405, "the server does not allow this method on the requested resource")
        if address.name:
            found = self._object(kind, address.namespace, address.name)
            if found is None:
                raise not_found(kind, address.name)
            return found
        places = sorted(self._pods) if kind.namespaced else [("", name) for name in sorted(self._nodes)]
        objects = (self._object(kind, *place) for place in places if address.namespace in ("", place[0]))
        labels = label_condition(request.query.get("labelSelector", ""))
        items = [each for each in objects if each is not None and labels(each)]
        return {"kind": f"{kind.name}List", "apiVersion": kind.api_version, "metadata": {}, "items": items}

    def _object(self, kind: Kind, namespace: str, name: str) -> Object | None:
        known = (namespace, name) in self._pods if kind.namespaced else name in self._nodes
        about = self._store.find(self._store.key("Pod" if kind.namespaced else "Node", namespace, name))
        if not known or about is None:
            return None
        metadata: Object = {"name": name, "creationTimestamp": now(), "labels": about["metadata"].get("labels") or {}}
        found: Object = {"kind": kind.name, "apiVersion": kind.api_version, "metadata": metadata}
        found |= {"timestamp": now(), "window": "30s"}
        if not kind.namespaced:
            return {**found, "usage": self._nodes[name]}
        metadata["namespace"] = namespace
        containers = self._pods[namespace, name].items()
        return {**found, "containers": [{"name": container, "usage": usage} for container, usage in containers]}
