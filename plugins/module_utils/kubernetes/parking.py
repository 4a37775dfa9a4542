# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What parking a workload takes, and bringing it back in stages. Pure: the server's documents in, patches out.

The memory is written by the same patch that stops the workload, and goes away when everything is back. So there is no
moment at which a workload is stopped and nobody knows what it was.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption
from ansible_collections.runbook.ops.plugins.module_utils.common.outcome import Refusal
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.autoscaler_limits import limited, released
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.memory import PARKED, memory_of, remembered
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.scaling import (
    HPA,
    Autoscaler,
    Document,
    Step,
    Target,
    counted,
    merge_patch,
)
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.workload import replicas_of

PARK = "park"
UNPARK = "unpark"
_GRACE = "terminationGracePeriodSeconds"


@dataclass(frozen=True)
class Stage:
    """How much of what was remembered comes back: a number of replicas, or a share of them in percent."""

    replicas: int = 0
    percent: int = 0

    @property
    def is_last(self) -> bool:
        """Whether everything is to be as it was; a number of replicas never says that."""
        return self.percent == 100

    def of(self, whole: int) -> int:
        """So many of a number; of any at least one, because none would be no stage."""
        return min(whole, self.replicas or max(1, math.ceil(whole * self.percent / 100)))


def stage_of(text: str) -> Stage:
    """Read C(1) or C(50%); raises InvalidOption."""
    found = re.fullmatch(r"([1-9]\d{0,5})(%?)", str(text).strip())
    if not found or (found[2] and int(found[1]) > 100):
        raise InvalidOption("stage", text, "a number of replicas such as 1, or a share of 1% to 100%")
    return Stage(percent=int(found[1])) if found[2] else Stage(replicas=int(found[1]))


@dataclass(frozen=True)
class Writer:
    """A workload with what scales it, as it is on the server."""

    target: Target
    document: Document
    autoscalers: tuple[Autoscaler, ...] = ()

    @property
    def is_cronjob(self) -> bool:
        """Whether it starts jobs instead of keeping pods."""
        return self.target.kind == "cronjob"

    @property
    def memory(self) -> Optional[dict[str, Any]]:
        """What it was before it was parked."""
        return memory_of(self.document, PARKED, numbers=() if self.is_cronjob else ("replicas",))

    @property
    def replicas(self) -> int:
        """How many pods are asked for."""
        return replicas_of(self.document)

    @property
    def is_suspended(self) -> bool:
        """Of a CronJob, whether it starts none."""
        return bool((self.document.get("spec") or {}).get("suspend"))

    @property
    def is_stopped(self) -> bool:
        """Whether nothing more is started."""
        return self.is_suspended if self.is_cronjob else self.replicas == 0

    def figures(self) -> dict[str, Any]:
        """As results show it."""
        return _figures(self, self.memory, stopped=self.is_suspended, replicas=self.replicas)

    def all_figures(self) -> dict[str, dict[str, Any]]:
        """The same with its autoscalers."""
        return {self.target.key: self.figures(), **{each.key: each.figures() for each in self.autoscalers}}


def _figures(
    writer: Writer, memory: Optional[Mapping[str, Any]], *, stopped: bool = False, replicas: int = 0
) -> dict[str, Any]:
    if writer.is_cronjob:
        was = {"remembered_suspend": (memory or {}).get("suspend")}
        return {"suspend": stopped, **was, "parked": memory is not None}
    return {
        "replicas": replicas,
        "remembered_replicas": (memory or {}).get("replicas"),
        "parked": memory is not None,
    }


@dataclass(frozen=True)
class Plan:
    """The patches in their order; C(ending) is the one that forgets, once the pods are seen to be ready."""

    steps: tuple[Step, ...] = ()
    ending: Optional[Step] = None
    refusal: Optional[Refusal] = None
    note: str = ""

    @property
    def shown(self) -> tuple[Step, ...]:
        """The steps that are told: forgetting is part of bringing back, unless there is nothing else of it."""
        if self.ending is None or any(each.key == self.ending.key for each in self.steps):
            return self.steps
        return (*self.steps, self.ending)

    @property
    def figures(self) -> dict[str, Document]:
        """What the objects are like afterwards."""
        steps = [*self.steps, *([self.ending] if self.ending else [])]
        return {each.key: each.figures for each in steps}


