# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is wrong with a pod, in Kubernetes' own words. Pure: the server's document in, at most one problem out.

C(Running) says nothing: a pod that runs may serve nobody, and one that does not may have done its work. What counts is
the condition C(Ready), why a container waits, how its last run ended, and when.
https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/ has the fields.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.moments import age_seconds as _age
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.pod_words import (
    Ending,
    describe_probe,
    describe_waiting,
    duration,
    shortened,
)
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.workload import condition as _condition

# A container in these states is on its way; they are a problem only when they last.
_ON_THE_WAY = frozenset({"ContainerCreating", "PodInitializing", ""})
# What stands for a text that only events have.
UNTOLD = "its events say what it waits for"
_READINESS_GATES = "ReadinessGatesNotReady"
_OUT_OF_MEMORY = "OOMKilled"


@dataclass(frozen=True)
class Times:
    """From when on a state that passes by itself as a rule is a problem, in seconds."""

    restart_window: float = 3600
    starting_after: float = 300
    unschedulable_after: float = 0
    not_ready_after: float = 0
    terminating_after: float = 60


@dataclass(frozen=True)
class Problem:
    """What is wrong: Kubernetes' word for it, and a sentence with what is known about it; never a value of a key."""

    reason: str
    detail: str
    container: Optional[str] = None
    exit_code: Optional[int] = None
    signal: Optional[str] = None
    since_seconds: Optional[int] = None


@dataclass(frozen=True)
class PodState:
    """A pod as it is. C(restarts) counts its whole life, C(restarted_seconds) is how long ago the last one was."""

    name: str
    phase: str
    # None where the server does not say.
    ready: Optional[bool]
    # Its work is done, as that of a Job's pod.
    completed: bool
    restarts: int
    problem: Optional[Problem]
    restarted_seconds: Optional[int] = None
    # How that last run ended.
    last_ending: Optional[Ending] = None


@dataclass(frozen=True)
class _Container:
    """One container: what its spec and its status say."""

    name: str
    spec: Mapping[str, Any]
    status: Mapping[str, Any]
    # It must end before the next one starts; a sidecar among the init containers runs along.
    is_init: bool
    in_init: bool = False

    @property
    def is_sidecar(self) -> bool:
        """Whether it runs along from among the init containers, and is ended when the others are done."""
        return self.in_init and not self.is_init

    @property
    def shown(self) -> str:
        return f"{'init container' if self.is_init else 'container'} {self.name}"

    def state(self, name: str) -> Optional[Mapping[str, Any]]:
        return (self.status.get("state") or {}).get(name)

    @property
    def last(self) -> Optional[Ending]:
        return Ending.of((self.status.get("lastState") or {}).get("terminated"))

    @property
    def restarts(self) -> int:
        return int(self.status.get("restartCount") or 0)


def state_of(pod: Mapping[str, Any], *, now: dt.datetime, times: Optional[Times] = None) -> PodState:
    """A pod's state and the one problem that explains most.

    Args:
        pod: The server's document.
        now: The moment from which ages count, aware.
        times: From when on passing states are problems.

    """
    times = times or Times()
    status = pod.get("status") or {}
    phase = str(status.get("phase") or "Unknown")
    containers = list(_containers(pod))
    endings = [each.last for each in containers if each.last is not None and each.restarts]
    last = max(endings, key=lambda ending: ending.finished_at or "", default=None)
    age = None if last is None else _age(last.finished_at, now)
    return PodState(
        name=str(pod["metadata"]["name"]),
        phase=phase,
        ready=_is_ready(status),
        completed=phase == "Succeeded",
        restarts=sum(each.restarts for each in containers),
        problem=_Look(pod, containers, now, times).problem(phase),
        restarted_seconds=age,
        last_ending=last,
    )


def _is_ready(status: Mapping[str, Any]) -> Optional[bool]:
    condition = _condition(status, "Ready")
    if condition is None or condition.get("status") not in ("True", "False"):
        return None
    return bool(condition["status"] == "True")


def _containers(pod: Mapping[str, Any]) -> Iterator[_Container]:
    """Those of the spec, init containers first, as they start."""
    spec, status = pod.get("spec") or {}, pod.get("status") or {}
    for in_spec, in_status in (("initContainers", "initContainerStatuses"), ("containers", "containerStatuses")):
        known = {each["name"]: each for each in status.get(in_status) or ()}
        for each in spec.get(in_spec) or ():
            in_init = in_spec == "initContainers"
            is_init = in_init and each.get("restartPolicy") != "Always"
            yield _Container(each["name"], each, known.get(each["name"]) or {}, is_init, in_init)


