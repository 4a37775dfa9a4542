# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Claims, disruption budgets and certificates as facts. Pure."""

from __future__ import annotations

import datetime as dt
from collections.abc import Container
from typing import Optional

from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.claim import claim_of
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.health.common import (
    Document,
    Facts,
    condition,
    name_of,
    namespace_of,
    percent,
)
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.moments import age_seconds, moment_of
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.pod_words import shortened
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.quantity import bytes_of

_SHORT_LIVED_DAYS = 45
_ISSUE_SECONDS = 900


def claim_facts(document: Document, now: dt.datetime, mounted: Optional[Container[tuple[str, str]]] = None) -> Facts:
    """One PersistentVolumeClaim, and how far its growth is.

    Args:
        document: The server's document.
        now: The moment that counts as now.
        mounted: Namespace and name of the claims that pods use; None where that is not known.

    """
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
        # It waits for a pod that uses it, as many classes have it.
        "is_unused": None if mounted is None else (claim.namespace, claim.name) not in mounted,
        "is_waiting": claim.phase == "Pending" and mounted is not None and (claim.namespace, claim.name) not in mounted,
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
    lifetime, left = _days_from(moment_of(status.get("notBefore")), ends), days_between(now, ends)
    age = age_seconds(document["metadata"].get("creationTimestamp"), now)
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
        "days_left": left,
        "lifetime_days": lifetime,
        # It never has 30 days left for long, and is judged by what is left of its own lifetime.
        "is_short_lived": lifetime is not None and lifetime < _SHORT_LIVED_DAYS,
        "lifetime_left_percent": None if left is None or not lifetime else percent(max(0.0, left), lifetime),
        # Its first issue takes a while.
        "is_new": not ends and age is not None and age < _ISSUE_SECONDS,
        # For how long it should have been renewed.
        "renewal_overdue_seconds": age_seconds(renews, now) if renews else None,
        "failed_attempts_count": int(status.get("failedIssuanceAttempts") or 0),
    }


def days_between(now: dt.datetime, ends: object) -> Optional[float]:
    """Days until a moment with one decimal, below 0 when it is over; None where it is not known."""
    return _days_from(now, ends)


def _days_from(begin: Optional[dt.datetime], ends: object) -> Optional[float]:
    moment = moment_of(str(ends)) if ends else None
    return None if moment is None or begin is None else round((moment - begin).total_seconds() / 86400, 1)
