# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Restarts, undoes, pauses or resumes one workload: decide, patch, wait, and take back what does not run."""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.common.clock import utc_now
from ansible_collections.runbook.ops.plugins.module_utils.common.errors import RunbookError
from ansible_collections.runbook.ops.plugins.module_utils.common.outcome import Refusal, check_refusals, outcome
from ansible_collections.runbook.ops.plugins.module_utils.common.progress import Progress, Stopped
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.client import Cluster, connect
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.errors import ClusterError
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.held_back import partly_held_back
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.history import (
    HOLDERS,
    Revision,
    revisions_of,
    template_of,
)
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.kinds import shown
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.ownership import (
    autoscaler_facts,
    autoscaler_of,
    is_at_ceiling,
    ownership_verdict,
)
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.persistence import persist
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.rollout_options import (
    check_rollout,
    within_seconds,
)
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.rollout_plan import (
    CHANGE,
    KEPT,
    NOTHING,
    PAUSED,
    REFUSE,
    RESTARTED,
    RESUMED,
    RETURNED,
    UNDONE,
    Plan,
    Wish,
    decided_on,
    plan_of,
    revert_of,
    soaking,
    versioned,
)
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.rollout_pods import (
    StuckPod,
    gap_warning,
    left_revision,
    stuck_pods,
)
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.rollout_result import diff_of, figures, kept
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.rollout_state import Rollout, rollout_of
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.rollout_wait import wait_for_rollout
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.workload import selector_of

# The wait is over; what the workload is like at the end is worth no more than this.
_LAST_LOOK_SECONDS = 10.0
# While pods come and go, the status changes all the time; the decision does not depend on it.
_PATCHES = 5
_DOING = {
    RESTARTED: "restart",
    UNDONE: "undo",
    KEPT: "confirmation",
    RETURNED: "return",
    PAUSED: "pause",
    RESUMED: "resume",
}
# Nothing is rolled out by these, so that nothing is waited for.
_AT_ONCE = (PAUSED, KEPT)


class NotRolledOut(RunbookError):
    """It was asked for, and is not running everywhere; the result travels along."""


def roll(params: Mapping[str, Any], *, check_mode: bool) -> dict[str, Any]:
    """The whole result of the module.

    Raises:
        InvalidOption: before anything is touched.
        Refused: it must not be done; nothing was touched.
        NotRolledOut: it was done, and does not run; the message says why, and what was done about it.
        Stopped: the run was interrupted; the result says how far it came.
        RunbookError: a request failed, or there is no such revision.

    """
    check_rollout(params)
    wish = Wish(
        state=params["state"],
        kind=params["kind"],
        run_id=params["restart_id"] or uuid.uuid4().hex,
        now=utc_now(),
        revision=params["revision"],
        schema_compatible=params["schema_compatible"],
        within_seconds=within_seconds(params),
        soak=params["soak"],
        waits=params["wait"],
    )
    progress = Progress(params["progress_path"])
    with progress.stoppable():
        return _Run(connect(params), params, wish, check_mode, progress).run()