class _Look:
    """Asks one question after the other; the first answer explains most."""

    def __init__(self, pod: Mapping[str, Any], containers: list[_Container], now: dt.datetime, times: Times) -> None:
        self._metadata = pod["metadata"]
        self._spec = pod.get("spec") or {}
        self._status = pod.get("status") or {}
        self._containers = containers
        self._now = now
        self._times = times

    def problem(self, phase: str) -> Optional[Problem]:
        if self._metadata.get("deletionTimestamp"):
            return self._terminating()
        if phase == "Succeeded":
            return None
        if phase == "Failed":
            return self._failed()
        if phase == "Unknown" or self._status.get("reason") == "NodeLost":
            return self._lost()
        waiting = [found for found in map(self._blocked, self._containers) if found is not None]
        return (
            next(iter(waiting), None)
            or self._unscheduled()
            or self._slow_start()
            or self._not_taken()
            or self._not_ready()
            or self._was_out_of_memory()
        )

    # --- of the whole pod
    def _terminating(self) -> Optional[Problem]:
        # The moment is that at which the grace period ends.
        late = _age(self._metadata["deletionTimestamp"], self._now)
        if late is not None and late <= self._times.terminating_after:
            return None
        finalizers = self._metadata.get("finalizers") or ()
        held = f"; the finalizers {', '.join(finalizers)} hold it" if finalizers else ""
        node = f" Its node {self._spec['nodeName']} does not confirm it." if self._spec.get("nodeName") else ""
        since = "" if late is None else f" and should have been gone {duration(late)} ago"
        return Problem("Terminating", f"it is being deleted{since}{held}.{node}", since_seconds=late)

    def _failed(self) -> Problem:
        since = _age((_condition(self._status, "Ready") or {}).get("lastTransitionTime"), self._now)
        ended = [(each, Ending.of(each.state("terminated"))) for each in self._containers]
        bad = [(each, ending) for each, ending in ended if ending is not None and ending.exit_code != 0]
        # Sidecars are ended when all is over; how they took that is no reason.
        bad.sort(key=lambda found: found[0].is_sidecar)
        container, ending = bad[0] if bad else (None, None)
        code = ending.exit_code if ending else None
        signal = ending.signal if ending else None
        if self._status.get("reason"):
            text = shortened(self._status.get("message")) or "no more is said"
            name = container.name if container else None
            return Problem(str(self._status["reason"]), text, name, code, signal, since)
        if container is None or ending is None:
            return Problem("Failed", shortened(self._status.get("message")) or "no reason is given", None, None, None)
        since = _age(ending.finished_at, self._now) if since is None else since
        return Problem(
            ending.reason or "Error", f"{container.shown} {ending.words}", container.name, code, signal, since
        )

    def _lost(self) -> Problem:
        node = self._spec.get("nodeName")
        text = shortened(self._status.get("message")) or f"its node {node or ''} does not report".replace("  ", " ")
        return Problem(str(self._status.get("reason") or "Unknown"), text)

    def _unscheduled(self) -> Optional[Problem]:
        condition = _condition(self._status, "PodScheduled")
        if condition is None or condition.get("status") != "False":
            return None
        since = self._since(condition)
        if since is not None and since < self._times.unschedulable_after:
            return None
        text = shortened(condition.get("message")) or "no node takes it"
        return Problem(str(condition.get("reason") or "Unschedulable"), text, since_seconds=since)

    def _slow_start(self) -> Optional[Problem]:
        """Something that is on its way, and has been for long."""
        age = self._waited()
        if age is not None and age < self._times.starting_after:
            return None
        for each in self._containers:
            waiting = each.state("waiting")
            if each.is_init and each.state("running") is not None:
                since = _age((each.state("running") or {}).get("startedAt"), self._now)
                if since is not None and since < self._times.starting_after:
                    return None
                shown = duration(since) if since is not None else "long"
                return Problem("PodInitializing", f"{each.shown} has run for {shown}", each.name, since_seconds=since)
            if each.is_sidecar and each.state("running") is not None and each.status.get("started") is False:
                text = f"{each.shown} {describe_probe(each.spec, each.status)}"
                return Problem("PodInitializing", text, each.name, since_seconds=age)
            if waiting is not None and str(waiting.get("reason") or "") in _ON_THE_WAY:
                reason = str(waiting.get("reason") or "ContainerCreating")
                shown = duration(age) if age is not None else "long"
                text = shortened(waiting.get("message")) or UNTOLD
                return Problem(reason, f"{each.shown} has waited for {shown}: {text}", each.name, since_seconds=age)
        return None

    def _waited(self) -> Optional[int]:
        """For how long its containers are on their way: those of a node that was started again have come anew."""
        ready = _condition(self._status, "Ready") or {}
        moments = [self._status.get("startTime") or self._metadata.get("creationTimestamp")]
        if ready.get("status") == "False":
            moments.append(ready.get("lastTransitionTime"))
        ages = [_age(moment, self._now) for moment in moments]
        return min((age for age in ages if age is not None), default=None)

    def _not_taken(self) -> Optional[Problem]:
        """Nobody says anything about it: neither a scheduler nor a kubelet."""
        placed = _condition(self._status, "PodScheduled") or {}
        is_told = placed.get("status") == "False" or any(each.status for each in self._containers)
        age = self._since(placed)
        if self._status.get("phase") != "Pending" or is_told or (age is not None and age < self._times.starting_after):
            return None
        node = self._spec.get("nodeName")
        who = f"the kubelet of node {node}" if node else f"scheduler {self._spec.get('schedulerName') or ''}".strip()
        return Problem("Pending", f"{who} has not taken it; look whether it runs", since_seconds=age)

    def _not_ready(self) -> Optional[Problem]:
        condition = _condition(self._status, "Ready")
        is_said = condition is not None and condition.get("status") in ("False", "Unknown")
        behind = next((each for each in self._containers if not each.is_init and self._is_behind(each)), None)
        if not (is_said or (condition is None and behind is not None)):
            return None
        if (
            any(each.state("waiting") is not None for each in self._containers)
            or self._status.get("phase") == "Pending"
        ):
            # On its way; what takes too long is told already.
            return None
        since = self._since(condition) if condition is not None else None
        if since is not None and since < self._times.not_ready_after:
            return None
        if condition is not None and condition.get("reason") == _READINESS_GATES:
            text = shortened(condition.get("message")) or "a readiness gate is not met"
            return Problem("NotReady", text, since_seconds=since)
        if behind is None:
            node = self._spec.get("nodeName")
            text = shortened((condition or {}).get("message")) or f"its containers are; its node {node} may be gone"
            return Problem("NotReady", text, since_seconds=since)
        return Problem(
            "NotReady", f"{behind.shown} {describe_probe(behind.spec, behind.status)}", behind.name, None, None, since
        )

    def _since(self, condition: Mapping[str, Any]) -> Optional[int]:
        moment = condition.get("lastTransitionTime") or self._metadata.get("creationTimestamp")
        return _age(moment, self._now)

    @staticmethod
    def _is_behind(container: _Container) -> bool:
        return container.status.get("ready") is False and container.state("terminated") is None

    def _was_out_of_memory(self) -> Optional[Problem]:
        """It runs again; why it was ended does not go away by that."""
        for each in self._containers:
            ending = each.last
            if ending is None or ending.reason != _OUT_OF_MEMORY:
                continue
            age = _age(ending.finished_at, self._now)
            if age is not None and age > self._times.restart_window:
                continue
            when = f" {duration(age)} ago" if age is not None else ""
            text = f"{each.shown} was ended for want of memory{when}{_limit(each)} and runs again"
            return Problem(_OUT_OF_MEMORY, text, each.name, ending.exit_code, ending.signal, age)
        return None

    # --- of one container
    def _blocked(self, container: _Container) -> Optional[Problem]:
        """A container that waits for a reason that is no passing one, or that has ended and must not."""
        waiting = container.state("waiting")
        if waiting is not None:
            reason = str(waiting.get("reason") or "")
            if reason in _ON_THE_WAY:
                return None
            return self._waiting(container, reason, waiting)
        ending = Ending.of(container.state("terminated"))
        if ending is None or not self._must_not_end(container, ending):
            return None
        since = _age(ending.finished_at, self._now)
        limit = _limit(container) if ending.reason == _OUT_OF_MEMORY else ""
        reason = ending.reason or "Error"
        return Problem(
            reason, f"{container.shown} {ending.words}{limit}", container.name, ending.exit_code, ending.signal, since
        )

    def _must_not_end(self, container: _Container, ending: Ending) -> bool:
        if container.is_sidecar and self._is_done:
            return False
        if ending.exit_code != 0:
            return True
        # Done as it should be, where nobody starts it again.
        policy = container.spec.get("restartPolicy") or self._spec.get("restartPolicy") or "Always"
        return not container.is_init and policy == "Always"

    @property
    def _is_done(self) -> bool:
        """Whether all containers that have work to do have ended, so that the sidecars are ended, too."""
        states = [each.state("terminated") for each in self._containers if not each.in_init]
        return self._spec.get("restartPolicy") in ("Never", "OnFailure") and all(states)

    def _waiting(self, container: _Container, reason: str, waiting: Mapping[str, Any]) -> Problem:
        ending = container.last
        if reason == "CrashLoopBackOff":
            since = _age(ending.finished_at, self._now) if ending else None
            words = ending.words if ending else "ends again and again"
            text = f"{container.shown} {words}"
            if ending is not None and ending.reason == _OUT_OF_MEMORY:
                # The loop is what follows; the memory is what to look at.
                reason, text = _OUT_OF_MEMORY, f"{text}{_limit(container)}"
            text = f"{text}, restarted {container.restarts} times" if container.restarts else text
            code, signal = (ending.exit_code, ending.signal) if ending else (None, None)
            return Problem(reason, text, container.name, code, signal, since)
        image = str(container.spec.get("image") or container.status.get("image") or "")
        text = f"{container.shown}: {describe_waiting(reason, image, waiting.get('message'))}"
        code, signal = (ending.exit_code, ending.signal) if ending else (None, None)
        since = _age(self._status.get("startTime") or self._metadata.get("creationTimestamp"), self._now)
        return Problem(reason, text, container.name, code, signal, since)


def _limit(container: _Container) -> str:
    limit = ((container.spec.get("resources") or {}).get("limits") or {}).get("memory")
    return f" (limit {limit})" if limit else " (it has no limit of its own)"
