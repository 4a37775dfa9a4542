# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From an object as the server has it to a manifest that can be applied. Pure: documents in, documents out.

What a server, a controller or a node wrote is dropped; what somebody wanted is kept, defaults included.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterable, Mapping
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption, RunbookError
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.memory import PREFIX
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.references import keys_of

Document = dict[str, Any]

REFUSE, OMIT, NAMES, KEEP = "refuse", "omit", "names", "keep"
# What callers may ask for. Only who encrypts what comes out may keep values.
SECRETS = (REFUSE, OMIT, NAMES)
# The names of the keys of a Secret whose values were left out, as a JSON list.
KEYS_ANNOTATION = f"{PREFIX}keys"

_METADATA = (
    "uid",
    "resourceVersion",
    "generation",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "managedFields",
    "selfLink",
    # A uid of an owner that is not there makes the garbage collector delete the object.
    "ownerReferences",
)
_ANNOTATIONS = frozenset(
    {
        "kubectl.kubernetes.io/last-applied-configuration",
        "deployment.kubernetes.io/revision",
        "deprecated.daemonset.template.generation",
        "control-plane.alpha.kubernetes.io/leader",
        "endpoints.kubernetes.io/last-change-trigger-time",
        "volume.kubernetes.io/selected-node",
        "volume.kubernetes.io/storage-provisioner",
        "volume.beta.kubernetes.io/storage-provisioner",
    }
)
_ANNOTATION_PREFIXES = ("pv.kubernetes.io/", "autoscaling.alpha.kubernetes.io/c")
# Of controllers, which write them again. Where they do not run, nobody could delete what has one.
_FINALIZERS = (
    "kubernetes.io/",
    "service.kubernetes.io/",
    "foregroundDeletion",
    "orphan",
    "snapshot.storage.kubernetes.io/",
    "ingress.k8s.aws/",
    "elbv2.k8s.aws/",
    "service.k8s.aws/",
    "group.ingress.k8s.aws/",
    "networking.gke.io/",
)
_JOB_LABELS = frozenset(
    {"controller-uid", "job-name", "batch.kubernetes.io/controller-uid", "batch.kubernetes.io/job-name"}
)
_ACCOUNT_VOLUME = "kube-api-access-"
_ACCOUNT_TYPE = "kubernetes.io/service-account-token"
# What is applied first, so that everything finds what it refers to; kinds that are not named come last.
_ORDER = (
    "Namespace",
    "CustomResourceDefinition",
    "StorageClass",
    "PriorityClass",
    "ResourceQuota",
    "LimitRange",
    "ServiceAccount",
    "ClusterRole",
    "ClusterRoleBinding",
    "Role",
    "RoleBinding",
    "NetworkPolicy",
    "ConfigMap",
    "Secret",
    "PersistentVolume",
    "PersistentVolumeClaim",
    "Service",
    "Deployment",
    "StatefulSet",
    "DaemonSet",
    "ReplicaSet",
    "Pod",
    "Job",
    "HorizontalPodAutoscaler",
    "PodDisruptionBudget",
    "Ingress",
    "CronJob",
)


def left_out(document: Mapping[str, Any]) -> Optional[str]:
    """Why an object must not be applied from a manifest, because something else makes it; None if it may be."""
    metadata = document.get("metadata") or {}
    kind, name = document.get("kind"), metadata.get("name")
    for owner in metadata.get("ownerReferences") or ():
        if owner.get("controller"):
            return f"{owner.get('kind')} {owner.get('name')} makes it"
    if kind == "Secret" and document.get("type") == _ACCOUNT_TYPE:
        return "it is the token of a ServiceAccount, which the cluster makes"
    if kind == "ConfigMap" and name == "kube-root-ca.crt":
        return "the cluster puts it into every namespace"
    if kind == "ServiceAccount" and name == "default" and not document.get("imagePullSecrets"):
        return "the cluster puts it into every namespace"
    if kind in {"Endpoints", "EndpointSlice", "Event", "Node", "Lease", "ControllerRevision", "PodMetrics"}:
        return "the cluster makes it"
    if kind == "Service" and (metadata.get("namespace"), name) == ("default", "kubernetes"):
        return "the cluster makes it"
    if (metadata.get("labels") or {}).get("kubernetes.io/bootstrapping") == "rbac-defaults":
        return "the cluster makes it"
    return None


def manifest_of(document: Mapping[str, Any], *, secrets: str = REFUSE) -> Document:
    """A manifest of one object.

    Args:
        document: The object, as the server answers it.
        secrets: What becomes of the values of a Secret: C(refuse) fails, C(names) leaves them out and writes the
            names of the keys into an annotation, C(keep) keeps them. C(omit) is for lists, see C(manifests_of).

    Raises:
        RunbookError: something else makes the object, or it is a Secret and its values are refused.

    """
    reason = left_out(document)
    if reason:
        raise RunbookError(f"There is no manifest of {shown(document)}: {reason}.")
    made: Document = {
        key: copy.deepcopy(value) for key, value in document.items() if key != "status" and value is not None
    }
    made["metadata"] = _metadata(made.get("metadata") or {})
    handle = _KINDS.get(str(made.get("kind")))
    if handle is not None:
        handle(made)
    for holder in _template_holders(made):
        if isinstance(holder.get("metadata"), dict):
            holder["metadata"].pop("creationTimestamp", None)
    if made.get("kind") == "Secret":
        _secret(made, secrets)
    return made


