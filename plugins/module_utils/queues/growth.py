# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Two looks at the same queues, side by side. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def growth(earlier: Mapping[str, Any], later: Mapping[str, Any]) -> list[dict[str, Any]]:
    """One entry for each entry of the later result's C(failed_jobs); null what is not known in one of the two."""
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
                "failed_new": None if before is None or after is None else after - before,
                "backlog_before": backlogs[0].get(name),
                "backlog_after": backlogs[1].get(name),
            }
        )
    return entries
