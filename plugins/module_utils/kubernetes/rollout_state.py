# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How far a rollout is, and why it goes no further. Pure: the server's documents in, figures and sentences out.

When a rollout is done is what C(kubectl rollout status) says,
https://github.com/kubernetes/kubectl/blob/master/pkg/polymorphichelpers/rollout_status.go.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.kinds import shown
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.pod_state import PodState, Problem, Times, state_of
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.workload import condition, replicas_of

ROLLED_OUT = ("deployment", "statefulset", "daemonset")
REVISION = "deployment.kubernetes.io/revision"
# At the end of a wait, what is still on its way is what holds the rollout up.
_TIMES = Times(starting_after=0)
# So many different problems are told in a reason.
_MOST = 3


@dataclass(frozen=True)
class Rollout:
    """The state of a workload's newest change. Counts are pods; None where nobody knows."""

    kind: str
    namespace: str
    name: str
    done: bool
    # Why it is not done and waiting does not help, or did not; None while it goes on, and when it is done.
    reason: Optional[str]
    # Whether waiting longer cannot help.
    stuck: bool = False
    # Whether that is because it made no progress for too long.
    late: bool = False
    observed: bool = False
    paused: bool = False
    revision: Optional[str] = None
    desired: Optional[int] = None
    updated: Optional[int] = None
    ready: Optional[int] = None
    available: Optional[int] = None
    old: Optional[int] = None
    problems: tuple[Mapping[str, Any], ...] = ()

    @property
    def shown(self) -> str:
        """How messages name the workload."""
        return shown(self.kind, self.namespace, self.name)

    @property
    def line(self) -> str:
        """How far it is, as one line for people: C(2 of 3 updated, 1 available)."""
        if self.desired is None:
            return "not known yet"
        if not self.observed:
            return "waiting for the controller to see the change"
        serving = f"{self.ready} ready" if self.available is None else f"{self.available} available"
        old = f", {self.old} old" if self.old else ""
        return f"{self.updated} of {self.desired} updated, {serving}{old}{', paused' if self.paused else ''}"

    def facts(self) -> dict[str, Any]:
        """The same for a module's result."""
        return {
            "done": self.done,
            "reason": self.reason,
            "line": self.line,
            "observed": self.observed,
            "paused": self.paused,
            "revision": self.revision,
            "desired": self.desired,
            "updated": self.updated,
            "ready": self.ready,
            "available": self.available,
            "old": self.old,
            "problems": [dict(each) for each in self.problems],
        }


def rollout_of(kind: str, workload: Mapping[str, Any]) -> Rollout:
    """The state of a Deployment, StatefulSet or DaemonSet from its own document, without the pods' problems."""
    metadata, spec, status = workload["metadata"], workload.get("spec") or {}, workload.get("status") or {}
    seen = int(status.get("observedGeneration") or 0)
    # A StatefulSet that no controller has looked at has no generation there.
    observed = seen > 0 and seen >= int(metadata.get("generation") or 0)
    base = Rollout(kind, metadata.get("namespace") or "default", metadata["name"], False, None, observed=observed)
    if kind == "deployment":
        return _deployment(replace(base, revision=(metadata.get("annotations") or {}).get(REVISION)), spec, status)
    return (_statefulset if kind == "statefulset" else _daemonset)(base, spec, status)


def _count(status: Mapping[str, Any], name: str) -> int:
    # The API leaves out what is 0.
    return int(status.get(name) or 0)


def _deployment(base: Rollout, spec: Mapping[str, Any], status: Mapping[str, Any]) -> Rollout:
    desired, updated = replicas_of({"spec": spec}), _count(status, "updatedReplicas")
    available, total = _count(status, "availableReplicas"), _count(status, "replicas")
    paused = spec.get("paused") is True
    done = base.observed and updated >= desired and total <= updated and available >= updated
    progressing = condition(status, "Progressing") or {}
    found = replace(
        base,
        done=done,
        paused=paused,
        desired=desired,
        updated=updated,
        ready=_count(status, "readyReplicas"),
        available=available,
        old=max(0, total - updated),
    )
    if done:
        return found
    if paused:
        return replace(found, stuck=True, reason="it is paused, so that changes are not rolled out; resume it")
    if base.observed and progressing.get("reason") == "ProgressDeadlineExceeded":
        limit = spec.get("progressDeadlineSeconds", 600)
        return replace(
            found, stuck=True, late=True, reason=f"it made no progress for {limit} seconds (progressDeadlineSeconds)"
        )
    return found


def _statefulset(base: Rollout, spec: Mapping[str, Any], status: Mapping[str, Any]) -> Rollout:
    desired, ready = replicas_of({"spec": spec}), _count(status, "readyReplicas")
    strategy = spec.get("updateStrategy") or {}
    partition = int((strategy.get("rollingUpdate") or {}).get("partition") or 0)
    same = status.get("updateRevision") == status.get("currentRevision")
    updated = _count(status, "replicas") if same else _count(status, "updatedReplicas")
    due = max(0, desired - partition)
    # Nothing but a rolling update makes the new revision the current one.
    by_count = partition or strategy.get("type") == "OnDelete"
    done = base.observed and not ready < desired and (updated >= due if by_count else same)
    found = replace(
        base,
        done=done,
        revision=status.get("updateRevision"),
        desired=desired,
        updated=updated,
        ready=ready,
        available=status.get("availableReplicas"),
        old=max(0, _count(status, "replicas") - updated),
    )
    return _by_hand(found, strategy) if base.observed and not same and updated < due else found


