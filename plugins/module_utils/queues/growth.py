# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Two looks at the same queues, side by side. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def growth(
    earlier: Mapping[str, Any], later: Mapping[str, Any], retried: Sequence[Mapping[str, Any]] = ()
) -> list[dict[str, Any]]:
    """One entry for each entry of the later result's C(failed_jobs); null what is not known in one of the two.

    C(retried) are results of retries in between (C(queue), C(system), C(retried)): jobs that were put back and failed
    again are new failures, although the number of failed jobs is what it was.
    """
    failed = {entry.get("name"): entry.get("failed_count") for entry in earlier.get("failed_jobs") or ()}
    backlogs = [
        {queue.get("name"): queue.get("backlog") for queue in result.get("queues") or ()} for result in (earlier, later)
    ]
    entries = []
    for entry in later.get("failed_jobs") or ():
        name = entry.get("name")
        before, after = failed.get(name), entry.get("failed_count")
        entries.append(
            {
                "name": name,
                "failed_before": before,
                "failed_after": after,
                "failed_new": None if before is None or after is None else after - before + _put_back(name, retried),
                "backlog_before": backlogs[0].get(name),
                "backlog_after": backlogs[1].get(name),
            }
        )
    return entries


def _put_back(name: object, retried: Sequence[Mapping[str, Any]]) -> int:
    """How many of an entry's failed jobs were put back; an entry may stand for a whole system."""
    return sum(int(each.get("retried") or 0) for each in retried if name in (each.get("queue"), each.get("system")))
