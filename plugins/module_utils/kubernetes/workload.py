# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The pods of a workload and the logs that their containers have. Pure: the server's documents in, names out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Optional

WORKLOADS = ("deployment", "statefulset", "daemonset", "job")
# The phases of pods in which nothing runs any more.
ENDED = ("Succeeded", "Failed")
_OPERATORS = {"In": "in", "NotIn": "notin"}
# Where a pod's containers are in its spec and in its status, and what results call them.
_KINDS = (
    ("initContainers", "initContainerStatuses", "init"),
    ("containers", "containerStatuses", "container"),
    ("ephemeralContainers", "ephemeralContainerStatuses", "ephemeral"),
)


@dataclass(frozen=True)
class Log:
    """One log: that of a container, or of the same container before its last restart."""

    pod: str
    container: str
    kind: str
    previous: bool
    restarts: int
    state: str
    # Why there can be none; None where there may be one.
    missing_reason: Optional[str]

    @property
    def shown(self) -> str:
        """Its name in messages."""
        return f"{self.pod}/{self.container}{' (previous)' if self.previous else ''}"


def selector_of(workload: Mapping[str, Any]) -> str:
    """A workload's selector in the notation of queries; empty when it has none.

    The notation is that of https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/.
    """
    selector = (workload.get("spec") or {}).get("selector") or {}
    terms = [f"{key}={value}" for key, value in sorted((selector.get("matchLabels") or {}).items())]
    for each in selector.get("matchExpressions") or ():
        key, operator = each["key"], each["operator"]
        if operator in _OPERATORS:
            terms.append(f"{key} {_OPERATORS[operator]} ({','.join(each.get('values') or ())})")
        else:
            terms.append(key if operator == "Exists" else f"!{key}")
    return ",".join(terms)


def replicas_of(workload: Mapping[str, Any]) -> int:
    """How many pods are asked for; one, if it does not say."""
    found = (workload.get("spec") or {}).get("replicas")
    return 1 if found is None else int(found)


def condition(status: Mapping[str, Any], kind: str) -> Optional[Mapping[str, Any]]:
    """The condition of a type."""
    return next((each for each in status.get("conditions") or () if each.get("type") == kind), None)


def has_ended(pod: Mapping[str, Any]) -> bool:
    """Whether nothing runs in a pod any more, and nothing will."""
    return (pod.get("status") or {}).get("phase") in ENDED


def pod_facts(pod: Mapping[str, Any]) -> dict[str, Any]:
    """A pod as it is reported."""
    status = pod.get("status") or {}
    ready = [each.get("status") == "True" for each in status.get("conditions") or () if each.get("type") == "Ready"]
    return {
        "name": pod["metadata"]["name"],
        "phase": status.get("phase") or "Unknown",
        "ready": ready[0] if ready else None,
        "node": (pod.get("spec") or {}).get("nodeName"),
        "restarts": sum(int(each.get("restartCount") or 0) for each in status.get("containerStatuses") or ()),
    }


def logs_of(pod: Mapping[str, Any], *, previous: bool, containers: frozenset[str] = frozenset()) -> Iterator[Log]:
    """Every log that a pod has, or that it ought to have.

    Args:
        pod: Its document.
        previous: Whether the logs before a restart count.
        containers: Only of these; of all, if empty.

    """
    spec, status = pod.get("spec") or {}, pod.get("status") or {}
    name = pod["metadata"]["name"]
    for in_spec, in_status, kind in _KINDS:
        known = {each["name"]: each for each in status.get(in_status) or ()}
        for container in spec.get(in_spec) or ():
            if containers and container["name"] not in containers:
                continue
            found = known.get(container["name"]) or {}
            restarts = int(found.get("restartCount") or 0)
            state, waiting = _state(found)
            # A container that waits after it has run still has the log of that run.
            missing = waiting if waiting and not restarts and not found.get("lastState") else None
            yield Log(name, container["name"], kind, False, restarts, state, missing)
            if previous and restarts:
                yield Log(name, container["name"], kind, True, restarts, "terminated", None)


def _state(status: Mapping[str, Any]) -> tuple[str, str | None]:
    """The name of the state, and why it waits."""
    state = status.get("state") or {}
    if "waiting" in state:
        waiting = state["waiting"] or {}
        reason = waiting.get("reason") or "no reason is given"
        message = f": {waiting['message']}" if waiting.get("message") else ""
        return "waiting", f"it has not started ({reason}{message})"
    return next(iter(state), "unknown"), None
