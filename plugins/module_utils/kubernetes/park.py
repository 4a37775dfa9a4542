# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Parks workloads, and brings them back: read, decide, rehearse, patch, and wait until it is so."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timezone
from functools import partial
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption, RunbookError
from ansible_collections.runbook.ops.plugins.module_utils.common.guards import check_guards, window_refusal
from ansible_collections.runbook.ops.plugins.module_utils.common.outcome import Refusal, check_refusals, outcome
from ansible_collections.runbook.ops.plugins.module_utils.common.progress import Progress
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.client import connect
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.errors import ClusterError
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.memory import PARKED
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.parking import (
    Plan,
    Stage,
    Writer,
    plan_ending,
    plan_park,
    plan_unpark,
    stage_of,
)
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.rollout_wait import PASSING, wait_for_rollout
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.scaled import (
    Scaled,
    check_replicas,
)
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.scaling import (
    HPA,
    KEDA,
    WRITER_KINDS,
    Autoscaler,
    Step,
    Target,
    target_of,
)
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.waiting import check_seconds
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.workload import has_ended, selector_of

STATES = ("parked", "running")


class NotReached(RunbookError):
    """The patches were taken, and the workloads are not as they should be in time; the result travels along."""


def park_workloads(params: Mapping[str, Any], *, check_mode: bool) -> dict[str, Any]:
    """The whole result of the module.

    Raises:
        InvalidOption: before anything is touched.
        Refused: a guard said no; nothing was touched.
        NotReached: what was asked for is not so in time. Running it again goes on from there.
        ClusterError: a request failed; what was done until then travels along.

    """
    check_guards(params)
    check_seconds(params)
    targets = [target_of(each, "workloads") for each in params["workloads"]]
    if params["state"] == "parked" and not targets:
        raise InvalidOption("workloads", params["workloads"], "the workloads to park, by name")
    stage = stage_of(params["stage"])
    named = {
        target_of(name, "replicas"): check_replicas("replicas", number) or 0
        for name, number in params["replicas"].items()
    }
    _check_named(named, targets)
    progress = Progress(params["progress_path"])
    with progress.stoppable():
        scaled = Scaled(connect(params), params["namespace"], params["gitops"])
        return _Parking(scaled, params, stage, named, progress, check_mode).run(targets)


def _check_named(named: Mapping[Target, int], targets: Sequence[Target]) -> None:
    for each in named:
        if each.kind == "cronjob" or (targets and each not in targets):
            raise InvalidOption(
                "replicas", each.key, "Deployments and StatefulSets, of those in workloads if there are any"
            )


