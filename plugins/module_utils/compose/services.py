# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One service: what is declared, what runs, and how they differ. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.compose.containers import why_down, worst
from ansible_collections.runbook.ops.plugins.module_utils.compose.definition import Declared, is_pinned


def service_facts(
    name: str,
    declared: Optional[Declared],
    containers: Sequence[Mapping[str, Any]],
    *,
    is_expected: bool,
    current_image_id: Optional[str],
    config_hashes: Collection[str],
) -> dict[str, Any]:
    """A service as facts.

    Args:
        name: Its name.
        declared: What the Compose files say; None if they do not know it.
        containers: Its containers, as C(container_facts) gives them.
        is_expected: Whether it should run.
        current_image_id: Which image the declared reference means on this host now; None if there is none.
        config_hashes: The fingerprints of its definition; none if unknown.

    """
    replicas = declared.replicas if declared else 1
    runs_once = declared.runs_once if declared else False
    reason = why_down(name, containers, replicas, runs_once=runs_once)
    images = sorted({each["image_id"] for each in containers if each["image_id"]})
    hashes = {each["config_hash"] for each in containers}
    return {
        "name": name,
        "is_declared": declared is not None,
        "is_expected": is_expected,
        "is_stateful": declared.is_stateful if declared else None,
        "runs_once": runs_once,
        "is_up": reason is None,
        "reason": reason,
        "replicas_count": replicas,
        "containers_count": len(containers),
        "running_count": sum(1 for each in containers if each["state"] == "running"),
        "has_healthcheck": _has_healthcheck(declared, containers),
        "is_healthy": _is_healthy(containers),
        "health_output": next((each["health_output"] for each in containers if each["health"] == "unhealthy"), ""),
        "restarts_count": worst(each["restarts_count"] for each in containers),
        "is_restart_loop": any(each["is_restart_loop"] for each in containers),
        "exit_code": worst(each["exit_code"] for each in containers),
        "oom_killed": any(each["oom_killed"] for each in containers) if containers else None,
        "image": declared.image if declared else None,
        "is_pinned": is_pinned(declared.image) if declared else None,
        "image_ids": images,
        "current_image_id": current_image_id,
        "is_image_here": current_image_id is not None,
        # A reference that means nothing on this host says nothing about what runs.
        "image_drifted": images != [current_image_id] if images and current_image_id else None,
        "config_drifted": not hashes <= set(config_hashes) if containers and config_hashes else None,
        "log_driver": next((each["log_driver"] for each in containers), declared.log_driver if declared else None),
        "log_limited": all(each["log_limited"] for each in containers) if containers else None,
        "log_bytes": None,
        "is_memory_limited": any(each["memory_limit_bytes"] for each in containers),
        "memory_limit_bytes": next((each["memory_limit_bytes"] for each in containers), None),
        "memory_bytes": None,
        "memory_percent": None,
        "cpu_percent": None,
    }


def _has_healthcheck(declared: Optional[Declared], containers: Sequence[Mapping[str, Any]]) -> bool:
    """An image may bring a check of its own, which only its containers show."""
    if any(each["health"] for each in containers):
        return True
    return declared.has_healthcheck if declared else False


def _is_healthy(containers: Sequence[Mapping[str, Any]]) -> bool | None:
    """Whether the checks are content. None without a check, and while one has not decided yet."""
    states = {each["health"] for each in containers if each["state"] == "running" and each["health"]}
    if "unhealthy" in states:
        return False
    return True if states == {"healthy"} else None
