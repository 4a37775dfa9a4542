# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A Service between two Deployments that a label tells apart: who would get the traffic, and whether it may. Pure.

What is remembered of the last switch is in one annotation of the Service, C(MEMORY).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.common.outcome import Refusal
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.images import containers_of, template_of
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.labels import (
    Labels,
    labels_of,
    matches,
    selects,
    template_labels,
)
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.memory import PREFIX, text_of, value_of
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.moments import moment_of
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.ownership import autoscaler_of, autoscaler_shown
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.rollout_state import rollout_of
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.workload import replicas_of

MEMORY = f"{PREFIX}switch"
SOAKING, KEPT, RETURNED = "soaking", "kept", "returned"
Document = Mapping[str, Any]


@dataclass(frozen=True)
class Memory:
    """The last switch of a Service: C(SOAKING) until it is confirmed, then C(KEPT), or C(RETURNED)."""

    label: str
    before: str
    after: str
    at: str
    state: str

    def text(self) -> str:
        """As the annotation has it."""
        value = {"label": self.label, "from": self.before, "to": self.after, "at": self.at, "state": self.state}
        return text_of(value)

    def facts(self) -> dict[str, str]:
        """The same for a module's result."""
        return {"from": self.before, "to": self.after, "at": self.at, "state": self.state}

    def age_seconds(self, now: datetime) -> Optional[float]:
        """How long ago it was; None when nobody knows."""
        at = moment_of(self.at)
        return None if at is None else (now - at).total_seconds()


def memory_of(service: Document, label: str) -> Optional[Memory]:
    """What is remembered about this label; None when there is nothing, or nothing that can be read."""
    try:
        value = value_of(service, MEMORY)
        found = Memory(*(str(value[key]) for key in ("label", "from", "to", "at", "state")))
    except (ValueError, TypeError, KeyError):
        return None
    return found if found.label == label else None


def selector_of(service: Document) -> dict[str, str]:
    """The labels whose pods a Service sends to; empty when there are none."""
    return dict((service.get("spec") or {}).get("selector") or {})


def is_ready(pod: Document) -> bool:
    """Whether a pod would be sent to: it is ready, and is not on its way out."""
    if (pod.get("metadata") or {}).get("deletionTimestamp"):
        return False
    conditions = (pod.get("status") or {}).get("conditions") or ()
    return any(each.get("type") == "Ready" and each.get("status") == "True" for each in conditions)


def ready_pods(pods: Iterable[Document], selector: Labels) -> list[Document]:
    """The pods that a Service with this selector would send to."""
    return [pod for pod in pods if selects(selector, labels_of(pod)) and is_ready(pod)]


def sides_of(
    service: Document, label: str, deployments: Iterable[Document], pods: Sequence[Document]
) -> list[dict[str, Any]]:
    """The Deployments that the Service can be switched between, with what each would serve."""
    selector = selector_of(service)
    rest = {key: value for key, value in selector.items() if key != label}
    found = []
    for each in deployments:
        labels = template_labels(each)
        if label not in labels or not (selects(rest, labels) if rest else label in selector):
            continue
        found.append(
            {
                "deployment": each["metadata"]["name"],
                "value": labels[label],
                "serving": selects(selector, labels),
                "replicas": replicas_of(each),
                "ready": len(ready_pods(pods, {**rest, label: labels[label]})),
                "rolled_out": rollout_of("deployment", each).done,
                "images": {name: image for _section, name, image in containers_of(template_of(each))},
            }
        )
    return sorted(found, key=lambda side: str(side["deployment"]))


def refusal_to_switch(
    service: Document,
    label: str,
    value: str,
    target: Document,
    pods: Sequence[Document],
    min_ready: int,
    *,
    is_return: bool = False,
) -> Optional[Refusal]:
    """Why the Service must not send to the pods with this value; None when it may.

    The way back is barred by nothing but that nobody would serve: a side that is one pod short still serves users whom
    the other one fails.
    """
    name = target["metadata"]["name"]
    shown = f"Service {service['metadata']['namespace']}/{service['metadata']['name']}"
    selector = {**selector_of(service), label: value}
    text = ",".join(f"{key}={each}" for key, each in sorted(selector.items()))
    rollout = rollout_of("deployment", target)
    if not rollout.done and not is_return:
        reason = f"the rollout of Deployment {name} is not complete ({rollout.line})"
        return Refusal(shown, reason, "Wait for it with runbook.ops.k8s_rollout, or find out why it is stuck.")
    own = (target.get("spec") or {}).get("selector") or {}
    foreign = [
        pod["metadata"]["name"]
        for pod in pods
        if selects(selector, labels_of(pod)) and is_ready(pod) and not matches(own, labels_of(pod))
    ]
    if foreign and not is_return:
        reason = f"{text} also matches pods that are not of Deployment {name}: {', '.join(foreign[:3])}"
        return Refusal(shown, reason, "Give the Service a selector, or the pods labels, that tell them apart.")
    ready = ready_pods(pods, selector)
    missing = _missing_ports(service, target)
    if missing and not is_return:
        reason = f"the pods of Deployment {name} have no port named {', '.join(missing)}"
        return Refusal(shown, reason, "Name the port in the containers as the Service's targetPort does.")
    if len(ready) < min_ready:
        reason = f"{len(ready)} pods that match {text} are ready, and {min_ready} are needed"
        return Refusal(
            shown, reason, f"Scale Deployment {name} up, or see why its pods are not ready, and run it again."
        )
    return None


