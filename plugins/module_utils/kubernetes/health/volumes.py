# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How full claims' file systems are, which only the kubelet of a pod's node knows. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.health.common import Facts, percent
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.health.pods import Seen


def mounted_claims(pods: Iterable[Seen]) -> dict[tuple[str, str], str]:
    """Namespace and name of each claim that a live pod mounts, and the node of one such pod."""
    found: dict[tuple[str, str], str] = {}
    for each in pods:
        spec = each.document.get("spec") or {}
        if not each.is_live or not spec.get("nodeName"):
            continue
        for volume in spec.get("volumes") or ():
            claim = _claim_of(each, volume)
            if claim:
                found.setdefault((each.workload[1], claim), str(spec["nodeName"]))
    return found


def used_claims(pods: Iterable[Seen]) -> frozenset[tuple[str, str]]:
    """Namespace and name of each claim that a pod wants, also one that has no node yet."""
    found = set()
    for each in pods:
        for volume in (each.document.get("spec") or {}).get("volumes") or () if each.is_live else ():
            claim = _claim_of(each, volume)
            if claim:
                found.add((each.workload[1], claim))
    return frozenset(found)


def _claim_of(pod: Seen, volume: Mapping[str, Any]) -> Optional[str]:
    if volume.get("ephemeral") is not None:
        # https://kubernetes.io/docs/concepts/storage/ephemeral-volumes/#persistentvolumeclaim-naming
        return f"{pod.state.name}-{volume['name']}"
    name = (volume.get("persistentVolumeClaim") or {}).get("claimName")
    return str(name) if name else None


def volumes_facts(
    mounted: Mapping[tuple[str, str], str], summaries: Mapping[str, Optional[Mapping[str, Any]]]
) -> list[Facts]:
    """The section C(volumes).

    Args:
        mounted: See C(mounted_claims).
        summaries: What each node's kubelet says at C(/stats/summary); None where it could not be asked.

    """
    figures: dict[tuple[str, str], Mapping[str, Any]] = {}
    for summary in summaries.values():
        for pod in (summary or {}).get("pods") or ():
            for volume in pod.get("volume") or ():
                claim = volume.get("pvcRef")
                if claim:
                    figures[str(claim.get("namespace")), str(claim.get("name"))] = volume
    return [_volume(key, node, figures.get(key) or {}) for key, node in sorted(mounted.items())]


def _volume(key: tuple[str, str], node: str, figures: Mapping[str, Any]) -> Facts:
    namespace, claim = key
    used, capacity = figures.get("usedBytes"), figures.get("capacityBytes")
    inodes = figures.get("inodesUsed")
    return {
        "name": f"{namespace}/{claim}",
        "namespace": namespace,
        "claim": claim,
        "node": node,
        "capacity_bytes": capacity,
        "used_bytes": used,
        "available_bytes": figures.get("availableBytes"),
        "used_percent": None if used is None or not capacity else percent(used, capacity),
        "inodes_used_percent": None if inodes is None else percent(inodes, figures.get("inodes") or 0),
    }
