# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a backup will fit where it is to go: estimated before anything is written. Pure."""

from __future__ import annotations

from typing import Optional

from ansible_collections.runbook.ops.plugins.module_utils.common.outcome import Refused

# A database grows between two backups; so much more than the last one is asked for.
_GROWTH = 1.25
# Rows as text take less than twice their room in tables; compressed, half of it at most in all but odd cases.
_PLAIN, _COMPRESSED = 1.5, 0.5


def expected_bytes(database_bytes: int, heap_bytes: int, *, compressed: bool, last_bytes: Optional[int]) -> int:
    """How large a backup will be, about.

    Args:
        database_bytes: The whole database, indexes included.
        heap_bytes: Its tables as they were when they were last counted; 0 when they never were.
        compressed: Whether the backup is.
        last_bytes: The size of the last one that was taken in the same way; None without one.

    """
    if last_bytes:
        return int(last_bytes * _GROWTH)
    # Tables that were never counted would make a large database look empty.
    content = heap_bytes if heap_bytes * 10 >= database_bytes else database_bytes
    return int(content * (_COMPRESSED if compressed else _PLAIN))


def check_room(place: str, free: Optional[int], expected: int, reserve: int) -> None:
    """Refuse a place that is too small; one whose room nobody knows is taken."""
    if free is None or free >= expected + reserve:
        return
    kept = f", and {reserve} are to stay free (min_free_bytes)" if reserve else ""
    raise Refused(
        f"{place} has {free} bytes free. The backup needs about {expected}{kept}. Nothing was touched. "
        "Make room, or name another repository."
    )
