# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes, scales and removes a copy of a Deployment, and waits for it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption, RunbookError
from ansible_collections.runbook.ops.plugins.module_utils.common.outcome import Refusal, Refused, outcome
from ansible_collections.runbook.ops.plugins.module_utils.common.progress import Progress, Stopped
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.client import Cluster, connect
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.copying import (
    copy_of,
    figures,
    has_selector_of,
    is_copy,
    patch_of,
    plan_copy,
    replicas_for,
)
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.errors import ClusterError
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.images import (
    check_image,
    containers_of,
    template_of,
)
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.labels import template_labels
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.ownership import autoscaler_of, ownership_verdict
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.persistence import anew
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.rollout_state import Rollout
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.rollout_wait import PASSING, wait_for_rollout
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.waiting import check_seconds
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.workload import replicas_of

Document = Mapping[str, Any]


class NotThere(RunbookError):
    """The copy was asked for, and its pods do not run; or it does not go. The result travels along."""


def copy_deployment(params: Mapping[str, Any], *, check_mode: bool) -> dict[str, Any]:
    """The whole result of the module.

    Raises:
        InvalidOption: before anything is touched.
        Refused: a guard said no; nothing was touched.
        NotThere: its pods do not become available, or it does not go, in time.
        Stopped: the run was interrupted; the result says how far it came.
        ClusterError: a request failed.

    """
    check_params(params)
    progress = Progress(params["progress_path"])
    with progress.stoppable():
        return _Copy(connect(params), params, check_mode, progress).run()


def check_params(params: Mapping[str, Any]) -> None:
    """Raise InvalidOption for what types do not say."""
    if params["name"] == params["copy"]:
        raise InvalidOption("copy", params["copy"], "another name than the one of the Deployment that is copied")
    if params["state"] == "present":
        if not params["labels"]:
            accepted = "at least one label, such as version: green, that tells the copy's pods from the others"
            raise InvalidOption("labels", {}, accepted)
        for container, image in params["images"].items():
            check_image(f"images.{container}", str(image), allow_tags=params["allow_tags"])
    if params["replicas"] is not None and params["replicas"] < 0:
        raise InvalidOption("replicas", params["replicas"], "0 or more")
    if params["share"] is not None and not 0 < params["share"] < 100:
        raise InvalidOption("share", params["share"], "a percentage above 0 and below 100")
    check_seconds(params, "give_up_after")


