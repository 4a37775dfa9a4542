"""The kinds the emulator serves: the one table behind discovery, addresses and fields that can be selected."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

Object = dict[str, Any]


VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")


@dataclass(frozen=True)
class Kind:
    """One row: how a kind is addressed, and what differs from kind to kind in how it is served.

    ``generation`` kinds count the changes of their spec. ``returned`` kinds answer DELETE with the object instead of
    a Status. ``fields`` are what a fieldSelector may name beside ``metadata.name`` and ``metadata.namespace``.
    ``deprecated`` is what the server warns of with every answer; ``categories`` are kubectl's ``all``.
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
    verbs: tuple[str, ...] = VERBS
    categories: tuple[str, ...] = ()
    deprecated: str = ""

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def qualified(self) -> str:
        """As the server's messages name the resource: ``pods``, ``deployments.apps``."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @property
    def custom(self) -> bool:
        """Whether it comes from a definition: no strategic patches then."""
        return "." in self.group and not self.group.endswith(".k8s.io")

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
_STATUS = ("status",)
_ALL = ("all",)
_RBAC = "rbac.authorization.k8s.io"
_POD_PARTS = ("eviction", "exec", "log", "status")
_ENDPOINTS = "v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice"
_CREATE = ("create",)
_READ = ("get", "list")

KINDS: tuple[Kind, ...] = (
    Kind("", "v1", "pods", "Pod", True, _POD_PARTS, ("po",), True, True, _POD_FIELDS, categories=_ALL),
    Kind("", "v1", "services", "Service", True, _STATUS, ("svc",), returned=True, categories=_ALL),
    Kind("", "v1", "secrets", "Secret", fields=("type",)),
    Kind("", "v1", "configmaps", "ConfigMap", short=("cm",)),
    Kind("", "v1", "serviceaccounts", "ServiceAccount", short=("sa",), returned=True),
    Kind("", "v1", "endpoints", "Endpoints", short=("ep",), deprecated=_ENDPOINTS),
    Kind("", "v1", "resourcequotas", "ResourceQuota", True, _STATUS, ("quota",), returned=True),
    Kind("", "v1", "limitranges", "LimitRange", short=("limits",)),
    Kind("", "v1", "namespaces", "Namespace", False, _STATUS, ("ns",), fields=("status.phase",)),
    Kind("", "v1", "nodes", "Node", False, _STATUS, ("no",), fields=("spec.unschedulable",)),
    Kind("", "v1", "events", "Event", short=("ev",), fields=_EVENT_FIELDS),
    Kind("", "v1", "persistentvolumeclaims", "PersistentVolumeClaim", True, _STATUS, ("pvc",), returned=True),
    Kind("", "v1", "persistentvolumes", "PersistentVolume", False, _STATUS, ("pv",), returned=True),
    Kind("apps", "v1", "deployments", "Deployment", True, _SCALED, ("deploy",), True, categories=_ALL),
    Kind("apps", "v1", "statefulsets", "StatefulSet", True, _SCALED, ("sts",), True, categories=_ALL),
    Kind("apps", "v1", "daemonsets", "DaemonSet", True, _STATUS, ("ds",), True, categories=_ALL),
    Kind(
        "apps",
        "v1",
        "replicasets",
        "ReplicaSet",
        True,
        _SCALED,
        ("rs",),
        True,
        fields=("status.replicas",),
        categories=_ALL,
    ),
    Kind("apps", "v1", "controllerrevisions", "ControllerRevision"),
    Kind("batch", "v1", "jobs", "Job", True, _STATUS, (), True, fields=("status.successful",), categories=_ALL),
    Kind("batch", "v1", "cronjobs", "CronJob", True, _STATUS, ("cj",), True, categories=_ALL),
    Kind(
        "autoscaling",
        "v2",
        "horizontalpodautoscalers",
        "HorizontalPodAutoscaler",
        True,
        _STATUS,
        ("hpa",),
        categories=_ALL,
    ),
    Kind("networking.k8s.io", "v1", "ingresses", "Ingress", True, _STATUS, ("ing",), True),
    Kind("networking.k8s.io", "v1", "networkpolicies", "NetworkPolicy", True, (), ("netpol",), True),
    Kind("discovery.k8s.io", "v1", "endpointslices", "EndpointSlice", generation=True),
    Kind("storage.k8s.io", "v1", "storageclasses", "StorageClass", False, (), ("sc",), returned=True),
    Kind("policy", "v1", "poddisruptionbudgets", "PodDisruptionBudget", True, _STATUS, ("pdb",), True),
    Kind(_RBAC, "v1", "roles", "Role"),
    Kind(_RBAC, "v1", "rolebindings", "RoleBinding"),
    Kind(_RBAC, "v1", "clusterroles", "ClusterRole", False),
    Kind(_RBAC, "v1", "clusterrolebindings", "ClusterRoleBinding", False),
    Kind("coordination.k8s.io", "v1", "leases", "Lease"),
    Kind(
        "apiextensions.k8s.io",
        "v1",
        "customresourcedefinitions",
        "CustomResourceDefinition",
        False,
        _STATUS,
        ("crd", "crds"),
        True,
    ),
    # Questions, which are answered and not kept.
    Kind("authorization.k8s.io", "v1", "selfsubjectaccessreviews", "SelfSubjectAccessReview", False, verbs=_CREATE),
    Kind("authorization.k8s.io", "v1", "selfsubjectrulesreviews", "SelfSubjectRulesReview", False, verbs=_CREATE),
    # Of others' definitions, as their operators install them.
    Kind("cert-manager.io", "v1", "certificates", "Certificate", True, _STATUS, ("cert", "certs"), True),
    Kind("keda.sh", "v1alpha1", "scaledobjects", "ScaledObject", True, _STATUS, ("so",), True),
    Kind("argoproj.io", "v1alpha1", "applications", "Application", True, (), ("app", "apps"), True),
)

# Only where a metrics server runs; see metrics.py.
METRICS: tuple[Kind, ...] = (
    Kind("metrics.k8s.io", "v1beta1", "pods", "PodMetrics", verbs=_READ),
    Kind("metrics.k8s.io", "v1beta1", "nodes", "NodeMetrics", False, verbs=_READ),
)


class UnknownKind(LookupError):
    """A kind that is not in the table."""


class Kinds:
    """The table, asked in every direction."""

    def __init__(self, kinds: Iterable[Kind] = KINDS) -> None:
        self._kinds = tuple(kinds)

    def add(self, kinds: Iterable[Kind]) -> None:
        """Serve these too: a definition was created, a metrics server started."""
        self._kinds += tuple(kind for kind in kinds if kind not in self._kinds)

    def remove(self, group: str, plural: str = "") -> None:
        """Serve a group's kinds, or one of them, no longer: the operator is not installed."""
        self._kinds = tuple(each for each in self._kinds if (each.group, plural or each.plural) != (group, each.plural))

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
        """By the kind's name (``PodMetrics``), its plural (``pods``) or with its group (``pods.metrics.k8s.io``).

        Of two kinds with one plural it is the older: ``pods`` are not those of the metrics server.
        """
        for kind in self._kinds:
            if name in (kind.name, kind.plural, kind.qualified):
                return kind
        raise UnknownKind(f"the emulator serves no kind {name!r}, only {', '.join(each.name for each in self._kinds)}")

    def of(self, manifest: Object) -> Kind:
        """The kind a manifest says it is."""
        for kind in self._kinds:
            if (kind.api_version, kind.name) == (manifest.get("apiVersion"), manifest.get("kind")):
                return kind
        raise UnknownKind(f"the emulator serves no {manifest.get('kind')} of {manifest.get('apiVersion')}")
