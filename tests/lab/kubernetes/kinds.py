"""The kinds the emulator serves: the one table behind discovery, addresses and fields that can be selected."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

Object = dict[str, Any]


@dataclass(frozen=True)
class Kind:
    """One row: how a kind is addressed, and what differs from kind to kind in how it is served.

    ``generation`` kinds count the changes of their spec. ``returned`` kinds answer DELETE with the object instead of
    a Status. ``fields`` are what a fieldSelector may name beside ``metadata.name`` and ``metadata.namespace``.
    """

    group: str
    version: str
    plural: str
    name: str
    namespaced: bool = True
    subresources: tuple[str, ...] = ()
    short: tuple[str, ...] = ()
    generation: bool = False
    returned: bool = False
    fields: tuple[str, ...] = ()

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def qualified(self) -> str:
        """As the server's messages name the resource: ``pods``, ``deployments.apps``."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @property
    def has_status(self) -> bool:
        return "status" in self.subresources


@dataclass(frozen=True)
class Key:
    """Where an object lives; ``namespace`` is empty for kinds of the whole cluster."""

    kind: Kind
    namespace: str
    name: str


_POD_FIELDS = ("spec.nodeName", "spec.restartPolicy", "spec.serviceAccountName", "status.phase", "status.podIP")
_EVENT_FIELDS = (
    *(f"involvedObject.{name}" for name in ("kind", "namespace", "name", "uid", "apiVersion", "fieldPath")),
    *("reason", "source", "type"),
)
_SCALED = ("scale", "status")

KINDS: tuple[Kind, ...] = (
    Kind("", "v1", "pods", "Pod", True, ("log", "status"), ("po",), True, True, _POD_FIELDS),
    Kind("", "v1", "services", "Service", True, ("status",), ("svc",), returned=True),
    Kind("", "v1", "secrets", "Secret", fields=("type",)),
    Kind("", "v1", "configmaps", "ConfigMap", short=("cm",)),
    Kind("", "v1", "namespaces", "Namespace", False, ("status",), ("ns",), fields=("status.phase",)),
    Kind("", "v1", "nodes", "Node", False, ("status",), ("no",), fields=("spec.unschedulable",)),
    Kind("", "v1", "events", "Event", short=("ev",), fields=_EVENT_FIELDS),
    Kind("", "v1", "persistentvolumeclaims", "PersistentVolumeClaim", True, ("status",), ("pvc",), returned=True),
    Kind("", "v1", "persistentvolumes", "PersistentVolume", False, ("status",), ("pv",), returned=True),
    Kind("apps", "v1", "deployments", "Deployment", True, _SCALED, ("deploy",), True),
    Kind("apps", "v1", "statefulsets", "StatefulSet", True, _SCALED, ("sts",), True),
    Kind("apps", "v1", "daemonsets", "DaemonSet", True, ("status",), ("ds",), True),
    Kind("apps", "v1", "replicasets", "ReplicaSet", True, _SCALED, ("rs",), True, fields=("status.replicas",)),
    Kind("batch", "v1", "jobs", "Job", True, ("status",), (), True, fields=("status.successful",)),
    Kind("batch", "v1", "cronjobs", "CronJob", True, ("status",), ("cj",), True),
    Kind("autoscaling", "v2", "horizontalpodautoscalers", "HorizontalPodAutoscaler", True, ("status",), ("hpa",)),
    Kind("networking.k8s.io", "v1", "ingresses", "Ingress", True, ("status",), ("ing",), True),
    Kind("storage.k8s.io", "v1", "storageclasses", "StorageClass", False, (), ("sc",), returned=True),
    Kind("policy", "v1", "poddisruptionbudgets", "PodDisruptionBudget", True, ("status",), ("pdb",), True),
)


class UnknownKind(LookupError):
    """A kind that is not in the table."""


class Kinds:
    """The table, asked in every direction."""

    def __init__(self, kinds: Iterable[Kind] = KINDS) -> None:
        self._kinds = tuple(kinds)

    def __iter__(self) -> Iterator[Kind]:
        return iter(self._kinds)

    def groups(self) -> dict[str, list[str]]:
        """The named groups and their versions."""
        found: dict[str, list[str]] = {}
        for kind in self._kinds:
            versions = found.setdefault(kind.group, [])
            if kind.version not in versions:
                versions.append(kind.version)
        found.pop("", None)
        return found

    def of_version(self, group: str, version: str) -> list[Kind]:
        return [kind for kind in self._kinds if (kind.group, kind.version) == (group, version)]

    def served(self, group: str, version: str, plural: str) -> Kind | None:
        return next((kind for kind in self.of_version(group, version) if kind.plural == plural), None)

    def named(self, name: str) -> Kind:
        """By the kind's name (``Pod``) or its plural (``pods``), whatever its version."""
        for kind in self._kinds:
            if name in (kind.name, kind.plural):
                return kind
        raise UnknownKind(f"the emulator serves no kind {name!r}, only {', '.join(each.name for each in self._kinds)}")

    def of(self, manifest: Object) -> Kind:
        """The kind a manifest says it is."""
        for kind in self._kinds:
            if (kind.api_version, kind.name) == (manifest.get("apiVersion"), manifest.get("kind")):
                return kind
        raise UnknownKind(f"the emulator serves no {manifest.get('kind')} of {manifest.get('apiVersion')}")
