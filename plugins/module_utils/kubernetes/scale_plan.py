# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What more or fewer pods of a workload take: its autoscaler's bounds, or its replicas where it has none. Pure.

A number of replicas that is set beside an autoscaler is taken back by that within seconds, so that its bounds are what
has to change: https://kubernetes.io/docs/tasks/run-application/horizontal-pod-autoscale/.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.common.outcome import Refusal
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.memory import (
    PARKED,
    SCALED,
    memory_of,
    remembered,
)
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.parking import Plan, Writer
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.scaling import (
    HPA,
    KEDA,
    KEDA_PAUSED,
    KEDA_STOPPED,
    Autoscaler,
    Document,
    Step,
    counted,
    merge_patch,
)

SCALE = "scale"
RESTORE = "restore"
# What bounds are called.
_FIELDS = {HPA: ("minReplicas", "maxReplicas"), KEDA: ("minReplicaCount", "maxReplicaCount")}


@dataclass(frozen=True)
class Wish:
    """How many pods there shall be at least, how far an autoscaler may go, and what allows it."""

    replicas: int
    ceiling: Optional[int]
    limit: int
    connections_per_replica: int = 0
    connections_free: Optional[int] = None


@dataclass(frozen=True)
class _Subject:
    """The one object whose numbers are changed."""

    kind: str
    name: str
    document: Document
    numbers: dict[str, Any]

    @property
    def memory(self) -> Optional[dict[str, Any]]:
        return memory_of(self.document, SCALED, mappings=("former", "set"))

    def step(self, action: str, wanted: Mapping[str, Any], memory: Optional[Mapping[str, Any]]) -> Step:
        annotations = remembered(SCALED, memory)
        changes = {name: number for name, number in wanted.items() if number != self.numbers[name]}
        patch = merge_patch(self.document, spec=changes, annotations=annotations)
        return Step(action, self.kind, self.name, patch, _shown(self.numbers), _shown(wanted), _figures(wanted, memory))


def figures_of(writer: Writer) -> dict[str, dict[str, Any]]:
    """The workload and its autoscalers as results show them."""
    found = {writer.target.key: {"replicas": writer.replicas, "scaled": SCALED in _annotations(writer.document)}}
    for each in writer.autoscalers:
        found[each.key] = {
            "min_replicas": each.low,
            "max_replicas": each.high,
            "scaled": SCALED in _annotations(each.document),
        }
    return found


def plan_scale(writer: Writer, wish: Wish) -> Plan:
    """Scale a workload out or in, within limits; what it was at first is remembered."""
    shown = writer.target.shown(str(writer.document["metadata"].get("namespace") or ""))
    reason, remedy = _parked(writer) or _ambiguous(writer) or _beyond(writer, wish) or ("", "")
    if reason:
        return Plan(refusal=Refusal(shown, reason, remedy))
    subject = _subject(writer)
    if subject.kind in _FIELDS:
        high = wish.ceiling or max(writer.autoscalers[0].high, wish.replicas)
        wanted = dict(zip(_FIELDS[subject.kind], (wish.replicas, high)))
    else:
        wanted = {"replicas": wish.replicas}
    if wanted == {**subject.numbers, **_spoken(subject)}:
        return Plan()
    # The first of several changes is what is gone back to.
    former = (subject.memory or {}).get("former") or subject.numbers
    return Plan((subject.step(SCALE, wanted, {"former": former, "set": wanted}),))


def plan_restore(writer: Writer) -> Plan:
    """Put back what was there before the first change, unless somebody has changed it since."""
    steps = []
    for subject in (*(_of_autoscaler(each) for each in writer.autoscalers), _of_workload(writer)):
        memory = subject.memory
        if memory is None:
            continue
        if memory["set"] != subject.numbers or set(memory["former"]) != set(subject.numbers):
            namespace = str(writer.document["metadata"].get("namespace") or "")
            reason = (
                f"{subject.kind}/{subject.name} has {_shown(subject.numbers)}, and was set to"
                f" {_shown(memory['set'])}: somebody has changed it since"
            )
            remedy = f"Set what is meant by hand, and remove its annotation {SCALED}."
            return Plan(refusal=Refusal(writer.target.shown(namespace), reason, remedy))
        steps.append(subject.step(RESTORE, memory["former"], None))
    return Plan(tuple(steps))