def manifests_of(
    documents: Iterable[Mapping[str, Any]], *, secrets: str = REFUSE
) -> tuple[list[Document], list[dict[str, str]]]:
    """Manifests of many objects in the order of applying, and what was left out, with C(object) and C(reason)."""
    made, left = [], []
    for document in documents:
        reason = left_out(document)
        if reason is None and document.get("kind") == "Secret" and secrets == OMIT:
            reason = "it is a Secret, and its values are not encrypted here"
        if reason is not None:
            left.append({"object": shown(document), "reason": reason})
            continue
        made.append(manifest_of(document, secrets=secrets))
    return in_order(made), left


def in_order(manifests: Iterable[Document]) -> list[Document]:
    """In the order in which they can be applied: what others refer to comes first."""
    place = {kind: number for number, kind in enumerate(_ORDER)}

    def rank(manifest: Mapping[str, Any]) -> tuple[int, str, str, str]:
        metadata = manifest["metadata"]
        kind = str(manifest.get("kind"))
        return place.get(kind, len(place)), kind, metadata.get("namespace") or "", metadata["name"]

    return sorted(manifests, key=rank)


def shown(document: Mapping[str, Any]) -> str:
    """Its kind, namespace and name in messages."""
    metadata = document.get("metadata") or {}
    place = f"{metadata['namespace']}/" if metadata.get("namespace") else ""
    return f"{document.get('kind')} {place}{metadata.get('name')}"


def check_document(value: Any) -> Mapping[str, Any]:
    """What a filter was given, if it is an object of Kubernetes; raises InvalidOption."""
    if isinstance(value, Mapping) and value.get("kind") and value.get("apiVersion"):
        metadata = value.get("metadata")
        if isinstance(metadata, Mapping) and metadata.get("name"):
            return value
    raise InvalidOption("_input", type(value).__name__, "objects with apiVersion, kind and metadata.name")


def _metadata(given: Document) -> Document:
    metadata = {key: value for key, value in given.items() if key not in _METADATA}
    if metadata.get("name"):
        metadata.pop("generateName", None)
    metadata["annotations"] = {
        key: value
        for key, value in (metadata.get("annotations") or {}).items()
        if key not in _ANNOTATIONS and not key.startswith(_ANNOTATION_PREFIXES)
    }
    metadata["finalizers"] = [each for each in metadata.get("finalizers") or () if not each.startswith(_FINALIZERS)]
    return {key: value for key, value in metadata.items() if value not in ({}, [], None)}


def _template_holders(made: Document) -> list[Document]:
    """Whatever has metadata of its own within a spec: templates of pods, Jobs and claims."""
    spec = made.get("spec")
    if not isinstance(spec, dict):
        return []
    job = spec.get("jobTemplate") or {}
    found = [spec.get("template"), job, (job.get("spec") or {}).get("template")]
    return [each for each in found if isinstance(each, dict)]


def _service(made: Document) -> None:
    spec = made.get("spec") or {}
    # A headless Service says None, and that is a wish; an address is not.
    if spec.get("clusterIP") != "None":
        spec.pop("clusterIP", None)
        spec.pop("clusterIPs", None)
    spec.pop("healthCheckNodePort", None)
    # Whoever sends traffic to a NodePort has its number. A load balancer learns it from the cluster.
    if spec.get("type") != "NodePort":
        for port in spec.get("ports") or ():
            port.pop("nodePort", None)


def _job(made: Document) -> None:
    spec = made.get("spec") or {}
    if spec.get("manualSelector"):
        return
    spec.pop("selector", None)
    template = spec.get("template") or {}
    for metadata in (made["metadata"], template.get("metadata") or {}):
        labels = {key: value for key, value in (metadata.get("labels") or {}).items() if key not in _JOB_LABELS}
        metadata.pop("labels", None)
        if labels:
            metadata["labels"] = labels


def _pod(made: Document) -> None:
    spec = made.get("spec") or {}
    spec.pop("nodeName", None)
    spec.pop("serviceAccount", None)
    volumes = [each for each in spec.get("volumes") or () if not str(each.get("name")).startswith(_ACCOUNT_VOLUME)]
    spec.pop("volumes", None)
    if volumes:
        spec["volumes"] = volumes
    for container in [*(spec.get("initContainers") or ()), *(spec.get("containers") or ())]:
        mounts = container.get("volumeMounts")
        if mounts:
            container["volumeMounts"] = [each for each in mounts if not each["name"].startswith(_ACCOUNT_VOLUME)]


def _service_account(made: Document) -> None:
    name = made["metadata"]["name"]
    own = (f"{name}-token-", f"{name}-dockercfg-")
    kept = [each for each in made.get("secrets") or () if not str(each.get("name")).startswith(own)]
    made.pop("secrets", None)
    if kept:
        made["secrets"] = kept


def _namespace(made: Document) -> None:
    # The server's own finalizer.
    made.pop("spec", None)


def _stateful_set(made: Document) -> None:
    for claim in (made.get("spec") or {}).get("volumeClaimTemplates") or ():
        claim.pop("status", None)
        claim["metadata"] = _metadata(claim.get("metadata") or {})


def _secret(made: Document, secrets: str) -> None:
    if secrets == KEEP:
        return
    keys = sorted(keys_of(made))
    if secrets != NAMES:
        raise RunbookError(
            f"{shown(made)} has the values of {', '.join(keys) or 'no keys'}, which belong into no manifest. Leave"
            " Secrets out (secrets=omit), or have the names of their keys only (secrets=names)."
        )
    made.pop("data", None)
    made.pop("stringData", None)
    made["metadata"].setdefault("annotations", {})[KEYS_ANNOTATION] = json.dumps(keys)


_KINDS = {
    "Service": _service,
    "Job": _job,
    "Pod": _pod,
    "ServiceAccount": _service_account,
    "Namespace": _namespace,
    "StatefulSet": _stateful_set,
}
