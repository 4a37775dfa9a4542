# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Claims, disruption budgets and certificates as facts. Pure."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from typing import Optional

from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.claim import claim_of
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.health.common import (
    Document,
    Facts,
    age_seconds,
    condition,
    moment_of,
    name_of,
    namespace_of,
)
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.health.pods import Seen
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.pod_words import shortened
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.quantity import bytes_of


def claim_facts(document: Document, now: dt.datetime) -> Facts:
    """One PersistentVolumeClaim, and how far its growth is."""
    claim = claim_of(document)
    requested = bytes_of(claim.requested)
    capacity = None if claim.capacity is None else bytes_of(claim.capacity)
    is_growing = claim.phase == "Bound" and capacity is not None and capacity < requested
    resize = None
    if claim.is_infeasible or claim.waits_for_filesystem or is_growing:
        said = next((message for kind, message in claim.conditions if message and "Resiz" in kind), "")
        if claim.is_infeasible:
            resize = "the storage cannot have the size"
        elif claim.waits_for_filesystem:
            resize = "the volume has grown, and its file system grows when a pod mounts it again"
        else:
            resize = "the volume is growing"
        resize = f"{resize}: {shortened(said)}" if said else resize
    return {
        "name": f"{claim.namespace}/{claim.name}",
        "namespace": claim.namespace,
        "claim": claim.name,
        "phase": claim.phase,
        "age_seconds": age_seconds(document["metadata"].get("creationTimestamp"), now),
        "storage_class": claim.storage_class,
        "volume": claim.volume,
        "requested_bytes": requested,
        "capacity_bytes": capacity,
        "is_growing": is_growing or claim.waits_for_filesystem,
        "is_resize_failed": claim.is_infeasible,
        "resize": resize,
        "is_deleted": claim.is_deleted,
    }


def mounts(pods: Iterable[Seen]) -> bool:
    """Whether any pod has a claim among its volumes."""
    volumes = (volume for each in pods for volume in (each.document.get("spec") or {}).get("volumes") or ())
    return any("persistentVolumeClaim" in volume or "ephemeral" in volume for volume in volumes)


def budget_facts(document: Document) -> Facts:
    """One PodDisruptionBudget: whether a node can be drained."""
    status = document.get("status") or {}
    namespace, name = namespace_of(document), name_of(document)
    expected, allowed = int(status.get("expectedPods") or 0), int(status.get("disruptionsAllowed") or 0)
    return {
        "name": f"{namespace}/{name}",
        "namespace": namespace,
        "budget": name,
        "expected_count": expected,
        "healthy_count": int(status.get("currentHealthy") or 0),
        "desired_healthy_count": int(status.get("desiredHealthy") or 0),
        "allowed_count": allowed,
        "is_blocking": expected > 0 and allowed == 0,
    }


def certificate_facts(document: Document, now: dt.datetime) -> Facts:
    """One Certificate of cert-manager: when it ends, which C(READY) does not say."""
    status, spec = document.get("status") or {}, document.get("spec") or {}
    ready = condition(document, "Ready")
    ends, renews = status.get("notAfter"), status.get("renewalTime")
    namespace, name = namespace_of(document), name_of(document)
    return {
        "name": f"{namespace}/{name}",
        "namespace": namespace,
        "certificate": name,
        "secret": spec.get("secretName"),
        "dns_names": list(spec.get("dnsNames") or ()),
        "is_ready": {"True": True, "False": False}.get(str(ready.get("status"))),
        "reason": None if ready.get("status") == "True" else shortened(ready.get("message")) or "it was never issued",
        "is_issued": bool(ends),
        "not_after": ends,
        "days_left": days_between(now, ends),
        # For how long it should have been renewed.
        "renewal_overdue_seconds": age_seconds(renews, now) if renews else None,
        "failed_attempts_count": int(status.get("failedIssuanceAttempts") or 0),
    }


def days_between(now: dt.datetime, ends: object) -> Optional[float]:
    """Days until a moment with one decimal, below 0 when it is over; None where it is not known."""
    moment = moment_of(str(ends)) if ends else None
    return None if moment is None else round((moment - now).total_seconds() / 86400, 1)
