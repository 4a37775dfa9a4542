# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Deployments, StatefulSets and DaemonSets as facts: what they should be against what is there. Pure."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.health.common import (
    Document,
    Facts,
    Reference,
    condition,
    name_of,
    namespace_of,
)
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.health.pods import BROKEN, Pods, Seen, images_of
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.memory import PARKED
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.moments import age_seconds
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.ownership import gitops_owner
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.pod_words import shortened
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.rollout_state import rollout_of

_SETTLE_SECONDS = 60
KINDS = ("deployment", "statefulset", "daemonset")


@dataclass(frozen=True)
class Expected:
    """A workload that has to be there, and how many pods it must have, if exactly so many."""

    kind: str
    namespace: str
    name: str
    exactly: Optional[int] = None

    @property
    def reference(self) -> Reference:
        """What it is found by."""
        return self.kind, self.namespace, self.name


def workloads_facts(
    listed: Mapping[str, Optional[Iterable[Document]]],
    pods: Optional[Pods],
    expected: Sequence[Expected],
    now: dt.datetime,
) -> list[Facts]:
    """The section C(workloads), those that are missing among it.

    Args:
        listed: The documents by kind; None for a kind that could not be listed, about which nothing is said.
        pods: All pods; None where they could not be listed.
        expected: What has to be there; one whose kind could not be listed may be missing, and nobody knows.
        now: The moment that counts as now.

    """
    wanted = {each.reference: each for each in expected}
    found: dict[Reference, Facts] = {}
    for kind, documents in listed.items():
        for document in documents or ():
            reference = (kind, namespace_of(document), name_of(document))
            found[reference] = workload_facts(kind, document, pods, wanted.get(reference), now)
    for each in expected:
        if each.reference not in found and each.kind in listed:
            found[each.reference] = _missing(each, is_known=listed[each.kind] is not None)
    return [facts for _reference, facts in sorted(found.items(), key=lambda item: item[0])]


def workload_facts(
    kind: str, document: Document, pods: Optional[Pods], expected: Optional[Expected], now: dt.datetime
) -> Facts:
    """One workload."""
    spec, metadata = document.get("spec") or {}, document["metadata"]
    rollout = rollout_of(kind, document)
    desired, available = rollout.desired or 0, rollout.ready if rollout.available is None else rollout.available
    lacking = max(0, desired - (available or 0))
    by_hand = rollout.stuck and (spec.get("updateStrategy") or {}).get("type") == "OnDelete"
    reference = (kind, namespace_of(document), name_of(document))
    own = None if pods is None else pods.of(reference)
    broken = None if own is None else sum(1 for each in own if each.effect == BROKEN)
    live = None if own is None else sum(1 for each in own if each.is_live)
    exactly = None if expected is None else expected.exactly
    return {
        "name": f"{reference[1]}/{reference[2]}",
        "kind": kind,
        "namespace": reference[1],
        "workload": reference[2],
        "is_expected": expected is not None,
        "is_missing": False,
        "desired_count": desired,
        "updated_count": rollout.updated,
        "ready_count": rollout.ready,
        "available_count": available,
        "unavailable_count": lacking,
        "unexplained_count": lacking if own is None else _unexplained(kind, spec, own, desired, lacking),
        "broken_pods_count": broken,
        "live_pods_count": live,
        "is_down": desired > 0 and not available,
        "is_paused": rollout.paused,
        "is_stuck": rollout.stuck and not rollout.paused and not by_hand,
        # Somebody has to delete each pod; that is meant so, and no fault.
        "waits_for_deletion": by_hand,
        "is_rolled_out": rollout.done,
        "reason": _reason(document, rollout.reason),
        "generation_lag": _lag(document),
        "is_settling": _is_settling(document, now),
        "revision": rollout.revision,
        "is_parked": PARKED in (metadata.get("annotations") or {}),
        "is_scaled_to_zero": desired == 0 and (kind != "daemonset" or rollout.observed),
        "has_exact_count": exactly is not None,
        "exact_count": exactly,
        "is_exact": None if exactly is None else _is_exact(exactly, desired, live),
        "may_overlap": exactly == 1 and kind == "deployment" and _surges(spec),
        "gitops_owner": gitops_owner(document),
        "images": images_of(spec.get("template") or {}, own or ()),
    }


