# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Waits for a rollout with one request a look, and says why it is stuck when it is."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.common.clock import utc_now
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.client import Cluster
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.errors import ClusterError
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.rollout_hopeless import (
    Patience,
    trouble_of,
)
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.rollout_state import (
    REVISION,
    Rollout,
    explained,
    needs_settling,
    restarted_since,
    restarts_of,
    rollout_of,
)
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.workload import selector_of

# What may be over in a moment; everything else, such as a missing right, stays.
PASSING = frozenset({"busy", "conflict", "timeout", "interrupted", "down", "gone"})
# So long nothing has to move before the pods are looked at for a reason.
_EXPLAIN_AFTER_SECONDS = 5.0


def wait_for_rollout(
    cluster: Cluster,
    kind: str,
    namespace: str,
    name: str,
    *,
    timeout: float,
    sleep: float,
    settle: float = 0,
    give_up_after: float = 0,
    progress: Callable[[str], None] | None = None,
    pause: Callable[[float], None] = time.sleep,
) -> Rollout:
    """Wait until a workload's newest change is rolled out, cannot be, or the time is over.

    Nothing is raised for a rollout that is stuck: C(done) is false then, and C(reason) says why. An API server that
    is busy or silent is asked again until the time is over, and is the reason then. A request that hangs ends with the
    wait, or by the cluster's own timeouts.

    Pods without a readiness probe are ready as soon as they run, and may crash a moment later. With C(settle) a rollout
    is done only when it stayed done for so long, and no container of it was started again meanwhile.

    Args:
        cluster: Where.
        kind: C(deployment), C(statefulset) or C(daemonset).
        namespace: The workload's namespace.
        name: The workload's name.
        timeout: Seconds to wait; with 0 there is one look.
        sleep: Seconds between two looks.
        settle: Seconds, beyond the timeout if need be; nothing is watched where the pods' probes or minReadySeconds do.
        give_up_after: Seconds for which the same new pod may have the same trouble that does not heal by itself, such
            as an image that cannot be pulled or a container that crashes; 0 for as long as the timeout lets it.
        progress: Gets a line whenever it differs from the one before; what it raises ends the waiting.
        pause: Spends the seconds between two looks; what it raises ends the waiting, too.

    """
    patience = Patience(give_up_after)
    wait = _Wait(cluster, kind, namespace, name, progress, pause, settle=settle, patience=patience)
    return wait.run(timeout, sleep)


def explain_rollout(cluster: Cluster, kind: str, workload: Mapping[str, Any], rollout: Rollout) -> Rollout:
    """The rollout with its reason from pods, ReplicaSets and events, as far as these may be read.

    Raises:
        ClusterError: the pods cannot be listed.

    """
    if rollout.done:
        return rollout
    seen = _see(cluster, kind, workload, rollout)
    return explained(rollout, workload, seen.pods, now=utc_now(), newest=seen.newest, events=seen.events)


@dataclass(frozen=True)
class _Seen:
    """A workload's pods of all revisions, the hash of the newest one where it is known, and events about it."""

    pods: Sequence[Mapping[str, Any]]
    newest: Optional[str]
    events: Sequence[Mapping[str, Any]]


def _see(cluster: Cluster, kind: str, workload: Mapping[str, Any], rollout: Rollout) -> _Seen:
    namespace, selector = rollout.namespace, selector_of(workload)
    pods = list(cluster.list("pod", namespace, label_selector=selector)) if selector else []
    # A StatefulSet's pods carry the whole name of their revision.
    newest = rollout.revision if kind == "statefulset" else None
    events: list[Mapping[str, Any]] = []
    try:
        if kind == "deployment" and pods:
            newest = _newest_hash(cluster, rollout, selector)
        if len(pods) < (rollout.desired or 0):
            field_selector = f"involvedObject.name={rollout.name},reason=FailedCreate"
            events = sorted(cluster.list("event", namespace, field_selector=field_selector), key=_last_seen)
    except ClusterError:
        # They only sharpen the reason.
        pass
    return _Seen(pods, newest, events)


def _newest_hash(cluster: Cluster, rollout: Rollout, selector: str) -> Optional[str]:
    for each in cluster.list("replicaset", rollout.namespace, label_selector=selector):
        metadata = each["metadata"]
        if (metadata.get("annotations") or {}).get(REVISION) == rollout.revision:
            found: Optional[str] = (metadata.get("labels") or {}).get("pod-template-hash")
            return found
    return None


def _last_seen(event: Mapping[str, Any]) -> str:
    return str(event.get("lastTimestamp") or event.get("eventTime") or "")


# A condition of the rollout before may outlive the change for a moment: its controller renews it when a pod moves.
_STALE_SECONDS = 3.0


