# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One look at a rollout, its history and who else decides about it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, TypeVar

from ansible_collections.runbook.ops.plugins.module_utils.common.clock import iso, utc_now
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.client import connect
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.errors import ClusterError
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.history import (
    HOLDERS,
    Revision,
    deployed_at,
    images_of,
    previous,
    revisions_of,
    template_of,
)
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.moments import age_seconds
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.ownership import (
    autoscaler_facts,
    autoscaler_of,
    gitops_owner,
    helm_release,
)
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.rollout_result import figures
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.rollout_state import rollout_of
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.rollout_wait import explain_rollout
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.workload import selector_of

_T = TypeVar("_T")
_FACTS = (
    "rollout",
    "deployed_at",
    "deployed_seconds",
    "restarted_at",
    "previous_number",
    "revisions",
    "gitops_owner",
    "helm_release",
    "autoscaler",
)


def look_at_rollout(params: Mapping[str, Any]) -> dict[str, Any]:
    """The whole result of the module.

    Raises:
        InvalidOption: before anything is asked.

    """
    cluster, now = connect(params), utc_now()
    kind, namespace, name = params["kind"], params["namespace"], params["name"]
    skipped: list[dict[str, str]] = []
    nothing: dict[str, Any] = {**dict.fromkeys(_FACTS), "measured_at": iso(now), "skipped_sections": skipped}
    try:
        workload = cluster.read(kind, namespace, name)
    except ClusterError as error:
        return {**nothing, "available": False, "reason": error.message}

    def part(section: str, remedy: str, read: Callable[[], _T]) -> _T | None:
        try:
            return read()
        except ClusterError as error:
            skipped.append({"section": section, "reason": error.message, "remedy": remedy})
            return None

    holders = part(
        "revisions",
        "Grant what is named; without it nobody knows what there is to go back to.",
        lambda: list(cluster.list(HOLDERS[kind], namespace, label_selector=selector_of(workload))),
    )
    revisions = None if holders is None else revisions_of(kind, workload, holders)
    scalers = part(
        "autoscaler",
        "Grant what is named; without it nobody knows what else scales the workload.",
        lambda: list(cluster.list("horizontalpodautoscaler", namespace)),
    )
    scaler = autoscaler_of(scalers or (), kind, name)
    rollout = rollout_of(kind, workload)
    explained = part(
        "problems",
        "Grant what is named; without it nobody knows why a rollout is stuck.",
        lambda: explain_rollout(cluster, kind, workload, rollout),
    )
    since, before = deployed_at(workload, revisions or ()), previous(revisions or (), template_of(workload))
    return {
        **nothing,
        "available": True,
        "reason": None,
        "rollout": (explained or rollout).facts(),
        "deployed_at": since,
        "deployed_seconds": age_seconds(since, now),
        "restarted_at": figures(kind, workload)["restarted_at"],
        "previous_number": None if before is None else before.number,
        "revisions": None if revisions is None else [_facts(each, now) for each in revisions],
        "gitops_owner": gitops_owner(workload),
        "helm_release": helm_release(workload),
        "autoscaler": None if scaler is None else autoscaler_facts(scaler),
    }


def _facts(revision: Revision, now: datetime) -> dict[str, Any]:
    return {
        "number": revision.number,
        "name": revision.name,
        "current": revision.current,
        "images": images_of(revision.template),
        "change_cause": revision.change_cause,
        "created_at": revision.created_at,
        "age_seconds": age_seconds(revision.created_at, now),
        "replicas": revision.replicas,
        "earlier_numbers": list(revision.earlier),
    }
