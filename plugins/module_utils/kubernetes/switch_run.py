# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Moves a Service from one Deployment to another, and back: guarded, patched in one step, and seen in its endpoints."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.common.clock import iso, utc_now
from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption, RunbookError
from ansible_collections.runbook.ops.plugins.module_utils.common.outcome import Refusal, Refused, outcome
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.client import Cluster, connect
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.errors import ClusterError
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.labels import labels_of, selects, template_labels
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.ownership import ownership_verdict
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.persistence import anew
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.rollout_wait import PASSING
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.switching import (
    KEPT,
    MEMORY,
    RETURNED,
    SOAKING,
    Memory,
    companions,
    left_behind,
    memory_of,
    ready_pods,
    refusal_to_remove,
    refusal_to_switch,
    selector_of,
    sides_of,
)
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.waiting import check_seconds

Document = Mapping[str, Any]


class NotServing(RunbookError):
    """The Service was switched, and does not send to the new side; the result travels along."""


def switch_service(params: Mapping[str, Any], *, check_mode: bool) -> dict[str, Any]:
    """The whole result of the module.

    Raises:
        InvalidOption: before anything is touched.
        Refused: a guard said no; nothing was touched.
        NotServing: the endpoints did not follow; the message says whether it was switched back.
        ClusterError: a request failed.

    """
    check_params(params)
    return _Switch(connect(params), params, check_mode).run()


def check_params(params: Mapping[str, Any]) -> None:
    """Raise InvalidOption for what types do not say."""
    state = params["state"]
    if state == "switched" and not params["to"]:
        raise InvalidOption("to", params["to"], "the label's value to switch to, for state switched")
    if state == "removed" and not params["deployment"]:
        raise InvalidOption("deployment", params["deployment"], "the Deployment to remove, for state removed")
    if params["min_ready"] is not None and params["min_ready"] < 1:
        raise InvalidOption("min_ready", params["min_ready"], "1 or more; nothing is switched to an empty side")
    check_seconds(params, "keep_seconds", most=31622400)