def _unexplained(kind: str, spec: Mapping[str, Any], own: Sequence[Seen], desired: int, lacking: int) -> int:
    """How many pods are lacking of which no pod tells: broken ones are told, and those on their way will come.

    A ready pod that is not available yet has to be so for minReadySeconds. A StatefulSet makes one pod after the other,
    and one that replaces pods waits until the old one has ended.
    """
    live = [each for each in own if each.is_live]
    broken = sum(1 for each in own if each.effect == BROKEN)
    starting = sum(1 for each in live if each.effect is None and not each.state.ready)
    ready = sum(1 for each in live if each.state.ready and each.effect != BROKEN)
    replaces = kind != "deployment" or (spec.get("strategy") or {}).get("type") == "Recreate"
    leaving = sum(1 for each in own if each.is_deleted and each.state.problem is None) if replaces else 0
    in_turn = kind == "statefulset" and (spec.get("podManagementPolicy") or "OrderedReady") == "OrderedReady"
    if in_turn and (broken or starting or leaving):
        return 0
    return min(lacking, max(0, desired - ready - broken - starting - leaving))


def _is_exact(exactly: int, desired: int, live: Optional[int]) -> bool:
    return desired == exactly and live in (None, exactly)


def _surges(spec: Mapping[str, Any]) -> bool:
    """Whether an update starts the new pod before the old one has ended."""
    strategy = spec.get("strategy") or {}
    if strategy.get("type", "RollingUpdate") != "RollingUpdate":
        return False
    return str((strategy.get("rollingUpdate") or {}).get("maxSurge", "25%")) not in ("0", "0%")


def _reason(document: Document, stuck: Optional[str]) -> Optional[str]:
    """Why pods are missing: a quota or a webhook, which no pod can say."""
    failure = condition(document, "ReplicaFailure")
    if failure.get("status") == "True":
        return shortened(failure.get("message")) or str(failure.get("reason"))
    return stuck


def _lag(document: Document) -> int:
    """How many changes its controller has not looked at."""
    seen = (document.get("status") or {}).get("observedGeneration")
    generation = int(document["metadata"].get("generation") or 0)
    return 0 if seen is None else max(0, generation - int(seen))


def _is_settling(document: Document, now: dt.datetime) -> bool:
    """Whether it was made, scaled or changed just now, so that what it has is not yet what it should have."""
    metadata = document["metadata"]
    changes = (each for each in metadata.get("managedFields") or () if each.get("subresource") != "status")
    ages = [
        age_seconds(moment, now)
        for moment in (metadata.get("creationTimestamp"), *(each.get("time") for each in changes))
    ]
    return any(age is not None and age < _SETTLE_SECONDS for age in ages)


def _missing(expected: Expected, *, is_known: bool) -> Facts:
    facts: Facts = dict.fromkeys(
        ("desired_count", "updated_count", "ready_count", "available_count", "unavailable_count", "unexplained_count")
    )
    return {
        "name": f"{expected.namespace}/{expected.name}",
        "kind": expected.kind,
        "namespace": expected.namespace,
        "workload": expected.name,
        "is_expected": True,
        "is_missing": True if is_known else None,
        **facts,
        "broken_pods_count": None,
        "live_pods_count": None,
        "is_down": None,
        "is_paused": None,
        "is_stuck": None,
        "waits_for_deletion": None,
        "is_rolled_out": None,
        "reason": "it does not exist" if is_known else "whether it exists could not be read",
        "generation_lag": None,
        "is_settling": None,
        "revision": None,
        "is_parked": None,
        "is_scaled_to_zero": None,
        "has_exact_count": expected.exactly is not None,
        "exact_count": expected.exactly,
        "is_exact": None,
        "may_overlap": None,
        "gitops_owner": None,
        "images": [],
    }