class _Parking:
    """One run."""

    def __init__(
        self,
        scaled: Scaled,
        params: Mapping[str, Any],
        stage: Stage,
        named: Mapping[Target, int],
        progress: Progress,
        check_mode: bool,
    ) -> None:
        self.scaled = scaled
        self.cluster = scaled.cluster
        self.params = params
        self.namespace = scaled.namespace
        self.stage = stage
        self.named = named
        self.progress = progress
        self.check_mode = check_mode
        self.parks = params["state"] == "parked"
        self.writers: list[Writer] = []
        self.plans: list[Plan] = []
        self.clock: Callable[[], float] = time.monotonic
        self.deadline = 0.0
        self.moments: dict[Target, str] = {}
        self.notes: list[str] = []

    def run(self, targets: Sequence[Target]) -> dict[str, Any]:
        """Plan all of it, let the server agree to all of it, and only then begin."""
        self.progress.phase("look", self.namespace)
        self.writers = self._writers(targets)
        self.plans = [self._plan(each) for each in self.writers]
        refusals = self._refusals()
        if refusals:
            refused = self._result(None, refused=refusals, planned=False)
            check_refusals(refused, self.params["on_refusal"])
            return refused
        self.scaled.rehearse([step for plan in self.plans for step in plan.steps])
        if self.check_mode:
            return self._result(None)
        try:
            self._apply()
            if self.params["wait"]:
                self._wait()
            return self._result([self._read(each.target) for each in self.writers])
        except RunbookError as error:
            error.details = {**self._result(None, planned=False), **error.details}
            raise

    # --- looking
    def _writers(self, targets: Sequence[Target]) -> list[Writer]:
        if targets:
            return [self._read(each) for each in dict.fromkeys(targets)]
        # Everything that remembers, so that nothing is left behind because a list is out of date.
        hpas, keda = self.scaled.autoscalers()
        scalers = [*(Autoscaler(HPA, each) for each in hpas), *(Autoscaler(KEDA, each) for each in keda)]
        paused = {each.target for each in scalers if PARKED in each.annotations}
        found = []
        for kind in WRITER_KINDS:
            for document in self.cluster.list(kind, self.namespace):
                target = Target(kind, document["metadata"]["name"])
                if PARKED in (document["metadata"].get("annotations") or {}) or target in paused:
                    found.append(Writer(target, document, self.scaled.autoscalers_of(target, hpas, keda)))
        known = {each.target for each in found}
        self.notes += [
            f"{each.key} remembers, and {each.target.key} is not there."
            for each in scalers
            if PARKED in each.annotations and each.target not in known
        ]
        # What was stopped first comes back last: it feeds the others.
        found.sort(key=lambda each: str((each.memory or {}).get("at") or ""), reverse=True)
        return found + [self._read(each) for each in self.named if each not in known]

    def _read(self, target: Target) -> Writer:
        return Writer(target, *self.scaled.read(target))

    def _plan(self, writer: Writer) -> Plan:
        # The order of parking can be told from it, also when it is decided on anew.
        now = self.moments.setdefault(writer.target, datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ"))
        purpose = str(self.params["purpose"] or "")
        if self.parks:
            return plan_park(writer, now, purpose)
        named = self.named.get(writer.target)
        return plan_unpark(writer, self.stage, now, named=named, waits=self.params["wait"], purpose=purpose)

    def _refusals(self) -> list[Refusal]:
        found = [plan.refusal for plan in self.plans if plan.refusal]
        documents = [
            (Target(kind, name), document)
            for writer, plan in zip(self.writers, self.plans)
            for kind, name, document in (
                (writer.target.kind, writer.target.name, writer.document),
                *((each.kind, each.name, each.document) for each in writer.autoscalers),
            )
            if any((step.kind, step.name) == (kind, name) for step in plan.shown)
        ]
        found += self.scaled.owners(documents)
        no = window_refusal(self.params) if documents else None
        return [Refusal(f"Namespace {self.namespace}", *no), *found] if no else found

    # --- changing
    def _apply(self) -> None:
        self.progress.phase(self._verb, total=len(self.writers), unit="workloads")
        for number, (writer, plan) in enumerate(zip(self.writers, self.plans)):
            self.progress.at(number, writer.target.key)
            self.scaled.send(partial(self._due, writer.target), plan.steps)
        self.progress.at(len(self.writers))

    def _due(self, target: Target) -> Sequence[Step]:
        plan = self._plan(self._read(target))
        if plan.refusal:
            raise NotReached(f"{plan.refusal.object}: {plan.refusal.reason}. {plan.refusal.remedy}")
        return plan.steps

    @property
    def _verb(self) -> str:
        return "park" if self.parks else "unpark"

    # --- seeing that it is so
    def _wait(self) -> None:
        self.deadline = self.clock() + float(self.params["wait_timeout"])
        self.progress.phase("wait", total=len(self.writers), unit="workloads")
        for number, (writer, plan) in enumerate(zip(self.writers, self.plans)):
            self.progress.at(number, writer.target.key)
            if self.parks:
                self._wait_until_gone(writer)
            elif not writer.is_cronjob and (plan.steps or plan.ending or writer.memory):
                self._wait_until_ready(number, writer)
            if plan.ending:
                self.scaled.send(partial(self._ending, writer.target), self._ending(writer.target))
        self.progress.at(len(self.writers))

    def _ending(self, target: Target) -> list[Step]:
        writer = self._read(target)
        return [] if writer.memory is None else [plan_ending(writer, writer.replicas)]

    def _wait_until_ready(self, number: int, writer: Writer) -> None:
        left = max(0.0, self.deadline - self.clock())
        rollout = wait_for_rollout(
            self.cluster,
            writer.target.kind,
            self.namespace,
            writer.target.name,
            timeout=left,
            sleep=float(self.params["wait_sleep"]),
            progress=lambda line: self.progress.at(number, f"{writer.target.key}: {line}"),
        )
        if not rollout.done:
            why = rollout.reason or f"{rollout.line} after {self.params['wait_timeout']:g} seconds (wait_timeout)"
            raise NotReached(
                f"{writer.target.shown(self.namespace)} does not come up: {why}. What it had is still remembered:"
                " mend the cause and run the task again, or park it again."
            )

    def _wait_until_gone(self, writer: Writer) -> None:
        while True:
            reason = self._still_there(writer)
            if reason is None:
                return
            if self.clock() >= self.deadline:
                raise NotReached(
                    f"{writer.target.shown(self.namespace)} is parked, but {reason} after"
                    f" {self.params['wait_timeout']:g} seconds (wait_timeout). Running the task again waits on."
                )
            self.progress.wait(float(self.params["wait_sleep"]), f"{writer.target.key}: {reason}")

    def _still_there(self, writer: Writer) -> Optional[str]:
        """What still runs of it; None when nothing does."""
        try:
            now = Writer(writer.target, self.cluster.read(writer.target.kind, self.namespace, writer.target.name))
            if not now.is_stopped:
                many = "it is active" if now.is_cronjob else f"it has {now.replicas} replicas"
                raise NotReached(
                    f"{writer.target.shown(self.namespace)} was parked, and {many} again. Something else decides:"
                    " look for GitOps, an autoscaler or a script, stop that first, and run the task again."
                )
            if now.is_cronjob:
                jobs = (now.document.get("status") or {}).get("active") or ()
                running = sorted(str(each.get("name")) for each in jobs)
            else:
                pods = self.cluster.list("pod", self.namespace, label_selector=selector_of(now.document))
                running = [each["metadata"]["name"] for each in pods if not has_ended(each)]
        except ClusterError as error:
            if error.kind in PASSING:
                return error.message.rstrip(".")
            raise
        return f"{', '.join(running[:3])}{' …' if len(running) > 3 else ''} still runs" if running else None

    # --- telling
    def _result(
        self, after: Sequence[Writer] | None, *, refused: Sequence[Refusal] = (), planned: bool = True
    ) -> dict[str, Any]:
        """With C(planned) what would be done is what counts, otherwise what was done until now."""
        steps = [step for plan in self.plans for step in plan.shown] if planned else self.scaled.done
        before = _figures(self.writers)
        foreseen = {**before}
        for plan in self.plans if planned else ():
            foreseen.update({key: dict(figures) for key, figures in plan.figures.items()})
        for step in () if planned else self.scaled.done:
            foreseen[step.key] = dict(step.figures)
        figures = None if after is None else _figures(after)
        return outcome(
            changed=bool(steps),
            actions=[each.as_action(self.namespace) for each in steps],
            refused=refused,
            before=before,
            after=figures,
            workloads=[each.target.key for each in self.writers],
            diff={"before": before, "after": foreseen},
            notes=[*(plan.note for plan in self.plans if plan.note), *self.notes],
            warnings=self.scaled.warnings,
            skipped_sections=self.scaled.skipped,
        )


def _figures(writers: Sequence[Writer]) -> dict[str, Any]:
    return {key: figures for each in writers for key, figures in each.all_figures().items()}
