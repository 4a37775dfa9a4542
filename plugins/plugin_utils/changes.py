# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Changes: the one shape of what a run changed, would change, or left alone. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from jinja2 import Undefined

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption
from ansible_collections.runbook.ops.plugins.plugin_utils.change_figures import finite, is_plain
from ansible_collections.runbook.ops.plugins.plugin_utils.judging.paths import is_list

Change = dict[str, Any]

# What somebody has to look at comes first.
STATUSES = ("failed", "refused", "ineffective", "done", "planned")
RANK = {status: rank for rank, status in enumerate(STATUSES)}


def change(
    status: str,
    summary: str,
    *,
    system: str = "",
    host: str = "",
    source: str = "",
    action: str = "",
    object: str = "",
    figures: Sequence[Mapping[str, Any]] = (),
    duration_seconds: float | None = None,
    reason: str = "",
    remedy: str = "",
    at: str = "",
) -> Change:
    """One change with every key of the shape."""
    return {
        "system": system,
        "host": host,
        "source": source,
        "action": action,
        "object": object,
        "status": status,
        "summary": summary,
        "figures": [dict(figure) for figure in figures],
        "duration_seconds": duration_seconds,
        "reason": reason,
        "remedy": remedy,
        "at": at,
    }


def finite_number(value: object) -> float | None:
    """A number that JSON can write, else None; a flag is no number."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        return None
    return value


def is_change(each: object) -> bool:
    """Whether something is an entry of the shape: a mapping with a known status and an object."""
    return isinstance(each, Mapping) and str(each.get("status")) in RANK and "object" in each


def checked_changes(value: object, option: str = "changes") -> list[Change]:
    """The changes of an option; raises InvalidOption when it is not a list of changes."""
    accepted = "a list of changes, as the changes filter returns them"
    if not isinstance(value, Sequence) or isinstance(value, (str, bytes, Undefined)):
        raise InvalidOption(option, type(value).__name__, accepted)
    for position, each in enumerate(value):
        if not is_change(each):
            shown = (
                f"a mapping with status {each.get('status')!r}" if isinstance(each, Mapping) else type(each).__name__
            )
            raise InvalidOption(f"{option}[{position}]", shown, accepted)
    return [dict(each) for each in value]


def normalised(each: Mapping[str, Any], system: str) -> Change:
    """Exactly the keys of the shape, each of its type, figures too; C(system) where the change names none."""
    shaped: Change = {
        key: value if key in ("figures", "duration_seconds") else "" if each.get(key) is None else str(each[key])
        for key, value in change("", "").items()
    }
    shaped["system"] = shaped["system"] or system
    shaped["duration_seconds"] = finite_number(each.get("duration_seconds"))
    shaped["figures"] = [
        {
            "name": str(figure.get("name") or ""),
            **{side: _plain(figure.get(side)) for side in ("before", "after")},
            "unit": str(figure.get("unit") or "text"),
        }
        for figure in (each["figures"] if is_list(each.get("figures")) else ())
        if isinstance(figure, Mapping)
    ]
    return shaped


def _plain(value: object) -> Any:
    return finite(value) if is_plain(value) else str(value)


def sorted_changes(changes: Iterable[Mapping[str, Any]]) -> list[Change]:
    """What somebody has to look at first, then by system and host; otherwise in the order in which it happened."""

    def key(each: Mapping[str, Any]) -> tuple[int, str, str]:
        return RANK[each["status"]], str(each.get("system") or ""), str(each.get("host") or "")

    return sorted((dict(each) for each in changes), key=key)


def counts_by_status(changes: Iterable[Mapping[str, Any]]) -> dict[str, int]:
    """How many changes there are of each status, every status named."""
    counts = dict.fromkeys(STATUSES, 0)
    for each in changes:
        counts[each["status"]] += 1
    return counts
