# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which jobs of a long list or set to look at, and what their fields mean. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Optional

# Single elements in the middle of a state, beside its ends.
MOST_MIDDLE = 50


def slices(length: int, wanted: int) -> list[tuple[int, int]]:
    """Ranges (first, last) of about C(wanted) positions: everything if it is not more, else both ends and the middle.

    The middle is looked at in even steps, so that the same queue gives the same answer twice.
    """
    if length <= 0 or wanted <= 0:
        return []
    if length <= wanted:
        return [(0, length - 1)]
    middle = min(MOST_MIDDLE, wanted // 3)
    end = (wanted - middle) // 2
    ranges = [(0, end - 1)] if end else []
    # The rest of an odd number goes to the tail, where the oldest are.
    tail = wanted - middle - end
    step = (length - end - tail) / (middle + 1)
    ranges += [(position, position) for position in (end + int(step * (n + 1)) for n in range(middle))]
    return [*ranges, (length - tail, length - 1)]


def share(most: int, together: int, queues: int) -> int:
    """How many jobs of each queue to read: C(most), or an equal share where that would be more than C(together).

    One queue alone may always have C(most).
    """
    return min(most, max(1, max(most, together) // max(1, queues)))


def seconds_of(value: Any) -> Optional[float]:
    """Milliseconds since the epoch, as the libraries write them, in seconds; None if it is no such number."""
    try:
        milliseconds = float(value)
    except (TypeError, ValueError):
        return None
    # Not NaN, and within what a calendar knows.
    return milliseconds / 1000 if 0 < milliseconds < 2**53 / 100 else None


def oldest(moments: Sequence[Optional[float]], now: float) -> Optional[float]:
    """The age of the oldest, in seconds; a clock that is ahead makes nothing younger than 0."""
    known = [moment for moment in moments if moment is not None]
    return round(max(0.0, now - min(known)), 3) if known else None