def _daemonset(base: Rollout, spec: Mapping[str, Any], status: Mapping[str, Any]) -> Rollout:
    desired, updated = _count(status, "desiredNumberScheduled"), _count(status, "updatedNumberScheduled")
    available = _count(status, "numberAvailable")
    done = base.observed and updated >= desired and available >= desired
    found = replace(
        base,
        done=done,
        desired=desired,
        updated=updated,
        ready=_count(status, "numberReady"),
        available=available,
        old=max(0, _count(status, "currentNumberScheduled") - updated),
    )
    return _by_hand(found, spec.get("updateStrategy") or {}) if base.observed and updated < desired else found


def _by_hand(found: Rollout, strategy: Mapping[str, Any]) -> Rollout:
    if strategy.get("type") != "OnDelete":
        return found
    reason = "its update strategy is OnDelete: a pod gets the new template only when somebody deletes it"
    return replace(found, stuck=True, reason=reason)


def needs_settling(kind: str, workload: Mapping[str, Any], seconds: float) -> bool:
    """Whether nothing but time tells that the pods go on running: no probe, and no minReadySeconds."""
    spec = workload.get("spec") or {}
    if int(spec.get("minReadySeconds") or 0) >= seconds or (kind != "daemonset" and not replicas_of(workload)):
        return False
    containers = ((spec.get("template") or {}).get("spec") or {}).get("containers") or ()
    return not all(each.get("readinessProbe") for each in containers)


def restarts_of(pods: Iterable[Mapping[str, Any]]) -> dict[str, int]:
    """How often containers of each pod were started again."""
    return {
        str(pod["metadata"].get("uid") or pod["metadata"]["name"]): sum(
            int(each.get("restartCount") or 0) for each in (pod.get("status") or {}).get("containerStatuses") or ()
        )
        for pod in pods
    }


def restarted_since(before: Mapping[str, int], pods: Iterable[Mapping[str, Any]]) -> int:
    """Of how many pods, new ones among them, a container was started again since."""
    return sum(count > before.get(pod, 0) for pod, count in restarts_of(pods).items())


def explained(
    rollout: Rollout,
    workload: Mapping[str, Any],
    pods: Iterable[Mapping[str, Any]],
    *,
    now: datetime,
    newest: Optional[str] = None,
    events: Iterable[Mapping[str, Any]] = (),
) -> Rollout:
    """The rollout with the reason why it is not done.

    Args:
        rollout: What C(rollout_of) says.
        workload: The document that it says it of.
        pods: The workload's pods, of all its revisions.
        now: The current moment.
        newest: The hash in the labels of the newest revision's pods, where it is known.
        events: Those about the workload and its ReplicaSets.

    """
    if rollout.done:
        return rollout
    found = [(pod, state_of(pod, now=now, times=_TIMES)) for pod in pods]
    troubled = [(pod, state) for pod, state in found if state.problem is not None]
    of_newest = [(pod, state) for pod, state in troubled if newest and _hash(pod) == newest]
    # What holds the change up are the new pods; the old ones may have troubles of their own.
    told = of_newest or troubled
    problems = tuple(_problem(state.name, state.problem) for _name, state in told if state.problem)
    reasons = [
        rollout.reason,
        _not_created(workload.get("status") or {}, events),
        _in_words([state for _name, state in told]),
    ]
    reason = "; ".join(each for each in reasons if each) or _nothing_known(rollout)
    return replace(rollout, reason=reason, problems=problems)


def _hash(pod: Mapping[str, Any]) -> Optional[str]:
    labels = (pod.get("metadata") or {}).get("labels") or {}
    found: Optional[str] = labels.get("pod-template-hash") or labels.get("controller-revision-hash")
    return found


def _problem(pod: str, problem: Problem) -> dict[str, Any]:
    return {
        "pod": pod,
        "container": problem.container,
        "reason": problem.reason,
        "detail": problem.detail,
    }


def _not_created(status: Mapping[str, Any], events: Iterable[Mapping[str, Any]]) -> Optional[str]:
    """Why pods are not even made, such as a quota."""
    failure = condition(status, "ReplicaFailure")
    if failure is not None and failure.get("status") == "True":
        return f"pods cannot be created: {_sentence(failure.get('message'))}"
    failed = [each for each in events if each.get("reason") == "FailedCreate"]
    if failed:
        return f"pods cannot be created: {_sentence(failed[-1].get('message'))}"
    return None


def _in_words(states: Iterable[PodState]) -> Optional[str]:
    """Equal problems once: C(2 pods, such as web-1: CrashLoopBackOff, it ended with exit code 1)."""
    names: dict[tuple[str, str, str], str] = {}
    counts: Counter[tuple[str, str, str]] = Counter()
    for state in states:
        if state.problem is None:
            continue
        key = (state.problem.container or "", state.problem.reason, _sentence(state.problem.detail))
        counts[key] += 1
        names.setdefault(key, state.name)
    told = []
    for key, count in counts.most_common(_MOST):
        container, reason, detail = key
        who = f"pod {names[key]}" if count == 1 else f"{count} pods, such as {names[key]}"
        where = f", container {container}" if container else ""
        told.append(f"{who}{where}: {reason}{f' ({detail})' if detail else ''}")
    return "; ".join(told) or None


def _sentence(text: Any) -> str:
    return " ".join(str(text or "").split()).rstrip(".")


def _nothing_known(rollout: Rollout) -> str:
    if not rollout.observed:
        return "the controller has not looked at the change; look at kube-controller-manager"
    if rollout.old and (rollout.updated or 0) >= (rollout.desired or 0):
        return f"{rollout.old} old pods have not ended yet"
    if (rollout.updated or 0) < (rollout.desired or 0):
        return "not all pods have been replaced yet, and none of them has a problem"
    return "pods are not available yet, and none of them has a problem"
