# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Grows one claim: decide, patch the one field, and wait until the file system has the size."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import RunbookError
from ansible_collections.runbook.ops.plugins.module_utils.common.outcome import Refused, outcome
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.claim import (
    GROW,
    NOTHING,
    REFUSE,
    Claim,
    Decision,
    claim_of,
    class_refusal,
    decide,
    mounting,
    patch_of,
)
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.client import Cluster, connect
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.errors import ClusterError
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.persistence import anew
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.quantity import check_size
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.waiting import check_seconds


class NotGrown(RunbookError):
    """The claim asks for the size and does not have it; the result travels along."""


def grow_claim(params: Mapping[str, Any], *, check_mode: bool) -> dict[str, Any]:
    """The whole result of the module.

    Raises:
        InvalidOption: before anything is touched.
        Refused: the claim must not or cannot grow to the size; nothing was touched.
        NotGrown: it was asked for, and is not there in time.
        ClusterError: a request failed.

    """
    _check(params)
    return _Growth(connect(params), params, check_mode).run()


def _check(params: Mapping[str, Any]) -> None:
    check_size("size", params["size"])
    if params["max_size"]:
        check_size("max_size", params["max_size"])
    check_seconds(params, "filesystem_timeout")


@dataclass
class _Growth:
    cluster: Cluster
    params: Mapping[str, Any]
    check_mode: bool
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    before: Optional[Claim] = None
    changed: bool = False

    def run(self) -> dict[str, Any]:
        return anew(self._decided)

    def _decided(self) -> dict[str, Any]:
        claim = self.before = self._read()
        decision = self._decide(claim)
        if decision.step == GROW:
            return self._grown(claim)
        if decision.step == REFUSE:
            message = f"{claim.shown}: {decision.reason}. {decision.remedy}"
            refused = {"object": claim.shown, "reason": decision.reason, "remedy": decision.remedy}
            raise Refused(message, **{**self._result(claim, size=claim.requested), "refused": [refused]})
        if decision.step == NOTHING or self.check_mode:
            return self._result(claim, size=claim.requested)
        return self._waited(claim)

    def _read(self) -> Claim:
        return claim_of(self.cluster.read("persistentvolumeclaim", self.params["namespace"], self.params["name"]))

    def _decide(self, claim: Claim) -> Decision:
        decision = decide(claim, self.params["size"], self.params["max_size"] or None)
        if decision.step != GROW:
            return decision
        storage_class = None
        if claim.storage_class:
            try:
                storage_class = self.cluster.read("storageclass", None, claim.storage_class)
            except ClusterError as error:
                if error.kind != "missing":
                    raise
        return class_refusal(claim, storage_class) or decision

    def _grown(self, claim: Claim) -> dict[str, Any]:
        # In check mode the server is asked as well, because quotas and other rules are known to it alone.
        body = patch_of(claim, self.params["size"])
        patched = self.cluster.patch(
            "persistentvolumeclaim", claim.namespace, claim.name, body, dry_run=self.check_mode
        )
        self.changed = True
        return self._result(claim) if self.check_mode else self._waited(claim_of(patched))

    def _waited(self, claim: Claim) -> dict[str, Any]:
        """Until the capacity is there, or nothing but a pod's restart is missing."""
        size = self.params["size"]
        begun = self.clock()
        pending_since: float | None = None
        while self.params["wait"] and not claim.has(size):
            now = self.clock()
            if claim.is_infeasible:
                reason = f"the storage says that it cannot be done ({claim.resize_status})"
                raise self._not_grown(claim, reason)
            pending_since = (pending_since or now) if claim.waits_for_filesystem else None
            # Most storage lets the kubelet grow a file system in use, which takes it a moment.
            if pending_since is not None and now - pending_since >= self.params["filesystem_timeout"]:
                break
            if now - begun >= self.params["wait_timeout"]:
                if claim.waits_for_filesystem:
                    break
                reason = f"after {self.params['wait_timeout']:g} seconds (wait_timeout) it still has {claim.capacity}"
                raise self._not_grown(claim, reason)
            self.sleep(self.params["wait_sleep"])
            claim = self._reread(claim)
        return self._result(claim)

    def _reread(self, claim: Claim) -> Claim:
        try:
            return self._read()
        except ClusterError as error:
            # The size is asked for already: an answer that fails now takes nothing of that back.
            if error.kind in {"busy", "timeout", "interrupted"}:
                return claim
            raise RunbookError(error.message, **self._result(claim)) from None

    def _not_grown(self, claim: Claim, reason: str) -> NotGrown:
        said = "; ".join(f"{kind}: {message}" for kind, message in claim.conditions)
        said = f" ({said})" if said else ""
        return NotGrown(
            f"{claim.shown} asks for {self.params['size']}, but {reason}{said}. Look at the events with"
            f" kubectl describe pvc --namespace {claim.namespace} {claim.name}; the same task waits on.",
            **self._result(claim),
        )

    def _result(self, claim: Claim, size: str | None = None) -> dict[str, Any]:
        before = self.before or claim
        size = size or self.params["size"]
        grows = [{"action": GROW, "claim": f"{claim.namespace}/{claim.name}", "from": before.requested, "to": size}]
        pods, skipped = self._restarts(claim)
        return outcome(
            changed=self.changed,
            actions=grows if self.changed else [],
            before=before.figures(),
            after=None if self.check_mode else claim.figures(),
            diff={"before": {"requested": before.requested}, "after": {"requested": size}},
            needs_pod_restart=pods is None or bool(pods),
            pods=pods,
            skipped_sections=skipped,
        )

    def _restarts(self, claim: Claim) -> tuple[list[dict[str, Any]] | None, list[dict[str, str]]]:
        """The pods to restart; None when they cannot be listed. Without a pod, the next one gets the whole size."""
        if not claim.waits_for_filesystem or claim.has(self.params["size"]):
            return [], []
        try:
            return mounting(claim.name, self.cluster.list("pod", claim.namespace)), []
        except ClusterError as error:
            remedy = "Look with kubectl describe pvc, which names them as Used By."
            return None, [{"section": "pods", "reason": error.message, "remedy": remedy}]
