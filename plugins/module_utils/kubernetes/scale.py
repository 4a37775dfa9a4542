# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Scales one workload within limits, or puts back what it was: read, decide, rehearse, patch, and wait for the pods."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption, RunbookError
from ansible_collections.runbook.ops.plugins.module_utils.common.guards import check_guards, window_refusal
from ansible_collections.runbook.ops.plugins.module_utils.common.outcome import Refusal, check_refusals, outcome
from ansible_collections.runbook.ops.plugins.module_utils.common.progress import Progress
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.client import connect
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.errors import ClusterError
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.park import NotReached
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.parking import Plan, Writer
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.rollout_wait import PASSING, wait_for_rollout
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.scale_plan import (
    Wish,
    figures_of,
    plan_restore,
    plan_scale,
)
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.scaled import (
    Scaled,
    check_replicas,
)
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.scaling import HPA, Step, Target
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.waiting import check_seconds

STATES = ("scaled", "restored")


def scale_workload(params: Mapping[str, Any], *, check_mode: bool) -> dict[str, Any]:
    """The whole result of the module.

    Raises:
        InvalidOption: before anything is touched.
        Refused: a guard said no; nothing was touched.
        NotReached: the patch was taken, and the pods are not there in time. Running it again goes on from there.
        ClusterError: a request failed.

    """
    check_guards(params)
    check_seconds(params)
    wish = _wish(params)
    progress = Progress(params["progress_path"])
    with progress.stoppable():
        scaled = Scaled(connect(params), params["namespace"], params["gitops"])
        return _Scaling(scaled, params, wish, progress, check_mode).run()


def _wish(params: Mapping[str, Any]) -> Wish | None:
    if params["state"] == "restored":
        return None
    for option in ("replicas", "max_replicas_limit"):
        if params[option] is None:
            raise InvalidOption(option, params[option], "a number of pods, with state scaled")
    return Wish(
        replicas=check_replicas("replicas", params["replicas"]) or 0,
        ceiling=check_replicas("max_replicas", params["max_replicas"]),
        limit=check_replicas("max_replicas_limit", params["max_replicas_limit"]) or 0,
        connections_per_replica=check_replicas("connections_per_replica", params["connections_per_replica"], lowest=0)
        or 0,
        connections_free=params["connections_free"],
    )


class _Scaling:
    """One run."""

    def __init__(
        self, scaled: Scaled, params: Mapping[str, Any], wish: Wish | None, progress: Progress, check_mode: bool
    ) -> None:
        self.scaled = scaled
        self.params = params
        self.wish = wish
        self.progress = progress
        self.check_mode = check_mode
        self.namespace = scaled.namespace
        self.target = Target(params["kind"], params["name"])
        self.clock: Callable[[], float] = time.monotonic

    def run(self) -> dict[str, Any]:
        """Plan it, let the server agree, do it, and see that it is so."""
        self.progress.phase("look", self.target.key)
        self.before = self._read()
        self.plan = self._decide(self.before)
        refusals = self._refusals()
        if refusals:
            refused = self._result(refused=refusals, steps=())
            check_refusals(refused, self.params["on_refusal"])
            return refused
        self.scaled.rehearse(self.plan.steps)
        if self.check_mode:
            return self._result(steps=self.plan.steps)
        try:
            self.scaled.send(partial(self._due), self.plan.steps)
            if self.params["wait"] and self.wish is not None:
                self._wait(self.wish.replicas)
            return self._result(steps=self.scaled.done, after=self._read())
        except RunbookError as error:
            error.details = {**self._result(steps=self.scaled.done), **error.details}
            raise

    def _read(self) -> Writer:
        return Writer(self.target, *self.scaled.read(self.target))

    def _decide(self, writer: Writer) -> Plan:
        return plan_restore(writer) if self.wish is None else plan_scale(writer, self.wish)

    def _due(self) -> Sequence[Step]:
        plan = self._decide(self._read())
        if plan.refusal:
            raise NotReached(f"{plan.refusal.object}: {plan.refusal.reason}. {plan.refusal.remedy}")
        return plan.steps

    def _refusals(self) -> list[Refusal]:
        if self.plan.refusal:
            return [self.plan.refusal]
        objects = [(self.target, self.before.document)]
        objects += [(Target(each.kind, each.name), each.document) for each in self.before.autoscalers]
        touched = {(each.kind, each.name) for each in self.plan.steps}
        found = self.scaled.owners([each for each in objects if (each[0].kind, each[0].name) in touched])
        no = window_refusal(self.params) if self.plan.steps else None
        return [Refusal(self.target.shown(self.namespace), *no), *found] if no else found

    def _wait(self, replicas: int) -> None:
        """Until the autoscaler has followed, and the pods are ready."""
        deadline = self.clock() + float(self.params["wait_timeout"])
        self.progress.phase("wait", self.target.key, total=replicas, unit="replicas")
        while True:
            reason = self._not_yet(replicas)
            if reason is None:
                break
            if self.clock() >= deadline:
                raise NotReached(f"{self.target.shown(self.namespace)}: {reason}. Running the task again waits on.")
            self.progress.wait(float(self.params["wait_sleep"]), reason)
        rollout = wait_for_rollout(
            self.scaled.cluster,
            self.target.kind,
            self.namespace,
            self.target.name,
            timeout=max(0.0, deadline - self.clock()),
            sleep=float(self.params["wait_sleep"]),
            progress=lambda line: self.progress.at(0, line),
        )
        if not rollout.done:
            why = rollout.reason or f"{rollout.line} after {self.params['wait_timeout']:g} seconds (wait_timeout)"
            raise NotReached(
                f"{self.target.shown(self.namespace)} does not get its pods: {why}. Mend the cause and run the task"
                " again, or go back with state restored."
            )

    def _not_yet(self, replicas: int) -> str | None:
        """Why the workload does not ask for so many pods; None when it does."""
        try:
            writer = self._read()
        except ClusterError as error:
            if error.kind in PASSING:
                return error.message.rstrip(".")
            raise
        if writer.replicas >= replicas:
            return None
        said = [
            str(condition.get("message"))
            for each in writer.autoscalers
            if each.kind == HPA
            for condition in (each.document.get("status") or {}).get("conditions") or ()
            if condition.get("status") == "False" and condition.get("type") in {"AbleToScale", "ScalingActive"}
        ]
        why = f" ({'; '.join(said)})" if said else ""
        return f"its autoscaler has not followed yet, it asks for {writer.replicas} of {replicas} replicas{why}"

    def _result(
        self, *, steps: Sequence[Step], after: Writer | None = None, refused: Sequence[Refusal] = ()
    ) -> dict[str, Any]:
        before = figures_of(self.before)
        foreseen = {**before, **{each.key: dict(each.figures) for each in steps}}
        return outcome(
            changed=bool(steps),
            actions=[each.as_action(self.namespace) for each in steps],
            refused=refused,
            before=before,
            after=None if after is None else figures_of(after),
            diff={"before": before, "after": foreseen},
            warnings=self.scaled.warnings,
            skipped_sections=self.scaled.skipped,
        )
