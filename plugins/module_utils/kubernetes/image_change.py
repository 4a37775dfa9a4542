# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sets the images of workloads: all of them or none, waited for, and taken back when they do not run."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.common.clock import iso, utc_now
from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption, RunbookError
from ansible_collections.runbook.ops.plugins.module_utils.common.outcome import Refusal, check_refusals, outcome
from ansible_collections.runbook.ops.plugins.module_utils.common.progress import Progress, Stopped
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.client import Cluster, connect
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.errors import ClusterError
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.held_back import (
    partly_held_back,
    why_nothing_changes,
)
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.images import (
    CHANGE,
    DONE,
    KEPT,
    MEMORY,
    PRESENT,
    REFUSE,
    RETURNED,
    RETURNING,
    UNDONE,
    WAIT,
    Memory,
    Step,
    as_stored,
    check_image,
    decide,
    images_of,
    memory_of,
    patch_of,
    running_of,
)
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.ownership import ownership_verdict
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.persistence import TRIES, anew
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.rollout_pods import stuck_pods
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.rollout_state import ROLLED_OUT
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.rollout_wait import PASSING, wait_for_rollout
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.waiting import check_seconds
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.workload import selector_of

Document = Mapping[str, Any]
Place = tuple[str, str]


class NotRunning(RunbookError):
    """The images were set, and do not run; the result travels along."""


def set_images(params: Mapping[str, Any], *, check_mode: bool) -> dict[str, Any]:
    """The whole result of the module.

    Raises:
        InvalidOption: before anything is touched.
        Refused: a guard said no; nothing was touched.
        NotRunning: the rollout did not end well; the message says whether it was taken back.
        Stopped: the run was interrupted; the result says how far it came.
        ClusterError: a request failed, and nothing was touched.

    """
    check_params(params)
    progress = Progress(params["progress_path"])
    with progress.stoppable():
        return _Change(connect(params), params, check_mode, progress).run()


def check_params(params: Mapping[str, Any]) -> None:
    """Raise InvalidOption for what types do not say."""
    image = params["image"]
    if params["state"] == PRESENT:
        if not image:
            raise InvalidOption("image", image, "the image to set, for state present")
        check_image("image", image, allow_tags=params["allow_tags"])
    if not params["workloads"]:
        raise InvalidOption("workloads", [], "at least one workload, with its name and containers")
    for position, each in enumerate(params["workloads"]):
        if each["kind"] not in ROLLED_OUT:
            raise InvalidOption(f"workloads[{position}].kind", each["kind"], ", ".join(ROLLED_OUT))
        if not each["containers"]:
            accepted = "the names of the containers that get the image; a sidecar that is not named is not touched"
            raise InvalidOption(f"workloads[{position}].containers", [], accepted)
    places = [(each["kind"], each["name"]) for each in params["workloads"]]
    if len(set(places)) != len(places):
        raise InvalidOption("workloads", [name for _kind, name in places], "each workload once")
    check_seconds(params, "give_up_after")