def plan_park(writer: Writer, now: str, purpose: str = "") -> Plan:
    """Stop a workload. One that remembers something already keeps that, whatever it runs now.

    Args:
        writer: What it is now.
        now: The moment, for what is remembered.
        purpose: For what it is stopped; who stopped it first keeps it.

    """
    known = writer.memory
    if writer.is_stopped and known is not None:
        return Plan(tuple(_paused(writer, now)))
    if known is not None and purpose and _is_of_another(known, purpose):
        return Plan(refusal=_coming_back(writer))
    why = {"purpose": purpose} if purpose else {}
    if writer.is_cronjob:
        memory = known or {"at": now, "suspend": writer.is_suspended, **why}
        was = "suspended" if writer.is_suspended else "active"
        annotations = None if known else remembered(PARKED, memory)
        patch = merge_patch(writer.document, spec={"suspend": True}, annotations=annotations)
        figures = _figures(writer, memory, stopped=True)
        return Plan((Step(PARK, "cronjob", writer.target.name, patch, was, "suspended", figures),))
    # More than what is remembered is no stage of coming back: somebody has asked for it since.
    memory = known or {"at": now, "replicas": 0, **why}
    memory = {**memory, "replicas": max(writer.replicas, memory["replicas"])}
    annotations = None if memory == known else remembered(PARKED, memory)
    patch = merge_patch(writer.document, spec={"replicas": 0}, annotations=annotations)
    step = Step(
        PARK, *_names(writer), patch, counted(writer.replicas), counted(0), _figures(writer, memory, replicas=0)
    )
    grace = (((writer.document.get("spec") or {}).get("template") or {}).get("spec") or {}).get(_GRACE)
    note = (
        f"{writer.target.key}: what its pods do is cut off after {30 if grace is None else grace} seconds ({_GRACE})."
    )
    if writer.replicas == 0:
        note = f"{writer.target.key} had no replicas before it was parked, and gets none when it is brought back."
    # The autoscaler first: it must not start again what has just been stopped.
    return Plan((*_paused(writer, now), step), note=note)


def _is_of_another(memory: Mapping[str, Any], purpose: str) -> bool:
    return str(memory.get("purpose") or "") != purpose


def _coming_back(writer: Writer) -> Refusal:
    """It has a part of what it had, and stopping it for something else would forget how far it had come."""
    namespace = str(writer.document["metadata"].get("namespace") or "")
    return Refusal(
        writer.target.shown(namespace),
        "it was parked for something else, and is on its way back in stages",
        "Bring it back to its end, or park it again, with k8s_park and without purpose; then run this again.",
    )


def _paused(writer: Writer, now: str) -> list[Step]:
    """An ordinary HorizontalPodAutoscaler is off while its workload has no replicas; others are told to be."""
    return [step for each in writer.autoscalers if each.kind != HPA or each.low == 0 for step in limited(each, 0, now)]


