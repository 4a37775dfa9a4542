# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Warnings of the cluster, grouped: a crashing pod alone writes hundreds. Pure."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterable, Mapping
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.health.common import (
    Document,
    Facts,
    Reference,
)
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.health.pods import Pods
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.moments import age_seconds
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.pod_words import shortened

# What a Deployment's and a ReplicaSet's pods have behind the workload's name.
_HASHED = re.compile(r"-[bcdf-hj-np-tv-z0-9]{8,10}-[bcdf-hj-np-tv-z0-9]{5}$")
_HASH = re.compile(r"-[bcdf-hj-np-tv-z0-9]{8,10}$")


def newest_texts(events: Iterable[Document], now: dt.datetime) -> dict[tuple[str, str], str]:
    """What the newest warning about each pod says, by namespace and name."""
    found: dict[tuple[str, str], tuple[float, str]] = {}
    for event in events:
        involved, text = event.get("involvedObject") or {}, shortened(event.get("message"))
        if involved.get("kind") != "Pod" or event.get("type") != "Warning" or not text:
            continue
        age = age_seconds(_last(event), now)
        key = (str(involved.get("namespace") or ""), str(involved.get("name") or ""))
        entry = (float("inf") if age is None else age, text)
        found[key] = min(found.get(key, entry), entry)
    return {key: text for key, (_age, text) in found.items()}


def event_groups(
    events: Iterable[Document], pods: Optional[Pods], unwell: frozenset[str], now: dt.datetime, window: float
) -> list[Facts]:
    """The section C(events): by reason and workload, the most frequent first.

    Args:
        events: Their documents, of C(core/v1).
        pods: All pods, which say what workload an event's pod is of.
        unwell: Namespace and name of the workloads whose trouble is told as that of their pods.
        now: The moment that counts as now.
        window: Seconds; older events are left out.

    """
    owners = {(each.workload[1], each.state.name): each.workload for each in pods.seen} if pods else {}
    groups: dict[tuple[str, str, str, str], list[tuple[Document, int, Optional[int]]]] = {}
    for event in events:
        if event.get("type") != "Warning":
            continue
        age = age_seconds(_last(event), now)
        if age is not None and age > window:
            continue
        kind, namespace, name = _subject(event.get("involvedObject") or {}, owners)
        key = (str(event.get("reason") or ""), kind, namespace, name)
        groups.setdefault(key, []).append((event, _count(event), age))
    found = [_group(key, members, unwell) for key, members in groups.items()]
    return sorted(found, key=lambda group: (-group["count"], group["name"], group["reason"]))


def _group(
    key: tuple[str, str, str, str], members: list[tuple[Document, int, Optional[int]]], unwell: frozenset[str]
) -> Facts:
    reason, kind, namespace, name = key
    newest = min(members, key=lambda member: member[2] if member[2] is not None else 10**9)
    objects = {str((event.get("involvedObject") or {}).get("name")) for event, _count, _age in members}
    place = f"{namespace}/{name}" if namespace else name
    return {
        "name": place,
        "reason": reason,
        "kind": kind,
        "namespace": namespace,
        "workload": name,
        "count": sum(count for _event, count, _age in members),
        "objects_count": len(objects),
        "last_seconds": newest[2],
        "message": shortened(newest[0].get("message")),
        "is_explained": place in unwell,
    }


def _count(event: Document) -> int:
    series = (event.get("series") or {}).get("count")
    return int(series or event.get("count") or 1)


def _last(event: Document) -> Optional[str]:
    series = (event.get("series") or {}).get("lastObservedTime")
    found = (
        series
        or event.get("lastTimestamp")
        or event.get("eventTime")
        or event.get("firstTimestamp")
        or event["metadata"].get("creationTimestamp")
    )
    return None if found is None else str(found)


def _subject(involved: Mapping[str, Any], owners: Mapping[tuple[str, str], Reference]) -> Reference:
    kind, namespace = str(involved.get("kind") or "").lower(), str(involved.get("namespace") or "")
    name = str(involved.get("name") or "")
    if (namespace, name) in owners and kind == "pod":
        return owners[namespace, name]
    # Of a pod that is gone, its name says what it was of.
    if kind == "pod" and _HASHED.search(name):
        return "deployment", namespace, _HASHED.sub("", name)
    if kind == "replicaset" and _HASH.search(name):
        return "deployment", namespace, _HASH.sub("", name)
    return kind, namespace, name
