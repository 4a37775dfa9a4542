# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who else decides about an object: Argo CD, Flux, Helm, an autoscaler. Pure: the server's documents in, names out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.common.outcome import Refusal

# https://argo-cd.readthedocs.io/en/stable/user-guide/resource_tracking/
_ARGO_TRACKING = "argocd.argoproj.io/tracking-id"
_ARGO_INSTANCE = "argocd.argoproj.io/instance"
# Its default until version 3. Others set it as well, so that it counts with the name that Argo CD writes under.
_COMMON_INSTANCE = "app.kubernetes.io/instance"
_ARGO_MANAGERS = ("argocd-controller", "argocd-application-controller")
# https://fluxcd.io/flux/components/kustomize/kustomizations/ and .../helm/helmreleases/
_FLUX = (("kustomize.toolkit.fluxcd.io", "Flux Kustomization"), ("helm.toolkit.fluxcd.io", "Flux HelmRelease"))
# Flux leaves such an object as it is.
_FLUX_RECONCILE = "kustomize.toolkit.fluxcd.io/reconcile"
_HELM_RELEASE = "meta.helm.sh/release-name"
_HELM_NAMESPACE = "meta.helm.sh/release-namespace"


def gitops_owner(object: Mapping[str, Any]) -> Optional[str]:
    """Who puts the object back to what a Git repository says, such as C(Argo CD application shop); None if nobody.

    Argo CD's tracking id names the object that it is about. One that was copied from another object, as controllers
    do when they make ReplicaSets, means nothing.
    """
    metadata = object.get("metadata") or {}
    annotations, labels = metadata.get("annotations") or {}, metadata.get("labels") or {}
    tracking = str(annotations.get(_ARGO_TRACKING) or "")
    if tracking and _is_about(tracking, object):
        return f"Argo CD application {tracking.partition(':')[0]}"
    if not tracking and (labels.get(_ARGO_INSTANCE) or annotations.get(_ARGO_INSTANCE)):
        return f"Argo CD application {labels.get(_ARGO_INSTANCE) or annotations.get(_ARGO_INSTANCE)}"
    if not tracking and labels.get(_COMMON_INSTANCE) and _is_written_by(metadata, _ARGO_MANAGERS):
        return f"Argo CD application {labels[_COMMON_INSTANCE]}"
    for prefix, shown in _FLUX:
        name = labels.get(f"{prefix}/name")
        if name and str(annotations.get(_FLUX_RECONCILE)).lower() != "disabled":
            namespace = labels.get(f"{prefix}/namespace")
            return f"{shown} {namespace}/{name}" if namespace else f"{shown} {name}"
    return None


def _is_written_by(metadata: Mapping[str, Any], managers: tuple[str, ...]) -> bool:
    return any(each.get("manager") in managers for each in metadata.get("managedFields") or ())


def _is_about(tracking: str, object: Mapping[str, Any]) -> bool:
    """Whether C(application:group/Kind:namespace/name) is about this object."""
    parts = tracking.split(":")
    if len(parts) != 3:
        return True
    metadata = object.get("metadata") or {}
    kind, name = object.get("kind"), metadata.get("name")
    return parts[2].rpartition("/")[2] == name and (kind is None or parts[1].rpartition("/")[2] == kind)


def helm_release(object: Mapping[str, Any]) -> Optional[str]:
    """The Helm release that an object came with. Helm changes it at the next upgrade only, not by itself."""
    annotations = (object.get("metadata") or {}).get("annotations") or {}
    name = annotations.get(_HELM_RELEASE)
    if not name:
        return None
    namespace = annotations.get(_HELM_NAMESPACE)
    return f"{namespace}/{name}" if namespace else str(name)


def autoscaler_of(autoscalers: Iterable[Mapping[str, Any]], kind: str, name: str) -> Optional[Mapping[str, Any]]:
    """The HorizontalPodAutoscaler of a workload; that of a KEDA ScaledObject is one, too.

    Args:
        autoscalers: Those of the workload's namespace.
        kind: The workload's kind, in any case.
        name: The workload's name.

    """
    for each in autoscalers:
        target = (each.get("spec") or {}).get("scaleTargetRef") or {}
        if str(target.get("kind") or "").lower() == kind.lower() and target.get("name") == name:
            return each
    return None


def autoscaler_shown(autoscaler: Mapping[str, Any]) -> str:
    """How messages name it: C(HorizontalPodAutoscaler web), or C(ScaledObject web) when KEDA made it."""
    metadata = autoscaler.get("metadata") or {}
    for each in metadata.get("ownerReferences") or ():
        if each.get("kind") == "ScaledObject":
            return f"ScaledObject {each['name']}"
    return f"HorizontalPodAutoscaler {metadata.get('name')}"


def autoscaler_facts(autoscaler: Mapping[str, Any]) -> dict[str, Any]:
    """An autoscaler as it is reported; None for what it does not say."""
    spec, status = autoscaler.get("spec") or {}, autoscaler.get("status") or {}
    return {
        "name": autoscaler_shown(autoscaler),
        # The server's default.
        "min_replicas": spec.get("minReplicas", 1),
        "max_replicas": spec.get("maxReplicas"),
        "current_replicas": status.get("currentReplicas"),
        "desired_replicas": status.get("desiredReplicas"),
    }


def is_at_ceiling(facts: Mapping[str, Any]) -> bool:
    """Whether an autoscaler wants as many pods as it may have, and perhaps more."""
    desired, most = facts["desired_replicas"], facts["max_replicas"]
    return desired is not None and most is not None and desired >= most


def ownership_verdict(object: Mapping[str, Any], shown: str, gitops: str) -> tuple[Optional[Refusal], list[str]]:
    """Whether a change must not be made because it would be undone, and what has to be said about it.

    Args:
        object: What is to be changed.
        shown: How messages name it.
        gitops: C(refuse), C(warn) or C(ignore).

    """
    owner = gitops_owner(object)
    if owner and gitops == "refuse":
        reason = f"it belongs to {owner}, which undoes what is changed here"
        remedy = "Change it in the Git repository, or set gitops to warn for a change that may be undone."
        return Refusal(shown, reason, remedy), []
    warnings = []
    if owner and gitops == "warn":
        warnings.append(f"{shown} belongs to {owner}, which may undo this. Make the change in the Git repository, too.")
    release = helm_release(object)
    if release and not owner and gitops != "ignore":
        warnings.append(f"{shown} belongs to the Helm release {release}. Its next upgrade undoes this.")
    return None, warnings
