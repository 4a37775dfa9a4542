# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What actions on queues and keys are about: names, how many jobs or keys, and the figures they move. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.runbook.ops.plugins.plugin_utils.judging.humanise import humanise

Entry = Mapping[str, Any]


def object_of_queue(entry: Entry) -> str:
    """The queue, with the state whose jobs are removed: C(mail, failed); the group or pattern of keys; else nothing."""
    queue = entry.get("queue")
    if isinstance(queue, str) and queue:
        state = entry.get("state")
        return f"{queue}, {state}" if isinstance(state, str) and state else queue
    group, pattern = (str(entry.get(key) or "") for key in ("group", "pattern"))
    return f"{pattern} ({group})" if group and pattern and not pattern.startswith(group) else pattern or group


def extent_of_queue(entry: Entry) -> str:
    """How much an action is about: C(412 jobs), C(240 jobs failed with: boom), C(1,200 keys of 3.1 MB)."""
    jobs = _number(entry.get("jobs"))
    if jobs is not None:
        return _counted(jobs, "job")
    count = _number(entry.get("count"))
    if count is None:
        return ""
    if isinstance(entry.get("queue"), str):
        reason = str(entry.get("reason") or "")
        return f"{_counted(count, 'job')} failed with: {reason}" if reason else _counted(count, "job")
    size = _number(entry.get("bytes"))
    return _counted(count, "key") + (f" of {humanise(size, 'bytes')}" if size is not None else "")


def sides_of_queue(entry: Entry, result: Entry) -> dict[str, Any]:
    """The figures of a queue, or of keys, that a result gives before and after for all of its actions together.

    Only those that the action moves, or would move: who pauses a queue does not need to be told how much has failed.
    """
    if not isinstance(entry.get("queue"), str) and not entry.get("pattern"):
        return {}
    before, after = (_flat(result.get(side)) for side in ("before", "after"))
    if not before:
        return {}
    if after:
        moved = {name for name in before if before[name] != after.get(name)}
    else:
        state = str(entry.get("state") or ("failed" if entry.get("action") == "retry" else ""))
        moved = {state, "due"} & set(before)
    sides: dict[str, Any] = {"before": {name: before[name] for name in before if name in moved}}
    sides["after"] = {name: after.get(name) for name in sides["before"]} if after else {}
    return sides


def _flat(figures: object) -> dict[str, Any]:
    if not isinstance(figures, Mapping):
        return {}
    counts = figures.get("counts")
    flat = {**figures, **(counts if isinstance(counts, Mapping) else {})}
    return {name: value for name, value in flat.items() if value is None or isinstance(value, (bool, int, float))}


def _number(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
