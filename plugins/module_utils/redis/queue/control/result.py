# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The result of redis_queue. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.common.outcome import outcome
from ansible_collections.runbook.ops.plugins.module_utils.queues.model import STATES
from ansible_collections.runbook.ops.plugins.module_utils.redis.client import show
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.control.request import PAUSED, ControlRequest

VERBS = {"paused": "pause", "resumed": "resume", "empty": "remove"}


def figures(found: Mapping[str, Any]) -> dict[str, Any]:
    """RV(before) and RV(after): what C(check) found, every state named."""
    counts = found["counts"]
    return {"paused": found["paused"], "counts": {state: counts.get(state) for state in STATES}}


def text_of(figure: Mapping[str, Any]) -> str:
    """One line a figure, for the diff."""
    lines = [f"paused: {_shown(figure['paused'])}"]
    lines += [f"{state}: {count}" for state, count in figure["counts"].items() if count is not None]
    return "\n".join(lines) + "\n"


def predicted(before: Mapping[str, Any], request: ControlRequest, removed: Mapping[str, int]) -> dict[str, Any]:
    """The figures afterwards, as far as they depend on us."""
    counts = dict(before["counts"])
    for state, jobs in removed.items():
        counts[state] = (counts[state] or 0) - jobs
    paused = before["paused"] if request.state == "empty" else request.state == PAUSED
    return {"paused": paused, "counts": counts}


def removals(request: ControlRequest, removed: Mapping[str, int]) -> list[dict[str, Any]]:
    """One action a state from which jobs are removed."""
    return [
        {"action": VERBS[request.state], "queue": show(request.target.queue), "state": state, "jobs": jobs}
        for state, jobs in removed.items()
        if jobs
    ]


def result_of(
    request: ControlRequest,
    found: Mapping[str, Any],
    *,
    system: str,
    actions: Sequence[Mapping[str, Any]],
    after: Optional[Mapping[str, Any]] = None,
    removed: Optional[Mapping[str, int]] = None,
    ghosts: int = 0,
    kept: Sequence[Mapping[str, Any]] = (),
) -> dict[str, Any]:
    """The whole result; without C(after) that of check mode."""
    before = figures(found)
    removed = {state: jobs for state, jobs in (removed or {}).items() if jobs}
    later = after or predicted(before, request, removed)
    return outcome(
        changed=bool(actions),
        actions=actions,
        before=before,
        after=after,
        system=system,
        library=found["library"],
        queue=show(request.target.queue),
        paused=later["paused"],
        removed=removed,
        ghosts=ghosts,
        kept=[dict(each) for each in kept],
        notes=list(dict.fromkeys(found.get("notes", ()))),
        diff={"before": text_of(before), "after": text_of(later)},
    )


def _shown(value: Any) -> str:
    return "unknown" if value is None else str(value).lower()
