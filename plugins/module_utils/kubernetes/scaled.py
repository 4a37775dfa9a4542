# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads what is scaled with its autoscalers, and sends single patches: what parking and scaling have in common."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Optional

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption
from ansible_collections.runbook.ops.plugins.module_utils.common.outcome import Refusal
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.client import Cluster
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.errors import ClusterError
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.ownership import ownership_verdict
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.persistence import TRIES
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.scaling import (
    HPA,
    KEDA,
    Autoscaler,
    Document,
    Step,
    Target,
    autoscalers_of,
    is_of_keda,
)

# https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/#side-effects
_NO_REHEARSAL = "does not support dry run"


class Scaled:
    """One namespace: its workloads and autoscalers, and patches to them."""

    def __init__(self, cluster: Cluster, namespace: str, gitops: str) -> None:
        self.cluster = cluster
        self.namespace = namespace
        self.gitops = gitops
        self.done: list[Step] = []
        self.warnings: list[str] = []
        self.skipped: list[dict[str, str]] = []
        self._unread_keda: Optional[ClusterError] = None

    def autoscalers(self) -> tuple[list[Document], list[Document]]:
        """HorizontalPodAutoscalers and ScaledObjects; without KEDA there are none of these."""
        hpas: list[Document] = list(self.cluster.list(HPA, self.namespace))
        try:
            return hpas, list(self.cluster.list(KEDA, self.namespace))
        except ClusterError as error:
            if error.kind == "forbidden":
                self._unread_keda = error
                # Whether there is KEDA at all is not known then, and most clusters have none.
                remedy = "Grant it if the cluster has KEDA, which otherwise scales from zero again."
                skipped = {"section": "scaledobjects", "reason": error.message, "remedy": remedy}
                if skipped not in self.skipped:
                    self.skipped.append(skipped)
            elif error.kind != "missing":
                raise
            return hpas, []

    def read(self, target: Target) -> tuple[Document, tuple[Autoscaler, ...]]:
        """A workload and what scales it; for a CronJob nothing does."""
        document = self.cluster.read(target.kind, self.namespace, target.name)
        if target.kind == "cronjob":
            return document, ()
        return document, self.autoscalers_of(target, *self.autoscalers())

    def autoscalers_of(
        self, target: Target, hpas: Sequence[Document], keda: Sequence[Document]
    ) -> tuple[Autoscaler, ...]:
        """What scales a workload; raises when that is KEDA, which may not be read."""
        if self._unread_keda and any(is_of_keda(each) and Autoscaler(HPA, each).target == target for each in hpas):
            raise self._unread_keda
        return autoscalers_of(target, hpas, keda)

    def owners(self, documents: Sequence[tuple[Target, Document]]) -> list[Refusal]:
        """Who would undo the changes to these objects."""
        refusals = []
        for target, document in documents:
            shown = target.shown(self.namespace)
            refusal, warnings = ownership_verdict(document, shown, self.gitops)
            self.warnings += [each for each in warnings if each not in self.warnings]
            if refusal:
                refusals.append(refusal)
        return refusals

    def rehearse(self, steps: Sequence[Step]) -> None:
        """Ask the server whether it would take the patches: rights, quotas and admission are known to it alone.

        Without the version, because a status that was written meanwhile is no reason to say no.
        """
        for step in steps:
            metadata = {name: value for name, value in step.patch["metadata"].items() if name != "resourceVersion"}
            patch = {**step.patch, "metadata": metadata}
            try:
                self.cluster.patch(step.kind, self.namespace, step.name, patch, dry_run=True)
            except ClusterError as error:
                # An admission webhook with effects of its own. It is asked when it is meant.
                if _NO_REHEARSAL not in error.message:
                    raise
                shown = Target(step.kind, step.name).shown(self.namespace)
                self.warnings.append(
                    f"Whether the server takes the change of {shown} is not known before: {error.message}"
                )

    def send(self, plan: Callable[[], Sequence[Step]], first: Sequence[Step]) -> None:
        """Apply patches in their order; decide anew when somebody else was faster.

        Args:
            plan: Reads again, and says what is still to be done.
            first: What is to be done as it was read at first.

        """
        steps, left = first, TRIES
        while True:
            try:
                self._patch(steps)
            except ClusterError as error:
                left -= 1
                if error.kind != "conflict" or not left:
                    raise
                steps = plan()
            else:
                return

    def _patch(self, steps: Sequence[Step]) -> None:
        for step in steps:
            self.cluster.patch(step.kind, self.namespace, step.name, step.patch)
            self.done.append(step)


def check_replicas(option: str, value: object, *, lowest: int = 1) -> Optional[int]:
    """A number of pods; raises InvalidOption."""
    if value is None:
        return None
    if isinstance(value, bool) or not str(value).isdigit() or not lowest <= int(str(value)) <= 100000:
        raise InvalidOption(option, value, f"a whole number from {lowest} to 100000")
    return int(str(value))