@dataclass
class _Copy:
    cluster: Cluster
    params: Mapping[str, Any]
    check_mode: bool
    progress: Progress
    clock: Callable[[], float] = time.monotonic
    found: Optional[Document] = None
    now: Optional[Document] = None
    wanted: Optional[Document] = None
    others: int = 0
    actions: list[dict[str, Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    rollout: Optional[Rollout] = None

    @property
    def shown(self) -> str:
        return f"Deployment {self.params['namespace']}/{self.params['copy']}"

    def run(self) -> dict[str, Any]:
        try:
            return anew(self._decided, kinds=("conflict", "invalid"), unless=lambda: self.actions)
        except Stopped as stop:
            message = f"{stop.message}. What was begun goes on by itself; the same task waits on."
            raise Stopped(message, **self._result()) from None

    def _decided(self) -> dict[str, Any]:
        self.found = self.now = self.cluster.find("deployment", self.params["namespace"], self.params["copy"])
        return self._absent() if self.params["state"] == "absent" else self._present()

    # --- present
    def _present(self) -> dict[str, Any]:
        namespace = self.params["namespace"]
        source = self.cluster.read("deployment", namespace, self.params["name"])
        known = [name for _section, name, _image in containers_of(template_of(source))]
        missing = [each for each in self.params["images"] if each not in known]
        if missing:
            reason = f"Deployment {self.params['name']} has no container {', '.join(missing)}"
            raise self._refusal(Refusal(self.shown, reason, f"Name one of its containers: {', '.join(known)}."))
        self.others = replicas_of(source)
        share, replicas = self.params["share"], self.params["replicas"]
        count = self.others if replicas is None else replicas
        images = {container: str(image) for container, image in self.params["images"].items()}
        labels = {key: str(value) for key, value in self.params["labels"].items()}
        wanted = copy_of(
            source,
            self.params["copy"],
            labels=labels,
            images=images,
            replicas=count if share is None else replicas_for(share, self.others),
        )
        plan = plan_copy(
            self._with_defaults(wanted),
            self.found,
            self.cluster.list("service", namespace) if self.found and self.params["must_not_serve"] else (),
            source_labels=template_labels(source),
            never_shrink=share is not None,
            must_not_serve=self.params["must_not_serve"],
            keep_replicas=self._is_scaled(),
        )
        if plan.refusal:
            raise self._refusal(plan.refusal)
        if plan.step == "update" and self.found is not None:
            refusal, self.notes = ownership_verdict(self.found, self.shown, self.params["gitops"])
            if refusal:
                raise self._refusal(refusal)
        self.wanted = plan.wanted
        self._apply(plan.step)
        if self.params["wait"] and not self.check_mode:
            self._wait()
        return self._result()

    def _with_defaults(self, wanted: dict[str, Any]) -> dict[str, Any]:
        """What the server would make of the template, so that it can be compared with the one that is there."""
        if self.found is None or not has_selector_of(self.found, wanted):
            return wanted
        trial = {**wanted, "spec": {**wanted["spec"], "replicas": self.found["spec"].get("replicas", 1)}}
        body = patch_of(self.found, trial)
        if len(body) > 1:
            done = self.cluster.patch(
                "deployment", self.params["namespace"], self.params["copy"], body, how="json", dry_run=True
            )
            wanted["spec"]["template"] = done["spec"]["template"]
        return wanted

    def _is_scaled(self) -> bool:
        if self.found is None:
            return False
        autoscalers = self.cluster.list("horizontalpodautoscaler", self.params["namespace"])
        return autoscaler_of(autoscalers, "deployment", self.params["copy"]) is not None

    def _apply(self, step: str) -> None:
        if step == "nothing" or self.wanted is None:
            return
        namespace, name = self.params["namespace"], self.params["copy"]
        try:
            if step == "create":
                self.now = self.cluster.create("deployment", namespace, self.wanted, dry_run=self.check_mode)
            elif self.found is not None:
                body = patch_of(self.found, self.wanted)
                self.now = self.cluster.patch("deployment", namespace, name, body, how="json", dry_run=self.check_mode)
        except ClusterError as error:
            if error.kind not in {"timeout", "interrupted"} or self.check_mode:
                raise
            # An answer that never came may have been a change all the same.
            self.now = self.cluster.find("deployment", namespace, name)
            if figures(self.now) != figures(self.wanted):
                raise
        before, after = figures(self.found), figures(self.wanted)
        self.actions.append(
            {
                "action": f"{step}_copy",
                "object": self.shown,
                "replicas_before": before.get("replicas", 0),
                "replicas_after": after["replicas"],
                "images": after["images"],
            }
        )

    def _wait(self) -> None:
        self.progress.phase("roll out", self.shown)
        self.rollout = wait_for_rollout(
            self.cluster,
            "deployment",
            self.params["namespace"],
            self.params["copy"],
            timeout=self.params["wait_timeout"],
            sleep=self.params["wait_sleep"],
            give_up_after=self.params["give_up_after"],
            progress=lambda line: self.progress.at(0, line),
            pause=lambda seconds: self.progress.wait(seconds, ""),
        )
        if not self.rollout.done:
            raise NotThere(
                f"{self.shown} is not available: {self.rollout.reason or self.rollout.line} ({self.rollout.line})."
                f" Deployment {self.params['name']} was not touched.",
                **self._result(),
            )

    # --- absent
    def _absent(self) -> dict[str, Any]:
        if self.found is None:
            return self._result()
        if not is_copy(self.found, self.params["name"]):
            reason = f"it is no copy of Deployment {self.params['name']} that was made here"
            raise self._refusal(Refusal(self.shown, reason, "Look what it is; kubectl delete deployment removes it."))
        namespace, name = self.params["namespace"], self.params["copy"]
        if not self.found["metadata"].get("deletionTimestamp"):
            uid = self.found["metadata"]["uid"]
            self.cluster.delete(
                "deployment", namespace, name, uid=uid, propagation="Foreground", dry_run=self.check_mode
            )
        self.actions.append({"action": "remove_copy", "object": self.shown})
        if self.params["wait"] and not self.check_mode:
            self._wait_until_gone()
        self.now = None
        return self._result()

    def _wait_until_gone(self) -> None:
        deadline = self.clock() + self.params["wait_timeout"]
        reason = "its pods have not ended"
        self.progress.phase("remove", self.shown)
        while True:
            try:
                if self.cluster.find("deployment", self.params["namespace"], self.params["copy"]) is None:
                    return
            except ClusterError as error:
                if error.kind not in PASSING:
                    raise
                reason = error.message.rstrip(".")
            if self.clock() >= deadline:
                message = f"{self.shown} is being deleted, and is not gone yet: {reason}. The same task waits on."
                raise NotThere(message, **self._result())
            self.progress.wait(self.params["wait_sleep"], reason)

    # --- result
    def _refusal(self, refusal: Refusal) -> Refused:
        message = f"{refusal.object}: {refusal.reason}. {refusal.remedy} Nothing was changed."
        return Refused(message, **{**self._result(), "refused": [refusal.as_dict()]})

    def _result(self) -> dict[str, Any]:
        before, now = figures(self.found), figures(self.now)
        wanted = figures(self.wanted) if self.check_mode else now
        count = int(wanted.get("replicas") or 0)
        return outcome(
            changed=bool(self.actions),
            actions=self.actions,
            before=before,
            after=None if self.check_mode else now,
            diff={"before": before, "after": wanted},
            share_percent=round(100 * count / (count + self.others), 1) if count + self.others else 0.0,
            rollout=self.rollout.facts() if self.rollout else None,
            notes=self.notes,
        )
