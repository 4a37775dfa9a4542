# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Update strategies that keep pods from getting a new template. Pure.

C(kubectl rollout status) calls what they hold back rolled out:
https://kubernetes.io/docs/concepts/workloads/controllers/statefulset/#partitions
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.workload import replicas_of

Document = Mapping[str, Any]


def why_nothing_changes(kind: str, workload: Document) -> Optional[tuple[str, str]]:
    """Why no pod would get a new template by itself, and what helps; None where pods do."""
    strategy = _strategy(workload)
    if strategy.get("type") == "OnDelete":
        remedy = "Delete its pods one by one, or set the strategy to RollingUpdate."
        return "its update strategy is OnDelete", remedy
    replicas, partition = replicas_of(workload), _partition(workload)
    if kind == "statefulset" and replicas and partition >= replicas:
        return (
            f"its partition of {partition} keeps all of its {replicas} pods as they are",
            "Lower the partition first.",
        )
    return None


def partly_held_back(kind: str, workload: Document, shown: str) -> Optional[str]:
    """A warning where some pods of a StatefulSet stay as they are; None where none does, or all do."""
    partition = _partition(workload)
    if kind != "statefulset" or not 0 < partition < replicas_of(workload):
        return None
    which = "its pod 0 stays as it is" if partition == 1 else f"its pods 0 to {partition - 1} stay as they are"
    return f"{shown} has a partition of {partition}: {which} until that is lowered."


def _strategy(workload: Document) -> Mapping[str, Any]:
    found: Mapping[str, Any] = (workload.get("spec") or {}).get("updateStrategy") or {}
    return found


def _partition(workload: Document) -> int:
    return int((_strategy(workload).get("rollingUpdate") or {}).get("partition") or 0)
