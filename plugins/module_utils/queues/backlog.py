# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Why jobs pile up: from the figures of queues and of the workers that fetch from them. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Optional

PAUSED = "paused"
DEAD = "dead"
STALLED = "stalled"
SATURATED = "saturated"
BURST = "burst"
UNKNOWN = "unknown"
Entry = Mapping[str, Any]


def workers_of(declared: Iterable[Entry], cluster: Entry) -> list[dict[str, Any]]:
    """The declared workers as the cluster has them; figures are None where they are not known.

    Args:
        declared: Each with C(name), and maybe C(kind) and C(queues).
        cluster: The result of k8s_health_info for their namespace.

    """
    return [_worker(each, cluster) for each in declared]


def _worker(declared: Entry, cluster: Entry) -> dict[str, Any]:
    kind, name = str(declared.get("kind") or "deployment"), str(declared["name"])
    found = _first(cluster.get("workloads"), kind=kind, workload=name)
    scaler = _first(cluster.get("autoscalers"), target_kind=kind, target_name=name)
    problem = _first((cluster.get("pods") or {}).get("groups"), kind=kind, workload=name)
    desired, limit = found.get("desired_count"), declared.get("scale_to")
    return {
        **declared,
        "name": name,
        "kind": kind,
        "queues": list(declared.get("queues") or ()),
        "desired_count": desired,
        # To set the number where there are as many or more would take pods away from a queue that backs up.
        "lacks_pods": limit is not None and desired is not None and desired < limit,
        "ready_count": found.get("ready_count"),
        "is_missing": found.get("is_missing") if found else None,
        # On its way back it still remembers, and what keeps its pods from coming is worth telling.
        "is_parked": bool(found.get("is_parked")) and not desired,
        "problem": f"{problem['reason']}: {problem['detail']}" if problem else found.get("reason"),
        "autoscaler": scaler.get("autoscaler"),
        "max_count": scaler.get("max_count"),
        "is_at_ceiling": bool(scaler.get("is_at_ceiling")),
    }


def _first(entries: Optional[Iterable[Entry]], **wanted: str) -> Entry:
    for each in entries or ():
        if all(str(each.get(key) or "").lower() == value.lower() for key, value in wanted.items()):
            return each
    return {}


def backlog_causes(queues: Iterable[Entry], workers: Sequence[Entry]) -> list[dict[str, Any]]:
    """For every queue with a backlog the one cause that comes first: nothing further helps before it is mended.

    C(paused), C(dead) (nobody fetches), C(stalled) (somebody fetches and no job ends), C(saturated) (jobs end, and
    more or as many come), C(burst) (it empties by itself), or C(unknown).
    """
    return [_cause(each, workers) for each in queues if each.get("exists") and each.get("backlog")]


def _cause(queue: Entry, workers: Sequence[Entry]) -> dict[str, Any]:
    own = [each for each in workers if not each["queues"] or queue["name"] in each["queues"]]
    known = [each for each in own if each["ready_count"] is not None]
    ready = sum(each["ready_count"] for each in known) if known and len(known) == len(own) else None
    cause, detail = _judged(queue, own, ready)
    return {
        "name": queue["name"],
        "backlog": queue["backlog"],
        "cause": cause,
        "detail": detail,
        "workers": [each["name"] for each in own],
        "ready_count": ready,
        "oldest_age_seconds": queue.get("oldest_age_seconds"),
        "drain_seconds": (queue.get("rate") or {}).get("drain_seconds"),
    }


def _judged(queue: Entry, own: Sequence[Entry], ready: Optional[int]) -> tuple[str, str]:
    if queue.get("paused"):
        return PAUSED, "it is paused"
    if own and ready == 0:
        return DEAD, f"no pod of its workers is ready ({'; '.join(_why(each) for each in own)})"
    if queue.get("unconsumed"):
        running = f", although {ready} pods of its workers are ready" if ready else ""
        return DEAD, f"no worker fetches from it{running}"
    rate = queue.get("rate") or {}
    growth, departures = rate.get("growth_per_second"), rate.get("departures_per_second")
    if growth is None:
        return UNKNOWN, "how fast it fills and empties is not known"
    if growth < 0:
        return BURST, "it empties by itself"
    # Some systems do not count what ends: then only a queue that does not move at all is stalled.
    if departures == 0 or (departures is None and growth == 0):
        return STALLED, "workers fetch from it, and no job ended while it was watched"
    pace = "it fills" if departures is None else f"{departures:g} jobs a second end, and as many or more come"
    capped = [each["name"] for each in own if each["is_at_ceiling"]]
    return SATURATED, f"{pace}{'; the autoscaler of ' + ', '.join(capped) + ' is at its ceiling' if capped else ''}"


def _why(worker: Entry) -> str:
    if worker["is_missing"]:
        return f"{worker['name']} is missing"
    if worker["is_parked"]:
        return f"{worker['name']} is parked"
    if worker["desired_count"] == 0:
        return f"{worker['name']} has no replicas"
    return f"{worker['name']}: {worker['problem'] or 'no reason is given'}"