@dataclass
class _Wait:
    cluster: Cluster
    kind: str
    namespace: str
    name: str
    progress: Optional[Callable[[str], None]]
    sleep: Callable[[float], None]
    clock: Callable[[], float] = time.monotonic
    settle: float = 0
    patience: Patience = field(default_factory=lambda: Patience(0))
    is_hopeless: bool = False
    said: Optional[str] = None
    # Since when it is done, and what the pods' containers had restarted by then.
    done_since: Optional[float] = None
    restarts: Optional[Mapping[str, int]] = None
    until: float = 0
    workload: Optional[Mapping[str, Any]] = None
    last: Rollout = field(init=False)

    def __post_init__(self) -> None:
        self.last = Rollout(self.kind, self.namespace, self.name, False, None)

    def run(self, timeout: float, pause: float) -> Rollout:
        begun = moved = self.clock()
        self.until = begun + timeout
        while True:
            before, trouble = self.last.line, self._look()
            now = self.clock()
            if not self.last.done:
                self.done_since = None
            is_settling = self.last.done and (trouble is not None or self._is_settling(now))
            is_stale = self.last.late and now - begun < min(_STALE_SECONDS, timeout)
            if not is_settling and (self.last.done or (self.last.stuck and not is_stale)):
                return self._ended()
            if self.last.line != before:
                moved = now
            if now >= self.until:
                return self._too_late(trouble)
            if trouble is None and now - moved >= _EXPLAIN_AFTER_SECONDS:
                self._explain()
                moved = now
                if self.is_hopeless:
                    self._say(None)
                    return self.last
            self._say(trouble)
            self.sleep(max(0.0, min(pause, self.until - self.clock())))

    @property
    def _bounded(self) -> Cluster:
        """For requests that must not outlast the wait."""
        return self.cluster.within(self.until - self.clock())

    def _is_settling(self, now: float) -> bool:
        """Whether what is done has to prove itself for longer; it is stuck when its containers crash meanwhile."""
        if self.workload is None or not needs_settling(self.kind, self.workload, self.settle):
            return False
        if self.done_since is None:
            pods = self._pods()
            self.done_since, self.restarts = now, None if pods is None else restarts_of(pods)
            self.until = max(self.until, now + self.settle)
        if now - self.done_since < self.settle:
            return True
        pods = self._pods()
        if self.restarts is None or pods is None:
            # What cannot be seen is not held against it: the workload's own figures say that it is done.
            return False
        crashed = restarted_since(self.restarts, pods)
        if crashed:
            reason = f"containers of {crashed} pods ended within {self.settle:g} seconds after these were ready"
            doubtful = replace(self.last, done=False, stuck=True, reason=reason)
            self.last = explained(doubtful, self.workload, pods, now=utc_now())
        return False

    def _pods(self) -> list[Mapping[str, Any]] | None:
        selector = selector_of(self.workload or {})
        try:
            return list(self._bounded.list("pod", self.namespace, label_selector=selector)) if selector else []
        except ClusterError:
            return None

    def _look(self) -> str | None:
        """Read the workload; what is in the way of that, if it may be over in a moment."""
        try:
            self.workload = self._bounded.read(self.kind, self.namespace, self.name)
        except ClusterError as error:
            if error.kind in PASSING:
                return error.message.rstrip(".")
            self.workload = None
            self.last = replace(self.last, done=False, stuck=True, reason=error.message.rstrip("."))
            return None
        reason, problems = self.last.reason, self.last.problems
        self.last = rollout_of(self.kind, self.workload)
        if not self.last.done and not self.last.stuck:
            # Known from an earlier look at the pods, for the progress line.
            self.last = replace(self.last, reason=reason, problems=problems)
        return None

    def _ended(self) -> Rollout:
        if not self.last.done and self.done_since is None:
            self._explain()
        self._say(None)
        return self.last

    def _too_late(self, trouble: str | None) -> Rollout:
        if trouble is not None:
            self.last = replace(self.last, done=False, reason=trouble)
        else:
            self._explain()
        self._say(None)
        return self.last

    def _explain(self) -> None:
        if self.workload is None:
            return
        fresh = rollout_of(self.kind, self.workload)
        try:
            seen = _see(self._bounded, self.kind, self.workload, fresh)
            now = utc_now()
            self.last = explained(fresh, self.workload, seen.pods, now=now, newest=seen.newest, events=seen.events)
            # Before the controller has seen the change, the newest revision is the one before.
            troubles = trouble_of(seen.pods, seen.newest, now) if fresh.observed else {}
            if self.patience.is_over(troubles, self.clock()) and not fresh.stuck:
                reason = f"{self.last.reason}; it has been so for {self.patience.seconds:g} seconds (give_up_after)"
                self.last, self.is_hopeless = replace(self.last, stuck=True, reason=reason), True
        except ClusterError as error:
            known = f"{fresh.reason}; " if fresh.reason else ""
            self.last = replace(fresh, reason=f"{known}why is not known: {error.message.rstrip('.')}")

    def _say(self, trouble: str | None) -> None:
        why = trouble or (None if self.last.done else self.last.reason)
        line = f"{self.last.line}{f' ({why})' if why else ''}"
        if self.progress is not None and line != self.said:
            self.progress(line)
        self.said = line