@dataclass
class _Switch:
    cluster: Cluster
    params: Mapping[str, Any]
    check_mode: bool
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    service: Document = field(default_factory=dict)
    deployments: list[Document] = field(default_factory=list)
    pods: list[Document] = field(default_factory=list)
    before: Optional[Document] = None
    actions: list[dict[str, Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    skipped: list[dict[str, str]] = field(default_factory=list)
    switched_back: Optional[bool] = None
    # In check mode, the side that it would send to.
    planned: str = ""

    def run(self) -> dict[str, Any]:
        return anew(self._decided, unless=lambda: self.actions)

    def _decided(self) -> dict[str, Any]:
        self._look()
        return getattr(self, f"_{self.params['state']}")()  # type: ignore[no-any-return]

    @property
    def label(self) -> str:
        return str(self.params["label"])

    @property
    def shown(self) -> str:
        return f"Service {self.params['namespace']}/{self.params['service']}"

    def _look(self) -> None:
        namespace = self.params["namespace"]
        self.notes, self.skipped = [], []
        self.service = self.cluster.read("service", namespace, self.params["service"])
        self.before = self.before or self.service
        selector = selector_of(self.service)
        if self.label not in selector:
            text = ", ".join(f"{key}={value}" for key, value in sorted(selector.items())) or "nothing"
            reason = f"its selector has no label {self.label}, it is {text}"
            raise self._refusal(Refusal(self.shown, reason, "Name the label that tells the two sides apart."))
        self._look_at_pods()
        self.deployments = list(self.cluster.list("deployment", namespace))

    def _look_at_pods(self) -> None:
        """Those of all sides."""
        selector = sorted(selector_of(self.service).items())
        wanted = ",".join(self.label if key == self.label else f"{key}={value}" for key, value in selector)
        self.pods = list(self.cluster.list("pod", self.params["namespace"], label_selector=wanted))

    # --- the states
    def _status(self) -> dict[str, Any]:
        return self._result()

    def _switched(self) -> dict[str, Any]:
        to = str(self.params["to"])
        if selector_of(self.service)[self.label] == to:
            return self._result()
        self._guard(to, self.params["min_ready"] or max(1, self._ready_now()))
        return self._move(to, SOAKING, "switch")

    def _returned(self) -> dict[str, Any]:
        memory = memory_of(self.service, self.label)
        now = selector_of(self.service)[self.label]
        leave = self.params["leave"]
        if leave and now != leave:
            return self._result()
        if memory is not None and memory.state == RETURNED and now == memory.before:
            return self._result()
        if memory is None or now != memory.after:
            reason = f"it remembers no switch to {now}"
            raise self._refusal(Refusal(self.shown, reason, "Name the side to switch to, with state switched."))
        self._guard(memory.before, self.params["min_ready"] or 1, is_return=True)
        return self._move(memory.before, RETURNED, "switch_back")

    def _kept(self) -> dict[str, Any]:
        memory = memory_of(self.service, self.label)
        if memory is None or memory.state != SOAKING or selector_of(self.service)[self.label] != memory.after:
            return self._result()
        self._patch({"annotations": {MEMORY: self._memory(memory.before, memory.after, KEPT, memory.at)}}, None)
        self.actions.append({"action": "confirm", "object": self.shown, "side": memory.after})
        return self._result()

    def _removed(self) -> dict[str, Any]:
        namespace, name = self.params["namespace"], self.params["deployment"]
        old = self.cluster.find("deployment", namespace, name)
        if old is None:
            return self._result()
        refusal = refusal_to_remove(
            self.service,
            memory_of(self.service, self.label),
            old,
            self.cluster.list("service", namespace),
            keep_seconds=self.params["keep_seconds"],
            now=utc_now(),
        ) or self._owned(old, f"Deployment {namespace}/{name}")
        if refusal:
            raise self._refusal(refusal)
        try:
            autoscalers = self.cluster.list("horizontalpodautoscaler", namespace)
            self.notes += left_behind(old, list(autoscalers), self.cluster.list("poddisruptionbudget", namespace))
        except ClusterError as error:
            remedy = "Look whether autoscalers or disruption budgets are left behind."
            self.skipped.append({"section": "companions", "reason": error.message, "remedy": remedy})
        self.cluster.delete("deployment", namespace, name, uid=old["metadata"]["uid"], dry_run=self.check_mode)
        self.actions.append({"action": "remove", "object": f"Deployment {namespace}/{name}"})
        self.deployments = [each for each in self.deployments if each["metadata"]["name"] != name or self.check_mode]
        return self._result()

    # --- guards
    def _ready_now(self) -> int:
        return len(ready_pods(self.pods, selector_of(self.service)))

    def _guard(self, to: str, min_ready: int, *, is_return: bool = False) -> None:
        target = self._target(to)
        refusal = refusal_to_switch(
            self.service, self.label, to, target, self.pods, min_ready, is_return=is_return
        ) or self._owned(self.service, self.shown)
        if refusal:
            raise self._refusal(refusal)
        serving = [each for each in self.deployments if selects(selector_of(self.service), template_labels(each))]
        for kind in ("HorizontalPodAutoscaler", "PodDisruptionBudget"):
            try:
                warning = companions(kind, serving, target, self.cluster.list(kind.lower(), self.params["namespace"]))
            except ClusterError as error:
                remedy = f"Look whether the new side has a {kind}."
                self.skipped.append({"section": kind, "reason": error.message, "remedy": remedy})
                continue
            self.notes += [warning] if warning else []

    def _owned(self, document: Document, shown: str) -> Refusal | None:
        refusal, warnings = ownership_verdict(document, shown, self.params["gitops"])
        self.notes += warnings
        return refusal

    def _target(self, to: str) -> Document:
        sides = sides_of(self.service, self.label, self.deployments, self.pods)
        names = [each["deployment"] for each in sides if each["value"] == to]
        if self.params["deployment"]:
            names = [each for each in names if each == self.params["deployment"]]
        if len(names) != 1:
            found = f"{len(names)} Deployments make pods" if names else "no Deployment makes pods"
            values = ", ".join(sorted({f"{each['value']} ({each['deployment']})" for each in sides})) or "none"
            reason = f"{found} that it would send to with {self.label}={to}; there are: {values}"
            remedy = "Create the Deployment of that side first." if not names else "Name it with deployment."
            raise self._refusal(Refusal(self.shown, reason, remedy))
        return next(each for each in self.deployments if each["metadata"]["name"] == names[0])

    def _refusal(self, refusal: Refusal) -> Refused:
        message = f"{refusal.object}: {refusal.reason}. {refusal.remedy} Nothing was changed."
        return Refused(message, **{**self._result(), "refused": [refusal.as_dict()]})

    # --- moving
    def _memory(self, before: str, after: str, state: str, at: str) -> str:
        return Memory(self.label, before, after, at, state).text()

    def _move(self, to: str, state: str, verb: str) -> dict[str, Any]:
        now = selector_of(self.service)[self.label]
        old = memory_of(self.service, self.label)
        # After a return the memory still tells the switch that was taken back.
        sides = (old.before, old.after) if state == RETURNED and old is not None else (now, to)
        metadata = {"annotations": {MEMORY: self._memory(*sides, state, iso(utc_now()))}}
        self._patch(metadata, to)
        self.actions.append(self._action(verb, now, to))
        if self.check_mode:
            self.planned = to
            return self._result()
        reason = self._followed(to)
        if reason is None:
            return self._result()
        raise NotServing(
            f"{self.shown} was switched to {to}, and {reason}. {self._put_back(now, to)}", **self._result()
        )

    def _action(self, verb: str, before: str, after: str) -> dict[str, str]:
        selected = {"selector_before": f"{self.label}={before}", "selector_after": f"{self.label}={after}"}
        return {"action": verb, "object": self.shown, **selected}

    def _patch(self, metadata: Mapping[str, Any], to: str | None) -> None:
        version = self.service["metadata"]["resourceVersion"]
        body: dict[str, Any] = {"metadata": {**metadata, "resourceVersion": version}}
        if to is not None:
            body["spec"] = {"selector": {self.label: to}}
        namespace, name = self.params["namespace"], self.params["service"]
        try:
            found = self.cluster.patch("service", namespace, name, body, dry_run=self.check_mode)
        except ClusterError as error:
            if error.kind not in {"timeout", "interrupted"} or self.check_mode:
                raise
            # An answer that never came may have been a change all the same.
            found = self.cluster.read("service", namespace, name)
            if found["metadata"].get("annotations", {}).get(MEMORY) != metadata["annotations"][MEMORY]:
                raise
        if not self.check_mode:
            self.service = found

    def _followed(self, to: str) -> str | None:
        """Wait until the endpoints are those of the new side; why they are not."""
        deadline = self.clock() + self.params["wait_timeout"]
        namespace, selector = self.params["namespace"], f"kubernetes.io/service-name={self.params['service']}"
        wanted = {
            pod["metadata"]["name"] for pod in ready_pods(self.pods, {**selector_of(self.service), self.label: to})
        }
        reason = ""
        while True:
            try:
                slices = list(self.cluster.list("endpointslice", namespace, label_selector=selector))
                sent = {name for each in slices for name in _ready_targets(each)}
                if sent - {pod["metadata"]["name"] for pod in self.pods}:
                    # An autoscaler has made some meanwhile, of whichever side.
                    self._look_at_pods()
                if sent and sent & wanted and not sent & self._others(to):
                    return None
                reason = f"its endpoints are still {', '.join(sorted(sent)) or 'none'}"
            except ClusterError as error:
                if error.kind not in PASSING:
                    remedy = "Look at the endpoints with kubectl get endpointslices."
                    self.skipped.append({"section": "endpointslices", "reason": error.message, "remedy": remedy})
                    return None
                reason = error.message.rstrip(".")
            if self.clock() >= deadline:
                return f"after {self.params['wait_timeout']:g} seconds (wait_timeout) {reason}"
            self.sleep(self.params["wait_sleep"])

    def _others(self, to: str) -> set[str]:
        return {pod["metadata"]["name"] for pod in self.pods if labels_of(pod).get(self.label) != to}

    def _put_back(self, before: str, after: str) -> str:
        self.switched_back = False
        deadline = self.clock() + self.params["wait_timeout"]
        while True:
            try:
                self.service = self.cluster.read("service", self.params["namespace"], self.params["service"])
                if selector_of(self.service).get(self.label) != after:
                    return "It was not switched back, because somebody else has switched it meanwhile."
                memory = self._memory(before, after, RETURNED, iso(utc_now()))
                self._patch({"annotations": {MEMORY: memory}}, before)
                break
            except ClusterError as error:
                # Nobody may be served now: what passes is waited for.
                if error.kind not in PASSING or self.clock() >= deadline:
                    return f"Switching back failed as well: {error.message} Look at it at once."
            self.sleep(self.params["wait_sleep"])
        self.actions.append(self._action("switch_back", after, before))
        self.switched_back = True
        return f"It was switched back to {before}."

    # --- result
    def _result(self) -> dict[str, Any]:
        before, now = selector_of(self.before or self.service), selector_of(self.service)
        planned = {**now, self.label: self.planned} if self.planned else now
        memory = memory_of(self.service, self.label)
        return outcome(
            changed=bool(self.actions),
            actions=self.actions,
            before={"selector": before},
            after=None if self.check_mode else {"selector": now},
            diff={"before": {"selector": before}, "after": {"selector": planned}},
            value=now.get(self.label),
            previous_selector=before,
            switch=memory.facts() if memory else None,
            sides=sides_of(self.service, self.label, self.deployments, self.pods),
            switched_back=self.switched_back,
            notes=self.notes,
            skipped_sections=self.skipped,
        )


def _ready_targets(endpoint_slice: Document) -> list[str]:
    return [
        str((each.get("targetRef") or {}).get("name"))
        for each in endpoint_slice.get("endpoints") or ()
        if (each.get("conditions") or {}).get("ready") is not False
    ]