@dataclass
class _Change:
    cluster: Cluster
    params: Mapping[str, Any]
    check_mode: bool
    progress: Progress
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    documents: dict[Place, Document] = field(default_factory=dict)
    steps: list[Step] = field(default_factory=list)
    actions: list[dict[str, Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    skipped: list[dict[str, str]] = field(default_factory=list)
    rollouts: dict[str, dict[str, Any]] = field(default_factory=dict)
    rolled_back: Optional[bool] = None
    soaking: bool = False

    def run(self) -> dict[str, Any]:
        anew(self._rehearse)
        if self.check_mode:
            self.actions = [action for step in self._of(CHANGE) for action in step.actions()]
            if self.params["state"] == KEPT:
                self.actions = [{"action": "confirm", "object": step.shown} for step in self._of(WAIT)]
            self.soaking = bool(self._of(WAIT))
            return self._result()
        try:
            failure = self._apply() or self._wait()
            if failure is None:
                self._confirm()
                return self._result()
            message = f"{failure}. {self._taken_back()}"
        except Stopped as stop:
            message = f"{stop.message}. What was set goes on by itself; the same task waits on."
            raise Stopped(message, **self._result()) from None
        raise NotRunning(message, **self._result())

    # --- plan
    def _rehearse(self) -> None:
        """Plan; the server sees the whole change before any of it is made: quotas, policies and rights speak up now."""
        self._plan()
        self.steps = [self._tried(step) if step.verdict == CHANGE else step for step in self.steps]

    def _plan(self) -> None:
        namespace = self.params["namespace"]
        self.steps, self.notes = [], []
        refused: list[Refusal] = []
        for each in self.params["workloads"]:
            place = (each["kind"], each["name"])
            document = self.documents[place] = self.cluster.read(each["kind"], namespace, each["name"])
            step = decide(each["kind"], document, each["containers"], self.params)
            self.steps.append(step)
            if step.verdict == REFUSE:
                refused.append(Refusal(step.shown, step.reason, step.remedy))
            elif step.verdict == CHANGE:
                refusal, warnings = ownership_verdict(document, step.shown, self.params["gitops"])
                self.notes += warnings
                refused += [refusal] if refusal else []
                refused += self._held_back(step, document) if self.params["wait"] else []
        check_refusals({**self._result(), "refused": [each.as_dict() for each in refused]}, "fail")

    def _held_back(self, step: Step, document: Document) -> list[Refusal]:
        """Why the image would not be rolled out, so that waiting would prove nothing."""
        if (document.get("spec") or {}).get("paused"):
            reason = "its rollouts are paused, so that the image would not be rolled out"
            return [Refusal(step.shown, reason, "Resume it with runbook.ops.k8s_rollout.")]
        why = why_nothing_changes(step.kind, document)
        if why:
            return [Refusal(step.shown, f"{why[0]}, so that no pod would get the image", why[1])]
        note = partly_held_back(step.kind, document, step.shown)
        self.notes += [note] if note else []
        return []

    def _of(self, *verdicts: str) -> list[Step]:
        return [step for step in self.steps if step.verdict in verdicts]

    def _cause(self, step: Step) -> str:
        if self.params["change_cause"]:
            return str(self.params["change_cause"])
        images = ", ".join(sorted(set(step.after.values())))
        return f"{'back to ' if step.state == RETURNING else ''}image {images} (runbook.ops)"

    def _tried(self, step: Step) -> Step:
        """The step with what the server would make of it."""
        would = self._patch(step, step.state, self._cause(step), dry_run=True)
        tried = as_stored(step, images_of(would, list(step.after)), self.documents[step.kind, step.name])
        if tried.asked:
            made = ", ".join(sorted(set(tried.after.values())))
            self.notes.append(f"{step.shown}: the cluster makes {made} of the image that was asked for (admission).")
        return tried

    # --- apply
    def _patch(self, step: Step, state: str, cause: Optional[str], *, dry_run: bool = False) -> Document:
        document = self.documents[step.kind, step.name]
        memory = Memory(dict(step.safe or step.before), dict(step.after), state, iso(utc_now()), dict(step.asked))
        body = patch_of(document, step.asked or step.after, memory, cause)
        done = self.cluster.patch(step.kind, step.namespace, step.name, body, how="strategic", dry_run=dry_run)
        if not dry_run:
            self.documents[step.kind, step.name] = done
            if step.kind == "statefulset":
                self._unstick(step, (document.get("status") or {}).get("updateRevision"), done)
        return done

    def _unstick(self, step: Step, left: Optional[str], workload: Document) -> None:
        """Delete the pods that a StatefulSet waits for in vain; it replaces no pod before they are ready."""
        try:
            pods = self.cluster.list("pod", step.namespace, label_selector=selector_of(workload))
            for pod in stuck_pods(pods, left, utc_now()) if left else ():
                self.cluster.delete("pod", step.namespace, pod.name, uid=pod.uid)
                self.actions.append({**pod.action(), "object": f"Pod {step.namespace}/{pod.name}"})
        except ClusterError as error:
            if error.kind not in {"missing", "conflict"}:
                remedy = "Delete the pods that are not ready; a StatefulSet does not replace them by itself."
                self.skipped.append({"section": f"pods of {step.shown}", "reason": error.message, "remedy": remedy})

    def _apply(self) -> str | None:
        """Change one after the other; the reason why one could not be changed."""
        for step in self._of(CHANGE):
            try:
                self._patch_again(step)
            except ClusterError as error:
                return f"{step.shown} could not be changed: {error.message.rstrip('.')}"
            self.actions += step.actions()
        return None

    def _patch_again(self, step: Step) -> None:
        """Patch; when the status moved on meanwhile, on top of that, unless the images were changed by somebody."""
        for attempt in range(TRIES):
            try:
                self._patch(step, step.state, self._cause(step))
            except ClusterError as error:
                if error.kind != "conflict" or attempt == TRIES - 1:
                    raise
                fresh = self.cluster.read(step.kind, step.namespace, step.name)
                if images_of(fresh, list(step.after)) != dict(step.before):
                    raise
                self.documents[step.kind, step.name] = fresh
            else:
                return

    # --- wait and prove
    def _wait(self) -> str | None:
        """The reason why a rollout did not end well; None when all did."""
        if not self.params["wait"]:
            return None
        return self._rolled_out(self.steps, "roll out")

    def _rolled_out(self, steps: Sequence[Step], doing: str) -> str | None:
        deadline = self.clock() + self.params["wait_timeout"]
        for step in steps:
            self.progress.phase(doing, step.shown)
            found = wait_for_rollout(
                self.cluster,
                step.kind,
                step.namespace,
                step.name,
                timeout=max(0.0, deadline - self.clock()),
                sleep=self.params["wait_sleep"],
                give_up_after=self.params["give_up_after"],
                progress=lambda line: self.progress.at(0, line),
                pause=lambda seconds: self.progress.wait(seconds, ""),
            )
            self.rollouts[step.name] = found.facts()
            if not found.done:
                return f"{step.shown} is not rolled out: {found.reason or found.line} ({found.line})"
        return None

    def _confirm(self) -> None:
        """Note that the change is proven, so that a later run does not take it back."""
        steps = self._of(CHANGE, WAIT)
        if not self.params["wait"] or self.params["soak"]:
            self.soaking = bool(steps)
            return
        for step in steps:
            self._note(step, RETURNED if step.state == RETURNING else DONE)
            if self.params["state"] == KEPT:
                self.actions.append({"action": "confirm", "object": step.shown})

    def _note(self, step: Step, state: str) -> None:
        try:
            fresh = self.cluster.read(step.kind, step.namespace, step.name)
            memory = memory_of(fresh)
            if memory is None or memory.state == state:
                return
            text = replace(memory, state=state).text()
            body = {"metadata": {"annotations": {MEMORY: text}}}
            self.documents[step.kind, step.name] = self.cluster.patch(step.kind, step.namespace, step.name, body)
        except ClusterError as error:
            # It runs. The next run looks again, and notes it then.
            self.notes.append(f"{step.shown} runs, which could not be noted on it: {error.message}")

    # --- going back
    def _taken_back(self) -> str:
        """Go back where it is wanted and known to what; a sentence about it."""
        if self.params["on_failure"] == "keep":
            return "It was left as it is (on_failure is keep). The same task waits on, state previous goes back."
        steps = [step for step in self._of(CHANGE, WAIT) if step.safe]
        if not steps:
            return "There is nothing to go back to: this run changed no image, and no earlier one was under way."
        self.rolled_back = False
        for step in steps:
            reason = self._undo(step)
            if reason:
                return (
                    f"Going back failed as well: {step.shown}: {reason}. Look at it at once; the same task tries again."
                )
        undone = any(each["action"] == "undo_image" for each in self.actions)
        reason = self._rolled_out(steps, "go back") if self.params["wait"] and undone else None
        if not undone:
            self.rolled_back = None
            return "No image was changed."
        if reason:
            return f"It was put back to the images before, and {reason}. Look at it at once."
        self.rolled_back = True
        return "Everything is back at the images before, and they are available."

    def _undo(self, step: Step) -> str | None:
        """Put one workload back, however long the server needs to answer; why that could not be done."""
        deadline = self.clock() + self.params["wait_timeout"]
        while True:
            try:
                return self._put_back(step)
            except ClusterError as error:
                if error.kind not in PASSING or self.clock() >= deadline:
                    return error.message.rstrip(".")
            self.sleep(self.params["wait_sleep"])

    def _put_back(self, step: Step) -> str | None:
        # An answer that never came may have been a change all the same.
        fresh = self.documents[step.kind, step.name] = self.cluster.read(step.kind, step.namespace, step.name)
        now = images_of(fresh, list(step.safe))
        if now == dict(step.safe):
            return None
        if now != dict(step.after):
            return "somebody else has set other images meanwhile"
        back = Step(CHANGE, step.kind, step.namespace, step.name, now, step.safe, safe=now)
        self._patch(back, UNDONE, f"back to image {', '.join(sorted(set(step.safe.values())))} (runbook.ops)")
        self.actions += [{**each, "action": "undo_image"} for each in back.actions()]
        return None

    # --- result
    def _result(self) -> dict[str, Any]:
        after = self._after()
        return outcome(
            changed=bool(self.actions),
            actions=self.actions,
            before={step.shown: dict(step.before) for step in self.steps},
            after=None if self.check_mode else after,
            diff=self._diff(after),
            rolled_back=self.rolled_back,
            soaking=self.soaking,
            rollouts=self.rollouts,
            running=[] if self.check_mode else self._running(),
            notes=self.notes,
            skipped_sections=self.skipped,
        )

    def _after(self) -> dict[str, Any]:
        if self.check_mode:
            return {step.shown: dict(step.after) for step in self.steps}
        return {step.shown: images_of(self.documents[step.kind, step.name], list(step.before)) for step in self.steps}

    def _diff(self, after: Mapping[str, Any]) -> dict[str, Any]:
        return {"before": {step.shown: dict(step.before) for step in self.steps}, "after": dict(after)}

    def _running(self) -> list[dict[str, Any]]:
        """The digests that the pods run, where they may be listed."""
        found: list[dict[str, Any]] = []
        if not self.rollouts:
            return found
        for step in self.steps:
            document = self.documents[step.kind, step.name]
            try:
                pods = list(self.cluster.list("pod", step.namespace, label_selector=selector_of(document)))
            except ClusterError as error:
                remedy = "Which digest runs is not proven; the rollout itself is."
                self.skipped.append({"section": f"running of {step.shown}", "reason": error.message, "remedy": remedy})
                continue
            for container, image in images_of(document, list(step.before)).items():
                seen = running_of(pods, container, image)
                found.append({"object": step.shown, "container": container, "image": image, **seen})
                if seen["proven"] is False:
                    self.notes.append(
                        f"{step.shown}, container {container}: pods run {', '.join(seen['digests'])}, which is not the"
                        " digest that was asked for. A digest of an index of platforms is resolved by some runtimes."
                    )
        return found