def _missing_ports(service: Document, target: Document) -> list[str]:
    wanted = [each.get("targetPort") for each in (service.get("spec") or {}).get("ports") or ()]
    containers = template_of(target).get("containers") or ()
    named = {port.get("name") for each in containers for port in each.get("ports") or ()}
    return sorted({each for each in wanted if isinstance(each, str) and not each.isdigit() and each not in named})


def left_behind(old: Document, autoscalers: Iterable[Document], budgets: Iterable[Document]) -> list[str]:
    """What is about a Deployment that goes, and stays: an autoscaler that scales nothing, a budget for no pods."""
    name, labels = old["metadata"]["name"], template_labels(old)
    own = [each for each in budgets if _concerns(each, labels) and not _has_other_pods(each, old)]
    found = autoscaler_of(autoscalers, "deployment", name)
    told = [*([autoscaler_shown(found)] if found else []), *(f"PodDisruptionBudget {_name(each)}" for each in own)]
    return [
        f"{each} is about Deployment {name}, which is removed. Remove it, or point it at the other." for each in told
    ]


def _name(document: Document) -> str:
    return str(document["metadata"]["name"])


def _concerns(budget: Document, labels: Labels) -> bool:
    return matches((budget.get("spec") or {}).get("selector") or {}, labels)


def _has_other_pods(budget: Document, old: Document) -> bool:
    """Whether a budget's selector is wider than that of the Deployment."""
    own = ((old.get("spec") or {}).get("selector") or {}).get("matchLabels") or {}
    wanted = ((budget.get("spec") or {}).get("selector") or {}).get("matchLabels") or {}
    return set(wanted) < set(own)


def companions(
    kind_of: str, serving: Sequence[Document], target: Document, objects: Iterable[Document]
) -> Optional[str]:
    """A warning when an autoscaler or a disruption budget is there for the side that serves, and not for the other.

    Args:
        kind_of: C(HorizontalPodAutoscaler) or C(PodDisruptionBudget).
        serving: The Deployments that serve now.
        target: The one that is to serve.
        objects: All of that kind in the namespace.

    """
    found = list(objects)
    name = target["metadata"]["name"]

    def concerns(each: Document, deployment: Document) -> bool:
        spec = each.get("spec") or {}
        if kind_of == "HorizontalPodAutoscaler":
            reference = spec.get("scaleTargetRef") or {}
            return bool(
                reference.get("kind") == "Deployment" and reference.get("name") == deployment["metadata"]["name"]
            )
        return matches(spec.get("selector") or {}, template_labels(deployment))

    of_serving = [each["metadata"]["name"] for each in found if any(concerns(each, one) for one in serving)]
    if not of_serving or any(concerns(each, target) for each in found):
        return None
    what = (
        "is not scaled by itself" if kind_of == "HorizontalPodAutoscaler" else "is not protected when nodes are drained"
    )
    return f"Deployment {name} {what}: {kind_of} {', '.join(sorted(of_serving))} is about the other side only."


def refusal_to_remove(
    service: Document,
    memory: Optional[Memory],
    old: Document,
    services: Iterable[Document],
    *,
    keep_seconds: float,
    now: datetime,
) -> Optional[Refusal]:
    """Why the old side must stay; None when it may go."""
    name = old["metadata"]["name"]
    shown = f"Deployment {old['metadata']['namespace']}/{name}"
    labels = template_labels(old)
    using = sorted(each["metadata"]["name"] for each in services if selects(selector_of(each), labels))
    if using:
        reason = f"Service {', '.join(using)} sends to its pods"
        return Refusal(shown, reason, "Switch the Service to the other side first.")
    if memory is None:
        reason = (
            f"Service {service['metadata']['name']} remembers no switch, so nobody knows since when it is not needed"
        )
        return Refusal(shown, reason, "Look whether it is needed; kubectl delete deployment removes it.")
    side = memory.after if memory.state == RETURNED else memory.before
    # Workers of the same colour are no side of this Service.
    if not selects({**selector_of(service), memory.label: side}, labels):
        reason = f"it is not the side that the last switch ({memory.before} to {memory.after}) left"
        return Refusal(shown, reason, "Name the Deployment of the other side.")
    if memory.state == SOAKING:
        reason = f"the switch to {memory.after} is not confirmed yet, and this is the way back"
        return Refusal(shown, reason, "Run the deployment again: it watches the new side and confirms it.")
    age = memory.age_seconds(now)
    if age is None or age < keep_seconds:
        since = "at an unknown moment" if age is None else f"{int(age)} seconds ago"
        reason = f"the Service was switched {since}, and it is kept for {keep_seconds:g} seconds"
        return Refusal(shown, reason, "Run it again later. It is the fastest way back.")
    return None
