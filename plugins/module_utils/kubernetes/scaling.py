# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Objects whose number of pods can be changed, their autoscalers, and single patches to them. Pure.

Sources: https://kubernetes.io/docs/tasks/run-application/horizontal-pod-autoscale/ (an autoscaler is off while its
workload has 0 replicas, unless its minReplicas is 0) and https://keda.sh/docs/latest/concepts/scaling-deployments/
(the annotation that pauses a ScaledObject at a number of replicas).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.kinds import shown

SCALED_KINDS = ("deployment", "statefulset")
WRITER_KINDS = (*SCALED_KINDS, "cronjob")
HPA = "horizontalpodautoscaler"
KEDA = "scaledobject"
KEDA_PAUSED = "autoscaling.keda.sh/paused-replicas"
# The other one: it stops scaling where it is.
KEDA_STOPPED = "autoscaling.keda.sh/paused"
Document = Mapping[str, Any]


@dataclass(frozen=True, order=True)
class Target:
    """A workload by kind, in lower case, and name."""

    kind: str
    name: str

    @property
    def key(self) -> str:
        """As kubectl writes it: C(deployment/web)."""
        return f"{self.kind}/{self.name}"

    def shown(self, namespace: str) -> str:
        """As messages name it."""
        return shown(self.kind, namespace, self.name)


def target_of(text: str, option: str) -> Target:
    """Read C(kind/name), or the bare name of a deployment; raises InvalidOption."""
    kind, slash, name = str(text).strip().partition("/")
    if not slash:
        kind, name = SCALED_KINDS[0], kind
    kind = kind.lower()
    if kind not in WRITER_KINDS or not name or "/" in name:
        accepted = "a deployment's name, or kind/name with one of the kinds " + ", ".join(WRITER_KINDS)
        raise InvalidOption(option, text, accepted)
    return Target(kind, name)


@dataclass(frozen=True)
class Autoscaler:
    """A HorizontalPodAutoscaler, or a KEDA ScaledObject with the one that it makes."""

    kind: str
    document: Document

    @property
    def name(self) -> str:
        """Its name."""
        return str(self.document["metadata"]["name"])

    @property
    def key(self) -> str:
        """As kubectl writes it."""
        return f"{self.kind}/{self.name}"

    @property
    def annotations(self) -> Mapping[str, Any]:
        """Its annotations."""
        return self.document["metadata"].get("annotations") or {}

    @property
    def target(self) -> Target:
        """The workload that it scales."""
        found = (self.document.get("spec") or {}).get("scaleTargetRef") or {}
        return Target(str(found.get("kind") or "Deployment").lower(), str(found.get("name") or ""))

    @property
    def low(self) -> int:
        """Its lower bound."""
        spec = self.document.get("spec") or {}
        if self.kind == KEDA:
            return int(spec.get("minReplicaCount") or 0)
        found = spec.get("minReplicas")
        return 1 if found is None else int(found)

    @property
    def high(self) -> int:
        """Its upper bound."""
        spec = self.document.get("spec") or {}
        return int(spec.get("maxReplicaCount") or 100) if self.kind == KEDA else int(spec.get("maxReplicas") or 1)

    def figures(self) -> dict[str, Any]:
        """As results show it."""
        found: dict[str, Any] = {"min_replicas": self.low, "max_replicas": self.high}
        if self.kind == KEDA:
            found["paused_replicas"] = self.annotations.get(KEDA_PAUSED)
        return found


def autoscalers_of(target: Target, hpas: Iterable[Document], keda: Iterable[Document]) -> tuple[Autoscaler, ...]:
    """What scales a workload. The HPA that KEDA keeps for a ScaledObject follows that and is none of its own."""
    found = [Autoscaler(KEDA, each) for each in keda]
    found += [Autoscaler(HPA, each) for each in hpas if not is_of_keda(each)]
    return tuple(each for each in found if each.target == target)


def is_of_keda(hpa: Document) -> bool:
    """Whether KEDA keeps this HorizontalPodAutoscaler for a ScaledObject."""
    return any(owner.get("kind") == "ScaledObject" for owner in hpa["metadata"].get("ownerReferences") or ())


def counted(replicas: int) -> str:
    """A number with its noun."""
    return f"{replicas} replica" if replicas == 1 else f"{replicas} replicas"


@dataclass(frozen=True)
class Step:
    """One patch to one object, and what it is for people."""

    action: str
    kind: str
    name: str
    patch: Document
    was: str
    becomes: str
    # What results show of the object afterwards.
    figures: Document = field(default_factory=dict)

    @property
    def key(self) -> str:
        """As kubectl writes it."""
        return f"{self.kind}/{self.name}"

    def as_action(self, namespace: str) -> dict[str, str]:
        """The entry of the module's C(actions)."""
        shown = Target(self.kind, self.name).shown(namespace)
        return {"action": self.action, "object": shown, "from": self.was, "to": self.becomes}


def merge_patch(
    document: Document, *, spec: Optional[Document] = None, annotations: Optional[Document] = None
) -> dict[str, Any]:
    """A merge patch of these fields and annotations only, which somebody else's change meanwhile makes a conflict."""
    metadata: dict[str, Any] = {"resourceVersion": str(document["metadata"].get("resourceVersion") or "")}
    if annotations:
        metadata["annotations"] = dict(annotations)
    return {"metadata": metadata, **({"spec": dict(spec)} if spec else {})}