def plan_unpark(
    writer: Writer, stage: Stage, now: str, *, named: Optional[int] = None, waits: bool = True, purpose: str = ""
) -> Plan:
    """Bring a workload back, as far as a stage goes. Nothing is ever made less by it.

    Args:
        writer: What it is now.
        stage: How much of what was remembered.
        now: The moment, for what is remembered.
        named: The number for a workload without replicas that remembers none.
        waits: Whether the pods are waited for before the memory goes.
        purpose: Only what was parked for this comes back, if it is given.

    """
    if purpose and writer.is_stopped and (writer.memory is None or _is_of_another(writer.memory, purpose)):
        return Plan(note=f"{writer.target.key} stays as it is: it was stopped before, for something else.")
    if writer.is_cronjob:
        return _resume(writer, stage)
    memory = writer.memory
    if memory is None and writer.replicas:
        # It was never parked, or a run was killed when it had only paused the autoscaler.
        return Plan(tuple(step for each in writer.autoscalers for step in released(each)))
    if named and not writer.replicas and not (memory or {}).get("replicas"):
        memory = {"at": now, **(memory or {}), "replicas": named}
    if memory is None:
        return Plan(refusal=_forgotten(writer))
    whole = memory["replicas"]
    wanted = max(writer.replicas, stage.of(whole))
    steps: list[Step] = []
    for each in writer.autoscalers:
        if stage.is_last:
            steps += released(each)
        elif wanted:
            steps += limited(each, wanted, now)
    forgets = stage.is_last and not waits
    scales = wanted != writer.replicas
    if scales or forgets:
        # The memory stays until the pods are there.
        annotations = remembered(PARKED, None if forgets else memory) if forgets or memory != writer.memory else {}
        patch = merge_patch(writer.document, spec={"replicas": wanted} if scales else None, annotations=annotations)
        figures = _figures(writer, None if stage.is_last else memory, replicas=wanted)
        steps.append(Step(UNPARK, *_names(writer), patch, counted(writer.replicas), _of(wanted, whole), figures))
    ending = None if forgets or not stage.is_last else plan_ending(writer, wanted)
    return Plan(tuple(steps), ending)


def plan_ending(writer: Writer, replicas: int) -> Step:
    """What was remembered is not needed any more."""
    patch = merge_patch(writer.document, annotations=remembered(PARKED, None))
    figures = _figures(writer, None, replicas=replicas)
    return Step(UNPARK, *_names(writer), patch, f"{counted(replicas)}, parked", counted(replicas), figures)


def _resume(writer: Writer, stage: Stage) -> Plan:
    """A CronJob has no share: it starts jobs again with the last stage."""
    memory = writer.memory
    if memory is None:
        return Plan(refusal=_forgotten(writer)) if writer.is_suspended else Plan()
    if not stage.is_last:
        return Plan()
    suspend = bool(memory.get("suspend"))
    patch = merge_patch(writer.document, spec={"suspend": suspend}, annotations=remembered(PARKED, None))
    becomes = "suspended" if suspend else "active"
    was = "suspended" if writer.is_suspended else "active"
    figures = _figures(writer, None, stopped=suspend)
    return Plan(
        (Step(UNPARK, "cronjob", writer.target.name, patch, was, becomes, figures),),
        note="" if suspend or not writer.is_suspended else _missed(writer),
    )


def _missed(writer: Writer) -> str:
    """https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/#schedule-suspension."""
    deadline = (writer.document.get("spec") or {}).get("startingDeadlineSeconds")
    within = "while it was suspended" if deadline is None else f"in the last {deadline} seconds"
    return f"{writer.target.key}: Kubernetes starts a job at once if one was due {within} (startingDeadlineSeconds)."


def _forgotten(writer: Writer) -> Refusal:
    namespace = str(writer.document["metadata"].get("namespace") or "")
    shown = writer.target.shown(namespace)
    if writer.is_cronjob:
        reason = "it is suspended, and was not parked by this module, so that nobody knows whether it should run"
        return Refusal(
            shown, reason, f"Resume it with kubectl patch {writer.target.key} if it should, or leave it out."
        )
    reason = "it has no replicas, and was not parked by this module, so that nobody knows how many it had"
    remedy = f'Say how many with replicas: {{"{writer.target.key}": 3}}, or leave it out.'
    return Refusal(shown, reason, remedy)


def _names(writer: Writer) -> tuple[str, str]:
    return writer.target.kind, writer.target.name


def _of(wanted: int, whole: int) -> str:
    return counted(wanted) if wanted >= whole else f"{wanted} of {counted(whole)}"
