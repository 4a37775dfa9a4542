# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What k8s_rollout tells of a workload before and after. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.history import (
    RESTARTED_AT,
    images_of,
    template_of,
)
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.rollout_plan import (
    PAUSED,
    RESUMED,
    is_paused,
)
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.rollout_state import Rollout, rollout_of
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.template_diff import template_diff


def figures(kind: str, workload: Mapping[str, Any]) -> dict[str, Any]:
    """One side."""
    template = template_of(workload)
    return {
        "revision": rollout_of(kind, workload).revision,
        "images": images_of(template),
        "restarted_at": ((template.get("metadata") or {}).get("annotations") or {}).get(RESTARTED_AT),
        "paused": is_paused(workload),
    }


def diff_of(state: str, before: Mapping[str, Any], template: Mapping[str, Any], *, changed: bool) -> dict[str, Any]:
    """Both sides of what changes.

    Args:
        state: What is asked for.
        before: The workload before.
        template: Its template afterwards.
        changed: Whether anything changes at all.

    """
    if state in (PAUSED, RESUMED):
        paused = is_paused(before)
        return {"before": {"paused": paused}, "after": {"paused": paused is not changed}}
    was = template_of(before)
    return template_diff(was, template if changed else was)


def kept(failed: Rollout) -> str:
    """What is said when a rollout that failed stays as it is."""
    serving = failed.ready if failed.available is None else failed.available
    meanwhile = f"{serving} pods serve meanwhile. " if serving else ""
    return f"{meanwhile}It stays like that; mend what is named, and the same task waits on."