def _parked(writer: Writer) -> Optional[tuple[str, str]]:
    if PARKED in _annotations(writer.document):
        return "it is parked", "Bring it back with k8s_park and state running."
    if writer.replicas == 0:
        return "it has no replicas", "Bring it back with k8s_park and state running; scaling does not start it."
    return None


def _ambiguous(writer: Writer) -> Optional[tuple[str, str]]:
    if len(writer.autoscalers) > 1:
        names = ", ".join(each.key for each in writer.autoscalers)
        return f"several autoscalers work against each other on it ({names})", "Delete all but one."
    for each in writer.autoscalers:
        if each.annotations.get(KEDA_PAUSED) is not None:
            number = str(each.annotations[KEDA_PAUSED])
            paused = f"{each.key} is paused at {counted(int(number)) if number.isdigit() else repr(number)}"
            return paused, f"Remove its annotation {KEDA_PAUSED} first."
        if each.kind == KEDA and str(each.annotations.get(KEDA_STOPPED)).lower() == "true":
            return f"{each.key} is paused", f"Remove its annotation {KEDA_STOPPED} first."
    return None


def _beyond(writer: Writer, wish: Wish) -> Optional[tuple[str, str]]:
    now = writer.autoscalers[0].high if writer.autoscalers else writer.replicas
    high = wish.ceiling or (max(now, wish.replicas) if writer.autoscalers else wish.replicas)
    if wish.ceiling is not None and wish.replicas > wish.ceiling:
        return f"replicas ({wish.replicas}) is more than max_replicas ({wish.ceiling})", "Correct one of the two."
    if max(wish.replicas, high if high != now else 0) > wish.limit:
        most = max(wish.replicas, high)
        return f"{counted(most)} are more than max_replicas_limit, which is {wish.limit}", "Raise it if that is meant."
    more = max(0, high - now)
    if not wish.connections_per_replica or not more:
        return None
    needed = more * wish.connections_per_replica
    each = f"{more} more with {wish.connections_per_replica} database connections each need {needed}"
    remedy = "Make the pools smaller, put a pooler between, or add fewer; more workers at a full database are slower."
    if wish.connections_free is None:
        return f"{each}, and how many are free is not known", "Measure it and give connections_free. " + remedy
    if needed > wish.connections_free:
        return f"{each}, and {wish.connections_free} are free", remedy
    return None


def _subject(writer: Writer) -> _Subject:
    return _of_autoscaler(writer.autoscalers[0]) if writer.autoscalers else _of_workload(writer)


def _of_autoscaler(scaler: Autoscaler) -> _Subject:
    spec = scaler.document.get("spec") or {}
    # As it is written: a bound that is not given is put back as not given.
    numbers = {name: spec.get(name) for name in _FIELDS[scaler.kind]}
    return _Subject(scaler.kind, scaler.name, scaler.document, numbers)


def _of_workload(writer: Writer) -> _Subject:
    return _Subject(writer.target.kind, writer.target.name, writer.document, {"replicas": writer.replicas})


def _spoken(subject: _Subject) -> dict[str, Any]:
    """Bounds that are not given, as they count."""
    if subject.kind not in _FIELDS:
        return {}
    scaler = Autoscaler(subject.kind, subject.document)
    return dict(zip(_FIELDS[subject.kind], (scaler.low, scaler.high)))


def _annotations(document: Document) -> Mapping[str, Any]:
    return document["metadata"].get("annotations") or {}


def _bounds(numbers: Mapping[str, Any]) -> tuple[Any, Any]:
    """The lower and the upper one, whatever the order in which they were kept."""
    found = {name[:3]: number for name, number in numbers.items()}
    return found.get("min"), found.get("max")


def _shown(numbers: Mapping[str, Any]) -> str:
    if "replicas" in numbers:
        return counted(numbers["replicas"])
    low, high = _bounds(numbers)
    return f"{'no lower bound' if low is None else low} to {'no upper bound' if high is None else high} replicas"


def _figures(numbers: Mapping[str, Any], memory: Optional[Mapping[str, Any]]) -> dict[str, Any]:
    if "replicas" in numbers:
        return {"replicas": numbers["replicas"], "scaled": memory is not None}
    low, high = _bounds(numbers)
    return {"min_replicas": 1 if low is None else low, "max_replicas": high, "scaled": memory is not None}
