"""Who else decides about an object."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.ownership import (
    autoscaler_of,
    autoscaler_shown,
    gitops_owner,
    helm_release,
    ownership_verdict,
)


def deployment(annotations: dict[str, str] | None = None, labels: dict[str, str] | None = None) -> dict[str, Any]:
    metadata = {"name": "api", "namespace": "shop", "annotations": annotations, "labels": labels}
    return {"kind": "Deployment", "metadata": metadata}


TRACKING = "argocd.argoproj.io/tracking-id"
HELM = {"meta.helm.sh/release-name": "shop", "meta.helm.sh/release-namespace": "apps"}


@pytest.mark.parametrize(
    ("annotations", "labels", "owner"),
    [
        (None, None, None),
        ({TRACKING: "autoclip-api:apps/Deployment:shop/api"}, None, "Argo CD application autoclip-api"),
        # Copied from another object.
        ({TRACKING: "autoclip-api:apps/Deployment:shop/web"}, {"argocd.argoproj.io/instance": "x"}, None),
        ({TRACKING: "autoclip-api:apps/StatefulSet:shop/api"}, None, None),
        (None, {"argocd.argoproj.io/instance": "shop"}, "Argo CD application shop"),
        ({"argocd.argoproj.io/instance": "shop"}, None, "Argo CD application shop"),
        (
            None,
            {"kustomize.toolkit.fluxcd.io/name": "shop", "kustomize.toolkit.fluxcd.io/namespace": "apps"},
            "Flux Kustomization apps/shop",
        ),
        (None, {"helm.toolkit.fluxcd.io/name": "shop"}, "Flux HelmRelease shop"),
        (
            {"kustomize.toolkit.fluxcd.io/reconcile": "disabled"},
            {"kustomize.toolkit.fluxcd.io/name": "shop"},
            None,
        ),
        # Who installed it says nothing about who looks after it.
        (HELM, {"app.kubernetes.io/managed-by": "Helm", "app.kubernetes.io/instance": "shop"}, None),
    ],
)
def test_owners(annotations: dict[str, str] | None, labels: dict[str, str] | None, owner: str | None) -> None:
    assert gitops_owner(deployment(annotations, labels)) == owner


def test_the_common_label_counts_with_who_wrote_it() -> None:
    found = deployment(None, {"app.kubernetes.io/instance": "shop"})
    for manager, owner in (("helm", None), ("argocd-server", None), ("argocd-controller", "Argo CD application shop")):
        found["metadata"]["managedFields"] = [{"manager": "kubectl"}, {"manager": manager}]
        assert gitops_owner(found) == owner


def test_what_is_done_about_owners() -> None:
    owned = deployment({TRACKING: "shop:apps/Deployment:shop/api", **HELM})
    refusal, warnings = ownership_verdict(owned, "Deployment shop/api", "refuse")
    assert refusal is not None
    assert (refusal.reason, warnings) == (
        "it belongs to Argo CD application shop, which undoes what is changed here",
        [],
    )
    refusal, warnings = ownership_verdict(owned, "Deployment shop/api", "warn")
    assert (refusal, len(warnings)) == (None, 1)
    assert warnings[0].startswith("Deployment shop/api belongs to Argo CD application shop, which may undo this.")
    assert ownership_verdict(owned, "Deployment shop/api", "ignore") == (None, [])
    assert ownership_verdict(deployment(HELM), "Deployment shop/api", "refuse") == (
        None,
        ["Deployment shop/api belongs to the Helm release apps/shop. Its next upgrade undoes this."],
    )
    assert ownership_verdict(deployment(), "Deployment shop/api", "refuse") == (None, [])
    assert helm_release(deployment({"meta.helm.sh/release-name": "shop"})) == "shop"


def test_autoscalers() -> None:
    def target(name: str, kind: str, workload: str, owner: str | None = None) -> dict[str, Any]:
        owners = [{"kind": "ScaledObject", "name": owner}] if owner else []
        return {
            "metadata": {"name": name, "ownerReferences": owners},
            "spec": {"scaleTargetRef": {"kind": kind, "name": workload}},
        }

    found = [target("a", "StatefulSet", "api"), target("keda-hpa-api", "Deployment", "api", "api-scaler")]
    mine = autoscaler_of(found, "deployment", "api")
    assert mine is found[1]
    assert autoscaler_shown(mine) == "ScaledObject api-scaler"
    assert autoscaler_shown(found[0]) == "HorizontalPodAutoscaler a"
    assert autoscaler_of(found, "deployment", "web") is None