@dataclass
class _Run:
    cluster: Cluster
    params: Mapping[str, Any]
    wish: Wish
    check_mode: bool
    progress: Progress
    changed: bool = False
    # The patch was sent, and no answer came: only a look tells whether it was made.
    is_unsure: bool = False
    is_reverting: bool = False
    before: Optional[Mapping[str, Any]] = None
    # Of which stands what was done last.
    workload: Optional[Mapping[str, Any]] = None
    plan: Plan = field(default_factory=lambda: Plan(NOTHING))
    actions: list[Mapping[str, Any]] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    skipped: list[dict[str, str]] = field(default_factory=list)
    autoscaler: Optional[dict[str, Any]] = None
    rollout: Optional[Rollout] = None
    reverted: bool = False
    note: str = ""

    @property
    def _named(self) -> str:
        return shown(self.wish.kind, self.params["namespace"], self.params["name"])

    def run(self) -> dict[str, Any]:
        self.progress.phase(_DOING[self.wish.state], self._named)
        try:
            self._persist(self._do, 0 if self.check_mode else self.params["wait_timeout"])
        except ClusterError as error:
            raise RunbookError(error.message, **(self._result() if self.before else {})) from None
        check_refusals(self._result([self.plan.refusal] if self.plan.refusal else []), "fail")
        if self.check_mode:
            return self._result()
        # Where there is nothing to return from, what runs may be what is to be gone back from.
        is_idle = self.wish.state == RETURNED and self.plan.step == NOTHING
        if not self.params["wait"] or self.wish.state in _AT_ONCE or is_idle:
            self.rollout = rollout_of(self.wish.kind, self.workload or {})
            return self._result()
        try:
            self.rollout = self._wait()
            if not self.rollout.done:
                self._give_up(self.rollout)
        except Stopped as stop:
            message = f"{stop.message}. {self._named} goes on by itself; the same task waits on."
            raise Stopped(message, **self._result()) from None
        self._look_again()
        return self._result()

    def _persist(self, attempt: Any, timeout: float) -> Any:
        until, whole = time.monotonic() + timeout, self.cluster

        def bounded() -> Any:
            # A request that hangs must not outlast the wait.
            self.cluster = whole.within(until - time.monotonic()) if timeout else whole
            return attempt()

        try:
            return persist(bounded, timeout=timeout, sleep=self.params["wait_sleep"], pause=self.progress.wait)
        finally:
            self.cluster = whole

    # --- deciding and doing
    def _do(self) -> None:
        """Once: read, decide, patch."""
        self.workload = self._read()
        plan = self._decided(self.workload)
        in_the_way = self._stuck_pods(self.workload, plan)
        if self.is_unsure and plan.step == NOTHING and self._is_done(self.workload):
            self.changed = True
            self._remove(in_the_way)
            return
        self.plan, self.before = plan, self.workload
        self.actions = [plan.action] if plan.step == CHANGE else []
        self.actions += [each.action() for each in in_the_way]
        if plan.step == CHANGE:
            self.is_unsure = True
            self.workload = self._patch(plan, self.workload)
        self.changed = bool(self.actions)
        self._remove(in_the_way)

    def _decided(self, workload: Mapping[str, Any]) -> Plan:
        plan = plan_of(self.wish, workload, self._revisions(workload) if self.wish.state in (UNDONE, RETURNED) else [])
        if plan.step != CHANGE:
            return plan
        # Nothing of a restart or of a note is in a repository, or in a chart, so that nobody takes it back.
        gitops = "ignore" if self.wish.state in (RESTARTED, KEPT) else self.params["gitops"]
        refusal, self.warnings = ownership_verdict(workload, self._named, gitops)
        if refusal is not None:
            return Plan(REFUSE, refusal=refusal, template=template_of(workload))
        held_back = partly_held_back(self.wish.kind, workload, self._named) if self.wish.state not in _AT_ONCE else None
        self.warnings += [each for each in (gap_warning(self.wish, workload), held_back) if each]
        self._look_at_autoscaler()
        return plan

    def _is_done(self, workload: Mapping[str, Any]) -> bool:
        """Whether the workload is as the patch makes it, so that it was made though no answer came."""
        return self.wish.state in (PAUSED, RESUMED) or template_of(workload) == self.plan.template

    def _patch(self, plan: Plan, workload: Mapping[str, Any]) -> Mapping[str, Any]:
        namespace, name = self.params["namespace"], self.params["name"]
        for left in reversed(range(_PATCHES)):
            try:
                body = versioned(plan.patch, workload)
                return self.cluster.patch(self.wish.kind, namespace, name, body, dry_run=self.check_mode)
            except ClusterError as error:
                fresh = self._read() if error.kind == "conflict" and left else None
                if fresh is None or decided_on(fresh) != decided_on(workload):
                    raise
                workload = fresh
        raise AssertionError("the last one gives or raises")

    def _read(self) -> Mapping[str, Any]:
        return self.cluster.read(self.wish.kind, self.params["namespace"], self.params["name"])

    def _look_again(self) -> None:
        whole, self.cluster = self.cluster, self.cluster.within(_LAST_LOOK_SECONDS)
        try:
            self.workload = self._read()
        except ClusterError as error:
            self._skip("after", error, "Run the task again; it finds out.")
        finally:
            self.cluster = whole

    def _skip(self, section: str, error: ClusterError, remedy: str) -> None:
        self.skipped.append({"section": section, "reason": error.message, "remedy": remedy})

    def _revisions(self, workload: Mapping[str, Any]) -> list[Revision]:
        kind, selector = HOLDERS[self.wish.kind], selector_of(workload)
        holders = self.cluster.list(kind, self.params["namespace"], label_selector=selector)
        return revisions_of(self.wish.kind, workload, holders)

    def _look_at_autoscaler(self) -> None:
        """Named in the result; what cannot be read is told."""
        self.skipped, self.autoscaler = [], None
        try:
            scalers = self.cluster.list("horizontalpodautoscaler", self.params["namespace"])
            found = autoscaler_of(scalers, self.wish.kind, self.params["name"])
        except ClusterError as error:
            self._skip("autoscaler", error, "Look with kubectl get hpa whether one scales the workload meanwhile.")
            return
        if found is None:
            return
        self.autoscaler = autoscaler_facts(found)
        if is_at_ceiling(self.autoscaler) and self.wish.state not in _AT_ONCE:
            self.warnings.append(
                f"{self.autoscaler['name']} is at its ceiling of {self.autoscaler['max_replicas']}. While {self._named}"
                " is rolled out, there are more pods than that, and with them more connections to databases."
            )

    def _stuck_pods(self, workload: Mapping[str, Any], plan: Plan) -> list[StuckPod]:
        if self.wish.kind != "statefulset" or plan.step == REFUSE:
            return []
        if plan.step == NOTHING and self.wish.state != UNDONE:
            return []
        revision = left_revision(workload, plan)
        if revision is None:
            return []
        pods = self.cluster.list("pod", self.params["namespace"], label_selector=selector_of(workload))
        return stuck_pods(pods, revision, self.wish.now)

    def _remove(self, pods: Sequence[StuckPod]) -> None:
        for pod in () if self.check_mode else pods:
            try:
                self.cluster.delete("pod", self.params["namespace"], pod.name, uid=pod.uid)
            except ClusterError as error:
                # Gone, or another one of the same name by now: both is what was wanted.
                if error.kind not in {"missing", "conflict"}:
                    self._skip("pods", error, f"Delete pod {pod.name}; the StatefulSet waits for it otherwise.")

    # --- waiting and taking back
    def _wait(self) -> Rollout:
        return wait_for_rollout(
            self.cluster,
            self.wish.kind,
            self.params["namespace"],
            self.params["name"],
            timeout=self.params["wait_timeout"],
            sleep=self.params["wait_sleep"],
            settle=self.params["settle"],
            give_up_after=self.params["give_up_after"],
            progress=self._say,
            pause=lambda seconds: self.progress.wait(seconds, self.note),
        )

    def _say(self, line: str) -> None:
        self.note = line
        self.progress.at(0, line)

    def _give_up(self, failed: Rollout) -> None:
        told = f"{failed.shown}: the {_DOING[self.wish.state]} is not rolled out ({failed.line}): {failed.reason}."
        may_revert = self.params["on_failure"] == "revert" and self.wish.state in (RESTARTED, UNDONE)
        after = self._reverted(failed) if may_revert else kept(failed)
        self._look_again()
        raise NotRolledOut(f"{told} {after}", **self._result())

    def _reverted(self, failed: Rollout) -> str:
        """Go back to what was before, as far as that is remembered; what came of it."""
        self.progress.phase("revert", self._named)
        try:
            obstacle: Optional[str] = self._persist(self._revert, self.params["wait_timeout"])
        except ClusterError as error:
            return f"It could not be taken back: {error.message}"
        if obstacle is not None:
            return f"It was not taken back: {obstacle}. {kept(failed)}"
        back = self._wait()
        if back.done:
            return f"It was taken back to what was before, which runs ({back.line})."
        return f"It was taken back to what was before, which does not run either ({back.line}): {back.reason}."

    def _revert(self) -> str | None:
        """Once: read, decide, patch; why there is nothing to take back, or None when it was."""
        workload, failed = self._read(), self.rollout
        now = rollout_of(self.wish.kind, workload)
        if now.done and not self.is_reverting and failed is not None and not failed.stuck:
            # Nobody answered for so long, or it was slower than the wait.
            return f"it is done by now ({now.line})"
        plan = revert_of(self.wish, workload, self._revisions(workload))
        if isinstance(plan, str):
            if not self.is_reverting:
                return plan
            # The answer was lost. The memory is gone, because the patch was made.
            self.reverted = True
            return None
        in_the_way = self._stuck_pods(workload, plan)
        self.is_reverting = True
        self._patch(plan, workload)
        self.changed = self.reverted = True
        self.actions += [plan.action, *(each.action() for each in in_the_way)]
        self._remove(in_the_way)
        return None

    # --- the result
    def _result(self, refused: Sequence[Refusal] = ()) -> dict[str, Any]:
        before = self.before or {}
        result = outcome(
            changed=self.changed,
            actions=self.actions if self.changed else (),
            refused=refused,
            before=figures(self.wish.kind, before),
            after=None if self.check_mode else figures(self.wish.kind, self.workload or before),
            diff=diff_of(self.wish.state, before, self.plan.template, changed=self.changed),
            rollout=None if self.rollout is None else self.rollout.facts(),
            reverted=self.reverted,
            soaking=bool(soaking(self.workload or before)),
            autoscaler=self.autoscaler,
            skipped_sections=self.skipped,
        )
        return {**result, "warnings": self.warnings} if self.warnings else result
